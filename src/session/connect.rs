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
/// Implemented for everything that fits. A socket that is not `Unpin` fits once it is
/// boxed and pinned.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a socket for this session",
    label = "no `Stream` of `Result<message, error>` that is a `Sink` of the same, too, and `Unpin`; or with messages that the session does not know",
    note = "what `connect_async` gives is a pair: the socket is its `.0`",
    note = "two halves become one socket by `keepalive::session::Joined::new(stream, sink)`",
    note = "a stream that cannot fail fits as `socket.map(Ok)`, one that is not `Unpin` as `Box::pin(socket)`"
)]
pub trait Transport:
    Stream<Item = Result<Self::Message, Self::Fault>> + Sink<Self::Message, Error = Self::Fault> + Unpin
{
    /// What comes in and goes out.
    type Message;
    /// How it fails.
    type Fault;
}

// Errors name the trait, with its cure, and not what this lacks for it.
#[diagnostic::do_not_recommend]
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
///
/// A closure that gives away what it has captured, such as a URL, can be called only
/// once: [`connect_to`] gives it a copy for each dial.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connector",
    label = "cannot be called for each dial, to return a future of `Result<socket, its error>`",
    note = "a connector is a `Dialer`, or a closure such as `|_attempt| async {{ connect(\"ws://localhost:9001\").await }}`",
    note = "what `connect_async` gives is a pair, of which the socket is the first: `Ok(connect_async(url).await?.0)`",
    note = "a closure that is given the URL: `session::connect_to(url, |url| async move {{ connect(url).await }})`",
    note = "the socket has to be a `Stream` of messages and a `Sink` for them, with the error that the dial fails with"
)]
pub trait Connect {
    /// What it connects.
    type Socket: Transport;
    /// One dial.
    type Dial: Future<Output = Result<Self::Socket, <Self::Socket as Transport>::Fault>>;

    /// Begins to dial.
    fn connect(&mut self, attempt: u32) -> Self::Dial;

    /// Whether it can dial at all. If not, a session ends with its socket.
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

#[diagnostic::do_not_recommend]
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

/// A connector that gives each dial a copy of this, a URL for example: so that an
/// `async move` block may keep it.
///
/// ```
/// use keepalive::session::{Connect, connect_to};
/// # use core::convert::Infallible;
/// # use core::pin::Pin;
/// # use core::task::{Context, Poll};
/// # struct Socket(String);
/// # impl futures_core::Stream for Socket {
/// #     type Item = Result<String, Infallible>;
/// #     fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> { Poll::Pending }
/// # }
/// # impl futures_sink::Sink<String> for Socket {
/// #     type Error = Infallible;
/// #     fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
/// #     fn start_send(self: Pin<&mut Self>, _: String) -> Result<(), Infallible> { Ok(()) }
/// #     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
/// #     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
/// # }
/// # async fn dial(url: String, token: String) -> Result<Socket, Infallible> { Ok(Socket(url + &token)) }
///
/// let url = String::from("ws://localhost/feed?token=");
/// let mut connect = connect_to(url, |url| async move {
///     let token = String::from("fresh"); // fetched, for example
///     dial(url, token).await
/// });
/// # let context = &mut Context::from_waker(core::task::Waker::noop());
/// # for attempt in 0..2 {
/// #     let dial = core::pin::pin!(connect.connect(attempt));
/// #     let Poll::Ready(Ok(socket)) = dial.poll(context) else { panic!() };
/// #     assert_eq!(socket.0, "ws://localhost/feed?token=fresh");
/// # }
/// ```
pub fn connect_to<U, F, D, S>(url: U, mut connect: F) -> impl Connect<Socket = S, Dial = D>
where
    U: Clone,
    F: FnMut(U) -> D,
    D: Future<Output = Result<S, S::Fault>>,
    S: Transport,
{
    move |_attempt| connect(url.clone())
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

/// In place of a connector: the socket is a server's, already accepted, and is never
/// dialled.
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
