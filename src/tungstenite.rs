//! What the adapters need to know of [tungstenite](https://docs.rs/tungstenite)'s
//! messages and errors; tokio-tungstenite and async-tungstenite have the same.

use std::time::SystemTime;

use tungstenite::error::ProtocolError;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tungstenite::{Bytes, Error, Message, Utf8Bytes};

use crate::dial::retry_after;
use crate::{CloseCode, Closed, Codec, Ending, Incoming, PingId, Refused};

/// The pings of the WebSocket protocol (RFC 6455 section 5.5.2), with the id as
/// their payload. Every peer answers them by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolPings;

impl Codec<Message> for ProtocolPings {
    fn ping(&mut self, id: PingId) -> Message {
        Message::Ping(Bytes::copy_from_slice(&id.to_bytes()))
    }

    #[inline]
    fn read(&mut self, message: &Message) -> Incoming<Message> {
        control(message).unwrap_or(Incoming::Message)
    }

    fn goodbye(&mut self, code: Option<CloseCode>) -> Option<Message> {
        Some(Message::Close(code.map(close_frame)))
    }
}

/// Pings that are text messages of the application's protocol, for peers that
/// are browsers and for servers that ask for them.
///
/// A peer's text ping is answered with the text pong, and the application sees
/// neither. Where both texts are the same (a server that echoes) it is a pong.
///
/// ```
/// use keepalive::tungstenite::TextPings;
/// use keepalive::{Codec, Incoming};
/// use tungstenite::Message;
///
/// let mut codec = TextPings::new("ping", "pong");
/// assert_eq!(codec.read(&Message::text("pong")), Incoming::AnyPong);
/// assert_eq!(codec.read(&Message::text("ping")), Incoming::Ping(Message::text("pong")));
/// assert_eq!(codec.read(&Message::text("pong?")), Incoming::Message);
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
    fn ping(&mut self, _: PingId) -> Message {
        Message::Text(self.ping.clone())
    }

    fn read(&mut self, message: &Message) -> Incoming<Message> {
        match message {
            Message::Text(text) if *text == self.pong => Incoming::AnyPong,
            Message::Text(text) if *text == self.ping => {
                Incoming::Ping(Message::Text(self.pong.clone()))
            }
            other => control(other).unwrap_or(Incoming::Message),
        }
    }

    fn goodbye(&mut self, code: Option<CloseCode>) -> Option<Message> {
        Some(Message::Close(code.map(close_frame)))
    }
}

/// The close frame with this code, for `Session::stop_with`.
#[must_use]
pub fn goodbye(code: CloseCode) -> Message {
    Message::Close(Some(close_frame(code)))
}

pub(crate) fn close_frame(code: CloseCode) -> CloseFrame {
    CloseFrame {
        code: WireCode::from(code.0),
        reason: Utf8Bytes::default(),
    }
}

/// What an error says about how a connection or a dial ended, for
/// `Session::with_endings`: nothing failed where the transport just ended without a
/// close frame, and an answer to the handshake may be a refusal, which may say how
/// long to stay away.
///
/// A `Retry-After` is a number of seconds or a date (RFC 9110 section 10.2.3). A date
/// counts from the response's own `Date`, or else from this system's clock; one that is
/// past is a pause of zero.
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

/// What the protocol's own frames are; `None` for the application's.
#[inline]
fn control(message: &Message) -> Option<Incoming<Message>> {
    match message {
        Message::Pong(payload) => {
            Some(PingId::from_payload(payload).map_or(Incoming::Control, Incoming::Pong))
        }
        Message::Ping(_) => Some(Incoming::Control),
        Message::Close(frame) => Some(Incoming::Closed(Closed {
            code: frame.as_ref().map(|frame| CloseCode(frame.code.into())),
            ..Closed::default()
        })),
        Message::Text(_) | Message::Binary(_) | Message::Frame(_) => None,
    }
}
