//! The task of a connection, for both kinds of server.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use keepalive::driver::{Cause, Notice};
use keepalive::fleet::{Beat, Members};
use keepalive::tokio::accepted;
use keepalive::{CloseReason, Config, Manner, PingId, Shutdown};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use crate::load::LAST_WORD;
use crate::report::Event;
use crate::server::web_socket;

type Socket = WebSocketStream<TcpStream>;

/// The WebSocket handshake: who connects and says nothing does not stay.
pub(crate) async fn accept(socket: TcpStream) -> Option<Socket> {
    socket.set_nodelay(true).ok()?; // pings are small
    let handshake = accept_async_with_config(socket, Some(web_socket()));
    timeout(Duration::from_secs(10), handshake).await.ok()?.ok()
}

/// A connection that is one of the members.
pub(crate) async fn as_member(
    members: Members,
    mut socket: Socket,
    events: UnboundedSender<Event>,
) {
    let Some(mut member) = members.join() else {
        return; // four billion are there
    };
    let patience = members.config().pong_timeout();
    tell(&events, Event::Joined);
    let mut last_word = None;
    let reason = loop {
        tokio::select! {
            message = socket.next() => {
                let Some(Ok(message)) = message else {
                    return tell(&events, Event::Lost);
                };
                member.received();
                match message {
                    Message::Pong(payload) => {
                        if let Some(id) = PingId::from_payload(&payload) {
                            member.pong(id);
                        }
                    }
                    message => note_last_word(&mut last_word, &message),
                }
            }
            beat = member.next() => match beat {
                Beat::Ping(id) => {
                    // Who is not polled is not convicted, so nothing here waits for long.
                    let ping = Message::Ping(Bytes::copy_from_slice(&id.to_bytes()));
                    if !matches!(timeout(patience, socket.send(ping)).await, Ok(Ok(()))) {
                        return tell(&events, Event::Lost);
                    }
                }
                Beat::Close(reason) => break reason,
                _ => return tell(&events, Event::Lost), // nobody runs the members any more
            },
        }
    };
    tell(&events, ended(reason, last_word));
    drop(member);
    end(socket, reason, members.config().close_timeout()).await;
}

/// Ends the socket in the manner of this reason.
async fn end(mut socket: Socket, reason: CloseReason, within: Duration) {
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: reason.to_string().into(),
    };
    match reason.manner() {
        Manner::Handshake => {
            let handshake = async {
                if socket.close(Some(frame)).await.is_ok() {
                    while let Some(Ok(_)) = socket.next().await {}
                }
            };
            drop(timeout(within, handshake).await);
        }
        Manner::Farewell => drop(timeout(Duration::ZERO, socket.close(Some(frame))).await),
        Manner::Abandon => {}
    }
}

/// A connection with a session of its own.
pub(crate) async fn as_session(
    config: Config,
    shutdown: Shutdown,
    socket: Socket,
    events: UnboundedSender<Event>,
) {
    let mut session = accepted(config, socket);
    shutdown.add(session.handle());
    let mut last_word = None;
    while let Some(notice) = session.next().await {
        match notice {
            Notice::Opened { .. } => tell(&events, Event::Joined),
            Notice::Message(message) => note_last_word(&mut last_word, &message),
            Notice::Down(down) => tell(
                &events,
                match down.cause {
                    Cause::TimedOut(reason) => ended(reason, last_word),
                    Cause::Stopped => Event::Closed(Instant::now()),
                    _ => Event::Lost,
                },
            ),
            _ => {}
        }
    }
}

fn note_last_word(last_word: &mut Option<Instant>, message: &Message) {
    if matches!(message, Message::Text(text) if *text == LAST_WORD) {
        *last_word = Some(Instant::now());
    }
}

fn ended(reason: CloseReason, last_word: Option<Instant>) -> Event {
    match reason {
        CloseReason::Drained => Event::Closed(Instant::now()),
        _ => Event::Convicted(last_word.map(|at| at.elapsed())),
    }
}

fn tell(events: &UnboundedSender<Event>, event: Event) {
    // Once the run is over nobody listens.
    let _ = events.send(event);
}
