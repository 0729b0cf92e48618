//! tokio's timers, on a runtime of one thread whose clock is paused. A tick moves the clock
//! on and lets the runtime turn until nothing is left to run, so that it costs what the
//! timers cost, and no waiting. To set a timer does not read the clock.

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, Sleep, advance, sleep_until};
use tokio_util::time::{DelayQueue, delay_queue};

use crate::many::{Entry, START, Settings, TURN, Way, keys_are_numbers, ms};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::of::<Sleeps<true>>(),
        Entry::of::<Sleeps<false>>(),
        Entry::of::<Queue>(),
        Entry::of::<Tasks<false>>(),
        Entry::of::<Tasks<true>>(),
    ]
}

/// The connections whose pings are due.
#[derive(Clone, Default)]
pub(super) struct Due(Arc<Mutex<Vec<u32>>>);

impl Due {
    pub(super) fn push(&self, connection: u32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn take(&self) -> Vec<u32> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A runtime in virtual time.
pub(super) struct Virtual {
    runtime: Runtime,
    origin: Instant,
    now: Duration,
}

impl Virtual {
    pub(super) fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            // All that a turn wakes runs before the runtime looks at anything else.
            .event_interval(2 * TURN as u32)
            .build()
            .expect("a runtime without I/O");
        let origin = runtime.block_on(async { Instant::now() }) - START;
        Self {
            runtime,
            origin,
            now: START,
        }
    }

    fn at(&self, time: Duration) -> Instant {
        self.origin + time
    }

    pub(super) fn enter<R>(&self, make: impl FnOnce() -> R) -> R {
        let _guard = self.runtime.enter();
        make()
    }

    /// Runs what has been woken.
    fn turn(&self) {
        self.runtime.block_on(yield_now());
    }

    /// Moves the clock on, and runs all that comes of it.
    pub(super) fn tick(&mut self, now: Duration, due: &Due) {
        let step = now - mem::replace(&mut self.now, now);
        self.runtime.block_on(async {
            advance(step).await;
            let mut before = usize::MAX;
            while mem::replace(&mut before, due.len()) != due.len() {
                yield_now().await;
            }
        });
    }
}

/// A `Sleep` each, set again at each message; or lazily, when it fires too early.
struct Sleeps<const LAZY: bool> {
    time: Virtual,
    sleeps: Vec<Pin<Box<Sleep>>>,
    wakers: Vec<Waker>,
    received: Vec<u32>,
    period: Duration,
    fired: Due,
}

struct Fired {
    connection: u32,
    fired: Due,
}

impl Wake for Fired {
    fn wake(self: Arc<Self>) {
        self.fired.push(self.connection);
    }
}

impl<const LAZY: bool> Sleeps<LAZY> {
    fn set(&mut self, connection: u32, at: Duration) {
        let at = self.time.at(at);
        let index = connection as usize;
        let sleep = &mut self.sleeps[index];
        sleep.as_mut().reset(at);
        let poll = sleep
            .as_mut()
            .poll(&mut Context::from_waker(&self.wakers[index]));
        debug_assert!(poll.is_pending());
    }
}

impl<const LAZY: bool> Way for Sleeps<LAZY> {
    const NAME: &'static str = if LAZY {
        "a tokio Sleep each, lazily"
    } else {
        "a tokio Sleep each"
    };
    const IS_HEAVY: bool = !LAZY;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let (time, fired) = (Virtual::new(), Due::default());
        let waker = |connection| {
            let fired = fired.clone();
            Waker::from(Arc::new(Fired { connection, fired }))
        };
        let mut this = Self {
            sleeps: time.enter(|| {
                let far = time.at(START + settings.period);
                (0..connections)
                    .map(|_| Box::pin(sleep_until(far)))
                    .collect()
            }),
            wakers: (0..connections).map(waker).collect(),
            received: if LAZY {
                let received = |connection| ms(settings.received(connection));
                (0..connections).map(received).collect()
            } else {
                Vec::new()
            },
            time,
            period: settings.period,
            fired,
        };
        for connection in 0..connections {
            this.set(connection, settings.received(connection) + settings.period);
        }
        this
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        if LAZY {
            for &connection in connections {
                self.received[connection as usize] = ms(now);
            }
        } else {
            // It is still registered: to be polled again would cost more.
            let at = self.time.at(now + self.period);
            for &connection in connections {
                self.sleeps[connection as usize].as_mut().reset(at);
            }
        }
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        self.time.tick(now, &self.fired);
        for connection in self.fired.take() {
            let mut received = now;
            if LAZY {
                received = Duration::from_millis(self.received[connection as usize].into());
            }
            if !LAZY || received + self.period <= now {
                received = now;
                pings.push(connection);
            }
            self.set(connection, received + self.period);
        }
    }
}

