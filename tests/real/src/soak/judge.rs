//! The clients, what is done to them, and whether what they report is right.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use keepalive::{CloseCode, CloseReason, Closed, Config};

use super::flat::There;
use super::member::{Arrival, Case, Ledger, Member};
use super::plan::{self, Duty, Kind, STALL};
use super::report::Report;
use super::{GROUPS, Plant, Settings, config, flat, report, without_heartbeat};
use crate::Adapter;
use crate::client::{Down, Event, Seen, Why};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);
/// What is always granted to the machine.
const SLACK: Duration = Duration::from_millis(500);
/// What the machine's lateness is granted at most.
const LATEST: Duration = Duration::from_secs(5);
/// How long lateness is remembered.
const REMEMBERED: Duration = Duration::from_secs(12);
/// Within this time every message of a stopped client has to be accounted for.
const SETTLES: Duration = Duration::from_secs(15);
/// More than these are counted, not told.
const TOLD: usize = 20;

/// Whether everything was right.
pub fn run(settings: &Settings) -> bool {
    println!(
        "soak: {} connections for {} s; the same schedule again: --connections {} --for {}s --seed {}",
        settings.connections,
        settings.lasts.as_secs(),
        settings.connections,
        settings.lasts.as_secs(),
        settings.seed
    );
    let mut judge = Judge::new(settings.clone());
    judge.connect();
    let before = Instant::now();
    let mut rounds = 0;
    while rounds < 3 || before.elapsed() < settings.lasts {
        rounds += 1;
        if !judge.round(rounds - 1) {
            break;
        }
    }
    judge.end(rounds)
}

struct Judge {
    settings: Settings,
    config: Config,
    began: Instant,
    server: Server,
    members: Vec<Member>,
    /// Of incarnations that have ended: until when they have to be settled.
    closing: HashMap<(usize, u32), (Instant, Ledger)>,
    random: Rng,
    late: Lateness,
    /// When the last look began.
    looked: Instant,
    stalled: Option<Instant>,
    suspects: Vec<Suspect>,
    samples: Vec<flat::Sample>,
    there: Option<There>,
    report: Report,
    failures: u64,
    planted: Planted,
    idle: [usize; flat::NAMES.len()],
}

/// A conviction that nobody planned: right only if the server was silent for that long.
struct Suspect {
    at: Instant,
    member: usize,
    /// For how long it was kept silent on purpose.
    silent: Duration,
    text: String,
}

/// Leaks.
#[derive(Default)]
struct Planted {
    last: Option<Instant>,
    files: Vec<fs::File>,
    bytes: Vec<Vec<u8>>,
}

impl Judge {
    fn new(settings: Settings) -> Self {
        let server = Server::start(settings.plant);
        let began = Instant::now();
        let idle = flat::sample(Duration::ZERO, server.child.id(), There::default()).values;
        Self {
            config: config(),
            began,
            server,
            members: Vec::new(),
            closing: HashMap::new(),
            random: Rng::with_seed(!settings.seed),
            late: Lateness::watch(),
            looked: Instant::now(),
            stalled: None,
            suspects: Vec::new(),
            samples: Vec::new(),
            there: None,
            report: Report::new(),
            failures: 0,
            planted: Planted::default(),
            settings,
            idle,
        }
    }

    fn config_of(&self, id: usize) -> Config {
        if id == 0 && self.settings.plant == Some(Plant::Missed) {
            return without_heartbeat();
        }
        self.config
    }

    fn connect(&mut self) {
        for id in 0..self.settings.connections {
            let adapter = Adapter::ALL[id % Adapter::ALL.len()];
            let member = Member::start(id, adapter, self.config_of(id), &self.server.ports);
            self.members.push(member);
            self.report.of(adapter).connections += 1;
            if id % 50 == 49 {
                self.look();
            }
        }
        if !self.settle(Instant::now() + Duration::from_secs(30)) {
            self.fail("not all clients connected within 30 s", None);
        }
    }

