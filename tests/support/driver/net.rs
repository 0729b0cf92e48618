//! The wire, the peers behind it, and the transport.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use keepalive::driver::{Bytes, Codec, Dialect, End, Frame, Incoming, Order, Read, Transport};
use keepalive::{CloseCode, CloseReason, Closed, Loss, PingId, Refused, Retry, Unsendable};

use super::oracle::Oracle;

/// What is longer cannot be sent.
pub const LONGEST: usize = 100_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    Text {
        id: u64,
        size: usize,
    },
    Ping(PingId),
    Pong(PingId),
    Close(Option<CloseCode>, String),
    /// What the library answers itself.
    Control,
    /// Our ping at the application's level. Where it is not named, the peer knows
    /// which one it was, and its answer does not say it.
    AppPing(PingId),
    AppPong {
        to: PingId,
        is_named: bool,
    },
    AppClose(Option<CloseCode>, String),
    /// The peer's ping at the application's level, and what we answer.
    Asks(u64),
    Answer(u64),
}

impl Wire {
    pub fn size(&self) -> usize {
        match self {
            Self::Text { size, .. } => *size,
            Self::Close(_, words) | Self::AppClose(_, words) => 4 + words.len(),
            _ => 10,
        }
    }

    pub fn ping_id(&self) -> Option<PingId> {
        match self {
            Self::Ping(id) | Self::AppPing(id) => Some(*id),
            _ => None,
        }
    }
}

/// How the transport fails: what did, and a number of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Dial(usize),
    Refusal(usize),
    Write(usize),
    Read(usize),
}

#[derive(Clone, Copy, Debug)]
pub struct Frames {
    pub has_ping: bool,
}

impl Dialect for Frames {
    type Message = Wire;

    fn frame(&self, message: &Wire) -> Frame {
        match message {
            Wire::Pong(id) => Frame::Pong(*id),
            Wire::Close(code, words) => Frame::Close(closed(*code), words.clone()),
            Wire::Text { .. } | Wire::AppPong { .. } | Wire::AppClose(..) | Wire::Asks(_) => {
                Frame::Data
            }
            _ => Frame::Control,
        }
    }

