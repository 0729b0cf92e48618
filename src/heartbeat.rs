use crate::action::Actions;
use crate::config::Config;
use crate::event::{Epoch, Event, PingId};
use crate::machine::{Machine, Noted, Phase, Turn};
use crate::open::{Facts, Open};
use crate::rtt::RoundTrip;
use crate::time::{Anchor, Instant, Time};

/// The heartbeat and reconnect state machine: for one connection at a time, and for the
/// next one after each loss.
///
/// It has one pure step, [`handle`](Self::handle): events and instants go in, actions
/// come out. It has no clock, no socket, no thread, no allocation, and no randomness
/// beyond the seed's. Equal settings, seed and events give equal actions.
///
/// ```
/// use core::time::Duration;
/// use keepalive::{Action, Config, Event, Heartbeat};
///
/// let seconds = Duration::from_secs; // any clock will do: here, the time since the start
/// # let seed = 42;
/// let mut heartbeat = Heartbeat::new(Config::article(), seed); // a different seed per client
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
/// | `Received`, `Message`, `Pong`, `Sent`, `Draining`, `PingSent` | - | - | note | - | - | - |
/// | `Tick` | - | deadline: `Close`, down | ping, miss or dead | deadline: `Close` (abandon), Stopped | due: dial | - |
/// | `Closed`, `Error` | - | down | down | Stopped | - | - |
/// | `Refused` | - | down | - | - | - | - |
/// | `NetworkChanged` | - | from 1 s on, once: `Close`, dial | probe | - | earlier dial | - |
/// | `Healthy` | - | - | note | - | - | - |
/// | `GiveUp` | - | `Close`, down | `Close`, down | - | - | - |
/// | `ReconnectNow` | dial | `Close`, dial; younger than 5 s: - | `Close`, dial | `Close`, dial | dial | dial, attempt 0 |
/// | `Stop` | Stopped | `Close`, Stopped | `Close` gracefully, Closing | `Close` (abandon), Stopped | Stopped | - |
///
/// *Dial* is `Connect`, Connecting; or `ScheduleReconnect`, Waiting, where less than
/// 1 s has passed since the last dial began. *Down* is `ScheduleReconnect`, Waiting; or
/// `Stopped`, where reconnecting is off, the policy says stop, or a limit is reached.
/// *Note* returns no action. A dash changes nothing.
///
/// # Open
///
/// An open connection is a set of watches, each with a point that it counts from and a
/// time that it lasts:
///
/// | watch | when | counts from | lasts | then |
/// | --- | --- | --- | --- | --- |
/// | inbound | not in listen-only, not `always_ping` | the last inbound activity (`strict_pongs`: the last pong that ended a probe) | drawn share of `ping_interval` | ping |
/// | outbound | the same, and `send_interval` is on | the last `Sent` or ping | drawn share of `send_interval` | ping |
/// | cadence | `always_ping`, in place of inbound and outbound | the last ping | drawn share of `ping_interval` | ping |
/// | doubt | `confirm_within` | the first `Sent` since the last ping | `confirm_within` | ping |
/// | news | the network changed within 1 s of the last ping that news made | that ping | 1 s | ping |
/// | answer | a ping is out | the ping; each `Draining`; `PingSent` | `pong_timeout` | missed; the last miss convicts |
/// | idle | listen-only | the last inbound activity | `idle_timeout` | convict |
/// | messages | `message_timeout` | the last `Message` | `message_timeout` | convict |
/// | login | `healthy_within`, until `Healthy` | `Opened` | `healthy_within` | convict |
///
/// All begin at `Opened`; where `healthy_within` is on, login is the only watch until
/// `Healthy`, and the others begin there. A verdict takes precedence over a ping, and
/// of several verdicts the first in the table is reported. A verdict whose tick comes
/// late by more than `late_tolerance` is postponed once, since it was this process that
/// was away: instead of the last miss there is one more ping, and the others wait for
/// another `late_tolerance`.
///
/// # Time
///
/// Internal time is the greatest `now` so far, so a clock may repeat and go back. It
/// ends 584 years after the first instant, or at the greatest instant that the type can
/// represent: from there on nothing is due and there is no deadline. What is handled
/// after `SendPing` ends the probe, even at the same instant; what came before it does
/// not.
///
/// Every [`Tick`](Event::Tick) that leaves a deadline returns one
/// [`ArmDeadline`](crate::Action::ArmDeadline); any other event returns one when the
/// deadline changed. A tick before the deadline changes nothing but the deadline, and
/// one tick does at most one of: ping, dial, give up. Anything else that is overdue is
/// scheduled for 1 ms later. A driver that can lose ticks compares
/// [`deadline`](Self::deadline) with its clock after each event.
#[derive(Clone, Debug)]
pub struct Heartbeat<I> {
    config: Config,
    /// The instant that is armed, where one is; else that of the last step. None before
    /// the first.
    anchor: Option<I>,
    /// The [`Facts`] of the connection that is open, in the caller's time: to note one
    /// is a store.
    received: Option<I>,
    sent: Option<I>,
    machine: Machine,
}

