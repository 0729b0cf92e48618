//! The adapter for any async runtime: one driver, and the parts that bind it.
//!
//! A [`Session`] owns one WebSocket at a time, of any library whose sockets are a
//! `Stream` of messages and a `Sink` for them. What differs between runtimes and
//! libraries is passed in: how to [`Connect`], a [`Timer`], and the library's
//! [`Dialect`](crate::driver::Dialect); what differs between applications is their
//! [`Codec`](crate::driver::Codec). It needs an allocator for its dials, and neither
//! `std` nor a runtime.
//!
//! ```
//! use core::task::{Context, Poll};
//! use core::time::Duration;
//! use keepalive::driver::{Incoming, NoFrames, Notice};
//! use keepalive::session::{Session, Sleeper};
//! use keepalive::{CloseCode, Closed, Config, stop_when_refused};
//! # use core::{convert::Infallible, future, pin::Pin};
//! # use futures_core::Stream;
//! # use futures_sink::Sink;
//! # struct Socket(Vec<&'static str>);
//! # impl Stream for Socket {
//! #     type Item = Result<&'static str, Infallible>;
//! #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
//! #         self.0.pop().map_or(Poll::Pending, |message| Poll::Ready(Some(Ok(message))))
//! #     }
//! # }
//! # impl Sink<&'static str> for Socket {
//! #     type Error = Infallible;
//! #     fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
//! #     fn start_send(self: Pin<&mut Self>, _: &'static str) -> Result<(), Infallible> { Ok(()) }
//! #     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
//! #     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
//! # }
//! # async fn dial() -> Result<Socket, Infallible> { Ok(Socket(vec!["bye", "hello"])) }
//! # fn block_on<F: Future>(future: F) -> F::Output {
//! #     let mut future = Box::pin(future);
//! #     let mut context = Context::from_waker(core::task::Waker::noop());
//! #     loop { if let Poll::Ready(output) = future.as_mut().poll(&mut context) { return output } }
//! # }
//!
//! // A protocol in which pings are texts, and "bye" is a close.
//! let texts = (
//!     |_ping| "ping",
//!     |text| match text {
//!         "pong" => Incoming::AnyPong,
//!         "bye" => Incoming::Closed(Closed::with_code(CloseCode::NORMAL), String::new()),
//!         _ => Incoming::Message(text.to_owned()),
//!     },
//! );
//!
//! # block_on(async {
//! let timer = Sleeper::new(|| Duration::ZERO, |_at| future::pending::<()>());
//! // By default a client reconnects, whatever the code.
//! let config = Config::builder().policy(stop_when_refused).build().unwrap();
//! # let seed = 42;
//! // A different seed per client, or they act in lockstep.
//! let dialect = NoFrames::new();
//! let mut session = Session::client(config, seed, dialect, texts, timer, |_attempt| dial());
//! let mut told = Vec::new();
//! while let Some(notice) = session.next().await {
//!     match notice {
//!         Notice::Message(message) => told.push(message),
//!         Notice::Stopped { reason, .. } => told.push(reason.to_string()),
//!         _ => {}
//!     }
//! }
//! assert_eq!(told, ["hello", "closed with code 1000"]);
//! # });
//! ```
//!
//! # Libraries that fit
//!
//! For `tokio` and `smol` there are features. Sockets of the other libraries below fit as
//! they are; what each needs is a [`Dialect`](crate::driver::Dialect) for its messages, of
//! some 40 lines. It is implemented for a type of your own, so the orphan rule is not in the
//! way. (A library whose `poll_close` reads and discards messages needs
//! [`close_discards`](crate::driver::Dialect::close_discards), too.) Each of them is compiled, and talks to a peer, in `tests/fits` of the repository: copy
//! the file.
//!
//! | library | version | its messages | what it takes | to copy |
//! | --- | --- | --- | --- | --- |
//! | warp | 0.4.3 | `warp::ws::Message` | a dialect | `warp.rs` |
//! | poem | 3.1.12 | `poem::web::websocket::Message` | a dialect | `poem.rs` |
//! | salvo | 1.1.0 | `salvo::websocket::Message` | a dialect | `salvo.rs` |
//! | hyper-tungstenite | 0.30.0 | tungstenite's | nothing: `tokio::accepted(config, socket)` | `hyper_tungstenite.rs` |
//! | reqwest-websocket | 0.6.0 | `reqwest_websocket::Message` | a dialect | `reqwest_websocket.rs` |
//! | yawc | 0.5.0 | `yawc::Frame` | a dialect, and `.map(Ok)`, since its stream ends where it fails | `yawc.rs` |
//! | tokio-util | 0.7.20 | lines: `String` | [`NoFrames`](crate::driver::NoFrames), and a codec with your pings | `framed.rs` |
//! | tokio-util | 0.7.20 | `Bytes` with a length | the same, and `.map_ok(BytesMut::freeze)` | `framed.rs` |
//! | actix-ws | 0.4.0 | `actix_ws::Message` | [`Joined`] of its two halves, a dialect, and a codec that answers pings | `actix_ws.rs` |
//!
//! A dialect for messages as most libraries have them:
//!
//! ```
//! use keepalive::driver::{Dialect, Frame};
//! use keepalive::{CloseCode, CloseReason, Closed, PingId, Unsendable};
//! # enum Message { Text(String), Binary(Vec<u8>), Ping(Vec<u8>), Pong(Vec<u8>), Close(Option<(u16, String)>) }
//!
//! struct Theirs;
//!
//! impl Dialect for Theirs {
//!     type Message = Message;
//!
//!     fn frame(&self, message: &Message) -> Frame {
//!         match message {
//!             Message::Text(_) | Message::Binary(_) => Frame::Data,
//!             Message::Ping(_) => Frame::Control, // the library answers it
//!             Message::Pong(payload) => {
//!                 PingId::from_payload(payload).map_or(Frame::Control, Frame::Pong)
//!             }
//!             Message::Close(None) => Frame::Close(Closed::default(), String::new()),
//!             Message::Close(Some((code, words))) => {
//!                 Frame::Close(Closed::with_code(CloseCode(*code)), words.clone())
//!             }
//!         }
//!     }
//!
//!     fn size(&self, message: &Message) -> Result<usize, Unsendable> {
//!         match message {
//!             Message::Text(text) => Ok(text.len()),
//!             Message::Binary(bytes) => Ok(bytes.len()),
//!             _ => Err(Unsendable::Control),
//!         }
//!     }
//!
//!     fn ping(&mut self, id: PingId) -> Option<Message> {
//!         Some(Message::Ping(id.to_bytes().to_vec()))
//!     }
//!
//!     fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
//!         Some(Message::Close(code.map(|code| (code.0, words.to_owned()))))
//!     }
//! }
//!
//! let Some(Message::Ping(payload)) = Theirs.ping(PingId::from_bytes(*b"12345678")) else {
//!     panic!();
//! };
//! assert_eq!(
//!     Theirs.frame(&Message::Pong(payload)),
//!     Frame::Pong(PingId::from_bytes(*b"12345678")),
//! );
//! ```

mod adapter;
mod connect;
mod counted;
mod io;
mod joined;
mod measured;
#[cfg(feature = "std")]
mod task;
mod timer;

pub use adapter::{Session, Silent};
pub use connect::{Accepted, Boxed, Connect, Dialling, Transport, boxed, connect_to};
pub use counted::{Counted, Counter};
pub use joined::{Joined, JoinedError};
pub use measured::Measured;
#[cfg(any(feature = "smol", feature = "tokio"))]
pub use measured::TungsteniteSocket;
#[cfg(feature = "std")]
pub use task::{Notices, Task};
pub use timer::{Sleeper, Timer};
