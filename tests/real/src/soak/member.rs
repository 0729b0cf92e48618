//! One client: its incarnations, its messages, and what is to be seen of it.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use keepalive::driver::Plain;
use keepalive::{Config, Epoch};
use tungstenite::Message;

use super::GROUPS;
use super::flat::{Alive, RUNTIME};
use super::plan::Kind;
use crate::{Adapter, Client, Target};

pub(super) struct Member {
    pub(super) id: usize,
    pub(super) adapter: Adapter,
    pub(super) incarnation: u32,
    pub(super) client: Client,
    pub(super) ledger: Ledger,
    pub(super) open: Option<Epoch>,
    /// How often it opened, and how often the server says so.
    pub(super) opened: u64,
    pub(super) accepted: u64,
    pub(super) dialling: Option<Instant>,
    pub(super) case: Option<Case>,
    pub(super) stop_at: Option<Instant>,
    pub(super) is_stopping: bool,
    pub(super) next_message: Instant,
    log: VecDeque<(Instant, String)>,
}

/// A fault, from its beginning until the client is open again.
pub(super) struct Case {
    /// `None`: a loss that nobody planned.
    pub(super) kind: Option<Kind>,
    pub(super) at: Instant,
    pub(super) detected: Option<Instant>,
    pub(super) is_missed: bool,
}

impl Case {
    /// When the fault itself is over.
    pub(super) fn until(&self) -> Instant {
        self.at + self.kind.map_or(Duration::ZERO, Kind::lasts)
    }
}

impl Member {
    pub(super) fn start(id: usize, adapter: Adapter, config: Config, ports: &[u16]) -> Self {
        let now = Instant::now();
        Self {
            id,
            adapter,
            incarnation: 0,
            client: start(id, adapter, config, ports),
            ledger: Ledger::default(),
            open: None,
            opened: 0,
            accepted: 0,
            dialling: None,
            case: None,
            stop_at: None,
            is_stopping: false,
            next_message: now,
            log: VecDeque::new(),
        }
    }

    pub(super) fn start_anew(&mut self, config: Config, ports: &[u16]) -> Ledger {
        self.incarnation += 1;
        self.client = start(self.id, self.adapter, config, ports);
        self.open = None;
        self.dialling = None;
        self.is_stopping = false;
        std::mem::take(&mut self.ledger)
    }

    /// Whether it gave this message away.
    pub(super) fn send(&mut self) -> bool {
        let number = self.ledger.number + 1;
        let text = format!("{} {} {number}", self.id, self.incarnation);
        let taken = self.client.handle().try_send(Message::text(text)).is_ok();
        if taken {
            self.ledger.number = number;
            self.ledger.open.insert(number);
        }
        taken
    }

    pub(super) fn note(&mut self, at: Instant, what: String) {
        if self.log.len() == 30 {
            self.log.pop_front();
        }
        self.log.push_back((at, what));
    }

    pub(super) fn story(&self, began: Instant) -> String {
        let mut story = String::new();
        for (at, what) in &self.log {
            let at = at.saturating_duration_since(began).as_secs_f64();
            story += &format!("\n        {at:9.3} s  {what}");
        }
        story
    }
}

fn start(id: usize, adapter: Adapter, config: Config, ports: &[u16]) -> Client {
    let url = format!("ws://127.0.0.1:{}/{id}", ports[id % GROUPS]);
    let alive = Alive::new();
    Client::start_with(adapter, config, Plain, Target::new(url), move |_| {
        let _ = &alive;
        if adapter == Adapter::Tokio {
            RUNTIME.get_or_init(tokio::runtime::Handle::current);
        }
    })
}

/// The messages of one incarnation, by their numbers.
#[derive(Default)]
pub(super) struct Ledger {
    number: u64,
    /// Taken by the handle, and not seen again yet.
    pub(super) open: BTreeSet<u64>,
    /// Given back, the last ones: these may have arrived...
    doubted: VecDeque<u64>,
    /// ...and these must not.
    unsent: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    First,
    InDoubt,
    /// It was given back as unsent, or had arrived already.
    Wrong,
}

/// So many are remembered that were given back.
const GIVEN_BACK: usize = 64;

impl Ledger {
    pub(super) fn arrived(&mut self, number: u64) -> Arrival {
        if self.open.remove(&number) {
            return Arrival::First;
        }
        let at = self.doubted.iter().position(|&other| other == number);
        match at.and_then(|at| self.doubted.remove(at)) {
            Some(_) => Arrival::InDoubt,
            None => Arrival::Wrong,
        }
    }

    /// How many of them were given back as in doubt for the first time.
    pub(super) fn doubt(&mut self, messages: &[Message]) -> u64 {
        let mut count = 0;
        for number in messages.iter().filter_map(number) {
            if self.open.remove(&number) {
                remember(&mut self.doubted, number);
                count += 1;
            }
        }
        count
    }

    /// How many of these were given back as unsent, and how many of them had arrived.
    pub(super) fn give_back(&mut self, messages: &[Message]) -> (u64, u64) {
        let (mut count, mut wrong) = (0, 0);
        for number in messages.iter().filter_map(number) {
            if self.open.remove(&number) {
                remember(&mut self.unsent, number);
                count += 1;
            } else {
                wrong += 1;
            }
        }
        (count, wrong)
    }
}

fn remember(numbers: &mut VecDeque<u64>, number: u64) {
    if numbers.len() == GIVEN_BACK {
        numbers.pop_front();
    }
    numbers.push_back(number);
}

fn number(message: &Message) -> Option<u64> {
    message.to_text().ok()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(numbers: &[u64]) -> Vec<Message> {
        let text = |number| Message::text(format!("3 0 {number}"));
        numbers.iter().map(text).collect()
    }

    #[test]
    fn a_message_is_accounted_for_once() {
        let mut ledger = Ledger::default();
        ledger.open.extend(1..=5);
        assert_eq!(ledger.arrived(1), Arrival::First);
        assert_eq!(ledger.arrived(1), Arrival::Wrong);
        // The first has arrived before, the second never, the third later.
        assert_eq!(ledger.doubt(&texts(&[1, 2, 3])), 2);
        assert_eq!(ledger.arrived(3), Arrival::InDoubt);
        assert_eq!(ledger.arrived(3), Arrival::Wrong);
        assert_eq!(ledger.give_back(&texts(&[4])), (1, 0));
        assert_eq!(ledger.arrived(4), Arrival::Wrong);
        assert_eq!(ledger.give_back(&texts(&[1])), (0, 1));
        assert_eq!(ledger.open.into_iter().collect::<Vec<_>>(), [5]);
    }
}
