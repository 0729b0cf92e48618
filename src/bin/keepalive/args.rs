//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use tungstenite::http::Uri;

use crate::probe;
use crate::watch::args::{self, Settings};

const ABOUT: &str = "\
Watches and probes WebSocket servers with a heartbeat.

`keepalive URL` is `keepalive watch URL`.";

const WATCH: &str = "\
Watches a server, until Ctrl-C, --count or --for. A connection that is lost is
dialled again, whatever the reason.";

const DURATIONS: &str = "Durations are written as 500ms, 2s or 1m30s, from 1ms to 24h.";

#[derive(Debug, Parser)]
#[command(name = "keepalive", version, about = ABOUT)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(about = WATCH, after_help = DURATIONS)]
    Watch(Watch),

    /// Measures how long the path to a server lets a silent connection live
    Probe(probe::Args),

    /// Shows what a heartbeat does, on a server that misbehaves on cue, in 20 s
    Show(Show),

    /// Prints the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Prints the man page
    Man,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// The server to watch, ws://... or wss://...
    #[arg(value_name = "URL", value_parser = args::url)]
    pub(crate) url: Uri,

    #[command(flatten)]
    pub(crate) settings: Settings,

    #[command(flatten)]
    pub(crate) trust: Trust,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Print lines also on a terminal, where it is a live view otherwise
    #[arg(long)]
    pub(crate) plain: bool,

    /// Draw the watch into this file at its end
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// For `wss://`, of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Trust {
    /// Trust the certificates in this PEM file, besides the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
