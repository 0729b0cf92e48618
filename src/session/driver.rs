use alloc::boxed::Box;
use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::connect::{Accepted, Connect, Transport};
use super::queue::Queue;
use super::socket::Socket;
use super::timer::Timer;
use crate::codec::{code_of, sendable};
use crate::time::MILLISECOND;
use crate::{
    Action, Actions, Cause, CloseReason, Closed, Codec, Config, Ending, Event, Heartbeat, Incoming,
    Instant as _, Manner, Notice, PingId, State, trace,
};

/// How many control messages are read before others have their turn.
const READ_BATCH: usize = 64;

type Message<C> = <<C as Connect>::Socket as Transport>::Message;
type Fault<C> = <<C as Connect>::Socket as Transport>::Fault;
/// What a socket yields; `None` at its end.
type Read<C> = Option<Result<Message<C>, Fault<C>>>;
type Told<C, T> = Notice<Message<C>, Fault<C>, <T as Timer>::Instant>;

/// A WebSocket that is kept alive on any async runtime: pinged, watched, closed
/// and dialled again, by the task that asks for the next [`Notice`].
///
/// It is a stream of notices, and [`next`](Self::next) is its next one; dropping
/// that future loses nothing. A session that is not asked does nothing, and one
/// that is asked too rarely ticks late, which the heartbeat forgives once in a
/// silence.
///
/// The application's messages come from a stream of its own, a channel for
/// example, which is asked only while the connection is up and takes more: what is
/// in it while the connection is down stays there. What the socket had taken
/// is lost with it, and never sent twice. Where that stream ends, nothing more is
/// sent.
///
/// It is `Send` where its parts are.
pub struct Session<C: Connect, T: Timer, K, O = Silent<Message<C>>> {
    heartbeat: Heartbeat<T::Instant>,
    connect: C,
    codec: K,
    timer: T,
    outgoing: Outgoing<O>,
    endings: fn(&Fault<C>) -> Ending,
    progress: fn(&C::Socket) -> u64,
    dial: Option<Pin<Box<C::Dial>>>,
    socket: Option<Socket<C::Socket>>,
    /// What [`progress`](Self::progress) said last, and when the last message came
    /// that had come by then.
    bytes: u64,
    heard: Option<T::Instant>,
    /// What to say when the connection is closed.
    goodbye: Option<Message<C>>,
    notices: Queue<Told<C, T>>,
    /// When to tick.
    due: Option<T::Instant>,
    verdict: Option<Verdict<T::Instant>>,
    /// What the timer is set to, and whom it wakes.
    set: Option<T::Instant>,
    waker: Option<Waker>,
    /// Something else than the timer explains why the task is awake.
    has_moved: bool,
}

impl<C: Connect, T: Timer, K: Codec<Message<C>>> Session<C, T, K> {
    /// A client. It begins to dial when it is first asked for a notice.
    ///
    /// The seed decides every jitter: take a different seed per client, or they act in
    /// lockstep.
    pub fn client(config: Config, seed: u64, codec: K, timer: T, connect: C) -> Self {
        let config = if connect.can_connect() {
            config
        } else {
            without_reconnect(config)
        };
        Self {
            heartbeat: Heartbeat::new(config, seed),
            connect,
            codec,
            timer,
            outgoing: Outgoing(Some(Silent(PhantomData))),
            endings: |_| Ending::Failed,
            progress: |_| 0,
            dial: None,
            socket: None,
            bytes: 0,
            heard: None,
            goodbye: None,
            notices: Queue::new(),
            due: None,
            verdict: None,
            set: None,
            waker: None,
            has_moved: false,
        }
    }
}

impl<S, T, K> Session<Accepted<S>, T, K>
where
    S: Transport,
    T: Timer,
    K: Codec<S::Message>,
{
    /// A server's accepted socket, which is open. The first loss is final: reconnecting
    /// is off, whatever the settings say. It allocates nothing, but for what its parts
    /// do.
    pub fn accepted(config: Config, seed: u64, codec: K, timer: T, socket: S) -> Self {
        let mut session = Self::client(config, seed, codec, timer, Accepted::new());
        let now = session.timer.now();
        session.open(socket, now);
        session
    }
}

