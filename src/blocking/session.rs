use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tungstenite::{Error, Message, WebSocket};

use super::connect::{Boxed, Connect};
use super::dial::Dial;
use super::io::{Io, Pause, Stage};
use super::link::Link;
use super::stream::Stream;
use crate::driver::{self, Codec, Counts, Driver, KeepingError, Plain, Step, UnderWay};
use crate::tungstenite::Tungstenite;
use crate::{
    Backlog, Closed, Config, Ending, Goodbye, Handle, Heartbeat, MaybeTls, SendError, system,
};

/// What a [`Session`] reports.
pub type Notice<M = Message> = driver::Notice<M, Message, Error, Instant>;

/// The time that [`Session::next_before`] was given is up, and there is no notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is up")]
pub struct TimeUp;

/// A WebSocket that is kept alive: pinged, watched, closed and dialled again, by the
/// thread that asks for the next [`Notice`].
///
/// Everything happens inside [`next`](Iterator::next) and
/// [`next_before`](Self::next_before): a session that is called too rarely ticks late,
/// which the heartbeat forgives once per silence. Dropping a session abandons its
/// connection: [`stop`](Self::stop) it first.
///
/// Other threads send messages and control it through a [`handle`](Self::handle). What
/// is for one connection (a login, a subscription) goes through [`send`](Self::send),
/// ahead of what handles send.
pub struct Session<S, K: Codec<Message> = Plain, C = fn(&Dial) -> Result<WebSocket<S>, Error>> {
    driver: Driver<Tungstenite, K, Error, Instant>,
    io: Io<S>,
    connect: C,
    /// What the last call found, if it was not a message at once.
    found: Option<Notice<K::Message>>,
    is_time_up: bool,
}

/// A client whose type can be named: its connector is [`boxed`](super::boxed).
///
/// ```no_run
/// use keepalive::Config;
/// use keepalive::blocking::{Client, Dialer, boxed, client};
///
/// struct Feed {
///     client: Client,
/// }
///
/// let dialer = boxed(Dialer::new("ws://localhost:9001"));
/// let feed = Feed { client: client(Config::default(), dialer) };
/// ```
pub type Client<S = MaybeTls<Stream>, K = Plain> = Session<S, K, Boxed<S>>;

/// A client, with protocol pings. Its seed is random. It begins to dial when it is first
/// asked for a notice.
pub fn client<C: Connect>(config: Config, connect: C) -> Session<C::Stream, Plain, C> {
    client_with(config, Plain, connect)
}

/// The same with the application's own codec: other pings, or decoded messages.
pub fn client_with<C, K>(config: Config, codec: K, connect: C) -> Session<C::Stream, K, C>
where
    C: Connect,
    K: Codec<Message>,
{
    let driver = Driver::client(config, system::random(), Tungstenite::new(), codec);
    Session::of(driver, Io::new(Stage::None), connect)
}

/// A server's accepted socket, with protocol pings; see [`accept`](super::accept). Its
/// seed is random. The first loss is final: reconnecting is off, whatever the settings
/// say.
pub fn accepted<S: Read + Write>(config: Config, socket: WebSocket<S>, link: Link) -> Session<S> {
    accepted_with(config, Plain, socket, link)
}

/// The same with the application's own codec.
pub fn accepted_with<S, K>(
    config: Config,
    codec: K,
    socket: WebSocket<S>,
    link: Link,
) -> Session<S, K>
where
    S: Read + Write,
    K: Codec<Message>,
{
    let driver = Driver::accepted(config, system::random(), Tungstenite::new(), codec);
    let never: fn(&Dial) -> Result<WebSocket<S>, Error> = |_| Err(Error::AlreadyClosed);
    Session::of(driver, Io::new(Stage::Dialled(Ok((socket, link)))), never)
}

