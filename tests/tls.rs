//! The blocking adapter over TLS: rustls with ring, and a CA of the test's own.
//!
//! What is the adapter's is below TLS, so what `tests/blocking.rs` shows is shown
//! here again only where TLS makes a difference.
#![cfg(feature = "blocking")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/peer.rs"]
mod peer;
#[path = "support/peer_tls.rs"]
mod peer_tls;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keepalive::blocking::{self, Dial, Link, Notice, Session, Stream, TimeUp};
use keepalive::{Cause, CloseReason, Config, ConfigBuilder, Plain, State, StopReason};
use rustls::{ServerConnection, StreamOwned};
use tungstenite::{Error, Message, WebSocket};

use peer::{accept_tcp, millis, serve};
use peer_tls::{Secure, Served, Tls};

/// What a busy machine may add to a bound.
const NOISE: Duration = Duration::from_secs(2);

/// Long enough to count as never.
const NEVER: Duration = Duration::from_secs(3600);

fn settings() -> ConfigBuilder {
    Config::builder()
        .ping_interval(millis(100))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(millis(500))
        .connect_timeout(millis(800))
        .close_timeout(Duration::from_secs(5))
        .first_spread(NEVER)
}

/// A client of this peer, which accepts TCP connections.
fn client<T: Send + 'static>(
    settings: ConfigBuilder,
    peer: impl FnOnce(Tls, TcpListener) -> T + Send + 'static,
) -> (Client, JoinHandle<T>) {
    let tls = Tls::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tls.clone();
    let peer = thread::spawn(move || peer(server, listener));
    let connect: Box<Connect> = Box::new(move |dial| tls.dial(dial, port));
    let session = blocking::client(settings.build().unwrap(), connect);
    (session, peer)
}

type Connect = dyn FnMut(&Dial) -> Result<WebSocket<Secure>, Error>;
type Client = Session<Secure, Plain, Box<Connect>>;

fn accept(tls: &Tls, listener: &TcpListener) -> WebSocket<Served> {
    tls.accept(accept_tcp(listener))
}

/// Looks for a notice, for a bounded time.
fn wait_for<T>(session: &mut Client, mut pick: impl FnMut(Notice) -> Option<T>) -> T {
    let end = Instant::now() + peer::PATIENCE;
    while let Ok(Some(notice)) = session.next_before(end) {
        if let Some(found) = pick(notice) {
            return found;
        }
    }
    panic!("never")
}

fn wait_to_open(session: &mut Client) {
    wait_for(session, |notice| {
        assert!(!matches!(notice, Notice::Down(_)), "{notice:?}");
        matches!(notice, Notice::Opened { .. }).then_some(())
    });
}

fn down(notice: Notice) -> Option<Cause<Error>> {
    match notice {
        Notice::Down(down) => Some(down.cause),
        _ => None,
    }
}

/// The message that comes next; nothing went down before it.
fn wait_for_message(session: &mut Client) -> Message {
    wait_for(session, |notice| match notice {
        Notice::Message(message) => Some(message),
        Notice::Down(down) => panic!("down: {}", down.cause),
        _ => None,
    })
}

