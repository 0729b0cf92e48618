//! tokio-rustls below tokio-tungstenite, with a CA of the test's own.
#![cfg(all(feature = "blocking", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/built.rs"]
mod built;
#[path = "support/peer_tls.rs"]
mod peer_tls;

use std::io::{self, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use built::{Running, example};
use futures_core::Stream;
use keepalive::driver::{Cause, Codec, Dialect, Notice};
use keepalive::session::{Connect, Counted, Counter, Session, Timer, Transport};
use keepalive::tokio::{Tap, client, connect_over};
use keepalive::{CloseCode, CloseReason, Config, StopReason, stop_when_refused};
use peer_tls::{Served, Tls};
use rustls::pki_types::ServerName;
use rustls::{ServerConnection, StreamOwned};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::{accept_async, client_async};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tungstenite::{Error, Message, WebSocket};

/// Nothing that is awaited takes longer, even here.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_server_that_falls_silent_is_left_and_dialled_again() {
    let tls = Tls::new();
    let port = serve(&tls, |number, mut socket| {
        if number == 0 {
            while !socket.read()?.is_ping() {}
            socket.flush()?; // the pong, and no other
            thread::park();
        }
        let greeting = read_text(&mut socket)?;
        socket.send(greeting)?;
        socket.close(Some(CloseFrame {
            code: WireCode::Normal,
            reason: "".into(),
        }))?;
        read_text(&mut socket).map(drop)
    });
    let config = Config::article()
        .to_builder()
        .ping_interval(Duration::from_millis(100))
        .pong_timeout(Duration::from_secs(1))
        .first_spread(Duration::from_millis(100))
        .policy(stop_when_refused)
        .build()
        .unwrap();

    let mut session = client(config, |_| {
        connect_over(url(port), |tap, _| secure(&tls, tap))
    });
    let handle = session.handle();
    let mut pongs = 0;
    loop {
        match next(&mut session).await {
            Notice::Pong { .. } => pongs += 1,
            Notice::Down(down) => {
                let is_dead = matches!(down.cause, Cause::TimedOut(CloseReason::PongTimeout));
                assert!(is_dead && down.retry.is_some(), "{}", down.cause);
                break;
            }
            _ => {}
        }
    }
    assert!(pongs > 0);

    handle.send(Message::text("hello")).await.unwrap();
    let mut echo = None;
    let reason = loop {
        match next(&mut session).await {
            Notice::Message(message) => echo = Some(message),
            Notice::Stopped { reason, .. } => break reason,
            _ => {}
        }
    };
    assert_eq!(echo, Some(Message::text("hello")));
    assert_eq!(reason, StopReason::Closed(Some(CloseCode::NORMAL)));
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused() {
    let port = serve(&Tls::new(), |_, _| Ok(()));
    let stranger = Tls::new();
    let mut session = client(Config::default(), |_| {
        connect_over(url(port), |tap, _| secure(&stranger, tap))
    });
    loop {
        if let Notice::Down(down) = next(&mut session).await {
            let told = down.cause.to_string();
            assert!(told.contains("invalid peer certificate"), "{told}");
            assert!(down.retry.is_some());
            break;
        }
    }
}

/// The example trusts the system's roots, and none of ours.
#[test]
fn the_example_verifies_the_server() {
    let port = serve(&Tls::new(), |_, _| Ok(()));
    let mut child = Running::start(example("tokio_client").arg(url(port)));
    let down = std::iter::from_fn(|| child.line())
        .find(|line| line.starts_with("down: "))
        .unwrap();
    assert!(down.contains("UnknownIssuer"), "{down}");
}

/// The bytes are counted below TLS: a record that takes many timeouts to arrive is
/// life, though nothing comes out of TLS before its last byte.
#[tokio::test(start_paused = true)]
async fn the_bytes_of_one_record_are_life() {
    let tls = Tls::new();
    let dial = |_| {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(drip(TlsAcceptor::from(tls.server.clone()), theirs));
        let counter = Counter::default();
        let tap = Tap::new(ours, counter.clone());
        let stream = secure(&tls, tap);
        async {
            let (socket, _) = client_async("wss://127.0.0.1/", stream.await?).await?;
            Ok::<_, Error>(Counted::new(socket, counter))
        }
    };
    let mut session = client(Config::article(), dial);
    let begin = Instant::now();
    let message = loop {
        match next(&mut session).await {
            Notice::Message(message) => break message,
            Notice::Down(down) => panic!("{} after {:?}", down.cause, begin.elapsed()),
            _ => {}
        }
    };
    assert_eq!(message, Message::text("hello"));
    assert!(begin.elapsed() > 5 * Config::article().pong_timeout());
}

/// Sends one message, a byte every 3 s, and reads nothing.
async fn drip(acceptor: TlsAcceptor, socket: DuplexStream) {
    let stream = acceptor.accept(socket).await.unwrap();
    let mut stream = accept_async(stream).await.unwrap().into_inner();
    let (socket, tls) = stream.get_mut();
    tls.writer().write_all(b"\x81\x05hello").unwrap();
    let mut record = Vec::new();
    tls.write_tls(&mut record).unwrap();
    for byte in record {
        sleep(Duration::from_secs(3)).await;
        socket.write_all(&[byte]).await.unwrap();
    }
    sleep(Duration::MAX).await;
}

/// The next notice. It never takes long, also in the time of a paused clock.
async fn next<C, T, D, K, O>(session: &mut Session<C, T, D, K, O>) -> Told<C, T, K>
where
    C: Connect,
    T: Timer,
    D: Dialect<Message = Sent<C>>,
    K: Codec<Sent<C>>,
    O: Stream<Item = Sent<C>> + Unpin,
{
    timeout(PATIENCE, session.next()).await.unwrap().unwrap()
}

type Sent<C> = <<C as Connect>::Socket as Transport>::Message;
type Told<C, T, K> = Notice<
    <K as Codec<Sent<C>>>::Message,
    Sent<C>,
    <<C as Connect>::Socket as Transport>::Fault,
    <T as Timer>::Instant,
>;

fn url(port: u16) -> String {
    format!("wss://127.0.0.1:{port}/")
}

async fn secure<S>(tls: &Tls, socket: S) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(tls.client.clone())
        .connect(name, socket)
        .await
}

/// A server in threads, which treats its connections in this way. One that fails is
/// left.
fn serve<F>(tls: &Tls, treat: F) -> u16
where
    F: Fn(usize, WebSocket<Served>) -> Result<(), Error> + Send + Copy + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = tls.server.clone();
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let tls = ServerConnection::new(config.clone()).unwrap();
            let stream = StreamOwned::new(tls, socket.unwrap());
            thread::spawn(move || match tungstenite::accept(stream) {
                Ok(socket) => treat(number, socket),
                Err(error) => Err(io::Error::other(error).into()),
            });
        }
    });
    port
}

fn read_text(socket: &mut WebSocket<Served>) -> Result<Message, Error> {
    loop {
        let message = socket.read()?;
        if message.is_text() {
            return Ok(message);
        }
    }
}
