//! The room: who is in it, and who is no more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Html;
use axum::routing::{any, get};
use keepalive::axum::accepted;
use keepalive::driver::Notice;
use keepalive::{Config, Handle, Shutdown, StopReason};

/// A chat room. Its clones are the same room.
#[derive(Clone)]
pub(crate) struct Room(Arc<Shared>);

struct Shared {
    config: Config,
    members: Mutex<BTreeMap<u64, Handle<Message>>>,
    shutdown: Shutdown,
}

impl Room {
    /// An empty room, whose members are watched by these rules.
    pub(crate) fn new(config: Config) -> Self {
        Self(Arc::new(Shared {
            config,
            members: Mutex::default(),
            shutdown: Shutdown::new(),
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
        self.0.shutdown.close().await;
    }

    /// Stays with a client until it is gone.
    async fn host(&self, name: &str, socket: WebSocket) {
        let mut session = accepted(self.0.config, socket);
        self.0.shutdown.add(session.handle());
        let number = self.enter(session.handle());
        self.tell(&format!("{name} joins"));
        let reason = loop {
            match session.next().await {
                Some(Notice::Message(Message::Text(text))) => self.tell(&format!("{name}: {text}")),
                Some(Notice::Stopped { reason, .. }) => break reason,
                Some(_) => {}
                None => break StopReason::Requested,
            }
        };
        self.members().remove(&number);
        self.tell(&format!("{name} leaves: {reason}"));
    }

    fn enter(&self, member: Handle<Message>) -> u64 {
        let mut members = self.members();
        let number = members.last_key_value().map_or(0, |(last, _)| last + 1);
        members.insert(number, member);
        number
    }

    /// Waits for nobody: who has no room for it misses it.
    fn tell(&self, text: &str) {
        println!("{text}");
        let text = Utf8Bytes::from(text);
        for member in self.members().values() {
            let _ = member.try_send(Message::Text(text.clone()));
        }
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<u64, Handle<Message>>> {
        let members = self.0.members.lock();
        members.unwrap_or_else(PoisonError::into_inner)
    }
}
