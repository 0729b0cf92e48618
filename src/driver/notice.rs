use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::action::{CloseReason, StopReason};
use crate::event::{CloseCode, Closed, Epoch, PingId};
use crate::send_error::Unsendable;

/// What the driver reports to the application, with messages of type `M` for the
/// application and `W` for the transport, errors of type `E` and instants of type `I`.
#[derive(Debug)]
#[non_exhaustive]
// Keeps the payload 8-byte aligned; otherwise each move copies it unaligned.
#[repr(u64)]
pub enum Notice<M, W, E, I> {
    /// A dial begins: the first one, or this retry.
    Connecting {
        /// Retries since the last stable connection; 0 for the first dial.
        attempt: u32,
    },
    /// The connection is up. Asking for the next notice lets the backlog go.
    Opened {
        /// Which connection; for the calls of handles that concern it.
        epoch: Epoch,
        /// For how long the application heard nothing: since the last inbound activity
        /// before, or since the last `Opened` if nothing was ever received. `None` for
        /// the first.
        deaf: Option<Duration>,
    },
    /// A message for the application came in.
    Message(M),
    /// A ping was handed over.
    Ping(PingId),
    /// The pong that was awaited came.
    Pong {
        /// Which ping it answers.
        id: PingId,
        /// How long the answer took.
        round_trip: Duration,
    },
    /// A connection or a dial was lost. Each [`Opened`](Self::Opened) has one.
    Down(Box<Down<W, E, I>>),
    /// A requested dial is planned: the network changed, or the application wants a new
    /// connection less than 1 s after the last dial began.
    Rescheduled(Planned<I>),
    /// A message that cannot be sent, given back.
    Rejected(Box<Rejected<W>>),
    /// The session is over. This is the last notice.
    Stopped {
        /// Why.
        reason: StopReason,
        /// The rest of the backlog, which was never handed over, in order.
        unsent: Vec<W>,
    },
}

/// A message that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected<W> {
    /// The message.
    pub message: W,
    /// What is wrong with it.
    pub why: Unsendable,
}

/// How a connection or a dial was lost.
#[derive(Debug)]
#[non_exhaustive]
pub struct Down<W, E, I> {
    /// What was lost.
    pub lost: Lost,
    /// Why.
    pub cause: Cause<E>,
    /// When the next dial is due; `None` if there is none or it begins at once.
    pub retry: Option<Planned<I>>,
    /// What was sent for this connection and not handed over, then the backlog, if that
    /// does not outlive a connection.
    pub unsent: Vec<W>,
    /// How many messages were handed over and not confirmed by a pong. They may or may
    /// not have been read.
    pub in_doubt: u64,
    /// Those of them that were [kept](super::Driver::keeping), in order.
    pub kept: Vec<W>,
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// A connection, which had opened.
    Connection,
    /// A dial.
    Dial,
}

/// Why a connection or a dial was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause<E> {
    /// The peer closed, with this code and these words.
    Closed {
        /// `None` where none came.
        code: Option<CloseCode>,
        /// The words of the close frame; empty if there are none.
        words: String,
    },
    /// The dial was refused with this HTTP status.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The transport's error.
        error: E,
    },
    /// The transport or the dial failed.
    Failed(E),
    /// The heartbeat timed it out.
    TimedOut(CloseReason),
    /// The transport took no byte for the stall timeout.
    Stalled,
    /// The application gave it up.
    GivenUp,
    /// The application wanted a new connection.
    Reconnected,
    /// The application stopped.
    Stopped,
    /// Neither the library nor the codec has a ping.
    NoPing,
}

impl<E> Cause<E> {
    pub(super) fn closed(closed: Closed, words: String) -> Self {
        let code = closed.code;
        Self::Closed { code, words }
    }

    pub(super) const fn of(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Reconnect => Self::Reconnected,
            CloseReason::GivenUp => Self::GivenUp,
            CloseReason::Stop | CloseReason::Abort => Self::Stopped,
            reason => Self::TimedOut(reason),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Cause<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Failed(error) | Self::Refused { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Cause<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(formatter),
            other => fmt::Display::fmt(&other.without_error(), formatter),
        }
    }
}

impl<E> Cause<E> {
    /// For the log, since an error may have no `Display`.
    pub(super) const fn without_error(&self) -> WithoutError<'_, E> {
        WithoutError(self)
    }
}

pub(super) struct WithoutError<'a, E>(&'a Cause<E>);

impl<E> fmt::Display for WithoutError<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::Closed { code, words } => {
                match code {
                    Some(code) => write!(formatter, "closed with code {code}")?,
                    None => formatter.write_str("closed without a code")?,
                }
                if words.is_empty() {
                    return Ok(());
                }
                write!(formatter, ": {words}")
            }
            Cause::Refused { status, .. } => write!(formatter, "refused with status {status}"),
            Cause::Failed(_) => formatter.write_str("failed"),
            Cause::TimedOut(reason) => reason.fmt(formatter),
            Cause::Stalled => formatter.write_str("nothing could be written for too long"),
            Cause::GivenUp => formatter.write_str("given up"),
            Cause::Reconnected => formatter.write_str("a new connection was asked for"),
            Cause::Stopped => formatter.write_str("stopped"),
            Cause::NoPing => formatter.write_str("neither the library nor the codec has a ping"),
        }
    }
}

/// A dial that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned<I> {
    /// When it is due.
    pub at: I,
    /// Retries since the last stable connection, this one included.
    pub attempt: u32,
}

/// What the application has not heard yet, in order. It stays short however much
/// happens: outdated notices are replaced, losses are merged, and after one message no
/// more is read.
pub(super) struct Unheard<M, W, E, I>(VecDeque<Notice<M, W, E, I>>);