fn assert_stopped(session: &mut Client) {
    let reason = wait_for(session, |notice| match notice {
        Notice::Stopped { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason, StopReason::Requested);
}

#[test]
fn an_ordinary_session_works() {
    let (mut session, peer) = client(settings(), |tls, listener| {
        let mut socket = accept(&tls, &listener);
        let greeting = loop {
            match socket.read().unwrap() {
                Message::Text(text) => break text,
                _ => continue,
            }
        };
        socket.send(Message::Text(greeting.clone())).unwrap();
        let code = loop {
            match socket.read().unwrap() {
                Message::Close(frame) => break frame.map(|frame| u16::from(frame.code)),
                _ => continue,
            }
        };
        serve(&mut socket);
        (greeting.to_string(), code)
    });
    wait_to_open(&mut session);
    session.send(Message::text("hello")).unwrap();
    assert_eq!(wait_for_message(&mut session), Message::text("hello"));
    for _ in 0..3 {
        wait_for(&mut session, |notice| {
            matches!(notice, Notice::Pong { .. }).then_some(())
        });
    }
    session.stop();
    assert_stopped(&mut session);
    assert_eq!(peer.join().unwrap(), ("hello".to_owned(), Some(1000)));
}

#[test]
fn a_certificate_that_is_not_trusted_fails_the_dial() {
    let (mut session, _peer) = client(settings(), |_, listener| {
        let mut socket = Tls::new().stream(accept_tcp(&listener));
        let _ = socket.read(&mut [0]);
    });
    let cause = wait_for(&mut session, down).to_string();
    assert!(cause.contains("invalid peer certificate"), "{cause}");
}

fn assert_dial_times_out(mut session: Client) {
    let mut begin = Instant::now();
    let cause = wait_for(&mut session, |notice| match notice {
        Notice::Connecting { .. } => {
            begin = Instant::now();
            None
        }
        notice => down(notice),
    });
    let took = begin.elapsed();
    assert!(
        matches!(cause, Cause::TimedOut(CloseReason::ConnectTimeout)),
        "{cause:?}"
    );
    let bound = session.heartbeat().config().connect_timeout();
    println!("dial given up after {took:?}, bound {bound:?}");
    assert!(
        took >= bound - millis(50) && took < bound + NOISE,
        "{took:?}"
    );
}

#[test]
fn a_dial_that_hangs_in_tls_is_given_up() {
    let (session, _peer) = client(settings(), |_, listener| {
        let _ = accept_tcp(&listener).read_to_end(&mut Vec::new());
    });
    assert_dial_times_out(session);
}

/// No single read takes long, and the handshake never ends.
#[test]
fn a_dial_that_drips_in_tls_is_given_up() {
    let (session, _peer) = client(settings(), |_, listener| {
        let mut socket = accept_tcp(&listener);
        // The head of a record of 16,000 bytes, and its body.
        let mut bytes = vec![0x16, 3, 3, 0x3e, 0x80];
        bytes.resize(400, 2);
        for byte in bytes {
            if socket.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(millis(50));
        }
    });
    assert_dial_times_out(session);
}

#[test]
fn a_mute_peer_is_convicted() {
    let (mut session, _peer) = client(settings(), |tls, listener| {
        let mut socket = accept(&tls, &listener).into_inner().sock;
        let _ = socket.read_to_end(&mut Vec::new());
    });
    wait_to_open(&mut session);
    let begin = Instant::now();
    let cause = wait_for(&mut session, down);
    assert!(matches!(cause, Cause::TimedOut(CloseReason::PongTimeout)));
    assert!(begin.elapsed() < millis(600) + NOISE);
}

/// rustls reads while a write is blocked, so that one deadline is not enough. What
/// waits is not lost, and is not sent twice.
#[test]
fn a_blocked_write_neither_hangs_nor_kills() {
    const LENGTHS: [usize; 4] = [12 << 20, 1, 100_000, 2];
    let (mut session, peer) = client(settings().pong_timeout(NEVER), |tls, listener| {
        let mut socket = accept(&tls, &listener);
        thread::sleep(millis(1000));
        let mut lengths = Vec::new();
        while lengths.len() < LENGTHS.len() {
            match socket.read().unwrap() {
                Message::Binary(bytes) => lengths.push(bytes.len()),
                _ => continue,
            }
        }
        socket.send(Message::text("all there")).unwrap();
        serve(&mut socket);
        lengths
    });
    session = session.with_queue_limit(1 << 30);
    wait_to_open(&mut session);
    let begin = Instant::now();
    for length in LENGTHS {
        session.send(Message::binary(vec![0; length])).unwrap();
    }
    assert!(begin.elapsed() < millis(900), "{:?}", begin.elapsed());
    while begin.elapsed() < millis(800) {
        let before = Instant::now();
        let notice = session.next_before(before + millis(10));
        assert!(!matches!(notice, Ok(Some(Notice::Down(_)))), "{notice:?}");
        assert!(before.elapsed() < millis(500), "{:?}", before.elapsed());
    }
    assert_eq!(wait_for_message(&mut session), Message::text("all there"));
    session.stop();
    assert_stopped(&mut session);
    assert_eq!(peer.join().unwrap(), LENGTHS);
}

/// A write that is stuck does not keep TLS from reading.
#[test]
fn a_peer_that_only_sends_is_alive_while_a_write_is_blocked() {
    let (mut session, _peer) = client(settings().pong_timeout(millis(300)), |tls, listener| {
        let mut socket = accept(&tls, &listener);
        while socket.send(Message::text("...")).is_ok() {
            thread::sleep(millis(50));
        }
    });
    session = session.with_stall_timeout(NEVER);
    wait_to_open(&mut session);
    let sent = session.send(Message::binary(vec![0; 16 << 20]));
    sent.unwrap();
    let begin = Instant::now();
    let mut messages = 0;
    while begin.elapsed() < millis(1500) {
        wait_for_message(&mut session);
        messages += 1;
    }
    assert!(messages > 10, "{messages}");
}

/// Of which TLS shows nothing for as long as the record is not whole.
#[test]
fn a_drip_below_tls_is_life() {
    let settings = settings()
        .ping_interval(millis(50))
        .pong_timeout(millis(400));
    let (mut session, _peer) = client(settings, |tls, listener| {
        let mut socket = accept(&tls, &listener).into_inner();
        for byte in record(&mut socket, &frame(b"slow")) {
            if socket.sock.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(millis(50));
        }
        let _ = socket.sock.read_to_end(&mut Vec::new());
    });
    wait_to_open(&mut session);
    let begin = Instant::now();
    assert_eq!(
        wait_for_message(&mut session),
        Message::binary(&b"slow"[..])
    );
    assert!(begin.elapsed() > millis(1000), "{:?}", begin.elapsed());
}

/// Neither half a record nor half a frame is lost when a read runs into its
/// deadline.
#[test]
fn half_a_frame_survives_a_timeout() {
    let (mut session, _peer) = client(settings().pong_timeout(NEVER), |tls, listener| {
        let mut socket = accept(&tls, &listener).into_inner();
        let frame = frame(b"whole");
        let (head, tail) = frame.split_at(3);
        for part in [head, tail] {
            let record = record(&mut socket, part);
            for half in record.chunks(record.len() / 2 + 1) {
                socket.sock.write_all(half).unwrap();
                thread::sleep(millis(150));
            }
        }
        let _ = socket.sock.read_to_end(&mut Vec::new());
    });
    wait_to_open(&mut session);
    let end = Instant::now() + peer::PATIENCE;
    let mut timeouts = 0;
    let message = loop {
        assert!(Instant::now() < end);
        match session.next_before(Instant::now() + millis(5)) {
            Ok(Some(Notice::Message(message))) => break message,
            Ok(Some(Notice::Down(down))) => panic!("down: {}", down.cause),
            Ok(notice) => assert!(notice.is_some()),
            Err(TimeUp) => timeouts += 1,
        }
    };
    assert_eq!(message, Message::binary(&b"whole"[..]));
    assert!(timeouts > 3, "{timeouts}");
}

#[test]
fn an_end_without_close_notify_is_told_once() {
    let (mut session, peer) = client(settings(), |tls, listener| {
        drop(accept(&tls, &listener));
    });
    wait_to_open(&mut session);
    let Cause::Failed(Error::Io(error)) = wait_for(&mut session, down) else {
        panic!()
    };
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(session.heartbeat().state(), State::Waiting);
    assert_eq!(session.heartbeat().attempt(), 1);
    assert!(session.next_before(Instant::now() + millis(50)).is_err());
    peer.join().unwrap();
}

#[test]
fn an_end_with_close_notify_is_told_once() {
    let (mut session, peer) = client(settings(), |tls, listener| {
        let mut socket = accept(&tls, &listener).into_inner();
        socket.conn.send_close_notify();
        socket.flush().unwrap();
    });
    wait_to_open(&mut session);
    let cause = wait_for(&mut session, down);
    assert!(
        matches!(cause, Cause::Closed { code: None, .. }),
        "{cause:?}"
    );
    assert_eq!(session.heartbeat().attempt(), 1);
    assert!(session.next_before(Instant::now() + millis(50)).is_err());
    peer.join().unwrap();
}

/// A server's side: TLS over a [`Link`]'s stream, tungstenite over TLS.
#[test]
fn an_accepted_socket_works() {
    // Only the server pings: the client's pings would be life, and spare it its own.
    let (mut session, peer) = client(settings().ping_interval(NEVER), |tls, listener| {
        let (socket, link) = accept_within(&tls, &listener, peer::PATIENCE).unwrap();
        let config = settings().build().unwrap();
        let mut session = blocking::accepted(config, socket, link);
        let opened = session.next();
        assert!(matches!(opened, Some(Notice::Opened { .. })), "{opened:?}");
        session.send(Message::text("welcome")).unwrap();
        let end = Instant::now() + peer::PATIENCE;
        let notices: Vec<_> = std::iter::from_fn(|| session.next_before(end).unwrap()).collect();
        let has_pong = notices.iter().any(|one| matches!(one, Notice::Pong { .. }));
        (has_pong, session.heartbeat().state())
    });
    wait_to_open(&mut session);
    assert_eq!(wait_for_message(&mut session), Message::text("welcome"));
    let end = Instant::now() + millis(500);
    while session
        .next_before(end)
        .is_ok_and(|notice| notice.is_some())
    {}
    session.stop();
    assert_stopped(&mut session);
    assert_eq!(peer.join().unwrap(), (true, State::Stopped));
}

#[test]
fn an_accepted_handshake_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let begin = Instant::now();
    let Err(Error::Io(error)) = accept_within(&Tls::new(), &listener, millis(200)) else {
        panic!()
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let took = begin.elapsed();
    assert!(
        took >= millis(190) && took < millis(200) + NOISE,
        "{took:?}"
    );
}

type Accepted = StreamOwned<ServerConnection, Stream>;

fn accept_within(
    tls: &Tls,
    listener: &TcpListener,
    within: Duration,
) -> Result<(WebSocket<Accepted>, Link), Error> {
    let link = Link::within(within)?;
    let stream = tls.stream(link.stream(accept_tcp(listener))?);
    match tungstenite::accept(stream) {
        Ok(socket) => Ok((socket, link)),
        Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

/// A short binary frame as a server sends it.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0x82, length], payload].concat()
}

/// These bytes as TLS puts them on the wire.
fn record(socket: &mut Served, bytes: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    socket.conn.writer().write_all(bytes).unwrap();
    while socket.conn.wants_write() {
        socket.conn.write_tls(&mut record).unwrap();
    }
    record
}
