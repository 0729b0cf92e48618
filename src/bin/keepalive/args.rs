//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use tungstenite::http::Uri;

use crate::metrics;
use crate::probe;
use crate::watch::args::{self, DURATIONS, EXIT, Settings};

const ABOUT: &str = "Watches and probes WebSocket servers with a heartbeat";

const LONG_ABOUT: &str = "\
Watches and probes WebSocket servers with a heartbeat.

`keepalive URL ...` is short for `keepalive watch URL ...`.";

const WATCH: &str = "\
Watches a server with a heartbeat, until Ctrl-C, --count or --for. A connection
that is lost is dialled again, whatever the reason. The limits are for CI and
cron: the watch ends as soon as one is exceeded, and fails. What failed is on
stderr, everything else on stdout.";

pub(crate) const JSON: &str = "\
With --json each line is an object with `time` (RFC 3339), `event`, and for a watch:
  watching    url, interval_s, timeout_s
  connecting  attempt (0: the first), for_s: when a dial begins, and each second
              for as long as it takes
  open
  ping        seq
  pong        seq, rtt_s
  message     kind (text, binary), bytes
  down        dial (true: a dial failed, false: a connection was lost), cause (pong
              timeout, idle timeout, connect timeout, closed, refused, failed),
              reason (in words), code (the close code, 1006 without one, null for
              a dial), status (HTTP, of a dial that was refused), attempt and in_s
              of the next dial
  reconnect   attempt, in_s: the next dial has been moved
  stopped     reason
  summary     pings, pongs, lost (pings), messages, connections, downs,
              failed_dials, lasted_s, failures (in words; none: exit code 0),
              round_trip_s, time_to_detect_s, time_to_recover_s (min, avg, max,
              mdev; null where nothing was measured)";

const OUTPUT: &str = "Output";

#[derive(Debug, Parser)]
#[command(name = "keepalive", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXIT)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watches a server with a heartbeat
    #[command(long_about = WATCH)]
    #[command(after_help = DURATIONS, after_long_help = format!("{DURATIONS}\n\n{EXIT}\n\n{JSON}"))]
    Watch(Box<Watch>),

    /// Measures how long the path to a server lets a silent connection live
    Probe(Box<probe::Args>),

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

    /// Print one JSON object a line; --help has the schema
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) json: bool,

    /// Print lines also on a terminal, instead of the live view
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) plain: bool,

    /// Draw the watch into this file when it ends
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub(crate) svg: Option<PathBuf>,

    /// Serve metrics to Prometheus at http://ADDRESS/metrics; a port alone is local
    #[arg(long, value_name = "ADDRESS", value_parser = metrics::address, help_heading = OUTPUT)]
    pub(crate) metrics: Option<SocketAddr>,
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
