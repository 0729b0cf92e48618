//! What was seen, in words and in JSON.

use std::time::{Duration, Instant};

use keepalive::{Cause, CloseCode, CloseReason, Config};
use serde_json::{Value, json};
use tungstenite::{Error, Message};

use super::text;

/// Something that the session told, and when.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) at: Instant,
    pub(crate) seen: Seen,
}

#[derive(Debug)]
pub(crate) enum Seen {
    Connecting { attempt: u32 },
    Opened,
    Message(Message),
    Ping { seq: u32 },
    Pong { seq: u32, round_trip: Duration },
    Down(Down),
    Moved(Retry),
    Stopped(String),
}

/// A connection or a dial is lost.
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) cause: Cause<Error>,
    pub(crate) is_dial: bool,
    /// The last sign of life, or the beginning of the dial.
    pub(crate) alive: Instant,
    /// How late the ticks came that led to this, the longest and all together.
    pub(crate) late: Late,
    pub(crate) retry: Option<Retry>,
}

/// How late the ticks came that brought a ping or a verdict, since the last sign
/// of life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Late {
    pub(crate) longest: Duration,
    pub(crate) total: Duration,
}

impl Late {
    pub(crate) fn add(&mut self, late: Duration) {
        self.longest = self.longest.max(late);
        self.total += late;
    }
}

/// The dial that is planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub(crate) attempt: u32,
    pub(crate) after: Duration,
}

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Title,
    Good,
    Bad,
    Hint,
    Faint,
}

/// Whether it was the heartbeat that found the peer dead.
pub(crate) const fn is_verdict<E>(cause: &Cause<E>) -> bool {
    matches!(
        cause,
        Cause::TimedOut(CloseReason::PongTimeout | CloseReason::IdleTimeout)
    )
}

impl Seen {
    /// For people; some things take no line, some take two.
    pub(crate) fn lines(&self, config: &Config) -> Vec<(Tone, String)> {
        match self {
            Self::Connecting { .. } | Self::Ping { .. } => vec![],
            Self::Opened => vec![(Tone::Good, "open".to_owned())],
            Self::Message(message) => vec![(Tone::Plain, describe(message))],
            Self::Pong { seq, round_trip } => {
                let rtt = text::millis(*round_trip);
                vec![(Tone::Plain, format!("pong seq={seq} rtt={rtt} ms"))]
            }
            Self::Down(down) => {
                let mut lines = vec![(Tone::Bad, down.reason(config))];
                lines.extend(down.retry.map(|retry| (Tone::Hint, down.plan(retry))));
                lines
            }
            Self::Moved(retry) => {
                let after = brief(retry.after);
                let line = format!("reconnect {} in {after} s (moved)", retry.attempt);
                vec![(Tone::Hint, line)]
            }
            Self::Stopped(reason) => vec![(Tone::Plain, reason.clone())],
        }
    }

    pub(crate) fn json(&self, config: &Config) -> Value {
        match self {
            Self::Connecting { attempt } => connecting(*attempt, Duration::ZERO),
            Self::Opened => json!({"event": "open"}),
            Self::Message(message) => {
                json!({"event": "message", "kind": kind(message), "bytes": message.len()})
            }
            Self::Ping { seq } => json!({"event": "ping", "seq": seq}),
            Self::Pong { seq, round_trip } => {
                json!({"event": "pong", "seq": seq, "rtt_s": round_trip.as_secs_f64()})
            }
            Self::Down(down) => down.json(config),
            Self::Moved(retry) => json!({
                "event": "reconnect",
                "attempt": retry.attempt,
                "in_s": retry.after.as_secs_f64(),
            }),
            Self::Stopped(reason) => json!({"event": "stopped", "reason": reason}),
        }
    }
}

