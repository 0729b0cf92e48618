//! What comes over the wire, whatever it is: ids, messages, close codes, and what
//! a server answers to a handshake.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use keepalive::driver::{Dialect, Frame};
use keepalive::tungstenite::{TextPings, Tungstenite, ending};
use keepalive::{CloseCode, CloseReason, Closed, Codec, Ending, Incoming, PingId, Refused};
use libfuzzer_sys::fuzz_target;
use tungstenite::http::{HeaderValue, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Payload(&'a [u8]),
    Ping(u64),
    Message {
        message: Wire<'a>,
        ping: &'a str,
        pong: &'a str,
    },
    Goodbye(u16),
    Refusal {
        status: u16,
        hints: Vec<Hint<'a>>,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Wire<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(Option<(u16, &'a str)>),
}

/// A value of `Retry-After`.
#[derive(Arbitrary, Debug)]
enum Hint<'a> {
    Seconds(u64),
    Bytes(&'a [u8]),
}

fuzz_target!(|input: Input| match input {
    Input::Payload(payload) => spells_an_id_in_eight_bytes(payload),
    Input::Ping(id) => comes_back(PingId::from_bytes(id.to_be_bytes())),
    Input::Message {
        message,
        ping,
        pong,
    } => reads(message, ping, pong),
    Input::Goodbye(code) => says_goodbye(CloseCode(code)),
    Input::Refusal { status, hints } => refuses(status, &hints),
});

fn spells_an_id_in_eight_bytes(payload: &[u8]) {
    match PingId::from_payload(payload) {
        Some(id) => assert_eq!(id.to_bytes(), payload),
        None => assert_ne!(payload.len(), 8),
    }
}

fn comes_back(id: PingId) {
    assert_eq!(PingId::from_payload(&id.to_bytes()), Some(id));
    let Some(Message::Ping(payload)) = Tungstenite::new().ping(id) else {
        panic!("the protocol's ping is a ping");
    };
    assert!(payload.len() <= 125);
    let echo = Message::Pong(payload);
    assert_eq!(Tungstenite::new().frame(&echo), Frame::Pong(id));
}

fn reads(wire: Wire, ping: &str, pong: &str) {
    let message = wire.message();
    let dialect = Tungstenite::new();
    let frame = dialect.frame(&message);
    assert_eq!(dialect.size(&message).is_ok(), frame == Frame::Data);
    let mut codec = TextPings::new(ping, pong);
    let id = PingId::from_bytes([0; 8]);
    assert_eq!(codec.ping(id), Some(Message::text(ping)));
    match wire {
        Wire::Text(text) => {
            assert_eq!(frame, Frame::Data);
            let expected = match text {
                _ if text == pong => Incoming::AnyPong,
                _ if text == ping => Incoming::Ping(Message::text(pong)),
                _ => Incoming::Message(message.clone()),
            };
            assert_eq!(codec.read(message), expected);
        }
        Wire::Binary(_) => {
            assert_eq!(frame, Frame::Data);
            let read = codec.read(message.clone());
            assert_eq!(read, Incoming::Message(message));
        }
        Wire::Ping(_) => assert_eq!(frame, Frame::Control),
        Wire::Pong(payload) => {
            let expected = PingId::from_payload(payload).map_or(Frame::Control, Frame::Pong);
            assert_eq!(frame, expected);
        }
        Wire::Close(close) => {
            let closed = Closed::from(close.map(|(code, _)| CloseCode(code)));
            let words = close.map_or("", |(_, words)| words);
            assert_eq!(frame, Frame::Close(closed, words.to_owned()));
        }
    }
}

fn says_goodbye(code: CloseCode) {
    let mut dialect = Tungstenite::new();
    for code in [Some(code), None] {
        let goodbye = dialect.goodbye(CloseReason::Stop, code, "words");
        let Some(goodbye) = goodbye else {
            panic!("there is a close frame");
        };
        let closed = Closed::from(code);
        let words = code.map_or("", |_| "words");
        assert_eq!(
            dialect.frame(&goodbye),
            Frame::Close(closed, words.to_owned())
        );
    }
}

fn refuses(status: u16, hints: &[Hint]) {
    let Ok(mut response) = Response::builder().status(status).body(None) else {
        return;
    };
    for hint in hints {
        if let Some(value) = hint.value() {
            response.headers_mut().append("Retry-After", value);
        }
    }
    let first = response.headers().get("Retry-After").cloned();
    let Ending::Refused(found) = ending(&Error::Http(Box::new(response))) else {
        panic!("it was answered");
    };
    let mut expected = Refused::with_status(status);
    expected.retry_after = first.as_ref().and_then(seconds);
    // A date counts from our clock.
    let may_be_date = expected.retry_after.is_none()
        && first
            .as_ref()
            .is_some_and(|value| value.len() >= SHORTEST_DATE);
    let of_date = found.retry_after.filter(|_| may_be_date);
    expected.retry_after = of_date.or(expected.retry_after);
    assert_eq!(found, expected, "{first:?}");
}

/// `Sun Nov  6 08:49:37 1994`
const SHORTEST_DATE: usize = 24;

/// Digits and nothing else (RFC 9110 section 10.2.3); what is too long to count is
/// still long.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let digits = value.as_bytes().trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0_u64, |seconds, digit| {
        seconds
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(Duration::from_secs(seconds))
}

impl Wire<'_> {
    fn message(self) -> Message {
        match self {
            Self::Text(text) => Message::text(text),
            Self::Binary(bytes) => Message::Binary(bytes.to_vec().into()),
            Self::Ping(bytes) => Message::Ping(bytes.to_vec().into()),
            Self::Pong(bytes) => Message::Pong(bytes.to_vec().into()),
            Self::Close(frame) => Message::Close(frame.map(|(code, reason)| CloseFrame {
                code: code.into(),
                reason: reason.into(),
            })),
        }
    }
}

impl Hint<'_> {
    fn value(&self) -> Option<HeaderValue> {
        match self {
            Self::Seconds(seconds) => Some(HeaderValue::from(*seconds)),
            Self::Bytes(bytes) => HeaderValue::from_bytes(bytes).ok(),
        }
    }
}
