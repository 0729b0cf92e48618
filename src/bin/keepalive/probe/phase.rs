//! Connections that are held at the same time, a thread each.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::hold::{Failure, Held, Plan, Stop, Target};
use super::limit::Outcome;
use super::traffic::Kind;
use crate::watch::text;

/// A connection that is to be held, to one of the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) target: usize,
    pub(crate) plan: Plan,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) job: Job,
    /// None where an earlier dial had failed, or the probe was to end.
    pub(crate) result: Option<Result<Held, Failure>>,
}

/// So many drops without a word end a ladder: longer silences would end in the same way.
const ENOUGH: usize = 2;

/// Dials are this far apart, or a hundredth of the time that the connections are held.
const APART: Duration = Duration::from_millis(100);

/// How often the progress is drawn, and Ctrl-C heard.
const TICK: Duration = Duration::from_millis(100);

/// Holds all of them at once.
pub(crate) fn run(
    targets: &[&Target],
    jobs: &[Job],
    title: &str,
    interrupted: &Stop,
) -> io::Result<Vec<Done>> {
    let stops: Vec<Stop> = targets.iter().map(|_| Stop::default()).collect();
    let failed: Vec<AtomicBool> = targets.iter().map(|_| AtomicBool::new(false)).collect();
    let longest = jobs.iter().map(|job| job.plan.lasts).max();
    let apart = APART.min(longest.unwrap_or_default() / 100);
    let progress = Progress::new(title, longest.unwrap_or_default());
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for (number, job) in (0..).zip(jobs) {
            let target = targets.get(job.target);
            let stop = stops.get(job.target);
            let failed = failed.get(job.target);
            let (Some(target), Some(stop), Some(failed)) = (target, stop, failed) else {
                continue;
            };
            let sender = sender.clone();
            let hold = move || {
                stop.wait(apart * number);
                let is_off = stop.is_set() || failed.load(Ordering::SeqCst);
                let result = (!is_off).then(|| target.hold(job.plan, stop));
                let is_failure = matches!(result, Some(Err(_)));
                failed.fetch_or(is_failure, Ordering::SeqCst);
                // A dial that Ctrl-C ended is no failure.
                let result = result.filter(|result| result.is_ok() || !stop.is_set());
                let _ = sender.send(Done { job: *job, result });
            };
            let thread = thread::Builder::new().name("connection".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, hold) {
                stops.iter().for_each(Stop::set);
                return Err(error);
            }
        }
        drop(sender);
        let mut done: Vec<Done> = Vec::with_capacity(jobs.len());
        loop {
            match results.recv_timeout(TICK) {
                Ok(one) => done.push(one),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            progress.show(jobs.len(), &done);
            for (number, stop) in stops.iter().enumerate() {
                if interrupted.is_set() || drops(&done, number) >= ENOUGH {
                    stop.set();
                }
            }
        }
        progress.end();
        Ok(done)
    })
}

/// Waits, as a server asked.
pub(crate) fn pause(lasts: Duration, interrupted: &Stop) {
    let progress = Progress::new("the server asks for a pause", lasts);
    let message = format!("of {}", progress.longest);
    let end = Instant::now() + lasts;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if left.is_zero() || interrupted.is_set() {
            break;
        }
        progress.draw(message.clone());
        interrupted.wait(left.min(TICK));
    }
    progress.end();
}

/// How many silent connections to this target were dropped without a word.
fn drops(done: &[Done], target: usize) -> usize {
    let is_drop = |done: &&Done| {
        done.job.target == target
            && done.job.plan.kind == Kind::Silent
            && matches!(&done.result, Some(Ok(held)) if matches!(held.outcome, Outcome::Dead(_)))
    };
    done.iter().filter(is_drop).count()
}

/// A bar on a terminal, or a line.
struct Progress {
    bar: ProgressBar,
    begun: Instant,
    longest: String,
}

impl Progress {
    fn new(title: &str, longest: Duration) -> Self {
        let bar = if io::stderr().is_terminal() {
            ProgressBar::new(longest.as_millis() as u64)
        } else {
            let line = format!("{title}, up to {}", text::took(longest));
            // Nobody has to read it.
            let _ = writeln!(io::stderr(), "{line}");
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {elapsed} {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(title.to_owned());
        Self {
            bar,
            begun: Instant::now(),
            longest: text::took(longest),
        }
    }

    fn show(&self, all: usize, done: &[Done]) {
        let ended = |done: &&Done| matches!(&done.result, Some(Ok(held)) if matches!(held.outcome, Outcome::Cut(..) | Outcome::Dead(_)));
        let held = all - done.len();
        let ended = done.iter().filter(ended).count();
        let longest = &self.longest;
        self.draw(format!("of {longest}: {held} held, {ended} ended"));
    }

    fn draw(&self, message: String) {
        self.bar.set_message(message);
        self.bar
            .set_position(self.begun.elapsed().as_millis() as u64);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
