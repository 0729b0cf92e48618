//! What `tests/web.rs` has done in a browser, and in a worker: each function is called by
//! name, and what it returns is compared there.

use std::fmt::Debug;
use std::time::Duration;

use js_sys::Array;
use keepalive::driver::{Down, Notice};
use keepalive::web::{Client, Dialer, Error, Message, TextPings, client, client_with, connect};
use keepalive::web::{listener, seed};
use keepalive::{Backlog, CloseCode, Config, Goodbye, SendError};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Where the server repeats everything.
const ECHO: &str = "/echo";

fn quick() -> Config {
    let settings = Config::builder()
        .ping_interval(Duration::from_millis(300))
        .pong_timeout(Duration::from_secs(1))
        .idle_timeout(Duration::from_millis(500))
        .first_spread(Duration::from_millis(10));
    settings.build().unwrap_or_default()
}

fn error(error: impl Debug) -> JsValue {
    format!("{error:?}").into()
}

fn words(notice: Notice<Message, Message, Error, Duration>) -> String {
    match notice {
        Notice::Message(Message::Text(text)) => text,
        Notice::Message(Message::Binary(bytes)) => {
            format!("{} bytes, {:?}", bytes.len(), bytes.first())
        }
        Notice::Down(down) => format!("down: {}", down.cause),
        Notice::Stopped { reason, .. } => reason.to_string(),
        other => format!("{other:?}"),
    }
}

/// Texts and bytes by a handle, from a task of its own, and a goodbye.
#[wasm_bindgen]
pub async fn exchange() -> Result<Array, JsValue> {
    let (handle, mut notices) = client(quick(), Dialer::new(ECHO)).spawn();
    handle.send(Message::text("Grüße")).await.map_err(error)?;
    handle
        .send(Message::binary([7; 70_000]))
        .await
        .map_err(error)?;
    let told = Array::new();
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Message(Message::Binary(_)) => {
                told.push(&words(notice).into());
                let goodbye = Goodbye::new(CloseCode(4000), "enough").map_err(error)?;
                handle.stop_with(goodbye).map_err(error)?;
            }
            Notice::Message(_) | Notice::Down(_) | Notice::Stopped { .. } => {
                told.push(&words(notice).into());
            }
            _ => {}
        }
    }
    Ok(told)
}

/// Pongs within a second.
#[wasm_bindgen]
pub async fn pings() -> u32 {
    let mut client = client_with(quick(), TextPings::new("?", "!"), Dialer::new(ECHO));
    let mut pongs = 0;
    while let Some(notice) = client.next().await {
        match notice {
            Notice::Pong { .. } => pongs += 1,
            Notice::Down(_) => break,
            _ => {}
        }
        if pongs == 3 {
            client.stop();
        }
    }
    pongs
}

/// The first down of this client's, and how many pings it sent before.
async fn first_down<K: keepalive::Codec<Message>>(mut client: Client<K>) -> String {
    let mut pings = 0;
    while let Some(notice) = client.next().await {
        match notice {
            Notice::Ping(_) => pings += 1,
            Notice::Down(down) => return outline(pings, &down),
            _ => {}
        }
    }
    "over".to_owned()
}

fn outline(pings: u32, down: &Down<Message, Error, Duration>) -> String {
    let pinged = if pings == 0 { "no pings" } else { "pings" };
    format!("{pinged}, {:?}: {}", down.lost, down.cause)
}

#[wasm_bindgen]
pub async fn down_of_a_client(url: String) -> String {
    first_down(client(quick(), Dialer::new(url))).await
}

/// Of one that would be patient, but for news of the network.
#[wasm_bindgen]
pub async fn down_of_a_patient_client(url: String) -> String {
    let config = quick().to_builder().pong_timeout(Duration::from_secs(600));
    first_down(client(config.build().unwrap_or_default(), Dialer::new(url))).await
}

#[wasm_bindgen]
pub async fn down_of_a_listener(url: String) -> String {
    let config = quick().to_builder().always_ping(true).strict_pongs(true);
    first_down(listener(
        config.build().unwrap_or_default(),
        Dialer::new(url),
    ))
    .await
}

#[wasm_bindgen]
pub async fn chosen_protocol() -> Result<String, JsValue> {
    let dialer = Dialer::new(ECHO).protocol("old").protocol("new");
    let socket = dialer.connect().await.map_err(error)?;
    Ok(socket.protocol())
}

#[wasm_bindgen]
pub async fn dial_error(url: String) -> String {
    match connect(url).await {
        Ok(_) => "connected".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// To wait for room is no use where there is one thread.
#[wasm_bindgen]
pub fn blocking_send() -> Result<String, JsValue> {
    let mut client = client(quick(), Dialer::new(ECHO));
    let handle = client.handle_of(Backlog::default().messages(1));
    handle.send_blocking(Message::text("one")).map_err(error)?;
    let errors = [
        handle.send_blocking(Message::text("two")),
        handle.send_blocking_for(Message::text("three"), Duration::from_secs(1)),
    ];
    Ok(format!(
        "{:?}",
        errors.map(|sent| sent.map_err(|error| matches!(error, SendError::WouldBlock(_))))
    ))
}

/// Sends a lot, and says what came of it when all of it was repeated.
#[wasm_bindgen]
pub async fn upload(size: usize) -> String {
    let mut client = client(quick(), Dialer::new(ECHO));
    while let Some(notice) = client.next().await {
        match notice {
            Notice::Opened { .. } if client.send(Message::binary(vec![7; size])).is_err() => {
                return "it is not sent".to_owned();
            }
            Notice::Message(_) | Notice::Down(_) => return words(notice),
            _ => {}
        }
    }
    "over".to_owned()
}

#[wasm_bindgen]
pub fn seeds() -> Array {
    [seed(), seed()]
        .map(|seed| JsValue::from(seed.to_string()))
        .into_iter()
        .collect()
}
