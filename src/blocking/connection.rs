use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use tungstenite::error::ProtocolError;
use tungstenite::{Error, Message, WebSocket};

use super::error::SendError;
use super::wire::Link;
use crate::tungstenite::close_frame;
use crate::{CloseCode, PingId};

/// How long a write may block before it is the turn of the reads.
const WRITE_SLICE: Duration = Duration::from_millis(5);

/// How long a read may block while something waits to be written: std cannot
/// wait for both.
const READ_SLICE: Duration = Duration::from_millis(20);

/// What each queued message costs besides its payload.
const OVERHEAD: usize = 64;

/// The longest payload of a control frame (RFC 6455 section 5.5).
const LONGEST_CONTROL: usize = 125;

/// The longest header of a frame (RFC 6455 section 5.2).
const LONGEST_HEADER: usize = 14;

/// A WebSocket that is up, and what is to go out on it.
///
/// What tungstenite has taken stays in its write buffer until it is out; it is
/// never written a second time.
pub(super) struct Connection<S> {
    socket: WebSocket<S>,
    link: Link,
    queue: VecDeque<Message>,
    queued: usize,
    /// The answer to the peer's latest application-level ping.
    answer: Option<Message>,
    /// Our close frame goes out behind the queue.
    is_closing: bool,
    /// The ping that is in the write buffer.
    ping: Option<PingId>,
    /// Something of the application's is in the write buffer.
    holds_message: bool,
    /// How many bytes were out when that was last asked.
    sent: u64,
    backlog: Backlog,
    /// The peer's close frame.
    closed: Option<Option<CloseCode>>,
}

/// What tungstenite may still have to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Empty,
    Unflushed,
    /// The socket took no more; not to be tried again before this.
    Blocked(Instant),
}

/// What a read has found.
pub(super) enum Read {
    Message(Message),
    /// Nothing, or only a part of a message.
    Nothing,
    /// It is over.
    End(End),
}

/// How a connection ended.
pub(super) enum End {
    /// With the peer's close frame, or after one.
    Closed(Option<CloseCode>),
    /// Without a close frame; where the transport did not fail, it just ended.
    Failed(Error),
}

/// What a write got out.
#[derive(Default)]
pub(super) struct Written {
    /// Something of the application's.
    pub(super) message: bool,
    /// Bytes that stood before a ping that still waits.
    pub(super) drained: bool,
    /// This ping, to its last byte.
    pub(super) ping: Option<PingId>,
}

impl<S: io::Read + io::Write> Connection<S> {
    pub(super) fn new(socket: WebSocket<S>, link: Link) -> Self {
        link.open();
        let sent = link.sent();
        Self {
            socket,
            link,
            queue: VecDeque::new(),
            queued: 0,
            answer: None,
            is_closing: false,
            ping: None,
            holds_message: false,
            sent,
            backlog: Backlog::Unflushed,
            closed: None,
        }
    }

    pub(super) const fn socket(&self) -> &WebSocket<S> {
        &self.socket
    }

    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// Reads until a message is whole, or until then.
    pub(super) fn read(&mut self, until: Instant) -> Read {
        self.link.arm(until, Instant::now());
        match self.socket.read() {
            Ok(message) => {
                self.note(&message);
                Read::Message(message)
            }
            Err(error) if self.is_blocked(&error) => match self.link.take_write_error() {
                Some(error) => Read::End(End::Failed(Error::Io(error))),
                None => Read::Nothing,
            },
            Err(error) => Read::End(self.end(error)),
        }
    }

    fn note(&mut self, message: &Message) {
        match message {
            // tungstenite has queued its answer, which leaves at the next flush.
            Message::Ping(_) => self.touch(),
            Message::Close(frame) => {
                self.touch();
                self.closed = Some(frame.as_ref().map(|frame| CloseCode(frame.code.into())));
            }
            _ => {}
        }
    }

    /// The code of the peer's close frame, if one came.
    pub(super) const fn closed(&self) -> Option<Option<CloseCode>> {
        self.closed
    }

    /// How it ended, where this was the error.
    pub(super) fn end(&self, error: Error) -> End {
        if let Some(code) = self.closed {
            return End::Closed(code);
        }
        // What broke the writes is the better reason: it comes with an end of
        // file, too.
        End::Failed(self.link.take_write_error().map_or(error, Error::Io))
    }

    /// When to write next; `None` where nothing waits.
    pub(super) fn next_write(&self) -> Option<Instant> {
        match self.backlog {
            Backlog::Empty => None,
            Backlog::Unflushed => Some(Instant::now()),
            Backlog::Blocked(until) => Some(until),
        }
    }

