//! A server's accepted sockets.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use keepalive::blocking::{self, Link, Notice, Session, Stream};
use keepalive::{Cause, CloseCode, CloseReason, Lost, State, StopReason};
use tungstenite::{Error, Message, WebSocket};

use crate::peer::{self, Lateness, millis};
use crate::scenarios::{NOISE, TIMEOUT, settings};
use crate::session::{next, wait_for};

type Accepted = Session<Stream>;

/// The server's end of a connection with this client.
fn accept(client: impl FnOnce(TcpStream) + Send + 'static) -> (WebSocket<Stream>, Link) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || client(TcpStream::connect(address).unwrap()));
    blocking::accept(peer::accept_tcp(&listener), peer::PATIENCE).unwrap()
}

/// A session with this client.
fn session(client: impl FnOnce(TcpStream) + Send + 'static) -> Accepted {
    let (socket, link) = accept(client);
    // Reconnecting is on in these settings, and makes no sense here.
    blocking::accepted(settings().build().unwrap(), socket, link)
}

fn rest(session: &mut Accepted) -> Vec<Notice> {
    let end = Instant::now() + peer::PATIENCE;
    std::iter::from_fn(|| session.next_before(end).expect("no end")).collect()
}

fn outline(session: &mut Accepted) -> Vec<String> {
    rest(session)
        .iter()
        .map(short)
        .filter(|line| !line.is_empty())
        .collect()
}

fn short(notice: &Notice) -> String {
    match notice {
        Notice::Ping(_) | Notice::Pong { .. } => String::new(),
        Notice::Opened { .. } => "opened".to_owned(),
        Notice::Down(down) => format!("down: {}, retry {:?}", down.cause, down.retry),
        Notice::Stopped { reason, .. } => format!("over: {reason}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_client_that_leaves_is_the_end() {
    let mut session = session(|socket| {
        let (mut socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        socket.send(Message::text("hello")).unwrap();
        socket.close(None).unwrap();
        peer::serve(&mut socket);
    });
    let Some(Notice::Opened { deaf: None, .. }) = next(&mut session) else {
        panic!()
    };
    assert_eq!(session.heartbeat().state(), State::Open);
    session.send(Message::text("welcome")).unwrap();
    let Some(Notice::Message(message)) = next(&mut session) else {
        panic!()
    };
    assert_eq!(message, Message::text("hello"));
    assert_eq!(
        outline(&mut session),
        [
            "down: closed without a code, retry None",
            "over: closed without a code"
        ]
    );
    assert!(next(&mut session).is_none());
}

#[test]
fn a_mute_client_is_convicted() {
    let mut session = session(|socket| {
        let (socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        let _ = socket.into_inner().read_to_end(&mut Vec::new());
    });
    let (begin, lateness) = (Instant::now(), Lateness::measure());
    assert_eq!(
        outline(&mut session),
        [
            "opened",
            "down: no pong in time, retry None",
            "over: no pong in time"
        ]
    );
    let (took, late) = (begin.elapsed(), lateness.end());
    assert!(took >= TIMEOUT, "{took:?}");
    assert!(took < 2 * TIMEOUT + 3 * late, "{took:?}, late by {late:?}");
    let heartbeat = session.heartbeat();
    assert_eq!(heartbeat.state(), State::Stopped);
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn a_stop_waits_for_the_clients_answer() {
    let mut session = session(|socket| {
        let (mut socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        peer::serve(&mut socket);
    });
    session.stop();
    assert_eq!(
        outline(&mut session),
        ["opened", "down: stopped, retry None", "over: stopped"]
    );
}

#[test]
fn a_connection_that_was_given_up_is_over() {
    let is_given_up = |socket, link: Link| {
        link.give_up();
        (socket, link)
    };
    let is_on_another_link = |socket, _| (socket, Link::within(peer::PATIENCE).unwrap());
    type Change = fn(WebSocket<Stream>, Link) -> (WebSocket<Stream>, Link);
    let cases: [(Change, &str); 2] = [
        (
            is_given_up,
            "the connection was given up while it was being made",
        ),
        (
            is_on_another_link,
            "the socket was not made with this dial or link",
        ),
    ];
    for (change, why) in cases {
        for stops in [false, true] {
            let (socket, link) = accept(|socket| {
                let (mut socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
                peer::serve(&mut socket);
            });
            let (socket, link) = change(socket, link);
            let mut session = blocking::accepted(settings().build().unwrap(), socket, link);
            if stops {
                session.stop();
            }
            let (down, over) = if stops {
                ("stopped".to_owned(), "stopped")
            } else {
                (format!("IO error: {why}"), "the transport failed")
            };
            let told = [
                "opened".to_owned(),
                format!("down: {down}, retry None"),
                format!("over: {over}"),
            ];
            assert_eq!(outline(&mut session), told);
        }
    }
}

#[test]
fn there_is_nobody_to_dial() {
    let mut session = session(|socket| {
        let (mut socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        peer::serve(&mut socket);
    });
    session.reconfigure(settings().build().unwrap()).unwrap();
    session.reconnect_now();
    let notices = rest(&mut session);
    let [
        Notice::Opened { .. },
        Notice::Down(down),
        Notice::Stopped {
            reason: StopReason::Closed(None),
            ..
        },
    ] = &notices[..]
    else {
        panic!("{notices:?}")
    };
    assert_eq!(down.lost, Lost::Connection);
    assert!(matches!(down.cause, Cause::Reconnected));
    assert_eq!(down.retry, None);
}

#[test]
fn a_clients_code_is_told() {
    let mut session = session(|socket| {
        let (mut socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        let frame = tungstenite::protocol::CloseFrame {
            code: 4000.into(),
            reason: "bye".into(),
        };
        socket.close(Some(frame)).unwrap();
        peer::serve(&mut socket);
    });
    let cause = wait_for(&mut session, "down", |notice| match notice {
        Notice::Down(down) if down.retry.is_none() => Some(down.cause),
        _ => None,
    });
    let Cause::Closed { code, words } = cause else {
        panic!("{cause:?}")
    };
    assert_eq!((code, words.as_str()), (Some(CloseCode(4000)), "bye"));
}

#[test]
fn a_handshake_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = peer::accept_tcp(&listener);
    let begin = Instant::now();
    let Err(Error::Io(error)) = blocking::accept(socket, millis(300)) else {
        panic!()
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(begin.elapsed() >= millis(290) && begin.elapsed() < millis(300) + NOISE);
}

#[test]
fn a_second_stop_waits_for_nobody() {
    let mut session = session(|socket| {
        let (socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        let _ = socket.into_inner().read_to_end(&mut Vec::new());
    });
    assert!(matches!(next(&mut session), Some(Notice::Opened { .. })));
    let begin = Instant::now();
    session.stop();
    assert_eq!(session.heartbeat().state(), State::Closing);
    session.stop();
    assert_eq!(
        outline(&mut session),
        ["down: stopped, retry None", "over: stopped"]
    );
    assert!(begin.elapsed() < millis(400));
    assert_eq!(CloseReason::Abort.to_string(), "aborted");
}
