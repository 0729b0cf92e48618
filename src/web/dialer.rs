use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};

use gloo_events::EventListener;

use super::bell::Bell;
use super::global;
use super::socket::{Error, Socket};
use crate::session::Connect;

/// Connects to this URL: a [`Dialer`] without settings. Dropping the future gives the
/// dial up.
///
/// # Errors
///
/// As [`Dialer::connect`].
pub async fn connect(url: impl Into<String>) -> Result<Socket, Error> {
    Dialer::new(url).connect().await
}

/// Where a client connects to.
///
/// ```no_run
/// use keepalive::Config;
/// use keepalive::web::{Dialer, client};
///
/// // The server that the page came from, by `wss://` where it came by `https://`.
/// let dialer = Dialer::new("/graphql").protocol("graphql-transport-ws");
/// let client = client(Config::default(), dialer);
///
/// // Another URL for each attempt, with a fresh ticket for example.
/// let client = keepalive::web::client(Config::default(), |attempt| async move {
///     let url = format!("wss://localhost/feed?attempt={attempt}");
///     keepalive::web::connect(url).await
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialer {
    url: String,
    protocols: Vec<String>,
}

impl Dialer {
    /// A dialer for a `ws://` or `wss://` URL, or for one that is relative to the page, as
    /// the newest browsers take it: `/feed` is at the server that the page came from.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            protocols: Vec::new(),
        }
    }

    /// Offers this subprotocol, after those that were offered before. Which one the server
    /// chose is in [`Socket::protocol`].
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// Connects. Dropping the future gives the dial up.
    ///
    /// # Errors
    ///
    /// Fails where the browser takes no such URL or subprotocol, and where there is no
    /// connection, without a reason then.
    pub async fn connect(self) -> Result<Socket, Error> {
        let url = global::address(&self.url).map_err(Error::refused)?;
        let socket = Socket::new(&url, &self.protocols)?;
        poll_fn(|context| socket.poll_open(context)).await?;
        Ok(socket)
    }
}

impl Connect for Dialer {
    type Socket = Socket;
    type Dial = Dialling;

    fn connect(&mut self, _: u32) -> Dialling {
        Box::pin(self.clone().connect())
    }
}

/// A dial of a [`Connector`] or of a [`Dialer`].
pub type Dialling = Pin<Box<dyn Future<Output = Result<Socket, Error>>>>;

/// What a [`Client`](super::Client) dials with: any connector, boxed so that the type of
/// the client can be named; and what the browser tells about the network.
pub struct Connector {
    dial: Box<dyn FnMut(u32) -> Dialling>,
    network: Network,
}

impl Connector {
    /// This connector. From now on it notes what the browser tells about the network.
    pub fn new<C>(mut connect: C) -> Self
    where
        C: Connect<Socket = Socket> + 'static,
    {
        Self {
            dial: Box::new(move |attempt| Box::pin(connect.connect(attempt))),
            network: Network::new(),
        }
    }
}

impl Connect for Connector {
    type Socket = Socket;
    type Dial = Dialling;

    fn connect(&mut self, attempt: u32) -> Dialling {
        (self.dial)(attempt)
    }

    fn poll_network_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.network.news.poll(context)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

/// When the path to the server may be another one.
struct Network {
    news: Rc<Bell>,
    _listeners: Vec<EventListener>,
}

impl Network {
    fn new() -> Self {
        let news = Rc::<Bell>::default();
        let mut listeners = Vec::new();
        if let Some(target) = global::event_target() {
            for name in ["online", "offline"] {
                let news = Rc::clone(&news);
                listeners.push(EventListener::new(&target, name, move |_| news.ring()));
            }
        }
        // A worker has no document.
        let document = web_sys::window().and_then(|window| window.document());
        if let Some(document) = document {
            let (page, news) = (document.clone(), Rc::clone(&news));
            let is_shown = move |_: &web_sys::Event| {
                // A page that is only hidden now has not been away.
                if !page.hidden() {
                    news.ring();
                }
            };
            listeners.push(EventListener::new(&document, "visibilitychange", is_shown));
        }
        Self {
            news,
            _listeners: listeners,
        }
    }
}
