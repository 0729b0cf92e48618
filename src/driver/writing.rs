//! What goes out, in this order: the ping; the answer to the peer's ping; what was sent
//! for this connection; the backlog; the goodbye, with a last ping ahead of it where
//! anything is in doubt.

use super::connection::Closing;
use alloc::boxed::Box;

use super::notice::{Notice, Rejected};
use super::transport::Transport;
use super::{Cause, Codec, Dialect, Driver};
use crate::{CloseCode, CloseReason, Event, Instant, PingId, meter};

/// How many messages are written before reads get their turn.
const BATCH: usize = 32;

/// What is handed over next.
enum Item<W> {
    Ping(PingId, W),
    /// A last ping, which the machine does not know.
    LastPing(PingId, W),
    Answer(W),
    /// The application's, with its size, and whether it came from the backlog.
    Message(W, usize, Origin),
    Goodbye(Option<W>),
}

enum Origin {
    Send,
    Backlog,
}

impl<D, C, E, I> Driver<D, C, E, I>
where
    D: Dialect,
    C: Codec<D::Message>,
    I: Instant,
{
    /// Writes what the transport takes, and flushes. Whether there is more to do.
    #[inline(always)]
    pub(super) fn write<T>(&mut self, transport: &mut T, now: I) -> bool
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let Some(connection) = &mut self.connection else {
            return false;
        };
        if connection.needs_flush || connection.has_own() || connection.broken.is_some() {
            return self.write_out(transport, now);
        }
        if !connection.takes_backlog() {
            return false;
        }
        // What most turns find: nothing to send.
        match transport.is_ready() {
            Ok(true) if self.backlog.is_empty() => match transport.backlog() {
                Some(message) => self.backlog.put_first(message),
                None => return false,
            },
            Ok(_) => {}
            Err(error) => return self.breaks(error, now),
        }
        self.write_out(transport, now)
    }

    /// Nothing can be written any more, which is told once nothing is unread.
    #[cold]
    fn breaks(&mut self, error: E, now: I) -> bool {
        if let Some(connection) = &mut self.connection {
            connection.broken = Some((error, now));
            connection.stall.end();
        }
        true
    }

    #[inline(never)]
    fn write_out<T>(&mut self, transport: &mut T, now: I) -> bool
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        if let Some(connection) = &mut self.connection {
            if connection.broken.is_some() {
                connection.stall.end();
                return false;
            }
        }
        let mut progress = Progress::default();
        let result = self.hand_over(transport, now, &mut progress);
        if progress.has_sent {
            let actions = self.heartbeat.handle(Event::Sent, now);
            if actions.len() > 0 {
                // It has brought the deadline forward.
                self.act(actions, None, now);
            }
        }
        let stall_timeout = self.stall_timeout();
        let Some(connection) = &mut self.connection else {
            return true;
        };
        let bytes = transport.bytes();
        let took = connection.has_written(bytes);
        // Where nothing is counted, a message that was handed over is the only sign.
        let has_moved = took || (progress.has_moved && bytes.written == 0);
        if took && connection.is_ping_held_back() {
            self.heartbeat.handle(Event::Draining, now).for_each(drop);
        }
        if let Err(error) = result {
            return self.breaks(error, now);
        }
        if connection.needs_flush || (progress.is_full && connection.has_own()) {
            connection.stall.go_on(has_moved, now);
        } else {
            connection.stall.end();
        }
        if connection.closing == Closing::Said && !connection.needs_flush {
            connection.closing = Closing::Finished;
            self.orders.finish = true;
        }
        let has_stalled = connection.stall.has_lasted(stall_timeout);
        // A verdict goes first, if it may be given.
        if has_stalled && (self.unheard.has_message() || self.heartbeat.verdict(now).is_none()) {
            self.fail(Cause::Stalled, now);
            return true;
        }
        progress.has_more || self.orders.finish
    }

    fn hand_over<T>(&mut self, transport: &mut T, now: I, progress: &mut Progress) -> Result<(), E>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        for written in 0..=BATCH {
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            let waits = connection.unleft.is_some();
            let has_more = !waits && (connection.has_own() || connection.takes_backlog());
            progress.is_full = has_more && !transport.is_ready()?;
            let item = if has_more && !progress.is_full && written < BATCH {
                self.next_item(transport)
            } else {
                None
            };
            let is_ping = matches!(item, Some(Item::Ping(..) | Item::LastPing(..)));
            if let Some(item) = item {
                progress.has_moved = true;
                self.give(item, transport, progress)?;
                if !is_ping {
                    continue;
                }
            }
            if !self.flush(transport, now)? {
                return Ok(());
            }
            progress.has_moved = true;
            if !is_ping {
                // It was this flush that made room, so nobody else will say so.
                progress.has_more = waits || progress.is_full || written == BATCH;
                return Ok(());
            }
        }
        progress.has_more = true;
        Ok(())
    }

    /// Whether there was something to flush, and all of it has left.
    fn flush<T>(&mut self, transport: &mut T, now: I) -> Result<bool, E>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let Some(connection) = &mut self.connection else {
            return Ok(false);
        };
        if !connection.needs_flush || !transport.flush()? {
            return Ok(false);
        }
        connection.needs_flush = false;
        connection.held_back = 0;
        if let Some(id) = connection.unleft.take() {
            let left = Event::PingSent(id);
            self.heartbeat.handle(left, now).for_each(drop);
        }
        Ok(true)
    }

    fn next_item<T>(&mut self, transport: &mut T) -> Option<Item<D::Message>>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let connection = self.connection.as_mut()?;
        if matches!(connection.closing, Closing::Said | Closing::Finished) {
            return None;
        }
        if let Some((id, message)) = connection.ping.take() {
            return Some(Item::Ping(id, message));
        }
        if let Some(answer) = connection.answer.take() {
            return Some(Item::Answer(answer));
        }
        if matches!(connection.closing, Closing::No | Closing::Begun) {
            if let Some((message, size)) = connection.sends.pop() {
                return Some(Item::Message(message, size, Origin::Send));
            }
            match self.next_of_backlog(transport) {
                Next::Message(message, size) => {
                    return Some(Item::Message(message, size, Origin::Backlog));
                }
                Next::Waits => return None,
                Next::None => {}
            }
        }
        self.next_goodbye()
    }

    fn next_of_backlog<T>(&mut self, transport: &mut T) -> Next<D::Message>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let Some(connection) = &self.connection else {
            return Next::None;
        };
        if !connection.takes_backlog() {
            return Next::None;
        }
        if self.unheard.has_rejected() {
            return Next::Waits;
        }
        let Some(message) = self.backlog.take().or_else(|| transport.backlog()) else {
            return Next::None;
        };
        match connection.measure(self.dialect.size(&message)) {
            Ok(size) if self.backlog.has_room(&connection.doubt, size) => {
                Next::Message(message, size)
            }
            Ok(_) => {
                self.backlog.put_first(message);
                // While it closes nobody asks for a pong but the last ping.
                let is_hopeless =
                    connection.closing == Closing::Begun && !connection.doubt.is_asked();
                if is_hopeless { Next::None } else { Next::Waits }
            }
            Err(why) => {
                let rejected = Box::new(Rejected { message, why });
                self.unheard.push(Notice::Rejected(rejected));
                Next::Waits
            }
        }
    }

    /// Ahead of the goodbye one more ping, where anything is in doubt: the peer's close
    /// frame does not confirm it, since it may have been sent before ours was read.
    fn next_goodbye(&mut self) -> Option<Item<D::Message>> {
        let connection = self.connection.as_mut()?;
        let says = matches!(connection.closing, Closing::Begun | Closing::Confirming);
        if !says {
            return None;
        }
        let config = self.heartbeat.config();
        let may_ping = !config.listen_only() && !connection.awaits_login;
        if connection.closing == Closing::Begun && connection.doubt.in_doubt() > 0 && may_ping {
            connection.closing = Closing::Confirming;
            let id = PingId::new(connection.epoch, 0);
            if let Some(message) = self.make_ping(id) {
                return Some(Item::LastPing(id, message));
            }
        }
        let connection = self.connection.as_mut()?;
        connection.closing = Closing::Said;
        let usual = if self.can_dial {
            CloseCode::NORMAL
        } else {
            CloseCode::GOING_AWAY
        };
        let goodbye = self.goodbye.as_ref();
        let code = goodbye.map_or(usual, crate::Goodbye::code);
        let words = goodbye.map_or("", crate::Goodbye::words);
        let message = self.dialect.goodbye(CloseReason::Stop, Some(code), words);
        Some(Item::Goodbye(message))
    }

    fn give<T>(
        &mut self,
        item: Item<D::Message>,
        transport: &mut T,
        progress: &mut Progress,
    ) -> Result<(), E>
    where
        T: Transport<Message = D::Message, Error = E, Instant = I>,
    {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let message = match item {
            Item::Ping(id, message) => {
                connection.unleft = Some(id);
                connection.doubt.ping(id);
                self.counts.pings += 1;
                meter::ping();
                self.unheard.push(Notice::Ping(id));
                message
            }
            Item::LastPing(id, message) => {
                connection.unleft = Some(id);
                connection.doubt.ping(id);
                message
            }
            Item::Answer(message) => message,
            Item::Message(message, size, origin) => {
                let copy = match origin {
                    Origin::Send => None,
                    Origin::Backlog => self.backlog.copy(&message, size),
                };
                connection.doubt.message(copy);
                connection.held_back = connection.held_back.saturating_add(size);
                self.counts.handed_over += 1;
                progress.has_sent = true;
                message
            }
            Item::Goodbye(Some(message)) => message,
            Item::Goodbye(None) => return Ok(()),
        };
        connection.needs_flush = true;
        transport.write(message)
    }
}

/// What is next of the backlog.
enum Next<W> {
    Message(W, usize),
    /// Something is, and has to wait.
    Waits,
    None,
}

/// What a round of writing came to.
#[derive(Default)]
struct Progress {
    /// The transport took something, or all that it had has left.
    has_moved: bool,
    has_sent: bool,
    is_full: bool,
    has_more: bool,
}
