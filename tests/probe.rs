//! `keepalive probe`, as it is built, against paths of the test's that cut in one way
//! each, and against real proxies:
//! `cargo test --features cli --test probe -- --ignored --nocapture`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/built.rs"]
mod built;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/peer_tls.rs"]
mod peer_tls;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use built::{Killed, Running, output};
use peer::{Lateness, millis, reset, signal, url_of};
use peer_tls::Authority;
use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::StatusCode;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

const LIMIT: Duration = Duration::from_secs(1);

/// A server behind something that cuts idle connections.
#[derive(Clone)]
struct Path {
    limit: Arc<Mutex<Duration>>,
    end: End,
    /// Which frames of the client's, with what they are answered, are no silence.
    counts: fn(&Message) -> bool,
    pushes: Option<Pushes>,
    /// How many connections are let in at a time.
    room: usize,
    /// Which dials are refused all the same.
    refuses: fn(usize) -> bool,
    open: Arc<AtomicUsize>,
    dials: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Fin,
    Reset,
    Close,
    /// Nothing is told, and nothing answered any more.
    Silent,
    /// The same, but for a reset that answers what comes.
    Forgotten,
}

/// What the server sends once somebody has asked for news.
#[derive(Clone, Copy)]
struct Pushes {
    every: Duration,
    count: bool,
}

impl Path {
    fn new(limit: Duration, end: End) -> Self {
        Self {
            limit: Arc::new(Mutex::new(limit)),
            end,
            counts: |_| true,
            pushes: None,
            room: usize::MAX,
            refuses: |_| false,
            open: Arc::default(),
            dials: Arc::default(),
        }
    }

    fn counting(self, counts: fn(&Message) -> bool) -> Self {
        Self { counts, ..self }
    }

    fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url_of(listener.local_addr().unwrap());
        let path = self.clone();
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let path = path.clone();
                thread::spawn(move || path.connection(socket));
            }
        });
        url
    }

    /// That long after so many dials it is gone, and nobody listens any more.
    fn serve_until(&self, dials: usize, lasts: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = url_of(listener.local_addr().unwrap());
        let path = self.clone();
        thread::spawn(move || {
            let mut open = Vec::new();
            let mut ends = None;
            while ends.is_none_or(|ends| Instant::now() < ends) {
                if let Ok((socket, _)) = listener.accept() {
                    socket.set_nonblocking(false).unwrap();
                    open.push(socket.try_clone().unwrap());
                    let path = path.clone();
                    thread::spawn(move || path.connection(socket));
                }
                if path.dials.load(Ordering::SeqCst) >= dials {
                    ends.get_or_insert_with(|| Instant::now() + lasts);
                }
                thread::sleep(millis(1));
            }
            drop(listener);
            if path.end != End::Silent {
                open.iter()
                    .for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
            }
        });
        url
    }

    fn connection(&self, socket: TcpStream) {
        let dial = self.dials.fetch_add(1, Ordering::SeqCst);
        socket.set_nodelay(true).unwrap();
        let is_full = self.open.fetch_add(1, Ordering::SeqCst) >= self.room;
        #[allow(clippy::result_large_err)]
        let answer = |_: &Request, response: Response| match (is_full, (self.refuses)(dial)) {
            (false, false) => Ok(response),
            (_, is_refused) => {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = match is_refused {
                    true => StatusCode::TOO_MANY_REQUESTS,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                refusal
                    .headers_mut()
                    .insert("retry-after", "1".parse().unwrap());
                Err(refusal)
            }
        };
        if let Ok(socket) = tungstenite::accept_hdr(socket, answer) {
            self.talk(socket);
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    fn talk(&self, mut socket: WebSocket<TcpStream>) {
        let limit = *self.limit.lock().unwrap();
        let mut silent_until = Instant::now() + limit;
        let mut push: Option<Instant> = None;
        loop {
            let due = push.map_or(silent_until, |push| push.min(silent_until));
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let left = left.max(millis(1));
                socket.get_ref().set_read_timeout(Some(left)).unwrap();
                match socket.read() {
                    Ok(message) => {
                        if (self.counts)(&message) {
                            silent_until = Instant::now() + limit;
                        }
                        if let (true, Some(pushes)) =
                            (message == Message::text("news"), self.pushes)
                        {
                            push = Some(Instant::now() + pushes.every);
                        }
                        // Otherwise a pong waits for the next read.
                        if socket.flush().is_err() {
                            return;
                        }
                    }
                    Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
            let now = Instant::now();
            if now >= silent_until {
                return self.cut(socket);
            }
            if let (Some(pushes), true) = (self.pushes, push.is_some_and(|push| now >= push)) {
                push = Some(now + pushes.every);
                if pushes.count {
                    silent_until = now + limit;
                }
                if socket.send(Message::text("news")).is_err() {
                    return;
                }
            }
        }
    }

    fn cut(&self, mut socket: WebSocket<TcpStream>) {
        match self.end {
            End::Fin => drop(socket.into_inner().shutdown(Shutdown::Both)),
            End::Reset => reset(socket.into_inner()),
            End::Close => {
                let _ = socket.close(Some(CloseFrame {
                    code: CloseCode::Away,
                    reason: "idle".into(),
                }));
                while socket.read().is_ok() {}
            }
            End::Silent => {
                let mut socket = socket.into_inner();
                socket.set_read_timeout(None).unwrap();
                while socket.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
            }
            End::Forgotten => {
                let mut socket = socket.into_inner();
                socket.set_read_timeout(None).unwrap();
                let _ = socket.read(&mut [0; 64]);
                reset(socket);
            }
        }
    }
}

fn probe(arguments: &[&str]) -> Output {
    output(&mut command(arguments))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keepalive"));
    command.arg("probe").args(arguments).stdin(Stdio::null());
    command
}

/// Soon over, but on more than one connection at a time.
const SMALL: [[&str; 2]; 4] = [
    ["--max", "2500ms"],
    ["--connections", "6"],
    ["--repeat", "1"],
    ["--timeout", "2s"],
];

/// With what is small where these do not say otherwise.
fn small<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let rest = SMALL.iter().filter(|[flag, _]| !more.contains(flag));
    [
        &[url],
        more,
        &rest.flatten().copied().collect::<Vec<_>>()[..],
    ]
    .concat()
}

/// What it prints with `--json`.
fn found(url: &str, more: &[&str]) -> Value {
    let output = probe(&small(url, &[more, &["--json"]].concat()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lines(url: &str, more: &[&str]) -> String {
    let output = probe(&small(url, more));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The least end: the two ends of where it lies.
fn least(found: &Value) -> (f64, f64) {
    let least = found["silent"]["least_s"].as_array().expect("an end");
    (least[0].as_f64().unwrap(), least[1].as_f64().unwrap())
}

/// Within a tenth, and what this machine was late by.
fn assert_near(found: &Value, limit: Duration, late: Duration) {
    let (over, upto) = least(found);
    let limit = limit.as_secs_f64();
    let slack = limit / 10.0 + late.as_secs_f64();
    println!("{over:.3} to {upto:.3} s for {limit} s, late {late:?}");
    assert!(over > limit - slack, "{found:#}");
    assert!(upto < limit + slack, "{found:#}");
    assert!(upto - over <= over / 10.0 + 0.051, "{found:#}");
}

fn verdict<'a>(found: &'a Value, kind: &str) -> &'a str {
    let traffic = found["traffic"].as_array().unwrap();
    let of_kind = traffic.iter().find(|of| of["kind"] == kind);
    of_kind.map_or("not tried", |of| of["verdict"].as_str().unwrap())
}

#[test]
fn ends_that_are_announced_are_found_in_each_of_their_forms() {
    let table = [
        (End::Fin, "the end of the stream, without a close frame"),
        (End::Reset, "a TCP reset"),
        (End::Close, "a close frame with 1001"),
    ];
    thread::scope(|scope| {
        for (end, how) in table {
            scope.spawn(move || {
                let late = Lateness::measure();
                let found = found(&Path::new(LIMIT, end).serve(), &["--repeat", "2"]);
                assert_near(&found, LIMIT, late.end());
                assert_eq!(found["runs"].as_array().unwrap().len(), 2);
                assert_eq!(found["runs"][0]["how"][0], how);
                assert_eq!(found["partial"], false);
                assert_eq!(verdict(&found, "pings"), "keeps", "{found:#}");
                assert_eq!(verdict(&found, "outbound_frames"), "keeps", "{found:#}");
                assert_eq!(verdict(&found, "outbound_data"), "not tried");
                assert_eq!(found["advice"]["by"], "pings");
                let interval = found["advice"]["interval_s"].as_f64().unwrap();
                assert!(interval < least(&found).0 / 2.0, "{interval}");
            });
        }
    });
}

#[test]
fn a_limit_below_tls_is_found_with_a_root_of_ones_own() {
    let authority = Authority::new();
    let config = authority.server("localhost", None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            thread::spawn(move || {
                socket.set_read_timeout(Some(LIMIT)).unwrap();
                let socket = tungstenite::accept(StreamOwned::new(tls, socket));
                let Ok(mut socket) = socket else { return };
                while socket.read().is_ok() && socket.flush().is_ok() {}
            });
        }
    });
    let file = temporary("probe_ca.pem");
    fs::write(&file, authority.pem()).unwrap();
    let late = Lateness::measure();
    let found = found(&url, &["--cacert", file.to_str().unwrap()]);
    assert_near(&found, LIMIT, late.end());
    assert_eq!(verdict(&found, "pings"), "keeps", "{found:#}");
    let output = probe(&small(&url, &[]));
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("invalid peer certificate"), "{error}");
    fs::remove_file(file).unwrap();
}

#[test]
fn drops_without_a_word_are_found_too() {
    thread::scope(|scope| {
        for end in [End::Silent, End::Forgotten] {
            scope.spawn(move || {
                let late = Lateness::measure();
                let found = found(&Path::new(LIMIT, end).serve(), &[]);
                assert_near(&found, LIMIT, late.end());
                let dead = found["runs"][0]["dead_s"].as_array().unwrap();
                assert!(!dead.is_empty(), "{found:#}");
                assert_eq!(verdict(&found, "pings"), "keeps", "{found:#}");
                assert_eq!(found["advice"]["by"], "pings");
            });
        }
    });
}

#[test]
fn a_path_that_counts_no_pings_needs_messages() {
    let path = Path::new(LIMIT, End::Fin).counting(Message::is_text);
    let url = path.serve();
    let (url, more) = (&url, ["--text", "ping"]);
    thread::scope(|scope| {
        scope.spawn(move || {
            let found = found(url, &more);
            assert_eq!(verdict(&found, "pings"), "ends", "{found:#}");
            assert_eq!(verdict(&found, "outbound_frames"), "ends", "{found:#}");
            assert_eq!(verdict(&found, "outbound_data"), "keeps", "{found:#}");
            assert_eq!(found["advice"]["by"], "messages");
        });
        scope.spawn(move || {
            let lines = lines(url, &[]);
            assert!(lines.contains("not tried: it takes --text"), "{lines}");
            assert!(lines.contains("Pings do not count on this path"), "{lines}");
            assert!(!lines.contains("Config::builder"), "{lines}");
        });
    });
}

#[test]
fn a_path_that_counts_inbound_frames_alone_is_recognized() {
    // Only what is answered brings any.
    let path = Path::new(LIMIT, End::Silent).counting(Message::is_ping);
    let found = found(&path.serve(), &["--text", "nobody answers"]);
    assert_eq!(verdict(&found, "pings"), "keeps", "{found:#}");
    assert_eq!(verdict(&found, "outbound_frames"), "ends", "{found:#}");
    assert_eq!(verdict(&found, "outbound_data"), "ends", "{found:#}");
    assert_eq!(found["advice"]["by"], "pings");
}

#[test]
fn a_limited_age_cannot_be_helped() {
    let path = Path::new(LIMIT, End::Fin).counting(|_| false);
    let found = found(&path.serve(), &["--text", "hello"]);
    for kind in ["pings", "outbound_frames", "outbound_data"] {
        assert_eq!(verdict(&found, kind), "ends", "{found:#}");
    }
    assert_eq!(found["advice"]["by"], "reconnect");
}

#[test]
fn what_the_server_sends_is_tried_alone() {
    for (count, expected) in [(true, "keeps"), (false, "ends")] {
        let mut path = Path::new(LIMIT, End::Fin).counting(|message| !message.is_text());
        let every = millis(300);
        path.pushes = Some(Pushes { every, count });
        let found = found(&path.serve(), &["--subscribe", "news"]);
        assert_eq!(verdict(&found, "inbound_data"), expected, "{found:#}");
        assert_eq!(verdict(&found, "pings"), "keeps", "{found:#}");
        assert_eq!(found["spoken"], 0);
    }
}

#[test]
fn a_server_that_speaks_by_itself_leaves_no_silence() {
    let mut path = Path::new(LIMIT, End::Fin);
    let every = millis(250);
    path.pushes = Some(Pushes { every, count: true });
    let lines = lines(&path.serve(), &["--login", "news", "--max", "2s"]);
    assert!(lines.contains("The server spoke by itself on"), "{lines}");
    assert!(
        lines.contains("No advice: what the server sends by itself"),
        "{lines}"
    );
}

#[test]
fn no_limit_is_told_with_how_long_it_was_looked_for() {
    let path = Path::new(Duration::from_secs(60), End::Fin);
    let url = path.serve();
    let found = found(&url, &["--max", "1s", "--repeat", "2"]);
    assert!(found["silent"]["least_s"].is_null(), "{found:#}");
    assert!(found["silent"]["lived_s"].as_f64().unwrap() >= 1.0);
    assert_eq!(found["traffic"].as_array().unwrap().len(), 0);
    assert_eq!(found["advice"]["by"], "look longer");
    assert_eq!(found["runs_differ"], false);
    // One to ask, and a ladder for each run.
    assert_eq!(path.dials.load(Ordering::SeqCst), 1 + 2 * 6);
}

#[test]
fn a_control_tells_the_servers_limit_from_one_near_the_client() {
    let limited = Path::new(LIMIT, End::Fin).serve();
    let alike = Path::new(LIMIT, End::Reset).serve();
    let unlimited = Path::new(Duration::from_secs(60), End::Fin).serve();
    thread::scope(|scope| {
        for (url, control, side) in [
            (&limited, &alike, "client"),
            (&limited, &unlimited, "server"),
            (&unlimited, &limited, "control"),
        ] {
            scope.spawn(move || {
                let found = found(url, &["--control", control]);
                assert_eq!(found["control"]["side"], side, "{found:#}");
            });
        }
    });
}

#[test]
fn two_runs_that_differ_are_told() {
    let path = Path::new(LIMIT, End::Fin);
    let url = path.serve();
    let before = found(&url, &[]);
    let file = temporary("probe_before.json");
    fs::write(&file, before.to_string()).unwrap();
    let compare = ["--compare", file.to_str().unwrap()];

    let same = found(&url, &compare);
    assert_eq!(same["compared"]["differs"], false, "{same:#}");
    *path.limit.lock().unwrap() = LIMIT * 2;
    let changed = found(&url, &compare);
    assert_eq!(changed["compared"]["differs"], true, "{changed:#}");
    let lines = lines(&url, &compare);
    assert!(lines.contains("Differs from "), "{lines}");
    fs::remove_file(file).unwrap();
}

#[test]
fn runs_of_one_probe_that_differ_are_told() {
    let path = Path::new(LIMIT, End::Fin);
    let (url, limit) = (path.serve(), Arc::clone(&path.limit));
    let dials = Arc::clone(&path.dials);
    thread::spawn(move || {
        // The greeting, and the first ladder; connections keep the limit they began with.
        while dials.load(Ordering::SeqCst) < 1 + 6 {
            thread::sleep(millis(5));
        }
        thread::sleep(millis(200));
        *limit.lock().unwrap() = LIMIT * 2;
    });
    let found = found(&url, &["--repeat", "2"]);
    assert_eq!(found["runs_differ"], true, "{found:#}");
    assert_eq!(found["silent"]["spread"], true, "{found:#}");
    assert!(least(&found).1 < LIMIT.as_secs_f64() * 1.3, "{found:#}");
    // It was looked for beyond where the first run had found one.
    let second = found["runs"][1]["cut_s"][0].as_f64();
    let limit = LIMIT.as_secs_f64() * 2.0;
    assert!(
        second.is_some_and(|second| second > limit * 0.9),
        "{found:#}"
    );
}

#[test]
fn a_server_that_lets_few_in_is_not_pressed() {
    let mut path = Path::new(LIMIT, End::Fin);
    path.room = 3;
    let url = path.serve();
    let late = Lateness::measure();
    let found = found(&url, &["--repeat", "2", "--connections", "12"]);
    assert_near(&found, LIMIT, late.end());
    let failures = found["failures"].as_array().unwrap();
    assert_eq!(failures[0], "the server refused with status 503");
    // Of nine; some may be on their way when the first one is heard of.
    assert!(failures.len() <= 4, "{found:#}");
    assert!(
        path.dials.load(Ordering::SeqCst) <= 1 + 3 + 4 + 3 + 6,
        "{found:#}"
    );
}

/// The greeting and the first run, of 6, are let in.
const FIRST_RUN: usize = 1 + 6;

#[test]
fn a_refusal_with_a_hint_is_waited_for() {
    let mut path = Path::new(Duration::from_secs(60), End::Fin);
    path.refuses = |dial| dial == FIRST_RUN;
    let url = path.serve();
    let output = probe(&small(&url, &["--max", "1s", "--repeat", "3", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["partial"], false, "{found:#}");
    assert!(found["ended_early"].is_null(), "{found:#}");
    assert_eq!(found["runs"].as_array().unwrap().len(), 3, "{found:#}");
    assert_eq!(found["failures"].as_array().unwrap().len(), 1, "{found:#}");
    // No fewer after than before.
    assert_eq!(path.dials.load(Ordering::SeqCst), FIRST_RUN + 1 + 6 + 6);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the server asks for a pause"), "{error}");
}

#[test]
fn a_second_refusal_ends_it_and_is_told() {
    let mut path = Path::new(Duration::from_secs(60), End::Fin);
    path.refuses = |dial| dial >= FIRST_RUN;
    let url = path.serve();
    let output = probe(&small(&url, &["--max", "1s", "--repeat", "3"]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let why = "It was ended early: the server refused with status 429";
    assert!(lines.contains(why), "{lines}");
    assert_eq!(path.dials.load(Ordering::SeqCst), FIRST_RUN + 2);
}

/// What a probe shows whose server went meanwhile.
fn of_a_server_that_went(url: &str, more: &[&str]) -> Value {
    let output = probe(&small(url, &[more, &["--json"]].concat()));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{found:#}");
    let why = found["ended_early"].as_str().unwrap_or_default();
    assert!(why.starts_with("cannot connect"), "{found:#}");
    assert_eq!(found["partial"], true, "{found:#}");
    found
}

#[test]
fn connections_that_end_with_the_server_show_no_limit() {
    let lasts = millis(700);
    for (limit, end) in [(lasts * 100, End::Fin), (lasts, End::Silent)] {
        let path = Path::new(limit, end);
        let url = path.serve_until(FIRST_RUN, lasts);
        let found = of_a_server_that_went(&url, &["--max", "3s"]);
        assert_eq!(found["silent"]["ended"], 0, "{found:#}");
        assert!(found["silent"]["of"].as_u64() > Some(0), "{found:#}");
        assert!(found["ended_with_server"].as_u64() > Some(1), "{found:#}");
        assert!(found["advice"]["interval_s"].is_null(), "{found:#}");
    }
}

#[test]
fn traffic_that_ends_with_the_server_shows_nothing() {
    // Pings and pongs.
    let path = Path::new(LIMIT, End::Fin);
    let url = path.serve_until(FIRST_RUN + 2, millis(500));
    let late = Lateness::measure();
    let found = of_a_server_that_went(&url, &[]);
    assert_near(&found, LIMIT, late.end());
    assert_eq!(verdict(&found, "pings"), "unknown", "{found:#}");
    assert_eq!(found["ended_with_server"], 2, "{found:#}");
    assert_eq!(found["advice"]["by"], "something", "{found:#}");
}

#[test]
fn a_server_that_answers_no_pings_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url_of(listener.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            thread::spawn(move || {
                let mut socket = tungstenite::accept(socket).unwrap().into_inner();
                while socket.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
            });
        }
    });
    let lines = lines(&url, &["--max", "1s", "--timeout", "200ms"]);
    assert!(lines.contains("answers no pings"), "{lines}");
    assert!(lines.contains("for up to 1"), "{lines}");
}

/// A server that answers no pings, and texts if so asked, and cuts whatever is silent for
/// that long.
fn without_pongs(limit: Duration, is_echo: bool) -> String {
    let (url, _) = peer::peer(move |listener| {
        while let Ok((socket, _)) = listener.accept() {
            thread::spawn(move || {
                socket.set_nodelay(true).unwrap();
                let mut socket = tungstenite::accept(socket).unwrap().into_inner();
                socket.set_read_timeout(Some(limit)).unwrap();
                let mut frame = [0; 64];
                while let Ok(1..) = socket.read(&mut frame) {
                    if is_echo && frame[0] == 0x81 {
                        socket.write_all(b"\x81\x02ok").unwrap();
                    }
                }
            });
        }
    });
    url
}

/// However long the pong is waited for.
#[test]
fn the_limit_of_a_server_that_answers_no_pings_is_found() {
    let table = [("400ms", false), ("3s", false), ("400ms", true)];
    thread::scope(|scope| {
        for (timeout, has_login) in table {
            scope.spawn(move || {
                let late = Lateness::measure();
                let url = without_pongs(LIMIT, true);
                let mut more = vec!["--timeout", timeout];
                if has_login {
                    more.extend(["--login", "hello"]);
                }
                let found = found(&url, &more);
                assert_near(&found, LIMIT, late.end());
                assert!(found["round_trip_s"].is_null(), "{found:#}");
            });
        }
    });
}

/// Whoever waited for its pongs would convict it for ever.
#[test]
fn a_server_that_answers_no_pings_is_not_to_be_pinged() {
    let table = [
        (true, Some("hello"), "messages", "`TextPings`"),
        (true, None, "not pings", "--text"),
        (false, Some("hello"), "listen", "`Config::listener()`"),
    ];
    thread::scope(|scope| {
        for (is_echo, text, by, words) in table {
            scope.spawn(move || {
                let url = without_pongs(LIMIT, is_echo);
                let text: Vec<&str> = text.iter().flat_map(|text| ["--text", text]).collect();
                let more = [&["--timeout", "300ms"], &text[..]].concat();
                let found = found(&url, &more);
                assert_eq!(verdict(&found, "pings"), "keeps", "{found:#}");
                assert_eq!(found["advice"]["by"], by, "{found:#}");
                let lines = lines(&url, &more);
                assert!(lines.contains(words), "{lines}");
                assert!(!lines.contains("pings, answered"), "{lines}");
                assert!(!lines.contains("Config::builder"), "{lines}");
            });
        }
    });
}

#[test]
fn a_connection_that_ends_at_once_is_not_measured() {
    let (url, _) = peer::peer(|listener| {
        while let Ok((socket, _)) = listener.accept() {
            drop(tungstenite::accept(socket));
        }
    });
    let output = probe(&small(&url, &[]));
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("ended as soon as it was open"), "{error}");
}

#[test]
fn ctrl_c_prints_what_was_seen() {
    let url = Path::new(Duration::from_secs(600), End::Fin).serve();
    let mut command = command(&[&url, "--max", "10s", "--repeat", "2", "--json"]);
    let mut running = Running::start(command.stderr(Stdio::null()));
    thread::sleep(millis(2500));
    let begin = Instant::now();
    signal("INT", running.id());
    let line = running.line().unwrap();
    let lasted = begin.elapsed();
    let found: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(found["partial"], true);
    assert!(found["silent"]["of"].as_u64().unwrap() > 0, "{found:#}");
    assert_eq!(running.end().code(), Some(0));
    assert!(lasted < Duration::from_secs(7), "{lasted:?}");
}

/// Even while most of the connections are still to be made.
#[test]
fn ctrl_c_ends_the_dials_as_well() {
    let path = Path::new(Duration::from_secs(600), End::Fin);
    let (url, control) = (path.serve(), path.serve());
    let more = ["--connections", "64", "--control", &control, "--max", "20s"];
    let mut running = Running::start(command(&small(&url, &more)).stderr(Stdio::null()));
    while path.dials.load(Ordering::SeqCst) < 5 {
        thread::sleep(millis(5));
    }
    // The dials would take 13 s, a hundredth of 20 s being more than their distance.
    let begin = Instant::now();
    signal("TERM", running.id());
    assert_eq!(running.end().code(), Some(1));
    let lasted = begin.elapsed();
    assert!(lasted < Duration::from_secs(6), "{lasted:?}");
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let path = Path::new(millis(1), End::Silent);
    let url = path.serve();
    let more = ["--max", "20s", "--timeout", "20s"];
    let mut running = Running::start(command(&small(&url, &more)).stderr(Stdio::null()));
    while path.dials.load(Ordering::SeqCst) == 0 {
        thread::sleep(millis(5));
    }
    // It waits for a pong then, and after the first one for the close handshake.
    thread::sleep(millis(200));
    for _ in 0..2 {
        signal("INT", running.id());
        thread::sleep(millis(20));
    }
    assert_eq!(running.end().code(), Some(130));
}

#[test]
fn its_help_has_every_exit_code_and_how_long_it_takes() {
    let output = probe(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    let codes: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .filter_map(|line| line.get(..5)?.split_whitespace().next())
        .collect();
    assert_eq!(codes, ["Exit", "0", "1", "2", "130"], "{help}");
    assert!(!help.contains("and less otherwise"), "{help}");
    assert!(help.contains("twice that limit"), "{help}");
}

#[test]
fn what_cannot_be_measured_is_not_0() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = url_of(listener.local_addr().unwrap());
    drop(listener);
    let output = probe(&[&gone]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains(&format!("error: {gone}: cannot connect")),
        "{error}"
    );

    let path = Path::new(LIMIT, End::Fin).serve();
    assert_eq!(probe(&[&path, "--control", &gone]).status.code(), Some(1));

    let empty = temporary("probe_empty.json");
    fs::write(&empty, "{}").unwrap();
    for (arguments, why) in [
        (&["--max", "999ms"][..], "for 1s at least"),
        (&["--max", "0s"], "a silence is tried for 1s at least"),
        (&["--max", "25h"], "and for 24h at most"),
        (&["--max", "soon"], "a duration is written as"),
        (&["--repeat", "0"], "1..=20"),
        (&["--connections", "65"], "1..=64"),
        (&["--control", "http://one"], "begins with ws:// or wss://"),
        (&["--compare", "nowhere"], "--compare nowhere: No such file"),
        (
            &["--compare", empty.to_str().unwrap()],
            "is not what `keepalive probe --json`",
        ),
    ] {
        let output = probe(&[&[path.as_str()], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(why), "{arguments:?}: {error}");
        assert!(!error.contains("os error"), "{arguments:?}: {error}");
    }
    fs::remove_file(empty).unwrap();
}

#[test]
fn where_nobody_looks_there_is_a_line_a_phase_and_no_bar() {
    let url = Path::new(LIMIT, End::Fin).serve();
    let output = probe(&small(&url, &["--repeat", "2"]));
    let error = String::from_utf8(output.stderr).unwrap();
    let expected = "silence, run 1 of 2, up to 2.50 s\nsilence, run 2 of 2, up to ";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(
        error.lines().last().unwrap().split(',').next(),
        Some("traffic")
    );
    assert!(!error.contains('\u{1b}'), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(
        text.contains("Config::builder().ping_interval(Duration::from_millis("),
        "{text}"
    );
}

/// A file of this test's own.
fn temporary(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}_{name}", std::process::id()))
}

/// The limits of nginx and haproxy, set and found, and what is said when they have
/// changed. It takes both programs, and a minute.
#[test]
#[ignore = "needs nginx and haproxy"]
fn real_proxies() {
    let mut server = Path::new(Duration::from_secs(600), End::Fin);
    let every = millis(500);
    server.pushes = Some(Pushes { every, count: true });
    let server = server.serve();
    let server: u16 = server.rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    let more = ["--connections", "12", "--repeat", "3", "--max", "6s"];
    let traffic = ["--text", "hello", "--subscribe", "news"];
    let kinds = ["pings", "outbound_frames", "outbound_data", "inbound_data"];

    let mut table = format!(
        "| proxy | limit set | limit found | difference | runs | {} |\n{}\n",
        kinds.join(" | "),
        "| --- ".repeat(5 + kinds.len()) + "|",
    );
    let mut texts = String::new();
    let mut worst: f64 = 0.0;
    for (name, start) in [("nginx", nginx as Start), ("haproxy", haproxy)] {
        let folder = temporary(name);
        fs::create_dir_all(&folder).unwrap();
        let earlier = folder.join("earlier.json");
        let port = free_port();
        let proxy = start(&folder, port, server, 2);
        let found = found(&proxy.url, &[&more[..], &traffic].concat());
        fs::write(&earlier, found.to_string()).unwrap();
        drop(proxy);
        let usual = found["silent"]["usual_s"][1].as_f64().unwrap();
        let difference = (usual / 2.0 - 1.0) * 100.0;
        worst = worst.max(difference.abs());
        let runs = match found["runs_differ"] == false {
            true => "agree",
            false => "differ",
        };
        let verdicts = kinds.map(|kind| verdict(&found, kind)).join(" | ");
        table.push_str(&format!(
            "| {name} | 2 s | {usual:.3} s | {difference:+.1} % | {runs} | {verdicts} |\n"
        ));

        let proxy = start(&folder, port, server, 3);
        let compare = ["--compare", earlier.to_str().unwrap()];
        let lines = lines(&proxy.url, &[&more[..], &compare].concat());
        texts.push_str(&format!("{name}, changed from 2 s to 3 s:\n{lines}\n"));
        assert!(lines.contains("Differs from "), "{lines}");
        drop(proxy);
        fs::remove_dir_all(folder).unwrap();
    }
    println!("\n{table}\n{texts}");
    assert!(worst < 10.0, "{worst} %");
}

/// A proxy on a port, before another one, which cuts after this many seconds.
type Start = fn(&FilePath, u16, u16, u32) -> Proxy;

struct Proxy {
    url: String,
    _process: Killed,
}

fn nginx(folder: &FilePath, port: u16, backend: u16, limit: u32) -> Proxy {
    let folder_name = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder_name}/{kind};\n"))
        .concat();
    let config = format!(
        "daemon off; master_process off; worker_processes 1;
         pid {folder_name}/nginx.pid; error_log stderr crit;
         events {{ worker_connections 256; }}
         http {{
             access_log off;
             {temporary}
             server {{
                 listen 127.0.0.1:{port};
                 location / {{
                     proxy_pass http://127.0.0.1:{backend};
                     proxy_http_version 1.1;
                     proxy_set_header Upgrade $http_upgrade;
                     proxy_set_header Connection upgrade;
                     proxy_read_timeout {limit}s;
                 }}
             }}
         }}"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config).unwrap();
    start(
        Command::new("nginx")
            .arg("-c")
            .arg(file)
            .args(["-e", "stderr"]),
        port,
    )
}

fn haproxy(folder: &FilePath, port: u16, backend: u16, limit: u32) -> Proxy {
    let config = format!(
        "defaults
             mode http
             timeout connect 5s
             timeout client 30s
             timeout server 30s
             timeout tunnel {limit}s
         frontend probed
             bind 127.0.0.1:{port}
             default_backend server
         backend server
             server one 127.0.0.1:{backend}\n"
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    start(Command::new("haproxy").arg("-db").arg("-f").arg(file), port)
}

fn start(command: &mut Command, port: u16) -> Proxy {
    let process = Killed(command.stdin(Stdio::null()).spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "it does not listen");
        thread::sleep(millis(20));
    }
    Proxy {
        url: format!("ws://127.0.0.1:{port}/"),
        _process: process,
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
