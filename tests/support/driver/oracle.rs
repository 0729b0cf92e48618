//! A judge that sees what goes over the transport, what the application says and what
//! it is told, and keeps facts of its own. The first thing that is wrong is kept.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keepalive::driver::{Cause, Counts, Down, Lost, Notice};
use keepalive::{CloseCode, CloseReason, Config, Epoch, PingId, State};

use super::net::{Fault, Item, LONGEST, Link, Pings, Wire};

pub type Told = Notice<u64, Wire, Fault, Duration>;

/// Where a message of the application's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the application's backlog, or with the driver, ahead of that.
    Line,
    /// Accepted for this connection.
    Accepted(usize),
    Handed(usize),
    Confirmed,
    InDoubt,
    /// Given back.
    Back,
}

/// What a driver shows.
#[derive(Clone, Debug)]
pub struct Views {
    pub state: State,
    pub counts: Counts,
    pub in_doubt: u64,
    pub awaited: Option<PingId>,
}

/// What `run` said, besides what it told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Told,
    Again,
    Idle(Option<Duration>),
    Over,
}

#[derive(Clone, Debug)]
struct Ping {
    id: PingId,
    asked: Duration,
    order: u64,
    /// So many messages were handed over before it.
    before: usize,
    is_written: bool,
    left: Option<Duration>,
}

/// What there was when the driver ended a connection.
#[derive(Clone, Debug)]
struct Dropped {
    at: Duration,
    farewell: Option<Wire>,
    unread: Vec<(Duration, Item)>,
    /// The last read found nothing, as of then.
    as_of: Option<Duration>,
    /// A message waits for the application.
    has_text: bool,
}

#[derive(Clone, Debug)]
struct Conn {
    number: usize,
    opened: Duration,
    deaf: Option<Duration>,
    configs: Vec<Config>,
    /// Whether the network changed since it opened.
    news: bool,
    is_told: bool,
    is_dealt: bool,
    awaits_login: bool,
    counts: bool,
    accepted: VecDeque<u64>,
    handed: Vec<u64>,
    /// Those of them that came from the backlog.
    from_line: BTreeSet<usize>,
    /// So many of them are confirmed: where it is known, and at most.
    confirmed: usize,
    at_most: usize,
    is_fuzzy: bool,
    /// When something was looked for.
    looks: Vec<Duration>,
    pings: Vec<Ping>,
    answered: usize,
    unleft: Option<PingId>,
    owed_ping: Option<PingId>,
    awaited: Option<PingId>,
    cancelled: Option<PingId>,
    owed_answer: Option<u64>,
    has_last_ping: bool,
    last_pong: Option<Duration>,
    goodbye: Option<Wire>,
    is_finished: bool,
    stops: u32,
    /// When the close handshake is over, whatever the peer does.
    closes_by: Option<Duration>,
    has_reconnected: bool,
    given_up: Option<Option<CloseCode>>,
    life: Duration,
    life_order: u64,
    has_lived: bool,
    message: Duration,
    half: bool,
    drained: Duration,
    waits_since: Option<Duration>,
    stalled: Duration,
    write_error: Option<Duration>,
    close: Option<(Option<CloseCode>, String)>,
    end: Option<Item>,
    dropped: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DialLoss {
    None,
    Perhaps,
    Sure,
}

#[derive(Debug)]
pub struct Oracle {
    pub fault: Option<String>,
    pub log: Vec<String>,
    pub pings: Pings,
    pub keeps: Option<usize>,
    pub stall_timeout: Option<Duration>,
    pub is_accepted: bool,
    pub goodbye: Option<(CloseCode, String)>,
    pub config: Config,
    conns: Vec<Conn>,
    is_open: bool,
    /// What is to be told of connections: openings, and losses.
    unheard: VecDeque<Expected>,
    texts: VecDeque<(usize, u64)>,
    line: VecDeque<u64>,
    /// What of it was dropped with the loss that is to be told.
    dropped_line: Vec<u64>,
    places: BTreeMap<u64, Place>,
    sizes: BTreeMap<u64, usize>,
    read_by_peers: BTreeSet<(usize, u64)>,
    pongs: Vec<(PingId, Duration)>,
    order: u64,
    as_of: Option<Duration>,
    dial_loss: DialLoss,
    dial_asked: bool,
    /// The network changed, and the driver may not have looked yet.
    has_news: bool,
    has_slept: bool,
    dial_timeout: Duration,
    /// What is asked for begins then, although it is carried out later.
    reconnects: Option<(Duration, Duration)>,
    dial_began: Duration,
    /// The dial that is under way has ended by itself.
    dial_ended: bool,
    attempt: Option<u32>,
    may_reset: bool,
    was_lost: bool,
    last_life: Option<Duration>,
    last_opened: Option<Duration>,
    is_over: bool,
    /// It was told to stop, and did not say yet that it has.
    is_stopping: bool,
    early: Early,
    handed_over: u64,
    machine_pings: u64,
    looked: Duration,
}

/// What an accepted socket was told before it was first read.
#[derive(Clone, Copy, Debug, Default)]
struct Early {
    stops: u32,
    reconnects: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    Opened(usize),
    Down(Vec<usize>),
}

impl Oracle {
    pub fn new(config: Config, pings: Pings) -> Self {
        Self {
            fault: None,
            log: Vec::new(),
            pings,
            keeps: None,
            stall_timeout: None,
            is_accepted: false,
            goodbye: None,
            config,
            conns: Vec::new(),
            is_open: false,
            unheard: VecDeque::new(),
            texts: VecDeque::new(),
            line: VecDeque::new(),
            dropped_line: Vec::new(),
            places: BTreeMap::new(),
            sizes: BTreeMap::new(),
            read_by_peers: BTreeSet::new(),
            pongs: Vec::new(),
            order: 0,
            as_of: None,
            dial_loss: DialLoss::None,
            dial_asked: false,
            has_news: false,
            has_slept: false,
            dial_timeout: config.connect_timeout(),
            reconnects: None,
            dial_began: Duration::ZERO,
            dial_ended: false,
            attempt: None,
            may_reset: true,
            was_lost: false,
            last_life: None,
            last_opened: None,
            is_over: false,
            is_stopping: false,
            early: Early::default(),
            handed_over: 0,
            machine_pings: 0,
            looked: Duration::ZERO,
        }
    }

