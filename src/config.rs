use core::fmt;
use core::num::{NonZeroU32, NonZeroU64};
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::error::ConfigError;
use crate::policy::{Policy, default_policy};
use crate::time::{LONGEST, MILLISECOND, SECOND, nanos};

/// The settings of a [`Heartbeat`](crate::Heartbeat). A `Config` that exists is valid.
///
/// Every duration is from 1 ms to 24 h.
///
/// ```
/// use core::time::Duration;
/// use keepalive::Config;
///
/// let config = Config::builder()
///     .ping_interval(Duration::from_secs(10))
///     .pong_timeout(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(config.pong_timeout(), Duration::from_secs(5));
/// assert_eq!(Config::default().pong_timeout(), Duration::from_secs(20));
/// # Ok::<(), keepalive::ConfigError>(())
/// ```
///
/// With the feature `serde` it is serialised with human-readable durations ("25s", "1m
/// 30s", also ISO 8601) under the names of the builder's methods. A missing setting has
/// its default, an unknown one is an error, and the same bounds apply. The policy is
/// code: it is not serialised, and what is deserialised has the default one.
#[derive(Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Text", into = "Text")
)]
pub struct Config(Stored);

impl Config {
    /// A builder that starts from the defaults.
    pub const fn builder() -> ConfigBuilder {
        ConfigBuilder(Settings::DEFAULT)
    }

    /// The settings of the article that this project started from: a ping after 2 s
    /// without a message, dead after 10 s without an answer; nothing random, and
    /// outbound silence does not count.
    #[must_use]
    pub const fn article() -> Self {
        Self(
            Settings {
                ping_interval: Duration::from_secs(2),
                send_interval: None,
                jitter: 0.0,
                random_phase: false,
                pong_timeout: Duration::from_secs(10),
                ..Settings::DEFAULT
            }
            .stored(),
        )
    }

    /// For a server that pings while the client must not: no pings, and silence for
    /// `idle_timeout` convicts (45 s, engine.io 4's 25 + 20).
    #[must_use]
    pub const fn listener() -> Self {
        Self(
            Settings {
                listen_only: true,
                ..Settings::DEFAULT
            }
            .stored(),
        )
    }

    /// A builder that starts from these settings.
    pub const fn to_builder(self) -> ConfigBuilder {
        ConfigBuilder(self.0.settings())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self(const { Settings::DEFAULT.stored() })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.0.settings();
        formatter.debug_tuple("Config").field(&settings).finish()
    }
}

impl TryFrom<ConfigBuilder> for Config {
    type Error = ConfigError;

    fn try_from(builder: ConfigBuilder) -> Result<Self, ConfigError> {
        builder.build()
    }
}

/// Collects settings; [`build`](Self::build) checks them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "settings do nothing until they are built"]
pub struct ConfigBuilder(Settings);

impl ConfigBuilder {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that is out of bounds, with its value and the bound; or the
    /// first two that contradict each other.
    pub fn build(self) -> Result<Config, ConfigError> {
        self.0.check()?;
        self.0.check_pairs()?;
        Ok(Config(self.0.stored()))
    }
}

impl Default for ConfigBuilder {
    fn default() -> Self {
        Config::builder()
    }
}

/// All of a setting in one place: its documentation, name, type, default and bounds.
/// From it come the builder's method, the getter, and the forms in which settings are
/// kept, checked, and read as text.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, in $bounds:expr;)*) => {
        impl ConfigBuilder {
            $($(#[$doc])* pub const fn $name(mut self, value: $type) -> Self {
                self.0.$name = value;
                self
            })*
        }

        impl Config {
            $($(#[$doc])* #[inline] #[must_use] pub const fn $name(&self) -> $type {
                Kind::<$type>::read(self.0.$name)
            })*
        }

        /// As the application sets them, checked or not.
        #[derive(Clone, Copy, Debug, PartialEq)]
        struct Settings {
            $($name: $type,)*
            policy: Chosen,
        }

        impl Settings {
            const DEFAULT: Self = Self {
                $($name: $default,)*
                policy: Chosen(None),
            };

            fn check(&self) -> Result<(), ConfigError> {
                $(Kind::<$type>::check(stringify!($name), self.$name, $bounds)?;)*
                Ok(())
            }

            /// Only what is checked fits.
            const fn stored(&self) -> Stored {
                Stored {
                    $($name: Kind::<$type>::store(self.$name),)*
                    policy: self.policy,
                }
            }
        }

        /// As they are kept: a duration in 8 bytes.
        #[derive(Clone, Copy, PartialEq)]
        struct Stored {
            $($name: <$type as Setting>::Stored,)*
            policy: Chosen,
        }

        impl Stored {
            const fn settings(&self) -> Settings {
                Settings {
                    $($name: Kind::<$type>::read(self.$name),)*
                    policy: self.policy,
                }
            }
        }

        /// As they are written and read.
        #[cfg(feature = "serde")]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Text {
            $($name: <$type as Setting>::Text,)*
        }

        #[cfg(feature = "serde")]
        impl From<Settings> for Text {
            fn from(settings: Settings) -> Self {
                Self {
                    $($name: Kind::<$type>::to_text(settings.$name),)*
                }
            }
        }

        #[cfg(feature = "serde")]
        impl From<Text> for Settings {
            fn from(text: Text) -> Self {
                Self {
                    $($name: Kind::<$type>::from_text(text.$name),)*
                    policy: Chosen(None),
                }
            }
        }
    };
}

