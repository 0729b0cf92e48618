//! What a session in a browser needs besides the socket: a timer and a codec.

use std::time::Duration;

use gloo_timers::future::TimeoutFuture;
use keepalive::PingId;
use keepalive::driver::{Codec, Incoming};
use keepalive::session::{Sleeper, Timer};

use crate::socket::Message;

/// The page's clock, and `setTimeout`.
pub(crate) fn timer() -> impl Timer<Instant = Duration> {
    Sleeper::new(now, |at: Duration| sleep(at.saturating_sub(now())))
}

/// The time since the page was opened.
pub(crate) fn now() -> Duration {
    let performance = web_sys::window().and_then(|window| window.performance());
    let millis = performance.map_or(0.0, |performance| performance.now());
    Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default()
}

/// Not a fraction of a millisecond too short; `setTimeout` takes at most
/// `i32::MAX`, and a session that is woken too early asks for the rest.
fn sleep(duration: Duration) -> TimeoutFuture {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    TimeoutFuture::new(millis.min(i32::MAX.unsigned_abs().into()) as u32)
}

/// A different one per page.
pub(crate) fn seed() -> u64 {
    (js_sys::Math::random() * (1_u64 << 53) as f64) as u64
}

/// "ping" and "pong" as texts: a page cannot send the protocol's own pings. The
/// server may ask, too.
pub(crate) struct TextPings;

impl Codec<Message> for TextPings {
    type Message = Message;

    fn ping(&mut self, _: PingId) -> Option<Message> {
        Some(Message::Text("ping".to_owned()))
    }

    fn read(&mut self, data: Message) -> Incoming<Message, Message> {
        match &data {
            Message::Text(text) if text == "pong" => Incoming::AnyPong,
            Message::Text(text) if text == "ping" => {
                Incoming::Ping(Message::Text("pong".to_owned()))
            }
            _ => Incoming::Message(data),
        }
    }
}
