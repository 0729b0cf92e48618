//! A third adapter: tungstenite over mio, bound to the driver by hand.
//!
//! `cargo run --features tungstenite --example mio_client ws://127.0.0.1:9001 [SECONDS]`
//! says hello, prints what happens, and stops after that many seconds.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use keepalive::driver::{
    Bytes, Codec, Dialect, Driver, End, Notice, Order, Plain, Read, Step, Transport as Bound,
};
use keepalive::tungstenite::{Tungstenite, ending};
use keepalive::{Backlog, Config, Desk, Ending, Handle};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::{Error, Message, WebSocket};

// ---- The page that binds tungstenite over mio to the driver. ----

/// One connection at a time, and the poll that it is registered with.
struct Transport {
    url: String,
    address: SocketAddr,
    poll: Poll,
    stage: Stage,
    count: Count,
    desk: Desk<Message>,
}

enum Stage {
    None,
    Dialling(Dial),
    Open(Box<WebSocket<Tap>>),
}

impl Bound for Transport {
    type Message = Message;
    type Error = Error;
    type Instant = Instant;

    fn now(&mut self) -> Instant {
        Instant::now()
    }

    fn carry_out(&mut self, order: Order<Message>) {
        match order {
            Order::Dial { .. } => {
                self.count = Count::default();
                self.stage = Stage::Dialling(Dial::begin(self));
            }
            // After the goodbye there is nothing to close.
            Order::Finish => {}
            Order::Drop(farewell) => {
                if let Stage::Open(socket) = &mut self.stage {
                    if let Some(farewell) = farewell {
                        let _ = socket.write(farewell);
                    }
                    let _ = socket.flush();
                }
                self.stage = Stage::None;
            }
        }
    }

    fn read(&mut self) -> Read<Message, Error, Instant> {
        let as_of = Instant::now();
        match &mut self.stage {
            Stage::None => Read::Nothing(as_of),
            Stage::Open(socket) => match socket.read() {
                Ok(message) => Read::Message(message),
                Err(error) if is_blocked(&error) => Read::Nothing(as_of),
                Err(error) => Read::end(match ending(&error) {
                    Ending::Closed(_) => End::Plain,
                    _ => End::Failed(error),
                }),
            },
            Stage::Dialling(dial) => match dial.go_on(&self.url) {
                Ok(None) => Read::Nothing(as_of),
                Ok(Some(socket)) => {
                    self.stage = Stage::Open(Box::new(socket));
                    Read::Opened
                }
                Err(error) => Read::end(match ending(&error) {
                    Ending::Refused(refused) => End::Refused(refused, error),
                    _ => End::Failed(error),
                }),
            },
        }
    }

    /// tungstenite takes a message of any length: it is ready once it holds nothing.
    fn is_ready(&mut self) -> Result<bool, Error> {
        self.flush()
    }

