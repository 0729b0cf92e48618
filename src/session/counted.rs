use alloc::sync::Arc;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;

use crate::driver::Bytes;

/// Counts the bytes that go through below a socket, TLS included: a part of a message
/// counts as life too. Its clones share the counts, which wrap around at the greatest
/// `usize`.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    read: AtomicUsize,
    written: AtomicUsize,
    #[cfg(feature = "std")]
    write_error: std::sync::Mutex<Option<std::io::Error>>,
}

impl Counter {
    /// These bytes came in.
    pub fn add_read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The system took these bytes.
    pub fn add_written(&self, bytes: usize) {
        self.0.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes came in.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed) as u64
    }

    /// How many bytes the system took.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed) as u64
    }

    /// Why nothing can be written any more, if a tap holds that error back until a read
    /// finds the end: for a caller who knows that nothing is unread. Taking it ends the
    /// socket.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn take_write_error(&self) -> Option<std::io::Error> {
        self.write_error().take()
    }

    #[cfg(any(feature = "smol", feature = "tokio"))]
    pub(crate) fn hold_write_error(&self, error: std::io::Error) {
        *self.write_error() = Some(error);
    }

    #[cfg(feature = "std")]
    fn write_error(&self) -> std::sync::MutexGuard<'_, Option<std::io::Error>> {
        let error = self.0.write_error.lock();
        error.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A socket whose bytes are counted by a [`Counter`] that lies below it.
#[derive(Debug)]
pub struct Counted<S> {
    socket: S,
    counter: Counter,
}

impl<S> Counted<S> {
    /// This socket, with the counter that lies below it.
    pub const fn new(socket: S, counter: Counter) -> Self {
        Self { socket, counter }
    }

    /// The socket.
    pub const fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The counter that lies below it.
    pub const fn counter(&self) -> &Counter {
        &self.counter
    }

    /// What it has counted.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes {
            read: self.counter.read(),
            written: self.counter.written(),
        }
    }
}

impl<S: Stream + Unpin> Stream for Counted<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        Pin::new(&mut self.socket).poll_next(context)
    }
}

impl<S: Sink<M> + Unpin, M> Sink<M> for Counted<S> {
    type Error = S::Error;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        Pin::new(&mut self.socket).poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), S::Error> {
        Pin::new(&mut self.socket).start_send(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}
