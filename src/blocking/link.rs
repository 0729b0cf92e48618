use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::clock::{Clock, Stamp};
use super::stream::Stream;
use super::wait::{Ready, Wait};
use crate::driver::Bytes;

/// A session with endless work does not wait, and so hears of no readiness. After this
/// time it tries anyway.
const UNHEARD: u64 = 1_000_000;

/// The other end of a [`Stream`], which itself lies under TLS and tungstenite: its
/// deadline, its counts, and the wait for it. A clone is the same link.
///
/// A link has one stream at a time.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

impl Link {
    /// A link whose connection has to be made, TLS and the WebSocket handshake
    /// included, within this time: for the sockets that a server accepts. A client uses
    /// that of its [`Dial`](super::Dial).
    ///
    /// # Errors
    ///
    /// The operating system's, if it has no descriptor left for the [`Wait`].
    pub fn within(timeout: Duration) -> io::Result<Self> {
        let deadline = crate::Instant::saturating_add(Instant::now(), timeout);
        Ok(Self::new(Wait::new()?, deadline))
    }

    /// The same until then, on a wait that there is already.
    #[must_use]
    pub fn new(wait: Wait, deadline: Instant) -> Self {
        let clock = Clock::new();
        Self(Arc::new(Shared {
            wait,
            deadline: clock.nanos(deadline),
            clock,
            phase: AtomicU8::new(Phase::UNBOUND),
            ready: Arc::new(Ready::default()),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            drained: Stamp::never(),
            blocked: Stamp::never(),
            filled: Stamp::never(),
            patience: AtomicU64::new(Patience::NONE),
            is_read_cut: AtomicBool::new(false),
            is_write_cut: AtomicBool::new(false),
            write_error: Mutex::new(None),
            on_wake: Mutex::new(None),
        }))
    }

