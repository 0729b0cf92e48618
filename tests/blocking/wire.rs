//! What lies below tungstenite and TLS: deadlines, timeouts and slices of time.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::blocking::{self, Dial, Dialer, Notice, Stream};
use keepalive::{Codec, Incoming, PingId, SendError, Unsendable};
use socket2::SockRef;
use tungstenite::Message;

use crate::peer::{self, accept, accept_raw, header, millis, peer, serve};
use crate::scenarios::{NOISE, settings};
use crate::session::{message, opened, wait_for};

const NEVER: Duration = Duration::from_secs(3600);

/// A TLS library of its own ideas: notes what its reads run into, and may call it
/// otherwise.
struct Layer {
    stream: Stream,
    seen: Rc<RefCell<Vec<ErrorKind>>>,
    renamed: Option<ErrorKind>,
}

impl Read for Layer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).map_err(|error| {
            self.seen.borrow_mut().push(error.kind());
            self.renamed.map_or(error, io::Error::from)
        })
    }
}

impl Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
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
    let mut session = blocking::client(
        settings().connect_timeout(millis(200)).build().unwrap(),
        |dial: &Dial| {
            let stream = dial.tcp("127.0.0.1", url[15..url.len() - 1].parse().unwrap())?;
            let seen = Rc::clone(&seen);
            let layer = Layer {
                stream,
                seen,
                renamed: None,
            };
            dial.handshake(url.as_str(), layer)
        },
    );
    wait_for(&mut session, "opened", opened);
    assert_eq!(*seen.borrow(), [ErrorKind::TimedOut]);
    seen.borrow_mut().clear();
    assert!(session.next_before(Instant::now() + millis(50)).is_err());
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
    let mut session = blocking::client(config.build().unwrap(), |dial: &Dial| {
        let stream = dial.tcp("127.0.0.1", url[15..url.len() - 1].parse().unwrap())?;
        let layer = Layer {
            stream,
            seen: Rc::default(),
            renamed: Some(ErrorKind::WouldBlock),
        };
        let result = dial.handshake(url.as_str(), layer);
        failures.push(result.as_ref().err().map(ToString::to_string));
        result
    });
    let begin = Instant::now();
    wait_for(&mut session, "down", |notice| match notice {
        Notice::Down(_) => Some(()),
        Notice::Opened { .. } => panic!(),
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
        let mut session = blocking::client(config, Dialer::new(url.as_str()));
        wait_for(&mut session, "opened", opened);
        for _ in 0..3 {
            let begin = Instant::now();
            assert!(session.next_before(begin + millis(100)).is_err());
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
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    wait_for(&mut session, "opened", opened);
    let begin = Instant::now();
    session.send(Message::binary(vec![0; 64 << 20])).unwrap();
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
    let mut session = blocking::client(config, Dialer::new(url.as_str())).with_stall_timeout(NEVER);
    wait_for(&mut session, "opened", opened);
    session.send(Message::binary(vec![0; LENGTH])).unwrap();
    let round_trip = wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Pong { round_trip, .. } => Some(round_trip),
        Notice::Down(down) => panic!("{}", down.cause),
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
        while !matches!(socket.read().unwrap(), Message::Pong(_)) {}
        // It goes on.
        socket
    });
    let config = settings().ping_interval(NEVER).build().unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    wait_for(&mut session, "opened", opened);
    thread::sleep(millis(100));
    let told = session.next_before(Instant::now());
    assert!(told.is_err(), "{told:?}");
    thread::sleep(millis(300));
    assert!(server.is_finished());
    drop(server.join().unwrap());
}

#[test]
fn control_frames_are_not_the_applications_to_send() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings().build().unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    wait_for(&mut session, "opened", opened);
    for message in [
        Message::Ping(vec![0; 126].into()),
        Message::Pong(vec![0; 126].into()),
        Message::Ping(vec![0; 8].into()),
        Message::Close(None),
    ] {
        let refused = session.send(message.clone());
        let why = Unsendable::Control;
        assert!(matches!(&refused, Err(SendError::Unsendable { why: said, .. }) if *said == why));
        assert_eq!(refused.unwrap_err().into_message(), message);
    }
    let id = wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Pong { id, .. } => Some(id),
        Notice::Down(down) => panic!("{}", down.cause),
        _ => None,
    });
    assert_eq!(id.to_bytes().len(), 8);
}

struct LongPings;

impl Codec<Message> for LongPings {
    type Message = Message;

    fn ping(&mut self, _: PingId) -> Option<Message> {
        Some(Message::Ping(vec![0; 126].into()))
    }

    fn read(&mut self, message: Message) -> Incoming<Message, Message> {
        Incoming::Message(message)
    }
}

#[test]
fn in_place_of_a_ping_of_the_codecs_that_is_too_long_the_protocols_goes() {
    let (url, _server) = peer(|listener| serve(&mut accept(&listener)));
    let config = settings().build().unwrap();
    let mut session = blocking::client_with(config, LongPings, Dialer::new(url.as_str()));
    wait_for(&mut session, "pong", |notice| {
        matches!(notice, Notice::Pong { .. }).then_some(())
    });
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
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    wait_for(&mut session, "opened", opened);
    session.send(Message::binary(vec![0; 32 << 20])).unwrap();
    let _ = session.next_before(Instant::now() + millis(100));
    let begin = Instant::now();
    session.reconnect_now();
    let notice = session.next_before(begin);
    assert!(matches!(notice, Ok(Some(Notice::Down(_)))), "{notice:?}");
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
    let mut session = blocking::client(config, Dialer::new(url.as_str()))
        .with_queue_limit(usize::MAX)
        .with_stall_timeout(NEVER);
    wait_for(&mut session, "opened", opened);
    let begin = Instant::now();
    session.send(Message::binary(vec![0; 8 << 20])).unwrap();
    session.send(Message::text("the last one")).unwrap();
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
    let mut session = blocking::client(config.build().unwrap(), |dial: &Dial| {
        dial.connect(url.as_str())
    });
    wait_for(&mut session, "opened", opened);
    let begin = Instant::now();
    session.send(Message::binary(vec![0; LENGTH])).unwrap();
    wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Pong { .. } => Some(()),
        Notice::Down(down) => panic!("{} after {:?}", down.cause, begin.elapsed()),
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
    let mut session = blocking::client(config.build().unwrap(), |dial: &Dial| {
        dial.connect(url.as_str())
    });
    wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Ping(_) => {
            thread::sleep(millis(700));
            None
        }
        Notice::Pong { .. } => Some(()),
        Notice::Down(down) => panic!("{}", down.cause),
        _ => None,
    });
}