    /// Faults, and then quiet until all are open; one sample then. Whether it came to that.
    fn round(&mut self, number: u64) -> bool {
        let Settings {
            seed,
            connections,
            plant,
            lasts,
            ..
        } = self.settings;
        let round = plan::round(seed, number, connections, plant, lasts);
        let start = Instant::now();
        let mut acts = round.acts.into_iter().peekable();
        let mut stall = round.stall;
        let mut closes = None;
        loop {
            let at = start.elapsed();
            if stall.is_some_and(|due| due <= at) {
                stall = None;
                self.stalled = Some(Instant::now());
                self.server.tell(&format!("stall {}", STALL.as_millis()));
            }
            while let Some(act) = acts.next_if(|act| act.at <= at) {
                if let Kind::Group(lasts) = act.kind {
                    closes = Some((act.client % GROUPS, lasts));
                }
                self.act(act.client, act.kind);
            }
            // After all of its clients have their case.
            if let Some((group, lasts)) = closes.take() {
                self.server
                    .tell(&format!("group {group} {}", lasts.as_millis()));
            }
            if acts.peek().is_none() && stall.is_none() {
                break;
            }
            self.look();
        }
        // The longest way: to be convicted, then to be refused, and the backoff.
        let limit = Instant::now() + Duration::from_secs(12) + self.heals_in() + self.slack() * 2;
        let is_settled = self.settle(limit);
        if !is_settled {
            let stuck = self
                .members
                .iter()
                .filter(|member| !is_quiet(member))
                .count();
            let first = self.members.iter().position(|member| !is_quiet(member));
            self.fail(&format!("{stuck} clients did not come to rest"), first);
        }
        self.judge_suspects();
        self.take_sample();
        is_settled
    }

    fn settle(&mut self, limit: Instant) -> bool {
        let mut quiet_since = None;
        loop {
            self.look();
            let now = Instant::now();
            if !self.members.iter().all(is_quiet) {
                quiet_since = None;
            }
            let since = *quiet_since.get_or_insert(now);
            if self.members.iter().all(is_quiet) && now - since > Duration::from_millis(800) {
                return true;
            }
            if now > limit {
                return false;
            }
        }
    }

    fn take_sample(&mut self) {
        // The server notices a moment later that a connection is gone.
        let limit = Instant::now() + Duration::from_secs(3);
        let mut there = There::default();
        while Instant::now() < limit {
            self.server.tell("count");
            self.there = None;
            while self.there.is_none() && Instant::now() < limit {
                self.look();
            }
            there = self.there.unwrap_or_default();
            if there.sockets == self.settings.connections {
                break;
            }
        }
        let at = self.began.elapsed();
        let sample = flat::sample(at, self.server.child.id(), there);
        let [heap, _, descriptors, threads, tasks, sessions, sockets, ..] = sample.values;
        println!(
            "{:6.0} s: {heap} kB, {descriptors} descriptors, {threads} threads, {tasks} tasks, {sessions} sessions, {sockets} at the server; late {} ms, there {} ms",
            at.as_secs_f64(),
            self.late.here().as_millis(),
            self.late.there().as_millis(),
        );
        self.samples.push(sample);
    }

    fn act(&mut self, id: usize, kind: Kind) {
        let now = Instant::now();
        let member = &mut self.members[id];
        let Some(epoch) = member.open.filter(|_| member.accepted >= member.opened) else {
            return;
        };
        if member.case.is_some() || member.is_stopping {
            return;
        }
        member.note(now, format!("-- {kind}"));
        member.case = Some(Case {
            kind: Some(kind),
            at: now,
            detected: None,
            is_missed: false,
        });
        let adapter = member.adapter;
        if let Some(command) = kind.command(id) {
            self.server.tell(&command);
        }
        let handle = member.client.handle();
        match kind {
            Kind::Reconnect => drop(handle.reconnect_now()),
            Kind::GiveUp => drop(handle.give_up(epoch, Closed::with_code(CloseCode::NORMAL))),
            Kind::Stop => member.stop_at = Some(now),
            Kind::StopMute => member.stop_at = Some(now + Duration::from_millis(300)),
            Kind::StopRefused => member.stop_at = Some(now + Duration::from_millis(700)),
            _ => {}
        }
        self.report.of(adapter).faults += 1;
        self.report.kind(kind, &self.config).faults += 1;
    }

    /// One look at everything.
    fn look(&mut self) {
        thread::sleep(LOOK);
        // Its own lateness counts at once, and what comes late within a look, at the next.
        let now = Instant::now();
        self.late
            .look(now.duration_since(self.looked).saturating_sub(LOOK));
        self.looked = now;
        self.hear_all();
        for id in 0..self.members.len() {
            self.drive(id);
            self.check(id);
        }
        self.close_books();
        self.leak();
    }

