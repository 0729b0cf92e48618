//! What the servers on axum share: pings in axum's messages, and a way to send
//! everyone away.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use keepalive::session::{Accepted, Session};
use keepalive::tokio::{Channel, Timer};
use keepalive::{CloseCode, Closed, Codec, Config, Incoming, Notice, PingId};
use tokio::sync::{mpsc, watch};

/// Those who are served, to be sent away. Its clones are for the same ones.
#[derive(Clone)]
pub(crate) struct Doors(watch::Sender<bool>);

impl Doors {
    pub(crate) fn open() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Sends everyone away with 1001. Done when they are gone, dead ones after the
    /// close timeout.
    pub(crate) async fn close(&self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }

    /// Watches a socket that was accepted, by these rules.
    pub(crate) fn admit<K: Codec<Message>>(
        &self,
        config: Config,
        codec: K,
        socket: WebSocket,
        outgoing: mpsc::Receiver<Message>,
    ) -> Guest<K> {
        let seed = RandomState::new().hash_one(0);
        let session = Session::accepted(config, seed, codec, Timer::new(), socket);
        Guest {
            session: session.sending(Channel(outgoing)),
            doors: self.0.subscribe(),
            is_leaving: false,
        }
    }
}

/// A socket that was accepted, and is watched.
pub(crate) struct Guest<K> {
    session: Session<Accepted<WebSocket>, Timer, K, Channel<Message>>,
    doors: watch::Receiver<bool>,
    is_leaving: bool,
}

impl<K: Codec<Message>> Guest<K> {
    /// The session's next notice. It says goodbye when the doors close.
    pub(crate) async fn next(&mut self) -> Option<Notice<Message, axum::Error, Instant>> {
        if !self.is_leaving {
            tokio::select! {
                notice = self.session.next() => return notice,
                () = closed(&mut self.doors) => {}
            }
            self.is_leaving = true;
            if let Some(goodbye) = Pings.goodbye(Some(CloseCode::GOING_AWAY)) {
                self.session.stop_with(goodbye);
            }
        }
        self.session.next().await
    }

    /// Neither reads nor answers until the doors close.
    #[allow(dead_code, reason = "the chat neglects nobody")]
    pub(crate) async fn neglect(&mut self) {
        closed(&mut self.doors).await;
    }
}

async fn closed(doors: &mut watch::Receiver<bool>) {
    // Where nobody is left to close them, all is over too.
    let _ = doors.wait_for(|is_closed| *is_closed).await;
}

/// The protocol's own pings, in axum's messages.
pub(crate) struct Pings;

impl Codec<Message> for Pings {
    fn ping(&mut self, id: PingId) -> Message {
        Message::Ping(id.to_bytes().to_vec().into())
    }

    fn read(&mut self, message: &Message) -> Incoming<Message> {
        match message {
            Message::Pong(payload) => {
                let id = PingId::from_payload(payload);
                id.map_or(Incoming::Control, Incoming::Pong)
            }
            Message::Ping(_) => Incoming::Control, // the library has answered
            Message::Close(frame) => Incoming::Closed(Closed {
                code: frame.as_ref().map(|frame| CloseCode(frame.code)),
                ..Closed::default()
            }),
            Message::Text(_) | Message::Binary(_) => Incoming::Message,
        }
    }

    fn goodbye(&mut self, code: Option<CloseCode>) -> Option<Message> {
        Some(Message::Close(code.map(|CloseCode(code)| CloseFrame {
            code,
            reason: Utf8Bytes::default(),
        })))
    }
}
