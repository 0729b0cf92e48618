use core::time::Duration;

use crate::Instant;
use crate::time::{MILLISECOND, SECOND};

/// For how long something has waited: what the transport does not take, or a verdict
/// for what may lie unread.
pub(super) struct Stall<I> {
    looked: Option<I>,
    lasted: Duration,
}

/// How often to look while something waits. A longer gap between two looks counts as
/// this long: the process was away.
const LONGEST: Duration = SECOND;

impl<I: Instant> Stall<I> {
    pub(super) const fn none() -> Self {
        Self {
            looked: None,
            lasted: Duration::ZERO,
        }
    }

    /// Whether something waits.
    pub(super) const fn is_on(&self) -> bool {
        self.looked.is_some()
    }

    /// Nothing waits.
    #[inline]
    pub(super) fn end(&mut self) {
        *self = Self::none();
    }

    /// Something waits, and some of it was taken, or none.
    pub(super) fn go_on(&mut self, took: bool, now: I) {
        match self.looked {
            Some(looked) if !took => {
                self.lasted += now.saturating_duration_since(looked).min(LONGEST);
            }
            _ => self.lasted = Duration::ZERO,
        }
        self.looked = Some(now);
    }

    pub(super) fn has_lasted(&self, timeout: Duration) -> bool {
        self.looked.is_some() && self.lasted >= timeout
    }

    /// When to look again.
    pub(super) fn due(&self, timeout: Duration) -> Option<I> {
        let left = timeout.saturating_sub(self.lasted);
        let left = left.clamp(MILLISECOND, LONGEST);
        Some(self.looked?.saturating_add(left))
    }
}
