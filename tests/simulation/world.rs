//! The world itself: one event after the other, in virtual time.
//!
//! Packets of one direction of a connection stay in order, and none comes twice.
//! A process reads what came in as soon as it runs, and ticks then, as the
//! adapters do. A socket that one side no longer has answers with a reset.

use core::cmp::Reverse;
use core::mem;
use core::time::Duration;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;
use keepalive::{Action, CloseCode, CloseReason, Closed, Epoch, Event, PingId, State};

use super::end::{End, Make};
use super::oracle::{Input, Machine};
use super::plan::{Capacity, Goodbye, LEFTOVER, Plan, Refusal, What, Whim, between};
use super::report::{Kind, Tally, Trouble};

/// What a world is made of, and how it is looked at.
#[derive(Debug)]
pub struct Rules<M> {
    pub make: Make<M>,
    /// Whether the oracle follows every heartbeat.
    pub watched: bool,
    /// A driver that ticks before it reads.
    pub ticks_first: bool,
    /// Prints everything.
    pub loud: bool,
}

// Whatever a machine can, a way to make one can be copied.
impl<M> Copy for Rules<M> {}

impl<M> Clone for Rules<M> {
    fn clone(&self) -> Self {
        *self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Client(usize),
    /// The accepted socket of this line.
    Server(usize),
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

#[derive(Clone, Copy, Debug)]
enum Packet {
    Dial,
    Accept,
    Ping(PingId),
    Pong(PingId),
    Message,
    Close(Closed),
    Reset,
}

/// A connection, from its dial on. Arrays are for the client's side and the
/// server's, or for what goes there.
struct Line<M> {
    client: usize,
    epoch: Epoch,
    server: Option<Box<End<M>>>,
    holds: [bool; 2],
    /// Nothing arrives there any more.
    is_deaf: [bool; 2],
    /// The last one.
    arrival: [Duration; 2],
    /// Nothing was lost or held up on it, and both processes ran all the time.
    is_sound: bool,
    /// The ping whose answer would have come in time after all.
    doubted: [Option<(PingId, Duration)>; 2],
}

#[derive(Debug, Default)]
struct Process {
    away: u32,
    asleep: Option<Duration>,
    /// By how much its clock is behind.
    lag: Duration,
    lateness: Duration,
    grains: Vec<Duration>,
    unread: VecDeque<(usize, Packet)>,
}

struct Client<M> {
    end: End<M>,
    line: Option<usize>,
    process: Process,
    /// For what goes to the client, and to the server.
    cuts: [u32; 2],
    stalls: [u32; 2],
    held: [Vec<(usize, Packet)>; 2],
    lossy: u32,
    stuck: u32,
    unsent: Vec<(usize, Packet)>,
    /// The suspend that waits for its next ping.
    ambush: Option<usize>,
    /// It wants to be open.
    is_on: bool,
    is_well: bool,
}

#[derive(Debug)]
struct Server {
    process: Process,
    capacity: Capacity,
    overload: Option<Capacity>,
    backlog: VecDeque<usize>,
    /// The accept that it works on, and those before it.
    working: Option<u32>,
    works: u32,
    /// All before that is work that it already has.
    free: Duration,
    down: u32,
    /// What becomes of a dial while it is down.
    meanwhile: Refusal,
    open: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Arrives(usize, usize, Packet),
    LateEnd(usize),
    Talks(usize, usize),
    Starts(usize),
    Begins(usize),
    Ends(usize),
    Accepts(u32),
    Heals,
    Settled,
    Over,
    /// After all else of this instant: what came in is read first.
    Ticks(Who, u32),
}

struct Item {
    at: Duration,
    order: (bool, u64),
    due: Due,
}

pub struct World<M> {
    plan: Plan,
    rules: Rules<M>,
    now: Duration,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    random: Rng,
    clients: Vec<Client<M>>,
    lines: Vec<Line<M>>,
    server: Server,
    well: usize,
    /// Since when all have been open.
    whole: Duration,
    settled: Option<Vec<Option<usize>>>,
    seen: DefaultHasher,
    pub tally: Tally,
}

type Went = Result<(), Trouble>;

impl<M: Machine> World<M> {
    pub fn new(plan: Plan, rules: Rules<M>) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            order: 0,
            random: Rng::with_seed(plan.seed ^ 0x5eed),
            clients: Vec::with_capacity(plan.clients.len()),
            lines: Vec::new(),
            server: Server {
                process: Process {
                    lateness: plan.lateness,
                    ..Process::default()
                },
                capacity: plan.capacity,
                overload: None,
                backlog: VecDeque::new(),
                working: None,
                works: 0,
                free: Duration::ZERO,
                down: 0,
                meanwhile: Refusal::Reset,
                open: BTreeSet::new(),
            },
            well: 0,
            whole: Duration::ZERO,
            settled: None,
            seen: DefaultHasher::new(),
            tally: Tally::new(plan.clients.len()),
            rules,
            plan,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for at in 0..self.plan.clients.len() {
            let habits = &self.plan.clients[at];
            let (config, starts) = (habits.config, habits.starts);
            let machine = (self.rules.make)(config, self.random.u64(..));
            self.clients.push(Client {
                end: End::new(machine, config, self.rules.watched),
                line: None,
                process: Process {
                    lateness: habits.lateness,
                    ..Process::default()
                },
                cuts: [0; 2],
                stalls: [0; 2],
                held: [Vec::new(), Vec::new()],
                lossy: 0,
                stuck: 0,
                unsent: Vec::new(),
                ambush: None,
                is_on: true,
                is_well: false,
            });
            for side in [CLIENT, SERVER] {
                if self.plan.clients[at].talks[side].is_some() {
                    self.plan_for(starts, Due::Talks(at, side));
                }
            }
            self.plan_for(starts, Due::Starts(at));
        }
        for at in 0..self.plan.faults.len() {
            let (from, till) = (self.plan.faults[at].from, self.plan.faults[at].till);
            self.plan_for(from, Due::Begins(at));
            self.plan_for(till, Due::Ends(at));
        }
        let (heal, bound, stay) = (self.plan.heal, self.plan.bound, self.plan.stay);
        self.plan_for(heal, Due::Heals);
        self.plan_for(heal + bound, Due::Settled);
        self.plan_for(heal + bound + stay, Due::Over);
    }

    /// The whole story: what it comes to, and a number that is the same for the
    /// same story.
    pub fn run(mut self) -> (Result<u64, Trouble>, Tally) {
        let mut went = Ok(());
        while let (Ok(()), Some(Reverse(item))) = (&went, self.queue.pop()) {
            self.now = item.at;
            if matches!(item.due, Due::Over) {
                went = self.is_over();
                break;
            }
            went = self.happens(item.due);
        }
        self.tally.time = self.now;
        if let Err(trouble) = &went {
            self.tally.troubled(trouble.kind);
        }
        (went.map(|()| self.seen.finish()), self.tally)
    }

    fn plan_for(&mut self, at: Duration, due: Due) {
        self.order += 1;
        let order = (matches!(due, Due::Ticks(..)), self.order);
        self.queue.push(Reverse(Item { at, order, due }));
    }

    fn happens(&mut self, due: Due) -> Went {
        if self.rules.loud && !matches!(due, Due::Ticks(..) | Due::Talks(..)) {
            println!("{:?} {due:?}", self.now);
        }
        match due {
            Due::Arrives(line, side, packet) => self.arrives(line, side, packet),
            Due::LateEnd(line) => self.ends_late(line),
            Due::Talks(client, side) => self.talks(client, side),
            Due::Starts(client) => self.starts(client),
            Due::Begins(fault) => self.begins(fault),
            Due::Ends(fault) => self.ends(fault),
            Due::Accepts(work) => self.accepts(work),
            Due::Heals => Ok(()),
            Due::Settled => self.is_settled(),
            Due::Over => Ok(()),
            Due::Ticks(who, number) => {
                let is_due = self.end(who).is_some_and(|end| {
                    let is_meant = end.tick == number;
                    end.armed.take_if(|_| is_meant).is_some()
                });
                if is_due && !self.is_away(who) {
                    return self.tell(who, Event::Tick);
                }
                Ok(())
            }
        }
    }

    fn trouble(&self, kind: Kind, who: impl core::fmt::Debug, text: impl Into<String>) -> Trouble {
        Trouble {
            seed: self.plan.seed,
            kind,
            text: format!("at {:?} {who:?}: {}", self.now, text.into()),
        }
    }

    // Ends and their processes.

    fn end(&mut self, who: Who) -> Option<&mut End<M>> {
        match who {
            Who::Client(at) => Some(&mut self.clients[at].end),
            Who::Server(line) => self.lines[line].server.as_deref_mut(),
        }
    }

    fn process(&mut self, who: Who) -> &mut Process {
        match who {
            Who::Client(at) => &mut self.clients[at].process,
            Who::Server(_) => &mut self.server.process,
        }
    }

    fn is_away(&mut self, who: Who) -> bool {
        self.process(who).away > 0
    }

    /// The time of its clock.
    fn local(&mut self, who: Who) -> Duration {
        let now = self.now;
        let process = self.process(who);
        process.asleep.unwrap_or(now).saturating_sub(process.lag)
    }

    fn line_of(&self, who: Who) -> Option<usize> {
        match who {
            Who::Client(at) => self.clients[at].line,
            Who::Server(line) => Some(line),
        }
    }

    fn state(&self, who: Who) -> State {
        let end = match who {
            Who::Client(at) => Some(&self.clients[at].end),
            Who::Server(line) => self.lines[line].server.as_deref(),
        };
        end.map_or(State::Stopped, |end| end.machine.views().state)
    }

    fn tell(&mut self, who: Who, event: Event) -> Went {
        self.feed(who, Input::Event(event))
    }

    fn feed(&mut self, who: Who, input: Input) -> Went {
        let (at, local) = (self.now, self.local(who));
        let Some(end) = self.end(who) else {
            return Ok(());
        };
        let entry = match end.take(input, local) {
            Ok(entry) => entry,
            Err(broken) => {
                let text = format!("invariant {}: {}", broken.invariant, broken.text);
                return Err(self.trouble(Kind::Oracle, who, text));
            }
        };
        if matches!(input, Input::Event(Event::Opened)) {
            end.opens(local);
        }
        self.tally.steps += 1;
        (at, who, mem::discriminant(&event_of(input)), entry.deadline).hash(&mut self.seen);
        if self.rules.loud {
            println!("{at:?} {who:?} {entry}");
        }
        for &action in &entry.actions {
            mem::discriminant(&action).hash(&mut self.seen);
            self.acts(who, action)?;
        }
        if let (Some(end), Event::NetworkChanged) = (self.end(who), event_of(input)) {
            end.hurries(local);
        }
        self.arms(who);
        if !entry.actions.is_empty() {
            self.looks_after(who);
        }
        Ok(())
    }

    /// Late by up to what is usual, and at no time that the timer does not know.
    fn arms(&mut self, who: Who) {
        let now = self.now;
        let (lag, late) = (self.process(who).lag, self.process(who).lateness);
        let grain = self.process(who).grains.iter().max().copied();
        let Some(end) = self.end(who) else { return };
        let deadline = end.machine.deadline();
        if deadline == end.armed {
            return;
        }
        end.armed = deadline;
        end.tick += 1;
        let tick = end.tick;
        let Some(deadline) = deadline else { return };
        let mut at = (deadline + lag).max(now);
        if !late.is_zero() {
            at += match self.random.u8(0..4) {
                0 => late,
                _ => between(&mut self.random, Duration::ZERO, late),
            };
        }
        if let Some(grain) = grain {
            let nanos = at.as_nanos().next_multiple_of(grain.as_nanos());
            at = Duration::from_nanos(u64::try_from(nanos).unwrap());
        }
        self.plan_for(at, Due::Ticks(who, tick));
    }

    fn acts(&mut self, who: Who, action: Action<Duration>) -> Went {
        let local = self.local(who);
        match action {
            Action::Connect => self.dials(who),
            Action::SendPing(id) => {
                if let Some(end) = self.end(who) {
                    end.pings(id, local);
                }
                self.tally.pings(self.now);
                self.writes(who, Packet::Ping(id))?;
                self.is_ambushed(who);
                Ok(())
            }
            Action::Close(reason) => {
                if matches!(reason, CloseReason::PongTimeout | CloseReason::IdleTimeout) {
                    self.judges(who)?;
                }
                if reason.is_graceful() {
                    let normal = Closed::with_code(CloseCode::NORMAL);
                    self.writes(who, Packet::Close(normal))
                } else {
                    self.abandons(who);
                    Ok(())
                }
            }
            Action::Stopped(_) => {
                self.lets_go(who);
                Ok(())
            }
            Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) => Ok(()),
        }
    }

