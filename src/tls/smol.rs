use core::pin::Pin;
#[cfg(feature = "rustls")]
use core::task::ready;
use core::task::{Context, Poll};
#[cfg(feature = "rustls")]
use std::future::poll_fn;
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use super::stream::{Kind, MaybeTls};
#[cfg(feature = "rustls")]
use super::stream::{Secured, pending};

impl<S: AsyncRead + AsyncWrite + Unpin> MaybeTls<S> {
    /// With the TLS handshake done, where there is one to do.
    #[allow(clippy::unused_async, unused_mut)]
    pub(crate) async fn shaken_on_smol(mut self) -> io::Result<Self> {
        #[cfg(feature = "rustls")]
        if let Kind::Tls(secured) = &mut self.0 {
            poll_fn(|context| {
                let Secured { stream, session } = &mut **secured;
                pending(session.shake(&mut Polled { stream, context }))
            })
            .await?;
        }
        Ok(self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MaybeTls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => {
                let Secured { stream, session } = &mut **secured;
                pending(session.read(&mut Polled { stream, context }, buffer))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MaybeTls<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => {
                let Secured { stream, session } = &mut **secured;
                pending(session.write(&mut Polled { stream, context }, bytes))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => {
                let Secured { stream, session } = &mut **secured;
                pending(session.flush(&mut Polled { stream, context }))
            }
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(stream) => Pin::new(stream).poll_close(context),
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => {
                let Secured { stream, session } = &mut **secured;
                let closed = session.close(&mut Polled { stream, context });
                ready!(pending(closed))?;
                Pin::new(stream).poll_close(context)
            }
        }
    }
}

/// A stream for one poll: what is pending would block.
#[cfg(feature = "rustls")]
struct Polled<'a, 'c, S> {
    stream: &'a mut S,
    context: &'a mut Context<'c>,
}

#[cfg(feature = "rustls")]
impl<S: Unpin> Polled<'_, '_, S> {
    fn poll<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        match poll(Pin::new(self.stream), self.context) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

#[cfg(feature = "rustls")]
impl<S: AsyncRead + Unpin> io::Read for Polled<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.poll(|stream, context| stream.poll_read(context, buffer))
    }
}

#[cfg(feature = "rustls")]
impl<S: AsyncWrite + Unpin> io::Write for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.poll(|stream, context| stream.poll_write(context, bytes))
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.poll(|stream, context| stream.poll_write_vectored(context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.poll(|stream, context| stream.poll_flush(context))
    }
}
