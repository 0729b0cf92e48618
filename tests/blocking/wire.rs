//! What lies below tungstenite and TLS: deadlines, timeouts and slices of time.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::blocking::{Dial, Link, Notice, SendError, Session, Socket, Wire};
use keepalive::{Cause, Codec, Incoming, PingId};
use socket2::SockRef;
use tungstenite::{Error, Message};

use crate::peer::{self, accept, accept_raw, header, millis, peer, serve};
use crate::scenarios::{NOISE, settings};
use crate::session::{message, opened, wait_for};

const NEVER: Duration = Duration::from_secs(3600);

/// A socket on a system that is not this one.
struct Odd {
    socket: TcpStream,
    /// What a timeout is called there.
    timeout: ErrorKind,
    /// How many calls a signal cuts short before one goes through.
    signals: u32,
    cut: u32,
    shortest: Rc<RefCell<Duration>>,
}

impl Odd {
    fn call(
        &mut self,
        call: impl FnOnce(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.cut < self.signals {
            self.cut += 1;
            return Err(ErrorKind::Interrupted.into());
        }
        self.cut = 0;
        call(&mut self.socket).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.timeout.into(),
            _ => error,
        })
    }

    fn note(&self, timeout: Duration) {
        let mut shortest = self.shortest.borrow_mut();
        *shortest = timeout.min(*shortest);
    }
}

impl Read for Odd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(|socket| socket.read(buffer))
    }
}

impl Write for Odd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call(|socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Odd {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.note(timeout);
        self.socket.set_read_timeout(Some(timeout))
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.note(timeout);
        self.socket.set_write_timeout(Some(timeout))
    }
}

/// How it goes on such a system, for a few pings.
fn on_an_odd_system(timeout: ErrorKind, signals: u32) {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let shortest = Rc::new(RefCell::new(NEVER));
    let mut session = Session::client(settings().build().unwrap(), 1, |dial: &Dial| {
        let socket = TcpStream::connect(&url[5..url.len() - 1])?;
        let odd = Odd {
            socket,
            timeout,
            signals,
            cut: 0,
            shortest: Rc::clone(&shortest),
        };
        dial.handshake(url.as_str(), dial.wire(odd))
    });
    for _ in 0..3 {
        wait_for(&mut session, "a pong", |notice| match notice {
            Notice::Pong { .. } => Some(()),
            Notice::Down { cause, .. } => panic!("{timeout:?}, {signals} signals: {cause}"),
            _ => None,
        });
        let _ = session.next_before(Instant::now());
    }
    assert!(*shortest.borrow() >= millis(1));
}

#[test]
fn no_timeout_is_zero() {
    on_an_odd_system(ErrorKind::WouldBlock, 0);
}

#[test]
fn a_timeout_is_no_end_by_either_name() {
    on_an_odd_system(ErrorKind::TimedOut, 0);
}

#[test]
fn a_signal_is_no_end() {
    on_an_odd_system(ErrorKind::WouldBlock, 2);
}

/// A silent socket whose timeouts come late by an eighth, as on Linux.
#[derive(Default)]
struct Coarse(RefCell<Vec<Duration>>);

impl Read for Coarse {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        let timeout = *self.0.borrow().last().unwrap();
        thread::sleep(timeout + timeout / 8);
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Coarse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Coarse {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.0.borrow_mut().push(timeout);
        Ok(())
    }

    fn set_write_timeout(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_long_wait_ends_in_time_though_the_system_is_late_by_an_eighth() {
    let deadline = Instant::now() + millis(800);
    let mut wire = Link::within(millis(800)).wire(Coarse::default());
    let error = wire.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    let asked = wire.get_ref().0.borrow();
    assert!(asked[0] + asked[0] / 8 <= millis(800), "{asked:?}");
    assert!(asked.len() < 8, "{asked:?}");
}

/// A TLS library of its own ideas: notes what its reads run into, and may call it
/// otherwise.
struct Layer {
    wire: Wire<TcpStream>,
    seen: Rc<RefCell<Vec<ErrorKind>>>,
    renamed: Option<ErrorKind>,
}

impl Read for Layer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire.read(buffer).map_err(|error| {
            self.seen.borrow_mut().push(error.kind());
            self.renamed.map_or(error, io::Error::from)
        })
    }
}

