//! A heartbeat and reconnect state machine for WebSockets, and for anything else
//! that is message-shaped and can go silent.
//!
//! A connection on which nobody speaks is cut on the way, and when the network
//! drops no close event comes. [`Heartbeat`] decides when to ping, when the peer is
//! dead, when to dial again, and does none of it: it has no clock, no socket and no
//! thread. This loop is the whole driver:
//!
//! ```
//! use core::time::Duration;
//! use keepalive::{Action, Config, Event, Heartbeat, Manner, StopReason};
//! # use keepalive::{CloseCode, Closed};
//! # struct Transport { now: Duration, events: Vec<Event>, dials: u32, pings: u32 }
//! # impl Transport {
//! #     fn now(&self) -> Duration { self.now }
//! #     fn wait(&mut self, deadline: Option<Duration>) -> Option<Event> {
//! #         let event = self.events.pop();
//! #         if event.is_none() { self.now = deadline.unwrap(); }
//! #         event
//! #     }
//! #     fn dial(&mut self) { self.dials += 1; self.events.push(Event::Opened); }
//! #     fn end(&mut self, _: Manner) {}
//! #     fn ping(&mut self, _: [u8; 8]) {
//! #         self.pings += 1;
//! #         if self.dials == 2 {
//! #             self.events.push(Event::Closed(Closed::with_code(CloseCode::GOING_AWAY)));
//! #         }
//! #     }
//! # }
//! # let mut transport = Transport { now: Duration::ZERO, events: vec![], dials: 0, pings: 0 };
//!
//! // A client that comes back once at most.
//! let config = Config::builder().max_attempts(Some(1)).build()?;
//! # let seed = 42;
//! let mut heartbeat = Heartbeat::new(config, seed); // a different seed per client
//! let mut event = Event::Start;
//! let reason = 'beat: loop {
//!     for action in heartbeat.handle(event, transport.now()) {
//!         match action {
//!             Action::Connect => transport.dial(),
//!             Action::SendPing(id) => transport.ping(id.to_bytes()),
//!             Action::Close(reason) => transport.end(reason.manner()),
//!             Action::Stopped(reason) => break 'beat reason,
//!             Action::ScheduleReconnect { .. } => {} // to show or to log
//!             Action::ArmDeadline(_) => {} // for timers; this loop asks for the deadline
//!         }
//!     }
//!     // What comes in first, or `None` when the deadline does.
//!     event = transport.wait(heartbeat.deadline()).unwrap_or(Event::Tick);
//! };
//!
//! // The first peer never answered; the second one went away.
//! assert_eq!((transport.dials, transport.pings), (2, 2));
//! assert_eq!(reason, StopReason::AttemptLimit);
//! # Ok::<(), keepalive::ConfigError>(())
//! ```
//!
//! In an `async` function it is the same loop, with or without an allocator, here with
//! [embassy](https://embassy.dev)'s `select`:
//!
//! ```
//! use core::future::pending;
//! use core::time::Duration;
//! use embassy_futures::select::{Either, select};
//! use keepalive::{Action, Event, Heartbeat, Manner, StopReason};
//! # use keepalive::{CloseCode, Closed, Config, PingId, stop_when_refused};
//! # struct Link { dials: u32 }
//! # fn now() -> Duration { Duration::ZERO }
//! # async fn sleep_until(_: Duration) {}
//! # impl Link {
//! #     async fn next(&mut self) -> Event {
//! #         if self.dials == 1 { Event::Closed(Closed::with_code(CloseCode::NORMAL)) } else { pending().await }
//! #     }
//! #     fn dial(&mut self) { self.dials += 1; }
//! #     fn ping(&mut self, _: PingId) {}
//! #     fn end(&mut self, _: Manner) {}
//! # }
//!
//! async fn run(heartbeat: &mut Heartbeat<Duration>, link: &mut Link) -> StopReason {
//!     let mut event = Event::Start;
//!     loop {
//!         for action in heartbeat.handle(event, now()) {
//!             match action {
//!                 Action::Connect => link.dial(),
//!                 Action::SendPing(id) => link.ping(id), // into a buffer: waits for nothing
//!                 Action::Close(reason) => link.end(reason.manner()),
//!                 Action::Stopped(reason) => return reason,
//!                 Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) => {}
//!             }
//!         }
//!         let deadline = async {
//!             match heartbeat.deadline() {
//!                 Some(at) => sleep_until(at).await,
//!                 None => pending().await,
//!             }
//!         };
//!         // What came in goes first; `next` also writes, and may be dropped.
//!         event = match select(link.next(), deadline).await {
//!             Either::First(event) => event,
//!             Either::Second(()) => Event::Tick,
//!         };
//!     }
//! }
//! # let config = Config::builder().policy(stop_when_refused).build().unwrap();
//! # let mut heartbeat = Heartbeat::new(config, 42);
//! # let mut link = Link { dials: 0 };
//! # let reason = embassy_futures::block_on(run(&mut heartbeat, &mut link));
//! # assert_eq!(reason, StopReason::Closed(Some(CloseCode::NORMAL)));
//! ```
//!
//! # Map
//!
//! - [`Heartbeat`]: the machine, its table of states, and its views.
//! - [`Event`] goes in: what happened. [`Action`] comes out: what to do.
//! - [`Config`]: the settings, from [`Config::builder`]; [`ConfigError`] names what
//!   is out of bounds.
//! - [`Policy`], [`Loss`] and [`Retry`]: what a loss means for reconnecting.
//! - [`RoundTrip`]: how long answers take.
//! - [`Instant`]: what the machine asks of a clock.
//! - `driver` (feature `alloc`): what lies between the machine and a socket, for every
//!   adapter; your own takes about a page. What adapters share with the application is in the
//!   root too.
//! - `blocking` (a feature): the adapter for blocking tungstenite.
//! - `session` (feature `async`): the adapter for any async runtime and library; `tokio`,
//!   `smol`, `tokio_websockets`, `axum` and `web` (features) are clients and servers with it.
//! - `fleet` (feature `alloc`): many connections with one timer, for a loop of your
//!   own; with `std` and `async` shared by the tasks of any runtime.
//! - `Shutdown` (feature `std`): sends all of a server's sessions away.
//! - [`guide`]: guides of ten minutes: [all settings](guide::settings),
//!   [intervals behind proxies](guide::intervals),
//!   [pings of the usual protocols](guide::pings), [laptops and phones](guide::devices),
//!   [browsers](guide::browsers), [servers](guide::servers),
//!   [a million connections](guide::crowds), [logins](guide::logins),
//!   [refused logins](guide::refusals), [lost messages](guide::lost_messages),
//!   [tests](guide::testing), [your own event loop](guide::event_loop),
//!   [metrics](guide::metrics), [costs](guide::costs),
//!   [moving from something else](guide::migrating), and
//!   [what versions promise](guide::stability).
//!
//! # Features
//!
//! None is on by default; the core needs neither `std` nor an allocator.
//!
//! - `std`: [`Instant`] for `std::time::Instant`, handles, and `Shutdown`; brings `alloc`.
//! - `alloc`: the driver, and fleets; needs an allocator.
//! - `blocking`: the adapter for blocking tungstenite 0.30; brings `std`.
//! - `async`: the adapter for any async runtime; needs an allocator.
//! - `tokio`, `smol`: timer and connector for it, with tokio-tungstenite 0.30 and
//!   async-tungstenite 0.35; bring `std` and `tungstenite`.
//! - `web`: the browser's `WebSocket` and timers for it, on wasm32-unknown-unknown; brings
//!   `std`. Nothing on other targets.
//! - `tungstenite`: codecs for tungstenite's messages.
//! - `rustls`: `wss://` for the dialers of `blocking`, `tokio`, `smol` and
//!   `tokio-websockets`, with the system's root certificates; others, and client
//!   certificates, by `Tls`.
//! - `tokio-websockets`: the same parts with tokio-websockets 0.12 or 0.13; brings `tokio`,
//!   whose way to dial it uses.
//! - `axum`: a server's sockets on axum 0.8; brings `std`.
//! - `serde`: reads and writes a [`Config`].
//! - `tracing`: events from the adapters; brings `std`.
//! - `metrics`: [counters, gauges and histograms](guide::metrics) of sessions and fleets, for
//!   any recorder of the `metrics` facade; brings `std`.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod action;
#[cfg(feature = "axum")]
pub mod axum;
mod backoff;
#[cfg(feature = "blocking")]
pub mod blocking;
mod config;
#[cfg(feature = "tungstenite")]
mod dial;
#[cfg(feature = "alloc")]
pub mod driver;
mod ending;
mod error;
mod event;
#[cfg(feature = "alloc")]
pub mod fleet;
#[cfg(feature = "alloc")]
mod goodbye;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "std")]
mod handle;
mod heartbeat;
mod machine;
#[cfg(feature = "alloc")]
mod meter;
mod open;
mod policy;
mod random;
mod rtt;
#[cfg(feature = "alloc")]
mod send_error;
#[cfg(feature = "async")]
pub mod session;
#[cfg(feature = "std")]
mod shutdown;
#[cfg(feature = "smol")]
pub mod smol;
#[cfg(any(
    feature = "axum",
    feature = "blocking",
    feature = "smol",
    feature = "tokio"
))]
mod system;
mod time;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
mod tls;
#[cfg(any(feature = "axum", feature = "tokio"))]
pub mod tokio;
#[cfg(feature = "tokio-websockets")]
pub mod tokio_websockets;
#[cfg(feature = "alloc")]
mod trace;
#[cfg(feature = "tungstenite")]
pub mod tungstenite;
#[cfg(all(
    feature = "web",
    any(all(target_arch = "wasm32", target_os = "unknown"), keepalive_docs)
))]
pub mod web;

