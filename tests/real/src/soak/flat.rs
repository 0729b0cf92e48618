//! What the process holds, at moments when all clients are open and nothing is wrong.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peak_alloc::PeakAlloc;
use tokio::runtime::Handle;

/// The columns. Heap is what is allocated, resident is what the system has given for it:
/// that also grows with how much was in use at the same time, and never shrinks by much.
pub(super) const NAMES: [&str; 9] = [
    "heap, kB",
    "resident, kB",
    "descriptors",
    "threads",
    "tokio's tasks",
    "sessions",
    "server's sockets",
    "server's heap, kB",
    "server's resident, kB",
];

/// What the server counts of itself.
#[derive(Clone, Copy, Default)]
pub(super) struct There {
    pub(super) sockets: usize,
    pub(super) heap: usize,
}

pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) values: [usize; NAMES.len()],
}

/// Where tokio's sessions run.
pub(super) static RUNTIME: OnceLock<Handle> = OnceLock::new();

/// Sessions that are alive: held by each of them, gone with it.
static SESSIONS: AtomicUsize = AtomicUsize::new(0);

pub(super) struct Alive(());

impl Alive {
    pub(super) fn new() -> Self {
        SESSIONS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        SESSIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn sessions() -> usize {
    SESSIONS.load(Ordering::Relaxed)
}

/// In kB. 0 where the binary does not count it.
pub(super) fn heap() -> usize {
    PeakAlloc.current_usage() / 1024
}

pub(super) fn sample(at: Duration, server: u32, there: There) -> Sample {
    let tasks = RUNTIME
        .get()
        .map(|handle| handle.metrics().num_alive_tasks());
    let values = [
        heap(),
        status("self", "RssAnon"),
        fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        status("self", "Threads"),
        tasks.unwrap_or(0),
        sessions(),
        there.sockets,
        there.heap,
        status(&server.to_string(), "RssAnon"),
    ];
    Sample { at, values }
}

fn status(process: &str, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// From the middle third of the samples to the last one, by medians.
pub(super) struct Trend {
    pub(super) name: &'static str,
    pub(super) start: usize,
    pub(super) middle: usize,
    pub(super) end: usize,
    pub(super) may_grow: usize,
}

impl Trend {
    pub(super) fn is_flat(&self) -> bool {
        self.end <= self.middle + self.may_grow
    }
}

/// The first third warms up. None of fewer than three samples, which no run ends with
/// that is right.
pub(super) fn trends(samples: &[Sample]) -> Vec<Trend> {
    let count = samples.len();
    if count < 3 {
        return Vec::new();
    }
    let third = |number: usize, column: usize| {
        let part = &samples[number * count / 3..(number + 1) * count / 3];
        let mut values: Vec<_> = part.iter().map(|sample| sample.values[column]).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    let trend = |(column, &name): (usize, &&'static str)| {
        let middle = third(1, column);
        let may_grow = match name {
            "heap, kB" | "server's heap, kB" => 128 + middle / 100,
            "resident, kB" | "server's resident, kB" => 1024 + middle / 4,
            _ => 2,
        };
        let (start, end) = (third(0, column), third(2, column));
        Trend {
            name,
            start,
            middle,
            end,
            may_grow,
        }
    };
    NAMES.iter().enumerate().map(trend).collect()
}
