use alloc::boxed::Box;
use core::fmt;
use core::future::{Future, Pending, pending};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;

/// A WebSocket of any library: a stream of messages and a sink for them.
///
/// Implemented for everything that fits. A socket that is not `Unpin` fits when it
/// is boxed and pinned.
pub trait Transport:
    Stream<Item = Result<Self::Message, Self::Fault>> + Sink<Self::Message, Error = Self::Fault> + Unpin
{
    /// What comes in and goes out.
    type Message;
    /// How it fails.
    type Fault;
}

impl<S, M, E> Transport for S
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    type Message = M;
    type Fault = E;
}

/// How to get a socket: implemented for every closure that takes the number of the
/// retry (0 for the first dial) and returns a future.
///
/// It is called afresh for each dial, so it can sign a new request or choose
/// another server. Its future is dropped where the dial takes longer than
/// `connect_timeout`, so it has to cover TLS and the WebSocket handshake too.
pub trait Connect {
    /// What it gets.
    type Socket: Transport;
    /// One dial.
    type Dial: Future<Output = Result<Self::Socket, <Self::Socket as Transport>::Fault>>;

    /// Begins to dial.
    fn connect(&mut self, attempt: u32) -> Self::Dial;

    /// Whether it can dial at all. Where not, a session ends with its socket.
    fn can_connect(&self) -> bool {
        true
    }

    /// Whether the network may have changed since this was last asked, which the session
    /// then treats as [`Session::network_changed`](super::Session::network_changed). In
    /// either case, wakes the task when it next does. By default never: say so by a handle.
    #[inline]
    fn poll_network_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Pending
    }
}

impl<F, D, S> Connect for F
where
    F: FnMut(u32) -> D,
    D: Future<Output = Result<S, S::Fault>>,
    S: Transport,
{
    type Socket = S;
    type Dial = D;

    fn connect(&mut self, attempt: u32) -> D {
        self(attempt)
    }
}

/// Any connector of these sockets that is `Send`, and whose dials are.
pub type Boxed<S> = Box<dyn FnMut(u32) -> Dialling<S> + Send>;

/// A dial of a [`Boxed`] connector.
pub type Dialling<S> = Pin<Box<dyn Future<Output = Result<S, <S as Transport>::Fault>> + Send>>;

/// This connector, boxed: so that the type of a session can be named, in a struct for
/// example.
pub fn boxed<C>(mut connect: C) -> Boxed<C::Socket>
where
    C: Connect + Send + 'static,
    C::Dial: Send + 'static,
{
    Box::new(move |attempt| Box::pin(connect.connect(attempt)))
}

/// In place of a connector: the socket is a server's, accepted, and is not dialled.
pub struct Accepted<S>(PhantomData<fn() -> S>);

impl<S> Accepted<S> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S: Transport> Connect for Accepted<S> {
    type Socket = S;
    type Dial = Pending<Result<S, S::Fault>>;

    fn connect(&mut self, _: u32) -> Self::Dial {
        pending()
    }

    fn can_connect(&self) -> bool {
        false
    }
}

impl<S> fmt::Debug for Accepted<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Accepted")
    }
}