impl Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wire.flush()
    }
}

#[test]
fn a_deadline_is_timed_out_while_connecting_and_would_block_afterwards() {
    let (url, _server) = peer(|listener| {
        let mut mute = peer::accept_tcp(&listener);
        let _ = mute.read_to_end(&mut Vec::new());
        serve(&mut accept(&listener));
    });
    let seen = Rc::new(RefCell::new(Vec::new()));
    let mut session = Session::client(
        settings().connect_timeout(millis(200)).build().unwrap(),
        1,
        |dial: &Dial| {
            let wire = dial.tcp("127.0.0.1", url[15..url.len() - 1].parse().unwrap())?;
            let seen = Rc::clone(&seen);
            let layer = Layer {
                wire,
                seen,
                renamed: None,
            };
            dial.handshake(url.as_str(), layer)
        },
    );
    wait_for(&mut session, "opened", opened);
    assert_eq!(*seen.borrow(), [ErrorKind::TimedOut]);
    seen.borrow_mut().clear();
    assert!(session.next_before(Instant::now() + millis(50)).is_none());
    assert!(!seen.borrow().is_empty());
    assert!(
        seen.borrow()
            .iter()
            .all(|&kind| kind == ErrorKind::WouldBlock)
    );
}

#[test]
fn an_interrupted_handshake_is_a_dial_that_failed() {
    let (url, _server) = peer(|listener| {
        let _ = peer::accept_tcp(&listener).read_to_end(&mut Vec::new());
    });
    let config = settings()
        .connect_timeout(millis(300))
        .late_tolerance(NEVER);
    let mut failures = Vec::new();
    let mut session = Session::client(config.build().unwrap(), 1, |dial: &Dial| {
        let wire = dial.tcp("127.0.0.1", url[15..url.len() - 1].parse().unwrap())?;
        let layer = Layer {
            wire,
            seen: Rc::default(),
            renamed: Some(ErrorKind::WouldBlock),
        };
        let result = dial.handshake(url.as_str(), layer);
        failures.push(result.as_ref().err().map(ToString::to_string));
        result
    });
    let begin = Instant::now();
    wait_for(&mut session, "down", |notice| match notice {
        Notice::Down { .. } => Some(()),
        Notice::Opened => panic!(),
        _ => None,
    });
    assert!(begin.elapsed() < millis(300) + NOISE);
    drop(session);
    assert_eq!(failures, [Some("IO error: timed out".to_owned())]);
}

/// Each `read` of the system's finds a byte well within its timeout.
#[test]
fn a_drip_does_not_hold_a_read() {
    for pause in [millis(20), Duration::from_micros(200)] {
        let (url, _server) = peer(move |listener| {
            let mut socket = accept_raw(&listener);
            let _ = socket.write_all(&header(16 << 20));
            while socket.write_all(b".").is_ok() {
                thread::sleep(pause);
            }
        });
        let config = settings().ping_interval(NEVER / 2).build().unwrap();
        let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()));
        wait_for(&mut session, "opened", opened);
        for _ in 0..3 {
            let begin = Instant::now();
            assert!(session.next_before(begin + millis(100)).is_none());
            let took = begin.elapsed();
            assert!(took < millis(100) + NOISE, "{pause:?}: {took:?}");
        }
    }
}

/// Each `write` of the system's gets a little out.
#[test]
fn a_slow_drain_does_not_hold_a_write() {
    let (url, _server) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let mut bytes = vec![0; 16 << 10];
        while matches!(socket.read(&mut bytes), Ok(1..)) {
            thread::sleep(millis(1));
        }
    });
    let config = settings().pong_timeout(NEVER).build().unwrap();
    let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()));
    wait_for(&mut session, "opened", opened);
    let begin = Instant::now();
    assert_eq!(session.send(Message::binary(vec![0; 64 << 20])), Ok(()));
    let took = begin.elapsed();
    println!("64 MiB were taken in {took:?}");
    assert!(took < NOISE, "{took:?}");
    for _ in 0..3 {
        let begin = Instant::now();
        let _ = session.next_before(begin + millis(50));
        assert!(begin.elapsed() < NOISE, "{:?}", begin.elapsed());
    }
}

