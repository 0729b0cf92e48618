//! The room: who is in it, and who is no more.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::Html;
use axum::routing::{any, get};
use keepalive::session::Session;
use keepalive::tokio::{Channel, Timer};
use keepalive::{CloseCode, Closed, Codec, Config, Incoming, Notice, PingId, StopReason};
use tokio::sync::{mpsc, watch};

/// How many messages wait for one client. Further ones are lost to it.
const BACKLOG: usize = 64;

/// A chat room. Its clones are the same room.
#[derive(Clone)]
pub(crate) struct Room(Arc<Shared>);

struct Shared {
    config: Config,
    members: Mutex<BTreeMap<u64, mpsc::Sender<Message>>>,
    closing: watch::Sender<bool>,
}

impl Room {
    /// An empty room, whose members are watched by these rules.
    pub(crate) fn new(config: Config) -> Self {
        Self(Arc::new(Shared {
            config,
            members: Mutex::default(),
            closing: watch::Sender::new(false),
        }))
    }

    /// `/chat/NAME` is the room, `/` a page to enter it by.
    pub(crate) fn router(&self) -> Router {
        let page = get(async || Html(include_str!("page.html")));
        let chat = any(
            async |State(room): State<Self>,
                   Path(name): Path<String>,
                   upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async move |socket| room.host(&name, socket).await)
            },
        );
        Router::new()
            .route("/", page)
            .route("/chat/{name}", chat)
            .with_state(self.clone())
    }

    /// Sends everyone away with 1001. Done when they are gone, dead ones after the
    /// close timeout.
    pub(crate) async fn close(&self) {
        self.0.closing.send_replace(true);
        self.0.closing.closed().await;
    }

    /// Stays with a client until it is gone.
    async fn host(&self, name: &str, socket: WebSocket) {
        let mut closing = self.0.closing.subscribe();
        let (number, outgoing) = self.enter();
        self.tell(&format!("{name} joins"));
        let seed = RandomState::new().hash_one(number);
        let mut session = Session::accepted(self.0.config, seed, Pings, Timer::new(), socket)
            .sending(Channel(outgoing));
        let mut is_closing = false;
        let reason = loop {
            tokio::select! {
                notice = session.next() => match notice {
                    Some(Notice::Message(Message::Text(text))) => self.tell(&format!("{name}: {text}")),
                    Some(Notice::Stopped(reason)) => break reason,
                    Some(_) => {}
                    None => break StopReason::Requested,
                },
                _ = closing.wait_for(|closing| *closing), if !is_closing => {
                    is_closing = true;
                    session.stop_with(goodbye(close_code::AWAY));
                }
            }
        };
        self.members().remove(&number);
        self.tell(&format!("{name} leaves: {reason}"));
    }

    fn enter(&self) -> (u64, mpsc::Receiver<Message>) {
        let (sender, outgoing) = mpsc::channel(BACKLOG);
        let mut members = self.members();
        let number = members.last_key_value().map_or(0, |(last, _)| last + 1);
        members.insert(number, sender);
        (number, outgoing)
    }

    /// Waits for nobody.
    fn tell(&self, text: &str) {
        println!("{text}");
        let text = Utf8Bytes::from(text);
        for member in self.members().values() {
            let _ = member.try_send(Message::Text(text.clone()));
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<u64, mpsc::Sender<Message>>> {
        let members = self.0.members.lock();
        members.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The protocol's own pings, in axum's messages.
struct Pings;

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

    fn goodbye(&mut self) -> Option<Message> {
        Some(goodbye(close_code::NORMAL))
    }
}

fn goodbye(code: u16) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::default(),
    }))
}
