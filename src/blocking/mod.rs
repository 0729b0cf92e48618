//! The adapter for blocking tungstenite: one thread reads, ticks, pings, closes
//! and dials.
//!
//! ```
//! use keepalive::Config;
//! use keepalive::blocking::{Dialer, Notice, client};
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
//! let mut session = client(Config::default(), Dialer::new(url));
//! while let Some(notice) = session.next() {
//!     match notice {
//!         Notice::Opened { .. } => session.send(Message::text("Hello Server!"))?,
//!         Notice::Message(message) => {
//!             assert_eq!(message, Message::text("Hello Server!"));
//!             session.stop();
//!         }
//!         Notice::Down(down) => println!("{}; the next dial: {:?}", down.cause, down.retry),
//!         Notice::Stopped { reason, .. } => println!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # TLS
//!
//! With the feature `rustls` the URL of a [`Dialer`] may be `wss://`, and `Dialer::tls`
//! says which certificates are trusted: by default those that the system trusts.
//!
//! Any other TLS library goes over the [`Stream`], which has the deadline. Here is
//! rustls by hand:
//!
//! ```
//! use std::io;
//! use std::sync::Arc;
//!
//! use keepalive::blocking::{Dial, Stream};
//! use rustls::{ClientConfig, ClientConnection, StreamOwned};
//! use tungstenite::{Error, WebSocket};
//!
//! type Tls = StreamOwned<ClientConnection, Stream>;
//!
//! fn connect(dial: &Dial, config: &Arc<ClientConfig>) -> Result<WebSocket<Tls>, Error> {
//!     let url = "wss://example.org/socket";
//!     let (socket, _response) = dial.connect_over(url, None, |stream, url| {
//!         let host = url.host().unwrap_or_default().to_owned();
//!         let name = host.try_into().map_err(io::Error::other)?;
//!         let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
//!         Ok(StreamOwned::new(tls, stream))
//!     })?;
//!     Ok(socket)
//! }
//! ```
//!
//! The session is `client(config, move |dial: &Dial| connect(dial, &tls))`. Without
//! redirects, or with a stream of the application's own, it is [`Dial::tcp`] or
//! [`Dial::stream`], and then [`Dial::handshake`].
//!
//! # Servers
//!
//! An accepted socket is watched in the same way, on a thread of its own; the first
//! loss is final.
//!
//! ```
//! use std::net::TcpListener;
//! use std::time::Duration;
//!
//! use keepalive::Config;
//! use keepalive::blocking::{self, Notice};
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
//! for notice in blocking::accepted(Config::default(), socket, link) {
//!     match notice {
//!         Notice::Message(message) => println!("{message}"),
//!         Notice::Stopped { reason, .. } => println!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod clock;
mod connect;
mod dial;
mod io;
mod link;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
#[path = "../../tests/support/peer.rs"]
mod peer;
mod race;
mod session;
mod stream;
mod task;
mod wait;

pub use crate::driver::Bytes;
pub use connect::{Boxed, Connect, boxed};
pub use dial::{Dial, Dialer, Socket, accept};
pub use link::Link;
pub use session::{Client, Notice, Session, TimeUp, accepted, accepted_with, client, client_with};
pub use stream::Stream;
pub use task::Notices;
pub use tungstenite::Message;
pub use wait::Wait;