/// The peer is slow to take what is before the ping, and then slow to answer:
/// together that is longer than the timeout, one by one it is not.
#[test]
fn a_ping_behind_a_big_message_counts_from_its_flush() {
    const LENGTH: usize = 16 << 20;
    let (url, _server) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        thread::sleep(millis(800));
        socket.read_exact(&mut vec![0; LENGTH + 14]).unwrap();
        let mut ping = [0; 14];
        socket.read_exact(&mut ping).unwrap();
        thread::sleep(millis(1200));
        socket.write_all(&pong(ping)).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let config = settings()
        .ping_interval(millis(50))
        .pong_timeout(millis(1600))
        .build()
        .unwrap();
    let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()))
        .with_stall_timeout(NEVER);
    wait_for(&mut session, "opened", opened);
    assert_eq!(session.send(Message::binary(vec![0; LENGTH])), Ok(()));
    let round_trip = wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Pong { round_trip, .. } => Some(round_trip),
        Notice::Down { cause, .. } => panic!("{cause}"),
        _ => None,
    });
    println!("the round trip from the flush was {round_trip:?}");
    assert!(round_trip < millis(1600), "{round_trip:?}");
}

/// The answer to this masked ping of 8 bytes.
fn pong(ping: [u8; 14]) -> Vec<u8> {
    let (mask, payload) = (&ping[2..6], &ping[6..]);
    let unmasked = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, key)| byte ^ key);
    [0x8a, 8].into_iter().chain(unmasked).collect()
}

/// tungstenite queues its answer to a ping, which leaves with the next call; the
/// application may make none for a long time.
#[test]
fn the_answer_to_a_ping_leaves_at_once() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        socket.send(Message::Ping("are you there?".into())).unwrap();
        let begin = Instant::now();
        while !matches!(socket.read().unwrap(), Message::Pong(_)) {}
        begin.elapsed()
    });
    let config = settings().ping_interval(NEVER).build().unwrap();
    let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()));
    wait_for(&mut session, "opened", opened);
    thread::sleep(millis(100));
    assert!(session.next_before(Instant::now()).is_none());
    thread::sleep(millis(300));
    assert!(server.is_finished());
    server.join().unwrap();
}

#[test]
fn a_control_frame_that_is_too_long_never_leaves() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings().build().unwrap();
    let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()));
    wait_for(&mut session, "opened", opened);
    for message in [
        Message::Ping(vec![0; 126].into()),
        Message::Pong(vec![0; 126].into()),
    ] {
        let refused = Err(SendError::TooLong(message.clone()));
        assert_eq!(session.send(message), refused);
    }
    assert_eq!(session.send(Message::Ping(vec![0; 125].into())), Ok(()));
    let id = wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Pong { id, .. } => Some(id),
        Notice::Down { cause, .. } => panic!("{cause}"),
        _ => None,
    });
    assert_eq!(id.to_bytes().len(), 8);
}

struct LongPings;

impl Codec<Message> for LongPings {
    fn ping(&mut self, _: PingId) -> Message {
        Message::Ping(vec![0; 126].into())
    }

    fn read(&mut self, _: &Message) -> Incoming<Message> {
        Incoming::Message
    }
}

#[test]
fn a_ping_of_the_codecs_that_is_too_long_ends_it_with_a_reason() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings().build().unwrap();
    let mut session =
        Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str())).with_codec(LongPings);
    let cause = wait_for(&mut session, "down", |notice| match notice {
        Notice::Down { cause, .. } => Some(cause),
        _ => None,
    });
    assert!(
        matches!(cause, Cause::Failed(Error::Protocol(_))),
        "{cause}"
    );
}

