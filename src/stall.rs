//! A write that stalls. Like TCP's user timeout this is the transport's own end: a
//! peer that sends but never reads is alive, and would hold what is written for ever.

use std::io;
use std::time::{Duration, Instant};

/// For how long the system has taken no byte of what is to be written.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    last_try: Option<Instant>,
    lasted: Duration,
}

impl Stall {
    /// It took something.
    pub(crate) fn end(&mut self) {
        self.last_try = None;
    }

    /// It was asked at this time and took nothing. The time since it was last asked
    /// counts up to `longest`: for what is longer, this process was away.
    pub(crate) fn go_on(&mut self, now: Instant, longest: Duration) {
        self.lasted = match self.last_try {
            Some(last) => self.lasted + now.duration_since(last).min(longest),
            None => Duration::ZERO,
        };
        self.last_try = Some(now);
    }

    pub(crate) fn lasted(&self) -> Duration {
        self.last_try.map_or(Duration::ZERO, |_| self.lasted)
    }
}

pub(crate) fn error() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "no byte could be written for too long",
    )
}
