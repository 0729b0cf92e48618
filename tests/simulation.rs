//! Clients and their server in worlds of faults, in virtual time: the seed decides
//! everything, so a world that fails is told once more by the line that it prints.
//!
//! ```text
//! WORLD=small SEED=123 cargo test --release --test simulation -- --nocapture replay
//! WORLDS=100000 cargo test --release --test simulation -- --ignored --nocapture small_worlds
//! ```
//!
//! A client has a heartbeat, and so has each socket that the server accepted. The
//! server accepts so many dials a second, a refusal costs it a part of that, and
//! what waits to be accepted has a limit. Then networks fail, in one direction or
//! both, for one client or a group, with what was lost repeated later or never, and
//! with the news that they are back too early; packets are late; boxes forget
//! connections; the server restarts, with a code and a hint, a reset, or nothing, and
//! refuses meanwhile, with an HTTP status or without, or is not there; it is overloaded,
//! or its process stands still; it takes no logins, or has no messages; laptops are
//! suspended, and their clocks with them or not; timers of tabs fire once a second or
//! once a minute, and others a bit late; what is written does not leave, or slowly,
//! behind megabytes of an upload; applications change their minds.
//!
//! # What has to hold
//!
//! - Every heartbeat keeps all that `support/oracle.rs` asks, the bounds of the
//!   contract on detection among it, with the lateness that its ticks really had.
//! - Nobody healthy is convicted. A verdict is a *mistake*, if at that instant
//!   something from the peer lies unread at this end, or came in since the last
//!   ping (under `strict_pongs` only its answer counts); if the answer to that ping
//!   comes in after all, within its timeout; or if nothing was lost or held up on this
//!   connection and both processes ran all the time. The timeout is `pong_timeout`
//!   from the ping by the clock of this process, from the last time that the kernel took
//!   bytes which were before it, or from when it left, as far as that was told, and at
//!   most 5 s after a change of network. So a process that was away may convict only for
//!   a ping that it sent after it came back, or whose answer never came. An upload is no
//!   excuse for a client that reports what its kernel takes. For a listener, a verdict
//!   is a mistake, if something came in within `idle_timeout`; one on messages, if a
//!   message did within `message_timeout`, or the server had some to send; one on the
//!   login, if the server took it.
//! - When the last fault has ended, all are open at both ends within a bound that
//!   `plan.rs` adds up, the server has no other socket, and it stays so: no more
//!   dials, the same connections.
//!
//! The simulator learns of none of this from the heartbeats. The last tests plant
//! bugs, and see that it tells.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, unreachable_pub)]

#[path = "simulation/end.rs"]
mod end;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/report.rs"]
mod report;
#[path = "simulation/world.rs"]
mod world;

use core::ops::Range;
use core::time::Duration;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use end::{Make, healthy};
use keepalive::{Action, Config, ConfigBuilder, Event, Heartbeat};
use oracle::{Input, Machine, Views};
use plan::{CROWD, Plan, STORMS};
use report::{Kind, Tally, Trouble, peak};
use world::{Rules, World};

/// A sort of world, by its name.
#[derive(Clone, Copy)]
struct Sort {
    name: &'static str,
    plan: fn(u64) -> Plan,
}

const TINY: Sort = Sort {
    name: "tiny",
    plan: Plan::tiny,
};
const SMALL: Sort = Sort {
    name: "small",
    plan: Plan::small,
};
const STORM: Sort = Sort {
    name: "storm",
    plan: Plan::storm,
};
const RUSH: Sort = Sort {
    name: "rush",
    plan: Plan::rush,
};

const RULES: Rules<Heartbeat<Duration>> = Rules {
    make: healthy,
    watched: true,
    ticks_first: false,
    loud: false,
};

fn processors() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

/// All these worlds, on all processors: what they came to, and what went wrong.
fn run<M: Machine>(sort: Sort, seeds: Range<u64>, rules: Rules<M>) -> (Tally, Vec<Trouble>) {
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new((Tally::default(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..processors() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (went, tally) = World::new((sort.plan)(seed), rules).run();
                    let mut all = all.lock().unwrap();
                    all.0.add(&tally);
                    all.1.extend(went.err());
                }
            });
        }
    });
    let (tally, mut troubles) = all.into_inner().unwrap();
    troubles.sort_by_key(|trouble| trouble.seed);
    (tally, troubles)
}

