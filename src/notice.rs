use core::fmt;
use core::time::Duration;

#[cfg(any(feature = "blocking", feature = "async"))]
use crate::action::{Action, Actions};
use crate::action::{CloseReason, StopReason};
use crate::event::{CloseCode, PingId};

/// What an adapter tells the application, with the messages of type `M`, the
/// errors of type `E` and the instants of type `I` that it has to do with.
#[derive(Debug)]
#[non_exhaustive]
// A narrower tag makes every copy of what it tags a misaligned one.
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
    /// The next dial was moved: the network changed.
    Rescheduled(Planned<I>),
    /// It is over, and why. Nothing comes after it.
    Stopped(StopReason),
}

#[cfg(any(feature = "blocking", feature = "async"))]
impl<M, E, I> Notice<M, E, I> {
    /// What the application is told of one step: its actions, and how the
    /// connection or the dial ended where that was the event. Every adapter tells
    /// the same in the same order.
    pub(crate) fn of_step(
        actions: &Actions<I>,
        ended: Option<Cause<E>>,
        attempt: u32,
    ) -> impl Iterator<Item = Self> + use<M, E, I>
    where
        I: Copy,
    {
        let cause = actions.close.map(Cause::TimedOut).or(ended);
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
    /// The transport or the dial failed.
    Failed(E),
    /// The heartbeat gave it up.
    TimedOut(CloseReason),
    /// A new connection was ordered, but the socket had been accepted: there is
    /// nobody to dial.
    NotDialled,
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(Some(code)) => write!(formatter, "closed with code {code}"),
            Self::Closed(None) => formatter.write_str("closed without a code"),
            Self::Failed(error) => error.fmt(formatter),
            Self::TimedOut(reason) => reason.fmt(formatter),
            Self::NotDialled => formatter.write_str("an accepted socket cannot be dialled"),
        }
    }
}

/// A dial that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned<I> {
    /// When it is due.
    pub at: I,
    /// Which retry it is since the last stable connection, from 1.
    pub attempt: u32,
}
