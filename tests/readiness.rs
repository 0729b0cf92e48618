//! The sockets of the blocking adapter, without a session: deadlines, wakes, ends.
#![cfg(all(feature = "blocking", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::blocking::{Dial, Link, Stream, Wait, accept};
use rustls::{ClientConnection, StreamOwned};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use peer::{BlackHole, PATIENCE, Process, accept_raw, accept_tcp, header, millis, peer};

#[path = "support/peer.rs"]
mod peer;
#[path = "support/peer_tls.rs"]
mod peer_tls;

const FAR: Duration = Duration::from_secs(60);

fn dial(within: Duration) -> Dial {
    Dial::new(Wait::new().unwrap(), Instant::now() + within, 0)
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Err(Error::Io(error)) => error.kind(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it went well"),
    }
}

/// Both ends of a connection; ours is open.
fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let theirs = accept_tcp(&listener);
    let link = Link::within(FAR).unwrap();
    let stream = link.stream(ours).unwrap();
    assert!(link.open());
    (stream, theirs)
}

/// A client over a connection that is open.
fn client(stream: Stream) -> (WebSocket<Stream>, Link) {
    let link = stream.link().clone();
    let limits = WebSocketConfig::default()
        .max_frame_size(None)
        .max_message_size(None);
    let socket = WebSocket::from_raw_socket(stream, Role::Client, Some(limits));
    (socket, link)
}

fn is_blocked<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock)
}

/// Whether it is out. tungstenite's word for a write that took no byte, as TLS does when
/// its own buffer is full, is `ConnectionReset`.
fn is_out(result: Result<(), Error>, link: &Link) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionReset => {
            assert!(!link.is_read_cut());
            false
        }
        result => {
            assert!(is_blocked(&result), "{result:?}");
            false
        }
    }
}

/// How long 20 wakes took, each while this waits; the one in the middle.
fn wakes(mut waits: impl FnMut(mpsc::Sender<Waker>)) -> Duration {
    let mut took = Vec::new();
    for _ in 0..20 {
        let (sender, waker) = mpsc::channel::<Waker>();
        let other = thread::spawn(move || {
            let waker = waker.recv().unwrap();
            thread::sleep(millis(20));
            let begin = Instant::now();
            waker.wake();
            begin
        });
        waits(sender);
        let end = Instant::now();
        took.push(end.duration_since(other.join().unwrap()));
    }
    took.sort();
    took[10]
}

// Deadlines.

#[test]
fn a_peer_that_drips_holds_no_handshake() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept_tcp(&listener);
        let end = Instant::now() + PATIENCE;
        socket
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\n")
            .unwrap();
        while Instant::now() < end && socket.write_all(b"x").is_ok() {
            thread::sleep(millis(10));
        }
    });
    let begin = Instant::now();
    let dial = dial(millis(200));
    assert_eq!(kind(dial.connect(url)), ErrorKind::TimedOut);
    let took = begin.elapsed();
    assert!((millis(200)..millis(2000)).contains(&took), "{took:?}");
    drop(dial);
    peer.join().unwrap();
}

