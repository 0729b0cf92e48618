//! What the handles and the desk of a session share, and its lock.
//!
//! Why no wake is lost. Everything is under one lock, but `news`, which is written
//! under the lock only, and read without it by the desk: it says which of what is
//! under the lock is worth the lock. Who has news puts them under the lock, sets the
//! bit, takes a reference to the session's waker, unlocks, and wakes. The session
//! registers its waker and then looks at the bits. Where it had to store the waker it
//! had the lock: who had the lock before it had set the bit, so the session sees it;
//! who has it later finds the new waker. Where the waker was stored already, whoever
//! set the bit wakes it, and a task that is woken while it is polled is polled again.
//!
//! A waker is a stranger's code: it is cloned before the lock is taken, and woken and
//! dropped after it was released. The session's is behind an `Arc`, of which the lock
//! sees the count only.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[cfg(test)]
use std::sync::TryLockError;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::vec::Vec;

use super::{Backlog, Gone, Status, Wish};
use crate::driver::KeepingError;
use crate::send_error::{SendError, Unsendable};
use crate::{Config, State as Phase};

/// How many bytes a message has, or why it cannot be sent.
pub(super) type Size<W> = Box<dyn Fn(&W) -> Result<usize, Unsendable> + Send + Sync>;
/// What a session has against settings.
pub(super) type Check = fn(&Config) -> Result<(), KeepingError>;

pub(super) const MESSAGES: u8 = 1;
const WISHES: u8 = 2;

pub(super) struct Shared<W> {
    pub(super) size: Size<W>,
    backlog: Backlog,
    /// [`MESSAGES`] and [`WISHES`].
    news: AtomicU8,
    /// The session's own thread; 0 for none yet.
    pub(super) owner: AtomicUsize,
    inner: Mutex<Inner<W>>,
}

/// How far the session is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It takes messages.
    Runs,
    /// It was told to stop, and sends what it took.
    Stops,
    /// It gave back what it had.
    Over,
    /// It was dropped.
    Gone,
}

impl Stage {
    pub(super) fn refuse<W>(self, message: W) -> SendError<W> {
        match self {
            Self::Gone => SendError::Gone(message),
            _ => SendError::Stopped(message),
        }
    }
}

pub(super) struct Inner<W> {
    pub(super) stage: Stage,
    pub(super) status: Status,
    pub(super) check: Check,
    pub(super) wishes: Vec<Wish>,
    /// The session's.
    pub(super) waker: Option<Arc<Waker>>,
    pub(super) queue: VecDeque<Queued<W>>,
    /// Of the limit: by the queue, by what has not left the session's buffer, and by
    /// those whom room was promised.
    pub(super) used: usize,
    /// That of what has not left the session's buffer.
    pub(super) in_flight: usize,
    /// In the order of their tickets. The first one does not fit.
    line: VecDeque<InLine>,
    openers: Vec<(u64, Waker)>,
    /// Those who wait for the end.
    enders: Vec<(u64, Waker)>,
    tickets: u64,
    limit: usize,
}

pub(super) struct Queued<W> {
    pub(super) message: W,
    pub(super) charge: usize,
}

struct InLine {
    ticket: u64,
    charge: usize,
    /// Room is promised to it, not only announced.
    reserves: bool,
    waker: Waker,
}

