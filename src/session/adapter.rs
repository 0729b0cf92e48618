use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures_core::Stream;

use super::connect::{Accepted, Connect, Transport};
use super::io::{Alarm, Fault, Io, LastCall, Message, Outgoing, Polled, Stage};
use super::timer::Timer;
use crate::driver::{Bytes, Codec, Counts, Dialect, Driver, KeepingError, Notice, Step};
use crate::{Closed, Config, Ending, Goodbye, Heartbeat, SendError, State};

/// How many times the driver runs before other tasks get their turn.
const RUNS: usize = 4;

pub(super) type Told<C, T, K> =
    Notice<<K as Codec<Message<C>>>::Message, Message<C>, Fault<C>, <T as Timer>::Instant>;

/// A WebSocket that is kept alive on any async runtime: pinged, watched, closed and
/// dialled again, by the task that asks for the next [`Notice`].
///
/// It is a stream of notices, and [`next`](Self::next) is its next one; dropping that
/// future loses nothing. A session does its work only while it is asked for a notice:
/// one that is asked too rarely ticks late, which the heartbeat forgives once per
/// silence. Dropping a session abandons its connection: [`stop`](Self::stop) it first.
///
/// What the application sends on its own initiative is a backlog that outlives
/// connections: through a [`handle`](Self::handle), or from a stream of the
/// application's, such as a channel, which is polled only when its message may go out.
/// What is for one connection (a login, a subscription) goes through
/// [`send`](Self::send), ahead of the backlog.
///
/// It is `Send` if its parts are.
pub struct Session<C, T, D, K, O = Silent<Message<C>>>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    driver: Driver<D, K, Fault<C>, T::Instant>,
    io: Io<C, T, O>,
    /// What the last poll found, if it was not a message at once.
    found: Option<Told<C, T, K>>,
}

impl<C, T, D, K> Session<C, T, D, K>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    /// A client. It begins to dial when it is first asked for a notice.
    ///
    /// The seed decides every jitter: take a different seed per client, or they act in
    /// lockstep.
    pub fn client(config: Config, seed: u64, dialect: D, codec: K, timer: T, connect: C) -> Self {
        let driver = Driver::client(config, seed, dialect, codec);
        Self::of(driver, timer, connect, Stage::None)
    }

    fn of(
        driver: Driver<D, K, Fault<C>, T::Instant>,
        timer: T,
        connect: C,
        stage: Stage<C>,
    ) -> Self {
        let close_discards = driver.dialect().close_discards();
        Self {
            driver,
            found: None,
            io: Io {
                connect,
                timer,
                endings: Box::new(|_| Ending::Failed),
                outgoing: Outgoing(Some(Silent(PhantomData))),
                last_call: None,
                bytes: |_| Bytes::default(),
                limit: |_| None,
                is_limited: false,
                stage,
                finishes: false,
                close_discards,
                alarm: Alarm::new(),
                #[cfg(feature = "std")]
                desk: None,
                system_time: None,
            },
        }
    }
}

impl<S, T, D, K> Session<Accepted<S>, T, D, K>
where
    S: Transport,
    T: Timer,
    D: Dialect<Message = S::Message>,
    K: Codec<S::Message>,
{
    /// A server's accepted socket, which is open. The first loss is final: reconnecting
    /// is off, whatever the settings say. It allocates nothing per message or ping
    /// beyond what its parts do.
    pub fn accepted(config: Config, seed: u64, dialect: D, codec: K, timer: T, socket: S) -> Self {
        let driver = Driver::accepted(config, seed, dialect, codec);
        Self::of(driver, timer, Accepted::new(), Stage::Accepted(socket))
    }
}

