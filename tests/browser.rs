//! The page of `examples/browser` in Chromium, and its server.
//!
//! The tests of the page are ignored where nobody asks for them: they need Chromium
//! and the page. `examples/browser/test` sees to both.
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
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use built::{Running, example, output};
use chromium::Chromium;
use tungstenite::error::ProtocolError;
use tungstenite::{Error, Message, WebSocket, client};

/// The settings of the page.
const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(3);
/// How late the page may be, with all else that this machine does.
const LATE: Duration = Duration::from_secs(5);
/// What the machine may take for everything else.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_server_knows_a_loopback_address() {
    for arguments in [
        vec!["localhost"],
        vec!["0.0.0.0:0"],
        vec!["127.0.0.1:0", "and"],
    ] {
        let output = output(example("browser_server").args(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_server_answers_pings_and_repeats_the_rest() {
    let server = Server::start();
    let mut socket = server.connect();
    for (said, answer) in [("ping", "pong"), ("Hello Server!", "Hello Server!")] {
        socket.send(Message::text(said)).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text(answer));
    }
}

#[test]
fn the_server_drops_who_wants_it() {
    let server = Server::start();
    let mut socket = server.connect();
    socket.send(Message::text("drop")).unwrap();
    let end = socket.read();
    let cut = matches!(
        end,
        Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))
    );
    assert!(cut, "{end:?}");
}