/// All these worlds have to be well. Returns also what there is to print.
fn all_well(sort: Sort, seeds: Range<u64>) -> (Tally, String) {
    let (name, started) = (sort.name, Instant::now());
    let (tally, troubles) = run(sort, seeds, RULES);
    for trouble in &troubles {
        println!("{trouble}; once more:\n{}", replay_line(sort, trouble.seed));
    }
    assert!(troubles.is_empty(), "{} troubles\n{tally}", troubles.len());
    let text = format!("{name} worlds, in {:.0?}:\n{tally}", started.elapsed());
    (tally, text)
}

fn replay_line(sort: Sort, seed: u64) -> String {
    format!(
        "WORLD={} SEED={seed} cargo test --release --test simulation -- --nocapture replay",
        sort.name
    )
}

/// The world that `WORLD` and `SEED` name, aloud.
#[test]
fn replay() {
    let (Ok(seed), Ok(world)) = (env::var("SEED"), env::var("WORLD")) else {
        return;
    };
    let sorts = [TINY, SMALL, STORM, RUSH];
    let sort = sorts.into_iter().find(|sort| sort.name == world);
    let plan = (sort.unwrap().plan)(seed.parse().unwrap());
    println!("{plan:#?}");
    let loud = Rules {
        loud: true,
        ..RULES
    };
    let (went, tally) = World::new(plan, loud).run();
    print!("{tally}");
    if let Err(trouble) = went {
        panic!("{trouble}");
    }
}

#[test]
fn tiny_worlds_heal_without_a_mistake() {
    let (tally, text) = all_well(TINY, 0..120);
    print!("{text}");
    assert!(tally.convictions > 100, "hardly anybody was found dead");
}

#[test]
#[ignore = "long; .ci/run does it"]
fn small_worlds_heal_without_a_mistake() {
    let worlds = env::var("WORLDS").map_or(10_000, |worlds| worlds.parse().unwrap());
    let (_, text) = all_well(SMALL, 0..worlds);
    print!("{text}");
}

#[test]
#[ignore = "long; .ci/run does it"]
fn the_dials_of_a_storm_calm_down() {
    let next = AtomicU64::new(0);
    let on_each_processor = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= STORMS {
                return;
            }
            let (tally, text) = all_well(STORM, seed..seed + 1);
            let most = most_dials(&tally);
            println!("storm {seed}: {text}most dials in a second: {most}");
            assert!(most <= DIALS);
        }
    };
    thread::scope(|scope| {
        for _ in 0..processors() {
            scope.spawn(on_each_processor);
        }
    });
}

#[test]
#[ignore = "long; .ci/run does it"]
fn the_pings_of_a_rush_are_spread() {
    let (tally, text) = all_well(RUSH, 0..1);
    let spread = [2, 27, 52, 77].map(|from| spread(&tally, from));
    println!("{text}most pings in a second over the even spread: {spread:.2?}");
    assert!(spread.into_iter().all(|spread| spread < SPREAD));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..20 {
        let story = |seed| World::new(Plan::tiny(seed), RULES).run().0.unwrap();
        assert_eq!(story(seed), story(seed));
        assert_ne!(story(seed), story(seed + 1));
    }
}

/// First retries are spread over 5 s, and of those that failed the second ones and
/// the third ones meanwhile over about as long.
const DIALS: u32 = CROWD as u32 * 3 / 5;

/// In step, the first pings would all come in the last fifth of an interval. At a
/// random phase of it, the last of them come together with some of the second ones.
const SPREAD: f64 = 2.0;

/// From the fault on.
fn most_dials(tally: &Tally) -> u32 {
    peak(&tally.dials_at, 240..tally.dials_at.len()).0
}

/// Within an interval from this second on.
fn spread(tally: &Tally, from: usize) -> f64 {
    peak(&tally.pings_at, from..from + 25).1
}

/// Without the oracle: what the simulator sees by itself.
fn sick(make: Make<Heartbeat<Duration>>) -> Rules<Heartbeat<Duration>> {
    Rules {
        make,
        watched: false,
        ..RULES
    }
}

fn is_found_out<M: Machine>(name: &str, seeds: Range<u64>, rules: Rules<M>, kind: Kind) {
    is_found_out_in(TINY, name, seeds, rules, kind);
}

fn is_found_out_in<M: Machine>(
    sort: Sort,
    name: &str,
    seeds: Range<u64>,
    rules: Rules<M>,
    kind: Kind,
) {
    let (_, troubles) = run(sort, seeds, rules);
    let found = troubles.iter().filter(|trouble| trouble.kind == kind);
    let first = found.clone().next();
    println!("{name}: {} worlds; {first:?}", found.count());
    assert!(first.is_some(), "{name} is not seen: {troubles:?}");
}

