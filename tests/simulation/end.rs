//! One end of a connection: a heartbeat, the oracle that follows it, and what
//! really came in, whatever the heartbeat was told.

use core::time::Duration;

use keepalive::{CloseReason, Config, Epoch, Heartbeat, PingId, State};

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
    pub state: State,
    pub epoch: Epoch,
    /// When something last came in, read or not, or it opened.
    pub last: Duration,
    /// The same for whole messages; they are waited for from the login on.
    message: Duration,
    opened: Duration,
    /// Since the last ping something came in that ends the probe, read or not.
    came: bool,
    row: Option<Row>,
    /// The next ping is made by news, and its answer is to come soon.
    has_news: bool,
}

/// A ping and those that replaced it, and how long their answer may take.
#[derive(Clone, Debug)]
pub struct Row {
    pub ids: Vec<PingId>,
    pub due: Duration,
    sent: Duration,
    timeout: Duration,
    /// One of them has left the write buffer.
    left: bool,
}

impl<M: Machine> End<M> {
    pub fn new(machine: M, config: Config, is_watched: bool) -> Self {
        Self {
            machine,
            oracle: is_watched.then(|| Box::new(Oracle::new(config))),
            config,
            armed: None,
            tick: 0,
            state: State::Idle,
            epoch: Epoch::default(),
            last: Duration::ZERO,
            message: Duration::ZERO,
            opened: Duration::ZERO,
            came: false,
            row: None,
            has_news: false,
        }
    }

    pub fn take(&mut self, input: Input, now: Duration) -> Checked<Entry> {
        let entry = match &mut self.oracle {
            None => {
                let actions = self.machine.take(input, now);
                Entry::new(input, now, actions, &self.machine)
            }
            Some(oracle) => {
                let entry = Entry::step(&mut self.machine, input, now);
                oracle.follow(&entry)?;
                entry
            }
        };
        (self.state, self.epoch) = (entry.views.state, entry.views.epoch);
        Ok(entry)
    }

    /// How long the last silence was that ended in a verdict, and its bound.
    pub fn verdict(&self) -> Option<(Duration, Duration)> {
        self.oracle.as_ref()?.verdict()
    }

    pub fn opens(&mut self, now: Duration) {
        self.opened = now;
        self.last = now;
        self.message = now;
        self.came = false;
        self.row = None;
        self.has_news = false;
    }

    /// From here on it waits for messages.
    pub fn is_let_in(&mut self, now: Duration) {
        self.message = now;
        self.has_news = false;
    }

    pub fn comes(&mut self, what: Came, now: Duration) {
        self.last = now;
        if what == Came::Message {
            self.message = now;
        }
        self.came |= self.is_life(what);
    }

    /// What ends the probe.
    fn is_life(&self, what: Came) -> bool {
        match what {
            Came::Pong(id) => self.is_of_row(id) || !self.config.strict_pongs(),
            Came::Message | Came::Bytes => !self.config.strict_pongs(),
        }
    }

    fn is_of_row(&self, id: PingId) -> bool {
        self.row.as_ref().is_some_and(|row| row.ids.contains(&id))
    }

    /// The row that waits for its answer.
    fn out(&mut self) -> Option<&mut Row> {
        self.row.as_mut().filter(|_| !self.came)
    }

    pub fn pings(&mut self, id: PingId, now: Duration) {
        let whole = self.config.pong_timeout();
        let hurries = self.has_news;
        let timeout = match self.out() {
            Some(row) if now < row.due => {
                row.ids.push(id);
                return;
            }
            // After a miss, or in its place.
            Some(row) => row.timeout,
            None if hurries => whole.min(HURRY),
            None => whole,
        };
        self.has_news = false;
        self.came = false;
        self.row = Some(Row {
            ids: vec![id],
            due: now + timeout,
            sent: now,
            timeout,
            left: false,
        });
    }

    /// The kernel took bytes that are before the last ping.
    pub fn drains(&mut self, now: Duration) {
        if let Some(row) = self.row.as_mut().filter(|row| !row.left) {
            row.due = now + row.timeout;
        }
    }

    /// The time in the write buffer is not the peer's. Returns how long it was.
    pub fn flushes(&mut self, id: PingId, now: Duration) -> Duration {
        match &mut self.row {
            Some(row) if row.ids.contains(&id) && !row.left => {
                row.left = true;
                row.due = now + row.timeout;
                now.saturating_sub(row.sent)
            }
            _ => Duration::ZERO,
        }
    }

    /// After a change of network there are 5 s left, at most.
    pub fn hurries(&mut self, now: Duration) {
        let Some(row) = self.out() else {
            self.has_news = true;
            return;
        };
        row.timeout = row.timeout.min(HURRY);
        row.due = row.due.min(now + row.timeout);
    }

    /// Whether a verdict at this instant is a mistake, as far as this end can know,
    /// and otherwise the pings whose answer would still make it one.
    pub fn accuses(
        &self,
        reason: CloseReason,
        mut unread: impl Iterator<Item = Came>,
        now: Duration,
    ) -> Result<Option<Row>, &'static str> {
        let is_early = |since, lasts: Option<_>| lasts.is_some_and(|lasts| now - since < lasts);
        let config = &self.config;
        match reason {
            CloseReason::PongTimeout if unread.any(|what| self.is_life(what)) => {
                Err("an answer lies unread")
            }
            CloseReason::PongTimeout if self.came => Err("something came in after the ping"),
            CloseReason::PongTimeout => match &self.row {
                None => Err("it was never asked"),
                Some(row) => Ok(Some(row.clone())),
            },
            CloseReason::MessageTimeout if unread.any(|what| what == Came::Message) => {
                Err("a message lies unread")
            }
            CloseReason::MessageTimeout if is_early(self.message, config.message_timeout()) => {
                Err("its messages have not dried up for so long")
            }
            CloseReason::MessageTimeout => Ok(None),
            _ if unread.next().is_some() => Err("what came in lies unread"),
            CloseReason::IdleTimeout if is_early(self.last, Some(config.idle_timeout())) => {
                Err("it is not silent for so long")
            }
            CloseReason::LoginTimeout if is_early(self.opened, config.healthy_within()) => {
                Err("it had less time to let us in")
            }
            _ => Ok(None),
        }
    }
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Came {
    Pong(PingId),
    Message,
    Bytes,
}

/// How long an answer may take after a change of network.
const HURRY: Duration = Duration::from_secs(5);