impl<C: Connect, T: Timer, K, O> Session<C, T, K, O> {
    /// Sends what this stream yields, while the connection is up. A stream that is
    /// not `Unpin` has to be pinned, by `Box::pin` or `pin!`.
    pub fn sending<P>(self, outgoing: P) -> Session<C, T, K, P>
    where
        P: Stream<Item = Message<C>> + Unpin,
    {
        Session {
            heartbeat: self.heartbeat,
            connect: self.connect,
            codec: self.codec,
            timer: self.timer,
            outgoing: Outgoing(Some(outgoing)),
            endings: self.endings,
            progress: self.progress,
            dial: self.dial,
            socket: self.socket,
            bytes: self.bytes,
            heard: self.heard,
            goodbye: self.goodbye,
            notices: self.notices,
            due: self.due,
            verdict: self.verdict,
            set: self.set,
            waker: self.waker,
            has_moved: self.has_moved,
        }
    }

    /// Sets the codec.
    pub fn with_codec<N>(self, codec: N) -> Session<C, T, N, O>
    where
        N: Codec<Message<C>>,
    {
        Session {
            heartbeat: self.heartbeat,
            connect: self.connect,
            codec,
            timer: self.timer,
            outgoing: self.outgoing,
            endings: self.endings,
            progress: self.progress,
            dial: self.dial,
            socket: self.socket,
            bytes: self.bytes,
            heard: self.heard,
            goodbye: self.goodbye,
            notices: self.notices,
            due: self.due,
            verdict: self.verdict,
            set: self.set,
            waker: self.waker,
            has_moved: self.has_moved,
        }
    }

    /// Which errors of the socket's, or of a dial, are an orderly end or a refusal. By
    /// default none: they are failures.
    #[must_use]
    pub fn with_endings(mut self, endings: fn(&Fault<C>) -> Ending) -> Self {
        self.endings = endings;
        self
    }

    /// How many bytes came in on a socket. It is asked when a deadline is about to
    /// fire: the bytes of a message that is not yet whole are life, too. Without
    /// it only whole messages are.
    #[must_use]
    pub fn with_progress(mut self, progress: fn(&C::Socket) -> u64) -> Self {
        self.progress = progress;
        self.bytes = self.socket().map_or(0, progress);
        self
    }

    /// The state machine, to look at.
    pub const fn heartbeat(&self) -> &Heartbeat<T::Instant> {
        &self.heartbeat
    }

    /// The socket that is up, to look at.
    pub fn socket(&self) -> Option<&C::Socket> {
        self.socket.as_ref().map(Socket::transport)
    }
}

