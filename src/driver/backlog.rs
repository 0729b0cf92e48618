use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::doubt::Doubt;

/// What waits ahead of the transport's backlog, and which copies are kept.
pub(super) struct Backlog<W> {
    /// What was asked for and had no room, then what was put back, in order.
    ahead: VecDeque<W>,
    keeping: Option<Keeping<W>>,
}

/// Copies of what is in doubt are kept, up to so many bytes.
struct Keeping<W> {
    limit: usize,
    copy: fn(&W) -> W,
}

impl<W> Backlog<W> {
    pub(super) const fn new() -> Self {
        Self {
            ahead: VecDeque::new(),
            keeping: None,
        }
    }

    pub(super) fn keep(&mut self, limit: usize)
    where
        W: Clone,
    {
        let copy = W::clone;
        self.keeping = Some(Keeping { limit, copy });
    }

    pub(super) const fn keeps(&self) -> bool {
        self.keeping.is_some()
    }

    pub(super) fn put_back(&mut self, messages: impl IntoIterator<Item = W>) {
        let mut messages: VecDeque<W> = messages.into_iter().collect();
        messages.append(&mut self.ahead);
        self.ahead = messages;
    }

    /// Puts back what was taken last.
    pub(super) fn put_first(&mut self, message: W) {
        self.ahead.push_front(message);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.is_empty()
    }

    pub(super) fn take(&mut self) -> Option<W> {
        self.ahead.pop_front()
    }

    pub(super) fn has_room(&self, doubt: &Doubt<W>, size: usize) -> bool {
        let keeping = self.keeping.as_ref();
        keeping.is_none_or(|keeping| doubt.has_room(size, keeping.limit))
    }

    pub(super) fn copy(&self, message: &W, size: usize) -> Option<(W, usize)> {
        let keeping = self.keeping.as_ref()?;
        Some(((keeping.copy)(message), size))
    }

    pub(super) fn take_all(&mut self) -> Vec<W> {
        self.ahead.drain(..).collect()
    }
}
