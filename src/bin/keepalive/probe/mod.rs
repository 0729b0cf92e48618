//! How long the path to a server lets a connection live.
//!
//! # The method
//!
//! A limit is found by holding connections, not by asking anybody. A first one shows whether
//! the server answers pings. Where it does, each of the others begins with one. The silence
//! begins with the last frame in either direction. What comes of it is one of three things:
//!
//! - *cut*: the end is seen, by a close frame, the end of the stream or a reset. Its time is
//!   exact, and each longer silence shows the same;
//! - *alive*: a ping at the end of its time is answered;
//! - *dead*: it is not answered, or by a reset, and nothing had announced it (a NAT that
//!   forgets). So the limit lies between the longest silence below that was survived and
//!   this one.
//!
//! Where pings are not answered, only cuts are seen: whatever is not cut counts as alive.
//!
//! Silences of growing length are held at once, each on a connection of its own: a ladder
//! from a hundredth of `--max` to all of it. Where a dead one leaves more than a tenth open,
//! the next ladder lies between the two ends, and so on. Two dead ones end a ladder. All that
//! is one run; the next runs look around what the last one found, and everywhere if it is
//! not there, so a limit that changes is seen. Where none was found, all connections are
//! held for `--max`. Runs are compared by their usual end, the median of those that were
//! seen; connections contradict each other if one lived past another one's end. Both by more
//! than a tenth.
//!
//! Then the same path is tried with traffic, at the interval that is going to be advised
//! (45 % of the earliest end), for twice the limit: pings, whose pongs come back; pongs that
//! nobody asked for, which nobody answers, so that frames go out alone; data, with `--text`;
//! what the server says by itself, with `--subscribe`. What is said to a silent connection
//! within the first second is a greeting; what comes later means that it was not silent: it
//! shows the longest silence in between, and the report says so.
//!
//! A second server, `--control`, is held on the same ladders at the same time: a limit near
//! the client holds for both.
//!
//! No more than `--connections` are open to a server at a time, and they are dialled one
//! after the other. If one is refused, the rest of that ladder is not dialled, later ones
//! are as small as what was let in, and `Retry-After` is waited for, up to a minute. If none
//! is let in, the ladder is tried once more after that time; without such a hint, or if
//! that fails too, the probe ends.
//!
//! A server that goes away ends its connections as well, which shows no limit. A limit counts
//! from the beginning of each connection, so those that it ends do not end at the same moment.
//! If they do, or if one was dead, the server is dialled once more; if it cannot be reached,
//! they are not counted.

mod compare;
mod course;
mod hold;
mod ladder;
mod limit;
mod phase;
mod report;
mod traffic;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;
use jiff::SignedDuration;
use keepalive::Tls;
use keepalive::blocking::Dialer;
use tungstenite::http::Uri;

use self::compare::Earlier;
use self::course::{Course, Findings, Scope};
use self::hold::{Stop, Target};
use self::report::Report;
use crate::args::Trust;
use crate::watch::args::{self, Header};
use crate::watch::print::Printer;
use crate::watch::signals;

const AFTER: &str = "\
Silences of growing length are held at once, up to --max, each on a connection
of its own, and all of it --repeat times. Where they end, the same is tried with
pings, frames and data, in each direction, for twice the limit. A limit is a
spread: the report says what was seen, whether the runs differ, and how often to
ping.

It takes --max times --repeat where nothing ends. Where something does, a run
takes as long as that limit, and the traffic twice that limit, or a few times as
long if --connections is small. Where connections are dropped without notice, a
run has a few rounds, and each round takes --timeout more.

No more than --connections are open to a server at a time, and fewer once it
has refused one.

Durations are written as 500ms, 2s or 1m30s. Ctrl-C ends it early and prints
what was seen.