/// The bounds of every duration.
const SPAN: RangeInclusive<Duration> = MILLISECOND..=LONGEST;

settings! {
    /// A ping is due when nothing was received for this long. Default: 25 s, less than
    /// half of the shortest common idle limit of proxies (55 s).
    ping_interval: Duration = Duration::from_secs(25), in SPAN;
    /// A ping is also due when nothing was sent for this long; `None` turns this off.
    /// Default: 25 s. No effect under `always_ping`.
    send_interval: Option<Duration> = Some(Duration::from_secs(25)), in SPAN;
    /// Whether to ping once per interval regardless of other traffic, for servers that
    /// count only heartbeats. A ping that is still out then is replaced, and the time
    /// to answer still counts from the first. Contradicts `listen_only`. Default: no.
    always_ping: bool = false, in ();
    /// Shortens each interval by a random share of up to this much, from 0 to
    /// 0.5; never lengthens it. Default: 0.2.
    jitter: f64 = 0.2, in 0.0..=0.5;
    /// Whether the first ping after an opening comes at a random phase of the interval,
    /// and so does the next one after a ping that came late, so that a mass reconnect
    /// or a stall does not leave a crowd pinging in step. Default: yes.
    random_phase: bool = true, in ();
    /// A ping is missed when nothing at all came in for this long after it.
    /// Default: 20 s.
    pong_timeout: Duration = Duration::from_secs(20), in SPAN;
    /// After how many missed pings in a row the peer counts as dead, from 1 to 100.
    /// Default: 1.
    max_missed: u32 = 1, in 1..=100;
    /// Lets round trips raise the pong timeout (to the smoothed round trip plus four
    /// times its variance, RFC 6298) up to this maximum, which is at least
    /// `pong_timeout`. Default: `None`, off.
    adaptive_timeout: Option<Duration> = None, in SPAN;
    /// Whether only an answer to a ping proves life, and nothing else that comes in:
    /// for a gateway that is alive in front of a backend that may not be.
    /// `pong_timeout` then has to be longer than the slowest round trip. Contradicts
    /// `listen_only`. Default: no.
    strict_pongs: bool = false, in ();
    /// A ping is also due this long after the first message that was sent since the
    /// last one, so that its answer soon says what arrived. Contradicts `listen_only`.
    /// Default: `None`, off.
    confirm_within: Option<Duration> = None, in SPAN;
    /// If the tick that would convict comes later than its deadline by more than this,
    /// it was this process that was away, and the peer gets one more chance. Default: 1
    /// s.
    late_tolerance: Duration = SECOND, in SPAN;
    /// Whether to send no pings and to judge by `idle_timeout` alone. Default: no.
    listen_only: bool = false, in ();
    /// In listen-only: after this much silence the peer counts as dead. It has to be
    /// longer than the server's own interval. Default: 45 s.
    idle_timeout: Duration = Duration::from_secs(45), in SPAN;
    /// A connection on which no message came for this long is ended, whatever else
    /// comes in: for feeds whose pongs continue after their data has dried up. Default:
    /// `None`, off.
    message_timeout: Option<Duration> = None, in SPAN;
    /// A connection on which the application did not report
    /// [`Healthy`](crate::Event::Healthy) for this long after it opened is ended, and
    /// no ping is sent before: for servers that want a login first. Default: `None`,
    /// off.
    healthy_within: Option<Duration> = None, in SPAN;
    /// A dial that takes longer has failed. Default: 20 s, gRPC's floor.
    connect_timeout: Duration = Duration::from_secs(20), in SPAN;
    /// A close handshake that takes longer is abandoned. Default: 5 s.
    close_timeout: Duration = Duration::from_secs(5), in SPAN;
    /// Whether to reconnect at all; a server's accepted socket does not.
    /// Default: yes.
    reconnect: bool = true, in ();
    /// The first retry comes after U\[0, this\]. Default: 5 s, RFC 6455 section
    /// 7.2.3.
    first_spread: Duration = Duration::from_secs(5), in SPAN;
    /// No later retry comes sooner than this; at most `backoff_base`. Default:
    /// 1 s.
    backoff_floor: Duration = SECOND, in SPAN;
    /// The second retry comes no later than this; at most `backoff_cap`.
    /// Default: 2 s.
    backoff_base: Duration = Duration::from_secs(2), in SPAN;
    /// No later retry comes later than this, except for a server's hint, or where the
    /// policy says [`Retry::Between`](crate::Retry::Between). Default: 60 s.
    backoff_cap: Duration = Duration::from_secs(60), in SPAN;
    /// The factor by which the latest time of a retry grows with each one after the
    /// second, from 1 to 100. Default: 2.
    backoff_factor: f64 = 2.0, in 1.0..=100.0;
    /// The attempt count resets after a connection that had been open for this long and
    /// had proved itself: something was received on it (under `message_timeout` a
    /// message, otherwise under `strict_pongs` an answer to a ping), or the application
    /// reported [`Healthy`](crate::Event::Healthy), which is required under
    /// `healthy_within`. Default: 10 s.
    stable_after: Duration = Duration::from_secs(10), in SPAN;
    /// Give up after this many retries in a row, at least 1. Default: `None`,
    /// never.
    max_attempts: Option<u32> = None, in 1..=u32::MAX;
    /// Give up at the first failure that comes at least this long after the first one
    /// since the last stable connection. Default: `None`, never.
    max_elapsed: Option<Duration> = None, in SPAN;
}

