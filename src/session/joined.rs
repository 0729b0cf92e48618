use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use thiserror::Error;

/// One socket of a stream and a sink, whose errors may be of different types.
///
/// For the halves of a socket that was split, and for libraries whose two sides are
/// two types.
///
/// ```
/// use core::convert::Infallible;
/// use core::pin::Pin;
/// use core::task::{Context, Poll, Waker};
/// use futures_core::Stream;
/// use futures_sink::Sink;
/// use keepalive::session::{Joined, JoinedError};
///
/// struct Reader(Vec<Result<u8, &'static str>>);
///
/// impl Stream for Reader {
///     type Item = Result<u8, &'static str>;
///     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
///         Poll::Ready(self.0.pop())
///     }
/// }
///
/// struct Writer(Vec<u8>);
///
/// impl Sink<u8> for Writer {
///     type Error = u32;
///     fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), u32>> {
///         Poll::Ready(Ok(()))
///     }
///     fn start_send(mut self: Pin<&mut Self>, item: u8) -> Result<(), u32> {
///         self.0.push(item);
///         Ok(())
///     }
///     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), u32>> {
///         Poll::Ready(Err(7))
///     }
///     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), u32>> {
///         Poll::Ready(Ok(()))
///     }
/// }
///
/// let mut socket = Joined::new(Reader(vec![Err("cut off"), Ok(1)]), Writer(Vec::new()));
/// let context = &mut Context::from_waker(Waker::noop());
/// assert_eq!(Pin::new(&mut socket).poll_next(context), Poll::Ready(Some(Ok(1))));
/// let cut = Poll::Ready(Some(Err(JoinedError::Read("cut off"))));
/// assert_eq!(Pin::new(&mut socket).poll_next(context), cut);
/// assert_eq!(Pin::new(&mut socket).poll_next(context), Poll::Ready(None));
///
/// assert_eq!(Pin::new(&mut socket).start_send(2), Ok(()));
/// let failed = Poll::Ready(Err(JoinedError::Write(7)));
/// assert_eq!(Pin::new(&mut socket).poll_flush(context), failed);
/// let (reader, writer) = socket.into_parts();
/// assert!(reader.0.is_empty());
/// assert_eq!(writer.0, [2]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Joined<R, S> {
    stream: R,
    sink: S,
}

impl<R, S> Joined<R, S> {
    /// Reads from this stream and writes to this sink.
    pub const fn new(stream: R, sink: S) -> Self {
        Self { stream, sink }
    }

    /// The two again.
    pub fn into_parts(self) -> (R, S) {
        (self.stream, self.sink)
    }
}

/// Which side of a [`Joined`] socket failed, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JoinedError<R, W> {
    /// The stream.
    #[error(transparent)]
    Read(R),
    /// The sink.
    #[error(transparent)]
    Write(W),
}

/// `W` is the error of the sink.
impl<M, R, S, E, W> Stream for Joined<R, S>
where
    R: Stream<Item = Result<M, E>> + Unpin,
    S: Sink<M, Error = W> + Unpin,
{
    type Item = Result<M, JoinedError<E, W>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.get_mut().stream).poll_next(context);
        polled.map(|item| item.map(|read| read.map_err(JoinedError::Read)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<M, R, S, E, W> Sink<M> for Joined<R, S>
where
    R: Stream<Item = Result<M, E>> + Unpin,
    S: Sink<M, Error = W> + Unpin,
{
    type Error = JoinedError<E, W>;

    fn poll_ready(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let polled = Pin::new(&mut self.get_mut().sink).poll_ready(context);
        polled.map_err(JoinedError::Write)
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> Result<(), Self::Error> {
        let sent = Pin::new(&mut self.get_mut().sink).start_send(message);
        sent.map_err(JoinedError::Write)
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let polled = Pin::new(&mut self.get_mut().sink).poll_flush(context);
        polled.map_err(JoinedError::Write)
    }

    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let polled = Pin::new(&mut self.get_mut().sink).poll_close(context);
        polled.map_err(JoinedError::Write)
    }
}
