use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::connect::Transport;
use crate::PingId;

/// How many messages are written before it is the turn of the reads.
const WRITE_BATCH: usize = 32;

/// A socket that is up, and what is to go out on it before the application's
/// messages.
pub(super) struct Socket<S: Transport> {
    transport: S,
    ping: Option<(PingId, S::Message)>,
    /// The answer to the peer's latest application-level ping.
    answer: Option<S::Message>,
    closing: Closing<S::Message>,
    needs_flush: bool,
    /// What the sink has taken and not yet flushed.
    taken: Written,
    /// Why nothing can be written any more.
    broken: Option<S::Fault>,
}

/// How far the close handshake is.
enum Closing<M> {
    No,
    /// Behind all that waits, then the sink is closed.
    Goodbye(Option<M>),
    Close,
    Done,
}

/// What a write got out.
#[derive(Default)]
pub(super) struct Written {
    /// Something of the application's.
    pub(super) message: bool,
    pub(super) ping: Option<PingId>,
}

impl<S: Transport> Socket<S> {
    pub(super) const fn new(transport: S) -> Self {
        Self {
            transport,
            ping: None,
            answer: None,
            closing: Closing::No,
            needs_flush: false,
            taken: Written {
                message: false,
                ping: None,
            },
            broken: None,
        }
    }

    pub(super) const fn transport(&self) -> &S {
        &self.transport
    }

    pub(super) fn ping(&mut self, id: PingId, message: S::Message) {
        self.ping = Some((id, message));
    }

    pub(super) fn answer(&mut self, message: S::Message) {
        self.answer = Some(message);
    }

    pub(super) fn close(&mut self, goodbye: Option<S::Message>) {
        self.closing = Closing::Goodbye(goodbye);
    }

    /// The peer has closed: the library answers that, and takes nothing more.
    pub(super) fn closed_by_peer(&mut self) {
        self.touch();
        if matches!(self.closing, Closing::Goodbye(_)) {
            self.closing = Closing::Close;
        }
    }

    /// The library may have an answer of its own to send.
    pub(super) fn touch(&mut self) {
        self.needs_flush = true;
    }

    /// Sends what it has, and an answer of the library's own to a close frame, as far
    /// as that goes without a wait.
    pub(super) fn flush_at_once(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.transport).poll_flush(&mut context);
    }

    /// Sends the close frame, if the sink takes it at once, and ends.
    pub(super) fn farewell(mut self, goodbye: S::Message) {
        let mut context = Context::from_waker(Waker::noop());
        let mut transport = Pin::new(&mut self.transport);
        let ready = transport.as_mut().poll_ready(&mut context);
        if matches!(ready, Poll::Ready(Ok(()))) && transport.as_mut().start_send(goodbye).is_ok() {
            let _ = transport.poll_flush(&mut context);
        }
    }

    /// Whether nothing can be written any more. What the peer said last is still to
    /// be read.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    #[inline]
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<S::Message, S::Fault>>> {
        Pin::new(&mut self.transport).poll_next(context)
    }

    /// What broke the writes.
    pub(super) fn take_broken(&mut self) -> Option<S::Fault> {
        self.broken.take()
    }

    /// Writes what the sink takes: the ping, the answer, a number of the
    /// application's messages, the goodbye; and flushes. Never waits.
    ///
    /// It ends early where a write fails: what the peer said last is still to be
    /// read.
    #[inline]
    pub(super) fn write<O>(&mut self, outgoing: &mut O, context: &mut Context<'_>) -> Written
    where
        O: Stream<Item = S::Message> + Unpin,
    {
        if self.broken.is_some() {
            return Written::default();
        }
        match self.poll_write(outgoing, context) {
            Ok(written) => written,
            Err(fault) => {
                self.broken = Some(fault);
                context.waker().wake_by_ref();
                Written::default()
            }
        }
    }

    #[inline]
    fn poll_write<O>(
        &mut self,
        outgoing: &mut O,
        context: &mut Context<'_>,
    ) -> Result<Written, S::Fault>
    where
        O: Stream<Item = S::Message> + Unpin,
    {
        let mut written = 0;
        let mut is_full = false;
        while self.takes_more() {
            if written == WRITE_BATCH {
                context.waker().wake_by_ref();
                break;
            }
            let Poll::Ready(ready) = Pin::new(&mut self.transport).poll_ready(context) else {
                is_full = true;
                break;
            };
            ready?;
            let Some(message) = self.next_message(outgoing, context) else {
                break;
            };
            Pin::new(&mut self.transport).start_send(message)?;
            self.needs_flush = true;
            written += 1;
        }
        if self.needs_flush {
            let Poll::Ready(flushed) = Pin::new(&mut self.transport).poll_flush(context) else {
                return Ok(Written::default());
            };
            flushed?;
            self.needs_flush = false;
            if is_full {
                // It was this flush that made room, so nobody else will say so.
                context.waker().wake_by_ref();
            }
        }
        if matches!(self.closing, Closing::Close) {
            if let Poll::Ready(closed) = Pin::new(&mut self.transport).poll_close(context) {
                self.closing = Closing::Done;
                closed?;
            }
        }
        Ok(core::mem::take(&mut self.taken))
    }

    const fn takes_more(&self) -> bool {
        matches!(self.closing, Closing::No | Closing::Goodbye(_))
    }

    #[inline]
    fn next_message<O>(&mut self, outgoing: &mut O, context: &mut Context<'_>) -> Option<S::Message>
    where
        O: Stream<Item = S::Message> + Unpin,
    {
        if let Some((id, message)) = self.ping.take() {
            self.taken.ping = Some(id);
            return Some(message);
        }
        if let Some(message) = self.answer.take() {
            return Some(message);
        }
        if let Poll::Ready(Some(message)) = Pin::new(outgoing).poll_next(context) {
            self.taken.message = true;
            return Some(message);
        }
        if let Closing::Goodbye(goodbye) = &mut self.closing {
            let goodbye = goodbye.take();
            self.closing = Closing::Close;
            return goodbye;
        }
        None
    }
}
