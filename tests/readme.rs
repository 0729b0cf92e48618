//! The README is short, and what it and the guides say of settings and states is so. Their
//! code is tested with the documentation, and the quick starts by `tests/quick_starts.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use keepalive::{Action, Closed, Config, Event, Heartbeat, PingId, Refused, State};

const README: &str = include_str!("../README.md");
const SETTINGS: &str = include_str!("../src/guide/settings.md");
const STATES: &str = include_str!("../src/guide/event_loop.md");

#[test]
fn it_is_read_in_ten_minutes() {
    assert!(README.lines().count() <= 300);
}

#[test]
fn its_settings_are_some_of_all() {
    let all = defaults();
    let some = table(section(README, "## Settings"));
    assert!(some.len() > 5);
    for (names, value) in some {
        for name in names.split("`, `") {
            assert_eq!(all.get(name), Some(&value), "{name}");
        }
    }
}

#[test]
fn the_table_has_every_setting_with_its_default() {
    assert_eq!(table(SETTINGS), defaults());
}

/// From rows such as `` | `pong_timeout` | 20 s | ``.
fn table(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`').to_owned();
            Some((name, plain(cells.next()?)))
        })
        .collect()
}

/// From the debug output, which names every setting.
fn defaults() -> BTreeMap<String, String> {
    let text = format!("{:?}", Config::default());
    let (_, fields) = text.split_once("{ ").unwrap();
    let (fields, _) = fields.split_once(" }").unwrap();
    fields
        .split(", ")
        .filter_map(|field| field.split_once(": "))
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect()
}

fn plain(value: &str) -> String {
    let value = value.replace([' ', '`'], "");
    let value = value.trim_start_matches("Some(").trim_end_matches(')');
    match value {
        "None" => "off",
        "true" => "yes",
        "false" => "no",
        "default_policy" => "default",
        "2.0" => "2",
        other => other,
    }
    .to_owned()
}

#[test]
fn the_picture_has_only_arrows_that_the_machine_takes() {
    let mut arrows = 0;
    for line in section(STATES, "```mermaid").lines() {
        let Some((from, rest)) = line.trim().split_once(" --> ") else {
            continue;
        };
        let Some((to, events)) = rest.split_once(": ") else {
            assert!(matches!((from, rest), ("[*]", "Idle" | "Quiet")), "{line}");
            continue;
        };
        for event in events.split(", ") {
            for way in ways_to(from) {
                let reached = way.take(event);
                assert!(reached.is_in(to), "{line}: {event} leads to {reached:?}");
                arrows += 1;
            }
        }
    }
    assert!(arrows > 15, "only {arrows} arrows were found");
}

/// Heartbeats in this state.
fn ways_to(state: &str) -> Vec<Way> {
    let ways: &[&[&str]] = match state {
        "Idle" => &[&[]],
        "Connecting" => &[&["Start"]],
        "Open" => &[&["Opened"], &["Opened", "Tick"]],
        "Quiet" => &[&["Opened"]],
        "Probing" => &[&["Opened", "Tick"]],
        "Closing" => &[&["Opened", "Stop"]],
        "Waiting" => &[&["Start", "Error"]],
        "Stopped" => &[&["Stop"]],
        other => panic!("no such state: {other}"),
    };
    ways.iter()
        .map(|events| events.iter().fold(Way::new(), |way, event| way.take(event)))
        .inspect(|way| assert!(way.is_in(state), "{way:?}"))
        .collect()
}

#[derive(Debug)]
struct Way {
    heartbeat: Heartbeat<Duration>,
    now: Duration,
}

impl Way {
    fn new() -> Self {
        Self {
            heartbeat: Heartbeat::new(Config::article(), 1),
            now: Duration::ZERO,
        }
    }

    /// Ticks come when something is due: a ping, a verdict, a dial.
    fn take(mut self, event: &str) -> Self {
        let event = match event {
            "Start" => Event::Start,
            "Opened" => Event::Opened,
            "Received" => Event::Received,
            "Pong" => Event::Pong(PingId::from_bytes([0; 8])),
            "Closed" => Event::Closed(Closed::default()),
            "Error" => Event::Error(None),
            "Message" => Event::Message,
            "Refused" => Event::Refused(Refused::with_status(503)),
            "GiveUp" => Event::GiveUp(Closed::default()),
            "ReconnectNow" => Event::ReconnectNow,
            "Stop" => Event::Stop,
            "Tick" => return self.tick(),
            other => panic!("no such event: {other}"),
        };
        self.heartbeat.handle(event, self.now).for_each(drop);
        self
    }

    fn tick(mut self) -> Self {
        loop {
            self.now = self.heartbeat.deadline().expect("something is awaited");
            let mut actions = self.heartbeat.handle(Event::Tick, self.now);
            if actions.any(|action| !matches!(action, Action::ArmDeadline(_))) {
                return self;
            }
        }
    }

    fn is_in(&self, state: &str) -> bool {
        let heartbeat = &self.heartbeat;
        match state {
            "Quiet" => heartbeat.state() == State::Open && !heartbeat.is_ping_out(),
            "Probing" => heartbeat.state() == State::Open && heartbeat.is_ping_out(),
            other => format!("{:?}", heartbeat.state()) == other,
        }
    }
}

/// From this line of the text to the next of its kind.
fn section<'t>(text: &'t str, start: &str) -> &'t str {
    let (_, rest) = text.split_once(start).expect(start);
    let end = if start.starts_with('#') {
        "\n## "
    } else {
        "\n```"
    };
    rest.split_once(end).expect("an end").0
}
