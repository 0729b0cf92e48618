//! A judge of traces that knows the contract and nothing of the machine.
//!
//! [`Watched`] writes down what a heartbeat is told and what it does and shows:
//! a [`Trace`]. [`Trace::check`] follows it entry by entry with facts of its own
//! (when something last came in, what the ping that is out has left, how many
//! retries failed), and says which of the [`INVARIANTS`] an entry breaks. It
//! knows the bounds of every random draw, not the draws.
//!
//! Some invariants compare two traces: [`same`], [`shifted`], [`no_earlier`].

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.
#![allow(clippy::large_enum_variant)] // Settings are copied all the time.

use core::fmt;
use core::time::Duration;
use std::collections::HashSet;

use keepalive::{
    Action, CloseReason, Closed, Config, Epoch, Event, Heartbeat, Loss, Manner, PingId, Refused,
    Retry, RoundTrip, State, StopReason,
};

/// What has to hold for every config, seed, event sequence and clock; 0 is the
/// state table with its rules.
pub const INVARIANTS: [&str; 20] = [
    "the state table and the rules",
    "no panic, no overflow; internal time never goes back",
    "no spin: a deadline that is armed is later than now",
    "no stall: each waiting state has a deadline",
    "a tick before the deadline changes nothing but the deadline",
    "at most one ping out; at most one ping a step; never a ping outside Open, in \
     listen-only, or before a login that is asked for",
    "a ping's deadline moves later only by `Draining` and once by `PingSent`; a next ping \
     needs a miss, what ends a probe, or the cadence, which moves no deadline",
    "accuracy: a conviction implies that its watch ran for its full time with nothing in \
     that renews or ends it",
    "completeness: the detection bounds",
    "with ticks in time, activity never makes a conviction come earlier",
    "no watch that asks for a ping runs for longer than it lasts, unless a probe is out",
    "events of an old epoch change nothing",
    "one down, one attempt; one dial planned; one live connection",
    "every delay is the hint plus a draw within its bounds, or ends with the second after \
     the last dial",
    "attempts reset exactly when the stability rule says",
    "after Stopped nothing, until a beginning with attempt 0",
    "determinism: a clone fed the same events does the same",
    "shifting every instant shifts the deadlines and nothing else",
    "one tick does at most one of: ping, dial, give up",
    "dials that are asked for are at least 1 s apart",
];

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a heartbeat was told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    Event(Event),
    From(Epoch, Event),
    Reconfigure(Config),
}

/// What a heartbeat shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Views {
    pub state: State,
    pub epoch: Epoch,
    pub attempt: u32,
    pub missed: u32,
    pub is_ping_out: bool,
    pub awaited: Option<PingId>,
    pub round_trip: Option<RoundTrip>,
    pub last_received: Option<Duration>,
}

/// What can be watched: a heartbeat, or one with a bug planted in it.
pub trait Machine {
    fn take(&mut self, input: Input, now: Duration) -> Vec<Action<Duration>>;
    fn deadline(&self) -> Option<Duration>;
    fn views(&self) -> Views;
    /// What it says that a tick now would do: see [`Heartbeat::verdict`].
    fn verdict(&self, now: Duration) -> Option<Duration>;
}

impl Machine for Heartbeat<Duration> {
    fn take(&mut self, input: Input, now: Duration) -> Vec<Action<Duration>> {
        Vec::from_iter(match input {
            Input::Event(event) => self.handle(event, now),
            Input::From(epoch, event) => self.handle_from(epoch, event, now),
            Input::Reconfigure(config) => self.reconfigure(config, now),
        })
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline()
    }

    fn views(&self) -> Views {
        Views {
            state: self.state(),
            epoch: self.epoch(),
            attempt: self.attempt(),
            missed: self.missed(),
            is_ping_out: self.is_ping_out(),
            awaited: self.awaited_ping(),
            round_trip: self.round_trip(),
            last_received: self.last_received(),
        }
    }

    fn verdict(&self, now: Duration) -> Option<Duration> {
        self.verdict(now)
    }
}

/// What the machine said of a tick just before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Foretold {
    /// It was not asked, or it was no tick.
    Nothing,
    Mercy,
    /// A verdict that was due then.
    Verdict(Duration),
}

impl Foretold {
    /// To be asked before the step.
    pub fn by(machine: &impl Machine, input: Input, now: Duration) -> Self {
        match input {
            Input::Event(Event::Tick) => machine.verdict(now).map_or(Self::Mercy, Self::Verdict),
            _ => Self::Nothing,
        }
    }
}

/// One step: what went in, what came out, and what showed before and after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub input: Input,
    pub now: Duration,
    pub foretold: Foretold,
    pub actions: Vec<Action<Duration>>,
    pub deadline: Option<Duration>,
    pub views: Views,
}

impl Entry {
    /// Lets the machine take a step.
    pub fn step(machine: &mut impl Machine, input: Input, now: Duration) -> Self {
        let foretold = Foretold::by(machine, input, now);
        let actions = machine.take(input, now);
        Self {
            foretold,
            ..Self::new(input, now, actions, machine)
        }
    }

    /// Of a step that was taken, by a machine that was not asked before it.
    pub fn new(
        input: Input,
        now: Duration,
        actions: Vec<Action<Duration>>,
        machine: &impl Machine,
    ) -> Self {
        Self {
            input,
            now,
            foretold: Foretold::Nothing,
            actions,
            deadline: machine.deadline(),
            views: machine.views(),
        }
    }
}

/// All steps of a heartbeat since it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub config: Config,
    pub entries: Vec<Entry>,
}

impl Trace {
    pub fn check(&self) -> Verdict {
        let mut oracle = Oracle::new(self.config);
        for (at, entry) in self.entries.iter().enumerate() {
            oracle.follow(entry).map_err(|broken| {
                Box::new(Violation {
                    invariant: broken.invariant,
                    text: broken.text,
                    trace: self.until(at + 1),
                })
            })?;
        }
        Ok(())
    }

    fn until(&self, end: usize) -> Self {
        Self {
            config: self.config,
            entries: self.entries[..end].to_vec(),
        }
    }
}

/// A heartbeat whose every step is written down.
#[derive(Clone, Debug)]
pub struct Watched<M = Heartbeat<Duration>> {
    pub heartbeat: M,
    pub trace: Trace,
}

impl Watched {
    pub fn new(config: Config, seed: u64) -> Self {
        Self::of(Heartbeat::new(config, seed), config)
    }
}

impl<M: Machine> Watched<M> {
    /// A machine that is new, and the settings that it should keep.
    pub fn of(heartbeat: M, config: Config) -> Self {
        Self {
            heartbeat,
            trace: Trace {
                config,
                entries: Vec::new(),
            },
        }
    }

    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action<Duration>> {
        self.feed(Input::Event(event), now)
    }

    pub fn feed(&mut self, input: Input, now: Duration) -> Vec<Action<Duration>> {
        self.misreport(input, now, Some((input, now)))
    }

    /// Writes one thing down and tells the heartbeat another, or nothing: as if
    /// the machine got it wrong.
    pub fn misreport(
        &mut self,
        input: Input,
        now: Duration,
        told: Option<(Input, Duration)>,
    ) -> Vec<Action<Duration>> {
        let foretold = Foretold::by(&self.heartbeat, input, now);
        let actions = told.map_or_else(Vec::new, |(told, now)| self.heartbeat.take(told, now));
        self.trace.entries.push(Entry {
            foretold,
            ..Entry::new(input, now, actions.clone(), &self.heartbeat)
        });
        actions
    }

    pub fn check(&self) -> Verdict {
        self.trace.check()
    }
}

pub type Verdict = Result<(), Box<Violation>>;

/// An entry that breaks an invariant, at the end of its trace.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: usize,
    pub text: String,
    pub trace: Trace,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.invariant;
        writeln!(
            formatter,
            "invariant {number} is broken: {}",
            INVARIANTS[number]
        )?;
        writeln!(formatter, "  {}", self.text)?;
        writeln!(formatter, "by the last entry of this trace:")?;
        self.trace.fmt(formatter)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 60;
        writeln!(formatter, "{:?}", self.config)?;
        let skipped = self.entries.len().saturating_sub(SHOWN);
        if skipped > 0 {
            writeln!(formatter, "({skipped} entries before)")?;
        }
        for (at, entry) in self.entries.iter().enumerate().skip(skipped) {
            writeln!(formatter, "{at:4} {entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: ", self.now)?;
        match self.input {
            Input::Event(event) => write!(formatter, "{event:?}")?,
            Input::From(epoch, event) => write!(formatter, "{event:?} of epoch {epoch}")?,
            Input::Reconfigure(config) => write!(formatter, "reconfigure to {config:?}")?,
        }
        write!(formatter, " -> {:?}", self.actions)?;
        let Views {
            state,
            epoch,
            attempt,
            missed,
            ..
        } = self.views;
        write!(formatter, "; {state:?}, epoch {epoch}, attempt {attempt}")?;
        if missed > 0 {
            write!(formatter, ", missed {missed}")?;
        }
        if self.views.is_ping_out {
            write!(formatter, ", ping out")?;
        }
        match self.deadline {
            Some(at) => write!(formatter, ", deadline {at:?}"),
            None => write!(formatter, ", no deadline"),
        }
    }
}

/// Invariant 16.
pub fn same(one: &Trace, other: &Trace) -> Verdict {
    compare(16, one, other, |entry| entry.clone())
}