    /// The server, and all clients.
    fn hear_all(&mut self) {
        self.hear();
        let mut events = Vec::new();
        for id in 0..self.members.len() {
            self.members[id].client.drain(&mut events);
            for event in events.drain(..) {
                self.take(id, event);
            }
        }
    }

    /// What the server says.
    fn hear(&mut self) {
        while let Ok(line) = self.server.lines.try_recv() {
            let words: Vec<_> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<usize>().unwrap();
            match words[0] {
                "message" => self.arrived(number(1), number(2) as u32, number(3) as u64),
                "open" => self.members[number(1)].accepted += 1,
                "count" => {
                    self.there = Some(There {
                        sockets: number(1),
                        heap: number(2),
                    });
                }
                "late" => self.late.add(Duration::from_millis(number(1) as u64)),
                other => panic!("{other}?"),
            }
        }
    }

    fn arrived(&mut self, id: usize, incarnation: u32, number: u64) {
        let member = &mut self.members[id];
        let ledger = if member.incarnation == incarnation {
            Some(&mut member.ledger)
        } else {
            self.closing
                .get_mut(&(id, incarnation))
                .map(|(_, ledger)| ledger)
        };
        let counts = self.report.of(member.adapter);
        match ledger.map(|ledger| ledger.arrived(number)) {
            Some(Arrival::First) => counts.received += 1,
            Some(Arrival::InDoubt) => {
                counts.lost -= 1;
                counts.received += 1;
            }
            Some(Arrival::Wrong) | None => {
                counts.unaccounted += 1;
                let text = format!(
                    "message {number} of incarnation {incarnation} arrived twice, or after it was given back as unsent"
                );
                self.fail(&text, Some(id));
            }
        }
    }

    /// What a client says.
    fn take(&mut self, id: usize, event: Event) {
        let at = event.at;
        match &event.seen {
            Seen::Message(_) | Seen::Ping => {}
            Seen::Down(down) => {
                let text = format!(
                    "down{}: {}, retry in {:?}, {} in doubt, {} unsent",
                    if down.is_dial { " (dial)" } else { "" },
                    down.cause,
                    down.retry,
                    down.in_doubt,
                    down.unsent.len()
                );
                self.members[id].note(at, text);
            }
            other => {
                let text = format!("{other:?}");
                self.members[id].note(at, text);
            }
        }
        match event.seen {
            Seen::Connecting { .. } => self.members[id].dialling = Some(at),
            Seen::Opened { epoch, .. } => self.opened(id, at, epoch),
            Seen::Down(down) => {
                self.account(id, &down);
                if down.is_dial {
                    self.dial_failed(id, at, &down);
                } else {
                    self.down(id, at, &down);
                }
            }
            Seen::Rejected(message) => self.give_back(id, &[message]),
            Seen::Stopped { unsent, .. } => {
                self.give_back(id, &unsent);
                self.stopped(id, at);
            }
            Seen::Message(_) | Seen::Ping | Seen::Pong { .. } | Seen::Rescheduled => {}
        }
    }

    fn opened(&mut self, id: usize, at: Instant, epoch: keepalive::Epoch) {
        let member = &mut self.members[id];
        member.dialling = None;
        member.open = Some(epoch);
        member.opened += 1;
        let healed = member.case.take_if(|case| case.detected.is_some());
        let Some(case) = healed else { return };
        let from = case.until().max(case.detected.unwrap_or(at));
        let took = at.saturating_duration_since(from);
        self.report.of(member.adapter).recovered.add(took);
        if let Some(kind) = case.kind {
            self.report.kind(kind, &self.config).recovered.add(took);
        }
    }

