//! The tool `keepalive`: `cargo install keepalive --features cli`.

#[cfg(test)]
mod acted;
mod args;
mod metrics;
mod pages;
mod probe;
mod scale;
mod timeline;
mod tls;
mod track;
mod view;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{self, ExitCode};

use clap::Parser;
use keepalive::Tls;
use keepalive::blocking::Dialer;

use crate::args::{Args, Command, Trust};
use crate::metrics::Metrics;
use crate::timeline::Timeline;
use crate::view::View;
use crate::watch::lines::Lines;
use crate::watch::output::Output;
use crate::watch::run::Watch;
use crate::watch::show;
use crate::watch::text;
use crate::watch::watcher::Watcher;

/// As clap has it.
const WRONG_ARGUMENTS: i32 = 2;

fn main() -> ExitCode {
    let args = Args::parse_from(with_command(std::env::args_os().collect()));
    match run(args.command) {
        Ok(code) => code,
        // Whoever read this has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // There is no other place for it.
            let _ = writeln!(io::stderr(), "error: {}", text::bare(&error));
            ExitCode::FAILURE
        }
    }
}

/// A URL alone is to be watched, or refused as such; no command looks like one.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).and_then(|arg| arg.to_str());
    if first.is_some_and(|first| first.contains("://")) {
        args.insert(1, "watch".into());
    }
    args
}

fn run(command: Command) -> io::Result<ExitCode> {
    match command {
        Command::Watch(args) => watch(&args),
        Command::Probe(args) => probe::run(&args, tls(&args.trust)),
        Command::Show(args) => show::run(args.json, "keepalive watch wss://HOST/PATH"),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man => pages::man(),
    }
}

fn watch(args: &args::Watch) -> io::Result<ExitCode> {
    let settings = &args.settings;
    let config = settings
        .config()
        .unwrap_or_else(|error| refuse(&error.to_string()));
    let request = watch::args::request(&args.url, &settings.headers).map_err(io::Error::other)?;
    let dialer = Dialer::new(request).tls(tls(&args.trust));
    let mut watcher = Watcher::new(config, dialer, settings.text.as_deref());
    let mut outputs: Vec<Box<dyn Output>> = Vec::new();
    if let Some(address) = args.metrics {
        let metrics = Metrics::serve(address).unwrap_or_else(|error| {
            refuse(&format!("--metrics {address}: {}", text::bare(&error)))
        });
        let address = metrics.address();
        let _ = writeln!(io::stderr(), "metrics: http://{address}/metrics");
        outputs.push(Box::new(metrics));
    }
    let watch = Watch::new()?;
    if !args.json && !args.plain && View::is_possible() {
        let view = View::new(config, watch.interrupt(), watcher.handle());
        outputs.push(Box::new(view));
    } else {
        outputs.push(Box::new(Lines::new(args.json, config)));
    }
    // The last one, so that the summary is seen even where it fails.
    if let Some(file) = &args.svg {
        let timeline = Timeline::new(file).unwrap_or_else(|error| {
            refuse(&format!("--svg {}: {}", file.display(), text::bare(&error)))
        });
        outputs.push(Box::new(timeline));
    }
    watch.run(watcher, settings, &args.url.to_string(), &mut outputs)
}

fn tls(trust: &Trust) -> Tls {
    tls::trusting(trust.cacert.as_deref()).unwrap_or_else(|error| refuse(&error))
}

/// What the arguments ask for cannot be had.
fn refuse(why: &str) -> ! {
    // There is no other place for it.
    let _ = writeln!(io::stderr(), "error: {why}");
    process::exit(WRONG_ARGUMENTS)
}