    /// A peer was found dead: rightly?
    fn judges(&mut self, who: Who) -> Went {
        let local = self.local(who);
        let Some(line) = self.line_of(who) else {
            return Err(self.trouble(Kind::Mistake, who, "there is no connection"));
        };
        let unread = |&(of, _): &(usize, Packet)| of == line;
        let has_unread = self.process(who).unread.iter().any(unread);
        let is_sound = self.lines[line].is_sound;
        let Some(end) = self.end(who) else {
            return Ok(());
        };
        let verdict = end.verdict();
        let ping = end.accuses(has_unread, local);
        self.tally.convicted(verdict);
        let ping = ping.map_err(|text| self.trouble(Kind::Mistake, who, text))?;
        if is_sound {
            let text = "nothing was lost or held up on this connection";
            return Err(self.trouble(Kind::Mistake, who, text));
        }
        self.lines[line].doubted[side_of(who)] = ping.map(|ping| (ping.id, ping.due));
        Ok(())
    }

    /// The kernel tells the peer, if it can. Some sockets report their end later.
    fn abandons(&mut self, who: Who) {
        let Some(line) = self.line_of(who) else {
            return;
        };
        self.sends(line, 1 - side_of(who), Packet::Reset);
        self.lets_go(who);
        if let Who::Client(at) = who {
            if self.plan.clients[at].late_ends {
                let later = between(&mut self.random, Duration::ZERO, Duration::from_secs(60));
                self.plan_for(self.now + later, Due::LateEnd(line));
            }
        }
    }