    pub fn accuse(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.log.push(format!("FAULT {what}"));
        self.fault.get_or_insert(what);
    }

    fn demand(&mut self, holds: bool, what: &str) {
        if !holds {
            self.accuse(what);
        }
    }

    fn note(&mut self, now: Duration, what: &str) {
        self.log.push(format!("{now:?} {what}"));
    }

    fn conn(&mut self) -> Option<&mut Conn> {
        if self.is_open {
            self.conns.last_mut()
        } else {
            None
        }
    }

    // What the application says.

    pub fn has_sent(&mut self, id: u64, size: usize) {
        self.sizes.insert(id, size);
        let number = self.conns.len().saturating_sub(1);
        self.places.insert(id, Place::Accepted(number));
        match self.conn() {
            Some(conn) if conn.is_told && !conn.has_stopped() => conn.accepted.push_back(id),
            _ => self.accuse("a send was taken for no connection that was heard of"),
        }
    }

    pub fn has_queued(&mut self, id: u64, size: usize) {
        self.sizes.insert(id, size);
        self.places.insert(id, Place::Line);
        self.line.push_back(id);
    }

    pub fn has_requeued(&mut self, ids: &[u64]) {
        for &id in ids.iter().rev() {
            self.places.insert(id, Place::Line);
            self.line.push_front(id);
        }
    }

    pub fn will_stop(&mut self, goodbye: Option<(CloseCode, String)>, state: State, now: Duration) {
        self.dial_asked = true;
        self.is_stopping |= !self.is_over;
        if self.is_accepted && state == State::Idle {
            self.early.stops += 1;
            self.goodbye = goodbye;
            return;
        }
        if !matches!(state, State::Open | State::Closing) {
            return;
        }
        let is_first = self.conn().is_some_and(|conn| !conn.has_stopped());
        if is_first {
            self.goodbye = goodbye;
        }
        let due = now + self.config.close_timeout();
        if let Some(conn) = self.conn() {
            conn.stops += 1;
            conn.closes_by.get_or_insert(due);
        }
    }

    /// Whether it is to. What was told to stop is not, until it said that it has.
    pub fn will_reconnect(&mut self, state: State, now: Duration) -> bool {
        if self.is_accepted && state == State::Idle {
            self.early.reconnects = true;
            return true;
        }
        if self.is_stopping || (self.is_accepted && state != State::Open) {
            return false;
        }
        let timeout = self.config.connect_timeout();
        self.reconnects.get_or_insert((now, timeout));
        self.dial_asked = true;
        // What began anew counts from 0.
        self.may_reset |= state == State::Stopped;
        self.is_over = false;
        if let Some(conn) = self.conn() {
            conn.has_reconnected = true;
        }
        true
    }

    /// The driver finds that when it next ticks.
    pub fn sleeps(&mut self) {
        self.has_slept = true;
    }

    pub fn network_changes(&mut self) {
        self.has_news = true;
    }

    pub fn is_healthy(&mut self) {
        if let Some(conn) = self.conn() {
            conn.awaits_login = false;
            conn.has_lived = true;
        }
    }

    pub fn gives_up(&mut self, code: Option<CloseCode>) {
        if let Some(conn) = self.conn() {
            conn.given_up = Some(code);
        }
    }

    pub fn reconfigures(&mut self, config: Config) {
        self.config = config;
        // Where it is off, the watch ends now.
        if let Some(conn) = self.conn() {
            conn.configs.push(config);
            conn.awaits_login &= config.healthy_within().is_some();
            if config.listen_only() {
                conn.owed_ping = None;
                // One that waits is not sent any more.
                conn.pings.retain(|ping| ping.is_written);
                conn.cancelled = conn.awaited;
            }
        }
    }

    // What the driver does to the transport.

    pub fn dials(&mut self, attempt: u32, link: Option<&Link>, now: Duration) {
        self.note(now, &format!("dial {attempt}"));
        self.demand(
            link.is_none(),
            "a dial while the last one, or a connection, lives",
        );
        self.demand(!self.is_over, "a dial after the end");
        self.demand(!self.is_stopping, "a dial after a stop");
        if let Some(last) = self.attempt.filter(|_| !self.may_reset) {
            let least = last + u32::from(self.was_lost);
            self.demand(attempt >= least, "the attempts began anew without a reason");
        }
        self.attempt = Some(attempt);
        (self.may_reset, self.was_lost) = (false, false);
        (self.dial_asked, self.dial_ended) = (false, false);
        let began = (now, self.config.connect_timeout());
        let asked = self.reconnects.unwrap_or(began);
        // It may have been asked for before the settings changed, and not there.
        self.dial_began = began.0.min(asked.0);
        self.dial_timeout = began.1.min(asked.1);
    }

    pub fn finishes(&mut self, now: Duration) {
        self.note(now, "finish");
        let is_right = self.conn().is_some_and(|conn| {
            conn.is_finished = true;
            let is_said = conn.goodbye.is_some() || conn.close.is_some();
            conn.has_stopped() && is_said && conn.unleft.is_none()
        });
        self.demand(is_right, "the sending side was closed before the goodbye");
    }

    pub fn drops(&mut self, farewell: Option<&Wire>, link: Option<&Link>, now: Duration) {
        self.note(now, &format!("drop {farewell:?}"));
        let Some(link) = link else { return };
        let (as_of, has_text) = (self.as_of, !self.texts.is_empty());
        let Some(conn) = self.conn() else {
            if self.dial_ended {
                return;
            }
            if self.dial_asked || self.has_slept {
                if self.dial_loss == DialLoss::None {
                    self.dial_loss = DialLoss::Perhaps;
                }
                return;
            }
            // Only a timeout is left.
            self.dial_loss = DialLoss::Sure;
            self.was_lost = true;
            let due = self.dial_began + self.dial_timeout;
            let unread = link.unread(due);
            self.demand(now >= due, "a dial timed out too early");
            self.demand(
                as_of.is_some_and(|as_of| as_of >= due) && unread.is_empty(),
                "a dial timed out while its end was unread",
            );
            return;
        };
        conn.dropped = Some(Dropped {
            at: now,
            farewell: farewell.cloned(),
            unread: link.unread(now),
            as_of,
            has_text,
        });
        let number = conn.number;
        let lived = conn.has_lived;
        let asked = conn.has_reconnected || conn.has_stopped();
        self.is_open = false;
        self.may_reset |= lived;
        self.was_lost |= !asked;
        self.expect_down(number);
    }

