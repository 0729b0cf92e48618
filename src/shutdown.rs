use core::fmt;
use core::mem::take;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;
use std::vec::Vec;

use crate::Handle;

/// Sends all of a server's sessions away, and waits until they are gone.
///
/// Each session is [added](Self::add) by its handle, and leaves by itself when it is over.
/// Clones share one set.
///
/// ```
/// use core::time::Duration;
/// use keepalive::Shutdown;
/// # use keepalive::{Backlog, Desk};
/// # let size = |message: &String| Ok(message.len());
/// # let session = Desk::new(size, Backlog::default(), |_| Ok(()));
///
/// let shutdown = Shutdown::new();
/// let clients = shutdown.clone();
/// // Whoever serves a client: `session` is what `accepted` made of its socket.
/// clients.add(session.handle());
/// # let serves = std::thread::spawn(move || drop(session));
///
/// // When the server goes.
/// assert!(shutdown.close_blocking(Duration::from_secs(10)));
/// assert!(shutdown.is_closing());
/// # serves.join().unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Set>);

#[derive(Default)]
struct Set {
    inner: Mutex<Inner>,
    emptied: Condvar,
}

#[derive(Default)]
struct Inner {
    is_closing: bool,
    last: u64,
    members: BTreeMap<u64, Arc<dyn Member>>,
    waiting: BTreeMap<u64, Waker>,
}

trait Member: Send + Sync {
    fn stop(&self);
}

impl<W: Send> Member for Handle<W> {
    fn stop(&self) {
        self.stop_once();
    }
}

/// Woken when its session is over.
struct Leave(Weak<Set>, u64);

impl Wake for Leave {
    fn wake(self: Arc<Self>) {
        if let Some(set) = self.0.upgrade() {
            set.leave(self.1);
        }
    }
}

impl Set {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, id: u64) {
        let mut inner = self.lock();
        let member = inner.members.remove(&id);
        let is_empty = inner.members.is_empty();
        let waiting = if is_empty {
            take(&mut inner.waiting)
        } else {
            BTreeMap::new()
        };
        drop(inner);
        drop(member);
        self.emptied.notify_all();
        waiting.into_values().for_each(Waker::wake);
    }
}

impl Inner {
    fn ticket(&mut self) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.last
    }
}

impl Shutdown {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the session with this handle. If [`close`](Self::close) has begun, the session is
    /// stopped at once.
    ///
    /// A session that begins anew after it was over has to be added again, by a new handle.
    pub fn add<W: Send + 'static>(&self, handle: Handle<W>) {
        let member = Arc::new(handle);
        let mut inner = self.0.lock();
        let id = inner.ticket();
        inner
            .members
            .insert(id, Arc::clone(&member) as Arc<dyn Member>);
        let is_closing = inner.is_closing;
        drop(inner);
        let leave = Arc::new(Leave(Arc::downgrade(&self.0), id));
        if !member.wake_at_end(Waker::from(leave)) {
            self.0.leave(id);
        } else if is_closing {
            member.stop_once();
        }
    }

    fn begin(&self) {
        let mut inner = self.0.lock();
        inner.is_closing = true;
        let members: Vec<_> = inner.members.values().cloned().collect();
        let waiting = take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
        members.iter().for_each(|member| member.stop());
    }

    /// Stops all sessions, each as [`Handle::stop`] does, and waits until they are over.
    /// Sessions that are added from now on are stopped at once, and waited for, too.
    ///
    /// A peer that does not answer holds this up for `close_timeout`, and a session that
    /// nobody asks for notices holds it up until it is dropped. Dropping the future ends the
    /// wait alone.
    pub async fn close(&self) {
        self.begin();
        Wait::new(&self.0, |inner| inner.members.is_empty()).await;
    }

    /// As [`close`](Self::close), for threads: waits at most this long, and returns whether
    /// all are gone.
    #[must_use]
    pub fn close_blocking(&self, timeout: Duration) -> bool {
        self.begin();
        let deadline = Instant::now().checked_add(timeout);
        let mut inner = self.0.lock();
        while !inner.members.is_empty() {
            let left = deadline.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let waited = self.0.emptied.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Whether [`close`](Self::close) has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.lock().is_closing
    }

    /// Waits until [`close`](Self::close) begins: for tasks that have no session, such as
    /// one that accepts connections.
    pub async fn closing(&self) {
        Wait::new(&self.0, |inner| inner.is_closing).await;
    }
}

