//! A chat room on axum whose members are watched:
//! `cargo run --features axum,tokio --example chat [ADDRESS]`.
//!
//! With an address such as `127.0.0.1:8080` it serves until Ctrl-C, which sends every
//! member away with 1001; `http://127.0.0.1:8080/` is a page to chat by. Without one
//! it shows itself with two members, of whom one falls silent, and ends.

mod room;

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::process;
use std::time::Duration;

use keepalive::driver::Notice;
use keepalive::tokio::{client, connect};
use keepalive::{Config, ConfigError};
use room::Room;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let address = arguments.next();
    if arguments.next().is_some() {
        usage("there is more than one argument");
    }
    let Some(address) = address else {
        return show().await;
    };
    match address.to_string_lossy().parse() {
        Ok(address) => serve(address).await,
        Err(_) => usage("this is no address"),
    }
}

fn usage(wrong: &str) -> ! {
    eprintln!("{wrong}\nArguments: [ADDRESS], such as 127.0.0.1:8080");
    process::exit(2)
}

async fn serve(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let room = Room::new(Config::default());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    let router = room.router();
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            // Without signals there is no way to ask for the end.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    room.close().await;
    Ok(())
}

/// Carl falls silent, Ann asks for him, and the room closes.
async fn show() -> Result<(), Box<dyn Error>> {
    let room = Room::new(quick()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = room.router();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let _carl = connect(format!("ws://{address}/chat/carl")).await?;
    let dial = |_attempt| connect(format!("ws://{address}/chat/ann"));
    let mut ann = client(quick()?, dial);
    while let Some(notice) = ann.next().await {
        match notice {
            Notice::Message(message) => match message.to_text()? {
                "carl leaves: no pong in time" => ann.send(Message::text("Carl?"))?,
                "ann: Carl?" => {
                    let room = room.clone();
                    tokio::spawn(async move { room.close().await });
                }
                _ => {}
            },
            Notice::Stopped { reason, .. } => {
                room.close().await; // until all are gone
                println!("ann is told: {reason}");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The article's settings, ten times as fast, and once only.
fn quick() -> Result<Config, ConfigError> {
    Config::article()
        .to_builder()
        .ping_interval(Duration::from_millis(200))
        .pong_timeout(Duration::from_secs(1))
        .reconnect(false)
        .build()
}
