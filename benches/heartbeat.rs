//! What a heartbeat costs beside what people write by hand, in one run:
//! `cargo bench --features std`.
//!
//! The run ends with how many times the cost by hand each way has. It fails where that
//! is more than its limit, unless benchmarks were left out.

mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion};
use keepalive::{Action, Config, Event, Heartbeat};
use support::Results;

/// What is ours, what people write by hand, and how many times its cost is too much.
const LIMITS: [(&str, &str, f64); 4] = [
    ("received", "store by hand", 1.2),
    ("message", "store by hand", 1.2),
    ("sent", "store by hand", 2.0),
    ("received and deadline", "store and deadline by hand", 1.5),
];

fn main() -> ExitCode {
    support::run(benchmarks, report)
}

fn benchmarks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    group.bench_function("store by hand", store_by_hand);
    group.bench_function("store and deadline by hand", deadline_by_hand);
    group.bench_function("received", received);
    group.bench_function("message", message);
    group.bench_function("sent", sent);
    group.bench_function("received and deadline", received_and_deadline);
    group.bench_function("any event", any_event);
    group.bench_function("read the clock", read_the_clock);
    group.finish();

    let mut timers = criterion.benchmark_group("timer");
    timers.bench_function("early tick", early_tick);
    timers.bench_function("ping and pong", ping_and_pong);
    timers.finish();

    let mut busy = criterion.benchmark_group("busy");
    busy.bench_function("1000 messages by hand", busy_by_hand);
    busy.bench_function("1000 messages", busy_heartbeat);
    busy.finish();
}

/// The least that anybody can do: remember when something last came in.
struct ByHand {
    received: Instant,
    deadline: Instant,
    interval: Duration,
}

impl ByHand {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            received: now,
            deadline: now,
            interval: Duration::from_secs(25),
        }
    }
}

fn store_by_hand(bencher: &mut Bencher) {
    let (mut by_hand, now) = (ByHand::new(), Instant::now());
    bencher.iter(|| black_box(&mut by_hand).received = black_box(now));
}

fn deadline_by_hand(bencher: &mut Bencher) {
    let (mut by_hand, now) = (ByHand::new(), Instant::now());
    bencher.iter(|| {
        let by_hand = black_box(&mut by_hand);
        by_hand.received = black_box(now);
        by_hand.deadline = by_hand.received + by_hand.interval;
    });
}

/// The compiler sees which event it is, as it does where somebody reports it.
macro_rules! noted {
    ($name:ident, $event:expr) => {
        fn $name(bencher: &mut Bencher) {
            let (mut heartbeat, now) = opened();
            bencher.iter(|| {
                let heartbeat = black_box(&mut heartbeat);
                for action in heartbeat.handle($event, black_box(now)) {
                    black_box(action);
                }
            });
        }
    };
}

noted!(received, Event::Received);
noted!(message, Event::Message);
noted!(sent, Event::Sent);

fn received_and_deadline(bencher: &mut Bencher) {
    let (mut heartbeat, now) = opened();
    bencher.iter(|| {
        let heartbeat = black_box(&mut heartbeat);
        for action in heartbeat.handle(Event::Received, black_box(now)) {
            black_box(action);
        }
        heartbeat.deadline()
    });
}

/// The same where the compiler cannot see which event it is.
fn any_event(bencher: &mut Bencher) {
    let (mut heartbeat, now) = opened();
    bencher.iter(|| {
        let heartbeat = black_box(&mut heartbeat);
        for action in heartbeat.handle(black_box(Event::Received), black_box(now)) {
            black_box(action);
        }
    });
}

fn read_the_clock(bencher: &mut Bencher) {
    bencher.iter(Instant::now);
}

fn early_tick(bencher: &mut Bencher) {
    let (mut heartbeat, now) = opened();
    bencher.iter(|| black_box(&mut heartbeat).handle(Event::Tick, black_box(now)));
}

/// One whole round: ticks until the silence is over, the ping, and its pong.
fn ping_and_pong(bencher: &mut Bencher) {
    let (mut heartbeat, mut now) = opened();
    bencher.iter(|| {
        let mut ping = None;
        while ping.is_none() {
            now = heartbeat.deadline().unwrap_or(now);
            for action in heartbeat.handle(Event::Tick, now) {
                if let Action::SendPing(id) = action {
                    ping = Some(id);
                }
            }
        }
        if let Some(id) = ping {
            for action in heartbeat.handle(Event::Pong(id), now) {
                black_box(action);
            }
        }
    });
}

/// A connection with a message a millisecond, beside the timer that it armed.
fn busy_heartbeat(bencher: &mut Bencher) {
    let (mut heartbeat, mut now) = opened();
    let mut armed = now;
    bencher.iter(|| {
        for _ in 0..1000 {
            now += black_box(Duration::from_millis(1));
            for action in heartbeat.handle(Event::Received, now) {
                black_box(action);
            }
            if armed <= now {
                for action in heartbeat.handle(Event::Tick, now) {
                    if let Action::ArmDeadline(at) = action {
                        armed = at;
                    }
                }
            }
        }
    });
}

fn busy_by_hand(bencher: &mut Bencher) {
    let mut by_hand = ByHand::new();
    let mut now = by_hand.received;
    bencher.iter(|| {
        for _ in 0..1000 {
            now += black_box(Duration::from_millis(1));
            black_box(&mut by_hand).received = now;
            if by_hand.deadline <= now {
                by_hand.deadline = by_hand.received + by_hand.interval;
            }
        }
    });
}

fn opened() -> (Heartbeat<Instant>, Instant) {
    let mut heartbeat = Heartbeat::new(Config::default(), 1);
    let now = Instant::now();
    for action in heartbeat.handle(Event::Opened, now) {
        black_box(action);
    }
    (heartbeat, now)
}

fn report(results: &Results) -> ExitCode {
    let median = |name: &str| results.median(&format!("message/{name}"));
    println!();
    let mut is_cheap = true;
    for (ours, by_hand, limit) in LIMITS {
        if let (Some(cost), Some(other)) = (median(ours), median(by_hand)) {
            let ratio = cost / other;
            println!(
                "{ours}: {cost:.2} ns, {ratio:.2} times \"{by_hand}\" ({other:.2} ns); limit {limit}"
            );
            is_cheap &= ratio <= limit;
        }
    }
    if is_cheap {
        return ExitCode::SUCCESS;
    }
    println!("that is too much");
    ExitCode::FAILURE
}
