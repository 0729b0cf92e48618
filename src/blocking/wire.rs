use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stall::Stall;

/// A longer timeout can come late by an eighth on Linux, whose timers are the
/// coarser the longer they are: 2 s late after 20 s. So less is asked for, and then
/// what is left.
const FINE: Duration = Duration::from_millis(50);

/// The shortest timeout that a socket takes; zero is an error to std.
const SHORTEST: Duration = Duration::from_millis(1);

/// For how long reads go on after their deadline, while there is something:
/// what has come is not left behind by a session that is in a hurry.
const READ_ON: Duration = Duration::from_millis(5);

/// A span between two attempts to write counts as stalled up to this long: what
/// is longer, this process was away.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// A blocking socket whose reads and writes can be given a timeout.
///
/// As in std, a timeout holds for one system call, and a call that runs into it
/// fails with `WouldBlock` or `TimedOut`.
pub trait Socket: Read + Write {
    /// How long a read may block; at least 1 ms.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()>;

    /// How long a write may block; at least 1 ms.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(timeout))
    }
}

#[cfg(unix)]
impl Socket for std::os::unix::net::UnixStream {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(timeout))
    }
}

/// A socket under absolute deadlines, to stand *below* TLS and tungstenite.
///
/// A timeout of the system's starts afresh with each system call, so a peer that
/// drips holds a `read` for ever. Here each call gets what is left until the
/// deadline, in both directions, since TLS reads while it writes. Each deadline
/// has one attempt, of 1 ms where it has passed already; reads then go on for
/// some more milliseconds while there is something.
///
/// A deadline that passes is `TimedOut` while connecting (TLS libraries take
/// `WouldBlock` there for a promise) and `WouldBlock` afterwards, which
/// tungstenite retries.
///
/// It also counts what goes through: bytes are life before they are a message.
pub struct Wire<T> {
    socket: T,
    link: Link,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl<T> Wire<T> {
    /// The socket.
    pub const fn get_ref(&self) -> &T {
        &self.socket
    }
}

impl<T: Socket> Read for Wire<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let timeout = self.link.lock().may_read()?;
            if timeout != self.read_timeout {
                self.socket.set_read_timeout(timeout)?;
                self.read_timeout = timeout;
            }
            match self.socket.read(buffer) {
                Err(error) if is_idle(&error) => self.link.lock().read.last = Attempt::Idle,
                result => return self.link.lock().was_read(result),
            }
        }
    }
}

impl<T: Socket> Write for Wire<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let timeout = self.link.lock().may_write()?;
            if timeout != self.write_timeout {
                self.socket.set_write_timeout(timeout)?;
                self.write_timeout = timeout;
            }
            match self.socket.write(bytes) {
                Err(error) if is_idle(&error) => self.link.lock().was_blocked(),
                result => return self.link.lock().was_written(result),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Nothing happened in the time given; a signal may have cut it short.
fn is_idle(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

impl<T: fmt::Debug> fmt::Debug for Wire<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Wire")
            .field(&self.socket)
            .finish_non_exhaustive()
    }
}

/// The other end of a [`Wire`]: sets its deadlines and knows what went through,
/// while the wire itself lies under TLS and tungstenite.
#[derive(Clone)]
pub struct Link(Arc<Mutex<State>>);

impl Link {
    /// A link whose connection is to be made, TLS and the WebSocket handshake
    /// included, within this time: for the sockets that a server accepts. A
    /// client has the one of its [`Dial`](super::Dial).
    #[must_use]
    pub fn within(timeout: Duration) -> Self {
        Self::until(crate::Instant::saturating_add(Instant::now(), timeout))
    }