    /// This side has no socket any more.
    fn lets_go(&mut self, who: Who) {
        let Some(line) = self.line_of(who) else {
            return;
        };
        self.lines[line].holds[side_of(who)] = false;
        match who {
            Who::Client(at) => {
                self.clients[at].line = None;
                self.clients[at].unsent.clear();
            }
            Who::Server(_) => {
                self.lines[line].server = None;
                self.server.open.remove(&line);
            }
        }
    }

    fn ends_late(&mut self, line: usize) -> Went {
        let who = Who::Client(self.lines[line].client);
        if self.is_away(who) {
            return Ok(());
        }
        let event = Event::Closed(Closed::default());
        self.feed(who, Input::From(self.lines[line].epoch, event))
    }

    // The network.

    /// What a process writes leaves at once, or when it can.
    fn writes(&mut self, who: Who, packet: Packet) -> Went {
        let Some(line) = self.line_of(who) else {
            return Ok(());
        };
        if let Who::Client(at) = who {
            let client = &mut self.clients[at];
            if client.stuck > 0 {
                client.unsent.push((line, packet));
                self.lines[line].is_sound = false;
                return Ok(());
            }
        }
        self.sends(line, 1 - side_of(who), packet);
        self.flushes(who, packet)
    }

    fn flushes(&mut self, who: Who, packet: Packet) -> Went {
        let (Packet::Ping(id), Who::Client(at)) = (packet, who) else {
            return Ok(());
        };
        if !self.plan.clients[at].flushes {
            return Ok(());
        }
        let local = self.local(who);
        self.clients[at].end.flushes(id, local);
        self.tell(who, Event::PingSent(id))
    }