    fn expect_down(&mut self, number: usize) {
        let opening = self
            .unheard
            .iter()
            .position(|told| *told == Expected::Opened(number));
        if let Some(at) = opening {
            let is_down = |told: &Expected| matches!(told, Expected::Down(_));
            let earlier = self.unheard.iter().take(at).rposition(is_down);
            let has_opened = self.unheard.iter().take(at);
            let has_opened = has_opened.clone().any(|told| !is_down(told));
            if let (true, Some(earlier)) = (has_opened, earlier) {
                self.unheard.remove(at);
                if let Some(Expected::Down(mut all)) = self.unheard.remove(earlier) {
                    all.push(number);
                    self.unheard.push_back(Expected::Down(all));
                }
                return;
            }
        }
        self.unheard.push_back(Expected::Down(vec![number]));
    }

    pub fn asks_of_open(&mut self, link: Option<&Link>, what: &str) {
        if link.is_none_or(|link| link.opened.is_none()) {
            self.accuse(format!("{what} without a connection"));
        }
    }

    pub fn reads(&mut self, item: &Item, link: &Link, now: Duration) {
        self.note(now, &format!("in {item:?}"));
        self.as_of = None;
        self.order += 1;
        let order = self.order;
        if *item == Item::Opened {
            return self.opens(link.peer.counts, now);
        }
        // A server's socket was open before anybody read from it.
        if self.is_accepted && self.conns.is_empty() {
            self.opens(link.peer.counts, now);
        }
        let untold = self.texts.len();
        let answers = self.pings != Pings::Forbidden;
        let Some(conn) = self.conn() else {
            if !matches!(item, Item::Bytes(_) | Item::Message(_)) {
                (self.dial_loss, self.dial_ended) = (DialLoss::Sure, true);
                self.was_lost = true;
            }
            return;
        };
        conn.looks.push(now);
        let counts = conn.counts;
        let mut is_life = true;
        match item {
            Item::Opened => {}
            Item::Bytes(_) => {
                conn.half |= counts;
                is_life = false;
            }
            Item::Message(wire) => match wire {
                Wire::Text { .. } => conn.message = now,
                Wire::Pong(id) | Wire::AppPong { to: id, .. } => {
                    conn.hears_pong(*id, &link.answered, now);
                }
                Wire::Asks(number) => conn.owed_answer = answers.then_some(*number),
                Wire::Close(code, words) | Wire::AppClose(code, words) => {
                    is_life = false;
                    conn.close.get_or_insert((*code, words.clone()));
                }
                _ => {}
            },
            end => {
                is_life = false;
                conn.end = Some(end.clone());
            }
        }
        if !matches!(item, Item::Bytes(_)) {
            conn.half = false;
        }
        if is_life && !conn.has_stopped() {
            (conn.life, conn.life_order, conn.has_lived) = (now, order, true);
            self.last_life = Some(now);
        }
        let number = self.conns.len().saturating_sub(1);
        self.demand(
            untold == 0,
            "read on while a message waits for the application",
        );
        match item {
            Item::Message(Wire::Text { id, .. }) => self.texts.push_back((number, *id)),
            Item::Message(Wire::Pong(id) | Wire::AppPong { to: id, .. }) => {
                self.pongs.push((*id, now));
            }
            _ => {}
        }
    }

    pub fn reads_nothing(&mut self, as_of: Duration, now: Duration) {
        self.as_of = Some(as_of);
        self.order += 1;
        let order = self.order;
        let has_news = core::mem::take(&mut self.has_news);
        self.dial_asked |= has_news;
        if let Some(conn) = self.conn() {
            conn.looks.push(now);
            conn.news |= has_news;
            if core::mem::take(&mut conn.half) && !conn.has_stopped() {
                (conn.life, conn.life_order, conn.has_lived) = (now, order, true);
                self.last_life = Some(now);
            }
        }
    }

    pub fn opens(&mut self, counts: bool, now: Duration) {
        let number = self.conns.len();
        let deaf = self.last_life.or(self.last_opened).map(|since| now - since);
        self.last_opened = Some(now);
        let early = core::mem::take(&mut self.early);
        self.order += 1;
        self.conns.push(Conn {
            number,
            opened: now,
            deaf,
            configs: vec![self.config],
            news: false,
            is_told: false,
            is_dealt: false,
            awaits_login: self.config.healthy_within().is_some(),
            counts,
            accepted: VecDeque::new(),
            handed: Vec::new(),
            from_line: BTreeSet::new(),
            confirmed: 0,
            at_most: 0,
            is_fuzzy: self.pings == Pings::Nameless,
            looks: Vec::new(),
            pings: Vec::new(),
            answered: 0,
            unleft: None,
            owed_ping: None,
            awaited: None,
            cancelled: None,
            owed_answer: None,
            has_last_ping: false,
            last_pong: None,
            goodbye: None,
            is_finished: false,
            stops: early.stops,
            closes_by: (early.stops > 0).then(|| now + self.config.close_timeout()),
            has_reconnected: early.reconnects && early.stops == 0,
            given_up: None,
            life: now,
            life_order: self.order,
            has_lived: false,
            message: now,
            half: false,
            drained: now,
            waits_since: None,
            stalled: Duration::ZERO,
            write_error: None,
            close: None,
            end: None,
            dropped: None,
        });
        self.is_open = true;
        self.unheard.push_back(Expected::Opened(number));
    }

    pub fn write_failed(&mut self, now: Duration) {
        self.note(now, "a write fails");
        if let Some(conn) = self.conn() {
            conn.write_error.get_or_insert(now);
        }
    }

