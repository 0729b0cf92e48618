use core::num::NonZeroU32;
use core::time::Duration;

/// Round trips of the pings on one connection, in whole microseconds.
///
/// Smoothed and varied with the weights of RFC 6298 section 2 (1/8 and 1/4).
/// A round trip under 1 µs counts as 1 µs, one over 71 minutes as 71 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    last: NonZeroU32,
    smoothed: u32,
    variance: u32,
    minimum: u32,
}

impl RoundTrip {
    /// The latest round trip.
    #[must_use]
    pub fn last(&self) -> Duration {
        micros(self.last.get())
    }

    /// The smoothed round trip (SRTT in RFC 6298).
    #[must_use]
    pub fn smoothed(&self) -> Duration {
        micros(self.smoothed)
    }

    /// The mean deviation from the smoothed round trip (RTTVAR in RFC 6298).
    #[must_use]
    pub fn variance(&self) -> Duration {
        micros(self.variance)
    }

    /// The shortest round trip.
    #[must_use]
    pub fn minimum(&self) -> Duration {
        micros(self.minimum)
    }

    /// Of which no more is known than this.
    #[cfg(feature = "alloc")]
    pub(crate) fn smoothed_to(smoothed: Duration, variance: Duration) -> Self {
        let mut known = Self::with(None, smoothed);
        known.variance = u32::try_from(variance.as_micros()).unwrap_or(u32::MAX);
        known
    }

    pub(crate) fn with(earlier: Option<Self>, sample: Duration) -> Self {
        let last = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX);
        let last = NonZeroU32::new(last).unwrap_or(NonZeroU32::MIN);
        let value = last.get();
        match earlier {
            None => Self {
                last,
                smoothed: value,
                variance: value / 2,
                minimum: value,
            },
            Some(earlier) => Self {
                last,
                smoothed: blend(earlier.smoothed, value, 8),
                variance: blend(earlier.variance, earlier.smoothed.abs_diff(value), 4),
                minimum: earlier.minimum.min(value),
            },
        }
    }

    /// How long an answer may take before it is unlikely: SRTT + 4 RTTVAR.
    pub(crate) fn patience(&self) -> Duration {
        self.smoothed()
            .saturating_add(self.variance().saturating_mul(4))
    }
}

fn micros(value: u32) -> Duration {
    Duration::from_micros(u64::from(value))
}

/// `old` moved towards `new` by one part in `parts`, rounded to nearest.
fn blend(old: u32, new: u32, parts: u64) -> u32 {
    let sum = u64::from(old) * (parts - 1) + u64::from(new);
    u32::try_from((sum + parts / 2) / parts).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_rfc_6298() {
        let first = RoundTrip::with(None, Duration::from_millis(100));
        assert_eq!(first.smoothed(), Duration::from_millis(100));
        assert_eq!(first.variance(), Duration::from_millis(50));
        assert_eq!(first.patience(), Duration::from_millis(300));
        let second = RoundTrip::with(Some(first), Duration::from_millis(180));
        assert_eq!(second.last(), Duration::from_millis(180));
        assert_eq!(second.smoothed(), Duration::from_millis(110));
        assert_eq!(second.variance(), Duration::from_micros(57_500));
        assert_eq!(second.minimum(), Duration::from_millis(100));
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn goes_on_from_what_is_known() {
        let (smoothed, variance) = (Duration::from_millis(100), Duration::from_millis(7));
        let known = RoundTrip::smoothed_to(smoothed, variance);
        assert_eq!((known.smoothed(), known.variance()), (smoothed, variance));
        let next = RoundTrip::with(Some(known), smoothed);
        assert_eq!(next.smoothed(), smoothed);
        assert_eq!(next.variance(), Duration::from_micros(5_250));
        let endless = RoundTrip::smoothed_to(smoothed, Duration::MAX).variance();
        assert_eq!(endless, Duration::from_micros(u64::from(u32::MAX)));
    }

    #[test]
    fn rounds_to_the_nearest_microsecond() {
        let micros = Duration::from_micros;
        let first = RoundTrip::with(None, micros(100));
        for (sample, smoothed, variance) in [(103, 100, 38), (104, 101, 39), (96, 100, 39)] {
            let second = RoundTrip::with(Some(first), micros(sample));
            assert_eq!(second.smoothed(), micros(smoothed), "after {sample}");
            assert_eq!(second.variance(), micros(variance), "after {sample}");
        }
    }

    #[test]
    fn saturates_at_both_ends() {
        let short = RoundTrip::with(None, Duration::ZERO);
        assert_eq!(short.last(), Duration::from_micros(1));
        let long = RoundTrip::with(Some(short), Duration::MAX);
        let long = RoundTrip::with(Some(long), Duration::MAX);
        assert_eq!(long.last(), Duration::from_micros(u64::from(u32::MAX)));
        assert_eq!(long.minimum(), short.last());
    }
}
