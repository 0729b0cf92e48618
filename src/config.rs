use core::fmt;
use core::time::Duration;

use crate::backoff::{ClosePolicy, default_close_policy};
use crate::error::ConfigError;
use crate::time::{MILLISECOND, SECOND};

/// The longest duration that a setting may have, and a server's hint.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings of a [`Heartbeat`](crate::Heartbeat). One that exists is valid.
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
/// With the feature `serde` it is written and read with human durations ("25s",
/// "1m 30s", also ISO 8601) under the names of the builder's methods. A setting
/// that is missing has its default, an unknown one is an error, and the bounds
/// hold there too. The close policy is code: it is not written, and what is read
/// has the default one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Settings", into = "Settings")
)]
pub struct Config(Settings);

impl Config {
    /// The defaults, to change.
    pub const fn builder() -> ConfigBuilder {
        ConfigBuilder(Settings::DEFAULT)
    }

    /// The settings of the article that the project starts from: a ping after
    /// 2 s without a message, dead after 10 s without an answer; nothing random,
    /// and outbound silence does not count.
    #[must_use]
    pub const fn article() -> Self {
        Self(Settings::ARTICLE)
    }

    /// For a server that pings while the client must not: no pings; silence for
    /// `idle_timeout` (45 s, engine.io 4's 25 + 20) convicts.
    #[must_use]
    pub const fn listener() -> Self {
        Self(Settings::LISTEN_ONLY)
    }

    /// These settings, to change.
    pub const fn to_builder(self) -> ConfigBuilder {
        ConfigBuilder(self.0)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self(Settings::DEFAULT)
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
    /// The first setting that is out of bounds, with its value and the bound.
    pub fn build(self) -> Result<Config, ConfigError> {
        self.0.check().map(|()| Config(self.0))
    }
}

impl Default for ConfigBuilder {
    fn default() -> Self {
        Config::builder()
    }
}

/// The same documentation for what sets and what reads a setting.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        impl ConfigBuilder {
            $($(#[$doc])* pub const fn $name(mut self, value: $type) -> Self {
                self.0.$name = value;
                self
            })*
        }

        impl Config {
            $($(#[$doc])* #[must_use] pub const fn $name(&self) -> $type {
                self.0.$name
            })*
        }
    };
}

settings! {
    /// A ping is due when nothing was received for this long. Default: 25 s,
    /// twice inside the shortest common idle limit of proxies (55 s).
    ping_interval: Duration,
    /// A ping is also due when nothing was sent for this long; `None` switches
    /// that off. Default: 25 s.
    send_interval: Option<Duration>,
    /// Shortens each interval by a random share of up to this much, from 0 to
    /// 0.5; never lengthens it. Default: 0.2.
    jitter: f64,
    /// Whether the first ping after open comes at a random phase of the
    /// interval, so that a mass reconnect does not ping in step. Default: yes.
    random_phase: bool,
    /// A ping is missed when nothing at all came in for this long after it.
    /// Default: 20 s.
    pong_timeout: Duration,
    /// How many pings in a row may be missed until the peer is dead, from 1 to
    /// 100. Default: 1.
    max_missed: u32,
    /// Lets round trips raise the pong timeout (to the smoothed one and four
    /// times its variance, RFC 6298) up to this maximum, which is at least
    /// `pong_timeout`. Default: `None`, off.
    adaptive_timeout: Option<Duration>,
    /// If the tick that would declare the peer dead is later than its deadline by
    /// more than this, it was this process that was away, and the peer gets one
    /// more chance, once per silence. Default: 1 s.
    late_tolerance: Duration,
    /// Whether to send no pings, and judge by `idle_timeout` alone. Default: no.
    listen_only: bool,
    /// In listen-only: silence for this long is death. Default: 45 s.
    idle_timeout: Duration,
    /// A dial that takes longer has failed. Default: 20 s, gRPC's floor.
    connect_timeout: Duration,
    /// A close handshake that takes longer is abandoned. Default: 5 s.
    close_timeout: Duration,
    /// Whether to reconnect at all; a server's accepted socket does not.
    /// Default: yes.
    reconnect: bool,
    /// The first retry comes after U\[0, this\]. Default: 5 s, RFC 6455 section
    /// 7.2.3.
    first_spread: Duration,
    /// No later retry comes sooner than this; at most `backoff_base`. Default:
    /// 1 s.
    backoff_floor: Duration,
    /// The second retry comes no later than this; at most `backoff_cap`.
    /// Default: 2 s.
    backoff_base: Duration,
    /// No retry comes later than this, a server's hint apart. Default: 60 s.
    backoff_cap: Duration,
    /// What the latest time of a retry is multiplied by at each one after the
    /// second, from 1 to 100. Default: 2.
    backoff_factor: f64,
    /// The attempts count from 1 again after a connection on which something was
    /// received and that had been open for this long. Default: 10 s.
    stable_after: Duration,
    /// Give up after this many retries in a row, at least 1. Default: `None`,
    /// never.
    max_attempts: Option<u32>,
    /// Give up at the first failure that comes this long or longer after the
    /// first one since the last stable connection. Default: `None`, never.
    max_elapsed: Option<Duration>,
}

impl ConfigBuilder {
    /// Replaces the rule which close codes end everything and how long the
    /// others keep away. Default: [`default_close_policy`].
    pub const fn close_policy(mut self, policy: ClosePolicy) -> Self {
        self.0.close_policy = Policy(Some(policy));
        self
    }
}