    fn size(&self, message: &Wire) -> Result<usize, Unsendable> {
        match message {
            Wire::Text { size, .. } if *size > LONGEST => Err(Unsendable::TooLong {
                size: *size,
                limit: LONGEST,
            }),
            Wire::Text { size, .. } => Ok(*size),
            Wire::AppPing(_) | Wire::Answer(_) => Ok(message.size()),
            _ => Err(Unsendable::Control),
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Wire> {
        self.has_ping.then_some(Wire::Ping(id))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Wire> {
        Some(Wire::Close(code, words.to_owned()))
    }
}

/// Which pings the application's protocol has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pings {
    /// None of its own.
    Protocol,
    Named,
    Nameless,
    /// And the library has none either.
    Nobodys,
    /// What the application may not send; so are its answers.
    Forbidden,
}

#[derive(Clone, Copy, Debug)]
pub struct App {
    pub pings: Pings,
    pub retry: Option<Retry>,
}

impl Codec<Wire> for App {
    type Message = u64;

    fn ping(&mut self, id: PingId) -> Option<Wire> {
        match self.pings {
            Pings::Named | Pings::Nameless => Some(Wire::AppPing(id)),
            Pings::Forbidden => Some(Wire::Control),
            Pings::Protocol | Pings::Nobodys => None,
        }
    }

    fn read(&mut self, data: Wire) -> Incoming<Wire, u64> {
        match data {
            Wire::Text { id, .. } => Incoming::Message(id),
            Wire::AppPong { to, is_named: true } => Incoming::Pong(to),
            Wire::AppPong { .. } => Incoming::AnyPong,
            Wire::AppClose(code, words) => Incoming::Closed(closed(code), words),
            Wire::Asks(_) if self.pings == Pings::Forbidden => Incoming::Ping(Wire::Control),
            Wire::Asks(number) => Incoming::Ping(Wire::Answer(number)),
            _ => Incoming::Control,
        }
    }

    fn retry(&mut self, _: Loss) -> Option<Retry> {
        self.retry
    }
}

fn closed(code: Option<CloseCode>) -> Closed {
    Closed::from(code)
}

/// What becomes of a dial, and what the peer is like then. Times count from the
/// opening.
#[derive(Clone, Debug)]
pub struct Peer {
    pub dial: Dial,
    /// One way.
    pub latency: Duration,
    /// From when it reads a ping until it answers; `None`: never.
    pub answers: Option<Duration>,
    pub talks: Option<(Duration, Talk)>,
    /// Bytes a second that the peer takes; `None`: all at once.
    pub rate: Option<u64>,
    /// What the system holds.
    pub system: usize,
    /// From when on the transport takes no message.
    pub buffer: usize,
    /// From then on nothing leaves the system.
    pub stuck: Option<Duration>,
    pub ends: Option<(Duration, Ends)>,
    /// From then on it sends one message that has no end, as fast as it is read.
    pub floods: Option<Duration>,
    /// Whether bytes are counted.
    pub counts: bool,
    /// It answers a close frame.
    pub is_polite: bool,
    /// The transport says only once that it can write nothing any more.
    pub fails_once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    Opens(Duration),
    Refused(Duration, u16),
    Failed(Duration),
    Ends(Duration),
    Hangs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    Text,
    /// Bytes of a message that never ends.
    Bytes,
    Asks,
    Control,
    /// Pongs that nobody asked for.
    Pongs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Plain,
    Failed,
    /// A close frame, and the end behind it.
    Close(u16),
    /// The same at the application's level.
    AppClose(u16),
    /// As browsers say it.
    ClosedEnd(u16),
    /// It reads and sends nothing any more.
    Mute,
    /// Writes fail, and a close frame comes so much later.
    BrokenClose(u16, Duration),
    /// Writes fail, and the end comes so much later.
    Broken(Duration),
    /// Writes fail, and nothing else is heard.
    BrokenMute,
}

impl Peer {
    pub fn good() -> Self {
        Self {
            dial: Dial::Opens(Duration::from_millis(5)),
            latency: Duration::from_millis(10),
            answers: Some(Duration::ZERO),
            talks: None,
            rate: None,
            system: 4096,
            buffer: 4096,
            stuck: None,
            ends: None,
            floods: None,
            counts: true,
            is_polite: true,
            fails_once: false,
        }
    }

    pub fn that(change: impl FnOnce(&mut Self)) -> Self {
        let mut peer = Self::good();
        change(&mut peer);
        peer
    }
}

/// What there is to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Opened,
    Message(Wire),
    Bytes(u64),
    Plain,
    ClosedEnd(CloseCode),
    Refused(u16),
    Failed(Fault),
}

/// A dial, or a connection.
#[derive(Debug)]
pub struct Link {
    pub number: usize,
    pub dialled: Duration,
    pub opened: Option<Duration>,
    pub peer: Peer,
    pub inbox: BTreeMap<(Duration, u64), Item>,
    /// In the transport's own buffer, with what is left of each.
    pub buffer: VecDeque<(Wire, usize)>,
    used: u64,
    used_at: Duration,
    pub bytes: Bytes,
    /// From then on the peer neither reads nor says anything.
    silent: Option<Duration>,
    breaks: Option<Duration>,
    /// How many messages the peer has read, or will have.
    reads: usize,
    /// How many it had read before it answered a ping.
    pub answered: Vec<(PingId, usize)>,
    is_closed_by_peer: bool,
    pub is_finished: bool,
    was_ready: bool,
    has_failed: bool,
    /// It was not ready when it was asked last: it says when it is.
    pub was_refused: bool,
}

/// The transport.
#[derive(Debug)]
pub struct Net {
    pub now: Duration,
    pub link: Option<Link>,
    /// One for each dial, the last one for all further ones.
    pub peers: Vec<Peer>,
    pub dials: usize,
    /// What is read was there when the reactor last turned.
    pub lags: bool,
    pub turned: Duration,
    /// Something came at this instant.
    pub wakes: bool,
    pub queue: VecDeque<Wire>,
    /// What is left of it does not outlive a connection.
    pub drops_queue: bool,
    /// The system's clock less ours.
    pub slept: Option<Duration>,
    pub oracle: Oracle,
    serial: u64,
    next_text: u64,
}

impl Net {
    pub fn new(peers: Vec<Peer>, oracle: Oracle) -> Self {
        Self {
            now: Duration::ZERO,
            link: None,
            peers,
            dials: 0,
            lags: false,
            turned: Duration::ZERO,
            wakes: false,
            queue: VecDeque::new(),
            drops_queue: false,
            slept: None,
            oracle,
            serial: 0,
            next_text: 1_000_000,
        }
    }

