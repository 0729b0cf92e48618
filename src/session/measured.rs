#[cfg(any(feature = "smol", feature = "tokio"))]
use super::connect::Transport;
use super::counted::Counted;
use crate::driver::Bytes;

/// A socket that may know how many bytes went through it, below TLS, and how long a
/// message may be. On one that does not count bytes, only whole messages count as life.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how many bytes went through it",
    note = "for a socket whose bytes nobody counts: `impl keepalive::session::Measured for ... {{}}`"
)]
pub trait Measured {
    /// The bytes so far; always the same if they cannot be counted.
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    /// As [`Transport::limit`](crate::driver::Transport::limit). If there is one, each
    /// message is flushed before the next.
    fn limit(&self) -> Option<usize> {
        None
    }
}

impl<S: Measured> Measured for Counted<S> {
    #[inline]
    fn bytes(&self) -> Bytes {
        self.bytes()
    }

    fn limit(&self) -> Option<usize> {
        self.get_ref().limit()
    }
}

#[cfg(feature = "tokio")]
impl<S> Measured for tokio_tungstenite::WebSocketStream<S> {
    fn limit(&self) -> Option<usize> {
        crate::tungstenite::longest(self.get_config())
    }
}

#[cfg(feature = "smol")]
impl<S> Measured for async_tungstenite::WebSocketStream<S> {
    fn limit(&self) -> Option<usize> {
        crate::tungstenite::longest(self.get_config())
    }
}

/// A socket whose messages are tungstenite's, in the version that this crate uses.
///
/// Implemented for all that are [`Measured`].
#[cfg(any(feature = "smol", feature = "tokio"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a socket with the messages of tungstenite 0.30",
    label = "not a socket of tokio-tungstenite 0.30 or async-tungstenite 0.35",
    note = "`connect_async` gives a pair of the socket and the answer to the handshake: take the socket, `connect_async(url).await?.0`",
    note = "axum's socket has messages of its own: `keepalive::axum::accepted(config, socket)`",
    note = "for other libraries there are `Session::accepted` and `Session::client`: see the list in the docs of `keepalive::session`",
    note = "for a socket of your own with these messages: `impl keepalive::session::Measured for ... {{}}`"
)]
pub trait TungsteniteSocket:
    Transport<Message = tungstenite::Message, Fault = tungstenite::Error> + Measured
{
}

#[cfg(any(feature = "smol", feature = "tokio"))]
#[diagnostic::do_not_recommend]
impl<S> TungsteniteSocket for S where
    S: Transport<Message = tungstenite::Message, Fault = tungstenite::Error> + Measured
{
}
