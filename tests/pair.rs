//! Two machines that talk, a client and a server's accepted socket, over a line
//! that delays, loses and is deaf in one direction or both: breadth first over all
//! orders of what may happen, until no new state appears. In each of them:
//!
//! - nobody is convicted on a connection on which nothing was lost;
//! - nobody stays open for longer than the bound with nothing coming in;
//! - both machines keep all other invariants;
//! - if nothing is lost any more, both are soon open again, and stay so.
//!
//! `cargo test --release --test pair -- --include-ignored --nocapture` has more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod canonical;
    pub mod oracle;
}

use core::time::Duration;
use std::collections::{HashSet, VecDeque};
use std::fmt::Write;

use keepalive::{Action, CloseReason, Closed, Config, ConfigBuilder, Epoch, Event, Heartbeat};
use keepalive::{PingId, State};
use support::canonical::canonical;
use support::oracle::{Entry, Input, Oracle};

/// The time of this world goes in steps of 1 ms.
type Millis = u32;

/// It begins seconds after the origin of all instants, as `canonical` asks.
const START: Millis = 10_000;

/// A packet takes at most this long.
const LATENCY: Millis = 1;

/// What the clients and servers of all worlds have in common.
fn settings() -> ConfigBuilder {
    let millis = Duration::from_millis;
    Config::builder()
        .ping_interval(millis(4))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(millis(3))
        .late_tolerance(millis(1))
        .connect_timeout(millis(3))
        .first_spread(millis(1))
        .backoff_floor(millis(2))
        .backoff_base(millis(2))
        .backoff_cap(millis(2))
        .stable_after(millis(3))
}

#[derive(Clone, Copy)]
struct Rules {
    client: Config,
    server: Config,
    /// How late a tick may be.
    lateness: Millis,
    /// How often a direction may fail or heal.
    faults: u8,
    /// How many messages the applications send.
    messages: u8,
}

