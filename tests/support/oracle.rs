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
    Action, CloseReason, Closed, Config, Epoch, Event, Heartbeat, Loss, Manner, PingId, Retry,
    RoundTrip, State, StopReason,
};

/// What has to hold for every config, seed, event sequence and clock; 0 is the
/// state table with its rules.
pub const INVARIANTS: [&str; 19] = [
    "the state table and the rules",
    "no panic, no overflow; internal time never goes back",
    "no spin: a deadline that is armed is later than now",
    "no stall: each waiting state has a deadline",
    "a tick before the deadline changes nothing but the deadline",
    "at most one ping out; at most one ping a step; never a ping outside Open",
    "a ping's deadline never moves later; a next ping needs a miss or activity",
    "accuracy: a conviction implies that its timeout passed with nothing in",
    "completeness: the detection bounds",
    "with ticks in time, activity never makes a conviction come earlier",
    "no watched direction stays silent for longer than its interval",
    "events of an old epoch change nothing",
    "one down, one attempt; one dial planned; one live connection",
    "every delay is the hint plus a draw within its bounds",
    "attempts reset exactly when the stability rule says",
    "after Stopped nothing, until a beginning with attempt 0",
    "determinism: a clone fed the same events does the same",
    "shifting every instant shifts the deadlines and nothing else",
    "one tick does at most one of: ping, dial, give up",
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

/// When a peer was first found dead, from this entry on.
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
        Action::Close(CloseReason::PongTimeout | CloseReason::IdleTimeout)
    )
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
    /// Something but `Received` happened. Until then only the latest counts.
    is_running: bool,
}

impl Clock {
    fn advance(&mut self, now: Duration, input: Input) {
        if !self.is_running {
            self.is_running = !matches!(input, Input::Event(Event::Received));
            let earlier = self
                .origin
                .filter(|&origin| self.is_running || origin > now);
            self.origin = Some(earlier.unwrap_or(now));
        }
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
    Connecting { due: Duration, spared: bool },
    Open(Box<Open>),
    Closing { due: Duration },
    Waiting(Waiting),
    Stopped,
}

#[derive(Clone)]
struct Waiting {
    at: Duration,
    /// No change of network brings the dial before this.
    earliest: Duration,
    hurried: bool,
}

#[derive(Clone)]
struct Open {
    opened: Duration,
    received: Duration,
    heard: bool,
    healthy: bool,
    /// The last thing that went out.
    spoke: Duration,
    /// From where the outbound silence counts at the latest: the last thing that
    /// went out, or the end of a probe.
    quiet: Duration,
    ping: Option<Ping>,
    /// When the ping that is out is missed.
    probe: Option<Duration>,
    pings: u32,
    missed: u32,
    spared: bool,
    /// Until when a verdict was put off, where no ping can be sent.
    put_off: Duration,
    urged: Option<Duration>,
    /// What was overdue after a change is asked for by then.
    asked: Duration,
    silence: Silence,
}

/// The last ping.
#[derive(Clone)]
struct Ping {
    id: PingId,
    /// The round trip counts from here.
    from: Duration,
    is_flushed: bool,
    is_awaited: bool,
}

/// What the bound of a detection is made of, since something last came in.
#[derive(Clone)]
struct Silence {
    since: Duration,
    lateness: Duration,
    /// The first deadline that has passed without a tick.
    owed: Option<Duration>,
    interval: Duration,
    timeout: Duration,
    idle_timeout: Duration,
    max_missed: u32,
    forgiven: bool,
    grace: Duration,
    /// What `PingSent` added.
    buffered: Duration,
    /// Changes that put off by 1 ms what they made overdue.
    changes: u32,
}

impl Silence {
    fn new(since: Duration, config: &Config) -> Self {
        let mut silence = Self {
            since,
            lateness: Duration::ZERO,
            owed: None,
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            max_missed: 0,
            forgiven: false,
            grace: Duration::ZERO,
            buffered: Duration::ZERO,
            changes: 0,
        };
        silence.is_under(config);
        silence
    }

    /// The longest settings in force count.
    fn is_under(&mut self, config: &Config) {
        let timeout = config.adaptive_timeout().unwrap_or(config.pong_timeout());
        self.interval = self.interval.max(config.ping_interval());
        self.timeout = self.timeout.max(timeout);
        self.idle_timeout = self.idle_timeout.max(config.idle_timeout());
        self.max_missed = self.max_missed.max(config.max_missed());
        self.grace = self
            .grace
            .max(config.late_tolerance().min(config.idle_timeout()));
    }

