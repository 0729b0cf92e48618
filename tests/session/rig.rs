//! A world in virtual time: a clock, sockets whose peers do what a test says, and an
//! executor that polls when it was woken, and only then.
//!
//! As with a real reactor, what has come on the wire is told, and a timer that is due
//! fires, when nothing is left to poll; not while the executor is busy.
#![allow(dead_code, unreachable_pub)]

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use keepalive::driver::{Bytes, Codec, Dialect, Frame, Incoming, Notice};
use keepalive::session::{Session, Timer};
use keepalive::{CloseCode, CloseReason, Closed, Config, PingId, Unsendable};

/// So many polls at one instant are a loop without an end.
const SPIN: usize = 10_000;

/// How a close frame without a code is read.
pub const NO_CODE: u16 = 1005;

pub type Fault = &'static str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Msg {
    Ping(PingId),
    Pong(PingId),
    Text(u32),
    Close(u16),
    /// What the library answers by itself, with the next flush.
    Control,
    /// The library's answer.
    Answer,
}

#[derive(Clone, Copy, Debug)]
pub struct Frames;

impl Dialect for Frames {
    type Message = Msg;

    fn frame(&self, message: &Msg) -> Frame {
        match *message {
            Msg::Ping(_) | Msg::Text(_) => Frame::Data,
            Msg::Pong(id) => Frame::Pong(id),
            Msg::Close(code) => Frame::Close(Closed::with_code(CloseCode(code)), String::new()),
            Msg::Control | Msg::Answer => Frame::Control,
        }
    }