/// Invariant 17: `other` is `one` with every instant moved on by `by`.
pub fn shifted(one: &Trace, other: &Trace, by: Duration) -> Verdict {
    compare(17, one, other, |entry| {
        let mut entry = entry.clone();
        entry.now += by;
        entry.deadline = entry.deadline.map(|at| at + by);
        entry.views.last_received = entry.views.last_received.map(|at| at + by);
        if let Foretold::Verdict(due) = &mut entry.foretold {
            *due += by;
        }
        for action in &mut entry.actions {
            if let Action::ArmDeadline(at) | Action::ScheduleReconnect { at, .. } = action {
                *at += by;
            }
        }
        entry
    })
}

fn compare(
    invariant: usize,
    one: &Trace,
    other: &Trace,
    expected: impl Fn(&Entry) -> Entry,
) -> Verdict {
    let violation = |at: usize, text: String| {
        let trace = one.until(at);
        Box::new(Violation {
            invariant,
            text,
            trace,
        })
    };
    if one.entries.len() != other.entries.len() {
        return Err(violation(0, "the lengths differ".into()));
    }
    for (at, (one, other)) in one.entries.iter().zip(&other.entries).enumerate() {
        if expected(one) != *other {
            return Err(violation(at + 1, format!("the other trace has {other}")));
        }
    }
    Ok(())
}

/// Invariant 9: in a silence with ticks in time that begins at entry `from`,
/// `more` had an activity that `less` had not.
pub fn no_earlier(less: &Trace, more: &Trace, from: usize) -> Verdict {
    match (first_conviction(less, from), first_conviction(more, from)) {
        (Some(without), Some(with)) if with < without => Err(Box::new(Violation {
            invariant: 9,
            text: format!("the conviction came at {with:?}, without the activity at {without:?}"),
            trace: more.clone(),
        })),
        _ => Ok(()),
    }
}

/// When an open connection was first ended by a verdict, from this entry on.
pub fn first_conviction(trace: &Trace, from: usize) -> Option<Duration> {
    let convicts = |entry: &&Entry| entry.actions.iter().any(is_conviction);
    trace
        .entries
        .iter()
        .skip(from)
        .find(convicts)
        .map(|entry| entry.now)
}

fn is_conviction(action: &Action<Duration>) -> bool {
    matches!(
        action,
        Action::Close(
            CloseReason::PongTimeout
                | CloseReason::IdleTimeout
                | CloseReason::MessageTimeout
                | CloseReason::LoginTimeout
        )
    )
}

/// On the peer, or on a dial.
fn is_any_verdict(action: &Action<Duration>) -> bool {
    is_conviction(action) || *action == Action::Close(CloseReason::ConnectTimeout)
}

fn is_ping(action: &Action<Duration>) -> bool {
    matches!(action, Action::SendPing(_))
}

#[derive(Debug)]
pub struct Broken {
    pub invariant: usize,
    pub text: String,
}

pub type Checked<T = ()> = Result<T, Broken>;

macro_rules! ensure {
    ($holds:expr, $invariant:expr, $($text:tt)+) => {{
        let holds: bool = $holds;
        if !holds {
            return Err(Broken { invariant: $invariant, text: format!($($text)+) });
        }
    }};
}

/// The time inside: the greatest `now` so far, and where it ends.
#[derive(Clone)]
struct Clock {
    origin: Option<Duration>,
    now: Duration,
}

impl Clock {
    fn advance(&mut self, now: Duration) {
        self.origin.get_or_insert(now);
        self.now = self.now.max(now).min(self.end());
        if now == Duration::MAX {
            self.now = self.end();
        }
    }

    /// 584 years after the first instant, or the greatest instant.
    fn end(&self) -> Duration {
        let years = Duration::from_nanos(u64::MAX - 1);
        self.origin
            .map_or(Duration::MAX, |origin| origin.saturating_add(years))
    }

    fn is_at_end(&self) -> bool {
        self.now == self.end()
    }

    /// How long ago it was. The greatest instant counts as the end of time.
    fn since(&self, earlier: Duration) -> Duration {
        if self.is_at_end() && earlier < self.now {
            let age = earlier.saturating_sub(self.origin.unwrap_or_default());
            return Duration::from_nanos(u64::MAX - 1).saturating_sub(age);
        }
        self.now.saturating_sub(earlier)
    }

    fn hence(&self, duration: Duration) -> Duration {
        self.after(self.now, duration)
    }

    fn after(&self, from: Duration, duration: Duration) -> Duration {
        from.saturating_add(duration).min(self.end())
    }
}

#[derive(Clone)]
enum Phase {
    Idle,
    Connecting(Dial),
    Open(Box<Open>),
    Closing { due: Duration },
    Waiting(Waiting),
    Stopped,
}

#[derive(Clone)]
struct Dial {
    began: Duration,
    due: Duration,
    /// Its verdict was put off.
    is_spared: bool,
    /// It stands for one that a change of network ended.
    is_second: bool,
}

#[derive(Clone)]
struct Waiting {
    at: Duration,
    /// The end of the server's hint.
    hinted: Duration,
    /// A change of network had its draw.
    has_drawn: bool,
    /// The application or the network asked for the dial.
    is_asked_for: bool,
}

/// From where a watch counts that may or may not count anew after a probe.
#[derive(Clone, Copy)]
struct From {
    earliest: Duration,
    latest: Duration,
}

