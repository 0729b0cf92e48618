//! How many instructions a message takes, which no neighbour on the machine moves:
//! `cargo install --locked gungraun-runner --version X`, X as in the lock file, valgrind, and
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench instructions`.

#![allow(missing_docs)]

use std::hint::black_box;
use std::task::{Context, Waker};
use std::time::Duration;

use gungraun::{library_benchmark, library_benchmark_group, main};
use keepalive::fleet::{Fleet, Key, Member, Members};
use keepalive::{Config, Event, Heartbeat};

/// Each benchmark takes so many messages.
const MESSAGES: u64 = 1000;
const NOW: Duration = Duration::from_secs(1);

fn heartbeat() -> Heartbeat<Duration> {
    let mut heartbeat = Heartbeat::new(Config::default(), 1);
    let _ = heartbeat.handle(Event::Opened, Duration::ZERO);
    heartbeat
}

fn fleet() -> (Fleet<Duration>, Vec<Key>) {
    let mut fleet = Fleet::new(Config::default(), 1);
    let mut at = fleet.at(Duration::ZERO);
    let keys = (0..MESSAGES).filter_map(|_| at.open());
    let keys = keys.collect();
    (fleet, keys)
}

fn member() -> Option<Member> {
    Members::new(Config::default(), 1).join()
}

#[library_benchmark]
#[bench::thousand(heartbeat())]
fn heartbeat_received(mut heartbeat: Heartbeat<Duration>) -> Heartbeat<Duration> {
    for _ in 0..MESSAGES {
        let _ = black_box(heartbeat.handle(black_box(Event::Received), black_box(NOW)));
    }
    heartbeat
}

#[library_benchmark]
#[bench::thousand(heartbeat())]
fn heartbeat_tick_not_due(mut heartbeat: Heartbeat<Duration>) -> Heartbeat<Duration> {
    for _ in 0..MESSAGES {
        let _ = black_box(heartbeat.handle(black_box(Event::Tick), black_box(Duration::ZERO)));
    }
    heartbeat
}

#[library_benchmark]
#[bench::thousand(fleet())]
fn fleet_received((mut fleet, keys): (Fleet<Duration>, Vec<Key>)) -> Fleet<Duration> {
    let mut at = fleet.at(black_box(NOW));
    for key in &keys {
        black_box(at.received(black_box(*key)));
    }
    fleet
}

#[library_benchmark]
#[bench::thousand(fleet())]
fn fleet_sent((mut fleet, keys): (Fleet<Duration>, Vec<Key>)) -> Fleet<Duration> {
    let mut at = fleet.at(black_box(NOW));
    for key in &keys {
        black_box(at.sent(black_box(*key)));
    }
    fleet
}

#[library_benchmark]
#[bench::thousand(fleet())]
fn fleet_thousand_first_pings((mut fleet, _): (Fleet<Duration>, Vec<Key>)) -> Fleet<Duration> {
    let last = Duration::from_secs(25);
    while let Some(now) = fleet.deadline().filter(|now| *now <= last) {
        let mut at = fleet.at(now);
        let pinged: Vec<_> = at.tick().map(|(key, _)| key).collect();
        for key in pinged {
            at.received(key); // the answer
        }
    }
    fleet
}

#[library_benchmark]
#[bench::thousand(member())]
fn member_received_with_a_poll(mut member: Option<Member>) -> Option<Member> {
    let context = &mut Context::from_waker(Waker::noop());
    if let Some(member) = &mut member {
        for _ in 0..MESSAGES {
            member.received();
            let _ = black_box(member.poll_next(context));
        }
    }
    member
}

library_benchmark_group!(
    name = messages;
    benchmarks = heartbeat_received, heartbeat_tick_not_due, fleet_received, fleet_sent,
        fleet_thousand_first_pings, member_received_with_a_poll
);

main!(library_benchmark_groups = messages);
