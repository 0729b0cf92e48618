//! What `src/fleet/members/sync.rs` names, of loom's types.

use loom::sync::atomic::{self, AtomicBool};

pub(crate) use loom::sync::atomic::{AtomicU16, Ordering};
pub(crate) use loom::sync::{Mutex, MutexGuard};

pub(crate) const SLOTS: usize = 2;
pub(crate) const LOCKED: usize = 2;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// A store of loom's may come between the two halves of a swap, which no machine does. So
/// it is a swap here.
pub(crate) struct AtomicU32(atomic::AtomicU32);

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> Self {
        Self(atomic::AtomicU32::new(value))
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u32 {
        self.0.load(ordering)
    }

    pub(crate) fn store(&self, value: u32, ordering: Ordering) {
        self.0.swap(value, ordering);
    }

    pub(crate) fn swap(&self, value: u32, ordering: Ordering) -> u32 {
        self.0.swap(value, ordering)
    }
}

/// The value is seen by those who see that it is there, as in the original.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_there: AtomicBool,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            is_there: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        let is_there = self.is_there.load(Ordering::Acquire);
        is_there.then(|| self.value.get()).flatten()
    }

    pub(crate) fn get_or_init(&self, new: impl FnOnce() -> T) -> &T {
        let value = self.value.get_or_init(new);
        self.is_there.store(true, Ordering::Release);
        value
    }
}
