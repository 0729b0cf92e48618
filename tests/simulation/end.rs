//! One end of a connection: a heartbeat, the oracle that follows it, and what
//! really came in, whatever the heartbeat was told.

use core::time::Duration;

use keepalive::{Config, Heartbeat, PingId};

use super::oracle::{Checked, Entry, Input, Machine, Oracle};

/// Makes the heartbeats of a world.
pub type Make<M> = fn(Config, u64) -> M;

/// The heartbeats as they are.
pub fn healthy(config: Config, seed: u64) -> Heartbeat<Duration> {
    Heartbeat::new(config, seed)
}

pub struct End<M> {
    pub machine: M,
    oracle: Option<Box<Oracle>>,
    config: Config,
    /// The deadline for which a tick is on its way, and which tick that is.
    pub armed: Option<Duration>,
    pub tick: u32,
    /// Something came in since the last ping, read or not.
    came: bool,
    /// When something last came in, or it opened.
    pub last: Duration,
    ping: Option<Ping>,
}

/// The last ping, and how long its answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Ping {
    pub id: PingId,
    pub due: Duration,
    sent: Duration,
    flushed: bool,
}

impl<M: Machine> End<M> {
    pub fn new(machine: M, config: Config, is_watched: bool) -> Self {
        Self {
            machine,
            oracle: is_watched.then(|| Box::new(Oracle::new(config))),
            config,
            armed: None,
            tick: 0,
            came: false,
            last: Duration::ZERO,
            ping: None,
        }
    }

    pub fn take(&mut self, input: Input, now: Duration) -> Checked<Entry> {
        let actions = self.machine.take(input, now);
        let entry = Entry::new(input, now, actions, &self.machine);
        if let Some(oracle) = &mut self.oracle {
            oracle.follow(&entry)?;
        }
        Ok(entry)
    }

    /// How long the last silence was that ended in a verdict, and its bound.
    pub fn verdict(&self) -> Option<(Duration, Duration)> {
        self.oracle.as_ref()?.verdict()
    }

    pub fn opens(&mut self, now: Duration) {
        self.came = false;
        self.last = now;
        self.ping = None;
    }

    pub fn comes(&mut self, now: Duration) {
        self.came = true;
        self.last = now;
    }

    pub fn pings(&mut self, id: PingId, now: Duration) {
        self.came = false;
        self.ping = Some(Ping {
            id,
            due: now + self.config.pong_timeout(),
            sent: now,
            flushed: false,
        });
    }

    /// The time in the write buffer is not the peer's.
    pub fn flushes(&mut self, id: PingId, now: Duration) {
        let timeout = self.config.pong_timeout();
        if let Some(ping) = &mut self.ping {
            if ping.id == id && !ping.flushed && now <= ping.due {
                ping.due += (now - ping.sent).min(timeout);
                ping.flushed = true;
            }
        }
    }

    /// After a change of network there are 5 s left, at most.
    pub fn hurries(&mut self, now: Duration) {
        let patience = self.config.pong_timeout().min(Duration::from_secs(5));
        if let Some(ping) = &mut self.ping {
            ping.due = ping.due.min(now + patience);
        }
    }

    /// Whether a verdict at this instant is a mistake, as far as this end can know,
    /// and otherwise the ping whose answer would still make it one.
    pub fn accuses(&self, has_unread: bool, now: Duration) -> Result<Option<Ping>, &'static str> {
        if has_unread {
            return Err("what came in lies unread");
        }
        if self.config.listen_only() {
            let is_early = now - self.last < self.config.idle_timeout();
            return if is_early {
                Err("it is not silent for so long")
            } else {
                Ok(None)
            };
        }
        if self.came {
            return Err("something came in after the ping");
        }
        match self.ping {
            None => Err("it was never asked"),
            Some(ping) => Ok(Some(ping)),
        }
    }
}
