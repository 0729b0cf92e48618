//! yawc's WebSocket, a client's.

use futures_util::StreamExt;
use keepalive::driver::{Dialect, Frame};
use keepalive::session::{Connect, Session, Transport};
use keepalive::tokio::Timer;
use keepalive::{CloseCode, CloseReason, Closed, Config, PingId, Plain, Unsendable};
use yawc::{Frame as Message, OpCode, WebSocket, WebSocketError};

/// yawc's messages.
#[derive(Clone, Copy, Debug)]
pub struct Yawc;

impl Dialect for Yawc {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message.opcode() {
            OpCode::Text | OpCode::Binary | OpCode::Continuation => Frame::Data,
            OpCode::Ping => Frame::Control,
            OpCode::Pong => {
                PingId::from_payload(message.payload()).map_or(Frame::Control, Frame::Pong)
            }
            OpCode::Close => {
                let code = message.close_code().map(|code| CloseCode(code.into()));
                let closed = code.map_or_else(Closed::default, Closed::with_code);
                let words = message.close_reason().ok().flatten().unwrap_or_default();
                Frame::Close(closed, words.to_owned())
            }
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        let is_data = !message.opcode().is_control();
        is_data
            .then(|| message.payload().len())
            .ok_or(Unsendable::Control)
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::ping(id.to_bytes().to_vec()))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        let CloseCode(code) = code.unwrap_or(CloseCode::NORMAL);
        Some(Message::close(code.into(), words))
    }
}

/// A client of this URL.
pub fn client(
    config: Config,
    url: String,
) -> Session<
    impl Connect<Socket = impl Transport<Message = Message, Fault = WebSocketError>>,
    Timer,
    Yawc,
    Plain,
> {
    let dial = move |_attempt| {
        let url = url.parse();
        async {
            let socket = WebSocket::connect(url.map_err(WebSocketError::from)?).await?;
            // Its stream ends where it fails.
            Ok(socket.map(Ok))
        }
    };
    Session::client(config, fastrand::u64(..), Yawc, Plain, Timer::new(), dial)
}
