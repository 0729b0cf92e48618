//! Watches a WebSocket server with a heartbeat; without arguments it brings its own
//! server and shows what a heartbeat does:
//! `cargo run --features blocking --example watch`, then `-- --help`.
//!
//! It is the small front of the tool `keepalive`, whose source it shares.

#[path = "../../src/bin/keepalive/watch/mod.rs"]
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use keepalive::blocking::Dialer;
use keepalive::{Config, ConfigError};
use tungstenite::http::Uri;

use crate::watch::args::{self, DURATIONS, EXIT, Settings};
use crate::watch::lines::Lines;
use crate::watch::run::Watch;
use crate::watch::show;
use crate::watch::text;
use crate::watch::watcher::Watcher;

const ABOUT: &str = "\
Watches a WebSocket server with a heartbeat.

Without a URL it shows what a heartbeat does: a server in the same process
misbehaves on cue, which takes about 20 s.

With a URL it watches that server, one line an event, until Ctrl-C, --count or
--for. A connection that is lost is dialled again, whatever the reason.";

const COMMAND: &str = "cargo run --features blocking,rustls --example watch -- wss://HOST/PATH";

#[derive(Debug, Parser)]
#[command(name = "watch", about = ABOUT, after_help = format!("{DURATIONS}\n\n{EXIT}"))]
struct Args {
    /// The server to watch, ws://... or wss://...
    #[arg(value_name = "URL", value_parser = args::url)]
    url: Option<Uri>,

    #[command(flatten)]
    settings: Settings,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let config = args
        .settings
        .config()
        .unwrap_or_else(|error| refuse(&error));
    match run(&args, config) {
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

fn run(args: &Args, config: Config) -> io::Result<ExitCode> {
    let settings = &args.settings;
    let Some(url) = &args.url else {
        return show::run(args.json, COMMAND);
    };
    let request = args::request(url, &settings.headers).map_err(io::Error::other)?;
    let watcher = Watcher::new(config, Dialer::new(request), settings.text.as_deref());
    let lines = Lines::new(args.json, config);
    Watch::new()?.run(watcher, settings, &url.to_string(), &mut [Box::new(lines)])
}

fn refuse(error: &ConfigError) -> ! {
    Args::command()
        .error(ErrorKind::ValueValidation, error)
        .exit()
}