    fn sends(&mut self, line: usize, side: usize, packet: Packet) {
        let Line {
            client,
            is_deaf,
            is_sound,
            ..
        } = &mut self.lines[line];
        let link = &mut self.clients[*client];
        if is_deaf[side] || link.cuts[side] > 0 {
            is_deaf[side] = true;
            *is_sound = false;
            return;
        }
        if link.stalls[side] > 0 {
            *is_sound = false;
            link.held[side].push((line, packet));
            return;
        }
        let is_lossy = link.lossy > 0 && self.random.u8(0..4) == 0;
        let later = if is_lossy {
            *is_sound = false;
            between(&mut self.random, Duration::ZERO, LEFTOVER)
        } else {
            Duration::ZERO
        };
        self.travels(line, side, packet, later);
    }

    fn travels(&mut self, line: usize, side: usize, packet: Packet, later: Duration) {
        let Line {
            client, arrival, ..
        } = &mut self.lines[line];
        let latency = self.plan.clients[*client].latency;
        let at = self.now + between(&mut self.random, latency, 2 * latency) + later;
        arrival[side] = arrival[side].max(at);
        let at = arrival[side];
        self.plan_for(at, Due::Arrives(line, side, packet));
    }

    fn arrives(&mut self, line: usize, side: usize, packet: Packet) -> Went {
        if side == SERVER {
            if self.server.down > 0 && !matches!(self.server.meanwhile, Refusal::Never) {
                if matches!(packet, Packet::Dial) {
                    self.refuses(line, self.server.meanwhile);
                    return Ok(());
                }
            } else if self.server.down > 0 {
                return Ok(());
            }
            if matches!(packet, Packet::Dial) {
                self.queues(line);
                return Ok(());
            }
        }
        if !self.lines[line].holds[side] {
            self.comes_too_late(line, side, packet)?;
            if !matches!(packet, Packet::Reset) {
                self.sends(line, 1 - side, Packet::Reset);
            }
            return Ok(());
        }
        let who = if side == CLIENT {
            Who::Client(self.lines[line].client)
        } else {
            Who::Server(line)
        };
        let local = self.local(who);
        let Some(end) = self.end(who) else {
            // It waits to be accepted, and does not any more.
            self.lines[line].holds[side] = false;
            return Ok(());
        };
        end.comes(local);
        if self.is_away(who) {
            self.lines[line].is_sound = false;
            self.process(who).unread.push_back((line, packet));
            return Ok(());
        }
        self.reads(who, line, packet)
    }