    fn down(&mut self, id: usize, at: Instant, down: &Down) {
        let slack = self.slack();
        let member = &mut self.members[id];
        member.open = None;
        member.dialling = None;
        self.report.of(member.adapter).downs += 1;
        let planned = member.case.as_ref().and_then(|case| {
            let kind = case.kind?;
            // What is stopped may be lost before.
            let is_after = at >= case.at || kind.duty() == Duty::Stop;
            (case.detected.is_none() && is_after).then_some((kind, case.at))
        });
        let is_missed = member.case.as_ref().is_some_and(|case| case.is_missed);
        let explained = planned.filter(|(kind, _)| explains(*kind, &down.why));
        match explained {
            Some((kind, began)) if kind.duty() != Duty::Stop => {
                let took = at - began;
                let bound = kind.bound(&self.config) + slack + self.stall_since(began);
                if let Some(case) = &mut self.members[id].case {
                    case.detected = Some(at);
                }
                let adapter = self.members[id].adapter;
                self.report.kind(kind, &self.config).detected.add(took);
                if kind.duty() == Duty::Convict {
                    self.report.of(adapter).convicted.add(took);
                }
                if took > bound {
                    self.report.of(adapter).missed += 1;
                    self.fail(
                        &format!("{kind} was detected after {took:?}, bound {bound:?}"),
                        Some(id),
                    );
                }
            }
            // It is stopped: there comes a last notice.
            Some(_) => {}
            None if is_missed => {}
            None => {
                let kept_silent = match planned {
                    Some((Kind::Pause(lasts), _)) => lasts,
                    _ => Duration::ZERO,
                };
                let text = match planned {
                    Some((kind, _)) => format!("down under {kind}: {}", down.cause),
                    None => format!("down without a fault: {}", down.cause),
                };
                self.unplanned(id, at, &text, down.why.is_conviction(), kept_silent);
                self.members[id].case = Some(Case {
                    kind: None,
                    at,
                    detected: Some(at),
                    is_missed: false,
                });
            }
        }
    }

    fn dial_failed(&mut self, id: usize, at: Instant, down: &Down) {
        let slack = self.slack() + self.config.connect_timeout();
        let member = &mut self.members[id];
        member.dialling = None;
        let is_stopped = member.is_stopping;
        // A server that stands still is told late of its fault.
        let is_planned = self.members[id].case.as_ref().is_some_and(|case| {
            let limit = case.until() + slack + self.stall_since(case.at);
            case.kind.is_some_and(Kind::fails_dials) && at <= limit
        });
        if !is_planned && !is_stopped {
            let timed_out = down.why == Why::TimedOut(CloseReason::ConnectTimeout);
            let text = format!("a dial failed without a fault: {}", down.cause);
            self.unplanned(id, at, &text, timed_out, Duration::ZERO);
        }
    }

    /// A loss without a fault. If it may have been the machine, it is judged later, when
    /// it is known how late the server was.
    fn unplanned(&mut self, id: usize, at: Instant, text: &str, by_time: bool, silent: Duration) {
        if by_time {
            let text = format!("{text}{}", self.members[id].story(self.began));
            self.suspects.push(Suspect {
                at,
                member: id,
                silent,
                text,
            });
            return;
        }
        self.report.of(self.members[id].adapter).wrong += 1;
        self.fail(text, Some(id));
    }

    fn judge_suspects(&mut self) {
        for suspect in std::mem::take(&mut self.suspects) {
            let window = suspect.at - Duration::from_secs(6)..suspect.at + Duration::from_secs(1);
            let late = self.late.most_there(window.start, window.end);
            let stall = self
                .stalled
                .filter(|at| window.contains(at))
                .map_or(Duration::ZERO, |_| STALL);
            let adapter = self.members[suspect.member].adapter;
            if late + stall + suspect.silent >= self.config.pong_timeout() {
                self.report.of(adapter).excused += 1;
                continue;
            }
            self.report.of(adapter).wrong += 1;
            let text = format!(
                "client {} on {adapter}, the server at most {late:?} late: {}",
                suspect.member, suspect.text
            );
            self.fail(&text, None);
        }
    }

    fn account(&mut self, id: usize, down: &Down) {
        let member = &mut self.members[id];
        let counts = self.report.of(member.adapter);
        counts.in_doubt += down.in_doubt;
        counts.lost += member.ledger.doubt(&down.kept);
        let keeps = self.config_of(id).confirm_within().is_some();
        if keeps && down.in_doubt != down.kept.len() as u64 {
            let text = format!("{} in doubt, but {} kept", down.in_doubt, down.kept.len());
            self.fail(&text, Some(id));
        }
        self.give_back(id, &down.unsent);
    }

    fn give_back(&mut self, id: usize, messages: &[tungstenite::Message]) {
        let member = &mut self.members[id];
        let (unsent, wrong) = member.ledger.give_back(messages);
        let counts = self.report.of(member.adapter);
        counts.unsent += unsent;
        counts.unaccounted += wrong;
        if wrong > 0 {
            self.fail(
                &format!("{wrong} given back as unsent, which had arrived"),
                Some(id),
            );
        }
    }

