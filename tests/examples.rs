//! The examples of the runtimes, as they are built: by themselves, with a server of
//! the test's, and with wrong arguments.
//!
//! `cargo test` builds them; with `--test examples` build them before:
//! `cargo build --all-features --examples`.
#![cfg(all(feature = "tokio", feature = "smol"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/built.rs"]
mod built;

use std::net::TcpListener;
use std::process::Output;
use std::thread;
use std::time::Duration;

use built::{example, output};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

const CLIENTS: [&str; 3] = ["tokio_client", "tokio_websockets", "smol_client"];

/// None of them takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_client_survives_a_server_that_falls_silent() {
    for name in CLIENTS {
        let output = run(name, &[]);
        assert!(output.status.success(), "{name}: {output:?}");
        let expected = [
            "connecting, retry 0",
            "open",
            "down: no pong in time",
            "connecting, retry 1",
            "open",
            "received Hello Server!",
            "pong after",
            "down: closed with code 1000",
            "over: closed with code 1000",
        ];
        assert_eq!(told(&output), expected, "{name}");
    }
}

#[test]
fn a_client_talks_to_the_server_that_it_is_given() {
    for name in CLIENTS {
        let (url, server) = greeted();
        let output = run(name, &[&url]);
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(server.join().unwrap(), "Hello Server!");
        let expected = [
            "connecting, retry 0",
            "open",
            "received Hello yourself!",
            "down: closed with code 1010",
            "over: closed with code 1010",
        ];
        assert_eq!(told(&output), expected, "{name}");
    }
}

#[test]
fn wrong_arguments_are_told() {
    for name in CLIENTS {
        let wrong = [
            vec!["http://localhost/"],
            vec!["localhost:9001"],
            vec![""],
            vec!["--help"],
            vec!["ws://localhost:9001", "ws://localhost:9002"],
        ];
        for arguments in wrong {
            let output = run(name, &arguments);
            assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}");
            assert!(output.stdout.is_empty(), "{name} {arguments:?}");
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains("Arguments: [URL]"), "{error}");
        }
    }
}

/// The lines, without the round trips.
fn told(output: &Output) -> Vec<&str> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| match line.strip_prefix("pong after") {
            Some(_) => "pong after",
            None => line,
        })
        .collect()
}

/// A server for one client: takes its greeting, answers and sends it away for good.
fn greeted() -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/chat", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut socket = tungstenite::accept(socket).unwrap();
        let greeting = socket.read().unwrap();
        socket.send(Message::text("Hello yourself!")).unwrap();
        let goodbye = CloseFrame {
            code: CloseCode::Extension,
            reason: "".into(),
        };
        socket.close(Some(goodbye)).unwrap();
        while socket.read().is_ok() {}
        greeting.into_text().unwrap().to_string()
    });
    (url, server)
}

fn run(name: &str, arguments: &[&str]) -> Output {
    output(example(name).args(arguments))
}
