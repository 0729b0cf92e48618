use core::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::vec::Vec;

use super::shared::{MESSAGES, Shared, Stage, Wakers, this_thread};
use super::{Backlog, Handle, Status, Wish};
use crate::driver::KeepingError;
use crate::send_error::Unsendable;
use crate::{Config, Epoch, State};

/// A session's end of its [`Handle`]s: what they want comes in here.
///
/// Each time that the session runs it calls [`note_thread`](Self::note_thread),
/// [`register`](Self::register), does the [`wishes`](Self::wishes), and takes messages
/// by [`pull`](Self::pull) as it can send them. Where it is stopped by other means than a
/// wish, it says that it is [`stopping`](Self::stopping). Its waker is woken for each wish, and
/// for a message after `pull` found none: a session that stops taking while there may
/// be more comes back by itself.
pub struct Desk<W> {
    shared: Arc<Shared<W>>,
    /// What the lock has, so that it need not be asked.
    waker: Option<Arc<Waker>>,
    status: Status,
    in_flight: usize,
}

impl<W> Desk<W> {
    /// A desk whose handles ask `size` how many bytes a message has, and whether it
    /// can be sent, and `check` whether settings suit the session.
    pub fn new(
        size: impl Fn(&W) -> Result<usize, Unsendable> + Send + Sync + 'static,
        backlog: Backlog,
        check: fn(&Config) -> Result<(), KeepingError>,
    ) -> Self {
        let shared = Arc::new(Shared::new(Box::new(size), backlog, check));
        let status = shared.lock().status;
        Self {
            shared,
            waker: None,
            status,
            in_flight: 0,
        }
    }

    /// Asks this in place of the check that it was made with.
    pub fn check_by(&self, check: fn(&Config) -> Result<(), KeepingError>) {
        self.shared.lock().check = check;
    }

    /// One more handle.
    pub fn handle(&self) -> Handle<W> {
        Handle::new(Arc::clone(&self.shared))
    }

    /// The thread that runs now is the session's own: waiting there for the session is
    /// an error.
    #[inline]
    pub fn note_thread(&self) {
        self.shared.owner.store(this_thread(), Ordering::Relaxed);
    }

    /// Whom to wake from now on. Look at the news after this: if it returns true, what
    /// came before has woken somebody else, or nobody.
    #[inline]
    pub fn register(&mut self, waker: &Waker) -> bool {
        let is_known = self.waker.as_ref().is_some_and(|own| own.will_wake(waker));
        if !is_known {
            self.replace_waker(waker);
        }
        !is_known
    }

    #[cold]
    fn replace_waker(&mut self, waker: &Waker) {
        let waker = Arc::new(waker.clone());
        let before = self.shared.lock().waker.replace(Arc::clone(&waker));
        drop(before);
        self.waker = Some(waker);
    }

    /// What is wanted of the session, in the order in which to do it. Costs one load
    /// where there is nothing.
    #[inline]
    pub fn wishes(&mut self) -> Vec<Wish> {
        self.shared.take_wishes()
    }

    /// The next message of the backlog. It counts as in flight. Costs one load where
    /// there is none.
    #[inline]
    pub fn pull(&mut self) -> Option<W> {
        if !self.shared.has(MESSAGES) {
            return None;
        }
        let mut inner = self.shared.lock();
        let queued = inner.queue.pop_front();
        if inner.queue.is_empty() {
            self.shared.clear(MESSAGES);
        }
        let queued = queued?;
        inner.in_flight = inner.in_flight.saturating_add(queued.charge);
        self.in_flight = inner.in_flight;
        Some(queued.message)
    }

    /// So many bytes have not left the session's buffer: all that it took, until it
    /// says so here, and 0 once all that it took has left, or the connection has ended.
    /// What has left makes room.
    #[inline]
    pub fn in_flight(&mut self, bytes: usize) {
        if bytes != self.in_flight {
            self.replace_in_flight(bytes);
        }
    }

    fn replace_in_flight(&mut self, bytes: usize) {
        self.in_flight = bytes;
        let mut wakers = Wakers::default();
        let mut inner = self.shared.lock();
        let before = core::mem::replace(&mut inner.in_flight, bytes);
        inner.used = inner.used.saturating_add(bytes);
        inner.free(before, &mut wakers);
        drop(inner);
        wakers.wake();
    }

    /// Takes the whole backlog, where it does not outlive the connection that was lost.
    pub fn dropped(&mut self) -> Option<Vec<W>> {
        (!self.shared.outlives_connections()).then(|| self.clear())
    }

    /// Takes the whole backlog. It does not count as in flight.
    pub fn clear(&mut self) -> Vec<W> {
        let mut wakers = Wakers::default();
        let mut inner = self.shared.lock();
        let queue = core::mem::take(&mut inner.queue);
        self.shared.clear(MESSAGES);
        let charges = queue.iter().map(|queued| queued.charge);
        let charge = charges.fold(0, usize::saturating_add);
        inner.free(charge, &mut wakers);
        drop(inner);
        wakers.wake();
        queue.into_iter().map(|queued| queued.message).collect()
    }

    /// The session stops by itself: from now on its handles take nothing.
    pub fn stopping(&mut self) {
        self.end(Stage::Stops);
    }

    /// Everything is over: what is left of the backlog.
    pub fn reclaim(&mut self) -> Vec<W> {
        self.end(Stage::Over);
        // Nothing revives what is over.
        drop(self.wishes());
        self.publish(State::Stopped, None);
        self.clear()
    }

    fn end(&mut self, stage: Stage) {
        let mut wakers = Wakers::default();
        self.shared.lock().end(stage, &mut wakers);
        wakers.wake();
    }

    /// Where the session is, and the epoch of the connection that is open.
    #[inline]
    pub fn publish(&mut self, state: State, epoch: Option<Epoch>) {
        let status = Status { state, epoch };
        if status != self.status {
            self.replace_status(status);
        }
    }

    fn replace_status(&mut self, status: Status) {
        self.status = status;
        let mut wakers = Wakers::default();
        let mut inner = self.shared.lock();
        inner.status = status;
        if status.epoch.is_some() {
            inner.wake_openers(&mut wakers);
        }
        drop(inner);
        wakers.wake();
    }
}

impl<W> Drop for Desk<W> {
    fn drop(&mut self) {
        let mut wakers = Wakers::default();
        let mut inner = self.shared.lock();
        inner.end(Stage::Gone, &mut wakers);
        inner.status = Status {
            state: State::Stopped,
            epoch: None,
        };
        let queue = core::mem::take(&mut inner.queue);
        let wishes = core::mem::take(&mut inner.wishes);
        let waker = inner.waker.take();
        drop(inner);
        wakers.wake();
        drop((queue, wishes, waker));
    }
}

impl<W> fmt::Debug for Desk<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Desk")
            .field("status", &self.status)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
