use core::fmt;
use core::iter::FusedIterator;

use crate::event::{CloseCode, PingId};

/// What to do: the output of [`Heartbeat::handle`](crate::Heartbeat::handle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<I> {
    /// Dial now, and report [`Opened`](crate::Event::Opened), or
    /// [`Error`](crate::Event::Error), [`Closed`](crate::Event::Closed) or
    /// [`Refused`](crate::Event::Refused).
    Connect,
    /// Send a ping that carries this id (8 bytes; an application-level ping may
    /// leave it out). It counts as sent: no [`Sent`](crate::Event::Sent) for it.
    SendPing(PingId),
    /// End the transport or the dial under way, in the [manner](CloseReason::manner)
    /// that belongs to the reason.
    Close(CloseReason),
    /// The next dial is planned. This is for display and logs: the
    /// [`Tick`](crate::Event::Tick) at `at` returns [`Connect`](Self::Connect).
    ScheduleReconnect {
        /// When the dial is due.
        at: I,
        /// Which retry this is since the last stable connection, from 1; 0 if the
        /// application or the network asked for a dial before any was lost.
        attempt: u32,
    },
    /// Call back with a [`Tick`](crate::Event::Tick) at this instant or soon
    /// after. It replaces the earlier one.
    ArmDeadline(I),
    /// The heartbeat has stopped, and why. Nothing more comes unless the application
    /// starts again.
    Stopped(StopReason),
}

impl<I> Action<I> {
    #[inline(always)]
    fn filter_map_instant<J>(self, instant: impl Fn(I) -> Option<J>) -> Option<Action<J>> {
        Some(match self {
            Self::Connect => Action::Connect,
            Self::SendPing(id) => Action::SendPing(id),
            Self::Close(reason) => Action::Close(reason),
            Self::ScheduleReconnect { at, attempt } => {
                let at = instant(at)?;
                Action::ScheduleReconnect { at, attempt }
            }
            Self::ArmDeadline(at) => Action::ArmDeadline(instant(at)?),
            Self::Stopped(reason) => Action::Stopped(reason),
        })
    }
}

/// Why a transport has to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// As many pings as `max_missed` went unanswered: the peer is dead.
    PongTimeout,
    /// Nothing came for `idle_timeout` (listen-only): the peer is dead.
    IdleTimeout,
    /// No message came for `message_timeout`: the peer is alive, its data is not.
    MessageTimeout,
    /// The application did not report [`Healthy`](crate::Event::Healthy) within
    /// `healthy_within`.
    LoginTimeout,
    /// The dial took longer than `connect_timeout`.
    ConnectTimeout,
    /// The close handshake took longer than `close_timeout`.
    CloseTimeout,
    /// The application stopped.
    Stop,
    /// The application stopped while dialling, or stopped a second time.
    Abort,
    /// The application wants a new connection, or the network changed during a
    /// dial.
    Reconnect,
    /// The application gave up the connection.
    GivenUp,
    /// Its fleet is drained.
    Drained,
    /// It is as old as a connection of its fleet may become.
    MaxAge,
}

/// How to end a transport. See [`CloseReason::manner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// Say goodbye with a close frame, and wait for the answer.
    Handshake,
    /// The peer is alive: hand over a close frame if the transport takes it at once,
    /// and drop the transport.
    Farewell,
    /// Drop the transport: nobody would answer.
    Abandon,
}

impl CloseReason {
    /// How to end the transport or the dial.
    #[must_use]
    pub const fn manner(self) -> Manner {
        match self {
            Self::Stop | Self::Drained | Self::MaxAge => Manner::Handshake,
            Self::GivenUp | Self::Reconnect | Self::MessageTimeout | Self::LoginTimeout => {
                Manner::Farewell
            }
            Self::PongTimeout
            | Self::IdleTimeout
            | Self::ConnectTimeout
            | Self::CloseTimeout
            | Self::Abort => Manner::Abandon,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PongTimeout => "no pong in time",
            Self::IdleTimeout => "nothing received in time",
            Self::MessageTimeout => "no message in time",
            Self::LoginTimeout => "not ready in time",
            Self::ConnectTimeout => "connecting took too long",
            Self::CloseTimeout => "the close handshake took too long",
            Self::Stop => "stopped",
            Self::Abort => "aborted",
            Self::Reconnect => "reconnecting",
            Self::GivenUp => "given up",
            Self::Drained => "drained",
            Self::MaxAge => "as old as it may become",
        })
    }
}

