//! ws-heartbeat: one map for all, and a task that pings all of it once a period, whoever
//! has spoken. Its `touch` reads the system's clock.

use std::time::Duration;

use async_trait::async_trait;
use ws_heartbeat::{HeartbeatRegistry, HeartbeatSession};

use super::tokio::{Due, Virtual};
use crate::many::{Entry, START, Settings, Way, keys_are_numbers};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::of::<Sweeper>()]
}

struct Sweeper {
    time: Virtual,
    registry: HeartbeatRegistry<u32, Session>,
    due: Due,
}

#[derive(Clone)]
struct Session {
    connection: u32,
    due: Due,
}

#[async_trait]
impl HeartbeatSession for Session {
    async fn send_ping(self) {
        self.due.push(self.connection);
    }

    async fn close_session(self) {}
}

impl Way for Sweeper {
    const NAME: &'static str = "ws-heartbeat";
    const IS_HEAVY: bool = true;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let (time, due) = (Virtual::new(), Due::default());
        let registry = HeartbeatRegistry::new();
        for connection in 0..connections {
            let due = due.clone();
            registry.register(connection, Session { connection, due });
        }
        // It judges by the system's clock, which virtual time does not move.
        let never = Duration::from_secs(86_400);
        time.enter(|| registry.spawn_sweeper(settings.period, never));
        let mut this = Self {
            time,
            registry,
            due,
        };
        // Its first sweep is at once: here, while nothing is measured.
        this.tick(START, &mut Vec::new());
        this
    }

    fn received(&mut self, connections: &[u32], _now: Duration) {
        for connection in connections {
            self.registry.touch(connection);
        }
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        self.time.tick(now, &self.due);
        pings.append(&mut self.due.take());
    }
}