    fn stopped(&mut self, id: usize, at: Instant) {
        let slack = self.slack();
        let member = &mut self.members[id];
        let adapter = member.adapter;
        let case = member.case.as_mut().filter(|_| member.is_stopping);
        let Some(case) = case else {
            return self.fail("stopped, which nobody wanted", Some(id));
        };
        let took = at.saturating_duration_since(case.at);
        case.detected = Some(at);
        if let Some(kind) = case.kind {
            let of_kind = self.report.kind(kind, &self.config);
            of_kind.detected.add(took);
            if took > of_kind.bound + slack + self.stall_since(at - took) {
                self.report.of(adapter).missed += 1;
                self.fail(&format!("took {took:?} to stop"), Some(id));
            }
        }
        if self.members[id]
            .case
            .as_ref()
            .is_some_and(|case| case.kind.is_none())
        {
            // At the end of all.
            self.members[id].open = None;
            return;
        }
        let config = self.config_of(id);
        let member = &mut self.members[id];
        let incarnation = member.incarnation;
        let ledger = member.start_anew(config, &self.server.ports);
        self.closing
            .insert((id, incarnation), (Instant::now() + SETTLES, ledger));
    }

    /// Its messages and its stop.
    fn drive(&mut self, id: usize) {
        let now = Instant::now();
        let member = &mut self.members[id];
        if member.stop_at.is_some_and(|at| at <= now) {
            member.stop_at = None;
            member.is_stopping = true;
            if let Some(case) = &mut member.case {
                case.at = now;
            }
            member.note(now, "-- stop".to_owned());
            let _ = member.client.handle().stop();
        }
        if member.next_message <= now && !member.is_stopping {
            member.next_message = now + Duration::from_millis(self.random.u64(200..500));
            self.report.of(member.adapter).sent += u64::from(member.send());
        }
    }

    /// What is overdue.
    fn check(&mut self, id: usize) {
        let now = self.looked;
        let slack = self.slack() + SLACK;
        let member = &mut self.members[id];
        let adapter = member.adapter;
        if let Some(dialling) = member.dialling {
            if now > dialling + self.config.connect_timeout() + slack {
                member.dialling = None;
                self.report.of(adapter).missed += 1;
                return self.fail("a dial hangs for longer than its timeout", Some(id));
            }
        }
        let Some(case) = &member.case else { return };
        let (at, until, detected) = (case.at, case.until(), case.detected);
        let duty = case.kind.map(Kind::duty);
        if duty == Some(Duty::Bear) {
            if now > until {
                member.case = None;
            }
            return;
        }
        let Some(detected) = detected else {
            let bound = case
                .kind
                .map_or(Duration::ZERO, |kind| kind.bound(&self.config));
            let waits = member.stop_at.is_some();
            if !waits && now > at + bound + slack + self.stall_since(at) {
                let member = &mut self.members[id];
                if let Some(case) = &mut member.case {
                    case.detected = Some(now);
                    case.is_missed = true;
                }
                self.report.of(adapter).missed += 1;
                self.fail("a fault was not detected", Some(id));
                self.server.tell(&format!("reset {id}"));
            }
            return;
        };
        let from = until.max(detected);
        let is_stopping = self.members[id].is_stopping;
        if now > from + self.heals_in() + slack + self.stall_since(at) && !is_stopping {
            if let Some(case) = &mut self.members[id].case {
                // Told once.
                case.detected = Some(now + Duration::from_secs(24 * 3600));
            }
            self.report.of(adapter).unhealed += 1;
            self.fail("not open again", Some(id));
        }
    }

    fn close_books(&mut self) {
        let now = Instant::now();
        let mut lost = Vec::new();
        self.closing.retain(|key, (until, ledger)| {
            if now < *until {
                return true;
            }
            if !ledger.open.is_empty() {
                lost.push((*key, ledger.open.len(), format!("{:?}", ledger.open)));
            }
            false
        });
        for ((id, incarnation), count, numbers) in lost {
            self.report.of(self.members[id].adapter).unaccounted += count as u64;
            self.fail(
                &format!("of incarnation {incarnation} nobody has seen {numbers}"),
                Some(id),
            );
        }
    }

    /// From the end of a fault, and its detection, until the client is open: a dial that
    /// hangs still, the backoff, and the dial.
    fn heals_in(&self) -> Duration {
        let backoff = self.config.backoff_cap().max(self.config.first_spread());
        self.config.connect_timeout() + backoff + super::LATE
    }

