use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::client::{IntoClientRequest, uri_mode};
use tungstenite::error::UrlError;
use tungstenite::handshake::HandshakeRole;
use tungstenite::http::Uri;
use tungstenite::stream::Mode;
use tungstenite::{Error, HandshakeError, WebSocket};

use super::wire::{Link, Socket, Wire};

/// One dial of a [`Session`](super::Session): its number, its deadline, and the
/// way to put a socket under that deadline.
///
/// The deadline holds for everything together: name resolution, all addresses,
/// TCP, TLS, and the WebSocket handshake.
#[derive(Debug)]
pub struct Dial {
    link: Link,
    deadline: Instant,
    attempt: u32,
}

impl Dial {
    pub(super) fn new(deadline: Instant, attempt: u32) -> Self {
        Self {
            link: Link::until(deadline),
            deadline,
            attempt,
        }
    }

    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// When this dial has failed.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Which retry it is since the last stable connection; 0 for the first dial.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Connects to the first address of this host that answers; each has an equal
    /// share of the time that is left. `TCP_NODELAY` is set, for pings are small.
    ///
    /// A name is resolved on a thread of its own, since the system's resolver
    /// knows no deadline; the thread ends when the resolver does.
    ///
    /// # Errors
    ///
    /// `TimedOut` at the deadline; otherwise what the last address said.
    pub fn tcp(&self, host: &str, port: u16) -> io::Result<Wire<TcpStream>> {
        let addresses = resolve(host, port, self.deadline)?;
        let socket = connect_any(&addresses, self.deadline)?;
        socket.set_nodelay(true)?;
        Ok(self.wire(socket))
    }

    /// Puts any other socket, in blocking mode, under the deadline.
    pub fn wire<T: Socket>(&self, socket: T) -> Wire<T> {
        self.link.wire(socket)
    }

    /// The WebSocket handshake on a [`Wire`], or on TLS over one.
    ///
    /// # Errors
    ///
    /// tungstenite's; a deadline that passes is `Io` with `TimedOut`.
    pub fn handshake<S: Read + Write>(
        &self,
        request: impl IntoClientRequest,
        stream: S,
    ) -> Result<WebSocket<S>, Error> {
        let (socket, _) = tungstenite::client(request, stream).map_err(plain)?;
        Ok(socket)
    }

    /// All of it for `ws://`. For `wss://` TLS of any library comes between
    /// [`tcp`](Self::tcp) and [`handshake`](Self::handshake).
    ///
    /// # Errors
    ///
    /// tungstenite's; a deadline that passes is `Io` with `TimedOut`.
    pub fn connect(
        &self,
        request: impl IntoClientRequest,
    ) -> Result<WebSocket<Wire<TcpStream>>, Error> {
        let request = request.into_client_request()?;
        let (host, port) = plain_address(request.uri())?;
        let stream = self.tcp(host, port)?;
        self.handshake(request, stream)
    }
}

/// A server's WebSocket handshake on a socket that it accepted, within this time.
///
/// Over TLS: put the socket under a [`Link::within`], TLS over that, and
/// `tungstenite::accept` over TLS.
///
/// # Errors
///
/// tungstenite's; a handshake that takes longer is `Io` with `TimedOut`.
pub fn accept(
    socket: TcpStream,
    within: Duration,
) -> Result<(WebSocket<Wire<TcpStream>>, Link), Error> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    let link = Link::within(within);
    let socket = tungstenite::accept(link.wire(socket)).map_err(plain)?;
    Ok((socket, link))
}

fn plain<R: HandshakeRole>(error: HandshakeError<R>) -> Error {
    match error {
        HandshakeError::Failure(error) => error,
        HandshakeError::Interrupted(_) => Error::Io(io::ErrorKind::TimedOut.into()),
    }
}

fn plain_address(uri: &Uri) -> Result<(&str, u16), Error> {
    match uri_mode(uri)? {
        Mode::Plain => {}
        Mode::Tls => return Err(Error::Url(UrlError::TlsFeatureNotEnabled)),
    }
    let host = uri.host().ok_or(Error::Url(UrlError::NoHostName))?;
    Ok((host, uri.port_u16().unwrap_or(80)))
}

fn resolve(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let host = host.to_owned();
    bounded(deadline, move || {
        (host.as_str(), port)
            .to_socket_addrs()
            .map(Iterator::collect)
    })
}

/// Does this on another thread, and waits for it until the deadline.
fn bounded<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || sender.send(work()))?;
    let left = deadline.saturating_duration_since(Instant::now());
    receiver
        .recv_timeout(left)
        .unwrap_or_else(|_| Err(timed_out("name resolution took too long")))
}

fn connect_any(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let now = Instant::now();
        if now >= deadline {
            return Err(timed_out("connecting took too long"));
        }
        let share = (deadline - now) / u32::try_from(left).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::blocking::peer::BlackHole;

    fn good() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn an_address_that_does_not_answer_has_its_share_only() {
        let (hole, (_listener, good)) = (BlackHole::new(), good());
        let begin = Instant::now();
        let deadline = begin + Duration::from_secs(3);
        let socket = connect_any(&[hole.address, hole.address, good], deadline).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), good);
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(1900), "{took:?}");
        assert!(Instant::now() < deadline, "{took:?}");
    }

    #[test]
    fn an_address_that_refuses_leaves_its_share_to_the_next() {
        let (listener, refused) = good();
        drop(listener);
        let (_listener, good) = good();
        let deadline = Instant::now() + Duration::from_secs(60);
        let socket = connect_any(&[refused, good], deadline).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), good);
        let error = connect_any(&[refused], deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn all_addresses_together_have_one_deadline() {
        let hole = BlackHole::new();
        let begin = Instant::now();
        let deadline = begin + Duration::from_millis(300);
        let error = connect_any(&[hole.address; 3], deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < Duration::from_secs(2));
        let error = connect_any(&[hole.address], deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_resolver_that_hangs_does_not_hold_the_dial() {
        let begin = Instant::now();
        let deadline = begin + Duration::from_millis(100);
        let (hang, hung) = mpsc::channel::<()>();
        let error = bounded(deadline, move || Ok(hung.recv().is_ok())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < Duration::from_secs(2));
        drop(hang);
    }
}
