//! Each client's socket under a session: what is said comes back, pings are answered, and
//! a close code arrives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use keepalive::driver::Dialect;
use keepalive::session::{Connect, Session, Transport};
use keepalive::tokio::Timer;
use keepalive::{CloseCode, Codec, Config, Goodbye, Notice, StopReason};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

fn config() -> Config {
    Config::builder()
        .ping_interval(Duration::from_millis(20))
        .send_interval(None)
        .first_spread(Duration::from_millis(10))
        .build()
        .unwrap()
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

type Message<C> = <<C as Connect>::Socket as Transport>::Message;

/// What became of a client that says this once: the echo, and all that was lost.
async fn talk<C, D, K>(
    mut session: Session<C, Timer, D, K>,
    hello: Message<C>,
    losses: usize,
) -> (K::Message, Vec<String>)
where
    C: Connect,
    <C::Socket as Transport>::Fault: Debug + std::fmt::Display,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
    Message<C>: Clone,
{
    let (mut echo, mut pongs, mut lost) = (None, 0, Vec::new());
    let talk = async {
        loop {
            match session.next().await.unwrap() {
                Notice::Opened { .. } => {
                    session.send(hello.clone()).unwrap_or_else(|_| panic!());
                }
                Notice::Message(message) => echo = Some(message),
                Notice::Pong { .. } => pongs += 1,
                Notice::Down(down) => {
                    lost.push(down.cause.to_string());
                    pongs = 0;
                }
                Notice::Stopped { reason, .. } => {
                    assert_eq!(reason, StopReason::Requested);
                    break;
                }
                _ => {}
            }
            if pongs > 0 && echo.is_some() && lost.len() >= losses {
                session.stop();
            }
        }
    };
    timeout(Duration::from_secs(20), talk).await.unwrap();
    (echo.unwrap(), lost)
}

/// A WebSocket server that sends the first away once it has had a pong, and says how the
/// second left.
fn serve(listener: TcpListener) -> oneshot::Receiver<StopReason> {
    let (sender, left) = oneshot::channel();
    tokio::spawn(async move {
        let mut sender = Some(sender);
        for sends_away in [true, false] {
            let (socket, _) = listener.accept().await.unwrap();
            let socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            let mut session = keepalive::tokio::accepted(config(), socket);
            let mut has_said = false;
            while let Some(notice) = session.next().await {
                match notice {
                    Notice::Message(message) => {
                        session.send(message).unwrap();
                        has_said = true;
                    }
                    Notice::Pong { .. } if sends_away && has_said => {
                        session.stop_with(Goodbye::new(CloseCode(4000), "moved").unwrap());
                    }
                    Notice::Stopped { reason, .. } if !sends_away => {
                        sender.take().unwrap().send(reason).unwrap();
                    }
                    _ => {}
                }
            }
        }
    });
    left
}

async fn is_sent_away_and_leaves<C, D, K>(
    session: Session<C, Timer, D, K>,
    hello: Message<C>,
    left: oneshot::Receiver<StopReason>,
) -> K::Message
where
    C: Connect,
    <C::Socket as Transport>::Fault: Debug + std::fmt::Display,
    D: Dialect<Message = Message<C>>,
    K: Codec<Message<C>>,
    Message<C>: Clone,
{
    let (echo, lost) = talk(session, hello, 1).await;
    assert_eq!(
        lost.first().unwrap(),
        "closed with code 4000: moved",
        "{lost:?}"
    );
    let left = timeout(Duration::from_secs(20), left).await.unwrap();
    assert_eq!(left.unwrap(), StopReason::Closed(Some(CloseCode::NORMAL)));
    echo
}

#[tokio::test]
async fn reqwest_websocket() {
    use reqwest_websocket::Message;
    let (listener, address) = bound().await;
    let left = serve(listener);
    let http = reqwest::Client::new();
    let url = format!("ws://{address}/");
    let session = fits::reqwest_websocket::client(config(), http, url);
    let echo = is_sent_away_and_leaves(session, Message::Text("hello".into()), left).await;
    assert!(matches!(echo, Message::Text(text) if text == "hello"));
}

#[tokio::test]
async fn yawc() {
    use yawc::Frame;
    let (listener, address) = bound().await;
    let left = serve(listener);
    let session = fits::yawc::client(config(), format!("ws://{address}/"));
    let echo = is_sent_away_and_leaves(session, Frame::text("hello"), left).await;
    assert_eq!(echo.as_str(), "hello");
}

#[tokio::test]
async fn lines() {
    let (listener, address) = bound().await;
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let codec = fits::framed::ping_pong();
        let mut session = fits::framed::lines_accepted(config(), codec, socket);
        let mut pongs = 0;
        while let Some(notice) = session.next().await {
            match notice {
                Notice::Message(line) => session.send(line).unwrap(),
                Notice::Pong { .. } => pongs += 1,
                _ => {}
            }
        }
        pongs
    });
    let session = fits::framed::lines_client(config(), fits::framed::ping_pong(), address);
    let (echo, lost) = talk(session, "hello".to_owned(), 0).await;
    assert_eq!(echo, "hello");
    assert_eq!(lost, ["stopped"]);
    timeout(Duration::from_secs(20), server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn bytes() {
    let (listener, address) = bound().await;
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = socket.split();
        tokio::io::copy(&mut read, &mut write).await
    });
    let codec = fits::framed::empty_frames();
    let session = fits::framed::bytes_client(config(), codec, address);
    let (echo, lost) = talk(session, Bytes::from_static(b"hello"), 0).await;
    assert_eq!(echo, "hello");
    assert_eq!(lost, ["stopped"]);
}