    pub fn seen(&self) -> Duration {
        if self.lags { self.turned } else { self.now }
    }

    pub fn put(&mut self, at: Duration, item: Item) {
        self.serial += 1;
        let serial = self.serial;
        self.wakes |= at <= self.now;
        if let Some(link) = &mut self.link {
            // Behind a message without an end there is none.
            let is_behind = link.floods_from().is_some_and(|from| at >= from);
            if !(is_behind && matches!(item, Item::Message(_) | Item::Bytes(_))) {
                link.inbox.insert((at, serial), item);
            }
        }
    }

    pub fn dial(&mut self) {
        let number = self.dials;
        let peer = self.peers[number.min(self.peers.len() - 1)].clone();
        self.dials += 1;
        let now = self.now;
        let dial = peer.dial;
        self.link = Some(Link {
            number,
            dialled: now,
            opened: None,
            peer,
            inbox: BTreeMap::new(),
            buffer: VecDeque::new(),
            used: 0,
            used_at: now,
            bytes: Bytes::default(),
            silent: None,
            breaks: None,
            reads: 0,
            answered: Vec::new(),
            is_closed_by_peer: false,
            is_finished: false,
            was_ready: false,
            has_failed: false,
            was_refused: false,
        });
        match dial {
            Dial::Opens(after) => self.put(now + after, Item::Opened),
            Dial::Refused(after, status) => self.put(now + after, Item::Refused(status)),
            Dial::Failed(after) => self.put(now + after, Item::Failed(Fault::Dial(number))),
            Dial::Ends(after) => self.put(now + after, Item::Plain),
            Dial::Hangs => {}
        }
    }

    /// A server's socket, which finds at once what a dial would find.
    pub fn accept(&mut self) {
        self.dial();
        let Some(link) = &mut self.link else { return };
        link.inbox.clear();
        let first = match link.peer.dial {
            Dial::Opens(_) | Dial::Hangs => Item::Opened,
            Dial::Refused(_, status) => Item::Refused(status),
            Dial::Failed(_) => Item::Failed(Fault::Read(link.number)),
            Dial::Ends(_) => Item::Plain,
        };
        self.put(self.now, first);
    }

    /// What the peer will do by itself from its opening on.
    pub fn open(&mut self, opened: Duration) {
        let Some(link) = &mut self.link else { return };
        link.opened = Some(opened);
        link.used_at = opened;
        if link.peer.counts {
            // The handshake.
            link.bytes = Bytes {
                read: 200,
                written: 300,
            };
        }
        let peer = link.peer.clone();
        let number = link.number;
        let end = peer.ends.map(|(after, _)| opened + after);
        if let Some((after, how)) = peer.ends {
            let at = opened + after;
            let came = at + peer.latency;
            let (silent, breaks) = match how {
                Ends::BrokenClose(..) | Ends::Broken(_) | Ends::BrokenMute => (at, Some(at)),
                _ => (at, None),
            };
            link.silent = Some(silent);
            link.breaks = breaks;
            let words = format!("words of {number}");
            let gap = Duration::from_millis(3);
            match how {
                Ends::Plain => self.put(came, Item::Plain),
                Ends::Failed => self.put(came, Item::Failed(Fault::Read(number))),
                Ends::Close(code) => {
                    let close = Wire::Close(Some(CloseCode(code)), words);
                    self.put(came, Item::Message(close));
                    self.put(came + gap, Item::Plain);
                }
                Ends::AppClose(code) => {
                    let close = Wire::AppClose(Some(CloseCode(code)), words);
                    self.put(came, Item::Message(close));
                    self.put(came + gap, Item::Plain);
                }
                Ends::ClosedEnd(code) => self.put(came, Item::ClosedEnd(CloseCode(code))),
                Ends::Mute | Ends::BrokenMute => {}
                Ends::BrokenClose(code, later) => {
                    let close = Wire::Close(Some(CloseCode(code)), words);
                    self.put(at + later, Item::Message(close));
                    self.put(at + later + gap, Item::Failed(Fault::Read(number)));
                }
                Ends::Broken(later) => self.put(at + later, Item::Plain),
            }
        }
        let Some((every, talk)) = peer.talks else {
            return;
        };
        for turn in 1..=300 {
            let at = opened + every * turn;
            if end.is_some_and(|end| at >= end) {
                break;
            }
            let number = self.next_text;
            self.next_text += 1;
            let what = match talk {
                Talk::Text => Item::Message(Wire::Text {
                    id: number,
                    size: 20,
                }),
                Talk::Bytes => Item::Bytes(7),
                Talk::Asks => Item::Message(Wire::Asks(number)),
                Talk::Control => Item::Message(Wire::Control),
                Talk::Pongs => {
                    Item::Message(Wire::Pong(PingId::from_bytes((number << 40).to_be_bytes())))
                }
            };
            self.put(at + peer.latency, what);
        }
    }

