//! Parts for a [`Session`] on [smol](https://docs.rs/smol)
//! with [async-tungstenite](https://docs.rs/async-tungstenite) 0.35.
//!
//! ```no_run
//! use keepalive::Config;
//! use keepalive::driver::Notice;
//! use keepalive::smol::{Dialer, Message, client};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! smol::block_on(async {
//!     let mut session = client(Config::default(), Dialer::new("ws://localhost:9001"));
//!     let handle = session.handle(); // for the other tasks
//!     smol::spawn(async move { handle.send(Message::text("Hello Server!")).await }).detach();
//!     while let Some(notice) = session.next().await {
//!         match notice {
//!             // On each connection, ahead of what the others send.
//!             Notice::Opened { .. } => session.send(Message::text("It is me"))?,
//!             Notice::Message(message) => println!("{message}"),
//!             Notice::Down(down) => eprintln!("down: {}", down.cause),
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! })
//! # }
//! ```
//!
//! With the feature `rustls` the URL may be `wss://`, and `Dialer::tls` says which
//! certificates are trusted: by default those that the system trusts. [`connect_over`]
//! takes any other TLS library.

use core::future::{pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{io, thread};

use async_executor::Executor;
use async_io::{Timer as Sleep, block_on};
use async_net::TcpStream;
use async_tungstenite::{WebSocketStream, accept_async, client_async_with_config};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use socket2::SockRef;
use tungstenite::Error;
pub use tungstenite::Message;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::http::Uri;

use crate::dial::{Begun, Held, Target, prepare};
use crate::driver::{Codec, Dialect, Plain};
use crate::session::{
    self, Accepted, Boxed, Connect, Counted, Counter, Dialling, Measured, Session, Silent, Task,
    Transport, TungsteniteSocket,
};
use crate::tungstenite::{Tungstenite, ending};
use crate::{Config, Handle, MaybeTls, system};

/// smol's timer. It allocates nothing.
#[derive(Debug)]
pub struct Timer(Sleep);

impl Timer {
    /// A timer that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self(Sleep::never())
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl session::Timer for Timer {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn set(&mut self, at: Instant) {
        self.0.set_at(at);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

/// A client whose type can be named: its connector is [`boxed`](session::boxed).
///
/// ```no_run
/// use keepalive::Config;
/// use keepalive::session::boxed;
/// use keepalive::smol::{Client, Dialer, client};
///
/// struct Feed {
///     client: Client,
/// }
///
/// let dialer = boxed(Dialer::new("ws://localhost:9001"));
/// let feed = Feed { client: client(Config::default(), dialer) };
/// ```
pub type Client<S = Socket, K = Plain> = Session<Boxed<S>, Timer, Tungstenite, K>;

/// A client whose messages are tungstenite's, with protocol pings. Its seed is random.
pub fn client<C>(config: Config, connect: C) -> Session<C, Timer, Tungstenite, Plain>
where
    C: Connect,
    C::Socket: TungsteniteSocket,
{
    client_with(config, Plain, connect)
}

/// The same with the application's own codec: other pings, or decoded messages.
pub fn client_with<C, K>(config: Config, codec: K, connect: C) -> Session<C, Timer, Tungstenite, K>
where
    C: Connect,
    C::Socket: TungsteniteSocket,
    K: Codec<Message>,
{
    let (seed, dialect) = (system::random(), Tungstenite::new());
    Session::client(config, seed, dialect, codec, Timer::new(), connect)
        .with_bytes(Measured::bytes)
        .with_limit(Measured::limit)
        .with_system_time(system::system_time)
        .with_endings(ending)
}

/// A server's WebSocket handshake on an accepted socket, within this time. Bytes are counted
/// on it, and `TCP_NODELAY` is set, since pings are small.
///
/// Over TLS, or with a callback of your own: put the socket under a [`Tap`] and do the
/// handshake over that; [`Counted`] joins the two.
///
/// # Errors
///
/// tungstenite's; if the handshake takes longer, `Io` with `TimedOut`.
///
/// ```no_run
/// use std::time::Duration;
///
/// use keepalive::smol::{accept, accepted};
/// use keepalive::{Config, Notice, Shutdown};
/// use smol::net::TcpStream;
///
/// async fn serve(socket: TcpStream, shutdown: Shutdown) -> Result<(), tungstenite::Error> {
///     let socket = accept(socket, Duration::from_secs(10)).await?;
///     let mut session = accepted(Config::default(), socket);
///     shutdown.add(session.handle());
///     while let Some(notice) = session.next().await {
///         if let Notice::Message(message) = notice {
///             println!("{message}");
///         }
///     }
///     Ok(())
/// }
/// ```
pub async fn accept(socket: TcpStream, within: Duration) -> Result<Served, Error> {
    prepare(&SockRef::from(&socket))?;
    let counter = Counter::default();
    let mut handshake = pin!(accept_async(Tap::new(socket, counter.clone())));
    let mut late = Sleep::after(within);
    let accepted = poll_fn(|context| match handshake.as_mut().poll(context) {
        Poll::Ready(accepted) => Poll::Ready(accepted),
        Poll::Pending => {
            let timed_out = Pin::new(&mut late).poll(context);
            timed_out.map(|_| Err(Error::Io(io::ErrorKind::TimedOut.into())))
        }
    });
    Ok(Counted::new(accepted.await?, counter))
}

/// What [`accept`] makes.
pub type Served = Counted<WebSocketStream<Tap<TcpStream>>>;

/// A server's accepted socket, with protocol pings. Its seed is random.
pub fn accepted<S>(config: Config, socket: S) -> Session<Accepted<S>, Timer, Tungstenite, Plain>
where
    S: TungsteniteSocket,
{
    accepted_with(config, Plain, socket)
}

/// The same with the application's own codec.
pub fn accepted_with<S, K>(
    config: Config,
    codec: K,
    socket: S,
) -> Session<Accepted<S>, Timer, Tungstenite, K>
where
    S: TungsteniteSocket,
    K: Codec<Message>,
{
    let (seed, dialect) = (system::random(), Tungstenite::new());
    Session::accepted(config, seed, dialect, codec, Timer::new(), socket)
        .with_bytes(Measured::bytes)
        .with_limit(Measured::limit)
        .with_endings(ending)
}

impl<C, D, K, O> Session<C, Timer, D, K, O>
where
    C: Connect,
    D: Dialect<Message = <C::Socket as Transport>::Message> + Clone + Send + Sync + 'static,
    K: Codec<D::Message>,
    O: Stream<Item = D::Message> + Unpin,
    Task<C, Timer, D, K, O>: Send + 'static,
{
    /// Gives the session a task of its own, where its heartbeat goes on whatever the
    /// application does meanwhile. Returns a handle, which sends messages and controls
    /// the session, and its notices. This is [`into_task`](Self::into_task), spawned.
    ///
    /// ```no_run
    /// use keepalive::Config;
    /// use keepalive::driver::Notice;
    /// use keepalive::smol::{Dialer, client};
    /// use tungstenite::Message;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let dialer = Dialer::new("ws://localhost:9001");
    /// let (handle, mut notices) = client(Config::default(), dialer).spawn();
    /// handle.send(Message::text("an order")).await?;
    /// while let Some(notice) = notices.next().await {
    ///     match notice {
    ///         // Pings are sent and answered while this loop is busy.
    ///         Notice::Opened { .. } => notices.send(Message::text("the login"))?,
    ///         Notice::Message(message) => println!("{message}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[allow(clippy::type_complexity)]
    pub fn spawn(mut self) -> (Handle<D::Message>, session::Notices<C, Timer, D, K, O>) {
        let handle = self.handle();
        let (task, notices) = self.into_task();
        spawn(task);
        (handle, notices)
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    static EXECUTOR: Executor<'static> = Executor::new();
    static IS_RUN: Mutex<bool> = Mutex::new(false);

    let mut is_run = IS_RUN.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_run {
        let thread = thread::Builder::new().name("keepalive".into());
        // A task that panics ends alone.
        let forever = || loop {
            let _ = catch_unwind(|| block_on(EXECUTOR.run(pending::<()>())));
        };
        *is_run = thread.spawn(forever).is_ok();
    }
    if *is_run {
        EXECUTOR.spawn(task).detach();
    }
}

/// What the task of a [`Client`] reports.
pub type Notices<S = Socket, K = Plain> =
    session::Notices<Boxed<S>, Timer, Tungstenite, K, Silent<Message>>;

/// What [`connect`] makes.
pub type Socket = Counted<WebSocketStream<MaybeTls<Tap<TcpStream>>>>;

/// Connects to a URL, or to a request for one, as a [`Dialer`] without settings does.
/// Its bytes are counted.
///
/// # Errors
///
/// As [`Dialer::connect`].
pub async fn connect<R: IntoClientRequest>(request: R) -> Result<Socket, Error> {
    let (socket, _) = Dialer::new(request).connect().await?;
    Ok(socket)
}

/// The same over a stream that `secure` makes of the one to the server: the place
/// for TLS of any other kind.
///
/// # Errors
///
/// As [`Dialer::connect_over`].
pub async fn connect_over<R, F, T, S>(
    request: R,
    secure: F,
) -> Result<Counted<WebSocketStream<S>>, Error>
where
    R: IntoClientRequest,
    F: FnMut(Tap<TcpStream>, Uri) -> T,
    T: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (socket, _) = Dialer::new(request).connect_over(secure).await?;
    Ok(socket)
}

/// A [`Dialer`](crate::Dialer) on smol.
///
/// ```no_run
/// use keepalive::Config;
/// use keepalive::smol::{Dialer, client};
/// use tungstenite::protocol::WebSocketConfig;
///
/// let limits = WebSocketConfig::default().max_message_size(Some(1 << 20));
/// let dialer = Dialer::new("ws://localhost:9001").websocket(limits);
/// let session = client(Config::default(), dialer);
///
/// // The same by hand, to see the answer to the handshake.
/// let session = client(Config::default(), |_attempt| async move {
///     let dialer = Dialer::new("ws://localhost:9001").websocket(limits);
///     let (socket, response) = dialer.connect().await?;
///     println!("{:?}", response.headers());
///     Ok(socket)
/// });
/// ```
pub type Dialer = crate::dial::Dialer<Timer>;

impl Dialer {
    /// Connects to a URL: `ws://`, and with the feature `rustls` `wss://`. Also returns
    /// the response to the handshake.
    ///
    /// # Errors
    ///
    /// Fails if the URL is invalid, the network or TLS fails, or the server refuses; what
    /// failed in TLS is a `TlsError` inside `Io`.
    pub async fn connect(self) -> Result<(Socket, Response), Error> {
        let tls = self.tls.clone();
        let dial = self.begin(Target::supported)?;
        open(dial, |tap, url| {
            let session = tls.session(&url);
            async { MaybeTls::new(tap, session?).shaken_on_smol().await }
        })
        .await
    }

    /// The same over a stream that `secure` makes of the one to the server: the place for
    /// TLS of any other kind.
    ///
    /// It is called again for each redirect that is followed, with the URL that this
    /// stream leads to: the host to verify, and whether it is `wss` at all.
    ///
    /// # Errors
    ///
    /// Fails if the URL is invalid, the network or `secure` fails, or the server refuses.
    pub async fn connect_over<F, T, S>(
        self,
        secure: F,
    ) -> Result<(Counted<WebSocketStream<S>>, Response), Error>
    where
        F: FnMut(Tap<TcpStream>, Uri) -> T,
        T: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        open(self.begin(Target::of)?, secure).await
    }
}

impl Connect for Dialer {
    type Socket = Socket;
    type Dial = Dialling<Socket>;

    fn connect(&mut self, _: u32) -> Dialling<Socket> {
        let dialer = self.again();
        Box::pin(async { Ok(dialer.connect().await?.0) })
    }
}

async fn open<F, T, S>(
    mut dial: Begun,
    mut secure: F,
) -> Result<(Counted<WebSocketStream<S>>, Response), Error>
where
    F: FnMut(Tap<TcpStream>, Uri) -> T,
    T: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let socket = dial.tcp(Timer::new(), TcpStream::connect).await?;
        let counter = Counter::default();
        let tap = Tap::new(socket, counter.clone());
        let stream = secure(tap, dial.request().uri().clone()).await?;
        let request = dial.request().clone();
        match client_async_with_config(request, stream, dial.websocket).await {
            Ok((socket, response)) => return Ok((Counted::new(socket, counter), response)),
            Err(Error::Http(response)) => dial.redirect(response)?,
            Err(error) => return Err(error),
        }
    }
}

/// A byte stream whose bytes are counted; it goes below TLS and tungstenite.
///
/// When a write fails, the peer's last words may lie unread: a close code, for example.
/// So the error is held back until a read finds nothing more, which then fails with it;
/// until then writes are pending.
#[derive(Debug)]
pub struct Tap<T> {
    stream: T,
    counter: Counter,
    held: Held,
}

impl<T> Tap<T> {
    /// This stream, counted.
    pub const fn new(stream: T, counter: Counter) -> Self {
        Self {
            stream,
            counter,
            held: Held::new(),
        }
    }

    /// The stream.
    pub const fn get_ref(&self) -> &T {
        &self.stream
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tap<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let tap = &mut *self;
        let read = Pin::new(&mut tap.stream).poll_read(context, buffer);
        let count = match &read {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        tap.held.read(&tap.counter, count, read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tap<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = &mut *self;
        tap.held.write(&tap.counter, context, |context| {
            Pin::new(&mut tap.stream).poll_write(context, bytes)
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
