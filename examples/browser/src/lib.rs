//! A page whose WebSocket is kept alive: the article's heartbeat, in the browser
//! that the article was written for.
//!
//! What is particular to browsers is in `socket` and `parts`; the rest is the same
//! session as on any other runtime, and a page to see it by.
#![forbid(unsafe_code)]

mod chart;
mod parts;
mod socket;
#[path = "../../watch/text.rs"]
#[allow(dead_code, reason = "the page counts nothing in words")]
mod text;
mod view;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_channel::mpsc;
use futures_core::Stream;
use gloo_events::EventListener;
use keepalive::driver::Notice;
use keepalive::session::Session;
use keepalive::{Config, ConfigError, SendError};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Document, EventTarget, Window};

use crate::parts::TextPings;
use crate::socket::{Browser, Fault, Message, Socket};
use crate::view::{Tone, View, element};

const GREETING: &str = "Hello Server!";

#[wasm_bindgen(start)]
fn start() -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("there is no window")?;
    let config = quick().map_err(|error| error.to_string())?;
    let url = window.location().origin()?.replacen("http", "ws", 1) + "/heartbeat";
    let document = window.document().ok_or("there is no document")?;
    let (ask, asked) = mpsc::unbounded();
    listen(&window, &document, &ask)?;
    let view = View::new(document, config)?;
    wasm_bindgen_futures::spawn_local(run(config, url, view, asked));
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

/// What the page asks of the session.
#[derive(Clone, Copy)]
enum Ask {
    /// To send this to the server.
    Say(&'static str),
    ReconnectNow,
    NetworkChanged(&'static str),
}

/// Listens to the buttons and to the browser as long as the page is there.
fn listen(
    window: &Window,
    document: &Document,
    ask: &mpsc::UnboundedSender<Ask>,
) -> Result<(), JsValue> {
    let on = |target: &EventTarget, name: &'static str, what: Ask| {
        let (ask, document) = (ask.clone(), document.clone());
        let listener = EventListener::new(target, name, move |event| {
            // A page that is only hidden now has not been away.
            if event.type_() != "visibilitychange" || !document.hidden() {
                // The session has the other end.
                let _ = ask.unbounded_send(what);
            }
        });
        listener.forget();
    };
    for (button, what) in [
        ("mute", Ask::Say("mute")),
        ("drop", Ask::Say("drop")),
        ("reconnect", Ask::ReconnectNow),
    ] {
        on(element(document, button)?.as_ref(), "click", what);
    }
    on(window, "online", Ask::NetworkChanged("online"));
    on(window, "offline", Ask::NetworkChanged("offline"));
    on(document, "visibilitychange", Ask::NetworkChanged("visible"));
    Ok(())
}

enum Next {
    Asked(Ask),
    Told(Told),
}

type Told = Notice<Message, Message, Fault, Duration>;

async fn run(config: Config, url: String, mut view: View, mut asked: mpsc::UnboundedReceiver<Ask>) {
    let dial = |_attempt| Socket::connect(url.clone());
    let (seed, timer) = (parts::seed(), parts::timer());
    let mut session = Session::client(config, seed, Browser, TextPings, timer, dial);
    loop {
        let next = poll_fn(|context| {
            if let Poll::Ready(Some(ask)) = Pin::new(&mut asked).poll_next(context) {
                return Poll::Ready(Next::Asked(ask));
            }
            match session.poll_notice(context) {
                Poll::Ready(Some(notice)) => Poll::Ready(Next::Told(notice)),
                // It has stopped, and waits for "reconnect now".
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            }
        });
        match next.await {
            Next::Asked(Ask::Say(text)) => {
                let sent = session.send(message(text));
                view.log(Tone::Plain, &words(text, sent));
            }
            Next::Asked(Ask::ReconnectNow) => {
                view.log(Tone::Plain, "reconnect now");
                session.reconnect_now();
            }
            Next::Asked(Ask::NetworkChanged(how)) => {
                view.log(Tone::Plain, &format!("{how}: the network may have changed"));
                session.network_changed();
            }
            Next::Told(notice) => {
                view.tell(&notice);
                if let Notice::Opened { .. } = notice {
                    let sent = session.send(message(GREETING));
                    view.log(Tone::Plain, &words(GREETING, sent));
                }
            }
        }
        view.show(session.heartbeat());
    }
}

fn message(text: &str) -> Message {
    Message::Text(text.to_owned())
}

fn words(text: &str, sent: Result<(), SendError<Message>>) -> String {
    match sent {
        Ok(()) => format!("sent {text}"),
        Err(error) => format!("not sent {text}: {error}"),
    }
}