    pub(super) fn until(deadline: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            is_bound: false,
            is_open: false,
            read: Direction::until(deadline),
            write: Direction::until(deadline),
            received: None,
            is_news: false,
            is_read_cut: false,
            sent: 0,
            stall: Stall::default(),
            write_end: WriteEnd::Open,
        })))
    }

    /// Puts this socket, which has to be in blocking mode, under the deadlines of
    /// this link.
    pub fn wire<T: Socket>(&self, socket: T) -> Wire<T> {
        self.lock().is_bound = true;
        Wire {
            socket,
            link: self.clone(),
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
        }
    }

    /// Whether there is a wire to it.
    pub(super) fn is_bound(&self) -> bool {
        self.lock().is_bound
    }

    /// Connecting is over: from now on a deadline that passes is `WouldBlock`.
    pub(super) fn open(&self) {
        self.lock().is_open = true;
    }

    /// Sets both deadlines, with at least one attempt each.
    pub(super) fn arm(&self, read: Instant, write: Instant) {
        let mut state = self.lock();
        state.read = Direction::until(read).extended(READ_ON);
        state.write = Direction::until(write);
    }

    /// When bytes last came in.
    pub(super) fn received(&self) -> Option<Instant> {
        self.lock().received
    }

    /// The same, if bytes came in since this was last asked.
    pub(super) fn take_received(&self) -> Option<Instant> {
        let mut state = self.lock();
        let is_news = std::mem::take(&mut state.is_news);
        state.received.filter(|_| is_news)
    }

    /// Whether a read has failed for good.
    pub(super) fn is_read_cut(&self) -> bool {
        self.lock().is_read_cut
    }

    /// How many bytes the system took.
    pub(super) fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// For how long the system has taken no byte of what is to be written.
    pub(super) fn stalled(&self) -> Duration {
        self.lock().stall.lasted()
    }

    /// Why nothing can be written any more, once. A write does not say so, for
    /// what the peer sent before it left (a close code) is still to be read.
    pub(super) fn take_write_error(&self) -> Option<io::Error> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.write_end, WriteEnd::Told) {
            WriteEnd::Failed(error) => Some(error),
            other => {
                state.write_end = other;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        formatter
            .debug_struct("Link")
            .field("received", &state.received)
            .field("sent", &state.sent)
            .finish_non_exhaustive()
    }
}

struct State {
    is_bound: bool,
    is_open: bool,
    read: Direction,
    write: Direction,
    received: Option<Instant>,
    is_news: bool,
    is_read_cut: bool,
    sent: u64,
    stall: Stall,
    write_end: WriteEnd,
}

struct Direction {
    until: Instant,
    /// Until when it goes on after the deadline, while there is something.
    latest: Instant,
    last: Attempt,
}

/// The last attempt under this deadline.
#[derive(Clone, Copy)]
enum Attempt {
    None,
    /// It found something, or is under way.
    Busy,
    Idle,
}

enum WriteEnd {
    Open,
    Failed(io::Error),
    Told,
}

impl Direction {
    const fn until(until: Instant) -> Self {
        Self {
            until,
            latest: until,
            last: Attempt::None,
        }
    }

    fn extended(self, by: Duration) -> Self {
        Self {
            latest: crate::Instant::saturating_add(self.until, by),
            ..self
        }
    }

    /// The timeout of the next system call, in whole milliseconds, or `None` where
    /// there is to be none.
    fn begin(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let left = self.until.saturating_duration_since(now);
        let goes_on = match self.last {
            Attempt::None => true,
            Attempt::Busy => now < self.latest,
            Attempt::Idle => false,
        };
        if left.is_zero() && !goes_on {
            return None;
        }
        self.last = Attempt::Busy;
        let due = if left > FINE { left - left / 8 } else { left };
        let millis = u64::try_from(due.as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_millis(millis).max(SHORTEST))
    }
}

impl State {
    fn may_read(&mut self) -> io::Result<Duration> {
        let timeout = self.read.begin();
        timeout.ok_or_else(|| self.is_late())
    }

    fn may_write(&mut self) -> io::Result<Duration> {
        let timeout = match self.write_end {
            WriteEnd::Open => self.write.begin(),
            WriteEnd::Failed(_) | WriteEnd::Told => None,
        };
        timeout.ok_or_else(|| self.is_late())
    }

    fn is_late(&self) -> io::Error {
        if self.is_open {
            io::ErrorKind::WouldBlock.into()
        } else {
            io::Error::new(io::ErrorKind::TimedOut, "connecting took too long")
        }
    }

    fn was_read(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(0) => {}
            Ok(_) => {
                self.received = Some(Instant::now());
                self.is_news = true;
            }
            Err(_) => self.is_read_cut = true,
        }
        result
    }

    fn was_written(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(bytes) => {
                self.sent = self.sent.saturating_add(bytes as u64);
                self.stall.end();
                Ok(bytes)
            }
            Err(error) if self.is_open => {
                self.write_end = WriteEnd::Failed(error);
                Err(self.is_late())
            }
            Err(error) => Err(error),
        }
    }

    fn was_blocked(&mut self) {
        self.write.last = Attempt::Idle;
        self.stall.go_on(Instant::now(), LONGEST_GAP);
    }
}
