//! A headless Chromium, spoken to in its DevTools protocol.
#![allow(dead_code, unreachable_pub)]

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread::sleep;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tungstenite::http::Uri;
use tungstenite::{Message, WebSocket, client};

use super::built::{Killed, lines, next_line};

/// It answers within this time, even here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Chromium {
    // Dropped first: the browser is to be gone before its profile.
    process: Killed,
    /// What else it complains about is read, and no more.
    _errors: Receiver<String>,
    socket: WebSocket<TcpStream>,
    calls: u64,
    /// The page.
    session: Value,
    /// Another page, in front of it.
    cover: Value,
    profile: PathBuf,
}

impl Chromium {
    /// Starts the browser of `CHROMIUM`, or `chromium`, for a page of this name.
    pub fn open(name: &str, url: &str) -> Self {
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{name}"));
        // It may be left from a run that was ended.
        let _ = fs::remove_dir_all(&profile);
        let binary = env::var_os("CHROMIUM").unwrap_or("chromium".into());
        let mut child = Command::new(binary)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking"])
            .args([
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
            ])
            // A page that is hidden is woken once a minute after 10 s, not after 5 minutes.
            .arg("--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/10")
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = lines(child.stderr.take().unwrap());
        let process = Killed(child);
        let browser: Uri = loop {
            let line = next_line(&errors).expect("the browser does not start");
            if let Some(address) = line.strip_prefix("DevTools listening on ") {
                break address.parse().unwrap();
            }
        };
        let stream = TcpStream::connect(browser.authority().unwrap().as_str()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = client(browser, stream).unwrap();
        let mut chromium = Self {
            process,
            _errors: errors,
            socket,
            calls: 0,
            session: Value::Null,
            cover: Value::Null,
            profile,
        };
        let target = chromium.create(url);
        let attach = json!({"targetId": target, "flatten": true});
        let attached = chromium.call_browser("Target.attachToTarget", attach);
        chromium.session = attached["sessionId"].clone();
        let size = json!({"width": 800, "height": 850, "deviceScaleFactor": 1, "mobile": false});
        chromium.call("Emulation.setDeviceMetricsOverride", size);
        chromium
    }

    /// Calls a method of the protocol on the page.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let session = self.session.clone();
        self.request(json!({"method": method, "params": params, "sessionId": session}))
    }

    fn call_browser(&mut self, method: &str, params: Value) -> Value {
        self.request(json!({"method": method, "params": params}))
    }

    fn request(&mut self, mut request: Value) -> Value {
        self.calls += 1;
        request["id"] = self.calls.into();
        self.socket
            .send(Message::text(request.to_string()))
            .unwrap();
        loop {
            let message = self.socket.read().unwrap();
            let mut answer: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{request}: {answer}");
                return answer["result"].take();
            }
        }
    }

    fn create(&mut self, url: &str) -> Value {
        self.call_browser("Target.createTarget", json!({"url": url}))["targetId"].take()
    }

    /// Lays another page over it.
    pub fn hide(&mut self) {
        self.cover = self.create("about:blank");
        self.await_visibility("hidden");
    }

    /// Takes that page away.
    pub fn show(&mut self) {
        let cover = json!({"targetId": self.cover.take()});
        self.call_browser("Target.closeTarget", cover);
        self.await_visibility("visible");
    }

    fn await_visibility(&mut self, state: &str) {
        let started = Instant::now();
        while self.evaluate("document.visibilityState") != state {
            assert!(started.elapsed() < PATIENCE, "the page is not {state}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Tells the page that it is cut off from the network, or joined to it again. Its
    /// WebSockets do not notice.
    pub fn set_offline(&mut self, is_offline: bool) {
        let conditions = json!({
            "offline": is_offline,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": -1,
        });
        self.call("Network.emulateNetworkConditions", conditions);
    }

    /// Clicks in the middle of the element with this id.
    pub fn click(&mut self, id: &str) {
        let script = format!(
            "(({{x, y, width, height}}) => [x + width / 2, y + height / 2])\
             (document.getElementById('{id}').getBoundingClientRect())"
        );
        let middle = self.evaluate(&script);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind,
                "x": middle[0],
                "y": middle[1],
                "button": "left",
                "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// What this JavaScript says.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut result = self.call("Runtime.evaluate", params);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].take()
    }

    /// A picture of the page, as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let result = self.call("Page.captureScreenshot", json!({}));
        BASE64
            .decode(result["data"].as_str().unwrap().as_bytes())
            .unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
        // Its helpers may still write to it; the next run removes what is left.
        let _ = fs::remove_dir_all(&self.profile);
    }
}
