//! What a loss means for reconnecting.

use core::time::Duration;

use crate::event::{CloseCode, Retry};

/// What was lost, for a [`Policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The transport ended, with a close code or without one; or the application gave
    /// it up as if it had.
    Closed(Option<CloseCode>),
    /// The dial was refused with this HTTP status.
    Refused(u16),
    /// The transport or the dial failed, or the heartbeat timed it out.
    Failed,
}

/// Decides from the loss whether and how to reconnect. See
/// [`ConfigBuilder::policy`](crate::ConfigBuilder::policy).
pub type Policy = fn(Loss) -> Retry;

/// The default policy. It never gives up.
///
/// 1012 is retried after U\[5 s, 30 s\] (as its registration with IANA asks). 1013, the
/// codes by which the peer says that we are at fault (1002, 1003, 1007-1010, 1015), and
/// every refused dial except 408, 425, 429 and 5xx are spread out. Everything else
/// backs off, including 1000 and 3000-4999: a server that recycles its sockets with
/// 1000, or a deployment that answers 404 for a minute, must not silence its clients
/// for good.
///
/// ```
/// use keepalive::{CloseCode, Config, Loss, Retry, default_policy};
///
/// assert_eq!(default_policy(Loss::Closed(Some(CloseCode::NORMAL))), Retry::Backoff);
/// assert_eq!(default_policy(Loss::Refused(404)), Retry::Spread);
///
/// let config = Config::builder()
///     .policy(|loss| match loss {
///         Loss::Closed(Some(CloseCode(4001))) => Retry::Stop, // the application's "logged out"
///         other => default_policy(other),
///     })
///     .build()?;
/// # Ok::<(), keepalive::ConfigError>(())
/// ```
#[must_use]
pub fn default_policy(loss: Loss) -> Retry {
    match loss {
        Loss::Closed(Some(CloseCode::SERVICE_RESTART)) => Retry::Between {
            least: Duration::from_secs(5),
            greatest: Duration::from_secs(30),
        },
        Loss::Closed(Some(CloseCode::TRY_AGAIN_LATER)) => Retry::Spread,
        loss if is_our_fault(loss) => Retry::Spread,
        _ => Retry::Backoff,
    }
}

/// A policy for clients that should not insist: it stops at 1000, at the codes by which
/// the peer says that we are at fault (1002, 1003, 1007-1010, 1015), and at every
/// refused dial except 408, 425, 429 and 5xx. Otherwise it is [`default_policy`].
///
/// ```
/// use keepalive::{CloseCode, Loss, Retry, stop_when_refused};
///
/// assert_eq!(stop_when_refused(Loss::Refused(401)), Retry::Stop);
/// assert_eq!(stop_when_refused(Loss::Refused(503)), Retry::Backoff);
/// assert_eq!(stop_when_refused(Loss::Closed(Some(CloseCode::NORMAL))), Retry::Stop);
/// ```
#[must_use]
pub fn stop_when_refused(loss: Loss) -> Retry {
    match loss {
        Loss::Closed(Some(CloseCode::NORMAL)) => Retry::Stop,
        loss if is_our_fault(loss) => Retry::Stop,
        other => default_policy(other),
    }
}

/// Whether the peer says that trying the same again would be just as wrong. The
/// statuses that ask for patience do not: 408, 425, 429 and 5xx.
fn is_our_fault(loss: Loss) -> bool {
    match loss {
        Loss::Closed(Some(CloseCode(code))) => {
            matches!(code, 1002 | 1003 | 1007..=1010 | 1015)
        }
        Loss::Refused(status) => !matches!(status, 408 | 425 | 429 | 500..=599),
        Loss::Closed(None) | Loss::Failed => false,
    }
}
