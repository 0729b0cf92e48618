use core::time::Duration;

use crate::action::{Action, Actions, CloseReason, StopReason};
use crate::backoff;
use crate::config::{Config, LONGEST};
use crate::event::{Closed, Epoch, Event, PingId};
use crate::open::{Beat, Open};
use crate::random::Rng;
use crate::rtt::RoundTrip;
use crate::time::{Clock, Instant, MILLISECOND, SECOND, Time};

/// The heartbeat and reconnect state machine of one connection after another.
///
/// One pure step, [`handle`](Self::handle): events and instants go in, actions
/// come out. No clock, no socket, no thread, no allocation, no randomness but the
/// seed's. Equal settings, seed and events give equal actions.
///
/// ```
/// use core::time::Duration;
/// use keepalive::{Action, Config, Event, Heartbeat};
///
/// let seconds = Duration::from_secs; // any clock will do: here, the time since the start
/// let mut heartbeat = Heartbeat::new(Config::article(), 42);
///
/// let actions: Vec<_> = heartbeat.handle(Event::Opened, seconds(0)).collect();
/// assert_eq!(actions, [Action::ArmDeadline(seconds(2))]);
///
/// // Nothing came for 2 s: a ping is due.
/// let Some(Action::SendPing(id)) = heartbeat.handle(Event::Tick, seconds(2)).next() else {
///     unreachable!()
/// };
/// assert_eq!(heartbeat.handle(Event::Pong(id), seconds(3)).count(), 0);
/// assert_eq!(heartbeat.round_trip().unwrap().last(), seconds(1));
/// ```
///
/// # States
///
/// | | Idle | Connecting | Open | Closing | Waiting | Stopped |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | `Start` | dial | - | - | as `ReconnectNow` | - | dial, attempt 0 |
/// | `Opened` | Open | Open | - | - | Open | Open, attempt 0 |
/// | `Received`, `Pong`, `Sent`, `PingSent` | - | - | note | - | - | - |
/// | `Tick` | - | deadline: down | ping, miss or dead | deadline: `Close` (abandon), Stopped | due: dial | - |
/// | `Closed`, `Error` | - | down | down | Stopped | - | - |
/// | `NetworkChanged` | - | - | probe | - | earlier dial | - |
/// | `Healthy` | - | - | note | - | - | - |
/// | `ReconnectNow` | dial | `Close`, dial | `Close`, dial | `Close`, dial | dial | dial, attempt 0 |
/// | `Stop` | Stopped | `Close`, Stopped | `Close` gracefully, Closing | `Close` (abandon), Stopped | Stopped | - |
///
/// *Dial* is `Connect`, Connecting. *Down* is `Close` where there is something to
/// close, then `ScheduleReconnect`, Waiting; or `Stopped`, where reconnecting is
/// off, the close policy says stop, or a limit is reached. *Note* returns no
/// action. A dash changes nothing.
///
/// # Time
///
/// Internal time is the greatest `now` so far, so a clock may repeat and go back.
/// At the greatest instant that the type knows nothing is due and there is no
/// deadline. What is handled after `SendPing` ends the probe, also at the same
/// instant; what came before it does not.
///
/// Every [`Tick`](Event::Tick) that leaves a deadline returns one
/// [`ArmDeadline`](Action::ArmDeadline); any other event returns one when the
/// deadline changed. A tick before the deadline changes nothing but the
/// deadline, and one tick does at most one of: ping, dial, give up. What is
/// overdue beyond that is asked for 1 ms later. A driver that can lose ticks
/// compares [`deadline`](Self::deadline) with its clock after each event.
#[derive(Clone, Debug)]
pub struct Heartbeat<I> {
    config: Config,
    clock: Clock<I>,
    /// The latest `Received` that the machine has not looked at: the hot path is
    /// this one store.
    inbound: Option<I>,
    machine: Machine,
}

