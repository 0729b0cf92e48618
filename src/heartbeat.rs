use core::time::Duration;

use crate::action::{Action, Actions, CloseReason, StopReason};
use crate::backoff::{Failures, Quick};
use crate::config::Config;
use crate::event::{Closed, Epoch, Event, PingId, Refused};
use crate::open::{Beat, Draw, Facts, Open, Urgency, Watches};
use crate::policy::{Loss, Retry};
use crate::random::Rng;
use crate::rtt::RoundTrip;
use crate::time::{Anchor, Instant, LONGEST, MILLISECOND, SECOND, Time, Timeline};

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
/// `Healthy`, and the others begin there. A verdict goes before a ping, and of several
/// verdicts the first in the table is told. A verdict whose tick comes late by more
/// than `late_tolerance` is put off once, since it is this process that was away: in
/// place of the last miss comes one more ping, the others wait for another
/// `late_tolerance`.
///
/// # Time
///
/// Internal time is the greatest `now` so far, so a clock may repeat and go back.
/// It ends 584 years after the first instant, or at the greatest instant that the type
/// knows: from there on nothing is due and there is no deadline. What is handled after
/// `SendPing` ends the probe, also at the same instant; what came before it does not.
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
    /// The interval is drawn anew, as it was before; a ping that is out has until the
    /// earlier of its deadline and `now` + the new timeout; a watch that is switched on
    /// begins now; a dial that is planned or under way and a close handshake keep
    /// their deadlines. What is now overdue is asked for 1 ms later. `healthy_within`
    /// that is switched on holds from the next connection on.
    pub fn reconfigure(&mut self, config: Config, now: I) -> Actions<I> {
        let mut settled = self.settle(now);
        let before = core::mem::replace(&mut self.config, config);
        let mut turn = settled.turn(&self.config);
        let actions = self.machine.reconfigure(&before, &mut turn);
        self.keep(&settled);
        self.translate(actions)
    }

    /// When to call back with a [`Tick`](Event::Tick): the instant of the last
    /// [`ArmDeadline`](Action::ArmDeadline), for drivers that pull. `None` when
    /// nothing is awaited.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Option<I> {
        self.machine.deadline?;
        let deadline = self.anchor?;
        let may_have_ended = !I::IS_CLOCK && self.received.max(self.sent) >= Some(deadline);
        if may_have_ended && self.has_ended() {
            return None;
        }
        Some(deadline)
    }

    /// When the verdict was due that a [`Tick`](Event::Tick) at `now` would speak: on
    /// the peer, or on the dial under way; or when that tick was asked for, if that is
    /// later. `None` where it would convict nobody.
    ///
    /// Who may not have read all that had come by then reads first, or the answer may
    /// lie unread.
    ///
    /// ```
    /// use core::time::Duration;
    /// use keepalive::{Config, Event, Heartbeat};
    ///
    /// let seconds = Duration::from_secs;
    /// let mut heartbeat = Heartbeat::new(Config::article(), 42);
    /// let _ = heartbeat.handle(Event::Opened, seconds(0));
    /// let _ = heartbeat.handle(Event::Tick, seconds(2)); // a ping
    /// assert_eq!(heartbeat.verdict(seconds(11)), None);
    /// assert_eq!(heartbeat.verdict(seconds(12)), Some(seconds(12)));
    /// // So late that it was this process that was away: there will be one more ping.
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

    /// Distinguishes this connection or dial from all others. It moves on whenever one
    /// ends or is given up, and again at each [`Connect`](Action::Connect) and
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

    /// Whether a ping is out: sent, not missed, and nothing came in since that ends
    /// the probe.
    #[must_use]
    pub fn is_ping_out(&self) -> bool {
        self.open().is_some_and(|open| open.is_ping_out())
    }

    /// The ping whose pong is awaited for the round trip: the last one, until its
    /// pong or the end of the connection. Other activity does not answer it.
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
        self.open()?;
        let settled = self.clone().settle(self.anchor?);
        let at = settled.facts.received?;
        Some(settled.anchor.instant_from(self.received?, at))
    }

    fn open(&self) -> Option<Open<Time>> {
        let mut copy = self.clone();
        copy.settle(self.anchor?);
        match copy.machine.phase {
            Phase::Open(open) => Some(open),
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
        actions.filter_map_instants(|at| Some(self.anchor()?.instant(at)))
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

/// What was reported that the machine has not looked at, and what may be noted without
/// it: flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Noted(u8);

impl Noted {
    const RECEIVED: u8 = 1;
    const MESSAGE: u8 = 2;
    const SENT: u8 = 4;
    /// A connection is open.
    const OPEN: u8 = 8;
    /// `Sent` changes nothing but the fact.
    const TAKES_SENT: u8 = 16;
    const NOTHING: Self = Self(0);

    #[inline]
    fn add(&mut self, flags: u8) {
        self.0 |= flags;
    }

    #[inline]
    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Whether these facts are noted, and no others.
    #[inline]
    fn is_only(self, facts: u8) -> bool {
        self.0 & (Self::RECEIVED | Self::MESSAGE | Self::SENT) == facts
    }

    /// Not where it would hide when a message came.
    #[inline]
    fn takes_received(self, config: &Config) -> bool {
        let hides = self.has(Self::MESSAGE) && config.message_timeout().is_some();
        self.has(Self::OPEN) && !hides
    }
}

/// The transitions, in internal time.
#[derive(Clone, Copy, Debug)]
struct Machine {
    now: Time,
    /// What is armed. In Connecting, Closing and Waiting it is the one deadline
    /// of the state; in Open it is never later than what is due next.
    deadline: Option<Time>,
    rng: Rng,
    /// When the last dial began.
    dialled: Option<Time>,
    failures: Failures,
    quick: Quick,
    epoch: Epoch,
    /// How many pings this connection has had.
    pings: u32,
    noted: Noted,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    Connecting {
        /// A late clock was forgiven in this dial.
        forgiven: bool,
        /// It stands for one that a change of network ended.
        replaces: bool,
    },
    Open(Open<Time>),
    Closing,
    Waiting {
        /// The end of the server's hint.
        hinted: Time,
        /// A change of network has had its draw.
        hurried: bool,
    },
    Stopped,
}

/// What a step of the machine works with, besides its own state.
struct Turn<'a> {
    config: &'a Config,
    facts: &'a mut Facts<Time>,
    now: Time,
}

/// What is lost, and what to say of it.
struct Lost {
    loss: Loss,
    reason: StopReason,
    hint: Duration,
    retry: Option<Retry>,
    was_given_up: bool,
}

impl Lost {
    fn closed(closed: Closed) -> Self {
        Self {
            loss: Loss::Closed(closed.code),
            reason: StopReason::Closed(closed.code),
            hint: closed.retry_after.unwrap_or_default(),
            retry: closed.retry,
            was_given_up: false,
        }
    }

    fn given_up(closed: Closed) -> Self {
        Self {
            was_given_up: true,
            ..Self::closed(closed)
        }
    }

    fn refused(refused: Refused) -> Self {
        Self {
            loss: Loss::Refused(refused.status),
            reason: StopReason::Refused(refused.status),
            hint: refused.retry_after.unwrap_or_default(),
            retry: refused.retry,
            was_given_up: false,
        }
    }

    fn failed(reason: StopReason, retry: Option<Retry>) -> Self {
        Self {
            loss: Loss::Failed,
            reason,
            hint: Duration::ZERO,
            retry,
            was_given_up: false,
        }
    }
}

/// A dial that is under way for less is the new connection that is asked for.
const YOUNG: Duration = Duration::from_secs(5);

impl Machine {
    const fn new(seed: u64) -> Self {
        Self {
            now: Time::ORIGIN,
            deadline: None,
            rng: Rng::new(seed),
            dialled: None,
            failures: Failures::NONE,
            quick: Quick::NONE,
            epoch: Epoch(0),
            pings: 0,
            noted: Noted::NOTHING,
            phase: Phase::Idle,
        }
    }

    /// Takes notice of what was reported before this step.
    fn look(&mut self, turn: &mut Turn<'_>) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        let before = self.now;
        if self.noted.has(Noted::SENT) {
            turn.facts.sent = turn.facts.sent.max(before);
            self.now = turn.facts.sent;
        }
        let received = turn.facts.received;
        if let Some(at) = received.filter(|_| self.noted.has(Noted::RECEIVED)) {
            let at = at.max(before);
            turn.facts.received = Some(at);
            let mut watches = open.at(turn.config, turn.facts, at);
            if self.noted.has(Noted::MESSAGE) {
                watches.message();
            } else {
                watches.received();
            }
            self.now = self.now.max(at);
        }
        self.advance(self.now);
    }

    fn step(&mut self, turn: &mut Turn<'_>, event: Event) -> Actions<Time> {
        self.advance(turn.now);
        let armed = self.deadline;
        let mut actions = self.take(turn, event);
        self.noted = self.notes(turn.config);
        if matches!(event, Event::Tick) || self.deadline != armed {
            actions.deadline = self.deadline;
        }
        actions
    }

    fn take(&mut self, turn: &mut Turn<'_>, event: Event) -> Actions<Time> {
        match event {
            Event::Start => self.start(turn),
            Event::Opened => self.opened(turn),
            Event::Tick => self.tick(turn),
            Event::Closed(closed) => self.ended(turn, Lost::closed(closed)),
            Event::Error(retry) => self.ended(turn, Lost::failed(StopReason::Error, retry)),
            Event::Refused(refused) => self.refused(turn, refused),
            Event::NetworkChanged => self.network_changed(turn),
            Event::GiveUp(closed) => self.give_up(turn, closed),
            Event::ReconnectNow => self.reconnect_now(turn),
            Event::Stop => self.stop(turn),
            Event::Healthy => self.healthy(turn),
            Event::Sent => self.sent(turn),
            Event::Received => self.note(turn, |watches| watches.received()),
            Event::Message => self.note(turn, |watches| watches.message()),
            Event::Draining => self.note(turn, |watches| watches.draining()),
            Event::Pong(id) => self.note_ping(turn, id, |watches, age| watches.pong(age)),
            Event::PingSent(id) => self.note_ping(turn, id, |watches, age| watches.ping_sent(age)),
        }
    }

    fn reconfigure(&mut self, before: &Config, turn: &mut Turn<'_>) -> Actions<Time> {
        self.advance(turn.now);
        let armed = self.deadline;
        if let Phase::Open(open) = &mut self.phase {
            let mut watches = open.at(turn.config, turn.facts, self.now);
            watches.reconfigure(before, &mut self.rng);
            let at = watches.next_look();
            self.arm(at);
        }
        self.noted = self.notes(turn.config);
        Actions {
            deadline: self.deadline.filter(|_| self.deadline != armed),
            ..Actions::none()
        }
    }

    /// What may be noted without a step from here on.
    fn notes(&self, config: &Config) -> Noted {
        let mut noted = Noted::NOTHING;
        if let Phase::Open(open) = &self.phase {
            noted.add(Noted::OPEN);
            if open.only_notes_sent(config) {
                noted.add(Noted::TAKES_SENT);
            }
        }
        noted
    }

    /// Time never goes back, and at its end nothing is awaited.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.now == Time::MAX {
            self.deadline = None;
        }
    }

    /// Asks for a tick at this time. What is overdue is asked for 1 ms from now, or
    /// when it was asked for before, so that asking again does not put it off.
    fn arm(&mut self, at: Time) {
        let soon = self.now.after(MILLISECOND);
        let next = match self.deadline {
            _ if at > self.now => at,
            Some(armed) => armed.min(soon),
            None => soon,
        };
        self.deadline = Some(next).filter(|_| self.now != Time::MAX);
    }

    /// Asks for a tick at this time, unless one is asked for that is no later.
    fn arm_by(&mut self, at: Time) {
        if self.is_sooner(at) {
            self.arm(at);
        }
    }

    /// Whether this comes before the tick that is asked for.
    fn is_sooner(&self, at: Time) -> bool {
        self.deadline.is_some_and(|armed| at < armed)
    }

    /// So long after the last dial began.
    fn after_dial(&self, duration: Duration) -> Time {
        self.dialled
            .map_or(Time::ORIGIN, |dialled| dialled.after(duration))
    }

    fn note(
        &mut self,
        turn: &mut Turn<'_>,
        fact: impl FnOnce(&mut Watches<'_, Time>),
    ) -> Actions<Time> {
        if let Phase::Open(open) = &mut self.phase {
            fact(&mut open.at(turn.config, turn.facts, self.now));
        }
        Actions::none()
    }

    /// With how many pings ago it was, if it was on this connection.
    fn note_ping(
        &mut self,
        turn: &mut Turn<'_>,
        id: PingId,
        fact: impl FnOnce(&mut Watches<'_, Time>, Option<u32>),
    ) -> Actions<Time> {
        let is_ours = id.epoch() == self.epoch;
        let age = is_ours.then(|| self.pings.wrapping_sub(id.sequence()));
        self.note(turn, |watches| fact(watches, age))
    }

    fn sent(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        let mut look = None;
        let actions = self.note(turn, |watches| look = watches.sent());
        if let Some(at) = look {
            self.arm_by(at);
        }
        actions
    }

    fn healthy(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        if let Phase::Open(open) = &mut self.phase {
            let mut watches = open.at(turn.config, turn.facts, self.now);
            if watches.healthy(&mut self.rng) {
                let look = watches.next_look();
                self.arm_by(look);
            }
        }
        Actions::none()
    }

    fn start(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        match self.phase {
            Phase::Idle | Phase::Stopped | Phase::Closing => self.reconnect_now(turn),
            Phase::Connecting { .. } | Phase::Open(_) | Phase::Waiting { .. } => Actions::none(),
        }
    }

    fn opened(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        match self.phase {
            Phase::Open(_) | Phase::Closing => return Actions::none(),
            Phase::Connecting { .. } => {}
            Phase::Idle | Phase::Waiting { .. } => self.epoch.advance(),
            Phase::Stopped => {
                self.forget_failures();
                self.epoch.advance();
            }
        }
        let (mut open, facts) = Open::new(turn.config, &mut self.rng, self.now);
        *turn.facts = facts;
        let look = open.at(turn.config, turn.facts, self.now).next_look();
        self.pings = 0;
        self.phase = Phase::Open(open);
        self.arm(look);
        Actions::none()
    }

    fn tick(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        let now = self.now;
        let Some(due) = self.deadline.filter(|&deadline| deadline <= now) else {
            if let Phase::Open(open) = &mut self.phase {
                let look = open.at(turn.config, turn.facts, now).next_look();
                self.deadline = self.deadline.map(|armed| armed.max(look));
            }
            return Actions::none();
        };
        self.deadline = None;
        match &mut self.phase {
            Phase::Idle | Phase::Stopped => Actions::none(),
            Phase::Connecting { forgiven, .. } => {
                if is_forgiven(turn.config, *forgiven, due, now) {
                    *forgiven = true;
                    let config = turn.config;
                    let grace = config.late_tolerance().min(config.connect_timeout());
                    self.arm(now.after(grace));
                    return Actions::none();
                }
                self.convict(turn, CloseReason::ConnectTimeout)
            }
            Phase::Open(open) => {
                let mut watches = open.at(turn.config, turn.facts, now);
                match watches.tick(due) {
                    Beat::Wait => {
                        let look = watches.next_look();
                        self.arm(look);
                        Actions::none()
                    }
                    Beat::Ping(draw) => self.ping(turn, draw),
                    Beat::Dead(reason, _) => self.convict(turn, reason),
                }
            }
            Phase::Closing => {
                self.leave(turn, false);
                self.stopped(StopReason::Requested)
                    .after_close(Some(CloseReason::CloseTimeout))
            }
            Phase::Waiting { .. } => self.dial(turn.config),
        }
    }

    /// When the verdict was due that a tick at this time would speak, or when that was
    /// asked for. To be asked of a copy.
    fn verdict(mut self, turn: &mut Turn<'_>) -> Option<Time> {
        self.advance(turn.now);
        let now = self.now;
        let armed = self.deadline.filter(|&deadline| deadline <= now)?;
        match &mut self.phase {
            Phase::Connecting { forgiven, .. } => {
                Some(armed).filter(|_| !is_forgiven(turn.config, *forgiven, armed, now))
            }
            Phase::Open(open) => match open.at(turn.config, turn.facts, now).tick(armed) {
                Beat::Dead(_, due) => Some(due.max(armed)),
                Beat::Wait | Beat::Ping(_) => None,
            },
            _ => None,
        }
    }

    fn ping(&mut self, turn: &mut Turn<'_>, draw: Draw) -> Actions<Time> {
        self.pings = self.pings.wrapping_add(1);
        if let Phase::Open(open) = &mut self.phase {
            let mut watches = open.at(turn.config, turn.facts, self.now);
            watches.ping(draw, &mut self.rng);
            let look = watches.next_look();
            self.arm(look);
        }
        Actions::of(Action::SendPing(PingId::new(self.epoch, self.pings)))
    }

    fn convict(&mut self, turn: &mut Turn<'_>, reason: CloseReason) -> Actions<Time> {
        let stop = match reason {
            CloseReason::PongTimeout => StopReason::PongTimeout,
            CloseReason::IdleTimeout => StopReason::IdleTimeout,
            CloseReason::MessageTimeout => StopReason::MessageTimeout,
            CloseReason::LoginTimeout => StopReason::LoginTimeout,
            _ => StopReason::ConnectTimeout,
        };
        self.down(turn, Lost::failed(stop, None))
            .after_close(Some(reason))
    }

    fn refused(&mut self, turn: &mut Turn<'_>, refused: Refused) -> Actions<Time> {
        match self.phase {
            Phase::Connecting { .. } => self.down(turn, Lost::refused(refused)),
            _ => Actions::none(),
        }
    }

    fn give_up(&mut self, turn: &mut Turn<'_>, closed: Closed) -> Actions<Time> {
        match self.phase {
            Phase::Connecting { .. } | Phase::Open(_) => self
                .down(turn, Lost::given_up(closed))
                .after_close(Some(CloseReason::GivenUp)),
            _ => Actions::none(),
        }
    }

    fn ended(&mut self, turn: &mut Turn<'_>, lost: Lost) -> Actions<Time> {
        match self.phase {
            Phase::Connecting { .. } | Phase::Open(_) => self.down(turn, lost),
            Phase::Closing => {
                self.leave(turn, false);
                self.stopped(StopReason::Requested)
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Stopped => Actions::none(),
        }
    }

    /// A connection or a dial is lost: plan the next dial, or give up.
    fn down(&mut self, turn: &mut Turn<'_>, lost: Lost) -> Actions<Time> {
        self.leave(turn, lost.was_given_up);
        let config = turn.config;
        let retry = lost.retry.unwrap_or_else(|| config.policy()(lost.loss));
        if !config.reconnect() || retry == Retry::Stop {
            return self.stopped(lost.reason);
        }
        if let Some(limit) = self.failures.limit(config, self.now) {
            return self.stopped(limit);
        }
        let hinted = self.now.after(lost.hint.min(LONGEST));
        let delay = self
            .failures
            .delay(config, retry, &mut self.quick, &mut self.rng);
        let at = delay.after(hinted, self.after_dial(SECOND));
        self.wait(hinted, at)
    }

    fn wait(&mut self, hinted: Time, at: Time) -> Actions<Time> {
        self.phase = Phase::Waiting {
            hinted,
            hurried: false,
        };
        self.plan(at)
    }

    fn plan(&mut self, at: Time) -> Actions<Time> {
        self.arm(at);
        let attempt = self.failures.attempt;
        Actions::of(Action::ScheduleReconnect { at, attempt })
    }

    /// Plans the dial for an earlier time, if this is one.
    fn hasten(&mut self, at: Time) -> Actions<Time> {
        if self.is_sooner(at) {
            self.plan(at)
        } else {
            Actions::none()
        }
    }

    fn network_changed(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        let calm = self.after_dial(SECOND);
        match &mut self.phase {
            Phase::Open(open) => {
                let mut watches = open.at(turn.config, turn.facts, self.now);
                match watches.network_changed() {
                    Urgency::Ping => return self.ping(turn, Draw::Usual),
                    Urgency::Look(at) => self.arm_by(at),
                    Urgency::Nothing => {}
                }
                Actions::none()
            }
            Phase::Waiting { hinted, hurried } => {
                self.quick = Quick::TWO;
                if *hurried {
                    return Actions::none();
                }
                *hurried = true;
                let earliest = self.now.max(*hinted).max(calm);
                let at = earliest.after(self.rng.between(Duration::ZERO, SECOND));
                self.hasten(at)
            }
            Phase::Connecting { replaces, .. } => {
                self.quick = Quick::TWO;
                if *replaces || self.now < calm {
                    return Actions::none();
                }
                self.leave(turn, false);
                let replaces = true;
                self.connect(turn.config, replaces)
                    .after_close(Some(CloseReason::Reconnect))
            }
            Phase::Idle | Phase::Closing | Phase::Stopped => Actions::none(),
        }
    }

    fn reconnect_now(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        match self.phase {
            Phase::Idle => self.dial_when_calm(turn.config),
            Phase::Stopped => {
                self.forget_failures();
                self.dial_when_calm(turn.config)
            }
            Phase::Waiting { .. } => {
                let calm = self.after_dial(SECOND);
                if self.now < calm {
                    return self.hasten(calm);
                }
                self.dial(turn.config)
            }
            Phase::Connecting { .. } if self.now < self.after_dial(YOUNG) => Actions::none(),
            Phase::Connecting { .. } | Phase::Open(_) | Phase::Closing => {
                self.leave(turn, false);
                self.dial_when_calm(turn.config)
                    .after_close(Some(CloseReason::Reconnect))
            }
        }
    }

    /// What is asked for dials no sooner than a second after the last dial.
    fn dial_when_calm(&mut self, config: &Config) -> Actions<Time> {
        let calm = self.after_dial(SECOND);
        if self.now < calm {
            return self.wait(self.now, calm);
        }
        self.dial(config)
    }

    fn dial(&mut self, config: &Config) -> Actions<Time> {
        let replaces = false;
        self.connect(config, replaces)
    }

    fn connect(&mut self, config: &Config, replaces: bool) -> Actions<Time> {
        self.epoch.advance();
        self.dialled = Some(self.now);
        self.phase = Phase::Connecting {
            forgiven: false,
            replaces,
        };
        self.arm(self.now.after(config.connect_timeout()));
        Actions::of(Action::Connect)
    }

    fn stop(&mut self, turn: &mut Turn<'_>) -> Actions<Time> {
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } => self.stopped(StopReason::Requested),
            Phase::Connecting { .. } | Phase::Closing => {
                self.leave(turn, false);
                self.stopped(StopReason::Requested)
                    .after_close(Some(CloseReason::Abort))
            }
            Phase::Open(_) => {
                self.settle_attempts(turn, false);
                self.phase = Phase::Closing;
                self.arm(self.now.after(turn.config.close_timeout()));
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
    fn leave(&mut self, turn: &mut Turn<'_>, was_given_up: bool) {
        self.settle_attempts(turn, was_given_up);
        self.epoch.advance();
    }

    fn settle_attempts(&mut self, turn: &mut Turn<'_>, was_given_up: bool) {
        if let Phase::Open(open) = &mut self.phase {
            let watches = open.at(turn.config, turn.facts, self.now);
            if watches.is_stable(was_given_up) {
                self.forget_failures();
            }
        }
    }

    fn forget_failures(&mut self) {
        self.failures = Failures::NONE;
        self.quick = Quick::NONE;
    }
}

#[inline]
fn is_past<I: Instant>(fact: Option<I>, now: I) -> bool {
    I::IS_CLOCK || fact.is_none_or(|at| at <= now)
}

/// Whether the verdict on a dial comes so late that it was this process that was away.
fn is_forgiven(config: &Config, before: bool, due: Time, now: Time) -> bool {
    !before && now.since(due) > config.late_tolerance()
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn is_at_most_192_bytes_without_its_settings() {
        let whole = size_of::<Heartbeat<std::time::Instant>>();
        let own = whole - size_of::<Config>();
        assert!(own <= 192, "{own}");
    }
}