impl<C, T, D, K, O> Session<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    /// Sends what this stream yields, as its backlog. A stream that is not `Unpin` has
    /// to be pinned, by `Box::pin` or `pin!`. When it ends, nothing more is sent.
    ///
    /// After a stop, what it has ready still goes ahead of the goodbye. A stream that
    /// always has more is not asked again after half of `close_timeout`, once it gave
    /// 1024 messages.
    pub fn sending<P>(self, outgoing: P) -> Session<C, T, D, K, P>
    where
        P: Stream<Item = Message<C>> + Unpin,
    {
        let Self { driver, io, .. } = self;
        Session {
            driver,
            found: None,
            io: Io {
                connect: io.connect,
                timer: io.timer,
                endings: io.endings,
                outgoing: Outgoing(Some(outgoing)),
                last_call: io.last_call,
                bytes: io.bytes,
                limit: io.limit,
                is_limited: io.is_limited,
                stage: io.stage,
                finishes: io.finishes,
                close_discards: io.close_discards,
                alarm: io.alarm,
                #[cfg(feature = "std")]
                desk: io.desk,
                system_time: io.system_time,
            },
        }
    }

    /// Which errors of the socket, or of a dial, are an orderly end or a refusal. By
    /// default none: all are failures.
    #[must_use]
    pub fn with_endings(
        mut self,
        endings: impl FnMut(&Fault<C>) -> Ending + Send + 'static,
    ) -> Self {
        self.io.endings = Box::new(endings);
        self
    }

    /// How many bytes went through a socket, below TLS: the bytes of an incomplete
    /// message count as life, and bytes that leave show that our side is not stuck.
    /// Without it only whole messages count.
    #[must_use]
    pub fn with_bytes(mut self, bytes: fn(&C::Socket) -> Bytes) -> Self {
        self.io.bytes = bytes;
        self
    }

    /// The longest message that a socket takes, if it has a limit: longer ones are
    /// given back instead of ending the connection.
    #[must_use]
    pub fn with_limit(mut self, limit: fn(&C::Socket) -> Option<usize>) -> Self {
        self.io.limit = limit;
        self
    }

    /// The system's clock: if it runs on by 10 s more than the timer's, the machine
    /// slept, and the network may have changed.
    #[must_use]
    pub fn with_system_time(mut self, system_time: fn() -> Duration) -> Self {
        self.io.system_time = Some(system_time);
        self
    }

    /// As [`Driver::with_seed`]: for tests that have to be repeatable.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        let driver = self.driver.with_seed(seed);
        Self { driver, ..self }
    }

    /// As [`Driver::keeping`].
    ///
    /// # Errors
    ///
    /// As [`Driver::keeping`].
    pub fn keeping(self, bytes: usize) -> Result<Self, KeepingError>
    where
        Message<C>: Clone,
    {
        let driver = self.driver.keeping(bytes)?;
        #[cfg(feature = "std")]
        if let Some(desk) = &self.io.desk {
            desk.check_by(driver.check());
        }
        Ok(Self { driver, ..self })
    }

    /// As [`Driver::with_queue_limit`].
    #[must_use]
    pub fn with_queue_limit(self, bytes: usize) -> Self {
        let driver = self.driver.with_queue_limit(bytes);
        Self { driver, ..self }
    }

    /// As [`Driver::with_stall_timeout`].
    #[must_use]
    pub fn with_stall_timeout(self, timeout: Duration) -> Self {
        let driver = self.driver.with_stall_timeout(timeout);
        Self { driver, ..self }
    }

    /// The state machine.
    pub const fn heartbeat(&self) -> &Heartbeat<T::Instant> {
        self.driver.heartbeat()
    }

    /// What happened so far.
    pub const fn counts(&self) -> Counts {
        self.driver.counts()
    }

    /// The socket that is up.
    pub const fn socket(&self) -> Option<&C::Socket> {
        match &self.io.stage {
            Stage::Open(socket) | Stage::Accepted(socket) => Some(socket),
            Stage::None | Stage::Dialling(_) => None,
        }
    }

    /// Sends a message on the connection whose `Opened` was returned last, ahead of the
    /// backlog: a login, a subscription. Never waits.
    ///
    /// # Errors
    ///
    /// As [`Driver::send`].
    pub fn send(&mut self, message: Message<C>) -> Result<(), SendError<Message<C>>> {
        self.driver.send(message)
    }

    /// As [`Driver::requeue`].
    pub fn requeue(&mut self, messages: impl IntoIterator<Item = Message<C>>) {
        self.driver.requeue(messages);
    }

    /// As [`Driver::stop`]. From now on handles take nothing.
    pub fn stop(&mut self) {
        let now = self.io.timer.now();
        self.driver.stop(now);
        self.stopping(now);
    }

    /// As [`stop`](Self::stop), unless it was stopped already. If there are handles,
    /// one of them has to do it, without a lock: that wakes the session.
    #[cfg(feature = "std")]
    pub(super) fn stop_once(&mut self) -> Option<crate::Handle<Message<C>>> {
        let handle = self.io.desk.as_ref().map(crate::Desk::handle);
        if handle.is_none() && !self.driver.is_stopping() {
            self.stop();
        }
        handle
    }

    /// As [`Driver::stop_with`]. From now on handles take nothing.
    pub fn stop_with(&mut self, goodbye: Goodbye) {
        let now = self.io.timer.now();
        self.driver.stop_with(goodbye, now);
        self.stopping(now);
    }

    fn stopping(&mut self, now: T::Instant) {
        #[cfg(feature = "std")]
        if let Some(desk) = &mut self.io.desk {
            desk.stopping();
        }
        self.bound_backlog(now);
    }

    /// The goodbye and its answer need time, too.
    fn bound_backlog(&mut self, now: T::Instant) {
        let heartbeat = self.driver.heartbeat();
        if heartbeat.state() == State::Closing && self.io.last_call.is_none() {
            let deadline = heartbeat.deadline();
            self.io.last_call = deadline.map(|deadline| LastCall::before(deadline, now));
        }
    }

    /// As [`Driver::reconnect_now`].
    ///
    /// If the session begins anew after `Stopped`, its handles remain over: take a new
    /// [`handle`](Self::handle), and add it to a `Shutdown` again.
    pub fn reconnect_now(&mut self) {
        #[cfg(feature = "std")]
        let was_over = self.driver.is_over();
        self.driver.reconnect_now(self.io.timer.now());
        if self.driver.heartbeat().state() != State::Closing {
            self.io.last_call = None;
        }
        #[cfg(feature = "std")]
        if was_over && !self.driver.is_over() {
            self.io.desk = None;
        }
    }

    /// As [`Driver::network_changed`].
    pub const fn network_changed(&mut self) {
        self.driver.network_changed();
    }

    /// As [`Driver::healthy`], of the connection whose `Opened` was heard last.
    pub fn healthy(&mut self) -> bool {
        let now = self.io.timer.now();
        let epoch = self.driver.heard_epoch();
        epoch.is_some_and(|epoch| self.driver.healthy(epoch, now))
    }

    /// As [`Driver::give_up`], of the connection whose `Opened` was heard last.
    pub fn give_up(&mut self, closed: Closed) -> bool {
        let now = self.io.timer.now();
        let epoch = self.driver.heard_epoch();
        epoch.is_some_and(|epoch| self.driver.give_up(epoch, closed, now))
    }

    /// As [`Driver::reconfigure`].
    ///
    /// # Errors
    ///
    /// As [`Driver::reconfigure`].
    pub fn reconfigure(&mut self, config: Config) -> Result<(), KeepingError> {
        self.driver.reconfigure(config, self.io.timer.now())
    }
}

