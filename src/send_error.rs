use core::fmt;

/// Why a message was not taken, with the message.
///
/// `Debug` and `Display` do not show the message, which can be long, or secret.
///
/// ```
/// use keepalive::{SendError, Unsendable};
///
/// let why = Unsendable::TooLong { size: 70_000, limit: 65_536 };
/// let error = SendError::Unsendable { message: "a long one", why };
/// assert_eq!(error.to_string(), "the message has 70000 bytes, and the transport takes 65536");
/// assert_eq!(error.map(str::len).into_message(), 10);
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError<W> {
    /// The queue has no room for it.
    #[error("no room for a message of {size} bytes: {used} of {limit} are taken")]
    Full {
        /// The message.
        message: W,
        /// Its bytes.
        size: usize,
        /// How much of the limit was taken, counted as the `Backlog` of a handle says;
        /// others may be waiting for the rest.
        used: usize,
        /// How much the queue may hold.
        limit: usize,
    },
    /// It can never be sent.
    #[error("{why}")]
    Unsendable {
        /// The message.
        message: W,
        /// What is wrong with it.
        why: Unsendable,
    },
    /// There is no connection, so none to send it on.
    #[error("there is no connection")]
    Down(W),
    /// The connection that it was meant for is no longer the one that is up.
    #[error("it is for an earlier connection")]
    Stale(W),
    /// The session was stopped, or is over.
    #[error("the session was stopped")]
    Stopped(W),
    /// The session was dropped.
    #[error("the session was dropped")]
    Gone(W),
    /// There is no room, and waiting for it would block the thread that makes room.
    #[error("no room, and waiting for it would block the session's own thread")]
    WouldBlock(W),
    /// There was no room in time.
    #[error("no room in time")]
    TimedOut(W),
}

impl<W> SendError<W> {
    /// The message that was not taken.
    #[must_use]
    pub fn into_message(self) -> W {
        match self {
            Self::Full { message, .. } | Self::Unsendable { message, .. } => message,
            Self::Down(message)
            | Self::Stale(message)
            | Self::Stopped(message)
            | Self::Gone(message)
            | Self::WouldBlock(message)
            | Self::TimedOut(message) => message,
        }
    }

    /// The same error, with what this function makes of the message: what the
    /// application had before it was encoded, for example, or nothing.
    pub fn map<T>(self, function: impl FnOnce(W) -> T) -> SendError<T> {
        match self {
            Self::Full {
                message,
                size,
                used,
                limit,
            } => SendError::Full {
                message: function(message),
                size,
                used,
                limit,
            },
            Self::Unsendable { message, why } => SendError::Unsendable {
                message: function(message),
                why,
            },
            Self::Down(message) => SendError::Down(function(message)),
            Self::Stale(message) => SendError::Stale(function(message)),
            Self::Stopped(message) => SendError::Stopped(function(message)),
            Self::Gone(message) => SendError::Gone(function(message)),
            Self::WouldBlock(message) => SendError::WouldBlock(function(message)),
            Self::TimedOut(message) => SendError::TimedOut(function(message)),
        }
    }
}

impl<W> fmt::Debug for SendError<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Full {
                size, used, limit, ..
            } => {
                return formatter
                    .debug_struct("Full")
                    .field("size", size)
                    .field("used", used)
                    .field("limit", limit)
                    .finish_non_exhaustive();
            }
            Self::Unsendable { why, .. } => {
                return formatter
                    .debug_struct("Unsendable")
                    .field("why", why)
                    .finish_non_exhaustive();
            }
            Self::Down(_) => "Down",
            Self::Stale(_) => "Stale",
            Self::Stopped(_) => "Stopped",
            Self::Gone(_) => "Gone",
            Self::WouldBlock(_) => "WouldBlock",
            Self::TimedOut(_) => "TimedOut",
        };
        write!(formatter, "{name}(..)")
    }
}

/// Why a message can never be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsendable {
    /// It is a ping, a pong or a close frame: the driver sends those.
    #[error("pings, pongs and close frames are not the application's to send")]
    Control,
    /// It is longer than the transport takes.
    #[error("the message has {size} bytes, and the transport takes {limit}")]
    TooLong {
        /// Bytes of the message.
        size: usize,
        /// Bytes that the transport takes.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not even `Debug`.
    #[derive(Clone, PartialEq)]
    struct Secret(u8);

    fn every() -> Vec<SendError<Secret>> {
        let message = Secret(7);
        vec![
            SendError::Full {
                message: message.clone(),
                size: 5,
                used: 90,
                limit: 94,
            },
            SendError::Unsendable {
                message: message.clone(),
                why: Unsendable::Control,
            },
            SendError::Down(message.clone()),
            SendError::Stale(message.clone()),
            SendError::Stopped(message.clone()),
            SendError::Gone(message.clone()),
            SendError::WouldBlock(message.clone()),
            SendError::TimedOut(message),
        ]
    }

    #[test]
    fn each_gives_the_message_back_and_keeps_its_kind_when_mapped() {
        for (error, same) in every().into_iter().zip(every()) {
            let before = (error.to_string(), format!("{error:?}"));
            let mapped = error.map(|secret| secret.0 + 1);
            assert_eq!((mapped.to_string(), format!("{mapped:?}")), before);
            assert_eq!(mapped.into_message(), 8);
            assert!(same.into_message() == Secret(7));
        }
    }

    #[test]
    fn they_name_sizes_and_limits_and_are_told_apart() {
        let mut texts: Vec<_> = every().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts[0],
            "no room for a message of 5 bytes: 90 of 94 are taken"
        );
        assert_eq!(
            format!("{:?}", every()[0]),
            "Full { size: 5, used: 90, limit: 94, .. }"
        );
        assert_eq!(
            format!("{:?}", every()[1]),
            "Unsendable { why: Control, .. }"
        );
        assert_eq!(format!("{:?}", every()[2]), "Down(..)");
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), every().len());
        let too_long = Unsendable::TooLong { size: 9, limit: 8 };
        assert_eq!(
            too_long.to_string(),
            "the message has 9 bytes, and the transport takes 8"
        );
    }

    #[test]
    fn it_is_an_error_whatever_the_message() {
        fn is_error(_: &dyn core::error::Error) {}
        is_error(&SendError::Gone(Secret(7)));
    }
}
