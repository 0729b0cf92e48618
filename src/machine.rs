//! The transitions of the state table, in internal time.

use core::time::Duration;

use crate::action::{Action, Actions, CloseReason, StopReason};
use crate::backoff::{Failures, Quick};
use crate::config::Config;
use crate::event::{Closed, Epoch, Event, PingId, Refused, Retry};
use crate::open::{Beat, Facts, Open, Urgency, Watches};
use crate::policy::Loss;
use crate::random::{Draw, Rng};
use crate::time::{LONGEST, MILLISECOND, SECOND, Time, Timeline};

/// Flags: the facts that were noted since the last step, and which may be noted
/// without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted(u8);

impl Noted {
    pub(crate) const RECEIVED: u8 = 1;
    pub(crate) const MESSAGE: u8 = 2;
    pub(crate) const SENT: u8 = 4;
    /// A connection is open.
    pub(crate) const OPEN: u8 = 8;
    /// `Sent` changes nothing but the fact.
    pub(crate) const TAKES_SENT: u8 = 16;
    const NOTHING: Self = Self(0);

    #[inline]
    pub(crate) fn add(&mut self, flags: u8) {
        self.0 |= flags;
    }

    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Whether these facts are noted, and no others.
    #[inline]
    pub(crate) fn is_only(self, facts: u8) -> bool {
        self.0 & (Self::RECEIVED | Self::MESSAGE | Self::SENT) == facts
    }

    /// Not where it would overwrite the time of a message that is watched.
    #[inline]
    pub(crate) fn takes_received(self, config: &Config) -> bool {
        let hides = self.has(Self::MESSAGE) && config.message_timeout().is_some();
        self.has(Self::OPEN) && !hides
    }
}

/// The transitions, in internal time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) now: Time,
    /// What is armed. In Connecting, Closing and Waiting it is the one deadline
    /// of the state; in Open it is never later than what is due next.
    pub(crate) deadline: Option<Time>,
    rng: Rng,
    /// When the last dial began.
    dialled: Option<Time>,
    pub(crate) failures: Failures,
    quick: Quick,
    pub(crate) epoch: Epoch,
    /// How many pings this connection has had.
    pub(crate) pings: u32,
    pub(crate) noted: Noted,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Idle,
    Connecting {
        /// Its verdict was put off.
        is_put_off: bool,
        /// It replaces a dial that a change of network ended.
        replaces: bool,
    },
    Open(Open<Time>),
    Closing,
    Waiting {
        /// The end of the server's hint.
        hinted: Time,
        /// A change of network has had its draw.
        is_redrawn: bool,
    },
    Stopped,
}

/// What a step of the machine works with, besides its own state.
pub(crate) struct Turn<'a> {
    pub(crate) config: &'a Config,
    pub(crate) facts: &'a mut Facts<Time>,
    pub(crate) now: Time,
}

/// What was lost, and what decides about coming back.
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

/// A younger dial is the new connection that `ReconnectNow` asks for.
const YOUNG: Duration = Duration::from_secs(5);

impl Machine {
    pub(crate) const fn new(seed: u64) -> Self {
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

    /// Applies what was noted since the last step.
    pub(crate) fn look(&mut self, turn: &mut Turn<'_>) {
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

    pub(crate) fn step(&mut self, turn: &mut Turn<'_>, event: Event) -> Actions<Time> {
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

    pub(crate) fn reconfigure(&mut self, before: &Config, turn: &mut Turn<'_>) -> Actions<Time> {
        self.advance(turn.now);
        let armed = self.deadline;
        if let Phase::Open(open) = &mut self.phase {
            let mut watches = open.at(turn.config, turn.facts, self.now);
            watches.reconfigure(before, |draw| draw.share(turn.config, &mut self.rng));
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

    /// This long after the last dial began.
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

    /// A fact about a ping: how many pings ago it was sent, if on this connection.
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
            if watches.healthy(|draw| draw.share(turn.config, &mut self.rng)) {
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
        let share = |draw: Draw| draw.share(turn.config, &mut self.rng);
        let (mut open, facts) = Open::new(turn.config, share, self.now);
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
            Phase::Connecting { is_put_off, .. } => {
                if puts_off(turn.config, *is_put_off, due, now) {
                    *is_put_off = true;
                    let config = turn.config;
                    let longest = config.late_tolerance().min(config.connect_timeout());
                    self.arm(now.after(longest));
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
            // Idle and Stopped have no deadline.
            Phase::Waiting { .. } | Phase::Idle | Phase::Stopped => self.dial(turn.config),
        }
    }

    /// When the verdict was due that a tick at this time would speak, or when that was
    /// asked for. To be asked of a copy.
    pub(crate) fn verdict(mut self, turn: &mut Turn<'_>) -> Option<Time> {
        self.advance(turn.now);
        let now = self.now;
        let armed = self.deadline.filter(|&deadline| deadline <= now)?;
        match &mut self.phase {
            Phase::Connecting { is_put_off, .. } => {
                Some(armed).filter(|_| !puts_off(turn.config, *is_put_off, armed, now))
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
        let share = draw.share(turn.config, &mut self.rng);
        let mut look = self.now;
        let _ = self.note(turn, |watches| {
            watches.ping(draw, share);
            look = watches.next_look();
        });
        self.arm(look);
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
            is_redrawn: false,
        };
        self.plan(at)
    }

    fn plan(&mut self, at: Time) -> Actions<Time> {
        self.arm(at);
        let attempt = self.failures.attempt;
        Actions::of(Action::ScheduleReconnect { at, attempt })
    }

    /// Plans the dial for this time, unless it is planned for one that is no later.
    fn plan_by(&mut self, at: Time) -> Actions<Time> {
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
            Phase::Waiting { hinted, is_redrawn } => {
                self.quick = Quick::TWO;
                if *is_redrawn {
                    return Actions::none();
                }
                *is_redrawn = true;
                let earliest = self.now.max(*hinted).max(calm);
                let at = earliest.after(self.rng.between(Duration::ZERO, SECOND));
                self.plan_by(at)
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
                    return self.plan_by(calm);
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
            is_put_off: false,
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

/// Whether the verdict on a dial comes so late that it was this process that was away.
fn puts_off(config: &Config, is_put_off: bool, due: Time, now: Time) -> bool {
    !is_put_off && now.since(due) > config.late_tolerance()
}
