//! Clients and their server in a world of faults, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, unreachable_pub)]

mod support {
    pub mod oracle;
}

mod simulation {
    pub mod end;
    pub mod plan;
    pub mod report;
    pub mod world;
}

use core::ops::Range;
use core::time::Duration;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use keepalive::Heartbeat;
use simulation::end::healthy;
use simulation::plan::Plan;
use simulation::report::{Tally, Trouble, peak};
use simulation::world::{Rules, World};
use support::oracle::Machine;

/// A kind of world, by its name.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    plan: fn(u64) -> Plan,
}

const TINY: Kind = Kind {
    name: "tiny",
    plan: Plan::tiny,
};
const SMALL: Kind = Kind {
    name: "small",
    plan: Plan::small,
};
const STORM: Kind = Kind {
    name: "storm",
    plan: Plan::storm,
};
const RUSH: Kind = Kind {
    name: "rush",
    plan: Plan::rush,
};

const RULES: Rules<Heartbeat<Duration>> = Rules {
    make: healthy,
    watched: true,
    ticks_first: false,
    loud: false,
};

/// All these worlds, on all processors: what they came to, and what went wrong.
fn run<M: Machine>(kind: Kind, seeds: Range<u64>, rules: Rules<M>) -> (Tally, Vec<Trouble>) {
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new((Tally::default(), Vec::new()));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (went, tally) = World::new((kind.plan)(seed), rules).run();
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

/// All these worlds have to be well.
fn all_well(kind: Kind, seeds: Range<u64>) -> Tally {
    let started = Instant::now();
    let (tally, troubles) = run(kind, seeds, RULES);
    print!("{} worlds in {:.1?}\n{tally}", kind.name, started.elapsed());
    for trouble in &troubles {
        println!("{trouble}; once more: {}", replay_line(kind, trouble.seed));
    }
    assert!(troubles.is_empty(), "{} troubles", troubles.len());
    tally
}

fn replay_line(kind: Kind, seed: u64) -> String {
    let name = kind.name;
    format!(
        "WORLD={name} SEED={seed} cargo test --release --test simulation -- --nocapture replay"
    )
}

/// The world that `WORLD` and `SEED` name, aloud.
#[test]
fn replay() {
    let (Ok(seed), Ok(world)) = (env::var("SEED"), env::var("WORLD")) else {
        return;
    };
    let kinds = [TINY, SMALL, STORM, RUSH];
    let kind = kinds.into_iter().find(|kind| kind.name == world);
    let plan = (kind.unwrap().plan)(seed.parse().unwrap());
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
fn tiny_worlds() {
    all_well(TINY, 0..200);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn small_worlds() {
    let worlds = env::var("WORLDS").map_or(10_000, |worlds| worlds.parse().unwrap());
    all_well(SMALL, 0..worlds);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn storms() {
    for seed in 0..5 {
        let plan = Plan::storm(seed);
        let heal = usize::try_from(plan.heal.as_secs()).unwrap();
        println!("{:?}", plan.faults.iter().map(|fault| match &fault.what { simulation::plan::What::Cut{..} => "cut".to_string(), w => format!("{w:?}")}).collect::<Vec<_>>());
        let tally = all_well(STORM, seed..seed + 1);
        let (first, _) = peak(&tally.dials_at, 0..200);
        let (then, _) = peak(&tally.dials_at, 200..heal);
        let (last, _) = peak(&tally.dials_at, heal..tally.dials_at.len());
        println!("peaks {first} {then} {last}");
    }
}

#[test]
#[ignore = "long; .ci/run does it"]
fn a_rush() {
    let tally = all_well(RUSH, 0..1);
    for from in 2..5 { println!("pings {:?}", peak(&tally.pings_at, from*25..from*25+25)); }
    println!("pings {:?}", peak(&tally.pings_at, 2..27)); println!("{:?}", tally.pings_at);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..10 {
        let story = || World::new(Plan::tiny(seed), RULES).run().0.unwrap();
        assert_eq!(story(), story());
    }
}
