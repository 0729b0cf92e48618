use core::time::Duration;

use crate::action::StopReason;
use crate::config::Config;
use crate::event::Retry;
use crate::random::Rng;
use crate::time::{LONGEST, MILLISECOND, Time, Timeline};

/// The failures since the last stable connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    /// Retries so far.
    pub(crate) attempt: u32,
    /// The first down.
    first: Option<Time>,
}

impl Failures {
    pub(crate) const NONE: Self = Self {
        attempt: 0,
        first: None,
    };

    /// The limit that this down reaches, if it does.
    pub(crate) fn limit(&mut self, config: &Config, now: Time) -> Option<StopReason> {
        let first = *self.first.get_or_insert(now);
        let attempts = config.max_attempts();
        if attempts.is_some_and(|most| self.attempt >= most) {
            return Some(StopReason::AttemptLimit);
        }
        let longest = config.max_elapsed();
        let is_over = longest.is_some_and(|longest| now.since(first) >= longest);
        is_over.then_some(StopReason::TimeLimit)
    }

    /// Counts one more retry, and draws the delay before it.
    pub(crate) fn delay(
        &mut self,
        config: &Config,
        retry: Retry,
        quick: &mut Quick,
        rng: &mut Rng,
    ) -> Delay {
        self.attempt = self.attempt.saturating_add(1);
        let (least, greatest) = match retry {
            Retry::Spread => (config.backoff_floor(), config.backoff_cap()),
            Retry::Between { least, greatest } => {
                let least = least.min(LONGEST).max(MILLISECOND);
                (least, greatest.min(LONGEST).max(least))
            }
            Retry::Backoff | Retry::Stop => match quick.step(self.attempt) {
                0 => (MILLISECOND, config.first_spread()),
                step => (config.backoff_floor(), ceiling(config, step - 1)),
            },
        };
        Delay {
            drawn: rng.between(least, greatest),
            is_asked_for: matches!(retry, Retry::Between { .. }),
        }
    }
}

/// How many of the next delays that back off are drawn as the first ones are, since the
/// network changed: that news may have come too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quick(u8);

impl Quick {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const TWO: Self = Self(2);

    /// Which delay before this attempt it is that backs off, from 0.
    fn step(&mut self, attempt: u32) -> u32 {
        let step = match self.0 {
            0 => attempt - 1,
            left => 2_u32.saturating_sub(left.into()),
        };
        self.0 = self.0.saturating_sub(1);
        step
    }
}

/// A delay before a dial.
pub(crate) struct Delay {
    drawn: Duration,
    /// It keeps the distance between dials that are asked for.
    is_asked_for: bool,
}

impl Delay {
    /// From when the dial counts to when it is; `calm` is the end of the second after
    /// the last dial.
    pub(crate) fn after(&self, from: Time, calm: Time) -> Time {
        let at = from.after(self.drawn);
        if self.is_asked_for { at.max(calm) } else { at }
    }
}

/// min(cap, base * factor^doublings).
fn ceiling(config: &Config, doublings: u32) -> Duration {
    let cap = config.backoff_cap().as_nanos() as f64;
    let grown = config.backoff_base().as_nanos() as f64 * power(config.backoff_factor(), doublings);
    Duration::from_nanos(grown.min(cap) as u64)
}

/// By squaring: 32 rounds for any exponent; overflows to infinity.
fn power(base: f64, exponent: u32) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    for _ in 0..u32::BITS {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_never_past_it() {
        let config = Config::default();
        let seconds = |doublings| ceiling(&config, doublings).as_secs();
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6].map(seconds),
            [2, 4, 8, 16, 32, 60, 60]
        );
        assert_eq!(seconds(u32::MAX), 60);
    }

    #[test]
    fn a_factor_of_one_stays_at_the_base() {
        let config = Config::builder().backoff_factor(1.0).build().unwrap();
        assert_eq!(ceiling(&config, u32::MAX), config.backoff_base());
    }
}