/// Waits until this is so.
struct Wait<'a> {
    set: &'a Set,
    is_over: fn(&Inner) -> bool,
    ticket: Option<u64>,
}

impl<'a> Wait<'a> {
    const fn new(set: &'a Set, is_over: fn(&Inner) -> bool) -> Self {
        Self {
            set,
            is_over,
            ticket: None,
        }
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let own = self.set.lock().waiting.remove(&ticket);
            drop(own); // after the lock: it is anybody's code
        }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.leave();
        let waker = context.waker().clone();
        let mut inner = self.set.lock();
        if (self.is_over)(&inner) {
            return Poll::Ready(());
        }
        let ticket = inner.ticket();
        inner.waiting.insert(ticket, waker);
        drop(inner);
        self.ticket = Some(ticket);
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.lock();
        formatter
            .debug_struct("Shutdown")
            .field("is_closing", &inner.is_closing)
            .field("sessions", &inner.members.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;

    use embassy_futures::block_on;
    use embassy_futures::join::join;

    use super::*;
    use crate::handle::{Backlog, Desk};

    fn session() -> Desk<String> {
        let size = |message: &String| Ok(message.len());
        Desk::new(size, Backlog::default(), |_| Ok(()))
    }

    #[test]
    fn nobody_is_waited_for_where_there_is_nobody() {
        let shutdown = Shutdown::new();
        assert!(shutdown.close_blocking(Duration::ZERO));
        block_on(shutdown.close());
    }

    #[test]
    fn none_that_is_over_is_kept() {
        let shutdown = Shutdown::new();
        for _ in 0..3 {
            let session = session();
            shutdown.clone().add(session.handle());
            drop(session);
        }
        let gone = session().handle();
        shutdown.add(gone);
        assert!(shutdown.0.lock().members.is_empty());
    }

    #[test]
    fn all_are_stopped_once_and_waited_for() {
        let shutdown = Shutdown::new();
        let mut early = session();
        shutdown.add(early.handle());
        assert!(!shutdown.is_closing());
        assert!(!shutdown.close_blocking(Duration::ZERO));
        assert!(shutdown.is_closing());
        assert_eq!(early.wishes().len(), 1);
        let mut late = session();
        shutdown.add(late.handle());
        assert_eq!(late.wishes().len(), 1);
        // A second stop would abandon them.
        assert!(!shutdown.close_blocking(Duration::ZERO));
        assert!(early.wishes().is_empty());
        drop(early);
        assert!(!shutdown.close_blocking(Duration::ZERO));
        drop(late);
        assert!(shutdown.close_blocking(Duration::ZERO));
    }

    #[test]
    fn tasks_hear_of_it_and_of_the_end() {
        let shutdown = Shutdown::new();
        let mut session = session();
        shutdown.add(session.handle());
        let ends = async {
            shutdown.closing().await;
            assert_eq!(session.wishes().len(), 1);
            drop(session);
        };
        block_on(join(ends, shutdown.close()));
        block_on(shutdown.closing());
    }

    #[test]
    fn a_thread_that_waits_hears_of_the_end() {
        let shutdown = Shutdown::new();
        let session = session();
        shutdown.add(session.handle());
        let elsewhere = shutdown.clone();
        let ends = std::thread::spawn(move || {
            block_on(elsewhere.closing());
            drop(session);
        });
        assert!(shutdown.close_blocking(Duration::from_secs(60)));
        ends.join().unwrap();
    }

    #[test]
    fn who_waits_no_longer_leaves_nothing() {
        let shutdown = Shutdown::new();
        let session = session();
        shutdown.add(session.handle());
        let context = &mut Context::from_waker(Waker::noop());
        {
            let mut closing = pin!(shutdown.closing());
            assert!(closing.as_mut().poll(context).is_pending());
            assert!(closing.as_mut().poll(context).is_pending());
            assert_eq!(shutdown.0.lock().waiting.len(), 1);
        }
        assert!(shutdown.0.lock().waiting.is_empty());
        {
            let mut close = pin!(shutdown.close());
            assert!(close.as_mut().poll(context).is_pending());
            assert!(close.as_mut().poll(context).is_pending());
        }
        assert!(shutdown.0.lock().waiting.is_empty());
        drop(session);
    }
}
