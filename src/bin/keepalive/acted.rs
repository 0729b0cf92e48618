//! A watch that is acted out, for tests: sightings without a server.

use std::io;
use std::time::{Duration, Instant};

use keepalive::{Cause, CloseCode, CloseReason};
use tungstenite::{Error, Message};

use crate::watch::output::{Now, Standing};
use crate::watch::seen::{Down, Late, Retry, Seen, Sighting};
use crate::watch::stats::Tally;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Passes on what is seen, with how it stands.
pub(crate) struct Act<F> {
    pub(crate) now: Instant,
    standing: Standing,
    tally: Tally,
    seq: u32,
    audience: F,
}

impl<F: FnMut(&Sighting, &Now<'_>)> Act<F> {
    pub(crate) fn new(started: Instant, audience: F) -> Self {
        let mut act = Self {
            now: started,
            standing: Standing::new(started),
            tally: Tally::default(),
            seq: 0,
            audience,
        };
        act.see(Seen::Connecting { attempt: 0 });
        act
    }

    pub(crate) fn see(&mut self, seen: Seen) {
        let sighting = Sighting { at: self.now, seen };
        self.standing.note(&sighting);
        self.tally.note(&sighting);
        let now = Now {
            at: self.now,
            standing: &self.standing,
            tally: &self.tally,
        };
        (self.audience)(&sighting, &now);
    }

    pub(crate) fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    pub(crate) fn open(&mut self) -> &mut Self {
        self.see(Seen::Opened);
        self
    }

    pub(crate) fn dial(&mut self, attempt: u32) -> &mut Self {
        self.see(Seen::Connecting { attempt });
        self
    }

    /// Without an answer.
    pub(crate) fn ping(&mut self) -> &mut Self {
        self.seq += 1;
        self.see(Seen::Ping { seq: self.seq });
        self
    }

    pub(crate) fn answered(&mut self, round_trip: Duration) -> &mut Self {
        self.ping().wait(round_trip);
        self.see(Seen::Pong {
            seq: self.seq,
            round_trip,
        });
        self
    }

    pub(crate) fn message(&mut self, text: &str) -> &mut Self {
        self.see(Seen::Message(Message::text(text)));
        self
    }

    /// What the server says of it is hostile to terminals and to XML.
    pub(crate) fn closed(&mut self, after: Duration) -> &mut Self {
        let cause = Cause::Closed {
            code: Some(CloseCode::GOING_AWAY),
            words: "\u{1b}[31m<b>&\u{202e}".to_owned(),
        };
        self.down(cause, false, Some(after))
    }

    pub(crate) fn convicted(&mut self, after: Duration) -> &mut Self {
        let cause = Cause::TimedOut(CloseReason::PongTimeout);
        self.down(cause, false, Some(after))
    }

    pub(crate) fn refused(&mut self, after: Duration) -> &mut Self {
        let error = io::Error::other("<refused> & \u{1b}[31m\u{202e}'so' \"loud\"");
        self.down(Cause::Failed(Error::Io(error)), true, Some(after))
    }

    pub(crate) fn stopped(&mut self) -> &mut Self {
        self.see(Seen::Stopped("the application has stopped it".to_owned()));
        self
    }

    fn down(&mut self, cause: Cause<Error>, is_dial: bool, after: Option<Duration>) -> &mut Self {
        self.see(Seen::Down(Down {
            cause,
            is_dial,
            alive: self.now,
            late: Late::default(),
            retry: after.map(|after| Retry { attempt: 2, after }),
        }));
        self
    }
}
