use super::counted::Counted;
use crate::driver::Bytes;

/// A socket that may know how many bytes went through it, below TLS. A session on one
/// that does not know takes only whole messages for life.
pub trait Measured {
    /// The bytes so far; always the same where they cannot be counted.
    fn bytes(&self) -> Bytes {
        Bytes::default()
    }
}

impl<S> Measured for Counted<S> {
    #[inline]
    fn bytes(&self) -> Bytes {
        let counter = self.counter();
        Bytes {
            read: counter.read(),
            written: counter.written(),
        }
    }
}

#[cfg(feature = "tokio")]
impl<S> Measured for tokio_tungstenite::WebSocketStream<S> {}

#[cfg(feature = "smol")]
impl<S> Measured for async_tungstenite::WebSocketStream<S> {}