impl<I: Instant> Heartbeat<I> {
    /// A heartbeat that is idle. The seed decides every jitter; take another one
    /// for each client, or they keep in step.
    #[must_use]
    pub const fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            clock: Clock::new(),
            inbound: None,
            machine: Machine::new(seed),
        }
    }

    /// Takes what happened at `now`, and returns what to do.
    ///
    /// [`Received`](Event::Received), [`Pong`](Event::Pong),
    /// [`Sent`](Event::Sent), [`PingSent`](Event::PingSent) and
    /// [`Healthy`](Event::Healthy) only note facts: they return nothing and leave
    /// the deadline as it is, so a busy connection costs one timer operation an
    /// interval, whatever the message rate.
    #[inline]
    pub fn handle(&mut self, event: Event, now: I) -> Actions<I> {
        if matches!(event, Event::Received) {
            self.inbound = self.inbound.max(Some(now));
            return Actions::none();
        }
        self.step(event, now)
    }

    /// Like [`handle`](Self::handle), but drops every event whose epoch is not
    /// the current one: what an old socket reports late must not hit the new one.
    ///
    /// Read [`epoch`](Self::epoch) after each [`Connect`](Action::Connect), and
    /// after each [`Opened`](Event::Opened) without one.
    #[inline]
    pub fn handle_from(&mut self, epoch: Epoch, event: Event, now: I) -> Actions<I> {
        if epoch != self.machine.epoch {
            return Actions::none();
        }
        self.handle(event, now)
    }

    /// Changes the settings while running: a server may dictate its interval in
    /// the handshake.
    ///
    /// The interval is drawn anew; a ping that is out has until the earlier of
    /// its deadline and `now` + the new timeout, and so has a verdict that was
    /// put off; a dial that is planned or under way and a close handshake keep
    /// their deadlines. What is now overdue is asked for 1 ms later.
    pub fn reconfigure(&mut self, config: Config, now: I) -> Actions<I> {
        let now = self.settle(now);
        self.config = config;
        let actions = self.machine.reconfigure(&self.config, now);
        self.translate(actions)
    }

    /// When to call back with a [`Tick`](Event::Tick): the instant of the last
    /// [`ArmDeadline`](Action::ArmDeadline), for drivers that pull. `None` when
    /// nothing is awaited.
    #[must_use]
    pub fn deadline(&self) -> Option<I> {
        let ends = |at| { self.clock }.time(at) == Time::MAX;
        if self.inbound.is_some_and(ends) {
            return None;
        }
        self.clock.instant(self.machine.deadline?)
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        match self.machine.phase {
            Phase::Idle => State::Idle,
            Phase::Connecting { .. } => State::Connecting,
            Phase::Open(_) => State::Open,
            Phase::Closing => State::Closing,
            Phase::Waiting { .. } => State::Waiting,
            Phase::Stopped => State::Stopped,
        }
    }

    /// Tells this connection or dial from every other. It moves on whenever one
    /// ends or is given up, and again at each [`Connect`](Action::Connect) and
    /// each [`Opened`](Event::Opened) without one.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.machine.epoch
    }

    /// Retries since the last stable connection; 0 before the first.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.machine.attempt
    }

    /// Pings missed in a row in this silence.
    #[must_use]
    pub fn missed(&self) -> u32 {
        self.open().map_or(0, |open| open.missed())
    }

    /// Whether a ping is out: sent, not missed, and nothing came in since.
    #[must_use]
    pub fn is_ping_out(&self) -> bool {
        self.open().is_some_and(|open| open.is_ping_out())
    }

    /// The ping whose pong is awaited for the round trip: the last one, until its
    /// pong or the end of the connection. Other activity does not answer it.
    #[must_use]
    pub fn awaited_ping(&self) -> Option<PingId> {
        self.open()?.awaited_ping(self.machine.epoch)
    }

    /// The round trips of the connection that is open, from its first pong on.
    #[must_use]
    pub fn round_trip(&self) -> Option<RoundTrip> {
        self.open()?.round_trip()
    }

    /// When something last came in on the connection that is open, in internal
    /// time.
    #[must_use]
    pub fn last_received(&self) -> Option<I> {
        self.clock.instant(self.open()?.last_received()?)
    }

    /// The open connection, with what came in noted.
    fn open(&self) -> Option<Open> {
        let mut machine = self.machine;
        if let Some(at) = self.inbound {
            let at = { self.clock }.time(at);
            let _ = machine.step(&self.config, Event::Received, at);
        }
        match machine.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    fn step(&mut self, event: Event, now: I) -> Actions<I> {
        let now = self.settle(now);
        let actions = self.machine.step(&self.config, event, now);
        self.translate(actions)
    }

    /// Lets the machine look at what came in before this event.
    fn settle(&mut self, now: I) -> Time {
        if let Some(at) = self.inbound.take() {
            let at = self.clock.time(at);
            let _ = self.machine.step(&self.config, Event::Received, at);
        }
        self.clock.time(now)
    }

    fn translate(&self, actions: Actions<Time>) -> Actions<I> {
        actions.filter_map_instants(|at| self.clock.instant(at))
    }
}