/// Why a heartbeat stopped.
///
/// If reconnecting is off or the policy says stop, every way in which a connection or a
/// dial can end is a reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The application stopped.
    Requested,
    /// The transport ended with this code, or was given up with it, and reconnecting is
    /// off or the policy says not to reconnect.
    Closed(Option<CloseCode>),
    /// The dial was refused with this HTTP status.
    Refused(u16),
    /// `max_attempts` retries failed one after the other.
    AttemptLimit,
    /// There was no stable connection for `max_elapsed`.
    TimeLimit,
    /// The transport failed.
    Error,
    /// As many pings as `max_missed` went unanswered.
    PongTimeout,
    /// Nothing came for `idle_timeout` (listen-only).
    IdleTimeout,
    /// No message came for `message_timeout`.
    MessageTimeout,
    /// The application did not report [`Healthy`](crate::Event::Healthy) within
    /// `healthy_within`.
    LoginTimeout,
    /// The dial took longer than `connect_timeout`.
    ConnectTimeout,
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => formatter.write_str("stopped"),
            Self::Closed(Some(code)) => write!(formatter, "closed with code {code}"),
            Self::Closed(None) => formatter.write_str("closed without a code"),
            Self::Refused(status) => write!(formatter, "refused with status {status}"),
            Self::AttemptLimit => formatter.write_str("too many attempts"),
            Self::TimeLimit => formatter.write_str("no stable connection for too long"),
            Self::Error => formatter.write_str("the transport failed"),
            Self::PongTimeout => formatter.write_str("no pong in time"),
            Self::IdleTimeout => formatter.write_str("nothing received in time"),
            Self::MessageTimeout => formatter.write_str("no message in time"),
            Self::LoginTimeout => formatter.write_str("not ready in time"),
            Self::ConnectTimeout => formatter.write_str("connecting took too long"),
        }
    }
}

/// The actions of one step, in the order in which to carry them out: at most three,
/// [`ArmDeadline`](Action::ArmDeadline) last.
///
/// It borrows nothing, so events may be handled while it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a heartbeat whose actions are not done does not beat"]
pub struct Actions<I> {
    pub(crate) close: Option<CloseReason>,
    pub(crate) next: Option<Action<I>>,
    pub(crate) deadline: Option<I>,
}

impl<I> Actions<I> {
    #[inline]
    pub(crate) const fn none() -> Self {
        Self {
            close: None,
            next: None,
            deadline: None,
        }
    }

    pub(crate) const fn of(action: Action<I>) -> Self {
        Self {
            close: None,
            next: Some(action),
            deadline: None,
        }
    }

    pub(crate) const fn close(reason: CloseReason) -> Self {
        Self {
            close: Some(reason),
            next: None,
            deadline: None,
        }
    }

    pub(crate) fn after_close(mut self, reason: Option<CloseReason>) -> Self {
        self.close = reason;
        self
    }

    /// The same at other instants; without what has none there.
    #[inline(always)]
    pub(crate) fn filter_map_instants<J>(self, instant: impl Fn(I) -> Option<J>) -> Actions<J> {
        Actions {
            close: self.close,
            next: self
                .next
                .and_then(|action| action.filter_map_instant(&instant)),
            deadline: self.deadline.and_then(instant),
        }
    }
}

impl<I> Iterator for Actions<I> {
    type Item = Action<I>;

    #[inline]
    fn next(&mut self) -> Option<Action<I>> {
        if let Some(reason) = self.close.take() {
            return Some(Action::Close(reason));
        }
        self.next
            .take()
            .or_else(|| self.deadline.take().map(Action::ArmDeadline))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.close.is_some())
            + usize::from(self.next.is_some())
            + usize::from(self.deadline.is_some());
        (left, Some(left))
    }
}

impl<I> ExactSizeIterator for Actions<I> {}
impl<I> FusedIterator for Actions<I> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_the_same_at_other_instants_and_none_without_one() {
        let id = PingId::from_bytes([7; 8]);
        let (at, attempt) = (1_u32, 3);
        for (here, there, is_timed) in [
            (Action::Connect, Action::Connect, false),
            (Action::SendPing(id), Action::SendPing(id), false),
            (
                Action::Close(CloseReason::Stop),
                Action::Close(CloseReason::Stop),
                false,
            ),
            (
                Action::ScheduleReconnect { at, attempt },
                Action::ScheduleReconnect { at: 2_u64, attempt },
                true,
            ),
            (Action::ArmDeadline(at), Action::ArmDeadline(2), true),
            (
                Action::Stopped(StopReason::Error),
                Action::Stopped(StopReason::Error),
                false,
            ),
        ] {
            let elsewhere = |instant: fn(u32) -> Option<u64>| here.filter_map_instant(instant);
            let with = elsewhere(|at| Some(u64::from(at) + 1));
            assert_eq!(with, Some(there));
            let without = elsewhere(|_| None);
            assert_eq!(without, Some(there).filter(|_| !is_timed));
        }
    }
}
