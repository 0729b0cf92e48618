use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::task::Poll;
use std::time::{Duration, Instant};

use mio::net::TcpStream as TcpSocket;
use socket2::SockRef;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeRole;
use tungstenite::handshake::client::Response;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, WebSocket};

use super::link::Link;
use super::race::{Race, Standing};
use super::stream::Stream;
use super::wait::Wait;
use crate::MaybeTls;
use crate::dial::{self, Addresses, Begun, Lookup, Target};

/// What a [`Dialer`] connects.
pub type Socket = WebSocket<MaybeTls<Stream>>;

/// One dial of a session: its number, its deadline, and the way to put a socket under
/// that deadline.
///
/// The deadline holds for everything together: name resolution, all addresses, TCP,
/// TLS, and the WebSocket handshake. A wait for any of these also ends when a handle of
/// the session ends the dial.
#[derive(Debug)]
pub struct Dial {
    link: Link,
    attempt: u32,
}

impl Dial {
    /// A dial on this wait, until then.
    #[must_use]
    pub fn new(wait: Wait, deadline: Instant, attempt: u32) -> Self {
        Self {
            link: Link::new(wait, deadline),
            attempt,
        }
    }

    /// The other end of its stream.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// When this dial counts as failed.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.link.deadline()
    }

    /// Which retry it is since the last stable connection; 0 for the first dial.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Connects to the first address of this host that answers. `TCP_NODELAY` is set,
    /// since pings are small.
    ///
    /// # Errors
    ///
    /// `TimedOut` at the deadline, `ConnectionAborted` if the dial was ended from
    /// outside; otherwise the last address's error.
    pub fn tcp(&self, host: &str, port: u16) -> io::Result<Stream> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = self.resolve(Lookup::new(host, port))?;
        let socket = self.first_of(addresses)?;
        dial::prepare(&SockRef::from(&socket))?;
        self.link.stream_of(socket)
    }

    /// Puts an already connected socket under the deadline.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn stream(&self, socket: TcpStream) -> io::Result<Stream> {
        self.link.stream(socket)
    }

    /// The WebSocket handshake on a [`Stream`], or on TLS over one.
    ///
    /// # Errors
    ///
    /// tungstenite's; if the deadline passes, `Io` with `TimedOut`.
    pub fn handshake<S: Read + Write>(
        &self,
        request: impl IntoClientRequest,
        stream: S,
    ) -> Result<WebSocket<S>, Error> {
        let (socket, _) = self.handshake_with(request, stream, None)?;
        Ok(socket)
    }

    /// The same with limits for frames and messages. Gives the response, too.
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake).
    pub fn handshake_with<S: Read + Write>(
        &self,
        request: impl IntoClientRequest,
        stream: S,
        limits: Option<WebSocketConfig>,
    ) -> Result<(WebSocket<S>, Response), Error> {
        tungstenite::client::client_with_config(request, stream, limits).map_err(plain)
    }

    /// Everything in one call, as a [`Dialer`] without settings does.
    ///
    /// Three redirects are followed. `Authorization`, `Cookie` and `Proxy-Authorization`
    /// do not go to another host or port.
    ///
    /// # Errors
    ///
    /// tungstenite's; if the deadline passes, `Io` with `TimedOut`.
    pub fn connect(&self, request: impl IntoClientRequest) -> Result<Socket, Error> {
        let (socket, _) = self.connect_with(request, None)?;
        Ok(socket)
    }

    /// The same with limits for frames and messages. Gives the response, too.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        &self,
        request: impl IntoClientRequest,
        limits: Option<WebSocketConfig>,
    ) -> Result<(Socket, Response), Error> {
        with_limits(request, limits).connect(self)
    }

    /// The same over a stream that `secure` makes of the one to the server: the place for
    /// TLS of any other kind.
    ///
    /// It is called again for each redirect that is followed, with the URL that this
    /// stream leads to: the host to verify, and whether it is `wss` at all.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and those of `secure`.
    pub fn connect_over<S: Read + Write>(
        &self,
        request: impl IntoClientRequest,
        limits: Option<WebSocketConfig>,
        secure: impl FnMut(Stream, &Uri) -> io::Result<S>,
    ) -> Result<(WebSocket<S>, Response), Error> {
        with_limits(request, limits).connect_over(self, secure)
    }

    fn open<S: Read + Write>(
        &self,
        mut begun: Begun,
        mut secure: impl FnMut(Stream, &Uri) -> io::Result<S>,
    ) -> Result<(WebSocket<S>, Response), Error> {
        loop {
            let stream = self.tcp_of(&begun)?;
            let request = begun.request().clone();
            let stream = secure(stream, request.uri())?;
            match self.handshake_with(request, stream, begun.websocket) {
                Err(Error::Http(response)) => begun.redirect(response)?,
                result => return result,
            }
        }
    }

    fn tcp_of(&self, begun: &Begun) -> Result<Stream, Error> {
        let addresses = match begun.addresses()? {
            Addresses::Given(addresses) => addresses,
            Addresses::Of(lookup) => self.resolve(lookup)?,
        };
        let socket = self.first_of(addresses)?;
        begun.prepare(&SockRef::from(&socket))?;
        Ok(self.link.stream_of(socket)?)
    }

    /// Connects to the first of these that answers; starts are staggered.
    pub(super) fn first_of(&self, addresses: Vec<SocketAddr>) -> io::Result<TcpSocket> {
        let mut race = Race::new(addresses);
        let mut now = self.link.check()?;
        loop {
            match race.run(self.link.wait(), now)? {
                Standing::Won(mut socket) => {
                    self.link.wait().deregister(&mut socket)?;
                    return Ok(socket);
                }
                Standing::Open(until) => now = self.link.connecting(until)?,
            }
        }
    }

    fn resolve(&self, mut lookup: Lookup) -> io::Result<Vec<SocketAddr>> {
        let waker = self.link.waker();
        self.link.check()?;
        loop {
            match lookup.poll(&waker) {
                Poll::Ready(found) => return found,
                Poll::Pending => self.link.connecting(None)?,
            };
        }
    }
}

