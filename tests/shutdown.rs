//! A server, over real sockets, the same in every adapter: a handshake that hangs is given
//! up; and when the server goes, every client hears 1001 and is waited for, and none holds
//! it up for longer than `close_timeout`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::{Config, Notice, Shutdown, StopReason, blocking, smol, tokio};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

/// How long a peer has to answer a goodbye.
const CLOSE: Duration = Duration::from_secs(1);
/// What the machine may take for everything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves a client until it is gone, and says why it is.
type Serve = fn(TcpStream, Shutdown) -> Result<StopReason, Error>;

/// Waits until all are gone, as a server of this adapter does.
type Close = fn(&Shutdown);

mod on_blocking {
    use super::*;

    fn serve(socket: TcpStream, shutdown: Shutdown) -> Result<StopReason, Error> {
        let (socket, link) = blocking::accept(socket, CLOSE)?;
        let mut session = blocking::accepted(config(), socket, link);
        shutdown.add(session.handle());
        let mut reason = None;
        while let Some(notice) = session.next() {
            match notice {
                Notice::Message(message) => session.send(message).unwrap(),
                Notice::Stopped { reason: why, .. } => reason = Some(why),
                _ => {}
            }
        }
        Ok(reason.unwrap())
    }

    #[test]
    fn all_are_sent_away() {
        super::all_are_sent_away(serve, |shutdown| {
            assert!(shutdown.close_blocking(PATIENCE));
        });
    }

    #[test]
    fn a_handshake_that_hangs_is_given_up() {
        super::a_handshake_that_hangs_is_given_up(serve);
    }
}

mod on_tokio {
    use super::*;

    pub(super) fn run<F: Future>(future: F) -> F::Output {
        let mut builder = ::tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(future)
    }

    fn serve(socket: TcpStream, shutdown: Shutdown) -> Result<StopReason, Error> {
        run(async {
            socket.set_nonblocking(true)?;
            let socket = ::tokio::net::TcpStream::from_std(socket)?;
            let socket = tokio::accept(socket, CLOSE).await?;
            assert!(socket.get_ref().get_ref().get_ref().nodelay()?);
            let mut session = tokio::accepted(config(), socket);
            shutdown.add(session.handle());
            let mut reason = None;
            while let Some(notice) = session.next().await {
                match notice {
                    Notice::Message(message) => session.send(message).unwrap(),
                    Notice::Stopped { reason: why, .. } => reason = Some(why),
                    _ => {}
                }
            }
            Ok(reason.unwrap())
        })
    }

    #[test]
    fn all_are_sent_away() {
        super::all_are_sent_away(serve, |shutdown| run(shutdown.close()));
    }

    #[test]
    fn a_handshake_that_hangs_is_given_up() {
        super::a_handshake_that_hangs_is_given_up(serve);
    }
}

mod on_smol {
    use super::*;

    fn serve(socket: TcpStream, shutdown: Shutdown) -> Result<StopReason, Error> {
        ::smol::block_on(async {
            let socket = ::smol::Async::new(socket)?;
            let socket = smol::accept(socket.into(), CLOSE).await?;
            assert!(socket.get_ref().get_ref().get_ref().nodelay()?);
            let mut session = smol::accepted(config(), socket);
            shutdown.add(session.handle());
            let mut reason = None;
            while let Some(notice) = session.next().await {
                match notice {
                    Notice::Message(message) => session.send(message).unwrap(),
                    Notice::Stopped { reason: why, .. } => reason = Some(why),
                    _ => {}
                }
            }
            Ok(reason.unwrap())
        })
    }

    #[test]
    fn all_are_sent_away() {
        super::all_are_sent_away(serve, |shutdown| ::smol::block_on(shutdown.close()));
    }

    #[test]
    fn a_handshake_that_hangs_is_given_up() {
        super::a_handshake_that_hangs_is_given_up(serve);
    }
}

mod on_tokio_websockets {
    use super::*;
    use keepalive::tokio_websockets::{accept, accepted};
    use tokio_websockets::Error as Wrong;

    fn serve(socket: TcpStream, shutdown: Shutdown) -> Result<StopReason, Error> {
        on_tokio::run(async {
            socket.set_nonblocking(true)?;
            let socket = ::tokio::net::TcpStream::from_std(socket)?;
            let socket = accept(socket, CLOSE).await.map_err(|error| match error {
                Wrong::Io(error) => Error::Io(error),
                error => panic!("{error}"),
            })?;
            let mut session = accepted(config(), socket);
            shutdown.add(session.handle());
            let mut reason = None;
            while let Some(notice) = session.next().await {
                match notice {
                    Notice::Message(message) => session.send(message).unwrap(),
                    Notice::Stopped { reason: why, .. } => reason = Some(why),
                    _ => {}
                }
            }
            Ok(reason.unwrap())
        })
    }

    #[test]
    fn all_are_sent_away() {
        super::all_are_sent_away(serve, |shutdown| on_tokio::run(shutdown.close()));
    }

    #[test]
    fn a_handshake_that_hangs_is_given_up() {
        super::a_handshake_that_hangs_is_given_up(serve);
    }
}

fn config() -> Config {
    Config::builder().close_timeout(CLOSE).build().unwrap()
}

fn all_are_sent_away(serve: Serve, close: Close) {
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (gone, reasons) = mpsc::channel();
    let served = shutdown.clone();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (gone, served) = (gone.clone(), served.clone());
            thread::spawn(move || gone.send(serve(socket.unwrap(), served)).unwrap());
        }
    });
    let dial = || {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        tungstenite::client("ws://localhost/", socket).unwrap().0
    };

    let mut clients = [dial(), dial(), dial()];
    // One answers nothing, and one is gone before.
    let _mute = dial();
    drop(dial());
    for client in &mut clients {
        // Its session is there once it answers.
        client.send(Message::text("hello")).unwrap();
        assert_eq!(client.read().unwrap(), Message::text("hello"));
    }
    reasons.recv_timeout(PATIENCE).unwrap().unwrap();

    let clients = clients.map(|client| thread::spawn(move || hear_out(client)));
    let begin = Instant::now();
    close(&shutdown);
    let took = begin.elapsed();
    assert!(took >= CLOSE && took < CLOSE + PATIENCE, "{took:?}");
    for client in clients {
        assert_eq!(client.join().unwrap(), Some(CloseCode::Away));
    }
    for _ in 0..4 {
        let reason = reasons.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(reason, StopReason::Requested);
    }
    // Who comes late is sent away at once.
    assert_eq!(hear_out(dial()), Some(CloseCode::Away));
}

/// Reads until the end; the code of the close frame.
fn hear_out(mut client: WebSocket<TcpStream>) -> Option<CloseCode> {
    let mut code = None;
    while let Ok(message) = client.read() {
        if let Message::Close(Some(frame)) = message {
            code = Some(frame.code);
        }
    }
    code
}

fn a_handshake_that_hangs_is_given_up(serve: Serve) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _hangs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let begin = Instant::now();
    let error = serve(socket, Shutdown::new()).unwrap_err();
    assert!(matches!(&error, Error::Io(error) if error.kind() == ErrorKind::TimedOut));
    assert!(begin.elapsed() >= CLOSE);
}