    /// When something can be read or written that could not before.
    pub fn next_event(&self) -> Option<Duration> {
        let link = self.link.as_ref()?;
        if self.wakes || (link.was_refused && link.is_ready_at(self.now)) {
            return Some(self.now);
        }
        let arrival = link
            .inbox
            .keys()
            .map(|&(at, _)| at)
            .find(|&at| at > self.seen());
        let flood = link.floods_from();
        let flood = flood.map(|from| from.max(self.now + Duration::from_millis(50)));
        [arrival, link.next_room(self.now), flood]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether there is nothing to read before something comes in.
    pub fn is_drained(&self) -> bool {
        let seen = self.seen();
        let arrivals = self.link.iter().flat_map(|link| link.inbox.keys());
        let mut arrivals = arrivals.map(|&(at, _)| at);
        let floods = self.link.as_ref().and_then(Link::floods_from);
        arrivals.all(|at| at > seen) && floods.is_none_or(|from| from > seen)
    }

    /// It says so once.
    pub fn has_woken(&mut self) {
        self.wakes = false;
        let now = self.now;
        if let Some(link) = &mut self.link {
            link.was_refused &= !link.is_ready_at(now);
        }
    }

    fn flush_link(&mut self) -> Result<bool, Fault> {
        let now = self.now;
        let Some(link) = &mut self.link else {
            return Ok(true);
        };
        if link.is_broken(now) {
            return link.fail(false);
        }
        link.drain(now);
        let stuck = link.stuck_at();
        let mut left_now = Vec::new();
        let mut moved = 0;
        while let Some((wire, left)) = link.buffer.front_mut() {
            let takes_all = link.peer.rate.is_none() && stuck.is_none_or(|stuck| now < stuck);
            let free = if takes_all {
                u64::MAX
            } else {
                (link.peer.system as u64).saturating_sub(link.used)
            };
            let part = free.min(*left as u64);
            link.used += part;
            if takes_all {
                link.used = 0;
            }
            moved += part;
            *left -= part as usize;
            if *left > 0 {
                break;
            }
            let leaves = link.peer.leaves(link.used, now, stuck);
            left_now.push((wire.clone(), leaves));
            link.buffer.pop_front();
            link.drain(now);
        }
        if link.peer.counts {
            link.bytes.written += moved;
        }
        let is_empty = link.buffer.is_empty();
        if moved > 0 {
            self.oracle.drained(now);
        }
        for (wire, leaves) in left_now {
            if let Some(at) = leaves {
                self.peer_reads(&wire, at);
            }
        }
        Ok(is_empty)
    }

    fn peer_reads(&mut self, wire: &Wire, leaves: Duration) {
        let Some(link) = &mut self.link else { return };
        let latency = link.peer.latency;
        let at = leaves + latency;
        let is_silent = |at: Duration| link.silent.is_some_and(|silent| at >= silent);
        if is_silent(at) {
            return;
        }
        match wire {
            Wire::Text { id, .. } => {
                link.reads += 1;
                self.oracle.peer_read(link.number, *id);
            }
            Wire::Ping(id) | Wire::AppPing(id) => {
                let Some(think) = link.peer.answers else {
                    return;
                };
                if is_silent(at + think) {
                    return;
                }
                link.answered.push((*id, link.reads));
                let pong = match wire {
                    Wire::Ping(id) => Wire::Pong(*id),
                    _ => Wire::AppPong {
                        to: *id,
                        is_named: self.oracle.pings == Pings::Named,
                    },
                };
                self.put(at + think + latency, Item::Message(pong));
            }
            Wire::Close(code, words) if link.peer.is_polite && !link.is_closed_by_peer => {
                link.is_closed_by_peer = true;
                let close = Wire::Close(*code, words.clone());
                self.put(at + latency, Item::Message(close));
                self.put(at + latency * 2, Item::Plain);
            }
            _ => {}
        }
    }
}

impl Peer {
    /// When the last of so many bytes in the system leaves it.
    fn leaves(&self, used: u64, now: Duration, stuck: Option<Duration>) -> Option<Duration> {
        let takes = match self.rate {
            Some(rate) => Duration::from_micros(used * 1_000_000 / rate.max(1)),
            None => Duration::ZERO,
        };
        let at = now + takes;
        let is_stuck = stuck.is_some_and(|stuck| at >= stuck);
        (!is_stuck).then_some(at)
    }
}

impl Link {
    fn stuck_at(&self) -> Option<Duration> {
        Some(self.opened? + self.peer.stuck?)
    }

