//! What the adapters need to know of [tungstenite](https://docs.rs/tungstenite)'s
//! messages and errors; tokio-tungstenite and async-tungstenite have the same.

use std::time::SystemTime;

use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, Utf8Bytes};

use crate::dial::retry_after;
use crate::driver::{Codec, Dialect, Frame, Incoming};
use crate::{CloseCode, CloseReason, Closed, Ending, PingId, Refused, Unsendable};

/// The driver's view of tungstenite's messages: the protocol's pings carry the id as
/// their payload (RFC 6455 section 5.5.2), and every peer answers them by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tungstenite {
    limit: Option<usize>,
}

impl Tungstenite {
    /// Messages of any length.
    #[must_use]
    pub const fn new() -> Self {
        Self { limit: None }
    }

    /// Gives back messages of more bytes than this: for when the peer, or a proxy,
    /// takes none that are longer.
    #[must_use]
    pub const fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = Some(bytes);
        self
    }
}

impl Dialect for Tungstenite {
    type Message = Message;

    #[inline]
    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Text(_) | Message::Binary(_) => Frame::Data,
            Message::Pong(payload) => {
                PingId::from_payload(payload).map_or(Frame::Control, Frame::Pong)
            }
            Message::Ping(_) | Message::Frame(_) => Frame::Control,
            Message::Close(frame) => {
                let code = frame.as_ref().map(|frame| CloseCode(frame.code.into()));
                let words = frame.as_ref().map(|frame| frame.reason.as_str().to_owned());
                let closed = Closed::from(code);
                Frame::Close(closed, words.unwrap_or_default())
            }
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        let size = match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
            _ => return Err(Unsendable::Control),
        };
        match self.limit {
            Some(limit) if size > limit => Err(Unsendable::TooLong { size, limit }),
            _ => Ok(size),
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::Ping(Bytes::copy_from_slice(&id.to_bytes())))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        Some(Message::Close(code.map(|code| CloseFrame {
            reason: words.into(),
            ..close_frame(code)
        })))
    }
}

/// Pings that are text messages of the application's protocol, for peers that are
/// browsers and for servers that require them.
///
/// A peer's text ping is answered with the text pong, and the application sees neither.
/// If both texts are the same (a server that echoes), it counts as a pong.
///
/// ```
/// use keepalive::tungstenite::TextPings;
/// use keepalive::{Codec, Incoming};
/// use tungstenite::Message;
///
/// let mut codec = TextPings::new("ping", "pong");
/// assert_eq!(codec.read(Message::text("pong")), Incoming::AnyPong);
/// assert_eq!(codec.read(Message::text("ping")), Incoming::Ping(Message::text("pong")));
/// assert_eq!(
///     codec.read(Message::text("pong?")),
///     Incoming::Message(Message::text("pong?")),
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPings {
    ping: Utf8Bytes,
    pong: Utf8Bytes,
}

impl TextPings {
    /// Pings with these texts.
    pub fn new(ping: impl Into<Utf8Bytes>, pong: impl Into<Utf8Bytes>) -> Self {
        Self {
            ping: ping.into(),
            pong: pong.into(),
        }
    }
}

impl Codec<Message> for TextPings {
    type Message = Message;

    fn ping(&mut self, _: PingId) -> Option<Message> {
        Some(Message::Text(self.ping.clone()))
    }

    fn read(&mut self, data: Message) -> Incoming<Message, Message> {
        match &data {
            Message::Text(text) if *text == self.pong => Incoming::AnyPong,
            Message::Text(text) if *text == self.ping => {
                Incoming::Ping(Message::Text(self.pong.clone()))
            }
            _ => Incoming::Message(data),
        }
    }
}

/// The length in bytes of the longest message that tungstenite takes while its buffer
/// is empty; a longer one is an error to it, and would end the connection. `None`: any
/// length.
///
/// For [`Transport::limit`](crate::driver::Transport::limit).
///
/// ```
/// use keepalive::tungstenite::longest;
/// use tungstenite::protocol::WebSocketConfig;
///
/// let limits = WebSocketConfig::default();
/// assert_eq!(longest(&limits), None);
/// let limits = limits.max_write_buffer_size(1 << 20);
/// assert_eq!(longest(&limits), Some((1 << 20) - 14));
/// ```
#[must_use]
pub fn longest(config: &WebSocketConfig) -> Option<usize> {
    let limit = config.max_write_buffer_size;
    // RFC 6455 section 5.2; a server's frames have no mask, and 4 bytes to spare.
    let beside = |header| limit.saturating_sub(header);
    match limit {
        usize::MAX => None,
        _ if beside(14) > 0xffff => Some(beside(14)),
        _ if beside(8) > 125 => Some(beside(8).min(0xffff)),
        _ => Some(beside(6).min(125)),
    }
}

fn close_frame(code: CloseCode) -> CloseFrame {
    CloseFrame {
        code: WireCode::from(code.0),
        reason: Utf8Bytes::default(),
    }
}

/// What an error says about how a connection or a dial ended, for
/// `Session::with_endings`: nothing failed if the transport just ended without a close
/// frame, and an answer to the handshake may be a refusal, which may say how long to
/// stay away.
///
/// A `Retry-After` is a number of seconds or a date (RFC 9110 section 10.2.3). A date
/// counts from the response's own `Date`, or else from this system's clock; one in the
/// past means no wait.
///
/// ```
/// use keepalive::{Closed, Ending, tungstenite::ending};
/// use tungstenite::Error;
///
/// assert_eq!(ending(&Error::ConnectionClosed), Ending::Closed(Closed::default()));
/// assert_eq!(ending(&Error::Utf8("...".to_owned())), Ending::Failed);
/// ```
#[must_use]
pub fn ending(error: &Error) -> Ending {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Ending::Closed(Closed::default())
        }
        Error::Http(response) => Ending::Refused(Refused {
            retry_after: retry_after(response.headers(), SystemTime::now),
            ..Refused::with_status(response.status().as_u16())
        }),
        _ => Ending::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_the_longest_message_fits_and_a_longer_one_does_not() {
        // RFC 6455 section 5.2, with a mask.
        let frame = |length: usize| {
            let header = match length {
                0..=125 => 6,
                126..=0xffff => 8,
                _ => 14,
            };
            header + length
        };
        for limit in (6..300).chain(65_500..65_600).chain([1 << 20]) {
            let mut config = WebSocketConfig::default();
            config.max_write_buffer_size = limit;
            let longest = longest(&config).unwrap_or_default();
            assert!(frame(longest) <= limit, "{limit}");
            assert!(frame(longest + 1) > limit, "{limit}");
        }
    }
}