/// A heartbeat that does not hear everything.
struct Deaf {
    heartbeat: Heartbeat<Duration>,
    hears: fn(Event) -> Option<Event>,
}

impl Machine for Deaf {
    fn take(&mut self, input: Input, now: Duration) -> Vec<Action<Duration>> {
        let input = match input {
            Input::Event(event) => (self.hears)(event).map(Input::Event),
            other => Some(other),
        };
        let heartbeat = &mut self.heartbeat;
        input.map_or_else(Vec::new, |input| heartbeat.take(input, now))
    }

    fn deadline(&self) -> Option<Duration> {
        self.heartbeat.deadline()
    }

    fn views(&self) -> Views {
        self.heartbeat.views()
    }

    fn verdict(&self, now: Duration) -> Option<Duration> {
        self.heartbeat.verdict(now)
    }
}

fn deaf(make: Make<Deaf>) -> Rules<Deaf> {
    Rules {
        make,
        watched: false,
        ticks_first: false,
        loud: false,
    }
}

/// A heartbeat that believes in other settings than its own.
fn believing(config: Config, seed: u64, change: Change) -> Heartbeat<Duration> {
    healthy(change(config.to_builder()).build().unwrap(), seed)
}

type Change = fn(ConfigBuilder) -> ConfigBuilder;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_driver_that_ticks_before_it_reads_is_found_out() {
    let rules = Rules {
        ticks_first: true,
        ..sick(|config, seed| believing(config, seed, |b| b.late_tolerance(DAY)))
    };
    is_found_out("ticks before it reads", 200..260, rules, Kind::Mistake);
}

#[test]
fn a_connection_that_is_never_given_up_is_found_out() {
    let rules = sick(|config, seed| believing(config, seed, |b| b.max_missed(100)));
    is_found_out("never gives up", 0..60, rules, Kind::NotOpen);
}

#[test]
fn a_client_that_does_not_come_back_is_found_out() {
    let rules = sick(|config, seed| believing(config, seed, |b| b.reconnect(false)));
    is_found_out("does not come back", 0..20, rules, Kind::NotOpen);
}

#[test]
fn a_heartbeat_without_patience_is_found_out() {
    let rules =
        sick(|config, seed| believing(config, seed, |b| b.pong_timeout(Duration::from_millis(20))));
    is_found_out("is hasty", 0..20, rules, Kind::Mistake);
}

#[test]
fn a_listener_without_patience_is_found_out() {
    let rules =
        sick(|config, seed| believing(config, seed, |b| b.idle_timeout(Duration::from_secs(9))));
    is_found_out("listens for 9 s", 0..40, rules, Kind::Mistake);
}

#[test]
fn a_heartbeat_that_takes_our_own_backlog_for_silence_is_found_out() {
    let rules = deaf(|config, seed| Deaf {
        heartbeat: healthy(config, seed),
        hears: |event| Some(event).filter(|event| *event != Event::Draining),
    });
    let name = "is blind to its own bytes";
    is_found_out_in(SMALL, name, 60..260, rules, Kind::Mistake);
}

#[test]
fn a_heartbeat_that_counts_no_messages_is_found_out() {
    let rules = deaf(|config, seed| Deaf {
        heartbeat: healthy(config, seed),
        hears: |event| match event {
            Event::Message => Some(Event::Received),
            other => Some(other),
        },
    });
    is_found_out("counts no messages", 0..40, rules, Kind::Mistake);
}

#[test]
fn a_login_that_is_not_heard_of_is_found_out() {
    let rules = deaf(|config, seed| Deaf {
        heartbeat: healthy(config, seed),
        hears: |event| Some(event).filter(|event| *event != Event::Healthy),
    });
    is_found_out("does not hear that it is in", 0..40, rules, Kind::Mistake);
}

#[test]
fn a_client_that_waits_for_its_login_for_ever_is_found_out() {
    let rules = sick(|config, seed| believing(config, seed, |b| b.healthy_within(None)));
    is_found_out("waits for its login", 0..400, rules, Kind::NotOpen);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn a_crowd_without_jitter_is_found_out() {
    let (tally, _) = run(STORM, 1..2, sick(|config, _| healthy(config, 1)));
    let most = most_dials(&tally);
    println!("all draw the same: {most} dials in a second");
    assert!(most > DIALS);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn pings_that_begin_in_step_are_found_out() {
    let rules = sick(|config, seed| believing(config, seed, |b| b.random_phase(false)));
    let (tally, _) = run(RUSH, 0..1, rules);
    let spread = spread(&tally, 2);
    println!("no random phase: {spread:.2} times the even spread");
    assert!(spread > SPREAD);
}