    /// The peer was found dead too early, if the answer comes in time.
    fn comes_too_late(&mut self, line: usize, side: usize, packet: Packet) -> Went {
        let (Packet::Pong(id), Some((doubted, due))) = (packet, self.lines[line].doubted[side])
        else {
            return Ok(());
        };
        let who = if side == CLIENT {
            Who::Client(self.lines[line].client)
        } else {
            Who::Server(line)
        };
        if id == doubted && self.local(who) <= due {
            let text = "the answer came in time, after the verdict";
            return Err(self.trouble(Kind::Mistake, who, text));
        }
        Ok(())
    }

    fn reads(&mut self, who: Who, line: usize, packet: Packet) -> Went {
        if self.line_of(who) != Some(line) {
            return Ok(());
        }
        match packet {
            Packet::Dial => Ok(()),
            Packet::Accept => self.tell(who, Event::Opened),
            Packet::Message => self.tell(who, Event::Received),
            Packet::Pong(id) => self.tell(who, Event::Pong(id)),
            Packet::Ping(id) => {
                self.tell(who, Event::Received)?;
                self.writes(who, Packet::Pong(id))
            }
            Packet::Reset => {
                self.lets_go_of_client(who);
                self.tell(who, Event::Error)
            }
            Packet::Close(closed) => {
                self.sends(line, 1 - side_of(who), Packet::Reset);
                self.lets_go_of_client(who);
                self.tell(who, Event::Closed(closed))
            }
        }
    }

    /// The server's side goes when its heartbeat has stopped.
    fn lets_go_of_client(&mut self, who: Who) {
        if let Who::Client(_) = who {
            self.lets_go(who);
        }
    }

    // The server.

    fn dials(&mut self, who: Who) -> Went {
        let Who::Client(client) = who else {
            return Err(self.trouble(Kind::Restless, who, "the server dials"));
        };
        let line = self.lines.len();
        self.lines.push(Line {
            client,
            epoch: self.clients[client].end.machine.views().epoch,
            server: None,
            holds: [true, false],
            is_deaf: [false; 2],
            arrival: [Duration::ZERO; 2],
            is_sound: true,
            doubted: [None; 2],
        });
        self.clients[client].line = Some(line);
        self.tally.dials(self.now);
        self.sends(line, SERVER, Packet::Dial);
        if self.settled.is_some() {
            return Err(self.trouble(Kind::Restless, who, "it dials, though all is well"));
        }
        Ok(())
    }

    fn capacity(&self) -> Capacity {
        self.server.overload.unwrap_or(self.server.capacity)
    }

    fn queues(&mut self, line: usize) {
        let capacity = self.capacity();
        if self.server.backlog.len() < capacity.backlog {
            self.lines[line].holds[SERVER] = true;
            self.server.backlog.push_back(line);
            self.works();
            return;
        }
        let cost = capacity.refusal / capacity.accepts_a_second;
        self.server.free = self.server.free.max(self.now) + Duration::from_secs_f64(cost);
        self.refuses(line, capacity.refuses);
    }

