use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::link::Link;
use super::wait::Ready;

/// For how many nanoseconds one call of the library above may go on while the peer keeps
/// up with it: a frame that never ends must not keep the session from its pings.
const TURN: u64 = 5_000_000;

/// After how many calls that need no time the clock is read all the same, for [`TURN`].
const CALLS: u8 = 16;

/// A TCP socket that goes *below* TLS and tungstenite, made by a [`Link`] or a
/// [`Dial`](super::Dial).
///
/// While the connection is being made, a read or write waits until it can be done, or
/// fails: with `TimedOut` at the deadline (TLS libraries take `WouldBlock` there as a
/// promise to try again), with `ConnectionAborted` if somebody gives the connection up.
/// Once the session has it, it does what can be done at once, and is `WouldBlock`
/// otherwise, which tungstenite tries again.
///
/// It also counts what goes through: bytes count as life before they are a message.
pub struct Stream {
    socket: mio::net::TcpStream,
    link: Link,
    /// When the call of the library above has had its time; none before the first one
    /// that was [begun](Link::begin).
    read_until: Option<u64>,
    write_until: Option<u64>,
    calls: u8,
}

impl Stream {
    pub(super) const fn new(socket: mio::net::TcpStream, link: Link) -> Self {
        Self {
            socket,
            link,
            read_until: None,
            write_until: None,
            calls: 0,
        }
    }

    /// The socket, which does not block. Use it for addresses and options: the stream
    /// does not notice what is read or written past it.
    pub const fn socket(&self) -> &mio::net::TcpStream {
        &self.socket
    }

    /// Its other end.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// A time that has come before the call that begins now.
    fn time_of_call(&mut self, is_open: bool) -> io::Result<u64> {
        let shared = self.link.shared();
        if !is_open {
            let now = shared.clock.read();
            shared.check(now)?;
            return Ok(now);
        }
        self.calls += 1;
        if self.calls < CALLS {
            return Ok(shared.clock.last());
        }
        self.calls = 0;
        Ok(shared.clock.read())
    }

    fn try_read(&mut self, buffer: &mut [u8], is_open: bool) -> io::Result<usize> {
        let shared = self.link.shared();
        let ready = &shared.ready;
        if is_open && !ready.is(Ready::READABLE) && shared.is_recent(&shared.drained) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let now = self.time_of_call(is_open)?;
        let shared = self.link.shared();
        let ready = &shared.ready;
        if is_open && ready.take(Ready::NEXT_READ) {
            self.read_until = Some(now.saturating_add(TURN));
        }
        let room = buffer.len();
        let found = self.socket.read(buffer);
        match &found {
            Ok(count) => {
                add(&shared.read, *count);
                if 0 < *count && *count < room && ready.clear_after_part(Ready::READABLE) {
                    shared.drained.set(now);
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    ready.clear(Ready::READABLE);
                    shared.drained.set(now);
                }
                ErrorKind::Interrupted => {}
                _ => shared.is_read_cut.store(true, Ordering::Relaxed),
            },
        }
        found
    }

    fn try_write(&mut self, bytes: &[u8], is_open: bool) -> io::Result<usize> {
        let shared = self.link.shared();
        let ready = &shared.ready;
        let is_full = !ready.is(Ready::WRITABLE) && shared.is_recent(&shared.filled);
        if is_open && (shared.is_write_cut() || is_full) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let now = self.time_of_call(is_open)?;
        let shared = self.link.shared();
        let ready = &shared.ready;
        if is_open && ready.take(Ready::NEXT_WRITE) {
            self.write_until = Some(now.saturating_add(TURN));
        }
        let result = self.socket.write(bytes);
        match result {
            Ok(count) => {
                add(&shared.written, count);
                shared.blocked.clear();
                if count < bytes.len() && ready.clear_after_part(Ready::WRITABLE) {
                    shared.is_full();
                }
                Ok(count)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    ready.clear(Ready::WRITABLE);
                    shared.is_full();
                    Err(error)
                }
                ErrorKind::Interrupted => Err(error),
                _ if is_open => {
                    shared.keep_write_error(error);
                    Err(ErrorKind::WouldBlock.into())
                }
                _ => Err(error),
            },
        }
    }

    fn has_had_its_time(&self, until: Option<u64>, next: u8) -> bool {
        let shared = self.link.shared();
        let is_new = shared.ready.is(next);
        let is_cut = !is_new && until.is_some_and(|until| shared.clock.last() >= until);
        if is_cut {
            shared.ready.set(Ready::CUT);
        }
        is_cut
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let is_open = self.link.shared().is_open();
            if is_open && self.has_had_its_time(self.read_until, Ready::NEXT_READ) {
                return Err(ErrorKind::WouldBlock.into());
            }
            match self.try_read(buffer, is_open) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let shared = self.link.shared();
                    if !is_open {
                        shared.wait_for(Ready::READABLE)?;
                    } else if !shared.wait_once()? {
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                found => return found,
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let is_open = self.link.shared().is_open();
            if is_open && self.has_had_its_time(self.write_until, Ready::NEXT_WRITE) {
                return Err(ErrorKind::WouldBlock.into());
            }
            match self.try_write(bytes, is_open) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !is_open => {
                    self.link.shared().wait_for(Ready::WRITABLE)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// There is nothing to flush.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Only the thread that reads and writes does this.
fn add(sum: &AtomicU64, count: usize) {
    let before = sum.load(Ordering::Relaxed);
    sum.store(before.saturating_add(count as u64), Ordering::Relaxed);
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Stream").field(&self.socket).finish()
    }
}
