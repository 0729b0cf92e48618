//! What is the same in every adapter, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::tokio::runtime::{Builder, Runtime};
use keepalive::blocking::Dial;
use keepalive::{
    Config, Handle, Notice, ReconfigureError, SendError, StopReason, Unsendable, blocking, smol,
    tokio,
};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message};

const NOBODY: &str = "ws://127.0.0.1:1/";

type Told = Notice<Message, Message, Error, Instant>;

/// A session, whatever waits for its notices.
trait Session {
    fn next(&mut self) -> Option<Told>;
    fn send(&mut self, message: Message) -> Result<(), SendError<Message>>;
    fn stop(&mut self);
    fn handle(&mut self) -> Handle<Message>;
}

struct On<B, S>(B, S);

struct Smol;

macro_rules! session {
    ($block_on:ty, $timer:ty, |$on:ident| $next:expr) => {
        impl<C, K> Session for On<$block_on, keepalive::session::Session<C, $timer, Wire, K>>
        where
            C: keepalive::session::Connect,
            C::Socket: keepalive::session::Transport<Message = Message, Fault = Error>,
            K: keepalive::Codec<Message, Message = Message>,
        {
            fn next(&mut self) -> Option<Told> {
                let $on = self;
                $next
            }
            fn send(&mut self, message: Message) -> Result<(), SendError<Message>> {
                self.1.send(message)
            }
            fn stop(&mut self) {
                self.1.stop();
            }
            fn handle(&mut self) -> Handle<Message> {
                self.1.handle()
            }
        }
    };
}

type Wire = keepalive::tungstenite::Tungstenite;
session!(Runtime, tokio::Timer, |on| on.0.block_on(on.1.next()));
session!(Smol, smol::Timer, |on| ::smol::block_on(on.1.next()));

impl<S, K, C> Session for blocking::Session<S, K, C>
where
    S: std::io::Read + std::io::Write,
    K: keepalive::Codec<Message, Message = Message>,
    C: FnMut(&Dial) -> Result<tungstenite::WebSocket<S>, Error>,
{
    fn next(&mut self) -> Option<Told> {
        Iterator::next(self)
    }
    fn send(&mut self, message: Message) -> Result<(), SendError<Message>> {
        self.send(message)
    }
    fn stop(&mut self) {
        self.stop();
    }
    fn handle(&mut self) -> Handle<Message> {
        self.handle()
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A client of each adapter's, with these limits.
fn clients(
    limits: WebSocketConfig,
) -> Vec<(&'static str, Box<dyn Fn(String) -> Box<dyn Session>>)> {
    let config = Config::default();
    vec![
        (
            "tokio",
            Box::new(move |url| {
                let dial = move |_| {
                    let dial = tokio::Dial::new(url.as_str()).websocket(limits);
                    async { Ok(dial.connect().await?.0) }
                };
                let runtime = runtime();
                let session = {
                    let _entered = runtime.enter();
                    tokio::client(config, dial)
                };
                Box::new(On(runtime, session))
            }),
        ),
        (
            "smol",
            Box::new(move |url| {
                let dial = move |_| {
                    let dial = smol::Dial::new(url.as_str()).websocket(limits);
                    async { Ok(dial.connect().await?.0) }
                };
                Box::new(On(Smol, smol::client(config, dial)))
            }),
        ),
        (
            "blocking",
            Box::new(move |url| {
                let dial = move |dial: &Dial| Ok(dial.connect_with(url.as_str(), Some(limits))?.0);
                Box::new(blocking::Session::client(config, dial))
            }),
        ),
    ]
}

/// A server that reads once it has waited, and the lengths of the texts that it read.
fn server(waits: Duration, pings: usize) -> (String, JoinHandle<Vec<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        for _ in 0..pings {
            let ping = Message::Ping(vec![0; 100].into());
            socket.send(ping).unwrap();
        }
        thread::sleep(waits);
        let mut lengths = Vec::new();
        while let Ok(message) = socket.read() {
            if message.is_text() {
                lengths.push(message.len());
            }
        }
        lengths
    });
    (url, server)
}

fn text(length: usize) -> Message {
    Message::text("a".repeat(length))
}