    fn bound(&self, listen_only: bool) -> Duration {
        let changes = MILLISECOND * self.changes;
        let ordinary = if listen_only {
            self.idle_timeout + self.lateness
        } else {
            self.interval
                .saturating_add(self.timeout * self.max_missed)
                .saturating_add(self.lateness.saturating_mul(self.max_missed + 1))
        };
        let forgiveness = match (self.forgiven, listen_only) {
            (false, _) => Duration::ZERO,
            (true, false) => self.timeout.saturating_add(self.lateness),
            (true, true) => self.grace.saturating_add(self.lateness),
        };
        ordinary
            .saturating_add(forgiveness)
            .saturating_add(self.buffered)
            .saturating_add(changes)
    }
}

impl Open {
    fn new(now: Duration, config: &Config) -> Self {
        Self {
            opened: now,
            received: now,
            heard: false,
            healthy: false,
            spoke: now,
            quiet: now,
            ping: None,
            probe: None,
            pings: 0,
            missed: 0,
            spared: false,
            put_off: Duration::ZERO,
            urged: None,
            asked: Duration::ZERO,
            silence: Silence::new(now, config),
        }
    }

    fn receive(&mut self, now: Duration, config: &Config) {
        self.received = now;
        self.heard = true;
        if self.probe.take().is_some() {
            self.quiet = now;
        }
        self.missed = 0;
        self.spared = false;
        self.put_off = Duration::ZERO;
        self.silence = Silence::new(now, config);
    }

    fn awaited(&self) -> Option<PingId> {
        self.ping
            .as_ref()
            .filter(|ping| ping.is_awaited)
            .map(|ping| ping.id)
    }

    fn is_stable(&self, config: &Config, clock: &Clock) -> bool {
        self.healthy || (self.heard && clock.since(self.opened) >= config.stable_after())
    }

    /// The least that an interval can be drawn to.
    fn least(&self, config: &Config, interval: Duration) -> Duration {
        if self.pings == 0 && config.random_phase() {
            return MILLISECOND;
        }
        let shortest = interval.mul_f64(1.0 - config.jitter());
        shortest
            .saturating_sub(Duration::from_nanos(2))
            .max(MILLISECOND)
    }

    /// No silence asks for a ping before this.
    fn earliest_ping(&self, config: &Config, clock: &Clock) -> Duration {
        let least = |interval| self.least(config, interval);
        let inbound = clock.after(self.received, least(config.ping_interval()));
        let outbound = config
            .send_interval()
            .map(|interval| clock.after(self.spoke, least(interval)));
        outbound.map_or(inbound, |outbound| outbound.min(inbound))
    }

