//! Clients and servers on [tokio](https://docs.rs/tokio) with
//! [tokio-websockets](https://docs.rs/tokio-websockets) 0.12 or 0.13: the functions have the
//! names that those of [`keepalive::tokio`](crate::tokio) have.
//!
//! ```no_run
//! use keepalive::tokio_websockets::{Dialer, Message, client};
//! use keepalive::{Config, Notice};
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
//!         Notice::Message(message) => println!("{}", message.as_text().unwrap_or_default()),
//!         Notice::Down(down) => eprintln!("down: {}", down.cause),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Of a server that refuses a dial the library tells the status alone. So a redirect is not
//! followed but is a refusal, and `Retry-After` is not heard of.

use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use ::tokio::net::TcpStream;
use ::tokio::time::timeout;
pub use ::tokio_websockets::Message;
use ::tokio_websockets::client::DISALLOWED_HEADERS;
use ::tokio_websockets::upgrade::{self, Response};
use ::tokio_websockets::{
    ClientBuilder, CloseCode as WireCode, Config as WebSocketConfig, Error, Limits, ServerBuilder,
    WebSocketStream,
};
use socket2::SockRef;
use tungstenite::client::IntoClientRequest;

use crate::dial::{Target, prepare};
use crate::driver::{Codec, Dialect, Frame, Plain};
use crate::session::{
    Accepted, Boxed, Connect, Counted, Counter, Dialling, Measured, Session, Transport,
};
use crate::tokio::{Dialer as TokioDialer, Tap, Timer};
use crate::{
    CloseCode, CloseReason, Closed, Config, Ending, MaybeTls, PingId, Refused, Unsendable, system,
};

/// A client whose type can be named: its connector is [`boxed`](crate::session::boxed).
pub type Client<S = Socket, K = Plain> = Session<Boxed<S>, Timer, TokioWebsockets, K>;

/// A client whose messages are those of tokio-websockets, with protocol pings. Its seed is
/// random.
pub fn client<C>(config: Config, connect: C) -> Session<C, Timer, TokioWebsockets, Plain>
where
    C: Connect,
    C::Socket: Transport<Message = Message, Fault = Error> + Measured,
{
    client_with(config, Plain, connect)
}

/// The same with the application's own codec: other pings, or decoded messages.
pub fn client_with<C, K>(
    config: Config,
    codec: K,
    connect: C,
) -> Session<C, Timer, TokioWebsockets, K>
where
    C: Connect,
    C::Socket: Transport<Message = Message, Fault = Error> + Measured,
    K: Codec<Message>,
{
    let seed = system::random();
    Session::client(config, seed, TokioWebsockets, codec, Timer::new(), connect)
        .with_bytes(Measured::bytes)
        .with_limit(Measured::limit)
        .with_system_time(system::system_time)
        .with_endings(ending)
}

/// A server's WebSocket handshake on an accepted socket, within this time. Bytes are counted
/// on it, and `TCP_NODELAY` is set, since pings are small.
///
/// # Errors
///
/// tokio-websockets'; if the handshake takes longer, `Io` with `TimedOut`.
pub async fn accept(socket: TcpStream, within: Duration) -> Result<Served, Error> {
    prepare(&SockRef::from(&socket))?;
    let counter = Counter::default();
    let server = ServerBuilder::new();
    let handshake = server.accept(Tap::new(socket, counter.clone()));
    match timeout(within, handshake).await {
        Ok(done) => Ok(Counted::new(done?.1, counter)),
        Err(_) => Err(Error::Io(ErrorKind::TimedOut.into())),
    }
}

/// What [`accept`] makes.
pub type Served = Counted<WebSocketStream<Tap<TcpStream>>>;

/// A server's accepted socket, with protocol pings. Its seed is random. The first loss is
/// final: reconnecting is off, whatever the settings say.
pub fn accepted<S>(config: Config, socket: S) -> Session<Accepted<S>, Timer, TokioWebsockets, Plain>
where
    S: Transport<Message = Message, Fault = Error> + Measured,
{
    accepted_with(config, Plain, socket)
}

