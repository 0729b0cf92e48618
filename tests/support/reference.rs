//! A slow machine that follows from the contract at a glance: a connection is the
//! list of all that happened to it, and whatever a rule asks is looked up there;
//! times are counted in nanoseconds that cannot overflow; one match says what
//! each event does in each state, and another what each watch counts from and how
//! long it lasts. [`Reference::agrees`] holds the steps of a heartbeat against it,
//! to the nanosecond.
//!
//! The contract leaves open what follows; here it is as the heartbeat has it:
//!
//! - SplitMix64, one draw for an interval and one for a delay. All intervals are the
//!   same drawn share of their settings, in parts of 2^16. A share is drawn where the
//!   watches begin, at each ping, and at a change of settings while they run.
//! - The id of a ping is its epoch and its number.
//! - A change of network in Waiting draws once per wait, also where that moves nothing.
//! - Where a dial is asked for too early outside Waiting, the wait has no hint.
//! - A tick notes a miss first, then comes to the other verdicts, then to pings. What is
//!   late, is late since the later of its own instant and the one that was armed; a ping
//!   since the miss before it, or since the earliest of the watches that ask for it.
//! - News that wait for longer than their second, since no tick came, are late since the
//!   last `Draining` or `PingSent` of a ping if that is later.
//! - While a ping is out, a watch that may not ask for one is looked at when it is due,
//!   and from then on whenever its time has gone by again.
//! - An early tick moves the deadline to the next look if that is later. `Healthy`, the
//!   first `Sent` of a doubt and a change of network without a ping only bring it forward.

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
#![allow(clippy::large_enum_variant)] // Settings are copied all the time.

use core::time::Duration;

use keepalive::{
    Action, CloseReason, Config, Event, Loss, PingId, Retry, RoundTrip, State, StopReason,
};

use super::oracle::{Entry, Foretold, Input, Trace};

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
    now: Nanos,
    deadline: Option<Nanos>,
    state: State,
    epoch: u32,
    attempt: u32,
    first_down: Option<Nanos>,
    /// How many of the next delays are drawn as the first two are.
    quick: u32,
    /// When the last dial began.
    dialled: Option<Nanos>,
    /// In Connecting: the verdict was put off.
    is_put_off: bool,
    /// In Connecting: a change of network made this dial.
    is_replacement: bool,
    /// In Waiting: the end of the server's hint.
    hinted: Nanos,
    /// In Waiting: a change of network has had its draw.
    is_hurried: bool,
    /// In Open.
    open: Connection,
}

