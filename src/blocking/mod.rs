//! The adapter for blocking tungstenite: one thread reads, ticks, pings, closes
//! and dials.
//!
//! ```
//! use keepalive::Config;
//! use keepalive::blocking::{Dial, Notice, Session};
//! use tungstenite::Message;
//!
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let url = format!("ws://{}/", listener.local_addr()?);
//! # std::thread::spawn(move || {
//! #     let mut echo = tungstenite::accept(listener.accept().unwrap().0).unwrap();
//! #     while let Ok(message) = echo.read() {
//! #         let _ = echo.send(message);
//! #     }
//! # });
//! let seed = 42; // a different one per client
//! let mut session = Session::client(Config::default(), seed, |dial: &Dial| {
//!     dial.connect(url.as_str())
//! });
//! while let Some(notice) = session.next() {
//!     match notice {
//!         Notice::Opened => session.send(Message::text("Hello Server!"))?,
//!         Notice::Message(message) => {
//!             assert_eq!(message, Message::text("Hello Server!"));
//!             session.stop();
//!         }
//!         Notice::Down { cause, retry } => println!("{cause}; the next dial: {retry:?}"),
//!         Notice::Stopped(reason) => println!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # TLS
//!
//! With any TLS library, between [`Dial::tcp`] and [`Dial::handshake`]:
//! what has a deadline is the [`Wire`] below it. Here rustls:
//!
//! ```
//! use std::io;
//! use std::net::TcpStream;
//! use std::sync::Arc;
//!
//! use keepalive::blocking::{Dial, Wire};
//! use rustls::{ClientConfig, ClientConnection, StreamOwned};
//! use tungstenite::{Error, WebSocket};
//!
//! type Tls = StreamOwned<ClientConnection, Wire<TcpStream>>;
//!
//! fn connect(dial: &Dial, config: &Arc<ClientConfig>) -> Result<WebSocket<Tls>, Error> {
//!     let name = "example.org".try_into().map_err(io::Error::other)?;
//!     let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
//!     let stream = StreamOwned::new(tls, dial.tcp("example.org", 443)?);
//!     dial.handshake("wss://example.org/socket", stream)
//! }
//! ```
//!
//! # Servers
//!
//! A socket that was accepted is watched in the same way, on a thread of its own; the
//! first loss is final.
//!
//! ```
//! use std::net::TcpListener;
//! use std::time::Duration;
//!
//! use keepalive::Config;
//! use keepalive::blocking::{self, Notice, Session};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let address = listener.local_addr()?;
//! # std::thread::spawn(move || {
//! #     let (mut socket, _) = tungstenite::connect(format!("ws://{address}/")).unwrap();
//! #     let _ = socket.send("hello".into());
//! #     let _ = socket.close(None);
//! #     while socket.read().is_ok() {}
//! # });
//! let (socket, _) = listener.accept()?;
//! let (socket, link) = blocking::accept(socket, Duration::from_secs(10))?;
//! let seed = 42;
//! for notice in Session::accepted(Config::default(), seed, socket, link) {
//!     match notice {
//!         Notice::Message(message) => println!("{message}"),
//!         Notice::Stopped(reason) => println!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod connection;
mod dial;
mod error;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
#[path = "../../tests/support/peer.rs"]
mod peer;
mod session;
mod wire;

pub use crate::tungstenite::{ProtocolPings, TextPings};
pub use dial::{Dial, accept};
pub use error::SendError;
pub use session::{Notice, Session};
pub use wire::{Link, Socket, Wire};