    fn floods_from(&self) -> Option<Duration> {
        Some(self.opened? + self.peer.floods?)
    }

    /// What a transport that is broken says, or goes on to say.
    fn fail<T>(&mut self, goes_on: T) -> Result<T, Fault> {
        if core::mem::replace(&mut self.has_failed, true) && self.peer.fails_once {
            return Ok(goes_on);
        }
        Err(Fault::Write(self.number))
    }

    fn is_broken(&self, now: Duration) -> bool {
        self.breaks.is_some_and(|breaks| breaks <= now)
    }

    fn drain(&mut self, now: Duration) {
        let until = |at: Duration| self.stuck_at().map_or(at, |stuck| at.min(stuck));
        let passed = until(now).saturating_sub(until(self.used_at));
        match self.peer.rate {
            Some(rate) => {
                let gone = passed.as_micros() as u64 * rate / 1_000_000;
                self.used = self.used.saturating_sub(gone);
                if gone > 0 || self.used == 0 {
                    self.used_at = now;
                }
            }
            None => {
                if self.stuck_at().is_none_or(|stuck| now < stuck) {
                    self.used = 0;
                }
                self.used_at = now;
            }
        }
    }

    fn next_room(&self, now: Duration) -> Option<Duration> {
        let (_, left) = self.buffer.front()?;
        if self.is_broken(now) || self.stuck_at().is_some_and(|stuck| stuck <= now) {
            return None;
        }
        let rate = self.peer.rate?;
        let wanted = (*left).min(self.peer.system / 2).max(1) as u64;
        let wait = Duration::from_micros(wanted * 1_000_000 / rate.max(1));
        Some(now + wait.max(Duration::from_millis(1)))
    }

    pub fn waiting(&self) -> usize {
        self.buffer.iter().map(|(_, left)| left).sum()
    }

    pub fn is_ready_at(&self, now: Duration) -> bool {
        self.opened.is_some() && !self.is_broken(now) && self.waiting() < self.peer.buffer
    }

    /// What arrived by then and was not read.
    pub fn unread(&self, by: Duration) -> Vec<(Duration, Item)> {
        let arrived = self.inbox.iter().filter(|((at, _), _)| *at <= by);
        arrived.map(|((at, _), item)| (*at, item.clone())).collect()
    }
}

impl Transport for Net {
    type Message = Wire;
    type Error = Fault;
    type Instant = Duration;

    fn now(&mut self) -> Duration {
        self.now
    }

    fn carry_out(&mut self, order: Order<Wire>) {
        let now = self.now;
        match order {
            Order::Dial { attempt } => {
                self.oracle.dials(attempt, self.link.as_ref(), now);
                self.dial();
            }
            Order::Finish => {
                self.oracle.finishes(now);
                let Some(link) = &mut self.link else { return };
                link.is_finished = true;
                let at = now + link.peer.latency * 2;
                let is_silent = link.silent.is_some_and(|silent| at >= silent);
                if link.peer.is_polite && !is_silent {
                    self.put(at + Duration::from_millis(1), Item::Plain);
                }
            }
            Order::Drop(farewell) => {
                self.oracle
                    .drops(farewell.as_ref(), self.link.as_ref(), now);
                self.link = None;
            }
        }
    }