/// All that happened to a connection, in its order.
#[derive(Clone, Debug, Default)]
struct Connection {
    facts: Vec<(Nanos, Fact)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fact {
    /// The settings from here on; the first are those that it opened with.
    Settings(Config),
    /// Anything came in.
    Heard,
    /// A message of the application's came in.
    Message,
    /// The pong that was awaited came.
    Answered,
    /// A pong came to a ping that is out, or that the one that is out replaced.
    Proof,
    /// What ends the probe and the row of misses.
    ProbeOver,
    /// A message of the application's went out.
    Said,
    Ping {
        id: PingId,
        /// The ping before it was still out.
        is_replacing: bool,
    },
    /// The answer to the pings of this row has the short timeout.
    Short,
    /// The ping that is out is missed then.
    AnswerBy(Nanos),
    Draining,
    /// A ping of the row left our buffer.
    Left,
    Missed,
    /// A late clock was forgiven: the ping that follows is in place of the last miss.
    Forgiven,
    /// A late verdict of this watch falls then; or it is not put off any more.
    PutOff(Watch, Option<Nanos>),
    /// The network changed, and that waits for a ping.
    News,
    /// The ping before this was made by news.
    Heeded,
    /// The share of the intervals.
    Drawn(Share),
    Healthy,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Share {
    /// Of 2^16.
    parts: Nanos,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    First,
    Late,
    Usual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Watch {
    Inbound,
    Outbound,
    Cadence,
    Doubt,
    News,
    Answer,
    Idle,
    Messages,
    Login,
}

impl Watch {
    const ALL: [Self; 9] = [
        Self::Inbound,
        Self::Outbound,
        Self::Cadence,
        Self::Doubt,
        Self::News,
        Self::Answer,
        Self::Idle,
        Self::Messages,
        Self::Login,
    ];
    const PINGING: [Self; 5] = [
        Self::Inbound,
        Self::Outbound,
        Self::Cadence,
        Self::Doubt,
        Self::News,
    ];
    /// Those whose verdict can be put off, in the order in which they are told.
    const JUDGING: [Self; 3] = [Self::Idle, Self::Messages, Self::Login];

    fn is_on(self, config: &Config) -> bool {
        let is_beating = !config.listen_only();
        match self {
            Self::Inbound => is_beating && !config.always_ping(),
            Self::Outbound => {
                is_beating && !config.always_ping() && config.send_interval().is_some()
            }
            Self::Cadence => config.always_ping(),
            Self::Doubt => config.confirm_within().is_some(),
            Self::News | Self::Answer => is_beating,
            Self::Idle => config.listen_only(),
            Self::Messages => config.message_timeout().is_some(),
            Self::Login => config.healthy_within().is_some(),
        }
    }

    fn verdict(self) -> (CloseReason, StopReason) {
        match self {
            Self::Idle => (CloseReason::IdleTimeout, StopReason::IdleTimeout),
            Self::Messages => (CloseReason::MessageTimeout, StopReason::MessageTimeout),
            Self::Login => (CloseReason::LoginTimeout, StopReason::LoginTimeout),
            _ => (CloseReason::PongTimeout, StopReason::PongTimeout),
        }
    }
}

/// How something ended.
struct Down {
    close: Option<CloseReason>,
    reason: StopReason,
    loss: Loss,
    retry: Option<Retry>,
    hint: Option<Duration>,
}

impl Down {
    fn failed(close: Option<CloseReason>, reason: StopReason) -> Self {
        Self {
            close,
            reason,
            loss: Loss::Failed,
            retry: None,
            hint: None,
        }
    }
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
            now: 0,
            deadline: None,
            state: State::Idle,
            epoch: 0,
            attempt: 0,
            first_down: None,
            quick: 0,
            dialled: None,
            is_put_off: false,
            is_replacement: false,
            hinted: 0,
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
        let foretold = match entry.foretold {
            Foretold::Nothing => Foretold::Nothing,
            _ => self
                .verdict(entry.now)
                .map_or(Foretold::Mercy, Foretold::Verdict),
        };
        compare("the verdict", &foretold, &entry.foretold)?;
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
            &self.open.answer_by().is_some(),
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

    /// When the verdict was due that a tick would speak, or when that was asked for.
    pub fn verdict(&self, now: Duration) -> Option<Duration> {
        let mut ahead = self.clone();
        ahead.advance(now);
        if ahead.deadline.is_none_or(|at| ahead.now < at) {
            return None;
        }
        let armed = ahead.deadline;
        let due = match ahead.state {
            State::Connecting => ahead.deadline.filter(|_| !ahead.is_dial_put_off()),
            State::Open => ahead.judges().err().map(|(_, due)| due),
            _ => None,
        };
        due.max(armed.filter(|_| due.is_some()))
            .map(|due| ahead.instant(due))
    }

    fn take(&mut self, input: Input, now: Duration) -> Did {
        let event = match input {
            Input::From(epoch, _) if epoch.to_string() != self.epoch.to_string() => {
                return Vec::new();
            }
            Input::Event(event) | Input::From(_, event) => Ok(event),
            Input::Reconfigure(config) => Err(config),
        };
        self.advance(now);
        let before = self.deadline;
        let mut did = match event {
            Ok(event) => self.happens(event),
            Err(config) => self.is_reconfigured(config),
        };
        if self.state != State::Open {
            self.open = Connection::default();
        }
        if event == Ok(Event::Tick) || self.deadline != before {
            did.extend(self.deadline().map(Action::ArmDeadline));
        }
        self.deadline = self.deadline.map(|at| at.min(self.last()));
        did
    }

    fn happens(&mut self, event: Event) -> Did {
        use State::{Closing, Connecting, Idle, Open, Stopped, Waiting};
        match (self.state, event) {
            (_, Event::Tick) if self.deadline.is_none_or(|at| self.now < at) => {
                self.looks_early();
                vec![]
            }

            (Idle, Event::Start | Event::ReconnectNow) => self.dials_if_calm(None),
            (Waiting, Event::ReconnectNow) => self.does_not_wait(),
            (Stopped, Event::Start | Event::ReconnectNow) => {
                self.forgets_failures();
                self.dials_if_calm(None)
            }
            (Connecting, Event::ReconnectNow) if !self.is_dial_aged(5 * SECOND) => vec![],
            (Closing, Event::Start) | (Connecting | Open | Closing, Event::ReconnectNow) => {
                self.ends();
                self.dials_if_calm(Some(CloseReason::Reconnect))
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

            (Open, Event::Received) => self.hears(false),
            (Open, Event::Message) => {
                self.notes(Fact::Message);
                self.hears(false)
            }
            (Open, Event::Pong(id)) => {
                let is_proof = self.open.answer_by().is_some() && self.open.has_in_row(id);
                if self.open.awaited() == Some(id) {
                    self.notes(Fact::Answered);
                }
                self.hears(is_proof)
            }
            (Open, Event::Sent) => self.speaks(),
            (Open, Event::Draining) => {
                if self.open.awaited().is_some() && !self.open.has_left() {
                    self.notes(Fact::Draining);
                    self.answers_from_now();
                }
                vec![]
            }
            (Open, Event::PingSent(id)) => {
                let is_awaited = self.open.awaited().is_some() && self.open.has_in_row(id);
                if is_awaited && !self.open.has_left() {
                    self.notes(Fact::Left);
                    self.answers_from_now();
                }
                vec![]
            }
            (Open, Event::Healthy) => self.is_ready(),

            (Connecting, Event::Tick) => self.gives_up_dialling(),
            (Open, Event::Tick) => self.beats(),
            (Closing, Event::Tick) => {
                self.ends();
                self.stops(Some(CloseReason::CloseTimeout), StopReason::Requested)
            }
            (Waiting, Event::Tick) => self.dials(None),

            (Connecting | Open, Event::Closed(closed)) => self.goes_down(Down {
                close: None,
                reason: StopReason::Closed(closed.code),
                loss: Loss::Closed(closed.code),
                retry: closed.retry,
                hint: closed.retry_after,
            }),
            (Connecting | Open, Event::GiveUp(closed)) => self.goes_down(Down {
                close: Some(CloseReason::GivenUp),
                reason: StopReason::Closed(closed.code),
                loss: Loss::Closed(closed.code),
                retry: closed.retry,
                hint: closed.retry_after,
            }),
            (Connecting, Event::Refused(refused)) => self.goes_down(Down {
                close: None,
                reason: StopReason::Refused(refused.status),
                loss: Loss::Refused(refused.status),
                retry: refused.retry,
                hint: refused.retry_after,
            }),
            (Connecting | Open, Event::Error(retry)) => self.goes_down(Down {
                retry,
                ..Down::failed(None, StopReason::Error)
            }),
            (Closing, Event::Closed(_) | Event::Error(_)) => {
                self.ends();
                self.stops(None, StopReason::Requested)
            }

            (Connecting, Event::NetworkChanged) => self.dials_again(),
            (Open, Event::NetworkChanged) => self.probes(),
            (Waiting, Event::NetworkChanged) => self.dials_earlier(),

            (Idle | Waiting, Event::Stop) => self.stops(None, StopReason::Requested),
            (Connecting | Closing, Event::Stop) => {
                self.ends();
                self.stops(Some(CloseReason::Abort), StopReason::Requested)
            }
            (Open, Event::Stop) => {
                self.settles_attempts(false);
                self.state = Closing;
                self.arms(self.now + nanos(self.config.close_timeout()));
                vec![Action::Close(CloseReason::Stop)]
            }

            _ => vec![],
        }
    }

    // To dial.

    /// The end of the second after the last dial.
    fn calm(&self) -> Nanos {
        self.dialled.map_or(0, |at| (at + SECOND).min(END))
    }

    fn is_dial_aged(&self, age: Nanos) -> bool {
        self.dialled
            .is_none_or(|at| self.now >= (at + age).min(END))
    }

    /// What the application asks for.
    fn dials_if_calm(&mut self, close: Option<CloseReason>) -> Did {
        let calm = self.calm();
        if self.now >= calm {
            return self.dials(close);
        }
        self.waits(calm, 0);
        after_close(close, self.planned(calm))
    }

    fn does_not_wait(&mut self) -> Did {
        let calm = self.calm();
        if self.now >= calm {
            return self.dials(None);
        }
        self.moves_the_plan(calm)
    }

    fn moves_the_plan(&mut self, at: Nanos) -> Did {
        let at = at.min(END);
        if self.deadline.is_none_or(|planned| at >= planned) {
            return vec![];
        }
        self.arms(at);
        vec![self.planned(at)]
    }

    fn dials(&mut self, close: Option<CloseReason>) -> Did {
        self.moves_on();
        self.state = State::Connecting;
        self.is_put_off = false;
        self.is_replacement = false;
        self.dialled = Some(self.now);
        self.arms(self.now + nanos(self.config.connect_timeout()));
        after_close(close, Action::Connect)
    }

    fn dials_again(&mut self) -> Did {
        self.quick = 2;
        if self.is_replacement || !self.is_dial_aged(SECOND) {
            return vec![];
        }
        self.moves_on();
        let did = self.dials(Some(CloseReason::Reconnect));
        self.is_replacement = true;
        did
    }

    fn dials_earlier(&mut self) -> Did {
        self.quick = 2;
        if self.is_hurried {
            return vec![];
        }
        self.is_hurried = true;
        let earliest = self.now.max(self.hinted).max(self.calm());
        let at = earliest + self.draws_between(0, SECOND);
        self.moves_the_plan(at)
    }

    fn waits(&mut self, at: Nanos, hinted: Nanos) {
        self.state = State::Waiting;
        self.is_hurried = false;
        self.hinted = hinted;
        self.arms(at);
    }

    fn planned(&self, at: Nanos) -> Action<Duration> {
        let (at, attempt) = (self.instant(at), self.attempt);
        Action::ScheduleReconnect { at, attempt }
    }

    fn gives_up_dialling(&mut self) -> Did {
        if self.is_dial_put_off() {
            self.is_put_off = true;
            let patience = self
                .config
                .late_tolerance()
                .min(self.config.connect_timeout());
            self.arms(self.now + nanos(patience));
            return vec![];
        }
        let (close, stop) = (CloseReason::ConnectTimeout, StopReason::ConnectTimeout);
        self.goes_down(Down::failed(Some(close), stop))
    }

    fn is_dial_put_off(&self) -> bool {
        self.is_late(0) && !self.is_put_off
    }

    // An open connection.

    fn opens(&mut self) -> Did {
        self.state = State::Open;
        self.open = Connection::default();
        self.notes(Fact::Settings(self.config));
        if !self.open.is_login_pending() {
            self.draws_share(Kind::First);
        }
        let look = self.next_look();
        self.arms(look);
        vec![]
    }

    fn notes(&mut self, fact: Fact) {
        self.open.facts.push((self.now, fact));
    }

    fn hears(&mut self, is_proof: bool) -> Did {
        self.notes(Fact::Heard);
        if is_proof {
            self.notes(Fact::Proof);
        }
        if is_proof || !self.config.strict_pongs() {
            self.notes(Fact::ProbeOver);
        }
        vec![]
    }

    fn speaks(&mut self) -> Did {
        let before = self.due(Watch::Doubt);
        self.notes(Fact::Said);
        if let (None, Some(due)) = (before, self.due(Watch::Doubt)) {
            self.brings_forward(due);
        }
        vec![]
    }

    fn is_ready(&mut self) -> Did {
        let begins = self.open.is_login_pending();
        self.notes(Fact::Healthy);
        if begins {
            self.draws_share(Kind::First);
            let look = self.next_look();
            self.brings_forward(look);
        }
        vec![]
    }

    /// While the ping is out, its answer counts from now.
    fn answers_from_now(&mut self) {
        if self.open.answer_by().is_some() {
            self.notes(Fact::AnswerBy((self.now + self.timeout()).min(END)));
        }
    }

    /// The ping that is out has no longer than the timeout from now on.
    fn answers_no_later(&mut self, due: Nanos) -> Nanos {
        let due = due.min(self.now + self.timeout());
        self.notes(Fact::AnswerBy(due));
        due
    }

    fn beats(&mut self) -> Did {
        match self.judges() {
            Err((watch, _)) => {
                let (close, stop) = watch.verdict();
                self.goes_down(Down::failed(Some(close), stop))
            }
            Ok((facts, due)) => {
                for fact in facts {
                    self.notes(fact);
                }
                let did = match due.or_else(|| self.asked_since()) {
                    Some(since) => {
                        let kind = if self.is_late(since) {
                            Kind::Late
                        } else {
                            Kind::Usual
                        };
                        self.pings(kind)
                    }
                    None => vec![],
                };
                self.deadline = None;
                let look = self.next_look();
                self.arms(look);
                did
            }
        }
    }

    /// What a tick finds: what it notes, and the miss that a ping has to follow; or the
    /// watch that convicts, and when that was due.
    fn judges(&self) -> Result<(Vec<Fact>, Option<Nanos>), (Watch, Nanos)> {
        let mut facts = vec![];
        let missed = self.due(Watch::Answer).filter(|&due| self.now >= due);
        if let Some(due) = missed {
            let is_last = self.open.missed() + 1 >= self.config.max_missed();
            let is_forgiven = self.is_late(due) && !self.open.is_forgiven();
            facts.push(match (is_last, is_forgiven) {
                (false, _) => Fact::Missed,
                (true, true) => Fact::Forgiven,
                (true, false) => return Err((Watch::Answer, due)),
            });
        }
        for watch in Watch::JUDGING {
            let Some(due) = self.due(watch).filter(|&due| self.now >= due) else {
                continue;
            };
            if !self.is_late(due) || self.put_off(watch).is_some() {
                return Err((watch, due));
            }
            facts.push(Fact::PutOff(watch, Some(self.put_off_until(watch))));
        }
        Ok((facts, missed))
    }

    fn put_off_until(&self, watch: Watch) -> Nanos {
        let lasts = self.watch(watch).map_or(0, |(_, lasts)| lasts);
        (self.now + lasts.min(nanos(self.config.late_tolerance()))).min(END)
    }

    /// It counts from the later of the due instant and the deadline that was armed.
    fn is_late(&self, due: Nanos) -> bool {
        let due = due.max(self.deadline.unwrap_or(0));
        self.now.saturating_sub(due) > nanos(self.config.late_tolerance())
    }

    /// The earliest of the watches that ask for a ping now and may.
    fn asked_since(&self) -> Option<Nanos> {
        let watches = Watch::PINGING
            .into_iter()
            .filter(|&watch| self.may_ping(watch));
        let dues = watches.filter_map(|watch| self.due(watch));
        dues.filter(|&due| self.now >= due).min()
    }

    fn may_ping(&self, watch: Watch) -> bool {
        let is_out = self.open.answer_by().is_some();
        !is_out || (watch == Watch::Cadence && !self.open.is_behind_our_bytes())
    }

    fn pings(&mut self, kind: Kind) -> Did {
        let number = self.open.pings() + 1;
        let id = u64::from(self.epoch) << 32 | u64::from(number);
        let id = PingId::from_bytes(id.to_be_bytes());
        let is_news = self.open.is_news_waiting();
        let due = self.open.answer_by();
        let replaced = due.filter(|&due| self.now < due);
        let stands_for_short = due != replaced && self.open.is_short();
        self.notes(Fact::Ping {
            id,
            is_replacing: replaced.is_some(),
        });
        if is_news {
            self.notes(Fact::Heeded);
        }
        if is_news || stands_for_short {
            self.notes(Fact::Short);
        }
        let fresh = (self.now + self.timeout()).min(END);
        self.notes(Fact::AnswerBy(replaced.unwrap_or(fresh)));
        self.draws_share(kind);
        vec![Action::SendPing(id)]
    }

    fn probes(&mut self) -> Did {
        if self.config.listen_only() || self.open.is_login_pending() {
            return vec![];
        }
        if let Some(due) = self.open.answer_by() {
            self.notes(Fact::Short);
            let due = self.answers_no_later(due);
            self.brings_forward(due);
            return vec![];
        }
        self.notes(Fact::News);
        match self.due(Watch::News).filter(|&due| self.now < due) {
            Some(due) => {
                self.brings_forward(due);
                vec![]
            }
            None => {
                let did = self.pings(Kind::Usual);
                let look = self.next_look();
                self.arms(look);
                did
            }
        }
    }

    fn is_reconfigured(&mut self, config: Config) -> Did {
        let before = core::mem::replace(&mut self.config, config);
        if self.state != State::Open {
            return vec![];
        }
        let was_pending = self.open.is_login_pending();
        self.notes(Fact::Settings(config));
        if config.listen_only() && !before.listen_only() {
            self.notes(Fact::ProbeOver);
        }
        if let Some(due) = self.open.answer_by() {
            self.answers_no_later(due);
        }
        for watch in Watch::JUDGING {
            let Some(until) = self.put_off(watch) else {
                continue;
            };
            let is_over = self.undeferred(watch).is_some_and(|due| self.now >= due);
            let until = until.min(self.put_off_until(watch));
            self.notes(Fact::PutOff(watch, Some(until).filter(|_| is_over)));
        }
        if was_pending && !self.open.is_login_pending() {
            self.draws_share(Kind::First);
        } else if let Some(share) = self.open.share() {
            self.draws_share(share.kind);
        }
        let look = self.next_look();
        self.arms(look);
        vec![]
    }

    // The watches.

    /// What it counts from, and how long it lasts; `None` while it does not run.
    fn watch(&self, watch: Watch) -> Option<(Nanos, Nanos)> {
        let (open, config) = (&self.open, &self.config);
        let began = open.since_began(watch)?[0].0;
        let last = |is: fn(&Fact) -> bool| open.last(is).unwrap_or(0).max(began);
        let is_ping = |fact: &Fact| matches!(fact, Fact::Ping { .. });
        Some(match watch {
            Watch::Inbound if config.strict_pongs() => (
                last(|fact| *fact == Fact::Proof),
                self.interval(config.ping_interval()),
            ),
            Watch::Inbound => (
                last(|fact| *fact == Fact::Heard),
                self.interval(config.ping_interval()),
            ),
            Watch::Outbound => (
                last(|fact| matches!(fact, Fact::Said | Fact::Ping { .. })),
                self.interval(config.send_interval()?),
            ),
            Watch::Cadence => (last(is_ping), self.interval(config.ping_interval())),
            Watch::Doubt => (open.first_said()?, nanos(config.confirm_within()?)),
            Watch::News => {
                let waits = open.is_news_waiting();
                let heeded = open.last(|fact| *fact == Fact::Heeded);
                // Only how late its ping is can tell.
                let moved = open.last(|fact| matches!(fact, Fact::Draining | Fact::Left));
                let moved = moved.unwrap_or(0).saturating_sub(SECOND);
                (heeded.filter(|_| waits)?.max(moved), SECOND)
            }
            Watch::Answer => {
                let due = open.answer_by()?;
                (due, 0)
            }
            Watch::Idle => (
                last(|fact| *fact == Fact::Heard),
                nanos(config.idle_timeout()),
            ),
            Watch::Messages => (
                last(|fact| *fact == Fact::Message),
                nanos(config.message_timeout()?),
            ),
            Watch::Login => (began, nanos(config.healthy_within()?)),
        })
    }

    fn undeferred(&self, watch: Watch) -> Option<Nanos> {
        let (from, lasts) = self.watch(watch)?;
        Some((from + lasts).min(END))
    }

    fn due(&self, watch: Watch) -> Option<Nanos> {
        let due = self.undeferred(watch)?;
        Some(self.put_off(watch).unwrap_or(due))
    }

    /// Until when the verdict was put off, since what the watch counts from.
    fn put_off(&self, watch: Watch) -> Option<Nanos> {
        let renews = match watch {
            Watch::Idle => Fact::Heard,
            Watch::Messages => Fact::Message,
            _ => Fact::Healthy,
        };
        let since = self.open.since_began(watch)?;
        let mut until = None;
        for &(_, fact) in since {
            match fact {
                Fact::PutOff(of, end) if of == watch => until = end,
                fact if fact == renews => until = None,
                _ => {}
            }
        }
        until
    }

    fn interval(&self, setting: Duration) -> Nanos {
        let share = self.open.share().map_or(1 << 16, |share| share.parts);
        ((nanos(setting) * share) >> 16).max(MILLISECOND)
    }

    /// Of the ping that is out, or of one that goes now.
    fn timeout(&self) -> Nanos {
        let least = nanos(self.config.pong_timeout());
        let adapting = self.config.adaptive_timeout();
        let patience = adapting
            .and_then(|_| self.open.round_trip())
            .map(|measured| Nanos::from(measured.smoothed + 4 * measured.variance) * 1_000);
        let full = match (adapting, patience) {
            (Some(greatest), Some(patience)) => patience.clamp(least, nanos(greatest)),
            _ => least,
        };
        if self.open.is_short() {
            full.min(patience.unwrap_or(0).max(5 * SECOND))
        } else {
            full
        }
    }

    // When to look again.

    fn next_look(&self) -> Nanos {
        let looks = Watch::ALL.into_iter().filter_map(|watch| {
            let due = self.due(watch)?;
            let (_, lasts) = self.watch(watch)?;
            let is_held = Watch::PINGING.contains(&watch) && !self.may_ping(watch);
            Some(if is_held && due <= self.now {
                self.now + lasts
            } else {
                due
            })
        });
        looks.min().unwrap_or(END)
    }

    /// A tick before the deadline may find that it is later by now.
    fn looks_early(&mut self) {
        if let (State::Open, Some(deadline)) = (self.state, self.deadline) {
            let look = self.next_look().max(deadline);
            self.arms(look);
        }
    }

    fn brings_forward(&mut self, at: Nanos) {
        if self.deadline.is_some_and(|armed| at < armed) {
            self.arms(at);
        }
    }

    /// What is overdue is asked for 1 ms later, or when it already was.
    fn arms(&mut self, at: Nanos) {
        let soon = self.now + MILLISECOND;
        let next = if at > self.now {
            at
        } else {
            soon.min(self.deadline.unwrap_or(soon))
        };
        self.deadline = Some(next.min(END)).filter(|_| self.now < END);
    }

    // To go down.

    fn goes_down(&mut self, down: Down) -> Did {
        let close = down.close;
        self.settles_attempts(close == Some(CloseReason::GivenUp));
        self.moves_on();
        let retry = down
            .retry
            .unwrap_or_else(|| self.config.policy()(down.loss));
        if !self.config.reconnect() || retry == Retry::Stop {
            return self.stops(close, down.reason);
        }
        let first_down = *self.first_down.get_or_insert(self.now);
        let most = self.config.max_attempts();
        if most.is_some_and(|most| self.attempt >= most) {
            return self.stops(close, StopReason::AttemptLimit);
        }
        let (elapsed, most) = (self.now - first_down, self.config.max_elapsed());
        if most.is_some_and(|most| elapsed >= nanos(most)) {
            return self.stops(close, StopReason::TimeLimit);
        }
        self.attempt = self.attempt.saturating_add(1);
        let (least, greatest) = self.bounds(retry);
        let hinted = self.now + nanos(down.hint.unwrap_or_default()).min(DAY);
        let drawn = hinted + self.draws_between(least, greatest);
        let is_asked_for = matches!(retry, Retry::Between { .. });
        let at = if is_asked_for {
            drawn.max(self.calm())
        } else {
            drawn
        };
        self.waits(at, hinted);
        after_close(close, self.planned(at))
    }

    fn bounds(&mut self, retry: Retry) -> (Nanos, Nanos) {
        let floor = nanos(self.config.backoff_floor());
        match retry {
            Retry::Between { least, greatest } => {
                let least = nanos(least).clamp(MILLISECOND, DAY);
                (least, nanos(greatest).clamp(least, DAY))
            }
            Retry::Spread => (floor, nanos(self.config.backoff_cap())),
            _ => match self.backs_off() {
                1 => (MILLISECOND, nanos(self.config.first_spread())),
                nth => (floor, self.ceiling(nth)),
            },
        }
    }

    /// Which delay it is, from 1.
    fn backs_off(&mut self) -> u32 {
        let nth = match self.quick {
            2 => 1,
            1 => 2,
            _ => self.attempt,
        };
        self.quick = self.quick.saturating_sub(1);
        nth
    }

    /// min(cap, base * factor^n), n = 0 at the second delay.
    fn ceiling(&self, nth: u32) -> Nanos {
        let exponent = i32::try_from(nth - 2).unwrap_or(i32::MAX);
        let growth = self.config.backoff_factor().powi(exponent);
        let grown = nanos(self.config.backoff_base()) as f64 * growth;
        nanos(self.config.backoff_cap()).min(grown as Nanos)
    }

    fn stops(&mut self, close: Option<CloseReason>, reason: StopReason) -> Did {
        self.state = State::Stopped;
        self.deadline = None;
        after_close(close, Action::Stopped(reason))
    }

    /// A connection or a dial is over.
    fn ends(&mut self) {
        self.settles_attempts(false);
        self.moves_on();
    }

    fn moves_on(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn settles_attempts(&mut self, is_given_up: bool) {
        if self.state != State::Open {
            return;
        }
        let (open, config) = (&self.open, &self.config);
        let is_healthy = open.has(Fact::Healthy);
        let proof = if config.message_timeout().is_some() {
            Fact::Message
        } else if config.strict_pongs() {
            Fact::Proof
        } else {
            Fact::Heard
        };
        let needs_healthy = is_given_up || open.has_opened_under_login();
        let is_proven = is_healthy || (open.has(proof) && !needs_healthy);
        let is_old = self.now - open.opened() >= nanos(config.stable_after());
        if is_proven && is_old {
            self.forgets_failures();
        }
    }

    fn forgets_failures(&mut self) {
        self.attempt = 0;
        self.first_down = None;
        self.quick = 0;
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

    fn draws_share(&mut self, kind: Kind) {
        const WHOLE: Nanos = 1 << 16;
        let parts = match kind {
            Kind::First if self.config.random_phase() => WHOLE - self.draws_of(WHOLE),
            Kind::Late if self.config.random_phase() => WHOLE - self.draws_of(58_983),
            _ => {
                let spread = (self.config.jitter() * 65_535.0) as Nanos;
                WHOLE - self.draws_of(spread + 1)
            }
        };
        self.notes(Fact::Drawn(Share { parts, kind }));
    }

    // The time inside: the greatest so far.

    fn advance(&mut self, now: Duration) {
        let origin = *self.origin.get_or_insert(now);
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

    /// The last time that can be told: a deadline beyond it is this.
    fn last(&self) -> Nanos {
        let origin = nanos(self.origin.unwrap_or_default());
        END.min(nanos(Duration::MAX) - origin)
    }
}

impl Connection {
    fn opened(&self) -> Nanos {
        self.facts.first().map_or(0, |(at, _)| *at)
    }

    fn last(&self, is: impl Fn(&Fact) -> bool) -> Option<Nanos> {
        let mut facts = self.facts.iter().rev();
        facts.find(|(_, fact)| is(fact)).map(|(at, _)| *at)
    }

    fn has(&self, wanted: Fact) -> bool {
        self.last(|fact| *fact == wanted).is_some()
    }

    /// From the last fact of this kind on, with it.
    fn since(&self, is: impl Fn(&Fact) -> bool) -> Option<&[(Nanos, Fact)]> {
        let at = self.facts.iter().rposition(|(_, fact)| is(fact))?;
        Some(&self.facts[at..])
    }

    fn settings(&self) -> impl Iterator<Item = &Config> {
        self.facts.iter().filter_map(|(_, fact)| match fact {
            Fact::Settings(config) => Some(config),
            _ => None,
        })
    }

    fn has_opened_under_login(&self) -> bool {
        let first = self.settings().next();
        first.is_some_and(|config| config.healthy_within().is_some())
    }

    /// It is asked for at the opening, and once it is switched off it stays off.
    fn is_login_pending(&self) -> bool {
        let mut settings = self.settings().peekable();
        settings.peek().is_some()
            && settings.all(|config| config.healthy_within().is_some())
            && !self.has(Fact::Healthy)
    }

    /// What happened since the watch began to run, with what made it.
    fn since_began(&self, watch: Watch) -> Option<&[(Nanos, Fact)]> {
        let (mut began, mut was_strict) = (None, false);
        let mut until = Self::default();
        for (at, &(time, fact)) in self.facts.iter().enumerate() {
            if !matches!(fact, Fact::Settings(_) | Fact::Healthy) {
                continue;
            }
            until.facts.push((time, fact));
            let Some(config) = until.settings().last() else {
                continue;
            };
            let is_allowed = until.is_login_pending() == (watch == Watch::Login);
            let is_on = is_allowed && watch.is_on(config);
            let is_anew = watch == Watch::Inbound && config.strict_pongs() && !was_strict;
            was_strict = config.strict_pongs();
            began = match began {
                _ if !is_on => None,
                Some(_) if is_anew => Some(at),
                Some(began) => Some(began),
                None => Some(at),
            };
        }
        began.map(|at: usize| &self.facts[at..])
    }

    /// What happened since something came in that ends a probe.
    fn silence(&self) -> &[(Nanos, Fact)] {
        self.since(|fact| *fact == Fact::ProbeOver)
            .unwrap_or(&self.facts)
    }

    fn since_ping(&self) -> &[(Nanos, Fact)] {
        self.since(|fact| matches!(fact, Fact::Ping { .. }))
            .unwrap_or_default()
    }

    /// Since the first ping of those that replaced each other.
    fn row(&self) -> &[(Nanos, Fact)] {
        let is_first = |fact: &Fact| {
            matches!(
                fact,
                Fact::Ping {
                    is_replacing: false,
                    ..
                }
            )
        };
        self.since(is_first).unwrap_or_default()
    }

    fn row_has(&self, wanted: Fact) -> bool {
        self.row().iter().any(|(_, fact)| *fact == wanted)
    }

    fn has_in_row(&self, wanted: PingId) -> bool {
        self.row()
            .iter()
            .any(|(_, fact)| matches!(fact, Fact::Ping { id, .. } if *id == wanted))
    }

    fn has_left(&self) -> bool {
        self.row_has(Fact::Left)
    }

    fn is_behind_our_bytes(&self) -> bool {
        self.row_has(Fact::Draining) && !self.has_left()
    }

    fn is_short(&self) -> bool {
        self.row_has(Fact::Short)
    }

    fn pings(&self) -> u32 {
        let is_ping = |(_, fact): &&(Nanos, Fact)| matches!(fact, Fact::Ping { .. });
        self.facts.iter().filter(is_ping).count() as u32
    }

    fn missed(&self) -> u32 {
        let is_missed = |(_, fact): &&(Nanos, Fact)| *fact == Fact::Missed;
        self.silence().iter().filter(is_missed).count() as u32
    }

    fn is_forgiven(&self) -> bool {
        let mut facts = self.silence().iter();
        facts.any(|(_, fact)| *fact == Fact::Forgiven)
    }

    /// When the ping that is out is missed.
    fn answer_by(&self) -> Option<Nanos> {
        let mut due = None;
        for &(_, fact) in self.silence() {
            match fact {
                Fact::AnswerBy(at) => due = Some(at),
                Fact::Missed => due = None,
                _ => {}
            }
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

    /// The first of the application's messages since the last ping.
    fn first_said(&self) -> Option<Nanos> {
        let mut first = None;
        for &(at, fact) in self.since_began(Watch::Doubt)? {
            match fact {
                Fact::Said => first = first.or(Some(at)),
                Fact::Ping { .. } => first = None,
                _ => {}
            }
        }
        first
    }

    fn is_news_waiting(&self) -> bool {
        let is_over = |fact: &Fact| {
            matches!(fact, Fact::Ping { .. })
                || matches!(fact, Fact::Settings(config) if config.listen_only())
        };
        let facts = self.since(is_over).unwrap_or(&self.facts);
        facts.iter().any(|(_, fact)| *fact == Fact::News)
    }

    fn share(&self) -> Option<Share> {
        let mut facts = self.facts.iter().rev();
        facts.find_map(|(_, fact)| match fact {
            Fact::Drawn(share) => Some(*share),
            _ => None,
        })
    }

    fn round_trip(&self) -> Option<Measured> {
        let (mut from, mut measured) = (0, None);
        for &(at, fact) in &self.facts {
            match fact {
                Fact::Ping { .. } | Fact::Draining | Fact::Left => from = at,
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
