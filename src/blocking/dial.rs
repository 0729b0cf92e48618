use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::task::Poll;
use std::time::{Duration, Instant};

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
use crate::dial::{Lookup, Requests, Target};

/// One dial of a session: its number, its deadline, and the way to put a socket under
/// that deadline.
///
/// The deadline holds for everything together: name resolution, all addresses,
/// TCP, TLS, and the WebSocket handshake. What waits for one of these also ends when the
/// session's handle ends the dial.
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

    /// When this dial has failed.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.link.deadline()
    }

    /// Which retry it is since the last stable connection; 0 for the first dial.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Connects to the first address of this host that answers. `TCP_NODELAY` is set, for
    /// pings are small.
    ///
    /// # Errors
    ///
    /// `TimedOut` at the deadline, `ConnectionAborted` where the dial was ended from
    /// outside; otherwise what the last address said.
    pub fn tcp(&self, host: &str, port: u16) -> io::Result<Stream> {
        let addresses = self.resolve(host, port)?;
        self.first_of(addresses)
    }

    /// Puts a socket that is connected already under the deadline.
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
    /// tungstenite's; a deadline that passes is `Io` with `TimedOut`.
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

    /// All of it for `ws://`; for `wss://` there is [`connect_over`](Self::connect_over).
    ///
    /// Three redirects are followed. `Authorization`, `Cookie` and `Proxy-Authorization`
    /// do not go to another host or port.
    ///
    /// # Errors
    ///
    /// tungstenite's; a deadline that passes is `Io` with `TimedOut`.
    pub fn connect(&self, request: impl IntoClientRequest) -> Result<WebSocket<Stream>, Error> {
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
    ) -> Result<(WebSocket<Stream>, Response), Error> {
        self.open(request, limits, Target::without_tls, |stream, _| Ok(stream))
    }

    /// The same for any URL, over a stream that `secure` makes of the one to the server:
    /// the place for TLS of any kind.
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
        self.open(request, limits, Target::of, secure)
    }

    fn open<S: Read + Write>(
        &self,
        request: impl IntoClientRequest,
        limits: Option<WebSocketConfig>,
        target: fn(&Uri) -> Result<Target, Error>,
        mut secure: impl FnMut(Stream, &Uri) -> io::Result<S>,
    ) -> Result<(WebSocket<S>, Response), Error> {
        let mut requests = Requests::new(request.into_client_request()?);
        loop {
            let request = requests.current().clone();
            let Target { host, port, .. } = target(request.uri())?;
            let stream = secure(self.tcp(&host, port)?, request.uri())?;
            match self.handshake_with(request, stream, limits) {
                Err(Error::Http(response)) => requests.redirect(response)?,
                result => return result,
            }
        }
    }

    /// Connects to the first of these that answers; starts are staggered.
    pub(super) fn first_of(&self, addresses: Vec<SocketAddr>) -> io::Result<Stream> {
        let mut race = Race::new(addresses);
        let mut now = self.link.check()?;
        loop {
            match race.run(self.link.wait(), now)? {
                Standing::Won(mut socket) => {
                    self.link.wait().deregister(&mut socket)?;
                    keep_queue_short(&socket);
                    return self.link.stream_of(socket);
                }
                Standing::Open(until) => now = self.link.connecting(until)?,
            }
        }
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let (mut lookup, waker) = (Lookup::new(host, port), self.link.waker());
        self.link.check()?;
        loop {
            match lookup.poll(&waker) {
                Poll::Ready(found) => return found,
                Poll::Pending => self.link.connecting(None)?,
            };
        }
    }
}

/// A server's WebSocket handshake on a socket that it accepted, within this time.
///
/// Over TLS, or with `tungstenite::accept_hdr`: put the socket under a [`Link::within`]
/// and do the handshake on its [`Stream`]. [`Link::give_up`] ends it from another thread.
///
/// # Errors
///
/// tungstenite's; a handshake that takes longer is `Io` with `TimedOut`.
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

/// A ping that was handed to the system must not stand behind megabytes there. A system
/// that cannot do this does without.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn keep_queue_short(socket: &mio::net::TcpStream) {
    let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(16 << 10);
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
const fn keep_queue_short(_: &mio::net::TcpStream) {}
