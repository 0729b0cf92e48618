//! The example `watch`, as it is built: the show, and the watcher against servers
//! of the test's.
//!
//! `cargo test --features blocking` builds it; with `--test watch` build it before:
//! `cargo build --features blocking --example watch`.
#![cfg(all(feature = "blocking", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/built.rs"]
mod built;
#[path = "support/peer.rs"]
mod peer;
#[cfg(feature = "rustls")]
#[path = "support/peer_tls.rs"]
mod peer_tls;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use built::{Running, example, output};
use peer::{BlackHole, accept, accept_tcp, millis, peer, serve, signal};
#[cfg(feature = "rustls")]
use peer_tls::{Authority, Tls};
use serde_json::Value;
use tungstenite::Message;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

const FAULTS: [&str; 6] = [
    "goes mute",
    "lets a dial hang",
    "cuts the connection",
    "refuses dials",
    "accepts and drops",
    "asks for a pause",
];

/// An interval that no test waits out.
const NO_PINGS: [&str; 2] = ["--interval", "1h"];

/// As many as are needed soon.
const FAST: [&str; 2] = ["--interval", "10ms"];

#[test]
fn the_show_names_each_fault_its_detection_and_its_recovery() {
    let begin = Instant::now();
    let output = run(&[]);
    let lasted = begin.elapsed();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(lasted < Duration::from_secs(40), "{lasted:?}");
    assert!(!text.contains('\u{1b}'), "{text}");

    let mut rest = text.as_str();
    for expected in [
        "What a heartbeat does",
        "1. The server behaves\n",
        "pong seq=3 rtt=",
        "messages came, ",
        "2. The server goes mute\n",
        "not received pong in 2 s, close the websocket\n",
        "reconnect 1 in ",
        "> noticed after 2.",
        ", in time (at most 2.",
        "no connection in 1 s, give the dial up\n",
        "reconnect 2 in ",
        "> noticed after 1.",
        "The server comes back.\n",
        "> healed, connected again after ",
        "3. The server goes away\n",
        "the connection ended without a close code\n",
        "> noticed after ",
        "cannot connect: Connection refused\n",
        "reconnect 4 in ",
        "> noticed after ",
        "> healed, connected again after ",
        "4. The server accepts, and drops at once\n",
        "  open\n",
        "the connection ended without a close code\n",
        "reconnect 4 in ",
        "> noticed after ",
        "> healed, connected again after ",
        "5. The server asks for a pause\n",
        "the server closed with 1013 (try again later)\n",
        " s (1013)\n",
        "> noticed after ",
        "> healed, connected again after ",
        "What the heartbeat made of it\n",
    ] {
        let Some((_, after)) = rest.split_once(expected) else {
            panic!("{expected:?} is missing after\n{rest}");
        };
        rest = after;
    }
    for fault in FAULTS {
        let row = rest.lines().find(|line| line.starts_with(fault)).unwrap();
        assert_eq!(row.matches(" s ").count() + row.matches(" ms ").count(), 2);
        assert!(row.ends_with(" s") || row.ends_with(" ms"), "{row}");
    }
    assert!(rest.contains("Every fault was noticed in time and healed"));
}

#[test]
fn the_show_in_json_ends_with_each_fault() {
    let output = run(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let objects = objects(&output);
    let summary = objects.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["ok"], true);
    assert_eq!(summary["false_alarms"], 0);
    let faults = summary["faults"].as_array().unwrap();
    let names: Vec<_> = faults.iter().map(|fault| &fault["name"]).collect();
    assert_eq!(names, FAULTS);
    for fault in faults {
        assert_eq!(fault["in_time"], true, "{fault}");
        assert!(fault["detected_s"].as_f64() <= fault["bound_s"].as_f64());
        assert!(fault["healed_s"].is_f64(), "{fault}");
    }
    assert_eq!(named(&objects, "scene").len(), 5);
    assert_eq!(named(&objects, "fault").len(), FAULTS.len());
    assert_eq!(named(&objects, "healed").len(), 4);
}

