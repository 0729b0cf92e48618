//! Parts for a [`Session`] in a browser: its `WebSocket`, its timers, and its news of
//! the network. For wasm32-unknown-unknown, in a page or in a worker; on other targets
//! this module does not exist.
//!
//! ```no_run
//! use keepalive::Config;
//! use keepalive::driver::Notice;
//! use keepalive::web::{Dialer, Message, client};
//! # fn show(_: &str) {}
//!
//! fn start() {
//!     // The server answers the text "ping" with the text "pong".
//!     let client = client(Config::default(), Dialer::new("/feed"));
//!     let (handle, mut notices) = client.spawn(); // the handle is for buttons and other tasks
//!     wasm_bindgen_futures::spawn_local(async move {
//!         while let Some(notice) = notices.next().await {
//!             match notice {
//!                 // On each connection, ahead of what the others send. It takes any text.
//!                 Notice::Opened { .. } => drop(notices.send(Message::text("It is me"))),
//!                 Notice::Message(Message::Text(text)) => show(&text),
//!                 Notice::Down(down) => show(&down.cause.to_string()),
//!                 _ => {}
//!             }
//!         }
//!     });
//!     wasm_bindgen_futures::spawn_local(async move {
//!         drop(handle.send(Message::text("Hello Server!")).await);
//!     });
//! }
//! ```
//!
//! # Pings
//!
//! A browser answers the server's pings by itself, and lets a page neither see them nor
//! send any. **So pings are messages, which the server has to answer:**
//!
//! - [`client`] sends the text `ping` and expects the text `pong`. With a server that
//!   does not answer it, a connection on which nothing else comes in is taken for dead.
//! - [`client_with`] takes the pings of another protocol, as a
//!   [`Codec`]. One that has no pings of its own, such as [`Plain`], does not compile.
//! - [`listener`] and [`listener_with`] send none, for servers that send something by
//!   themselves: silence for `idle_timeout` is death.
//!
//! # The network
//!
//! On `online` and `offline`, and when a page becomes visible again, a client pings at
//! once, or brings its next dial forward, as
//! [`network_changed`](Session::network_changed) says. The same goes for a machine that
//! slept. To decide that otherwise, build the [`Session`] from its parts:
//!
//! ```no_run
//! use keepalive::Config;
//! use keepalive::session::Session;
//! use keepalive::web::{Browser, Dialer, TextPings, Timer, seed};
//!
//! let (pings, dialer) = (TextPings::default(), Dialer::new("/feed"));
//! let session = Session::client(Config::default(), seed(), Browser, pings, Timer::new(), dialer);
//! ```
//!
//! # What browsers do not do
//!
//! - They do not say why a dial failed, so a refused login looks as a network that is
//!   gone. To be told, let the server accept and then close, with a code of its own such
//!   as 4401.
//! - They have no headers to set: send a token as the first message, or in the URL.
//! - They send no other close codes than 1000 and 3000-4999: in place of another one
//!   goes a close frame without a code, and without words.
//! - They read on when the page does not: what comes in waits in memory, without bound.
//! - In hidden tabs their timers fire once a second, later once a minute. A client is then
//!   late to find a dead server, and blames none for its own delay.

mod bell;
mod dialer;
mod global;
mod message;
mod socket;
mod timer;

use futures_core::Stream;

pub use dialer::{Connector, Dialer, Dialling, connect};
pub use global::seed;
pub use message::{Browser, HasPing, Message, TextPings};
pub use socket::{Error, Socket};
pub use timer::Timer;

use crate::driver::{Codec, Dialect, Plain};
use crate::session::{self, Connect, Session, Silent, Task, Transport};
use crate::{Config, Handle};

/// A client in a browser.
pub type Client<K = TextPings> = Session<Connector, Timer, Browser, K>;

/// A client that pings by the text `ping`, which **the server has to answer with the
/// text `pong`**; it is answered likewise. Its seed is random.
///
/// For other pings there is [`client_with`], for none [`listener`].
pub fn client<C>(config: Config, connect: C) -> Client
where
    C: Connect<Socket = Socket> + 'static,
{
    client_with(config, TextPings::default(), connect)
}