    pub fn drained(&mut self, now: Duration) {
        if let Some(conn) = self.conn().filter(|conn| conn.counts) {
            conn.drained = now;
            conn.stalled = Duration::ZERO;
        }
    }

    pub fn flushed(&mut self, is_done: bool, now: Duration) {
        let Some(conn) = self.conn() else { return };
        if !is_done {
            return;
        }
        (conn.waits_since, conn.stalled) = (None, Duration::ZERO);
        if let Some(id) = conn.unleft.take() {
            let ping = conn.pings.iter_mut().find(|ping| ping.id == id);
            if let Some(ping) = ping {
                ping.left = Some(now);
            }
        }
    }

    pub fn takes_backlog(&mut self, next: Option<&Wire>, _: Duration) {
        let is_right = self.conn().is_some_and(|conn| conn.takes_backlog());
        self.demand(
            is_right,
            "the backlog was asked before the application had dealt with the opening",
        );
        if let Some(Wire::Text { id, .. }) = next {
            let place = self.places.get(id).copied();
            self.demand(place == Some(Place::Line), "not in line");
        }
    }

    pub fn was_refused(&mut self, now: Duration) {
        if let Some(conn) = self.conn() {
            if !conn.accepted.is_empty() {
                conn.waits_since.get_or_insert(now);
            }
        }
    }

    pub fn drops_backlog(&mut self) {
        self.dropped_line = self.line.drain(..).collect();
    }

    pub fn peer_read(&mut self, _: usize, id: u64) {
        let number = self.conns.len().saturating_sub(1);
        self.read_by_peers.insert((number, id));
    }

    pub fn writes(&mut self, wire: &Wire, was_ready: bool, is_finished: bool, now: Duration) {
        self.note(now, &format!("out {wire:?}"));
        self.order += 1;
        let order = self.order;
        self.demand(was_ready, "a write where the transport was not ready");
        let (listens, is_client) = (self.config.listen_only(), !self.is_accepted);
        let said = self.goodbye.clone();
        let place = match wire {
            Wire::Text { id, .. } => self.places.get(id).copied(),
            _ => None,
        };
        let first = self.line.front().copied();
        let line = self.line.len();
        let (keeps, sizes) = (self.keeps, self.sizes.clone());
        let mut wrong = Vec::new();
        let Some(conn) = self.conn() else { return };
        let is_limited = keeps.is_some() && conn.confirmed < conn.handed.len();
        let mut demand = |holds: bool, what: &'static str| {
            if !holds {
                wrong.push(what);
            }
        };
        demand(
            conn.unleft.is_none(),
            "something overtook the flush of a ping",
        );
        demand(
            conn.goodbye.is_none() && !is_finished,
            "a write after the goodbye",
        );
        demand(conn.stops < 2, "a write after a second stop");
        demand(conn.close.is_none(), "a write after the peer's goodbye");
        conn.waits_since.get_or_insert(now);
        if !conn.counts {
            conn.stalled = Duration::ZERO;
            conn.drained = now;
        }
        match wire {
            Wire::Ping(id) | Wire::AppPing(id) => {
                demand(
                    !listens && !conn.awaits_login,
                    "a ping that must not be sent",
                );
                conn.unleft = Some(*id);
                if id.sequence() == 0 {
                    demand(conn.has_stopped(), "a last ping without a stop");
                    demand(
                        conn.accepted.is_empty(),
                        "the last ping overtook what was sent",
                    );
                    let may_wait = line == 0 || !conn.takes_backlog() || is_limited;
                    demand(may_wait, "the last ping overtook the backlog");
                    conn.has_last_ping = true;
                }
                conn.owed_ping = None;
                conn.asks(*id, now, order);
                let before = conn.handed.len();
                if let Some(ping) = conn.pings.iter_mut().find(|ping| ping.id == *id) {
                    (ping.before, ping.is_written, ping.order) = (before, true, order);
                }
                let outstanding = conn.pings.len() - conn.answered;
                conn.is_fuzzy |= outstanding > 32;
            }
            Wire::Answer(number) => {
                demand(conn.owed_ping.is_none(), "an answer overtook the ping");
                let is_owed = conn.owed_answer.take() == Some(*number);
                demand(is_owed, "an answer that is not owed");
            }
            Wire::Text { id, .. } => {
                demand(conn.owed_ping.is_none(), "a message overtook the ping");
                demand(conn.owed_answer.is_none(), "a message overtook the answer");
                demand(!conn.has_last_ping, "a message after the last ping");
                match place {
                    Some(Place::Accepted(number)) if number == conn.number => {
                        let is_first = conn.accepted.pop_front() == Some(*id);
                        demand(is_first, "what was sent is out of order");
                    }
                    Some(Place::Line) => {
                        demand(
                            conn.accepted.is_empty(),
                            "the backlog overtook what was sent",
                        );
                        demand(conn.takes_backlog(), "the backlog went too early");
                        demand(first == Some(*id), "the backlog is out of order");
                        if let Some(limit) = keeps {
                            let kept = conn.kept_bytes(&sizes);
                            let size = sizes.get(id).copied().unwrap_or(0);
                            demand(
                                conn.is_fuzzy || kept == 0 || kept + size <= limit,
                                "more than is kept went out",
                            );
                        }
                        conn.from_line.insert(conn.handed.len());
                    }
                    _ => demand(false, "a message that is not to be sent"),
                }
                conn.handed.push(*id);
            }
            Wire::Close(code, words) => {
                demand(conn.has_stopped(), "a goodbye without a stop");
                demand(conn.owed_ping.is_none(), "the goodbye overtook the ping");
                demand(
                    conn.owed_answer.is_none(),
                    "the goodbye overtook the answer",
                );
                demand(
                    conn.accepted.is_empty(),
                    "the goodbye overtook what was sent",
                );
                let may_wait = line == 0 || !conn.takes_backlog() || conn.has_last_ping;
                demand(may_wait, "the goodbye overtook the backlog");
                let may_ping = !listens && !conn.awaits_login;
                let in_doubt = conn.handed.len() > conn.confirmed && !conn.is_fuzzy;
                demand(
                    !in_doubt || !may_ping || conn.has_last_ping,
                    "the goodbye without a last ping",
                );
                let usual = if is_client { 1000 } else { 1001 };
                let (right, right_words) = said.unwrap_or((CloseCode(usual), String::new()));
                let is_right = *code == Some(right) && *words == right_words;
                demand(is_right, "the wrong goodbye");
                conn.goodbye = Some(wire.clone());
            }
            _ => demand(false, "what the driver never sends"),
        }
        if let Wire::Text { id, .. } = wire {
            let number = self.conns.len() - 1;
            self.places.insert(*id, Place::Handed(number));
            self.handed_over += 1;
            self.line.retain(|other| other != id);
        }
        if wire.ping_id().is_some_and(|id| id.sequence() != 0) {
            self.machine_pings += 1;
        }
        for what in wrong {
            self.accuse(what);
        }
    }