impl ConfigBuilder {
    /// Sets what a loss means for reconnecting. Default: [`default_policy`], which
    /// never gives up; [`stop_when_refused`](crate::stop_when_refused) does.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.0.policy = Chosen(Some(policy));
        self
    }
}

impl Config {
    /// What a loss means for reconnecting.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        match self.0.policy.0 {
            Some(policy) => policy,
            None => default_policy,
        }
    }

    /// Whether silence asks for pings; under `always_ping` they come anyway.
    pub(crate) const fn watches_silence(&self) -> bool {
        !self.listen_only() && !self.always_ping()
    }

    /// The longest silence outward, where it asks for pings.
    pub(crate) const fn outbound_interval(&self) -> Option<Duration> {
        if self.watches_silence() {
            self.send_interval()
        } else {
            None
        }
    }
}

impl Settings {
    fn check_pairs(&self) -> Result<(), ConfigError> {
        for (field, is_on) in [
            ("always_ping", self.always_ping),
            ("strict_pongs", self.strict_pongs),
            ("confirm_within", self.confirm_within.is_some()),
        ] {
            if is_on && self.listen_only {
                let other = "listen_only";
                return Err(ConfigError::Conflict { field, other });
            }
        }
        let (floor, base) = (self.backoff_floor, self.backoff_base);
        check_order("backoff_base", base, "backoff_floor", floor)?;
        check_order("backoff_cap", self.backoff_cap, "backoff_base", base)?;
        let greatest = self.adaptive_timeout.unwrap_or(self.pong_timeout);
        check_order(
            "adaptive_timeout",
            greatest,
            "pong_timeout",
            self.pong_timeout,
        )
    }
}

fn check_order(
    field: &'static str,
    value: Duration,
    other: &'static str,
    least: Duration,
) -> Result<(), ConfigError> {
    if value >= least {
        return Ok(());
    }
    Err(ConfigError::Order {
        field,
        value,
        other,
        least,
    })
}

#[cfg(feature = "serde")]
impl TryFrom<Text> for Config {
    type Error = ConfigError;

    fn try_from(text: Text) -> Result<Self, ConfigError> {
        ConfigBuilder(text.into()).build()
    }
}

#[cfg(feature = "serde")]
impl From<Config> for Text {
    fn from(config: Config) -> Self {
        config.0.settings().into()
    }
}

#[cfg(feature = "serde")]
impl Default for Text {
    fn default() -> Self {
        Settings::DEFAULT.into()
    }
}

/// The application's policy, if it has one: the address of the default one may
/// differ from place to place, so that it could not be compared.
#[derive(Clone, Copy)]
struct Chosen(Option<Policy>);

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Some(one), Some(other)) => core::ptr::fn_addr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Some(_) => "custom",
            None => "default",
        })
    }
}

/// A type that settings have: how it is kept, and how it is written.
trait Setting {
    type Stored: Copy + PartialEq;
    #[cfg(feature = "serde")]
    type Text;
}

