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

use keepalive::{
    CloseCode, Closed, Config, ConfigBuilder, Epoch, Event, Heartbeat, PingId, Refused, Retry,
};
use support::canonical::canonical;
use support::oracle::{Entry, Input, Oracle, Trace, Verdict, Violation};

const MILLISECOND: Duration = Duration::from_millis(1);
const SUSPEND: Duration = Duration::from_secs(3);
/// Which is a second after the last dial.
const AT_ONCE: Retry = Retry::Between {
    least: MILLISECOND,
    greatest: MILLISECOND,
};

/// What else may happen, besides ticks, activity, a failure and a stop.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// All the ways in which connections and dials end.
    Ends,
    Network,
    /// Pings wait in our own buffer.
    Backlog,
}

const ALL: &[Told] = &[Told::Ends, Told::Network, Told::Backlog];

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
    told: Vec<Told>,
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
            told: ALL.to_vec(),
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
                for input in node.inputs(&self.told, &self.others) {
                    self.step(&node, input, now)?;
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, node: &Node, input: Input, now: Duration) -> Verdict {
        let mut next = node.clone();
        let epoch = node.heartbeat.epoch();
        let entry = Entry::step(&mut next.heartbeat, input, now);
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
        if self.seen.insert(next.key(!self.others.is_empty())) {
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
            entries.push(Entry::step(&mut heartbeat, input, now));
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

    fn inputs(&self, told: &[Told], others: &[Config]) -> Vec<Input> {
        let config = self.heartbeat.config();
        let nobodys = PingId::from_bytes([0; 8]);
        let ping = self.heartbeat.awaited_ping().unwrap_or(nobodys);
        let before = u64::from_be_bytes(ping.to_bytes()).saturating_sub(1);
        let before = PingId::from_bytes(before.to_be_bytes());
        let mut events = vec![
            Event::Tick,
            Event::Start,
            Event::Opened,
            Event::Received,
            Event::Pong(ping),
            Event::Sent,
            Event::Healthy,
            Event::Error(None),
            Event::Stop,
        ];
        // Elsewhere these are no more than activity.
        if config.message_timeout().is_some() {
            events.push(Event::Message);
        }
        if config.strict_pongs() || config.always_ping() {
            events.extend([Event::Pong(before), Event::Pong(nobodys)]);
        }
        let busy = Closed::with_code(CloseCode::TRY_AGAIN_LATER);
        for told in told {
            match told {
                Told::Ends => events.extend([
                    Event::Closed(Closed::default()),
                    Event::Closed(Closed::with_code(CloseCode::NORMAL)),
                    Event::Closed(busy.retry_after(Duration::from_secs(2))),
                    Event::Refused(Refused::with_status(404)),
                    Event::Error(Some(AT_ONCE)),
                    Event::GiveUp(Closed::with_code(CloseCode(4001))),
                    Event::GiveUp(Closed::default().retry(Retry::Stop)),
                    Event::ReconnectNow,
                ]),
                Told::Network => events.push(Event::NetworkChanged),
                Told::Backlog => events.extend([
                    Event::Draining,
                    Event::PingSent(ping),
                    Event::PingSent(before),
                ]),
            }
        }
        let late = [Event::Opened, Event::Received, Event::Error(None)];
        let old = self.old.iter();
        let late = old.flat_map(|&old| late.map(|event| Input::From(old, event)));
        let others = others.iter().copied().map(Input::Reconfigure);
        let events = events.into_iter().map(Input::Event);
        events.chain(late).chain(others).collect()
    }

    fn key(&self, may_change: bool) -> String {
        let machine = canonical(&self.heartbeat, self.now, may_change);
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
fn exhaust(name: &str, config: ConfigBuilder, told: &[Told], others: &[ConfigBuilder]) {
    let mut search = Search::new(config.build().unwrap());
    search.told = told.to_vec();
    search.others = others.iter().map(|other| other.build().unwrap()).collect();
    if let Err(violation) = search.run() {
        panic!("{name}: {violation}");
    }
    let (states, steps) = (search.ways.len(), search.steps);
    println!("{name}: {states} states, {steps} steps");
    assert!(states > 200, "{name}: {states} states");
}

fn millis(count: u64) -> Option<Duration> {
    Some(Duration::from_millis(count))
}

/// A connection for itself: every down is the end.
fn accepted() -> ConfigBuilder {
    small().reconnect(false)
}

/// A ping is replaced before it is missed.
fn in_cadence() -> ConfigBuilder {
    accepted()
        .always_ping(true)
        .ping_interval(Duration::from_millis(2))
}

/// One connection after another, with as little as possible on each.
fn dialling() -> ConfigBuilder {
    small()
        .listen_only(true)
        .idle_timeout(Duration::from_millis(3))
        .stable_after(Duration::from_millis(2))
}

// Each watch for itself, and how it ends.

#[test]
fn silence() {
    exhaust("silence", accepted(), &[], &[]);
}

#[test]
fn listening() {
    let config = accepted().listen_only(true);
    exhaust("listen-only", config, &[Told::Network], &[]);
}

#[test]
fn a_cadence() {
    exhaust("always_ping", in_cadence(), &[], &[]);
}

#[test]
fn strict_pongs() {
    exhaust("strict_pongs", accepted().strict_pongs(true), &[], &[]);
}

#[test]
fn a_login() {
    exhaust(
        "healthy_within",
        accepted().healthy_within(millis(4)),
        &[],
        &[],
    );
}

#[test]
#[ignore = "long; .ci/run does it"]
fn a_doubt() {
    let config = accepted().confirm_within(millis(2));
    exhaust("confirm_within", config, &[Told::Backlog], &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn messages() {
    let config = accepted().message_timeout(millis(7));
    exhaust("message_timeout", config, &[Told::Ends], &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn both_silences() {
    let config = accepted().send_interval(millis(4));
    exhaust("both silences", config, &[], &[]);
}

// With all that may happen to an open connection.

#[test]
#[ignore = "long; .ci/run does it"]
fn one_missed_ping() {
    exhaust("one missed ping", accepted(), ALL, &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn two_missed_pings() {
    exhaust("two missed pings", accepted().max_missed(2), ALL, &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn a_cadence_through_a_backlog() {
    let told = &[Told::Network, Told::Backlog];
    exhaust("always_ping, backlog", in_cadence(), told, &[]);
    let strict = in_cadence().strict_pongs(true);
    exhaust("always_ping, strict_pongs", strict, told, &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn a_gateway() {
    let config = accepted().strict_pongs(true).confirm_within(millis(2));
    exhaust(
        "strict_pongs, confirm_within",
        config,
        &[Told::Backlog],
        &[],
    );
}

#[test]
#[ignore = "long; .ci/run does it"]
fn a_feed_behind_a_login() {
    let config = accepted()
        .healthy_within(millis(3))
        .message_timeout(millis(3));
    let listener = config.listen_only(true);
    exhaust("login, messages", config, &[Told::Ends], &[]);
    exhaust("login, messages, listen-only", listener, ALL, &[]);
}

// With all that may happen to dials.

#[test]
#[ignore = "long; .ci/run does it"]
fn dials() {
    let told = &[Told::Ends, Told::Network];
    exhaust("dials", dialling(), told, &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn limits() {
    let limited = dialling().max_attempts(Some(2)).max_elapsed(millis(7));
    exhaust("limits", limited, &[Told::Ends], &[]);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn one_connection_after_another() {
    exhaust("connections", small(), &[Told::Ends], &[]);
}

// With settings that change.

#[test]
#[ignore = "long; .ci/run does it"]
fn from_pings_to_none() {
    let listener = accepted().listen_only(true);
    let others = [accepted(), listener, in_cadence()];
    exhaust("pings, listen-only, always_ping", accepted(), &[], &others);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn from_lenient_to_strict() {
    let strict = accepted().strict_pongs(true).confirm_within(millis(2));
    let others = [accepted(), strict];
    exhaust("pings, strict_pongs, confirm_within", strict, &[], &others);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn a_login_that_is_waived() {
    let (login, feed) = (
        accepted().healthy_within(millis(3)),
        accepted().message_timeout(millis(3)),
    );
    let others = [login, feed, login.listen_only(true)];
    exhaust("healthy_within, message_timeout", login, &[], &others);
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
    let pairs = wrongs.map(|wrong| (wrong, small()));
    let watches = [
        (accepted(), in_cadence().ping_interval(millis(5))),
        (accepted(), accepted().strict_pongs(true)),
        (
            accepted().confirm_within(Some(millis(3))),
            accepted().confirm_within(Some(millis(2))),
        ),
        (
            accepted().message_timeout(Some(millis(8))),
            accepted().message_timeout(Some(millis(7))),
        ),
        (
            accepted().healthy_within(Some(millis(5))),
            accepted().healthy_within(Some(millis(4))),
        ),
    ];
    for (wrong, right) in pairs.into_iter().chain(watches) {
        let mut search = Search::new(wrong.build().unwrap());
        search.truth = right.build().unwrap();
        assert!(search.run().is_err(), "{wrong:?}");
    }
}
