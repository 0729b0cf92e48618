//! The invariants of the contract, for any settings, seed, events and clock.
//!
//! What a single trace can show is in `support/oracle.rs`; the rest compares
//! traces, or drives a heartbeat as an adapter would. The last tests are about
//! the tests: that the traces reach everything, and that the oracle sees a
//! machine that lies. More cases:
//! `PROPTEST_CASES=100000 cargo test --release --test properties`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod arbitrary;
    pub mod oracle;
    pub mod world;
}

use core::time::Duration;
use std::collections::BTreeMap;

use keepalive::{
    Action, CloseReason, Closed, Config, ConfigBuilder, Event, Heartbeat, Manner, Retry, StopReason,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestCaseResult, TestRunner};

use support::arbitrary::{config, endless_steps, setting, start, steps};
use support::oracle::{self, Input, Trace, Verdict, Watched};
use support::world::{Dial, Peer, Step, Uplink, Wait, What, Which, World, play, replay};

const MILLISECOND: Duration = Duration::from_millis(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn cases(times: u32) -> ProptestConfig {
    let ordinary = ProptestConfig::default();
    ProptestConfig {
        cases: ordinary.cases.saturating_mul(times),
        failure_persistence: None,
        ..ordinary
    }
}

fn holds(verdict: Verdict) -> TestCaseResult {
    verdict.map_err(|violation| TestCaseError::fail(violation.to_string()))
}

proptest! {
    #![proptest_config(cases(4))]

    /// Invariants 1 to 8, 10 to 15, 18 and 19.
    #[test]
    fn whatever_happens_the_invariants_hold(
        config in config(),
        seed: u64,
        start in start(),
        steps in steps(),
    ) {
        holds(play(config, seed, start, &steps).watched.check())?;
    }
}

proptest! {
    #![proptest_config(cases(1))]

    /// Invariant 16.
    #[test]
    fn a_clone_that_is_fed_the_same_does_the_same(
        config in config(),
        seed: u64,
        start in start(),
        first in steps(),
        then in steps(),
    ) {
        let mut one = play(config, seed, start, &first);
        let mut other = one.clone();
        one.play(&then);
        other.play(&then);
        holds(oracle::same(&one.watched.trace, &other.watched.trace))?;
        holds(oracle::same(&one.watched.trace, &replay(&one.watched.trace, seed)))?;
    }

    /// Invariant 17.
    #[test]
    fn a_shift_of_every_instant_shifts_the_deadlines_and_nothing_else(
        config in config(),
        seed: u64,
        by in setting(),
        steps in endless_steps(),
    ) {
        // So that no step back ends at the beginning of time.
        let start = YEAR;
        let one = play(config, seed, start, &steps).watched.trace;
        let other = play(config, seed, start + by, &steps).watched.trace;
        holds(oracle::shifted(&one, &other, by))?;
    }

    /// Invariant 11, to the last bit.
    #[test]
    fn an_event_of_an_old_epoch_leaves_no_trace(
        config in config(),
        seed: u64,
        steps in steps(),
    ) {
        let mut heartbeat = Heartbeat::new(config, seed);
        for entry in play(config, seed, Duration::ZERO, &steps).watched.trace.entries {
            let before = format!("{heartbeat:?}");
            let epoch = heartbeat.epoch();
            match entry.input {
                Input::Event(event) => drop(heartbeat.handle(event, entry.now)),
                Input::Reconfigure(config) => drop(heartbeat.reconfigure(config, entry.now)),
                Input::From(old, event) => {
                    let actions = heartbeat.handle_from(old, event, entry.now);
                    if old != epoch {
                        prop_assert_eq!(actions.count(), 0);
                        prop_assert_eq!(before, format!("{heartbeat:?}"));
                    }
                }
            }
        }
    }

    /// Invariant 13, as far as the public way to it goes.
    #[test]
    fn every_delay_stays_within_its_bounds_for_many_attempts(
        config in config(),
        seed: u64,
        attempts in 1..3000_usize,
    ) {
        let forever = config
            .to_builder()
            .reconnect(true)
            .max_attempts(None)
            .max_elapsed(None)
            .build()
            .unwrap();
        let mut watched = Watched::new(forever, seed);
        for _ in 0..attempts {
            watched.handle(Event::Opened, Duration::ZERO);
            watched.handle(Event::Error(None), Duration::ZERO);
        }
        holds(watched.check())?;
    }
}

/// Settings under which a connection is pinged.
fn beating() -> impl Strategy<Value = Config> {
    config().prop_map(|config| config.to_builder().listen_only(false).build().unwrap())
}

/// Settings under which it is watched in both directions, from the beginning on.
fn watching() -> impl Strategy<Value = Config> {
    beating().prop_map(|config| {
        let builder = config
            .to_builder()
            .always_ping(false)
            .healthy_within(None)
            .message_timeout(None);
        builder.build().unwrap()
    })
}

/// The shortest time, however it is drawn, after which something asks for a ping.
fn shortest_interval(config: &Config) -> Duration {
    let intervals = [
        Some(config.ping_interval()),
        config.send_interval(),
        config.confirm_within(),
    ];
    intervals.into_iter().flatten().min().unwrap() / 2
}

fn a_while() -> impl Strategy<Value = Duration> {
    (0..20_000_u64).prop_map(Duration::from_millis)
}

/// A peer that goes mute at some time, and may talk of its own accord before.
fn mortal(config: Config) -> impl Strategy<Value = Peer> {
    let interval = config.send_interval().unwrap_or(config.ping_interval());
    let interval = interval.min(config.ping_interval());
    (setting(), prop::option::of(setting()), 0..50_u32).prop_map(move |(latency, talks, fifths)| {
        Peer {
            latency: latency.min(config.pong_timeout() - Duration::from_nanos(1)),
            talks,
            mute_after: Some(interval * fifths / 5),
            ..Peer::GOOD
        }
    })
}

proptest! {
    #![proptest_config(cases(2))]

    /// Invariant 8, in numbers: with ticks that are late by at most G.
    #[test]
    fn a_dead_peer_is_convicted_within_the_bound(
        (config, peer) in beating().prop_flat_map(|config| (Just(config), mortal(config))),
        seed: u64,
        lateness in vec(prop_oneof![Just(Duration::ZERO), setting()], 1..5),
    ) {
        let mut world = World::new(config, seed, vec![peer]);
        world.lateness = lateness.clone();
        world.tell(Event::Start);
        let mut alive = world.alive;
        while world.convictions.is_empty() && world.watched.trace.entries.len() < 2000 {
            alive = world.alive;
            if !world.goes_on(Duration::MAX) {
                break;
            }
        }
        holds(world.watched.check())?;
        if let Some((convicted, CloseReason::PongTimeout)) = world.convictions.first() {
            let late = lateness.into_iter().max().unwrap();
            let timeout = config.adaptive_timeout().unwrap_or(config.pong_timeout());
            let mut bound = config.ping_interval()
                + config.max_missed() * timeout
                + (config.max_missed() + 1) * late;
            if late > config.late_tolerance() {
                bound += timeout + late;
            }
            prop_assert!(*convicted - alive <= bound, "{:?} > {bound:?}", *convicted - alive);
        }
    }

    /// Invariant 9: after whatever went before.
    #[test]
    fn activity_never_makes_a_conviction_come_earlier(
        config in beating(),
        seed: u64,
        before in endless_steps(),
        active in 0..6_usize,
        short_of in a_while(),
        what in prop::sample::select(vec![
            What::Received,
            What::Message,
            What::Pong(Which::Awaited),
        ]),
    ) {
        let fixed = config.to_builder().adaptive_timeout(None).build().unwrap();
        let mut without = play(fixed, seed, Duration::ZERO, &before);
        without.play(&[Step { wait: Wait::No, what: What::Reconfigure(fixed) }]);
        without.play(&[Step { wait: Wait::No, what: What::Opened }]);
        let from = without.watched.trace.entries.len();
        let in_time = Step { wait: Wait::ToDeadline, what: What::Tick };
        let activity = Step {
            wait: Wait::ShortOfDeadline(short_of),
            what,
        };

        without.play(&vec![in_time; active]);
        if oracle::first_conviction(&without.watched.trace, from).is_some() {
            return Ok(());
        }
        let mut with = without.clone();
        with.play(&[activity]);
        for player in [&mut without, &mut with] {
            for _ in 0..1000 {
                player.play(&[in_time]);
                if oracle::first_conviction(&player.watched.trace, from).is_some() {
                    break;
                }
            }
            holds(player.watched.check())?;
        }
        holds(oracle::no_earlier(&without.watched.trace, &with.watched.trace, from))?;
    }

    /// Invariant 10: inbound traffic does not starve the outbound direction.
    #[test]
    fn a_talkative_peer_does_not_keep_us_silent(
        config in watching(),
        seed: u64,
        talks in setting(),
        interval in setting(),
        latency in setting(),
    ) {
        let config = config.to_builder().send_interval(Some(interval)).build().unwrap();
        let latency = latency.min(config.pong_timeout() - Duration::from_nanos(1));
        let peer = Peer { talks: Some(talks), latency, ..Peer::GOOD };
        let mut world = World::new(config, seed, vec![peer]);
        world.tell(Event::Opened);
        world.run(200 * talks, 1000);
        holds(world.watched.check())?;
        let mut last = Duration::ZERO;
        for &at in world.sent_pings.iter().chain([&world.now]) {
            prop_assert!(at - last <= interval + latency, "silent from {last:?} to {at:?}");
            last = at;
        }
    }

    /// Early and repeated ticks are safe: they do not change what is done when, where
    /// an answer comes before the next ping is due.
    #[test]
    fn early_and_repeated_ticks_change_nothing(
        (config, peer) in config().prop_flat_map(|config| (Just(config), mortal(config))),
        seed: u64,
        early in vec(a_while(), 1..50),
    ) {
        let latency = peer.latency.min(shortest_interval(&config));
        let peer = Peer { latency, ..peer };
        let done = |early: &[Duration]| {
            let mut world = World::new(config, seed, vec![peer]);
            world.tell(Event::Opened);
            for &at in early {
                world.run(at, 500);
                world.now = world.now.max(at);
                world.tell(Event::Tick);
                world.tell(Event::Tick);
            }
            world.run(Duration::from_secs(20), 500);
            world
        };
        let mut sorted = early;
        sorted.sort();
        let (without, with) = (done(&[]), done(&sorted));
        holds(with.watched.check())?;
        let (without, with) = (without.watched.trace, with.watched.trace);
        if without.entries.len() < 500 && with.entries.len() < 500 {
            prop_assert_eq!(deeds(&without), deeds(&with));
        }
    }

    /// A clock that moves in steps, of a second or so, still convicts.
    #[test]
    fn a_coarse_clock_still_convicts(
        config in beating(),
        seed: u64,
        coarse in setting(),
    ) {
        let mut watched = Watched::new(config, seed);
        watched.handle(Event::Opened, Duration::ZERO);
        let mut now = Duration::ZERO;
        let most = 4 * (u64::from(config.max_missed()) + 3);
        for _ in 0..most {
            // The first step of the clock that is not before the deadline.
            let Some(deadline) = watched.heartbeat.deadline() else { break };
            let nanos = deadline.as_nanos().next_multiple_of(coarse.as_nanos());
            now = now.max(Duration::from_nanos(nanos.try_into().unwrap()));
            watched.handle(Event::Tick, now);
            if oracle::first_conviction(&watched.trace, 0).is_some() {
                break;
            }
        }
        holds(watched.check())?;
        let intervals = config.send_interval().unwrap_or(config.ping_interval())
            .min(config.ping_interval());
        // Where the machine looks more than once a probe, that takes more steps.
        if intervals.mul_f64(1.0 - config.jitter()) >= config.pong_timeout() {
            prop_assert!(oracle::first_conviction(&watched.trace, 0).is_some());
        }
    }

    /// Whatever befalls the dials, it is tried again, and the traces are sound.
    #[test]
    fn a_peer_that_comes_back_is_connected_again(
        config in config(),
        seed: u64,
        faults in vec(
            prop_oneof![
                a_while().prop_map(|after| Dial::Refused(after, 503)),
                Just(Dial::Hangs),
                a_while().prop_map(Dial::Accepted),
            ],
            0..6,
        ),
        closes_after in a_while(),
    ) {
        let steadfast = config
            .to_builder()
            .listen_only(false)
            .reconnect(true)
            .max_attempts(None)
            .max_elapsed(None)
            .policy(keepalive::default_policy)
            .build()
            .unwrap();
        let bad = |dial| Peer { dial, closes_after: Some(closes_after), ..Peer::GOOD };
        let good = Peer { latency: Duration::ZERO, ..Peer::GOOD };
        let dials = faults.len() + 1;
        let mut world = World::new(
            steadfast,
            seed,
            faults.into_iter().map(bad).chain([good]).collect(),
        );
        world.tell(Event::Start);
        while world.dials < dials && world.watched.trace.entries.len() < 50_000 {
            if !world.goes_on(Duration::MAX) {
                break;
            }
        }
        holds(world.watched.check())?;
        if world.watched.trace.entries.len() < 50_000 {
            world.run(world.now, 60_000);
            prop_assert_eq!(world.watched.heartbeat.state(), keepalive::State::Open);
        }
    }
}

/// What a connection lives through, besides its peer.
#[derive(Clone, Debug)]
struct Hardships {
    /// From when a ping has left to its answer: less than any answer may take.
    latency: Duration,
    talks: Option<Duration>,
    in_messages: bool,
    logs_in_after: Duration,
    sends: Option<Duration>,
    lateness: Vec<Duration>,
    away: Vec<(Duration, Duration)>,
    uplinks: Vec<Uplink>,
    /// Other settings, and changes of network, and when.
    plan: Vec<(Duration, Option<Config>)>,
}

/// A peer that answers each ping in time, after it has left our buffer, where the
/// transport takes bytes often enough until then, or is not watched and soon done.
fn hardships(config: Config) -> impl Strategy<Value = (Config, Hardships)> {
    let plan = vec((a_while(), prop::option::weighted(0.6, beating())), 0..5);
    let lateness = vec(prop_oneof![Just(Duration::ZERO), setting()], 1..4);
    let away = vec((a_while(), a_while()), 0..3);
    let buffered = vec((setting(), setting()), 0..4);
    let traffic = (
        setting(),
        prop::option::of(setting()),
        any::<bool>(),
        prop_oneof![Just(Duration::ZERO), setting()],
        prop::option::of(setting()),
    );
    (plan, lateness, away, buffered, any::<bool>(), traffic).prop_map(
        move |(mut plan, lateness, away, buffered, is_counted, traffic)| {
            let (latency, talks, in_messages, logs_in_after, sends) = traffic;
            plan.sort_by_key(|&(at, _)| at);
            let configs = plan
                .iter()
                .filter_map(|&(_, config)| config)
                .chain([config]);
            let timeouts = configs.map(|config| config.pong_timeout());
            let shortest = timeouts.min().unwrap().min(Duration::from_secs(5));
            let in_time = |after: Duration| after.min(shortest - Duration::from_nanos(1));
            let uplinks = buffered.into_iter().map(|(waits, every)| {
                let every = in_time(every);
                if is_counted {
                    let (waits, drains) = (waits.min(200 * every), Some(every));
                    Uplink { waits, drains }
                } else {
                    let (waits, drains) = (in_time(waits), None);
                    Uplink { waits, drains }
                }
            });
            let hardships = Hardships {
                latency: in_time(latency),
                talks,
                in_messages,
                logs_in_after,
                sends,
                lateness,
                away: away
                    .into_iter()
                    .map(|(from, long)| (from, from + long))
                    .collect(),
                uplinks: uplinks.collect(),
                plan,
            };
            (config, hardships)
        },
    )
}

impl Hardships {
    /// What a heartbeat that believes these settings makes of them.
    fn world(self, watched: Watched) -> World {
        let peer = Peer {
            latency: self.latency,
            talks: self.talks,
            in_messages: self.in_messages,
            logs_in_after: Some(self.logs_in_after),
            ..Peer::GOOD
        };
        let mut world = World::new(watched.trace.config, 0, vec![peer]);
        world.watched = watched;
        world.sends = self.sends;
        world.lateness = self.lateness;
        world.away = self.away;
        world.uplinks = self.uplinks;
        world.plan = Vec::from_iter(self.plan.into_iter().map(|(at, config)| {
            let changes = Input::Event(Event::NetworkChanged);
            (at, config.map_or(changes, Input::Reconfigure))
        }));
        world.tell(Event::Start);
        world.run(YEAR, 1000);
        world
    }
}

fn calls_it_dead(world: &World) -> bool {
    let reasons = world.convictions.iter().map(|&(_, reason)| reason);
    reasons
        .into_iter()
        .any(|reason| reason == CloseReason::PongTimeout)
}

proptest! {
    #![proptest_config(cases(4))]

    /// Invariant 7, from outside: under every setting, with late ticks and a process
    /// that is away, which reads first and judges then, with settings and networks that
    /// change, and pings that wait in our own buffer.
    #[test]
    fn a_peer_that_answers_in_time_is_never_convicted(
        (config, hardships) in beating().prop_flat_map(hardships).boxed(),
        seed: u64,
    ) {
        let world = hardships.world(Watched::new(config, seed));
        holds(world.watched.check())?;
        prop_assert!(!calls_it_dead(&world), "convicted: {}", world.watched.trace);
    }
}

/// The hardships are hard enough: a heartbeat without patience convicts that peer.
#[test]
fn a_heartbeat_that_is_hasty_convicts_a_peer_that_answers_in_time() {
    let plays = (beating().prop_flat_map(hardships).boxed(), any::<u64>());
    let hasty = |config: Config| {
        let timeout = (config.pong_timeout() / 2).max(MILLISECOND);
        let builder = config.to_builder().pong_timeout(timeout);
        builder.build().unwrap()
    };
    let seen = samples(plays, 300).filter(|((config, hardships), seed)| {
        let mut hardships = hardships.clone();
        for (_, config) in &mut hardships.plan {
            *config = config.map(hasty);
        }
        let heartbeat = Heartbeat::new(hasty(*config), *seed);
        calls_it_dead(&hardships.world(Watched::of(heartbeat, *config)))
    });
    assert!(seen.count() >= 10);
}

/// What bounds cannot show: a crowd that was held up together does not stay together.
#[test]
fn the_heartbeats_after_a_late_one_are_scattered_from_a_tenth_of_the_interval_on() {
    let interval = Duration::from_secs(10);
    let builder = Config::builder()
        .always_ping(true)
        .ping_interval(interval)
        .pong_timeout(10 * interval)
        .jitter(0.0);
    let config = builder.build().unwrap();
    let after = |seed: u64, late: Duration| {
        let mut watched = Watched::new(config, seed);
        watched.handle(Event::Opened, Duration::ZERO);
        let now = watched.heartbeat.deadline().unwrap() + late;
        watched.handle(Event::Tick, now);
        watched.check().unwrap();
        watched.heartbeat.deadline().unwrap() - now
    };
    let late = Vec::from_iter((0..1000).map(|seed| after(seed, 2 * config.late_tolerance())));
    let (least, greatest) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!((interval / 10..interval / 9).contains(least), "{least:?}");
    assert!(
        (interval * 99 / 100..=interval).contains(greatest),
        "{greatest:?}"
    );
    for seed in 0..100 {
        assert_eq!(after(seed, config.late_tolerance()), interval);
    }
}

/// All that was done, without the deadlines.
fn deeds(trace: &Trace) -> Vec<(Duration, Action<Duration>)> {
    let mut deeds = Vec::new();
    for entry in &trace.entries {
        for &action in &entry.actions {
            if !matches!(action, Action::ArmDeadline(_)) {
                deeds.push((entry.now, action));
            }
        }
    }
    deeds
}

/// A million failures in a row: the delay stays under the cap, and spread.
#[test]
fn a_million_attempts_do_not_overflow() {
    let steep = Config::builder()
        .backoff_factor(100.0)
        .backoff_cap(Duration::from_secs(24 * 60 * 60))
        .build()
        .unwrap();
    for config in [Config::default(), steep] {
        let mut heartbeat = Heartbeat::new(config, 1);
        let (mut least, mut greatest) = (Duration::MAX, Duration::ZERO);
        for attempt in 1..=1_000_000 {
            drop(heartbeat.handle(Event::Opened, Duration::ZERO));
            let planned = heartbeat.handle(Event::Error(None), Duration::ZERO).next();
            let Some(Action::ScheduleReconnect { at, attempt: count }) = planned else {
                panic!("no plan at {attempt}: {planned:?}");
            };
            assert_eq!(count, attempt);
            if attempt > 100 {
                least = least.min(at);
                greatest = greatest.max(at);
            }
        }
        let (floor, cap) = (config.backoff_floor(), config.backoff_cap());
        let near = (cap - floor) / 1000;
        assert!((floor..floor + near).contains(&least), "{least:?}");
        assert!((cap - near..=cap).contains(&greatest), "{greatest:?}");
    }
}

/// A generator that gives the same cases each time.
fn samples<S: Strategy>(strategy: S, count: usize) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

type Case = (Config, u64, Duration, Vec<Step>);

fn plays() -> impl Strategy<Value = Case> {
    (config(), any::<u64>(), start(), steps())
}

/// No property is kept because nothing happens.
#[test]
fn the_traces_reach_everything() {
    let mut reached: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (config, seed, start, steps) in samples(plays(), 1500) {
        let (mut missed, mut was_out) = (0, false);
        for entry in play(config, seed, start, &steps).watched.trace.entries {
            let mut reach = |name| *reached.entry(name).or_default() += 1;
            for action in &entry.actions {
                reach(match action {
                    Action::Connect => "connect",
                    Action::SendPing(_) => "ping",
                    Action::Close(CloseReason::PongTimeout) => "pong timeout",
                    Action::Close(CloseReason::IdleTimeout) => "idle timeout",
                    Action::Close(CloseReason::MessageTimeout) => "message timeout",
                    Action::Close(CloseReason::LoginTimeout) => "login timeout",
                    Action::Close(CloseReason::ConnectTimeout) => "connect timeout",
                    Action::Close(CloseReason::Stop) => "stop",
                    Action::Close(CloseReason::CloseTimeout) => "close timeout",
                    Action::Close(CloseReason::Abort) => "abort",
                    Action::Close(CloseReason::GivenUp) => "given up",
                    Action::Close(_) if entry.input == Input::Event(Event::NetworkChanged) => {
                        "dial on the new path"
                    }
                    Action::Close(_) => "reconnect",
                    Action::ScheduleReconnect { .. } => match entry.input {
                        Input::Event(Event::NetworkChanged) => "earlier dial",
                        Input::Event(Event::Start | Event::ReconnectNow) => "dial asked for",
                        Input::Event(Event::Closed(Closed { retry_after, .. }))
                            if retry_after.is_some() =>
                        {
                            "hint"
                        }
                        _ => "later dial",
                    },
                    Action::ArmDeadline(_) => "deadline",
                    Action::Stopped(StopReason::AttemptLimit) => "attempt limit",
                    Action::Stopped(StopReason::TimeLimit) => "time limit",
                    Action::Stopped(StopReason::Closed(_)) => "closed for good",
                    Action::Stopped(StopReason::Refused(_)) => "refused for good",
                    Action::Stopped(_) => "stopped",
                });
            }
            if entry.views.missed > missed {
                reach("missed");
            }
            let is_ping = matches!(entry.actions[..], [Action::SendPing(_), ..]);
            if is_ping && was_out && entry.views.missed == missed {
                reach("replaced, or in place of the last miss");
            }
            if !entry.actions.is_empty() {
                match entry.input {
                    Input::Event(Event::Sent) => reach("doubt"),
                    Input::Event(Event::Healthy) => reach("login"),
                    Input::Event(Event::NetworkChanged) if !is_ping => reach("news wait"),
                    _ => {}
                }
            }
            if matches!(entry.foretold, oracle::Foretold::Verdict(_)) {
                reach("foretold");
            }
            if entry.views.round_trip.is_some() {
                reach("round trip");
            }
            if matches!(entry.input, Input::From(epoch, _) if epoch != entry.views.epoch) {
                reach("old epoch");
            }
            if entry.deadline.is_none() && entry.views.state == keepalive::State::Open {
                reach("the end of time");
            }
            if is_ping && matches!(entry.input, Input::Event(Event::NetworkChanged)) {
                reach("urged ping");
            }
            missed = entry.views.missed;
            was_out = entry.views.is_ping_out;
        }
    }
    let names = [
        "connect",
        "ping",
        "pong timeout",
        "idle timeout",
        "message timeout",
        "login timeout",
        "connect timeout",
        "given up",
        "dial on the new path",
        "dial asked for",
        "refused for good",
        "replaced, or in place of the last miss",
        "doubt",
        "login",
        "news wait",
        "foretold",
        "stop",
        "close timeout",
        "abort",
        "reconnect",
        "earlier dial",
        "hint",
        "later dial",
        "deadline",
        "attempt limit",
        "time limit",
        "closed for good",
        "stopped",
        "missed",
        "round trip",
        "old epoch",
        "the end of time",
        "urged ping",
    ];
    for name in names {
        let count = reached.get(name).copied().unwrap_or_default();
        assert!(count >= 10, "{name}: {count} of {reached:?}");
    }
}

/// A machine that has this setting wrong is found out.
#[test]
fn the_oracle_sees_a_setting_that_is_not_kept() {
    type Change = fn(ConfigBuilder, Config) -> ConfigBuilder;
    let changes: [(&str, Change); 25] = [
        ("ping_interval", |b, c| {
            b.ping_interval(c.ping_interval() + MILLISECOND)
        }),
        ("send_interval", |b, _| b.send_interval(None)),
        ("jitter", |b, _| b.jitter(0.5)),
        ("random_phase", |b, c| b.random_phase(!c.random_phase())),
        ("pong_timeout, longer", |b, c| {
            b.pong_timeout(c.pong_timeout() + MILLISECOND)
                .adaptive_timeout(None)
        }),
        ("pong_timeout, shorter", |b, c| {
            b.pong_timeout(c.pong_timeout() / 2)
        }),
        ("max_missed", |b, c| b.max_missed(c.max_missed() + 1)),
        ("adaptive_timeout", |b, _| b.adaptive_timeout(None)),
        ("always_ping", |b, c| b.always_ping(!c.always_ping())),
        ("strict_pongs", |b, c| b.strict_pongs(!c.strict_pongs())),
        ("confirm_within", |b, _| b.confirm_within(None)),
        ("message_timeout", |b, c| {
            let longer = |timeout| timeout + MILLISECOND;
            b.message_timeout(c.message_timeout().map(longer))
        }),
        ("healthy_within", |b, c| {
            let longer = |timeout| timeout + MILLISECOND;
            b.healthy_within(c.healthy_within().map(longer))
        }),
        ("policy", |b, _| b.policy(|_| Retry::Backoff)),
        ("late_tolerance", |b, c| {
            b.late_tolerance(c.late_tolerance() + MILLISECOND)
        }),
        ("listen_only", |b, c| b.listen_only(!c.listen_only())),
        ("idle_timeout", |b, c| {
            b.idle_timeout(c.idle_timeout() + MILLISECOND)
        }),
        ("connect_timeout", |b, c| {
            b.connect_timeout(c.connect_timeout() + MILLISECOND)
        }),
        ("close_timeout", |b, c| {
            b.close_timeout(c.close_timeout() + MILLISECOND)
        }),
        ("reconnect", |b, c| b.reconnect(!c.reconnect())),
        ("first_spread", |b, c| b.first_spread(2 * c.first_spread())),
        ("backoff_floor", |b, _| b.backoff_floor(MILLISECOND)),
        ("stable_after", |b, c| b.stable_after(c.stable_after() / 2)),
        ("max_attempts", |b, _| b.max_attempts(None)),
        ("max_elapsed", |b, _| b.max_elapsed(None)),
    ];
    for (name, change) in changes {
        let seen = samples(plays(), 3000).any(|(config, seed, start, steps)| {
            let Ok(wrong) = change(config.to_builder(), config).build() else {
                return false;
            };
            let mut trace = play(wrong, seed, start, &steps).watched.trace;
            trace.config = config;
            wrong != config && trace.check().is_err()
        });
        assert!(seen, "{name}");
    }
}

/// A machine that takes an event for another, or does not hear it, is found out.
#[test]
fn the_oracle_sees_an_event_that_is_taken_for_another() {
    type Mistake = fn(Input, Duration) -> Option<(Input, Duration)>;
    fn deaf(input: Input, now: Duration, to: fn(Event) -> bool) -> Option<(Input, Duration)> {
        match input {
            Input::Event(event) if to(event) => None,
            _ => Some((input, now)),
        }
    }
    fn hears(
        input: Input,
        now: Duration,
        what: Event,
        as_what: Event,
    ) -> Option<(Input, Duration)> {
        if input == Input::Event(what) {
            return Some((Input::Event(as_what), now));
        }
        Some((input, now))
    }
    let mistakes: [(&str, Mistake); 31] = [
        ("deaf to Start", |i, now| {
            deaf(i, now, |e| e == Event::Start)
        }),
        ("deaf to Opened", |i, now| {
            deaf(i, now, |e| e == Event::Opened)
        }),
        ("deaf to Received", |i, now| {
            deaf(i, now, |e| e == Event::Received)
        }),
        ("deaf to Pong", |i, now| {
            deaf(i, now, |e| matches!(e, Event::Pong(_)))
        }),
        ("deaf to Message", |i, now| {
            deaf(i, now, |e| e == Event::Message)
        }),
        ("deaf to Sent", |i, now| deaf(i, now, |e| e == Event::Sent)),
        ("deaf to Draining", |i, now| {
            deaf(i, now, |e| e == Event::Draining)
        }),
        ("deaf to Refused", |i, now| {
            deaf(i, now, |e| matches!(e, Event::Refused(_)))
        }),
        ("deaf to GiveUp", |i, now| {
            deaf(i, now, |e| matches!(e, Event::GiveUp(_)))
        }),
        ("deaf to PingSent", |i, now| {
            deaf(i, now, |e| matches!(e, Event::PingSent(_)))
        }),
        ("deaf to Tick", |i, now| deaf(i, now, |e| e == Event::Tick)),
        ("deaf to Closed", |i, now| {
            deaf(i, now, |e| matches!(e, Event::Closed(_)))
        }),
        ("deaf to Error", |i, now| {
            deaf(i, now, |e| matches!(e, Event::Error(_)))
        }),
        ("deaf to NetworkChanged", |i, now| {
            deaf(i, now, |e| e == Event::NetworkChanged)
        }),
        ("deaf to Healthy", |i, now| {
            deaf(i, now, |e| e == Event::Healthy)
        }),
        ("deaf to ReconnectNow", |i, now| {
            deaf(i, now, |e| e == Event::ReconnectNow)
        }),
        ("deaf to Stop", |i, now| deaf(i, now, |e| e == Event::Stop)),
        ("deaf to settings", |i, now| {
            Some((i, now)).filter(|_| !matches!(i, Input::Reconfigure(_)))
        }),
        ("Sent is life", |i, now| {
            hears(i, now, Event::Sent, Event::Received)
        }),
        ("Received is Sent", |i, now| {
            hears(i, now, Event::Received, Event::Sent)
        }),
        ("opening is health", |i, now| {
            hears(i, now, Event::Received, Event::Healthy)
        }),
        ("an error is a stop", |i, now| {
            hears(i, now, Event::Error(None), Event::Stop)
        }),
        ("bytes are messages", |i, now| {
            hears(i, now, Event::Received, Event::Message)
        }),
        ("messages are bytes", |i, now| {
            hears(i, now, Event::Message, Event::Received)
        }),
        ("what is given up has closed", |i, now| match i {
            Input::Event(Event::GiveUp(closed)) => Some((Input::Event(Event::Closed(closed)), now)),
            _ => Some((i, now)),
        }),
        ("a refusal is an error", |i, now| match i {
            Input::Event(Event::Refused(refused)) => {
                Some((Input::Event(Event::Error(refused.retry)), now))
            }
            _ => Some((i, now)),
        }),
        (
            "the application's own decisions are lost",
            |i, now| match i {
                Input::Event(Event::Error(_)) => Some((Input::Event(Event::Error(None)), now)),
                _ => Some((i, now)),
            },
        ),
        ("a pong is only activity", |i, now| match i {
            Input::Event(Event::Pong(_)) => Some((Input::Event(Event::Received), now)),
            _ => Some((i, now)),
        }),
        ("codes and hints are lost", |i, now| match i {
            Input::Event(Event::Closed(_)) => Some((Input::Event(Event::Error(None)), now)),
            _ => Some((i, now)),
        }),
        ("old epochs count", |i, now| match i {
            Input::From(_, event) => Some((Input::Event(event), now)),
            _ => Some((i, now)),
        }),
        ("the clock is fast", |i, now| Some((i, now + now / 1000))),
    ];
    for (name, mistake) in mistakes {
        let seen = samples(plays(), 3000).any(|(config, seed, start, steps)| {
            if start > YEAR {
                return false;
            }
            let truth = play(config, seed, start, &steps).watched.trace;
            let mut watched = Watched::new(config, seed);
            for entry in truth.entries.iter().filter(|entry| entry.now < 10 * YEAR) {
                watched.misreport(entry.input, entry.now, mistake(entry.input, entry.now));
            }
            watched.check().is_err()
        });
        assert!(seen, "{name}");
    }
}

/// A life with a bit of everything, in which nothing is random.
fn eventful() -> Trace {
    let config = Config::builder()
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .max_missed(2)
        .max_attempts(Some(4))
        .build()
        .unwrap();
    let dead = Peer {
        mute_after: Some(Duration::from_secs(100)),
        ..Peer::GOOD
    };
    let refused = Peer {
        dial: Dial::Refused(MILLISECOND, 503),
        ..Peer::GOOD
    };
    let hangs = Peer {
        dial: Dial::Hangs,
        ..Peer::GOOD
    };
    let closes = Peer {
        closes_after: Some(MILLISECOND),
        ..Peer::GOOD
    };
    let mut world = World::new(config, 1, vec![dead, refused, hangs, closes, Peer::GOOD]);
    world.tell(Event::Start);
    world.run(Duration::from_secs(600), 1000);
    assert_eq!(world.watched.heartbeat.state(), keepalive::State::Open);
    world.tell(Event::NetworkChanged);
    world.tell(Event::Stop);
    world.now += Duration::from_secs(5);
    world.tell(Event::Tick);
    world.tell(Event::Tick);
    world.watched.check().unwrap();
    world.watched.trace
}

/// Each way to spoil a trace, wherever it can be done, is seen.
#[test]
fn the_oracle_sees_a_trace_that_was_tampered_with() {
    type Tamper = fn(&mut oracle::Entry) -> bool;
    fn replace(
        entry: &mut oracle::Entry,
        with: fn(Action<Duration>) -> Option<Action<Duration>>,
    ) -> bool {
        let mut changed = false;
        for action in &mut entry.actions {
            if let Some(other) = with(*action) {
                *action = other;
                changed = true;
            }
        }
        changed
    }
    fn move_deadline(entry: &mut oracle::Entry, to: fn(Duration) -> Duration) -> bool {
        entry.deadline = entry.deadline.map(to);
        for action in &mut entry.actions {
            if let Action::ArmDeadline(at) = action {
                *at = to(*at);
                return true;
            }
        }
        false
    }
    let tampers: [(&str, Tamper); 17] = [
        ("the first action is lost", |entry| {
            !entry.actions.is_empty() && {
                entry.actions.remove(0);
                true
            }
        }),
        ("the last action is lost", |entry| {
            entry.actions.pop().is_some()
        }),
        ("the first action is done twice", |entry| {
            let first = entry.actions.first().copied();
            first.is_some_and(|action| {
                entry.actions.insert(0, action);
                true
            })
        }),
        ("the order is another", |entry| {
            entry.actions.reverse();
            entry.actions.len() > 1
        }),
        ("the deadline is later", |entry| {
            move_deadline(entry, |at| at + MILLISECOND)
        }),
        ("the deadline is past", |entry| {
            move_deadline(entry, |_| Duration::ZERO)
        }),
        ("the deadline is lost", |entry| {
            entry
                .actions
                .retain(|action| !matches!(action, Action::ArmDeadline(_)));
            entry.deadline.take().is_some()
        }),
        ("a deadline after the end", |entry| {
            entry.deadline.is_none() && {
                entry.deadline = Some(Duration::MAX);
                true
            }
        }),
        ("a dead peer is asked politely", |entry| {
            replace(entry, |action| match action {
                Action::Close(reason) if reason.manner() != Manner::Handshake => {
                    Some(Action::Close(CloseReason::Stop))
                }
                _ => None,
            })
        }),
        ("a ping in place of a dial", |entry| {
            replace(entry, |action| match action {
                Action::Connect => Some(Action::SendPing(keepalive::PingId::from_bytes([1; 8]))),
                _ => None,
            })
        }),
        ("a conviction in place of a ping", |entry| {
            replace(entry, |action| match action {
                Action::SendPing(_) => Some(Action::Close(CloseReason::PongTimeout)),
                _ => None,
            })
        }),
        ("the attempt is counted twice", |entry| {
            entry.views.attempt += 1;
            replace(entry, |action| match action {
                Action::ScheduleReconnect { at, attempt } => Some(Action::ScheduleReconnect {
                    at,
                    attempt: attempt + 1,
                }),
                _ => None,
            })
        }),
        ("the dial is planned too late", |entry| {
            replace(entry, |action| match action {
                Action::ScheduleReconnect { at, attempt } => Some(Action::ScheduleReconnect {
                    at: at + Duration::from_secs(60),
                    attempt,
                }),
                _ => None,
            })
        }),
        ("the dial is planned for now", |entry| {
            let now = entry.now;
            entry.actions.iter_mut().any(|action| match action {
                Action::ScheduleReconnect { at, .. } => {
                    *at = now;
                    true
                }
                _ => false,
            })
        }),
        ("another state", |entry| {
            entry.views.state = match entry.views.state {
                keepalive::State::Open => keepalive::State::Closing,
                _ => keepalive::State::Open,
            };
            true
        }),
        ("a missed ping more", |entry| {
            entry.views.missed += 1;
            true
        }),
        ("the last activity was later", |entry| {
            entry.views.last_received.as_mut().is_some_and(|at| {
                *at += MILLISECOND;
                true
            })
        }),
    ];
    let trace = eventful();
    for (name, tamper) in tampers {
        let mut done = 0;
        for at in 0..trace.entries.len() {
            let mut spoilt = trace.clone();
            if tamper(&mut spoilt.entries[at]) {
                done += 1;
                assert!(spoilt.check().is_err(), "{name}: entry {at} of\n{trace}");
            }
        }
        assert!(done > 0, "{name}");
    }
}

/// A step that is lost altogether is seen, if it did anything.
#[test]
fn the_oracle_sees_a_step_that_is_lost() {
    let trace = eventful();
    for at in 0..trace.entries.len() {
        let mut spoilt = trace.clone();
        let lost = spoilt.entries.remove(at);
        let acted = lost
            .actions
            .iter()
            .any(|action| !matches!(action, Action::ArmDeadline(_)));
        if acted && at < spoilt.entries.len() {
            assert!(spoilt.check().is_err(), "entry {at} of\n{trace}");
        }
    }
}

/// What a failure says: which invariant, what is wrong, and the way there.
#[test]
fn a_violation_can_be_read() {
    let mut trace = eventful();
    trace.entries.truncate(4);
    trace.entries[3].actions.clear();
    let text = trace.check().unwrap_err().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "invariant 0 is broken: the state table and the rules"
    );
    assert_eq!(
        lines[1],
        "  `ArmDeadline` should be Some(45s): the deadline was Some(25s)"
    );
    assert!(
        lines[4].starts_with("   0 0ns: Start -> [Connect, ArmDeadline(20s)]"),
        "{text}"
    );
}
