//! A client on tokio and tokio-websockets, which needs a codec of its own:
//! `cargo run --features tokio --example tokio_websockets [URL]`.
//!
//! Any other WebSocket library is bound in the same way. Without a URL it starts a
//! server of its own that falls silent first, and ends by itself.

mod support;

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;

use keepalive::session::Session;
use keepalive::tokio::{Channel, Timer};
use keepalive::{CloseCode, Closed, Codec, Incoming, Notice, PingId};
use tokio::sync::mpsc;
use tokio_websockets::{ClientBuilder, CloseCode as WireCode, Error, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (url, config) = support::without_tls(support::target()?);
    let seed = RandomState::new().hash_one(0);
    let (sender, outgoing) = mpsc::channel(16);
    let dial = |_attempt| {
        let builder = ClientBuilder::from_uri(url.clone());
        async move { Ok(builder.connect().await?.0) }
    };
    let mut session = Session::client(config, seed, Pings, Timer::new(), dial)
        .with_endings(ending)
        .sending(Channel(outgoing));
    while let Some(notice) = session.next().await {
        match notice {
            Notice::Connecting { attempt } => println!("connecting, retry {attempt}"),
            Notice::Opened => {
                println!("open");
                // The channel may be full: then enough greetings wait already.
                let _ = sender.try_send(Message::text("Hello Server!"));
            }
            Notice::Message(message) => {
                println!("received {}", message.as_text().unwrap_or("something"));
            }
            Notice::Pong { round_trip, .. } => println!("pong after {round_trip:?}"),
            Notice::Down { cause, .. } => println!("down: {cause}"),
            Notice::Stopped(reason) => println!("over: {reason}"),
            _ => {}
        }
    }
    Ok(())
}

struct Pings;

impl Codec<Message> for Pings {
    fn ping(&mut self, id: PingId) -> Message {
        Message::ping(id.to_bytes().to_vec())
    }

    fn read(&mut self, message: &Message) -> Incoming<Message> {
        if message.is_pong() {
            let id = PingId::from_payload(message.as_payload());
            id.map_or(Incoming::Control, Incoming::Pong)
        } else if message.is_ping() {
            Incoming::Control // the library has answered
        } else if message.is_close() {
            let code = message.as_close().map(|(code, _)| code);
            let code = code.filter(|code| *code != WireCode::NO_STATUS_RECEIVED);
            Incoming::Closed(Closed {
                code: code.map(|code| CloseCode(code.into())),
                ..Closed::default()
            })
        } else {
            Incoming::Message
        }
    }

    fn goodbye(&mut self) -> Option<Message> {
        Some(Message::close(Some(WireCode::NORMAL_CLOSURE), ""))
    }
}

/// An end without a close frame is no failure.
fn ending(error: &Error) -> Option<Closed> {
    match error {
        Error::AlreadyClosed => Some(Closed::default()),
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => Some(Closed::default()),
        _ => None,
    }
}