impl<C, T, K, O> Session<C, T, K, O>
where
    C: Connect,
    T: Timer,
    K: Codec<Message<C>>,
    O: Stream<Item = Message<C>> + Unpin,
{
    /// The next notice; `None` after `Stopped`, until
    /// [`reconnect_now`](Self::reconnect_now). Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Told<C, T>> {
        poll_fn(|context| self.poll_notice(context)).await
    }

    /// Polls for the next notice.
    #[inline]
    pub fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<Option<Told<C, T>>> {
        for _ in 0..READ_BATCH {
            if !self.notices.is_empty() {
                return Poll::Ready(self.notices.pop());
            }
            match self.heartbeat.state() {
                State::Stopped => return Poll::Ready(None),
                State::Idle => self.step(Event::Start, None, self.timer.now()),
                _ => match self.poll_read(context) {
                    Poll::Ready(Some(Ok(message))) => {
                        let now = self.timer.now();
                        let is_notice = self.hear(&message, now);
                        let _ = self.go_on(true, context, now);
                        if is_notice {
                            // The queue is empty, and moving a notice through it is slow.
                            return Poll::Ready(Some(Notice::Message(message)));
                        }
                    }
                    read => {
                        if self.turn(read, context).is_pending() {
                            return Poll::Pending;
                        }
                    }
                },
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends it, with a close handshake where the connection is open, behind all
    /// that the outgoing stream has ready. A second call does not wait for the
    /// handshake.
    pub fn stop(&mut self) {
        self.step(Event::Stop, None, self.timer.now());
    }

    /// The same, with this message to begin the close handshake, in place of the
    /// codec's: so a server that goes away says 1001.
    pub fn stop_with(&mut self, goodbye: Message<C>) {
        self.goodbye = Some(goodbye);
        self.stop();
        self.goodbye = None;
    }

    /// Begins a new connection, whatever the state, but no sooner than 1 s after the
    /// last dial began. What is open is ended with a close frame that has no code, if
    /// the socket takes it at once. A dial younger than 5 s is that new connection.
    pub fn reconnect_now(&mut self) {
        self.step(Event::ReconnectNow, None, self.timer.now());
    }

    /// Reports that the path may be another one now.
    pub fn network_changed(&mut self) {
        self.step(Event::NetworkChanged, None, self.timer.now());
    }

    /// Reports that the application has what it connected for: it ends the wait for
    /// `healthy_within`, and proves this connection as anything received does.
    pub fn healthy(&mut self) {
        self.step(Event::Healthy, None, self.timer.now());
    }

    /// Gives up the connection that is open, if one is, as if the peer had closed it
    /// so: the login was refused, for example. The peer hears the code, where it may
    /// be sent and the socket takes it at once.
    pub fn give_up(&mut self, closed: Closed) {
        if self.heartbeat.state() == State::Open {
            let goodbye = self.codec.goodbye(Some(sendable(closed.code)));
            self.farewell(goodbye);
            self.step(Event::GiveUp(closed), None, self.timer.now());
        }
    }

    /// Changes the settings while running.
    pub fn reconfigure(&mut self, config: Config) {
        let config = if self.connect.can_connect() {
            config
        } else {
            without_reconnect(config)
        };
        let actions = self.heartbeat.reconfigure(config, self.timer.now());
        self.act(actions, None);
    }

    #[inline]
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Read<C>> {
        match &mut self.socket {
            Some(socket) => socket.poll_read(context),
            None => Poll::Pending,
        }
    }

    /// Where no message was read: looks at the dial and at how the connection ended,
    /// and goes on.
    #[inline(never)]
    fn turn(&mut self, read: Poll<Read<C>>, context: &mut Context<'_>) -> Poll<()> {
        let came = self.dial(context).or_else(|| self.read_end(read));
        let now = came.unwrap_or_else(|| self.timer.now());
        self.go_on(came.is_some(), context, now)
    }

    /// Ticks and writes, when it has read. Pending where nothing came of it all.
    #[inline]
    fn go_on(&mut self, came: bool, context: &mut Context<'_>, now: T::Instant) -> Poll<()> {
        let ticks = self.due.is_some_and(|due| due <= now) && self.tick(came, now);
        self.write(context);
        if came || ticks || !self.notices.is_empty() {
            self.has_moved = true;
            return Poll::Ready(());
        }
        self.set_timer(context, now);
        Poll::Pending
    }

    /// The time when a dial came to its end, if it did.
    fn dial(&mut self, context: &mut Context<'_>) -> Option<T::Instant> {
        let Poll::Ready(result) = self.dial.as_mut()?.as_mut().poll(context) else {
            return None;
        };
        self.dial = None;
        let now = self.timer.now();
        match result {
            Ok(socket) => self.open(socket, now),
            Err(fault) => {
                let ending = (self.endings)(&fault);
                self.step(ending.event(), Some(ending.cause_of_dial(fault)), now);
            }
        }
        Some(now)
    }

    /// The time when the connection was found to be over, if it was.
    fn read_end(&mut self, read: Poll<Read<C>>) -> Option<T::Instant> {
        let socket = self.socket.as_mut()?;
        let fault = match read {
            Poll::Ready(read) => read.and_then(Result::err),
            Poll::Pending if socket.is_broken() => {
                // The peer's close code may lie unread.
                Verdict::of(&mut self.verdict, self.timer.now())?;
                None
            }
            Poll::Pending => return None,
        };
        let now = self.timer.now();
        // What broke the writes came first.
        match socket.take_broken().or(fault) {
            None => self.end(Closed::default(), now),
            Some(fault) => {
                self.socket = None;
                let ending = (self.endings)(&fault).of_connection();
                self.step(ending.event(), Some(ending.cause(fault)), now);
            }
        }
        Some(now)
    }

    /// Whether the message is the application's.
    #[inline]
    fn hear(&mut self, message: &Message<C>, now: T::Instant) -> bool {
        let incoming = self.codec.read(message);
        if matches!(incoming, Incoming::Message) {
            self.heartbeat.handle(Event::Message, now).for_each(drop);
            return true;
        }
        self.hear_control(incoming, now);
        false
    }

    #[inline(never)]
    fn hear_control(&mut self, incoming: Incoming<Message<C>>, now: T::Instant) {
        let pong = match incoming {
            Incoming::Pong(id) => Some(id),
            Incoming::AnyPong => self.heartbeat.awaited_ping(),
            _ => None,
        };
        if let Some(id) = pong {
            return self.hear_pong(id, now);
        }
        self.heartbeat.handle(Event::Received, now).for_each(drop);
        let Some(socket) = &mut self.socket else {
            return;
        };
        match incoming {
            Incoming::Ping(answer) => socket.answer(answer),
            Incoming::Closed(closed) => self.hear_close(closed, now),
            _ => socket.touch(),
        }
    }

    fn hear_pong(&mut self, id: PingId, now: T::Instant) {
        let is_awaited = self.heartbeat.awaited_ping() == Some(id);
        self.heartbeat.handle(Event::Pong(id), now).for_each(drop);
        let round_trip = self.heartbeat.round_trip().filter(|_| is_awaited);
        if let Some(round_trip) = round_trip.map(|measured| measured.last()) {
            trace::pong(self.heartbeat.epoch(), id, round_trip);
            self.notices.push(Notice::Pong { id, round_trip });
        }
    }

    /// The peer's close frame. While open it is the end; while closing it answers
    /// ours, and the end of the transport comes next.
    fn hear_close(&mut self, closed: Closed, now: T::Instant) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if self.heartbeat.state() == State::Open {
            socket.flush_at_once();
            self.end(closed, now);
        } else {
            socket.closed_by_peer();
        }
    }

    /// The transport is over in an orderly way.
    fn end(&mut self, closed: Closed, now: T::Instant) {
        self.socket = None;
        let cause = Cause::Closed(closed.code);
        self.step(Event::Closed(closed), Some(cause), now);
    }

    /// Ticks, but for a verdict that the runtime has not had the chance to avert.
    /// Whether it ticked.
    #[inline(never)]
    fn tick(&mut self, has_read: bool, now: T::Instant) -> bool {
        let mut now = now;
        if self.may_convict(now) && !has_read {
            let Some(found) = Verdict::of(&mut self.verdict, now) else {
                return false;
            };
            now = found;
        }
        self.verdict = None;
        self.note_progress(now);
        self.step(Event::Tick, None, now);
        true
    }

    fn may_convict(&self, now: T::Instant) -> bool {
        self.heartbeat.verdict(now).is_some()
    }

    /// The bytes of a message that is not whole yet are life. Where a message has
    /// come since the last look they may be its own, and then they only avert a
    /// verdict.
    fn note_progress(&mut self, now: T::Instant) {
        let has_heard = self.heartbeat.last_received() != self.heard;
        if self.takes_growth() && (!has_heard || self.may_convict(now)) {
            self.heartbeat.handle(Event::Received, now).for_each(drop);
            self.heard = self.heartbeat.last_received();
        }
    }

    /// Takes note of the bytes that came in; whether any did since the last time.
    fn takes_growth(&mut self) -> bool {
        self.heard = self.heartbeat.last_received();
        let bytes = self.socket().map_or(0, self.progress);
        bytes != core::mem::replace(&mut self.bytes, bytes)
    }

    #[inline]
    fn write(&mut self, context: &mut Context<'_>) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let written = socket.write(&mut self.outgoing, context);
        if !written.message && written.ping.is_none() {
            return;
        }
        let now = self.timer.now();
        self.has_moved = true;
        if written.message {
            let actions = self.heartbeat.handle(Event::Sent, now);
            if actions.len() > 0 {
                // It has brought the deadline forward.
                self.act(actions, None);
            }
        }
        if let Some(id) = written.ping {
            let flushed = Event::PingSent(id);
            self.heartbeat.handle(flushed, now).for_each(drop);
        }
    }

    fn open(&mut self, socket: C::Socket, now: T::Instant) {
        self.socket = Some(Socket::new(socket));
        self.step(Event::Opened, None, now);
        self.takes_growth();
        self.notices.push(Notice::Opened);
    }

    fn step(&mut self, event: Event, ended: Option<Cause<Fault<C>>>, now: T::Instant) {
        let before = trace::Before::of(&self.heartbeat);
        let actions = self.heartbeat.handle(event, now);
        before.changed(&self.heartbeat, &actions, ended.as_ref().map(reason));
        self.act(actions, ended);
    }

    fn act(&mut self, actions: Actions<T::Instant>, ended: Option<Cause<Fault<C>>>) {
        let attempt = self.heartbeat.attempt();
        for notice in Notice::of_step(&actions, ended, attempt) {
            self.notices.push(notice);
        }
        for action in actions {
            match action {
                Action::Connect if self.connect.can_connect() => {
                    self.dial = Some(Box::pin(self.connect.connect(attempt)));
                }
                Action::Connect => {
                    let cause = Some(Cause::NotDialled);
                    self.step(Ending::Failed.event(), cause, self.timer.now());
                }
                Action::SendPing(id) => {
                    trace::ping(self.heartbeat.epoch(), id);
                    let message = self.codec.ping(id);
                    if let Some(socket) = &mut self.socket {
                        socket.ping(id, message);
                    }
                    // Only bytes that arrive after this ping may answer it.
                    self.takes_growth();
                }
                Action::Close(reason) => self.close(reason),
                Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) | Action::Stopped(_) => {}
            }
        }
        let due = self.heartbeat.deadline();
        if due != self.due {
            self.due = due;
            self.verdict = None;
        }
    }

    fn close(&mut self, reason: CloseReason) {
        let code = code_of(reason);
        match reason.manner() {
            Manner::Handshake => {
                if let Some(socket) = &mut self.socket {
                    let goodbye = self.goodbye.take();
                    socket.close(goodbye.or_else(|| self.codec.goodbye(code)));
                }
            }
            Manner::Farewell => {
                self.dial = None;
                let goodbye = self.codec.goodbye(code);
                self.farewell(goodbye);
            }
            Manner::Abandon => {
                self.dial = None;
                self.socket = None;
            }
        }
    }

    fn farewell(&mut self, goodbye: Option<Message<C>>) {
        if let (Some(socket), Some(goodbye)) = (self.socket.take(), goodbye) {
            socket.farewell(goodbye);
        }
    }

    /// Sees to it that the task is awake when something is due. A busy connection
    /// touches the timer only when the deadline has moved.
    #[inline(never)]
    fn set_timer(&mut self, context: &mut Context<'_>, now: T::Instant) {
        let verdict = self.verdict.as_ref().map(Verdict::due);
        let Some(due) = verdict.or(self.due) else {
            return;
        };
        let is_awake_for_nothing = !core::mem::take(&mut self.has_moved);
        let is_set = self.set == Some(due);
        let wakes = |waker: &Waker| waker.will_wake(context.waker());
        let is_near = now.saturating_add(MILLISECOND.saturating_mul(2)) >= due;
        if is_set && self.waker.as_ref().is_some_and(wakes) && !is_awake_for_nothing && !is_near {
            return;
        }
        if !is_set {
            self.timer.set(due);
        }
        self.set = Some(due);
        self.waker = Some(context.waker().clone());
        if self.timer.poll(context).is_ready() {
            // The timer has already fired, perhaps 1 ms early: set it again.
            self.set = None;
            if let Some(verdict) = &mut self.verdict {
                verdict.has_turned = true;
            }
            context.waker().wake_by_ref();
        }
    }
}

