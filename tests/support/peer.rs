//! Peers over real sockets on 127.0.0.1: what they do is the test's, what is here
//! makes them short to write.
#![allow(dead_code, unreachable_pub)]

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use tungstenite::WebSocket;

/// No peer waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A peer on a thread of its own, and its URL.
pub fn peer<T: Send + 'static>(
    script: impl FnOnce(TcpListener) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url_of(listener.local_addr().unwrap());
    (url, thread::spawn(move || script(listener)))
}

pub fn url_of(address: SocketAddr) -> String {
    format!("ws://{address}/")
}

/// Accepts the next TCP connection.
pub fn accept_tcp(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let end = Instant::now() + PATIENCE;
    let (socket, _) = loop {
        match listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                thread::sleep(millis(1));
            }
            accepted => break accepted.unwrap(),
        }
    };
    // For those who wait without an end.
    listener.set_nonblocking(false).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Accepts the next WebSocket connection.
pub fn accept(listener: &TcpListener) -> WebSocket<TcpStream> {
    tungstenite::accept(accept_tcp(listener)).unwrap()
}

/// The same as a bare TCP connection, to write half frames on.
pub fn accept_raw(listener: &TcpListener) -> TcpStream {
    accept(listener).into_inner()
}

/// Reads, and so answers pings and closes, until the connection ends.
pub fn serve(socket: &mut WebSocket<impl Read + Write>) {
    while socket.read().is_ok() {}
}

/// Answers on one connection after the other.
pub fn serve_all(listener: &TcpListener) {
    while let Ok((socket, _)) = listener.accept() {
        thread::spawn(move || {
            if let Ok(mut socket) = tungstenite::accept(socket) {
                serve(&mut socket);
            }
        });
    }
}

/// The header of an unmasked binary frame with a payload of this length.
pub fn header(length: u32) -> Vec<u8> {
    let [.., high, low] = length.to_be_bytes();
    match length {
        ..126 => vec![0x82, low],
        126..0x1_0000 => vec![0x82, 126, high, low],
        _ => [&[0x82, 127, 0, 0, 0, 0], &length.to_be_bytes()[..]].concat(),
    }
}

/// Ends the connection with a reset.
pub fn reset(socket: TcpStream) {
    SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Leaves little room in the kernel for what this end does not read.
pub fn shrink(socket: &TcpStream) {
    SockRef::from(socket).set_recv_buffer_size(4096).unwrap();
}

/// An address that answers no dial: its backlog is full.
pub struct BlackHole {
    pub address: SocketAddr,
    _listener: Socket,
    _fill: Vec<Socket>,
}

impl BlackHole {
    pub fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut fill = Vec::new();
        for _ in 0..8 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let is_full = socket
                .connect_timeout(&address.into(), millis(300))
                .is_err();
            fill.push(socket);
            if is_full {
                break;
            }
        }
        Self {
            address,
            _listener: listener,
            _fill: fill,
        }
    }
}

/// This test binary once more, as another process that can be stopped. It runs
/// the ignored test of this name, which gets its orders through [`role`] and
/// tells its parent through [`tell`].
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    _stdin: ChildStdin,
}

const ROLE: &str = "KEEPALIVE_TEST_ROLE";
const MARK: &str = "@@ ";

/// What a child was started for; `None` in a parent.
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}

pub fn tell(line: &str) {
    println!("\n{MARK}{line}");
    std::io::stdout().flush().unwrap();
}

impl Process {
    pub fn start(test: &str, role: &str) -> Self {
        Self::of(Command::new(env::current_exe().unwrap()), test, role)
    }

    /// The same with at most so many descriptors.
    pub fn start_with(descriptors: u32, test: &str, role: &str) -> Self {
        let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script);
        shell.arg(env::current_exe().unwrap());
        Self::of(shell, test, role)
    }

    fn of(mut command: Command, test: &str, role: &str) -> Self {
        let mut child = command
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let stdin = child.stdin.take().unwrap();
        let (sender, told) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let line = line.trim_end().strip_prefix(MARK).map(str::to_owned);
                if line.is_some_and(|line| sender.send(line).is_err()) {
                    return;
                }
            }
        });
        Self {
            child,
            lines: told,
            _stdin: stdin,
        }
    }

    /// The next line that the child tells; `None` when it has ended, or says nothing.
    pub fn line(&mut self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn stop(&self) {
        signal("STOP", self.pid());
    }

    pub fn resume(&self) {
        signal("CONT", self.pid());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that the test has started, by its id.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()
        .unwrap();
    assert!(status.success());
}

/// How late this machine lets a thread run again that has slept: what a bound on
/// real time cannot promise.
pub struct Lateness {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Lateness {
    pub fn measure() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let nap = millis(2);
        let thread = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !flag.load(Ordering::Relaxed) {
                let begin = Instant::now();
                thread::sleep(nap);
                worst = worst.max(begin.elapsed() - nap);
            }
            worst
        });
        Self { is_over, thread }
    }

    /// The greatest so far.
    pub fn end(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Waits until this holds, or fails.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(millis(5));
    }
}
