//! A session, and what its bounds are measured with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keepalive::blocking::{Dial, Notice, ProtocolPings, Session};
use keepalive::{Codec, Config, Incoming, Notice as Told, PingId, Planned};
use rustls::ClientConfig;
use tungstenite::handshake::client::Request;
use tungstenite::{Error, Message, Utf8Bytes, WebSocket};

use crate::dial::{Stream, dial};
use crate::seen::{Down, Late, Retry, Seen, Sighting};

type Connector = Box<dyn FnMut(&Dial) -> Result<WebSocket<Stream>, Error> + Send>;

pub(crate) struct Watcher {
    session: Session<Stream, Connector, Pings>,
    is_open: bool,
    /// The last sign of life, or the beginning of the dial.
    alive: Instant,
    late: Late,
}

impl Watcher {
    /// Watches with pings of the protocol's, or with this text.
    pub(crate) fn new(
        config: Config,
        seed: u64,
        request: Request,
        tls: Arc<ClientConfig>,
        text: Option<&str>,
    ) -> Self {
        let awaits = Arc::new(AtomicBool::new(false));
        let pings = match text {
            None => Pings::Protocol(ProtocolPings),
            Some(text) => Pings::Text {
                ping: text.into(),
                awaits: awaits.clone(),
            },
        };
        let connect: Connector = Box::new(move |budget| {
            awaits.store(false, Ordering::Relaxed);
            dial(budget, &request, &tls)
        });
        Self {
            session: Session::client(config, seed, connect).with_codec(pings),
            is_open: false,
            alive: Instant::now(),
            late: Late::default(),
        }
    }

    pub(crate) const fn config(&self) -> &Config {
        self.session.heartbeat().config()
    }

    pub(crate) fn stop(&mut self) {
        self.session.stop();
    }

    /// What is seen next, or `None` at `until`.
    pub(crate) fn next_before(&mut self, until: Instant) -> Option<Sighting> {
        loop {
            // Not past the deadline, so that it is known how late its tick comes.
            let due = self.session.heartbeat().deadline();
            let notice = self
                .session
                .next_before(due.map_or(until, |due| due.min(until)));
            let at = Instant::now();
            let late = due.map_or(Duration::ZERO, |due| at.saturating_duration_since(due));
            self.look_for_life();
            if let Some(seen) = notice.and_then(|notice| self.see(notice, at, late)) {
                return Some(Sighting { at, seen });
            }
            if at >= until {
                return None;
            }
        }
    }

    fn look_for_life(&mut self) {
        let received = self.session.heartbeat().last_received();
        if let Some(received) = received.filter(|&received| received > self.alive) {
            self.is_alive(received);
        }
    }

    fn is_alive(&mut self, at: Instant) {
        self.alive = at;
        self.late = Late::default();
    }

    fn see(&mut self, notice: Notice, at: Instant, late: Duration) -> Option<Seen> {
        Some(match notice {
            Told::Connecting { attempt } => {
                self.is_alive(at);
                Seen::Connecting { attempt }
            }
            Told::Opened => {
                self.is_open = true;
                self.is_alive(at);
                Seen::Opened
            }
            Told::Message(message) => Seen::Message(message),
            Told::Ping(id) => {
                self.late.add(late);
                Seen::Ping { seq: id.sequence() }
            }
            Told::Pong { id, round_trip } => Seen::Pong {
                seq: id.sequence(),
                round_trip,
            },
            Told::Down { cause, retry } => {
                self.late.add(late);
                Seen::Down(Down {
                    cause,
                    is_dial: !std::mem::take(&mut self.is_open),
                    alive: self.alive,
                    late: self.late,
                    retry: retry.map(|planned| from(at, planned)),
                })
            }
            Told::Rescheduled(planned) => Seen::Moved(from(at, planned)),
            Told::Stopped(reason) => Seen::Stopped(reason.to_string()),
            _ => return None,
        })
    }
}

fn from(now: Instant, planned: Planned<Instant>) -> Retry {
    Retry {
        attempt: planned.attempt,
        after: planned.at.saturating_duration_since(now),
    }
}

enum Pings {
    Protocol(ProtocolPings),
    /// The application's own pings; whatever comes next is the answer.
    Text {
        ping: Utf8Bytes,
        awaits: Arc<AtomicBool>,
    },
}

impl Codec<Message> for Pings {
    fn ping(&mut self, id: PingId) -> Message {
        match self {
            Self::Protocol(codec) => codec.ping(id),
            Self::Text { ping, awaits } => {
                awaits.store(true, Ordering::Relaxed);
                Message::Text(ping.clone())
            }
        }
    }

    fn read(&mut self, message: &Message) -> Incoming<Message> {
        match self {
            Self::Text { awaits, .. } if message.is_text() || message.is_binary() => {
                if awaits.swap(false, Ordering::Relaxed) {
                    Incoming::AnyPong
                } else {
                    Incoming::Message
                }
            }
            Self::Protocol(_) | Self::Text { .. } => ProtocolPings.read(message),
        }
    }
}
