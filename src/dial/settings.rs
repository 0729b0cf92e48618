use core::fmt;
use core::marker::PhantomData;
use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tungstenite::Error;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::{Request, Response, generate_key};
use tungstenite::http::Uri;
use tungstenite::http::header::SEC_WEBSOCKET_KEY;
use tungstenite::protocol::WebSocketConfig;

use super::lookup::Lookup;
use super::url::{Requests, Target};
use crate::tls::Tls;

/// How much the system takes that it has not yet sent.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 16 << 10;

/// A URL and how to dial it; `W` is what waits: a runtime's timer, or the `Wait` of the
/// blocking adapter.
///
/// It is a connector: a session takes it as it is, and dials with it as often as it has
/// to. If each dial has to be different, with a fresh token for example, give the
/// session a closure that makes one.
///
/// Dropping its future drops everything that is under way for it, except the system's
/// lookup of a name, which cannot be ended: that has a thread that is not waited for,
/// and that a later dial of the same name joins.
///
/// The addresses of a name are tried as in RFC 8305: one after the other, 250 ms apart
/// or as soon as one fails, IPv6 and IPv4 in turn; the first one that answers is taken.
/// If all fail, the error is that of the attempt that failed first. Nagle's algorithm
/// is off (`TCP_NODELAY`), since pings are small; and on Linux and Android the system
/// takes at most 16 KiB beyond what it is sending (`TCP_NOTSENT_LOWAT`), so that a ping
/// does not queue behind megabytes there.
///
/// Three redirects (301, 302, 303, 307, 308) are followed, never from `wss` to `ws`;
/// `https` is `wss` there, and `http` is `ws`. `Authorization`, `Cookie` and
/// `Proxy-Authorization` do not go to another scheme, host or port; other headers do.
/// A redirect that is not followed is the error `Http`, like any other refusal.
pub struct Dialer<T> {
    request: Result<Request, Error>,
    websocket: Option<WebSocketConfig>,
    addresses: Option<Vec<SocketAddr>>,
    send_buffer: Option<usize>,
    pub(crate) tls: Tls,
    runtime: PhantomData<fn() -> T>,
}

impl<T> Dialer<T> {
    /// A dialer for this URL, or for a request, which may have headers of the
    /// application's. If it is invalid, each dial says so.
    pub fn new(request: impl IntoClientRequest) -> Self {
        Self {
            request: request.into_client_request(),
            websocket: None,
            addresses: None,
            send_buffer: None,
            tls: Tls::default(),
            runtime: PhantomData,
        }
    }

    /// Sets limits and buffers of the WebSocket: how long a message may be, for example.
    #[must_use]
    pub const fn websocket(mut self, config: WebSocketConfig) -> Self {
        self.websocket = Some(config);
        self
    }

    /// Connects to these addresses, in order of preference, instead of those that the
    /// system knows for the URL's name: for your own resolver. A redirect to another
    /// host or port is looked up.
    #[must_use]
    pub fn to(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = Some(addresses.into_iter().collect());
        self
    }

    /// How many bytes the system may hold that the peer has not acknowledged
    /// (`SO_SNDBUF`); by default it decides.
    ///
    /// For systems other than Linux and Android: there a ping may queue behind all of
    /// it. But no more than this is sent per round trip: 64 KiB over 100 ms are 640
    /// KiB/s at most. The system may round it, and Linux doubles it.
    #[must_use]
    pub const fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Sets which certificates it trusts on `wss://`, and which one it presents:
    /// [`Tls`], or a `rustls::ClientConfig`. By default it trusts those that the system
    /// trusts ([`Tls::platform`]), and presents none.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    ///
    /// use keepalive::Config;
    /// use keepalive::tokio::{Dialer, client};
    /// use rustls::crypto::ring::default_provider;
    /// use rustls::{ClientConfig, RootCertStore};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    /// let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
    ///     .with_safe_default_protocol_versions()?
    ///     .with_root_certificates(roots)
    ///     .with_no_client_auth();
    /// let dialer = Dialer::new("wss://example.com/").tls(config);
    /// let session = client(Config::default(), dialer);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Tls>) -> Self {
        self.tls = tls.into();
        self
    }

    /// The same for one more dial.
    pub(crate) fn again(&self) -> Self {
        let mut dialer = self.clone();
        if let Ok(request) = &mut dialer.request {
            // RFC 6455 section 4.1: another one for each connection.
            let key = request.headers_mut().get_mut(SEC_WEBSOCKET_KEY);
            if let (Some(key), Ok(fresh)) = (key, generate_key().parse()) {
                *key = fresh;
            }
        }
        dialer
    }

    /// Where `locate` finds nothing wrong with its URL.
    pub(crate) fn begin(self, locate: Locate) -> Result<Begun, Error> {
        let first = self.request?;
        Ok(Begun {
            origin: locate(first.uri())?,
            requests: Requests::new(first),
            websocket: self.websocket,
            addresses: self.addresses,
            send_buffer: self.send_buffer,
            locate,
        })
    }
}

