//! A session as a task of its own, over real sockets.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use keepalive::driver::{Cause, Notice};
use keepalive::tokio::{Dialer, client, connect};
use keepalive::{Config, StopReason, session};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;

const LONG: Duration = Duration::from_secs(20);

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, url)
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (socket, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
    tokio_tungstenite::accept_async(socket).await.unwrap()
}

fn busy() -> Config {
    let interval = Duration::from_millis(20);
    let settings = Config::builder().ping_interval(interval).always_ping(true);
    settings.build().unwrap()
}

#[tokio::test]
async fn it_beats_while_nobody_asks() {
    let (listener, url) = listen().await;
    let dial = move |_| connect(url.clone());
    let (task, mut notices) = client(busy(), dial).into_task();
    let task = tokio::spawn(task);
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        let mut pings = 0;
        while pings < 5 {
            if let Message::Ping(_) = socket.next().await.unwrap().unwrap() {
                pings += 1;
            }
        }
        for number in 0..3 {
            socket
                .send(Message::text(number.to_string()))
                .await
                .unwrap();
        }
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        panic!("no goodbye");
    });

    while !matches!(notices.next().await, Some(Notice::Opened { .. })) {}
    // Nobody asks; the server hears five pings all the same, and then speaks.
    sleep(Duration::from_millis(300)).await;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        if let Some(Notice::Message(message)) = timeout(LONG, notices.next()).await.unwrap() {
            heard.push(message.to_text().unwrap().to_owned());
        }
    }
    assert_eq!(heard, ["0", "1", "2"]);

    // Who does not listen any more has stopped.
    drop(notices);
    assert_eq!(timeout(LONG, server).await.unwrap().unwrap(), Some(1000));
    timeout(LONG, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_sent_at_opened_goes_ahead_of_the_backlog() {
    let (listener, url) = listen().await;
    let mut session = client(Config::default(), move |_| connect(url.clone()));
    let handle = session.handle();
    handle.try_send(Message::text("order")).unwrap();
    let (task, mut notices) = session.into_task();
    tokio::spawn(task);
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        let mut heard = Vec::new();
        while heard.len() < 2 {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                heard.push(text.to_string());
            }
        }
        socket.close(None).await.unwrap();
        heard
    });
    while !matches!(notices.next().await, Some(Notice::Opened { .. })) {}
    // However long that takes.
    sleep(Duration::from_millis(100)).await;
    notices.send(Message::text("login")).unwrap();
    loop {
        match timeout(LONG, notices.next()).await.unwrap() {
            Some(Notice::Down(down)) => {
                assert!(matches!(down.cause, Cause::Closed { .. }), "{down:?}");
                handle.stop().unwrap();
            }
            Some(Notice::Stopped { reason, .. }) => {
                assert_eq!(reason, StopReason::Requested);
                break;
            }
            Some(_) => {}
            None => panic!("not told"),
        }
    }
    assert!(notices.next().await.is_none());
    assert_eq!(server.await.unwrap(), ["login", "order"]);
}

#[tokio::test]
async fn its_notices_end_with_the_task() {
    let (_listener, url) = listen().await;
    let (task, mut notices) = client(Config::default(), move |_| connect(url.clone())).into_task();
    let task = tokio::spawn(task);
    let reader = tokio::spawn(async move { while notices.next().await.is_some() {} });
    sleep(Duration::from_millis(50)).await;
    task.abort();
    timeout(LONG, reader).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_dropped_after_a_stop_still_says_goodbye() {
    let (listener, url) = listen().await;
    let (handle, mut notices) = client(busy(), Dialer::new(url)).spawn();
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        panic!("no goodbye");
    });
    while !matches!(notices.next().await, Some(Notice::Opened { .. })) {}
    sleep(Duration::from_millis(100)).await;
    handle.stop().unwrap();
    drop(notices);
    assert_eq!(timeout(LONG, server).await.unwrap().unwrap(), Some(1000));
}

#[test]
fn on_smol_it_is_the_same() {
    use keepalive::smol;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let mut heard = Vec::new();
        while let Ok(message) = socket.read() {
            heard.extend(message.is_text().then(|| message.to_string()));
        }
        heard
    });
    let dialer = session::boxed(smol::Dialer::new(url));
    let (handle, mut notices) = smol::client(busy(), dialer).spawn();
    handle.try_send(Message::text("order")).unwrap();
    let told: &mut smol::Notices = &mut notices;
    ::smol::block_on(async {
        while let Some(notice) = told.next().await {
            match notice {
                Notice::Opened { .. } => told.send(Message::text("login")).unwrap(),
                Notice::Pong { .. } => drop(handle.stop()),
                _ => {}
            }
        }
    });
    assert_eq!(server.join().unwrap(), ["login", "order"]);
}