    /// From here on a silence asks for a ping, however it was drawn.
    fn latest_ping(&self, config: &Config, clock: &Clock) -> Duration {
        let inbound = clock.after(self.received, config.ping_interval());
        let outbound = config
            .send_interval()
            .map(|interval| clock.after(self.quiet, interval));
        outbound.map_or(inbound, |outbound| outbound.min(inbound))
    }
}

fn watched_interval(config: &Config) -> Duration {
    let inbound = config.ping_interval();
    config
        .send_interval()
        .map_or(inbound, |outbound| outbound.min(inbound))
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
                is_running: false,
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
        self.clock.advance(entry.now, entry.input);
        if self.clock.is_at_end() {
            self.deadline = None;
        }
        self.observe_lateness(matches!(entry.input, Input::Event(Event::Tick)));

        self.is_measured = false;
        let did = self.arms(entry)?;
        does_one_thing(entry.input, did, &self.phase)?;
        let count = entry.actions.len();
        ensure!(count <= 3, 0, "{count} actions in a step");
        self.counts_connections(entry.input, did)?;
        let moves = match entry.input {
            Input::Reconfigure(config) => self.reconfigures(config, did)?,
            Input::Event(event) => self.handles(event, entry, did)?,
            Input::From(..) => false,
        };
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

    /// A tick is late for the first deadline that it serves, however often that
    /// was put off.
    fn observe_lateness(&mut self, is_tick: bool) {
        let (Phase::Open(open), Some(deadline)) = (&mut self.phase, self.deadline) else {
            return;
        };
        let silence = &mut open.silence;
        let owed = silence.owed.map_or(deadline, |owed| owed.min(deadline));
        let late = self.clock.since(owed.max(silence.since));
        silence.lateness = silence.lateness.max(late);
        let is_served = is_tick && self.clock.now >= deadline;
        silence.owed = Some(owed).filter(|&owed| !is_served && owed <= self.clock.now);
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
        let is_tick = matches!(entry.input, Input::Event(Event::Tick));
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

    fn counts_connections(&mut self, input: Input, did: Did) -> Checked {
        match input {
            Input::Event(Event::Closed(_) | Event::Error(_)) => self.is_live = false,
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

    fn handles(&mut self, event: Event, entry: &Entry, did: Did) -> Checked<bool> {
        if let Event::Received
        | Event::Pong(_)
        | Event::Sent
        | Event::PingSent(_)
        | Event::Healthy = event
        {
            ensure!(entry.actions.is_empty(), 0, "{event:?} only notes a fact");
            self.notes(event, entry)?;
            return Ok(false);
        }
        if event == Event::Tick && self.deadline.is_none_or(|at| self.clock.now < at) {
            ensure!(did.is_empty(), 4, "the tick came early, or for nothing");
            let is_sooner = entry.deadline < self.deadline;
            ensure!(!is_sooner, 4, "the deadline was {:?}", self.deadline);
            return Ok(false);
        }
        match self.phase {
            Phase::Idle => self.in_idle(event, did),
            Phase::Connecting { .. } => self.in_connecting(event, did),
            Phase::Open(_) => self.in_open(event, entry, did),
            Phase::Closing { .. } => self.in_closing(event, did),
            Phase::Waiting(_) => self.in_waiting(event, did),
            Phase::Stopped => self.in_stopped(event, did),
        }
    }

    fn notes(&mut self, event: Event, entry: &Entry) -> Checked {
        let (now, config) = (self.clock.now, self.config);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(());
        };
        match event {
            Event::Sent => {
                open.spoke = now;
                open.quiet = now;
            }
            Event::Healthy => open.healthy = true,
            Event::PingSent(id) => {
                let timeout = timeout(&config, self.views.round_trip);
                let out = open.awaited() == Some(id) && open.probe.is_some();
                if let Some(ping) = open.ping.as_mut().filter(|ping| out && !ping.is_flushed) {
                    let buffered = self.clock.since(ping.from).min(timeout);
                    open.probe = open.probe.map(|due| self.clock.after(due, buffered));
                    open.silence.buffered += buffered;
                    ping.from = now;
                    ping.is_flushed = true;
                }
            }
            Event::Pong(id) => {
                if open.awaited() == Some(id) {
                    if let Some(ping) = &mut open.ping {
                        self.is_measured = true;
                        ping.is_awaited = false;
                        let sample = self.clock.since(ping.from);
                        measures(self.views.round_trip, sample, entry.views.round_trip)?;
                    }
                }
                open.receive(now, &config);
            }
            _ => open.receive(now, &config),
        }
        Ok(())
    }

    fn in_idle(&mut self, event: Event, did: Did) -> Checked<bool> {
        match event {
            Event::Start | Event::ReconnectNow => self.dials(None, did),
            Event::Opened => self.opens(did, true),
            Event::Stop => self.stops(None, &[StopReason::Requested], did, false),
            _ => does_nothing(0, event, did),
        }
    }

    fn in_stopped(&mut self, event: Event, did: Did) -> Checked<bool> {
        match event {
            Event::Start | Event::ReconnectNow => {
                self.forgets_failures();
                self.dials(None, did)
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
            Event::Closed(closed) => {
                self.goes_down(None, StopReason::Closed(closed.code), closed, did)
            }
            Event::Error(_) => self.goes_down(None, StopReason::Error, Closed::default(), did),
            Event::ReconnectNow => self.dials(Some(CloseReason::Reconnect), did),
            Event::Stop => self.stops(
                Some(CloseReason::Abort),
                &[StopReason::Requested],
                did,
                true,
            ),
            _ => does_nothing(0, event, did),
        }
    }

    fn dial_is_due(&mut self, did: Did) -> Checked<bool> {
        let Phase::Connecting { due, spared } = &mut self.phase else {
            return Ok(false);
        };
        let late = self.clock.since(*due);
        if late > self.config.late_tolerance() && !*spared {
            ensure!(did.is_empty(), 7, "the tick is late by {late:?}");
            let tolerance = self.config.late_tolerance();
            *due = self
                .clock
                .hence(tolerance.min(self.config.connect_timeout()));
            *spared = true;
            return Ok(false);
        }
        self.goes_down(
            Some(CloseReason::ConnectTimeout),
            StopReason::ConnectTimeout,
            Closed::default(),
            did,
        )
    }

    fn in_closing(&mut self, event: Event, did: Did) -> Checked<bool> {
        let requested = &[StopReason::Requested];
        match event {
            Event::Start | Event::ReconnectNow => self.dials(Some(CloseReason::Reconnect), did),
            Event::Tick => self.stops(Some(CloseReason::CloseTimeout), requested, did, true),
            Event::Closed(_) | Event::Error(_) => self.stops(None, requested, did, true),
            Event::Stop => self.stops(Some(CloseReason::Abort), requested, did, true),
            _ => does_nothing(0, event, did),
        }
    }

    fn in_waiting(&mut self, event: Event, did: Did) -> Checked<bool> {
        match event {
            Event::Opened => self.opens(did, true),
            Event::Tick | Event::ReconnectNow => self.dials(None, did),
            Event::NetworkChanged => self.dials_earlier(did),
            Event::Stop => self.stops(None, &[StopReason::Requested], did, false),
            Event::Closed(_) | Event::Error(_) => does_nothing(12, event, did),
            _ => does_nothing(0, event, did),
        }
    }

    fn dials_earlier(&mut self, did: Did) -> Checked<bool> {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return Ok(false);
        };
        if waiting.hurried {
            return does_nothing(12, Event::NetworkChanged, did);
        }
        waiting.hurried = true;
        let least = self.clock.hence(MILLISECOND).max(waiting.earliest);
        let greatest = self.clock.hence(SECOND).max(waiting.earliest);
        match did {
            [] => ensure!(
                waiting.at <= greatest,
                0,
                "the dial is due within a second, not at {:?}",
                waiting.at
            ),
            [Action::ScheduleReconnect { at, attempt }] => {
                ensure!(*attempt == self.attempt, 12, "it is no new attempt");
                let is_earlier = *at < waiting.at || *at == self.clock.end();
                ensure!(is_earlier, 0, "it is not earlier");
                ensure!(
                    (least..=greatest).contains(at),
                    13,
                    "the dial may come from {least:?} to {greatest:?}"
                );
                waiting.at = *at;
            }
            _ => ensure!(false, 0, "it may move the dial, and no more"),
        }
        Ok(false)
    }

    fn in_open(&mut self, event: Event, entry: &Entry, did: Did) -> Checked<bool> {
        let code = match event {
            Event::Closed(closed) => closed,
            _ => Closed::default(),
        };
        match event {
            Event::Tick if self.config.listen_only() => self.judges_silence(did),
            Event::Tick => self.beats(did),
            Event::Closed(_) => self.goes_down(None, StopReason::Closed(code.code), code, did),
            Event::Error(_) => self.goes_down(None, StopReason::Error, code, did),
            Event::NetworkChanged => self.probes(did, entry),
            Event::ReconnectNow => self.dials(Some(CloseReason::Reconnect), did),
            Event::Stop => {
                self.settles_attempts();
                let due = self.clock.hence(self.config.close_timeout());
                self.phase = Phase::Closing { due };
                let expected = [Action::Close(CloseReason::Stop)];
                ensure!(did == expected, 0, "expected {expected:?}");
                Ok(false)
            }
            _ => does_nothing(0, event, did),
        }
    }

    fn beats(&mut self, did: Did) -> Checked<bool> {
        let (now, config) = (self.clock.now, self.config);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(false);
        };
        let Some(due) = open.probe else {
            ensure!(!did.iter().any(is_conviction), 7, "no ping is out");
            let (earliest, latest) = (
                open.earliest_ping(&config, &self.clock),
                open.latest_ping(&config, &self.clock),
            );
            if did.is_empty() {
                ensure!(now < latest, 10, "a ping was due at {latest:?}");
            } else {
                ensure!(now >= earliest, 6, "no ping is due before {earliest:?}");
                self.pings(did)?;
            }
            return Ok(false);
        };
        if now < due {
            let verdict = did.iter().any(is_conviction);
            ensure!(!verdict, 7, "the ping has until {due:?}");
            ensure!(did.is_empty(), 6, "the ping that is out has until {due:?}");
            return Ok(false);
        }
        let is_last = open.missed + 1 >= config.max_missed();
        let late = self.clock.since(due);
        if is_last && !open.spared && late > config.late_tolerance() {
            ensure!(
                !did.iter().any(is_conviction),
                7,
                "the verdict is late by {late:?}: one more ping first"
            );
            open.spared = true;
            open.silence.forgiven = true;
        } else if is_last {
            ensure!(
                did.first() == Some(&Action::Close(CloseReason::PongTimeout)),
                8,
                "the last ping was missed at {due:?}"
            );
            return self.convicts(CloseReason::PongTimeout, StopReason::PongTimeout, did);
        } else {
            ensure!(
                !did.iter().any(is_conviction),
                7,
                "{} of {} are missed",
                open.missed + 1,
                config.max_missed()
            );
            open.missed += 1;
        }
        self.pings(did)?;
        Ok(false)
    }

    fn judges_silence(&mut self, did: Did) -> Checked<bool> {
        let (now, config) = (self.clock.now, self.config);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(false);
        };
        let due = self.clock.after(open.received, config.idle_timeout());
        let late = self.clock.since(due);
        if now < due {
            ensure!(did.is_empty(), 7, "silence is death at {due:?}");
        } else if !open.spared && late > config.late_tolerance() {
            ensure!(did.is_empty(), 7, "the verdict is late by {late:?}");
            let grace = config.late_tolerance().min(config.idle_timeout());
            open.put_off = self.clock.hence(grace);
            open.spared = true;
            open.silence.forgiven = true;
        } else {
            return self.convicts(CloseReason::IdleTimeout, StopReason::IdleTimeout, did);
        }
        Ok(false)
    }

    fn convicts(&mut self, close: CloseReason, stop: StopReason, did: Did) -> Checked<bool> {
        if let Phase::Open(open) = &self.phase {
            let silence = self.clock.since(open.silence.since);
            let bound = open.silence.bound(self.config.listen_only());
            ensure!(
                silence <= bound,
                8,
                "after {silence:?} of silence; the bound is {bound:?}"
            );
            self.verdict = Some((silence, bound));
        }
        self.goes_down(Some(close), stop, Closed::default(), did)
    }

    /// Exactly a ping, whose id is new.
    fn pings(&mut self, did: Did) -> Checked {
        let [Action::SendPing(id)] = did else {
            ensure!(false, 6, "expected a ping");
            return Ok(());
        };
        ensure!(self.pings.insert(*id), 5, "{id:?} was given before");
        let now = self.clock.now;
        let deadline = self
            .clock
            .hence(timeout(&self.config, self.views.round_trip));
        if let Phase::Open(open) = &mut self.phase {
            open.pings += 1;
            open.spoke = now;
            open.quiet = now;
            open.probe = Some(deadline);
            open.ping = Some(Ping {
                id: *id,
                from: now,
                is_flushed: false,
                is_awaited: true,
            });
            ensure!(
                id.sequence() == open.pings,
                5,
                "it is ping {} of this connection",
                open.pings
            );
        }
        Ok(())
    }

    fn probes(&mut self, did: Did, entry: &Entry) -> Checked<bool> {
        let (now, config) = (self.clock.now, self.config);
        let Phase::Open(open) = &mut self.phase else {
            return Ok(false);
        };
        let recently = |urged: Duration| self.clock.since(urged) < SECOND;
        let is_out = open.probe.is_some();
        if config.listen_only() || (!is_out && open.urged.is_some_and(recently)) {
            ensure!(did.is_empty(), 5, "no ping is asked for");
            let before = self.deadline;
            ensure!(entry.deadline == before, 0, "the deadline was {before:?}");
            return Ok(false);
        }
        if is_out {
            ensure!(did.is_empty(), 5, "a ping is out");
        } else {
            open.urged = Some(now);
            self.pings(did)?;
        }
        let patience = timeout(&config, self.views.round_trip).min(5 * SECOND);
        let hurried = self.clock.hence(patience);
        self.asks_again();
        if let Phase::Open(open) = &mut self.phase {
            open.probe = open.probe.map(|due| due.min(hurried));
        }
        Ok(false)
    }

    fn reconfigures(&mut self, config: Config, did: Did) -> Checked<bool> {
        ensure!(did.is_empty(), 0, "new settings only arm a deadline");
        let was_listening = self.config.listen_only();
        self.config = config;
        let latest = self.clock.hence(timeout(&config, self.views.round_trip));
        self.asks_again();
        if let Phase::Open(open) = &mut self.phase {
            open.probe = open.probe.map(|due| due.min(latest));
            let grace = config.late_tolerance().min(config.idle_timeout());
            open.put_off = open.put_off.min(self.clock.hence(grace));
            if was_listening != config.listen_only() {
                open.silence = Silence::new(self.clock.now, &config);
                open.silence.forgiven = true;
                open.silence.changes = 1;
            }
            open.silence.is_under(&config);
        }
        Ok(false)
    }

    /// What is now overdue is asked for in 1 ms, or sooner if it already was.
    fn asks_again(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            let next = self.clock.hence(MILLISECOND);
            let armed = self.deadline.filter(|&at| at > self.clock.now);
            open.asked = armed.map_or(next, |at| at.min(next));
            open.silence.changes += 1;
        }
    }