/// The same with the application's own codec.
pub fn accepted_with<S, K>(
    config: Config,
    codec: K,
    socket: S,
) -> Session<Accepted<S>, Timer, TokioWebsockets, K>
where
    S: Transport<Message = Message, Fault = Error> + Measured,
    K: Codec<Message>,
{
    let seed = system::random();
    Session::accepted(config, seed, TokioWebsockets, codec, Timer::new(), socket)
        .with_bytes(Measured::bytes)
        .with_limit(Measured::limit)
        .with_endings(ending)
}

/// What a [`Dialer`] connects.
pub type Socket = Counted<WebSocketStream<MaybeTls<Tap<TcpStream>>>>;

/// A URL and how to dial it: as the [`Dialer`](crate::Dialer) of the other adapters, which
/// says how addresses are tried and what is set on the socket; redirects are not followed.
///
/// ```no_run
/// use keepalive::Config;
/// use keepalive::tokio_websockets::{Dialer, client};
/// use tokio_websockets::Limits;
///
/// let limits = Limits::default().max_payload_len(Some(1 << 20));
/// let dialer = Dialer::new("ws://localhost:9001").limits(limits);
/// let session = client(Config::default(), dialer);
/// ```
#[derive(Clone, Debug)]
pub struct Dialer {
    dialer: TokioDialer,
    websocket: WebSocketConfig,
    limits: Limits,
}

impl Dialer {
    /// A dialer for this URL, or for a request, which may have headers of the application's,
    /// each of them once. If it is invalid, each dial says so.
    pub fn new(request: impl IntoClientRequest) -> Self {
        Self {
            dialer: TokioDialer::new(request),
            websocket: WebSocketConfig::default(),
            limits: Limits::default(),
        }
    }

    /// Sets how outgoing messages are cut into frames and flushed.
    #[must_use]
    pub const fn websocket(mut self, config: WebSocketConfig) -> Self {
        self.websocket = config;
        self
    }

    /// Sets how long an incoming message may be; 64 MiB by default.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// As [`Dialer::to`](crate::Dialer::to).
    #[must_use]
    pub fn to(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.dialer = self.dialer.to(addresses);
        self
    }

    /// As [`Dialer::send_buffer`](crate::Dialer::send_buffer).
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.dialer = self.dialer.send_buffer(bytes);
        self
    }

    /// As [`Dialer::tls`](crate::Dialer::tls).
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, tls: impl Into<crate::Tls>) -> Self {
        self.dialer = self.dialer.tls(tls);
        self
    }

    /// Connects to a URL: `ws://`, and with the feature `rustls` `wss://`. Also returns the
    /// response to the handshake.
    ///
    /// # Errors
    ///
    /// Fails if the URL is invalid, the network or TLS fails, or the server refuses; an
    /// invalid URL is `Io` with `InvalidInput`, and what failed in TLS is a `TlsError` inside
    /// `Io`.
    pub async fn connect(self) -> Result<(Socket, Response), Error> {
        let tls = self.dialer.tls.clone();
        let dial = self.dialer.begin(Target::supported).map_err(plain)?;
        let socket = dial.tcp(Timer::new(), TcpStream::connect).await;
        let socket = socket.map_err(plain)?;
        let counter = Counter::default();
        let tap = Tap::new(socket, counter.clone());
        let request = dial.request();
        let session = tls.session(request.uri())?;
        let stream = MaybeTls::new(tap, session).shaken_on_tokio().await?;
        let mut client = ClientBuilder::from_uri(request.uri().clone())
            .config(self.websocket)
            .limits(self.limits);
        for (name, value) in request.headers() {
            // The library has those of its own that a handshake needs.
            if !DISALLOWED_HEADERS.contains(name) {
                client = client.add_header(name.clone(), value.clone())?;
            }
        }
        let (socket, response) = client.connect_on(stream).await?;
        Ok((Counted::new(socket, counter), response))
    }
}

