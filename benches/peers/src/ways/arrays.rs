//! Bare arrays of times: what the memory costs, and little else. They keep no state of a
//! ping: one that was asked for counts as life.

use std::time::Duration;

use crate::many::{Entry, Settings, Way, keys_are_numbers, ms};

pub(crate) const STORE: &str = "random stores alone";
pub(crate) const SCAN: &str = "bare array, scanned whole";

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::of::<Store>(),
        Entry::of::<Scan<false>>(),
        Entry::of::<Scan<true>>(),
        Entry::of::<Blocks>(),
    ]
}

/// No way at all, but what every message costs at least.
struct Store(Vec<u32>);

impl Way for Store {
    const NAME: &'static str = STORE;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        Self(received(connections, settings))
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        store(&mut self.0, connections, now);
    }

    fn tick(&mut self, _now: Duration, _pings: &mut Vec<u32>) {}
}

/// As one writes it, or so that the compiler looks at several times at once.
struct Scan<const IN_VECTORS: bool> {
    received: Vec<u32>,
    period: u32,
}

impl<const IN_VECTORS: bool> Way for Scan<IN_VECTORS> {
    const NAME: &'static str = if IN_VECTORS {
        "bare array, scanned whole in vectors"
    } else {
        SCAN
    };

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        Self {
            received: received(connections, settings),
            period: ms(settings.period),
        }
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        store(&mut self.received, connections, now);
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        let now = ms(now);
        let due = now - self.period;
        if !IN_VECTORS {
            look(&mut self.received, 0, due, now, pings);
            return;
        }
        for (index, block) in self.received.chunks_mut(BLOCK).enumerate() {
            // The highest bit says that some time is not after `due`.
            let signs = block
                .iter()
                .fold(0, |signs, time| signs | time.wrapping_sub(due + 1));
            if signs >> 31 == 1 {
                look(block, index * BLOCK, due, now, pings);
            }
        }
    }
}

/// A block keeps the least of its times as of when it was last looked at. Messages only
/// raise times, so that this stays a lower bound untouched.
struct Blocks {
    received: Vec<u32>,
    bounds: Vec<u32>,
    period: u32,
}

const BLOCK: usize = 64;

impl Way for Blocks {
    const NAME: &'static str = "bare array, a bound per block";

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let received = received(connections, settings);
        let bounds = received
            .chunks(BLOCK)
            .map(|block| block.iter().copied().min().unwrap_or_default())
            .collect();
        Self {
            received,
            bounds,
            period: ms(settings.period),
        }
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        store(&mut self.received, connections, now);
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        let now = ms(now);
        let due = now - self.period;
        for (index, bound) in self.bounds.iter_mut().enumerate() {
            if *bound <= due {
                let start = index * BLOCK;
                let end = self.received.len().min(start + BLOCK);
                *bound = look(&mut self.received[start..end], start, due, now, pings);
            }
        }
    }
}

fn received(connections: u32, settings: &Settings) -> Vec<u32> {
    (0..connections)
        .map(|connection| ms(settings.received(connection)))
        .collect()
}

fn store(times: &mut [u32], connections: &[u32], now: Duration) {
    let now = ms(now);
    for &connection in connections {
        times[connection as usize] = now;
    }
}

/// Pings what is due, and returns the least time.
fn look(times: &mut [u32], start: usize, due: u32, now: u32, pings: &mut Vec<u32>) -> u32 {
    let mut least = u32::MAX;
    for (time, connection) in times.iter_mut().zip(start as u32..) {
        if *time <= due {
            *time = now;
            pings.push(connection);
        }
        least = least.min(*time);
    }
    least
}