#[test]
fn the_server_is_mute_to_who_wants_it() {
    let server = Server::start();
    let mut socket = server.connect();
    socket.send(Message::text("mute")).unwrap();
    socket.send(Message::text("ping")).unwrap();
    socket.send(Message::Ping("".into())).unwrap();
    let quiet = Some(Duration::from_millis(500));
    socket.get_ref().set_read_timeout(quiet).unwrap();
    let silence = socket.read();
    let is_silence = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
    };
    assert!(
        matches!(&silence, Err(Error::Io(error)) if is_silence(error)),
        "{silence:?}"
    );

    // Others hear it.
    let mut other = server.connect();
    other.send(Message::text("ping")).unwrap();
    assert_eq!(other.read().unwrap(), Message::text("pong"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_sends_all_away() {
    let mut server = Server::start();
    let (mut ann, mut bob) = (server.connect(), server.connect());
    bob.send(Message::text("mute")).unwrap();
    bob.send(Message::text("ping")).unwrap();
    ann.send(Message::text("ping")).unwrap();
    assert_eq!(ann.read().unwrap(), Message::text("pong"));
    server.signal("-INT");
    let Message::Close(Some(frame)) = ann.read().unwrap() else {
        panic!("no goodbye");
    };
    assert_eq!(u16::from(frame.code), 1001);
    drop((ann, bob));
    assert!(server.process.end().success());
}

#[test]
#[ignore = "examples/browser/test"]
fn a_page_pings_and_survives_a_mute_and_a_drop() {
    let server = Server::start();
    let mut page = Page::open("story", &server.url);
    for line in [
        "connecting",
        "open",
        "sent Hello Server!",
        "received Hello Server!",
    ] {
        page.hears(line);
    }
    for seq in 1..=5 {
        page.hears(&format!("pong seq={seq} rtt="));
    }
    page.shows("state", "Open");
    page.shows("attempt", "0");
    page.shows("pongs", "5");
    page.shows("downs", "0");
    let least: f64 = page.text("least").parse().unwrap();
    assert!(least > 0.0 && least < 500.0, "{least} ms over the loopback");
    assert_eq!(page.bars("bars"), 5);

    page.browser.click("mute");
    let asked = page.hears("sent mute").at;
    page.shows("countdown", "pinged, no answer for ");
    let convicted = page
        .hears("not received pong in 3 s, close the websocket")
        .at;
    let took = convicted.saturating_sub(asked);
    assert!(
        (TIMEOUT..INTERVAL + TIMEOUT + LATE).contains(&took),
        "{took:?}"
    );
    page.hears("reconnect 1 in ");
    page.hears("connecting, retry 1");
    page.hears("open");
    page.hears("pong seq=1 ");
    page.hears("pong seq=2 ");
    page.hears("pong seq=3 "); // stable

    page.browser.click("drop");
    page.hears("sent drop");
    page.hears("the connection ended without a close code");
    page.hears("reconnect 1 in ");
    page.hears("open");
    page.hears("pong seq=3 ");

    page.browser.click("reconnect");
    page.hears("reconnect now");
    page.hears_next("connecting");
    page.hears_next("open");
    page.hears("pong seq=2 ");
    page.shows("downs", "2");
    assert_eq!(page.bars("gaps"), 2);

    page.browser.click("mute");
    page.hears("not received pong in 3 s");
    page.shows("state", "Waiting");
    page.shows("countdown", "next try in ");
    let picture = page.browser.picture();
    fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.png"),
        picture,
    )
    .unwrap();
}

#[test]
#[ignore = "examples/browser/test"]
fn a_page_finds_a_server_that_was_restarted() {
    let server = Server::start();
    let address = server.address().to_owned();
    let mut page = Page::open("restart", &server.url);
    page.hears("pong seq=1 ");
    drop(server);
    page.hears("the connection ended without a close code");
    page.hears("reconnect 1 in ");
    page.hears("cannot connect");
    page.hears("reconnect 2 in ");
    page.hears("cannot connect");
    page.hears("reconnect 3 in ");
    page.shows("state", "Waiting");
    page.shows("attempt", "3");
    page.shows("countdown", "next try in ");
    assert_eq!(
        page.evaluate("document.getElementById('mute').disabled"),
        true
    );

    let _server = Server::start_at(&address);
    page.browser.click("reconnect");
    page.hears("reconnect now");
    page.hears("open");
    page.hears("received Hello Server!");
    page.hears("pong seq=1 ");
    page.shows("state", "Open");
}

#[cfg(unix)]
#[test]
#[ignore = "examples/browser/test"]
fn a_page_that_is_sent_away_comes_back() {
    let mut server = Server::start();
    let address = server.address().to_owned();
    let mut page = Page::open("goodbye", &server.url);
    page.hears("open");
    server.signal("-INT");
    page.hears("the server closed with 1001");
    page.hears("reconnect 1 in ");
    server.process.end();
    let _server = Server::start_at(&address);
    page.hears("open");
    page.hears("pong seq=1 ");
}

/// Chromium's offline mode tells the page, and leaves WebSockets alone. What a
/// network does that is gone, a server does that is stopped: it says nothing.
#[cfg(unix)]
#[test]
#[ignore = "examples/browser/test"]
fn a_page_that_was_offline_comes_back_at_once() {
    let server = Server::start();
    let mut page = Page::open("offline", &server.url);
    page.hears("pong seq=1 ");
    server.signal("-STOP");
    page.browser.set_offline(true);
    let offline = page.hears("offline: the network may have changed").at;
    let convicted = page.hears("not received pong in 3 s").at;
    let took = convicted.saturating_sub(offline);
    assert!((TIMEOUT..TIMEOUT + LATE).contains(&took), "{took:?}");
    page.hears("no connection in 5 s, give the dial up");
    let mut wait = 0.0;
    while wait < 3.0 {
        let plan = page.hears("reconnect ").text;
        let words: Vec<_> = plan.split(' ').collect();
        wait = words[3].parse().unwrap();
    }
    server.signal("-CONT");
    page.browser.set_offline(false);
    page.hears("online: the network may have changed");
    page.hears("(moved)");
    page.hears("open");
    page.hears("pong seq=1 ");
}

/// What is put into a full buffer cannot be taken back, and the deadline does not
/// wait for it.
#[test]
#[ignore = "examples/browser/test"]
fn a_page_whose_buffer_is_full_sends_nothing_and_waits_no_longer() {
    let server = Server::start();
    let mut page = Page::open("full", &server.url);
    page.hears("pong seq=1 ");
    page.evaluate(
        "Object.defineProperty(WebSocket.prototype, 'bufferedAmount', {
             get: () => window.isFull ? 1e6 : 0
         });
         window.isFull = true",
    );
    page.hears("not received pong in 3 s");
    page.hears("open");
    page.hears_next("sent Hello Server!");
    sleep(INTERVAL / 2);
    page.evaluate("window.isFull = false");
    page.hears_next("received Hello Server!");
    page.hears_next("pong seq=1 ");
}

