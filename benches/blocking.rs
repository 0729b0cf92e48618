//! What blocking sockets on readiness cost beside a bare tungstenite loop with a read
//! timeout, on loopback: messages a second, medians of interleaved runs.
//!
//! `cargo bench --features blocking --bench blocking`, with the word `flood`, `single` or
//! `echo` for one of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::Config;
use keepalive::blocking::{self, Link, Notice};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

const RUNS: usize = 41;
const PAYLOAD: usize = 32;
const HEARTBEAT: Duration = Duration::from_secs(25);

const CASES: [Case; 4] = [
    Case {
        name: "single",
        peer: single,
        count: 100_000,
        is_echo: false,
        read_buffer: 128 << 10,
        least: 0.95,
    },
    Case {
        name: "small",
        peer: flood,
        count: 100_000,
        is_echo: false,
        read_buffer: PAYLOAD + 2,
        least: 0.95,
    },
    Case {
        name: "flood",
        peer: flood,
        count: 1_000_000,
        is_echo: false,
        read_buffer: 128 << 10,
        least: 0.8,
    },
    Case {
        name: "echo",
        peer: echo,
        count: 10_000,
        is_echo: true,
        read_buffer: 128 << 10,
        least: 0.85,
    },
];

/// What a noisy machine may take of the least ratio.
const NOISE: f64 = 0.9;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    println!("        bare loop/s    session/s   ratio  least");
    let mut is_right = true;
    for case in &CASES {
        if words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str())) {
            is_right &= case.run() >= case.least * NOISE;
        }
    }
    if is_right {
        return ExitCode::SUCCESS;
    }
    println!("less than {NOISE} of the least ratio");
    ExitCode::FAILURE
}

struct Case {
    name: &'static str,
    peer: fn(TcpStream, usize),
    count: usize,
    /// One message is under way at a time; the client begins.
    is_echo: bool,
    /// tungstenite's; one that holds one message takes a system call for each.
    read_buffer: usize,
    /// What the session is to reach of the bare loop's.
    least: f64,
}

impl Case {
    /// The ratio.
    fn run(&self) -> f64 {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        let client = match std::env::var("CLIENT").as_deref() {
            Ok("readiness") => readiness_loop,
            _ => session,
        };
        for _ in 0..RUNS {
            bare.push(self.measure(bare_loop));
            ours.push(self.measure(client));
        }
        let ratios = bare.iter().zip(&ours).map(|(bare, ours)| ours / bare);
        let ratio = median(ratios.collect());
        let (bare, ours) = (median(bare), median(ours));
        let (name, least) = (self.name, self.least);
        println!("{name:6} {bare:12.0} {ours:12.0} {ratio:7.2}  {least:5.2}");
        ratio
    }

    /// Messages a second.
    fn measure(&self, client: fn(TcpStream, &Case)) -> f64 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        for socket in [&ours, &theirs] {
            socket.set_nodelay(true).unwrap();
        }
        let (peer, count) = (self.peer, self.count);
        let peer = thread::spawn(move || peer(theirs, count));
        let begin = Instant::now();
        client(ours, self);
        let took = begin.elapsed();
        peer.join().unwrap();
        count as f64 / took.as_secs_f64()
    }

    fn socket<S: Read + Write>(&self, stream: S) -> WebSocket<S> {
        let config = WebSocketConfig::default().read_buffer_size(self.read_buffer);
        WebSocket::from_raw_socket(stream, Role::Client, Some(config))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn frame() -> Vec<u8> {
    [&[0x82, PAYLOAD as u8][..], &[7; PAYLOAD]].concat()
}

// The peers.

/// Each by itself.
fn single(mut socket: TcpStream, count: usize) {
    let frame = frame();
    for _ in 0..count {
        socket.write_all(&frame).unwrap();
    }
}

/// As many as the socket takes.
fn flood(mut socket: TcpStream, count: usize) {
    const BATCH: usize = 1000;
    let frames = frame().repeat(BATCH);
    for _ in 0..count / BATCH {
        socket.write_all(&frames).unwrap();
    }
}

/// A masked frame comes in, one without a mask goes out.
fn echo(mut socket: TcpStream, count: usize) {
    let frame = frame();
    let mut masked = vec![0; frame.len() + 4];
    for _ in 0..count {
        socket.read_exact(&mut masked).unwrap();
        socket.write_all(&frame).unwrap();
    }
}

// The clients.

fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

fn bare_loop(socket: TcpStream, case: &Case) {
    socket.set_read_timeout(Some(HEARTBEAT)).unwrap();
    let mut socket = case.socket(socket);
    for _ in 0..case.count {
        if case.is_echo {
            socket.send(Message::binary(vec![7; PAYLOAD])).unwrap();
        }
        loop {
            match socket.read() {
                Ok(message) => break drop(black_box(message)),
                Err(error) => assert!(is_blocked(&error)),
            }
        }
    }
}

fn session(socket: TcpStream, case: &Case) {
    let link = Link::within(HEARTBEAT).unwrap();
    let stream = link.stream(socket).unwrap();
    let socket = case.socket(stream);
    // The peer does not read, and a ping that lies unread would make its end a reset.
    let config = Config::builder().random_phase(false).build().unwrap();
    let mut session = blocking::accepted(config, socket, link);
    let opened = session.next();
    assert!(matches!(opened, Some(Notice::Opened { .. })), "{opened:?}");
    for _ in 0..case.count {
        if case.is_echo {
            session.send(Message::binary(vec![7; PAYLOAD])).unwrap();
        }
        loop {
            match session.next() {
                Some(Notice::Message(message)) => break drop(black_box(message)),
                Some(Notice::Ping(_) | Notice::Pong { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The same without a session: what waits, below tungstenite.
fn readiness_loop(socket: TcpStream, case: &Case) {
    let link = Link::within(HEARTBEAT).unwrap();
    let stream = link.stream(socket).unwrap();
    assert!(link.open());
    let mut socket = case.socket(stream);
    let until = Instant::now() + HEARTBEAT;
    // Whether the socket is known to have nothing, and tungstenite's buffer may not: then
    // its read is the wait.
    let mut waits = true;
    let mut reads = 0;
    for _ in 0..case.count {
        if case.is_echo {
            link.begin();
            socket.send(Message::binary(vec![7; PAYLOAD])).unwrap();
        }
        loop {
            let before = link.bytes().read;
            let found = if waits {
                black_box(link.wait().take_woken());
                link.waiting(Some(until), || socket.read())
            } else {
                link.begin();
                socket.read()
            };
            reads += usize::from(link.bytes().read > before);
            waits = found.is_err() || link.bytes().read > before && !link.is_readable();
            match found {
                Ok(message) => break drop(black_box(message)),
                Err(error) => assert!(is_blocked(&error)),
            }
        }
    }
    if std::env::var("READS").is_ok() {
        println!("{:.1}", case.count as f64 / reads as f64);
    }
}
