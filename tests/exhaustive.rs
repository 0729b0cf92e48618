//! Every state that a machine with small settings can reach: breadth first, all
//! events at all instants that matter, each step under the oracle, until no new
//! state appears. The numbers of states, and all settings:
//! `cargo test --release --test exhaustive -- --include-ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod canonical;
    pub mod oracle;
}

use core::time::Duration;
use std::collections::{HashSet, VecDeque};

use keepalive::{CloseCode, Closed, Config, ConfigBuilder, Epoch, Event, Heartbeat, PingId};
use support::canonical::canonical;
use support::oracle::{Entry, Input, Machine, Oracle, Trace, Verdict, Violation};

const MILLISECOND: Duration = Duration::from_millis(1);
const SUSPEND: Duration = Duration::from_secs(3);

/// Nothing is random, and all is far below a second.
fn small() -> ConfigBuilder {
    let millis = Duration::from_millis;
    Config::builder()
        .ping_interval(millis(5))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(millis(3))
        .late_tolerance(millis(1))
        .idle_timeout(millis(6))
        .connect_timeout(millis(3))
        .close_timeout(millis(2))
        .first_spread(millis(1))
        .backoff_floor(millis(2))
        .backoff_base(millis(2))
        .backoff_cap(millis(2))
        .stable_after(millis(4))
}

struct Search {
    /// What the machine believes.
    config: Config,
    /// What it should keep.
    truth: Config,
    /// To change to while running.
    others: Vec<Config>,
    seen: HashSet<String>,
    frontier: VecDeque<Node>,
    /// How each state was reached first: from which, by what, when.
    ways: Vec<(usize, Input, Duration)>,
    steps: usize,
}

#[derive(Clone)]
struct Node {
    heartbeat: Heartbeat<Duration>,
    oracle: Oracle,
    now: Duration,
    /// An epoch that is over.
    old: Option<Epoch>,
    state: usize,
}

impl Search {
    fn new(config: Config) -> Self {
        Self {
            config,
            truth: config,
            others: Vec::new(),
            seen: HashSet::new(),
            frontier: VecDeque::new(),
            ways: Vec::new(),
            steps: 0,
        }
    }