pub use action::{Action, Actions, CloseReason, Manner, StopReason};
pub use config::{Config, ConfigBuilder};
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
pub use dial::Dialer;
#[cfg(feature = "alloc")]
pub use driver::{
    Cause, Codec, Counts, Down, Incoming, KeepingError, Lost, Notice, Plain, Planned, Rejected,
};
pub use ending::Ending;
pub use error::ConfigError;
pub use event::{CloseCode, Closed, Epoch, Event, PingId, Refused, Retry};
#[cfg(feature = "alloc")]
pub use goodbye::{Goodbye, GoodbyeError};
#[cfg(feature = "std")]
pub use handle::{Backlog, EndError, Gone, Handle, OpenError, ReconfigureError, Status};
#[cfg(feature = "std")]
#[doc(hidden)]
pub use handle::{Desk, Wish};
pub use heartbeat::{Heartbeat, State};
#[cfg(feature = "metrics")]
pub use meter::describe_metrics;
pub use policy::{Loss, Policy, default_policy, stop_when_refused};
pub use rtt::RoundTrip;
#[cfg(feature = "alloc")]
pub use send_error::{SendError, Unsendable};
#[cfg(feature = "std")]
pub use shutdown::Shutdown;
pub use time::Instant;
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
pub use tls::MaybeTls;
#[cfg(all(
    feature = "rustls",
    any(feature = "blocking", feature = "smol", feature = "tokio")
))]
pub use tls::{Tls, TlsError};

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "blocking",
    feature = "smol",
    feature = "tokio"
))]
#[doc = include_str!("../README.md")]
struct Readme;