impl<I: Instant> Heartbeat<I> {
    /// A heartbeat that is idle. The seed decides every jitter: take a different seed
    /// per client, or they act in lockstep.
    #[must_use]
    pub const fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            anchor: None,
            received: None,
            sent: None,
            machine: Machine::new(seed),
        }
    }

    /// Takes what happened at `now`, and returns what to do.
    ///
    /// [`Received`](Event::Received), [`Message`](Event::Message),
    /// [`Pong`](Event::Pong), [`Sent`](Event::Sent), [`Draining`](Event::Draining),
    /// [`PingSent`](Event::PingSent) and [`Healthy`](Event::Healthy) only note facts.
    /// They return nothing and leave the deadline as it is, so a busy connection costs
    /// one timer operation per interval, whatever the message rate. Two may bring the
    /// deadline forward: `Healthy` under `healthy_within`, and the first `Sent` since a
    /// ping under `confirm_within`.
    #[inline(always)]
    pub fn handle(&mut self, event: Event, now: I) -> Actions<I> {
        match event {
            Event::Received if self.note_received(now) => Actions::none(),
            Event::Message if self.note_message(now) => Actions::none(),
            Event::Sent if self.note_sent(now) => Actions::none(),
            // Named again, so that none is written to memory where it is only noted.
            Event::Received => self.step(Event::Received, now),
            Event::Message => self.step(Event::Message, now),
            Event::Sent => self.step(Event::Sent, now),
            event => self.step(event, now),
        }
    }

    /// Like [`handle`](Self::handle), but drops every event whose epoch is not
    /// the current one: what an old socket reports late must not affect the new one.
    ///
    /// Read [`epoch`](Self::epoch) after each [`Connect`](crate::Action::Connect), and
    /// after each [`Opened`](Event::Opened) without one.
    #[inline]
    pub fn handle_from(&mut self, epoch: Epoch, event: Event, now: I) -> Actions<I> {
        if epoch != self.machine.epoch {
            return Actions::none();
        }
        self.handle(event, now)
    }

    /// Changes the settings while running, for example when a server dictates its
    /// interval in the handshake.
    ///
    /// The interval is drawn anew from the same random share; a ping that is out has
    /// until the earlier of its deadline and `now` + the new timeout; a watch that is
    /// switched on begins now; a dial that is planned or under way and a close
    /// handshake keep their deadlines. What is now overdue is scheduled for 1 ms later.
    /// `healthy_within` that is switched on applies from the next connection on.
    pub fn reconfigure(&mut self, config: Config, now: I) -> Actions<I> {
        let mut settled = self.settle(now);
        let before = core::mem::replace(&mut self.config, config);
        let mut turn = settled.turn(&self.config);
        let actions = self.machine.reconfigure(&before, &mut turn);
        self.keep(&settled);
        self.translate(actions)
    }

    /// When to call back with a [`Tick`](Event::Tick): the instant of the last
    /// [`ArmDeadline`](crate::Action::ArmDeadline), for drivers that poll. `None` when
    /// nothing is awaited.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Option<I> {
        let deadline = self.machine.deadline.and(self.anchor)?;
        let may_have_ended = !I::IS_CLOCK & (self.received.max(self.sent) >= Some(deadline));
        if may_have_ended && self.has_ended() {
            return None;
        }
        Some(deadline)
    }

    /// The instant at which the verdict was due that a [`Tick`](Event::Tick) at `now`
    /// would reach, on the peer or on the dial under way; or at which that tick was
    /// asked for, if that is later. `None` if it would convict nobody.
    ///
    /// A driver that may not have read everything that had arrived by then reads first:
    /// the answer may be among it.
    ///
    /// ```
    /// use core::time::Duration;
    /// use keepalive::{Config, Event, Heartbeat};
    ///
    /// let seconds = Duration::from_secs;
    /// # let seed = 42;
    /// let mut heartbeat = Heartbeat::new(Config::article(), seed);
    /// let _ = heartbeat.handle(Event::Opened, seconds(0));
    /// let _ = heartbeat.handle(Event::Tick, seconds(2)); // a ping
    /// assert_eq!(heartbeat.verdict(seconds(11)), None);
    /// assert_eq!(heartbeat.verdict(seconds(12)), Some(seconds(12)));
    /// // So late that this process must have been away: there will be one more ping.
    /// assert_eq!(heartbeat.verdict(seconds(60)), None);
    /// ```
    #[must_use]
    pub fn verdict(&self, now: I) -> Option<I> {
        let mut copy = self.clone();
        let mut settled = copy.settle(now);
        let mut turn = settled.turn(&self.config);
        let due = copy.machine.verdict(&mut turn)?;
        Some(settled.anchor.instant(due))
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

    /// Distinguishes this connection or dial from all others. It changes whenever one
    /// ends or is given up, and again at each [`Connect`](crate::Action::Connect) and
    /// each [`Opened`](Event::Opened) without one.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.machine.epoch
    }

    /// Retries since the last stable connection; 0 before the first.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.machine.failures.attempt
    }

    /// Pings missed in a row in this silence.
    #[must_use]
    pub fn missed(&self) -> u32 {
        self.open().map_or(0, |open| open.missed())
    }

    /// Whether a ping is out: sent and not missed, with nothing received since that
    /// would end the probe.
    #[must_use]
    pub fn is_ping_out(&self) -> bool {
        self.open().is_some_and(|open| open.is_ping_out())
    }

    /// The ping whose pong is awaited for the round trip: the last one, until its pong
    /// or the end of the connection. Other activity does not count as its answer.
    #[must_use]
    pub fn awaited_ping(&self) -> Option<PingId> {
        let is_awaited = self.open()?.is_answer_awaited();
        is_awaited.then(|| PingId::new(self.machine.epoch, self.machine.pings))
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
        let (_, settled) = self.settled()?;
        let received = settled.facts.received.zip(self.received);
        received.map(|(at, noted)| settled.anchor.instant_from(noted, at))
    }

    fn open(&self) -> Option<Open<Time>> {
        Some(self.settled()?.0)
    }

    /// The open connection, with what was noted.
    fn settled(&self) -> Option<(Open<Time>, Settled<I>)> {
        let mut copy = self.clone();
        let settled = copy.settle(self.anchor?);
        match copy.machine.phase {
            Phase::Open(open) => Some((open, settled)),
            _ => None,
        }
    }

    #[inline(always)]
    fn step(&mut self, event: Event, now: I) -> Actions<I> {
        let actions = self.act(event, now);
        self.translate(actions)
    }

    // Apart from what is inlined where facts are noted.
    #[inline(never)]
    fn act(&mut self, event: Event, now: I) -> Actions<Time> {
        let mut settled = self.settle(now);
        let mut turn = settled.turn(&self.config);
        let actions = self.machine.step(&mut turn, event);
        self.keep(&settled);
        actions
    }

    /// Lets the machine look at what was noted before this.
    fn settle(&mut self, now: I) -> Settled<I> {
        let anchor = self.anchor().unwrap_or(Anchor::first(now));
        let facts = Facts {
            received: self.received.map(|at| anchor.time(at)),
            sent: self.sent.map_or(Time::ORIGIN, |at| anchor.time(at)),
        };
        let mut settled = Settled {
            anchor,
            now,
            time: anchor.time(now),
            facts,
        };
        self.machine.look(&mut settled.turn(&self.config));
        settled
    }

    fn anchor(&self) -> Option<Anchor<I>> {
        let instant = self.anchor?;
        let time = self.machine.deadline.unwrap_or(self.machine.now);
        Some(Anchor { instant, time })
    }

    // Most often the same was noted before, and nothing else. Time never goes back, not
    // between two facts either: that, and whatever is not only a fact, is for a step.

    #[inline]
    fn note_received(&mut self, now: I) -> bool {
        if self.machine.noted.is_only(Noted::RECEIVED) && is_past(self.received, now) {
            self.received = Some(now);
            return true;
        }
        self.machine.noted.takes_received(&self.config) && self.note(Noted::RECEIVED, now)
    }

    #[inline]
    fn note_message(&mut self, now: I) -> bool {
        let message = Noted::RECEIVED | Noted::MESSAGE;
        if self.machine.noted.is_only(message) && is_past(self.received, now) {
            self.received = Some(now);
            return true;
        }
        self.machine.noted.has(Noted::OPEN) && self.note(message, now)
    }

    #[inline]
    fn note_sent(&mut self, now: I) -> bool {
        if self.machine.noted.is_only(Noted::SENT) && is_past(self.sent, now) {
            self.sent = Some(now);
            return true;
        }
        self.machine.noted.has(Noted::TAKES_SENT) && self.note(Noted::SENT, now)
    }

    #[inline]
    fn note(&mut self, facts: u8, now: I) -> bool {
        let takes = self.is_past_noted(now);
        if takes {
            self.machine.noted.add(facts);
            if facts == Noted::SENT {
                self.sent = Some(now);
            } else {
                self.received = Some(now);
            }
        }
        takes
    }

    /// Whether what was noted since the last step came at the end of time.
    #[cold]
    fn has_ended(&self) -> bool {
        let latest = self.received.max(self.sent).zip(self.anchor());
        latest.is_some_and(|(at, anchor)| anchor.time(at) == Time::MAX)
    }

    /// Whether this is no earlier than what was noted since the last step.
    #[inline]
    fn is_past_noted(&self, now: I) -> bool {
        let noted = self.machine.noted;
        (!noted.has(Noted::RECEIVED) || is_past(self.received, now))
            && (!noted.has(Noted::SENT) || is_past(self.sent, now))
    }

    /// Back to the caller's time, what the step left.
    fn keep(&mut self, settled: &Settled<I>) {
        let Settled {
            anchor, now, facts, ..
        } = *settled;
        let instant = |fact: Option<I>, at| anchor.instant_from(fact.unwrap_or(now), at);
        self.received = facts.received.map(|at| instant(self.received, at));
        self.sent = Some(instant(self.sent, facts.sent));
        let next = self.machine.deadline.unwrap_or(self.machine.now);
        let next = anchor.moved(now, next);
        self.anchor = Some(next.instant);
        self.machine.deadline = self.machine.deadline.map(|_| next.time);
    }

    #[inline(always)]
    fn translate(&self, actions: Actions<Time>) -> Actions<I> {
        actions.filter_map_instants(|at| self.anchor().map(|anchor| anchor.instant(at)))
    }
}

