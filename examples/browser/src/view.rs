//! What one sees: the elements of `index.html`, kept up to date.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use gloo_timers::callback::Interval;
use js_sys::Date;
use keepalive::driver::{Cause, Notice, Planned};
use keepalive::session::Timer as _;
use keepalive::web::{Error, Message, Timer};
use keepalive::{CloseCode, CloseReason, Config, Heartbeat, State};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, Element, HtmlButtonElement};

use crate::Told;
use crate::chart::Chart;
use crate::text;

/// How often the countdown moves.
const FRAME_MILLIS: u32 = 100;
/// How many lines the log keeps.
const LINES: u32 = 200;

/// How a line of the log is meant.
#[derive(Clone, Copy)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Hint,
}

pub(crate) struct View {
    document: Document,
    body: Element,
    config: Config,
    clock: Timer,
    log: Log,
    chart: Chart,
    pongs: u64,
    downs: u64,
    seen: Rc<Cell<Seen>>,
    _frames: Interval,
}

impl View {
    pub(crate) fn new(document: Document, config: Config, log: Log) -> Result<Self, JsValue> {
        let seen = Rc::new(Cell::new(Seen::default()));
        let countdown = element(&document, "countdown")?;
        let progress = element(&document, "progress")?;
        let shared = Rc::clone(&seen);
        let clock = Timer::new();
        let frames = Interval::new(FRAME_MILLIS, move || {
            let (text, share) = shared.get().countdown(&config, clock.now());
            countdown.set_text_content(Some(&text));
            set(
                &progress,
                "style",
                &format!("width: {}%", share.min(1.0) * 100.0),
            );
        });
        Ok(Self {
            body: document.body().ok_or("there is no body")?.into(),
            log,
            chart: Chart::new(&document)?,
            document,
            config,
            clock: Timer::new(),
            pongs: 0,
            downs: 0,
            seen,
            _frames: frames,
        })
    }

    /// What the session tells.
    pub(crate) fn tell(&mut self, notice: &Told) {
        match notice {
            Notice::Connecting { attempt: 0 } => self.log(Tone::Plain, "connecting"),
            Notice::Connecting { attempt } => {
                self.log(Tone::Plain, &format!("connecting, retry {attempt}"));
            }
            Notice::Opened { .. } => self.log(Tone::Good, "open"),
            Notice::Message(Message::Text(text)) => {
                self.log(Tone::Plain, &format!("received {text}"));
            }
            Notice::Message(Message::Binary(bytes)) => {
                self.log(Tone::Plain, &format!("received {} bytes", bytes.len()));
            }
            Notice::Pong { id, round_trip } => {
                self.pongs += 1;
                self.chart.pong(*round_trip);
                let (seq, rtt) = (id.sequence(), text::millis(*round_trip));
                self.log(Tone::Plain, &format!("pong seq={seq} rtt={rtt} ms"));
            }
            // It is no loss.
            Notice::Down(down) if matches!(down.cause, Cause::Reconnected) => {
                if let Some(planned) = &down.retry {
                    self.log_plan(planned, "moved");
                }
            }
            Notice::Down(down) => {
                self.downs += 1;
                self.chart.down();
                self.log(Tone::Bad, &self.reason(&down.cause));
                if let Some(planned) = &down.retry {
                    self.log_plan(planned, &code(&down.cause).to_string());
                }
            }
            Notice::Rescheduled(planned) => self.log_plan(planned, "moved"),
            Notice::Stopped { reason, .. } => self.log(Tone::Bad, &format!("over: {reason}")),
            _ => {}
        }
    }

    /// Where the machine is.
    pub(crate) fn show(&mut self, heartbeat: &Heartbeat<Duration>) {
        let seen = self.seen.get().next(heartbeat, self.clock.now());
        self.seen.set(seen);
        let is_open = seen.state == State::Open;
        set(&self.body, "data-state", &format!("{:?}", seen.state));
        set(&self.body, "data-pinged", &seen.is_pinged.to_string());
        self.write("state", &format!("{:?}", seen.state));
        self.write("attempt", &heartbeat.attempt().to_string());
        self.write("pongs", &self.pongs.to_string());
        self.write("downs", &self.downs.to_string());
        for button in ["mute", "drop"] {
            if let Some(button) = self.button(button) {
                button.set_disabled(!is_open);
            }
        }
        if let Some(round_trip) = heartbeat.round_trip() {
            self.write("last", &text::millis(round_trip.last()));
            self.write("smoothed", &text::millis(round_trip.smoothed()));
            self.write("least", &text::millis(round_trip.minimum()));
        }
    }

    pub(crate) fn log(&self, tone: Tone, text: &str) {
        self.log.add(tone, text);
    }

    pub(crate) fn button(&self, id: &str) -> Option<HtmlButtonElement> {
        self.document.get_element_by_id(id)?.dyn_into().ok()
    }

    fn log_plan(&self, planned: &Planned<Duration>, why: &str) {
        let wait = text::seconds(planned.at.saturating_sub(self.clock.now()));
        let attempt = planned.attempt;
        self.log(
            Tone::Hint,
            &format!("reconnect {attempt} in {wait} s ({why})"),
        );
    }