    /// Puts this socket under the link: it no longer blocks, and has `TCP_NODELAY`,
    /// since pings are small.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn stream(&self, socket: TcpStream) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        self.stream_of(mio::net::TcpStream::from_std(socket))
    }

    pub(super) fn stream_of(&self, mut socket: mio::net::TcpStream) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        self.0.wait.register(&mut socket, &self.0.ready)?;
        self.0.pass(Phase::UNBOUND, Phase::CONNECTING);
        Ok(Stream::new(socket, self.clone()))
    }

    /// The time by which the connection has to be made.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.0.clock.instant(self.0.deadline)
    }

    /// What it waits with.
    #[must_use]
    pub fn wait(&self) -> &Wait {
        &self.0.wait
    }

    /// Ends a wait of the stream, from any thread: then [`on_wake`](Self::on_wake) is
    /// asked.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.0.wait.waker()
    }

    /// Gives up the connection that is being made, from any thread: whatever waits for
    /// it ends at once, with `ConnectionAborted`. An open connection is not affected.
    pub fn give_up(&self) {
        self.0.give_up();
        self.waker().wake_by_ref();
    }

    /// Sets who is asked, whenever somebody wakes the wait while the connection is being
    /// made, whether to go on. `false` gives it up.
    pub fn on_wake(&self, goes_on: impl FnMut() -> bool + Send + 'static) {
        *lock(&self.0.on_wake) = Some(Box::new(goes_on));
    }

    /// Declares the connection made: from now on reads and writes do not wait. Returns
    /// `false` if there is no stream, or if the connection was given up.
    pub fn open(&self) -> bool {
        *lock(&self.0.on_wake) = None;
        self.0.pass(Phase::CONNECTING, Phase::OPEN)
    }

    /// How many bytes went through.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes {
            read: self.0.read.load(Ordering::Relaxed),
            written: self.0.written.load(Ordering::Relaxed),
        }
    }

    /// Reads the clock. Reads and writes do so once in a while only.
    #[inline]
    pub fn read_clock(&self) -> Instant {
        self.0.clock.instant(self.0.clock.read())
    }

    /// The time at which the clock was last read, be it by a wait or a call.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.clock.instant(self.0.clock.last())
    }

    /// What [`now`](Self::now) is made from; it differs if that does.
    #[inline]
    pub(super) fn stamp(&self) -> u64 {
        self.0.clock.last()
    }

    /// Announces a call of the library above: it may go on for 5 ms in each direction,
    /// as long as the peer keeps up. Then it gets `WouldBlock`.
    #[inline]
    pub fn begin(&self) {
        if !self.0.ready.is(Ready::NEXT_READ) || !self.0.ready.is(Ready::NEXT_WRITE) {
            self.0.ready.set(Ready::NEXT_READ | Ready::NEXT_WRITE);
        }
    }

    /// Whether a read may find something: if it ended with `WouldBlock` all the same,
    /// its time was up.
    #[inline]
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.0.ready.is(Ready::READABLE)
    }

    /// The same for a write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.ready.is(Ready::WRITABLE)
    }

    /// A time as of which nothing that had arrived was unread; not later than
    /// [`now`](Self::now) was when that was found.
    #[inline]
    #[must_use]
    pub fn drained(&self) -> Option<Instant> {
        self.0.drained.get().map(|at| self.0.clock.instant(at))
    }

    /// Since when the system takes no byte of what has to be written.
    #[must_use]
    pub fn blocked(&self) -> Option<Instant> {
        self.0.blocked.get().map(|at| self.0.clock.instant(at))
    }

    /// Why nothing can be written any more, once. A write does not say so but ends with
    /// `WouldBlock`, for what the peer sent before it left (a close code) is still to
    /// be read, and tungstenite writes before it reads.
    pub fn take_write_error(&self) -> Option<io::Error> {
        self.0
            .is_write_cut()
            .then(|| lock(&self.0.write_error).take())?
    }

    /// Whether a read has failed for good.
    #[inline]
    #[must_use]
    pub fn is_read_cut(&self) -> bool {
        self.0.is_read_cut.load(Ordering::Relaxed)
    }

    /// Makes this call of the library above one that waits: a read in it that finds
    /// nothing does so, once, until the stream has become ready for anything, somebody
    /// wakes it, or until then (`None`: for as long as it takes). The call may return
    /// without, where the library has something already.
    ///
    /// It replaces a read, a [`wait_until`](Self::wait_until) and another read: a read
    /// that finds nothing is expensive, since tungstenite clears its whole buffer for
    /// each.
    #[inline]
    pub fn waiting<T>(&self, until: Option<Instant>, call: impl FnOnce() -> T) -> T {
        self.begin_to_wait(until);
        let result = call();
        self.end_to_wait();
        result
    }

    /// [`waiting`](Self::waiting), with one move of the result less.
    #[inline]
    pub(super) fn begin_to_wait(&self, until: Option<Instant>) {
        self.begin();
        let until = until.map_or(Patience::ENDLESS, |until| {
            // One that has passed is no reason not to look.
            self.0.clock.nanos(until).max(1)
        });
        self.0.patience.store(until, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn end_to_wait(&self) {
        self.0.patience.store(Patience::NONE, Ordering::Relaxed);
    }

    /// Waits until the stream has become ready, somebody wakes it, or until then; where
    /// a call that was made last had had [its time](Self::begin), it looks and does not
    /// wait. Returns the time, as [`read_clock`](Self::read_clock) does.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn wait_until(&self, until: Option<Instant>) -> io::Result<Instant> {
        let until = until.map(|until| self.0.clock.nanos(until));
        let now = self.0.wait_open(until)?;
        Ok(self.0.clock.instant(now))
    }

    /// While a connection is being made: waits until then or its deadline, if that is
    /// earlier.
    pub(super) fn connecting(&self, until: Option<Instant>) -> io::Result<Instant> {
        let until = until.map(|until| self.0.clock.nanos(until));
        let now = self.0.connecting(until)?;
        Ok(self.0.clock.instant(now))
    }

    /// The time, if the connection may still be made.
    pub(super) fn check(&self) -> io::Result<Instant> {
        let now = self.0.clock.read();
        self.0.check(now)?;
        Ok(self.0.clock.instant(now))
    }

    /// Why it could not be [opened](Self::open).
    pub(super) fn why_not_open(&self) -> io::Error {
        self.0.check_kept().err().unwrap_or_else(|| {
            let words = "the socket was not made with this dial or link";
            io::Error::new(ErrorKind::InvalidInput, words)
        })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Link")
            .field("bytes", &self.bytes())
            .field("ready", &self.0.ready)
            .finish_non_exhaustive()
    }
}

/// What a [`Link`] and its stream share. One thread reads and writes; it may be another
/// one that looks on or gives up.
pub(super) struct Shared {
    pub(super) wait: Wait,
    pub(super) clock: Clock,
    deadline: u64,
    phase: AtomicU8,
    pub(super) ready: Arc<Ready>,
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
    /// As of when nothing was left to read.
    pub(super) drained: Stamp,
    /// Since when, and as of when, there was no room to write.
    pub(super) blocked: Stamp,
    pub(super) filled: Stamp,
    patience: AtomicU64,
    pub(super) is_read_cut: AtomicBool,
    is_write_cut: AtomicBool,
    write_error: Mutex<Option<io::Error>>,
    on_wake: Mutex<Option<GoesOn>>,
}

