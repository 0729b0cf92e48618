//! Bugs planted in the machine, at least one for each invariant, most of them
//! bugs that libraries in use have or had: the oracle names the invariant that
//! each one breaks, and finds no fault with the healthy machine in the same story.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod oracle;
}

use core::time::Duration;
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU32, Ordering};

use keepalive::{Action, CloseCode, CloseReason, Closed, Config, ConfigBuilder, Event, Heartbeat};
use keepalive::{PingId, Refused, Retry, State, StopReason, stop_when_refused};
use support::oracle::{self, INVARIANTS, Input, Machine, Verdict, Views, Watched};

type Did = Vec<Action<Duration>>;

struct Plant {
    invariant: usize,
    name: &'static str,
    bug: Bug,
    judge: fn(Bug) -> Verdict,
}

/// What the machine does in place of [`Sick::well`].
type Bug = fn(&mut Sick, Input, Duration) -> Did;

#[test]
fn each_planted_bug_is_caught_by_its_invariant() {
    let mut missed = Vec::new();
    for plant in plants() {
        let found = match catch_unwind(|| (plant.judge)(plant.bug)) {
            Ok(Ok(())) => None,
            Ok(Err(violation)) => Some((violation.invariant, violation.text)),
            Err(_) => Some((1, "it panicked".into())),
        };
        let (name, expected) = (plant.name, plant.invariant);
        println!("{expected:2} {name}: {found:?}");
        if found.as_ref().map(|(invariant, _)| *invariant) != Some(expected) {
            missed.push(format!("{name} breaks {expected}, seen is {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn the_healthy_machine_is_not_accused_in_the_same_stories() {
    for plant in plants() {
        if let Err(violation) = (plant.judge)(Sick::well) {
            panic!("{}: {violation}", plant.name);
        }
    }
}

#[test]
fn each_invariant_has_a_bug_that_breaks_it() {
    let planted = BTreeSet::from_iter(plants().iter().map(|plant| plant.invariant));
    assert_eq!(planted, BTreeSet::from_iter(0..INVARIANTS.len()));
}

/// A heartbeat with a bug in it.
#[derive(Clone)]
struct Sick {
    heart: Heartbeat<Duration>,
    bug: Bug,
    deadline: Option<Duration>,
    views: Views,
    /// What a bug may want to remember.
    count: u32,
    last: Duration,
    /// Foretells no verdict.
    is_mute: bool,
}

impl Sick {
    fn new(config: Config, bug: Bug) -> Self {
        let heart = Heartbeat::new(config, 1);
        Self {
            deadline: Machine::deadline(&heart),
            views: heart.views(),
            heart,
            bug,
            count: 0,
            last: Duration::ZERO,
            is_mute: false,
        }
    }

    /// What a healthy machine does and shows.
    fn well(&mut self, input: Input, now: Duration) -> Did {
        let did = self.heart.take(input, now);
        self.deadline = Machine::deadline(&self.heart);
        self.views = self.heart.views();
        did
    }

    /// Believes in other settings from before the beginning on.
    fn believes(&mut self, change: fn(ConfigBuilder) -> ConfigBuilder, now: Duration) {
        if self.heart.state() == State::Idle {
            self.changes(change, now);
        }
    }

    /// As if it took other settings in its stride now.
    fn changes(&mut self, change: fn(ConfigBuilder) -> ConfigBuilder, now: Duration) {
        let config = change(self.heart.config().to_builder());
        drop(self.heart.reconfigure(config.build().unwrap(), now));
    }

    /// Sends a ping at this time, although settings that changed twice forbid it.
    fn pings_in_spite_of_settings(&mut self, input: Input, now: Duration, at: Duration) -> Did {
        let mut did = self.well(input, now);
        if matches!(input, Input::Reconfigure(_)) {
            self.count += 1;
            if self.count == 2 {
                self.arms(&mut did, Some(at));
            }
        }
        if is_tick(input) && self.count == 2 {
            did.insert(0, Action::SendPing(PingId::from_bytes([7; 8])));
        }
        did
    }

    /// Announces another deadline than the right one.
    fn arms(&mut self, did: &mut Did, at: Option<Duration>) {
        did.retain(|action| !matches!(action, Action::ArmDeadline(_)));
        did.extend(at.map(Action::ArmDeadline));
        self.deadline = at;
    }

    /// Plans a dial for another time than the right one.
    fn plans(&mut self, did: &mut Did, at: Duration) {
        for action in did.iter_mut() {
            if let Action::ScheduleReconnect { attempt, .. } = *action {
                *action = Action::ScheduleReconnect { at, attempt };
            }
        }
        self.arms(did, Some(at));
    }
}

impl Machine for Sick {
    fn take(&mut self, input: Input, now: Duration) -> Did {
        (self.bug)(self, input, now)
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    fn views(&self) -> Views {
        self.views
    }

    fn verdict(&self, now: Duration) -> Option<Duration> {
        self.heart.verdict(now).filter(|_| !self.is_mute)
    }
}

/// The story of a sick machine, told in milliseconds.
#[derive(Clone)]
struct Life(Watched<Sick>);

impl Life {
    fn new(config: Config, bug: Bug) -> Self {
        Self(Watched::of(Sick::new(config, bug), config))
    }

    fn at(mut self, millis: u64, event: Event) -> Self {
        self.0.handle(event, Duration::from_millis(millis));
        self
    }

    /// A tick at the deadline and so much later, if there is a deadline.
    fn tick_late(mut self, millis: u64) -> Self {
        let deadline = Machine::deadline(&self.0.heartbeat).unwrap_or_default();
        self.0
            .handle(Event::Tick, deadline + Duration::from_millis(millis));
        self
    }

    fn tick(self) -> Self {
        self.tick_late(0)
    }

    /// That the ping which is out has left the write buffer.
    fn flushed_at(self, millis: u64) -> Self {
        let ping = self.0.heartbeat.views.awaited.unwrap();
        self.at(millis, Event::PingSent(ping))
    }

    fn pong_at(self, millis: u64) -> Self {
        let ping = self.0.heartbeat.views.awaited.unwrap();
        self.at(millis, Event::Pong(ping))
    }

    /// Other settings from then on.
    fn changed_at(mut self, millis: u64, change: fn(ConfigBuilder) -> ConfigBuilder) -> Self {
        let config = change(config()).build().unwrap();
        let now = Duration::from_millis(millis);
        self.0.feed(Input::Reconfigure(config), now);
        self
    }

    /// Connections that are lost at once, from a wait on.
    fn fails_at(mut self, millis: u64, times: u32) -> Self {
        for _ in 0..times {
            self = self
                .at(millis, Event::Opened)
                .at(millis, Event::Error(None));
        }
        self
    }

    fn check(self) -> Verdict {
        self.0.check()
    }
}

/// A ping after 10 s of inbound silence, which has 4 s; nothing random but the
/// delays before dials.
fn config() -> ConfigBuilder {
    Config::builder()
        .ping_interval(seconds(10))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(seconds(4))
}

fn life(bug: Bug) -> Life {
    Life::new(config().build().unwrap(), bug)
}

fn life_with(change: fn(ConfigBuilder) -> ConfigBuilder, bug: Bug) -> Life {
    Life::new(change(config()).build().unwrap(), bug)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn is_tick(input: Input) -> bool {
    input == Input::Event(Event::Tick)
}

fn plants() -> Vec<Plant> {
    let plant = |invariant, name, bug, judge| Plant {
        invariant,
        name,
        bug,
        judge,
    };
    vec![
        plant(
            0,
            "each message moves the timer",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if input == Input::Event(Event::Received) {
                    sick.arms(&mut did, Some(now + seconds(10)));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::Received).check()
            },
        ),
        plant(
            0,
            "a stop abandons a connection that could be closed",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if did.first() == Some(&Action::Close(CloseReason::Stop)) {
                    did[0] = Action::Close(CloseReason::Abort);
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::Stop).check()
            },
        ),
        plant(
            0,
            "a verdict comes that was not foretold",
            |sick, input, now| {
                sick.is_mute = true;
                sick.well(input, now)
            },
            |bug| life(bug).at(0, Event::Opened).tick().tick().check(),
        ),
        plant(
            0,
            "a limit is told where the policy says stop",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if let Some(Action::Stopped(reason)) = did.first_mut() {
                    *reason = StopReason::AttemptLimit;
                }
                did
            },
            |bug| {
                let limited = |b: ConfigBuilder| b.policy(stop_when_refused).max_attempts(Some(1));
                let life = life_with(limited, bug).at(0, Event::Opened);
                let life = life.at(1000, Event::Error(None)).at(2000, Event::Opened);
                let normal = Closed::with_code(CloseCode::NORMAL);
                life.at(3000, Event::Closed(normal)).check()
            },
        ),
        plant(
            0,
            "the application's own decision is overruled",
            |sick, input, now| match input {
                Input::Event(Event::Error(_)) => sick.well(Input::Event(Event::Error(None)), now),
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                life.at(100, Event::Error(Some(Retry::Stop))).check()
            },
        ),
        plant(
            0,
            "a dial that replaces one is replaced in turn",
            |sick, input, now| {
                if input == Input::Event(Event::NetworkChanged) && sick.count > 0 {
                    let ahead = now + seconds(5);
                    return sick.well(Input::Event(Event::ReconnectNow), ahead);
                }
                sick.count += u32::from(input == Input::Event(Event::NetworkChanged));
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let life = life.at(2000, Event::NetworkChanged);
                life.at(4000, Event::NetworkChanged).check()
            },
        ),
        plant(
            0,
            "a dial that is young is not the new connection",
            |sick, input, now| {
                if input == Input::Event(Event::ReconnectNow) {
                    return sick.well(input, now + seconds(5));
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                life.at(2000, Event::ReconnectNow).check()
            },
        ),
        plant(
            0,
            "of two verdicts the second is told",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if did.first() == Some(&Action::Close(CloseReason::IdleTimeout)) {
                    did[0] = Action::Close(CloseReason::MessageTimeout);
                }
                did
            },
            |bug| {
                let listener = |b: ConfigBuilder| {
                    let ten = seconds(10);
                    b.listen_only(true)
                        .idle_timeout(ten)
                        .message_timeout(Some(ten))
                };
                life_with(listener, bug).at(0, Event::Opened).tick().check()
            },
        ),
        plant(
            0,
            "a late ping scatters the next from nothing on",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if matches!(did.first(), Some(Action::SendPing(_))) {
                    sick.arms(&mut did, Some(now + Duration::from_millis(500)));
                }
                did
            },
            |bug| {
                let patient = |b: ConfigBuilder| {
                    b.random_phase(true)
                        .pong_timeout(seconds(60))
                        .strict_pongs(true)
                };
                let life = life_with(patient, bug).at(0, Event::Opened);
                life.tick_late(10_000).check()
            },
        ),
        plant(
            0,
            "each ping scatters the next",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if matches!(did.first(), Some(Action::SendPing(_))) {
                    sick.arms(&mut did, Some(now + seconds(3)));
                }
                did
            },
            |bug| {
                let cadence = |b: ConfigBuilder| {
                    b.random_phase(true)
                        .always_ping(true)
                        .pong_timeout(seconds(60))
                };
                let life = life_with(cadence, bug).at(0, Event::Opened);
                life.tick().check()
            },
        ),
        plant(
            1,
            "a clock that goes back is believed",
            |sick, input, now| {
                let did = sick.well(input, now);
                if input == Input::Event(Event::Received) {
                    sick.views.last_received = Some(now);
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(3000, Event::Received);
                life.at(2000, Event::Received).check()
            },
        ),
        plant(
            1,
            "a sum overflows",
            |sick, input, now| {
                let _due = now + sick.heart.config().ping_interval();
                sick.well(input, now)
            },
            |bug| {
                let mut life = life(bug);
                life.0.handle(Event::Opened, Duration::MAX);
                life.check()
            },
        ),
        plant(
            2,
            "what is overdue is asked for at once",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if is_tick(input) {
                    sick.arms(&mut did, Some(now));
                }
                did
            },
            |bug| life(bug).at(0, Event::Opened).tick().check(),
        ),
        plant(
            3,
            "a dial may hang for ever",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if sick.heart.state() == State::Connecting {
                    sick.arms(&mut did, None);
                }
                did
            },
            |bug| life(bug).at(0, Event::Start).check(),
        ),
        plant(
            3,
            "the end of a close handshake is waited for for ever",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if sick.heart.state() == State::Closing {
                    sick.arms(&mut did, None);
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::Stop).check()
            },
        ),
        plant(
            4,
            "ticks are counted, not timed",
            |sick, input, now| {
                let deadline = Machine::deadline(&sick.heart).filter(|_| is_tick(input));
                sick.well(input, deadline.unwrap_or(now).max(now))
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::Tick).check()
            },
        ),
        plant(
            4,
            "an early tick brings the deadline forward",
            |sick, input, now| {
                let is_early = Machine::deadline(&sick.heart).is_some_and(|at| now < at);
                let mut did = sick.well(input, now);
                if is_tick(input) && is_early {
                    sick.arms(&mut did, Some(now + Duration::from_millis(1)));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::Tick).check()
            },
        ),
        plant(
            5,
            "a ping is sent twice",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if matches!(did.first(), Some(Action::SendPing(_))) {
                    did.insert(0, did[0]);
                }
                did
            },
            |bug| life(bug).at(0, Event::Opened).tick().check(),
        ),
        plant(
            5,
            "a change of network pings although a ping is out",
            |sick, input, now| {
                let is_out = sick.heart.is_ping_out();
                let mut did = sick.well(input, now);
                if is_out && input == Input::Event(Event::NetworkChanged) {
                    did.insert(0, Action::SendPing(PingId::from_bytes([7; 8])));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                life.at(11_000, Event::NetworkChanged).check()
            },
        ),
        plant(
            5,
            "the ping timer outlives its connection",
            |sick, input, now| {
                if is_tick(input) && sick.heart.state() == State::Waiting {
                    let mut did = vec![Action::SendPing(PingId::from_bytes([7; 8]))];
                    sick.arms(&mut did, Some(now + seconds(10)));
                    return did;
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::Error(None)).tick().check()
            },
        ),
        plant(
            5,
            "a server that waits for the login is pinged",
            |sick, input, now| {
                sick.believes(|b| b.healthy_within(None), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.healthy_within(Some(seconds(30))), bug);
                life.at(0, Event::Opened).tick().check()
            },
        ),
        plant(
            5,
            "a listener pings",
            |sick, input, now| match input {
                Input::Reconfigure(_) => Vec::new(),
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.changed_at(3000, |b| b.listen_only(true))
                    .tick()
                    .check()
            },
        ),
        plant(
            5,
            "each of a burst of news pings",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                let is_news = input == Input::Event(Event::NetworkChanged);
                if is_news && matches!(did.first(), Some(Action::ArmDeadline(_))) {
                    did.insert(0, Action::SendPing(PingId::from_bytes([7; 8])));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(3000, Event::NetworkChanged).pong_at(3100);
                life.at(3200, Event::NetworkChanged).check()
            },
        ),
        plant(
            6,
            "a ping that is flushed twice has twice the time",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if let Input::Event(Event::PingSent(_)) = input {
                    sick.count += 1;
                }
                if is_tick(input) && sick.count > 1 {
                    sick.arms(&mut did, Some(now + seconds(4)));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                let life = life.flushed_at(12_000).flushed_at(13_000);
                life.tick().check()
            },
        ),
        plant(
            6,
            "what is sent postpones the deadline of the ping",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if input == Input::Event(Event::Sent) {
                    sick.last = now;
                }
                if is_tick(input) && sick.heart.is_ping_out() && sick.last > Duration::ZERO {
                    sick.arms(&mut did, Some(sick.last + seconds(4)));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                let life = life.at(12_000, Event::Sent);
                life.at(13_000, Event::Tick).check()
            },
        ),
        plant(
            6,
            "each interval has its ping, answered or not",
            |sick, input, now| {
                let is_out = sick.heart.is_ping_out();
                let mut did = sick.well(input, now);
                if is_tick(input) && is_out {
                    did.insert(0, Action::SendPing(PingId::from_bytes([7; 8])));
                }
                did
            },
            |bug| {
                let patient = |b: ConfigBuilder| b.pong_timeout(seconds(30));
                let life = life_with(patient, bug).at(0, Event::Opened);
                life.tick().tick().check()
            },
        ),
        plant(
            6,
            "a heartbeat that replaces another has the whole timeout",
            |sick, input, now| {
                let is_out = sick.heart.is_ping_out();
                let mut did = sick.well(input, now);
                if let (true, Some(&Action::SendPing(id))) = (is_out, did.first()) {
                    drop(sick.heart.handle(Event::PingSent(id), now));
                    sick.arms(&mut did, Some(now + seconds(10)));
                }
                did
            },
            |bug| {
                let cadence = |b: ConfigBuilder| b.always_ping(true).pong_timeout(seconds(14));
                let life = life_with(cadence, bug).at(0, Event::Opened);
                life.tick().tick().check()
            },
        ),
        plant(
            6,
            "heartbeats pile up behind our own bytes",
            |sick, input, now| match input {
                Input::Event(Event::Draining) => Vec::new(),
                _ => sick.well(input, now),
            },
            |bug| {
                let cadence = |b: ConfigBuilder| b.always_ping(true).pong_timeout(seconds(14));
                let life = life_with(cadence, bug).at(0, Event::Opened);
                life.tick().at(15_000, Event::Draining).tick().check()
            },
        ),
        plant(
            6,
            "a ping that has left still waits for our bytes",
            |sick, input, now| match input {
                Input::Event(Event::PingSent(_)) => sick.well(Input::Event(Event::Draining), now),
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                let life = life.flushed_at(12_000).at(13_000, Event::Draining);
                life.tick().check()
            },
        ),
        plant(
            6,
            "a watch that is switched on is overdue at once",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                match input {
                    Input::Reconfigure(_) => {
                        sick.count = 1;
                        sick.arms(&mut did, Some(now + Duration::from_millis(1)));
                    }
                    _ if is_tick(input) && sick.count > 0 => {
                        did.insert(0, Action::SendPing(PingId::from_bytes([7; 8])));
                    }
                    _ => {}
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let outbound = |b: ConfigBuilder| b.send_interval(Some(seconds(5)));
                life.changed_at(8000, outbound).tick().check()
            },
        ),
        plant(
            6,
            "news outlive a time as a listener",
            |sick, input, now| sick.pings_in_spite_of_settings(input, now, seconds(4)),
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(3000, Event::NetworkChanged).pong_at(3100);
                let life = life.at(3200, Event::NetworkChanged);
                let life = life.changed_at(3300, |b| b.listen_only(true));
                life.changed_at(3400, |b| b).tick().check()
            },
        ),
        plant(
            6,
            "a doubt outlives being switched off",
            |sick, input, now| sick.pings_in_spite_of_settings(input, now, seconds(6)),
            |bug| {
                let doubting = |b: ConfigBuilder| b.confirm_within(Some(seconds(5)));
                let life = life_with(doubting, bug).at(0, Event::Opened);
                let life = life.at(1000, Event::Sent).changed_at(2000, |b| b);
                life.changed_at(3000, doubting).tick().check()
            },
        ),
        plant(
            7,
            "a third of the timeout is enough",
            |sick, input, now| {
                sick.believes(|b| b.pong_timeout(seconds(10)), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.pong_timeout(seconds(30)), bug);
                life.at(0, Event::Opened).tick().tick().check()
            },
        ),
        plant(
            7,
            "a process that was away blames the peer",
            |sick, input, now| {
                sick.believes(|b| b.late_tolerance(seconds(3600)), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                life.tick_late(60_000).check()
            },
        ),
        plant(
            7,
            "one lost pong is enough",
            |sick, input, now| {
                sick.believes(|b| b.max_missed(1), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.max_missed(2), bug);
                life.at(0, Event::Opened).tick().tick().check()
            },
        ),
        plant(
            7,
            "only the pong counts as an answer",
            |sick, input, now| {
                if input == Input::Event(Event::Received) && sick.heart.is_ping_out() {
                    sick.views.is_ping_out = false;
                    sick.views.last_received = Some(now);
                    return Vec::new();
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                life.at(12_000, Event::Received).tick().check()
            },
        ),
        plant(
            7,
            "a listener has no patience",
            |sick, input, now| {
                sick.believes(|b| b.idle_timeout(seconds(20)), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.listen_only(true), bug);
                life.at(0, Event::Opened).tick().check()
            },
        ),
        plant(
            7,
            "a heartbeat that is due misses the one before",
            |sick, input, now| {
                sick.believes(|b| b.pong_timeout(seconds(10)), now);
                sick.well(input, now)
            },
            |bug| {
                let cadence = |b: ConfigBuilder| b.always_ping(true).pong_timeout(seconds(20));
                let life = life_with(cadence, bug).at(0, Event::Opened);
                life.tick().tick().check()
            },
        ),
        plant(
            7,
            "our own backlog is the peer's silence",
            |sick, input, now| match input {
                Input::Event(Event::Draining) => Vec::new(),
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                life.at(13_000, Event::Draining).tick().check()
            },
        ),
        plant(
            7,
            "the pong of a ping that was replaced is stale",
            |sick, input, now| {
                if let Input::Event(Event::Pong(id)) = input {
                    if sick.heart.awaited_ping() != Some(id) {
                        let did = sick.well(Input::Event(Event::Received), now);
                        sick.views.is_ping_out = false;
                        return did;
                    }
                }
                sick.well(input, now)
            },
            |bug| {
                let strict = |b: ConfigBuilder| {
                    let cadence = b.always_ping(true).pong_timeout(seconds(14));
                    cadence.strict_pongs(true)
                };
                let life = life_with(strict, bug).at(0, Event::Opened).tick();
                let first = life.0.heartbeat.views.awaited.unwrap();
                let life = life.tick().at(21_000, Event::Pong(first));
                life.tick().check()
            },
        ),
        plant(
            7,
            "a late clock has no mercy on a feed",
            |sick, input, now| {
                sick.believes(|b| b.late_tolerance(seconds(3600)), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.message_timeout(Some(seconds(8))), bug);
                life.at(0, Event::Opened).tick_late(5000).check()
            },
        ),
        plant(
            7,
            "a late clock has no mercy on a dial",
            |sick, input, now| {
                sick.believes(|b| b.late_tolerance(seconds(3600)), now);
                sick.well(input, now)
            },
            |bug| life(bug).at(0, Event::Start).tick_late(5000).check(),
        ),
        plant(
            7,
            "a watch that was put off spends the mercy of another",
            |sick, input, now| {
                let armed = sick.deadline.filter(|_| is_tick(input));
                if armed.is_some_and(|at| now > at + seconds(1)) {
                    if sick.count > 0 {
                        sick.changes(|b| b.late_tolerance(seconds(3600)), now - seconds(3));
                    }
                    sick.count += 1;
                }
                sick.well(input, now)
            },
            |bug| {
                let listener = |b: ConfigBuilder| {
                    let b = b.listen_only(true).idle_timeout(seconds(20));
                    b.message_timeout(Some(seconds(30)))
                };
                let life = life_with(listener, bug).at(0, Event::Opened);
                let life = life.at(19_000, Event::Received).tick().tick_late(3000);
                let life = life.at(33_500, Event::Message).tick();
                life.tick_late(3000).check()
            },
        ),
        plant(
            7,
            "an answer that always took long has 5 s on the new path",
            |sick, input, now| {
                sick.believes(|b| b.adaptive_timeout(None), now);
                sick.well(input, now)
            },
            |bug| {
                let slow = |b: ConfigBuilder| {
                    b.pong_timeout(seconds(20))
                        .adaptive_timeout(Some(seconds(60)))
                };
                let life = life_with(slow, bug).at(0, Event::Opened);
                let life = life.tick().pong_at(28_000);
                let life = life.at(30_000, Event::NetworkChanged);
                life.tick().check()
            },
        ),
        plant(
            8,
            "nobody is ever dead",
            |sick, input, now| {
                sick.believes(|b| b.max_missed(100), now);
                sick.well(input, now)
            },
            |bug| life(bug).at(0, Event::Opened).tick().tick().check(),
        ),
        plant(
            8,
            "the verdict is logged, and nobody acts on it",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if did.first() == Some(&Action::Close(CloseReason::PongTimeout)) {
                    sick.arms(&mut did, Some(now + seconds(10)));
                    did.retain(|action| matches!(action, Action::ArmDeadline(_)));
                }
                did
            },
            |bug| life(bug).at(0, Event::Opened).tick().tick().check(),
        ),
        plant(
            8,
            "what is sent counts as life",
            |sick, input, now| {
                if input == Input::Event(Event::Sent) {
                    sick.heart.take(Input::Event(Event::Received), now);
                    return Vec::new();
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                life.at(12_000, Event::Sent).tick().check()
            },
        ),
        plant(
            8,
            "bytes are an answer to a strict ping",
            |sick, input, now| {
                sick.believes(|b| b.strict_pongs(false), now);
                let did = sick.well(input, now);
                if input == Input::Event(Event::Received) {
                    sick.views.is_ping_out = true;
                }
                did
            },
            |bug| {
                let life = life_with(|b| b.strict_pongs(true), bug);
                let life = life.at(0, Event::Opened).tick();
                life.at(12_000, Event::Received).tick().check()
            },
        ),
        plant(
            8,
            "pongs stand for messages",
            |sick, input, now| {
                let did = sick.well(input, now);
                if let Input::Event(Event::Pong(_)) = input {
                    sick.well(Input::Event(Event::Message), now);
                }
                did
            },
            |bug| {
                let life = life_with(|b| b.message_timeout(Some(seconds(15))), bug);
                let life = life.at(0, Event::Opened).tick().pong_at(11_000);
                life.tick().tick().check()
            },
        ),
        plant(
            8,
            "the verdict on messages is put off twice",
            |sick, input, now| {
                if is_tick(input) && sick.heart.verdict(now).is_some() {
                    let mut did = Vec::new();
                    sick.arms(&mut did, Some(now + seconds(1)));
                    return did;
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.message_timeout(Some(seconds(8))), bug);
                let life = life.at(0, Event::Opened).tick_late(5000);
                life.tick_late(5000).check()
            },
        ),
        plant(
            8,
            "a ping goes before the verdict",
            |sick, input, now| {
                sick.believes(|b| b.message_timeout(None), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.message_timeout(Some(seconds(10))), bug);
                life.at(0, Event::Opened).tick().check()
            },
        ),
        plant(
            8,
            "a login is waited for for ever",
            |sick, input, now| {
                sick.believes(|b| b.healthy_within(Some(seconds(3600))), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.healthy_within(Some(seconds(30))), bug);
                life.at(0, Event::Opened).check()
            },
        ),
        plant(
            8,
            "an answer on the new path has all the time",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if input == Input::Event(Event::NetworkChanged) {
                    sick.arms(&mut did, Some(now + seconds(9)));
                }
                did
            },
            |bug| {
                let life = life_with(|b| b.pong_timeout(seconds(20)), bug);
                let life = life.at(0, Event::Opened);
                life.at(3000, Event::NetworkChanged).check()
            },
        ),
        plant(
            8,
            "what was put off once stays put off under new settings",
            |sick, input, now| match input {
                Input::Reconfigure(_) => Vec::new(),
                _ => sick.well(input, now),
            },
            |bug| {
                let login = |b: ConfigBuilder| b.healthy_within(Some(seconds(30)));
                let life = life_with(login, bug).at(0, Event::Opened);
                let strict = |b: ConfigBuilder| {
                    let b = b.healthy_within(Some(seconds(30)));
                    b.late_tolerance(Duration::from_millis(100))
                };
                life.tick_late(5000).changed_at(35_200, strict).check()
            },
        ),
        plant(
            9,
            "a peer that talks has less time from then on",
            |sick, input, now| {
                let did = sick.well(input, now);
                if input == Input::Event(Event::Received) {
                    let config = sick.heart.config().to_builder();
                    let nervous = config
                        .ping_interval(seconds(1))
                        .pong_timeout(seconds(1))
                        .build()
                        .unwrap();
                    drop(sick.heart.reconfigure(nervous, now));
                    sick.deadline = Machine::deadline(&sick.heart);
                }
                did
            },
            |bug| {
                let without = life(bug).at(0, Event::Opened);
                let with = without.clone().at(1000, Event::Received);
                let [without, with] = [without, with].map(|life| life.tick().tick().tick().0.trace);
                oracle::no_earlier(&without, &with, 0)
            },
        ),
        plant(
            10,
            "what comes in starves what goes out",
            |sick, input, now| {
                sick.believes(|b| b.send_interval(None), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.send_interval(Some(seconds(12))), bug);
                let life = life.at(0, Event::Opened).at(5000, Event::Received);
                life.tick().tick().check()
            },
        ),
        plant(
            10,
            "a ping that was answered is not looked at until its deadline",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if matches!(did.first(), Some(Action::SendPing(_))) {
                    sick.arms(&mut did, Some(now + seconds(30)));
                }
                did
            },
            |bug| {
                let life = life_with(|b| b.pong_timeout(seconds(30)), bug);
                life.at(0, Event::Opened).tick().check()
            },
        ),
        plant(
            10,
            "a heartbeat waits for the answer to the last",
            |sick, input, now| {
                sick.believes(|b| b.always_ping(false), now);
                sick.well(input, now)
            },
            |bug| {
                let cadence = |b: ConfigBuilder| b.always_ping(true).pong_timeout(seconds(30));
                let life = life_with(cadence, bug).at(0, Event::Opened);
                life.tick().tick().check()
            },
        ),
        plant(
            10,
            "nobody asks what became of a message",
            |sick, input, now| {
                sick.believes(|b| b.confirm_within(None), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.confirm_within(Some(seconds(2))), bug);
                life.at(0, Event::Opened).at(3000, Event::Sent).check()
            },
        ),
        plant(
            10,
            "each message puts the doubt off",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if input == Input::Event(Event::Sent) {
                    sick.arms(&mut did, Some(now + seconds(2)));
                }
                did
            },
            |bug| {
                let life = life_with(|b| b.confirm_within(Some(seconds(2))), bug);
                let life = life.at(0, Event::Opened).at(3000, Event::Sent);
                life.at(4000, Event::Sent).check()
            },
        ),
        plant(
            10,
            "the last of a burst of news is lost",
            |sick, input, now| {
                if input == Input::Event(Event::NetworkChanged) {
                    sick.count += 1;
                    if sick.count > 1 {
                        return Vec::new();
                    }
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(3000, Event::NetworkChanged).pong_at(3100);
                life.at(3200, Event::NetworkChanged).check()
            },
        ),
        plant(
            10,
            "what comes in answers news that wait",
            |sick, input, now| {
                sick.count += u32::from(input == Input::Event(Event::Received));
                if is_tick(input) && sick.count > 0 {
                    let mut did = Vec::new();
                    sick.arms(&mut did, Some(now + seconds(9)));
                    return did;
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(3000, Event::NetworkChanged).pong_at(3100);
                let life = life.at(3200, Event::NetworkChanged);
                life.at(3300, Event::Received).tick().check()
            },
        ),
        plant(
            11,
            "the old socket's late error ends the new connection",
            |sick, input, now| match input {
                Input::From(_, event) => sick.well(Input::Event(event), now),
                _ => sick.well(input, now),
            },
            |bug| {
                let mut life = life(bug).at(0, Event::Start);
                let old = life.0.heartbeat.views.epoch;
                life = life.at(6000, Event::ReconnectNow).at(7000, Event::Opened);
                life.0
                    .feed(Input::From(old, Event::Error(None)), seconds(8));
                life.check()
            },
        ),
        plant(
            11,
            "a new connection has the epoch of the old one",
            |sick, input, now| {
                let epoch = sick.views.epoch;
                let did = sick.well(input, now);
                sick.views.epoch = epoch;
                did
            },
            |bug| life(bug).at(0, Event::Start).check(),
        ),
        plant(
            12,
            "an error and its close are two failures",
            |sick, input, now| {
                let is_close = matches!(input, Input::Event(Event::Closed(_)));
                if is_close && sick.heart.state() == State::Waiting {
                    drop(sick.heart.handle(Event::ReconnectNow, now));
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(3000, Event::Error(None));
                life.at(3000, Event::Closed(Closed::default())).check()
            },
        ),
        plant(
            12,
            "a second connection beside the one that is up",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if did.contains(&Action::Connect) {
                    did.retain(|action| !matches!(action, Action::Close(_)));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::ReconnectNow).check()
            },
        ),
        plant(
            12,
            "a dead peer is asked to close, and the answer waited for",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if did.first() == Some(&Action::Close(CloseReason::PongTimeout)) {
                    did[0] = Action::Close(CloseReason::Stop);
                }
                did
            },
            |bug| life(bug).at(0, Event::Opened).tick().tick().check(),
        ),
        plant(
            12,
            "a refusal is final",
            |sick, input, now| {
                sick.believes(|b| b.policy(stop_when_refused), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let refused = Event::Refused(Refused::with_status(404));
                life.at(100, refused).check()
            },
        ),
        plant(
            12,
            "a refusal ends the connection that is open",
            |sick, input, now| match input {
                Input::Event(Event::Refused(refused)) => {
                    sick.well(Input::Event(Event::Error(refused.retry)), now)
                }
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let refused = Event::Refused(Refused::with_status(404));
                life.at(100, refused).check()
            },
        ),
        plant(
            12,
            "a connection that was given up is left open",
            |sick, input, now| match input {
                Input::Event(Event::GiveUp(closed)) => {
                    sick.well(Input::Event(Event::Closed(closed)), now)
                }
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                life.at(100, Event::GiveUp(Closed::default())).check()
            },
        ),
        plant(
            13,
            "a hint brings the whole crowd back at once",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if let Input::Event(Event::Closed(closed)) = input {
                    let hinted = now + closed.retry_after.unwrap_or_default();
                    sick.plans(&mut did, hinted);
                }
                did
            },
            |bug| {
                let closed = Closed::default().retry_after(seconds(30));
                let life = life(bug).at(0, Event::Opened);
                life.at(3000, Event::Closed(closed)).check()
            },
        ),
        plant(
            13,
            "the jitter goes past the cap",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if sick.heart.attempt() == 2 {
                    sick.plans(&mut did, now + seconds(2) * 5 / 4);
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let life = life.at(1000, Event::Error(None)).tick();
                life.at(10_000, Event::Error(None)).check()
            },
        ),
        plant(
            13,
            "a server that says 404 is dialled at once",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if let Input::Event(Event::Refused(_)) = input {
                    sick.plans(&mut did, now + Duration::from_millis(10));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let refused = Event::Refused(Refused::with_status(404));
                life.at(2000, refused).check()
            },
        ),
        plant(
            13,
            "delays go on growing after the network came back",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                sick.count += u32::from(input == Input::Event(Event::NetworkChanged));
                if sick.count > 0 && matches!(input, Input::Event(Event::Error(_))) {
                    sick.plans(&mut did, now + seconds(30));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(0, Event::Error(None)).fails_at(0, 5);
                let life = life.at(0, Event::NetworkChanged);
                life.fails_at(0, 1).check()
            },
        ),
        plant(
            14,
            "opening resets the attempts",
            |sick, input, now| {
                let did = sick.well(input, now);
                if input == Input::Event(Event::Opened) {
                    sick.views.attempt = 0;
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let life = life.at(1000, Event::Error(None)).tick();
                life.at(10_000, Event::Opened).check()
            },
        ),
        plant(
            14,
            "a mute connection resets the attempts in time",
            |sick, input, now| {
                let is_open = sick.heart.state() == State::Open;
                if is_open && input == Input::Event(Event::Error(None)) {
                    drop(sick.heart.handle(Event::Healthy, now));
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let life = life.at(1000, Event::Error(None)).tick();
                let life = life.at(10_000, Event::Opened).tick();
                life.at(21_000, Event::Error(None)).check()
            },
        ),
        plant(
            14,
            "failures count although the connection was stable",
            |sick, input, now| {
                sick.believes(|b| b.stable_after(seconds(3600)), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let life = life.at(1000, Event::Error(None)).tick();
                let life = life.at(10_000, Event::Opened);
                let life = life.at(20_000, Event::Received);
                life.at(20_001, Event::Error(None)).check()
            },
        ),
        plant(
            14,
            "a login resets the attempts at once",
            |sick, input, now| {
                sick.believes(|b| b.stable_after(Duration::from_millis(1)), now);
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let life = life.at(1000, Event::Error(None)).tick();
                let life = life.at(10_000, Event::Opened).at(10_100, Event::Healthy);
                life.at(11_000, Event::Error(None)).check()
            },
        ),
        plant(
            14,
            "a connection that was given up had proved itself",
            |sick, input, now| match input {
                Input::Event(Event::GiveUp(closed)) => {
                    let mut did = sick.well(Input::Event(Event::Closed(closed)), now);
                    did.insert(0, Action::Close(CloseReason::GivenUp));
                    did
                }
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let life = life.at(1000, Event::Error(None)).tick();
                let life = life.at(10_000, Event::Opened).at(10_100, Event::Received);
                let given_up = Event::GiveUp(Closed::default());
                life.at(21_000, given_up).check()
            },
        ),
        plant(
            14,
            "a server that never let us in had proved itself",
            |sick, input, now| {
                if matches!(input, Input::Event(Event::Error(_))) {
                    drop(sick.heart.handle(Event::Healthy, now));
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.healthy_within(Some(seconds(30))), bug);
                let life = life.at(0, Event::Start).at(1000, Event::Error(None)).tick();
                let life = life.at(10_000, Event::Opened).at(10_100, Event::Message);
                life.at(21_000, Event::Error(None)).check()
            },
        ),
        plant(
            14,
            "a feed without data had proved itself",
            |sick, input, now| match input {
                Input::Event(Event::Received) => sick.well(Input::Event(Event::Message), now),
                _ => sick.well(input, now),
            },
            |bug| {
                let life = life_with(|b| b.message_timeout(Some(seconds(30))), bug);
                let life = life.at(0, Event::Start).at(1000, Event::Error(None)).tick();
                let life = life.at(10_000, Event::Opened).at(19_000, Event::Received);
                life.at(20_000, Event::Error(None)).check()
            },
        ),
        plant(
            14,
            "a gateway without answers had proved itself",
            |sick, input, now| {
                if matches!(input, Input::Event(Event::Error(_))) {
                    sick.changes(|b| b.strict_pongs(false), now);
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life_with(|b| b.strict_pongs(true), bug);
                let life = life.at(0, Event::Start).at(1000, Event::Error(None)).tick();
                let life = life.at(10_000, Event::Opened).at(19_000, Event::Received);
                life.at(20_000, Event::Error(None)).check()
            },
        ),
        plant(
            15,
            "a stop in a wait still reconnects",
            |sick, input, now| {
                if input == Input::Event(Event::Stop) && sick.heart.state() == State::Waiting {
                    sick.views.state = State::Stopped;
                    return vec![Action::Stopped(StopReason::Requested)];
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened);
                let life = life.at(3000, Event::Error(None));
                life.at(3001, Event::Stop).check()
            },
        ),
        plant(
            15,
            "the end is told again",
            |sick, input, now| {
                let was_stopped = sick.heart.state() == State::Stopped;
                let mut did = sick.well(input, now);
                if was_stopped && sick.heart.state() == State::Stopped {
                    did.push(Action::Stopped(StopReason::Requested));
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Stop);
                life.at(1000, Event::Error(None)).check()
            },
        ),
        plant(
            16,
            "all machines share a counter",
            |sick, input, now| {
                static PINGS: AtomicU32 = AtomicU32::new(0);
                let mut did = sick.well(input, now);
                if is_tick(input) {
                    let pings = PINGS.fetch_add(1, Ordering::Relaxed);
                    let at = sick.deadline.unwrap() - Duration::from_nanos(pings.into());
                    sick.arms(&mut did, Some(at));
                }
                did
            },
            |bug| {
                let one = life(bug).at(0, Event::Opened);
                let other = one.clone();
                oracle::same(&one.tick().0.trace, &other.tick().0.trace)
            },
        ),
        plant(
            17,
            "deadlines are rounded to whole seconds",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if let Some(at) = sick.deadline {
                    sick.arms(&mut did, Some(seconds(at.as_secs())));
                }
                did
            },
            |bug| {
                let one = life(bug).at(0, Event::Opened).0.trace;
                let other = life(bug).at(300, Event::Opened).0.trace;
                oracle::shifted(&one, &other, Duration::from_millis(300))
            },
        ),
        plant(
            18,
            "a tick gives up and dials at once",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if did.first() == Some(&Action::Close(CloseReason::PongTimeout)) {
                    did.insert(2, Action::Connect);
                }
                did
            },
            |bug| life(bug).at(0, Event::Opened).tick().tick().check(),
        ),
        plant(
            18,
            "a late tick pings and gives up",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if let (true, Some(Action::SendPing(_))) = (is_tick(input), did.first()) {
                    if sick.count > 0 {
                        did.insert(1, Action::Stopped(StopReason::PongTimeout));
                    }
                    sick.count += 1;
                }
                did
            },
            |bug| {
                let life = life(bug).at(0, Event::Opened).tick();
                life.tick_late(60_000).check()
            },
        ),
        plant(
            19,
            "each refusal is answered by a dial",
            |sick, input, now| {
                if input == Input::Event(Event::ReconnectNow) {
                    return sick.well(input, now + seconds(1));
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                let refused = Event::Refused(Refused::with_status(503));
                life.at(10, refused).at(20, Event::ReconnectNow).check()
            },
        ),
        plant(
            19,
            "whoever stops and starts dials at once",
            |sick, input, now| {
                if input == Input::Event(Event::Start) && sick.heart.state() == State::Stopped {
                    return sick.well(input, now + seconds(1));
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                life.at(10, Event::Stop).at(20, Event::Start).check()
            },
        ),
        plant(
            19,
            "a delay of nothing dials at once",
            |sick, input, now| {
                let mut did = sick.well(input, now);
                if matches!(input, Input::Event(Event::Error(_))) {
                    sick.plans(&mut did, now + Duration::from_millis(1));
                }
                did
            },
            |bug| {
                let (least, greatest) = (Duration::ZERO, Duration::ZERO);
                let at_once = Retry::Between { least, greatest };
                let life = life(bug).at(0, Event::Start);
                life.at(10, Event::Error(Some(at_once))).check()
            },
        ),
        plant(
            19,
            "a dial that has just begun is on the old path",
            |sick, input, now| {
                if input == Input::Event(Event::NetworkChanged) {
                    return sick.well(input, now + seconds(1));
                }
                sick.well(input, now)
            },
            |bug| {
                let life = life(bug).at(0, Event::Start);
                life.at(500, Event::NetworkChanged).check()
            },
        ),
    ]
}
