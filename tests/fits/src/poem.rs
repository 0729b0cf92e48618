//! poem's WebSocket, a server's.

use keepalive::driver::{Dialect, Frame};
use keepalive::session::{Accepted, Session};
use keepalive::tokio::Timer;
use keepalive::{CloseCode, CloseReason, Closed, Config, PingId, Plain, Unsendable};
use poem::web::websocket::{Message, WebSocketStream};

/// poem's messages.
#[derive(Clone, Copy, Debug)]
pub struct Poem;

impl Dialect for Poem {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Text(_) | Message::Binary(_) => Frame::Data,
            Message::Ping(_) => Frame::Control,
            Message::Pong(payload) => {
                PingId::from_payload(payload).map_or(Frame::Control, Frame::Pong)
            }
            Message::Close(None) => Frame::Close(Closed::default(), String::new()),
            Message::Close(Some((code, words))) => {
                let code = CloseCode(u16::from(*code));
                Frame::Close(Closed::with_code(code), words.clone())
            }
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        let is_data = message.is_text() || message.is_binary();
        is_data
            .then(|| message.as_bytes().len())
            .ok_or(Unsendable::Control)
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::ping(id.to_bytes()))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        Some(code.map_or_else(Message::close, |CloseCode(code)| {
            Message::close_with(code, words)
        }))
    }
}

/// Watches over an accepted socket.
pub fn accepted(
    config: Config,
    socket: WebSocketStream,
) -> Session<Accepted<WebSocketStream>, Timer, Poem, Plain> {
    Session::accepted(config, fastrand::u64(..), Poem, Plain, Timer::new(), socket)
}
