//! Watches a WebSocket server with a heartbeat; without arguments it brings its own
//! server and shows what a heartbeat does:
//! `cargo run --features blocking --example watch`, then `-- --help`.

mod args;
mod dial;
mod print;
mod seen;
mod server;
mod show;
mod stats;
mod text;
mod watch;
mod watcher;

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use keepalive::{Config, ConfigError};

use crate::args::Args;
use crate::watcher::Watcher;

fn main() -> ExitCode {
    let args = Args::parse();
    let config = args.config().unwrap_or_else(|error| refuse(&error));
    match run(&args, config) {
        Ok(code) => code,
        // Whoever read this has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, config: Config) -> io::Result<ExitCode> {
    let tls = dial::tls().map_err(io::Error::other)?;
    let Some(url) = &args.url else {
        return show::run(args.json, tls);
    };
    let request = args.request(url).map_err(io::Error::other)?;
    let text = args.text.as_deref();
    let watcher = Watcher::new(config, request, tls, text);
    watch::run(watcher, args, &url.to_string())
}

fn refuse(error: &ConfigError) -> ! {
    Args::command()
        .error(ErrorKind::ValueValidation, error)
        .exit()
}
