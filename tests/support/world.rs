//! Worlds for a heartbeat to live in, all in virtual time: [`play`] does a list of
//! steps to it, whatever they are; [`World`] drives it as an adapter would,
//! against peers that answer, talk, go mute, refuse and hang.

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.
#![allow(clippy::large_enum_variant)] // Settings are copied all the time.

use core::time::Duration;
use std::collections::BTreeMap;

use keepalive::{
    Action, CloseCode, CloseReason, Closed, Config, Epoch, Event, PingId, Refused, Retry, State,
};

use super::oracle::{Input, Trace, Watched};

/// One step: time goes by, then something happens.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub wait: Wait,
    pub what: What,
}

/// How the clock goes on.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    No,
    For(Duration),
    Back(Duration),
    ToDeadline,
    PastDeadline(Duration),
    ShortOfDeadline(Duration),
    ToTheEnd,
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    Start,
    Opened,
    Received,
    Message,
    Pong(Which),
    Sent,
    Draining,
    PingSent(Which),
    Tick,
    Closed(Option<u16>, Option<Duration>, Option<Retry>),
    Refused(u16, Option<Duration>, Option<Retry>),
    Error(Option<Retry>),
    NetworkChanged,
    Healthy,
    GiveUp(Option<u16>, Option<Duration>, Option<Retry>),
    ReconnectNow,
    Stop,
    Reconfigure(Config),
    /// The same again, as an older epoch might report it late.
    Late(usize, Late),
}

#[derive(Clone, Copy, Debug)]
pub enum Late {
    Opened,
    Received,
    Message,
    Sent,
    Error,
    Closed,
    Refused,
    Healthy,
    GiveUp,
    Tick,
}

#[derive(Clone, Copy, Debug)]
pub enum Which {
    Awaited,
    /// The ping that was sent so many pings ago.
    Earlier(usize),
    Foreign(u64),
}

/// A heartbeat, its clock, and what it did so far.
#[derive(Clone, Debug)]
pub struct Player {
    pub watched: Watched,
    pub now: Duration,
    pings: Vec<PingId>,
    epochs: Vec<Epoch>,
}

pub fn play(config: Config, seed: u64, start: Duration, steps: &[Step]) -> Player {
    let mut player = Player::new(config, seed, start);
    player.play(steps);
    player
}

/// The same inputs at the same instants again.
pub fn replay(trace: &Trace, seed: u64) -> Trace {
    let mut watched = Watched::new(trace.config, seed);
    for entry in &trace.entries {
        watched.feed(entry.input, entry.now);
    }
    watched.trace
}

impl Player {
    pub fn new(config: Config, seed: u64, start: Duration) -> Self {
        Self {
            watched: Watched::new(config, seed),
            now: start,
            pings: Vec::new(),
            epochs: vec![Epoch::default()],
        }
    }

    pub fn play(&mut self, steps: &[Step]) {
        for step in steps {
            self.now = self.wait(step.wait);
            let input = self.input(step.what);
            let actions = self.watched.feed(input, self.now);
            self.pings
                .extend(actions.iter().filter_map(|action| match action {
                    Action::SendPing(id) => Some(*id),
                    _ => None,
                }));
            let epoch = self.watched.heartbeat.epoch();
            if self.epochs.last() != Some(&epoch) {
                self.epochs.push(epoch);
            }
        }
    }

    fn wait(&self, wait: Wait) -> Duration {
        let deadline = self.watched.heartbeat.deadline().unwrap_or(self.now);
        match wait {
            Wait::No => self.now,
            Wait::For(duration) => self.now.saturating_add(duration),
            Wait::Back(duration) => self.now.saturating_sub(duration),
            Wait::ToDeadline => deadline,
            Wait::PastDeadline(by) => deadline.saturating_add(by),
            Wait::ShortOfDeadline(by) => deadline.saturating_sub(by).max(self.now),
            Wait::ToTheEnd => Duration::MAX,
        }
    }

