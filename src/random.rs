use core::time::Duration;

use crate::config::Config;
use crate::time::{MILLISECOND, nanos};

/// SplitMix64: eight bytes of state, and any seed is as good as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// U[0, greatest].
    pub(crate) fn up_to(&mut self, greatest: u64) -> u64 {
        let range = u128::from(greatest) + 1;
        ((u128::from(self.next()) * range) >> 64) as u64
    }

    /// U[least, greatest], but never under 1 ms.
    pub(crate) fn between(&mut self, least: Duration, greatest: Duration) -> Duration {
        let least = nanos(least);
        let draw = self.up_to(nanos(greatest).saturating_sub(least));
        Duration::from_nanos(least.saturating_add(draw)).max(MILLISECOND)
    }
}

/// How the share of an interval is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// At a random phase, when the watches began.
    First,
    /// At a random phase, after a ping that a late tick sent.
    Late,
    /// With jitter.
    Usual,
}

impl Draw {
    pub(crate) fn share(self, config: &Config, rng: &mut Rng) -> Fraction {
        match self {
            Self::First if config.random_phase() => Fraction::phase(rng),
            Self::Late if config.random_phase() => Fraction::late_phase(rng),
            _ => Fraction::jittered(config.jitter(), rng),
        }
    }
}

/// A share of an interval, in (0, 1]: n + 1 parts of 2^16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction(u16);

impl Fraction {
    pub(crate) const WHOLE: Self = Self(u16::MAX);
    const TENTH: u16 = 6_553;

    /// U[`least`, 1], where the least share has that many parts of 2^16 and one more.
    fn from(least: u16, rng: &mut Rng) -> Self {
        Self(u16::MAX - rng.up_to(u64::from(u16::MAX - least)) as u16)
    }

    /// U(0, 1].
    pub(crate) fn phase(rng: &mut Rng) -> Self {
        Self::from(0, rng)
    }

    /// U[0.1, 1].
    pub(crate) fn late_phase(rng: &mut Rng) -> Self {
        Self::from(Self::TENTH, rng)
    }

    /// U[1 - jitter, 1], for a jitter in [0, 1).
    pub(crate) fn jittered(jitter: f64, rng: &mut Rng) -> Self {
        let spread = (jitter * f64::from(u16::MAX)) as u16;
        Self::from(u16::MAX - spread, rng)
    }

    /// All that it is, for who packs it.
    #[cfg(feature = "alloc")]
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    #[cfg(feature = "alloc")]
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// This share of the interval, but never under 1 ms.
    pub(crate) fn of(self, interval: Duration) -> Duration {
        let parts = u64::from(self.0) + 1;
        let nanos = nanos(interval).saturating_mul(parts) >> 16; // A day fits.
        Duration::from_nanos(nanos).max(MILLISECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_reach_both_ends_and_stay_inside() {
        let mut rng = Rng::new(7);
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[rng.up_to(3) as usize] = true;
        }
        assert_eq!(seen, [true; 4]);
        let (least, greatest) = (Duration::from_millis(2), Duration::from_millis(3));
        for _ in 0..1000 {
            let draw = rng.between(least, greatest);
            assert!((least..=greatest).contains(&draw));
        }
    }

    #[test]
    fn jitter_only_shortens_and_by_no_more_than_its_share() {
        let (mut rng, whole) = (Rng::new(1), Duration::from_secs(10));
        for _ in 0..1000 {
            let part = Fraction::jittered(0.2, &mut rng).of(whole);
            assert!((Duration::from_secs(8)..=whole).contains(&part));
            let part = Fraction::phase(&mut rng).of(whole);
            assert!((MILLISECOND..=whole).contains(&part));
            let part = Fraction::late_phase(&mut rng).of(whole);
            assert!((Duration::from_secs(1)..=whole).contains(&part));
        }
        assert_eq!(Fraction::jittered(0.0, &mut rng).of(whole), whole);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn a_share_is_its_bits() {
        let mut rng = Rng::new(1);
        for share in [Fraction::WHOLE, Fraction::phase(&mut rng)] {
            assert_eq!(Fraction::from_bits(share.bits()), share);
        }
    }

    #[test]
    fn seed_zero_gives_the_published_first_value() {
        assert_eq!(Rng::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }
}