    fn run(&mut self) -> Verdict {
        let start = Node {
            heartbeat: Heartbeat::new(self.config, 1),
            oracle: Oracle::new(self.truth),
            now: SUSPEND,
            old: None,
            state: 0,
        };
        self.ways.push((0, Input::Event(Event::Tick), SUSPEND));
        self.frontier.push_back(start);
        while let Some(node) = self.frontier.pop_front() {
            for now in node.instants() {
                for input in node.inputs(&self.others) {
                    self.step(&node, input, now)?;
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, node: &Node, input: Input, now: Duration) -> Verdict {
        let mut next = node.clone();
        let epoch = node.heartbeat.epoch();
        let actions = next.heartbeat.take(input, now);
        let entry = Entry::new(input, now, actions, &next.heartbeat);
        next.oracle.follow(&entry).map_err(|broken| {
            Box::new(Violation {
                invariant: broken.invariant,
                text: broken.text,
                trace: self.trace(node.state, input, now),
            })
        })?;
        self.steps += 1;
        if next.heartbeat.epoch() != epoch {
            next.old = Some(epoch);
        }
        next.now = now;
        if self.seen.insert(next.key()) {
            next.state = self.ways.len();
            self.ways.push((node.state, input, now));
            self.frontier.push_back(next);
        }
        Ok(())
    }

    /// The way to this state and one step more.
    fn trace(&self, mut state: usize, input: Input, now: Duration) -> Trace {
        let mut way = vec![(input, now)];
        while state != 0 {
            let (before, input, now) = self.ways[state];
            way.push((input, now));
            state = before;
        }
        let mut heartbeat = Heartbeat::new(self.config, 1);
        let mut entries = Vec::new();
        for (input, now) in way.into_iter().rev() {
            let actions = heartbeat.take(input, now);
            entries.push(Entry::new(input, now, actions, &heartbeat));
        }
        let config = self.truth;
        Trace { config, entries }
    }
}

impl Node {
    /// Now, just before, at and just after the deadline, as late as is tolerated
    /// and later, and after a suspend.
    fn instants(&self) -> Vec<Duration> {
        let Some(deadline) = self.heartbeat.deadline() else {
            return vec![self.now, self.now + SUSPEND];
        };
        let tolerance = self.heartbeat.config().late_tolerance();
        let mut instants = vec![
            self.now,
            deadline - MILLISECOND,
            deadline,
            deadline + tolerance,
            deadline + tolerance + MILLISECOND,
            deadline + SUSPEND,
        ];
        instants.retain(|&at| at >= self.now);
        instants.dedup();
        instants
    }

    fn inputs(&self, others: &[Config]) -> Vec<Input> {
        let nobodys = PingId::from_bytes([0; 8]);
        let ping = self.heartbeat.awaited_ping().unwrap_or(nobodys);
        let busy = Closed::with_code(CloseCode::TRY_AGAIN_LATER);
        let events = [
            Event::Tick,
            Event::Start,
            Event::Opened,
            Event::Received,
            Event::Pong(ping),
            Event::Pong(nobodys),
            Event::Sent,
            Event::PingSent(ping),
            Event::Closed(Closed::default()),
            Event::Closed(Closed::with_code(CloseCode::NORMAL)),
            Event::Closed(busy.retry_after(Duration::from_secs(2))),
            Event::Error,
            Event::NetworkChanged,
            Event::Healthy,
            Event::ReconnectNow,
            Event::Stop,
        ];
        let late = [Event::Opened, Event::Received, Event::Error];
        let old = self.old.iter();
        let late = old.flat_map(|&old| late.map(|event| Input::From(old, event)));
        let others = others.iter().copied().map(Input::Reconfigure);
        events
            .map(Input::Event)
            .into_iter()
            .chain(late)
            .chain(others)
            .collect()
    }

    fn key(&self) -> String {
        let machine = canonical(&self.heartbeat, self.now);
        let config = self.heartbeat.config();
        let is_late = self.oracle.is_late();
        format!(
            "{machine} {is_late} {} {:?}",
            config.listen_only(),
            config.ping_interval()
        )
    }
}

/// Searches all there is, and says how much that was.
fn exhaust(name: &str, config: ConfigBuilder, others: &[ConfigBuilder]) {
    let mut search = Search::new(config.build().unwrap());
    search.others = others.iter().map(|other| other.build().unwrap()).collect();
    if let Err(violation) = search.run() {
        panic!("{name}: {violation}");
    }
    let (states, steps) = (search.ways.len(), search.steps);
    println!("{name}: {states} states, {steps} steps");
    assert!(states > 500, "{name}: {states} states");
}

#[test]
fn a_server_that_does_not_reconnect() {
    exhaust("no reconnect", small().reconnect(false), &[]);
}

#[test]
fn a_listener() {
    exhaust("listen-only", small().listen_only(true), &[]);
}

#[test]
fn one_missed_ping() {
    exhaust("one missed ping", small(), &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn two_missed_pings() {
    exhaust("two missed pings", small().max_missed(2), &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn both_silences() {
    let outbound = Some(Duration::from_millis(4));
    exhaust("both silences", small().send_interval(outbound), &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn limits() {
    let longest = Some(Duration::from_millis(7));
    let limited = small().max_attempts(Some(2)).max_elapsed(longest);
    exhaust("limits", limited, &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn settings_that_change() {
    let longer = small().ping_interval(Duration::from_millis(7));
    let listener = small().listen_only(true);
    exhaust(
        "settings that change",
        small(),
        &[small(), longer, listener],
    );
}

/// The search is not blind: a machine that has one setting wrong is found out.
#[test]
fn a_machine_that_has_it_wrong_is_found_out() {
    let millis = Duration::from_millis;
    let wrongs = [
        small().ping_interval(millis(6)),
        small().pong_timeout(millis(2)),
        small().max_missed(2),
        small().late_tolerance(millis(2)),
        small().connect_timeout(millis(4)),
        small().close_timeout(millis(3)),
        small().stable_after(millis(5)),
        small().backoff_cap(millis(3)),
        small().reconnect(false),
    ];
    for wrong in wrongs {
        let mut search = Search::new(wrong.build().unwrap());
        search.truth = small().build().unwrap();
        assert!(search.run().is_err(), "{wrong:?}");
    }
}