    fn input(&self, what: What) -> Input {
        Input::Event(match what {
            What::Start => Event::Start,
            What::Opened => Event::Opened,
            What::Received => Event::Received,
            What::Message => Event::Message,
            What::Pong(which) => Event::Pong(self.ping(which)),
            What::Sent => Event::Sent,
            What::Draining => Event::Draining,
            What::PingSent(which) => Event::PingSent(self.ping(which)),
            What::Tick => Event::Tick,
            What::Closed(code, hint, retry) => Event::Closed(closed(code, hint, retry)),
            What::Refused(status, hint, retry) => Event::Refused(refused(status, hint, retry)),
            What::Error(retry) => Event::Error(retry),
            What::NetworkChanged => Event::NetworkChanged,
            What::Healthy => Event::Healthy,
            What::GiveUp(code, hint, retry) => Event::GiveUp(closed(code, hint, retry)),
            What::ReconnectNow => Event::ReconnectNow,
            What::Stop => Event::Stop,
            What::Reconfigure(config) => return Input::Reconfigure(config),
            What::Late(age, late) => {
                let at = self.epochs.len().saturating_sub(1 + age);
                let event = match late {
                    Late::Opened => Event::Opened,
                    Late::Received => Event::Received,
                    Late::Message => Event::Message,
                    Late::Sent => Event::Sent,
                    Late::Error => Event::Error(None),
                    Late::Closed => Event::Closed(Closed::default()),
                    Late::Refused => Event::Refused(Refused::with_status(503)),
                    Late::Healthy => Event::Healthy,
                    Late::GiveUp => Event::GiveUp(Closed::default()),
                    Late::Tick => Event::Tick,
                };
                return Input::From(self.epochs[at], event);
            }
        })
    }

    fn ping(&self, which: Which) -> PingId {
        let foreign = |id: u64| PingId::from_bytes(id.to_be_bytes());
        match which {
            Which::Awaited => self.watched.heartbeat.awaited_ping(),
            Which::Earlier(age) => self.pings.iter().rev().nth(age).copied(),
            Which::Foreign(id) => Some(foreign(id)),
        }
        .unwrap_or(foreign(0))
    }
}

fn closed(code: Option<u16>, hint: Option<Duration>, retry: Option<Retry>) -> Closed {
    let mut closed = Closed::from(code.map(CloseCode));
    closed.retry_after = hint;
    closed.retry = retry;
    closed
}

fn refused(status: u16, hint: Option<Duration>, retry: Option<Retry>) -> Refused {
    let mut refused = Refused::with_status(status);
    refused.retry_after = hint;
    refused.retry = retry;
    refused
}

/// How a dial ends, and what the peer is like then.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub dial: Dial,
    /// From when a ping leaves our buffer to its pong.
    pub latency: Duration,
    /// It sends something of its own that often.
    pub talks: Option<Duration>,
    /// What it sends are messages; otherwise parts of them.
    pub in_messages: bool,
    /// From then on it is silent, after the opening; the transport stays up.
    pub mute_after: Option<Duration>,
    /// Then it closes, after the opening.
    pub closes_after: Option<Duration>,
    /// Then the application has logged in, after the opening.
    pub logs_in_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub enum Dial {
    Accepted(Duration),
    Refused(Duration, u16),
    Failed(Duration),
    Hangs,
}

impl Peer {
    pub const GOOD: Self = Self {
        dial: Dial::Accepted(Duration::ZERO),
        latency: Duration::from_millis(1),
        talks: None,
        in_messages: true,
        mute_after: None,
        closes_after: None,
        logs_in_after: Some(Duration::ZERO),
    };
}

/// How pings wait in our own buffer.
#[derive(Clone, Copy, Debug)]
pub struct Uplink {
    /// From the ping until it has left.
    pub waits: Duration,
    /// The transport takes bytes that often meanwhile, if that is reported.
    pub drains: Option<Duration>,
}

/// What the driver will find when it reads, or writes.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    Opened,
    Bytes,
    Message,
    Pong(PingId),
    Refused(u16),
    Failed,
    Closed,
    LoggedIn,
    Drained,
    PingLeft(PingId),
}

