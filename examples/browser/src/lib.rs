//! A page whose WebSocket is kept alive: the article's heartbeat, in the browser
//! that the article was written for.
//!
//! What a browser needs is in `keepalive::web`; here is a page to see it by.
#![forbid(unsafe_code)]

mod chart;
#[path = "../../../src/bin/keepalive/watch/text.rs"]
#[allow(dead_code, reason = "the page counts nothing in words")]
mod text;
mod view;

use std::time::Duration;

use gloo_events::EventListener;
use keepalive::driver::Notice;
use keepalive::web::{Client, Dialer, Error, Message, client};
use keepalive::{Config, ConfigError, SendError};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Document, EventTarget, Window};

use crate::view::{Log, Tone, View, element};

const GREETING: &str = "Hello Server!";

#[wasm_bindgen(start)]
fn start() -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("there is no window")?;
    let document = window.document().ok_or("there is no document")?;
    let config = quick().map_err(|error| error.to_string())?;
    let log = Log::new(&document)?;
    show_news(&window, &document, &log);
    let mut client = client(config, Dialer::new("/heartbeat"));
    listen(&document, &mut client, &log)?;
    let view = View::new(document, config, log)?;
    wasm_bindgen_futures::spawn_local(run(client, view));
    Ok(())
}

/// The article's settings, scaled down so that one sees them at work.
fn quick() -> Result<Config, ConfigError> {
    Config::article()
        .to_builder()
        .pong_timeout(Duration::from_secs(3))
        .connect_timeout(Duration::from_secs(5))
        .first_spread(Duration::from_secs(3))
        .backoff_cap(Duration::from_secs(10))
        .stable_after(Duration::from_secs(3))
        .build()
}

/// What the browser tells about the network: the client hears it by itself.
fn show_news(window: &Window, document: &Document, log: &Log) {
    let on = |target: &EventTarget, event: &'static str, news: &'static str| {
        let (document, log) = (document.clone(), log.clone());
        let listener = EventListener::new(target, event, move |_| {
            if news != "visible" || !document.hidden() {
                log.add(
                    Tone::Plain,
                    &format!("{news}: the network may have changed"),
                );
            }
        });
        listener.forget();
    };
    on(window, "online", "online");
    on(window, "offline", "offline");
    on(document, "visibilitychange", "visible");
}

/// Listens to the buttons as long as the page is there.
fn listen(document: &Document, client: &mut Client, log: &Log) -> Result<(), JsValue> {
    for text in ["mute", "drop"] {
        let (handle, log) = (client.handle(), log.clone());
        let button = element(document, text)?;
        let listener = EventListener::new(&button, "click", move |_| {
            let sent = handle.try_send(Message::text(text));
            log.add(Tone::Plain, &words(text, sent));
        });
        listener.forget();
    }
    let (handle, log) = (client.handle(), log.clone());
    let button = element(document, "reconnect")?;
    let listener = EventListener::new(&button, "click", move |_| {
        log.add(Tone::Plain, "reconnect now");
        // It is not stopped.
        let _ = handle.reconnect_now();
    });
    listener.forget();
    Ok(())
}

type Told = Notice<Message, Message, Error, Duration>;

async fn run(mut client: Client, mut view: View) {
    while let Some(notice) = client.next().await {
        view.tell(&notice);
        if let Notice::Opened { .. } = notice {
            let sent = client.send(Message::text(GREETING));
            view.log(Tone::Plain, &words(GREETING, sent));
        }
        view.show(client.heartbeat());
    }
}

fn words(text: &str, sent: Result<(), SendError<Message>>) -> String {
    match sent {
        Ok(()) => format!("sent {text}"),
        Err(error) => format!("not sent {text}: {error}"),
    }
}