#[test]
fn a_peer_that_reads_slowly_holds_no_handshake() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept_tcp(&listener);
        peer::shrink(&socket);
        let mut bytes = [0; 512];
        for _ in 0..30 {
            let _ = socket.read(&mut bytes).unwrap();
            thread::sleep(millis(10));
        }
    });
    let begin = Instant::now();
    let dial = dial(millis(200));
    let address = url.trim_start_matches("ws://").trim_end_matches('/');
    let mut stream = dial.stream(TcpStream::connect(address).unwrap()).unwrap();
    let error = stream.write_all(&vec![0; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let took = begin.elapsed();
    assert!((millis(200)..millis(2000)).contains(&took), "{took:?}");
    let written = dial.link().bytes().written;
    assert!((1..64 << 20).contains(&written), "{written}");
    drop(stream);
    peer.join().unwrap();
}

#[test]
fn a_frame_that_never_ends_holds_no_read() {
    let (stream, mut theirs) = pair();
    let (mut socket, link) = client(stream);
    let other = thread::spawn(move || {
        let end = Instant::now() + millis(5000);
        theirs.write_all(&[0x82, 127]).unwrap();
        theirs.write_all(&(1_u64 << 40).to_be_bytes()).unwrap();
        let bytes = vec![0; 1 << 16];
        while Instant::now() < end && theirs.write_all(&bytes).is_ok() {}
    });
    // Room for the whole frame would be asked for at once: so tungstenite is left out.
    let stream = socket.get_mut();
    let mut bytes = vec![0; 64];
    let mut cuts = 0;
    let end = Instant::now() + millis(3000);
    while cuts < 3 {
        assert!(Instant::now() < end, "it was held");
        link.begin();
        let begin = Instant::now();
        while stream.read(&mut bytes).is_ok() {
            assert!(begin.elapsed() < millis(2000), "it was held");
        }
        cuts += u32::from(link.is_readable());
        assert!(link.wait_until(Some(end)).unwrap() < end);
    }
    drop(socket);
    other.join().unwrap();
}

#[test]
fn a_peer_that_takes_all_holds_no_write() {
    let (mut stream, mut theirs) = pair();
    let other = thread::spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        while theirs.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let link = stream.link().clone();
    let end = Instant::now() + millis(5000);
    let mut cuts = 0;
    while cuts < 3 {
        assert!(Instant::now() < end, "it was held");
        link.begin();
        while stream.write(&[0; 64]).is_ok() {
            assert!(Instant::now() < end, "it was held");
        }
        if link.is_writable() {
            cuts += 1;
            assert_eq!(link.blocked(), None);
        }
        assert!(link.wait_until(Some(end)).unwrap() < end);
    }
    drop(stream);
    other.join().unwrap();
}

#[test]
fn what_is_open_never_waits() {
    let (mut stream, theirs) = pair();
    let link = stream.link().clone();
    let begin = link.read_clock();
    link.begin();
    assert_eq!(
        stream.read(&mut [0; 8]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert!(!link.is_readable());
    assert!(link.drained().unwrap() >= begin);
    let bytes = vec![0; 1 << 20];
    let error = loop {
        link.begin();
        match stream.write(&bytes) {
            Ok(count) => assert!(count > 0 && link.bytes().written < 256 << 20),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(!link.is_writable());
    let blocked = link.blocked().unwrap();
    assert!(blocked >= begin && blocked <= Instant::now());
    thread::sleep(millis(5));
    link.read_clock();
    link.begin();
    stream.write(&bytes).unwrap_err();
    assert_eq!(link.blocked(), Some(blocked));
    // Once the peer reads, the wait ends.
    let other = thread::spawn(move || {
        let mut theirs = theirs;
        io::copy(&mut theirs, &mut io::sink()).unwrap()
    });
    let end = Instant::now() + PATIENCE;
    while !link.is_writable() {
        assert!(link.wait_until(Some(end)).unwrap() < end);
    }
    link.begin();
    assert!(stream.write(&bytes).unwrap() > 0);
    let written = link.bytes().written;
    drop(stream);
    assert_eq!(other.join().unwrap(), written);
}

#[test]
fn a_wait_ends_at_its_time_and_then_a_read_looks() {
    let (mut stream, _theirs) = pair();
    let link = stream.link().clone();
    link.begin();
    stream.read(&mut [0; 8]).unwrap_err();
    let end = Instant::now() + millis(50);
    let mut now = Instant::now();
    while now < end {
        now = link.wait_until(Some(end)).unwrap();
    }
    link.begin();
    stream.read(&mut [0; 8]).unwrap_err();
    assert!(link.drained().unwrap() >= end);
    assert!(now < end + millis(2000));
    // Also where it was no time at all since the last look.
    for _ in 0..100 {
        let now = link.read_clock();
        link.wait_until(Some(now)).unwrap();
        link.begin();
        stream.read(&mut [0; 8]).unwrap_err();
        assert!(link.drained().unwrap() >= now);
    }
}

/// Signals cut system calls short: the suspended child's waits end early, too.
#[test]
fn an_interrupted_wait_goes_on() {
    let mut child = Process::start("suspended", "wait");
    assert_eq!(child.line().as_deref(), Some("waits"));
    for _ in 0..5 {
        thread::sleep(millis(50));
        child.stop();
        thread::sleep(millis(10));
        child.resume();
    }
    assert_eq!(child.line().as_deref(), Some("waited"));
}

#[test]
#[ignore = "a child of an_interrupted_wait_goes_on"]
fn suspended() {
    if peer::role().is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = peer::url_of(listener.local_addr().unwrap());
    let dial = dial(millis(600));
    peer::tell("waits");
    assert_eq!(kind(dial.connect(url)), ErrorKind::TimedOut);
    assert!(Instant::now() >= dial.deadline());
    peer::tell("waited");
}

// Wakes.

#[test]
fn a_wait_is_woken_at_once() {
    let (stream, _theirs) = pair();
    let link = stream.link().clone();
    let took = wakes(|waker| {
        waker.send(link.waker()).unwrap();
        let end = Instant::now() + PATIENCE;
        while !link.wait().take_woken() {
            assert!(link.wait_until(Some(end)).unwrap() < end);
        }
    });
    assert!(took < millis(10), "{took:?}");
}

#[test]
fn a_wake_before_the_wait_ends_it() {
    let wait = Wait::new().unwrap();
    let waker = wait.waker();
    for _ in 0..3 {
        waker.wake_by_ref();
        waker.wake_by_ref();
        let begin = Instant::now();
        wait.wait(Some(PATIENCE)).unwrap();
        assert!(begin.elapsed() < PATIENCE);
        assert!(wait.take_woken());
        assert!(!wait.take_woken());
    }
}

#[test]
fn a_dial_that_hangs_is_ended_at_once() {
    let hole = BlackHole::new();
    let took = wakes(|waker| {
        let dial = dial(FAR);
        dial.link().on_wake(|| false);
        waker.send(dial.link().waker()).unwrap();
        let error = dial.tcp("127.0.0.1", hole.address.port()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    });
    assert!(took < millis(10), "{took:?}");
}

#[test]
fn a_handshake_that_hangs_is_ended_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = peer::url_of(listener.local_addr().unwrap());
    let took = wakes(|waker| {
        let dial = dial(FAR);
        dial.link().on_wake(|| false);
        waker.send(dial.link().waker()).unwrap();
        assert_eq!(kind(dial.connect(&url)), ErrorKind::ConnectionAborted);
        accept_tcp(&listener);
    });
    assert!(took < millis(10), "{took:?}");
}

#[test]
fn a_tls_handshake_that_hangs_is_ended_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = peer_tls::Tls::new();
    let took = wakes(|waker| {
        let dial = dial(FAR);
        dial.link().on_wake(|| false);
        waker.send(dial.link().waker()).unwrap();
        let result = secure(&tls, &dial, port);
        assert_eq!(kind(result), ErrorKind::ConnectionAborted);
        accept_tcp(&listener);
    });
    assert!(took < millis(10), "{took:?}");
}

#[test]
fn an_accepted_handshake_that_hangs_is_ended_from_another_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _mute = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let link = Link::within(FAR).unwrap();
    let other = {
        let link = link.clone();
        thread::spawn(move || {
            thread::sleep(millis(50));
            link.give_up();
        })
    };
    let stream = link.stream(accept_tcp(&listener)).unwrap();
    #[allow(clippy::result_large_err)] // It is tungstenite's.
    let result = tungstenite::accept_hdr(stream, |_: &_, response| Ok(response));
    let Err(tungstenite::HandshakeError::Failure(Error::Io(error))) = result else {
        panic!("it did not fail");
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(!link.open());
    other.join().unwrap();
}

#[test]
fn what_is_open_cannot_be_given_up() {
    let (mut stream, mut theirs) = pair();
    let link = stream.link().clone();
    link.give_up();
    theirs.write_all(b"all").unwrap();
    link.wait_until(Some(Instant::now() + PATIENCE)).unwrap();
    let end = Instant::now() + PATIENCE;
    while link.bytes().read == 0 {
        assert!(Instant::now() < end);
        let _ = stream.read(&mut [0; 8]);
    }
}

#[test]
fn wakes_that_mean_nothing_change_nothing() {
    let (url, peer) = peer(|listener| {
        let socket = accept_tcp(&listener);
        thread::sleep(millis(100));
        let mut socket = tungstenite::accept(socket).unwrap();
        peer::serve(&mut socket);
    });
    let dial = dial(FAR);
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    dial.link().on_wake(move || {
        count.fetch_add(1, Ordering::Relaxed);
        true
    });
    let waker = dial.link().waker();
    let (stop, is_over) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        while is_over.try_recv() == Err(mpsc::TryRecvError::Empty) {
            waker.wake_by_ref();
            thread::sleep(millis(1));
        }
    });
    let mut socket = dial.connect(url).unwrap();
    assert!(asked.load(Ordering::Relaxed) > 10);
    let link = dial.link();
    assert!(link.open());
    socket.send(Message::text("hello")).unwrap();
    for _ in 0..50 {
        link.wait_until(Some(Instant::now() + millis(100))).unwrap();
        link.wait().take_woken();
        link.begin();
        assert!(is_blocked(&socket.read()));
    }
    drop((stop, socket));
    other.join().unwrap();
    peer.join().unwrap();
}

// Several addresses are tested in the module, with addresses that no name has.

#[test]
fn a_dial_that_nobody_answers_ends_at_its_deadline() {
    let hole = BlackHole::new();
    let begin = Instant::now();
    let error = dial(millis(200)).tcp("127.0.0.1", hole.address.port());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    let took = begin.elapsed();
    assert!((millis(200)..millis(2000)).contains(&took), "{took:?}");
}

#[test]
fn a_redirect_is_followed() {
    let (there, server) = peer(|listener| peer::serve(&mut peer::accept(&listener)));
    let (here, redirect) = peer(move |listener| {
        let mut socket = accept_tcp(&listener);
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: {there}\r\n\r\n");
        let mut request = [0; 4096];
        assert!(socket.read(&mut request).unwrap() > 0);
        socket.write_all(answer.as_bytes()).unwrap();
    });
    let dial = dial(FAR);
    let socket = dial.connect(here).unwrap();
    assert!(dial.link().open());
    drop(socket);
    redirect.join().unwrap();
    server.join().unwrap();
}

#[test]
fn a_name_is_looked_up() {
    let (url, server) = peer(|listener| peer::serve(&mut peer::accept(&listener)));
    let dial = dial(FAR);
    let socket = dial.connect(url.replace("127.0.0.1", "localhost")).unwrap();
    drop(socket);
    server.join().unwrap();
    assert!(dial.connect("ws://name.invalid/").is_err());
}

// Ends.

#[test]
fn a_close_code_is_read_although_writes_fail() {
    let (stream, mut theirs) = pair();
    let (mut socket, link) = client(stream);
    // What it leaves unread makes the system send a reset behind the close frame.
    socket.send(Message::text("never read")).unwrap();
    let ping = [0x89, 0];
    let close = [0x88, 6, 0x0F, 0xA3, b'g', b'o', b'n', b'e'];
    theirs.write_all(&[&ping[..], &close[..]].concat()).unwrap();
    drop(theirs);
    thread::sleep(millis(50));
    let end = Instant::now() + PATIENCE;
    // Two, as the first may be taken before the system knows.
    let error = loop {
        assert!(Instant::now() < end);
        link.begin();
        let result = socket.send(Message::text("too late"));
        if let Some(error) = link.take_write_error() {
            break error;
        }
        result.unwrap();
        thread::sleep(millis(5));
    };
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(link.take_write_error().is_none());
    let frame = loop {
        link.begin();
        match socket.read() {
            Ok(Message::Close(frame)) => break frame.unwrap(),
            Ok(Message::Ping(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    let CloseFrame { code, reason } = frame;
    assert_eq!((u16::from(code), reason.as_str()), (4003, "gone"));
}

#[test]
fn a_part_and_the_end_are_both_read() {
    let (mut stream, mut theirs) = pair();
    let link = stream.link().clone();
    stream.read(&mut [0; 8]).unwrap_err();
    theirs.write_all(b"last words").unwrap();
    drop(theirs);
    thread::sleep(millis(20));
    let end = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    loop {
        link.begin();
        let mut bytes = [0; 64];
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => heard.extend_from_slice(&bytes[..count]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert!(link.wait_until(Some(end)).unwrap() < end);
            }
        }
    }
    assert_eq!(heard, b"last words");
    assert_eq!(link.bytes().read, 10);
}

// TLS.

type Secure = StreamOwned<ClientConnection, Stream>;

fn secure(tls: &peer_tls::Tls, dial: &Dial, port: u16) -> Result<WebSocket<Secure>, Error> {
    let name = "127.0.0.1".try_into().unwrap();
    let tls = ClientConnection::new(tls.client.clone(), name).map_err(io::Error::other)?;
    let stream = StreamOwned::new(tls, dial.tcp("127.0.0.1", port)?);
    dial.handshake(format!("wss://127.0.0.1:{port}/"), stream)
}

/// Sends and reads at once; waits for what is possible next.
fn exchange<S: Read + Write>(socket: &mut WebSocket<S>, link: &Link, count: usize) {
    let mut to_send: VecDeque<_> = (0..count).map(|at| vec![at as u8; 100_000]).collect();
    let (mut is_flushed, mut read) = (true, 0);
    let end = Instant::now() + PATIENCE;
    while read < count || !is_flushed || !to_send.is_empty() {
        link.begin();
        if is_flushed {
            if let Some(message) = to_send.pop_front() {
                is_out(socket.write(Message::binary(message)), link);
            }
        }
        is_flushed = is_out(socket.flush(), link);
        match socket.read() {
            Ok(Message::Binary(message)) => {
                assert_eq!(message.len(), 100_000);
                assert!(message.iter().all(|byte| *byte == read as u8));
                read += 1;
            }
            result if is_blocked(&result) => {
                if !is_flushed || to_send.is_empty() {
                    assert!(link.wait_until(Some(end)).unwrap() < end);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn tls_goes_in_both_directions() {
    const COUNT: usize = 100;
    let tls = peer_tls::Tls::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = {
        let tls = tls.clone();
        thread::spawn(move || {
            let link = Link::within(FAR).unwrap();
            let stream = tls.stream(link.stream(accept_tcp(&listener)).unwrap());
            let mut socket = tungstenite::accept(stream).unwrap();
            assert!(link.open());
            exchange(&mut socket, &link, COUNT);
        })
    };
    let dial = dial(FAR);
    let mut socket = secure(&tls, &dial, port).unwrap();
    assert!(dial.link().open());
    exchange(&mut socket, dial.link(), COUNT);
    server.join().unwrap();
}

#[test]
fn plain_goes_in_both_directions() {
    const COUNT: usize = 300;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = peer::url_of(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut socket, link) = accept(accept_tcp(&listener), FAR).unwrap();
        assert!(link.open());
        exchange(&mut socket, &link, COUNT);
    });
    let dial = dial(FAR);
    let mut socket = dial.connect(url).unwrap();
    assert!(dial.link().open());
    exchange(&mut socket, dial.link(), COUNT);
    server.join().unwrap();
}

#[test]
fn what_came_with_the_handshake_is_there() {
    let (url, peer) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        socket.write_all(&[&header(2)[..], b"hi"].concat()).unwrap();
        socket
    });
    let dial = dial(FAR);
    let mut socket = dial.connect(url).unwrap();
    let _theirs = peer.join().unwrap();
    assert!(dial.link().open());
    let end = Instant::now() + PATIENCE;
    loop {
        dial.link().begin();
        let result = socket.read();
        if is_blocked(&result) {
            assert!(dial.link().wait_until(Some(end)).unwrap() < end);
            continue;
        }
        assert_eq!(result.unwrap(), Message::binary(&b"hi"[..]));
        break;
    }
}

// Nothing grows.

fn counts() -> (usize, usize) {
    let of = |what| fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    (of("task"), of("fd"))
}

/// In a process of its own: other tests open descriptors, too.
#[test]
#[cfg(target_os = "linux")]
fn nothing_grows_with_the_number_of_dials() {
    let mut child = Process::start("dials", "dial");
    assert_eq!(child.line().as_deref(), Some("flat"));
}

#[test]
#[ignore = "a child of nothing_grows_with_the_number_of_dials"]
fn dials() {
    if peer::role().is_none() {
        return;
    }
    let hole = BlackHole::new();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute_url = peer::url_of(mute.local_addr().unwrap());
    let refused = peer::url_of(
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap(),
    );
    let wait = Wait::new().unwrap();
    let round = || {
        let hang = Dial::new(wait.clone(), Instant::now() + millis(2), 0);
        hang.tcp("127.0.0.1", hole.address.port()).unwrap_err();
        let hang = Dial::new(wait.clone(), Instant::now() + millis(5), 0);
        assert_eq!(kind(hang.connect(&mute_url)), ErrorKind::TimedOut);
        drop(mute.accept().unwrap());
        let fails = Dial::new(wait.clone(), Instant::now() + FAR, 0);
        assert_eq!(kind(fails.connect(&refused)), ErrorKind::ConnectionRefused);
    };
    round();
    let before = counts();
    (0..200).for_each(|_| round());
    assert_eq!(counts(), before);
    peer::tell("flat");
}
