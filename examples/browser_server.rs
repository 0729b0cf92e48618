//! The server of the page in `examples/browser`:
//! `cargo run --features axum,tokio --example browser_server [ADDRESS]`.
//!
//! At `http://127.0.0.1:8080/`, or at another loopback address, it serves the page
//! that `examples/browser/build` has built, and the WebSocket that the page keeps
//! alive; Ctrl-C sends every page away with 1001. It watches the pages by the
//! protocol's pings, answers their own ones, and repeats what they say. One that
//! says "mute" hears nothing more, as if the network were gone; one that says "drop"
//! is cut off.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use keepalive::axum::accepted_with;
use keepalive::driver::{Codec, Incoming, Notice};
use keepalive::{Config, Shutdown};
use tokio::net::TcpListener;
use tokio::time::timeout;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/browser/dist");
/// How long a mute connection stays.
const MUTE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(address()).await?;
    println!("http://{}/", listener.local_addr()?);
    let shutdown = Shutdown::new();
    axum::serve(listener, router(shutdown.clone()))
        .with_graceful_shutdown(async {
            // Without signals there is no way to ask for the end.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    shutdown.close().await;
    Ok(())
}

/// Where to listen. Ends the process with 2 where the arguments are wrong.
fn address() -> SocketAddr {
    let mut arguments = env::args_os().skip(1);
    let argument = arguments.next().unwrap_or("127.0.0.1:8080".into());
    if arguments.next().is_some() {
        usage("there is more than one argument");
    }
    match argument.to_string_lossy().parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => address,
        Ok(_) => usage("others could reach this address"),
        Err(_) => usage("this is no address"),
    }
}

fn usage(wrong: &str) -> ! {
    eprintln!("{wrong}\nArguments: [ADDRESS], a loopback one such as 127.0.0.1:8080");
    process::exit(2)
}

fn router(shutdown: Shutdown) -> Router {
    let heartbeat = any(async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |socket| host(&shutdown, socket).await)
    });
    Router::new()
        .route("/heartbeat", heartbeat)
        .route("/", get(async || file("index.html", "text/html")))
        .route("/page.js", get(async || file("page.js", "text/javascript")))
        .route(
            "/page_bg.wasm",
            get(async || file("page_bg.wasm", "application/wasm")),
        )
}

/// A file of the page, as it is built now.
fn file(name: &str, kind: &str) -> Response {
    match fs::read(Path::new(PAGE).join(name)) {
        Ok(content) => ([(CONTENT_TYPE, kind)], content).into_response(),
        Err(_) => {
            let hint = "The page is not there: examples/browser/build builds it.\n";
            (StatusCode::NOT_FOUND, hint).into_response()
        }
    }
}

/// Stays with a page until it is gone, or wants to be left.
async fn host(shutdown: &Shutdown, socket: WebSocket) {
    let mut session = accepted_with(Config::default(), TextPings, socket);
    let handle = session.handle();
    shutdown.add(handle.clone());
    while let Some(notice) = session.next().await {
        let Notice::Message(message) = notice else {
            continue;
        };
        match message.to_text() {
            Ok("drop") => return,
            Ok("mute") => {
                // Either is the end.
                let _ = timeout(MUTE, shutdown.closing()).await;
                return;
            }
            _ => {
                // Where the page does not read, there is nothing to be done.
                let _ = handle.try_send(message);
            }
        }
    }
}

/// The protocol's pings, and an answer to the pages' own ones.
struct TextPings;

impl Codec<Message> for TextPings {
    type Message = Message;

    fn read(&mut self, data: Message) -> Incoming<Message, Message> {
        match &data {
            Message::Text(text) if *text == "ping" => Incoming::Ping(Message::text("pong")),
            _ => Incoming::Message(data),
        }
    }
}