#[test]
fn wrong_arguments_are_told_with_a_reason() {
    let url = "ws://localhost";
    let duration = "a duration is from 1ms to 24h";
    let port = "a port is a number from 1 to 65535";
    let table: &[(&[&str], &str)] = &[
        (&["ws://"], "names no host"),
        (&["ws://:80"], "names no host"),
        (&["http://localhost"], "begins with ws:// or wss://"),
        (&["localhost:80"], "begins with ws:// or wss://"),
        (&["ws://localhost:0"], port),
        (&["ws://localhost:65536"], port),
        (&["ws://localhost:http"], port),
        (&["ws://me:secret@localhost"], "--header 'Authorization"),
        (&["ws://local host"], "invalid uri character"),
        (&["ws://one", "ws://two"], "unexpected argument 'ws://two'"),
        (&[url, "--interval", "0s"], duration),
        (&[url, "--interval", "25h"], duration),
        (&[url, "--interval", "2"], "written as 500ms, 2s or 1m30s"),
        (&[url, "--interval=-2s"], "written as 500ms, 2s or 1m30s"),
        (&[url, "--timeout", "0s"], duration),
        (&[url, "--timeout", "soon"], "written as 500ms"),
        (&[url, "--for", "0s"], duration),
        (&[url, "--count", "0"], "0 is not in 1.."),
        (&[url, "--count", "many"], "--count"),
        (&[url, "--header", "Origin"], "written as 'Name: value'"),
        (
            &[url, "--header", "not a name: 1"],
            "invalid HTTP header name",
        ),
        (&[url, "--header", "Origin: \u{7}"], "header value"),
        (
            &[url, "--header", "Upgrade: h2c"],
            "belongs to the handshake",
        ),
        (
            &[url, "--header", "Sec-WebSocket-Key: 1"],
            "belongs to the handshake",
        ),
        (&[url, "--insecure"], "unexpected argument '--insecure'"),
        (&["--interval", "2s"], "<URL>"),
        (&["--timeout", "2s"], "<URL>"),
        (&["--count", "2"], "<URL>"),
        (&["--for", "2s"], "<URL>"),
        (&["--text", "ping"], "<URL>"),
        (&["--header", "Origin: here"], "<URL>"),
        (&["--fail-fast"], "<URL>"),
        (&["--max-rtt", "2s"], "<URL>"),
        (&["--max-downs", "2"], "<URL>"),
        (&["--max-lost", "2"], "<URL>"),
        #[cfg(not(feature = "rustls"))]
        (&["wss://localhost"], "--features blocking,rustls"),
    ];
    for (arguments, reason) in table {
        let output = run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(error.starts_with("error: "), "{arguments:?}: {error}");
        assert!(error.contains(reason), "{arguments:?}: {error}");
        assert!(!error.contains('\u{1b}'), "{arguments:?}: {error}");
    }
}

#[test]
fn a_count_of_pongs_ends_it_with_a_summary() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let output = run(&[&url, "--count", "3", FAST[0], FAST[1]]);
    server.join().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");

    let lines: Vec<_> = text.lines().collect();
    let head = "a ping after 10 ms of silence, dead when nothing comes for 10 s more";
    assert_eq!(lines[0], format!("watching {url}: {head}"));
    assert_eq!(event(lines[1]), "open");
    for (line, seq) in lines[2..5].iter().zip(1..) {
        let rest = event(line).strip_prefix(&format!("pong seq={seq} rtt="));
        let millis = rest.unwrap().strip_suffix(" ms").unwrap();
        assert!(millis.parse::<f64>().unwrap() > 0.0, "{line}");
    }
    assert!(lines[5].starts_with(&format!("--- {url}, ")), "{text}");
    assert_eq!(
        lines[6],
        "3 pings, 3 pongs, 0 lost, 0 messages, 0 downs, 0 failed dials"
    );
    let round_trip = lines[7].strip_prefix("round trip min/avg/max/mdev = ");
    let values = round_trip.unwrap().strip_suffix(" ms").unwrap();
    let values: Vec<f64> = values
        .split('/')
        .map(|value| value.parse().unwrap())
        .collect();
    assert!(
        values[0] <= values[1] && values[1] <= values[2],
        "{values:?}"
    );
    assert_eq!((values.len(), lines.len()), (4, 8), "{text}");
}

