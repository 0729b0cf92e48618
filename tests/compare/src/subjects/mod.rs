//! The clients in Rust. Each is written as its documentation shows; `INTERVAL` and
//! `TIMEOUT` go where it has such settings, everything else is its default.

mod by_hand;
mod ezsockets;
mod keepalive;
mod planted;
mod stream_reconnect;

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::process::exit;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::sleep;
use tungstenite::Message;

use crate::{INTERVAL, MESSAGES, MESSAGES_EVERY, TIMEOUT, UPLOAD};

/// What the application does, beside listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Listen,
    /// Sends numbered messages.
    Messages,
    /// Sends one large message at the first opening.
    Upload,
}

pub(crate) fn run(name: &str, url: String, mode: &str) {
    let mode = match mode {
        "messages" => Mode::Messages,
        "upload" => Mode::Upload,
        _ => Mode::Listen,
    };
    // Whoever started it is gone.
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        exit(0);
    });
    say("start", json!({}));
    if name == "keepalive-blocking" {
        return keepalive::blocking(url, mode);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match name {
            "keepalive-tokio" => keepalive::tokio(url, mode).await,
            "by-hand" => by_hand::run(url, mode).await,
            "ezsockets" => ezsockets::run(url, mode).await,
            "stream-reconnect" => stream_reconnect::run(url, mode).await,
            "planted-hasty" => planted::hasty(url, mode).await,
            "planted-hot" => planted::hot(url).await,
            "planted-deaf" => planted::deaf(url, mode).await,
            other => panic!("no subject is called {other}"),
        }
    });
}

fn say(event: &str, mut line: Value) {
    line["t"] = json!(crate::peer::now());
    line["event"] = json!(event);
    // Whoever reads it may be gone.
    let _ = writeln!(io::stdout(), "{line}");
}

fn say_open() {
    say("open", json!({}));
}

fn say_down(why: impl Display) {
    say("down", json!({ "why": why.to_string() }));
}

/// So many messages are reported as failed or in doubt.
fn say_doubt(count: u64) {
    if count > 0 {
        say("doubt", json!({ "count": count }));
    }
}

fn say_message(text: &str) {
    say("message", json!({ "text": text }));
}

fn say_large(size: usize) {
    say("message", json!({ "size": size }));
}

fn message(number: u32) -> String {
    format!("m{number}")
}

fn upload() -> Vec<u8> {
    vec![7; UPLOAD]
}

/// What an application sends.
fn application(mode: Mode) -> Receiver<Message> {
    let (sender, outgoing) = channel(1024);
    tokio::spawn(async move {
        match mode {
            Mode::Listen => {}
            Mode::Upload => sender.send(Message::binary(upload())).await.unwrap(),
            Mode::Messages => {
                for number in 1..=MESSAGES {
                    sender.send(Message::text(message(number))).await.unwrap();
                    sleep(MESSAGES_EVERY).await;
                }
            }
        }
        sender.closed().await;
    });
    outgoing
}
