//! A scripted WebSocket server: every byte and every pause is the script's.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use socket2::{Domain, SockRef, Socket, Type};
use tungstenite::handshake::derive_accept_key;

/// Milliseconds since the epoch: the subjects are other processes and have no other
/// clock in common.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs_f64() * 1000.0
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Dialled,
    Opened,
    /// The protocol's, or the text `ping`.
    Ping,
    Text(String),
    Binary(usize),
    Close(Option<u16>),
    /// FIN or RST from the subject.
    Gone,
    /// What the script did.
    Did(&'static str),
}

impl Seen {
    /// Whether the subject gave the connection up.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Gone)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: f64,
    /// Which dial, from 0.
    pub(crate) dial: usize,
    pub(crate) seen: Seen,
}

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Entry>>>);

impl Log {
    fn push(&self, dial: usize, seen: Seen) {
        let at = now();
        self.0.lock().unwrap().push(Entry { at, dial, seen });
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    /// When this was first seen of this dial.
    pub(crate) fn when(&self, dial: usize, is: impl Fn(&Seen) -> bool) -> Option<f64> {
        let entries = self.0.lock().unwrap();
        let found = entries.iter().find(|it| it.dial == dial && is(&it.seen));
        found.map(|it| it.at)
    }

    pub(crate) fn dials(&self) -> usize {
        let entries = self.0.lock().unwrap();
        entries.iter().filter(|it| it.seen == Seen::Dialled).count()
    }
}

pub(crate) type Script = dyn Fn(&mut Conn) -> io::Result<()> + Send + Sync;

/// The server. Dropping it ends its threads.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Peer {
    pub(crate) fn start(listener: TcpListener, script: Arc<Script>) -> Self {
        let address = listener.local_addr().unwrap();
        let (log, over) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let acceptor = thread::spawn({
            let (log, over) = (log.clone(), Arc::clone(&over));
            move || accept_all(&listener, &script, &log, &over)
        });
        Self {
            address,
            log,
            over,
            acceptor: Some(acceptor),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // To wake it.
        let _ = TcpStream::connect(self.address);
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

fn accept_all(listener: &TcpListener, script: &Arc<Script>, log: &Log, over: &Arc<AtomicBool>) {
    let mut threads = Vec::new();
    for dial in 0.. {
        let Ok((stream, _)) = listener.accept() else {
            break;
        };
        if over.load(Ordering::Relaxed) {
            break;
        }
        log.push(dial, Seen::Dialled);
        let _ = stream.set_nodelay(true);
        let mut conn = Conn {
            dial,
            log: log.clone(),
            over: Arc::clone(over),
            stream,
            read: Vec::new(),
            budget: None,
        };
        let script = Arc::clone(script);
        threads.push(thread::spawn(move || {
            let _ = script(&mut conn);
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// On a free port of this address, with a receive buffer of this size.
pub(crate) fn listen(address: &str, receive_buffer: Option<usize>) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(size) = receive_buffer {
        socket.set_recv_buffer_size(size).unwrap();
    }
    let address: SocketAddr = address.parse().unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(128).unwrap();
    socket.into()
}

/// An address that swallows SYNs: a listener that nobody accepts from, and whose queue is
/// full.
pub(crate) struct Hole {
    pub(crate) port: u16,
    _held: Vec<Socket>,
}

impl Hole {
    pub(crate) fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let port = address.as_socket().unwrap().port();
        let mut held = vec![listener];
        for _ in 0..3 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            held.push(socket);
        }
        Self { port, _held: held }
    }
}

#[derive(Debug)]
struct Frame {
    opcode: u8,
    payload: Vec<u8>,
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One dial, at the server's end.
pub(crate) struct Conn {
    pub(crate) dial: usize,
    pub(crate) log: Log,
    over: Arc<AtomicBool>,
    stream: TcpStream,
    read: Vec<u8>,
    /// How many bytes are read in 100 ms at most.
    budget: Option<usize>,
}

impl Conn {
    pub(crate) fn did(&self, what: &'static str) {
        self.log.push(self.dial, Seen::Did(what));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// From here on it reads only so many bytes in 100 ms.
    pub(crate) fn read_slowly(&mut self, bytes: usize) {
        self.budget = Some(bytes);
    }

    /// The head of the request.
    pub(crate) fn request(&mut self) -> io::Result<String> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                let head = self.read.drain(..at + 4).collect();
                return String::from_utf8(head).map_err(io::Error::other);
            }
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.fill(Duration::from_millis(100))?;
        }
    }

    pub(crate) fn open(&mut self) -> io::Result<()> {
        let head = self.request()?;
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let key = lines
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            .map(|(_, value)| value.trim())
            .ok_or(io::ErrorKind::InvalidData)?;
        let accept = derive_accept_key(key.as_bytes());
        write!(
            self.stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )?;
        self.log.push(self.dial, Seen::Opened);
        Ok(())
    }

    pub(crate) fn refuse(&mut self, seconds: u32) -> io::Result<()> {
        self.request()?;
        write!(
            self.stream,
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {seconds}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        self.did("refused");
        Ok(())
    }

    /// Answers for so long, each ping after this delay.
    pub(crate) fn answer(&mut self, during: Duration, delay: Duration) -> io::Result<()> {
        let end = Instant::now() + during;
        let mut owed: Vec<(Instant, Frame)> = Vec::new();
        while Instant::now() < end && !self.is_over() {
            if let Some(frame) = self.next(Duration::from_millis(20))? {
                if frame.opcode == CLOSE {
                    self.send(CLOSE, &frame.payload)?;
                    return Ok(());
                }
                if let Some(answer) = answer(frame) {
                    owed.push((Instant::now() + delay, answer));
                }
            }
            while owed.first().is_some_and(|(at, _)| *at <= Instant::now()) {
                let (_, answer) = owed.remove(0);
                self.send(answer.opcode, &answer.payload)?;
            }
        }
        Ok(())
    }

    /// Answers until the end.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        self.answer(Duration::from_secs(600), Duration::ZERO)
    }

    /// Says nothing, whatever comes, until this is so; then the connection is still up.
    pub(crate) fn mute(&mut self, until: impl Fn(&Self) -> bool) -> io::Result<()> {
        self.did("fell silent");
        let mut gone = false;
        while !until(self) {
            if self.is_over() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if gone {
                thread::sleep(Duration::from_millis(20));
            } else {
                gone = self.next(Duration::from_millis(20)).is_err();
            }
        }
        Ok(())
    }

    /// One binary frame of this size, so many bytes in 100 ms; no pong can stand in it.
    pub(crate) fn send_slowly(&mut self, size: usize, bytes: usize) -> io::Result<()> {
        let mut frame = header(BINARY, size);
        frame.resize(frame.len() + size, 7);
        let mut owed = Vec::new();
        let mut due = Instant::now();
        self.did("began");
        for part in frame.chunks(bytes) {
            self.stream.write_all(part)?;
            due += Duration::from_millis(100);
            while Instant::now() < due {
                let left = due.saturating_duration_since(Instant::now());
                if let Some(frame) = self.next(left)? {
                    owed.extend(answer(frame));
                }
            }
        }
        self.did("ended");
        for answer in owed {
            self.send(answer.opcode, &answer.payload)?;
        }
        Ok(())
    }

    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.send(TEXT, text.as_bytes())
    }

    pub(crate) fn say_goodbye(&mut self, code: u16) -> io::Result<()> {
        self.send(CLOSE, &code.to_be_bytes())
    }

    /// Ends it with RST.
    pub(crate) fn reset(self: &mut Conn) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = header(opcode, payload.len());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    fn next(&mut self, within: Duration) -> io::Result<Option<Frame>> {
        let end = Instant::now() + within;
        loop {
            if let Some(frame) = self.parse() {
                self.note(&frame);
                return Ok(Some(frame));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.fill(left)?;
        }
    }

    fn note(&self, frame: &Frame) {
        let text = || String::from_utf8_lossy(&frame.payload).into_owned();
        let seen = match frame.opcode {
            PING => Seen::Ping,
            TEXT if frame.payload == b"ping" => Seen::Ping,
            TEXT => Seen::Text(text()),
            BINARY => Seen::Binary(frame.payload.len()),
            CLOSE => Seen::Close(match frame.payload[..] {
                [high, low, ..] => Some(u16::from_be_bytes([high, low])),
                _ => None,
            }),
            _ => return,
        };
        self.log.push(self.dial, seen);
    }

    /// What came in, within this time.
    fn fill(&mut self, within: Duration) -> io::Result<()> {
        let mut chunk = vec![0; self.budget.unwrap_or(64 << 10)];
        if self.budget.is_some() {
            thread::sleep(Duration::from_millis(100));
        }
        let within = within.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(within))?;
        match self.stream.read(&mut chunk) {
            Ok(0) => {
                self.log.push(self.dial, Seen::Gone);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(size) => {
                self.read.extend_from_slice(&chunk[..size]);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(()),
                _ => {
                    self.log.push(self.dial, Seen::Gone);
                    Err(error)
                }
            },
        }
    }

    /// A whole frame of a client's, if there is one.
    fn parse(&mut self) -> Option<Frame> {
        let [first, second, ..] = self.read[..] else {
            return None;
        };
        let (length, mut at) = match second & 127 {
            126 => (
                usize::from(u16::from_be_bytes(self.read.get(2..4)?.try_into().ok()?)),
                4,
            ),
            127 => (
                u64::from_be_bytes(self.read.get(2..10)?.try_into().ok()?) as usize,
                10,
            ),
            short => (usize::from(short), 2),
        };
        let mask: [u8; 4] = self.read.get(at..at + 4)?.try_into().ok()?;
        at += 4;
        self.read.get(at..at + length)?;
        let frame: Vec<u8> = self.read.drain(..at + length).skip(at).collect();
        let masks = mask.iter().cycle();
        let payload = frame
            .iter()
            .zip(masks)
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        let opcode = first & 15;
        Some(Frame { opcode, payload })
    }
}

fn answer(frame: Frame) -> Option<Frame> {
    match frame.opcode {
        PING => Some(Frame {
            opcode: PONG,
            payload: frame.payload,
        }),
        TEXT if frame.payload == b"ping" => Some(Frame {
            opcode: TEXT,
            payload: b"pong".to_vec(),
        }),
        _ => None,
    }
}

fn header(opcode: u8, length: usize) -> Vec<u8> {
    let mut header = vec![128 | opcode];
    match length {
        0..=125 => header.push(length as u8),
        126..=65535 => {
            header.push(126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend((length as u64).to_be_bytes());
        }
    }
    header
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
