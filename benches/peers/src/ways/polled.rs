//! Every connection keeps its own times, and each tick asks all of them.

use std::time::{Duration, Instant};

use keepalive::{Action, Config, Event, Heartbeat};

use crate::many::{Entry, START, Settings, Way, keys_are_numbers};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::of::<Instants>(), Entry::of::<Heartbeats>()]
}

/// What people write by hand.
struct Instants {
    connections: Vec<Connection>,
    /// The instant of virtual time zero.
    origin: Instant,
    period: Duration,
    pong_timeout: Duration,
}

struct Connection {
    received: Instant,
    sent: Instant,
    ping: Option<Instant>,
    missed: u32,
}

impl Way for Instants {
    const NAME: &'static str = "a struct of Instants each, all polled";

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let origin = Instant::now();
        let connection = |connection| Connection {
            received: origin + settings.received(connection),
            sent: origin + START,
            ping: None,
            missed: 0,
        };
        Self {
            connections: (0..connections).map(connection).collect(),
            origin,
            period: settings.period,
            pong_timeout: settings.pong_timeout,
        }
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        let now = self.origin + now;
        for &connection in connections {
            let connection = &mut self.connections[connection as usize];
            connection.received = now;
            connection.ping = None;
        }
    }

    fn sent(&mut self, connections: &[u32], now: Duration) {
        let now = self.origin + now;
        for &connection in connections {
            self.connections[connection as usize].sent = now;
        }
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        let now = self.origin + now;
        for (connection, index) in self.connections.iter_mut().zip(0..) {
            match connection.ping {
                Some(at) if now >= at + self.pong_timeout => {
                    connection.missed += 1;
                    connection.ping = None;
                }
                None if now >= connection.received + self.period => {
                    connection.sent = now;
                    connection.ping = Some(now);
                    pings.push(index);
                }
                _ => {}
            }
        }
    }
}

/// The single machine of this crate, where a fleet would do.
struct Heartbeats(Vec<Heartbeat<Duration>>);

impl Way for Heartbeats {
    const NAME: &'static str = "keepalive::Heartbeat each, all polled";
    const IS_HEAVY: bool = true;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let config = Config::builder()
            .ping_interval(settings.period)
            .send_interval(settings.watches_sent.then_some(settings.period))
            .pong_timeout(settings.pong_timeout)
            .build()
            .expect("these are within their bounds");
        let heartbeat = |connection: u32| {
            let mut heartbeat = Heartbeat::new(config, connection.into());
            heartbeat.handle(Event::Opened, START).for_each(drop);
            heartbeat
        };
        Self((0..connections).map(heartbeat).collect())
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        self.report(connections, Event::Received, now);
    }

    fn sent(&mut self, connections: &[u32], now: Duration) {
        self.report(connections, Event::Sent, now);
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        for (heartbeat, index) in self.0.iter_mut().zip(0..) {
            if heartbeat.deadline().is_some_and(|at| at <= now) {
                for action in heartbeat.handle(Event::Tick, now) {
                    if let Action::SendPing(_) = action {
                        pings.push(index);
                    }
                }
            }
        }
    }
}

impl Heartbeats {
    fn report(&mut self, connections: &[u32], event: Event, now: Duration) {
        for &connection in connections {
            self.0[connection as usize]
                .handle(event, now)
                .for_each(drop);
        }
    }
}
