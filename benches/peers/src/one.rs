//! One connection: what a message costs, with real timers.

use std::future::{Future, pending};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use keepalive::{Config, Event, Heartbeat};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep, sleep_until};
use tokio_util::time::DelayQueue;
use ws_heartbeat::{HeartbeatRegistry, HeartbeatSession};

use crate::{cpu_time, median};

/// How many messages one sample has, and how many samples each way.
const MESSAGES: u32 = 200_000;
const SAMPLES: usize = 25;

const PERIOD: Duration = Duration::from_secs(25);

/// A way, and the nanoseconds that one message costs.
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    pub(crate) ns: f64,
}

struct Case {
    name: &'static str,
    /// Takes as many messages as it is told.
    run: Box<dyn FnMut(u32)>,
}

/// Every way once, then all of them again.
pub(crate) fn measure(wants: impl Fn(&str) -> bool) -> Vec<Cost> {
    let mut cases = by_hand();
    cases.extend(ours());
    cases.extend(others());
    cases.retain(|case| wants(case.name));
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..SAMPLES {
        for (case, samples) in cases.iter_mut().zip(&mut samples) {
            let begin = cpu_time();
            (case.run)(MESSAGES);
            let took = cpu_time() - begin;
            samples.push(took.as_secs_f64() * 1e9 / f64::from(MESSAGES));
        }
    }
    let costs = cases.iter().zip(samples);
    costs
        .map(|(case, samples)| Cost {
            name: case.name,
            ns: median(samples),
        })
        .collect()
}

/// `message` once for each message.
fn case(name: &'static str, mut message: impl FnMut() + 'static) -> Case {
    Case {
        name,
        run: Box::new(move |messages| (0..messages).for_each(|_| message())),
    }
}

fn by_hand() -> Vec<Case> {
    let now = Instant::now();
    let (mut stored, mut both) = (now, (now, now));
    vec![
        case("by hand: store the Instant", move || {
            *black_box(&mut stored) = black_box(now);
        }),
        case("by hand: store it, compute the deadline", move || {
            let (received, deadline) = black_box(&mut both);
            *received = black_box(now);
            *deadline = *received + PERIOD;
        }),
        case("reading the clock", || {
            black_box(Instant::now());
        }),
    ]
}

fn ours() -> Vec<Case> {
    let opened = || {
        let now = Instant::now();
        let mut heartbeat = Heartbeat::new(Config::default(), 1);
        heartbeat.handle(Event::Opened, now).for_each(drop);
        (heartbeat, now)
    };
    // A macro, so that the compiler sees the event, as it does where somebody reports it.
    macro_rules! handle {
        ($name:literal, $event:expr) => {{
            let (mut heartbeat, now) = opened();
            case($name, move || {
                for action in black_box(&mut heartbeat).handle($event, black_box(now)) {
                    black_box(action);
                }
            })
        }};
    }
    let (mut pulled, now) = opened();
    vec![
        handle!("keepalive: handle(Received)", Event::Received),
        case("keepalive: handle(Received), deadline()", move || {
            let heartbeat = black_box(&mut pulled);
            for action in heartbeat.handle(Event::Received, black_box(now)) {
                black_box(action);
            }
            black_box(heartbeat.deadline());
        }),
        handle!("keepalive: handle(Sent)", Event::Sent),
        handle!("keepalive: handle(Tick), not due", Event::Tick),
        handle!(
            "keepalive: handle(Received), which only the run shows",
            black_box(Event::Received)
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        locked(),
        one_sleep(),
        registry(),
        delay_queue(),
        two_sleeps(),
        selecting(),
    ]
}

fn locked() -> Case {
    let last = Arc::new(Mutex::new(Instant::now()));
    case(
        "Arc<Mutex<Instant>>, with the clock (ezsockets)",
        move || {
            *black_box(&last)
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        },
    )
}

fn one_sleep() -> Case {
    let runtime = runtime();
    let now = tokio::time::Instant::now();
    let mut sleep = within(&runtime, || Box::pin(sleep_until(now + PERIOD)));
    on_runtime("one tokio Sleep, reset and polled", runtime, move || {
        set(&mut sleep, black_box(now) + PERIOD);
    })
}

/// A timer for the ping and one for the pong, both begun afresh at each message.
fn two_sleeps() -> Case {
    let runtime = runtime();
    let now = tokio::time::Instant::now();
    let mut timers = within(&runtime, || {
        [Box::pin(sleep(PERIOD)), Box::pin(sleep(PERIOD))]
    });
    on_runtime(
        "two tokio timers, reset and polled (the article)",
        runtime,
        move || {
            let at = black_box(now) + Duration::from_secs(2);
            set(&mut timers[0], at);
            set(&mut timers[1], at + Duration::from_secs(10));
        },
    )
}

fn set(sleep: &mut Pin<Box<Sleep>>, at: tokio::time::Instant) {
    sleep.as_mut().reset(at);
    let _ = black_box(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())));
}

fn delay_queue() -> Case {
    let runtime = runtime();
    let now = tokio::time::Instant::now();
    let mut queue = DelayQueue::new();
    let key = within(&runtime, || queue.insert_at((), now + PERIOD));
    let mut later = 0;
    on_runtime("tokio-util DelayQueue::reset_at", runtime, move || {
        // The same instant again would be a shortcut.
        later = (later + 1) % 1_000;
        queue.reset_at(&key, black_box(now) + PERIOD + Duration::from_millis(later));
    })
}

/// The loop that most people write; the stream always has a message.
fn selecting() -> Case {
    let runtime = runtime();
    let mut interval = within(&runtime, || interval(PERIOD));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let run = move |messages| {
        runtime.block_on(async {
            let mut stream = pin!(stream::repeat(()).chain(stream::once(pending())));
            let mut received = 0;
            while received < messages {
                tokio::select! {
                    _ = interval.tick() => {}
                    message = stream.next() => {
                        black_box(message);
                        received += 1;
                    }
                }
            }
        });
    };
    Case {
        name: "select! { interval, stream }",
        run: Box::new(run),
    }
}

fn registry() -> Case {
    #[derive(Clone)]
    struct Session;

    #[async_trait]
    impl HeartbeatSession for Session {
        async fn send_ping(self) {}
        async fn close_session(self) {}
    }

    let registry = HeartbeatRegistry::new();
    registry.register(1, Session);
    case("ws-heartbeat touch, with the clock", move || {
        registry.touch(black_box(&1));
    })
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder
        .enable_time()
        .build()
        .expect("a runtime without I/O")
}

fn within<R>(runtime: &Runtime, make: impl FnOnce() -> R) -> R {
    let _guard = runtime.enter();
    make()
}

fn on_runtime(name: &'static str, runtime: Runtime, mut message: impl FnMut() + 'static) -> Case {
    let run = move |messages| within(&runtime, || (0..messages).for_each(|_| message()));
    Case {
        name,
        run: Box::new(run),
    }
}
