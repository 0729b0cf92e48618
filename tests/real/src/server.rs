//! Accepted sockets, and what their sessions report.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use keepalive::{Config, blocking, smol, tokio};

use crate::client::{report, runtime};
use crate::{Adapter, Event};

const HANDSHAKE: Duration = Duration::from_secs(10);

/// A server of sessions that are `accepted`; on mio there is none.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    /// The events of one session after the other.
    sessions: Receiver<Receiver<Event>>,
}

impl Server {
    /// Listens until the process ends.
    ///
    /// # Panics
    ///
    /// On mio.
    #[must_use]
    pub fn start(adapter: Adapter, config: Config) -> Self {
        assert_ne!(adapter, Adapter::Mio);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sessions) = mpsc::channel();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (events, session) = mpsc::channel();
                serve(adapter, config, socket, events);
                if sender.send(session).is_err() {
                    return;
                }
            }
        });
        Self { address, sessions }
    }

    /// The next session that was accepted.
    #[must_use]
    pub fn next(&self, within: Duration) -> Option<Receiver<Event>> {
        self.sessions.recv_timeout(within).ok()
    }
}

fn serve(adapter: Adapter, config: Config, socket: std::net::TcpStream, events: Sender<Event>) {
    match adapter {
        Adapter::Blocking | Adapter::Mio => {
            _ = thread::spawn(move || {
                let Ok((socket, link)) = blocking::accept(socket, HANDSHAKE) else {
                    return;
                };
                for notice in blocking::accepted(config, socket, link) {
                    report(notice, Instant::now, &events);
                }
            })
        }
        Adapter::Tokio => {
            _ = runtime().spawn(async move {
                socket.set_nonblocking(true).unwrap();
                let socket = ::tokio::net::TcpStream::from_std(socket).unwrap();
                let Ok(socket) = tokio::accept(socket, HANDSHAKE).await else {
                    return;
                };
                let mut session = tokio::accepted(config, socket);
                while let Some(notice) = session.next().await {
                    report(notice, || ::tokio::time::Instant::now().into_std(), &events);
                }
            })
        }
        Adapter::Smol => ::smol::spawn(async move {
            let socket = ::smol::Async::new(socket).unwrap();
            let Ok(socket) = smol::accept(socket.into(), HANDSHAKE).await else {
                return;
            };
            let mut session = smol::accepted(config, socket);
            while let Some(notice) = session.next().await {
                report(notice, Instant::now, &events);
            }
        })
        .detach(),
    }
}
