//! A slow machine that follows from the contract at a glance: a connection is the
//! list of all that happened to it, and whatever a rule asks is looked up there;
//! times are counted in nanoseconds that cannot overflow; one match says what
//! each event does in each state. [`Reference::agrees`] holds the steps of a
//! heartbeat against it, to the nanosecond.
//!
//! The contract leaves open what follows; here it is as the heartbeat has it:
//!
//! - SplitMix64, one draw for an interval and one for a delay. Both intervals are
//!   the same drawn share of their settings, in parts of 2^32.
//! - Limits are checked before the close policy, attempts before time.
//! - While a ping is out the next look is an interval away, or the deadline of the
//!   ping. Each such look counts as sent.
//! - The id of a ping is its epoch and its number.

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use core::time::Duration;

use keepalive::{
    Action, CloseReason, Closed, Config, Event, PingId, Retry, RoundTrip, State, StopReason,
};

use super::oracle::{Entry, Input, Trace};

type Did = Vec<Action<Duration>>;
type Nanos = u128;

const MILLISECOND: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MILLISECOND;
const DAY: Nanos = 24 * 60 * 60 * SECOND;
/// 584 years after the first instant, where time ends.
const END: Nanos = u64::MAX as Nanos - 1;

#[derive(Clone, Debug)]
pub struct Reference {
    config: Config,
    random: u64,
    /// The first instant; every time counts from it.
    origin: Option<Duration>,
    has_begun: bool,
    now: Nanos,
    deadline: Option<Nanos>,
    state: State,
    epoch: u32,
    attempt: u32,
    first_down: Option<Nanos>,
    dialled: Option<Nanos>,
    /// In Connecting: the verdict was put off.
    is_spared: bool,
    /// In Waiting: no change of network makes the dial earlier than this.
    earliest: Nanos,
    /// In Waiting: a change of network has had its draw.
    is_hurried: bool,
    /// In Open.
    open: Connection,
}

/// All that happened to a connection, in its order.
#[derive(Clone, Debug, Default)]
struct Connection {
    opened: Nanos,
    facts: Vec<(Nanos, Fact)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fact {
    /// Anything came in.
    Heard,
    /// Anything of the application's went out.
    Said,
    Ping {
        id: PingId,
        timeout: Nanos,
    },
    /// The ping left the write buffer, which gives it so much time more.
    Flushed(Nanos),
    /// The ping that is out has no longer than until then.
    Until(Nanos),
    /// The pong that was awaited came.
    Answered,
    Missed,
    /// A late clock was forgiven, and where no ping can be sent the verdict put off
    /// until then.
    Spared(Nanos),
    /// A change of network made a ping.
    Urged,
    /// There was a look while a ping was out.
    Looked,
    /// The share of the intervals, in parts of 2^32.
    Drawn(Nanos),
    Healthy,
}

/// The round trips of a connection, by RFC 6298, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    last: u64,
    smoothed: u64,
    variance: u64,
    minimum: u64,
}