/// What a step begins with.
struct Settled<I> {
    anchor: Anchor<I>,
    now: I,
    time: Time,
    facts: Facts<Time>,
}

impl<I> Settled<I> {
    fn turn<'a>(&'a mut self, config: &'a Config) -> Turn<'a> {
        Turn {
            config,
            facts: &mut self.facts,
            now: self.time,
        }
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

#[inline]
fn is_past<I: Instant>(fact: Option<I>, now: I) -> bool {
    I::IS_CLOCK | fact.is_none_or(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[cfg(feature = "std")]
    #[test]
    fn is_at_most_192_bytes_without_its_settings() {
        let whole = size_of::<Heartbeat<std::time::Instant>>();
        let own = whole - size_of::<Config>();
        assert!(own <= 192, "{own}");
    }

    /// Open since the first of these seconds.
    fn opened<I: Instant>(config: Config, at: impl Fn(u64) -> I) -> Heartbeat<I> {
        let mut heartbeat = Heartbeat::new(config, 1);
        let _ = heartbeat.handle(Event::Opened, at(0));
        heartbeat
    }

    /// Whether what is reported is stored, for the machine to look at in its next step.
    fn only_stores<I: Instant>(heartbeat: &mut Heartbeat<I>, event: Event, now: I) -> bool {
        let before = heartbeat.machine.now;
        let _ = heartbeat.handle(event, now);
        heartbeat.machine.now == before
    }

    fn of_a_busy_connection_everything_is_stored<I: Instant>(at: impl Fn(u64) -> I) {
        let facts = [Event::Received, Event::Message, Event::Sent];
        let mut heartbeat = opened(Config::default(), &at);
        let mut now = 0;
        for first in facts {
            for second in facts {
                for event in [first, second, second, first] {
                    now += 1;
                    assert!(only_stores(&mut heartbeat, event, at(now)), "{event:?}");
                    // Several may be of one instant.
                    assert!(only_stores(&mut heartbeat, event, at(now)), "{event:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_busy_connection_reports_takes_no_step() {
        of_a_busy_connection_everything_is_stored(Duration::from_secs);
    }

    #[cfg(feature = "std")]
    #[test]
    fn what_a_busy_connection_reports_takes_no_step_by_a_clock_of_std() {
        let origin = std::time::Instant::now();
        of_a_busy_connection_everything_is_stored(|now| origin + Duration::from_secs(now));
    }

    #[test]
    fn what_is_more_than_a_fact_takes_a_step() {
        let seconds = Duration::from_secs;
        let hour = Some(seconds(3600));
        let config = Config::builder().message_timeout(hour).confirm_within(hour);
        let mut heartbeat = opened(config.build().unwrap(), seconds);
        for (event, now, is_stored) in [
            (Event::Received, 1, true),
            (Event::Message, 2, true),
            (Event::Received, 3, false), // It would hide when the message came.
            (Event::Sent, 4, false),     // The first since the last ping.
            (Event::Sent, 5, true),
            (Event::Message, 6, true),
        ] {
            let is = only_stores(&mut heartbeat, event, seconds(now));
            assert_eq!(is, is_stored, "{event:?} at {now}");
        }
    }
}
