use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Token};

const ALARM: Token = Token(0);

/// A session's socket and its alarm, and a few dials; what does not fit comes with
/// the next wait.
const EVENTS: usize = 16;

/// Waits for sockets, for a time, and for anybody who wakes it: all at once.
///
/// One thread waits; any thread may wake it. A clone is the same wait.
#[derive(Clone)]
pub struct Wait {
    poller: Arc<Mutex<Poller>>,
    alarm: Arc<Alarm>,
}

impl Wait {
    /// A wait for nothing yet.
    ///
    /// # Errors
    ///
    /// The operating system's, if it has no descriptor left: it takes two.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm {
            is_rung: AtomicBool::new(false),
            waker: mio::Waker::new(poll.registry(), ALARM)?,
        };
        let poller = Poller {
            poll,
            events: Events::with_capacity(EVENTS),
            sources: Vec::new(),
            last: ALARM,
        };
        Ok(Self {
            poller: Arc::new(Mutex::new(poller)),
            alarm: Arc::new(alarm),
        })
    }

    /// Ends the wait, or the next one if nobody waits, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.alarm))
    }

    /// Whether it was woken since this was last asked. It costs no system call.
    #[inline]
    pub fn take_woken(&self) -> bool {
        // The look alone is the usual case, and costs far less than the exchange.
        self.alarm.is_rung.load(Ordering::Relaxed)
            && self.alarm.is_rung.swap(false, Ordering::Acquire)
    }

    /// Waits until a socket has become ready, somebody wakes it, or the time is up
    /// (`None`: for as long as it takes). It may return earlier, after a signal for
    /// example; a time of zero returns what is already there.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn wait(&self, time: Option<Duration>) -> io::Result<()> {
        self.lock().wait(time)
    }

    pub(super) fn register(&self, source: &mut impl Source, ready: &Arc<Ready>) -> io::Result<()> {
        self.lock().register(source, ready)
    }

    pub(super) fn deregister(&self, source: &mut impl Source) -> io::Result<()> {
        self.lock().poll.registry().deregister(source)
    }

    /// Nobody else holds it for longer than a moment: one thread waits.
    fn lock(&self) -> MutexGuard<'_, Poller> {
        self.poller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wait")
            .field("is_woken", &self.alarm.is_rung)
            .finish_non_exhaustive()
    }
}

/// epoll and kqueue report whatever begins; what mio makes of Windows' completion ports
/// does so only once an attempt has failed.
const TELLS_ALL: bool = cfg!(any(
    target_os = "android",
    target_os = "linux",
    target_vendor = "apple"
));

struct Alarm {
    is_rung: AtomicBool,
    waker: mio::Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            // There is nobody to report an error to. What was rung is heard at the next
            // deadline at the latest.
            let _ = self.waker.wake();
        }
    }
}

struct Poller {
    poll: Poll,
    events: Events,
    sources: Vec<(Token, Arc<Ready>)>,
    last: Token,
}

impl Poller {
    fn register(&mut self, source: &mut impl Source, ready: &Arc<Ready>) -> io::Result<()> {
        // Those that are left to this list alone have no socket any more.
        self.sources
            .retain(|(_, ready)| Arc::strong_count(ready) > 1);
        // Never one that was in use, or an event of the old socket would be the new one's.
        self.last = Token(self.last.0.wrapping_add(1).max(1));
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(source, self.last, interest)?;
        ready.set(Ready::READABLE | Ready::WRITABLE);
        self.sources.push((self.last, Arc::clone(ready)));
        Ok(())
    }

    fn wait(&mut self, time: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, time) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            for (token, ready) in &self.sources {
                if *token == event.token() {
                    ready.note(event);
                }
            }
        }
        if self.events.is_empty() {
            // The time is up. Whoever waited for it has to know that nothing is unread as
            // of now, and only a read tells.
            for (_, ready) in &self.sources {
                ready.set(Ready::READABLE | Ready::WRITABLE);
            }
        }
        Ok(())
    }
}

/// What may be tried on a socket. The system reports it once, when it begins, so it
/// holds until an attempt fails. One thread changes it, that which waits and tries.
#[derive(Debug, Default)]
pub(super) struct Ready(AtomicU8);

impl Ready {
    pub(super) const READABLE: u8 = 1;
    pub(super) const WRITABLE: u8 = 2;
    /// The peer sends nothing more: the end may lie behind what there is to read.
    const READ_CLOSED: u8 = 4;
    /// A call of the library above has begun, and has not come here yet.
    pub(super) const NEXT_READ: u8 = 8;
    pub(super) const NEXT_WRITE: u8 = 16;
    /// A call had had its time. No event will come for what it left undone.
    pub(super) const CUT: u8 = 32;

    #[inline]
    pub(super) fn is(&self, what: u8) -> bool {
        self.0.load(Ordering::Relaxed) & what != 0
    }

    #[inline]
    pub(super) fn set(&self, what: u8) {
        self.0
            .store(self.0.load(Ordering::Relaxed) | what, Ordering::Relaxed);
    }

    /// An attempt failed.
    pub(super) fn clear(&self, what: u8) {
        self.0
            .store(self.0.load(Ordering::Relaxed) & !what, Ordering::Relaxed);
    }

    /// Whether it was set; not any more.
    pub(super) fn take(&self, what: u8) -> bool {
        let was = self.is(what);
        if was {
            self.clear(what);
        }
        was
    }

    /// An attempt moved less than it could have, so there is no more. Whether that is
    /// enough to know: some systems report what begins only after an attempt that failed.
    pub(super) fn clear_after_part(&self, what: u8) -> bool {
        let is_known = TELLS_ALL && !self.is(Self::READ_CLOSED);
        if is_known {
            self.clear(what);
        }
        is_known
    }

    fn note(&self, event: &Event) {
        let is_broken = event.is_error();
        if event.is_readable() || event.is_read_closed() || is_broken {
            self.set(Self::READABLE);
        }
        if event.is_read_closed() || is_broken {
            self.set(Self::READ_CLOSED);
        }
        if event.is_writable() || event.is_write_closed() || is_broken {
            self.set(Self::WRITABLE);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_are_gone_are_forgotten() {
        let wait = Wait::new().unwrap();
        for _ in 0..10 {
            let mut socket = mio::net::UdpSocket::bind(([127, 0, 0, 1], 0).into()).unwrap();
            wait.register(&mut socket, &Arc::default()).unwrap();
        }
        assert_eq!(wait.lock().sources.len(), 1);
    }
}