impl Reference {
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            random: seed,
            origin: None,
            has_begun: false,
            now: 0,
            deadline: None,
            state: State::Idle,
            epoch: 0,
            attempt: 0,
            first_down: None,
            dialled: None,
            is_spared: false,
            earliest: 0,
            is_hurried: false,
            open: Connection::default(),
        }
    }

    /// Whether a heartbeat with this seed did and showed the same at each step.
    ///
    /// # Errors
    ///
    /// The first step that differs, and how.
    pub fn agrees(trace: &Trace, seed: u64) -> Result<(), String> {
        let mut reference = Self::new(trace.config, seed);
        for (at, entry) in trace.entries.iter().enumerate() {
            if let Err(difference) = reference.follow(entry) {
                let entries = trace.entries[..=at].to_vec();
                let config = trace.config;
                return Err(format!("{difference}\n{}", Trace { config, entries }));
            }
        }
        Ok(())
    }

    /// # Errors
    ///
    /// What differs.
    pub fn follow(&mut self, entry: &Entry) -> Result<(), String> {
        let did = self.take(entry.input, entry.now);
        let shown = &entry.views;
        compare("the actions", &did, &entry.actions)?;
        compare("the deadline", &self.deadline(), &entry.deadline)?;
        compare("the state", &self.state, &shown.state)?;
        compare(
            "the epoch",
            &self.epoch.to_string(),
            &shown.epoch.to_string(),
        )?;
        compare("the attempt", &self.attempt, &shown.attempt)?;
        compare("missed pings", &self.open.missed(), &shown.missed)?;
        compare(
            "a ping is out",
            &self.open.due().is_some(),
            &shown.is_ping_out,
        )?;
        compare("the awaited ping", &self.open.awaited(), &shown.awaited)?;
        let heard = self.open.last(|fact| *fact == Fact::Heard);
        let received = heard.map(|at| self.instant(at));
        compare("the last activity", &received, &shown.last_received)?;
        let measured = self.open.round_trip();
        compare(
            "the round trip",
            &measured,
            &shown.round_trip.map(Measured::of),
        )
    }

    fn take(&mut self, input: Input, now: Duration) -> Did {
        let event = match input {
            Input::From(epoch, _) if epoch.to_string() != self.epoch.to_string() => {
                return Vec::new();
            }
            Input::Event(event) | Input::From(_, event) => Some(event),
            Input::Reconfigure(config) => {
                self.config = config;
                None
            }
        };
        self.advance(now, event == Some(Event::Received));
        let before = self.deadline;
        let mut did = match event {
            Some(event) => self.happens(event),
            None => self.is_reconfigured(),
        };
        if self.state != State::Open {
            self.open = Connection::default();
        }
        if event == Some(Event::Tick) || self.deadline != before {
            did.extend(self.deadline().map(Action::ArmDeadline));
        }
        did
    }

    fn happens(&mut self, event: Event) -> Did {
        use State::{Closing, Connecting, Idle, Open, Stopped, Waiting};
        match (self.state, event) {
            (_, Event::Tick) if self.deadline.is_none_or(|at| self.now < at) => {
                self.looks_early();
                vec![]
            }

            (Idle, Event::Start | Event::ReconnectNow) | (Waiting, Event::ReconnectNow) => {
                self.dials(None)
            }
            (Stopped, Event::Start | Event::ReconnectNow) => {
                self.forgets_failures();
                self.dials(None)
            }
            (Closing, Event::Start) | (Connecting | Open | Closing, Event::ReconnectNow) => {
                self.ends();
                self.dials(Some(CloseReason::Reconnect))
            }

            (Connecting, Event::Opened) => self.opens(),
            (Idle | Waiting, Event::Opened) => {
                self.moves_on();
                self.opens()
            }
            (Stopped, Event::Opened) => {
                self.forgets_failures();
                self.moves_on();
                self.opens()
            }

            (Open, Event::Received) => self.notes(Fact::Heard),
            (Open, Event::Sent) => self.notes(Fact::Said),
            (Open, Event::Healthy) => self.notes(Fact::Healthy),
            (Open, Event::Pong(id)) => {
                if self.open.awaited() == Some(id) {
                    self.notes(Fact::Answered);
                }
                self.notes(Fact::Heard)
            }
            (Open, Event::PingSent(id)) => self.flushes(id),

            (Connecting, Event::Tick) => self.gives_up_dialling(),
            (Open, Event::Tick) if self.config.listen_only() => self.listens(),
            (Open, Event::Tick) => self.beats(),
            (Closing, Event::Tick) => {
                self.ends();
                self.stops(Some(CloseReason::CloseTimeout), StopReason::Requested)
            }
            (Waiting, Event::Tick) => self.dials(None),

            (Connecting | Open, Event::Closed(closed)) => {
                self.goes_down(None, StopReason::Closed(closed.code), closed)
            }
            (Connecting | Open, Event::Error) => {
                self.goes_down(None, StopReason::Error, Closed::default())
            }
            (Closing, Event::Closed(_) | Event::Error) => {
                self.ends();
                self.stops(None, StopReason::Requested)
            }

            (Open, Event::NetworkChanged) => self.probes(),
            (Waiting, Event::NetworkChanged) => self.dials_earlier(),

            (Idle | Waiting, Event::Stop) => self.stops(None, StopReason::Requested),
            (Connecting | Closing, Event::Stop) => {
                self.ends();
                self.stops(Some(CloseReason::Abort), StopReason::Requested)
            }
            (Open, Event::Stop) => {
                self.settles_attempts();
                self.state = Closing;
                self.arms(self.now + nanos(self.config.close_timeout()));
                vec![Action::Close(CloseReason::Stop)]
            }

            _ => vec![],
        }
    }

    fn notes(&mut self, fact: Fact) -> Did {
        self.open.facts.push((self.now, fact));
        vec![]
    }

    /// The time in the write buffer is not the peer's, once.
    fn flushes(&mut self, id: PingId) -> Did {
        let since_ping = self.open.since_ping();
        let is_flushed = since_ping
            .iter()
            .any(|(_, fact)| matches!(fact, Fact::Flushed(_)));
        if self.open.awaited() == Some(id) && self.open.due().is_some() && !is_flushed {
            let sent = since_ping[0].0;
            self.notes(Fact::Flushed((self.now - sent).min(self.timeout())));
        }
        vec![]
    }

    fn dials(&mut self, close: Option<CloseReason>) -> Did {
        self.moves_on();
        self.state = State::Connecting;
        self.is_spared = false;
        self.dialled = Some(self.now);
        self.arms(self.now + nanos(self.config.connect_timeout()));
        after_close(close, Action::Connect)
    }

    fn gives_up_dialling(&mut self) -> Did {
        let late = self.now - self.deadline.unwrap_or(self.now);
        let tolerance = nanos(self.config.late_tolerance());
        if late > tolerance && !self.is_spared {
            self.is_spared = true;
            self.arms(self.now + tolerance.min(nanos(self.config.connect_timeout())));
            return vec![];
        }
        let (close, stop) = (CloseReason::ConnectTimeout, StopReason::ConnectTimeout);
        self.goes_down(Some(close), stop, Closed::default())
    }

    fn opens(&mut self) -> Did {
        self.state = State::Open;
        self.open = Connection {
            opened: self.now,
            facts: Vec::new(),
        };
        self.draws_interval();
        self.looks();
        vec![]
    }

    fn beats(&mut self) -> Did {
        let Some(due) = self.open.due() else {
            if self.now >= self.quiet_until() {
                return self.pings();
            }
            self.looks();
            return vec![];
        };
        if self.now < due {
            self.looks();
            return vec![];
        }
        let is_last = self.open.missed() + 1 >= self.config.max_missed();
        if is_last && self.is_forgivably_late(due) {
            self.notes(Fact::Spared(self.now));
            return self.pings();
        }
        if is_last {
            let (close, stop) = (CloseReason::PongTimeout, StopReason::PongTimeout);
            return self.goes_down(Some(close), stop, Closed::default());
        }
        self.notes(Fact::Missed);
        self.pings()
    }

    fn listens(&mut self) -> Did {
        let due = self.silent_until();
        if self.now >= due && self.is_forgivably_late(due) {
            self.notes(Fact::Spared(self.now + self.grace()));
        } else if self.now >= due && self.open.spared().is_none_or(|until| self.now >= until) {
            let (close, stop) = (CloseReason::IdleTimeout, StopReason::IdleTimeout);
            return self.goes_down(Some(close), stop, Closed::default());
        }
        self.looks();
        vec![]
    }

    fn is_forgivably_late(&self, due: Nanos) -> bool {
        let is_late = self.now - due > nanos(self.config.late_tolerance());
        is_late && self.open.spared().is_none()
    }

    fn pings(&mut self) -> Did {
        let number = self.open.pings() + 1;
        let id = u64::from(self.epoch) << 32 | u64::from(number);
        let id = PingId::from_bytes(id.to_be_bytes());
        let timeout = self.timeout();
        self.notes(Fact::Ping { id, timeout });
        self.draws_interval();
        self.looks();
        vec![Action::SendPing(id)]
    }

    fn probes(&mut self) -> Did {
        if self.config.listen_only() {
            return vec![];
        }
        let urged = self.open.last(|fact| *fact == Fact::Urged);
        let is_recent = urged.is_some_and(|at| self.now - at < SECOND);
        let mut did = vec![];
        if self.open.due().is_none() && !is_recent {
            did = self.pings();
            self.notes(Fact::Urged);
        }
        if self.open.due().is_some() {
            let patience = self.timeout().min(5 * SECOND);
            self.notes(Fact::Until((self.now + patience).min(END)));
        }
        if let (Some(due), Some(armed)) = (self.open.due(), self.deadline) {
            if due < armed {
                self.arms(due);
            }
        }
        did
    }

    fn dials_earlier(&mut self) -> Did {
        if self.is_hurried {
            return vec![];
        }
        self.is_hurried = true;
        let at = (self.now + self.draws_between(0, SECOND)).max(self.earliest);
        if self.deadline.is_none_or(|planned| at >= planned) {
            return vec![];
        }
        self.arms(at);
        vec![self.planned(at)]
    }

    fn is_reconfigured(&mut self) -> Did {
        if self.state != State::Open {
            return vec![];
        }
        if self.open.due().is_some() {
            self.notes(Fact::Until((self.now + self.timeout()).min(END)));
        }
        if let Some(until) = self.open.spared() {
            self.notes(Fact::Spared(until.min(self.now + self.grace())));
        }
        self.draws_interval();
        self.looks();
        vec![]
    }

    fn goes_down(&mut self, close: Option<CloseReason>, reason: StopReason, closed: Closed) -> Did {
        self.ends();
        if !self.config.reconnect() {
            return self.stops(close, reason);
        }
        let first_down = *self.first_down.get_or_insert(self.now);
        if self
            .config
            .max_attempts()
            .is_some_and(|most| self.attempt >= most)
        {
            return self.stops(close, StopReason::AttemptLimit);
        }
        let elapsed = self.now - first_down;
        if self
            .config
            .max_elapsed()
            .is_some_and(|most| elapsed >= nanos(most))
        {
            return self.stops(close, StopReason::TimeLimit);
        }
        let attempt = self.attempt.saturating_add(1);
        let (floor, cap) = (self.config.backoff_floor(), self.config.backoff_cap());
        let (least, greatest) = match self.config.close_policy()(closed.code) {
            Retry::Backoff if attempt == 1 => (MILLISECOND, nanos(self.config.first_spread())),
            Retry::Backoff => (nanos(floor), self.ceiling(attempt)),
            Retry::Spread => (nanos(floor), nanos(cap)),
            Retry::Between { least, greatest } => {
                let least = nanos(least).clamp(MILLISECOND, DAY);
                (least, nanos(greatest).clamp(least, DAY))
            }
            _ => return self.stops(close, reason),
        };
        self.attempt = attempt;
        self.state = State::Waiting;
        self.is_hurried = false;
        let hint = nanos(closed.retry_after.unwrap_or_default()).min(DAY);
        let spaced = self.dialled.map_or(0, |at| at + SECOND);
        self.earliest = spaced.max(self.now + hint);
        let at = self.now + hint + self.draws_between(least, greatest);
        self.arms(at);
        after_close(close, self.planned(at))
    }

    /// min(cap, base * factor^n), n = 0 at the second attempt.
    fn ceiling(&self, attempt: u32) -> Nanos {
        let exponent = i32::try_from(attempt - 2).unwrap_or(i32::MAX);
        let growth = self.config.backoff_factor().powi(exponent);
        let grown = nanos(self.config.backoff_base()) as f64 * growth;
        nanos(self.config.backoff_cap()).min(grown as Nanos)
    }

    fn planned(&self, at: Nanos) -> Action<Duration> {
        let (at, attempt) = (self.instant(at), self.attempt);
        Action::ScheduleReconnect { at, attempt }
    }

    fn stops(&mut self, close: Option<CloseReason>, reason: StopReason) -> Did {
        self.state = State::Stopped;
        self.deadline = None;
        after_close(close, Action::Stopped(reason))
    }

    /// A connection or a dial is over.
    fn ends(&mut self) {
        self.settles_attempts();
        self.moves_on();
    }

    fn moves_on(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn settles_attempts(&mut self) {
        let open = &self.open;
        let is_healthy = open.last(|fact| *fact == Fact::Healthy).is_some();
        let was_heard = open.last(|fact| *fact == Fact::Heard).is_some();
        let is_old = self.now - open.opened >= nanos(self.config.stable_after());
        if self.state == State::Open && (is_healthy || (was_heard && is_old)) {
            self.forgets_failures();
        }
    }

    fn forgets_failures(&mut self) {
        self.attempt = 0;
        self.first_down = None;
    }

    // When to look again.

    /// A tick before the deadline may find that it is later by now.
    fn looks_early(&mut self) {
        if let (State::Open, Some(deadline)) = (self.state, self.deadline) {
            let next = if self.config.listen_only() {
                self.silent_until()
            } else if self.open.due().is_some() {
                deadline
            } else {
                self.quiet_until()
            };
            self.deadline = Some(next.max(deadline));
        }
    }

    fn looks(&mut self) {
        let next = if self.config.listen_only() {
            self.silent_until().max(self.open.spared().unwrap_or(0))
        } else if let Some(due) = self.open.due() {
            self.notes(Fact::Looked);
            let inbound = self.interval(self.config.ping_interval());
            let outbound = self
                .config
                .send_interval()
                .map(|setting| self.interval(setting));
            due.min(self.now + outbound.map_or(inbound, |outbound| outbound.min(inbound)))
        } else {
            self.quiet_until()
        };
        self.arms(next);
    }

    /// What is overdue is asked for 1 ms later, or when it already was.
    fn arms(&mut self, at: Nanos) {
        let soon = self.now + MILLISECOND;
        let asked = self.deadline.filter(|&asked| asked > self.now);
        let next = match asked {
            _ if at > self.now => at,
            Some(asked) => asked.min(soon),
            None => soon,
        };
        self.deadline = Some(next.min(END)).filter(|_| self.now < END);
    }

    fn quiet_until(&self) -> Nanos {
        let open = &self.open;
        let inbound = open.received() + self.interval(self.config.ping_interval());
        let speaks = |fact: &Fact| matches!(fact, Fact::Said | Fact::Ping { .. } | Fact::Looked);
        let spoke = open.last(speaks).unwrap_or(open.opened);
        let outbound = self
            .config
            .send_interval()
            .map(|setting| spoke + self.interval(setting));
        outbound
            .map_or(inbound, |outbound| outbound.min(inbound))
            .min(END)
    }

    fn silent_until(&self) -> Nanos {
        (self.open.received() + nanos(self.config.idle_timeout())).min(END)
    }

    fn grace(&self) -> Nanos {
        nanos(self.config.late_tolerance().min(self.config.idle_timeout()))
    }

    fn interval(&self, setting: Duration) -> Nanos {
        let drawn = self
            .open
            .facts
            .iter()
            .rev()
            .find_map(|(_, fact)| match fact {
                Fact::Drawn(share) => Some(*share),
                _ => None,
            });
        (nanos(setting) * drawn.unwrap_or(1 << 32) / (1 << 32)).max(MILLISECOND)
    }

    fn timeout(&self) -> Nanos {
        let least = nanos(self.config.pong_timeout());
        match (self.config.adaptive_timeout(), self.open.round_trip()) {
            (Some(greatest), Some(measured)) => {
                let patience = measured.smoothed + 4 * measured.variance;
                (Nanos::from(patience) * 1_000).clamp(least, nanos(greatest))
            }
            _ => least,
        }
    }

    // What is random.

    fn draws(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = self.random;
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of so many, from 0.
    fn draws_of(&mut self, count: Nanos) -> Nanos {
        (Nanos::from(self.draws()) * count) >> 64
    }

    fn draws_between(&mut self, least: Nanos, greatest: Nanos) -> Nanos {
        let count = greatest.saturating_sub(least) + 1;
        (least + self.draws_of(count)).max(MILLISECOND)
    }

    fn draws_interval(&mut self) {
        const WHOLE: Nanos = 1 << 32;
        let share = if self.open.pings() == 0 && self.config.random_phase() {
            self.draws_of(WHOLE) + 1
        } else {
            let spread = (self.config.jitter() * f64::from(u32::MAX)) as Nanos;
            WHOLE - self.draws_of(spread + 1)
        };
        self.notes(Fact::Drawn(share));
    }

    // The time inside: the greatest so far.

    fn advance(&mut self, now: Duration, is_received: bool) {
        if !self.has_begun {
            // Until something happens but `Received`, only the latest of these counts.
            self.has_begun = !is_received;
            self.origin = self.origin.or(Some(now));
            if is_received {
                self.origin = self.origin.max(Some(now));
            }
        }
        let origin = self.origin.unwrap_or(now);
        let since = if now == Duration::MAX {
            END
        } else {
            nanos(now).saturating_sub(nanos(origin)).min(END)
        };
        self.now = self.now.max(since);
        if self.now == END {
            self.deadline = None;
        }
    }

    fn instant(&self, at: Nanos) -> Duration {
        let since = Duration::from_nanos(at.min(END) as u64);
        self.origin.unwrap_or_default().saturating_add(since)
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline.map(|at| self.instant(at))
    }
}

impl Connection {
    fn last(&self, is: impl Fn(&Fact) -> bool) -> Option<Nanos> {
        let mut facts = self.facts.iter().rev();
        facts.find(|(_, fact)| is(fact)).map(|(at, _)| *at)
    }

    /// From the last fact of this kind on, with it.
    fn since(&self, is: impl Fn(&Fact) -> bool) -> Option<&[(Nanos, Fact)]> {
        let at = self.facts.iter().rposition(|(_, fact)| is(fact))?;
        Some(&self.facts[at..])
    }

    fn received(&self) -> Nanos {
        self.last(|fact| *fact == Fact::Heard)
            .unwrap_or(self.opened)
    }

    /// What happened since something came in.
    fn silence(&self) -> &[(Nanos, Fact)] {
        self.since(|fact| *fact == Fact::Heard)
            .unwrap_or(&self.facts)
    }

    fn since_ping(&self) -> &[(Nanos, Fact)] {
        self.since(|fact| matches!(fact, Fact::Ping { .. }))
            .unwrap_or_default()
    }

    fn pings(&self) -> u32 {
        let is_ping = |(_, fact): &&(Nanos, Fact)| matches!(fact, Fact::Ping { .. });
        self.facts.iter().filter(is_ping).count() as u32
    }

    fn missed(&self) -> u32 {
        let is_missed = |(_, fact): &&(Nanos, Fact)| *fact == Fact::Missed;
        self.silence().iter().filter(is_missed).count() as u32
    }

    /// When the ping that is out is missed.
    fn due(&self) -> Option<Nanos> {
        let mut due = None;
        for &(at, fact) in self.silence() {
            due = match (fact, due) {
                (Fact::Ping { timeout, .. }, _) => Some((at + timeout).min(END)),
                (Fact::Flushed(buffered), Some(due)) => Some((due + buffered).min(END)),
                (Fact::Until(latest), Some(due)) => Some(due.min(latest)),
                (Fact::Missed, _) => None,
                _ => due,
            };
        }
        due
    }

    fn awaited(&self) -> Option<PingId> {
        match self.since_ping() {
            [(_, Fact::Ping { id, .. }), rest @ ..] => {
                let is_answered = rest.iter().any(|(_, fact)| *fact == Fact::Answered);
                Some(*id).filter(|_| !is_answered)
            }
            _ => None,
        }
    }

    /// Until when the verdict on this silence was put off.
    fn spared(&self) -> Option<Nanos> {
        let mut facts = self.silence().iter().rev();
        facts.find_map(|(_, fact)| match fact {
            Fact::Spared(until) => Some(*until),
            _ => None,
        })
    }

    fn round_trip(&self) -> Option<Measured> {
        let (mut from, mut measured) = (0, None);
        for &(at, fact) in &self.facts {
            match fact {
                Fact::Ping { .. } | Fact::Flushed(_) => from = at,
                Fact::Answered => measured = Some(Measured::with(measured, at - from)),
                _ => {}
            }
        }
        measured
    }
}

impl Measured {
    fn with(before: Option<Self>, sample: Nanos) -> Self {
        let last = (sample / 1_000).clamp(1, Nanos::from(u32::MAX)) as u64;
        let Some(before) = before else {
            return Self {
                last,
                smoothed: last,
                variance: last / 2,
                minimum: last,
            };
        };
        let error = before.smoothed.abs_diff(last);
        Self {
            last,
            smoothed: (7 * before.smoothed + last + 4) / 8,
            variance: (3 * before.variance + error + 2) / 4,
            minimum: before.minimum.min(last),
        }
    }

    fn of(shown: RoundTrip) -> Self {
        let micros = |duration: Duration| duration.as_micros() as u64;
        Self {
            last: micros(shown.last()),
            smoothed: micros(shown.smoothed()),
            variance: micros(shown.variance()),
            minimum: micros(shown.minimum()),
        }
    }
}

fn after_close(close: Option<CloseReason>, then: Action<Duration>) -> Did {
    close.map(Action::Close).into_iter().chain([then]).collect()
}

fn nanos(duration: Duration) -> Nanos {
    duration.as_nanos()
}

fn compare<T: PartialEq + core::fmt::Debug>(
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!(
        "{what}: {found:?}, but the reference has {expected:?}"
    ))
}
