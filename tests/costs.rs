//! What an hour costs in dials with a server or an application that misbehaves, with the
//! default settings and in virtual time. `cargo test --test costs -- --nocapture` prints
//! the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use core::time::Duration;

use keepalive::{Action, CloseCode, Closed, Config, Event, Heartbeat, Refused, Retry, State};

const HOUR: Duration = Duration::from_secs(60 * 60);
const MILLISECOND: Duration = Duration::from_millis(1);
const CLIENTS: u64 = if cfg!(miri) { 2 } else { 100 };

/// What happens, all at once, when a dial begins; and once more where it did not end.
type Answer = &'static [Event];

struct Row {
    what: &'static str,
    answer: Answer,
    /// The mean of all clients.
    mean: f64,
    /// What the issue names: one run of one client, which is somewhere in the spread.
    seen: Option<u32>,
}

const ERROR: Event = Event::Error(None);
const NORMAL: Event = Event::Closed(Closed::with_code(CloseCode::NORMAL));
const REFUSED: Event = Event::Refused(Refused::with_status(403));
const HASTY: Event = Event::Refused(Refused::with_status(403).retry(Retry::Between {
    least: MILLISECOND,
    greatest: MILLISECOND,
}));

const fn row(what: &'static str, answer: Answer, mean: f64, seen: Option<u32>) -> Row {
    Row {
        what,
        answer,
        mean,
        seen,
    }
}

const TABLE: [Row; 14] = [
    row(
        "accept, then drop",
        &[Event::Opened, Event::Received, ERROR],
        124.0,
        Some(120),
    ),
    row(
        "`Healthy`, then drop",
        &[Event::Opened, Event::Healthy, ERROR],
        124.0,
        Some(121),
    ),
    row(
        "`GiveUp` at once",
        &[
            Event::Opened,
            Event::GiveUp(Closed::with_code(CloseCode(4001))),
        ],
        124.0,
        Some(120),
    ),
    row("1000 at once", &[Event::Opened, NORMAL], 124.0, None),
    row("403 for ever", &[REFUSED], 119.0, Some(109)),
    row(
        "503 for ever",
        &[Event::Refused(Refused::with_status(503))],
        124.0,
        None,
    ),
    row(
        "1012 at once",
        &[
            Event::Opened,
            Event::Closed(Closed::with_code(CloseCode::SERVICE_RESTART)),
        ],
        206.0,
        None,
    ),
    row("a dial that hangs", &[], 75.0, Some(70)),
    row(
        "`ReconnectNow` after each refusal",
        &[REFUSED, Event::ReconnectNow],
        3601.0,
        Some(3601),
    ),
    row(
        "`Between` 1 ms after each refusal",
        &[HASTY],
        3601.0,
        Some(3601),
    ),
    row(
        "`Stop`, `Start` after each refusal",
        &[REFUSED, Event::Stop, Event::Start],
        3601.0,
        None,
    ),
    row(
        "`Stop`, `ReconnectNow` while it dials",
        &[Event::Stop, Event::ReconnectNow],
        3601.0,
        None,
    ),
    row(
        "`ReconnectNow` when it opened",
        &[Event::Opened, Event::Received, Event::ReconnectNow],
        3601.0,
        None,
    ),
    row(
        "`NetworkChanged` after each refusal",
        &[REFUSED, Event::NetworkChanged],
        2400.0,
        None,
    ),
];

/// The dials of one client in an hour, the first among them.
fn dials(answer: Answer, seed: u64) -> u32 {
    let mut heartbeat = Heartbeat::new(Config::default(), seed);
    let (mut now, mut dials) = (Duration::ZERO, 0);
    let mut event = Event::Start;
    while now <= HOUR {
        let actions = heartbeat.handle(event, now);
        if actions.into_iter().any(|action| action == Action::Connect) {
            dials += 1;
            for &event in answer {
                let actions = heartbeat.handle(event, now);
                let connects = actions.into_iter().any(|action| action == Action::Connect);
                assert!(!connects, "a dial in answer to a dial");
            }
        }
        assert_ne!(heartbeat.state(), State::Stopped);
        now = heartbeat.deadline().unwrap();
        event = Event::Tick;
    }
    dials
}

#[test]
fn an_hour_of_misbehaviour_costs_this_many_dials() {
    println!("{:38} {:>7} {:>5} {:>5}", "", "mean", "least", "most");
    for row in TABLE {
        let counts: Vec<_> = (0..CLIENTS).map(|seed| dials(row.answer, seed)).collect();
        let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
        let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        println!("{:38} {mean:7.1} {least:5} {most:5}", row.what);
        if cfg!(miri) {
            continue;
        }
        let is_near = (mean - row.mean).abs() <= row.mean / 50.0;
        assert!(is_near, "{}: {mean} dials, not {}", row.what, row.mean);
        let seen = row.seen.unwrap_or(least);
        assert!((least..=most).contains(&seen), "{}: {seen}", row.what);
    }
}