/// Where a [`Heartbeat`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing has begun.
    Idle,
    /// A dial is under way.
    Connecting,
    /// The transport is up, with or without a ping out.
    Open,
    /// The close handshake is under way.
    Closing,
    /// The next dial is planned.
    Waiting,
    /// It is over.
    Stopped,
}

/// The transitions, in internal time.
#[derive(Clone, Copy, Debug)]
struct Machine {
    now: Time,
    /// What is armed. In Connecting, Closing and Waiting it is the one deadline
    /// of the state; in Open it is never later than what is due next.
    deadline: Option<Time>,
    rng: Rng,
    /// The first down since attempts last counted from 1.
    first_down: Option<Time>,
    dialled: Option<Time>,
    epoch: Epoch,
    attempt: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    Connecting {
        /// A late clock was forgiven in this dial.
        spared: bool,
    },
    Open(Open),
    Closing,
    Waiting {
        /// No change of network makes the dial earlier than this.
        earliest: Time,
        /// One already did.
        hurried: bool,
    },
    Stopped,
}

impl Machine {
    const fn new(seed: u64) -> Self {
        Self {
            now: Time::ORIGIN,
            deadline: None,
            rng: Rng::new(seed),
            first_down: None,
            dialled: None,
            epoch: Epoch(0),
            attempt: 0,
            phase: Phase::Idle,
        }
    }

    fn step(&mut self, config: &Config, event: Event, now: Time) -> Actions<Time> {
        self.advance(now);
        let armed = self.deadline;
        let mut actions = match event {
            Event::Start => self.start(config),
            Event::Opened => self.opened(config),
            Event::Tick => self.tick(config),
            Event::Closed(closed) => self.ended(config, StopReason::Closed(closed.code), closed),
            Event::Error => self.ended(config, StopReason::Error, Closed::default()),
            Event::NetworkChanged => self.network_changed(config),
            Event::ReconnectNow => self.reconnect_now(config),
            Event::Stop => self.stop(config),
            Event::Received => self.note(|open, _, now| open.received(now)),
            Event::Pong(id) => self.note(|open, epoch, now| open.pong(id, epoch, now)),
            Event::Sent => self.note(|open, _, now| open.sent(now)),
            Event::PingSent(id) => {
                self.note(|open, epoch, now| open.ping_sent(id, epoch, config, now))
            }
            Event::Healthy => self.note(|open, _, _| open.healthy()),
        };
        if matches!(event, Event::Tick) || self.deadline != armed {
            actions.deadline = self.deadline;
        }
        actions
    }

    fn reconfigure(&mut self, config: &Config, now: Time) -> Actions<Time> {
        self.advance(now);
        let armed = self.deadline;
        if let Phase::Open(open) = &mut self.phase {
            open.reconfigure(config, &mut self.rng, self.now);
            let at = open.next_look(config, self.now);
            self.arm(at);
        }
        Actions {
            deadline: self.deadline.filter(|_| self.deadline != armed),
            ..Actions::none()
        }
    }

