//! Members, of which each connection's task has one: what a message costs the task that
//! has it, alone and beside another thread; and what it costs to wake a task.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use keepalive::Config;
use keepalive::fleet::{AlreadyRunning, Member, Members};
use keepalive::session::Timer;
use tokio::runtime::Builder;
use tokio::sync::Notify;

use crate::one::Cost;
use crate::{cpu_time, median};

const MESSAGES: usize = 2_000_000;
const SAMPLES: usize = 5;
/// The members of a thread, where two write: all in its caches, or not.
const OWN: [usize; 2] = [2_000, 500_000];

/// A clock that is moved by hand.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Timer for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn set(&mut self, _: Duration) {}

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

struct Crowd {
    members: Members,
    all: Vec<Member>,
    run: Pin<Box<dyn Future<Output = Result<(), AlreadyRunning>>>>,
}

impl Crowd {
    fn new(count: usize) -> Self {
        let members = Members::new(Config::default(), 1);
        let mut run = Box::pin(members.clone().run(Clock::default()));
        let mut all: Vec<_> = (0..count).filter_map(|_| members.join()).collect();
        let context = &mut Context::from_waker(Waker::noop());
        let _ = run.as_mut().poll(context);
        for member in &mut all {
            let _ = member.poll_next(context);
        }
        Self { members, all, run }
    }
}

/// What a message costs, and the ratios to what it costs on a bare array.
pub(crate) struct Costs {
    pub(crate) rows: Vec<Cost>,
    /// By how many members a thread has: what two threads get, of what they get on
    /// arrays of their own.
    pub(crate) two_threads: Vec<(usize, f64)>,
    pub(crate) bytes_a_member: f64,
}

pub(crate) fn measure() -> Costs {
    let mut rows = Vec::new();
    let mut row = |name, ns| rows.push(Cost { name, ns });
    let mut hot = Crowd::new(1);
    let context = &mut Context::from_waker(Waker::noop());
    let member = &mut hot.all[0];
    let once = |message: &mut dyn FnMut()| sample(|| (0..MESSAGES).for_each(|_| message()));
    row(
        "received, always the same",
        once(&mut || black_box(&*member).received()),
    );
    row(
        "the same, with a poll of next",
        once(&mut || {
            member.received();
            let _ = black_box(member.poll_next(context));
        }),
    );
    drop(hot);

    let mut crowd = Crowd::new(1_000_000);
    let bytes_a_member = crowd.members.heap_bytes() as f64 / crowd.all.len() as f64;
    let targets = targets(crowd.all.len(), 1);
    row(
        "received, one of a million",
        sample(|| {
            targets
                .iter()
                .for_each(|at| crowd.all[*at as usize].received())
        }),
    );
    row(
        "the same, with a poll of next",
        sample(|| {
            for at in &targets {
                let member = &mut crowd.all[*at as usize];
                member.received();
                let _ = black_box(member.poll_next(context));
            }
        }),
    );
    let _ = crowd.run.as_mut().poll(context);
    drop(crowd);
    row("waking a task of tokio's", waking());

    let two_threads = OWN.map(|own| (own, beside_another(own)));
    Costs {
        rows,
        two_threads: two_threads.into(),
        bytes_a_member,
    }
}

fn targets(count: usize, seed: u64) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..MESSAGES).map(|_| random.u32(..count as u32)).collect()
}

/// The nanoseconds of a message.
fn sample(mut run: impl FnMut()) -> f64 {
    let samples = (0..SAMPLES).map(|_| {
        let begin = cpu_time();
        run();
        (cpu_time() - begin).as_secs_f64() * 1e9 / MESSAGES as f64
    });
    median(samples.collect())
}

/// What two threads get that write to members of their own, as a part of what they get
/// when they write to arrays of their own; each against one thread alone.
fn beside_another(own: usize) -> f64 {
    let members = Members::new(Config::default(), 1);
    let run = |threads: usize| {
        let barrier = Arc::new(Barrier::new(threads));
        let threads = (0..threads).map(|thread| {
            let (members, barrier) = (members.clone(), Arc::clone(&barrier));
            thread::spawn(move || {
                let targets = targets(own, thread as u64);
                let mine: Vec<_> = (0..own).filter_map(|_| members.join()).collect();
                let bare: Vec<_> = (0..own).map(|_| AtomicU32::new(0)).collect();
                barrier.wait();
                let member = sample(|| targets.iter().for_each(|at| mine[*at as usize].received()));
                barrier.wait();
                let bare = sample(|| {
                    let store = |at: &u32| bare[*at as usize].store(*at, Ordering::Relaxed);
                    targets.iter().for_each(store);
                });
                barrier.wait();
                (member, bare)
            })
        });
        let threads: Vec<_> = threads.collect();
        let costs = threads.into_iter().filter_map(|thread| thread.join().ok());
        costs.fold((0.0, 0.0), |sum, cost| {
            (sum.0 + 1.0 / cost.0, sum.1 + 1.0 / cost.1)
        })
    };
    let ratios = (0..SAMPLES).map(|_| {
        let (alone, both) = (run(1), run(2));
        (both.0 / alone.0) / (both.1 / alone.1)
    });
    median(ratios.collect())
}

/// From one task to another and back costs two.
fn waking() -> f64 {
    const TIMES: u32 = 100_000;
    let Ok(runtime) = Builder::new_current_thread().build() else {
        return f64::NAN;
    };
    let (there, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let samples = (0..SAMPLES).map(|_| {
        let begin = cpu_time();
        runtime.block_on(async {
            let (they, we) = (Arc::clone(&there), Arc::clone(&back));
            let other = tokio::spawn(async move {
                for _ in 0..TIMES {
                    they.notified().await;
                    we.notify_one();
                }
            });
            for _ in 0..TIMES {
                there.notify_one();
                back.notified().await;
            }
            let _ = other.await;
        });
        (cpu_time() - begin).as_secs_f64() * 1e9 / f64::from(2 * TIMES)
    });
    median(samples.collect())
}

/// Says what is too much, and returns whether nothing is.
pub(crate) fn are_kept(costs: &Costs) -> bool {
    let hot = costs.rows.get(1).map_or(0.0, |cost| cost.ns);
    let mut wrong = Vec::new();
    if hot > 12.0 {
        wrong.push(format!(
            "a member's message with a poll is {hot:.1} ns, and may be 12"
        ));
    }
    if costs.bytes_a_member > 48.0 || size_of::<Member>() > 40 {
        let (bytes, handle) = (costs.bytes_a_member, size_of::<Member>());
        wrong.push(format!(
            "a member takes {bytes:.1} + {handle} bytes, and may 48 + 40"
        ));
    }
    for (own, ratio) in costs.two_threads.iter().filter(|(_, ratio)| *ratio < 0.6) {
        wrong.push(format!(
            "two threads with {own} members each get {ratio:.2}, not 0.6"
        ));
    }
    wrong.iter().for_each(|wrong| eprintln!("{wrong}"));
    wrong.is_empty()
}