impl From {
    fn exactly(at: Duration) -> Self {
        Self {
            earliest: at,
            latest: at,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Login {
    NotAsked,
    Awaited,
    /// It was asked for when the connection opened, and no longer.
    Waived,
}

#[derive(Clone)]
struct Open {
    opened: Duration,
    login: Login,
    healthy: bool,
    received: Option<Duration>,
    had_message: bool,
    /// A pong ended a probe.
    had_answer: bool,
    /// Inbound and idle count from here, or from what came in later.
    alive: Duration,
    message: Duration,
    outbound: From,
    cadence: From,
    doubt: Option<From>,
    /// The last ping that a change of network made.
    news: Option<Duration>,
    /// A change of network waits for the end of that second.
    news_wait: bool,
    /// The last `Draining` or `PingSent`.
    moved: Duration,
    probe: Option<Probe>,
    ping: Option<Ping>,
    pings: u32,
    put_off: PutOff,
    share: Share,
    /// What was overdue after a change is asked for by then.
    asked: Duration,
    /// The bounds for the peer, for messages and for the login.
    silence: Silence,
    drought: Silence,
    wait: Silence,
}

/// The ping that is out, with those that it replaced.
#[derive(Clone)]
struct Probe {
    /// When it is missed.
    due: Duration,
    missed: u32,
    is_spared: bool,
    is_urgent: bool,
}

/// The last ping.
#[derive(Clone)]
struct Ping {
    id: PingId,
    /// The round trip counts from here.
    from: Duration,
    is_awaited: bool,
    /// It, and those that it replaced while they were out.
    row: Vec<PingId>,
    /// One of the row has left our buffer.
    has_left: bool,
    /// The row waits behind our bytes.
    is_behind: bool,
    /// Until then the bound of the detection has what this row added to it.
    counted: Duration,
}

/// Until when verdicts were put off, where no ping can stand for them.
#[derive(Clone, Copy, Default)]
struct PutOff {
    idle: Option<Duration>,
    messages: Option<Duration>,
    login: Option<Duration>,
}

/// How the share of the intervals in force may have been drawn.
#[derive(Clone, Copy)]
struct Share {
    first: bool,
    late: bool,
    usual: bool,
}

impl Share {
    const FIRST: Self = Self {
        first: true,
        late: false,
        usual: false,
    };
    const USUAL: Self = Self {
        first: false,
        late: false,
        usual: true,
    };
    const LATE: Self = Self {
        first: false,
        late: true,
        usual: false,
    };
    const LATE_OR_USUAL: Self = Self {
        first: false,
        late: true,
        usual: true,
    };

    /// The least that an interval may have been drawn to.
    fn least(self, config: &Config, interval: Duration) -> Duration {
        let usual = 1.0 - config.jitter();
        let share = match self {
            _ if !config.random_phase() => usual,
            Self { first: true, .. } => 0.0,
            Self { late: true, .. } => usual.min(0.1),
            Self { .. } => usual,
        };
        interval
            .mul_f64(share)
            .saturating_sub(Duration::from_nanos(2))
            .max(MILLISECOND)
    }
}

/// What the bound of a detection is made of, since the last sign of life.
#[derive(Clone)]
struct Silence {
    since: Duration,
    lateness: Duration,
    /// The first deadline that has passed without a tick.
    owed: Option<Duration>,
    /// What the watch lasts without the answers.
    lasts: Duration,
    /// Of an answer.
    timeout: Duration,
    max_missed: u32,
    /// What a verdict may be put off by.
    grace: Duration,
    is_forgiven: bool,
    /// What `Draining` and `PingSent` added.
    buffered: Duration,
    /// Changes that put off by 1 ms what they made overdue.
    changes: u32,
}

impl Silence {
    fn new(since: Duration) -> Self {
        Self {
            since,
            lateness: Duration::ZERO,
            owed: None,
            lasts: Duration::ZERO,
            timeout: Duration::ZERO,
            max_missed: 0,
            grace: Duration::ZERO,
            is_forgiven: false,
            buffered: Duration::ZERO,
            changes: 0,
        }
    }

    /// Of the peer. The longest settings in force count.
    fn of_peer(since: Duration, config: &Config) -> Self {
        let mut silence = Self::new(since);
        silence.is_under(config);
        silence
    }

    fn is_under(&mut self, config: &Config) {
        if config.listen_only() {
            return self.may_last(config.idle_timeout(), config);
        }
        let timeout = config.adaptive_timeout().unwrap_or(config.pong_timeout());
        self.lasts = self.lasts.max(config.ping_interval());
        self.timeout = self.timeout.max(timeout);
        self.grace = self.timeout;
        self.max_missed = self.max_missed.max(config.max_missed());
    }

    /// A watch without pings.
    fn lasting(since: Duration, lasts: Option<Duration>, config: &Config) -> Self {
        let mut silence = Self::new(since);
        silence.may_last(lasts.unwrap_or_default(), config);
        silence
    }

    fn may_last(&mut self, lasts: Duration, config: &Config) {
        self.lasts = self.lasts.max(lasts);
        self.grace = self.grace.max(config.late_tolerance().min(lasts));
    }

    fn bound(&self) -> Duration {
        let mut bound = self
            .lasts
            .saturating_add(self.timeout * self.max_missed)
            .saturating_add(self.lateness.saturating_mul(self.max_missed + 1));
        if self.is_forgiven {
            bound = bound
                .saturating_add(self.grace)
                .saturating_add(self.lateness);
        }
        bound
            .saturating_add(self.buffered)
            .saturating_add(MILLISECOND * self.changes)
    }

    /// A tick is late for the first deadline that it serves, however often that was
    /// put off.
    fn observe_lateness(&mut self, deadline: Duration, clock: &Clock, is_tick: bool) {
        let owed = self.owed.map_or(deadline, |owed| owed.min(deadline));
        let late = clock.since(owed.max(self.since));
        self.lateness = self.lateness.max(late);
        let is_served = is_tick && clock.now >= deadline;
        self.owed = Some(owed).filter(|&owed| !is_served && owed <= clock.now);
    }

    fn keeps_bound(&self, clock: &Clock) -> Checked<(Duration, Duration)> {
        let (silence, bound) = (clock.since(self.since), self.bound());
        ensure!(
            silence <= bound,
            8,
            "no conviction after {silence:?}; the bound is {bound:?}"
        );
        Ok((silence, bound))
    }
}

/// A watch that asks for pings.
struct Asking {
    earliest: Duration,
    latest: Duration,
    /// What it lasts.
    least: Duration,
    most: Duration,
    /// Not while a ping is out.
    is_held: bool,
}

impl Open {
    fn new(now: Duration, config: &Config) -> Self {
        let login = match config.healthy_within() {
            Some(_) => Login::Awaited,
            None => Login::NotAsked,
        };
        let mut open = Self {
            opened: now,
            login,
            healthy: false,
            received: None,
            had_message: false,
            had_answer: false,
            alive: now,
            message: now,
            outbound: From::exactly(now),
            cadence: From::exactly(now),
            doubt: None,
            news: None,
            news_wait: false,
            moved: Duration::ZERO,
            probe: None,
            ping: None,
            pings: 0,
            put_off: PutOff::default(),
            share: Share::FIRST,
            asked: Duration::ZERO,
            silence: Silence::new(now),
            drought: Silence::new(now),
            wait: Silence::lasting(now, config.healthy_within(), config),
        };
        open.begins(now, config);
        open
    }

    fn is_login_awaited(&self) -> bool {
        self.login == Login::Awaited && !self.healthy
    }

    /// The watches begin, or would if no login were awaited.
    fn begins(&mut self, now: Duration, config: &Config) {
        self.alive = now;
        self.message = now;
        self.outbound = From::exactly(now);
        self.cadence = From::exactly(now);
        self.doubt = None;
        self.put_off = PutOff::default();
        self.share = Share::FIRST;
        self.silence = Silence::of_peer(now, config);
        self.drought = Silence::lasting(now, config.message_timeout(), config);
    }

    /// From where inbound and idle count.
    fn alive(&self, config: &Config) -> Duration {
        if config.strict_pongs() {
            return self.alive;
        }
        self.received
            .map_or(self.alive, |received| received.max(self.alive))
    }

    fn receives(&mut self, now: Duration, config: &Config) {
        self.received = Some(now);
        if !config.strict_pongs() && !self.is_login_awaited() {
            self.lives(now, config);
        }
    }

    /// A sign of life ends the probe.
    fn lives(&mut self, now: Duration, config: &Config) {
        self.alive = now;
        self.ends_probe(now);
        self.put_off.idle = None;
        self.silence = Silence::of_peer(now, config);
    }

    fn ends_probe(&mut self, now: Duration) {
        if self.probe.take().is_some() {
            self.outbound.latest = now;
            self.cadence.latest = now;
            if let Some(doubt) = &mut self.doubt {
                doubt.latest = now;
            }
        }
    }

    fn awaited(&self) -> Option<&Ping> {
        self.ping.as_ref().filter(|ping| ping.is_awaited)
    }

    /// Its round trip counts from now, and its answer if it is out; `left` if a ping
    /// of the row has left our buffer.
    fn moves(&mut self, left: bool, clock: &Clock, timeout: impl Fn(bool) -> Duration) {
        self.moved = clock.now;
        let Some(ping) = &mut self.ping else { return };
        ping.from = clock.now;
        if left && ping.is_behind {
            self.cadence.latest = clock.now;
        }
        ping.has_left = left;
        ping.is_behind = !left;
        if let Some(probe) = &mut self.probe {
            probe.due = clock.hence(timeout(probe.is_urgent));
            self.silence.buffered += clock.since(ping.counted);
            ping.counted = clock.now;
        }
    }

    /// Whether this connection proves that attempts may count from 1 again.
    fn is_stable(&self, config: &Config, clock: &Clock, was_given_up: bool) -> bool {
        let is_proved = match self.login {
            _ if self.healthy => true,
            Login::Awaited | Login::Waived => false,
            Login::NotAsked if was_given_up => false,
            Login::NotAsked if config.message_timeout().is_some() => self.had_message,
            Login::NotAsked if config.strict_pongs() => self.had_answer,
            Login::NotAsked => self.received.is_some(),
        };
        is_proved && clock.since(self.opened) >= config.stable_after()
    }

    /// The rows of the contract's table that end in a ping.
    fn asking(&self, config: &Config, clock: &Clock) -> Vec<Asking> {
        if self.is_login_awaited() || config.listen_only() {
            return Vec::new();
        }
        let is_out = self.probe.is_some();
        let drawn = |from: From, interval| {
            let least = self.share.least(config, interval);
            Asking {
                earliest: clock.after(from.earliest, least),
                latest: clock.after(from.latest, interval),
                least,
                most: interval,
                is_held: is_out,
            }
        };
        let mut asking = Vec::new();
        if config.always_ping() {
            let is_behind = self.ping.as_ref().is_some_and(|ping| ping.is_behind);
            asking.push(Asking {
                is_held: is_out && is_behind,
                ..drawn(self.cadence, config.ping_interval())
            });
        } else {
            let alive = From::exactly(self.alive(config));
            asking.push(drawn(alive, config.ping_interval()));
            let outbound = config.send_interval();
            asking.extend(outbound.map(|interval| drawn(self.outbound, interval)));
        }
        let exactly = |from: From, lasts| Asking {
            earliest: clock.after(from.earliest, lasts),
            latest: clock.after(from.latest, lasts),
            least: lasts,
            most: lasts,
            is_held: is_out,
        };
        let doubt = self.doubt.zip(config.confirm_within());
        asking.extend(doubt.map(|(from, lasts)| exactly(from, lasts)));
        let news = self.news.filter(|_| self.news_wait);
        asking.extend(news.map(|ping| exactly(From::exactly(ping), SECOND)));
        asking
    }

    /// The rows that end in a verdict, but for the answer: of which, when it is due,
    /// what it lasts, and until when it was put off.
    fn judging(&self, config: &Config, clock: &Clock) -> Vec<Judging> {
        let judging = |reason, from, lasts, put_off: Option<Duration>| Judging {
            reason,
            due: clock.after(from, lasts),
            lasts,
            put_off,
        };
        let PutOff {
            idle,
            messages,
            login,
        } = self.put_off;
        if self.is_login_awaited() {
            let lasts = config.healthy_within();
            let login = |lasts| judging(CloseReason::LoginTimeout, self.opened, lasts, login);
            return Vec::from_iter(lasts.map(login));
        }
        let mut all = Vec::new();
        if config.listen_only() {
            let (from, lasts) = (self.alive(config), config.idle_timeout());
            all.push(judging(CloseReason::IdleTimeout, from, lasts, idle));
        }
        if let Some(lasts) = config.message_timeout() {
            let from = self.message;
            all.push(judging(CloseReason::MessageTimeout, from, lasts, messages));
        }
        all
    }

    fn put_off(&mut self, reason: CloseReason) -> &mut Option<Duration> {
        match reason {
            CloseReason::IdleTimeout => &mut self.put_off.idle,
            CloseReason::MessageTimeout => &mut self.put_off.messages,
            _ => &mut self.put_off.login,
        }
    }

    fn bound_of(&mut self, reason: CloseReason) -> &mut Silence {
        match reason {
            CloseReason::MessageTimeout => &mut self.drought,
            CloseReason::LoginTimeout => &mut self.wait,
            _ => &mut self.silence,
        }
    }
}

/// A watch that ends in a verdict.
#[derive(Clone, Copy)]
struct Judging {
    reason: CloseReason,
    due: Duration,
    lasts: Duration,
    put_off: Option<Duration>,
}

impl Judging {
    fn falls(&self) -> Duration {
        self.put_off.unwrap_or(self.due)
    }
}

/// What ended, for a down.
struct Lost {
    close: Option<CloseReason>,
    loss: Loss,
    reason: StopReason,
    hint: Option<Duration>,
    retry: Option<Retry>,
}

impl Lost {
    fn closed(closed: Closed) -> Self {
        Self {
            close: None,
            loss: Loss::Closed(closed.code),
            reason: StopReason::Closed(closed.code),
            hint: closed.retry_after,
            retry: closed.retry,
        }
    }

    fn refused(refused: Refused) -> Self {
        Self {
            close: None,
            loss: Loss::Refused(refused.status),
            reason: StopReason::Refused(refused.status),
            hint: refused.retry_after,
            retry: refused.retry,
        }
    }

    fn failed(retry: Option<Retry>) -> Self {
        Self {
            close: None,
            loss: Loss::Failed,
            reason: StopReason::Error,
            hint: None,
            retry,
        }
    }

    fn timed_out(close: CloseReason) -> Self {
        let reason = match close {
            CloseReason::PongTimeout => StopReason::PongTimeout,
            CloseReason::IdleTimeout => StopReason::IdleTimeout,
            CloseReason::MessageTimeout => StopReason::MessageTimeout,
            CloseReason::LoginTimeout => StopReason::LoginTimeout,
            _ => StopReason::ConnectTimeout,
        };
        Self {
            close: Some(close),
            reason,
            ..Self::failed(None)
        }
    }

    fn given_up(closed: Closed) -> Self {
        Self {
            close: Some(CloseReason::GivenUp),
            ..Self::closed(closed)
        }
    }
}

/// What an entry did, apart from arming a deadline.
type Did<'a> = &'a [Action<Duration>];

/// Follows a trace, entry by entry.
#[derive(Clone)]
pub struct Oracle {
    config: Config,
    clock: Clock,
    /// Before the entry that is followed.
    deadline: Option<Duration>,
    views: Views,
    phase: Phase,
    attempt: u32,
    first_down: Option<Duration>,
    dialled: Option<Duration>,
    /// How many of the next delays are drawn as the first two are.
    quick: u32,
    /// A dial is under way or a transport up, and nobody ended it.
    is_live: bool,
    /// The entry brought the pong that was awaited.
    is_measured: bool,
    epochs: HashSet<Epoch>,
    pings: HashSet<PingId>,
    verdict: Option<(Duration, Duration)>,
}

impl Oracle {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            clock: Clock {
                origin: None,
                now: Duration::ZERO,
            },
            deadline: None,
            views: Views {
                state: State::Idle,
                epoch: Epoch::default(),
                attempt: 0,
                missed: 0,
                is_ping_out: false,
                awaited: None,
                round_trip: None,
                last_received: None,
            },
            phase: Phase::Idle,
            attempt: 0,
            first_down: None,
            dialled: None,
            quick: 0,
            is_live: false,
            is_measured: false,
            epochs: HashSet::from([Epoch::default()]),
            pings: HashSet::new(),
            verdict: None,
        }
    }

    pub fn follow(&mut self, entry: &Entry) -> Checked {
        if let Input::From(epoch, event) = entry.input {
            if epoch != self.views.epoch {
                return self.drops(entry);
            }
            let input = Input::Event(event);
            return self.follow(&Entry {
                input,
                ..entry.clone()
            });
        }
        self.clock.advance(entry.now);
        if self.clock.is_at_end() {
            self.deadline = None;
        }
        self.observes_lateness(entry.input == Input::Event(Event::Tick));

        self.is_measured = false;
        let did = self.arms(entry)?;
        self.does_one_thing(entry.input, did)?;
        let count = entry.actions.len();
        ensure!(count <= 3, 0, "{count} actions in a step");
        self.counts_connections(entry.input, did)?;
        let moves = match entry.input {
            Input::Reconfigure(config) => self.reconfigures(config, did)?,
            Input::Event(event) => self.handles(event, entry, did)?,
            Input::From(..) => false,
        };
        self.foretells(entry, did)?;
        self.waits_until(entry)?;
        self.detects_in_time(entry)?;
        self.moves_epoch(entry, moves)?;
        self.shows(entry)?;
        self.deadline = entry.deadline;
        self.views = entry.views;
        Ok(())
    }

    /// How long the last silence was that ended in a verdict, and its bound.
    pub fn verdict(&self) -> Option<(Duration, Duration)> {
        self.verdict
    }

    /// Whether a tick came late in this silence.
    pub fn is_late(&self) -> bool {
        matches!(&self.phase, Phase::Open(open) if !open.silence.lateness.is_zero())
    }

    fn drops(&self, entry: &Entry) -> Checked {
        ensure!(entry.actions.is_empty(), 11, "it did something");
        ensure!(
            entry.deadline == self.deadline,
            11,
            "the deadline was {:?}",
            self.deadline
        );
        ensure!(
            entry.views == self.views,
            11,
            "before it was {:?}",
            self.views
        );
        Ok(())
    }

    fn observes_lateness(&mut self, is_tick: bool) {
        if let (Phase::Open(open), Some(deadline)) = (&mut self.phase, self.deadline) {
            let Open {
                silence,
                drought,
                wait,
                ..
            } = &mut **open;
            for bound in [silence, drought, wait] {
                bound.observe_lateness(deadline, &self.clock, is_tick);
            }
        }
    }

    /// Timers are lazy: a deadline is announced when it is new, and at each tick.
    fn arms<'a>(&self, entry: &'a Entry) -> Checked<Did<'a>> {
        let (did, armed) = match entry.actions.split_last() {
            Some((Action::ArmDeadline(at), did)) => (did, Some(*at)),
            _ => (entry.actions.as_slice(), None),
        };
        let is_extra = |action: &Action<_>| matches!(action, Action::ArmDeadline(_));
        ensure!(
            !did.iter().any(is_extra),
            0,
            "`ArmDeadline` comes once, and last"
        );
        let now = self.clock.now;
        if let Some(at) = armed {
            ensure!(at > now, 2, "{at:?} is armed at {now:?}");
        }
        let is_tick = entry.input == Input::Event(Event::Tick);
        if is_tick {
            let later = entry.deadline.is_none_or(|at| at > now);
            ensure!(later, 2, "after a tick at {now:?} the deadline is past");
        }
        let expected = entry
            .deadline
            .filter(|_| is_tick || entry.deadline != self.deadline);
        // Times past the end show as the end, so a new one may look like the old.
        let is_end = armed == entry.deadline && armed == Some(self.clock.end());
        ensure!(
            armed == expected || is_end,
            0,
            "`ArmDeadline` should be {expected:?}: the deadline was {:?}",
            self.deadline
        );
        Ok(did)
    }

    fn does_one_thing(&self, input: Input, did: Did) -> Checked {
        let count =
            |is: fn(&Action<Duration>) -> bool| did.iter().filter(|action| is(action)).count();
        let pings = count(is_ping);
        let dials = count(|action| matches!(action, Action::Connect));
        let ends = count(|action| {
            matches!(
                action,
                Action::ScheduleReconnect { .. } | Action::Stopped(_)
            )
        });
        ensure!(pings <= 1, 5, "{pings} pings in a step");
        if pings > 0 {
            let Phase::Open(open) = &self.phase else {
                ensure!(false, 5, "a ping outside Open");
                return Ok(());
            };
            ensure!(!open.is_login_awaited(), 5, "a ping before the login");
            ensure!(!self.config.listen_only(), 5, "a ping in listen-only");
        }
        ensure!(dials <= 1 && ends <= 1, 12, "{dials} dials, {ends} ends");
        if input == Input::Event(Event::Tick) {
            let things = pings + dials + ends;
            ensure!(things <= 1, 18, "this tick did {things} things");
        }
        Ok(())
    }

    fn counts_connections(&mut self, input: Input, did: Did) -> Checked {
        match input {
            Input::Event(Event::Closed(_) | Event::Error(_)) => self.is_live = false,
            Input::Event(Event::Refused(_)) if matches!(self.phase, Phase::Connecting(_)) => {
                self.is_live = false;
            }
            Input::Event(Event::Opened) => self.is_live = true,
            _ => {}
        }
        for action in did {
            match action {
                Action::Close(reason) => {
                    ensure!(self.is_live, 12, "there is nothing to close");
                    self.is_live = reason.manner() == Manner::Handshake;
                }
                Action::Connect => {
                    ensure!(!self.is_live, 12, "a dial beside a live connection");
                    self.is_live = true;
                }
                Action::ScheduleReconnect { .. } | Action::Stopped(_) => {
                    ensure!(!self.is_live, 12, "a connection is left behind");
                }
                Action::SendPing(_) | Action::ArmDeadline(_) => {}
            }
        }
        Ok(())
    }

    /// What was said of a tick just before it, came true.
    fn foretells(&self, entry: &Entry, did: Did) -> Checked {
        let convicts = did.iter().any(is_any_verdict);
        match entry.foretold {
            Foretold::Nothing => {}
            Foretold::Mercy => ensure!(!convicts, 0, "no verdict was foretold"),
            Foretold::Verdict(due) => {
                ensure!(convicts, 0, "a verdict was foretold");
                ensure!(
                    due <= self.clock.now,
                    0,
                    "the verdict was said to be due at {due:?}"
                );
            }
        }
        Ok(())
    }

    fn handles(&mut self, event: Event, entry: &Entry, did: Did) -> Checked<bool> {
        match event {
            Event::Received
            | Event::Message
            | Event::Pong(_)
            | Event::Draining
            | Event::PingSent(_) => {
                ensure!(entry.actions.is_empty(), 0, "{event:?} only notes a fact");
                self.notes(event, entry)?;
                return Ok(false);
            }
            Event::Sent => {
                ensure!(did.is_empty(), 0, "{event:?} only notes a fact");
                self.sends(entry)?;
                return Ok(false);
            }
            Event::Healthy => {
                ensure!(did.is_empty(), 0, "{event:?} only notes a fact");
                self.logs_in(entry)?;
                return Ok(false);
            }
            Event::Tick if self.deadline.is_none_or(|at| self.clock.now < at) => {
                let told = did.first();
                ensure!(told.is_none(), 4, "the tick came early, or for nothing");
                let is_sooner = entry.deadline < self.deadline;
                ensure!(!is_sooner, 4, "the deadline was {:?}", self.deadline);
                return Ok(false);
            }
            _ => {}
        }
        match self.phase {
            Phase::Idle => self.in_idle(event, did),
            Phase::Connecting(_) => self.in_connecting(event, did),
            Phase::Open(_) => self.in_open(event, entry, did),
            Phase::Closing { .. } => self.in_closing(event, did),
            Phase::Waiting(_) => self.in_waiting(event, did),
            Phase::Stopped => self.in_stopped(event, did),
        }
    }

    fn notes(&mut self, event: Event, entry: &Entry) -> Checked {
        let (now, config, round_trip) = (self.clock.now, self.config, self.views.round_trip);
        let timeout = |is_urgent| timeout(&config, round_trip, is_urgent);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(());
        };
        match event {
            Event::Draining => {
                if open.awaited().is_some_and(|ping| !ping.has_left) {
                    open.moves(false, &self.clock, timeout);
                }
            }
            Event::PingSent(id) => {
                let is_news = |ping: &Ping| !ping.has_left && ping.row.contains(&id);
                if open.awaited().is_some_and(is_news) {
                    open.moves(true, &self.clock, timeout);
                }
            }
            Event::Pong(id) => {
                let is_last = open.awaited().is_some_and(|ping| ping.id == id);
                if let Some(ping) = open.ping.as_mut().filter(|_| is_last) {
                    self.is_measured = true;
                    ping.is_awaited = false;
                    let sample = self.clock.since(ping.from);
                    measures(round_trip, sample, entry.views.round_trip)?;
                }
                let is_of_row = open
                    .ping
                    .as_ref()
                    .is_some_and(|ping| ping.row.contains(&id));
                if open.probe.is_some() && is_of_row {
                    open.had_answer = true;
                    open.lives(now, &config);
                }
                open.receives(now, &config);
            }
            Event::Message => {
                open.had_message = true;
                open.message = now;
                open.put_off.messages = None;
                open.drought = Silence::lasting(now, config.message_timeout(), &config);
                open.receives(now, &config);
            }
            _ => open.receives(now, &config),
        }
        Ok(())
    }

    fn sends(&mut self, entry: &Entry) -> Checked {
        let (now, config) = (self.clock.now, self.config);
        let mut sooner = None;
        if let Phase::Open(open) = &mut self.phase {
            open.outbound = From::exactly(now);
            let doubts = !open.is_login_awaited() && open.doubt.is_none();
            if let Some(lasts) = config.confirm_within().filter(|_| doubts) {
                open.doubt = Some(From::exactly(now));
                sooner = Some(self.clock.hence(lasts));
            }
        }
        let expected = sooner.map_or(self.deadline, |at| self.sooner(at));
        ensure!(
            entry.deadline == expected,
            if entry.deadline > expected { 10 } else { 0 },
            "the deadline should be {expected:?}"
        );
        Ok(())
    }

    fn logs_in(&mut self, entry: &Entry) -> Checked {
        let (now, config) = (self.clock.now, self.config);
        let mut begins = false;
        if let Phase::Open(open) = &mut self.phase {
            begins = open.is_login_awaited();
            open.healthy = true;
            if begins {
                open.begins(now, &config);
            }
        }
        if begins {
            ensure!(
                entry.deadline <= self.deadline,
                0,
                "the deadline was {:?}",
                self.deadline
            );
        } else {
            ensure!(entry.actions.is_empty(), 0, "nothing begins");
        }
        Ok(())
    }

    /// The deadline, brought forward to this.
    fn sooner(&self, at: Duration) -> Option<Duration> {
        let soon = self.clock.hence(MILLISECOND);
        self.deadline.map(|armed| {
            if armed <= self.clock.now {
                armed
            } else if at <= self.clock.now {
                armed.min(soon)
            } else {
                armed.min(at)
            }
        })
    }

    fn in_idle(&mut self, event: Event, did: Did) -> Checked<bool> {
        match event {
            Event::Start | Event::ReconnectNow => self.dials_when_calm(None, did),
            Event::Opened => self.opens(did, true),
            Event::Stop => self.stops(None, &[StopReason::Requested], did, false),
            _ => does_nothing(0, event, did),
        }
    }

    fn in_stopped(&mut self, event: Event, did: Did) -> Checked<bool> {
        match event {
            Event::Start | Event::ReconnectNow => {
                self.forgets_failures();
                self.dials_when_calm(None, did)
            }
            Event::Opened => {
                self.forgets_failures();
                self.opens(did, true)
            }
            _ => does_nothing(15, event, did),
        }
    }

    fn in_connecting(&mut self, event: Event, did: Did) -> Checked<bool> {
        match event {
            Event::Opened => self.opens(did, false),
            Event::Tick => self.dial_is_due(did),
            Event::Closed(closed) => self.goes_down(&Lost::closed(closed), did),
            Event::Refused(refused) => self.goes_down(&Lost::refused(refused), did),
            Event::Error(retry) => self.goes_down(&Lost::failed(retry), did),
            Event::GiveUp(closed) => self.goes_down(&Lost::given_up(closed), did),
            Event::NetworkChanged => self.dials_on_the_new_path(did),
            Event::ReconnectNow => {
                self.is_calm(did)?;
                if self.is_dial_younger_than(5 * SECOND) {
                    return does_nothing(0, event, did);
                }
                self.dials_when_calm(Some(CloseReason::Reconnect), did)
            }
            Event::Stop => self.stops(
                Some(CloseReason::Abort),
                &[StopReason::Requested],
                did,
                true,
            ),
            _ => does_nothing(0, event, did),
        }
    }

    fn is_dial_younger_than(&self, age: Duration) -> bool {
        matches!(&self.phase, Phase::Connecting(dial)
            if self.clock.now < self.clock.after(dial.began, age))
    }

    fn dial_is_due(&mut self, did: Did) -> Checked<bool> {
        let config = self.config;
        let Phase::Connecting(dial) = &mut self.phase else {
            return Ok(false);
        };
        let late = self.clock.since(dial.due);
        if late > config.late_tolerance() && !dial.is_spared {
            ensure!(did.is_empty(), 7, "the tick is late by {late:?}");
            let grace = config.late_tolerance().min(config.connect_timeout());
            dial.due = self.clock.hence(grace);
            dial.is_spared = true;
            return Ok(false);
        }
        self.goes_down(&Lost::timed_out(CloseReason::ConnectTimeout), did)
    }

    fn dials_on_the_new_path(&mut self, did: Did) -> Checked<bool> {
        self.quick = 2;
        self.is_calm(did)?;
        let is_second = matches!(&self.phase, Phase::Connecting(dial) if dial.is_second);
        if is_second || self.is_dial_younger_than(SECOND) {
            return does_nothing(0, Event::NetworkChanged, did);
        }
        self.dials(Some(CloseReason::Reconnect), did)?;
        if let Phase::Connecting(dial) = &mut self.phase {
            dial.is_second = true;
        }
        Ok(true)
    }

    fn in_closing(&mut self, event: Event, did: Did) -> Checked<bool> {
        let requested = &[StopReason::Requested];
        match event {
            Event::Start | Event::ReconnectNow => {
                self.dials_when_calm(Some(CloseReason::Reconnect), did)
            }
            Event::Tick => self.stops(Some(CloseReason::CloseTimeout), requested, did, true),
            Event::Closed(_) | Event::Error(_) => self.stops(None, requested, did, true),
            Event::Stop => self.stops(Some(CloseReason::Abort), requested, did, true),
            _ => does_nothing(0, event, did),
        }
    }

    fn in_waiting(&mut self, event: Event, did: Did) -> Checked<bool> {
        match event {
            Event::Opened => self.opens(did, true),
            Event::Tick => {
                let is_asked_for = matches!(&self.phase, Phase::Waiting(w) if w.is_asked_for);
                if is_asked_for {
                    self.is_calm(did)?;
                }
                self.dials(None, did)
            }
            Event::ReconnectNow => self.dials_at_once(did),
            Event::NetworkChanged => self.dials_earlier(did),
            Event::Stop => self.stops(None, &[StopReason::Requested], did, false),
            Event::Closed(_) | Event::Error(_) | Event::Refused(_) | Event::GiveUp(_) => {
                does_nothing(12, event, did)
            }
            _ => does_nothing(0, event, did),
        }
    }

    /// The end of the second after the last dial began.
    fn calm(&self) -> Duration {
        self.dialled
            .map_or(Duration::ZERO, |dialled| self.clock.after(dialled, SECOND))
    }

    /// What was asked for does not dial before the end of that second.
    fn is_calm(&self, did: Did) -> Checked {
        let (now, calm) = (self.clock.now, self.calm());
        let is_early = did.contains(&Action::Connect) && now < calm;
        ensure!(!is_early, 19, "no dial before {calm:?}");
        Ok(())
    }

    fn dials_at_once(&mut self, did: Did) -> Checked<bool> {
        self.is_calm(did)?;
        let (calm, end, attempt) = (self.calm(), self.clock.end(), self.attempt);
        if self.clock.now >= calm {
            return self.dials(None, did);
        }
        if let Phase::Waiting(waiting) = &mut self.phase {
            let moved = [Action::ScheduleReconnect { at: calm, attempt }];
            let is_moved = did == moved && (calm < waiting.at || calm == end);
            let is_kept = did.is_empty() && waiting.at <= calm;
            ensure!(
                is_moved || is_kept,
                0,
                "the dial comes at {calm:?} or sooner"
            );
            waiting.at = waiting.at.min(calm);
            waiting.is_asked_for |= is_moved;
        }
        Ok(false)
    }

    fn dials_earlier(&mut self, did: Did) -> Checked<bool> {
        self.quick = 2;
        self.is_calm(did)?;
        let calm = self.calm();
        let Phase::Waiting(waiting) = &mut self.phase else {
            return Ok(false);
        };
        if waiting.has_drawn {
            return does_nothing(12, Event::NetworkChanged, did);
        }
        waiting.has_drawn = true;
        let earliest = self.clock.now.max(waiting.hinted).max(calm);
        let greatest = self.clock.after(earliest, SECOND);
        match did {
            [] => ensure!(
                waiting.at <= greatest,
                0,
                "the dial is due by {greatest:?}, not at {:?}",
                waiting.at
            ),
            [Action::ScheduleReconnect { at, attempt }] => {
                ensure!(*attempt == self.attempt, 12, "it is no new attempt");
                let is_earlier = *at < waiting.at || *at == self.clock.end();
                ensure!(is_earlier, 0, "it is not earlier");
                ensure!(*at >= calm, 19, "no dial before {calm:?}");
                ensure!(
                    (earliest..=greatest).contains(at),
                    13,
                    "the dial may come from {earliest:?} to {greatest:?}"
                );
                waiting.at = *at;
                waiting.is_asked_for = true;
            }
            _ => ensure!(false, 0, "it may move the dial, and no more"),
        }
        Ok(false)
    }

    fn in_open(&mut self, event: Event, entry: &Entry, did: Did) -> Checked<bool> {
        match event {
            Event::Tick => self.beats(did),
            Event::Closed(closed) => self.goes_down(&Lost::closed(closed), did),
            Event::Error(retry) => self.goes_down(&Lost::failed(retry), did),
            Event::GiveUp(closed) => self.goes_down(&Lost::given_up(closed), did),
            Event::NetworkChanged => self.probes(did, entry),
            Event::ReconnectNow => {
                self.settles_attempts(false);
                self.dials_when_calm(Some(CloseReason::Reconnect), did)
            }
            Event::Stop => {
                self.settles_attempts(false);
                let due = self.clock.hence(self.config.close_timeout());
                self.phase = Phase::Closing { due };
                let expected = [Action::Close(CloseReason::Stop)];
                ensure!(did == expected, 0, "expected {expected:?}");
                Ok(false)
            }
            _ => does_nothing(0, event, did),
        }
    }

    /// A tick that was asked for: what is due, in the order of the contract's table.
    fn beats(&mut self, did: Did) -> Checked<bool> {
        let armed = self.deadline.unwrap_or_default();
        let told = did.iter().find(|action| is_any_verdict(action));
        let missed = match self.misses(armed)? {
            Some(Miss::Last(due)) => {
                let expected = Action::Close(CloseReason::PongTimeout);
                ensure!(
                    told == Some(&expected),
                    if told.is_some() { 0 } else { 8 },
                    "the last ping was missed at {due:?}"
                );
                return self.convicts(CloseReason::PongTimeout, did);
            }
            Some(Miss::Asks(due)) => Some(due),
            None => None,
        };
        if let Some(judged) = self.judges(armed) {
            let (reason, due) = (judged.reason, judged.falls());
            ensure!(
                told == Some(&Action::Close(reason)),
                if told.is_some() { 0 } else { 8 },
                "{reason:?} was due at {due:?}"
            );
            return self.convicts(reason, did);
        }
        ensure!(told.is_none(), 7, "no verdict is due: {}", self.excuses());
        let Phase::Open(open) = &self.phase else {
            return Ok(false);
        };
        let asking = open.asking(&self.config, &self.clock);
        let now = self.clock.now;
        let free = || asking.iter().filter(|watch| !watch.is_held);
        if let Some(due) = missed {
            self.pings(did, self.share_after(due, due, armed), false)?;
        } else if did.is_empty() {
            let due = free().map(|watch| watch.latest).filter(|&due| due <= now);
            let due = due.min();
            ensure!(due.is_none(), 10, "a ping was due at {due:?}");
        } else {
            let due = free().map(|watch| watch.earliest).min();
            let is_due = due.is_some_and(|due| due <= now);
            ensure!(is_due, 6, "no ping is due before {due:?}");
            let (earliest, mut latest) = (due.unwrap_or(now), now);
            for watch in free() {
                latest = latest.min(watch.latest);
            }
            if open.news_wait {
                // It may be told by the clock of the last ping, which these move.
                latest = latest.max(open.moved);
            }
            let share = self.share_after(earliest, latest, armed);
            self.pings(did, share, open.probe.is_some())?;
        }
        Ok(false)
    }

    /// How the interval is drawn after a ping at this tick, which was due at some time
    /// between these.
    fn share_after(&self, earliest: Duration, latest: Duration, armed: Duration) -> Share {
        let tolerance = self.config.late_tolerance();
        let is_late = |due: Duration| self.clock.since(due.max(armed)) > tolerance;
        match (is_late(earliest), is_late(latest)) {
            (true, true) => Share::LATE,
            (true, false) => Share::LATE_OR_USUAL,
            _ => Share::USUAL,
        }
    }

    /// What becomes of the ping that is out at this tick.
    fn misses(&mut self, armed: Duration) -> Checked<Option<Miss>> {
        let config = self.config;
        let Phase::Open(open) = &mut self.phase else {
            return Ok(None);
        };
        let Some(probe) = open.probe.as_mut().filter(|p| p.due <= self.clock.now) else {
            return Ok(None);
        };
        let (due, late) = (probe.due, self.clock.since(probe.due.max(armed)));
        if probe.missed + 1 < config.max_missed() {
            probe.missed += 1;
            probe.is_urgent = false;
            return Ok(Some(Miss::Asks(due)));
        }
        if !probe.is_spared && late > config.late_tolerance() {
            probe.is_spared = true;
            open.silence.is_forgiven = true;
            return Ok(Some(Miss::Asks(due)));
        }
        Ok(Some(Miss::Last(due)))
    }

    /// The first verdict that is due at this tick. Late ones are put off.
    fn judges(&mut self, armed: Duration) -> Option<Judging> {
        let (now, config) = (self.clock.now, self.config);
        let Phase::Open(open) = &mut self.phase else {
            return None;
        };
        for judging in open.judging(&config, &self.clock) {
            let late = self.clock.since(judging.due.max(armed));
            if judging.falls() > now {
                continue;
            }
            if judging.put_off.is_some() || late <= config.late_tolerance() {
                return Some(judging);
            }
            let grace = config.late_tolerance().min(judging.lasts);
            *open.put_off(judging.reason) = Some(self.clock.hence(grace));
            open.bound_of(judging.reason).is_forgiven = true;
        }
        None
    }

    /// When the verdicts are due that a tick might speak.
    fn excuses(&self) -> String {
        let Phase::Open(open) = &self.phase else {
            return "nothing is open".into();
        };
        let mut excuses = Vec::new();
        if let Some(probe) = &open.probe {
            let (missed, due) = (probe.missed, probe.due);
            excuses.push(format!("{missed} are missed, the ping has until {due:?}"));
        }
        for judging in open.judging(&self.config, &self.clock) {
            let (reason, falls) = (judging.reason, judging.falls());
            excuses.push(format!("{reason:?} falls at {falls:?}"));
        }
        if excuses.is_empty() {
            return "nothing is waited for".into();
        }
        excuses.join(", ")
    }

    fn convicts(&mut self, reason: CloseReason, did: Did) -> Checked<bool> {
        if let Phase::Open(open) = &mut self.phase {
            self.verdict = Some(open.bound_of(reason).keeps_bound(&self.clock)?);
        }
        self.goes_down(&Lost::timed_out(reason), did)
    }

    /// Exactly a ping, whose id is new; it may replace one that is out.
    fn pings(&mut self, did: Did, share: Share, replaces: bool) -> Checked {
        let [Action::SendPing(id)] = did else {
            ensure!(false, 6, "expected a ping");
            return Ok(());
        };
        ensure!(self.pings.insert(*id), 5, "{id:?} was given before");
        let (now, clock) = (self.clock.now, &self.clock);
        let (config, round_trip) = (self.config, self.views.round_trip);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(());
        };
        open.pings += 1;
        ensure!(
            id.sequence() == open.pings,
            5,
            "it is ping {} of this connection",
            open.pings
        );
        open.outbound = From::exactly(now);
        open.cadence = From::exactly(now);
        open.doubt = None;
        open.share = share;
        let is_news = std::mem::take(&mut open.news_wait);
        if is_news {
            open.news = Some(now);
        }
        let mut next = Ping {
            id: *id,
            from: now,
            is_awaited: true,
            row: vec![*id],
            has_left: false,
            is_behind: false,
            counted: now,
        };
        if let Some(before) = open.ping.take().filter(|_| replaces) {
            next.row.extend(before.row);
            next.has_left = before.has_left;
            next.counted = before.counted;
        }
        open.ping = Some(next);
        if !replaces {
            let probe = open.probe.get_or_insert(Probe {
                due: now,
                missed: 0,
                is_spared: false,
                is_urgent: is_news,
            });
            probe.due = clock.hence(timeout(&config, round_trip, probe.is_urgent));
        }
        Ok(())
    }

    fn probes(&mut self, did: Did, entry: &Entry) -> Checked<bool> {
        let (now, config, round_trip) = (self.clock.now, self.config, self.views.round_trip);
        let before = self.deadline;
        let soon = self.sooner(now).filter(|&at| at > now);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(false);
        };
        if config.listen_only() || open.is_login_awaited() {
            ensure!(did.is_empty(), 5, "no ping is asked for");
            ensure!(entry.deadline == before, 0, "the deadline was {before:?}");
            return Ok(false);
        }
        let expected = if let Some(probe) = &mut open.probe {
            ensure!(did.is_empty(), 5, "a ping is out");
            probe.is_urgent = true;
            let latest = self.clock.hence(timeout(&config, round_trip, true));
            probe.due = probe.due.min(latest);
            open.asked = soon.unwrap_or_default();
            open.silence.changes += 1;
            probe.due
        } else {
            open.news_wait = true;
            let due = open.news.map(|ping| self.clock.after(ping, SECOND));
            if due.is_none_or(|due| due <= now) {
                self.pings(did, Share::USUAL, false)?;
                return Ok(false);
            }
            ensure!(did.is_empty(), 5, "it is not {due:?} yet");
            due.unwrap_or_default()
        };
        let expected = self.sooner(expected);
        ensure!(
            entry.deadline == expected,
            if entry.deadline > expected { 10 } else { 0 },
            "the deadline should be {expected:?}"
        );
        Ok(false)
    }

    fn reconfigures(&mut self, config: Config, did: Did) -> Checked<bool> {
        ensure!(did.is_empty(), 0, "new settings only arm a deadline");
        let before = std::mem::replace(&mut self.config, config);
        let (now, round_trip) = (self.clock.now, self.views.round_trip);
        let soon = self.sooner(now).filter(|&at| at > now);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(false);
        };
        open.asked = soon.unwrap_or_default();
        if open.is_login_awaited() {
            match config.healthy_within() {
                Some(lasts) => open.wait.may_last(lasts, &config),
                None => {
                    open.login = Login::Waived;
                    open.begins(now, &config);
                }
            }
        } else {
            open.changes(&before, &config, now);
        }
        open.wait.changes += 1;
        open.silence.changes += 1;
        open.drought.changes += 1;
        if let Some(probe) = &mut open.probe {
            let latest = self
                .clock
                .hence(timeout(&config, round_trip, probe.is_urgent));
            probe.due = probe.due.min(latest);
        }
        // What was put off falls no later than it would now, if its time is over.
        let judging = open.judging(&config, &self.clock);
        let put_off = std::mem::take(&mut open.put_off);
        for judging in judging {
            let latest = self.clock.hence(config.late_tolerance().min(judging.lasts));
            let kept = match judging.reason {
                CloseReason::IdleTimeout => put_off.idle,
                CloseReason::MessageTimeout => put_off.messages,
                _ => put_off.login,
            };
            *open.put_off(judging.reason) = kept
                .filter(|_| judging.due <= now)
                .map(|until| until.min(latest));
        }
        Ok(false)
    }

    fn opens(&mut self, did: Did, moves: bool) -> Checked<bool> {
        ensure!(did.is_empty(), 0, "opening only arms a deadline");
        self.phase = Phase::Open(Box::new(Open::new(self.clock.now, &self.config)));
        Ok(moves)
    }

    /// What is asked for dials now, or at the end of the second after the last dial.
    fn dials_when_calm(&mut self, close: Option<CloseReason>, did: Did) -> Checked<bool> {
        self.is_calm(did)?;
        let (now, calm, attempt) = (self.clock.now, self.calm(), self.attempt);
        if now >= calm {
            return self.dials(close, did);
        }
        let plan = Action::ScheduleReconnect { at: calm, attempt };
        let expected = Vec::from_iter(close.map(Action::Close).into_iter().chain([plan]));
        let is_early = did
            .iter()
            .any(|action| matches!(action, Action::ScheduleReconnect { at, .. } if *at < calm));
        ensure!(
            did == expected,
            if is_early { 19 } else { 0 },
            "expected {expected:?}"
        );
        self.phase = Phase::Waiting(Waiting {
            at: calm,
            hinted: now,
            has_drawn: false,
            is_asked_for: true,
        });
        Ok(close.is_some())
    }

    fn dials(&mut self, close: Option<CloseReason>, did: Did) -> Checked<bool> {
        let expected = Vec::from_iter(
            close
                .map(Action::Close)
                .into_iter()
                .chain([Action::Connect]),
        );
        ensure!(did == expected, 0, "expected {expected:?}");
        self.dialled = Some(self.clock.now);
        self.phase = Phase::Connecting(Dial {
            began: self.clock.now,
            due: self.clock.hence(self.config.connect_timeout()),
            is_spared: false,
            is_second: false,
        });
        Ok(true)
    }

    fn stops(
        &mut self,
        close: Option<CloseReason>,
        reasons: &[StopReason],
        did: Did,
        moves: bool,
    ) -> Checked<bool> {
        let closed = Vec::from_iter(close.map(Action::Close));
        let expected = reasons.iter().any(|&reason| {
            let stopped = [closed.as_slice(), &[Action::Stopped(reason)]].concat();
            did == stopped
        });
        ensure!(
            expected,
            0,
            "expected {closed:?}, then `Stopped` with one of {reasons:?}"
        );
        self.phase = Phase::Stopped;
        Ok(moves)
    }

    fn goes_down(&mut self, lost: &Lost, did: Did) -> Checked<bool> {
        let (failures, config, close) = (self.attempt, self.config, lost.close);
        self.settles_attempts(close == Some(CloseReason::GivenUp));
        let retry = lost.retry.unwrap_or_else(|| config.policy()(lost.loss));
        if !config.reconnect() || retry == Retry::Stop {
            return self.stops(close, &[lost.reason], did, true);
        }
        let now = self.clock.now;
        let elapsed = self.clock.since(*self.first_down.get_or_insert(now));
        let mut limits = Vec::new();
        if config
            .max_attempts()
            .is_some_and(|most| self.attempt >= most)
        {
            limits.push(StopReason::AttemptLimit);
        }
        if config
            .max_elapsed()
            .is_some_and(|longest| elapsed >= longest)
        {
            limits.push(StopReason::TimeLimit);
        }
        if !limits.is_empty() {
            return self.stops(close, &limits, did, true);
        }
        let planned = match (close, did) {
            (None, &[Action::ScheduleReconnect { at, attempt }]) => Some((at, attempt)),
            (
                Some(close),
                &[
                    Action::Close(closed),
                    Action::ScheduleReconnect { at, attempt },
                ],
            ) if close == closed => Some((at, attempt)),
            _ => None,
        };
        let Some((at, attempt)) = planned else {
            ensure!(false, 12, "expected {close:?}, then a dial to be planned");
            return Ok(true);
        };
        self.attempt = self.attempt.saturating_add(1);
        let expected = self.attempt;
        let is_reset_or_not = attempt == 1 || attempt == failures.saturating_add(1);
        let number = if is_reset_or_not { 14 } else { 12 };
        ensure!(attempt == expected, number, "it is attempt {expected}");
        self.plans(at, retry, lost.hint)?;
        Ok(true)
    }

    fn plans(&mut self, at: Duration, retry: Retry, hint: Option<Duration>) -> Checked {
        let hinted = self.clock.hence(hint.unwrap_or_default().min(DAY));
        let (least, greatest) = self.delays(retry);
        let (mut soonest, mut latest) = (
            self.clock.after(hinted, least),
            self.clock.after(hinted, greatest),
        );
        let is_asked_for = matches!(retry, Retry::Between { .. });
        if is_asked_for {
            let calm = self.calm();
            ensure!(at >= calm, 19, "no dial before {calm:?}");
            soonest = soonest.max(calm);
            latest = latest.max(calm);
        }
        ensure!(
            (soonest..=latest).contains(&at),
            13,
            "attempt {} by {retry:?} with the hint {hint:?} may come from {soonest:?} to {latest:?}",
            self.attempt
        );
        self.phase = Phase::Waiting(Waiting {
            at,
            hinted,
            has_drawn: false,
            is_asked_for,
        });
        Ok(())
    }

    /// From when to when the dial of this attempt may come.
    fn delays(&mut self, retry: Retry) -> (Duration, Duration) {
        let config = &self.config;
        let (floor, cap) = (config.backoff_floor(), config.backoff_cap());
        match retry {
            Retry::Backoff => {
                // As before the first retry, and before the second.
                let step = match self.quick {
                    2 => 1,
                    1 => 2,
                    _ => self.attempt,
                };
                self.quick = self.quick.saturating_sub(1);
                if step == 1 {
                    (MILLISECOND, config.first_spread())
                } else {
                    (floor, ceiling(config, step))
                }
            }
            Retry::Spread => (floor, cap),
            Retry::Between { least, greatest } => {
                let least = least.clamp(MILLISECOND, DAY);
                (least, greatest.clamp(least, DAY))
            }
            _ => (MILLISECOND, DAY),
        }
    }

    fn settles_attempts(&mut self, was_given_up: bool) {
        if let Phase::Open(open) = &self.phase {
            if open.is_stable(&self.config, &self.clock, was_given_up) {
                self.forgets_failures();
            }
        }
    }

    fn forgets_failures(&mut self) {
        self.attempt = 0;
        self.first_down = None;
        self.quick = 0;
    }

    /// The deadline after the entry is that of the state.
    fn waits_until(&self, entry: &Entry) -> Checked {
        let due = match &self.phase {
            _ if self.clock.is_at_end() => None,
            Phase::Idle => None,
            Phase::Stopped => {
                ensure!(entry.deadline.is_none(), 15, "a deadline after the end");
                None
            }
            Phase::Connecting(dial) => Some(dial.due),
            Phase::Closing { due } => Some(*due),
            Phase::Waiting(waiting) => Some(waiting.at),
            Phase::Open(open) => {
                let Some(at) = entry.deadline else {
                    ensure!(false, 3, "Open has no deadline");
                    return Ok(());
                };
                return self.looks_in_time(open, at, entry);
            }
        };
        if due.is_some() {
            ensure!(
                entry.deadline.is_some(),
                3,
                "the deadline should be {due:?}"
            );
        }
        ensure!(entry.deadline == due, 0, "the deadline should be {due:?}");
        Ok(())
    }

    fn looks_in_time(&self, open: &Open, at: Duration, entry: &Entry) -> Checked {
        let (clock, config) = (&self.clock, &self.config);
        if self.deadline == Some(at) && at <= clock.now {
            return Ok(()); // A tick was lost; there is nothing later to wait for.
        }
        for judging in open.judging(config, clock) {
            let (reason, latest) = (judging.reason, judging.falls().max(open.asked));
            ensure!(at <= latest, 8, "{reason:?} falls at {latest:?}");
        }
        if let Some(probe) = &open.probe {
            let latest = probe.due.max(open.asked);
            let replaces = open.ping.as_ref().is_some_and(|ping| ping.row.len() > 1);
            let is_new = entry.actions.iter().any(is_ping) && !replaces;
            let number = if is_new { 8 } else { 6 };
            ensure!(
                at <= latest,
                number,
                "the ping that is out has until {latest:?}"
            );
        }
        for watch in open.asking(config, clock) {
            let latest = if watch.is_held && watch.earliest <= clock.now {
                clock.hence(watch.most)
            } else {
                watch.latest.max(open.asked)
            };
            ensure!(
                at <= latest,
                10,
                "a watch has to be looked at by {latest:?}"
            );
        }
        self.sleeps_long(open, at, entry)
    }

    /// A busy connection costs one timer operation per interval.
    fn sleeps_long(&self, open: &Open, at: Duration, entry: &Entry) -> Checked {
        let (clock, config) = (&self.clock, &self.config);
        let is_due_tick = entry.input == Input::Event(Event::Tick)
            && self.deadline.is_some_and(|deadline| clock.now >= deadline);
        if !is_due_tick {
            return Ok(());
        }
        let judging = open.judging(config, clock);
        let mut looks = Vec::from_iter(judging.iter().map(Judging::falls));
        looks.extend(open.probe.as_ref().map(|probe| probe.due));
        for watch in open.asking(config, clock) {
            looks.push(if watch.earliest > clock.now {
                if watch.is_held {
                    watch.earliest.min(clock.hence(watch.least))
                } else {
                    watch.earliest
                }
            } else if watch.is_held && watch.latest <= clock.now {
                clock.hence(watch.least)
            } else {
                clock.now
            });
        }
        let soonest = looks.into_iter().min().unwrap_or(clock.now);
        ensure!(at >= soonest, 0, "there is nothing to do until {soonest:?}");
        Ok(())
    }

    fn detects_in_time(&self, entry: &Entry) -> Checked {
        let Phase::Open(open) = &self.phase else {
            return Ok(());
        };
        if entry.input != Input::Event(Event::Tick) || self.clock.is_at_end() {
            return Ok(());
        }
        if open.is_login_awaited() {
            open.wait.keeps_bound(&self.clock)?;
            return Ok(());
        }
        open.silence.keeps_bound(&self.clock)?;
        if self.config.message_timeout().is_some() {
            open.drought.keeps_bound(&self.clock)?;
        }
        Ok(())
    }

    fn moves_epoch(&mut self, entry: &Entry, moves: bool) -> Checked {
        let epoch = entry.views.epoch;
        if moves {
            ensure!(self.epochs.insert(epoch), 11, "epoch {epoch} was before");
        } else {
            let before = self.views.epoch;
            ensure!(epoch == before, 11, "the epoch {before} goes on");
        }
        Ok(())
    }

    fn shows(&self, entry: &Entry) -> Checked {
        let views = entry.views;
        let state = match self.phase {
            Phase::Idle => State::Idle,
            Phase::Connecting(_) => State::Connecting,
            Phase::Open(_) => State::Open,
            Phase::Closing { .. } => State::Closing,
            Phase::Waiting(_) => State::Waiting,
            Phase::Stopped => State::Stopped,
        };
        ensure!(views.state == state, 0, "the state should be {state:?}");
        let attempt = self.attempt;
        ensure!(views.attempt == attempt, 14, "attempts are {attempt}");
        let (missed, is_out, awaited, received) = match &self.phase {
            Phase::Open(open) => (
                open.probe.as_ref().map_or(0, |probe| probe.missed),
                open.probe.is_some(),
                open.awaited().map(|ping| ping.id),
                open.received,
            ),
            _ => (0, false, None, None),
        };
        ensure!(views.missed == missed, 6, "missed pings are {missed}");
        ensure!(views.is_ping_out == is_out, 5, "a ping is out: {is_out}");
        ensure!(views.awaited == awaited, 0, "{awaited:?} is awaited");
        ensure!(
            views.last_received == received,
            1,
            "the last activity was at {received:?}, not {:?}",
            views.last_received
        );
        let is_open = matches!(self.phase, Phase::Open(_));
        if !self.is_measured {
            let round_trip = self.views.round_trip.filter(|_| is_open);
            ensure!(
                views.round_trip == round_trip,
                0,
                "the round trip was {round_trip:?}"
            );
        }
        Ok(())
    }
}