impl<S, K: Codec<Message>, C> Session<S, K, C> {
    const fn of(driver: Driver<Tungstenite, K, Error, Instant>, io: Io<S>, connect: C) -> Self {
        Self {
            driver,
            io,
            connect,
            found: None,
            is_time_up: false,
        }
    }

    /// The seed of every jitter, random by default: for tests that have to be
    /// repeatable.
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
    pub fn keeping(self, bytes: usize) -> Result<Self, KeepingError> {
        let driver = self.driver.keeping(bytes)?;
        if let Some(desk) = &self.io.desk {
            desk.check_by(driver.check());
        }
        Ok(Self { driver, ..self })
    }

    /// Which of tungstenite's errors are an orderly end or a refusal, of a connection
    /// or of a dial; by default as [`ending`](crate::tungstenite::ending) says.
    #[must_use]
    pub fn with_endings(mut self, endings: impl FnMut(&Error) -> Ending + Send + 'static) -> Self {
        self.io.endings = Box::new(endings);
        self
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
    pub const fn heartbeat(&self) -> &Heartbeat<Instant> {
        self.driver.heartbeat()
    }

    /// What happened so far.
    pub const fn counts(&self) -> Counts {
        self.driver.counts()
    }

    /// The WebSocket that is up.
    pub const fn socket(&self) -> Option<&WebSocket<S>> {
        match &self.io.stage {
            Stage::Open(socket, _) => Some(socket),
            _ => None,
        }
    }

    /// A handle for other threads and tasks: it sends messages and controls the
    /// session. While the session waits, in [`next`](Iterator::next) or for a dial, it
    /// reacts at once.
    pub fn handle(&mut self) -> Handle<Message> {
        self.handle_of(Backlog::default())
    }

    /// The same with this limit on its backlog, unless there is a handle already.
    pub fn handle_of(&mut self, backlog: Backlog) -> Handle<Message> {
        let desk = &mut self.io.desk;
        desk.get_or_insert_with(|| self.driver.desk(backlog))
            .handle()
    }

    /// Sends a message on the connection whose `Opened` was returned last, ahead of the
    /// backlog: a login, a subscription. Never waits; it goes out at the next call for
    /// a notice.
    ///
    /// # Errors
    ///
    /// As [`Driver::send`].
    pub fn send(&mut self, message: Message) -> Result<(), SendError<Message>> {
        self.driver.send(message)
    }

    /// As [`Driver::requeue`].
    pub fn requeue(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.driver.requeue(messages);
    }

    /// As [`Driver::stop`]. From now on handles take nothing.
    pub fn stop(&mut self) {
        let now = self.io.read_clock();
        self.driver.stop(now);
        self.stopping();
    }

    /// As [`Driver::stop_with`]. From now on handles take nothing.
    pub fn stop_with(&mut self, goodbye: Goodbye) {
        let now = self.io.read_clock();
        self.driver.stop_with(goodbye, now);
        self.stopping();
    }

    fn stopping(&mut self) {
        if let Some(desk) = &mut self.io.desk {
            desk.stopping();
        }
    }

    /// As [`Driver::reconnect_now`].
    ///
    /// If the session begins anew after `Stopped`, its handles remain over: take a new
    /// [`handle`](Self::handle), and add it to a `Shutdown` again.
    pub fn reconnect_now(&mut self) {
        let now = self.io.read_clock();
        let was_over = self.driver.is_over();
        self.driver.reconnect_now(now);
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
        let now = self.io.read_clock();
        let epoch = self.driver.heard_epoch();
        epoch.is_some_and(|epoch| self.driver.healthy(epoch, now))
    }

    /// As [`Driver::give_up`], of the connection whose `Opened` was heard last.
    pub fn give_up(&mut self, closed: Closed) -> bool {
        let now = self.io.read_clock();
        let epoch = self.driver.heard_epoch();
        epoch.is_some_and(|epoch| self.driver.give_up(epoch, closed, now))
    }

    /// As [`Driver::reconfigure`].
    ///
    /// # Errors
    ///
    /// As [`Driver::reconfigure`].
    pub fn reconfigure(&mut self, config: Config) -> Result<(), KeepingError> {
        let now = self.io.read_clock();
        self.driver.reconfigure(config, now)
    }
}

impl<S, K, C> Session<S, K, C>
where
    S: Read + Write,
    K: Codec<Message>,
    C: Connect<Stream = S>,
{
    /// Like [`next`](Iterator::next), but returns at `until` at the latest, so that the
    /// application can do work of its own on this thread. `None` means that the session
    /// is over.
    ///
    /// It does not cut a dial short: that takes up to `connect_timeout`, unless a
    /// [`handle`](Self::handle) ends it. With a time in the past, it returns what is
    /// already there.
    ///
    /// # Errors
    ///
    /// [`TimeUp`], if there was no notice in time.
    pub fn next_before(&mut self, until: Instant) -> Result<Option<Notice<K::Message>>, TimeUp> {
        self.is_time_up = false;
        let notice = self.next_until(Some(until));
        if self.is_time_up {
            return Err(TimeUp);
        }
        Ok(notice)
    }

    /// To say in its result that the time is up would move each message once more.
    #[inline(always)]
    fn next_until(&mut self, until: Option<Instant>) -> Option<Notice<K::Message>> {
        self.io.look_at_the_clock();
        if self.io.is_drained() {
            let rest = self.driver.rest(&mut self.io);
            self.io.patience = rest.map(|due| earlier(due, until));
        }
        self.hear_handles();
        match self.driver.begin(&mut self.io) {
            Some(message) => Some(Notice::Message(message)),
            // By a place of its own, so that a message needs none.
            None => {
                self.go_on(until);
                self.found.take()
            }
        }
    }

    #[inline(never)]
    fn go_on(&mut self, until: Option<Instant>) {
        loop {
            match self.driver.run_on(&mut self.io) {
                Step::Message(message) => return self.found = Some(Notice::Message(message)),
                Step::Told(notice) => return self.found = Some(notice),
                Step::Over => return,
                Step::Idle(_) if self.dials() => {}
                Step::Again | Step::Idle(_) if self.is_late(until) => {
                    self.is_time_up = true;
                    return;
                }
                Step::Again => {}
                Step::Idle(due) => self.io.patience = Some(earlier(due, until)),
            }
            self.hear_handles();
        }
    }

    fn is_late(&mut self, until: Option<Instant>) -> bool {
        until.is_some_and(|until| until <= self.io.last_time())
    }

    /// Dials, where that is ordered. Whether it was.
    fn dials(&mut self) -> bool {
        match self.order() {
            Some(order) => {
                let result = self.connect.connect(order.dial());
                self.dialled(order, result);
                true
            }
            None => self.has_dialled(),
        }
    }
}

impl<S, K, C> Session<S, K, C>
where
    S: Read + Write,
    K: Codec<Message>,
{
    #[inline]
    fn hear_handles(&mut self) {
        if self.io.take_woken() {
            // There may be something to write.
            self.io.patience = None;
        }
        if self.io.desk.is_some() {
            self.hear_desk();
        }
    }

    fn hear_desk(&mut self) {
        let waker = self.io.wait().ok().map(|(_, waker)| waker.clone());
        let Some(desk) = &mut self.io.desk else {
            return;
        };
        desk.note_thread();
        if waker.is_some_and(|waker| desk.register(&waker)) {
            self.io.patience = None;
        }
        let wishes = desk.wishes();
        if wishes.is_empty() {
            return;
        }
        self.io.patience = None;
        let now = self.io.read_clock();
        for wish in wishes {
            self.driver.grant(wish, now);
        }
    }

    /// What ends its wait.
    pub(super) fn waker(&mut self) -> io::Result<Waker> {
        self.io.patience = None;
        self.io.wait().map(|(_, waker)| waker.clone())
    }

    /// The session for who dials, and its connector.
    pub(super) fn into_parts(self) -> (Session<S, K, ()>, C) {
        let Self {
            driver,
            io,
            connect,
            ..
        } = self;
        (Session::of(driver, io, ()), connect)
    }

    /// The dial to make now.
    pub(super) fn order(&mut self) -> Option<Ordered> {
        let Stage::Ordered(attempt) = self.io.stage else {
            return None;
        };
        let now = self.io.read_clock();
        let deadline = self.driver.heartbeat().deadline().unwrap_or(now);
        let wait = match self.io.wait() {
            Ok((wait, _)) => wait.clone(),
            Err(error) => {
                self.io.stage = Stage::Dialled(Err(Error::Io(error)));
                return None;
            }
        };
        let dial = Dial::new(wait, deadline, attempt);
        let under_way = Arc::new(Mutex::new(self.driver.under_way()));
        if let Some(desk) = &self.io.desk {
            let (handle, under_way) = (desk.handle(), Arc::clone(&under_way));
            dial.link().on_wake(move || {
                let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
                under_way.hear(handle.take_wishes(), Instant::now())
            });
        }
        Some(Ordered { dial, under_way })
    }

    /// What became of it; what handles wanted meanwhile may have ended it.
    pub(super) fn dialled(&mut self, order: Ordered, result: Result<WebSocket<S>, Error>) {
        let Ordered { dial, under_way } = order;
        let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        self.io.stage = if self.driver.grant_all(&mut under_way) {
            Stage::Dialled(result.map(|socket| (socket, dial.link().clone())))
        } else {
            Stage::None
        };
        self.io.read_clock();
    }

    const fn has_dialled(&self) -> bool {
        matches!(self.io.stage, Stage::Dialled(_))
    }

    /// A notice that waits already, also while somebody dials.
    pub(super) fn tell(&mut self) -> Option<Notice<K::Message>> {
        if !self.driver.has_notice() {
            return None;
        }
        self.io.read_clock();
        match self.driver.run(&mut self.io) {
            Step::Told(notice) => Some(notice),
            _ => None,
        }
    }

    /// Runs the driver once, for who waits and dials elsewhere. Where nobody asks,
    /// notices wait.
    pub(super) fn turn(&mut self, asks: bool) -> Turn<K::Message> {
        self.io.read_clock();
        self.hear_handles();
        let step = if asks {
            self.driver.run(&mut self.io)
        } else {
            self.driver.run_unheard(&mut self.io)
        };
        match step {
            Step::Message(message) => Turn::Told(Notice::Message(message)),
            Step::Told(notice) => Turn::Told(notice),
            Step::Over => Turn::Over,
            Step::Again => Turn::Again,
            Step::Idle(due) => match self.order() {
                Some(order) => Turn::Dial(order),
                None if self.has_dialled() => Turn::Again,
                None => Turn::Idle(self.io.pause(due)),
            },
        }
    }
}

/// A dial that is to be made.
pub(super) struct Ordered {
    dial: Dial,
    under_way: Arc<Mutex<UnderWay<Instant>>>,
}

impl Ordered {
    pub(super) const fn dial(&self) -> &Dial {
        &self.dial
    }
}

/// What one turn came to.
pub(super) enum Turn<M> {
    Told(Notice<M>),
    Dial(Ordered),
    Idle(Pause),
    Again,
    Over,
}

#[inline]
fn earlier(due: Option<Instant>, until: Option<Instant>) -> Option<Instant> {
    match until {
        None => due,
        until => [due, until].into_iter().flatten().min(),
    }
}

impl<S, K, C> Iterator for Session<S, K, C>
where
    S: Read + Write,
    K: Codec<Message>,
    C: Connect<Stream = S>,
{
    type Item = Notice<K::Message>;

    /// The next notice; waits for it. `None` after `Stopped`, until
    /// [`reconnect_now`](Session::reconnect_now).
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None)
    }
}

impl<S, K: Codec<Message>, C> fmt::Debug for Session<S, K, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}