    fn write(&mut self, message: Message) -> Result<(), Error> {
        match &mut self.stage {
            Stage::Open(socket) => blocked(socket.write(message)).map(drop),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<bool, Error> {
        match &mut self.stage {
            Stage::Open(socket) => blocked(socket.flush()),
            _ => Ok(true),
        }
    }

    fn bytes(&self) -> Bytes {
        self.count.get()
    }

    fn backlog(&mut self) -> Option<Message> {
        self.desk.pull()
    }

    fn reclaim(&mut self) -> Vec<Message> {
        self.desk.reclaim()
    }
}

/// Whether it was done, or has to wait until the socket is writable.
fn blocked(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if is_blocked(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The socket, with its bytes counted below tungstenite.
struct Tap {
    socket: TcpStream,
    count: Count,
}

#[derive(Clone, Default)]
struct Count(Rc<Cell<Bytes>>);

impl Count {
    fn get(&self) -> Bytes {
        self.0.get()
    }

    fn add(&self, read: usize, written: usize) {
        let mut bytes = self.0.get();
        bytes.read += read as u64;
        bytes.written += written as u64;
        self.0.set(bytes);
    }
}

impl io::Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buffer)?;
        self.count.add(read, 0);
        Ok(read)
    }
}

impl io::Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.write(bytes)?;
        self.count.add(0, written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

// ---- The dial and the handshake. ----

enum Dial {
    Failed(Option<io::Error>),
    Tcp(Option<Tap>),
    Handshake(Option<MidHandshake<ClientHandshake<Tap>>>),
}

impl Dial {
    fn begin(transport: &mut Transport) -> Self {
        let begun = TcpStream::connect(transport.address).and_then(|mut socket| {
            let interests = Interest::READABLE | Interest::WRITABLE;
            let registry = transport.poll.registry();
            registry.register(&mut socket, Token(0), interests)?;
            // Pings are small.
            socket.set_nodelay(true)?;
            // A ping waits behind all that the kernel holds, which could be megabytes.
            #[cfg(any(target_os = "android", target_os = "linux"))]
            let _ = SockRef::from(&socket).set_tcp_notsent_lowat(16 << 10);
            Ok(socket)
        });
        match begun {
            Ok(socket) => {
                let count = transport.count.clone();
                Self::Tcp(Some(Tap { socket, count }))
            }
            Err(error) => Self::Failed(Some(error)),
        }
    }

    fn go_on(&mut self, url: &str) -> Result<Option<WebSocket<Tap>>, Error> {
        let result = match self {
            Self::Failed(error) => {
                return error.take().map_or(Ok(None), |error| Err(error.into()));
            }
            Self::Tcp(tap) => {
                let Some(ready) = tap.take_if(|tap| tap.socket.peer_addr().is_ok()) else {
                    let error = tap.as_ref().and_then(|tap| tap.socket.take_error().ok()?);
                    return error.map_or(Ok(None), |error| Err(error.into()));
                };
                tungstenite::client(url, ready)
            }
            Self::Handshake(handshake) => match handshake.take() {
                Some(handshake) => handshake.handshake(),
                None => return Ok(None),
            },
        };
        match result {
            Ok((socket, _)) => Ok(Some(socket)),
            Err(HandshakeError::Interrupted(handshake)) => {
                *self = Self::Handshake(Some(handshake));
                Ok(None)
            }
            Err(HandshakeError::Failure(error)) => Err(error),
        }
    }
}

// ---- The loop, and what other threads want of it. ----

pub(crate) struct Session<K: Codec<Message> = Plain> {
    pub(crate) driver: Driver<Tungstenite, K, Error, Instant>,
    transport: Transport,
    alarm: Waker,
    events: Events,
}

impl<K: Codec<Message>> Session<K> {
    pub(crate) fn new(
        driver: Driver<Tungstenite, K, Error, Instant>,
        url: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let uri: tungstenite::http::Uri = url.parse()?;
        let host = uri
            .host()
            .ok_or("the URL has no host")?
            .trim_matches(['[', ']']);
        let mut addresses = (host, uri.port_u16().unwrap_or(80)).to_socket_addrs()?;
        let poll = Poll::new()?;
        let alarm = Arc::new(Alarm(mio::Waker::new(poll.registry(), Token(1))?));
        let size = |message: &Message| Tungstenite::new().size(message);
        Ok(Self {
            driver,
            transport: Transport {
                address: addresses.next().ok_or("the host has no address")?,
                url: url.to_owned(),
                poll,
                stage: Stage::None,
                count: Count::default(),
                desk: Desk::new(size, Backlog::default(), |_| Ok(())),
            },
            alarm: alarm.into(),
            events: Events::with_capacity(16),
        })
    }

    pub(crate) fn handle(&self) -> Handle<Message> {
        self.transport.desk.handle()
    }

    /// Does what there is to do. Where that was nothing, it has waited, until then at
    /// most.
    pub(crate) fn step(
        &mut self,
        until: Option<Instant>,
    ) -> io::Result<Step<K::Message, Message, Error, Instant>> {
        self.transport.desk.note_thread();
        self.transport.desk.register(&self.alarm);
        for wish in self.transport.desk.wishes() {
            self.driver.grant(wish, Instant::now());
        }
        let step = self.driver.run(&mut self.transport);
        let state = self.driver.heartbeat().state();
        let desk = &mut self.transport.desk;
        desk.publish(state, self.driver.heard_epoch());
        desk.in_flight(self.driver.waiting());
        if let Step::Idle(due) = step {
            let wake = due.into_iter().chain(until).min();
            let wait = wake.map(|at| at.saturating_duration_since(Instant::now()));
            match self.transport.poll.poll(&mut self.events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(step)
    }
}

/// Ends the wait, from any thread.
struct Alarm(mio::Waker);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        // Then it is heard at the next deadline.
        let _ = self.0.wake();
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(url) = arguments.next() else {
        eprintln!("usage: mio_client ws://HOST:PORT[/PATH] [SECONDS]");
        return ExitCode::from(2);
    };
    let seconds = arguments.next().and_then(|text| text.parse().ok());
    match run(&url, Duration::from_secs(seconds.unwrap_or(10))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str, lasts: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::process::id().into();
    let driver = Driver::client(Config::default(), seed, Tungstenite::new(), Plain);
    let mut session = Session::new(driver, url)?;
    let handle = session.handle();
    std::thread::spawn(move || {
        std::thread::sleep(lasts);
        handle.stop()
    });
    loop {
        match session.step(None)? {
            Step::Message(message) => println!("{message}"),
            Step::Told(Notice::Opened { .. }) => {
                println!("open");
                session.driver.send(Message::text("hello"))?;
            }
            Step::Told(Notice::Down(down)) => println!("down: {}", down.cause),
            Step::Told(Notice::Stopped { reason, .. }) => println!("{reason}"),
            Step::Told(_) | Step::Again | Step::Idle(_) => {}
            Step::Over => return Ok(()),
        }
    }
}
