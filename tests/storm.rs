//! The example `storm`: with its model, what its tables say of this crate's clients and
//! of others, in small.
#![allow(clippy::unwrap_used)]

#[path = "../examples/storm/clients.rs"]
mod clients;
#[path = "../examples/storm/model.rs"]
mod model;
#[path = "../examples/storm/rolling.rs"]
mod rolling;

use std::time::Duration;

use clients::{Other, Ours, Rule};
use keepalive::{CloseCode, Config};
use model::{Outcome, Scenario};
use rolling::Rolling;

/// The server accepts everybody within 5 s.
const RESTART: Scenario = Scenario {
    clients: 5000,
    seed: 1,
    outage: 10_000,
    accepts: 1000.0,
    backlog: 4096,
    refusal: 0.0,
    limit: 30 * 60_000,
    after: 100_000,
};

/// A million clients on a server that accepts 5,000 per second, in small.
const STRESS: Scenario = Scenario {
    accepts: 25.0,
    backlog: 20,
    refusal: 0.1,
    after: 0,
    ..RESTART
};

const ROLLING: Rolling = Rolling {
    clients: 5000,
    seed: 1,
    servers: 10,
    turn: 100_000,
    drain: 60_000,
};

const RULES: [Rule; 6] = [
    Rule::Immediate,
    Rule::Fixed(1000),
    Rule::Fixed(5000),
    Rule::Exponential,
    Rule::SocketIo,
    Rule::Grpc,
];

#[test]
fn ours_have_the_lowest_peak_and_few_dials() {
    let ours = run_ours(&RESTART, Config::default());
    assert!(ours.peak() < 350, "{}", ours.peak());
    assert!(ours.dials_per_client() < 5.0);
    assert!(ours.until(0.99).unwrap() < 20_000);
    for rule in RULES {
        let other = run_other(&RESTART, rule);
        assert!(3 * ours.peak() / 2 < other.peak(), "{rule:?}");
    }
}

#[test]
fn a_restart_that_is_announced_costs_hardly_more_than_one_dial() {
    let code = Some(CloseCode::SERVICE_RESTART);
    let outcome = model::run(&RESTART, |seed| Ours::new(Config::default(), code, seed));
    assert!(outcome.dials_per_client() < 1.6);
    assert!(outcome.until(0.99).unwrap() < 25_000);
}

#[test]
fn ours_do_not_ping_in_step_afterwards_and_others_do() {
    let ours = run_ours(&RESTART, Config::default());
    assert!(ours.step().unwrap() < 2.2);
    for rule in RULES {
        let other = run_other(&RESTART, rule);
        assert!(other.step().unwrap() > 4.0, "{rule:?}");
    }
}

#[test]
fn a_server_under_stress_gets_ours_back() {
    let ours = run_ours(&STRESS, Config::default());
    assert!(ours.until(0.99).unwrap() < STRESS.ideal() * 21 / 10);
    assert!(ours.dials_per_client() < 15.0);
}

#[test]
fn a_first_spread_somewhat_longer_than_the_server_needs_takes_hardly_more_than_one_dial() {
    let ample = Duration::from_millis(STRESS.ideal() * 5 / 4);
    let config = Config::builder().first_spread(ample).build().unwrap();
    let ours = run_ours(&STRESS, config);
    assert!(ours.until(0.99).unwrap() < STRESS.ideal() * 13 / 10);
    assert!(ours.dials_per_client() < 2.0);
}

#[test]
fn a_server_under_stress_never_gets_back_who_insists() {
    for rule in [
        Rule::Immediate,
        Rule::Fixed(1000),
        Rule::Fixed(5000),
        Rule::SocketIo,
    ] {
        let other = run_other(&STRESS, rule);
        assert!(other.is_livelock, "{rule:?}");
        assert!(other.back() < 0.02, "{rule:?}");
    }
}

#[test]
fn without_jitter_only_a_backlog_comes_back_at_a_time() {
    let other = run_other(&STRESS, Rule::Exponential);
    assert!(!other.is_livelock);
    assert!(other.back() < 0.2);
}

#[test]
fn goodbyes_over_a_minute_take_the_peak_away() {
    let peaks = |rolling: &Rolling| {
        let ours = rolling::peak(rolling, |seed| Ours::new(Config::default(), None, seed));
        let other = rolling::peak(rolling, |seed| Other::new(Rule::Immediate, seed));
        [ours, other]
    };
    let at_once = Rolling {
        drain: 0,
        ..ROLLING
    };
    let [ours, other] = peaks(&at_once);
    assert!(20 * ours < other, "{ours} {other}");
    for peak in peaks(&ROLLING) {
        assert!(peak < 15, "{peak}");
    }
}

#[test]
fn every_dial_is_accepted_refused_or_abandoned_and_no_accept_comes_too_soon() {
    for scenario in [RESTART, STRESS] {
        let ours = run_ours(&scenario, Config::default());
        let dials = ours.dials.iter().map(|&dials| u64::from(dials)).sum();
        let others = ours.refused + ours.abandoned;
        assert_eq!(u64::from(scenario.clients) + others, dials);
        assert!(ours.until(1.0).unwrap() >= scenario.ideal());
    }
}

#[test]
fn a_seed_decides_everything() {
    let of_seed = |seed| run_ours(&Scenario { seed, ..RESTART }, Config::default());
    assert_eq!(of_seed(1), of_seed(1));
    assert_ne!(of_seed(1), of_seed(2));
}

fn run_ours(scenario: &Scenario, config: Config) -> Outcome {
    model::run(scenario, |seed| Ours::new(config, None, seed))
}

fn run_other(scenario: &Scenario, rule: Rule) -> Outcome {
    model::run(scenario, |seed| Other::new(rule, seed))
}
