//! warp's WebSocket, a server's.

use keepalive::driver::{Dialect, Frame};
use keepalive::session::{Accepted, Session};
use keepalive::tokio::Timer;
use keepalive::{CloseCode, CloseReason, Closed, Config, PingId, Plain, Unsendable};
use warp::ws::{Message, WebSocket};

/// warp's messages.
#[derive(Clone, Copy, Debug)]
pub struct Warp;

impl Dialect for Warp {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        if message.is_close() {
            let (code, words) = message.close_frame().unzip();
            let closed =
                code.map_or_else(Closed::default, |code| Closed::with_code(CloseCode(code)));
            Frame::Close(closed, words.unwrap_or_default().to_owned())
        } else if message.is_pong() {
            PingId::from_payload(message.as_bytes()).map_or(Frame::Control, Frame::Pong)
        } else if message.is_ping() {
            Frame::Control
        } else {
            Frame::Data
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        let is_data = message.is_text() || message.is_binary();
        is_data
            .then(|| message.as_bytes().len())
            .ok_or(Unsendable::Control)
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::ping(id.to_bytes().to_vec()))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        Some(code.map_or_else(Message::close, |CloseCode(code)| {
            Message::close_with(code, words.to_owned())
        }))
    }
}

/// Watches over an accepted socket.
pub fn accepted(
    config: Config,
    socket: WebSocket,
) -> Session<Accepted<WebSocket>, Timer, Warp, Plain> {
    Session::accepted(config, fastrand::u64(..), Warp, Plain, Timer::new(), socket)
}