    fn size(&self, message: &Msg) -> Result<usize, Unsendable> {
        match message {
            // The answers to the application's pings are its own to send.
            Msg::Text(_) | Msg::Pong(_) => Ok(4),
            _ => Err(Unsendable::Control),
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Msg> {
        Some(Msg::Ping(id))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, _: &str) -> Option<Msg> {
        Some(Msg::Close(code.map_or(NO_CODE, |code| code.0)))
    }
}

/// The peer's pings are the application's, so that an answer is ours to send.
#[derive(Debug)]
pub struct Pings;

impl Codec<Msg> for Pings {
    type Message = Msg;

    fn read(&mut self, data: Msg) -> Incoming<Msg, Msg> {
        match data {
            Msg::Ping(id) => Incoming::Ping(Msg::Pong(id)),
            _ => Incoming::Message(data),
        }
    }
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The article's settings, with the first retry after 1 ms and each later one after
/// a second.
pub fn config() -> Config {
    Config::article()
        .to_builder()
        .first_spread(millis(1))
        .backoff_floor(seconds(1))
        .backoff_base(seconds(1))
        .backoff_cap(seconds(1))
        .build()
        .unwrap()
}

/// Time, and what is going to happen in it.
#[derive(Clone, Default)]
pub struct World(Rc<State>);

type Happening = Box<dyn FnOnce()>;

#[derive(Default)]
struct State {
    now: Cell<Duration>,
    events: RefCell<BTreeMap<(Duration, usize), Happening>>,
    count: Cell<usize>,
    alarms: RefCell<Vec<Rc<Alarm>>>,
    wires: RefCell<Vec<Wire>>,
}

impl World {
    pub fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// On the other side of the wire.
    pub fn at(&self, at: Duration, event: impl FnOnce() + 'static) {
        let count = self.0.count.get();
        self.0.count.set(count + 1);
        let mut events = self.0.events.borrow_mut();
        events.insert((at.max(self.now()), count), Box::new(event));
    }

    /// Something holds the executor for so long. The others go on meanwhile.
    pub fn block(&self, time: Duration) {
        self.pass(self.now() + time);
    }

    pub fn pass(&self, now: Duration) {
        self.0.now.set(now.max(self.now()));
        loop {
            let mut events = self.0.events.borrow_mut();
            let Some(first) = events.first_entry().filter(|first| first.key().0 <= now) else {
                return;
            };
            let event = first.remove();
            drop(events);
            event();
        }
    }

    /// The reactor turns: what has come is told, and what is due fires.
    pub fn turn(&self) {
        for wire in self.0.wires.borrow().iter() {
            wire.turn();
        }
        for alarm in self.0.alarms.borrow().iter() {
            alarm.turn(self.now());
        }
    }

    fn next(&self) -> Option<Duration> {
        let event = self.0.events.borrow().keys().next().map(|(at, _)| *at);
        let alarms = self.0.alarms.borrow();
        let alarm = alarms.iter().filter_map(|alarm| alarm.next()).min();
        event.into_iter().chain(alarm).min()
    }

    pub fn timer(&self) -> Manual {
        let alarm = Rc::<Alarm>::default();
        self.0.alarms.borrow_mut().push(alarm.clone());
        Manual {
            world: self.clone(),
            alarm,
        }
    }

    pub fn wire(&self) -> Wire {
        let wire = Wire {
            world: self.clone(),
            line: Rc::default(),
        };
        self.0.wires.borrow_mut().push(wire.clone());
        wire
    }

    /// All wires so far.
    pub fn wires(&self) -> Vec<Wire> {
        self.0.wires.borrow().clone()
    }

    /// Polls until this time, or until it is ready.
    pub fn run<F: Future>(
        &self,
        awake: &Arc<Awake>,
        mut future: Pin<&mut F>,
        until: Duration,
    ) -> Option<F::Output> {
        let waker = Waker::from(awake.clone());
        let (mut since, mut spins, mut polls) = (self.now(), 0, 0_usize);
        loop {
            while awake.0.swap(false, Ordering::Relaxed) {
                if self.now() > until {
                    return None;
                }
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    awake.0.store(true, Ordering::Relaxed);
                    return Some(output);
                }
                if self.now() > since {
                    since = self.now();
                    spins = 0;
                }
                spins += 1;
                polls += 1;
                // Now and then also while others are awake, as tokio's does.
                if polls % 61 == 0 {
                    self.turn();
                }
                assert!(spins < SPIN, "spins at {since:?}");
            }
            self.turn();
            if awake.0.load(Ordering::Relaxed) {
                continue;
            }
            match self.next().filter(|at| *at <= until) {
                Some(at) => self.pass(at),
                None if self.now() >= until => return None,
                None => self.pass(until),
            }
            self.turn();
        }
    }
}

/// Whether the task was woken.
pub struct Awake(pub AtomicBool);

impl Awake {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub struct Alarm {
    at: Cell<Option<Duration>>,
    has_fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// It fires so much too early.
    pub early: Cell<Duration>,
    /// Each look at the clock takes so long: others have the processor.
    pub lag: Cell<Duration>,
    /// It was set, and not asked since.
    is_fresh: Cell<bool>,
    pub sets: Cell<usize>,
    pub polls: Cell<usize>,
}

impl Alarm {
    fn next(&self) -> Option<Duration> {
        let at = self.at.get().filter(|_| !self.has_fired.get())?;
        Some(at.saturating_sub(self.early.get()))
    }

    fn turn(&self, now: Duration) {
        if self.next().is_some_and(|at| at <= now) {
            self.has_fired.set(true);
            wake(&mut self.waker.borrow_mut());
        }
    }
}

/// A timer that counts how often it is touched.
pub struct Manual {
    world: World,
    pub alarm: Rc<Alarm>,
}

impl Timer for Manual {
    type Instant = Duration;

    fn now(&self) -> Duration {
        let now = self.world.now();
        self.world.block(self.alarm.lag.get());
        now
    }

    fn set(&mut self, at: Duration) {
        self.alarm.is_fresh.set(true);
        self.alarm.sets.set(self.alarm.sets.get() + 1);
        self.alarm.has_fired.set(false);
        self.alarm.at.set(Some(at));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.alarm.polls.set(self.alarm.polls.get() + 1);
        // As tokio's: one that is set for the past is ready, and no reactor has turned.
        let is_late = self.alarm.is_fresh.take() && self.alarm.at.get() <= Some(self.world.now());
        if self.alarm.has_fired.get() || is_late {
            return Poll::Ready(());
        }
        *self.alarm.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The peer's end of a socket, and all that lies between.
#[derive(Clone)]
pub struct Wire {
    world: World,
    line: Rc<RefCell<Line>>,
}

/// One socket keeps one waker for reads and one for writes.
#[derive(Default)]
pub struct Line {
    /// Has come, but the reactor has not turned.
    kernel: VecDeque<Option<Result<Msg, Fault>>>,
    inbox: VecDeque<Option<Result<Msg, Fault>>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// What the sink has taken, and what the peer has got.
    pub taken: VecDeque<Msg>,
    pub got: Vec<(Duration, Msg)>,
    /// The sink takes nothing while so much is not flushed.
    pub room: Option<usize>,
    /// So many messages pass until a flush is stuck.
    pub passes: Option<usize>,
    /// What a write comes to.
    pub fails: Option<Fault>,
    /// The peer does not answer.
    pub is_mute: bool,
    /// Messages without an end; each takes its time.
    pub flood: Option<(Msg, Duration)>,
    /// How many messages of a flood were read.
    pub flooded: u32,
    /// The library owes an answer.
    owes: bool,
    /// What is said about the bytes that came in.
    pub bytes: u64,
    /// Of those that left.
    pub written: u64,
    /// Our close frame is on its way.
    says_close: bool,
    /// The peer has closed, so nothing can be sent any more.
    was_closed: bool,
    pub has_closed: bool,
    pub dropped: Option<Duration>,
}

impl Wire {
    pub fn world(&self) -> &World {
        &self.world
    }

    pub fn line(&self) -> RefMut<'_, Line> {
        self.line.borrow_mut()
    }

    /// The peer says this now.
    pub fn say(&self, message: Msg) {
        self.line().bytes += 1;
        self.line().kernel.push_back(Some(Ok(message)));
    }

    pub fn end(&self) {
        self.line().kernel.push_back(None);
    }

    pub fn fail(&self, fault: Fault) {
        self.line().kernel.push_back(Some(Err(fault)));
    }

    pub fn say_at(&self, at: Duration, message: Msg) {
        let wire = self.clone();
        self.world.at(at, move || wire.say(message));
    }

    /// The peer reads again, or the sink has room again.
    pub fn unstick(&self) {
        let mut line = self.line();
        line.passes = None;
        line.room = None;
        wake(&mut line.writer);
    }

    /// The peer takes one message more.
    pub fn pass_one(&self) {
        let mut line = self.line();
        line.passes = Some(line.passes.unwrap_or(0) + 1);
        wake(&mut line.writer);
    }

    /// Whether the session has let go of it.
    pub fn dropped(&self) -> Option<Duration> {
        self.line().dropped
    }

    pub fn got(&self) -> Vec<Msg> {
        self.line()
            .got
            .iter()
            .map(|(_, message)| *message)
            .collect()
    }

    /// Which texts the peer got.
    pub fn texts(&self) -> Vec<u32> {
        texts(self.got())
    }

    pub fn turn(&self) {
        let line = &mut *self.line();
        if !line.kernel.is_empty() {
            line.inbox.append(&mut line.kernel);
            wake(&mut line.reader);
        }
    }

    /// What the sink has taken reaches the peer. Whether all of it did.
    fn flush(&self) -> bool {
        let line = &mut *self.line();
        while let Some(&message) = line.taken.front() {
            if let Some(passes) = &mut line.passes {
                let Some(left) = passes.checked_sub(1) else {
                    return false;
                };
                *passes = left;
            }
            line.taken.pop_front();
            line.written += 1;
            line.got.push((self.world.now(), message));
            if line.is_mute {
                continue;
            }
            match message {
                Msg::Ping(id) => self.say_at(self.world.now(), Msg::Pong(id)),
                Msg::Close(code) => {
                    let wire = self.clone();
                    self.world.at(self.world.now(), move || {
                        wire.say(Msg::Close(code));
                        wire.end();
                    });
                }
                _ => {}
            }
        }
        if line.passes == Some(0) && line.owes {
            return false;
        }
        if std::mem::take(&mut line.owes) {
            line.got.push((self.world.now(), Msg::Answer));
        }
        true
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

pub fn texts(messages: impl IntoIterator<Item = Msg>) -> Vec<u32> {
    let texts = messages.into_iter().filter_map(|message| match message {
        Msg::Text(number) => Some(number),
        _ => None,
    });
    texts.collect()
}

/// The session's end.
pub struct Socket(pub Wire);

impl Socket {
    pub fn bytes(&self) -> Bytes {
        let line = self.0.line();
        Bytes {
            read: line.bytes,
            written: line.written,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let now = self.0.world.now();
        self.0.line().dropped = Some(now);
    }
}

impl Stream for Socket {
    type Item = Result<Msg, Fault>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let line = &mut *self.0.line();
        if let Some(item) = line.inbox.pop_front() {
            let has_closed = matches!(item, Some(Ok(Msg::Close(_))));
            let is_answer = has_closed && line.says_close;
            line.owes |= has_closed && !is_answer || item == Some(Ok(Msg::Control));
            line.was_closed |= has_closed;
            return Poll::Ready(item);
        }
        if let Some((message, takes)) = line.flood {
            let now = self.0.world.now() + takes;
            self.0.world.0.now.set(now);
            line.flooded += 1;
            line.owes |= message == Msg::Control;
            return Poll::Ready(Some(Ok(message)));
        }
        line.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Sink<Msg> for Socket {
    type Error = Fault;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let line = &mut *self.0.line();
        if let Some(fault) = line.fails {
            return Poll::Ready(Err(fault));
        }
        if line.room.is_some_and(|room| line.taken.len() >= room) {
            line.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Msg) -> Result<(), Fault> {
        if self.0.line().was_closed {
            return Err("sent after the close");
        }
        let line = &mut *self.0.line();
        line.says_close |= matches!(message, Msg::Close(_));
        line.taken.push_back(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if let Some(fault) = self.0.line().fails {
            return Poll::Ready(Err(fault));
        }
        if self.0.flush() {
            return Poll::Ready(Ok(()));
        }
        self.0.line().writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let flushed = self.as_mut().poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.0.line().has_closed = true;
        }
        flushed
    }
}

/// The application's messages.
#[derive(Clone, Default)]
pub struct Outbox(Rc<RefCell<Queue>>);

#[derive(Default)]
struct Queue {
    messages: VecDeque<Msg>,
    waker: Option<Waker>,
    /// Whether there is an end, and whether it was told.
    end: Option<bool>,
    /// Texts without an end, from here.
    endless: Option<u32>,
}

impl Outbox {
    pub fn send(&self, number: u32) {
        let mut queue = self.0.borrow_mut();
        queue.messages.push_back(Msg::Text(number));
        wake(&mut queue.waker);
    }

    pub fn never_ends(&self) {
        self.0.borrow_mut().endless = Some(0);
    }

    pub fn end(&self) {
        let mut queue = self.0.borrow_mut();
        queue.end = Some(false);
        wake(&mut queue.waker);
    }

    pub fn len(&self) -> usize {
        self.0.borrow().messages.len()
    }

    /// How many of the endless ones were taken.
    pub fn taken(&self) -> u32 {
        self.0.borrow().endless.unwrap_or(0)
    }
}

impl Stream for Outbox {
    type Item = Msg;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Msg>> {
        let queue = &mut *self.0.borrow_mut();
        if let Some(message) = queue.messages.pop_front() {
            return Poll::Ready(Some(message));
        }
        if let Some(number) = &mut queue.endless {
            *number += 1;
            return Poll::Ready(Some(Msg::Text(*number)));
        }
        if let Some(is_told) = &mut queue.end {
            assert!(!std::mem::replace(is_told, true), "asked after its end");
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// What comes of a dial.
pub enum Dialled {
    Open(Wire),
    Later(Duration, Wire),
    Fails(Fault),
    Hangs,
}

/// A dial under way.
pub struct Dial {
    dialled: Option<Dialled>,
    timer: Option<Manual>,
    dials: Dials,
}

impl Future for Dial {
    type Output = Result<Socket, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let is_over = match &self.dialled {
            Some(Dialled::Hangs) => false,
            Some(Dialled::Later(..)) => {
                let timer = self.timer.as_mut().unwrap();
                timer.poll(context).is_ready()
            }
            _ => true,
        };
        if !is_over {
            return Poll::Pending;
        }
        match self.dialled.take() {
            Some(Dialled::Open(wire) | Dialled::Later(_, wire)) => Poll::Ready(Ok(Socket(wire))),
            Some(Dialled::Fails(fault)) => Poll::Ready(Err(fault)),
            _ => panic!("a dial that had ended was polled"),
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.dials.0.borrow_mut().under_way -= 1;
    }
}

/// All dials so far.
#[derive(Clone, Default)]
pub struct Dials(Rc<RefCell<Dialling>>);

#[derive(Default)]
struct Dialling {
    attempts: Vec<u32>,
    under_way: usize,
}

impl Dials {
    pub fn attempts(&self) -> Vec<u32> {
        self.0.borrow().attempts.clone()
    }

    /// Those that were neither dropped nor came to an end.
    pub fn under_way(&self) -> usize {
        self.0.borrow().under_way
    }
}

pub type Told = Notice<Msg, Msg, Fault, Duration>;
type Connector = Box<dyn FnMut(u32) -> Dial>;
pub type Watched = Session<Connector, Manual, Frames, Pings, Outbox>;

/// A session in a world of its own, and what it has told.
pub struct Rig {
    pub world: World,
    pub session: Watched,
    pub outbox: Outbox,
    pub dials: Dials,
    pub alarm: Rc<Alarm>,
    pub awake: Arc<Awake>,
    pub told: Vec<(Duration, String)>,
}

impl Rig {
    /// A client whose dials come to this.
    pub fn dialling(
        config: Config,
        mut script: impl FnMut(&World, u32) -> Dialled + 'static,
    ) -> Self {
        let world = World::default();
        let (dials, outbox, timer) = (Dials::default(), Outbox::default(), world.timer());
        let alarm = timer.alarm.clone();
        let (of, by) = (world.clone(), dials.clone());
        let connector: Connector = Box::new(move |attempt| {
            by.0.borrow_mut().attempts.push(attempt);
            by.0.borrow_mut().under_way += 1;
            let dialled = script(&of, attempt);
            let timer = match &dialled {
                Dialled::Later(time, _) => {
                    let mut timer = of.timer();
                    timer.set(of.now() + *time);
                    Some(timer)
                }
                _ => None,
            };
            Dial {
                dialled: Some(dialled),
                timer,
                dials: by.clone(),
            }
        });
        let session = Session::client(config, 42, Frames, Pings, timer, connector);
        let session = session.sending(outbox.clone());
        Self {
            world,
            session,
            outbox,
            dials,
            alarm,
            awake: Awake::new(),
            told: Vec::new(),
        }
    }

    /// A client whose first socket is this wire's, and whose later dials hang.
    pub fn open(config: Config) -> (Self, Wire) {
        Self::open_after(config, 0, |rig| rig)
    }

    /// The same where the bytes of its sockets are counted, and so many of them
    /// went each way with the handshake.
    pub fn counted(config: Config, handshake: u64) -> (Self, Wire) {
        Self::open_after(config, handshake, |mut rig| {
            rig.session = rig.session.with_bytes(Socket::bytes);
            rig
        })
    }

    fn open_after(
        config: Config,
        handshake: u64,
        prepare: impl FnOnce(Self) -> Self,
    ) -> (Self, Wire) {
        let first = Rc::new(RefCell::new(None));
        let wire = first.clone();
        let mut rig = prepare(Self::dialling(config, move |world, _| {
            if !world.wires().is_empty() {
                return Dialled::Hangs;
            }
            let new = world.wire();
            new.line().bytes = handshake;
            new.line().written = handshake;
            *wire.borrow_mut() = Some(new.clone());
            Dialled::Open(new)
        }));
        rig.run(Duration::ZERO);
        let wire = first.take().unwrap();
        assert_eq!(rig.lines(), ["0 connecting 0", "0 opened"]);
        rig.told.clear();
        (rig, wire)
    }

    /// Lives until this time, in which a busy executor takes this step whenever the
    /// session is awake again at once.
    pub fn run_in_steps(&mut self, until: Duration, step: Duration) {
        let world = self.world.clone();
        self.live(until, |session, context| {
            let polled = pin!(session.next()).poll(context);
            if polled.is_pending() {
                world.block(step);
            }
            polled
        });
    }

    /// Lives until this time. The future of `next` is dropped whenever it waits.
    pub fn run(&mut self, until: Duration) {
        self.live(until, |session, context| pin!(session.next()).poll(context));
    }

    /// The same with a future of `next` that is kept until it is ready.
    pub fn run_without_a_drop(&mut self, until: Duration) {
        let Self {
            world,
            session,
            told,
            awake,
            ..
        } = self;
        while let Some(Some(notice)) = world.run(awake, pin!(session.next()), until) {
            told.push((world.now(), words(&notice)));
        }
    }

    /// Lives until this time, polled so.
    pub fn live(
        &mut self,
        until: Duration,
        mut poll: impl FnMut(&mut Watched, &mut Context<'_>) -> Poll<Option<Told>>,
    ) {
        let Self {
            world,
            session,
            told,
            awake,
            ..
        } = self;
        // The application may have called the session meanwhile.
        awake.0.store(true, Ordering::Relaxed);
        loop {
            let next = poll_fn(|context| poll(session, context));
            match world.run(awake, pin!(next), until) {
                Some(Some(notice)) => told.push((world.now(), words(&notice))),
                Some(None) => return world.pass(until),
                None => return,
            }
        }
    }

    /// What was told, each with its time in milliseconds.
    pub fn lines(&self) -> Vec<String> {
        let line = |(at, words): &(Duration, String)| format!("{} {words}", at.as_millis());
        self.told.iter().map(line).collect()
    }

    /// The same without times, pings and pongs.
    pub fn outline(&self) -> Vec<&str> {
        let words = self.told.iter().map(|(_, words)| words.as_str());
        words
            .filter(|words| !matches!(*words, "ping" | "pong"))
            .collect()
    }

    /// When this was told for the first time.
    pub fn when(&self, wanted: &str) -> Duration {
        let found = self
            .told
            .iter()
            .find(|(_, words)| words.starts_with(wanted));
        found
            .unwrap_or_else(|| panic!("no {wanted} in {:?}", self.lines()))
            .0
    }
}

pub fn words(notice: &Told) -> String {
    match notice {
        Notice::Connecting { attempt } => format!("connecting {attempt}"),
        Notice::Opened { .. } => "opened".to_owned(),
        Notice::Message(Msg::Text(number)) => format!("text {number}"),
        Notice::Ping(_) => "ping".to_owned(),
        Notice::Pong { .. } => "pong".to_owned(),
        Notice::Down(down) => match down.retry {
            Some(planned) => format!("down: {}, retry {}", down.cause, planned.attempt),
            None => format!("down: {}", down.cause),
        },
        Notice::Rescheduled(planned) => format!("moved: retry {}", planned.attempt),
        Notice::Stopped { reason, .. } => format!("over: {reason}"),
        other => panic!("{other:?}"),
    }
}