    // What is told.

    /// Before `run`: to ask for the next notice is to have dealt with those before.
    pub fn is_asked(&mut self) {
        if let Some(conn) = self.conn() {
            conn.is_dealt |= conn.is_told;
        }
    }

    pub fn is_told(&mut self, told: &Told, now: Duration) {
        self.note(now, &format!("told {told:?}"));
        self.demand(!self.is_over, "something was told after the end");
        match told {
            Notice::Connecting { attempt } => {
                let is_right = self.is_open || self.attempt == Some(*attempt) || self.dial_ended;
                self.demand(is_right, "a dial that does not begin was told");
            }
            Notice::Opened { epoch, deaf } => self.hears_opened(*epoch, *deaf),
            Notice::Message(id) => {
                let is_next = self.texts.pop_front().is_some_and(|(_, text)| text == *id);
                self.demand(is_next, "a message was lost, doubled or made up");
            }
            Notice::Ping(id) => {
                let mut pings = self.conns.iter().flat_map(|conn| &conn.pings);
                let is_written = pings.any(|ping| ping.id == *id && ping.is_written);
                self.demand(is_written, "a ping was told that was not handed over");
            }
            Notice::Pong { id, round_trip } => self.hears_pong(*id, *round_trip),
            Notice::Down(down) => match down.lost {
                Lost::Dial => self.hears_dial(down),
                Lost::Connection => self.hears_down(down),
            },
            Notice::Rejected(rejected) => {
                let Wire::Text { id, size } = &rejected.message else {
                    return self.accuse("a foreign message was rejected");
                };
                self.demand(*size > LONGEST, "a message that can be sent was rejected");
                let is_ours = self.places.insert(*id, Place::Back) == Some(Place::Line);
                self.demand(is_ours, "what was rejected was not in line");
                self.line.retain(|other| other != id);
            }
            Notice::Stopped { unsent, .. } => {
                let ids: Vec<_> = ids(unsent);
                let line: Vec<_> = self.line.drain(..).collect();
                self.demand(
                    ids == line,
                    "what is left of the backlog was not given back",
                );
                for id in ids {
                    self.places.insert(id, Place::Back);
                }
                self.demand(
                    self.unheard.is_empty(),
                    "it ended before what came before was told",
                );
                self.demand(self.texts.is_empty(), "it ended before a message was told");
                let is_lost = self.dial_loss == DialLoss::Sure;
                self.demand(!is_lost, "it ended before the loss of a dial was told");
                self.is_over = true;
                self.is_stopping = false;
            }
            _ => {}
        }
    }

    fn hears_opened(&mut self, _: Epoch, deaf: Option<Duration>) {
        let Some(Expected::Opened(number)) = self.unheard.pop_front() else {
            return self.accuse("an opening was told out of turn");
        };
        let Some(conn) = self.conns.get_mut(number) else {
            return;
        };
        let was_told = core::mem::replace(&mut conn.is_told, true);
        let expected = conn.deaf;
        self.demand(!was_told, "an opening was told twice");
        self.demand(deaf == expected, "for how long it was deaf is wrong");
    }

    fn hears_pong(&mut self, id: PingId, round_trip: Duration) {
        let read = self.pongs.iter().rev().find(|(pong, _)| *pong == id);
        let Some(&(_, at)) = read else {
            return self.accuse("the answer to another ping was told");
        };
        let mut pings = self.conns.iter().flat_map(|conn| &conn.pings);
        let Some(ping) = pings.find(|ping| ping.id == id) else {
            return self.accuse("a pong to no ping");
        };
        let (asked, mut left) = (ping.asked, ping.left);
        // Of a row of pings only the first that leaves says so.
        if self
            .conns
            .iter()
            .any(|conn| conn.configs.iter().any(Config::always_ping))
        {
            left = None;
        }
        let is_right = match left {
            // It has a least one.
            Some(left) if left <= at => round_trip.as_micros() == (at - left).as_micros().max(1),
            _ => round_trip <= (at - asked).max(Duration::from_micros(1)),
        };
        self.demand(is_right, "a false round trip");
    }

    fn hears_dial(&mut self, down: &Down<Wire, Fault, Duration>) {
        let was = core::mem::replace(&mut self.dial_loss, DialLoss::None);
        self.demand(
            was != DialLoss::None,
            "a dial was told as lost that we ended, or twice",
        );
        let nothing = down.unsent.is_empty() && down.in_doubt == 0 && down.kept.is_empty();
        self.demand(nothing, "a dial has nothing to give back");
        let is_right = match &down.cause {
            Cause::Failed(Fault::Dial(_)) | Cause::Refused { .. } => true,
            Cause::Closed { code, .. } => code.is_none(),
            Cause::TimedOut(reason) => *reason == CloseReason::ConnectTimeout,
            _ => false,
        };
        self.demand(is_right, "a dial was lost another way");
    }

