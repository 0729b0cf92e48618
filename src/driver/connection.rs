use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use super::doubt::Doubt;
use super::stall::Stall;
use super::transport::Bytes;
use crate::{Closed, Epoch, Instant, PingId, Unsendable, meter};

/// A connection that is up, and what is to go out on it.
pub(super) struct Connection<W, E, I> {
    pub(super) epoch: Epoch,
    pub(super) hearing: Hearing,
    /// The longest message that the transport takes.
    limit: Option<usize>,
    /// Under `healthy_within`, until `Healthy`: no ping and no backlog goes out.
    pub(super) awaits_login: bool,
    pub(super) ping: Option<(PingId, W)>,
    /// The answer to the peer's latest application-level ping.
    pub(super) answer: Option<W>,
    /// What was sent for this connection.
    pub(super) sends: Queue<W>,
    pub(super) doubt: Doubt<W>,
    pub(super) closing: Closing,
    /// The transport holds something back, or may have an answer of its own to send.
    pub(super) needs_flush: bool,
    /// The ping that was handed over and has not left. Nothing goes after it until it
    /// has, so that a flush that completes says so.
    pub(super) unleft: Option<PingId>,
    /// How many bytes of messages the transport holds back.
    pub(super) held_back: usize,
    /// Why nothing can be written any more, and as of when.
    pub(super) broken: Option<(E, I)>,
    /// The peer's close frame, where it came while closing.
    pub(super) heard: Option<(Closed, String)>,
    /// The bytes that the driver knows of.
    pub(super) known: Bytes,
    pub(super) stall: Stall<I>,
    _open: meter::Open,
}

/// Whether the application knows that this connection is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    No,
    Heard,
    /// It asked for the next notice, so that it has dealt with this one.
    Dealt,
}

/// How far the close handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    /// Behind all that waits.
    Begun,
    /// A last ping went, to confirm what is in doubt; nothing of the application's
    /// goes after it.
    Confirming,
    /// The goodbye went, or is not to be said.
    Said,
    /// The sending side is closed.
    Finished,
}

/// First in, first out, with its bytes.
pub(super) struct Queue<W> {
    messages: VecDeque<(W, usize)>,
    bytes: usize,
}

impl<W> Queue<W> {
    const fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, message: W, size: usize) {
        self.bytes = self.bytes.saturating_add(size);
        self.messages.push_back((message, size));
    }

    pub(super) fn pop(&mut self) -> Option<(W, usize)> {
        let (message, size) = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size);
        Some((message, size))
    }

    pub(super) fn into_messages(self) -> Vec<W> {
        let messages = self.messages.into_iter();
        messages.map(|(message, _)| message).collect()
    }
}

impl<W, E, I: Instant> Connection<W, E, I> {
    pub(super) fn new(
        epoch: Epoch,
        awaits_login: bool,
        known: Bytes,
        limit: Option<usize>,
    ) -> Self {
        Self {
            epoch,
            hearing: Hearing::No,
            limit,
            awaits_login,
            ping: None,
            answer: None,
            sends: Queue::new(),
            doubt: Doubt::new(),
            closing: Closing::No,
            needs_flush: false,
            unleft: None,
            held_back: 0,
            broken: None,
            heard: None,
            known,
            stall: Stall::none(),
            _open: meter::Open::new(),
        }
    }

    /// The size of a message, if the transport takes one of that size.
    pub(super) fn measure(&self, size: Result<usize, Unsendable>) -> Result<usize, Unsendable> {
        let size = size?;
        match self.limit {
            Some(limit) if size > limit => Err(Unsendable::TooLong { size, limit }),
            _ => Ok(size),
        }
    }

    /// Whether a ping waits in our own buffer or in the transport's.
    pub(super) const fn is_ping_held_back(&self) -> bool {
        self.ping.is_some() || self.unleft.is_some()
    }

    /// Whether the backlog may go: the application has dealt with the opening.
    #[inline]
    pub(super) fn takes_backlog(&self) -> bool {
        self.hearing == Hearing::Dealt
            && !self.awaits_login
            && matches!(self.closing, Closing::No | Closing::Begun)
    }

    /// Whether the driver itself has something to hand over.
    #[inline]
    pub(super) fn has_own(&self) -> bool {
        match self.closing {
            Closing::No => self.ping.is_some() || self.answer.is_some() || !self.sends.is_empty(),
            Closing::Begun | Closing::Confirming => true,
            Closing::Said | Closing::Finished => false,
        }
    }

    /// Whether nothing waits to be written.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        !self.needs_flush && self.broken.is_none() && !self.has_own()
    }

    /// Notes how many bytes came in; whether any did.
    #[inline]
    pub(super) fn has_read(&mut self, bytes: Bytes) -> bool {
        bytes.read != core::mem::replace(&mut self.known.read, bytes.read)
    }

    /// Notes how many bytes left; whether any did.
    pub(super) fn has_written(&mut self, bytes: Bytes) -> bool {
        bytes.written != core::mem::replace(&mut self.known.written, bytes.written)
    }
}