    fn refuses(&mut self, line: usize, how: Refusal) {
        self.tally.refusals += 1;
        match how {
            Refusal::Reset => self.sends(line, CLIENT, Packet::Reset),
            Refusal::Says(closed) => self.sends(line, CLIENT, Packet::Close(closed)),
            Refusal::Never => {}
        }
    }

    fn works(&mut self) {
        let server = &self.server;
        if server.working.is_some() || server.backlog.is_empty() || server.process.away > 0 {
            return;
        }
        let cost = Duration::from_secs_f64(1.0 / self.capacity().accepts_a_second);
        let at = self.server.free.max(self.now) + cost;
        self.server.free = at;
        self.server.works += 1;
        self.server.working = Some(self.server.works);
        self.plan_for(at, Due::Accepts(self.server.works));
    }

    /// It is a server with other work, or with another capacity.
    fn works_anew(&mut self) {
        self.server.free = self.now;
        self.server.working = None;
        self.works();
    }

    fn accepts(&mut self, work: u32) -> Went {
        if self.server.working.take_if(|at| *at == work).is_none() {
            return Ok(());
        }
        if self.server.process.away > 0 {
            return Ok(());
        }
        if let Some(line) = self.server.backlog.pop_front() {
            if self.lines[line].holds[SERVER] {
                let machine = (self.rules.make)(self.plan.server, self.random.u64(..));
                let end = End::new(machine, self.plan.server, self.rules.watched);
                self.lines[line].server = Some(Box::new(end));
                self.server.open.insert(line);
                self.tally.accepts += 1;
                self.sends(line, CLIENT, Packet::Accept);
                self.tell(Who::Server(line), Event::Opened)?;
            }
        }
        self.works();
        Ok(())
    }

    // The applications.

    fn talks(&mut self, client: usize, side: usize) -> Went {
        if let Some(every) = self.plan.clients[client].talks[side] {
            let next = self.now + between(&mut self.random, every / 2, every);
            self.plan_for(next, Due::Talks(client, side));
        }
        let Some(line) = self.clients[client].line else {
            return Ok(());
        };
        let who = if side == CLIENT {
            Who::Client(client)
        } else {
            Who::Server(line)
        };
        if self.state(who) != State::Open || self.is_away(who) {
            return Ok(());
        }
        self.tell(who, Event::Sent)?;
        self.writes(who, Packet::Message)
    }

    fn starts(&mut self, client: usize) -> Went {
        let who = Who::Client(client);
        if self.is_away(who) {
            self.plan_for(self.now + Duration::from_secs(1), Due::Starts(client));
            return Ok(());
        }
        self.clients[client].is_on = true;
        self.tell(who, Event::Start)
    }

    fn fancies(&mut self, client: usize, whim: Whim) -> Went {
        let who = Who::Client(client);
        if self.is_away(who) || !self.clients[client].is_on {
            return Ok(());
        }
        match whim {
            Whim::NetworkChanged => self.tell(who, Event::NetworkChanged),
            Whim::ReconnectNow => self.tell(who, Event::ReconnectNow),
            Whim::Healthy => self.tell(who, Event::Healthy),
            Whim::Stop => {
                self.clients[client].is_on = false;
                self.tell(who, Event::Stop)
            }
        }
    }

    // The faults.

    fn begins(&mut self, fault: usize) -> Went {
        let what = self.plan.faults[fault].what.clone();
        match what {
            What::Cut {
                clients,
                to,
                lasting,
            } => {
                for (at, side) in pairs(&clients, to) {
                    let client = &mut self.clients[at];
                    let depth = if lasting {
                        &mut client.cuts
                    } else {
                        &mut client.stalls
                    };
                    depth[side] += 1;
                }
            }
            What::Lossy { client } => self.clients[client].lossy += 1,
            What::Forgotten { client, noticed } => {
                if let Some(line) = self.clients[client].line {
                    self.lines[line].is_deaf = [true; 2];
                    self.lines[line].is_sound = false;
                }
                if noticed {
                    return self.fancies(client, Whim::NetworkChanged);
                }
            }
            What::Suspended {
                client,
                clock_stops,
                after_ping,
                ..
            } => {
                let ambush = &mut self.clients[client].ambush;
                if after_ping && ambush.is_none() {
                    *ambush = Some(fault);
                } else {
                    self.leaves(Who::Client(client), clock_stops);
                }
            }
            What::Throttled { client, grain } => self.clients[client].process.grains.push(grain),
            What::Stuck { client } => self.clients[client].stuck += 1,
            What::Restart { says, meanwhile } => self.goes_down(says, meanwhile),
            What::Overload(capacity) => self.server.overload = Some(capacity),
            What::Paused => self.leaves(Who::Server(0), false),
            What::Whim { client, whim } => return self.fancies(client, whim),
        }
        Ok(())
    }

