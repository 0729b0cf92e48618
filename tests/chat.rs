//! The chat room of the example, over real sockets: in this process, and as it is
//! built.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/built.rs"]
mod built;
#[path = "../examples/chat/room.rs"]
mod room;

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use built::{Running, example, output};
use keepalive::driver::Notice;
use keepalive::tokio::{Socket, client, connect};
use keepalive::{CloseCode, Config, Handle, StopReason};
use room::Room;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tungstenite::Message;

const INTERVAL: Duration = Duration::from_millis(100);
/// A healthy member answers within this time, even here.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What the machine may take for everything else.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_message_goes_to_all() {
    let (_room, address) = open().await;
    let mut ann = Member::join(address, "ann").await;
    let mut bob = Member::join(address, "bob").await;
    ann.hears("bob joins").await;
    bob.say("hello");
    ann.hears("bob: hello").await;
    bob.hears("bob: hello").await;
    bob.handle.stop().unwrap();
    ann.hears("bob leaves: closed with code 1000").await;
}

#[tokio::test]
async fn a_member_that_is_dead_leaves_within_the_bound() {
    let (_room, address) = open().await;
    let mut ann = Member::join(address, "ann").await;
    let before = Instant::now();
    let _bob = mute(address, "bob").await;
    let after = Instant::now();
    ann.hears("bob leaves: no pong in time").await;
    assert!(before.elapsed() >= INTERVAL + TIMEOUT);
    assert!(after.elapsed() <= INTERVAL + TIMEOUT + PATIENCE);
    ann.say("still here");
    ann.hears("ann: still here").await;
}

/// Its buffers are full, and nothing can be written to it.
#[tokio::test]
async fn a_member_that_is_stuck_leaves_too() {
    let (_room, address) = open().await;
    let mut ann = Member::join(address, "ann").await;
    let _bob = mute(address, "bob").await;
    ann.hears("bob joins").await;
    let long = "x".repeat(1 << 20);
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < PATIENCE);
        ann.say(&long);
        let told = ann.next().await.unwrap();
        if let Some(why) = told.strip_prefix("bob leaves: ") {
            // The ping that has no answer, or the writes that come to nothing.
            assert!(
                matches!(why, "no pong in time" | "the transport failed"),
                "{why}"
            );
            break;
        }
    }
}

#[tokio::test]
async fn a_room_that_closes_sends_all_away() {
    let (room, address) = open().await;
    let mut ann = Member::join(address, "ann").await;
    let mut bob = Member::join(address, "bob").await;
    let _carl = mute(address, "carl").await;
    ann.hears("carl joins").await;
    timeout(PATIENCE, room.close()).await.unwrap();
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.reason().await, went_away());
    }
    let mut late = Member::dial(address, "dora");
    assert_eq!(late.reason().await, went_away());
}

#[test]
fn the_example_shows_itself() {
    let output = output(&mut example("chat"));
    assert!(output.status.success());
    let expected = [
        "carl joins",
        "ann joins",
        "carl leaves: no pong in time",
        "ann: Carl?",
    ];
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = told.lines().collect();
    let (before, last) = lines.split_at_checked(expected.len()).unwrap_or_default();
    assert_eq!(before, expected, "{told}");
    // Each end of the connection says it when it gets to it.
    let mut last = last.to_vec();
    last.sort_unstable();
    let ends = ["ann is told: closed with code 1001", "ann leaves: stopped"];
    assert_eq!(last, ends, "{told}");
}

#[test]
fn the_example_knows_an_address() {
    for arguments in [vec!["localhost"], vec![""], vec!["127.0.0.1:0", "and"]] {
        let output = output(example("chat").args(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_sends_all_away() {
    let mut child = Running::start(example("chat").arg("127.0.0.1:0"));
    let url = child.line().unwrap();
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let address: SocketAddr = address.parse().unwrap();
    assert!(page(address).contains("<title>Chat</title>"));
    let mut ann = Member::join(address, "ann").await;

    let id = child.id().to_string();
    let signal = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(signal.success());
    assert_eq!(ann.reason().await, went_away());
    assert!(child.end().success());
    let told: Vec<_> = std::iter::from_fn(|| child.line()).collect();
    assert_eq!(told, ["ann joins", "ann leaves: stopped"]);
}

/// A room, and where it is.
async fn open() -> (Room, SocketAddr) {
    let room = Room::new(config());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = room.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (room, address)
}

fn config() -> Config {
    Config::article()
        .to_builder()
        .ping_interval(INTERVAL)
        .pong_timeout(TIMEOUT)
        .close_timeout(TIMEOUT)
        .reconnect(false)
        .build()
        .unwrap()
}

fn went_away() -> StopReason {
    StopReason::Closed(Some(CloseCode::GOING_AWAY))
}

/// A member that reads nothing and answers nothing.
async fn mute(address: SocketAddr, name: &str) -> Socket {
    let url = format!("ws://{address}/chat/{name}");
    timeout(PATIENCE, connect(url)).await.unwrap().unwrap()
}

/// A member that keeps alive in a task of its own.
struct Member {
    handle: Handle<Message>,
    hears: mpsc::UnboundedReceiver<Result<String, StopReason>>,
}

impl Member {
    async fn join(address: SocketAddr, name: &str) -> Self {
        let mut member = Self::dial(address, name);
        member.hears(&format!("{name} joins")).await;
        member
    }

    fn dial(address: SocketAddr, name: &str) -> Self {
        let url = format!("ws://{address}/chat/{name}");
        let (sender, hears) = mpsc::unbounded_channel();
        let mut session = client(config(), move |_| connect(url.clone()));
        let handle = session.handle();
        tokio::spawn(async move {
            while let Some(notice) = session.next().await {
                let heard = match notice {
                    Notice::Message(message) => Ok(message.to_string()),
                    Notice::Stopped { reason, .. } => Err(reason),
                    _ => continue,
                };
                // The test may have heard enough.
                let _ = sender.send(heard);
            }
        });
        Self { handle, hears }
    }

    fn say(&self, text: &str) {
        self.handle.try_send(Message::text(text)).unwrap();
    }

    /// What it is told next, or why that was all.
    async fn next(&mut self) -> Result<String, StopReason> {
        timeout(PATIENCE, self.hears.recv()).await.unwrap().unwrap()
    }

    async fn hears(&mut self, text: &str) {
        while self.next().await.unwrap() != text {}
    }

    async fn reason(&mut self) -> StopReason {
        loop {
            if let Err(reason) = self.next().await {
                return reason;
            }
        }
    }
}

fn page(address: SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request).unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    page
}
