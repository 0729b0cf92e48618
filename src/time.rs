use core::num::NonZeroU64;
use core::time::Duration;

/// A point in time that the machine can compare, move forward and measure.
///
/// Implemented for `std::time::Instant` (feature `std`) and for
/// [`core::time::Duration`], read as the time since an origin of the caller's:
/// for `no_std`, tests, fuzzing and browsers. Both methods are total.
///
/// The machine keeps its own time in nanoseconds since the first instant that it
/// is given, so a type that is coarser than 1 ms cannot express its shortest
/// delay, and time ends for it 584 years after the first instant; the greatest
/// instant counts as that end.
pub trait Instant: Copy + Ord {
    /// Whether these instants come from a clock that neither goes back nor reaches its
    /// end while the program runs. The machine then compares no instant with the one
    /// before when it only notes a fact, so that noting is a store: of two facts of one
    /// kind between two other events, the one reported last counts. `false` is always
    /// right; `std::time::Instant` has `true`, since it is monotonic.
    const IS_CLOCK: bool = false;

    /// This instant moved forward by `duration`, or the greatest instant that the type
    /// can represent if that is too late for it.
    #[must_use]
    fn saturating_add(self, duration: Duration) -> Self;

    /// The time from `earlier` to this instant; zero where `earlier` is later.
    fn saturating_duration_since(self, earlier: Self) -> Duration;
}

impl Instant for Duration {
    #[inline]
    fn saturating_add(self, duration: Duration) -> Self {
        Self::saturating_add(self, duration)
    }

    #[inline]
    fn saturating_duration_since(self, earlier: Self) -> Duration {
        // What `saturating_sub` does, but the compiler sees that it does not panic.
        let earlier = earlier.min(self);
        let (part, other) = (self.subsec_nanos(), earlier.subsec_nanos());
        let (borrowed, nanos) = match part.checked_sub(other) {
            Some(nanos) => (0, nanos),
            None => (1, part.wrapping_add(1_000_000_000).wrapping_sub(other)),
        };
        let seconds = self.as_secs().wrapping_sub(earlier.as_secs());
        Self::from_secs(seconds.wrapping_sub(borrowed))
            .saturating_add(Self::from_nanos(u64::from(nanos)))
    }
}

#[cfg(feature = "std")]
impl Instant for std::time::Instant {
    const IS_CLOCK: bool = true;

    #[inline]
    fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration)
            .unwrap_or_else(|| greatest_after(self))
    }

    #[inline]
    fn saturating_duration_since(self, earlier: Self) -> Duration {
        Self::saturating_duration_since(&self, earlier)
    }
}

/// The type has no constant for its greatest value: climb to it.
#[cfg(feature = "std")]
#[cold]
fn greatest_after(now: std::time::Instant) -> std::time::Instant {
    let (mut greatest, mut step) = (now, Duration::MAX);
    while !step.is_zero() {
        match greatest.checked_add(step) {
            Some(later) => greatest = later,
            None => step /= 2,
        }
    }
    greatest
}

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// The longest duration that a setting may have, a delay, and a server's hint.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// In nanoseconds; what is over 584 years counts as 584 years.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos >= u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

/// The time in which an open connection counts: the nanoseconds of [`Time`], or
/// whatever else is to be packed tightly. Both methods are total.
pub(crate) trait Timeline: Copy + Ord {
    fn after(self, duration: Duration) -> Self;

    /// Zero where `earlier` is later.
    fn since(self, earlier: Self) -> Duration;
}

/// Internal time: nanoseconds since the clock's origin, which is 1, so that an
/// absent time costs no space; nor does alignment.
///
/// Rust 1.95 and later (LLVM 22 and later, and still the newest) miscompiles
/// `*slot = slot.map(|at| at.min(latest))` for an optional number that is not zero,
/// also in a newtype and also as an `if`: what reads it afterwards in the same
/// function takes `None` for `Some`. [`bring_forward`] says the same safely; write it
/// nowhere else. (Packed as it is here the bug happens not to show; do not rely on
/// that.) `tests/levels` compares what every compiler and every level does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed(4))]
pub(crate) struct Time(NonZeroU64);

impl Time {
    pub(crate) const ORIGIN: Self = Self(NonZeroU64::MIN);
    pub(crate) const MAX: Self = Self(NonZeroU64::MAX);

    /// No earlier than the origin.
    fn before(self, duration: Duration) -> Self {
        let nanos = { self.0 }.get().saturating_sub(nanos(duration));
        Self(NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN))
    }
}

impl Timeline for Time {
    #[inline]
    fn after(self, duration: Duration) -> Self {
        Self({ self.0 }.saturating_add(nanos(duration)))
    }

    #[inline]
    fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos({ self.0 }.get().saturating_sub({ earlier.0 }.get()))
    }
}

/// Makes what is planned for later than this come now; what is not planned is not.
pub(crate) fn bring_forward<T: Timeline>(slot: &mut Option<T>, latest: T) {
    if slot.is_some_and(|at| latest < at) {
        *slot = Some(latest);
    }
}

/// An instant of the caller's, and the internal time that it is: from one such pair
/// follow all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor<I> {
    pub(crate) instant: I,
    pub(crate) time: Time,
}

impl<I: Instant> Anchor<I> {
    /// The first one: internal time begins here.
    pub(crate) fn first(instant: I) -> Self {
        let time = if is_greatest(instant) {
            Time::MAX
        } else {
            Time::ORIGIN
        };
        Self { instant, time }
    }

    /// The greatest instant is the end of time.
    pub(crate) fn time(self, at: I) -> Time {
        if is_greatest(at) {
            Time::MAX
        } else if at >= self.instant {
            self.time.after(at.saturating_duration_since(self.instant))
        } else {
            self.time.before(self.instant.saturating_duration_since(at))
        }
    }

    /// Of a time that is no earlier than this.
    #[inline]
    pub(crate) fn instant(self, at: Time) -> I {
        self.instant.saturating_add(at.since(self.time))
    }

    /// Of a time that is no earlier than this, or than some instant: an instant can be
    /// moved forward only.
    pub(crate) fn instant_from(self, earlier: I, at: Time) -> I {
        if at >= self.time {
            return self.instant(at);
        }
        let whole = self.instant.saturating_duration_since(earlier);
        let rest = self.time.since(at);
        earlier.saturating_add(whole.saturating_duration_since(rest))
    }

    /// The pair of such a time. Where no instant is so late, that of the greatest.
    pub(crate) fn moved(self, earlier: I, at: Time) -> Self {
        let instant = self.instant_from(earlier, at);
        let since = instant.saturating_duration_since(self.instant);
        let time = at.min(self.time.after(since));
        Self { instant, time }
    }
}

pub(crate) fn is_greatest<I: Instant>(now: I) -> bool {
    now.saturating_add(MILLISECOND) <= now
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn std_instant_saturates_at_its_greatest_value() {
        let now = std::time::Instant::now();
        let greatest = Instant::saturating_add(now, Duration::MAX);
        assert!(greatest.checked_add(Duration::from_nanos(1)).is_none());
        assert!(is_greatest(greatest));
        assert!(!is_greatest(now));
    }
}
