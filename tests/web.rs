//! `keepalive::web` in Chromium: what `tests/web` is called to do there, in a page and in a
//! worker, and what its server sees of it.
//!
//! Ignored where nobody asks for them: they need Chromium, and what
//! `examples/browser/build --probes` builds. `examples/browser/test` sees to both.
#![cfg(feature = "tokio")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/built.rs"]
mod built;
#[path = "support/chromium.rs"]
mod chromium;

use std::fs;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use chromium::Chromium;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the machine may take for everything else.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "examples/browser/test"]
fn texts_and_bytes_and_a_goodbye_arrive() {
    let mut page = Page::open("exchange");
    let told = ["Grüße", "70000 bytes, Some(7)", "down: stopped", "stopped"];
    for place in [Place::Page, Place::Worker] {
        assert_eq!(page.call(place, "exchange", json!([])), json!(told));
        page.saw("Grüße");
        page.saw("70000 bytes");
        page.saw("closed with 4000: enough");
    }
}

#[test]
#[ignore = "examples/browser/test"]
fn pings_are_texts_of_ones_own() {
    let mut page = Page::open("pings");
    for place in [Place::Page, Place::Worker] {
        assert_eq!(page.call(place, "pings", json!([])), 3);
        page.saw("?");
        page.saw("?");
        page.saw("?");
        page.saw("closed with 1000: ");
    }
}

#[test]
#[ignore = "examples/browser/test"]
fn a_server_that_does_not_answer_is_found_by_pings_or_by_silence() {
    let mut page = Page::open("mute");
    let down = page.call(Place::Page, "down_of_a_client", json!(["/mute"]));
    assert_eq!(down, "pings, Connection: no pong in time");
    page.saw("ping");
    page.saw("closed without a code");
    let down = page.call(Place::Page, "down_of_a_listener", json!(["/mute"]));
    assert_eq!(down, "no pings, Connection: nothing received in time");
    page.saw("closed without a code");
}

/// The clock of the system runs on while a machine sleeps, and that of a page may stand.
#[test]
#[ignore = "examples/browser/test"]
fn a_machine_that_slept_asks_soon_whether_the_server_is_there() {
    let mut page = Page::open("sleep");
    page.browser.evaluate(
        "const now = Date.now;
         setTimeout(() => Date.now = () => now() + 60_000, 1000);
         0",
    );
    let down = page.call(Place::Page, "down_of_a_patient_client", json!(["/mute"]));
    assert_eq!(down, "pings, Connection: no pong in time");
}

#[test]
#[ignore = "examples/browser/test"]
fn an_end_is_told_as_far_as_a_browser_tells_it() {
    let mut page = Page::open("ends");
    let down = page.call(Place::Page, "down_of_a_client", json!(["/away"]));
    assert_eq!(
        down,
        "no pings, Connection: closed with code 4401: log in first"
    );
    let down = page.call(Place::Page, "down_of_a_client", json!(["/refuse"]));
    assert_eq!(down, "no pings, Dial: cannot connect");
    let error = page.call(Place::Page, "dial_error", json!(["/refuse"]));
    assert_eq!(error, "cannot connect");
    let error = page.call(Place::Page, "dial_error", json!(["gopher://localhost/"]));
    let error = error.as_str().unwrap();
    assert!(
        error.starts_with("the browser refuses: SyntaxError"),
        "{error}"
    );
}

#[test]
#[ignore = "examples/browser/test"]
fn addresses_are_relative_to_the_page() {
    let mut page = Page::open("addresses");
    let origin = page.origin.clone();
    let absolute = origin.replacen("http", "ws", 1);
    for url in [
        "/echo",
        "echo",
        &format!("{origin}/echo"),
        &format!("{absolute}/echo"),
    ] {
        for place in [Place::Page, Place::Worker] {
            assert_eq!(
                page.call(place, "dial_error", json!([url])),
                "connected",
                "{url}"
            );
        }
    }
}

#[test]
#[ignore = "examples/browser/test"]
fn the_server_chooses_the_subprotocol() {
    let mut page = Page::open("protocol");
    assert_eq!(page.call(Place::Page, "chosen_protocol", json!([])), "new");
}

/// There are no threads, and no clock of the standard library's.
#[test]
#[ignore = "examples/browser/test"]
fn a_handle_that_cannot_wait_says_so() {
    let mut page = Page::open("blocking");
    let sent = page.call(Place::Page, "blocking_send", json!([]));
    assert_eq!(sent, "[Err(true), Err(true)]");
}

/// What leaves the browser's buffer slowly leaves it all the same.
#[test]
#[ignore = "examples/browser/test"]
fn a_slow_upload_is_no_loss() {
    let mut page = Page::open("upload");
    // For four seconds after the first bytes, in which the answer waits as well.
    page.browser.evaluate(
        "const send = WebSocket.prototype.send;
         let begun;
         WebSocket.prototype.send = function (data) {
             if (data.byteLength && begun === undefined) {
                 begun = performance.now();
                 setTimeout(() => send.call(this, data), 4000);
             } else {
                 send.call(this, data);
             }
         };
         Object.defineProperty(WebSocket.prototype, 'bufferedAmount', {
             get: () => begun === undefined
                 ? 0
                 : Math.max(0, 1e6 - 250 * (performance.now() - begun))
         });
         0",
    );
    let came = page.call(Place::Page, "upload", json!([1_000_000]));
    assert_eq!(came, "1000000 bytes, Some(7)");
}

