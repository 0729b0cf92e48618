use core::time::Duration;

use crate::Instant;
use crate::time::{Timeline, nanos};

const NANOS: u64 = 1_000_000;

/// A fleet's time in milliseconds. It begins far from zero, so that the past of its
/// beginning can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ms(pub(super) u64);

impl Ms {
    pub(super) const ORIGIN: Self = Self(1 << 40);

    /// Whole milliseconds, rounded up.
    pub(super) const fn of(duration: Duration) -> u64 {
        nanos(duration).div_ceil(NANOS)
    }

    /// All of it that is kept: its last 32 bits.
    pub(super) const fn packed(self) -> u32 {
        self.0 as u32
    }

    /// The time with these last 32 bits that is nearest to this one: within 24 days of it.
    pub(super) const fn near(self, packed: u32) -> Self {
        let by = packed.wrapping_sub(self.packed()) as i32;
        Self(self.0.saturating_add_signed(by as i64))
    }

    /// The last 31 bits, and one that tells something else.
    pub(super) const fn packed_with(self, bit: bool) -> u32 {
        self.packed() << 1 | bit as u32
    }

    /// The time with these last 31 bits that is nearest to this one: within 12 days of it.
    pub(super) const fn near_with(self, packed: u32) -> Self {
        let by = (packed & !1).wrapping_sub(self.packed() << 1) as i32 >> 1;
        Self(self.0.saturating_add_signed(by as i64))
    }

    /// The first multiple of this many milliseconds since the origin that is no earlier.
    pub(super) const fn round_up(self, step: u64) -> Self {
        let since = self.0.saturating_sub(Self::ORIGIN.0);
        Self(Self::ORIGIN.0 + since.div_ceil(step) * step)
    }

    pub(super) const fn before(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}

impl Timeline for Ms {
    fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::of(duration)))
    }

    fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Two instants around the caller's, in whole milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// What is due by then is due.
    pub(super) down: Ms,
    /// What begins now counts from then.
    pub(super) up: Ms,
}

/// The caller's clock, and a fleet's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock<I> {
    origin: Option<I>,
    /// What the origin is.
    base: Ms,
    /// Nanoseconds since the origin; never goes back.
    latest: u64,
}

impl<I: Instant> Clock<I> {
    pub(super) const fn new() -> Self {
        Self {
            origin: None,
            base: Ms::ORIGIN,
            latest: 0,
        }
    }

    /// At this instant it is that late.
    #[cfg(all(feature = "async", feature = "std"))]
    pub(super) const fn from(base: Ms, origin: I) -> Self {
        Self {
            origin: Some(origin),
            base,
            latest: 0,
        }
    }

    /// Time goes on to this instant; the first one is the origin.
    pub(super) fn advance(&mut self, now: I) {
        let origin = *self.origin.get_or_insert(now);
        let since = nanos(now.saturating_duration_since(origin));
        self.latest = self.latest.max(since);
    }

    /// The two whole milliseconds around the latest instant.
    pub(super) const fn now(&self) -> Now {
        Now {
            down: Ms(self.base.0 + self.latest / NANOS),
            up: Ms(self.base.0 + self.latest.div_ceil(NANOS)),
        }
    }

    pub(super) fn instant(&self, at: Ms) -> Option<I> {
        let since = Duration::from_millis(at.0.saturating_sub(self.base.0));
        Some(self.origin?.saturating_add(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_named_by_its_last_bits() {
        let day = 24 * 3_600_000;
        for base in [
            Ms::ORIGIN.0,
            (1 << 40) + (1 << 31) - 5,
            (1 << 41) - 3,
            7 << 32,
        ] {
            for by in [0, 1, 1000, 12 * day, 24 * day] {
                for at in [base - by, base + by] {
                    assert_eq!(Ms(base).near(Ms(at).packed()), Ms(at));
                    if by <= 12 * day {
                        for bit in [false, true] {
                            let packed = Ms(at).packed_with(bit);
                            assert_eq!(packed & 1 == 1, bit);
                            assert_eq!(Ms(base).near_with(packed), Ms(at));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_begins_is_rounded_up_and_what_is_due_down() {
        let mut clock = Clock::new();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now().up, Ms::ORIGIN);
        clock.advance(Duration::from_secs(5) + Duration::from_micros(2_001));
        assert_eq!(clock.now().up, Ms(Ms::ORIGIN.0 + 3));
        assert_eq!(clock.now().down, Ms(Ms::ORIGIN.0 + 2));
        clock.advance(Duration::ZERO);
        assert_eq!(clock.now().down, Ms(Ms::ORIGIN.0 + 2));
        let at = clock.now().up.round_up(50);
        assert_eq!(clock.instant(at), Some(Duration::from_millis(5_050)));
    }
}