    fn stall_since(&self, from: Instant) -> Duration {
        let overlaps = self.stalled.is_some_and(|at| at + STALL >= from);
        if overlaps { STALL } else { Duration::ZERO }
    }

    /// What is granted to a busy machine.
    fn slack(&self) -> Duration {
        let (here, there) = (self.late.here().min(LATEST), self.late.there().min(LATEST));
        let mut slack = SLACK + (here + there) * 2;
        if here > self.config.late_tolerance() {
            // The peer then gets one more chance.
            slack += self.config.ping_interval() + self.config.pong_timeout();
        }
        slack
    }

    fn fail(&mut self, text: &str, member: Option<usize>) {
        self.failures += 1;
        if self.failures as usize > TOLD {
            return;
        }
        let at = self.began.elapsed().as_secs_f64();
        print!("WRONG at {at:.3} s: ");
        match member {
            None => println!("{text}"),
            Some(id) => {
                let member = &self.members[id];
                println!(
                    "client {id} on {}: {text}{}",
                    member.adapter,
                    member.story(self.began)
                );
            }
        }
    }

    fn leak(&mut self) {
        let now = Instant::now();
        let planted = &mut self.planted;
        let is_due = planted
            .last
            .is_none_or(|last| now - last >= Duration::from_secs(1));
        let Some(plant) = self.settings.plant.filter(|_| is_due) else {
            return;
        };
        planted.last = Some(now);
        let hour = Duration::from_secs(3600);
        match plant {
            Plant::Descriptor => planted.files.extend(fs::File::open("/dev/null")),
            Plant::Memory => planted.bytes.push(vec![1; 64 << 10]),
            Plant::Thread => drop(thread::spawn(move || thread::sleep(hour))),
            Plant::Task => {
                if let Some(runtime) = flat::RUNTIME.get() {
                    runtime.spawn(async move { tokio::time::sleep(hour).await });
                }
            }
            _ => {}
        }
    }

    /// All are stopped; the books are closed, and the tables printed.
    fn end(mut self, rounds: u64) -> bool {
        let now = Instant::now();
        for member in &mut self.members {
            member.case = Some(Case {
                kind: None,
                at: now,
                detected: None,
                is_missed: true,
            });
            member.is_stopping = true;
            let _ = member.client.handle().stop();
        }
        let limit = now + self.config.close_timeout() + Duration::from_secs(10);
        let is_over = |member: &Member| {
            member
                .case
                .as_ref()
                .is_some_and(|case| case.detected.is_some())
        };
        while !self.members.iter().all(is_over) && Instant::now() < limit {
            self.look_at_the_end();
        }
        if let Some(id) = self.members.iter().position(|member| !is_over(member)) {
            self.fail("not stopped at the end", Some(id));
        }
        let settled = Instant::now() + Duration::from_secs(3);
        for member in &mut self.members {
            let key = (member.id, member.incarnation);
            let ledger = std::mem::take(&mut member.ledger);
            member.incarnation += 1;
            self.closing.insert(key, (settled, ledger));
        }
        while !self.closing.is_empty() {
            self.look_at_the_end();
        }
        let left = flat::sample(Duration::ZERO, self.server.child.id(), There::default()).values;
        // Runtimes keep their own.
        let rest = [
            ("descriptors", 2, 20),
            ("threads", 3, 8),
            ("tasks", 4, 0),
            ("sessions", 5, 0),
        ];
        let leaks = self.settings.plant;
        let mut text = self.report.tables(&self.config, self.heals_in());
        let trends = flat::trends(&self.samples);
        text += &report::flatness(&self.samples, &trends);
        text += "\nwhen all were stopped, beyond what was there before:";
        for (name, column, may_be) in rest {
            let over = left[column].saturating_sub(self.idle[column]);
            let _ = write!(text, " {over} {name} (at most {may_be});");
            if over > may_be && leaks.is_none() {
                self.failures += 1;
            }
        }
        let excused: u64 = self
            .report
            .adapters
            .values()
            .map(|counts| counts.excused)
            .sum();
        let _ = writeln!(
            text,
            "\n{rounds} rounds; the machine was up to {} ms late with the clients, {} ms with the server;\n\
             {excused} convictions while the server itself was away for longer than the timeout",
            self.late.greatest_here.as_millis(),
            self.late.greatest_there.as_millis(),
        );
        self.failures += trends.iter().filter(|trend| !trend.is_flat()).count() as u64;
        let is_right = self.failures == 0;
        let _ = writeln!(
            text,
            "{}",
            if is_right {
                "all is right"
            } else {
                "NOT RIGHT"
            }
        );
        print!("\n{text}");
        if let Some(path) = &self.settings.write {
            fs::write(path, &text).unwrap();
        }
        is_right
    }