#[test]
#[ignore = "examples/browser/test"]
fn seeds_are_of_the_browsers_randomness() {
    let mut page = Page::open("seeds");
    for place in [Place::Page, Place::Worker] {
        let seeds = page.call(place, "seeds", json!([]));
        assert_ne!(seeds[0], seeds[1]);
    }
    page.browser
        .evaluate("crypto.getRandomValues = (array) => array.fill(1); 0");
    let ones = u64::from_ne_bytes([1; 8]).to_string();
    let seeds = page.call(Place::Page, "seeds", json!([]));
    assert_eq!(seeds, json!([ones, ones]));
    // Where there is no such thing, two pages still differ.
    page.browser
        .evaluate("Object.defineProperty(window, 'crypto', {value: undefined}); 0");
    let seeds = page.call(Place::Page, "seeds", json!([]));
    assert_ne!(seeds[0], seeds[1]);
}

#[derive(Clone, Copy)]
enum Place {
    Page,
    Worker,
}

/// A page of its own, and its server.
struct Page {
    browser: Chromium,
    origin: String,
    seen: Receiver<String>,
}

impl Page {
    fn open(name: &str) -> Self {
        let (sender, seen) = mpsc::channel();
        let (address, addresses) = mpsc::channel();
        thread::spawn(move || serve(&address, sender));
        let origin = format!("http://{}", addresses.recv_timeout(PATIENCE).unwrap());
        let name = format!("web-{name}");
        let mut browser = Chromium::open(&name, &origin);
        let started = Instant::now();
        while browser.evaluate("!!window.probes") != true {
            assert!(started.elapsed() < PATIENCE, "the page does not load");
            sleep(Duration::from_millis(20));
        }
        Self {
            browser,
            origin,
            seen,
        }
    }

    fn call(&mut self, place: Place, name: &str, arguments: Value) -> Value {
        let script = match place {
            Place::Page => format!("probes.{name}(...{arguments})"),
            Place::Worker => format!("inWorker('{name}', {arguments})"),
        };
        self.browser.evaluate(&script)
    }

    /// What the server saw next, besides pings.
    fn saw(&self, start: &str) {
        let mut next = self.seen.recv_timeout(PATIENCE).unwrap();
        while next == "ping" && start != "ping" {
            next = self.seen.recv_timeout(PATIENCE).unwrap();
        }
        assert!(next.starts_with(start), "{next}, not {start}");
    }
}

/// Lives as long as the test.
#[tokio::main(flavor = "current_thread")]
async fn serve(address: &Sender<String>, seen: Sender<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    address.send(local.to_string()).unwrap();
    let (echo, mute) = (seen.clone(), seen);
    let echo = any(async |upgrade: WebSocketUpgrade| {
        let upgrade = upgrade.protocols(["new"]);
        upgrade.on_upgrade(async move |socket| host(socket, &echo, false).await)
    });
    let mute = any(async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |socket| host(socket, &mute, true).await)
    });
    let away = any(async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut socket| {
            let close = CloseFrame {
                code: 4401,
                reason: "log in first".into(),
            };
            let _ = socket.send(Message::Close(Some(close))).await;
            let _ = socket.recv().await;
        })
    });
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/worker.js", get(async || script(WORKER)))
        .route("/web.js", get(async || file("web.js", "text/javascript")))
        .route(
            "/web_bg.wasm",
            get(async || file("web_bg.wasm", "application/wasm")),
        )
        .route("/refuse", get(async || StatusCode::FORBIDDEN))
        .route("/echo", echo)
        .route("/mute", mute)
        .route("/away", away);
    axum::serve(listener, router).await.unwrap();
}

/// Repeats everything, answers pings that are texts, or says nothing.
async fn host(mut socket: WebSocket, seen: &Sender<String>, is_mute: bool) {
    while let Some(Ok(message)) = socket.recv().await {
        let saw = match &message {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => format!("{} bytes", bytes.len()),
            Message::Close(Some(frame)) => format!("closed with {}: {}", frame.code, frame.reason),
            Message::Close(None) => "closed without a code".to_owned(),
            other => format!("{other:?}"),
        };
        // The test may be over.
        let _ = seen.send(saw);
        let answer = match message {
            Message::Text(text) if text == "?" => Message::text("!"),
            Message::Text(text) if text == "ping" => Message::text("pong"),
            other => other,
        };
        if !is_mute && socket.send(answer).await.is_err() {
            return;
        }
    }
}

const PAGE: &str = "<!doctype html>
<title>probes</title>
<script type=module>
    import init, * as probes from '/web.js';
    await init();
    window.inWorker = (name, args) => new Promise((resolve, reject) => {
        const worker = new Worker('/worker.js', {type: 'module'});
        worker.onerror = reject;
        worker.onmessage = ({data}) => {
            worker.terminate();
            data.error === undefined ? resolve(data.result) : reject(data.error);
        };
        worker.postMessage({name, args});
    });
    window.probes = probes;
</script>";

const WORKER: &str = "import init, * as probes from '/web.js';
const loaded = init();
onmessage = async ({data: {name, args}}) => {
    try {
        await loaded;
        postMessage({result: await probes[name](...args)});
    } catch (error) {
        postMessage({error: String(error)});
    }
};";

fn script(text: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/javascript")], text).into_response()
}

fn file(name: &str, kind: &str) -> Response {
    let dist = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web/dist/");
    match fs::read(format!("{dist}{name}")) {
        Ok(content) => ([(CONTENT_TYPE, kind)], content).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
