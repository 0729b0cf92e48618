use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::driver::{Codec, Deciding, Dialect, Frame, Incoming};
use crate::{CloseCode, CloseReason, Closed, PingId, Unsendable};

/// What comes in and goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes, which a page gets as an `ArrayBuffer`.
    Binary(Vec<u8>),
    /// The end, with a code and words. It is the library's to send and to read: stop the
    /// session instead.
    Close(Option<CloseCode>, String),
}

impl Message {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Bytes.
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Its text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) | Self::Close(..) => None,
        }
    }
}

/// A browser's messages, to the driver: it has no pings, and sends no other close codes
/// than 1000 and 3000-4999.
///
/// ```
/// use keepalive::driver::Dialect;
/// use keepalive::web::{Browser, Message};
/// use keepalive::{CloseCode, CloseReason};
///
/// let mut say = |code| Browser.goodbye(CloseReason::Stop, Some(CloseCode(code)), "bye");
/// let bye = |code| Some(Message::Close(Some(CloseCode(code)), "bye".to_owned()));
/// assert_eq!((say(1000), say(4001)), (bye(1000), bye(4001)));
/// // Without a code there are no words.
/// assert_eq!(say(1001), Some(Message::Close(None, String::new())));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Browser;

impl Dialect for Browser {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Text(_) | Message::Binary(_) => Frame::Data,
            Message::Close(code, words) => {
                let closed = Closed::from(*code);
                Frame::Close(closed, words.clone())
            }
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        match message {
            Message::Text(text) => Ok(text.len()),
            Message::Binary(bytes) => Ok(bytes.len()),
            Message::Close(..) => Err(Unsendable::Control),
        }
    }

    fn ping(&mut self, _: PingId) -> Option<Message> {
        None
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        let code = code.filter(|code| matches!(code.0, 1000 | 3000..=4999));
        let words = code.map_or("", |_| words);
        Some(Message::Close(code, words.to_owned()))
    }
}

/// A codec whose [`ping`](Codec::ping) is always a message, which is what a client in a
/// browser needs: [`client_with`](super::client_with).
///
/// Pairs of closures and [`TextPings`] have pings. A codec of your own declares that it
/// does. If its `ping` returns `None` all the same, the session stops with
/// [`Cause::NoPing`](crate::Cause::NoPing) as soon as a ping is due.
///
/// ```
/// use keepalive::web::{HasPing, Message};
/// use keepalive::{Codec, Incoming, PingId};
///
/// struct Phoenix {
///     count: u64,
/// }
///
/// impl Codec<Message> for Phoenix {
///     type Message = Message;
///
///     fn ping(&mut self, _: PingId) -> Option<Message> {
///         self.count += 1;
///         let count = self.count;
///         Some(Message::text(format!(r#"[null,"{count}","phoenix","heartbeat",{{}}]"#)))
///     }
///
///     fn read(&mut self, data: Message) -> Incoming<Message, Message> {
///         match data.as_text() {
///             Some(text) if text.contains(r#""phoenix","phx_reply""#) => Incoming::AnyPong,
///             _ => Incoming::Message(data),
///         }
///     }
/// }
///
/// impl HasPing for Phoenix {}
///
/// let ping = Phoenix { count: 0 }.ping(PingId::from_bytes([0; 8]));
/// let text = r#"[null,"1","phoenix","heartbeat",{}]"#;
/// assert_eq!(ping, Some(Message::text(text)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` may have no pings, and a browser has none either",
    label = "the server would never be pinged",
    note = "for pings by text use `web::client`, or give `TextPings::new(ping, pong)` or a pair of closures",
    note = "for a codec with a `ping` of its own: `impl keepalive::web::HasPing for ... {{}}`",
    note = "for a server that sends something by itself use `web::listener` or `web::listener_with`"
)]
pub trait HasPing {}

impl HasPing for TextPings {}

impl<P, R> HasPing for (P, R) {}

impl<C: HasPing, F> HasPing for Deciding<C, F> {}

/// Pings that are text messages, by default `ping` and `pong`.
///
/// A peer's text ping is answered with the text pong, and the application sees neither.
/// Where both texts are the same (a server that echoes) it is a pong.
///
/// ```
/// use keepalive::web::{Message, TextPings};
/// use keepalive::{Codec, Incoming, PingId};
///
/// let mut codec = TextPings::default();
/// let ping = codec.ping(PingId::from_bytes([0; 8]));
/// assert_eq!(ping, Some(Message::text("ping")));
/// assert_eq!(codec.read(Message::text("pong")), Incoming::AnyPong);
/// assert_eq!(codec.read(Message::text("ping")), Incoming::Ping(Message::text("pong")));
/// let message = Message::text("pong?");
/// assert_eq!(codec.read(message.clone()), Incoming::Message(message));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPings {
    ping: String,
    pong: String,
}

impl TextPings {
    /// Pings with these texts.
    pub fn new(ping: impl Into<String>, pong: impl Into<String>) -> Self {
        Self {
            ping: ping.into(),
            pong: pong.into(),
        }
    }
}

impl Default for TextPings {
    fn default() -> Self {
        Self::new("ping", "pong")
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