/// An adapter and its peers. It reads and writes all that it can before it ticks, and
/// reports what belongs to a connection with the epoch of that connection.
#[derive(Debug)]
pub struct World {
    pub watched: Watched,
    pub now: Duration,
    /// How late each tick is, over and over.
    pub lateness: Vec<Duration>,
    /// When the process is away, and till when. It reads nothing then.
    pub away: Vec<(Duration, Duration)>,
    /// The application sends that often, while open.
    pub sends: Option<Duration>,
    /// Pings leave at once where there is none; one for each ping, over and over.
    pub uplinks: Vec<Uplink>,
    /// What the application or the network does besides, in order.
    pub plan: Vec<(Duration, Input)>,
    /// One for each dial, the last one for all further ones.
    pub peers: Vec<Peer>,
    pub dials: usize,
    /// When an open connection was ended by a verdict, and by which.
    pub convictions: Vec<(Duration, CloseReason)>,
    pub sent_pings: Vec<Duration>,
    /// The last sign of life on the connection that is open: something that came in,
    /// under `strict_pongs` a pong, or that it opened.
    pub alive: Duration,
    ticks: usize,
    opened: Duration,
    next_send: Duration,
    /// Pings leave in the order in which they are sent.
    last_left: Duration,
    order: u64,
    inbox: BTreeMap<(Duration, u64), (Epoch, Delivery)>,
}

impl World {
    pub fn new(config: Config, seed: u64, peers: Vec<Peer>) -> Self {
        Self {
            watched: Watched::new(config, seed),
            now: Duration::ZERO,
            lateness: vec![Duration::ZERO],
            away: Vec::new(),
            sends: None,
            uplinks: Vec::new(),
            plan: Vec::new(),
            peers,
            dials: 0,
            convictions: Vec::new(),
            sent_pings: Vec::new(),
            alive: Duration::ZERO,
            ticks: 0,
            opened: Duration::ZERO,
            next_send: Duration::MAX,
            last_left: Duration::ZERO,
            order: 0,
            inbox: BTreeMap::new(),
        }
    }

    /// Something that the peer of the open connection sends at this instant.
    pub fn peer_talks_at(&mut self, at: Duration) {
        self.deliver(at, Delivery::Message);
    }

    pub fn tell(&mut self, event: Event) {
        self.feed(Input::Event(event));
    }

    fn feed(&mut self, input: Input) {
        let actions = self.watched.feed(input, self.now);
        self.act(actions);
    }

    /// Until this instant, or until so many events were handled.
    pub fn run(&mut self, until: Duration, most_events: usize) {
        while self.watched.trace.entries.len() < most_events && self.goes_on(until) {}
    }

    /// Whether something happened, by this instant.
    pub fn goes_on(&mut self, until: Duration) -> bool {
        let next = [
            self.next_tick(),
            self.next_delivery(),
            self.next_send(),
            self.next_planned(),
        ];
        let Some(next) = next.into_iter().flatten().min() else {
            return false;
        };
        let now = self.awake_at(next.max(self.now));
        if now > until {
            return false;
        }
        self.now = now;
        self.read();
        if self.next_send().is_some_and(|at| at <= now) {
            self.next_send = now + self.sends.unwrap_or(Duration::MAX);
            self.tell(Event::Sent);
        }
        if self.next_planned().is_some_and(|at| at <= now) {
            let (_, input) = self.plan.remove(0);
            self.feed(input);
        }
        if self.next_tick().is_some_and(|at| at <= now) {
            self.ticks += 1;
            self.tell(Event::Tick);
        }
        true
    }

    fn next_tick(&self) -> Option<Duration> {
        let late = self.lateness[self.ticks % self.lateness.len()];
        Some(self.watched.heartbeat.deadline()?.saturating_add(late))
    }

    fn next_delivery(&self) -> Option<Duration> {
        self.inbox.first_key_value().map(|(&(at, _), _)| at)
    }

    fn next_send(&self) -> Option<Duration> {
        let is_open = self.watched.heartbeat.state() == State::Open;
        self.sends.filter(|_| is_open).map(|_| self.next_send)
    }

    fn next_planned(&self) -> Option<Duration> {
        self.plan.first().map(|&(at, _)| at)
    }

    fn awake_at(&self, at: Duration) -> Duration {
        self.away
            .iter()
            .find(|(from, till)| (*from..*till).contains(&at))
            .map_or(at, |&(_, till)| till)
    }

    fn read(&mut self) {
        while let Some(first) = self.inbox.first_entry() {
            if first.key().0 > self.now {
                return;
            }
            let (epoch, delivery) = first.remove();
            self.receive(epoch, delivery);
        }
    }