    fn hears_down(&mut self, down: &Down<Wire, Fault, Duration>) {
        let Some(Expected::Down(numbers)) = self.unheard.pop_front() else {
            return self.accuse("a loss was told out of turn");
        };
        let is_late = self
            .texts
            .iter()
            .any(|(number, _)| numbers.contains(number));
        self.demand(!is_late, "a loss was told before a message that came first");
        let mut unsent = Vec::new();
        let (mut least, mut most) = (0, 0);
        let mut kept = Vec::new();
        let mut is_fuzzy = false;
        let conns: Vec<_> = numbers
            .iter()
            .filter_map(|&at| self.conns.get(at).cloned())
            .collect();
        for conn in &conns {
            unsent.extend(conn.accepted.iter().copied());
            let handed = conn.handed.len();
            most += handed;
            least += handed - conn.at_most;
            is_fuzzy |= conn.is_fuzzy;
            if !conn.is_fuzzy {
                most -= conn.confirmed;
                self.demand(conn.confirmed <= conn.at_most, "the oracle is wrong");
                least += conn.at_most - conn.confirmed;
            }
        }
        unsent.append(&mut self.dropped_line);
        let in_doubt = usize::try_from(down.in_doubt).unwrap_or(usize::MAX);
        self.demand(in_doubt >= least, "a false confirmation");
        self.demand(in_doubt <= most, "more is in doubt than was handed over");
        self.demand(
            ids(&down.unsent) == unsent,
            "what was not sent was not given back",
        );
        for id in &unsent {
            self.places.insert(*id, Place::Back);
        }
        let mut confirmed = most.saturating_sub(in_doubt);
        for conn in &conns {
            let sure = if is_fuzzy {
                confirmed.min(conn.handed.len())
            } else {
                conn.confirmed
            };
            confirmed -= sure.min(confirmed);
            for (at, id) in conn.handed.iter().enumerate() {
                let is_confirmed = at < sure;
                let was = self.places.get(id).copied();
                self.demand(
                    was == Some(Place::Handed(conn.number)),
                    "it was handed over twice",
                );
                let was_read = self.read_by_peers.contains(&(conn.number, *id));
                self.demand(
                    !is_confirmed || was_read,
                    "confirmed, and the peer never read it",
                );
                let place = if is_confirmed {
                    Place::Confirmed
                } else {
                    Place::InDoubt
                };
                self.places.insert(*id, place);
                if !is_confirmed && self.keeps.is_some() && conn.from_line.contains(&at) {
                    kept.push(*id);
                }
            }
        }
        self.demand(ids(&down.kept) == kept, "what was kept was not given back");
        if let Some(conn) = conns.last() {
            if let Err(what) = self.is_cause_right(conn, &down.cause, conns.len() == 1) {
                self.accuse(format!("{what}: {:?}", down.cause));
            }
        }
    }