impl<C, T, K, O> Stream for Session<C, T, K, O>
where
    C: Connect,
    T: Timer,
    K: Codec<Message<C>>,
    O: Stream<Item = Message<C>> + Unpin,
{
    type Item = Told<C, T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_notice(context)
    }
}

/// Nothing in it is ever pinned where it lies.
impl<C: Connect, T: Timer, K, O> Unpin for Session<C, T, K, O> {}

impl<C: Connect, T: Timer, K, O> fmt::Debug for Session<C, T, K, O>
where
    T::Instant: fmt::Debug,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

/// A verdict that is due. What came in while this task was not asked may lie unread
/// until the runtime's reactor has turned, however long the task is kept awake; when
/// the timer fires, it has.
struct Verdict<I> {
    found: I,
    has_turned: bool,
}

impl<I: crate::Instant> Verdict<I> {
    /// When it was found, if the reactor has turned since.
    fn of(verdict: &mut Option<Self>, now: I) -> Option<I> {
        let verdict = verdict.get_or_insert(Self {
            found: now,
            has_turned: false,
        });
        verdict.has_turned.then_some(verdict.found)
    }

    fn due(&self) -> I {
        self.found.saturating_add(MILLISECOND)
    }
}

/// The application's messages; a stream that has ended is not asked again.
struct Outgoing<O>(Option<O>);

impl<O: Stream + Unpin> Stream for Outgoing<O> {
    type Item = O::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<O::Item>> {
        let Some(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let item = Pin::new(stream).poll_next(context);
        if matches!(item, Poll::Ready(None)) {
            self.0 = None;
        }
        item
    }
}

impl<O> Unpin for Outgoing<O> {}

/// In place of the application's messages: there are none.
pub struct Silent<M>(PhantomData<fn() -> M>);

impl<M> Stream for Silent<M> {
    type Item = M;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<M>> {
        Poll::Pending
    }
}

impl<M> fmt::Debug for Silent<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Silent")
    }
}

fn without_reconnect(config: Config) -> Config {
    let settings = config.to_builder().reconnect(false);
    settings.build().unwrap_or(config)
}

/// For the log. An error of the socket's may have no words.
fn reason<E>(cause: &Cause<E>) -> &dyn fmt::Display {
    match cause {
        Cause::Closed(Some(code)) => code,
        Cause::Closed(None) => &"closed",
        Cause::Refused(status) => status,
        Cause::Failed(_) => &"failed",
        Cause::TimedOut(reason) => reason,
        Cause::GivenUp => &"given up",
        Cause::NotDialled => &"not dialled",
    }
}
