//! What is the same in every adapter, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::tokio::runtime::{Builder, Runtime};
use keepalive::blocking::Dial;
use keepalive::driver::Deciding;
use keepalive::{
    Cause, Config, Ending, Handle, Notice, Plain, ReconfigureError, Refused, Retry, SendError,
    StopReason, Unsendable, blocking, session, smol, tokio,
};
use tungstenite::handshake::server::Request;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message};

const SOON: Duration = Duration::from_millis(1);
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
    C: blocking::Connect<Stream = S>,
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

type Makes = Box<dyn Fn(String) -> Box<dyn Session>>;

/// A client of each adapter's, with these limits.
fn clients(config: Config, limits: WebSocketConfig) -> Vec<(&'static str, Makes)> {
    vec![
        (
            "tokio",
            Box::new(move |url| {
                let dialer = tokio::Dialer::new(url.as_str()).websocket(limits);
                let runtime = runtime();
                let session = {
                    let _entered = runtime.enter();
                    tokio::client(config, dialer)
                };
                Box::new(On(runtime, session))
            }),
        ),
        (
            "smol",
            Box::new(move |url| {
                let dialer = smol::Dialer::new(url.as_str()).websocket(limits);
                Box::new(On(Smol, smol::client(config, dialer)))
            }),
        ),
        (
            "blocking",
            Box::new(move |url| {
                let dialer = blocking::Dialer::new(url.as_str()).websocket(limits);
                Box::new(blocking::client(config, dialer))
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
    for (name, client) in clients(Config::default(), tight()) {
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
    for (name, client) in clients(Config::default(), tight()) {
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

/// Types that can be named, whatever the functions capture.
#[derive(Default)]
struct Named {
    tokio: Option<tokio::Client>,
    smol: Option<smol::Client>,
    blocking: Option<blocking::Client>,
}

/// What was refused, by any adapter, and how often each was asked.
#[test]
fn connectors_and_endings_capture_and_have_names() {
    fn is_send<T: Send>(_: &T) {}
    // The first dial is refused, which the application knows better.
    let config = Config::builder().reconnect(false).build().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let count = || {
        let asked = Arc::clone(&asked);
        move |_: &Error| {
            asked.fetch_add(1, Relaxed);
            Ending::Refused(Refused::with_status(418))
        }
    };
    let url = NOBODY.to_owned();
    let runtime = runtime();
    let named = Named {
        tokio: Some({
            let _entered = runtime.enter();
            let url = url.clone();
            let dial = session::boxed(move |_| tokio::connect(url.clone()));
            tokio::client(config, dial).with_endings(count())
        }),
        smol: Some({
            let dialer = session::boxed(smol::Dialer::new(url.as_str()));
            smol::client(config, dialer).with_endings(count())
        }),
        blocking: Some({
            let dial = blocking::boxed(move |dial: &Dial| dial.connect(url.as_str()));
            blocking::client(config, dial).with_endings(count())
        }),
    };
    is_send(&named);
    let sessions: [Box<dyn Session>; 3] = [
        Box::new(On(runtime, named.tokio.unwrap())),
        Box::new(On(Smol, named.smol.unwrap())),
        Box::new(named.blocking.unwrap()),
    ];
    for (number, mut session) in sessions.into_iter().enumerate() {
        let mut statuses = Vec::new();
        while let Some(notice) = session.next() {
            if let Notice::Down(down) = notice {
                match down.cause {
                    Cause::Refused { status, .. } => statuses.push(status),
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(statuses, [418]);
        assert_eq!(asked.load(Relaxed), number + 1);
    }
}

#[test]
fn policies_capture() {
    let asked = Arc::<AtomicUsize>::default();
    let codec = || {
        let asked = Arc::clone(&asked);
        Deciding::new(Plain, move |_| {
            asked.fetch_add(1, Relaxed);
            Some(Retry::Stop)
        })
    };
    let config = Config::default();
    let runtime = runtime();
    let on_tokio = {
        let _entered = runtime.enter();
        tokio::client_with(config, codec(), tokio::Dialer::new(NOBODY))
    };
    let on_smol = smol::client_with(config, codec(), smol::Dialer::new(NOBODY));
    let on_this_thread = blocking::client_with(config, codec(), blocking::Dialer::new(NOBODY));
    let sessions: [Box<dyn Session>; 3] = [
        Box::new(On(runtime, on_tokio)),
        Box::new(On(Smol, on_smol)),
        Box::new(on_this_thread),
    ];
    for (number, mut session) in sessions.into_iter().enumerate() {
        let mut reasons = Vec::new();
        while let Some(notice) = session.next() {
            if let Notice::Stopped { reason, .. } = notice {
                reasons.push(reason);
            }
        }
        assert_eq!(reasons.len(), 1);
        assert_eq!(asked.load(Relaxed), number + 1);
    }
}

#[test]
fn a_dialer_dials_as_often_as_it_has_to() {
    let config = Config::builder()
        .first_spread(SOON)
        .backoff_floor(SOON)
        .backoff_base(SOON)
        .backoff_cap(SOON)
        .build()
        .unwrap();
    for (name, client) in clients(config, tight()) {
        println!("{name}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let keys = (0..2).map(|_| {
                let mut key = None;
                #[allow(clippy::result_large_err)]
                let note = |request: &Request, response| {
                    key = request.headers().get("sec-websocket-key").cloned();
                    assert_eq!(request.uri(), "/a?b");
                    Ok(response)
                };
                let socket = listener.accept().unwrap().0;
                drop(tungstenite::accept_hdr(socket, note).unwrap());
                key.unwrap()
            });
            keys.collect::<Vec<_>>()
        });
        let mut session = client(format!("ws://{address}/a?b"));
        let mut opened = 0;
        while opened < 2 {
            opened += usize::from(matches!(session.next(), Some(Notice::Opened { .. })));
        }
        // RFC 6455 section 4.1.
        let keys = server.join().unwrap();
        assert_ne!(keys[0], keys[1]);

        // What is wrong is said by each dial.
        let mut session = client("ws:///".to_owned());
        let mut failed = 0;
        while failed < 2 {
            if let Some(Notice::Down(down)) = session.next() {
                assert!(matches!(down.cause, Cause::Failed(_)), "{down:?}");
                failed += 1;
            }
        }
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
    let mut session = tokio::client(confirming(), tokio::Dialer::new(NOBODY));
    let early = session.handle();
    early.reconfigure(Config::default()).unwrap();
    let mut session = session.keeping(1000).unwrap();
    is_refused(&early);
    is_refused(&session.handle());

    let session = smol::client(confirming(), smol::Dialer::new(NOBODY));
    is_refused(&session.keeping(1000).unwrap().handle());

    let mut session = blocking::client(confirming(), blocking::Dialer::new(NOBODY));
    let early = session.handle();
    early.reconfigure(Config::default()).unwrap();
    let mut session = session.keeping(1000).unwrap();
    is_refused(&early);
    is_refused(&session.handle());
}
