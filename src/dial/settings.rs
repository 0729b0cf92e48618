use core::fmt;
use core::marker::PhantomData;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tungstenite::Error;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::{Request, Response};
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;

use super::lookup::Lookup;
use super::staggered;
use super::url::{Requests, Target};
use crate::session::Timer;

/// How much the system takes that it has not yet sent.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 16 << 10;

/// A dial and its settings, on the runtime that has this timer.
///
/// All that is under way for it is dropped where its future is, but for the system's
/// lookup of a name, which cannot be ended: it has a thread that is not waited for, and
/// that a later dial of the same name joins.
///
/// The addresses of a name are tried as in RFC 8305: one after the other, 250 ms apart
/// or as soon as one fails, IPv6 and IPv4 in turn; the first one that answers is taken.
/// Where all fail, the error is that of the attempt that failed first. Nagle's algorithm
/// is off (`TCP_NODELAY`), since pings are small; and on Linux and Android the system
/// takes 16 KiB at most beyond what it is sending (`TCP_NOTSENT_LOWAT`), so that a ping
/// does not stand behind megabytes there.
///
/// Three redirects (301, 302, 303, 307, 308) are followed, never from `wss` to `ws`;
/// `https` is `wss` there, and `http` is `ws`. `Authorization`, `Cookie` and
/// `Proxy-Authorization` do not go to another scheme, host or port; other headers do.
/// A redirect that is not followed is the error `Http`, like any other refusal.
pub struct Dial<T> {
    request: Result<Request, Error>,
    websocket: Option<WebSocketConfig>,
    addresses: Option<Vec<SocketAddr>>,
    send_buffer: Option<usize>,
    runtime: PhantomData<fn() -> T>,
}

impl<T> Dial<T> {
    /// A dial with this URL, or with a request for one: with headers of the
    /// application's, for example.
    pub fn new(request: impl IntoClientRequest) -> Self {
        Self {
            request: request.into_client_request(),
            websocket: None,
            addresses: None,
            send_buffer: None,
            runtime: PhantomData,
        }
    }

    /// Sets limits and buffers of the WebSocket: how long a message may be, for example.
    #[must_use]
    pub const fn websocket(mut self, config: WebSocketConfig) -> Self {
        self.websocket = Some(config);
        self
    }

    /// Connects to these addresses, in order of preference, in place of those that the
    /// system knows for the URL's name: for a resolver of your own. A redirect to
    /// another host or port is looked up.
    #[must_use]
    pub fn to(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = Some(addresses.into_iter().collect());
        self
    }

    /// How many bytes the system may hold that the peer has not acknowledged
    /// (`SO_SNDBUF`); by default it decides.
    ///
    /// For systems other than Linux and Android: there a ping may stand behind all of
    /// it. But no more than this is sent per round trip: 64 KiB over 100 ms are
    /// 640 KiB/s at most. The system may round it, and Linux doubles it.
    #[must_use]
    pub const fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
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

impl<T> fmt::Debug for Dial<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The request may hold credentials.
        formatter
            .debug_struct("Dial")
            .field("websocket", &self.websocket)
            .field("addresses", &self.addresses)
            .field("send_buffer", &self.send_buffer)
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

    /// A connection to where the request goes, by a function that connects to one
    /// address.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, the name, or the address that failed first.
    pub(crate) async fn tcp<T, C, F, S>(&self, timer: T, connect: C) -> Result<S, Error>
    where
        T: Timer,
        C: FnMut(SocketAddr) -> F,
        F: Future<Output = io::Result<S>>,
        for<'s> SockRef<'s>: From<&'s S>,
    {
        let target = (self.locate)(self.request().uri())?;
        let given = self.addresses.as_ref();
        let addresses = match given.filter(|_| target.is_same_origin(&self.origin)) {
            Some(addresses) => addresses.clone(),
            None => {
                let mut lookup = Lookup::new(&target.host, target.port);
                poll_fn(|context| lookup.poll(context.waker())).await?
            }
        };
        let socket = staggered::connect(addresses, timer, connect).await?;
        self.prepare(&SockRef::from(&socket))?;
        Ok(socket)
    }

    fn prepare(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        // Not every kernel knows it, and none needs it.
        #[cfg(any(target_os = "android", target_os = "linux"))]
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        match self.send_buffer {
            Some(bytes) => socket.set_send_buffer_size(bytes),
            None => Ok(()),
        }
    }
}
