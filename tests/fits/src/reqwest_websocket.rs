//! reqwest-websocket's WebSocket, a client's.

use keepalive::driver::{Dialect, Frame};
use keepalive::session::{Connect, Session};
use keepalive::tokio::Timer;
use keepalive::{CloseCode, CloseReason, Closed, Config, PingId, Plain, Unsendable};
use reqwest::Client;
use reqwest_websocket::{Message, Upgrade, WebSocket};

/// reqwest-websocket's messages.
#[derive(Clone, Copy, Debug)]
pub struct Reqwest;

impl Dialect for Reqwest {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Text(_) | Message::Binary(_) => Frame::Data,
            Message::Ping(_) => Frame::Control,
            Message::Pong(payload) => {
                PingId::from_payload(payload).map_or(Frame::Control, Frame::Pong)
            }
            Message::Close { code, reason } => {
                // 1005: the frame has no code.
                let code = Some(CloseCode(u16::from(*code))).filter(|code| code.0 != 1005);
                let closed = code.map_or_else(Closed::default, Closed::with_code);
                Frame::Close(closed, reason.clone())
            }
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        match message {
            Message::Text(text) => Ok(text.len()),
            Message::Binary(bytes) => Ok(bytes.len()),
            _ => Err(Unsendable::Control),
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::Ping(id.to_bytes().to_vec().into()))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        let CloseCode(code) = code.unwrap_or(CloseCode::NORMAL);
        let reason = words.to_owned();
        Some(Message::Close {
            code: code.into(),
            reason,
        })
    }
}

/// A client that dials by this HTTP client, with its proxy, cookies and TLS.
pub fn client(
    config: Config,
    client: Client,
    url: String,
) -> Session<impl Connect<Socket = WebSocket>, Timer, Reqwest, Plain> {
    let dial = move |_attempt| {
        let request = client.get(&url).upgrade();
        async { request.send().await?.into_websocket().await }
    };
    Session::client(
        config,
        fastrand::u64(..),
        Reqwest,
        Plain,
        Timer::new(),
        dial,
    )
}
