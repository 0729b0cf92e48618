//! What a blocking session allocates for each message, above a bare loop with
//! tungstenite: nothing, whether it is received, sent, or sent by a handle.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/peer.rs"]
mod peer;

use std::hint::black_box;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use allocation_counter::measure;
use keepalive::blocking::{Client, Dialer, Notice, boxed, client};
use keepalive::{Config, Handle};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use peer::{accept, header, peer};

const WARM: usize = 100;
const ROUNDS: usize = 1000;

/// Says so many messages at once, whenever it is asked: what comes in one read is always
/// the same.
fn says(at_once: usize) -> String {
    let (url, _peer) = peer(move |listener| {
        let mut frame = header(10);
        frame.extend([7; 10]);
        let frames = frame.repeat(at_once);
        let mut socket = accept(&listener);
        while let Ok(message) = socket.read() {
            if message.is_text() && socket.get_mut().write_all(&frames).is_err() {
                return;
            }
        }
    });
    url
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096)
}

/// How often it allocates in so many rounds, once it has begun.
fn count(mut round: impl FnMut()) -> u64 {
    for _ in 0..WARM {
        round();
    }
    measure(|| (0..ROUNDS).for_each(|_| round())).count_total
}

fn of_a_bare_loop(at_once: usize) -> u64 {
    let url = says(at_once);
    let socket = TcpStream::connect(url["ws://".len()..].trim_end_matches('/')).unwrap();
    socket.set_nodelay(true).unwrap();
    let opened = tungstenite::client::client_with_config(url, socket, Some(limits()));
    let (mut socket, _): (WebSocket<TcpStream>, _) = opened.unwrap();
    count(|| {
        socket.send(Message::from("now")).unwrap();
        for _ in 0..at_once {
            black_box(socket.read().unwrap());
        }
    })
}

fn of_a_session(at_once: usize, send: impl Fn(&mut Client, &Handle<Message>)) -> u64 {
    let dialer = Dialer::new(says(at_once)).websocket(limits());
    // No ping comes between, nor do its allocations.
    let config = Config::builder().ping_interval(Duration::from_secs(600));
    let config = config.send_interval(None).random_phase(false);
    let mut session = client(config.build().unwrap(), boxed(dialer));
    let handle = session.handle();
    while !matches!(session.next(), Some(Notice::Opened { .. })) {}
    count(|| {
        send(&mut session, &handle);
        for _ in 0..at_once {
            match session.next() {
                Some(Notice::Message(message)) => drop(black_box(message)),
                other => panic!("{other:?}"),
            }
        }
    })
}

#[test]
fn a_session_allocates_nothing_for_a_message() {
    let by_session = |session: &mut Client, _: &Handle<Message>| {
        session.send(Message::from("now")).unwrap();
    };
    let by_handle = |_: &mut Client, handle: &Handle<Message>| {
        handle.try_send(Message::from("now")).unwrap();
    };
    for at_once in [1, 32] {
        let bare = of_a_bare_loop(at_once);
        let sent = of_a_session(at_once, by_session);
        let handed = of_a_session(at_once, by_handle);
        println!("{at_once} at once, {ROUNDS} times: {bare}, {sent}, by a handle {handed}");
        assert_eq!([sent, handed], [bare; 2], "{at_once} at once");
    }
}