impl<T> Clone for Dialer<T> {
    fn clone(&self) -> Self {
        let request = self.request.as_ref().map(Request::clone);
        // There is no other way to copy an error.
        let wrong = |error: &Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        Self {
            request: request.map_err(|error| Error::Io(wrong(error))),
            websocket: self.websocket,
            addresses: self.addresses.clone(),
            send_buffer: self.send_buffer,
            tls: self.tls.clone(),
            runtime: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Dialer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The request may hold credentials.
        formatter
            .debug_struct("Dialer")
            .field("websocket", &self.websocket)
            .field("addresses", &self.addresses)
            .field("send_buffer", &self.send_buffer)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

type Locate = fn(&Uri) -> Result<Target, Error>;

/// A dial that is under way.
pub(crate) struct Begun {
    origin: Target,
    requests: Requests,
    pub(crate) websocket: Option<WebSocketConfig>,
    addresses: Option<Vec<SocketAddr>>,
    send_buffer: Option<usize>,
    locate: Locate,
}

impl Begun {
    /// The request to make now.
    pub(crate) const fn request(&self) -> &Request {
        self.requests.current()
    }

    /// Goes on to where this answer leads.
    ///
    /// # Errors
    ///
    /// The answer, where it is no redirect or is not followed.
    pub(crate) fn redirect(&mut self, response: Box<Response>) -> Result<(), Error> {
        self.requests.redirect(response)
    }

    /// Where the request goes.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub(crate) fn addresses(&self) -> Result<Addresses, Error> {
        let target = (self.locate)(self.request().uri())?;
        let given = self.addresses.as_ref();
        Ok(
            match given.filter(|_| target.is_same_origin(&self.origin)) {
                Some(addresses) => Addresses::Given(addresses.clone()),
                None => Addresses::Of(Lookup::new(&target.host, target.port)),
            },
        )
    }

    /// A connection to where the request goes, by a function that connects to one
    /// address.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, the name, or the address that failed first.
    #[cfg(any(feature = "smol", feature = "tokio"))]
    pub(crate) async fn tcp<T, C, F, S>(&self, timer: T, connect: C) -> Result<S, Error>
    where
        T: crate::session::Timer,
        C: FnMut(SocketAddr) -> F,
        F: Future<Output = io::Result<S>>,
        for<'s> SockRef<'s>: From<&'s S>,
    {
        let addresses = match self.addresses()? {
            Addresses::Given(addresses) => addresses,
            Addresses::Of(mut lookup) => {
                std::future::poll_fn(|context| lookup.poll(context.waker())).await?
            }
        };
        let socket = super::staggered::connect(addresses, timer, connect).await?;
        self.prepare(&SockRef::from(&socket))?;
        Ok(socket)
    }

    pub(crate) fn prepare(&self, socket: &SockRef<'_>) -> io::Result<()> {
        prepare(socket)?;
        match self.send_buffer {
            Some(bytes) => socket.set_send_buffer_size(bytes),
            None => Ok(()),
        }
    }
}

/// Where to connect to.
pub(crate) enum Addresses {
    Given(Vec<SocketAddr>),
    Of(Lookup),
}

/// What each socket has that a connector makes.
pub(crate) fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // Not every kernel knows it, and none needs it.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    Ok(())
}
