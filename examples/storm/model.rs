//! A server that goes down with everybody connected, and what its clients do then: in
//! virtual time, from one event to the next.

use std::collections::VecDeque;

use crate::clients::{Act, Client, Millis, Random};

/// Dials and pings are counted per 100 ms.
pub(crate) const BIN: Millis = 100;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) clients: u32,
    pub(crate) seed: u64,
    /// How long the server is down. Until then each dial is refused.
    pub(crate) outage: Millis,
    /// How many dials the server can accept per second.
    pub(crate) accepts: f64,
    /// How many dials can wait to be accepted. More are refused.
    pub(crate) backlog: usize,
    /// What a refusal costs the server, in accepts.
    pub(crate) refusal: f64,
    /// How long to wait for everybody, from when the server is up.
    pub(crate) limit: Millis,
    /// How long to count pings from when everybody is back.
    pub(crate) after: Millis,
}

impl Scenario {
    /// How long the server needs at least to accept everybody.
    pub(crate) fn ideal(&self) -> Millis {
        (f64::from(self.clients) / self.accepts * 1000.0).ceil() as Millis
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Dials per bin since the server went down.
    pub(crate) dials: Vec<u32>,
    /// How many came back per bin since the server was up.
    back: Vec<u32>,
    /// Pings per bin since everybody was back.
    pings: Vec<u32>,
    pub(crate) refused: u64,
    /// Dials that their clients gave up.
    pub(crate) abandoned: u64,
    /// The refusals have left the server more work than it can do within the limit.
    pub(crate) is_livelock: bool,
    clients: u32,
}

impl Outcome {
    pub(crate) fn peak(&self) -> u32 {
        greatest(&self.dials)
    }

    pub(crate) fn dials_per_client(&self) -> f64 {
        total(&self.dials) as f64 / f64::from(self.clients)
    }

    /// How long after the server was up this share was back.
    pub(crate) fn until(&self, share: f64) -> Option<Millis> {
        let wanted = (f64::from(self.clients) * share).ceil() as u64;
        let mut back = 0;
        let bin = self.back.iter().position(|&count| {
            back += u64::from(count);
            back >= wanted
        })?;
        Some((bin as Millis + 1) * BIN)
    }

    /// The share that came back.
    pub(crate) fn back(&self) -> f64 {
        total(&self.back) as f64 / f64::from(self.clients)
    }

    /// The peak of pings over their mean, once everybody is back.
    pub(crate) fn step(&self) -> Option<f64> {
        let pings = total(&self.pings) as f64;
        let mean = pings / self.pings.len() as f64;
        (pings > 0.0).then(|| f64::from(greatest(&self.pings)) / mean)
    }
}

fn greatest(bins: &[u32]) -> u32 {
    bins.iter().copied().max().unwrap_or(0)
}

fn total(bins: &[u32]) -> u64 {
    bins.iter().map(|&count| u64::from(count)).sum()
}

fn count(bins: &mut Vec<u32>, at: Millis) {
    let bin = (at / BIN) as usize;
    if bin >= bins.len() {
        bins.resize(bin + 1, 0);
    }
    if let Some(count) = bins.get_mut(bin) {
        *count += 1;
    }
}

/// What happens to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    Lost,
    Refused,
    /// The dial of this number is through.
    Opened(u16),
    Pong,
    Tick,
}

/// What is to come: for each millisecond from now on, to whom it happens.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    pub(crate) now: Millis,
    coming: VecDeque<Vec<(u32, Happening)>>,
}

impl Agenda {
    pub(crate) fn at(&mut self, at: Millis, id: u32, happening: Happening) {
        let place = at.saturating_sub(self.now) as usize;
        if place >= self.coming.len() {
            self.coming.resize_with(place + 1, Vec::new);
        }
        if let Some(bucket) = self.coming.get_mut(place) {
            bucket.push((id, happening));
        }
    }

    /// What happens now, which may lead to more in the same millisecond.
    pub(crate) fn take(&mut self) -> Option<Vec<(u32, Happening)>> {
        let happenings = std::mem::take(self.coming.front_mut()?);
        Some(happenings).filter(|happenings| !happenings.is_empty())
    }

    pub(crate) fn pass(&mut self) {
        self.coming.pop_front();
        self.now += 1;
    }
}

struct Seat<C> {
    client: C,
    /// The number of its last dial.
    dial: u16,
    rtt: u8,
}

/// Works in the order of what comes in. What refusals cost is worked off before the next
/// accept.
struct Server {
    /// Accepts for which there was time; less than nothing after many refusals.
    credit: f64,
    queue: VecDeque<(u32, u16)>,
}

