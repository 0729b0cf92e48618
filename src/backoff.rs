use core::time::Duration;

use crate::config::{Config, LONGEST};
use crate::event::CloseCode;
use crate::random::Rng;
use crate::time::MILLISECOND;

/// What a close policy answers: whether to come back, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Do not come back.
    Stop,
    /// The ordinary delay for this attempt.
    Backoff,
    /// The delay that the last attempts have, also at the first:
    /// U\[`backoff_floor`, `backoff_cap`\].
    Spread,
    /// U\[`least`, `greatest`\], each taken into the bounds from 1 ms to 24 h; a
    /// `greatest` under `least` counts as `least`.
    Between {
        /// The shortest delay.
        least: Duration,
        /// The longest delay.
        greatest: Duration,
    },
}

/// Decides by the close code whether to come back and how; `None` is an end
/// without a code. See [`ConfigBuilder::close_policy`](crate::ConfigBuilder::close_policy).
pub type ClosePolicy = fn(Option<CloseCode>) -> Retry;

/// The policy that holds unless the application replaces it.
///
/// 1000 and the codes that say "do not come back" (1002, 1003, 1007-1010, 1015)
/// stop; 1012 comes back after U\[5 s, 30 s\] (as its registration with IANA
/// asks); 1013 is spread out; everything else, 3000-4999 among it, backs off.
///
/// ```
/// use keepalive::{CloseCode, Config, Retry, default_close_policy};
///
/// assert_eq!(default_close_policy(Some(CloseCode::NORMAL)), Retry::Stop);
/// assert_eq!(default_close_policy(None), Retry::Backoff);
///
/// let config = Config::builder()
///     .close_policy(|code| match code {
///         Some(CloseCode(4001)) => Retry::Stop, // the application's "logged out"
///         other => default_close_policy(other),
///     })
///     .build()?;
/// # Ok::<(), keepalive::ConfigError>(())
/// ```
#[must_use]
pub fn default_close_policy(code: Option<CloseCode>) -> Retry {
    match code {
        Some(CloseCode(1000 | 1002 | 1003 | 1007..=1010 | 1015)) => Retry::Stop,
        Some(CloseCode::SERVICE_RESTART) => Retry::Between {
            least: Duration::from_secs(5),
            greatest: Duration::from_secs(30),
        },
        Some(CloseCode::TRY_AGAIN_LATER) => Retry::Spread,
        _ => Retry::Backoff,
    }
}

/// The delay before this attempt (from 1), or `None` not to come back.
pub(crate) fn delay(
    config: &Config,
    attempt: u32,
    retry: Retry,
    rng: &mut Rng,
) -> Option<Duration> {
    let (least, greatest) = match retry {
        Retry::Stop => return None,
        Retry::Backoff if attempt <= 1 => (MILLISECOND, config.first_spread()),
        Retry::Backoff => (config.backoff_floor(), ceiling(config, attempt - 2)),
        Retry::Spread => (config.backoff_floor(), config.backoff_cap()),
        Retry::Between { least, greatest } => {
            let least = least.min(LONGEST).max(MILLISECOND);
            (least, greatest.min(LONGEST).max(least))
        }
    };
    Some(rng.between(least, greatest))
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
