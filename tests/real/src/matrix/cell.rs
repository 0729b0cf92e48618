//! One cell: four clients, one peer, one fault.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use keepalive::Config;

use super::ledger::{self, Reported};
use super::{Outcome, Plant, Row, SLACK};
use crate::faults::{Expect, Fault, May, World};
use crate::peers::{Kind, Speech};
use crate::{Adapter, Client, Down, Seen, Target};

/// How often a client sends.
const PACE: Duration = Duration::from_millis(50);

/// How long all is well before the fault.
const WARM_UP: Duration = Duration::from_millis(1500);

/// No peer takes longer for the first echo, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs it.
///
/// # Panics
///
/// Where it cannot be run.
#[must_use]
pub fn run(kind: Kind, tls: bool, fault: Fault, plant: Option<Plant>, long: bool) -> Row {
    let mut world = World::new(kind, fault, tls);
    let speech = world.peer.speech();
    let mut settings = speech.settings(fault.settings());
    match plant {
        Some(Plant::Deaf) => settings = settings.pong_timeout(Duration::from_secs(3600)),
        Some(Plant::Hasty) => settings = settings.pong_timeout(Duration::from_millis(1)),
        Some(Plant::Stubborn) => settings = settings.reconnect(false),
        _ => {}
    }
    let config = settings.build().unwrap();
    // A bug changes what is, not what is right.
    let right = speech.settings(fault.settings()).build().unwrap();
    let expect = fault.expect(&right, long);
    let target = match fault {
        Fault::NoName => world.nowhere(),
        _ => world.target(),
    };
    let begun = Instant::now();
    let actors: Vec<Actor> = Adapter::ALL
        .into_iter()
        .filter(|adapter| speech.runs_on(*adapter) && fault.runs_on(*adapter, tls))
        .map(|adapter| Actor::start(speech, adapter, config, target.clone(), fault))
        .collect();

    let mut errors = Vec::new();
    if !fault.is_of_the_dial() {
        let echoed = wait(&actors, begun + PATIENCE, |record, _| {
            record.echo(0, begun).is_some()
        });
        if !echoed && plant.is_none() {
            errors.push("not all clients opened at the start".to_owned());
        }
        thread::sleep(WARM_UP);
    }

    let start = if fault.is_of_the_dial() {
        begun
    } else {
        Instant::now()
    };
    set(&actors, Mode::Fault);
    world.begin(fault);
    let end = start + expect.lasts;
    let noticed = |record: &Record, _: &Actor| record.detected(fault, &expect, start).is_some();
    match expect.may {
        May::Die(bound) | May::Hear(bound) => {
            let _ = wait(&actors, start + bound + SLACK, noticed);
        }
        May::Live | May::Either => {}
    }
    thread::sleep(end.saturating_duration_since(Instant::now()));

    let healed = if fault == Fault::FirstHole {
        begun
    } else {
        Instant::now()
    };
    let firsts: Vec<u64> = actors.iter().map(|actor| actor.shared.sent()).collect();
    let first = |actor: &Actor| match fault {
        Fault::FirstHole => 0,
        _ => {
            firsts[actors
                .iter()
                .position(|other| std::ptr::eq(other, actor))
                .unwrap()]
        }
    };
    world.end(fault);
    set(&actors, Mode::Steady);
    let recovers = !matches!(fault, Fault::NoName | Fault::UnauthorisedStop);
    if recovers {
        let end = Instant::now() + expect.recovery + SLACK;
        let _ = wait(&actors, end, |record, actor| {
            record.echo(first(actor), healed).is_some()
        });
        thread::sleep(Duration::from_millis(500));
    }

    // No more is sent; what is under way arrives.
    set(&actors, Mode::Quiet);
    if recovers {
        let end = Instant::now() + Duration::from_secs(3);
        let _ = wait(&actors, end, |record, actor| {
            let sent = actor.shared.sent();
            sent == 0 || record.last_echo.is_some_and(|last| last + 1 >= sent)
        });
    }
    let asked = Instant::now();
    for actor in &actors {
        let _ = actor.shared.client.lock().unwrap().handle().stop();
    }
    let stopped = wait(
        &actors,
        Instant::now() + Duration::from_secs(10),
        |record, _| record.stopped.is_some(),
    );
    if !stopped {
        errors.push("not all clients stopped".to_owned());
    }

    let forget = plant == Some(Plant::Forgetful);
    let balances = |world: &World| -> Vec<_> {
        let heard = world.peer.heard();
        let balance = |actor: &Actor| {
            let record = actor.shared.record.lock().unwrap();
            let nothing = Reported::default();
            let reported = match plant {
                Some(Plant::Silent) => &nothing,
                _ => &record.reported,
            };
            ledger::balance(actor.adapter, actor.shared.sent(), reported, &heard, forget)
        };
        actors.iter().map(balance).collect()
    };
    let mut accounts = balances(&world);
    // What the peer prints comes a little later.
    for _ in 0..30 {
        if accounts
            .iter()
            .all(|balance| balance.unaccounted.is_empty())
        {
            break;
        }
        thread::sleep(Duration::from_millis(100));
        accounts = balances(&world);
    }

    let mut clients: Vec<Option<Outcome>> = vec![None; Adapter::ALL.len()];
    let (mut dials, mut seen) = (Vec::new(), Vec::new());
    let mut ledger_holds = true;
    for (actor, balance) in actors.iter().zip(accounts) {
        let mut record = actor.shared.record.lock().unwrap();
        record.downs.retain(|(at, _)| *at < asked);
        let record = &*record;
        let detected = record.detected(fault, &expect, start);
        let recovered = record.echo(first(actor), healed).filter(|_| recovers);
        let mut outcome = Outcome {
            detected: detected.map(|(at, _)| seconds(at, start)),
            recovered: recovered.map(|at| seconds(at, healed)),
            sent: usize::try_from(actor.shared.sent()).unwrap(),
            reported: balance.reported,
            lost: balance.lost,
            unaccounted: balance.unaccounted.len(),
            ..Outcome::default()
        };
        let mut error = |text: String| errors.push(format!("{}: {text}", actor.adapter));
        if let May::Die(bound) | May::Hear(bound) = expect.may {
            let in_time = detected.is_some_and(|(at, _)| at <= start + bound + SLACK);
            outcome.undetected = !in_time;
        }
        if recovers {
            let in_time = recovered.is_some_and(|at| at <= healed + expect.recovery + SLACK);
            outcome.unrecovered = !in_time;
        }
        if let (Some((least, greatest)), Some((_, down))) = (expect.plan, detected) {
            // Between the plan and its report passes a moment.
            let (least, planned) = (
                least.saturating_sub(SLACK / 3),
                down.retry.unwrap_or_default(),
            );
            if !(least..=greatest).contains(&planned) {
                error(format!(
                    "the next dial was planned in {planned:?}, not in {least:?} to {greatest:?}"
                ));
            }
        }
        for (at, down) in &record.downs {
            let after = recovered.is_some_and(|recovered| *at > recovered);
            let may = match expect.may {
                May::Die(_) | May::Either => *at >= start && !after,
                May::Live | May::Hear(_) => false,
            };
            // Something had come just before it began.
            let is_hasty = !after && *at < start + right.pong_timeout() / 2;
            let may = may && !is_hasty;
            let in_words = format!(
                "{} at {:.2} s: {}",
                if down.is_dial { "dial" } else { "connection" },
                seconds(*at, begun) - seconds(start, begun),
                down.cause
            );
            if down.why.is_conviction() && !may {
                outcome.wrong += 1;
                error(format!("wrong conviction, {in_words}"));
            } else if expect.may == May::Live && fault != Fault::FirstHole || *at < start || after {
                error(format!("lost without a fault, {in_words}"));
            }
        }
        if outcome.undetected || outcome.unrecovered {
            error(format!("all downs: {:?}", record.in_words(start)));
        }
        ledger_holds &=
            balance.unaccounted.is_empty() && balance.twice.is_empty() && balance.is_in_order;
        if !balance.unaccounted.is_empty() {
            error(format!("unaccounted: {:?}", balance.unaccounted));
        }
        if !balance.twice.is_empty() {
            error(format!("received twice: {:?}", balance.twice));
        }
        if !balance.is_in_order {
            error("received out of order".to_owned());
        }
        if let Some((is_proven, proof)) = record.proof(fault) {
            if !is_proven {
                error(format!("there was no such fault: {proof}"));
            }
            seen.push(proof);
        }
        if let (true, Some((_, down))) = (fault.may_differ(), detected) {
            seen.push(down.cause.clone());
        }
        if fault == Fault::UnauthorisedStop && !record.stopped_early {
            error("went on after a 401".to_owned());
        }
        let within = |at: &&Instant| **at >= start && **at <= healed;
        dials.push(record.dials.iter().filter(within).count());
        let index = Adapter::ALL
            .iter()
            .position(|other| *other == actor.adapter);
        clients[index.unwrap()] = Some(outcome);
    }

    seen.dedup();
    let mut note = seen.join(", ");
    if matches!(fault, Fault::AcceptDrop | Fault::OpenDrop) {
        let lasted = seconds(healed, start);
        let floor = right.backoff_floor().as_secs_f64();
        // The first at once, the second within the spread, then a floor apart.
        let most = 2 + (lasted / floor) as usize;
        note = format!("dials {dials:?} in {lasted:.0} s, at most {most}");
        if let Some(many) = dials.iter().find(|dials| **dials > most) {
            errors.push(format!("a hot loop: {many} dials"));
        }
    }
    let bound = match expect.may {
        May::Die(bound) | May::Hear(bound) => Some(bound.as_secs_f64()),
        May::Live | May::Either => None,
    };
    Row {
        peer: super::peer_name(kind, tls),
        fault: fault.name(),
        expected: expect.what.to_owned(),
        lives: expect.may == May::Live,
        bound,
        recovery: recovers.then_some(expect.recovery.as_secs_f64()),
        clients,
        errors,
        ledger_holds,
        note,
    }
}

