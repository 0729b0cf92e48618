//! What a session costs over the bare stream, and beside the loop that people write
//! by hand, in one run: `cargo bench --features tokio --bench session`.
//!
//! The run ends with what one message of 32 bytes costs. It fails where that is more
//! than 1.8 times what reading the clock costs over the bare stream, that reading
//! included, or not less than the loop by hand, unless benchmarks were left out.

mod support;

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion};
use futures_core::Stream;
use futures_sink::Sink;
use keepalive::Config;
use keepalive::driver::Notice;
use keepalive::session::Measured;
use keepalive::tokio::accepted;
use support::Results;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tungstenite::{Bytes, Error, Message};

/// What a message may cost over the bare stream, in times of reading the clock. Measured:
/// 1.5; what is above that is for noisy machines.
const LIMIT: f64 = 1.8;

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    support::run(benchmarks, report)
}

fn benchmarks(criterion: &mut Criterion) {
    let mut stream = criterion.benchmark_group("stream");
    stream.bench_function("bare", bare);
    stream.bench_function("session", session);
    stream.bench_function("select by hand", select_by_hand);
    stream.bench_function("select without a clock", select_without_a_clock);
    stream.bench_function("read the clock", |bencher| bencher.iter(Instant::now));
    stream.finish();
}

/// A socket that always has a message, and answers pings.
#[derive(Default)]
struct Socket {
    pong: Option<Bytes>,
}

impl Stream for Socket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = match self.pong.take() {
            Some(id) => Message::Pong(id),
            None => Message::Binary(Bytes::from_static(&[7; 32])),
        };
        Poll::Ready(Some(Ok(message)))
    }
}

impl Sink<Message> for Socket {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        if let Message::Ping(id) = message {
            self.pong = Some(id);
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}

impl Measured for Socket {}

async fn next(socket: &mut Socket) -> Message {
    match poll_fn(|context| Pin::new(&mut *socket).poll_next(context)).await {
        Some(Ok(message)) => message,
        Some(Err(_)) | None => unreachable!(),
    }
}

fn bare(bencher: &mut Bencher) {
    let runtime = runtime();
    bencher.iter_custom(|count| {
        runtime.block_on(async {
            let mut socket = Socket::default();
            let begin = Instant::now();
            for _ in 0..count {
                if let Message::Binary(data) = next(&mut socket).await {
                    black_box(data);
                }
            }
            begin.elapsed()
        })
    });
}

fn session(bencher: &mut Bencher) {
    let runtime = runtime();
    let settings = Config::builder()
        .ping_interval(INTERVAL)
        .pong_timeout(TIMEOUT);
    let Ok(config) = settings.build() else {
        unreachable!()
    };
    bencher.iter_custom(|count| {
        runtime.block_on(async {
            let mut session = accepted(config, Socket::default());
            let begin = Instant::now();
            let mut left = count;
            while left > 0 {
                match session.next().await {
                    Some(Notice::Message(Message::Binary(data))) => {
                        black_box(data);
                        left -= 1;
                    }
                    Some(_) => {}
                    None => unreachable!(),
                }
            }
            begin.elapsed()
        })
    });
}

/// Pings after a silence, takes any message for life, matches pongs, and gives up
/// after the timeout; its timer is lazy, too.
fn select_by_hand(bencher: &mut Bencher) {
    let runtime = runtime();
    bencher.iter_custom(|count| {
        runtime.block_on(async {
            let mut socket = Socket::default();
            let (mut pings, mut awaited) = (0_u64, None::<Bytes>);
            let mut received = Instant::now();
            let mut timer = pin!(sleep(INTERVAL));
            let begin = received;
            let mut left = count;
            while left > 0 {
                tokio::select! {
                    message = next(&mut socket) => {
                        received = Instant::now();
                        match message {
                            Message::Pong(id) if awaited.as_deref() == Some(&id[..]) => awaited = None,
                            Message::Binary(data) => {
                                awaited = None;
                                black_box(data);
                                left -= 1;
                            }
                            _ => {}
                        }
                    }
                    () = &mut timer => {
                        assert!(awaited.is_none(), "dead");
                        let now = Instant::now();
                        let mut due = received + INTERVAL;
                        if due <= now {
                            pings += 1;
                            let id = Bytes::copy_from_slice(&pings.to_be_bytes());
                            awaited = Some(id.clone());
                            let sent = Pin::new(&mut socket).start_send(Message::Ping(id));
                            assert!(sent.is_ok(), "broken");
                            due = now + TIMEOUT;
                        }
                        timer.as_mut().reset(due.into());
                    }
                }
            }
            begin.elapsed()
        })
    });
}

/// Pings once an interval whatever comes in, and so needs no clock; it knows no
/// round trip.
fn select_without_a_clock(bencher: &mut Bencher) {
    let runtime = runtime();
    bencher.iter_custom(|count| {
        runtime.block_on(async {
            let mut socket = Socket::default();
            let mut ticks = interval(INTERVAL.min(TIMEOUT));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut pings, mut awaited) = (0_u64, None::<Bytes>);
            let begin = Instant::now();
            let mut left = count;
            while left > 0 {
                tokio::select! {
                    message = next(&mut socket) => match message {
                        Message::Pong(id) if awaited.as_deref() == Some(&id[..]) => awaited = None,
                        Message::Binary(data) => {
                            awaited = None;
                            black_box(data);
                            left -= 1;
                        }
                        _ => {}
                    },
                    _ = ticks.tick() => {
                        assert!(awaited.is_none(), "dead");
                        pings += 1;
                        let id = Bytes::copy_from_slice(&pings.to_be_bytes());
                        awaited = Some(id.clone());
                        let sent = Pin::new(&mut socket).start_send(Message::Ping(id));
                        assert!(sent.is_ok(), "broken");
                    }
                }
            }
            begin.elapsed()
        })
    });
}

fn runtime() -> Runtime {
    match Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => unreachable!("{error}"),
    }
}

fn report(results: &Results) -> ExitCode {
    let median = |name: &str| results.median(&format!("stream/{name}"));
    let (Some(bare), Some(session), Some(by_hand), Some(clock)) = (
        median("bare"),
        median("session"),
        median("select by hand"),
        median("read the clock"),
    ) else {
        return ExitCode::SUCCESS;
    };
    let over = session - bare;
    let times = over / clock;
    println!("\na message costs {session:.1} ns in a session, which is");
    println!(
        "  {over:.1} ns over the bare stream ({bare:.1} ns): {times:.2} times the clock ({clock:.1} ns); limit {LIMIT}"
    );
    for name in ["select by hand", "select without a clock"] {
        if let Some(other) = median(name) {
            println!("  {:.2} times \"{name}\" ({other:.1} ns)", session / other);
        }
    }
    if times <= LIMIT && session < by_hand {
        return ExitCode::SUCCESS;
    }
    println!("more than {LIMIT} times the clock over the bare stream, or not less than by hand");
    ExitCode::FAILURE
}