/// With the buffers full to the brim.
#[test]
fn abandoning_takes_milliseconds() {
    let (url, server) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        thread::sleep(millis(500));
        let _ = socket.read_to_end(&mut Vec::new());
        Instant::now()
    });
    let config = settings().pong_timeout(NEVER).build().unwrap();
    let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()));
    wait_for(&mut session, "opened", opened);
    assert_eq!(session.send(Message::binary(vec![0; 32 << 20])), Ok(()));
    let _ = session.next_before(Instant::now() + millis(100));
    let begin = Instant::now();
    session.reconnect_now();
    let took = begin.elapsed();
    println!("abandoned in {took:?}");
    assert!(took < millis(200), "{took:?}");
    assert!(session.socket().is_none());
    // The peer gets what the kernel had, and then the end, though the session is
    // not asked for anything any more.
    assert!(server.join().unwrap() > begin);
}

/// std cannot wait for room to write and for something to read; with nothing to
/// read for hours, what waits goes out soon after there is room.
#[test]
fn a_write_that_was_blocked_goes_on_soon() {
    let (url, _server) = peer(|listener| {
        let mut socket = accept(&listener);
        thread::sleep(millis(400));
        while !socket.read().unwrap().is_text() {}
        socket.send(Message::text("thanks")).unwrap();
        serve(&mut socket);
    });
    let config = settings().ping_interval(NEVER).build().unwrap();
    let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()))
        .with_stall_timeout(NEVER);
    wait_for(&mut session, "opened", opened);
    let begin = Instant::now();
    assert_eq!(session.send(Message::binary(vec![0; 8 << 20])), Ok(()));
    assert_eq!(session.send(Message::text("the last one")), Ok(()));
    assert_eq!(
        wait_for(&mut session, "thanks", message),
        Message::text("thanks")
    );
    let took = begin.elapsed();
    println!("a peer that took nothing for 400 ms had all after {took:?}");
    assert!(took < millis(400) + NOISE, "{took:?}");
}

/// A peer that goes on taking bytes is alive, though no pong can come before it has
/// taken all that lies before the ping, which is longer than the timeout.
#[test]
fn a_slow_peer_is_not_convicted_while_it_drains() {
    const LENGTH: usize = 24 << 20;
    const TIMEOUT: Duration = Duration::from_millis(1500);
    let (url, server) = peer(|listener| {
        // Or the system takes more by itself than the peer in a timeout.
        let listening = SockRef::from(&listener);
        listening.set_recv_buffer_size(256 << 10).unwrap();
        let mut socket = accept_raw(&listener);
        let (mut left, mut part) = (LENGTH + 14, vec![0; 64 << 10]);
        while left > 0 {
            let most = left.min(part.len());
            left -= socket.read(&mut part[..most]).unwrap();
            thread::sleep(millis(8));
        }
        let mut ping = [0; 14];
        socket.read_exact(&mut ping).unwrap();
        socket.write_all(&pong(ping)).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let config = settings().ping_interval(millis(50)).pong_timeout(TIMEOUT);
    let mut session = Session::client(config.build().unwrap(), 1, |dial: &Dial| {
        dial.connect(url.as_str())
    });
    wait_for(&mut session, "opened", opened);
    let begin = Instant::now();
    assert_eq!(session.send(Message::binary(vec![0; LENGTH])), Ok(()));
    wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Pong { .. } => Some(()),
        Notice::Down { cause, .. } => panic!("{cause} after {:?}", begin.elapsed()),
        _ => None,
    });
    let took = begin.elapsed();
    println!("24 MiB were taken in {took:?}");
    assert!(took > TIMEOUT, "{took:?}");
    drop(session);
    server.join().unwrap();
}

/// The answer lies unread behind more messages than are read at once, when the
/// application comes back and only an answer is life.
#[test]
fn a_pong_behind_many_messages_is_read_before_the_verdict() {
    let (url, _server) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let mut ping = [0; 14];
        socket.read_exact(&mut ping).unwrap();
        let message = [header(1), vec![b'.']].concat();
        let all = [message.repeat(500), pong(ping)].concat();
        socket.write_all(&all).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let config = settings().strict_pongs(true).late_tolerance(NEVER);
    let mut session = Session::client(config.build().unwrap(), 1, |dial: &Dial| {
        dial.connect(url.as_str())
    });
    wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Ping(_) => {
            thread::sleep(millis(700));
            None
        }
        Notice::Pong { .. } => Some(()),
        Notice::Down { cause, .. } => panic!("{cause}"),
        _ => None,
    });
}