fn seconds(at: Instant, since: Instant) -> f64 {
    at.saturating_duration_since(since).as_secs_f64()
}

/// Waits until this is so for each of them.
fn wait(actors: &[Actor], end: Instant, mut is_so: impl FnMut(&Record, &Actor) -> bool) -> bool {
    loop {
        let mut all = actors.iter();
        if all.all(|actor| is_so(&actor.shared.record.lock().unwrap(), actor)) {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn set(actors: &[Actor], mode: Mode) {
    for actor in actors {
        actor.shared.mode.store(mode as u8, Ordering::Relaxed);
    }
}

/// What an actor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Steady,
    /// The large messages of the fault too.
    Fault,
    Quiet,
}

/// A client, and a thread that sends by its handle and writes down what it reports.
#[derive(Debug)]
struct Actor {
    adapter: Adapter,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Mutex<Client>,
    record: Mutex<Record>,
    sent: AtomicU64,
    mode: AtomicU8,
    is_over: AtomicBool,
}

impl Shared {
    /// How many it took; they have the numbers from 0 on.
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Actor {
    fn start(
        speech: Speech,
        adapter: Adapter,
        config: Config,
        target: Target,
        fault: Fault,
    ) -> Self {
        let shared = Arc::new(Shared {
            client: Mutex::new(speech.client(adapter, config, target)),
            record: Mutex::default(),
            sent: AtomicU64::new(0),
            mode: AtomicU8::new(Mode::Steady as u8),
            is_over: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || act(&own, speech, adapter, fault));
        Self { adapter, shared }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

fn act(shared: &Shared, speech: Speech, adapter: Adapter, fault: Fault) {
    let handle = shared.client.lock().unwrap().handle().clone();
    let mut due = Instant::now();
    let mut large = due;
    let mut log = Vec::new();
    let mut last = due;
    while !shared.is_over.load(Ordering::Relaxed) {
        let now = Instant::now();
        let mode = shared.mode.load(Ordering::Relaxed);
        let is_fault = mode == Mode::Fault as u8;
        let gap = now - last;
        last = now;
        if now >= due && mode != Mode::Quiet as u8 {
            due = now + PACE;
            let mut size = 64;
            if let Some(bytes) = fault.large().filter(|_| is_fault) {
                if fault == Fault::FullBuffer {
                    (size, due) = (bytes, now);
                } else if now >= large {
                    size = bytes;
                    large = now + Duration::from_secs(4);
                }
            }
            let number = shared.sent();
            let message = speech.data(&ledger::text(adapter, number, size));
            // Where the queue is full, the same number is tried again.
            match handle.try_send(message) {
                Ok(()) => {
                    shared.sent.fetch_add(1, Ordering::Relaxed);
                    if size > 1024 {
                        shared.record.lock().unwrap().large.push((now, number));
                    }
                }
                Err(_) => {
                    due = now + Duration::from_millis(5);
                    shared.record.lock().unwrap().refused += 1;
                }
            }
        }
        if gap > Duration::from_secs(1) {
            let mut record = shared.record.lock().unwrap();
            record.gap = record.gap.max(gap);
        }
        shared.client.lock().unwrap().drain(&mut log);
        if !log.is_empty() {
            let mut record = shared.record.lock().unwrap();
            for event in log.drain(..) {
                record.note(speech, event.at, event.seen, mode != Mode::Quiet as u8);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What a client reported.
#[derive(Debug, Default)]
struct Record {
    dials: Vec<Instant>,
    downs: Vec<(Instant, Down)>,
    echoes: Vec<(Instant, u64)>,
    last_echo: Option<u64>,
    reported: Reported,
    stopped: Option<String>,
    /// Before it was asked to.
    stopped_early: bool,
    // What proves that there was a fault.
    large: Vec<(Instant, u64)>,
    refused: u64,
    flood: u64,
    gap: Duration,
}

impl Record {
    fn note(&mut self, speech: Speech, at: Instant, seen: Seen, is_early: bool) {
        self.reported.note(speech, &seen);
        match seen {
            Seen::Connecting { .. } => self.dials.push(at),
            Seen::Message(message) => {
                let text = speech.text(&message).unwrap_or_default();
                if let Some((_, number)) = ledger::number(&text) {
                    self.echoes.push((at, number));
                    self.last_echo = self.last_echo.max(Some(number));
                } else if text.starts_with('~') {
                    self.flood += 1;
                }
            }
            Seen::Down(mut down) => {
                (down.unsent, down.kept) = (Vec::new(), Vec::new());
                self.downs.push((at, down));
            }
            Seen::Stopped { reason, .. } => {
                self.stopped = Some(reason);
                self.stopped_early = is_early;
            }
            _ => {}
        }
    }

    /// When a message of at least this number came back, from then on.
    fn echo(&self, least: u64, from: Instant) -> Option<Instant> {
        let mut echoes = self.echoes.iter();
        let found = echoes.find(|(at, number)| *number >= least && *at >= from);
        found.map(|(at, _)| *at)
    }

    /// When the fault was noticed, and by what.
    fn detected(&self, fault: Fault, expect: &Expect, from: Instant) -> Option<(Instant, &Down)> {
        let mut downs = self.downs.iter();
        let found = downs.find(|(at, down)| *at >= from && (expect.right)(fault, down))?;
        (expect.may != May::Live).then_some((found.0, &found.1))
    }

    /// What shows that there was a fault, and whether it does: else the row would prove
    /// nothing.
    fn proof(&self, fault: Fault) -> Option<(bool, String)> {
        match fault {
            Fault::Paused => {
                let is_long = self.gap >= Duration::from_secs(4);
                Some((is_long, format!("away for {:.1} s", self.gap.as_secs_f64())))
            }
            Fault::Flood => {
                let thousands = self.flood / 1000;
                Some((thousands > 0, format!("{thousands} thousand messages")))
            }
            Fault::FullBuffer if self.refused == 0 => Some((false, "all was taken".to_owned())),
            Fault::SlowUp | Fault::SlowDown => {
                let delays = self.large.iter().filter_map(|(sent, number)| {
                    let mut echoes = self.echoes.iter();
                    let echo = echoes.find(|(_, echoed)| echoed == number)?;
                    Some(echo.0 - *sent)
                });
                let longest = delays.max().unwrap_or_default().as_secs_f64();
                // Longer than an answer may take.
                Some((longest > 2.0, format!("an echo after {longest:.1} s")))
            }
            _ => None,
        }
    }

    fn in_words(&self, from: Instant) -> Vec<String> {
        let downs = self.downs.iter();
        downs
            .map(|(at, down)| format!("{:.2} s {:?} {}", seconds(*at, from), down.why, down.cause))
            .take(12)
            .collect()
    }
}
