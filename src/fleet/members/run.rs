//! The one task that ticks for all members.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::chunk::{Chunk, flag};
use super::sync::Ordering;
use super::{Holders, Members, Shared, State};
use crate::action::CloseReason;
use crate::fleet::Beat;
use crate::fleet::clock::{Clock, Ms, Now};
use crate::fleet::slots::GROUP;
use crate::session::Timer;
use crate::time::Instant;

/// So many looks, or so many tasks to wake, before the lock is given up.
const LOOKS: u32 = 1024;
const WAKES: usize = 256;

/// Another task runs these members already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these members are run already")]
pub struct AlreadyRunning;

impl Members {
    /// Ticks for all members, for as long as there are some or this can be joined: spawn
    /// it once, on any runtime. It sleeps while there are none.
    ///
    /// It ends once the last [`Members`] and the last member are gone, and keeps neither
    /// alive. Where it is dropped before, or panics, each member is told once, by
    /// [`Beat::Unattended`]; time stands still then, until somebody runs it anew.
    ///
    /// # Errors
    ///
    /// If somebody runs it already.
    pub fn run<T: Timer>(
        self,
        mut timer: T,
    ) -> impl Future<Output = Result<(), AlreadyRunning>> + use<T> {
        let shared = Arc::downgrade(&self.shared);
        drop(self);
        let mut runner = None;
        poll_fn(move |context| {
            let runner = match &mut runner {
                Some(runner) => runner,
                none => none.insert(Runner::new(&shared, timer.now())?),
            };
            runner.poll(&mut timer, context).map(Ok)
        })
    }
}

struct Runner<I> {
    shared: Weak<Shared>,
    clock: Clock<I>,
    /// When the next tick is due; at once at first.
    due: Option<I>,
    is_set: bool,
    slots: Vec<u32>,
    wakers: Vec<Waker>,
}

impl<I: Instant> Runner<I> {
    fn new(shared: &Weak<Shared>, now: I) -> Result<Self, AlreadyRunning> {
        let mut base = Ms::ORIGIN;
        if let Some(shared) = shared.upgrade() {
            let mut state = shared.lock();
            if core::mem::replace(&mut state.is_running, true) {
                return Err(AlreadyRunning);
            }
            // Time stood still, so nobody is found late.
            base = state.now.up.round_up(state.keep.granularity);
            let now = state.now;
            state.keep.look_at_all(now);
        }
        Ok(Self {
            shared: Weak::clone(shared),
            clock: Clock::from(base, now),
            due: None,
            is_set: false,
            slots: Vec::new(),
            wakers: Vec::new(),
        })
    }

    fn poll<T>(&mut self, timer: &mut T, context: &mut Context<'_>) -> Poll<()>
    where
        T: Timer<Instant = I>,
    {
        loop {
            let Some(shared) = self.shared.upgrade() else {
                return Poll::Ready(());
            };
            if sleeps(&shared, context.waker()) {
                return Poll::Pending;
            }
            let now = timer.now();
            if let Some(due) = self.due.filter(|due| now < *due) {
                if !core::mem::replace(&mut self.is_set, true) {
                    timer.set(due);
                }
                if timer.poll(context).is_pending() {
                    return Poll::Pending;
                }
                // A timer may be a millisecond early.
                self.is_set = false;
                continue;
            }
            self.clock.advance(now);
            let is_done = self.tick(&shared);
            for waker in self.wakers.drain(..) {
                waker.wake();
            }
            if !is_done {
                // The others of this executor go first.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Does a part of what is due. Whether it was all.
    fn tick(&mut self, shared: &Shared) -> bool {
        let now = self.clock.now();
        let mut state = shared.lock();
        let state = &mut *state;
        // In each part, since time goes on between them.
        let end = state.begin_period(now);
        let stamp = end.packed_with(true);
        shared.published.stamp.store(stamp, Ordering::Relaxed);
        let State {
            keep, chunks, late, ..
        } = state;
        let holders = Holders {
            chunks,
            late,
            now: now.down,
            to_wake: RefCell::new(core::mem::take(&mut self.slots)),
        };
        let mut scan = keep.scan(now, LOOKS);
        while let Some((key, beat)) = keep.beat(&mut scan, &holders) {
            let flags = match beat {
                Beat::Ping(_) => flag::PING,
                Beat::Close(CloseReason::Drained) => flag::DRAINED,
                Beat::Close(_) => flag::AGED,
                Beat::Unattended => 0,
            };
            holders.tell(key.index(), flags);
            if holders.to_wake.borrow().len() >= WAKES {
                break;
            }
        }
        self.slots = holders.to_wake.into_inner();
        for slot in self.slots.drain(..) {
            let chunk = chunks.get(slot as usize / GROUP);
            let waker = chunk.and_then(|chunk| chunk.take_waker(slot as usize));
            self.wakers.extend(waker);
        }
        let is_done = !keep.is_unfinished();
        if is_done {
            let next = Ms(now.down.0 + 1).round_up(keep.granularity);
            self.due = self.clock.instant(next);
            self.is_set = false;
        }
        is_done
    }
}

/// Whether there is nobody to run it for: then the first who joins wakes it.
fn sleeps(shared: &Shared, waker: &Waker) -> bool {
    let waker = waker.clone();
    let mut state = shared.lock();
    let sleeps = state.keep.count() == 0;
    let before = core::mem::replace(&mut state.runner, sleeps.then_some(waker));
    drop(state);
    drop(before);
    sleeps
}

impl<I> Drop for Runner<I> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut state = shared.lock();
        state.is_running = false;
        let runner = state.runner.take();
        let wakers = state.leave_unattended();
        drop(state);
        drop(runner);
        for waker in wakers.into_iter().chain(self.wakers.drain(..)) {
            // Another one that panics must not abort the process.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

impl State {
    /// The period ends; another one begins now, whose end is returned.
    fn begin_period(&mut self, now: Now) -> Ms {
        let is_late = now.up > self.now.up;
        if is_late {
            let stamp = self.now.up.packed_with(true);
            self.late.push(stamp, now.up);
            if self.late.is_full() {
                self.take_in_all();
                self.late.clear();
                // Somebody may be about to note it.
                self.late.push(stamp, now.up);
            }
        }
        self.keep.advance(now);
        for key in core::mem::take(&mut self.taken) {
            if is_late {
                self.keep.ping_counts_from_now(key, now);
            }
        }
        for slot in core::mem::take(&mut self.joining) {
            let slot = slot as usize;
            let chunk = self.chunks.get(slot / GROUP).map(Arc::clone);
            let joins = |chunk: &Arc<Chunk>| chunk.has(slot, flag::JOINING);
            if let (Some(chunk), Some(key)) = (chunk.filter(joins), self.keep.key(slot)) {
                chunk.clear(slot, flag::JOINING);
                self.keep.reopen(key, now);
            }
        }
        let period = self.keep.granularity;
        // A timer is not exact, and what comes a little late is not to be told apart.
        let end = Ms(now.down.0 + period + (period / 8).max(1));
        self.now = Now {
            down: now.down,
            up: end,
        };
        self.now.up
    }

    /// Nobody ticks any more. Whom to wake.
    fn leave_unattended(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for (group, chunk) in self.chunks.iter().enumerate() {
            for slot in group * GROUP..(group + 1) * GROUP {
                if self.keep.key(slot).is_some() {
                    chunk.set(slot, flag::UNATTENDED);
                    wakers.extend(chunk.take_waker(slot));
                }
            }
        }
        wakers
    }
}