    fn is_cause_right(
        &self,
        conn: &Conn,
        cause: &Cause<Fault>,
        is_alone: bool,
    ) -> Result<(), &'static str> {
        let dropped = conn.dropped.as_ref().ok_or("told before it was dropped")?;
        let demand = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
        let farewell = dropped.farewell.as_ref();
        let said = |code: Option<u16>| match farewell {
            Some(Wire::Close(said, words)) => words.is_empty() && *said == code.map(CloseCode),
            _ => false,
        };
        if conn.has_stopped() {
            match cause {
                Cause::Stopped => {}
                Cause::TimedOut(CloseReason::CloseTimeout) => conn.has_waited_to_close(dropped)?,
                _ => return Err("it was stopped"),
            }
            let may_farewell = conn.has_reconnected;
            return demand(
                farewell.is_none() || may_farewell,
                "a farewell after a goodbye",
            );
        }
        if let Some((code, words)) = &conn.close {
            let is_right = matches!(cause, Cause::Closed { code: told, words: heard } if told == code && heard == words);
            return demand(is_right, "the peer had closed");
        }
        match cause {
            Cause::Closed { code, words } => {
                demand(farewell.is_none(), "a farewell to nobody")?;
                match &conn.end {
                    Some(Item::ClosedEnd(right)) => demand(
                        *code == Some(*right) && words == "an end with words",
                        "the wrong code",
                    ),
                    Some(Item::Plain) => {
                        demand(code.is_none(), "a code that never came")?;
                        demand(
                            conn.write_error.is_none(),
                            "a plain end before a write error",
                        )
                    }
                    _ => Err("nobody closed"),
                }
            }
            Cause::Failed(Fault::Write(_)) => {
                let at = conn.write_error.ok_or("no write failed")?;
                let is_close = |(came, item): &(Duration, Item)| {
                    let closes = matches!(item, Item::ClosedEnd(_))
                        || matches!(item, Item::Message(Wire::Close(..) | Wire::AppClose(..)));
                    closes && *came <= at
                };
                let hides = dropped.unread.iter().any(is_close);
                demand(!hides, "a write error before a close code")?;
                let is_read = conn.end.is_some() || dropped.as_of.is_some_and(|as_of| as_of >= at);
                demand(is_read, "a write error while something was unread")
            }
            Cause::Failed(Fault::Read(_) | Fault::Refusal(_)) => {
                demand(
                    conn.write_error.is_none(),
                    "a read error before a write error",
                )?;
                let has_failed = matches!(conn.end, Some(Item::Failed(_) | Item::Refused(_)));
                demand(has_failed, "no read failed")
            }
            Cause::Failed(_) => Err("another failure"),
            Cause::TimedOut(reason) => {
                if is_alone {
                    let is_right = match reason {
                        CloseReason::MessageTimeout | CloseReason::LoginTimeout => said(Some(1008)),
                        _ => farewell.is_none(),
                    };
                    demand(is_right, "the wrong farewell")?;
                }
                self.is_verdict_right(conn, *reason, dropped)
            }
            Cause::Stalled => {
                let timeout = |config: &Config| config.pong_timeout();
                let shortest = conn.configs.iter().map(timeout).min();
                let timeout = self.stall_timeout.or(shortest).unwrap_or_default();
                let since = conn.waits_since.ok_or("nothing waited")?;
                let since = since.max(conn.drained);
                demand(dropped.at >= since + timeout, "it stalled, and took bytes")
            }
            Cause::GivenUp => {
                let code = conn.given_up.ok_or("nobody gave it up")?;
                let code = code.filter(|&code| keepalive::Goodbye::new(code, "").is_ok());
                demand(
                    said(Some(code.map_or(1000, |code| code.0))),
                    "the wrong farewell",
                )
            }
            Cause::Reconnected => {
                demand(conn.has_reconnected, "nobody wanted that")?;
                demand(said(None), "the wrong farewell")
            }
            Cause::NoPing => demand(self.pings == Pings::Nobodys, "there is a ping"),
            _ => Err("another cause"),
        }
    }

    /// It is spoken where its watch has run out, and nothing that had come by then was
    /// unread.
    fn is_verdict_right(
        &self,
        conn: &Conn,
        reason: CloseReason,
        dropped: &Dropped,
    ) -> Result<(), &'static str> {
        let due = self.runs_out(conn, reason)?;
        if dropped.at < due {
            return Err("a verdict too early");
        }
        let timeouts = conn.configs.iter().map(Config::pong_timeout);
        let longest = timeouts.min().ok_or("no settings")?;
        // Of those that were held the reason is the one of the first in the table.
        let all = [
            CloseReason::PongTimeout,
            CloseReason::IdleTimeout,
            CloseReason::MessageTimeout,
            CloseReason::LoginTimeout,
        ];
        let others = all
            .iter()
            .filter_map(|&other| self.runs_out(conn, other).ok());
        let held = others.min().unwrap_or(due).min(due);
        let first = conn.looks.iter().find(|at| **at >= held);
        let is_flood = first.is_some_and(|first| dropped.at >= *first + longest);
        if dropped.as_of.is_some_and(|as_of| as_of >= due) || is_flood {
            Ok(())
        } else {
            Err("a verdict while something may be unread")
        }
    }

    /// When this watch runs out at the soonest.
    fn runs_out(&self, conn: &Conn, reason: CloseReason) -> Result<Duration, &'static str> {
        let shortest = |of: fn(&Config) -> Option<Duration>| {
            conn.configs
                .iter()
                .filter_map(of)
                .min()
                .ok_or("no such watch")
        };
        Ok(match reason {
            CloseReason::PongTimeout => {
                let mut timeout = shortest(|config| Some(config.pong_timeout()))?;
                if conn.news || self.has_slept {
                    timeout = timeout.min(Duration::from_secs(5));
                }
                let ping = conn.pings.last().ok_or("no ping was out")?;
                let always = conn.configs.iter().any(Config::always_ping);
                let strict = conn.configs.iter().any(Config::strict_pongs);
                if !strict && ping.is_written && conn.life_order > ping.order {
                    return Err("the peer lives");
                }
                let from = if always {
                    let mut row = conn.pings.iter();
                    let life = if strict {
                        conn.last_pong.unwrap_or(conn.opened).min(conn.life)
                    } else {
                        conn.life
                    };
                    let first = row.find(|ping| ping.asked >= life);
                    first.map_or(ping.asked, |first| first.asked)
                } else if let Some(left) = ping.left {
                    ping.asked.max(left)
                } else if conn.counts {
                    ping.asked.max(conn.drained)
                } else {
                    ping.asked
                };
                from + timeout
            }
            CloseReason::IdleTimeout => {
                conn.life
                    + shortest(|config| config.listen_only().then_some(config.idle_timeout()))?
            }
            CloseReason::MessageTimeout => {
                // It begins at the login where there is one.
                conn.message + shortest(Config::message_timeout)?
            }
            CloseReason::LoginTimeout => conn.opened + shortest(Config::healthy_within)?,
            _ => return Err("no verdict"),
        })
    }

    /// After `run`, with what it came to.
    pub fn has_run(&mut self, said: Said, views: &Views, link: Option<&Link>, now: Duration) {
        let is_up = link.map(|link| link.opened.is_some());
        let is_done = match views.state {
            State::Waiting | State::Stopped => is_up.is_none(),
            State::Connecting => is_up == Some(false),
            State::Open | State::Closing => is_up == Some(true),
            _ => true,
        };
        self.demand(
            is_done,
            "something was told, or it waits, before an order was carried out",
        );
        let dropped = self.conns.iter().filter(|conn| conn.dropped.is_some());
        let is_right = views.counts.handed_over == self.handed_over
            && views.counts.pings == self.machine_pings
            && views.counts.downs == dropped.count() as u64;
        self.demand(is_right, "the counts are wrong");
        self.reconnects = None;
        let gap = (now - self.looked).min(Duration::from_secs(1));
        self.looked = now;
        let timeout = self.stall_timeout.unwrap_or(self.config.pong_timeout());
        let has_text = !self.texts.is_empty();
        let listens = self.config.listen_only();
        let longest = self.config.pong_timeout();
        let has_line = self.has_line();
        let mut wrong = Vec::new();
        if let (Some(conn), Some(link)) = (self.conn(), link) {
            if conn.stops > 1 {
                wrong.push("a second stop, and it lives");
            }
            let handed = conn.handed.len() as u64;
            let exact = handed - conn.confirmed as u64;
            if views.in_doubt < handed - conn.at_most as u64 {
                wrong.push("a false confirmation");
            } else if !conn.is_fuzzy && views.in_doubt != exact {
                wrong.push("what is in doubt is counted wrong");
            }
            conn.awaited = views.awaited;
            let cancelled = conn.cancelled;
            let awaited = views.awaited.filter(|&id| cancelled != Some(id));
            if let Some(id) = awaited.filter(|_| !listens) {
                conn.asks(id, now, 0);
                let is_written = |ping: &Ping| ping.id == id && ping.is_written;
                if !conn.pings.iter().any(is_written) {
                    conn.owed_ping = Some(id);
                }
            }
            if link.waiting() > 0 && conn.write_error.is_none() {
                conn.stalled += gap;
                // A verdict that is held by what may be unread goes first.
                let held = longest + Duration::from_secs(3);
                if conn.stalled > timeout + held {
                    wrong.push("it is stuck, and nobody ends it");
                }
            }
            if matches!(said, Said::Idle(_)) && conn.can_write(link, now) {
                wrong.extend(conn.unwritten(has_line));
            }
            let silence = now.saturating_sub(conn.life.max(conn.drained));
            let config = conn.configs.last();
            if let Some(config) = config.filter(|_| !has_text && !conn.has_stopped()) {
                let most = config.max_missed() + 2;
                let bound = config.ping_interval() + config.pong_timeout() * most;
                let bound = bound.max(config.idle_timeout());
                let bound = bound + config.healthy_within().unwrap_or_default();
                if silence > bound * 2 + Duration::from_secs(60) {
                    wrong.push("a peer that says nothing is not convicted");
                }
            }
        }

        if let Said::Idle(due) = said {
            self.demand(
                due.is_none_or(|due| due > now),
                "it spins: it is due already",
            );
            let waits = views.state != State::Stopped;
            let held = has_text || !waits;
            self.demand(due.is_some() || held, "it waits for ever");
        }
        for what in wrong {
            self.accuse(what);
        }
    }

    /// It rests, and was not woken since it last ran.
    pub fn rests(&mut self, link: Option<&Link>, now: Duration) {
        let has_line = self.has_line();
        let mut wrong = None;
        if let (Some(conn), Some(link)) = (self.conn(), link) {
            if conn.can_write(link, now) {
                wrong = conn.unwritten(has_line);
            }
        }
        if let Some(what) = wrong {
            self.accuse(what);
        }
    }

    /// Whether something is in line that could go if nothing else hindered it.
    fn has_line(&self) -> bool {
        let is_sendable = |id: &u64| self.sizes.get(id).is_some_and(|size| *size <= LONGEST);
        self.keeps.is_none() && !self.line.is_empty() && self.line.iter().all(is_sendable)
    }

    /// It waits while something can be read, which was there when it looked.
    pub fn leaves_unread(&mut self, link: Option<&Link>, seen: Duration) {
        let unread = link.map(|link| link.unread(seen)).unwrap_or_default();
        let unread = unread.iter().any(|(at, _)| *at < seen);
        if unread && self.texts.is_empty() {
            self.accuse("it waits, and could read");
        }
    }

    /// It is over: where is everything?
    pub fn ends(&mut self) {
        self.demand(self.is_over, "it did not end");
        let lost: Vec<_> = self
            .places
            .iter()
            .filter(|(_, place)| !matches!(place, Place::Confirmed | Place::InDoubt | Place::Back))
            .map(|(id, place)| (*id, *place))
            .collect();
        if !lost.is_empty() {
            self.accuse(format!("lost in silence: {lost:?}"));
        }
    }

    /// Where every message is, and whether a peer has read it.
    pub fn places(&self) -> &BTreeMap<u64, Place> {
        &self.places
    }

    pub fn was_read(&self, id: u64) -> bool {
        self.read_by_peers.iter().any(|(_, read)| *read == id)
    }

    pub fn downs(&self) -> usize {
        self.conns
            .iter()
            .filter(|conn| conn.dropped.is_some())
            .count()
    }
}