/// A [`Dialer`](crate::Dialer) for blocking sessions.
///
/// ```no_run
/// use keepalive::Config;
/// use keepalive::blocking::{Dial, Dialer, client};
/// use tungstenite::protocol::WebSocketConfig;
///
/// let limits = WebSocketConfig::default().max_message_size(Some(1 << 20));
/// let dialer = Dialer::new("ws://localhost:9001").websocket(limits);
/// let session = client(Config::default(), dialer);
///
/// // The same by hand, to see the answer to the handshake.
/// let session = client(Config::default(), move |dial: &Dial| {
///     let dialer = Dialer::new("ws://localhost:9001").websocket(limits);
///     let (socket, response) = dialer.connect(dial)?;
///     println!("{:?}", response.headers());
///     Ok(socket)
/// });
/// ```
pub type Dialer = crate::dial::Dialer<Wait>;

impl Dialer {
    /// Connects to a URL: `ws://`, and with the feature `rustls` `wss://`. Also returns
    /// the response to the handshake.
    ///
    /// # Errors
    ///
    /// Fails if the URL is invalid, the network or TLS fails, or the server refuses; what
    /// failed in TLS is a `TlsError` inside `Io`, and a deadline that passes is `Io` with
    /// `TimedOut`.
    pub fn connect(self, dial: &Dial) -> Result<(Socket, Response), Error> {
        let tls = self.tls.clone();
        let begun = self.begin(Target::supported)?;
        dial.open(begun, |stream, url| {
            MaybeTls::new(stream, tls.session(url)?).shaken()
        })
    }

    /// The same over a stream that `secure` makes of the one to the server: the place for
    /// TLS of any other kind.
    ///
    /// It is called again for each redirect that is followed, with the URL that this
    /// stream leads to: the host to verify, and whether it is `wss` at all.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and those of `secure`.
    pub fn connect_over<S: Read + Write>(
        self,
        dial: &Dial,
        secure: impl FnMut(Stream, &Uri) -> io::Result<S>,
    ) -> Result<(WebSocket<S>, Response), Error> {
        dial.open(self.begin(Target::of)?, secure)
    }
}

fn with_limits(request: impl IntoClientRequest, limits: Option<WebSocketConfig>) -> Dialer {
    let dialer = Dialer::new(request);
    match limits {
        Some(limits) => dialer.websocket(limits),
        None => dialer,
    }
}

/// A server's WebSocket handshake on an accepted socket, within this time.
///
/// Over TLS, or with `tungstenite::accept_hdr`: put the socket under a [`Link::within`]
/// and do the handshake on its [`Stream`]. [`Link::give_up`] ends it from another
/// thread.
///
/// # Errors
///
/// tungstenite's; if the handshake takes longer, `Io` with `TimedOut`.
pub fn accept(socket: TcpStream, within: Duration) -> Result<(WebSocket<Stream>, Link), Error> {
    let link = Link::within(within)?;
    let socket = tungstenite::accept(link.stream(socket)?).map_err(plain)?;
    Ok((socket, link))
}

fn plain<R: HandshakeRole>(error: HandshakeError<R>) -> Error {
    match error {
        HandshakeError::Failure(error) => error,
        HandshakeError::Interrupted(_) => Error::Io(io::ErrorKind::TimedOut.into()),
    }
}
