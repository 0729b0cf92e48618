use super::counted::Counted;
use crate::driver::Bytes;

/// A socket that may know how many bytes went through it, below TLS, and how long a
/// message may be. A session on one that does not know of bytes takes only whole messages
/// for life.
pub trait Measured {
    /// The bytes so far; always the same where they cannot be counted.
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }

    /// As [`Transport::limit`](crate::driver::Transport::limit). Where there is one,
    /// each message is flushed ahead of the next.
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
