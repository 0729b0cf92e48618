//! A client on tokio and tokio-tungstenite:
//! `cargo run --features rustls,tokio --example tokio_client [URL]`.
//!
//! It greets the server each time it is connected. Without a URL it starts a server
//! of its own that falls silent first, and ends by itself.

mod support;

use std::error::Error;

use keepalive::Notice;
use keepalive::tokio::{Dialer, Message, client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (url, config) = support::target()?;
    let mut session = client(config, Dialer::new(url));
    while let Some(notice) = session.next().await {
        match notice {
            Notice::Connecting { attempt } => println!("connecting, retry {attempt}"),
            Notice::Opened { .. } => {
                println!("open");
                session.send(Message::text("Hello Server!"))?;
            }
            Notice::Message(message) => println!("received {message}"),
            Notice::Pong { round_trip, .. } => println!("pong after {round_trip:?}"),
            Notice::Down(down) => println!("down: {}", down.cause),
            Notice::Stopped { reason, .. } => println!("over: {reason}"),
            _ => {}
        }
    }
    Ok(())
}
