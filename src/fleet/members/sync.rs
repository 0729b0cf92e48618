//! What is shared between threads, by the names that `tests/loom` replaces.

pub(super) use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard, OnceLock};

pub(super) const SLOTS: usize = crate::fleet::slots::GROUP;
pub(super) const LOCKED: usize = 32;

/// Nothing that can panic is done under a lock, so none is poisoned.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