/// tokio-util's queue, set again at each message.
struct Queue {
    time: Virtual,
    queue: DelayQueue<u32>,
    keys: Vec<delay_queue::Key>,
    period: Duration,
}

impl Way for Queue {
    const NAME: &'static str = "tokio-util DelayQueue";
    const IS_HEAVY: bool = true;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let time = Virtual::new();
        let mut queue = DelayQueue::new();
        let keys = time.enter(|| {
            let at = |connection| time.at(settings.received(connection) + settings.period);
            (0..connections)
                .map(|each| queue.insert_at(each, at(each)))
                .collect()
        });
        Self {
            time,
            queue,
            keys,
            period: settings.period,
        }
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        let Self {
            time,
            queue,
            keys,
            period,
        } = self;
        time.enter(|| {
            let at = time.at(now + *period);
            for &connection in connections {
                queue.reset_at(&keys[connection as usize], at);
            }
        });
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        self.time.tick(now, &Due::default());
        let Self {
            time,
            queue,
            keys,
            period,
        } = self;
        let at = time.at(now + *period);
        let expire = poll_fn(|context| {
            while let Poll::Ready(Some(expired)) = queue.poll_expired(context) {
                let connection = expired.into_inner();
                keys[connection as usize] = queue.insert_at(connection, at);
                pings.push(connection);
            }
            Poll::Ready(())
        });
        // Otherwise tokio ends the turn after some dozens, and the rest waits for the next.
        time.runtime.block_on(unconstrained(expire));
    }
}

/// A task each, woken by its message as a socket would wake it; with a `Sleep` that it sets
/// again, or without any timer, to show what of the cost is the waking.
struct Tasks<const TIMED: bool> {
    time: Virtual,
    messages: Vec<Arc<Notify>>,
    now: Arc<AtomicU32>,
    due: Due,
}

impl<const TIMED: bool> Way for Tasks<TIMED> {
    const NAME: &'static str = if TIMED {
        "a tokio task with a Sleep each"
    } else {
        "a tokio task each, woken, without a timer"
    };
    const IS_HEAVY: bool = true;

    keys_are_numbers!();

    fn new(connections: u32, settings: &Settings) -> Self {
        let this = Self {
            time: Virtual::new(),
            messages: (0..connections).map(|_| Arc::default()).collect(),
            now: Arc::new(AtomicU32::new(ms(START))),
            due: Due::default(),
        };
        for (message, connection) in this.messages.iter().zip(0..) {
            let (message, now, due) = (message.clone(), this.now.clone(), this.due.clone());
            let (origin, period) = (this.time.origin, settings.period);
            let next =
                move || origin + Duration::from_millis(now.load(Ordering::Relaxed).into()) + period;
            let first = this.time.at(settings.received(connection) + period);
            if TIMED {
                this.time.runtime.spawn(async move {
                    let mut sleep = pin!(sleep_until(first));
                    loop {
                        tokio::select! {
                            biased;
                            () = message.notified() => {}
                            () = sleep.as_mut() => due.push(connection),
                        }
                        sleep.as_mut().reset(next());
                    }
                });
            } else {
                this.time.runtime.spawn(async move {
                    loop {
                        message.notified().await;
                    }
                });
            }
        }
        // Each task once, so that it waits.
        for _ in 0..=connections as usize / TURN {
            this.time.turn();
        }
        this
    }

    fn received(&mut self, connections: &[u32], now: Duration) {
        self.now.store(ms(now), Ordering::Relaxed);
        for &connection in connections {
            self.messages[connection as usize].notify_one();
        }
        self.time.turn();
    }

    fn tick(&mut self, now: Duration, pings: &mut Vec<u32>) {
        self.now.store(ms(now), Ordering::Relaxed);
        self.time.tick(now, &self.due);
        pings.append(&mut self.due.take());
    }
}
