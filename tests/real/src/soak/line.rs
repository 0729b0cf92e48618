//! A socket of the server's, with faults on it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// On a slow line: so many bytes each way, so often.
const TOKENS: usize = 32;
const REFILL: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Faults {
    /// What the client sends is dropped.
    pub(super) loses_inward: AtomicBool,
    /// What the client would receive is dropped.
    pub(super) loses_outward: AtomicBool,
    pub(super) slow_until: Mutex<Option<Instant>>,
}

impl Faults {
    fn is_slow(&self) -> bool {
        let until = *self.slow_until.lock().unwrap();
        until.is_some_and(|until| Instant::now() < until)
    }
}

pub(super) struct Line {
    pub(super) socket: TcpStream,
    pub(super) faults: Arc<Faults>,
    /// What was read of the handshake already.
    head: Vec<u8>,
    reads_again: Option<Pin<Box<Sleep>>>,
    writes_again: Option<Pin<Box<Sleep>>>,
}

impl Line {
    pub(super) fn new(socket: TcpStream, head: Vec<u8>) -> Self {
        Self {
            socket,
            faults: Arc::default(),
            head,
            reads_again: None,
            writes_again: None,
        }
    }

    /// Breaks the connection with a RST as soon as it is dropped.
    pub(super) fn break_at_drop(&self) {
        #[allow(deprecated, reason = "zero does not block")]
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}

fn wait(nap: &mut Option<Pin<Box<Sleep>>>, context: &mut Context<'_>) -> Poll<()> {
    if let Some(sleep) = nap {
        ready!(sleep.as_mut().poll(context));
        *nap = None;
    }
    Poll::Ready(())
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = &mut *self;
        if !line.head.is_empty() {
            let taken = line.head.len().min(buffer.remaining());
            buffer.put_slice(&line.head[..taken]);
            line.head.drain(..taken);
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(wait(&mut line.reads_again, context));
            let is_slow = line.faults.is_slow();
            let mut bytes = [0; 2048];
            let room = if is_slow { TOKENS } else { bytes.len() };
            let room = room.min(buffer.remaining());
            let mut read = ReadBuf::new(&mut bytes[..room]);
            ready!(Pin::new(&mut line.socket).poll_read(context, &mut read))?;
            if is_slow {
                line.reads_again = Some(Box::pin(sleep(REFILL)));
            }
            let read = read.filled();
            if read.is_empty() || !line.faults.loses_inward.load(Ordering::Relaxed) {
                buffer.put_slice(read);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let line = &mut *self;
        if line.faults.loses_outward.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(wait(&mut line.writes_again, context));
        if !line.faults.is_slow() {
            return Pin::new(&mut line.socket).poll_write(context, bytes);
        }
        let some = &bytes[..bytes.len().min(TOKENS)];
        let written = ready!(Pin::new(&mut line.socket).poll_write(context, some));
        line.writes_again = Some(Box::pin(sleep(REFILL)));
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
