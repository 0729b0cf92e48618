//! The order in which things are tried.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::hold::{Failure, Held, Hello, Plan, Target};
use super::ladder;
use super::limit::{Outcome, Seen};
use super::phase::{self, Done, Job};
use super::traffic::{Kind, interval};

/// A server that asks to stay away for longer is left alone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Traffic has to keep a connection this many times as long as silence did.
const BEYOND: u32 = 2;

/// What a probe of one server showed.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) hello: Hello,
    /// The silences, run by run.
    pub(crate) runs: Vec<Seen>,
    pub(crate) talk: Talk,
    pub(crate) traffic: Vec<Traffic>,
    /// Why some connections could not be made.
    pub(crate) failures: Vec<Failure>,
    /// How many there may be at once; fewer after a failure.
    connections: usize,
    /// None of the last ones could be made, or the server asked for a long pause.
    pub(crate) is_lost: bool,
    pause: Option<Instant>,
}

/// How much a server said to a silent client by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) connections: usize,
    /// On how many it said something,
    pub(crate) spoken: usize,
    /// and on how many it sent pings, which were answered.
    pub(crate) pinged: usize,
}

impl Talk {
    fn hear(&mut self, held: &Held) {
        self.connections += 1;
        self.spoken += usize::from(held.heard > 0);
        self.pinged += usize::from(held.pinged > 0);
    }
}

/// How connections with traffic of a kind went.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) kind: Kind,
    pub(crate) seen: Seen,
    pub(crate) every: Duration,
    pub(crate) lasted: Duration,
    /// On how many connections the server spoke.
    pub(crate) spoken: usize,
}

impl Findings {
    pub(crate) const fn new(hello: Hello, connections: usize) -> Self {
        Self {
            hello,
            runs: Vec::new(),
            talk: Talk {
                connections: 0,
                spoken: 0,
                pinged: 0,
            },
            traffic: Vec::new(),
            failures: Vec::new(),
            connections,
            is_lost: false,
            pause: None,
        }
    }

    /// All runs together.
    pub(crate) fn silent(&self) -> Seen {
        Seen::merged(&self.runs)
    }

    fn hear_failures(&mut self, done: &[&Done]) {
        let results = done.iter().filter_map(|done| done.result.as_ref());
        let failed = results.clone().filter_map(|result| result.as_ref().err());
        let mut failed = failed.cloned().peekable();
        let opened = results.filter(|result| result.is_ok()).count();
        if failed.peek().is_some() {
            self.connections = opened.max(1);
            self.is_lost |= opened == 0;
        }
        for failure in failed {
            if let Some(pause) = failure.retry_after {
                self.is_lost |= pause > PATIENCE;
                self.pause = self.pause.max(Some(Instant::now() + pause.min(PATIENCE)));
            }
            self.failures.push(failure);
        }
    }
}

/// How much is to be tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) longest: Duration,
    pub(crate) repeat: usize,
}

pub(crate) struct Course<'a> {
    pub(crate) targets: Vec<&'a Target>,
    pub(crate) findings: Vec<Findings>,
    pub(crate) scope: Scope,
    pub(crate) interrupted: &'a AtomicBool,
}