    fn opens(&mut self, did: Did, moves: bool) -> Checked<bool> {
        ensure!(did.is_empty(), 0, "opening only arms a deadline");
        self.phase = Phase::Open(Box::new(Open::new(self.clock.now, &self.config)));
        Ok(moves)
    }

    fn dials(&mut self, close: Option<CloseReason>, did: Did) -> Checked<bool> {
        self.settles_attempts();
        let expected = Vec::from_iter(
            close
                .map(Action::Close)
                .into_iter()
                .chain([Action::Connect]),
        );
        ensure!(did == expected, 0, "expected {expected:?}");
        self.dialled = Some(self.clock.now);
        let due = self.clock.hence(self.config.connect_timeout());
        self.phase = Phase::Connecting { due, spared: false };
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

    fn goes_down(
        &mut self,
        close: Option<CloseReason>,
        reason: StopReason,
        closed: Closed,
        did: Did,
    ) -> Checked<bool> {
        let failures = self.attempt;
        self.settles_attempts();
        let config = self.config;
        if !config.reconnect() {
            return self.stops(close, &[reason], did, true);
        }
        let now = self.clock.now;
        let elapsed = self.clock.since(*self.first_down.get_or_insert(now));
        let retry = config.policy()(Loss::Closed(closed.code));
        let mut ends = Vec::new();
        if config
            .max_attempts()
            .is_some_and(|most| self.attempt >= most)
        {
            ends.push(StopReason::AttemptLimit);
        }
        if config
            .max_elapsed()
            .is_some_and(|longest| elapsed >= longest)
        {
            ends.push(StopReason::TimeLimit);
        }
        if retry == Retry::Stop {
            ends.push(reason);
        }
        if !ends.is_empty() {
            return self.stops(close, &ends, did, true);
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
        self.plans(at, retry, closed.retry_after)?;
        Ok(true)
    }

    fn plans(&mut self, at: Duration, retry: Retry, hint: Option<Duration>) -> Checked {
        let hinted = self.clock.hence(hint.unwrap_or_default().min(DAY));
        let (least, greatest) = delays(&self.config, self.attempt, retry);
        let (soonest, latest) = (
            self.clock.after(hinted, least),
            self.clock.after(hinted, greatest),
        );
        ensure!(
            (soonest..=latest).contains(&at),
            13,
            "attempt {} by {retry:?} with the hint {hint:?} may come from {soonest:?} to {latest:?}",
            self.attempt
        );
        let spaced = self
            .dialled
            .map(|dialled| self.clock.after(dialled, SECOND));
        self.phase = Phase::Waiting(Waiting {
            at,
            earliest: spaced.map_or(hinted, |spaced| spaced.max(hinted)),
            hurried: false,
        });
        Ok(())
    }

    fn settles_attempts(&mut self) {
        if let Phase::Open(open) = &self.phase {
            if open.is_stable(&self.config, &self.clock) {
                self.forgets_failures();
            }
        }
    }

    fn forgets_failures(&mut self) {
        self.attempt = 0;
        self.first_down = None;
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
            Phase::Connecting { due, .. } | Phase::Closing { due } => Some(*due),
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
        let is_kept = self.deadline == Some(at);
        if is_kept && at <= clock.now {
            return Ok(()); // A tick was lost; there is nothing later to wait for.
        }
        if config.listen_only() {
            let due = clock.after(open.received, config.idle_timeout());
            let latest = due.max(open.put_off).max(open.asked);
            ensure!(at <= latest, 8, "silence is death at {latest:?}");
        } else if let Some(due) = open.probe {
            let latest = due.max(open.asked);
            let is_new = entry.actions.iter().any(is_ping);
            let number = if is_new { 8 } else { 6 };
            ensure!(
                at <= latest,
                number,
                "the ping that is out has until {latest:?}"
            );
            let wake = clock.hence(watched_interval(config));
            ensure!(
                at <= wake,
                10,
                "an answer now has to be followed by a look at {wake:?}"
            );
        } else {
            let latest = open.latest_ping(config, clock).max(open.asked);
            ensure!(at <= latest, 10, "a ping is due at {latest:?}");
        }
        self.sleeps_long(open, at, entry)
    }

    /// A busy connection costs one timer operation an interval.
    fn sleeps_long(&self, open: &Open, at: Duration, entry: &Entry) -> Checked {
        let (clock, config) = (&self.clock, &self.config);
        let is_due_tick = matches!(entry.input, Input::Event(Event::Tick))
            && self.deadline.is_some_and(|deadline| clock.now >= deadline);
        if !is_due_tick {
            return Ok(());
        }
        let soonest = if config.listen_only() {
            let due = clock.after(open.received, config.idle_timeout());
            due.max(open.put_off)
        } else {
            let least = open.least(config, watched_interval(config));
            match open.probe {
                Some(due) => due.min(clock.hence(least)),
                None => open.earliest_ping(config, clock),
            }
        };
        ensure!(at >= soonest, 0, "there is nothing to do until {soonest:?}");
        Ok(())
    }

    fn detects_in_time(&self, entry: &Entry) -> Checked {
        let Phase::Open(open) = &self.phase else {
            return Ok(());
        };
        if matches!(entry.input, Input::Event(Event::Tick)) && !self.clock.is_at_end() {
            let silence = self.clock.since(open.silence.since);
            let bound = open.silence.bound(self.config.listen_only());
            ensure!(
                silence <= bound,
                8,
                "no conviction after {silence:?} of silence; the bound is {bound:?}"
            );
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
            Phase::Connecting { .. } => State::Connecting,
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
                open.missed,
                open.probe.is_some(),
                open.awaited(),
                open.heard.then_some(open.received),
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

fn does_one_thing(input: Input, did: Did, phase: &Phase) -> Checked {
    let count = |is: fn(&Action<Duration>) -> bool| did.iter().filter(|action| is(action)).count();
    let pings = count(is_ping);
    let dials = count(|action| matches!(action, Action::Connect));
    let ends = count(|action| {
        matches!(
            action,
            Action::ScheduleReconnect { .. } | Action::Stopped(_)
        )
    });
    ensure!(pings <= 1, 5, "{pings} pings in a step");
    let is_open = matches!(phase, Phase::Open(_));
    ensure!(is_open || pings == 0, 5, "a ping outside Open");
    ensure!(dials <= 1 && ends <= 1, 12, "{dials} dials, {ends} ends");
    if matches!(input, Input::Event(Event::Tick)) {
        let things = pings + dials + ends;
        ensure!(things <= 1, 18, "this tick did {things} things");
    }
    Ok(())
}

fn does_nothing(invariant: usize, event: Event, did: Did) -> Checked<bool> {
    ensure!(did.is_empty(), invariant, "{event:?} changes nothing here");
    Ok(false)
}

fn timeout(config: &Config, round_trip: Option<RoundTrip>) -> Duration {
    let least = config.pong_timeout();
    match (config.adaptive_timeout(), round_trip) {
        (Some(greatest), Some(measured)) => {
            let patience = measured.smoothed() + 4 * measured.variance();
            patience.min(greatest).max(least)
        }
        _ => least,
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

/// From when to when the dial of this attempt may come.
fn delays(config: &Config, attempt: u32, retry: Retry) -> (Duration, Duration) {
    let (floor, cap) = (config.backoff_floor(), config.backoff_cap());
    let (least, greatest) = match retry {
        Retry::Backoff if attempt == 1 => (MILLISECOND, config.first_spread()),
        Retry::Backoff => (floor, ceiling(config, attempt)),
        Retry::Spread => (floor, cap),
        Retry::Between { least, greatest } => {
            let least = least.clamp(MILLISECOND, DAY);
            (least, greatest.clamp(least, DAY))
        }
        _ => (MILLISECOND, DAY),
    };
    (least, greatest)
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
