//! The task of a connection.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use keepalive::fleet::{Beat, Member, Members};
use keepalive::{Manner, PingId};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use crate::hub::{Hub, Presence};

type Socket = WebSocketStream<TcpStream>;

/// From the handshake to the end.
pub(crate) async fn serve(socket: TcpStream, members: Members, hub: Hub) {
    let handshake = timeout(Duration::from_secs(10), handshake(socket));
    let Ok(Some((mut socket, user))) = handshake.await else {
        return;
    };
    let Some(connection) = Connection::new(&members, hub, user) else {
        return; // four billion are there
    };
    let patience = match connection.talk(&mut socket).await {
        Manner::Handshake => members.config().close_timeout(),
        Manner::Farewell => Duration::ZERO,
        Manner::Abandon => return,
    };
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "".into(),
    };
    let goodbye = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(patience, goodbye).await;
}

/// The handshake; the path is the name of the user.
async fn handshake(socket: TcpStream) -> Option<(Socket, String)> {
    socket.set_nodelay(true).ok()?; // pings are small
    let mut user = String::new();
    #[allow(clippy::result_large_err)] // tungstenite's
    let note_user = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        user = request.uri().path().trim_start_matches('/').to_owned();
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let socket = accept_hdr_async_with_config(socket, note_user, Some(config)).await;
    Some((socket.ok()?, user))
}

/// A user who is there for as long as this is.
struct Connection {
    member: Member,
    hub: Hub,
    said: Receiver<Utf8Bytes>,
    user: String,
    presence: Presence,
    renewed: Instant,
    renew_after: Duration,
    /// For how long a socket may take nothing.
    patience: Duration,
}

impl Connection {
    fn new(members: &Members, hub: Hub, user: String) -> Option<Self> {
        let config = members.config();
        let presence = hub.presence(&user, RandomState::new().hash_one(&user));
        let connection = Self {
            member: members.join()?,
            said: hub.listen(),
            user,
            presence,
            renewed: Instant::now(),
            renew_after: config.ping_interval() / 2,
            patience: config.pong_timeout(),
            hub,
        };
        connection.hub.renew(&connection.presence);
        Some(connection)
    }

    /// Passes on what is said until it ends, and how the socket is to be ended.
    async fn talk(mut self, socket: &mut Socket) -> Manner {
        loop {
            let to_send = tokio::select! {
                message = socket.next() => {
                    let Some(Ok(message)) = message else {
                        return Manner::Abandon;
                    };
                    self.take(message);
                    continue;
                }
                beat = self.member.next() => match beat {
                    Beat::Ping(id) => Message::Ping(Bytes::copy_from_slice(&id.to_bytes())),
                    Beat::Close(reason) => return reason.manner(),
                    _ => return Manner::Farewell, // nobody runs the members any more
                },
                words = self.said.recv() => match words {
                    Ok(words) => {
                        self.member.sent();
                        Message::Text(words)
                    }
                    // It did not keep up, and comes back.
                    Err(_) => return Manner::Farewell,
                },
            };
            // Who is not polled is not convicted, so nothing here waits for long.
            let sending = timeout(self.patience, socket.send(to_send));
            if !matches!(sending.await, Ok(Ok(()))) {
                return Manner::Abandon;
            }
        }
    }

    fn take(&mut self, message: Message) {
        self.member.received();
        if self.renewed.elapsed() >= self.renew_after {
            self.renewed = Instant::now();
            self.hub.renew(&self.presence);
        }
        match message {
            Message::Text(words) => self.hub.say(format!("{}: {words}", self.user)),
            Message::Pong(payload) => {
                if let Some(id) = PingId::from_payload(&payload) {
                    self.member.pong(id);
                }
            }
            _ => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hub.leave(&self.presence);
    }
}
