//! A TCP proxy that can be told to misbehave.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

/// How soon its threads see that something changed.
const TURN: Duration = Duration::from_millis(10);

/// What becomes of a new connection.
#[derive(Clone, Debug)]
pub enum Door {
    /// It is passed on.
    Open,
    /// Nobody listens.
    Shut,
    /// It is accepted and dropped.
    Drop,
    /// It is dropped after the peer's answer to the handshake.
    DropOpened,
    /// Each request is answered with this.
    Answer(fn() -> String),
}

/// How the connections end that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Without a word of WebSocket's.
    Fin,
    /// With a reset.
    Reset,
    /// With a close frame, as if the peer had sent it.
    Close(u16),
}

#[derive(Debug)]
struct State {
    door: Door,
    /// Counts the cuts: those that begin before one end by it.
    cuts: u64,
    cut: Cut,
    /// Bytes a second, to the peer and to the client.
    up: Option<u64>,
    down: Option<u64>,
    floods: bool,
    accepted: u64,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    is_over: AtomicBool,
}

/// A running proxy. Dropping it ends its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            state: Mutex::new(State {
                door: Door::Open,
                cuts: 0,
                cut: Cut::Fin,
                up: None,
                down: None,
                floods: false,
                accepted: 0,
            }),
            is_over: AtomicBool::new(false),
        });
        let serve = Arc::clone(&shared);
        thread::spawn(move || serve.accept(Some(listener), address));
        Self { address, shared }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of new connections from now on.
    pub fn door(&self, door: Door) {
        self.shared.state.lock().unwrap().door = door;
    }

    /// Ends the connections that there are.
    pub fn cut(&self, cut: Cut) {
        let mut state = self.shared.state.lock().unwrap();
        state.cut = cut;
        state.cuts += 1;
    }

    /// Bytes a second to the peer, and to the client.
    pub fn limit(&self, up: Option<u64>, down: Option<u64>) {
        let mut state = self.shared.state.lock().unwrap();
        (state.up, state.down) = (up, down);
    }

    /// Between the peer's frames each client gets others, as many as it takes.
    pub fn flood(&self, floods: bool) {
        self.shared.state.lock().unwrap().floods = floods;
    }

    /// How many connections there were.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.state.lock().unwrap().accepted
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.cut(Cut::Fin);
    }
}

impl Shared {
    fn accept(self: Arc<Self>, mut listener: Option<TcpListener>, address: SocketAddr) {
        while !self.is_over.load(Ordering::Relaxed) {
            let (door, cuts) = {
                let state = self.state.lock().unwrap();
                (state.door.clone(), state.cuts)
            };
            if matches!(door, Door::Shut) {
                listener = None;
            } else if listener.is_none() {
                listener = listen(address).ok();
            }
            match listener.as_ref().map(TcpListener::accept) {
                Some(Ok((client, _))) => {
                    self.state.lock().unwrap().accepted += 1;
                    let shared = Arc::clone(&self);
                    let serve = move || _ = shared.serve(client, &door, cuts);
                    thread::Builder::new()
                        .stack_size(256 << 10)
                        .spawn(serve)
                        .unwrap();
                }
                _ => thread::sleep(TURN / 2),
            }
        }
    }