impl Config {
    /// The rule which close codes end everything and how long the others keep
    /// away.
    #[must_use]
    pub const fn close_policy(&self) -> ClosePolicy {
        match self.0.close_policy.0 {
            Some(policy) => policy,
            None => default_close_policy,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
struct Settings {
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    ping_interval: Duration,
    #[cfg_attr(feature = "serde", serde(with = "human_optional"))]
    send_interval: Option<Duration>,
    jitter: f64,
    random_phase: bool,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    pong_timeout: Duration,
    max_missed: u32,
    #[cfg_attr(feature = "serde", serde(with = "human_optional"))]
    adaptive_timeout: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    late_tolerance: Duration,
    listen_only: bool,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    idle_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    connect_timeout: Duration,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    close_timeout: Duration,
    reconnect: bool,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    first_spread: Duration,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    backoff_floor: Duration,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    backoff_base: Duration,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    backoff_cap: Duration,
    backoff_factor: f64,
    #[cfg_attr(feature = "serde", serde(with = "human"))]
    stable_after: Duration,
    max_attempts: Option<u32>,
    #[cfg_attr(feature = "serde", serde(with = "human_optional"))]
    max_elapsed: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(skip))]
    close_policy: Policy,
}

#[cfg(feature = "serde")]
use jiff::fmt::serde::unsigned_duration::friendly::compact::{
    optional as human_optional, required as human,
};

impl Settings {
    const DEFAULT: Self = Self {
        ping_interval: Duration::from_secs(25),
        send_interval: Some(Duration::from_secs(25)),
        jitter: 0.2,
        random_phase: true,
        pong_timeout: Duration::from_secs(20),
        max_missed: 1,
        adaptive_timeout: None,
        late_tolerance: SECOND,
        listen_only: false,
        idle_timeout: Duration::from_secs(45),
        connect_timeout: Duration::from_secs(20),
        close_timeout: Duration::from_secs(5),
        reconnect: true,
        first_spread: Duration::from_secs(5),
        backoff_floor: SECOND,
        backoff_base: Duration::from_secs(2),
        backoff_cap: Duration::from_secs(60),
        backoff_factor: 2.0,
        stable_after: Duration::from_secs(10),
        max_attempts: None,
        max_elapsed: None,
        close_policy: Policy(None),
    };

    const ARTICLE: Self = Self {
        ping_interval: Duration::from_secs(2),
        send_interval: None,
        jitter: 0.0,
        random_phase: false,
        pong_timeout: Duration::from_secs(10),
        ..Self::DEFAULT
    };

    const LISTEN_ONLY: Self = Self {
        listen_only: true,
        ..Self::DEFAULT
    };

    fn check(&self) -> Result<(), ConfigError> {
        for (field, value) in self.durations() {
            if let Some(value) = value {
                check_duration(field, value)?;
            }
        }
        check_ratio("jitter", self.jitter, 0.0, 0.5)?;
        check_ratio("backoff_factor", self.backoff_factor, 1.0, 100.0)?;
        check_count("max_missed", self.max_missed, 1, 100)?;
        if let Some(attempts) = self.max_attempts {
            check_count("max_attempts", attempts, 1, u32::MAX)?;
        }
        let (floor, base) = (self.backoff_floor, self.backoff_base);
        check_order("backoff_base", base, "backoff_floor", floor)?;
        check_order("backoff_cap", self.backoff_cap, "backoff_base", base)?;
        if let Some(greatest) = self.adaptive_timeout {
            check_order(
                "adaptive_timeout",
                greatest,
                "pong_timeout",
                self.pong_timeout,
            )?;
        }
        Ok(())
    }

    const fn durations(&self) -> [(&'static str, Option<Duration>); 14] {
        [
            ("ping_interval", Some(self.ping_interval)),
            ("send_interval", self.send_interval),
            ("pong_timeout", Some(self.pong_timeout)),
            ("adaptive_timeout", self.adaptive_timeout),
            ("late_tolerance", Some(self.late_tolerance)),
            ("idle_timeout", Some(self.idle_timeout)),
            ("connect_timeout", Some(self.connect_timeout)),
            ("close_timeout", Some(self.close_timeout)),
            ("first_spread", Some(self.first_spread)),
            ("backoff_floor", Some(self.backoff_floor)),
            ("backoff_base", Some(self.backoff_base)),
            ("backoff_cap", Some(self.backoff_cap)),
            ("stable_after", Some(self.stable_after)),
            ("max_elapsed", self.max_elapsed),
        ]
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<Settings> for Config {
    type Error = ConfigError;

    fn try_from(settings: Settings) -> Result<Self, ConfigError> {
        ConfigBuilder(settings).build()
    }
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        config.0
    }
}

/// The application's policy, if it has one: the address of the default one may
/// differ from place to place, so that it could not be compared.
#[derive(Clone, Copy, Default)]
struct Policy(Option<ClosePolicy>);

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (Some(one), Some(other)) => core::ptr::fn_addr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Some(_) => "custom",
            None => "default",
        })
    }
}

fn check_duration(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    if (MILLISECOND..=LONGEST).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Duration {
        field,
        value,
        least: MILLISECOND,
        greatest: LONGEST,
    })
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

fn check_ratio(
    field: &'static str,
    value: f64,
    least: f64,
    greatest: f64,
) -> Result<(), ConfigError> {
    if (least..=greatest).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Ratio {
        field,
        value,
        least,
        greatest,
    })
}

fn check_count(
    field: &'static str,
    value: u32,
    least: u32,
    greatest: u32,
) -> Result<(), ConfigError> {
    if (least..=greatest).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Count {
        field,
        value,
        least,
        greatest,
    })
}