impl<W> Shared<W> {
    pub(super) fn new(size: Size<W>, backlog: Backlog, check: Check) -> Self {
        Self {
            size,
            backlog,
            news: AtomicU8::new(0),
            owner: AtomicUsize::new(0),
            inner: Mutex::new(Inner {
                stage: Stage::Runs,
                status: Status {
                    state: Phase::Idle,
                    epoch: None,
                },
                check,
                wishes: Vec::new(),
                waker: None,
                queue: VecDeque::new(),
                used: 0,
                in_flight: 0,
                line: VecDeque::new(),
                openers: Vec::new(),
                enders: Vec::new(),
                tickets: 0,
                limit: backlog.bytes,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        matches!(self.inner.try_lock(), Err(TryLockError::WouldBlock))
    }

    pub(super) const fn outlives_connections(&self) -> bool {
        self.backlog.outlives_connections()
    }

    /// What a message of so many bytes takes of the limit.
    pub(super) fn charge(&self, size: usize) -> usize {
        self.backlog.charge(size)
    }

    pub(super) fn wish(&self, wish: Wish) -> Result<(), Gone> {
        let inner = self.lock();
        let is_stop = matches!(wish, Wish::Stop(_));
        // Nothing revives what is to stop.
        if inner.stage >= Stage::Over || (inner.stage == Stage::Stops && !is_stop) {
            return Err(Gone);
        }
        self.add(wish, inner);
        Ok(())
    }

    /// Stops it, unless somebody has already.
    pub(super) fn stop_once(&self) {
        let inner = self.lock();
        if inner.stage == Stage::Runs {
            self.add(Wish::Stop(None), inner);
        }
    }

    fn add(&self, wish: Wish, mut inner: MutexGuard<'_, Inner<W>>) {
        let mut wakers = Wakers::default();
        if matches!(wish, Wish::Stop(_)) {
            inner.end(Stage::Stops, &mut wakers);
        }
        wish.join(&mut inner.wishes);
        self.set(WISHES);
        let session = inner.waker.clone();
        drop(inner);
        wakers.session(session);
        wakers.wake();
    }

    #[inline]
    pub(super) fn take_wishes(&self) -> Vec<Wish> {
        if !self.has(WISHES) {
            return Vec::new();
        }
        let mut inner = self.lock();
        self.clear(WISHES);
        core::mem::take(&mut inner.wishes)
    }

    /// The end of a queue: what is left to wake. Where the bit was set already, the
    /// session was woken for it and has not emptied the queue since.
    pub(super) fn push(&self, inner: &mut Inner<W>, queued: Queued<W>) -> Option<Arc<Waker>> {
        inner.queue.push_back(queued);
        if self.has(MESSAGES) {
            return None;
        }
        self.set(MESSAGES);
        inner.waker.clone()
    }

    #[inline]
    pub(super) fn has(&self, news: u8) -> bool {
        self.news.load(Ordering::Acquire) & news != 0
    }

    /// Under the lock, as [`clear`](Self::clear).
    fn set(&self, news: u8) {
        let before = self.news.load(Ordering::Relaxed);
        self.news.store(before | news, Ordering::Release);
    }

    pub(super) fn clear(&self, news: u8) {
        let before = self.news.load(Ordering::Relaxed);
        self.news.store(before & !news, Ordering::Release);
    }

    pub(super) fn is_own_thread(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == this_thread()
    }
}

impl<W> Inner<W> {
    fn fits(&self, charge: usize) -> bool {
        self.used == 0 || self.used.saturating_add(charge) <= self.limit
    }

    /// For who has not waited.
    pub(super) fn has_room(&self, charge: usize) -> bool {
        self.line.is_empty() && self.fits(charge)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Some of the limit is free again: whose turn it is, and who fits.
    pub(super) fn free(&mut self, charge: usize, wakers: &mut Wakers) {
        self.used = self.used.saturating_sub(charge);
        self.admit(wakers);
    }

    fn admit(&mut self, wakers: &mut Wakers) {
        while self
            .line
            .front()
            .is_some_and(|first| self.fits(first.charge))
        {
            if let Some(first) = self.line.pop_front() {
                if first.reserves {
                    self.used = self.used.saturating_add(first.charge);
                }
                wakers.strangers.push(first.waker);
            }
        }
    }

    pub(super) fn line_up(&mut self, charge: usize, reserves: bool, waker: Waker) -> u64 {
        let ticket = self.ticket();
        self.line.push_back(InLine {
            ticket,
            charge,
            reserves,
            waker,
        });
        ticket
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn place(&self, ticket: u64) -> Option<usize> {
        self.line
            .binary_search_by_key(&ticket, |waiting| waiting.ticket)
            .ok()
    }

    /// Whether its turn has not come yet.
    pub(super) fn is_in_line(&self, ticket: u64) -> bool {
        self.place(ticket).is_some()
    }

    /// Wakes this waker from now on, and returns the one before.
    pub(super) fn replace_waker(&mut self, ticket: u64, waker: Waker) -> Option<Waker> {
        let place = self.place(ticket)?;
        let waiting = self.line.get_mut(place)?;
        Some(core::mem::replace(&mut waiting.waker, waker))
    }

    /// Takes one out whose turn has not come yet.
    pub(super) fn leave_line(&mut self, ticket: u64, wakers: &mut Wakers) -> Option<Waker> {
        let place = self.place(ticket)?;
        let waiting = self.line.remove(place)?;
        // It may have been the only one that does not fit.
        self.admit(wakers);
        Some(waiting.waker)
    }

    pub(super) fn wait_for_open(&mut self, waker: Waker) -> u64 {
        let ticket = self.ticket();
        self.openers.push((ticket, waker));
        ticket
    }

    pub(super) fn leave_openers(&mut self, ticket: u64) -> Option<Waker> {
        let place = self.openers.iter().position(|(held, _)| *held == ticket)?;
        Some(self.openers.swap_remove(place).1)
    }

    pub(super) fn wake_openers(&mut self, wakers: &mut Wakers) {
        wakers
            .strangers
            .extend(self.openers.drain(..).map(|(_, waker)| waker));
    }

    pub(super) fn wait_for_end(&mut self, waker: Waker) -> u64 {
        let ticket = self.ticket();
        self.enders.push((ticket, waker));
        ticket
    }

    pub(super) fn leave_enders(&mut self, ticket: u64) -> Option<Waker> {
        let place = self.enders.iter().position(|(held, _)| *held == ticket)?;
        Some(self.enders.swap_remove(place).1)
    }

    /// From now on nothing is taken.
    pub(super) fn end(&mut self, stage: Stage, wakers: &mut Wakers) {
        self.stage = self.stage.max(stage);
        wakers
            .strangers
            .extend(self.line.drain(..).map(|waiting| waiting.waker));
        self.wake_openers(wakers);
        if self.stage >= Stage::Over {
            let enders = self.enders.drain(..);
            wakers.strangers.extend(enders.map(|(_, waker)| waker));
        }
    }
}

/// Whom to wake once the lock is released.
#[derive(Default)]
pub(super) struct Wakers {
    strangers: Vec<Waker>,
    session: Option<Arc<Waker>>,
}

impl Wakers {
    pub(super) fn of_session(session: Option<Arc<Waker>>) -> Self {
        Self {
            strangers: Vec::new(),
            session,
        }
    }

    pub(super) fn session(&mut self, waker: Option<Arc<Waker>>) {
        self.session = waker;
    }

    /// Wakes all, also where one of them panics; then that goes on.
    pub(super) fn wake(self) {
        if self.strangers.is_empty() {
            if let Some(session) = self.session {
                session.wake_by_ref();
            }
            return;
        }
        let mut panic = None;
        let session = self.session.into_iter();
        let wakes = session.map(|waker| catch_unwind(AssertUnwindSafe(|| waker.wake_by_ref())));
        let strangers = self.strangers.into_iter();
        for woken in
            wakes.chain(strangers.map(|waker| catch_unwind(AssertUnwindSafe(move || waker.wake()))))
        {
            if let Err(payload) = woken {
                panic.get_or_insert(payload);
            }
        }
        if let Some(payload) = panic {
            // A second one, while the first unwinds, would end the process.
            if !thread::panicking() {
                resume_unwind(payload);
            }
        }
    }
}

/// A number for this thread that no other one has or had; not 0. Unlike a `ThreadId`
/// it fits an atomic.
pub(super) fn this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    std::thread_local! {
        static THIS: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // It never fails: there is nothing to drop at the end of a thread.
    THIS.try_with(|number| *number).unwrap_or(0)
}