    /// Writes what waits, for at most a slice of time.
    pub(super) fn write(&mut self) -> Result<Written, Error> {
        let mut written = Written::default();
        let now = Instant::now();
        match self.backlog {
            Backlog::Empty => return Ok(written),
            Backlog::Blocked(until) if now < until => return Ok(written),
            Backlog::Blocked(_) | Backlog::Unflushed => {}
        }
        let until = now + WRITE_SLICE;
        self.link.arm(now, until);
        loop {
            let flushed = self.socket.flush();
            let is_flushed = self.is_done(flushed)?;
            let has_moved = self.takes_sent();
            written.message |= has_moved && self.holds_message;
            if !is_flushed {
                written.drained |= has_moved && self.ping.is_some();
                let pause = if has_moved {
                    Duration::ZERO
                } else {
                    READ_SLICE
                };
                self.backlog = Backlog::Blocked(Instant::now() + pause);
                return Ok(written);
            }
            self.holds_message = false;
            written.ping = self.ping.take().or(written.ping);
            if !self.refill()? {
                self.backlog = Backlog::Empty;
                return Ok(written);
            }
            self.backlog = Backlog::Unflushed;
            if Instant::now() >= until {
                return Ok(written);
            }
        }
    }

    /// Takes note of the bytes that went out; whether any did since the last time.
    fn takes_sent(&mut self) -> bool {
        let before = std::mem::replace(&mut self.sent, self.link.sent());
        self.sent > before
    }

    /// Hands to tungstenite what is next.
    fn refill(&mut self) -> Result<bool, Error> {
        if let Some(answer) = self.answer.take() {
            self.put(answer)?;
            return Ok(true);
        }
        let Some(message) = self.queue.pop_front() else {
            return self.say_goodbye();
        };
        self.queued = self.queued.saturating_sub(cost(&message));
        self.holds_message = true;
        self.put(message)?;
        Ok(true)
    }

    /// Takes a message to write, or gives it back where too much waits already.
    pub(super) fn send(&mut self, message: Message, limit: usize) -> Result<(), SendError> {
        if !self.socket.can_write() {
            return Err(SendError::Down(message));
        }
        if self.is_too_long(&message) {
            return Err(SendError::TooLong(message));
        }
        let cost = cost(&message);
        let waits = !self.queue.is_empty() || matches!(self.backlog, Backlog::Blocked(_));
        if waits && self.queued.saturating_add(cost) > limit {
            return Err(SendError::Full(message));
        }
        self.queue.push_back(message);
        self.queued = self.queued.saturating_add(cost);
        self.touch();
        Ok(())
    }

    fn is_too_long(&self, message: &Message) -> bool {
        let most = self.socket.get_config().max_write_buffer_size;
        is_oversize_control(message) || message.len().saturating_add(LONGEST_HEADER) > most
    }

    /// Answers the peer's application-level ping; only the latest one.
    pub(super) fn answer(&mut self, message: Message) {
        self.answer = Some(message);
        self.touch();
    }

    /// Puts a ping into the write buffer, past the messages that are queued.
    pub(super) fn ping(&mut self, id: PingId, message: Message) -> Result<(), Error> {
        if is_oversize_control(&message) {
            return Err(Error::Protocol(ProtocolError::ControlFrameTooBig));
        }
        let now = Instant::now();
        self.link.arm(now, now);
        match self.put(message) {
            // The application's close frame is on its way, or its own limit is
            // reached: this ping stays behind, and its deadline holds.
            Err(Error::Protocol(ProtocolError::SendAfterClosing) | Error::WriteBufferFull(_)) => {}
            result => {
                result?;
                self.ping = Some(id);
            }
        }
        self.touch();
        Ok(())
    }

    /// Begins the close handshake, behind all that is queued.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        self.touch();
    }

    /// Hands our close frame to tungstenite, if there is to be one.
    fn say_goodbye(&mut self) -> Result<bool, Error> {
        if !std::mem::take(&mut self.is_closing) {
            return Ok(false);
        }
        let result = self.socket.close(Some(close_frame(CloseCode::NORMAL)));
        self.is_done(result)?;
        Ok(true)
    }

    /// Sends a close frame with this code, or with none, if the socket takes it at
    /// once.
    pub(super) fn farewell(mut self, code: Option<CloseCode>) {
        let now = Instant::now();
        self.link.arm(now, now);
        let _ = self.socket.close(code.map(close_frame));
    }

    /// Puts a message into the write buffer, where it stays until it is out.
    fn put(&mut self, message: Message) -> Result<(), Error> {
        let result = self.socket.write(message);
        self.is_done(result).map(drop)
    }

    fn touch(&mut self) {
        if matches!(self.backlog, Backlog::Empty) {
            self.backlog = Backlog::Unflushed;
        }
    }

    fn is_done(&self, result: Result<(), Error>) -> Result<bool, Error> {
        match result {
            Ok(()) => Ok(true),
            Err(error) if self.is_blocked(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_blocked(&self, error: &Error) -> bool {
        match error {
            Error::Io(error) => match error.kind() {
                io::ErrorKind::WouldBlock => true,
                // tungstenite's word for a write that took no byte: TLS does so
                // when its own buffer is full.
                io::ErrorKind::ConnectionReset => !self.link.is_read_cut(),
                _ => false,
            },
            _ => false,
        }
    }
}

fn cost(message: &Message) -> usize {
    message.len().saturating_add(OVERHEAD)
}

/// Whether this is a control frame that the peer has to refuse; tungstenite
/// would send it.
fn is_oversize_control(message: &Message) -> bool {
    match message {
        Message::Ping(payload) | Message::Pong(payload) => payload.len() > LONGEST_CONTROL,
        Message::Close(Some(frame)) => frame.reason.len() > LONGEST_CONTROL - 2,
        _ => false,
    }
}
