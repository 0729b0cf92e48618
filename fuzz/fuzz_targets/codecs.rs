//! What comes over the wire, whatever it is: ids, messages, close codes, and what
//! a server answers to a handshake.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use keepalive::tungstenite::{ProtocolPings, TextPings, ending, goodbye};
use keepalive::{CloseCode, Closed, Codec, Ending, Incoming, PingId, Refused};
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
    let Message::Ping(payload) = ProtocolPings.ping(id) else {
        panic!("the protocol's ping is a ping");
    };
    assert!(payload.len() <= 125);
    let echo = Message::Pong(payload);
    assert_eq!(ProtocolPings.read(&echo), Incoming::Pong(id));
}

fn reads(wire: Wire, ping: &str, pong: &str) {
    let message = wire.message();
    let by_protocol = ProtocolPings.read(&message);
    let mut codec = TextPings::new(ping, pong);
    assert_eq!(codec.ping(PingId::from_bytes([0; 8])), Message::text(ping));
    let by_text = codec.read(&message);
    match wire {
        Wire::Text(text) => {
            assert_eq!(by_protocol, Incoming::Message);
            let expected = match text {
                _ if text == pong => Incoming::AnyPong,
                _ if text == ping => Incoming::Ping(Message::text(pong)),
                _ => Incoming::Message,
            };
            assert_eq!(by_text, expected);
            return;
        }
        Wire::Binary(_) => assert_eq!(by_protocol, Incoming::Message),
        Wire::Ping(_) => assert_eq!(by_protocol, Incoming::Control),
        Wire::Pong(payload) => {
            let expected = PingId::from_payload(payload).map_or(Incoming::Control, Incoming::Pong);
            assert_eq!(by_protocol, expected);
        }
        Wire::Close(frame) => {
            let closed = Closed {
                code: frame.map(|(code, _)| CloseCode(code)),
                ..Closed::default()
            };
            assert_eq!(by_protocol, Incoming::Closed(closed));
        }
    }
    assert_eq!(by_text, by_protocol, "texts are all that a text codec adds");
}

fn says_goodbye(code: CloseCode) {
    let message = goodbye(code);
    let expected = Incoming::Closed(Closed::with_code(code));
    assert_eq!(ProtocolPings.read(&message), expected);
    let mut texts = TextPings::new("ping", "pong");
    for (code, message) in [(Some(code), message), (None, Message::Close(None))] {
        assert_eq!(ProtocolPings.goodbye(code), Some(message.clone()));
        assert_eq!(texts.goodbye(code), Some(message));
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
    let expected = Refused {
        retry_after: first.as_ref().and_then(seconds),
        ..Refused::with_status(status)
    };
    let found = ending(&Error::Http(Box::new(response)));
    assert_eq!(found, Ending::Refused(expected), "{first:?}");
}

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