/// The same with a codec of the application's: other pings, and messages decoded if
/// need be. That it has pings is to be declared: [`HasPing`].
///
/// ```no_run
/// use keepalive::driver::Incoming;
/// use keepalive::web::{Dialer, Message, client_with};
/// use keepalive::Config;
///
/// let pings = (
///     |_| Message::text(r#"{"op":"ping"}"#),
///     |message: Message| match message.as_text() {
///         Some(r#"{"op":"pong"}"#) => Incoming::AnyPong,
///         _ => Incoming::Message(message),
///     },
/// );
/// let client = client_with(Config::default(), pings, Dialer::new("wss://localhost/v1"));
/// ```
///
/// ```compile_fail,E0277
/// use keepalive::driver::Plain;
/// use keepalive::web::{Dialer, client_with};
/// use keepalive::Config;
///
/// // `Plain` may have no pings, and a browser has none either.
/// let client = client_with(Config::default(), Plain, Dialer::new("wss://localhost/v1"));
/// ```
pub fn client_with<C, K>(config: Config, codec: K, connect: C) -> Client<K>
where
    C: Connect<Socket = Socket> + 'static,
    K: Codec<Message> + HasPing,
{
    build(config, codec, connect)
}

/// A client that sends no pings, whatever the settings say: for servers that send
/// something by themselves more often than each `idle_timeout`. Silence for that long
/// is death. Its seed is random.
///
/// Pings of the protocol do not count, since the page does not see them. News of the
/// network bring a dial forward, and ask nothing of an open connection.
pub fn listener<C>(config: Config, connect: C) -> Client<Plain>
where
    C: Connect<Socket = Socket> + 'static,
{
    listener_with(config, Plain, connect)
}

/// The same with a codec of the application's, which may answer the server's pings.
pub fn listener_with<C, K>(config: Config, codec: K, connect: C) -> Client<K>
where
    C: Connect<Socket = Socket> + 'static,
    K: Codec<Message>,
{
    build(without_pings(config), codec, connect)
}

fn build<C, K>(config: Config, codec: K, connect: C) -> Client<K>
where
    C: Connect<Socket = Socket> + 'static,
    K: Codec<Message>,
{
    let (connector, timer) = (Connector::new(connect), Timer::new());
    Session::client(config, seed(), Browser, codec, timer, connector)
        .with_bytes(Socket::bytes)
        .with_system_time(global::system_time)
}

/// In listen-only, and without the settings that contradict it.
fn without_pings(config: Config) -> Config {
    let settings = config
        .to_builder()
        .listen_only(true)
        .always_ping(false)
        .strict_pongs(false)
        .confirm_within(None);
    settings.build().unwrap_or(Config::listener())
}

impl<C, D, K, O> Session<C, Timer, D, K, O>
where
    C: Connect,
    D: Dialect<Message = <C::Socket as Transport>::Message> + Clone + Send + Sync + 'static,
    K: Codec<D::Message>,
    O: Stream<Item = D::Message> + Unpin,
    Task<C, Timer, D, K, O>: 'static,
{
    /// Gives the session a task of its own, where it beats whatever the application does
    /// meanwhile: a handle to send and steer, and what it reports. As
    /// [`into_task`](Self::into_task), spawned on this thread.
    ///
    /// ```no_run
    /// use keepalive::driver::Notice;
    /// use keepalive::web::{Dialer, Message, client};
    /// use keepalive::{Config, Handle};
    ///
    /// async fn run() {
    ///     let (handle, mut notices) = client(Config::default(), Dialer::new("/orders")).spawn();
    ///     wasm_bindgen_futures::spawn_local(order(handle));
    ///     while let Some(notice) = notices.next().await {
    ///         if let Notice::Opened { .. } = notice {
    ///             // Fails for what is no text and no bytes.
    ///             let _ = notices.send(Message::text("the login"));
    ///         }
    ///     }
    /// }
    ///
    /// async fn order(handle: Handle<Message>) {
    ///     // Fails once the session is stopped.
    ///     let _ = handle.send(Message::text("an order")).await;
    /// }
    /// ```
    #[allow(clippy::type_complexity)]
    pub fn spawn(mut self) -> (Handle<D::Message>, session::Notices<C, Timer, D, K, O>) {
        let handle = self.handle();
        let (task, notices) = self.into_task();
        wasm_bindgen_futures::spawn_local(task);
        (handle, notices)
    }
}

/// What the task of a [`Client`] reports.
pub type Notices<K = TextPings> = session::Notices<Connector, Timer, Browser, K, Silent<Message>>;
