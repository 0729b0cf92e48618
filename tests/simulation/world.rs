//! The world itself: one event after the other, in virtual time.
//!
//! Packets of one direction of a connection stay in order, and none comes twice.
//! A process reads what came in as soon as it runs, and ticks then, as the
//! adapters do. A socket that one side no longer has answers with a reset. What a
//! client writes goes through its write buffer, which is empty while its network is
//! fast; a kernel that cannot send takes nothing.

use core::cmp::Reverse;
use core::mem;
use core::time::Duration;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;
use keepalive::{Action, CloseCode, CloseReason, Closed, Epoch, Event, Manner, PingId, Refused};
use keepalive::{State, StopReason};

use super::end::{Came, End, Make};
use super::oracle::{Input, Machine};
use super::plan::{Capacity, Goodbye, LEFTOVER, Login, Plan, Refusal, Reports, SECOND_THOUGHTS};
use super::plan::{Fault, What, Whim, between};
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
    /// A part of a message that is long.
    Bytes,
    Login,
    Welcome,
    /// No login, for this reason.
    Denied(Closed),
    Close(Closed),
    Refused(Refused),
    Reset,
}

impl Packet {
    fn came(self) -> Came {
        match self {
            Self::Pong(id) => Came::Pong(id),
            Self::Message | Self::Login | Self::Welcome | Self::Denied(_) => Came::Message,
            _ => Came::Bytes,
        }
    }
}

/// What lies in a write buffer.
#[derive(Clone, Copy, Debug)]
struct Unsent {
    line: usize,
    packet: Packet,
    bytes: u64,
}

/// The length of all that is not an upload.
const SHORT: u64 = 100;

/// How often a kernel that sends slowly takes something.
const SIP: Duration = Duration::from_millis(500);

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
    /// The server's application let the client in, or needs no login.
    is_let_in: bool,
    /// It did not, or not at once.
    is_kept_out: bool,
    /// It had nothing to say for a while.
    is_dry: bool,
    /// The pings whose answer would have come in time after all.
    doubted: [Option<(Vec<PingId>, Duration)>; 2],
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
    /// How many bytes leave in a second.
    rates: Vec<u64>,
    unsent: VecDeque<Unsent>,
    is_draining: bool,
    dry: u32,
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
    logins: Vec<(usize, Login)>,
    open: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Arrives(usize, usize, Packet),
    LateEnd(usize),
    Talks(usize, usize),
    Drains(usize),
    Welcomes(usize),
    News(usize),
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

/// What is due when, in a form that is quick to sort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    at: Duration,
    is_tick: bool,
    order: u64,
    /// Where it stands in `World::dues`.
    due: usize,
}