impl Open {
    /// Other settings are in force. A watch that is switched on begins now.
    fn changes(&mut self, before: &Config, config: &Config, now: Duration) {
        let is_on = |is: fn(&Config) -> bool| is(config) && !is(before);
        let inbound = |config: &Config| !config.listen_only() && !config.always_ping();
        let outbound = |config: &Config| {
            !config.listen_only() && !config.always_ping() && config.send_interval().is_some()
        };
        if is_on(Config::listen_only) {
            self.probe = None;
            self.news_wait = false;
        }
        if is_on(Config::listen_only) || is_on(Config::strict_pongs) || is_on(inbound) {
            self.alive = now;
        }
        if is_on(outbound) {
            self.outbound = From::exactly(now);
        }
        if is_on(Config::always_ping) {
            self.cadence = From::exactly(now);
        }
        if is_on(|config| config.confirm_within().is_some()) || config.confirm_within().is_none() {
            self.doubt = None;
        }
        if is_on(|config| config.message_timeout().is_some()) {
            self.message = now;
            self.put_off.messages = None;
            self.drought = Silence::lasting(now, config.message_timeout(), config);
        }
        let is_begun = is_on(Config::listen_only)
            || is_on(|config| !config.listen_only())
            || is_on(Config::strict_pongs)
            || is_on(Config::always_ping)
            || is_on(inbound);
        if is_begun {
            self.silence = Silence::of_peer(now, config);
        }
        // What came in meanwhile counts again.
        self.silence.since = self.silence.since.max(self.alive(config));
        self.silence.is_under(config);
        self.drought
            .may_last(config.message_timeout().unwrap_or_default(), config);
    }
}

