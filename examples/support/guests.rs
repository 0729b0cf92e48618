//! What the servers on axum share: the dialect of axum's messages, and a way to send
//! everyone away.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use keepalive::driver::{Codec, Dialect, Frame, Notice};
use keepalive::session::{Accepted, Session};
use keepalive::tokio::Timer;
use keepalive::{CloseCode, CloseReason, Closed, Config, Handle, PingId, Unsendable};
use tokio::sync::watch;

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
    ) -> Guest<K> {
        let seed = RandomState::new().hash_one(0);
        Guest {
            session: Session::accepted(config, seed, Axum, codec, Timer::new(), socket),
            doors: self.0.subscribe(),
            is_leaving: false,
        }
    }
}

/// A socket that was accepted, and is watched.
pub(crate) struct Guest<K: Codec<Message>> {
    session: Session<Accepted<WebSocket>, Timer, Axum, K>,
    doors: watch::Receiver<bool>,
    is_leaving: bool,
}

impl<K: Codec<Message>> Guest<K> {
    /// What sends to it.
    pub(crate) fn handle(&mut self) -> Handle<Message> {
        self.session.handle()
    }

    /// The session's next notice. It says goodbye when the doors close, with 1001 as any
    /// accepted session.
    pub(crate) async fn next(&mut self) -> Option<Told<K>> {
        if !self.is_leaving {
            tokio::select! {
                notice = self.session.next() => return notice,
                () = closed(&mut self.doors) => {}
            }
            self.is_leaving = true;
            self.session.stop();
        }
        self.session.next().await
    }

    /// Neither reads nor answers until the doors close.
    #[allow(dead_code, reason = "the chat neglects nobody")]
    pub(crate) async fn neglect(&mut self) {
        closed(&mut self.doors).await;
    }
}

type Told<K> = Notice<<K as Codec<Message>>::Message, Message, axum::Error, Instant>;

async fn closed(doors: &mut watch::Receiver<bool>) {
    // Where nobody is left to close them, all is over too.
    let _ = doors.wait_for(|is_closed| *is_closed).await;
}

/// axum's messages.
#[derive(Clone, Copy)]
pub(crate) struct Axum;

impl Dialect for Axum {
    type Message = Message;

    fn frame(&self, message: &Message) -> Frame {
        match message {
            Message::Pong(payload) => {
                let id = PingId::from_payload(payload);
                id.map_or(Frame::Control, Frame::Pong)
            }
            Message::Ping(_) => Frame::Control, // the library has answered
            Message::Close(frame) => {
                let closed = Closed {
                    code: frame.as_ref().map(|frame| CloseCode(frame.code)),
                    ..Closed::default()
                };
                let words = frame.as_ref().map_or("", |frame| frame.reason.as_str());
                Frame::Close(closed, words.to_owned())
            }
            Message::Text(_) | Message::Binary(_) => Frame::Data,
        }
    }

    fn size(&self, message: &Message) -> Result<usize, Unsendable> {
        match message {
            Message::Text(text) => Ok(text.len()),
            Message::Binary(bytes) => Ok(bytes.len()),
            _ => Err(Unsendable::Control),
        }
    }

    fn ping(&mut self, id: PingId) -> Option<Message> {
        Some(Message::Ping(id.to_bytes().to_vec().into()))
    }

    fn goodbye(&mut self, _: CloseReason, code: Option<CloseCode>, words: &str) -> Option<Message> {
        Some(Message::Close(code.map(|CloseCode(code)| CloseFrame {
            code,
            reason: words.into(),
        })))
    }
}
