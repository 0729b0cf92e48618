//! A server's sockets on [axum](https://docs.rs/axum) 0.8: watched, pinged, and closed with
//! 1001 when the server goes.
//!
//! ```no_run
//! use axum::Router;
//! use axum::extract::ws::WebSocketUpgrade;
//! use axum::routing::any;
//! use keepalive::axum::accepted;
//! use keepalive::{Config, Notice, Shutdown};
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let shutdown = Shutdown::new();
//! let clients = shutdown.clone();
//! let echo = any(|upgrade: WebSocketUpgrade| async move {
//!     upgrade.on_upgrade(|socket| async move {
//!         let mut session = accepted(Config::default(), socket);
//!         clients.add(session.handle());
//!         while let Some(notice) = session.next().await {
//!             match notice {
//!                 Notice::Message(message) => drop(session.send(message)),
//!                 Notice::Down(down) => println!("a client is gone: {}", down.cause),
//!                 _ => {}
//!             }
//!         }
//!     })
//! });
//!
//! let listener = TcpListener::bind("127.0.0.1:9001").await?;
//! let interrupt = async { drop(tokio::signal::ctrl_c().await) };
//! axum::serve(listener, Router::new().route("/", echo))
//!     .with_graceful_shutdown(interrupt)
//!     .await?;
//! shutdown.close().await; // everyone is sent away with 1001
//! # Ok(())
//! # }
//! ```
//!
//! axum does not say how many bytes came in, so only whole messages count as life: a client
//! whose message takes longer than `ping_interval` and `pong_timeout` together is taken for
//! dead. Nor does it say of an end without a close frame that it is no failure.

pub use ::axum::extract::ws::Message;
use ::axum::extract::ws::{CloseFrame, WebSocket};

use crate::driver::{Codec, Dialect, Frame, Plain};
use crate::session::{Accepted, Session};
use crate::tokio::Timer;
use crate::{CloseCode, CloseReason, Closed, Config, PingId, Unsendable, system};

/// Watches an accepted socket, with protocol pings. Its seed is random. The first loss is
/// final; a stop says 1001.
pub fn accepted(config: Config, socket: WebSocket) -> Served {
    accepted_with(config, Plain, socket)
}

/// The same with the application's own codec: other pings, or decoded messages.
pub fn accepted_with<K: Codec<Message>>(config: Config, codec: K, socket: WebSocket) -> Served<K> {
    let seed = system::random();
    Session::accepted(config, seed, Axum, codec, Timer::new(), socket)
}

/// The session of an accepted socket.
pub type Served<K = Plain> = Session<Accepted<WebSocket>, Timer, Axum, K>;

/// How the driver sees axum's messages. The protocol's pings carry their id as their payload
/// (RFC 6455 section 5.5.2), and every peer answers them by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axum;

impl Dialect for Axum {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Text(_) | Message::Binary(_) => Frame::Data,
            Message::Pong(payload) => {
                PingId::from_payload(payload).map_or(Frame::Control, Frame::Pong)
            }
            // It is answered already.
            Message::Ping(_) => Frame::Control,
            Message::Close(frame) => {
                let closed = Closed::from(frame.as_ref().map(|frame| CloseCode(frame.code)));
                let words = frame.as_ref().map(|frame| frame.reason.as_str().to_owned());
                Frame::Close(closed, words.unwrap_or_default())
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
        Some(Message::Close(code.map(|CloseCode(code)| CloseFrame {
            code,
            reason: words.into(),
        })))
    }
}