    /// Time never goes back, and at its end nothing is awaited.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.now == Time::MAX {
            self.deadline = None;
        }
    }

    /// Asks for a tick at this time; for what is overdue, 1 ms from now, or when
    /// it was asked for before, so that asking again does not put it off.
    fn arm(&mut self, at: Time) {
        let next = if at > self.now {
            at
        } else {
            let soon = self.now.after(MILLISECOND);
            let armed = self.deadline.filter(|&armed| armed > self.now);
            armed.map_or(soon, |armed| armed.min(soon))
        };
        self.deadline = Some(next).filter(|_| self.now != Time::MAX);
    }

    /// Whether this comes before the tick that is asked for.
    fn is_sooner(&self, at: Time) -> bool {
        self.deadline.is_some_and(|armed| at < armed)
    }

    fn note(&mut self, fact: impl FnOnce(&mut Open, Epoch, Time)) -> Actions<Time> {
        if let Phase::Open(open) = &mut self.phase {
            fact(open, self.epoch, self.now);
        }
        Actions::none()
    }

    fn start(&mut self, config: &Config) -> Actions<Time> {
        match self.phase {
            Phase::Idle | Phase::Stopped | Phase::Closing => self.reconnect_now(config),
            Phase::Connecting { .. } | Phase::Open(_) | Phase::Waiting { .. } => Actions::none(),
        }
    }

    fn opened(&mut self, config: &Config) -> Actions<Time> {
        match self.phase {
            Phase::Open(_) | Phase::Closing => return Actions::none(),
            Phase::Connecting { .. } => {}
            Phase::Idle | Phase::Waiting { .. } => self.epoch.advance(),
            Phase::Stopped => {
                self.forget_failures();
                self.epoch.advance();
            }
        }
        let mut open = Open::new(config, &mut self.rng, self.now);
        let at = open.next_look(config, self.now);
        self.phase = Phase::Open(open);
        self.arm(at);
        Actions::none()
    }

    fn tick(&mut self, config: &Config) -> Actions<Time> {
        let due = self.deadline.filter(|&deadline| deadline <= self.now);
        match (&mut self.phase, due) {
            (Phase::Open(open), None) => {
                let again = |deadline| open.look_again(config, deadline);
                self.deadline = self.deadline.map(again);
                Actions::none()
            }
            (Phase::Idle | Phase::Stopped, _) | (_, None) => Actions::none(),
            (Phase::Connecting { spared }, Some(deadline)) => {
                if !*spared && self.now.since(deadline) > config.late_tolerance() {
                    *spared = true;
                    let grace = config.late_tolerance().min(config.connect_timeout());
                    self.arm(self.now.after(grace));
                    return Actions::none();
                }
                self.convict(config, CloseReason::ConnectTimeout)
            }
            (Phase::Open(open), Some(_)) => match open.tick(config, self.now) {
                Beat::Wait(at) => {
                    self.arm(at);
                    Actions::none()
                }
                Beat::Ping => {
                    let ping = open.ping(config, &mut self.rng, self.epoch, self.now);
                    self.send(ping)
                }
                Beat::Dead(reason) => self.convict(config, reason),
            },
            (Phase::Closing, Some(_)) => {
                self.leave(config);
                self.stopped(StopReason::Requested)
                    .after_close(Some(CloseReason::CloseTimeout))
            }
            (Phase::Waiting { .. }, Some(_)) => self.dial(config),
        }
    }

    fn send(&mut self, (id, look): (PingId, Time)) -> Actions<Time> {
        self.arm(look);
        Actions::of(Action::SendPing(id))
    }

    fn convict(&mut self, config: &Config, reason: CloseReason) -> Actions<Time> {
        let down = match reason {
            CloseReason::PongTimeout => StopReason::PongTimeout,
            CloseReason::IdleTimeout => StopReason::IdleTimeout,
            _ => StopReason::ConnectTimeout,
        };
        self.down(config, down, Closed::default())
            .after_close(Some(reason))
    }

    fn ended(&mut self, config: &Config, reason: StopReason, closed: Closed) -> Actions<Time> {
        match self.phase {
            Phase::Connecting { .. } | Phase::Open(_) => self.down(config, reason, closed),
            Phase::Closing => {
                self.leave(config);
                self.stopped(StopReason::Requested)
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Stopped => Actions::none(),
        }
    }

    /// A connection or a dial is lost: plan the next dial, or give up.
    fn down(&mut self, config: &Config, reason: StopReason, closed: Closed) -> Actions<Time> {
        self.leave(config);
        if !config.reconnect() {
            return self.stopped(reason);
        }
        let first_down = *self.first_down.get_or_insert(self.now);
        if config
            .max_attempts()
            .is_some_and(|most| self.attempt >= most)
        {
            return self.stopped(StopReason::AttemptLimit);
        }
        let elapsed = self.now.since(first_down);
        if config
            .max_elapsed()
            .is_some_and(|longest| elapsed >= longest)
        {
            return self.stopped(StopReason::TimeLimit);
        }
        let attempt = self.attempt.saturating_add(1);
        let retry = config.close_policy()(closed.code);
        let Some(delay) = backoff::delay(config, attempt, retry, &mut self.rng) else {
            return self.stopped(reason);
        };
        self.attempt = attempt;
        self.wait(closed.retry_after.unwrap_or_default().min(LONGEST), delay)
    }

    fn wait(&mut self, hint: Duration, delay: Duration) -> Actions<Time> {
        let hinted = self.now.after(hint);
        let earliest = self
            .dialled
            .map_or(hinted, |dialled| hinted.max(dialled.after(SECOND)));
        self.phase = Phase::Waiting {
            earliest,
            hurried: false,
        };
        self.plan(hinted.after(delay))
    }

    fn plan(&mut self, at: Time) -> Actions<Time> {
        self.arm(at);
        let attempt = self.attempt;
        Actions::of(Action::ScheduleReconnect { at, attempt })
    }

    fn network_changed(&mut self, config: &Config) -> Actions<Time> {
        match &mut self.phase {
            Phase::Open(open) => {
                let ping = open.is_urged(config, self.now).then(|| {
                    let ping = open.ping(config, &mut self.rng, self.epoch, self.now);
                    open.urged();
                    ping
                });
                let probe = open.hurry(config, self.now);
                let actions = ping.map_or_else(Actions::none, |ping| self.send(ping));
                if let Some(at) = probe.filter(|&at| self.is_sooner(at)) {
                    self.arm(at);
                }
                actions
            }
            Phase::Waiting { earliest, hurried } if !*hurried => {
                *hurried = true;
                let draw = self.rng.between(Duration::ZERO, SECOND);
                let at = self.now.after(draw).max(*earliest);
                if !self.is_sooner(at) {
                    return Actions::none();
                }
                self.plan(at)
            }
            _ => Actions::none(),
        }
    }

    fn reconnect_now(&mut self, config: &Config) -> Actions<Time> {
        let close = match self.phase {
            Phase::Connecting { .. } | Phase::Open(_) | Phase::Closing => {
                self.leave(config);
                Some(CloseReason::Reconnect)
            }
            Phase::Idle | Phase::Waiting { .. } => None,
            Phase::Stopped => {
                self.forget_failures();
                None
            }
        };
        self.dial(config).after_close(close)
    }

    fn dial(&mut self, config: &Config) -> Actions<Time> {
        self.epoch.advance();
        self.dialled = Some(self.now);
        self.phase = Phase::Connecting { spared: false };
        self.arm(self.now.after(config.connect_timeout()));
        Actions::of(Action::Connect)
    }

    fn stop(&mut self, config: &Config) -> Actions<Time> {
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } => self.stopped(StopReason::Requested),
            Phase::Connecting { .. } | Phase::Closing => {
                self.leave(config);
                self.stopped(StopReason::Requested)
                    .after_close(Some(CloseReason::Abort))
            }
            Phase::Open(_) => {
                self.settle_attempts(config);
                self.phase = Phase::Closing;
                self.arm(self.now.after(config.close_timeout()));
                Actions::close(CloseReason::Stop)
            }
            Phase::Stopped => Actions::none(),
        }
    }

    fn stopped(&mut self, reason: StopReason) -> Actions<Time> {
        self.phase = Phase::Stopped;
        self.deadline = None;
        Actions::of(Action::Stopped(reason))
    }

    /// A connection or a dial ends.
    fn leave(&mut self, config: &Config) {
        self.settle_attempts(config);
        self.epoch.advance();
    }

    fn settle_attempts(&mut self, config: &Config) {
        if let Phase::Open(open) = &self.phase {
            if open.is_stable(config, self.now) {
                self.forget_failures();
            }
        }
    }

    fn forget_failures(&mut self) {
        self.attempt = 0;
        self.first_down = None;
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn is_at_most_160_bytes_without_its_settings() {
        let whole = size_of::<Heartbeat<std::time::Instant>>();
        let own = whole - size_of::<Config>();
        assert!(own <= 160, "{own}");
    }
}