    fn reason(&self, cause: &Cause<Error>) -> String {
        match cause {
            Cause::TimedOut(CloseReason::PongTimeout) => {
                let timeout = text::setting(self.config.pong_timeout());
                format!("not received pong in {timeout}, close the websocket")
            }
            Cause::TimedOut(CloseReason::ConnectTimeout) => {
                let timeout = text::setting(self.config.connect_timeout());
                format!("no connection in {timeout}, give the dial up")
            }
            Cause::Closed { code: None, .. } => {
                "the connection ended without a close code".to_owned()
            }
            Cause::Closed {
                code: Some(code),
                words,
            } => match words.as_str() {
                "" => format!("the server closed with {code}"),
                words => format!("the server closed with {code}: {words}"),
            },
            other => other.to_string(),
        }
    }

    fn write(&self, id: &str, text: &str) {
        if let Some(element) = self.document.get_element_by_id(id) {
            element.set_text_content(Some(text));
        }
    }
}

/// The latest lines of what happened.
#[derive(Clone)]
pub(crate) struct Log {
    document: Document,
    list: Element,
}

impl Log {
    pub(crate) fn new(document: &Document) -> Result<Self, JsValue> {
        Ok(Self {
            document: document.clone(),
            list: element(document, "log")?,
        })
    }

    pub(crate) fn add(&self, tone: Tone, text: &str) {
        // What fails here is seen.
        let _ = self.add_line(tone, text);
    }

    fn add_line(&self, tone: Tone, text: &str) -> Result<(), JsValue> {
        let (line, time) = (
            self.document.create_element("li")?,
            self.document.create_element("time")?,
        );
        line.set_class_name(match tone {
            Tone::Plain => "",
            Tone::Good => "good",
            Tone::Bad => "bad",
            Tone::Hint => "hint",
        });
        time.set_text_content(Some(&clock()));
        line.append_child(&time)?;
        line.append_with_str_1(text)?;
        self.list.append_child(&line)?;
        if self.list.child_element_count() > LINES {
            if let Some(oldest) = self.list.first_element_child() {
                oldest.remove();
            }
        }
        self.list.set_scroll_top(self.list.scroll_height());
        Ok(())
    }
}

/// What the countdown needs to know of the machine.
#[derive(Clone, Copy)]
struct Seen {
    state: State,
    is_pinged: bool,
    since: Duration,
    until: Option<Duration>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            state: State::Idle,
            is_pinged: false,
            since: Duration::ZERO,
            until: None,
        }
    }
}

impl Seen {
    fn next(self, heartbeat: &Heartbeat<Duration>, now: Duration) -> Self {
        let (state, is_pinged) = (heartbeat.state(), heartbeat.is_ping_out());
        let since = if (state, is_pinged) == (self.state, self.is_pinged) {
            self.since
        } else {
            now
        };
        Self {
            state,
            is_pinged,
            since: heartbeat
                .last_received()
                .filter(|_| !is_pinged)
                .unwrap_or(since),
            until: heartbeat.deadline(),
        }
    }

    /// In words, and the share of the time that is over.
    fn countdown(self, config: &Config, now: Duration) -> (String, f64) {
        let gone = now.saturating_sub(self.since);
        let of = |whole: Duration| gone.as_secs_f64() / whole.as_secs_f64();
        let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
        match (self.state, self.until) {
            (State::Connecting, _) => (
                format!("dialling for {}", seconds(gone)),
                of(config.connect_timeout()),
            ),
            (State::Open, _) if self.is_pinged => {
                let timeout = text::setting(config.pong_timeout());
                let text = format!("pinged, no answer for {} of {timeout}", seconds(gone));
                (text, of(config.pong_timeout()))
            }
            (State::Open, _) => (
                format!("last heard {} ago", seconds(gone)),
                of(config.ping_interval()),
            ),
            (State::Waiting, Some(until)) => {
                let left = seconds(until.saturating_sub(now));
                (
                    format!("next try in {left}"),
                    of(until.saturating_sub(self.since)),
                )
            }
            _ => (String::new(), 0.0),
        }
    }
}

/// What the browsers say where no code came over the wire.
fn code(cause: &Cause<Error>) -> u16 {
    match cause {
        Cause::Closed {
            code: Some(CloseCode(code)),
            ..
        } => *code,
        _ => 1006,
    }
}

fn clock() -> String {
    let date = Date::new_0();
    let (hours, minutes) = (date.get_hours(), date.get_minutes());
    let (seconds, millis) = (date.get_seconds(), date.get_milliseconds());
    format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}")
}

pub(crate) fn element(document: &Document, id: &str) -> Result<Element, JsValue> {
    let missing = || JsValue::from(format!("the page has no {id}"));
    document.get_element_by_id(id).ok_or_else(missing)
}

pub(crate) fn set(element: &Element, name: &str, value: &str) {
    // Fails only for names that are none.
    let _ = element.set_attribute(name, value);
}