/// A client's frame of up to 64 kB has 8 bytes besides.
const ROOM: usize = 1000;
const LONGEST: usize = ROOM - 8;

fn tight() -> WebSocketConfig {
    let limits = WebSocketConfig::default();
    limits.write_buffer_size(500).max_write_buffer_size(ROOM)
}

#[test]
fn a_message_that_is_too_long_for_the_socket_comes_back() {
    const TOO_LONG: Unsendable = Unsendable::TooLong {
        size: LONGEST + 1,
        limit: LONGEST,
    };
    for (name, client) in clients(tight()) {
        println!("{name}");
        let (url, server) = server(Duration::ZERO, 0);
        let mut session = client(url);
        let handle = session.handle();
        for length in [300, LONGEST + 1, LONGEST] {
            handle.try_send(text(length)).unwrap();
        }
        let mut back = Vec::new();
        loop {
            match session.next().unwrap() {
                Notice::Opened { .. } => {
                    session.send(text(400)).unwrap();
                    session.send(text(LONGEST)).unwrap();
                    match session.send(text(LONGEST + 1)) {
                        Err(SendError::Unsendable { message, why }) => {
                            assert_eq!((message.len(), why), (LONGEST + 1, TOO_LONG));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                Notice::Rejected(rejected) => {
                    back.push((rejected.message.len(), rejected.why));
                    session.stop();
                }
                Notice::Down(down) => assert!(!back.is_empty(), "{}", down.cause),
                Notice::Stopped { reason, unsent } => {
                    assert_eq!((reason, unsent), (StopReason::Requested, vec![]));
                    break;
                }
                _ => {}
            }
        }
        assert_eq!(back, [(LONGEST + 1, TOO_LONG)]);
        assert_eq!(server.join().unwrap(), [400, LONGEST, 300, LONGEST]);
    }
}

#[test]
fn what_the_socket_holds_itself_ends_no_connection() {
    const COUNT: usize = 10_000;
    let length = |number| if number % 2 == 0 { 400 } else { LONGEST };
    for (name, client) in clients(tight()) {
        println!("{name}");
        // It answers pings into a buffer that does not drain.
        let (url, server) = server(Duration::from_millis(500), 1000);
        let mut session = client(url);
        let handle = session.handle();
        let sends = thread::spawn(move || {
            for number in 0..COUNT {
                handle.send_blocking(text(length(number))).unwrap();
            }
            handle.stop().unwrap();
        });
        loop {
            match session.next().unwrap() {
                Notice::Down(down) => assert!(sends.is_finished(), "{}", down.cause),
                Notice::Stopped { reason, .. } => {
                    assert_eq!(reason, StopReason::Requested);
                    break;
                }
                _ => {}
            }
        }
        sends.join().unwrap();
        assert!(
            server
                .join()
                .unwrap()
                .into_iter()
                .eq((0..COUNT).map(length))
        );
    }
}

fn confirming() -> Config {
    let settings = Config::builder().confirm_within(Some(Duration::from_secs(1)));
    settings.build().unwrap()
}

fn is_refused(handle: &Handle<Message>) {
    handle.reconfigure(confirming()).unwrap();
    let error = handle.reconfigure(Config::default()).unwrap_err();
    assert!(matches!(error, ReconfigureError::Keeping(_)), "{error:?}");
    assert!(error.to_string().contains("confirm_within"), "{error}");
}

#[test]
fn what_keeps_copies_refuses_settings_without_confirm_within() {
    // However early the handle is taken.
    let mut session = tokio::client(confirming(), |_| tokio::connect(NOBODY));
    let early = session.handle();
    early.reconfigure(Config::default()).unwrap();
    let mut session = session.keeping(1000).unwrap();
    is_refused(&early);
    is_refused(&session.handle());

    let session = smol::client(confirming(), |_| smol::connect(NOBODY));
    is_refused(&session.keeping(1000).unwrap().handle());

    let mut session = blocking::Session::client(confirming(), |dial: &Dial| dial.connect(NOBODY));
    let early = session.handle();
    early.reconfigure(Config::default()).unwrap();
    let mut session = session.keeping(1000).unwrap();
    is_refused(&early);
    is_refused(&session.handle());
}