    fn ends(&mut self, fault: usize) -> Went {
        let what = self.plan.faults[fault].what.clone();
        match what {
            What::Cut {
                clients,
                to,
                lasting,
            } => {
                for (at, side) in pairs(&clients, to) {
                    let client = &mut self.clients[at];
                    if lasting {
                        client.cuts[side] -= 1;
                    } else {
                        client.stalls[side] -= 1;
                        if client.stalls[side] == 0 {
                            self.repeats(at, side);
                        }
                    }
                }
            }
            What::Lossy { client } => self.clients[client].lossy -= 1,
            What::Forgotten { .. } => {}
            What::Suspended {
                client, noticed, ..
            } => {
                let ambush = &mut self.clients[client].ambush;
                if ambush.take_if(|waiting| *waiting == fault).is_some() {
                    return Ok(());
                }
                self.comes_back(Who::Client(client))?;
                if noticed {
                    return self.fancies(client, Whim::NetworkChanged);
                }
            }
            What::Throttled { client, grain } => {
                let process = &mut self.clients[client].process;
                if let Some(at) = process.grains.iter().position(|&other| other == grain) {
                    process.grains.remove(at);
                }
                return self.looks(Who::Client(client));
            }
            What::Stuck { client } => return self.comes_unstuck(client),
            What::Restart { .. } => self.server.down -= 1,
            What::Overload(_) => {
                self.server.overload = None;
                self.works_anew();
            }
            What::Paused => return self.comes_back(Who::Server(0)),
            What::Whim { client, whim } => {
                if matches!(whim, Whim::Stop) {
                    return self.starts(client);
                }
            }
        }
        Ok(())
    }

    /// What was held up comes later still, in its order.
    fn repeats(&mut self, client: usize, side: usize) {
        let later = between(&mut self.random, Duration::ZERO, LEFTOVER / 2);
        for (line, packet) in mem::take(&mut self.clients[client].held[side]) {
            self.lines[line].is_deaf[side] |= self.clients[client].cuts[side] > 0;
            if !self.lines[line].is_deaf[side] {
                self.travels(line, side, packet, later);
            }
        }
    }

    fn comes_unstuck(&mut self, client: usize) -> Went {
        self.clients[client].stuck -= 1;
        if self.clients[client].stuck > 0 {
            return Ok(());
        }
        for (line, packet) in mem::take(&mut self.clients[client].unsent) {
            self.sends(line, SERVER, packet);
            if !self.is_away(Who::Client(client)) {
                self.flushes(Who::Client(client), packet)?;
            }
        }
        Ok(())
    }

    fn is_ambushed(&mut self, who: Who) {
        let Who::Client(at) = who else { return };
        let waiting = self.clients[at].ambush.take();
        let fault = waiting.map(|fault| &self.plan.faults[fault].what);
        if let Some(&What::Suspended { clock_stops, .. }) = fault {
            self.leaves(who, clock_stops);
        }
    }

    fn leaves(&mut self, who: Who, clock_stops: bool) {
        let now = self.now;
        let process = self.process(who);
        process.away += 1;
        if process.away == 1 && clock_stops {
            process.asleep = Some(now);
        }
        let lines = match who {
            Who::Client(at) => Vec::from_iter(self.clients[at].line),
            Who::Server(_) => Vec::from_iter(self.server.open.iter().copied()),
        };
        for line in lines {
            self.lines[line].is_sound = false;
        }
    }

    fn comes_back(&mut self, who: Who) -> Went {
        let now = self.now;
        let process = self.process(who);
        process.away -= 1;
        if process.away > 0 {
            return Ok(());
        }
        if let Some(since) = process.asleep.take() {
            process.lag += now - since;
        }
        let is_server = matches!(who, Who::Server(_));
        if self.rules.ticks_first {
            self.ticks_all(who, is_server)?;
        }
        while let Some((line, packet)) = self.process(who).unread.pop_front() {
            let reader = if is_server { Who::Server(line) } else { who };
            self.reads(reader, line, packet)?;
        }
        if is_server {
            self.works();
        }
        self.ticks_all(who, is_server)
    }