Exit codes:
    0  something was measured
    1  the server or the control could not be reached or let nobody in, even if
       only later, or nothing was measured
    2  the arguments are wrong
  130  a second Ctrl-C came before it had ended";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// The server to probe, ws://... or wss://...
    #[arg(value_name = "URL", value_parser = args::url)]
    pub(crate) url: Uri,

    /// The longest silence to try, from 1s to 24h
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = longest)]
    pub(crate) max: Duration,

    /// How often to measure
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(crate) repeat: u8,

    /// The most connections to hold at once, to each server
    #[arg(long, value_name = "N", default_value_t = 12)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) connections: u8,

    /// How long a dial, and a server's answer to a ping, may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = args::duration)]
    pub(crate) timeout: Duration,

    /// A server elsewhere, to tell a limit of the server's proxy from one near here
    #[arg(long, value_name = "URL", value_parser = args::url)]
    pub(crate) control: Option<Uri>,

    /// Send this text first on each connection, such as a login
    #[arg(long, value_name = "TEXT")]
    pub(crate) login: Option<String>,

    /// Try outbound data too: this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,

    /// Try inbound data too: what the server sends after this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) subscribe: Option<String>,

    /// Compare with an earlier probe, written with --json
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,

    /// 'Name: value' for the handshake; may be repeated; not for the control
    #[arg(long = "header", value_name = "HEADER", value_parser = args::header)]
    pub(crate) headers: Vec<Header>,

    #[command(flatten)]
    pub(crate) trust: Trust,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn longest(text: &str) -> Result<Duration, String> {
    let is_duration = text.parse::<SignedDuration>().is_ok();
    match args::duration(text) {
        Ok(duration) if duration >= Duration::from_secs(1) => Ok(duration),
        Err(why) if !is_duration => Err(why),
        _ => Err("a silence is tried for 1s at least, and for 24h at most".to_owned()),
    }
}

pub(crate) fn run(args: &Args, tls: Tls) -> io::Result<ExitCode> {
    let earlier = match &args.compare {
        Some(file) => match Earlier::read(file) {
            Ok(earlier) => Some((file.display().to_string(), earlier)),
            Err(why) => crate::args::Args::command()
                .error(ErrorKind::ValueValidation, why)
                .exit(),
        },
        None => None,
    };
    let interrupted = stopped_by_ctrl_c()?;
    let target = args.target(tls.clone())?;
    let control = match &args.control {
        Some(url) => Some((args.control(url, tls)?, url.to_string())),
        None => None,
    };
    let mut targets = vec![&target];
    targets.extend(control.as_ref().map(|(target, _)| target));
    let mut findings: Vec<Findings> = Vec::new();
    for (target, url) in targets.iter().zip([Some(&args.url), args.control.as_ref()]) {
        match target.greet(&interrupted) {
            Ok(hello) => findings.push(Findings::new(hello, usize::from(args.connections))),
            Err(failure) => {
                let url = url.map(Uri::to_string).unwrap_or_default();
                return Err(io::Error::other(format!("{url}: {}", failure.why)));
            }
        }
    }
    let mut course = Course {
        targets,
        findings,
        scope: Scope {
            longest: args.max,
            repeat: usize::from(args.repeat),
        },
        interrupted: &interrupted,
    };
    course.run()?;
    let is_lost = course.findings.iter().any(|all| all.lost.is_some());
    let mut findings = course.findings.iter();
    let Some(first) = findings.next() else {
        return Ok(ExitCode::FAILURE);
    };
    let report = Report {
        url: args.url.to_string(),
        longest: args.max,
        findings: first,
        control: control.map(|(_, url)| url).zip(findings.next()),
        earlier,
        is_interrupted: interrupted.is_set(),
    };
    print(&report, args.json)?;
    Ok(match is_lost || first.runs.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn print(report: &Report<'_>, json: bool) -> io::Result<()> {
    if json {
        return writeln!(io::stdout(), "{}", report.json());
    }
    let printer = Printer::new(false);
    for (tone, line) in report.lines() {
        printer.say(tone, line.trim_end())?;
    }
    Ok(())
}

impl Args {
    fn target(&self, tls: Tls) -> io::Result<Target> {
        let request = args::request(&self.url, &self.headers).map_err(io::Error::other)?;
        Ok(Target {
            dialer: Dialer::new(request).tls(tls),
            timeout: self.timeout,
            first: self.login.clone(),
            text: self.text.clone(),
            subscribe: self.subscribe.clone(),
        })
    }

    /// Nothing that is meant for the server goes to it.
    fn control(&self, url: &Uri, tls: Tls) -> io::Result<Target> {
        let request = args::request(url, &[]).map_err(io::Error::other)?;
        Ok(Target {
            dialer: Dialer::new(request).tls(tls),
            timeout: self.timeout,
            first: None,
            text: None,
            subscribe: None,
        })
    }
}

/// Ctrl-C ends the probe, a second one at once.
fn stopped_by_ctrl_c() -> io::Result<Arc<Stop>> {
    let stop = Arc::new(Stop::default());
    let hearing = Arc::clone(&stop);
    let hear = move || {
        if hearing.is_set() {
            std::process::exit(130);
        }
        hearing.set();
    };
    signals::on_each(hear)?;
    Ok(stop)
}
