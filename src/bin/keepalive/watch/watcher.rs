//! A session, and what its bounds are measured with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keepalive::blocking::{self, Boxed, Connect, Dial, Dialer, Notice, Session, Stream};
use keepalive::{Cause, Codec, Config, Handle, Incoming, Lost, MaybeTls, PingId, Planned};
use tungstenite::{Message, Utf8Bytes};

use super::seen::{Down, Late, Retry, Seen, Sighting};

pub(crate) struct Watcher {
    session: Session<MaybeTls<Stream>, Pings, Boxed<MaybeTls<Stream>>>,
    /// The last sign of life, or the beginning of the dial.
    alive: Instant,
    late: Late,
}

impl Watcher {
    /// Watches with pings of the protocol's, or with this text.
    pub(crate) fn new(config: Config, mut dialer: Dialer, text: Option<&str>) -> Self {
        let awaits = Arc::new(AtomicBool::new(false));
        let pings = Pings {
            text: text.map(Utf8Bytes::from),
            awaits: awaits.clone(),
        };
        let connect = blocking::boxed(move |dial: &Dial| {
            awaits.store(false, Ordering::Relaxed);
            Connect::connect(&mut dialer, dial)
        });
        Self {
            session: blocking::client_with(config, pings, connect),
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

    pub(crate) fn handle(&mut self) -> Handle<Message> {
        self.session.handle()
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
            if let Ok(notice) = notice {
                if let Some(seen) = self.see(notice?, at, late) {
                    return Some(Sighting { at, seen });
                }
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
            Notice::Connecting { attempt } => {
                self.is_alive(at);
                Seen::Connecting { attempt }
            }
            Notice::Opened { .. } => {
                self.is_alive(at);
                Seen::Opened
            }
            Notice::Message(message) => Seen::Message(message),
            Notice::Ping(id) => {
                self.late.add(late);
                Seen::Ping { seq: id.sequence() }
            }
            Notice::Pong { id, round_trip } => Seen::Pong {
                seq: id.sequence(),
                round_trip,
            },
            Notice::Down(down) if matches!(down.cause, Cause::Stopped) => return None,
            Notice::Down(down) => {
                self.late.add(late);
                Seen::Down(Down {
                    cause: down.cause,
                    is_dial: down.lost == Lost::Dial,
                    alive: self.alive,
                    late: self.late,
                    retry: down.retry.map(|planned| from(at, planned)),
                })
            }
            Notice::Rescheduled(planned) => Seen::Moved(from(at, planned)),
            Notice::Stopped { reason, .. } => Seen::Stopped(reason.to_string()),
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

/// The protocol's pings, or the application's own; then whatever comes next is the
/// answer.
struct Pings {
    text: Option<Utf8Bytes>,
    awaits: Arc<AtomicBool>,
}

impl Codec<Message> for Pings {
    type Message = Message;

    fn ping(&mut self, _: PingId) -> Option<Message> {
        let text = self.text.clone()?;
        self.awaits.store(true, Ordering::Relaxed);
        Some(Message::Text(text))
    }

    fn read(&mut self, message: Message) -> Incoming<Message, Message> {
        if self.awaits.swap(false, Ordering::Relaxed) {
            Incoming::AnyPong
        } else {
            Incoming::Message(message)
        }
    }
}
