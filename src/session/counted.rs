use alloc::sync::Arc;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;

/// Counts the bytes that come in below a socket, TLS included; a part of a message
/// is life too. Its clones count together, up to the greatest `usize` and then from
/// 0.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicUsize>);

impl Counter {
    /// These bytes came in.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes came in.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

/// A socket whose bytes are counted by a [`Counter`] that lies below it.
///
/// Give [`Counted::progress`] to [`Session::with_progress`](super::Session::with_progress).
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

    /// How many bytes came in.
    pub fn progress(&self) -> u64 {
        self.counter.get()
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
