use core::task::{Context, Poll};
use std::io;

use crate::session::Counter;

/// After how many writes, with nothing read between them, an error is told to the writer
/// after all. By then a runtime has asked the system what is unread: tokio does so after
/// 61 polls at the latest, and a poll writes three times.
const PATIENCE: u8 = 250;

/// The error of a write, held back until a read finds the end: what the peer said last,
/// such as its close code, may lie unread, and tungstenite writes before it reads.
///
/// Until then a write is pending, and wakes its task, so that it reads. A read that is
/// pending says little: the runtime may not have looked yet. Who knows that it has takes
/// the error from the counter.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Writes since the error, while it is held.
    writes: Option<u8>,
    was_told: bool,
}

impl Held {
    pub(crate) const fn new() -> Self {
        Self {
            writes: None,
            was_told: false,
        }
    }

    /// Counts this write, or holds its error back.
    pub(crate) fn write(
        &mut self,
        counter: &Counter,
        context: &mut Context<'_>,
        write: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let writes = match self.writes {
            Some(writes) => writes,
            None => match write(context) {
                Poll::Ready(Err(error)) if !self.was_told && !is_passing(&error) => {
                    counter.hold_write_error(error);
                    0
                }
                written => {
                    if let Poll::Ready(Ok(written)) = written {
                        counter.add_written(written);
                    }
                    return written;
                }
            },
        };
        if writes == PATIENCE {
            return Poll::Ready(Err(self.tell(counter)));
        }
        self.writes = Some(writes + 1);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Counts this read, of so many bytes; or the error of a write in place of one that
    /// found the end, or failed.
    pub(crate) fn read<T>(
        &mut self,
        counter: &Counter,
        bytes: usize,
        read: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        counter.add_read(bytes);
        if self.writes.is_none() || read.is_pending() {
            return read;
        }
        if bytes == 0 {
            return Poll::Ready(Err(self.tell(counter)));
        }
        self.writes = Some(1);
        read
    }

    fn tell(&mut self, counter: &Counter) -> io::Error {
        self.writes = None;
        self.was_told = true;
        let error = counter.take_write_error();
        error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// What a stream may report without an end.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::Waker;
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[derive(Default)]
    struct Rig {
        held: Held,
        counter: Counter,
        wakes: Arc<Wakes>,
    }

    type Io = Poll<Result<usize, io::ErrorKind>>;
    const RESET: Io = Poll::Ready(Err(io::ErrorKind::ConnectionReset));

    impl Rig {
        fn write(&mut self, written: Io) -> Io {
            let waker = Waker::from(self.wakes.clone());
            let mut context = Context::from_waker(&waker);
            let written = written.map_err(io::Error::from);
            let written = self.held.write(&self.counter, &mut context, |_| written);
            written.map_err(|error| error.kind())
        }

        fn read(&mut self, read: Io) -> Io {
            let bytes = match read {
                Poll::Ready(Ok(bytes)) => bytes,
                _ => 0,
            };
            let read = read.map_err(io::Error::from);
            let read = self.held.read(&self.counter, bytes, read);
            read.map_err(|error| error.kind())
        }

        fn wakes(&self) -> usize {
            self.wakes.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn an_error_waits_until_nothing_is_unread() {
        for end in [
            Poll::Ready(Ok(0)),
            Poll::Ready(Err(io::ErrorKind::NotConnected)),
        ] {
            let mut rig = Rig::default();
            assert_eq!(rig.write(Poll::Ready(Ok(7))), Poll::Ready(Ok(7)));
            assert_eq!(rig.write(RESET), Poll::Pending);
            // The runtime has not looked yet.
            assert_eq!(rig.read(Poll::Pending), Poll::Pending);
            assert_eq!(rig.read(Poll::Ready(Ok(5))), Poll::Ready(Ok(5)));
            assert_eq!(rig.write(Poll::Ready(Ok(1))), Poll::Pending);
            assert_eq!(rig.wakes(), 2);
            assert_eq!(rig.read(end), RESET);
            // Nothing is held any more.
            assert_eq!(rig.read(Poll::Ready(Ok(0))), Poll::Ready(Ok(0)));
            let broken = Poll::Ready(Err(io::ErrorKind::BrokenPipe));
            assert_eq!(rig.write(broken), broken);
            assert_eq!((rig.counter.read(), rig.counter.written()), (5, 7));
        }
    }

    #[test]
    fn who_never_reads_is_told_all_the_same() {
        let mut rig = Rig::default();
        for _ in 0..PATIENCE {
            assert_eq!(rig.write(RESET), Poll::Pending);
            assert_eq!(rig.read(Poll::Pending), Poll::Pending);
        }
        assert_eq!(rig.write(RESET), RESET);
        assert_eq!(rig.wakes(), usize::from(PATIENCE));
    }

    #[test]
    fn it_can_be_asked_for() {
        let mut rig = Rig::default();
        assert!(rig.counter.take_write_error().is_none());
        assert_eq!(rig.write(RESET), Poll::Pending);
        let error = rig.counter.take_write_error().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(rig.counter.take_write_error().is_none());
        // It is an error still.
        let broken = Poll::Ready(Err(io::ErrorKind::BrokenPipe));
        assert_eq!(rig.read(Poll::Ready(Ok(0))), broken);
    }

    #[test]
    fn what_is_no_end_is_left_alone() {
        let mut rig = Rig::default();
        let busy = Poll::Ready(Err(io::ErrorKind::Interrupted));
        assert_eq!(rig.write(busy), busy);
        assert_eq!(rig.write(Poll::Pending), Poll::Pending);
        assert_eq!(rig.read(Poll::Pending), Poll::Pending);
        assert_eq!(rig.wakes(), 0);
    }
}
