use core::time::Duration;

/// A setting that is out of bounds: which one, its value, and the bound; or two that
/// contradict each other.
///
/// ```
/// use core::time::Duration;
/// use keepalive::Config;
///
/// let error = Config::builder().pong_timeout(Duration::ZERO).build().unwrap_err();
/// assert_eq!(error.to_string(), "pong_timeout is 0ns, but must be from 1ms to 86400s");
/// assert_eq!(error.field(), "pong_timeout");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A duration outside its bounds.
    #[error("{field} is {value:?}, but must be from {least:?} to {greatest:?}")]
    Duration {
        /// The name of the setting.
        field: &'static str,
        /// What it was set to.
        value: Duration,
        /// The least value that it may have.
        least: Duration,
        /// The greatest value that it may have.
        greatest: Duration,
    },
    /// A duration that is shorter than another setting, which it has to reach.
    #[error("{field} is {value:?}, but must be at least {other}, which is {least:?}")]
    Order {
        /// The name of the setting.
        field: &'static str,
        /// What it was set to.
        value: Duration,
        /// The name of the setting that it has to reach.
        other: &'static str,
        /// The value of that setting.
        least: Duration,
    },
    /// A ratio outside its bounds, or not a number.
    #[error("{field} is {value}, but must be from {least} to {greatest}")]
    Ratio {
        /// The name of the setting.
        field: &'static str,
        /// What it was set to.
        value: f64,
        /// The least value that it may have.
        least: f64,
        /// The greatest value that it may have.
        greatest: f64,
    },
    /// A count outside its bounds.
    #[error("{field} is {value}, but must be from {least} to {greatest}")]
    Count {
        /// The name of the setting.
        field: &'static str,
        /// What it was set to.
        value: u32,
        /// The least value that it may have.
        least: u32,
        /// The greatest value that it may have.
        greatest: u32,
    },
    /// Two settings that contradict each other.
    #[error("{field} contradicts {other}")]
    Conflict {
        /// The name of the setting.
        field: &'static str,
        /// The name of the setting that it contradicts.
        other: &'static str,
    },
}

impl ConfigError {
    /// The name of the setting that is wrong: that of its method of
    /// [`ConfigBuilder`](crate::ConfigBuilder).
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Duration { field, .. }
            | Self::Order { field, .. }
            | Self::Ratio { field, .. }
            | Self::Count { field, .. }
            | Self::Conflict { field, .. } => field,
        }
    }
}
