//! The adapter for any async runtime: one driver, and the parts that bind it.
//!
//! A [`Session`] owns one WebSocket at a time, of any library whose sockets are a
//! `Stream` of messages and a `Sink` for them. What differs between runtimes and
//! libraries is given to it: how to [`Connect`], a [`Timer`], and the library's
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
//! // By default a client comes back, whatever the code.
//! let config = Config::builder().policy(stop_when_refused).build().unwrap();
//! let (seed, dialect) = (42, NoFrames::new()); // another seed for each client
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