    /// Without checks of what is overdue.
    fn look_at_the_end(&mut self) {
        thread::sleep(LOOK);
        self.hear_all();
        self.close_books();
    }
}

fn is_quiet(member: &Member) -> bool {
    member.open.is_some() && member.case.is_none() && !member.is_stopping
}

/// Whether this fault is a reason for a loss like that.
fn explains(kind: Kind, why: &Why) -> bool {
    match kind.duty() {
        Duty::Convict => why.is_conviction(),
        Duty::Bear => false,
        Duty::Stop => true,
        Duty::Obey => *why == Why::Other,
        Duty::Report => match (kind, why) {
            (Kind::Close(code), Why::Closed(found)) => *found == Some(CloseCode(code)),
            (Kind::Close(_), _) => false,
            (_, Why::Failed | Why::Closed(None)) => true,
            (Kind::Fin, Why::Closed(code)) => code.is_none_or(|code| code.0 == 1006),
            _ => false,
        },
    }
}

/// How late timers are, here and at the server.
struct Lateness {
    ticker: Arc<AtomicU64>,
    here: VecDeque<(Instant, Duration)>,
    there: VecDeque<(Instant, Duration)>,
    greatest_here: Duration,
    greatest_there: Duration,
}

impl Lateness {
    fn watch() -> Self {
        let ticker = Arc::new(AtomicU64::new(0));
        let millis = Arc::downgrade(&ticker);
        thread::spawn(move || {
            let tick = Duration::from_millis(5);
            loop {
                let began = Instant::now();
                thread::sleep(tick);
                let late = began.elapsed().saturating_sub(tick);
                let Some(millis) = millis.upgrade() else {
                    return;
                };
                millis.fetch_max(late.as_millis() as u64, Ordering::Relaxed);
            }
        });
        Self {
            ticker,
            here: VecDeque::new(),
            there: VecDeque::new(),
            greatest_here: Duration::ZERO,
            greatest_there: Duration::ZERO,
        }
    }

    fn look(&mut self, own: Duration) {
        let now = Instant::now();
        let late = Duration::from_millis(self.ticker.swap(0, Ordering::Relaxed)).max(own);
        self.greatest_here = self.greatest_here.max(late);
        if late > Duration::from_millis(20) {
            self.here.push_back((now, late));
        }
        for late in [&mut self.here, &mut self.there] {
            while late
                .front()
                .is_some_and(|(at, _)| now - *at > REMEMBERED * 5)
            {
                late.pop_front();
            }
        }
    }

    fn add(&mut self, late: Duration) {
        self.greatest_there = self.greatest_there.max(late);
        self.there.push_back((Instant::now(), late));
    }

    fn here(&self) -> Duration {
        recent(&self.here)
    }

    fn there(&self) -> Duration {
        recent(&self.there)
    }

    fn most_there(&self, from: Instant, to: Instant) -> Duration {
        let within = self.there.iter().filter(|(at, _)| from <= *at && *at <= to);
        within.map(|(_, late)| *late).max().unwrap_or_default()
    }
}

fn recent(late: &VecDeque<(Instant, Duration)>) -> Duration {
    let now = Instant::now();
    let recent = late
        .iter()
        .rev()
        .take_while(|(at, _)| now - *at < REMEMBERED);
    recent.map(|(_, late)| *late).max().unwrap_or_default()
}

/// The process of the server; it ends with its standard input.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    ports: Vec<u16>,
}

impl Server {
    fn start(plant: Option<Plant>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--server");
        if let Some(plant) = plant {
            command.args(["--plant", plant.name()]);
        }
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = output.next().unwrap().unwrap();
        let ports = first.split(' ').skip(1).map(|port| port.parse().unwrap());
        let ports = ports.collect();
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        Self {
            child,
            input,
            lines,
            ports,
        }
    }

    fn tell(&mut self, command: &str) {
        if let Some(input) = &mut self.input {
            writeln!(input, "{command}").unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