#[test]
fn it_ends_after_the_time_that_it_was_given() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let begin = Instant::now();
    let output = run(&[&url, "--for", "700ms", NO_PINGS[0], NO_PINGS[1]]);
    assert!(begin.elapsed() >= millis(700));
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = text(&output);
    assert!(
        text.contains("0 pings, 0 pongs, 0 lost, 0 messages, 0 downs"),
        "{text}"
    );
}

#[test]
fn in_json_every_line_is_an_object() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        socket.send(Message::text("news")).unwrap();
        serve(&mut socket);
    });
    let output = run(&[&url, "--json", "--count", "2", FAST[0], FAST[1]]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let objects = objects(&output);
    assert!(objects.iter().all(|object| object["time"].is_string()));
    assert_eq!(objects[0]["event"], "watching");
    assert_eq!(objects[0]["url"], url);
    assert_eq!(named(&objects, "message")[0]["bytes"], 4);
    let pongs = named(&objects, "pong");
    assert_eq!((&pongs[0]["seq"], pongs.len()), (&Value::from(1), 2));
    assert!(pongs[0]["rtt_s"].as_f64().unwrap() > 0.0);
    let summary = objects.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["pongs"], 2);
    assert!(summary["round_trip_s"]["mdev"].is_f64());
    assert!(summary["time_to_detect_s"].is_null());
}

#[test]
fn a_server_that_cannot_be_reached_is_dialled_again() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let mut watch = Watch::start(&[&peer::url_of(address), "--count", "1", FAST[0], FAST[1]]);
    watch.until("cannot connect: Connection refused");
    let plan = watch.until("reconnect 1 in ");
    assert!(plan.ends_with(" s (no answer)"), "{plan}");

    let listener = TcpListener::bind(address).unwrap();
    let server = thread::spawn(move || serve(&mut accept(&listener)));
    watch.until("open");
    watch.until("pong seq=1 rtt=");
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