    fn receive(&mut self, epoch: Epoch, delivery: Delivery) {
        let event = match delivery {
            Delivery::Opened => Event::Opened,
            Delivery::Bytes => Event::Received,
            Delivery::Message => Event::Message,
            Delivery::Pong(id) => Event::Pong(id),
            Delivery::Refused(status) => Event::Refused(Refused::with_status(status)),
            Delivery::Failed => Event::Error(None),
            Delivery::Closed => Event::Closed(Closed::default()),
            Delivery::LoggedIn => Event::Healthy,
            Delivery::Drained => Event::Draining,
            Delivery::PingLeft(id) => Event::PingSent(id),
        };
        let is_current = epoch == self.watched.heartbeat.epoch();
        let is_strict = self.watched.heartbeat.config().strict_pongs();
        let actions = self.watched.feed(Input::From(epoch, event), self.now);
        if is_current {
            match delivery {
                Delivery::Opened => self.opens(),
                Delivery::Pong(_) => self.alive = self.now,
                Delivery::Bytes | Delivery::Message if !is_strict => self.alive = self.now,
                Delivery::PingLeft(id) => self.answers(id),
                _ => {}
            }
        }
        self.act(actions);
    }

    fn opens(&mut self) {
        let peer = self.peer();
        self.alive = self.now;
        self.opened = self.now;
        // The bytes of the connection before are gone with it.
        self.last_left = self.now;
        self.next_send = self.now + self.sends.unwrap_or_default();
        if let Some(after) = peer.logs_in_after {
            self.deliver(self.now + after, Delivery::LoggedIn);
        }
        if let Some(after) = peer.closes_after {
            self.deliver(self.now + after, Delivery::Closed);
        }
        let Some(every) = peer.talks else { return };
        let what = if peer.in_messages {
            Delivery::Message
        } else {
            Delivery::Bytes
        };
        let mut at = self.now + every;
        for _ in 0..200 {
            if !self.is_mute(at) {
                self.deliver(at, what);
            }
            at += every;
        }
    }

    fn act(&mut self, actions: Vec<Action<Duration>>) {
        for action in actions {
            match action {
                Action::Connect => {
                    self.dials += 1;
                    match self.peer().dial {
                        Dial::Accepted(after) => self.deliver(self.now + after, Delivery::Opened),
                        Dial::Refused(after, status) => {
                            self.deliver(self.now + after, Delivery::Refused(status));
                        }
                        Dial::Failed(after) => self.deliver(self.now + after, Delivery::Failed),
                        Dial::Hangs => {}
                    }
                }
                Action::SendPing(id) => self.writes(id),
                Action::Close(
                    reason @ (CloseReason::PongTimeout
                    | CloseReason::IdleTimeout
                    | CloseReason::MessageTimeout
                    | CloseReason::LoginTimeout),
                ) => self.convictions.push((self.now, reason)),
                _ => {}
            }
        }
    }

    /// A ping goes into our buffer, and out of it.
    fn writes(&mut self, id: PingId) {
        let count = self.sent_pings.len();
        self.sent_pings.push(self.now);
        if self.uplinks.is_empty() {
            return self.answers(id);
        }
        let uplink = self.uplinks[count % self.uplinks.len()];
        let left = (self.now + uplink.waits).max(self.last_left);
        self.last_left = left;
        if let Some(every) = uplink.drains {
            let mut at = self.now + every;
            for _ in 0..200 {
                if at < left {
                    self.deliver(at, Delivery::Drained);
                }
                at += every;
            }
        }
        self.deliver(left, Delivery::PingLeft(id));
    }

    fn answers(&mut self, id: PingId) {
        if !self.is_mute(self.now) {
            let latency = self.peer().latency;
            self.deliver(self.now + latency, Delivery::Pong(id));
        }
    }

    fn is_mute(&self, at: Duration) -> bool {
        self.peer()
            .mute_after
            .is_some_and(|after| at >= self.opened + after)
    }

    fn peer(&self) -> Peer {
        let last = self.peers.len() - 1;
        self.peers[self.dials.saturating_sub(1).min(last)]
    }

    fn deliver(&mut self, at: Duration, delivery: Delivery) {
        self.order += 1;
        let epoch = self.watched.heartbeat.epoch();
        self.inbox.insert((at, self.order), (epoch, delivery));
    }
}
