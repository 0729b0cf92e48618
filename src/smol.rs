//! Parts for a [`Session`] on [smol](https://docs.rs/smol)
//! with [async-tungstenite](https://docs.rs/async-tungstenite) 0.35.
//!
//! ```no_run
//! use keepalive::smol::{client, connect};
//! use keepalive::{Config, Notice};
//!
//! smol::block_on(async {
//!     let dial = |_attempt| connect("ws://localhost:9001");
//!     let mut session = client(Config::default(), 42, dial);
//!     while let Some(notice) = session.next().await {
//!         if let Notice::Message(message) = notice {
//!             println!("{message}");
//!         }
//!     }
//! });
//! ```
//!
//! The application's messages come from any stream, such as a
//! `Box::pin`ned receiver of `smol::channel`. For `wss://`,
//! [`connect_over`] takes any TLS library.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::future::ready;
use std::io;
use std::time::{Duration, Instant};

use async_tungstenite::{WebSocketStream, client_async};
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;
use tungstenite::client::{IntoClientRequest, uri_mode};
use tungstenite::error::UrlError;
use tungstenite::stream::Mode;
use tungstenite::{Error, Message};

use crate::session::{self, Accepted, Connect, Counted, Counter, Session, Transport};
use crate::tungstenite::{ProtocolPings, authority, ending};
use crate::{Config, stall};

/// smol's timer. It allocates nothing.
#[derive(Debug)]
pub struct Timer(smol::Timer);

impl Timer {
    /// A timer that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self(smol::Timer::never())
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

/// A client whose messages are tungstenite's, with protocol pings.
pub fn client<C>(config: Config, seed: u64, connect: C) -> Session<C, Timer, ProtocolPings>
where
    C: Connect,
    C::Socket: Transport<Message = Message, Fault = Error>,
{
    Session::client(config, seed, ProtocolPings, Timer::new(), connect).with_endings(ending)
}

/// A server's accepted socket, with protocol pings.
pub fn accepted<S>(
    config: Config,
    seed: u64,
    socket: S,
) -> Session<Accepted<S>, Timer, ProtocolPings>
where
    S: Transport<Message = Message, Fault = Error>,
{
    Session::accepted(config, seed, ProtocolPings, Timer::new(), socket).with_endings(ending)
}

/// What [`connect`] makes.
pub type Socket = Counted<WebSocketStream<Tap<TcpStream>>>;

/// Connects to a `ws://` URL, or to a request for one. Its bytes are counted, for
/// [`with_progress`](Session::with_progress)`(Counted::progress)`.
///
/// # Errors
///
/// Fails if the URL is invalid, the network fails, or the server refuses; `wss://` is
/// `TlsFeatureNotEnabled`.
pub async fn connect<R: IntoClientRequest>(request: R) -> Result<Socket, Error> {
    let request = request.into_client_request()?;
    if matches!(uri_mode(request.uri())?, Mode::Tls) {
        return Err(Error::Url(UrlError::TlsFeatureNotEnabled));
    }
    connect_over(request, |tap| ready(Ok(tap))).await
}

/// The same over a stream that `secure` makes of the one to the server: the place
/// for TLS of any kind.
///
/// # Errors
///
/// Fails if the URL is invalid, the network or `secure` fails, or the server refuses.
pub async fn connect_over<R, F, T, S>(
    request: R,
    secure: F,
) -> Result<Counted<WebSocketStream<S>>, Error>
where
    R: IntoClientRequest,
    F: FnOnce(Tap<TcpStream>) -> T,
    T: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request.into_client_request()?;
    let socket = TcpStream::connect(authority(request.uri())?).await?;
    socket.set_nodelay(true)?;
    let counter = Counter::default();
    let stream = secure(Tap::new(socket, counter.clone())).await?;
    let (socket, _) = client_async(request, stream).await?;
    Ok(Counted::new(socket, counter))
}

/// A byte stream whose incoming bytes are counted, and whose writes end when they
/// stall; to stand below TLS and tungstenite.
#[derive(Debug)]
pub struct Tap<T> {
    stream: T,
    counter: Counter,
    limit: stall::Limit,
}

impl<T> Tap<T> {
    /// This stream, counted.
    pub const fn new(stream: T, counter: Counter) -> Self {
        let limit = stall::Limit::new(stall::TIMEOUT);
        Self {
            stream,
            counter,
            limit,
        }
    }

    /// For how long the system may take no byte of what is to be written until the
    /// stream has failed, with `TimedOut`; 20 s by default.
    ///
    /// Like TCP's user timeout this is the transport's own end: a peer that sends
    /// but never reads is alive, and would hold what is written for ever. It is
    /// looked at when the session writes, which it does at least once a ping
    /// interval; the time in between counts as a quarter of the timeout at most.
    #[must_use]
    pub const fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.limit = stall::Limit::new(timeout);
        self
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tap<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.limit.check()?;
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(read)) = &result {
            self.counter.add(*read);
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tap<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit.judge(written, Instant::now)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