#[test]
fn fail_fast_ends_with_the_first_dial_that_fails() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = peer::url_of(port.local_addr().unwrap());
    drop(port);
    let output = run(&[&url, "--fail-fast"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot connect: Connection refused\n"));
    assert!(!text.contains("reconnect"), "{text}");
    assert!(text.contains("0 downs, 1 failed dial\n"), "{text}");
}

#[test]
fn a_refusal_is_told_with_its_status() {
    let (url, server) = peer(|listener| {
        let mut socket = accept_tcp(&listener);
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let output = run(&[&url, "--fail-fast"]);
    server.join().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("the server refused with status 403\n"),
        "{text}"
    );
}

#[test]
fn a_mute_server_is_noticed_and_told_as_in_the_article() {
    let (url, server) = peer(|listener| {
        let _mute = accept(&listener);
        serve(&mut accept(&listener));
    });
    let mut watch = Watch::start(&[&url, "--interval", "100ms", "--timeout", "1s"]);
    watch.until("not received pong in 1 s, close the websocket");
    let plan = watch.until("reconnect ");
    assert!(plan.starts_with("reconnect 1 in "), "{plan}");
    assert!(plan.ends_with(" s (1006)"), "{plan}");
    watch.until("pong seq=1 rtt=");
    signal("INT", watch.0.id());
    watch.until_summary(" 1 lost, 0 messages, 1 down, 0 failed dials");
    watch.until_summary("round trip min/avg/max/mdev = ");
    let detected = watch.until_summary("time to detect min/avg/max/mdev = ");
    let least = detected.rsplit("= ").next().unwrap();
    let least: f64 = least.split('/').next().unwrap().parse().unwrap();
    assert!(least >= 1.1, "{detected}");
    watch.until_summary("time to recover min/avg/max/mdev = ");
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

#[test]
fn a_close_code_is_told_and_also_after_1000_it_comes_back() {
    for (code, meaning) in [
        (1000, " (normal)"),
        (1013, " (try again later)"),
        (4321, ""),
    ] {
        let (url, server) = peer(move |listener| {
            let mut socket = accept(&listener);
            let frame = CloseFrame {
                code: CloseCode::from(code),
                reason: "\u{1b}[2J".into(),
            };
            socket.close(Some(frame)).unwrap();
            serve(&mut socket);
        });
        let mut watch = Watch::start(&[&url]);
        let end = watch.until("the server closed with ");
        assert_eq!(end, format!("the server closed with {code}{meaning}"));
        let plan = watch.until("reconnect 1 in ");
        assert!(plan.ends_with(&format!(" s ({code})")), "{plan}");
        signal("INT", watch.0.id());
        assert_eq!(watch.end(), Some(0));
        server.join().unwrap();
    }
}

#[test]
fn text_pings_are_sent_as_text_and_any_answer_will_do() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        let ping = socket.read().unwrap();
        socket.send(Message::text("pong")).unwrap();
        serve(&mut socket);
        ping
    });
    let output = run(&[&url, "--text", "ping", "--count", "1", FAST[0], FAST[1]]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(server.join().unwrap(), Message::text("ping"));
    let text = text(&output);
    assert!(text.contains("pong seq=1 rtt="), "{text}");
    assert!(text.contains(" 1 pong, 0 lost, 0 messages,"), "{text}");
}

#[test]
fn headers_go_into_the_handshake() {
    let (url, server) = peer(|listener| {
        let mut seen = Vec::new();
        // The type of the error is tungstenite's.
        #[allow(clippy::result_large_err)]
        let note = |request: &Request, response: Response| {
            let headers = request.headers();
            let values = ["authorization", "host", "cookie"].map(|name| headers.get_all(name));
            seen.extend(values.iter().map(|all| {
                let all: Vec<_> = all.iter().map(|one| one.to_str().unwrap()).collect();
                all.join("; ")
            }));
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(accept_tcp(&listener), note).unwrap();
        serve(&mut socket);
        seen
    });
    let mut arguments = vec![url.as_str(), "--count", "1", FAST[0], FAST[1]];
    for header in [
        "Authorization: Bearer a:b",
        "Host: example.org",
        "Cookie: a=1",
        "Cookie: b=2",
    ] {
        arguments.extend(["--header", header]);
    }
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let seen = server.join().unwrap();
    assert_eq!(seen, ["Bearer a:b", "example.org", "a=1; b=2"]);
}

#[test]
fn an_interrupt_ends_it_with_a_close_and_a_summary() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        loop {
            match socket.read() {
                Ok(Message::Close(frame)) => return frame,
                message => message.unwrap(),
            };
        }
    });
    let mut watch = Watch::start(&[&url, FAST[0], FAST[1]]);
    watch.until("pong seq=2 rtt=");
    signal("INT", watch.0.id());
    watch.until_summary(" 0 downs, 0 failed dials");
    assert_eq!(watch.end(), Some(0));
    assert_eq!(server.join().unwrap().unwrap().code, CloseCode::Normal);
}

