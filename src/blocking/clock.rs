use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time of the last look at the clock. It is not read for each message, since that
/// costs a third of what tungstenite needs for a short one, nor for each system call, but
/// after each wait, after a call that waits for something, and once in a while.
///
/// Times are in nanoseconds since the clock was made, so that one thread can leave them
/// where another finds them without a lock.
#[derive(Debug)]
pub(super) struct Clock {
    base: Instant,
    last: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            base: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn read(&self) -> u64 {
        let now = nanos(self.base.elapsed());
        self.last.store(now, Ordering::Relaxed);
        now
    }

    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.base))
    }

    #[inline]
    pub(super) fn instant(&self, nanos: u64) -> Instant {
        crate::Instant::saturating_add(self.base, Duration::from_nanos(nanos))
    }
}

/// 584 years are the most.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A time that may not have come.
#[derive(Debug)]
pub(super) struct Stamp(AtomicU64);

impl Stamp {
    const NEVER: u64 = u64::MAX;

    pub(super) const fn never() -> Self {
        Self(AtomicU64::new(Self::NEVER))
    }

    #[inline]
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|nanos| *nanos != Self::NEVER)
    }

    pub(super) fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        self.0.store(Self::NEVER, Ordering::Relaxed);
    }
}
