//! What this crate has for many connections in one loop.

use std::time::Duration;

use keepalive::Config;
use keepalive::fleet::{Beat, Fleet, Key};

use crate::cpu_time;
use crate::many::{Entry, START, Settings, Way};

pub(crate) fn entries() -> Vec<Entry> {
    vec![Entry::of::<Ours<true>>(), Entry::of::<Ours<false>>()]
}

/// A fleet whose granularity is the tick, or its default.
struct Ours<const FINE: bool> {
    fleet: Fleet<Duration>,
    keys: Vec<Key>,
    worst_call: Duration,
}

impl<const FINE: bool> Way for Ours<FINE> {
    const NAME: &'static str = if FINE {
        "keepalive::Fleet"
    } else {
        "keepalive::Fleet, default granularity"
    };

    const KEY_BYTES: i64 = size_of::<Key>() as i64;

    type Key = Key;

    fn new(connections: u32, settings: &Settings) -> Self {
        let config = Config::builder()
            .ping_interval(settings.period)
            .send_interval(settings.watches_sent.then_some(settings.period))
            .pong_timeout(settings.pong_timeout)
            .build()
            .expect("these are within their bounds");
        let mut fleet = Fleet::new(config, 1);
        if FINE {
            fleet = fleet
                .with_granularity(settings.tick)
                .expect("ticks are short");
        }
        let mut at = fleet.at(START);
        let mut keys = Vec::with_capacity(connections as usize);
        keys.extend((0..connections).map(|_| at.open().expect("there is room")));
        Self {
            fleet,
            keys,
            worst_call: Duration::ZERO,
        }
    }

    fn key(&self, connection: u32) -> Key {
        self.keys[connection as usize]
    }

    fn received(&mut self, keys: &[Key], now: Duration) {
        let mut at = self.fleet.at(now);
        for &key in keys {
            at.received(key);
        }
    }

    fn sent(&mut self, keys: &[Key], now: Duration) {
        let mut at = self.fleet.at(now);
        for &key in keys {
            at.sent(key);
        }
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<Key>) {
        // A call is bounded: what it leaves is due at once.
        while self.fleet.deadline().is_some_and(|at| at <= now) {
            let begin = cpu_time();
            for (key, beat) in self.fleet.at(now).tick() {
                if let Beat::Ping(_) = beat {
                    pings.push(key);
                }
            }
            self.worst_call = self.worst_call.max(cpu_time() - begin);
        }
    }

    fn worst_call(&self) -> Option<Duration> {
        Some(self.worst_call)
    }
}