impl<M, W, E, I> Unheard<M, W, E, I> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a message waits: then nothing more is read.
    pub(super) fn has_message(&self) -> bool {
        self.0.iter().any(|told| matches!(told, Notice::Message(_)))
    }

    /// Whether a message that was rejected waits: then no more of the backlog is taken.
    pub(super) fn has_rejected(&self) -> bool {
        let mut told = self.0.iter();
        told.any(|told| matches!(told, Notice::Rejected(_)))
    }

    pub(super) fn pop(&mut self) -> Option<Notice<M, W, E, I>> {
        self.0.pop_front()
    }

    /// Whether the end waits to be reported.
    pub(super) fn has_end(&self) -> bool {
        let mut told = self.0.iter();
        told.any(|told| matches!(told, Notice::Stopped { .. }))
    }

    /// It is not over after all.
    pub(super) fn forget_end(&mut self) {
        self.0
            .retain(|told| !matches!(told, Notice::Stopped { .. }));
    }

    pub(super) fn push(&mut self, notice: Notice<M, W, E, I>) {
        let notice = match notice {
            Notice::Down(down) if down.lost == Lost::Connection => Notice::Down(self.merge(down)),
            other => other,
        };
        self.0.retain(|told| !is_replaced(told, &notice));
        self.0.push_back(notice);
    }

    /// The loss of a connection, unless neither it nor an earlier one was heard of at
    /// all: then they are one.
    fn merge(&mut self, down: Box<Down<W, E, I>>) -> Box<Down<W, E, I>> {
        let mut openings = self.0.iter().enumerate().rev();
        let Some((at, _)) = openings.find(|(_, told)| matches!(told, Notice::Opened { .. })) else {
            return down;
        };
        let is_lost = |told: &Notice<M, W, E, I>| matches!(told, Notice::Down(earlier) if earlier.lost == Lost::Connection);
        let mut before = self.0.iter().take(at);
        let has_opened = before.any(|told| matches!(told, Notice::Opened { .. }));
        let earlier = self.0.iter().take(at).rposition(is_lost);
        let (true, Some(earlier)) = (has_opened, earlier) else {
            return down;
        };
        drop(self.0.remove(at));
        // Behind what came in meanwhile.
        match self.0.remove(earlier) {
            Some(Notice::Down(mut merged)) => {
                merged.add(*down);
                merged
            }
            _ => down,
        }
    }
}

impl<W, E, I> Down<W, E, I> {
    fn add(&mut self, later: Self) {
        self.cause = later.cause;
        self.retry = later.retry;
        self.unsent.extend(later.unsent);
        self.in_doubt += later.in_doubt;
        self.kept.extend(later.kept);
    }
}

/// Whether a notice that nobody heard is out of date with this one.
fn is_replaced<M, W, E, I>(told: &Notice<M, W, E, I>, by: &Notice<M, W, E, I>) -> bool {
    match (told, by) {
        (Notice::Down(told), Notice::Down(by)) => told.lost == Lost::Dial && by.lost == Lost::Dial,
        (Notice::Connecting { .. }, Notice::Connecting { .. })
        | (Notice::Ping(_), Notice::Ping(_))
        | (Notice::Pong { .. }, Notice::Pong { .. })
        | (Notice::Rescheduled(_), Notice::Rescheduled(_) | Notice::Connecting { .. }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    type Told = Notice<u32, u32, (), u32>;

    fn opened(epoch: u32) -> Told {
        Notice::Opened {
            epoch: Epoch(epoch),
            deaf: None,
        }
    }

    fn down(lost: Lost, in_doubt: u64) -> Told {
        Notice::Down(Box::new(Down {
            lost,
            cause: Cause::Stalled,
            retry: None,
            unsent: vec![in_doubt as u32],
            in_doubt,
            kept: vec![in_doubt as u32],
        }))
    }

    fn heard(told: impl IntoIterator<Item = Told>) -> Vec<String> {
        let mut unheard = Unheard::new();
        told.into_iter().for_each(|notice| unheard.push(notice));
        core::iter::from_fn(|| unheard.pop())
            .map(|notice| match notice {
                Notice::Opened { epoch, .. } => alloc::format!("opened {epoch}"),
                Notice::Down(down) => {
                    assert_eq!(down.kept, down.unsent);
                    assert_eq!(
                        down.in_doubt,
                        down.kept.iter().map(|&one| u64::from(one)).sum()
                    );
                    alloc::format!("{:?} {:?}", down.lost, down.unsent)
                }
                other => alloc::format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn losses_that_nobody_heard_of_are_one() {
        let lives = (1..=3).flat_map(|epoch| [opened(epoch), down(Lost::Connection, epoch.into())]);
        assert_eq!(heard(lives), ["opened 1", "Connection [1, 2, 3]"]);
    }

    #[test]
    fn a_loss_whose_opening_was_heard_stays_alone() {
        let told = [
            down(Lost::Connection, 1),
            opened(2),
            down(Lost::Connection, 2),
            opened(3),
            down(Lost::Connection, 3),
            opened(4),
        ];
        assert_eq!(
            heard(told),
            [
                "Connection [1]",
                "opened 2",
                "Connection [2, 3]",
                "opened 4"
            ]
        );
    }

    #[test]
    fn of_dials_only_the_last_is_told() {
        let told = (0..9).flat_map(|attempt| {
            let planned = Planned { at: 1, attempt };
            [
                Notice::Rescheduled(planned),
                Notice::Connecting { attempt },
                down(Lost::Dial, attempt.into()),
            ]
        });
        assert_eq!(heard(told), ["Connecting { attempt: 8 }", "Dial [8]"]);
    }
}