#[test]
fn an_interrupt_does_not_wait_for_a_dial_that_hangs() {
    let hole = BlackHole::new();
    let mut watch = Watch::start(&[&peer::url_of(hole.address), "--json"]);
    watch.until_summary("connecting");
    thread::sleep(millis(100));
    let begin = Instant::now();
    signal("INT", watch.0.id());
    watch.until_summary("summary");
    assert_eq!(watch.end(), Some(1), "never connected");
    // The dial has 20 s.
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[cfg(feature = "rustls")]
#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let tls = Tls::new();
    let (url, server) = peer(move |listener| {
        let mut stream = tls.stream(accept_tcp(&listener));
        // Told by the client's end.
        let _ = stream.read(&mut [0]);
    });
    let url = url.replacen("ws:", "wss:", 1);
    // Another one, so that the system's roots do not matter.
    let trusted = concat!(env!("CARGO_TARGET_TMPDIR"), "/watch-ca.pem");
    std::fs::write(trusted, Authority::new().pem()).unwrap();
    let mut watch = example("watch");
    watch.env("SSL_CERT_FILE", trusted);
    let output = output(watch.args([&url, "--fail-fast"]));
    server.join().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("cannot connect: invalid peer certificate"),
        "{text}"
    );
}

#[test]
fn whoever_stops_reading_ends_it_quietly() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let mut watch = Watch::start(&[&url, FAST[0], FAST[1]]);
    watch.until("pong seq=1 rtt=");
    watch.0.stop_reading();
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

/// The terminal is the `script` of util-linux.
#[cfg(target_os = "linux")]
#[test]
fn colours_are_for_terminals_that_want_them() {
    let colour = |name: &str, value: &str| {
        let (url, server) = peer(|listener| serve(&mut accept(&listener)));
        let watch = example("watch");
        let program = watch.get_program().to_str().unwrap();
        let command = format!("'{program}' {url} --count 1 --interval 10ms");
        let output = output(
            Command::new("script")
                .args(["-qec", &command, "/dev/null"])
                .env_remove("NO_COLOR")
                .env("TERM", "xterm")
                .env(name, value)
                .stdin(Stdio::null()),
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        server.join().unwrap();
        text(&output).contains("\u{1b}[32mopen\u{1b}[0m")
    };
    assert!(colour("NO_COLOR", ""), "empty is not set");
    assert!(!colour("NO_COLOR", "1"));
    assert!(!colour("TERM", "dumb"));
}

/// The text of an event, behind its time.
fn event(line: &str) -> &str {
    let (time, text) = line.split_once("  ").unwrap();
    let shape: String = time
        .chars()
        .map(|char| if char.is_ascii_digit() { '0' } else { char })
        .collect();
    assert_eq!(shape, "00:00:00.000", "{line}");
    text
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let parse = |line: &str| -> Value {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(value.is_object(), "{line}");
        value
    };
    text(output).lines().map(parse).collect()
}

fn named<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    let is_named = |object: &&Value| object["event"] == event;
    objects.iter().filter(is_named).collect()
}

/// Runs it to its end.
fn run(arguments: &[&str]) -> Output {
    output(example("watch").args(arguments))
}

/// One that runs, and is read line by line.
struct Watch(Running);

impl Watch {
    fn start(arguments: &[&str]) -> Self {
        Self(Running::start(example("watch").args(arguments)))
    }

    /// The next event that begins so.
    fn until(&mut self, begin: &str) -> String {
        let line = self.line(|line| {
            let event = line.split_once("  ");
            event.is_some_and(|(_, event)| event.starts_with(begin))
        });
        event(&line.unwrap_or_else(|| panic!("{begin:?} never came"))).to_owned()
    }

    /// The next line with this in it.
    fn until_summary(&mut self, part: &str) -> String {
        let line = self.line(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("{part:?} never came"))
    }

    fn line(&mut self, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
        std::iter::from_fn(|| self.0.line()).find(|line| {
            assert!(!line.contains('\u{1b}'), "{line:?}");
            is_wanted(line)
        })
    }

    fn end(&mut self) -> Option<i32> {
        self.0.end().code()
    }
}
