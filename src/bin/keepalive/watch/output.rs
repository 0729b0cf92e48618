//! Where what is seen goes: lines, JSON, a view, a picture.

use std::io;
use std::time::{Duration, Instant};

use keepalive::Config;

use super::seen::{Retry, Seen, Sighting};
use super::stats::Tally;

/// One of the places. Errors end the watch, `BrokenPipe` quietly.
pub(crate) trait Output {
    /// Before the first dial.
    fn head(&mut self, head: &Head<'_>) -> io::Result<()>;

    /// For each sighting, after the tally has counted it.
    fn sighting(&mut self, sighting: &Sighting, now: &Now<'_>) -> io::Result<()>;

    /// Each second.
    fn tick(&mut self, now: &Now<'_>) -> io::Result<()>;

    /// After the goodbye.
    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()>;
}

/// What is watched.
pub(crate) struct Head<'a> {
    pub(crate) name: &'a str,
    pub(crate) config: &'a Config,
    #[allow(dead_code, reason = "lines do not say it")]
    pub(crate) started: Instant,
}

/// How it stands.
pub(crate) struct Now<'a> {
    pub(crate) at: Instant,
    pub(crate) standing: &'a Standing,
    #[allow(dead_code, reason = "lines do not say it")]
    pub(crate) tally: &'a Tally,
}

/// What it came to.
pub(crate) struct Summary<'a> {
    pub(crate) name: &'a str,
    pub(crate) lasted: Duration,
    pub(crate) tally: &'a Tally,
    /// Why it does not count as a success, in words.
    pub(crate) failures: &'a [String],
}

/// The state of the connection, and since when it is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) state: State,
    pub(crate) since: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Connecting {
        attempt: u32,
    },
    Open,
    /// The next dial is planned, counted from `since`.
    Waiting(Retry),
    /// No other dial will follow.
    Over,
}

impl Standing {
    pub(crate) const fn new(now: Instant) -> Self {
        let state = State::Connecting { attempt: 0 };
        Self { state, since: now }
    }

    pub(crate) const fn note(&mut self, sighting: &Sighting) {
        self.state = match &sighting.seen {
            Seen::Connecting { attempt } => State::Connecting { attempt: *attempt },
            Seen::Opened => State::Open,
            Seen::Down(down) => match down.retry {
                Some(retry) => State::Waiting(retry),
                None => State::Over,
            },
            Seen::Moved(retry) => State::Waiting(*retry),
            Seen::Stopped(_) => State::Over,
            Seen::Message(_) | Seen::Ping { .. } | Seen::Pong { .. } => return,
        };
        self.since = sighting.at;
    }
}