    fn read(&mut self) -> Read<Wire, Fault, Duration> {
        let (now, seen) = (self.now, self.seen());
        while let Some(link) = &mut self.link {
            let Some(first) = link.inbox.first_entry() else {
                break;
            };
            if first.key().0 > seen {
                break;
            }
            let item = first.remove();
            if link.peer.counts {
                link.bytes.read += match &item {
                    Item::Bytes(bytes) => *bytes,
                    Item::Message(wire) => wire.size() as u64,
                    // An alert of TLS, for example.
                    _ if link.opened.is_some() => 24,
                    _ => 0,
                };
            }
            self.oracle.reads(&item, link, now);
            match item {
                Item::Bytes(_) => {}
                Item::Opened => {
                    self.open(now);
                    return Read::Opened;
                }
                Item::Message(wire) => return Read::Message(wire),
                Item::Plain => return Read::end(End::Plain),
                Item::ClosedEnd(code) => {
                    let words = "an end with words".to_owned();
                    return Read::end(End::Closed(closed(Some(code)), words));
                }
                Item::Refused(status) => {
                    let error = Fault::Refusal(link.number);
                    return Read::end(End::Refused(Refused::with_status(status), error));
                }
                Item::Failed(fault) => return Read::end(End::Failed(fault)),
            }
        }
        let mut as_of = seen;
        if let Some(link) = &mut self.link {
            if let Some(from) = link.floods_from().filter(|from| *from <= seen) {
                // There always is more.
                as_of = from;
                let bytes = 1000;
                link.bytes.read += if link.peer.counts { bytes } else { 0 };
                self.oracle.reads(&Item::Bytes(bytes), link, now);
            }
        }
        self.oracle.reads_nothing(as_of, now);
        Read::Nothing(as_of)
    }

    fn is_ready(&mut self) -> Result<bool, Fault> {
        self.oracle.asks_of_open(self.link.as_ref(), "is_ready");
        let now = self.now;
        let Some(link) = &mut self.link else {
            return Ok(false);
        };
        link.was_ready = false;
        if link.is_broken(now) {
            self.oracle.write_failed(now);
            return link.fail(false);
        }
        link.was_ready = link.is_ready_at(now);
        link.was_refused = !link.was_ready;
        let is_ready = link.was_ready;
        if !is_ready {
            self.oracle.was_refused(now);
        }
        Ok(is_ready)
    }

    fn write(&mut self, message: Wire) -> Result<(), Fault> {
        self.oracle.asks_of_open(self.link.as_ref(), "write");
        let now = self.now;
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let was_ready = core::mem::take(&mut link.was_ready);
        let is_finished = link.is_finished;
        self.oracle.writes(&message, was_ready, is_finished, now);
        if link.is_broken(now) {
            self.oracle.write_failed(now);
            return link.fail(());
        }
        let size = message.size();
        link.buffer.push_back((message, size));
        Ok(())
    }

    fn flush(&mut self) -> Result<bool, Fault> {
        self.oracle.asks_of_open(self.link.as_ref(), "flush");
        let now = self.now;
        match self.flush_link() {
            Ok(is_done) => {
                self.oracle.flushed(is_done, now);
                // It made room itself, so that nothing wakes it.
                if let Some(link) = self.link.as_mut().filter(|_| is_done) {
                    link.was_refused &= !link.is_ready_at(now);
                }
                Ok(is_done)
            }
            Err(fault) => {
                self.oracle.write_failed(now);
                Err(fault)
            }
        }
    }

    fn bytes(&self) -> Bytes {
        self.link
            .as_ref()
            .map_or(Bytes::default(), |link| link.bytes)
    }

    fn backlog(&mut self) -> Option<Wire> {
        self.oracle.asks_of_open(self.link.as_ref(), "backlog");
        let next = self.queue.pop_front();
        self.oracle.takes_backlog(next.as_ref(), self.now);
        next
    }

    fn dropped(&mut self) -> Option<Vec<Wire>> {
        if !self.drops_queue {
            return None;
        }
        self.oracle.drops_backlog();
        Some(self.queue.drain(..).collect())
    }

    fn reclaim(&mut self) -> Vec<Wire> {
        self.queue.drain(..).collect()
    }

    fn system_time(&mut self) -> Option<Duration> {
        Some(self.now + self.slept?)
    }
}