pub struct World<M> {
    plan: Plan,
    rules: Rules<M>,
    now: Duration,
    queue: BinaryHeap<Reverse<Item>>,
    dues: Vec<Due>,
    /// Places there that are free.
    free: Vec<usize>,
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
            dues: Vec::new(),
            free: Vec::new(),
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
                logins: Vec::new(),
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
                rates: Vec::new(),
                unsent: VecDeque::new(),
                is_draining: false,
                dry: 0,
                ambush: None,
                is_on: true,
                is_well: false,
            });
            for side in [CLIENT, SERVER] {
                // The application of the server has something at all times: a whim of
                // the client's may dial before it starts.
                let begins = if side == SERVER { self.now } else { starts };
                if self.plan.clients[at].talks[side].is_some() {
                    self.plan_for(begins, Due::Talks(at, side));
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
            self.free.push(item.due);
            let due = self.dues[item.due];
            if matches!(due, Due::Over) {
                went = self.is_over();
                break;
            }
            went = self.happens(due);
        }
        self.tally.time = self.now;
        if let Err(trouble) = &went {
            self.tally.troubled(trouble.kind);
        }
        (went.map(|()| self.seen.finish()), self.tally)
    }

    fn plan_for(&mut self, at: Duration, due: Due) {
        self.order += 1;
        let is_tick = matches!(due, Due::Ticks(..));
        let place = self.free.pop().unwrap_or(self.dues.len());
        if place == self.dues.len() {
            self.dues.push(due);
        } else {
            self.dues[place] = due;
        }
        self.queue.push(Reverse(Item {
            at,
            is_tick,
            order: self.order,
            due: place,
        }));
    }

    fn happens(&mut self, due: Due) -> Went {
        if self.rules.loud && !matches!(due, Due::Ticks(..) | Due::Talks(..) | Due::Drains(_)) {
            println!("{:?} {due:?}", self.now);
        }
        match due {
            Due::Arrives(line, side, packet) => self.arrives(line, side, packet),
            Due::LateEnd(line) => self.ends_late(line),
            Due::Talks(client, side) => self.talks(client, side),
            Due::Drains(client) => self.drains(client),
            Due::Welcomes(line) if self.server.process.away > 0 => {
                self.plan_for(self.now + Duration::from_secs(1), Due::Welcomes(line));
                Ok(())
            }
            Due::Welcomes(line) => self.answers_login(line, Packet::Welcome),
            Due::News(client) => self.fancies(client, Whim::NetworkChanged),
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
        end.map_or(State::Stopped, |end| end.state)
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
                self.judges(who, reason)?;
                match reason.manner() {
                    Manner::Handshake => {
                        let normal = Closed::with_code(CloseCode::NORMAL);
                        self.writes(who, Packet::Close(normal))
                    }
                    Manner::Farewell => self.takes_leave(who, reason),
                    Manner::Abandon => self.abandons(who, Packet::Reset),
                }
            }
            Action::Stopped(reason) => {
                self.lets_go(who);
                let by_policy = matches!(reason, StopReason::Closed(_) | StopReason::Refused(_));
                if let (Who::Client(at), true) = (who, by_policy) {
                    self.plan_for(self.now + SECOND_THOUGHTS, Due::Starts(at));
                }
                Ok(())
            }
            Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) => Ok(()),
        }
    }

    /// A verdict: rightly?
    fn judges(&mut self, who: Who, reason: CloseReason) -> Went {
        let is_verdict = matches!(
            reason,
            CloseReason::PongTimeout
                | CloseReason::IdleTimeout
                | CloseReason::MessageTimeout
                | CloseReason::LoginTimeout
                | CloseReason::ConnectTimeout
        );
        if !is_verdict {
            return Ok(());
        }
        let local = self.local(who);
        let Some(line) = self.line_of(who) else {
            return Err(self.trouble(Kind::Mistake, who, "there is no connection"));
        };
        let of_line = self
            .process(who)
            .unread
            .iter()
            .filter(|(of, _)| *of == line);
        let unread = Vec::from_iter(of_line.map(|(_, packet)| packet.came()));
        let Some(end) = self.end(who) else {
            return Ok(());
        };
        let verdict = end.verdict();
        let row = end.accuses(reason, unread.into_iter(), local);
        self.tally.convicted(reason, verdict);
        let row = row.map_err(|text| self.trouble(Kind::Mistake, who, text))?;
        let is_at_fault = match reason {
            CloseReason::ConnectTimeout => true,
            CloseReason::LoginTimeout => self.lines[line].is_kept_out,
            CloseReason::MessageTimeout => self.lines[line].is_dry,
            _ => false,
        };
        if self.lines[line].is_sound && !is_at_fault {
            let text = format!("{reason}, but nothing was lost or held up on this connection");
            return Err(self.trouble(Kind::Mistake, who, text));
        }
        self.lines[line].doubted[side_of(who)] = row.map(|row| (row.ids, row.due));
        Ok(())
    }

    /// A close frame, if the transport takes it at once.
    fn takes_leave(&mut self, who: Who, reason: CloseReason) -> Went {
        let code = match reason {
            CloseReason::MessageTimeout | CloseReason::LoginTimeout => {
                Some(CloseCode::POLICY_VIOLATION)
            }
            CloseReason::GivenUp => Some(CloseCode::NORMAL),
            _ => None,
        };
        let closed = Closed::from(code);
        if self.leaves_at_once(who) {
            self.abandons(who, Packet::Close(closed))
        } else {
            self.abandons(who, Packet::Reset)
        }
    }

    /// The kernel tells the peer, if it can. Some sockets report their end later.
    fn abandons(&mut self, who: Who, last: Packet) -> Went {
        let Some(line) = self.line_of(who) else {
            return Ok(());
        };
        self.sends(line, 1 - side_of(who), last);
        self.lets_go(who);
        if let Who::Client(at) = who {
            if self.plan.clients[at].late_ends {
                let later = between(&mut self.random, Duration::ZERO, Duration::from_secs(60));
                self.plan_for(self.now + later, Due::LateEnd(line));
            }
        }
        Ok(())
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
        self.writes_long(who, packet, SHORT)
    }

    fn writes_long(&mut self, who: Who, packet: Packet, bytes: u64) -> Went {
        let Some(line) = self.line_of(who) else {
            return Ok(());
        };
        let Who::Client(at) = who else {
            self.sends(line, CLIENT, packet);
            return Ok(());
        };
        if self.leaves_at_once(who) {
            self.sends(line, SERVER, packet);
            return self.flushes(at, packet);
        }
        let unsent = Unsent {
            line,
            packet,
            bytes,
        };
        self.clients[at].unsent.push_back(unsent);
        let is_told = self.plan.clients[at].reports == Reports::Draining;
        self.lines[line].is_sound &= is_told && self.clients[at].stuck == 0;
        self.lines[line].is_kept_out |= matches!(packet, Packet::Login);
        self.will_drain(at);
        Ok(())
    }

    fn will_drain(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if !client.is_draining && !client.unsent.is_empty() {
            client.is_draining = true;
            self.plan_for(self.now + SIP, Due::Drains(at));
        }
    }

    fn leaves_at_once(&self, who: Who) -> bool {
        let Who::Client(at) = who else { return true };
        let client = &self.clients[at];
        client.stuck == 0 && client.rates.is_empty()
    }

    /// A kernel that sends slowly takes some bytes, if it sends at all.
    fn drains(&mut self, at: usize) -> Went {
        let client = &mut self.clients[at];
        client.is_draining = false;
        let slowest = client.rates.iter().copied().min();
        let (Some(line), Some(rate)) = (client.line, slowest) else {
            return Ok(());
        };
        self.will_drain(at);
        if self.holds_up(at, line) || self.is_away(Who::Client(at)) {
            self.lines[line].is_sound = false;
            return Ok(());
        }
        let mut left = (rate as f64 * SIP.as_secs_f64()).ceil() as u64;
        while let Some(first) = self.clients[at].unsent.front_mut() {
            if first.bytes > left {
                first.bytes -= left;
                self.sends(line, SERVER, Packet::Bytes);
                break;
            }
            left -= first.bytes;
            let packet = first.packet;
            self.clients[at].unsent.pop_front();
            self.sends(line, SERVER, packet);
            self.flushes(at, packet)?;
        }
        let is_ping = |unsent: &Unsent| matches!(unsent.packet, Packet::Ping(_));
        let reports = self.plan.clients[at].reports;
        if reports == Reports::Draining && self.clients[at].unsent.iter().any(is_ping) {
            let local = self.local(Who::Client(at));
            self.clients[at].end.drains(local);
            self.tally.drained += 1;
            return self.tell(Who::Client(at), Event::Draining);
        }
        Ok(())
    }

    /// Whether the kernel has bytes that it cannot send, so that it takes no more.
    fn holds_up(&self, at: usize, line: usize) -> bool {
        let client = &self.clients[at];
        let is_cut = client.cuts[SERVER] > 0 || client.stalls[SERVER] > 0;
        client.stuck > 0 || is_cut || self.lines[line].is_deaf[SERVER]
    }

    fn flushes(&mut self, at: usize, packet: Packet) -> Went {
        let Packet::Ping(id) = packet else {
            return Ok(());
        };
        if self.plan.clients[at].reports == Reports::Nothing {
            return Ok(());
        }
        let local = self.local(Who::Client(at));
        let waited = self.clients[at].end.flushes(id, local);
        self.tally.waited = self.tally.waited.max(waited);
        self.tell(Who::Client(at), Event::PingSent(id))
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
        end.comes(packet.came(), local);
        if self.is_away(who) {
            self.lines[line].is_sound = false;
            self.process(who).unread.push_back((line, packet));
            return Ok(());
        }
        self.reads(who, line, packet)
    }

    /// The peer was found dead too early, if the answer comes in time.
    fn comes_too_late(&mut self, line: usize, side: usize, packet: Packet) -> Went {
        let (Packet::Pong(id), Some((doubted, due))) =
            (packet, self.lines[line].doubted[side].clone())
        else {
            return Ok(());
        };
        let who = if side == CLIENT {
            Who::Client(self.lines[line].client)
        } else {
            Who::Server(line)
        };
        if doubted.contains(&id) && self.local(who) <= due {
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
            Packet::Accept => self.opens(who),
            Packet::Message => self.hears(who),
            Packet::Bytes => self.tell(who, Event::Received),
            Packet::Login => {
                self.hears(who)?;
                self.decides(line)
            }
            Packet::Welcome => {
                self.hears(who)?;
                let local = self.local(who);
                if let Some(end) = self.end(who) {
                    end.is_let_in(local);
                }
                self.lines[line].is_let_in = true;
                self.tally.logins += 1;
                self.tell(who, Event::Healthy)?;
                self.looks_after(who);
                Ok(())
            }
            Packet::Denied(closed) => {
                self.hears(who)?;
                self.tally.given_up += 1;
                self.tell(who, Event::GiveUp(closed))
            }
            Packet::Refused(refused) => {
                self.lets_go_of_client(who);
                self.tell(who, Event::Refused(refused))
            }
            Packet::Pong(id) => self.tell(who, Event::Pong(id)),
            Packet::Ping(id) => {
                self.tell(who, Event::Received)?;
                self.writes(who, Packet::Pong(id))
            }
            Packet::Reset => {
                self.lets_go_of_client(who);
                self.tell(who, Event::Error(None))
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

    fn hears(&mut self, who: Who) -> Went {
        let knows = match who {
            Who::Client(at) => self.plan.clients[at].knows_messages,
            Who::Server(_) => true,
        };
        let event = if knows {
            Event::Message
        } else {
            Event::Received
        };
        self.tell(who, event)
    }

    /// The application says who it is, where that is asked.
    fn opens(&mut self, who: Who) -> Went {
        self.tell(who, Event::Opened)?;
        let Who::Client(at) = who else { return Ok(()) };
        if self.plan.clients[at].config.healthy_within().is_none() {
            return Ok(());
        }
        self.tell(who, Event::Sent)?;
        self.writes(who, Packet::Login)
    }

    // The server.

    /// Whether it lets this one in.
    fn decides(&mut self, line: usize) -> Went {
        let Some(&(_, login)) = self.server.logins.last() else {
            return self.answers_login(line, Packet::Welcome);
        };
        self.lines[line].is_kept_out = true;
        match login {
            Login::Ignored => Ok(()),
            Login::Slow(later) => {
                self.plan_for(self.now + later, Due::Welcomes(line));
                Ok(())
            }
            Login::Denied(closed) => self.answers_login(line, Packet::Denied(closed)),
            Login::Closed(closed) => {
                self.hangs_up(line, closed);
                Ok(())
            }
        }
    }

    fn hangs_up(&mut self, line: usize, closed: Closed) {
        self.sends(line, CLIENT, Packet::Close(closed));
        self.lets_go(Who::Server(line));
        self.looks_after(Who::Client(self.lines[line].client));
    }

    /// All who needed a login need another one.
    fn logs_out(&mut self) {
        for line in Vec::from_iter(self.server.open.iter().copied()) {
            let client = self.lines[line].client;
            if self.plan.clients[client].config.healthy_within().is_some() {
                self.hangs_up(line, Closed::with_code(CloseCode(4001)));
            }
        }
    }

    fn answers_login(&mut self, line: usize, answer: Packet) -> Went {
        if self.state(Who::Server(line)) != State::Open {
            return Ok(());
        }
        self.tell(Who::Server(line), Event::Sent)?;
        self.sends(line, CLIENT, answer);
        Ok(())
    }

    fn dials(&mut self, who: Who) -> Went {
        let Who::Client(client) = who else {
            return Err(self.trouble(Kind::Restless, who, "the server dials"));
        };
        let line = self.lines.len();
        self.lines.push(Line {
            client,
            epoch: self.clients[client].end.epoch,
            server: None,
            holds: [true, false],
            is_deaf: [false; 2],
            arrival: [Duration::ZERO; 2],
            is_sound: true,
            is_let_in: self.plan.clients[client].config.healthy_within().is_none(),
            is_kept_out: false,
            is_dry: self.clients[client].dry > 0,
            doubted: [None, None],
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
            Refusal::Status(refused) => self.sends(line, CLIENT, Packet::Refused(refused)),
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
        let is_dry = side == SERVER && self.clients[client].dry > 0;
        if self.state(who) != State::Open
            || self.is_away(who)
            || is_dry
            || !self.lines[line].is_let_in
        {
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
            Whim::Healthy if self.plan.clients[client].config.healthy_within().is_some() => Ok(()),
            Whim::Healthy => self.tell(who, Event::Healthy),
            Whim::GiveUp => self.tell(who, Event::GiveUp(Closed::default())),
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
                early,
            } => {
                let Fault { from, till, .. } = self.plan.faults[fault];
                for &at in clients.iter().filter(|_| early.is_some()) {
                    let first = till.saturating_sub(early.unwrap_or_default()).max(from);
                    let news = between(&mut self.random, first, till);
                    self.plan_for(news, Due::News(at));
                }
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
            What::Slow {
                client,
                upload,
                rate,
            } => {
                self.clients[client].rates.push(rate);
                self.will_drain(client);
                return self.uploads(client, upload);
            }
            What::Logins(login) => {
                self.server.logins.push((fault, login));
                self.logs_out();
            }
            What::Dry { clients } => {
                for at in clients {
                    self.clients[at].dry += 1;
                    if let Some(line) = self.clients[at].line {
                        self.lines[line].is_dry = true;
                    }
                }
            }
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
                ..
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
            What::Stuck { client } => {
                self.clients[client].stuck -= 1;
                return self.comes_unstuck(client);
            }
            What::Slow { client, rate, .. } => {
                let rates = &mut self.clients[client].rates;
                if let Some(at) = rates.iter().position(|&other| other == rate) {
                    rates.remove(at);
                }
                return self.comes_unstuck(client);
            }
            What::Logins(_) => self.server.logins.retain(|&(other, _)| other != fault),
            What::Dry { clients } => {
                for at in clients {
                    self.clients[at].dry -= 1;
                }
            }
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

    fn uploads(&mut self, client: usize, bytes: u64) -> Went {
        let who = Who::Client(client);
        let line = self.clients[client]
            .line
            .filter(|&at| self.lines[at].is_let_in);
        if line.is_none() || self.state(who) != State::Open || self.is_away(who) {
            return Ok(());
        }
        self.tell(who, Event::Sent)?;
        self.writes_long(who, Packet::Message, bytes)
    }

    fn comes_unstuck(&mut self, client: usize) -> Went {
        if !self.leaves_at_once(Who::Client(client)) {
            self.will_drain(client);
            return Ok(());
        }
        for unsent in mem::take(&mut self.clients[client].unsent) {
            self.sends(unsent.line, SERVER, unsent.packet);
            if !self.is_away(Who::Client(client)) {
                self.flushes(client, unsent.packet)?;
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
        let is_served = |line: usize| self.lines[line].is_let_in && is_open(Who::Server(line));
        let is_well = is_open(Who::Client(client)) && line.is_some_and(is_served);
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
