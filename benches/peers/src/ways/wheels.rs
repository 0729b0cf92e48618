//! The hashed wheels of two crates, lazily, as the heap; and one as its docs show it, with
//! a timer that is cancelled and set again at each message.

use std::rc::Rc;
use std::time::Duration;

use hierarchical_hash_wheel_timer::wheels::cancellable::{
    CancellableTimerEntry, QuadWheelWithOverflow as CancellableWheel,
};
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;
use wheel_timer::WheelTimer;

use crate::many::{Entry, START, Settings, Way, keys_are_numbers, ms};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::of::<Lazily<WheelTimer<u32>>>(),
        Entry::of::<Lazily<Hierarchical>>(),
        Entry::of::<Eagerly>(),
    ]
}

struct Lazily<W> {
    received: Vec<u32>,
    wheel: W,
    period: u32,
    tick: u32,
    now: u32,
}

trait Wheel: Sized {
    const NAME: &'static str;
    /// How many milliseconds a step takes.
    fn step(tick: u32) -> u32;
    fn new(steps: u32) -> Self;
    fn put(&mut self, steps: u32, connection: u32);
    fn turn(&mut self) -> Vec<u32>;
}

impl<W: Wheel> Way for Lazily<W> {
    const NAME: &'static str = W::NAME;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let (period, now) = (ms(settings.period), ms(START));
        let tick = W::step(ms(settings.tick));
        let mut wheel = W::new(period / tick + 2);
        let received: Vec<u32> = (0..connections)
            .map(|connection| ms(settings.received(connection)))
            .collect();
        for (&received, connection) in received.iter().zip(0..) {
            wheel.put(((received + period - now) / tick).max(1), connection);
        }
        Self {
            received,
            wheel,
            period,
            tick,
            now,
        }
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        let now = ms(now);
        for &connection in connections {
            self.received[connection as usize] = now;
        }
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        while self.now + self.tick <= ms(now) {
            self.now += self.tick;
            for connection in self.wheel.turn() {
                let received = &mut self.received[connection as usize];
                if *received + self.period <= self.now {
                    *received = self.now;
                    pings.push(connection);
                }
                let wait = *received + self.period - self.now;
                self.wheel.put(wait.div_ceil(self.tick), connection);
            }
        }
    }
}

impl Wheel for WheelTimer<u32> {
    const NAME: &'static str = "wheel_timer, lazily";

    fn step(tick: u32) -> u32 {
        tick
    }

    fn new(steps: u32) -> Self {
        WheelTimer::new(steps as usize)
    }

    fn put(&mut self, steps: u32, connection: u32) {
        self.schedule(steps as usize, connection);
    }

    fn turn(&mut self) -> Vec<u32> {
        self.tick()
    }
}

/// Counts in milliseconds, whatever the tick.
type Hierarchical = QuadWheelWithOverflow<u32>;

impl Wheel for Hierarchical {
    const NAME: &'static str = "hierarchical_hash_wheel_timer, lazily";

    fn step(_tick: u32) -> u32 {
        1
    }

    fn new(_steps: u32) -> Self {
        Self::default()
    }

    fn put(&mut self, steps: u32, connection: u32) {
        let delay = Duration::from_millis(steps.into());
        assert!(
            self.insert_with_delay(connection, delay).is_ok(),
            "not due yet"
        );
    }

    fn turn(&mut self) -> Vec<u32> {
        self.tick()
    }
}

struct Eagerly {
    wheel: CancellableWheel<Timer>,
    period: Duration,
    now: Duration,
}

#[derive(Debug)]
struct Timer(u32);

impl CancellableTimerEntry for Timer {
    type Id = u32;

    fn id(&self) -> &u32 {
        &self.0
    }
}

impl Eagerly {
    fn set(&mut self, connection: u32, at: Duration) {
        let delay = (at - self.now).max(Duration::from_millis(1));
        let timer = Rc::new(Timer(connection));
        assert!(
            self.wheel.insert_ref_with_delay(timer, delay).is_ok(),
            "not due yet"
        );
    }
}

impl Way for Eagerly {
    const NAME: &'static str = "hierarchical_hash_wheel_timer, eagerly";
    const IS_HEAVY: bool = true;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let mut this = Self {
            wheel: CancellableWheel::new(),
            period: settings.period,
            now: START,
        };
        for connection in 0..connections {
            this.set(connection, settings.received(connection) + settings.period);
        }
        this
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        for connection in connections {
            // Where it just fired, there is nothing to cancel.
            let _ = self.wheel.cancel(connection);
            self.set(*connection, now + self.period);
        }
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        while self.now < now {
            self.now += Duration::from_millis(1);
            for timer in self.wheel.tick() {
                pings.push(timer.0);
                self.set(timer.0, self.now + self.period);
            }
        }
    }
}
