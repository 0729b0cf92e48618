//! A fleet with one slot: what `members/mod.rs`, `members/run.rs` and `keep.rs` do to it.

use core::task::Waker;
use std::sync::Arc;
use std::task::Wake;

use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use crate::chunk::{Chunk, Noted, flag};
use crate::sync::lock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Ping,
    Drained,
    Dead,
}

pub(crate) struct Fleet {
    pub(crate) chunk: Chunk,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Odd while somebody is there.
    generation: u32,
    /// By the rules it is dead, unless something came in.
    is_alive: bool,
    /// The last one that a ping was asked for.
    pinged: u32,
}

pub(crate) struct Member {
    fleet: Arc<Fleet>,
    waker: Option<Waker>,
    pub(crate) generation: u32,
}

impl Fleet {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            chunk: Chunk::new(),
            state: Mutex::new(State::default()),
        })
    }

    /// Does this in a thread of its own.
    pub(crate) fn spawn<T: 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + 'static,
    ) -> JoinHandle<T> {
        let fleet = Arc::clone(self);
        thread::spawn(move || work(&fleet))
    }

    /// `None` where the slot is taken.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Member> {
        let mut state = lock(&self.state);
        if state.generation % 2 == 1 {
            return None;
        }
        state.generation += 1;
        state.is_alive = false;
        let left = self.chunk.reset(0, flag::JOINING | flag::UNREGISTERED);
        let generation = state.generation;
        drop(state);
        drop(left);
        Some(Member {
            fleet: Arc::clone(self),
            waker: None,
            generation,
        })
    }

    /// Asks the member for something.
    pub(crate) fn tell(&self, flags: u16) {
        let state = lock(&self.state);
        self.chunk.set(0, flags);
        let waker = self.chunk.take_waker(0);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes in what was noted, and asks whoever is there for a ping, unless it was asked
    /// before. Returns whom it asked.
    pub(crate) fn ping(&self) -> Option<u32> {
        let mut state = lock(&self.state);
        state.take_in(|| self.chunk.take_noted(0));
        let generation = state.generation;
        if generation % 2 == 0 || self.chunk.has(0, flag::PING) {
            return None;
        }
        self.chunk.set(0, flag::PING);
        state.pinged = generation;
        let waker = self.chunk.take_waker(0);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Some(generation)
    }

    pub(crate) fn pinged(&self) -> u32 {
        lock(&self.state).pinged
    }

    /// A tick that finds a member dead for whom nothing came in.
    pub(crate) fn tick(&self) {
        let mut state = lock(&self.state);
        state.take_in(|| self.chunk.take_noted(0));
        let mut waker = None;
        if state.is_alive {
            self.chunk.acquit(0);
        } else if self.chunk.accuse(0) {
            waker = self.chunk.take_waker(0);
        }
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn take_in(&mut self, noted: impl FnOnce() -> Noted) {
        let is_there = self.generation % 2 == 1;
        if let Some(stamp) = is_there.then(|| noted().received).flatten() {
            assert_eq!(stamp >> 1, self.generation, "of another one");
            self.is_alive = true;
        }
    }

    fn beat(&mut self, chunk: &Chunk) -> Option<Beat> {
        self.take_in(|| chunk.noted(0));
        let flags = chunk.flags(0);
        let has = |flag| flags & flag != 0;
        let mut ended = has(flag::DRAINED).then_some(Beat::Drained);
        if has(flag::SPOKEN) {
            chunk.clear(0, flag::VERDICT);
            ended = ended.or((!self.is_alive).then_some(Beat::Dead));
        }
        if ended.is_some() {
            chunk.clear(0, flag::TO_DO);
            chunk.set(0, flag::ENDED);
            return ended;
        }
        if has(flag::PING) {
            chunk.clear(0, flag::PING | flag::DOUBT);
            return Some(Beat::Ping);
        }
        chunk.note_polled(0);
        None
    }
}

impl Member {
    pub(crate) fn received(&self) {
        let stamp = self.generation << 1 | 1;
        self.fleet.chunk.note_received(0, stamp);
    }

    pub(crate) fn poll(&mut self, waker: &Waker) -> Option<Beat> {
        let chunk = &self.fleet.chunk;
        if chunk.is_quiet(0, &self.waker, waker) || !chunk.has_to_do(0, &mut self.waker, waker) {
            return None;
        }
        lock(&self.fleet.state).beat(chunk)
    }

    /// Sleeps until there is something.
    pub(crate) fn next(&mut self, task: &Arc<Task>) -> Beat {
        let waker = Waker::from(Arc::clone(task));
        loop {
            if let Some(beat) = self.poll(&waker) {
                return beat;
            }
            task.sleep();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = lock(&self.fleet.state);
        state.generation += 1;
        let waker = self.fleet.chunk.reset(0, 0);
        drop(state);
        drop(waker);
    }
}

/// A task that sleeps until it is woken. Not loom's, whose wakers are not equal to their
/// clones.
#[derive(Default)]
pub(crate) struct Task {
    times: Mutex<usize>,
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        *lock(&self.times) += 1;
        *lock(&self.is_woken) = true;
        self.woken.notify_one();
    }
}

impl Task {
    /// How often it was woken.
    pub(crate) fn times(&self) -> usize {
        *lock(&self.times)
    }

    fn sleep(&self) {
        let mut is_woken = lock(&self.is_woken);
        while !*is_woken {
            is_woken = self.woken.wait(is_woken).unwrap();
        }
        *is_woken = false;
    }
}
