use tungstenite::{Bytes, Message, Utf8Bytes};

use crate::{Codec, Incoming, PingId};

/// The pings of the WebSocket protocol (RFC 6455 section 5.5.2), with the id as
/// their payload. Every peer answers them by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolPings;

impl Codec<Message> for ProtocolPings {
    fn ping(&mut self, id: PingId) -> Message {
        Message::Ping(Bytes::copy_from_slice(&id.to_bytes()))
    }

    fn read(&mut self, message: &Message) -> Incoming<Message> {
        control(message).unwrap_or(Incoming::Message)
    }
}

/// Pings that are text messages of the application's protocol, for peers that
/// are browsers and for servers that ask for them.
///
/// A peer's text ping is answered with the text pong, and the application sees
/// neither. Where both texts are the same (a server that echoes) it is a pong.
///
/// ```
/// use keepalive::blocking::TextPings;
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
}

/// What the protocol's own frames are; `None` for the application's.
fn control(message: &Message) -> Option<Incoming<Message>> {
    match message {
        Message::Pong(payload) => {
            Some(PingId::from_payload(payload).map_or(Incoming::Control, Incoming::Pong))
        }
        Message::Ping(_) | Message::Close(_) => Some(Incoming::Control),
        Message::Text(_) | Message::Binary(_) | Message::Frame(_) => None,
    }
}
