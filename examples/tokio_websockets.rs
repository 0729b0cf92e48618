//! A client on tokio and tokio-websockets, which needs a dialect of its own:
//! `cargo run --features tokio --example tokio_websockets [URL]`.
//!
//! Any other WebSocket library is bound in the same way. Without a URL it starts a
//! server of its own that falls silent first, and ends by itself.

mod support;
#[path = "support/websockets.rs"]
mod websockets;

use std::hash::{BuildHasher, RandomState};

use keepalive::driver::{Notice, Plain};
use keepalive::session::{Counted, Session};
use keepalive::tokio::Timer;
use tokio_websockets::Message;
use websockets::{WebSockets, connect, ending};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (url, config) = support::without_tls(support::target()?);
    let seed = RandomState::new().hash_one(0);
    let dial = |_attempt| connect(url.clone());
    let mut session = Session::client(config, seed, WebSockets, Plain, Timer::new(), dial)
        .with_endings(ending)
        .with_bytes(Counted::bytes);
    while let Some(notice) = session.next().await {
        match notice {
            Notice::Connecting { attempt } => println!("connecting, retry {attempt}"),
            Notice::Opened { .. } => {
                println!("open");
                session.send(Message::text("Hello Server!"))?;
            }
            Notice::Message(message) => {
                println!("received {}", message.as_text().unwrap_or("something"));
            }
            Notice::Pong { round_trip, .. } => println!("pong after {round_trip:?}"),
            Notice::Down(down) => println!("down: {}", down.cause),
            Notice::Stopped { reason, .. } => println!("over: {reason}"),
            _ => {}
        }
    }
    Ok(())
}