impl Down {
    fn reason(&self, config: &Config) -> String {
        match &self.cause {
            Cause::TimedOut(CloseReason::PongTimeout) => {
                let timeout = text::setting(config.pong_timeout());
                format!("not received pong in {timeout}, close the websocket")
            }
            Cause::TimedOut(CloseReason::ConnectTimeout) => {
                let timeout = text::setting(config.connect_timeout());
                format!("no connection in {timeout}, give the dial up")
            }
            Cause::Refused { status, .. } => format!("the server refused with status {status}"),
            Cause::Failed(error) if self.is_dial => format!("cannot connect: {}", bare(error)),
            Cause::Failed(error) => format!("connection lost: {}", bare(error)),
            Cause::Closed { code: None, .. } => {
                "the connection ended without a close code".to_owned()
            }
            // The words are the server's, and do not go to a terminal.
            Cause::Closed {
                code: Some(code), ..
            } => format!("the server closed with {code}{}", meaning(*code)),
            other => other.to_string(),
        }
    }

    fn plan(&self, retry: Retry) -> String {
        let after = brief(retry.after);
        let why = match (&self.cause, self.code()) {
            (_, Some(code)) => code.to_string(),
            (Cause::Refused { status, .. }, None) => format!("status {status}"),
            (_, None) => "no answer".to_owned(),
        };
        format!("reconnect {} in {after} s ({why})", retry.attempt)
    }

    /// 1006 is what the browsers call an end without a close code. `None` where there
    /// was no connection that could have ended.
    fn code(&self) -> Option<u16> {
        match self.cause {
            Cause::Closed {
                code: Some(CloseCode(code)),
                ..
            } => Some(code),
            _ if self.is_dial => None,
            _ => Some(1006),
        }
    }

    /// A close frame says as much as a pong does.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self.cause, Cause::Closed { code: Some(_), .. })
    }

    fn status(&self) -> Option<u16> {
        match self.cause {
            Cause::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
        match &self.cause {
            Cause::TimedOut(CloseReason::PongTimeout) => "pong timeout",
            Cause::TimedOut(CloseReason::IdleTimeout) => "idle timeout",
            Cause::TimedOut(CloseReason::ConnectTimeout) => "connect timeout",
            Cause::Closed { .. } => "closed",
            Cause::Refused { .. } => "refused",
            _ => "failed",
        }
    }

    fn json(&self, config: &Config) -> Value {
        json!({
            "event": "down",
            "cause": self.kind(),
            "reason": self.reason(config),
            "dial": self.is_dial,
            "code": self.code(),
            "status": self.status(),
            "attempt": self.retry.map(|retry| retry.attempt),
            "in_s": self.retry.map(|retry| retry.after.as_secs_f64()),
        })
    }
}

/// A dial that is under way, for this long.
pub(crate) fn connecting(attempt: u32, lasts: Duration) -> Value {
    json!({"event": "connecting", "attempt": attempt, "for_s": lasts.as_secs_f64()})
}

/// To a tenth, or to a hundredth where that matters.
fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let places = if seconds < 1.0 { 2 } else { 1 };
    format!("{seconds:.places$}")
}

/// Sizes only: what a server sends does not go to a terminal.
fn describe(message: &Message) -> String {
    let bytes = text::count(message.len() as u64, "byte");
    format!("message, {} of {bytes}", kind(message))
}

fn kind(message: &Message) -> &'static str {
    if message.is_text() { "text" } else { "binary" }
}

/// Without tungstenite's "IO error: " and the system's number.
fn bare(error: &Error) -> String {
    match error {
        Error::Io(error) => text::bare(error),
        other => text::bare(other),
    }
}

fn meaning(code: CloseCode) -> &'static str {
    match code {
        CloseCode::NORMAL => " (normal)",
        CloseCode::GOING_AWAY => " (going away)",
        CloseCode::POLICY_VIOLATION => " (policy violation)",
        CloseCode::INTERNAL_ERROR => " (internal error)",
        CloseCode::SERVICE_RESTART => " (service restart)",
        CloseCode::TRY_AGAIN_LATER => " (try again later)",
        _ => "",
    }
}