    fn ticks_all(&mut self, who: Who, is_server: bool) -> Went {
        if !is_server {
            return self.looks(who);
        }
        for line in Vec::from_iter(self.server.open.iter().copied()) {
            self.looks(Who::Server(line))?;
        }
        Ok(())
    }

    /// Ticks if it is time, and sets the timer in any case.
    fn looks(&mut self, who: Who) -> Went {
        if self.is_away(who) {
            return Ok(());
        }
        let local = self.local(who);
        let Some(end) = self.end(who) else {
            return Ok(());
        };
        end.armed = None;
        if end.machine.deadline().is_some_and(|at| at <= local) {
            return self.tell(who, Event::Tick);
        }
        self.arms(who);
        Ok(())
    }

    fn goes_down(&mut self, says: Goodbye, meanwhile: Refusal) {
        self.server.down += 1;
        self.server.meanwhile = meanwhile;
        self.server.process.unread.clear();
        self.server.backlog.clear();
        for line in 0..self.lines.len() {
            if !self.lines[line].holds[SERVER] {
                continue;
            }
            self.lines[line].is_sound = false;
            match says {
                Goodbye::Nothing => {}
                Goodbye::Reset => self.sends(line, CLIENT, Packet::Reset),
                Goodbye::Says(closed) => self.sends(line, CLIENT, Packet::Close(closed)),
            }
            self.lines[line].holds[SERVER] = false;
            self.lines[line].server = None;
            let client = self.lines[line].client;
            self.looks_after(Who::Client(client));
        }
        self.server.open.clear();
        self.works_anew();
    }

    // What it comes to.

    /// Whether this client is open on both ends.
    fn looks_after(&mut self, who: Who) {
        let client = match who {
            Who::Client(at) => at,
            Who::Server(line) => self.lines[line].client,
        };
        let is_open = |who| self.state(who) == State::Open;
        let line = self.clients[client].line;
        let is_well =
            is_open(Who::Client(client)) && line.is_some_and(|line| is_open(Who::Server(line)));
        let before = mem::replace(&mut self.clients[client].is_well, is_well);
        match (before, is_well) {
            (false, true) => {
                self.well += 1;
                if self.well == self.clients.len() {
                    self.whole = self.now;
                }
            }
            (true, false) => self.well -= 1,
            _ => {}
        }
    }

    fn is_settled(&mut self) -> Went {
        self.are_all_open()?;
        self.settled = Some(self.clients.iter().map(|client| client.line).collect());
        let took = self.whole.saturating_sub(self.plan.heal);
        self.tally.healed(took, self.plan.bound);
        Ok(())
    }

    fn are_all_open(&self) -> Went {
        let (all, open) = (self.clients.len(), self.server.open.len());
        if let Some(at) = self.clients.iter().position(|client| !client.is_well) {
            let text = format!("of {all} clients only {} are open", self.well);
            return Err(self.trouble(Kind::NotOpen, Who::Client(at), text));
        }
        if open != all {
            let text = format!("it has {open} sockets of {all} clients");
            return Err(self.trouble(Kind::NotOpen, "the server", text));
        }
        Ok(())
    }

    fn is_over(&self) -> Went {
        self.are_all_open()?;
        let lines = self.clients.iter().map(|client| client.line);
        if self
            .settled
            .as_ref()
            .is_none_or(|before| lines.ne(before.iter().copied()))
        {
            return Err(self.trouble(Kind::Restless, "a client", "it has another connection"));
        }
        Ok(())
    }
}

fn side_of(who: Who) -> usize {
    match who {
        Who::Client(_) => CLIENT,
        Who::Server(_) => SERVER,
    }
}

fn event_of(input: Input) -> Event {
    match input {
        Input::Event(event) | Input::From(_, event) => event,
        Input::Reconfigure(_) => Event::Tick,
    }
}

fn pairs(clients: &[usize], to: [bool; 2]) -> Vec<(usize, usize)> {
    let sides = [CLIENT, SERVER].into_iter().filter(|&side| to[side]);
    let sides = Vec::from_iter(sides);
    let each = |&at: &usize| sides.iter().map(move |&side| (at, side));
    clients.iter().flat_map(each).collect()
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Item {}
