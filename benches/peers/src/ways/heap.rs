//! A heap of deadlines, lazily: a message stores its time, and what comes due too early is
//! put back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::many::{Entry, Settings, Way, keys_are_numbers, ms};

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::of::<Heap>()]
}

struct Heap {
    received: Vec<u32>,
    due: BinaryHeap<Reverse<(u32, u32)>>,
    period: u32,
}

impl Way for Heap {
    const NAME: &'static str = "BinaryHeap, lazily";

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let period = ms(settings.period);
        let received = (0..connections).map(|connection| ms(settings.received(connection)));
        let received: Vec<u32> = received.collect();
        let due = received
            .iter()
            .zip(0..)
            .map(|(time, connection)| Reverse((time + period, connection)));
        Self {
            due: due.collect::<Vec<_>>().into(),
            received,
            period,
        }
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        let now = ms(now);
        for &connection in connections {
            self.received[connection as usize] = now;
        }
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        let now = ms(now);
        while let Some(mut first) = self.due.peek_mut() {
            let Reverse((at, connection)) = *first;
            if at > now {
                break;
            }
            let received = &mut self.received[connection as usize];
            if *received + self.period <= now {
                *received = now;
                pings.push(connection);
            }
            *first = Reverse((*received + self.period, connection));
        }
    }
}
