//! The tool `keepalive`: `cargo install keepalive --features cli`.

mod args;
mod pages;
mod probe;
mod timeline;
mod tls;
mod view;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use keepalive::Tls;
use keepalive::blocking::Dialer;

use crate::args::{Args, Command};
use crate::timeline::Timeline;
use crate::view::View;
use crate::watch::lines::Lines;
use crate::watch::output::Output;
use crate::watch::run::Watch;
use crate::watch::show;
use crate::watch::watcher::Watcher;

fn main() -> ExitCode {
    let args = Args::parse_from(with_command(std::env::args_os().collect()));
    match run(args.command) {
        Ok(code) => code,
        // Whoever read this has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A URL alone is to be watched; no command begins as one.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).and_then(|arg| arg.to_str());
    if first.is_some_and(|first| first.starts_with("ws://") || first.starts_with("wss://")) {
        args.insert(1, "watch".into());
    }
    args
}

fn run(command: Command) -> io::Result<ExitCode> {
    match command {
        Command::Watch(args) => {
            let tls =
                tls::trusting(args.trust.cacert.as_deref()).unwrap_or_else(|error| refuse(&error));
            watch(&args, tls)
        }
        Command::Probe(args) => {
            let tls =
                tls::trusting(args.trust.cacert.as_deref()).unwrap_or_else(|error| refuse(&error));
            probe::run(&args, tls)
        }
        Command::Show(args) => show::run(args.json, "keepalive watch wss://HOST/PATH"),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man => pages::man(),
    }
}

fn watch(args: &args::Watch, tls: Tls) -> io::Result<ExitCode> {
    let settings = &args.settings;
    let config = settings.config().unwrap_or_else(|error| refuse(&error));
    let request = watch::args::request(&args.url, &settings.headers).map_err(io::Error::other)?;
    let dialer = Dialer::new(request).tls(tls);
    let watcher = Watcher::new(config, dialer, settings.text.as_deref());
    let watch = Watch::new()?;
    let mut outputs: Vec<Box<dyn Output>> = Vec::new();
    if let Some(file) = &args.svg {
        outputs.push(Box::new(Timeline::new(file.clone())));
    }
    if view::IS_THERE && !args.json && !args.plain && io::stdout().is_terminal() {
        outputs.push(Box::new(View::new(watch.interrupt())?));
    } else {
        outputs.push(Box::new(Lines::new(args.json, config)));
    }
    watch.run(watcher, settings, &args.url.to_string(), &mut outputs)
}

/// Ends as clap does where an argument is wrong.
fn refuse(error: &dyn std::fmt::Display) -> ! {
    Args::command()
        .error(ErrorKind::ValueValidation, error)
        .exit()
}
