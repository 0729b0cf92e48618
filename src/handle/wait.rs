use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::Gone;
use super::shared::{Queued, Shared, Stage, Wakers};
use crate::Epoch;

/// Waits for room for a message, and puts it there; or waits only.
pub(super) struct Room<'a, W> {
    shared: &'a Shared<W>,
    message: Option<W>,
    reserves: bool,
    charge: usize,
    ticket: Option<u64>,
}

impl<'a, W> Room<'a, W> {
    pub(super) const fn send(shared: &'a Shared<W>, message: W, charge: usize) -> Self {
        Self {
            shared,
            message: Some(message),
            reserves: true,
            charge,
            ticket: None,
        }
    }

    pub(super) const fn only(shared: &'a Shared<W>, charge: usize) -> Self {
        Self {
            shared,
            message: None,
            reserves: false,
            charge,
            ticket: None,
        }
    }

    /// What was not sent.
    pub(super) fn take(&mut self) -> Option<W> {
        self.message.take()
    }

    /// One look; with a waker it waits from then on.
    fn look(&mut self, waker: Option<Waker>) -> Poll<Result<(), Stage>> {
        let mut wakers = Wakers::default();
        let mut inner = self.shared.lock();
        if inner.stage != Stage::Runs {
            self.ticket = None;
            return Poll::Ready(Err(inner.stage));
        }
        let has_room = match self.ticket {
            None => inner.has_room(self.charge),
            Some(ticket) => !inner.is_in_line(ticket),
        };
        if !has_room {
            // Dropped after the lock.
            let _before = match (self.ticket, waker) {
                (Some(ticket), Some(waker)) => inner.replace_waker(ticket, waker),
                (None, Some(waker)) => {
                    let ticket = inner.line_up(self.charge, self.reserves, waker);
                    self.ticket = Some(ticket);
                    None
                }
                (_, None) => None,
            };
            drop(inner);
            return Poll::Pending;
        }
        let was_promised = self.ticket.take().is_some();
        if let Some(message) = self.message.take() {
            let charge = self.charge;
            if !was_promised {
                inner.used = inner.used.saturating_add(charge);
            }
            let session = self.shared.push(&mut inner, Queued { message, charge });
            wakers.session(session);
        }
        drop(inner);
        wakers.wake();
        Poll::Ready(Ok(()))
    }
}

/// Nothing in it is ever pinned.
impl<W> Unpin for Room<'_, W> {}

impl<W> Future for Room<'_, W> {
    type Output = Result<(), Stage>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.look(None) {
            // Cloned before the lock is taken again.
            Poll::Pending => {
                let waker = context.waker().clone();
                self.look(Some(waker))
            }
            ready => ready,
        }
    }
}

impl<W> Drop for Room<'_, W> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut wakers = Wakers::default();
        let mut inner = self.shared.lock();
        let own = inner.leave_line(ticket, &mut wakers);
        if own.is_none() && self.reserves && inner.stage == Stage::Runs {
            // It was promised room.
            inner.free(self.charge, &mut wakers);
        }
        drop(inner);
        wakers.wake();
        drop(own);
    }
}

/// Waits until a connection is open.
pub(super) struct Opening<'a, W> {
    shared: &'a Shared<W>,
    ticket: Option<u64>,
}

impl<'a, W> Opening<'a, W> {
    pub(super) const fn new(shared: &'a Shared<W>) -> Self {
        Self {
            shared,
            ticket: None,
        }
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let own = self.shared.lock().leave_openers(ticket);
            drop(own);
        }
    }

    fn look(&mut self, waker: Option<Waker>) -> Poll<Result<Epoch, Gone>> {
        let mut inner = self.shared.lock();
        if inner.stage != Stage::Runs {
            return Poll::Ready(Err(Gone));
        }
        if let Some(epoch) = inner.status.epoch {
            return Poll::Ready(Ok(epoch));
        }
        if let Some(waker) = waker {
            self.ticket = Some(inner.wait_for_open(waker));
        }
        Poll::Pending
    }
}

impl<W> Future for Opening<'_, W> {
    type Output = Result<Epoch, Gone>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.look(None) {
            Poll::Pending => {
                self.leave();
                // Cloned before the lock is taken again.
                let waker = context.waker().clone();
                self.look(Some(waker))
            }
            ready => ready,
        }
    }
}

impl<W> Drop for Opening<'_, W> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits until the session is over, or was dropped.
pub(super) struct Ending<'a, W> {
    shared: &'a Shared<W>,
    ticket: Option<u64>,
}

impl<'a, W> Ending<'a, W> {
    pub(super) const fn new(shared: &'a Shared<W>) -> Self {
        Self {
            shared,
            ticket: None,
        }
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let own = self.shared.lock().leave_enders(ticket);
            drop(own);
        }
    }

    fn look(&mut self, waker: Option<Waker>) -> Poll<()> {
        let mut inner = self.shared.lock();
        if inner.stage >= Stage::Over {
            return Poll::Ready(());
        }
        if let Some(waker) = waker {
            self.ticket = Some(inner.wait_for_end(waker));
        }
        Poll::Pending
    }
}

impl<W> Future for Ending<'_, W> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.look(None) {
            Poll::Pending => {
                self.leave();
                // Cloned before the lock is taken again.
                let waker = context.waker().clone();
                self.look(Some(waker))
            }
            ready => ready,
        }
    }
}

impl<W> Drop for Ending<'_, W> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Why a thread does not wait any longer.
pub(super) enum Over {
    OwnThread,
    TimedOut,
}

/// Waits on this thread, for so long at most; not at all where that is the session's
/// own.
pub(super) fn block_on<W, F: Future + Unpin>(
    shared: &Shared<W>,
    future: &mut F,
    timeout: Option<Duration>,
) -> Result<F::Output, Over> {
    let first = Pin::new(&mut *future).poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(output) = first {
        return Ok(output);
    }
    // Without threads, as in a browser, nobody else could make room.
    let is_alone = cfg!(all(target_family = "wasm", not(target_feature = "atomics")));
    if is_alone || shared.is_own_thread() {
        return Err(Over::OwnThread);
    }
    // None: later than can be said.
    let deadline = timeout.map(|timeout| Instant::now().checked_add(timeout));
    let deadline = deadline.flatten();
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(&mut context) {
            return Ok(output);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(Over::TimedOut);
        }
        alarm.wait(left);
    }
}

/// The waker of a thread. Not `park`, whose token may be meant for somebody else.
#[derive(Default)]
struct Alarm {
    rings: Mutex<bool>,
    rang: Condvar,
}

impl Alarm {
    fn wait(&self, timeout: Option<Duration>) {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |rings: &mut bool| !*rings;
        let mut rings = match timeout {
            None => self
                .rang
                .wait_while(rings, is_silent)
                .unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                self.rang
                    .wait_timeout_while(rings, timeout, is_silent)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        *rings = false;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rang.notify_one();
    }
}
