use core::fmt;
use core::time::Duration;

#[cfg(feature = "blocking")]
use crate::action::{Action, Actions};
use crate::action::{CloseReason, StopReason};
#[cfg(feature = "blocking")]
use crate::event::Event;
use crate::event::{CloseCode, Closed, PingId, Refused};

/// What an adapter reports to the application, with the messages of type `M`, the
/// errors of type `E` and the instants of type `I` that it has to do with.
#[derive(Debug)]
#[non_exhaustive]
// Keeps the payload 8-byte aligned; otherwise each move copies it unaligned.
#[repr(u64)]
pub enum Notice<M, E, I> {
    /// A dial begins: the first one, or this retry.
    Connecting {
        /// Retries since the last stable connection; 0 for the first dial.
        attempt: u32,
    },
    /// The connection is up.
    Opened,
    /// A message of the application's came in.
    Message(M),
    /// A ping went to the write buffer.
    Ping(PingId),
    /// The pong that was awaited came.
    Pong {
        /// Which ping it answers.
        id: PingId,
        /// How long the answer took.
        round_trip: Duration,
    },
    /// The connection or the dial is lost.
    Down {
        /// Why.
        cause: Cause<E>,
        /// When the next dial is; `None` where there is none, and
        /// [`Stopped`](Self::Stopped) comes next.
        retry: Option<Planned<I>>,
    },
    /// A dial that was asked for is planned: the network changed, or the application
    /// wants a new connection less than 1 s after the last dial began.
    Rescheduled(Planned<I>),
    /// It is over, and why. Nothing comes after it.
    Stopped(StopReason),
}

#[cfg(feature = "blocking")]
impl<M, E, I> Notice<M, E, I> {
    /// What the application hears of one step: its actions, and how the connection
    /// or the dial ended where that was the event. Every adapter reports the same in
    /// the same order.
    pub(crate) fn of_step(
        actions: &Actions<I>,
        ended: Option<Cause<E>>,
        attempt: u32,
    ) -> impl Iterator<Item = Self> + use<M, E, I>
    where
        I: Copy,
    {
        let cause = match actions.close {
            // Not a loss.
            Some(CloseReason::Reconnect) => None,
            Some(CloseReason::GivenUp) => Some(Cause::GivenUp),
            Some(reason) => Some(Cause::TimedOut(reason)),
            None => ended,
        };
        let [first, second] = match (actions.next, cause) {
            (Some(Action::Connect), _) => [Some(Self::Connecting { attempt }), None],
            (Some(Action::SendPing(id)), _) => [Some(Self::Ping(id)), None],
            (Some(Action::ScheduleReconnect { at, attempt }), cause) => {
                let planned = Planned { at, attempt };
                let retry = Some(planned);
                let moved = Self::Rescheduled(planned);
                [
                    Some(cause.map_or(moved, |cause| Self::Down { cause, retry })),
                    None,
                ]
            }
            (Some(Action::Stopped(StopReason::Requested)), _) => {
                [Some(Self::Stopped(StopReason::Requested)), None]
            }
            (Some(Action::Stopped(reason)), cause) => [
                cause.map(|cause| Self::Down { cause, retry: None }),
                Some(Self::Stopped(reason)),
            ],
            (Some(Action::Close(_) | Action::ArmDeadline(_)) | None, _) => [None, None],
        };
        first.into_iter().chain(second)
    }
}

/// Why a connection or a dial was lost.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause<E> {
    /// The peer closed, with this code.
    Closed(Option<CloseCode>),
    /// The dial was refused with this HTTP status.
    Refused(u16),
    /// The transport or the dial failed.
    Failed(E),
    /// The heartbeat timed it out.
    TimedOut(CloseReason),
    /// The application gave it up.
    GivenUp,
    /// A new connection was ordered, but the socket had been accepted: there is
    /// nobody to dial.
    NotDialled,
}

impl<E: core::error::Error + 'static> core::error::Error for Cause<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(Some(code)) => write!(formatter, "closed with code {code}"),
            Self::Closed(None) => formatter.write_str("closed without a code"),
            Self::Refused(status) => write!(formatter, "refused with status {status}"),
            Self::Failed(error) => error.fmt(formatter),
            Self::TimedOut(reason) => reason.fmt(formatter),
            Self::GivenUp => formatter.write_str("given up"),
            Self::NotDialled => formatter.write_str("an accepted socket cannot be dialled"),
        }
    }
}

/// A dial that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned<I> {
    /// When it is due.
    pub at: I,
    /// Which retry it is since the last stable connection, from 1; 0 where it was
    /// asked for before any connection or dial was lost.
    pub attempt: u32,
}

/// How a connection or a dial ended, as its error says; see
/// `Session::with_endings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In an orderly way.
    Closed(Closed),
    /// The dial was answered, by a refusal.
    Refused(Refused),
    /// It failed.
    Failed,
}

#[cfg(feature = "blocking")]
impl Ending {
    /// The same for a connection that was open: it can only have failed.
    pub(crate) const fn of_connection(self) -> Self {
        match self {
            Self::Refused(_) => Self::Failed,
            other => other,
        }
    }

    /// What to report to the heartbeat.
    pub(crate) const fn event(self) -> Event {
        match self {
            Self::Closed(closed) => Event::Closed(closed),
            Self::Refused(refused) => Event::Refused(refused),
            Self::Failed => Event::Error(None),
        }
    }

    /// What to report of a dial: nothing was there that could close, so its error says
    /// most.
    pub(crate) fn cause_of_dial<E>(self, error: E) -> Cause<E> {
        match self {
            Self::Refused(refused) => Cause::Refused(refused.status),
            Self::Closed(_) | Self::Failed => Cause::Failed(error),
        }
    }

    /// What to report of a connection.
    pub(crate) fn cause<E>(self, error: E) -> Cause<E> {
        match self {
            Self::Closed(closed) => Cause::Closed(closed.code),
            Self::Refused(refused) => Cause::Refused(refused.status),
            Self::Failed => Cause::Failed(error),
        }
    }
}
