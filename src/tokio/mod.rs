//! A timer for a [`Session`](crate::session::Session) on [tokio](https://docs.rs/tokio), and
//! with the feature `tokio` clients and servers with
//! [tokio-tungstenite](https://docs.rs/tokio-tungstenite) 0.30.
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use keepalive::Config;
//! use keepalive::driver::Notice;
//! use keepalive::tokio::{Dialer, Message, client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut session = client(Config::default(), Dialer::new("ws://localhost:9001"));
//! let handle = session.handle(); // for the other tasks
//! tokio::spawn(async move { handle.send(Message::text("Hello Server!")).await });
//! while let Some(notice) = session.next().await {
//!     match notice {
//!         // On each connection, ahead of what the others send.
//!         Notice::Opened { .. } => session.send(Message::text("It is me"))?,
//!         Notice::Message(message) => println!("{message}"),
//!         Notice::Down(down) => eprintln!("down: {}", down.cause),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `rustls` the URL may be `wss://`, and `Dialer::tls` says which
//! certificates are trusted: by default those that the system trusts. [`connect_over`]
//! takes any other TLS library.

#[cfg(feature = "tokio")]
mod client;
mod runtime;

#[cfg(feature = "tokio")]
pub use client::{
    Client, Dialer, Notices, Served, Socket, Tap, accept, accepted, accepted_with, client,
    client_with, connect, connect_over,
};
pub use runtime::{Channel, Timer};
#[cfg(feature = "tokio")]
pub use tungstenite::Message;