    fn serve(self: Arc<Self>, mut client: TcpStream, door: &Door, cuts: u64) -> io::Result<()> {
        client.set_nonblocking(false)?;
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(TURN))?;
        client.set_write_timeout(Some(TURN))?;
        match door {
            Door::Open | Door::DropOpened => {}
            Door::Shut | Door::Drop => return Ok(()),
            Door::Answer(answer) => {
                read_head(&mut client)?;
                client.write_all(answer().as_bytes())?;
                client.shutdown(Shutdown::Write)?;
                // What is unread at the end would make a reset of it.
                let _ = read_head(&mut client);
                return Ok(());
            }
        }
        let server = TcpStream::connect(self.upstream)?;
        server.set_nodelay(true)?;
        server.set_read_timeout(Some(TURN))?;
        server.set_write_timeout(Some(TURN))?;
        let pair = Arc::new(Pair {
            client,
            server,
            cuts,
            is_over: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        });
        let (shared, other) = (Arc::clone(&self), Arc::clone(&pair));
        let up = thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || {
                let _ = shared.pump_up(&other);
                other.is_over.store(true, Ordering::Relaxed);
            })?;
        let _ = self.pump_down(&pair, matches!(door, Door::DropOpened));
        // After a close frame of ours the client says its own, and that is the end.
        if !pair.is_closing.load(Ordering::Relaxed) {
            pair.is_over.store(true, Ordering::Relaxed);
        }
        let _ = up.join();
        Ok(())
    }

    /// How this connection is to end, if it is.
    fn cut_of(&self, pair: &Pair) -> Option<Cut> {
        let state = self.state.lock().unwrap();
        (state.cuts > pair.cuts).then_some(state.cut)
    }

    fn pump_up(&self, pair: &Pair) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut end = None;
        loop {
            if pair.is_over.load(Ordering::Relaxed) || self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let limit = self.state.lock().unwrap().up;
            let size = portion(limit, buffer.len());
            let read = (&pair.client).read(&mut buffer[..size]);
            if pair.is_closing.load(Ordering::Relaxed) {
                // Nobody hears the rest.
                let end = *end.get_or_insert_with(|| Instant::now() + Duration::from_secs(2));
                match read {
                    Ok(0) => return Ok(()),
                    _ if Instant::now() > end => return Ok(()),
                    _ => continue,
                }
            }
            let read = match read {
                Ok(0) => return pair.server.shutdown(Shutdown::Write),
                Ok(read) => read,
                Err(error) if is_late(&error) => continue,
                Err(error) => return Err(error),
            };
            pair.write(&pair.server, &buffer[..read])?;
            wait(limit, read);
        }
    }

    fn pump_down(&self, pair: &Pair, drops: bool) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut frames = Frames::default();
        let mut flood = Vec::new();
        for _ in 0..32 {
            flood.extend([0x81, 126, 4, 0]);
            flood.extend([b'~'; 1024]);
        }
        loop {
            if pair.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            match self.cut_of(pair) {
                None => {}
                Some(Cut::Fin) => return Ok(()),
                Some(Cut::Reset) => {
                    return Ok(sockopt::set_socket_linger(
                        &pair.client,
                        Some(Duration::ZERO),
                    )?);
                }
                Some(Cut::Close(code)) if frames.is_between() => {
                    pair.is_closing.store(true, Ordering::Relaxed);
                    let [high, low] = code.to_be_bytes();
                    return pair.write(&pair.client, &[0x88, 2, high, low]);
                }
                Some(Cut::Close(_)) => {}
            }
            let (limit, floods) = {
                let state = self.state.lock().unwrap();
                (state.down, state.floods && frames.is_between())
            };
            if floods {
                pair.write(&pair.client, &flood)?;
            }
            let size = portion(limit, buffer.len());
            pair.server.set_nonblocking(floods)?;
            match (&pair.server).read(&mut buffer[..size]) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    pair.server.set_nonblocking(false)?;
                    frames.feed(&buffer[..read]);
                    pair.write(&pair.client, &buffer[..read])?;
                    if drops && frames.is_open {
                        return Ok(());
                    }
                    wait(limit, read);
                }
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// How many cuts there had been when it began.
    cuts: u64,
    is_over: AtomicBool,
    is_closing: AtomicBool,
}

impl Pair {
    fn write(&self, mut to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.is_over.load(Ordering::Relaxed) {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            match to.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Where the frames of a server end: these are not masked.
#[derive(Debug, Default)]
struct Frames {
    is_open: bool,
    /// The end of the head of the handshake, or the beginning of a frame.
    head: Vec<u8>,
    left: u64,
}

impl Frames {
    fn is_between(&self) -> bool {
        self.is_open && self.head.is_empty() && self.left == 0
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len() as u64);
                self.left -= taken;
                bytes = &bytes[usize::try_from(taken).unwrap()..];
                continue;
            }
            bytes = rest;
            self.head.push(byte);
            if !self.is_open {
                self.is_open = self.head.ends_with(b"\r\n\r\n");
                if self.is_open {
                    self.head.clear();
                }
                continue;
            }
            let length = match self.head.as_slice() {
                [_, length @ 0..=125] => u64::from(*length),
                [_, 126, high, low] => u16::from_be_bytes([*high, *low]).into(),
                [_, 127, length @ ..] if length.len() == 8 => {
                    u64::from_be_bytes(length.try_into().unwrap())
                }
                _ => continue,
            };
            self.left = length;
            self.head.clear();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Its kernel takes no more than a slow link would hold.
    sockopt::set_socket_recv_buffer_size(&listener, 8 << 10)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn read_head(client: &mut TcpStream) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(1);
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") && Instant::now() < end {
        match client.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => head.extend(&buffer[..read]),
            Err(error) if is_late(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_late(error: &io::Error) -> bool {
    use ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// As much as passes in 20 ms.
fn portion(limit: Option<u64>, most: usize) -> usize {
    let limit = limit.map_or(most, |limit| usize::try_from(limit / 50).unwrap());
    limit.clamp(1, most)
}

fn wait(limit: Option<u64>, passed: usize) {
    if let Some(limit) = limit {
        thread::sleep(Duration::from_secs_f64(passed as f64 / limit as f64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_they_end_however_they_are_cut() {
        let mut stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        let mut ends = vec![stream.len()];
        for length in [0_usize, 5, 125, 126, 300, 70_000] {
            match length {
                0..=125 => stream.extend([0x81, length as u8]),
                126..=65_535 => {
                    stream.extend([0x81, 126]);
                    stream.extend((length as u16).to_be_bytes());
                }
                _ => {
                    stream.extend([0x81, 127]);
                    stream.extend((length as u64).to_be_bytes());
                }
            }
            stream.resize(stream.len() + length, b'\n');
            ends.push(stream.len());
        }
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for (index, byte) in stream.iter().enumerate() {
            frames.feed(&[*byte]);
            if frames.is_between() {
                seen.push(index + 1);
            }
        }
        assert_eq!(seen, ends);
        let mut whole = Frames::default();
        whole.feed(&stream);
        assert!(whole.is_between());
    }
}