impl<C, T, D, K, O> Session<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
    O: Stream<Item = Message<C>> + Unpin,
{
    /// The next notice; `None` after `Stopped`, until
    /// [`reconnect_now`](Self::reconnect_now). Dropping the future loses nothing.
    #[allow(clippy::should_implement_trait, reason = "as of an async iterator")]
    pub fn next(&mut self) -> impl Future<Output = Option<Told<C, T, K>>> + Unpin {
        Next(self)
    }

    /// Polls for the next notice.
    #[inline(always)]
    pub fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<Option<Told<C, T, K>>> {
        #[cfg(feature = "std")]
        self.hear_handles(context);
        self.hear_network(context);
        let mut polled = Polled {
            io: &mut self.io,
            context,
        };
        match self.driver.begin(&mut polled) {
            Some(message) => Poll::Ready(Some(Notice::Message(message))),
            // What it finds goes through a place of its own: a result in memory would
            // have each message written there and read back at once, which stalls.
            None => self
                .poll_on(context)
                .map(|()| core::mem::take(&mut self.found)),
        }
    }

    #[inline(never)]
    fn poll_on(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..RUNS {
            let mut polled = Polled {
                io: &mut self.io,
                context,
            };
            let step = self.driver.run_on(&mut polled);
            let Io { alarm, timer, .. } = &mut self.io;
            match step {
                Step::Message(message) => {
                    self.found = Some(Notice::Message(message));
                    return Poll::Ready(());
                }
                Step::Told(notice) => {
                    self.found = Some(notice);
                    return Poll::Ready(());
                }
                Step::Over => return Poll::Ready(()),
                Step::Again => {
                    alarm.look(timer, context);
                    break;
                }
                Step::Idle(due) => {
                    if !alarm.wait(due, timer, context) {
                        return Poll::Pending;
                    }
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// The same while nobody asks: notices wait. Ready only when the session is over.
    #[cfg(feature = "std")]
    pub(super) fn poll_unheard(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Told<C, T, K>>> {
        self.hear_handles(context);
        self.hear_network(context);
        for _ in 0..RUNS {
            let mut polled = Polled {
                io: &mut self.io,
                context,
            };
            let step = self.driver.run_unheard(&mut polled);
            match step {
                Step::Over => return Poll::Ready(None),
                Step::Idle(due) => {
                    let Io { alarm, timer, .. } = &mut self.io;
                    if !alarm.wait(due, timer, context) {
                        return Poll::Pending;
                    }
                }
                Step::Message(_) | Step::Told(_) | Step::Again => break,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    #[inline]
    fn hear_network(&mut self, context: &mut Context<'_>) {
        if self.io.connect.poll_network_changed(context).is_ready() {
            self.driver.network_changed();
        }
    }

    #[cfg(feature = "std")]
    #[inline]
    fn hear_handles(&mut self, context: &Context<'_>) {
        let Some(desk) = &mut self.io.desk else {
            return;
        };
        desk.note_thread();
        desk.register(context.waker());
        let wishes = desk.wishes();
        if !wishes.is_empty() {
            self.grant(wishes);
        }
    }

    #[cfg(feature = "std")]
    fn grant(&mut self, wishes: alloc::vec::Vec<crate::Wish>) {
        let now = self.io.timer.now();
        for wish in wishes {
            self.driver.grant(wish, now);
        }
        self.bound_backlog(now);
    }
}

/// The next notice of a session; `poll_fn` would not be inlined, and with it no message.
struct Next<'a, C, T, D, K, O>(&'a mut Session<C, T, D, K, O>)
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>;

impl<C, T, D, K, O> Future for Next<'_, C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
    O: Stream<Item = Message<C>> + Unpin,
{
    type Output = Option<Told<C, T, K>>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_notice(context)
    }
}

#[cfg(feature = "std")]
impl<C, T, D, K, O> Session<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>> + Clone + Send + Sync + 'static,
    K: Codec<Message<C>>,
{
    /// A handle for other tasks and threads: it sends messages and controls the
    /// session.
    pub fn handle(&mut self) -> crate::Handle<Message<C>> {
        self.handle_of(crate::Backlog::default())
    }

    /// The same with this limit on its backlog, unless there is a handle already.
    pub fn handle_of(&mut self, backlog: crate::Backlog) -> crate::Handle<Message<C>> {
        let desk = &mut self.io.desk;
        desk.get_or_insert_with(|| self.driver.desk(backlog))
            .handle()
    }
}

impl<C, T, D, K, O> Stream for Session<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
    O: Stream<Item = Message<C>> + Unpin,
{
    type Item = Told<C, T, K>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_notice(context)
    }
}

/// Nothing in it is ever pinned where it lies.
impl<C, T, D, K, O> Unpin for Session<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
}

impl<C, T, D, K, O> fmt::Debug for Session<C, T, D, K, O>
where
    C: Connect,
    T: Timer,
    T::Instant: fmt::Debug,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}

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