/// Runs the scenario with the clients that `make` makes from their seeds.
pub(crate) fn run<C: Client>(scenario: &Scenario, make: impl Fn(u64) -> C) -> Outcome {
    let mut seeds = Random(scenario.seed);
    let mut world = World {
        scenario,
        agenda: Agenda::default(),
        seats: Vec::new(),
        server: Server {
            credit: 0.0,
            queue: VecDeque::new(),
        },
        back: 0,
        all_back: None,
        outcome: Outcome {
            clients: scenario.clients,
            ..Outcome::default()
        },
    };
    for id in 0..scenario.clients {
        let rtt = 25 + seeds.below(51) as u8;
        world.agenda.at(u64::from(rtt / 2), id, Happening::Lost);
        world.seats.push(Seat {
            client: make(seeds.next()),
            dial: 0,
            rtt,
        });
    }
    while world.goes_on() {
        world.millisecond();
    }
    world.outcome
}

struct World<'a, C> {
    scenario: &'a Scenario,
    agenda: Agenda,
    seats: Vec<Seat<C>>,
    server: Server,
    back: u32,
    all_back: Option<Millis>,
    outcome: Outcome,
}

impl<C: Client> World<'_, C> {
    fn goes_on(&mut self) -> bool {
        let now = self.agenda.now;
        if let Some(at) = self.all_back {
            return now < at + self.scenario.after;
        }
        let most = self.scenario.limit as f64 / 1000.0 * self.scenario.accepts;
        self.outcome.is_livelock = -self.server.credit > most;
        now < self.scenario.outage + self.scenario.limit && !self.outcome.is_livelock
    }

    fn millisecond(&mut self) {
        while let Some(happenings) = self.agenda.take() {
            for (id, happening) in happenings {
                self.happen(id, happening);
            }
        }
        if self.is_up() {
            self.serve();
        }
        self.agenda.pass();
    }

    fn is_up(&self) -> bool {
        self.agenda.now >= self.scenario.outage
    }

    fn happen(&mut self, id: u32, happening: Happening) {
        let now = self.agenda.now;
        let Some(seat) = self.seats.get_mut(id as usize) else {
            return;
        };
        match happening {
            Happening::Lost => seat.client.lost(now),
            Happening::Refused => seat.client.refused(now),
            Happening::Pong => return seat.client.pong(now),
            Happening::Opened(dial) if dial != seat.dial => return,
            Happening::Opened(_) => {
                seat.client.opened(now);
                self.back += 1;
                count(&mut self.outcome.back, now - self.scenario.outage);
                if self.back == self.scenario.clients {
                    self.all_back = Some(now);
                    let bins = self.scenario.after / BIN;
                    self.outcome.pings = vec![0; bins as usize];
                }
            }
            Happening::Tick if seat.client.deadline().is_none_or(|at| at > now) => return,
            Happening::Tick => match seat.client.tick(now) {
                Some(Act::Dial) => {
                    seat.dial = seat.dial.wrapping_add(1);
                    let (dial, answer) = (seat.dial, now + u64::from(seat.rtt));
                    count(&mut self.outcome.dials, now);
                    if self.is_refused() {
                        self.outcome.refused += 1;
                        return self.agenda.at(answer, id, Happening::Refused);
                    }
                    self.server.queue.push_back((id, dial));
                }
                Some(Act::Abandon) => {
                    seat.dial = seat.dial.wrapping_add(1);
                    self.outcome.abandoned += 1;
                }
                Some(Act::Ping) => {
                    let answer = now + u64::from(seat.rtt);
                    self.agenda.at(answer, id, Happening::Pong);
                    if let Some(since) = self.all_back {
                        count(&mut self.outcome.pings, now - since);
                    }
                }
                None => {}
            },
        }
        self.arm(id);
    }

    fn arm(&mut self, id: u32) {
        let seat = self.seats.get(id as usize);
        match seat.and_then(|seat| seat.client.deadline()) {
            Some(at) if at > self.agenda.now => self.agenda.at(at, id, Happening::Tick),
            Some(_) => self.happen(id, Happening::Tick),
            None => {}
        }
    }

    /// Whether the dial that comes in is, and what that costs.
    fn is_refused(&mut self) -> bool {
        if !self.is_up() {
            return true;
        }
        let is_full = self.server.queue.len() >= self.scenario.backlog;
        if is_full {
            self.server.credit -= self.scenario.refusal;
        }
        is_full
    }

    /// A millisecond's work. Who has given up meanwhile costs as much as any other.
    fn serve(&mut self) {
        self.server.credit += self.scenario.accepts / 1000.0;
        while self.server.credit >= 1.0 {
            let Some((id, dial)) = self.server.queue.pop_front() else {
                self.server.credit = 1.0; // Time that is not used is gone.
                break;
            };
            self.server.credit -= 1.0;
            if let Some(seat) = self.seats.get(id as usize) {
                let at = self.agenda.now + u64::from(seat.rtt);
                self.agenda.at(at, id, Happening::Opened(dial));
            }
        }
    }
}
