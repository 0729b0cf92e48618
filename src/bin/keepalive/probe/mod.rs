//! How long the path to a server lets a connection live.

use std::io;
use std::process::ExitCode;

use keepalive::Tls;
use tungstenite::http::Uri;

use crate::args::Trust;
use crate::watch::args::{self, Header};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server to probe, ws://... or wss://...
    #[arg(value_name = "URL", value_parser = args::url)]
    pub(crate) url: Uri,

    /// 'Name: value' for the handshake; may be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = args::header)]
    pub(crate) headers: Vec<Header>,

    #[command(flatten)]
    pub(crate) trust: Trust,
}

pub(crate) fn run(args: &Args, _: Tls) -> io::Result<ExitCode> {
    let request = args::request(&args.url, &args.headers).map_err(io::Error::other)?;
    let why = format!("{} is not probed yet", request.uri());
    Err(io::Error::other(why))
}