type GoesOn = Box<dyn FnMut() -> bool + Send>;

/// How far the connection is.
struct Phase;

impl Phase {
    const UNBOUND: u8 = 0;
    const CONNECTING: u8 = 1;
    const OPEN: u8 = 2;
    const GIVEN_UP: u8 = 3;
}

/// Until when a read that finds nothing waits.
struct Patience;

impl Patience {
    const NONE: u64 = 0;
    const ENDLESS: u64 = u64::MAX;
}

impl Shared {
    /// After a call that found nothing to do, while the connection is being made.
    pub(super) fn wait_for(&self, what: u8) -> io::Result<()> {
        while !self.ready.is(what) {
            self.connecting(None)?;
        }
        Ok(())
    }

    /// The same once it is open, where the library above was called to wait. Whether it
    /// was.
    pub(super) fn wait_once(&self) -> io::Result<bool> {
        let patience = self.patience.swap(Patience::NONE, Ordering::Relaxed);
        if patience == Patience::NONE {
            return Ok(false);
        }
        self.wait_open(Some(patience).filter(|until| *until != Patience::ENDLESS))?;
        self.ready.set(Ready::NEXT_READ);
        Ok(true)
    }

    fn wait_open(&self, until: Option<u64>) -> io::Result<u64> {
        if until.is_some() {
            // The application may have needed any time since it was last read.
            self.clock.read();
        }
        let is_cut = self.ready.take(Ready::CUT);
        self.wait(if is_cut { Some(0) } else { until })
    }

    fn wait(&self, until: Option<u64>) -> io::Result<u64> {
        let now = self.clock.last();
        let left = until.map(|until| Duration::from_nanos(until.saturating_sub(now)));
        self.wait.wait(left)?;
        Ok(self.clock.read())
    }

    fn connecting(&self, until: Option<u64>) -> io::Result<u64> {
        self.check(self.clock.last())?;
        let until = until.map_or(self.deadline, |until| until.min(self.deadline));
        let now = self.wait(Some(until))?;
        if self.wait.take_woken() && !self.goes_on() {
            self.give_up();
        }
        self.check(now)?;
        Ok(now)
    }

    fn goes_on(&self) -> bool {
        lock(&self.on_wake).as_mut().is_none_or(|goes_on| goes_on())
    }

    /// Whether the connection may still be made.
    pub(super) fn check(&self, now: u64) -> io::Result<()> {
        self.check_kept()?;
        if now >= self.deadline {
            let words = "connecting took too long";
            return Err(io::Error::new(ErrorKind::TimedOut, words));
        }
        Ok(())
    }

    /// Whether nobody has given the connection up.
    fn check_kept(&self) -> io::Result<()> {
        if self.phase.load(Ordering::Acquire) == Phase::GIVEN_UP {
            // `Interrupted` would be tried again by whoever hears it.
            let words = "the connection was given up while it was being made";
            return Err(io::Error::new(ErrorKind::ConnectionAborted, words));
        }
        Ok(())
    }

    fn give_up(&self) {
        self.pass(Phase::UNBOUND, Phase::GIVEN_UP);
        self.pass(Phase::CONNECTING, Phase::GIVEN_UP);
    }

    fn pass(&self, from: u8, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.phase
            .compare_exchange(from, to, success, failure)
            .is_ok()
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::OPEN
    }

    /// Whether the last attempt still tells what another one would.
    pub(super) fn is_recent(&self, attempt: &Stamp) -> bool {
        let now = self.clock.last();
        attempt
            .get()
            .is_some_and(|at| now.saturating_sub(at) < UNHEARD)
    }

    pub(super) fn is_full(&self) {
        let now = self.clock.read();
        self.filled.set(now);
        if self.blocked.get().is_none() {
            self.blocked.set(now);
        }
    }

    pub(super) fn is_write_cut(&self) -> bool {
        self.is_write_cut.load(Ordering::Relaxed)
    }

    pub(super) fn keep_write_error(&self, error: io::Error) {
        *lock(&self.write_error) = Some(error);
        self.is_write_cut.store(true, Ordering::Relaxed);
        // What the peer said last may have come since the last read found nothing.
        self.ready.set(Ready::READABLE);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