impl Course<'_> {
    pub(crate) fn run(&mut self) -> io::Result<()> {
        for number in 1..=self.scope.repeat {
            self.silences(number)?;
        }
        self.traffic()
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// One run: a ladder to each target, and more of them until each shows a limit closely
    /// enough, or none.
    fn silences(&mut self, number: usize) -> io::Result<()> {
        let longest = self.scope.longest;
        let title = format!("silence, run {number} of {}", self.scope.repeat);
        let mut runs: Vec<Run> = self.findings.iter().map(|_| Run::default()).collect();
        for (findings, run) in self.findings.iter().zip(&mut runs) {
            run.next = match findings.runs.last() {
                None => ladder::first(longest, findings.connections),
                Some(last) => ladder::again(last, longest, findings.connections),
            };
            run.is_whole = findings.runs.is_empty();
        }
        while !self.is_interrupted() {
            let mut jobs = Vec::new();
            for (target, (findings, run)) in self.findings.iter().zip(&mut runs).enumerate() {
                if findings.is_lost {
                    run.next.clear();
                }
                // The longest first: it shows most, should the server let few in.
                run.next.sort_unstable_by(|one, other| other.cmp(one));
                jobs.extend(run.next.iter().map(|lasts| Job {
                    target,
                    plan: Plan::silence(*lasts, findings.hello.has_pongs()),
                }));
            }
            if jobs.is_empty() {
                break;
            }
            let done = self.hold(&jobs, &title)?;
            for (target, run) in runs.iter_mut().enumerate() {
                let done = done.iter().filter(|done| done.job.target == target);
                let held = done.filter_map(|done| done.result.as_ref()?.as_ref().ok());
                run.outcomes.extend(held.map(|held| held.outcome));
                let connections = self.findings.get(target).map_or(1, |all| all.connections);
                run.plan_next(longest, connections);
            }
        }
        for (findings, run) in self.findings.iter_mut().zip(runs) {
            let seen = Seen::of(run.outcomes);
            if !seen.is_empty() {
                findings.runs.push(seen);
            }
        }
        Ok(())
    }

    /// Traffic of each kind to the first target, where silence has a limit.
    fn traffic(&mut self) -> io::Result<()> {
        let (Some(findings), Some(target)) = (self.findings.first(), self.targets.first()) else {
            return Ok(());
        };
        let silent = findings.silent();
        let Some((least, usual)) = silent.least().zip(silent.usual()) else {
            return Ok(());
        };
        let mut kinds = Kind::TRAFFIC.to_vec();
        kinds.retain(|kind| match kind {
            Kind::Text => target.text.is_some(),
            Kind::Inbound => target.subscribe.is_some(),
            _ => true,
        });
        let last = silent.cuts.last().copied().unwrap_or_default();
        let has_pongs = findings.hello.has_pongs();
        let plan = |kind| Plan {
            kind,
            lasts: usual.upto.max(last) * BEYOND,
            every: interval(least),
            has_pongs,
        };
        let each = kinds.iter().map(|kind| Job {
            target: 0,
            plan: plan(*kind),
        });
        let jobs: Vec<Job> = each.cycle().take(kinds.len() * self.scope.repeat).collect();
        let mut all = Vec::new();
        let mut rest = jobs.as_slice();
        while !rest.is_empty() && !self.is_interrupted() {
            let Some(findings) = self.findings.first().filter(|all| !all.is_lost) else {
                break;
            };
            let (now, later) = rest.split_at(findings.connections.min(rest.len()));
            all.extend(self.hold(now, "traffic")?);
            rest = later;
        }
        let told = |kind| {
            let of_kind = all.iter().filter(move |done| done.job.plan.kind == kind);
            let held = of_kind.filter_map(|done| done.result.as_ref()?.as_ref().ok());
            let held: Vec<&Held> = held.collect();
            Traffic {
                kind,
                seen: Seen::of(held.iter().map(|held| held.outcome)),
                every: plan(kind).every,
                lasted: plan(kind).lasts,
                spoken: held.iter().filter(|held| held.heard > 0).count(),
            }
        };
        let traffic = kinds.into_iter().map(told).collect();
        if let Some(findings) = self.findings.first_mut() {
            findings.traffic = traffic;
        }
        Ok(())
    }

    fn hold(&mut self, jobs: &[Job], title: &str) -> io::Result<Vec<Done>> {
        self.pause();
        if self.is_interrupted() {
            return Ok(Vec::new());
        }
        let done = phase::run(&self.targets, jobs, title, self.interrupted)?;
        for (target, findings) in self.findings.iter_mut().enumerate() {
            let own: Vec<&Done> = done
                .iter()
                .filter(|done| done.job.target == target)
                .collect();
            findings.hear_failures(&own);
            let silent = own.iter().filter(|done| done.job.plan.kind == Kind::Silent);
            let held = silent.filter_map(|done| done.result.as_ref()?.as_ref().ok());
            held.for_each(|held| findings.talk.hear(held));
        }
        Ok(done)
    }

    /// For as long as a server asked for.
    fn pause(&self) {
        let until = self
            .findings
            .iter()
            .filter_map(|findings| findings.pause)
            .max();
        while let Some(left) = until.and_then(|until| until.checked_duration_since(Instant::now()))
        {
            if left.is_zero() || self.is_interrupted() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// One run of ladders to one target.
#[derive(Default)]
struct Run {
    next: Vec<Duration>,
    outcomes: Vec<Outcome>,
    /// Whether it began with, or came to, a ladder of all lengths.
    is_whole: bool,
    closer: usize,
}

impl Run {
    fn plan_next(&mut self, longest: Duration, connections: usize) {
        let tried = std::mem::take(&mut self.next);
        if tried.is_empty() {
            return;
        }
        let seen = Seen::of(self.outcomes.iter().copied());
        if !self.is_whole && ladder::is_elsewhere(&seen, &tried, longest) {
            self.is_whole = true;
            self.next = ladder::first(longest, connections);
        } else if let Some(next) = ladder::closer(&seen, self.closer, connections) {
            self.is_whole = true;
            self.closer += 1;
            self.next = next;
        }
    }
}