impl Connect for Dialer {
    type Socket = Socket;
    type Dial = Dialling<Socket>;

    fn connect(&mut self, _: u32) -> Dialling<Socket> {
        let dialer = self.clone();
        Box::pin(async { Ok(dialer.connect().await?.0) })
    }
}

fn plain(error: tungstenite::Error) -> Error {
    Error::Io(match error {
        tungstenite::Error::Io(error) => error,
        error => io::Error::new(ErrorKind::InvalidInput, error),
    })
}

impl<S> Measured for WebSocketStream<S> {}

/// How the driver sees the messages of tokio-websockets. The protocol's pings carry their id
/// as their payload (RFC 6455 section 5.5.2), and every peer answers them by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokioWebsockets;

impl Dialect for TokioWebsockets {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        if message.is_pong() {
            let id = PingId::from_payload(message.as_payload());
            id.map_or(Frame::Control, Frame::Pong)
        } else if message.is_ping() {
            Frame::Control // the library has answered
        } else if let Some((code, words)) = message.as_close() {
            let code = (code != WireCode::NO_STATUS_RECEIVED).then(|| CloseCode(code.into()));
            let closed = Closed::from(code);
            Frame::Close(closed, words.to_owned())
        } else {
            Frame::Data
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        if message.is_text() || message.is_binary() {
            Ok(message.as_payload().len())
        } else {
            Err(Unsendable::Control)
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::ping(id.to_bytes().to_vec()))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        let code = code.and_then(|CloseCode(code)| WireCode::try_from(code).ok());
        Some(Message::close(code, words))
    }

    fn close_discards(&self) -> bool {
        true
    }
}

/// What an error says about how a connection or a dial ended, for
/// [`Session::with_endings`]: nothing failed if the transport just ended without a close
/// frame, and an answer to the handshake may be a refusal.
#[must_use]
pub fn ending(error: &Error) -> Ending {
    match error {
        Error::AlreadyClosed => Ending::Closed(Closed::default()),
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Ending::Closed(Closed::default())
        }
        Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => {
            Ending::Refused(Refused::with_status(*status))
        }
        _ => Ending::Failed,
    }
}

#[cfg(test)]
mod tests {
    use core::pin::Pin;
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::task::{Context, Poll};
    use std::sync::Arc;
    use std::vec::Vec;

    use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;
    use crate::{Cause, Notice};

    /// A peer that has answered our goodbye when it is asked for the second time.
    #[derive(Default)]
    struct Peer {
        has_heard: bool,
        asked: usize,
        says: Vec<u8>,
        is_shut: Arc<AtomicBool>,
    }

    impl AsyncRead for Peer {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.asked += usize::from(self.has_heard);
            if self.asked == 1 {
                context.waker().wake_by_ref();
            }
            if self.asked < 2 || self.says.is_empty() {
                return Poll::Pending;
            }
            buffer.put_slice(&core::mem::take(&mut self.says));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.has_heard = true;
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut.store(true, Ordering::Relaxed);
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_comes_while_it_closes_is_told() {
        let peer = Peer {
            says: b"\x81\x04late\x88\x02\x03\xe8".to_vec(),
            ..Peer::default()
        };
        let is_shut = Arc::clone(&peer.is_shut);
        let socket = ClientBuilder::new().take_over(peer);
        let runtime = ::tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let told = runtime.block_on(async {
            let mut session = accepted(Config::default(), socket);
            session.stop();
            let mut told = Vec::new();
            while let Some(notice) = session.next().await {
                match notice {
                    Notice::Message(message) => told.push(message.as_text().unwrap().to_owned()),
                    Notice::Down(down) => {
                        assert!(matches!(down.cause, Cause::Stopped), "{}", down.cause);
                    }
                    _ => {}
                }
            }
            told
        });
        assert_eq!(told, ["late"]);
        assert!(is_shut.load(Ordering::Relaxed));
    }
}