impl Conn {
    fn has_stopped(&self) -> bool {
        self.stops > 0
    }

    fn takes_backlog(&self) -> bool {
        self.is_dealt && !self.awaits_login
    }

    /// Whether the goodbye was unanswered for its time, and, where the process was away,
    /// nothing that had come was unread.
    fn has_waited_to_close(&self, dropped: &Dropped) -> Result<(), &'static str> {
        let due = self.closes_by.ok_or("nobody stopped it")?;
        let late = dropped.at.checked_sub(due);
        let late = late.ok_or("a close timed out too early")?;
        let config = self.configs.last().ok_or("no settings")?;
        let tolerance = config.late_tolerance();
        let longest = tolerance.min(config.close_timeout());
        let first = self.looks.iter().find(|at| **at >= due);
        let is_flood = first.is_some_and(|first| dropped.at >= *first + longest);
        let is_read = dropped.as_of.is_some_and(|as_of| as_of >= due);
        if late <= tolerance || dropped.has_text || is_flood || is_read {
            Ok(())
        } else {
            Err("a close timed out while something may be unread")
        }
    }

    fn can_write(&self, link: &Link, now: Duration) -> bool {
        !link.was_refused
            && link.is_ready_at(now)
            && self.write_error.is_none()
            && self.unleft.is_none()
            && self.goodbye.is_none()
            && self.close.is_none()
    }

    /// What it left unwritten, if it could write.
    fn unwritten(&self, has_line: bool) -> Option<&'static str> {
        if !self.accepted.is_empty() || (has_line && self.takes_backlog()) {
            return Some("it waits, and could send");
        }
        if self.owed_ping.is_some() || self.owed_answer.is_some() {
            return Some("it waits, and could ping or answer");
        }
        if self.has_stopped() && !self.takes_backlog() {
            return Some("it waits, and could say goodbye");
        }
        None
    }

    fn kept_bytes(&self, sizes: &BTreeMap<u64, usize>) -> usize {
        let kept = self.from_line.iter().filter(|at| **at >= self.confirmed);
        let sizes = kept.filter_map(|at| sizes.get(self.handed.get(*at)?));
        sizes.sum()
    }

    fn asks(&mut self, id: PingId, now: Duration, order: u64) {
        if self.pings.iter().any(|ping| ping.id == id) {
            return;
        }
        self.pings.push(Ping {
            id,
            asked: now,
            order,
            before: self.handed.len(),
            is_written: false,
            left: None,
        });
    }

    fn hears_pong(&mut self, id: PingId, answered: &[(PingId, usize)], now: Duration) {
        self.last_pong = Some(now);
        let truth = answered.iter().find(|(ping, _)| *ping == id);
        if let Some((_, reads)) = truth {
            self.at_most = self.at_most.max(*reads);
        }
        let at = self
            .pings
            .iter()
            .position(|ping| ping.id == id && ping.is_written);
        if let Some(at) = at.filter(|&at| at >= self.answered) {
            self.answered = at + 1;
            self.confirmed = self.confirmed.max(self.pings[at].before);
        }
    }
}

fn ids(wires: &[Wire]) -> Vec<u64> {
    let id = |wire: &Wire| match wire {
        Wire::Text { id, .. } => *id,
        _ => 0,
    };
    wires.iter().map(id).collect()
}