/// The end of a connection that was given up comes when another one is up.
#[test]
#[ignore = "examples/browser/test"]
fn a_page_does_not_hear_what_an_old_socket_says() {
    let server = Server::start();
    let mut page = Page::open("old", &server.url);
    page.hears("pong seq=1 ");
    page.evaluate(
        "window.sockets = [];
         window.WebSocket = class extends WebSocket {
             constructor(url) { super(url); sockets.push(this); }
         }",
    );
    for _ in 0..2 {
        page.browser.click("reconnect");
        page.hears("pong seq=1 ");
    }
    let speak = |socket: &str| {
        format!(
            "{socket}.dispatchEvent(new MessageEvent('message', {{data: 'stale'}}));
             {socket}.dispatchEvent(new Event('error'));
             {socket}.dispatchEvent(new CloseEvent('close', {{code: 1000}}))"
        )
    };
    page.evaluate(&speak("sockets[0]"));
    page.hears_next("pong seq=2 ");
    page.hears_next("pong seq=3 ");
    page.evaluate(&speak("sockets[1]"));
    page.hears_next("received stale");
    page.hears_next("the server closed with 1000");
    page.hears_next("reconnect 1 in ");
    page.shows("state", "Waiting");
    page.browser.click("reconnect");
    page.hears("pong seq=1 ");
}

/// The page is busy after each ping, and finds the answer when it should have had it
/// long ago.
#[test]
#[ignore = "examples/browser/test"]
fn a_page_that_was_stalled_accuses_nobody() {
    let server = Server::start();
    let mut page = Page::open("stalled", &server.url);
    page.hears("pong seq=1 ");
    page.evaluate(
        "const stall = () => {
             const end = performance.now() + 6000;
             while (performance.now() < end);
         };
         const send = WebSocket.prototype.send;
         WebSocket.prototype.send = function (text) {
             send.call(this, text);
             if (text === 'ping') queueMicrotask(stall);
         };
         0",
    );
    for _ in 0..4 {
        page.hears("pong ");
    }
    page.shows("downs", "0");
}

/// Without a cause, no ping comes within the interval. On a busy machine the page may
/// be back too late to show it, so it gets some tries.
#[test]
#[ignore = "examples/browser/test"]
fn a_page_that_is_visible_again_pings_at_once() {
    let server = Server::start();
    let mut page = Page::open("hidden", &server.url);
    page.hears("pong seq=1 ");
    for _ in 0..10 {
        page.browser.hide();
        let before = page.hears("pong ").at;
        page.browser.show();
        page.hears("visible: the network may have changed");
        let after = page.hears_next("pong ").at;
        page.shows("downs", "0");
        if after.saturating_sub(before) < INTERVAL {
            return;
        }
    }
    panic!("no ping out of turn: {:#?}", page.log());
}