impl Rules {
    fn of(client: ConfigBuilder, server: ConfigBuilder) -> Self {
        Self {
            client: client.build().unwrap(),
            server: server.reconnect(false).build().unwrap(),
            lateness: 0,
            faults: 2,
            messages: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Start,
    TimeGoesBy,
    Tick(Who),
    /// The next packet to this side arrives.
    Arrival(Who),
    /// What goes to this side is lost from now on, or no longer.
    Fault(Who),
    Message(Who),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Packet {
    Dial,
    Accept,
    Ping(PingId),
    Pong(PingId),
    Message,
    Close,
}

#[derive(Clone)]
struct Side {
    heartbeat: Heartbeat<Duration>,
    oracle: Oracle,
    /// The connection: the epoch of the client that dialled it.
    line: Option<Epoch>,
    /// Nothing was lost on it.
    is_sound: bool,
    /// When something last came in on it; under `strict_pongs`, an answer.
    heard: Millis,
    /// The pings that were sent since then.
    asked: Vec<PingId>,
    /// On their way to this side, in order: since when, on which connection.
    packets: VecDeque<(Millis, Epoch, Packet)>,
    /// What is sent to this side is lost.
    is_cut: bool,
}

#[derive(Clone)]
struct World {
    rules: Rules,
    now: Millis,
    client: Side,
    server: Side,
    faults: u8,
    messages: u8,
}

type Checked = Result<(), String>;

impl Side {
    fn new(config: Config) -> Self {
        Self {
            heartbeat: Heartbeat::new(config, 1),
            oracle: Oracle::new(config),
            line: None,
            is_sound: true,
            heard: START,
            asked: Vec::new(),
            packets: VecDeque::new(),
            is_cut: false,
        }
    }

    fn is_open(&self) -> bool {
        self.heartbeat.state() == State::Open
    }

    fn deadline(&self) -> Option<Millis> {
        let deadline = self.heartbeat.deadline()?;
        Some(Millis::try_from(deadline.as_millis()).unwrap())
    }

    /// It has this connection from now on.
    fn takes(&mut self, line: Epoch, now: Millis) {
        self.line = Some(line);
        self.is_sound = true;
        self.hears(now);
    }

    fn hears(&mut self, now: Millis) {
        self.heard = now;
        self.asked.clear();
    }

    /// Whether this is life.
    fn is_life(&self, packet: Packet) -> bool {
        match packet {
            Packet::Pong(id) => self.is_answer(id) || !self.heartbeat.config().strict_pongs(),
            Packet::Accept => true,
            _ => !self.heartbeat.config().strict_pongs(),
        }
    }

    fn is_answer(&self, id: PingId) -> bool {
        self.asked.contains(&id)
    }

    fn silence(&self, now: Millis) -> Millis {
        if self.is_open() { now - self.heard } else { 0 }
    }

    fn bound(&self, lateness: Millis) -> Millis {
        let config = self.heartbeat.config();
        let millis = |duration: Duration| Millis::try_from(duration.as_millis()).unwrap();
        let (missed, timeout) = (config.max_missed(), millis(config.pong_timeout()));
        let late = (missed + 1) * lateness;
        let forgiven = lateness > millis(config.late_tolerance());
        let again = if forgiven { timeout + lateness } else { 0 };
        millis(config.ping_interval()) + missed * timeout + late + again
    }
}

impl World {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: START,
            client: Side::new(rules.client),
            server: Side::new(rules.server),
            faults: rules.faults,
            messages: rules.messages,
        }
    }

    fn side(&mut self, who: Who) -> &mut Side {
        match who {
            Who::Client => &mut self.client,
            Who::Server => &mut self.server,
        }
    }

    fn moves(&self) -> Vec<Move> {
        if self.client.heartbeat.state() == State::Idle {
            return vec![Move::Start];
        }
        let mut moves = Vec::new();
        let mut is_time_free = true;
        for (who, side) in [(Who::Client, &self.client), (Who::Server, &self.server)] {
            if let Some((since, ..)) = side.packets.front() {
                moves.push(Move::Arrival(who));
                is_time_free &= self.now < since + LATENCY;
            }
            if let Some(deadline) = side.deadline().filter(|&at| at <= self.now) {
                moves.push(Move::Tick(who));
                is_time_free &= self.now < deadline + self.rules.lateness;
            }
            if self.faults > 0 {
                moves.push(Move::Fault(who));
            }
            if self.messages > 0 && side.is_open() {
                moves.push(Move::Message(who));
            }
        }
        if is_time_free {
            moves.push(Move::TimeGoesBy);
        }
        moves
    }

    fn make(&mut self, what: Move) -> Checked {
        match what {
            Move::Start => self.tell(Who::Client, Event::Start),
            Move::Tick(who) => self.tell(who, Event::Tick),
            Move::TimeGoesBy => {
                self.now += 1;
                self.is_heard_in_time(Who::Client)?;
                self.is_heard_in_time(Who::Server)
            }
            Move::Fault(who) => {
                self.faults -= 1;
                let side = self.side(who);
                side.is_cut = !side.is_cut;
                Ok(())
            }
            Move::Message(who) => {
                self.messages -= 1;
                let line = self.side(who).line;
                self.tell(who, Event::Sent)?;
                self.send(who, line, Packet::Message);
                Ok(())
            }
            Move::Arrival(who) => match self.side(who).packets.pop_front() {
                Some((_, line, packet)) => self.arrives(who, line, packet),
                None => Ok(()),
            },
        }
    }

    fn is_heard_in_time(&mut self, who: Who) -> Checked {
        let (now, lateness) = (self.now, self.rules.lateness);
        let side = self.side(who);
        let (silence, bound) = (side.silence(now), side.bound(lateness));
        if silence > bound {
            return Err(format!(
                "{who:?} is open after {silence} ms; the bound is {bound} ms"
            ));
        }
        Ok(())
    }

    fn arrives(&mut self, who: Who, line: Epoch, packet: Packet) -> Checked {
        if (who, packet) == (Who::Server, Packet::Dial) {
            return self.accepts(line);
        }
        if self.side(who).line != Some(line) {
            return Ok(());
        }
        let event = match packet {
            Packet::Dial => return Ok(()),
            Packet::Accept => Event::Opened,
            Packet::Pong(id) => Event::Pong(id),
            Packet::Ping(_) => Event::Received,
            Packet::Message => Event::Message,
            Packet::Close => Event::Closed(Closed::default()),
        };
        let now = self.now;
        let side = self.side(who);
        if side.is_life(packet) {
            side.hears(now);
        }
        self.tell(who, event)?;
        if let Packet::Ping(id) = packet {
            self.send(who, Some(line), Packet::Pong(id));
        }
        Ok(())
    }

    /// A new connection takes the place of the one that the server may have.
    fn accepts(&mut self, line: Epoch) -> Checked {
        self.tell(Who::Server, Event::Error(None))?;
        self.server.takes(line, self.now);
        self.send(Who::Server, Some(line), Packet::Accept);
        self.tell(Who::Server, Event::Opened)
    }

    fn tell(&mut self, who: Who, event: Event) -> Checked {
        let now = Duration::from_millis(self.now.into());
        let side = self.side(who);
        let input = Input::Event(event);
        let entry = Entry::step(&mut side.heartbeat, input, now);
        if let Err(broken) = side.oracle.follow(&entry) {
            return Err(format!(
                "{who:?}: invariant {}: {}",
                broken.invariant, broken.text
            ));
        }
        for action in entry.actions {
            self.acts(who, action)?;
        }
        Ok(())
    }

    fn acts(&mut self, who: Who, action: Action<Duration>) -> Checked {
        let now = self.now;
        let side = self.side(who);
        let line = side.line;
        match action {
            Action::Connect => {
                let line = side.heartbeat.epoch();
                side.takes(line, now);
                self.send(who, Some(line), Packet::Dial);
            }
            Action::SendPing(id) => {
                side.asked.push(id);
                self.send(who, line, Packet::Ping(id));
            }
            Action::Close(reason) => {
                let convicts = reason == CloseReason::PongTimeout;
                if convicts && side.is_sound {
                    return Err(format!("{who:?} convicts a healthy peer"));
                }
                side.line = None;
                self.send(who, line, Packet::Close);
            }
            _ => {}
        }
        Ok(())
    }

    /// What is lost spoils the connection for both.
    fn send(&mut self, from: Who, line: Option<Epoch>, packet: Packet) {
        let now = self.now;
        let (one, other) = match from {
            Who::Client => (&mut self.client, &mut self.server),
            Who::Server => (&mut self.server, &mut self.client),
        };
        let Some(line) = line else { return };
        if !other.is_cut {
            other.packets.push_back((now, line, packet));
            return;
        }
        for side in [one, other] {
            side.is_sound &= side.line != Some(line);
        }
    }

    fn key(&self) -> String {
        let now = Duration::from_millis(self.now.into());
        let mut key = format!("{} {} ", self.faults, self.messages);
        let sides = [(&self.client, &self.server), (&self.server, &self.client)];
        for (side, peer) in sides {
            key.push_str(&canonical(&side.heartbeat, now, false));
            let silence = side.silence(self.now);
            write!(key, " {} {} {silence}", side.is_sound, side.is_cut).unwrap();
            for &(since, line, packet) in &side.packets {
                let lines = [self.client.line, self.server.line].map(|at| at == Some(line));
                let is_awaited = |asker: &Side, id| asker.heartbeat.awaited_ping() == Some(id);
                let name = match packet {
                    Packet::Pong(id) if is_awaited(side, id) => "Answer",
                    Packet::Pong(id) if side.is_answer(id) => "Earlier answer",
                    Packet::Pong(_) => "Pong",
                    Packet::Ping(id) if is_awaited(peer, id) => "Question",
                    Packet::Ping(id) if peer.is_answer(id) => "Earlier question",
                    Packet::Ping(_) => "Ping",
                    Packet::Dial => "Dial",
                    Packet::Accept => "Accept",
                    Packet::Message => "Message",
                    Packet::Close => "Close",
                };
                write!(key, " {name} {} {lines:?}", self.now - since).unwrap();
            }
            key.push('|');
        }
        let is_one = self.client.line == self.server.line;
        write!(key, "{is_one} {}", self.client.line.is_some()).unwrap();
        key
    }

    fn is_well(&self) -> bool {
        let (client, server) = (&self.client, &self.server);
        client.is_open() && server.is_open() && client.line == server.line
    }

    /// How long it takes until both are open for good, if from now on all packets
    /// arrive, as soon as they can or as late as they may.
    fn heals(mut self, late_packets: bool) -> Result<Millis, String> {
        const PATIENCE: Millis = 60;
        (self.client.is_cut, self.server.is_cut) = (false, false);
        (self.faults, self.messages) = (0, 0);
        let start = self.now;
        let mut ill = start;
        while self.now < start + PATIENCE {
            let moves = self.moves();
            let is_arrival = |what: &&Move| matches!(what, Move::Arrival(_));
            let is_time = |what: &&Move| matches!(what, Move::TimeGoesBy);
            let arrival = moves.iter().find(is_arrival);
            let tick = moves
                .iter()
                .find(|what| !is_arrival(what) && !is_time(what));
            let time = moves.iter().find(is_time);
            let next = if late_packets {
                tick.or(time).or(arrival)
            } else {
                arrival.or(tick).or(time)
            };
            self.make(*next.unwrap())?;
            if !self.is_well() {
                ill = self.now;
            }
        }
        if ill + 20 > self.now {
            return Err(format!("after {PATIENCE} ms it is not well"));
        }
        Ok(ill - start)
    }
}

struct Found {
    states: usize,
    steps: usize,
    /// The longest time until both are open again.
    slowest: Millis,
}

/// All that the pair can come to.
fn search(rules: Rules) -> Result<Found, String> {
    let mut seen = HashSet::new();
    let mut ways: Vec<(usize, Move)> = vec![(0, Move::Start)];
    let mut frontier = VecDeque::from([(0, World::new(rules))]);
    let (mut steps, mut slowest) = (0, 0);
    while let Some((state, world)) = frontier.pop_front() {
        for what in world.moves() {
            let trouble = |text| format!("{text}, after {:?}", way(&ways, state, what));
            let mut next = world.clone();
            next.make(what).map_err(trouble)?;
            steps += 1;
            if !seen.insert(next.key()) {
                continue;
            }
            for late_packets in [false, true] {
                let took = next.clone().heals(late_packets);
                slowest = slowest.max(took.map_err(|text| trouble(format!("{text}, healed")))?);
            }
            ways.push((state, what));
            frontier.push_back((ways.len() - 1, next));
        }
    }
    Ok(Found {
        states: ways.len(),
        steps,
        slowest,
    })
}

fn exhaust(name: &str, rules: Rules) {
    let found = search(rules).unwrap_or_else(|text| panic!("{name}: {text}"));
    let Found {
        states,
        steps,
        slowest,
    } = found;
    println!("{name}: {states} states, {steps} steps; healed within {slowest} ms");
    assert!(states > 1000, "{name}: {states} states");
}

fn way(ways: &[(usize, Move)], mut state: usize, last: Move) -> Vec<Move> {
    let mut way = vec![last];
    while state != 0 {
        way.push(ways[state].1);
        state = ways[state].0;
    }
    way.reverse();
    way
}

fn slower() -> ConfigBuilder {
    settings().ping_interval(Duration::from_millis(7))
}

#[test]
fn both_in_step() {
    exhaust("both in step", Rules::of(settings(), settings()));
}

#[test]
fn the_server_is_slower() {
    exhaust("the server is slower", Rules::of(settings(), slower()));
}

#[test]
fn two_missed_pings() {
    let missed = settings().max_missed(2);
    exhaust("two missed pings", Rules::of(missed, slower()));
}

#[test]
#[ignore = "long; .ci/run does it"]
fn the_applications_talk() {
    let mut rules = Rules::of(settings(), slower());
    rules.messages = 2;
    exhaust("the applications talk", rules);
}

#[test]
fn the_client_pings_whatever_comes() {
    let millis = Duration::from_millis;
    let steady = settings()
        .ping_interval(millis(2))
        .pong_timeout(millis(5))
        .always_ping(true);
    let mut rules = Rules::of(steady, slower());
    rules.faults = 1;
    exhaust("always pings", rules);
}

#[test]
fn only_answers_are_life() {
    let strict = settings().strict_pongs(true);
    exhaust("only answers are life", Rules::of(strict, slower()));
}

#[test]
#[ignore = "long; .ci/run does it"]
fn only_answers_are_life_and_the_applications_talk() {
    let mut rules = Rules::of(settings().strict_pongs(true), slower());
    rules.messages = 1;
    exhaust("only answers are life, with messages", rules);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn only_answers_are_life_and_pings_go_on() {
    let millis = Duration::from_millis;
    let strict = settings()
        .ping_interval(millis(2))
        .pong_timeout(millis(5))
        .always_ping(true)
        .strict_pongs(true);
    exhaust("always pings, strictly", Rules::of(strict, slower()));
}

#[test]
#[ignore = "long; .ci/run does it"]
fn the_client_asks_soon_after_each_message() {
    let anxious = settings().confirm_within(Some(Duration::from_millis(1)));
    let mut rules = Rules::of(anxious, slower());
    (rules.faults, rules.messages) = (1, 2);
    exhaust("asks soon", rules);
}

#[test]
fn late_ticks() {
    let mut rules = Rules::of(settings(), slower());
    rules.lateness = 1;
    exhaust("ticks are late by 1 ms", rules);
}

#[test]
#[ignore = "long; .ci/run does it"]
fn ticks_that_are_later_than_tolerated() {
    let mut rules = Rules::of(settings(), slower());
    rules.lateness = 2;
    exhaust("ticks are late by 2 ms", rules);
}

#[test]
fn four_faults() {
    let mut rules = Rules::of(settings(), slower());
    rules.faults = 4;
    exhaust("four faults", rules);
}

#[test]
fn a_client_without_patience_is_found_out() {
    let hasty = settings().pong_timeout(Duration::from_millis(1));
    let text = search(Rules::of(hasty, settings())).err().unwrap();
    assert!(text.contains("convicts a healthy peer"), "{text}");
}

#[test]
fn a_client_that_does_not_come_back_is_found_out() {
    let text = search(Rules::of(settings().reconnect(false), settings()))
        .err()
        .unwrap();
    assert!(text.contains("it is not well, healed"), "{text}");
}

#[test]
fn ticks_that_are_later_than_promised_are_found_out() {
    let mut world = World::new(Rules::of(settings(), settings()));
    world.make(Move::Start).unwrap();
    world.make(Move::Arrival(Who::Server)).unwrap();
    let late = (0..9).find_map(|_| world.make(Move::TimeGoesBy).err());
    assert!(late.unwrap().contains("the bound is 7 ms"));
}