/// What there is to do with a type of settings, in functions that are `const`, as
/// those of a trait cannot be.
struct Kind<T>(core::marker::PhantomData<T>);

impl Setting for Duration {
    type Stored = u64;
    #[cfg(feature = "serde")]
    type Text = Human;
}

impl Kind<Duration> {
    fn check(
        field: &'static str,
        value: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Result<(), ConfigError> {
        if bounds.contains(&value) {
            return Ok(());
        }
        let (least, greatest) = bounds.into_inner();
        Err(ConfigError::Duration {
            field,
            value,
            least,
            greatest,
        })
    }

    const fn store(value: Duration) -> u64 {
        nanos(value)
    }

    const fn read(stored: u64) -> Duration {
        Duration::from_nanos(stored)
    }

    #[cfg(feature = "serde")]
    fn to_text(value: Duration) -> Human {
        Human(value)
    }

    #[cfg(feature = "serde")]
    fn from_text(text: Human) -> Duration {
        text.0
    }
}

impl Setting for Option<Duration> {
    type Stored = Option<NonZeroU64>;
    #[cfg(feature = "serde")]
    type Text = Option<Human>;
}

impl Kind<Option<Duration>> {
    fn check(
        field: &'static str,
        value: Option<Duration>,
        bounds: RangeInclusive<Duration>,
    ) -> Result<(), ConfigError> {
        value.map_or(Ok(()), |value| {
            Kind::<Duration>::check(field, value, bounds)
        })
    }

    const fn store(value: Option<Duration>) -> Option<NonZeroU64> {
        match value {
            Some(value) => NonZeroU64::new(nanos(value)),
            None => None,
        }
    }

    const fn read(stored: Option<NonZeroU64>) -> Option<Duration> {
        match stored {
            Some(stored) => Some(Duration::from_nanos(stored.get())),
            None => None,
        }
    }

    #[cfg(feature = "serde")]
    fn to_text(value: Option<Duration>) -> Option<Human> {
        value.map(Human)
    }

    #[cfg(feature = "serde")]
    fn from_text(text: Option<Human>) -> Option<Duration> {
        text.map(|text| text.0)
    }
}

impl Setting for Option<u32> {
    type Stored = Option<NonZeroU32>;
    #[cfg(feature = "serde")]
    type Text = Self;
}

impl Kind<Option<u32>> {
    fn check(
        field: &'static str,
        value: Option<u32>,
        bounds: RangeInclusive<u32>,
    ) -> Result<(), ConfigError> {
        value.map_or(Ok(()), |value| Kind::<u32>::check(field, value, bounds))
    }

    const fn store(value: Option<u32>) -> Option<NonZeroU32> {
        match value {
            Some(value) => NonZeroU32::new(value),
            None => None,
        }
    }

    const fn read(stored: Option<NonZeroU32>) -> Option<u32> {
        match stored {
            Some(stored) => Some(stored.get()),
            None => None,
        }
    }
}

impl Kind<u32> {
    fn check(
        field: &'static str,
        value: u32,
        bounds: RangeInclusive<u32>,
    ) -> Result<(), ConfigError> {
        if bounds.contains(&value) {
            return Ok(());
        }
        let (least, greatest) = bounds.into_inner();
        Err(ConfigError::Count {
            field,
            value,
            least,
            greatest,
        })
    }
}

impl Kind<f64> {
    fn check(
        field: &'static str,
        value: f64,
        bounds: RangeInclusive<f64>,
    ) -> Result<(), ConfigError> {
        if bounds.contains(&value) {
            return Ok(());
        }
        let (least, greatest) = bounds.into_inner();
        Err(ConfigError::Ratio {
            field,
            value,
            least,
            greatest,
        })
    }
}

impl Kind<bool> {
    fn check(_: &'static str, _: bool, (): ()) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// What is kept and written as it is set.
macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Setting for $type {
            type Stored = Self;
            #[cfg(feature = "serde")]
            type Text = Self;
        }

        impl Kind<$type> {
            const fn store(value: $type) -> $type {
                value
            }

            const fn read(stored: $type) -> $type {
                stored
            }
        })*

        #[cfg(feature = "serde")]
        plain!(text: $($type,)* Option<u32>);
    };
    (text: $($type:ty),*) => {
        $(impl Kind<$type> {
            fn to_text(value: $type) -> $type {
                value
            }

            fn from_text(text: $type) -> $type {
                text
            }
        })*
    };
}

plain!(bool, f64, u32);

/// A duration as people write it.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Human(
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")] Duration,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_at_most_176_bytes() {
        assert!(size_of::<Config>() <= 176, "{}", size_of::<Config>());
    }
}