/// Its timers fire once a minute, so every tick is late: the ping, the verdict that is
/// put off, and the verdict, each of which waits for the next minute to have all read.
#[cfg(unix)]
#[test]
#[ignore = "examples/browser/test --long: nine minutes"]
fn long_a_page_that_is_hidden_accuses_only_the_mute() {
    let server = Server::start();
    let mut page = Page::open("long", &server.url);
    page.hears("pong seq=1 ");
    page.browser.hide();
    // Nobody looks at the page meanwhile, which would wake it.
    sleep(Duration::from_secs(3 * 60));
    server.signal("-STOP");
    sleep(Duration::from_secs(5 * 60 + 30));
    let log = page.log();
    let minute = Duration::from_secs(50)..Duration::from_secs(70);
    let pongs = log.iter().filter(|(_, text)| text.starts_with("pong"));
    let [.., (one, _), (other, _)] = pongs.collect::<Vec<_>>()[..] else {
        panic!("no pongs: {log:#?}");
    };
    let apart = since_midnight(other).saturating_sub(since_midnight(one));
    assert!(minute.contains(&apart), "{log:#?}");
    let convicted = page.hears("not received pong in 3 s").at;
    let took = convicted.saturating_sub(since_midnight(other));
    assert!(took > 2 * minute.start && took < 5 * minute.end, "{log:#?}");
}

/// The example, as it is built.
struct Server {
    process: Running,
    url: String,
}

impl Server {
    fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    fn start_at(address: &str) -> Self {
        let mut process = Running::start(example("browser_server").arg(address));
        let url = process.line().unwrap();
        Self { process, url }
    }

    fn address(&self) -> &str {
        self.url
            .strip_prefix("http://")
            .unwrap()
            .trim_end_matches('/')
    }

    fn connect(&self) -> WebSocket<TcpStream> {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{}/heartbeat", self.address());
        client(url, stream).unwrap().0
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }
}

/// The page, and how much of its log was read.
struct Page {
    browser: Chromium,
    read: usize,
}

/// A line of the log. Its time is since midnight.
struct Line {
    at: Duration,
    text: String,
}

impl Page {
    fn open(name: &str, url: &str) -> Self {
        let browser = Chromium::open(name, url);
        Self { browser, read: 0 }
    }

    fn evaluate(&mut self, script: &str) -> serde_json::Value {
        self.browser.evaluate(script)
    }

    /// What an element says.
    fn text(&mut self, id: &str) -> String {
        let text = self.evaluate(&format!("document.getElementById('{id}')?.textContent"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// How many strokes this part of the chart has.
    fn bars(&mut self, id: &str) -> usize {
        let path = self.evaluate(&format!(
            "document.getElementById('{id}').getAttribute('d')"
        ));
        path.as_str().unwrap().matches('M').count()
    }

    /// Waits until an element says this.
    fn shows(&mut self, id: &str, text: &str) {
        let started = Instant::now();
        while !self.text(id).starts_with(text) {
            assert!(started.elapsed() < PATIENCE, "no {text}: {:#?}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a line that begins or ends with this, after what was read.
    fn hears(&mut self, text: &str) -> Line {
        let started = Instant::now();
        loop {
            let line = self.next(text);
            assert!(started.elapsed() < PATIENCE, "no {text}: {:#?}", self.log());
            if line.text.starts_with(text) || line.text.ends_with(text) {
                return line;
            }
        }
    }

    /// Waits for the next line, which begins with this.
    fn hears_next(&mut self, text: &str) -> Line {
        let line = self.next(text);
        assert!(
            line.text.starts_with(text),
            "{} in place of {text}",
            line.text
        );
        line
    }

    fn next(&mut self, awaited: &str) -> Line {
        let started = Instant::now();
        loop {
            let mut log = self.log();
            if self.read < log.len() {
                let (time, text) = log.swap_remove(self.read);
                self.read += 1;
                let at = since_midnight(&time);
                return Line { at, text };
            }
            assert!(started.elapsed() < PATIENCE, "no {awaited} in {log:#?}");
            sleep(Duration::from_millis(20));
        }
    }

    fn log(&mut self) -> Vec<(String, String)> {
        let lines = self.evaluate(
            "[...document.querySelectorAll('#log li')]\
             .map(line => [...line.childNodes].map(node => node.textContent))",
        );
        serde_json::from_value(lines).unwrap()
    }
}

/// 23:59:59.999
fn since_midnight(time: &str) -> Duration {
    let seconds = time
        .split(':')
        .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
    Duration::from_secs_f64(seconds)
}