/// What a ping that was missed asks for, and when it was missed.
enum Miss {
    /// The next ping, or one in place of the last miss.
    Asks(Duration),
    /// A verdict.
    Last(Duration),
}

fn does_nothing(invariant: usize, event: Event, did: Did) -> Checked<bool> {
    ensure!(did.is_empty(), invariant, "{event:?} changes nothing here");
    Ok(false)
}

/// How long an answer may take; less after a change of network.
fn timeout(config: &Config, round_trip: Option<RoundTrip>, is_urgent: bool) -> Duration {
    let least = config.pong_timeout();
    let (timeout, urgent) = match (config.adaptive_timeout(), round_trip) {
        (Some(greatest), Some(measured)) => {
            let patience = measured.smoothed() + 4 * measured.variance();
            (patience.min(greatest).max(least), patience.max(5 * SECOND))
        }
        _ => (least, 5 * SECOND),
    };
    if is_urgent {
        timeout.min(urgent)
    } else {
        timeout
    }
}

/// RFC 6298, in whole microseconds.
fn measures(before: Option<RoundTrip>, sample: Duration, after: Option<RoundTrip>) -> Checked {
    let Some(after) = after else {
        ensure!(false, 0, "the pong that was awaited has a round trip");
        return Ok(());
    };
    let micros = |duration: Duration| duration.as_nanos() as f64 / 1000.0;
    let greatest = f64::from(u32::MAX);
    let last = micros(sample).floor().clamp(1.0, greatest);
    let (smoothed, variance, minimum) = match before {
        None => (last, last / 2.0, last),
        Some(before) => {
            let (smoothed, variance) = (micros(before.smoothed()), micros(before.variance()));
            (
                smoothed * 7.0 / 8.0 + last / 8.0,
                variance * 3.0 / 4.0 + (smoothed - last).abs() / 4.0,
                micros(before.minimum()).min(last),
            )
        }
    };
    for (name, value, expected) in [
        ("last", after.last(), last),
        ("smoothed", after.smoothed(), smoothed),
        ("variance", after.variance(), variance),
        ("minimum", after.minimum(), minimum),
    ] {
        ensure!(
            (micros(value) - expected).abs() <= 0.51,
            0,
            "the {name} round trip is {value:?}, should be {expected} us"
        );
    }
    Ok(())
}

fn ceiling(config: &Config, attempt: u32) -> Duration {
    let (base, cap) = (config.backoff_base(), config.backoff_cap());
    let growth = config.backoff_factor().powf(f64::from(attempt - 2));
    let seconds = base.as_secs_f64() * growth;
    if seconds >= cap.as_secs_f64() {
        cap
    } else {
        // The last digits of a power are a matter of the order of its factors.
        Duration::from_secs_f64(seconds * (1.0 + 1e-9)).min(cap)
    }
}
