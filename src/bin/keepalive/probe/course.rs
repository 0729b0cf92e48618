//! The order in which things are tried.

use std::io;
use std::ops::Sub;
use std::time::{Duration, Instant};

use super::hold::{Failure, Held, Hello, Plan, Stop, Target};
use super::ladder;
use super::limit::{Outcome, Seen};
use super::phase::{self, Done, Job};
use super::traffic::{Kind, interval};
use crate::watch::text;

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
    pub(crate) is_reduced: bool,
    /// None of the last ones was let in, but the server said when to come back.
    is_put_off: bool,
    pause: Option<Instant>,
    /// Why no more are tried.
    pub(crate) lost: Option<String>,
    /// How many ended when the server could no longer be reached, which shows nothing else.
    pub(crate) ended_with_server: usize,
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
            is_reduced: false,
            is_put_off: false,
            pause: None,
            lost: None,
            ended_with_server: 0,
        }
    }

    /// All runs together.
    pub(crate) fn silent(&self) -> Seen {
        Seen::merged(&self.runs)
    }

    fn hear_dials(&mut self, done: &[&Done]) {
        let results = done.iter().filter_map(|done| done.result.as_ref());
        let opened = results.clone().filter(|result| result.is_ok()).count();
        let failed: Vec<Failure> = results
            .filter_map(|result| result.as_ref().err().cloned())
            .collect();
        if opened > 0 {
            self.is_put_off = false;
        }
        if !failed.is_empty() {
            self.hear_failures(failed, opened);
        }
    }

    /// A server that lets in nobody is asked once more, if it said when.
    fn hear_failures(&mut self, failed: Vec<Failure>, opened: usize) {
        if opened > 0 {
            self.connections = opened;
            self.is_reduced = true;
        }
        let why = failed.first().map(|failure| failure.why.clone());
        let pauses = failed.iter().filter_map(|failure| failure.retry_after);
        match pauses.max() {
            Some(pause) if pause > PATIENCE => {
                let pause = text::setting(pause);
                self.lost = why.map(|why| format!("{why}, and asks for a pause of {pause}"));
            }
            Some(pause) if opened > 0 || !self.is_put_off => {
                self.pause = self.pause.max(Some(Instant::now() + pause));
                self.is_put_off = opened == 0;
            }
            _ if opened == 0 => self.lost = why,
            _ => {}
        }
        self.failures.extend(failed);
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
    pub(crate) interrupted: &'a Stop,
}

impl Course<'_> {
    pub(crate) fn run(&mut self) -> io::Result<()> {
        for number in 1..=self.scope.repeat {
            self.silences(number)?;
        }
        self.traffic()
    }

    /// Whether it was interrupted, or the server is lost.
    fn is_over(&self) -> bool {
        let server = self.findings.first();
        self.interrupted.is_set() || server.is_some_and(|findings| findings.lost.is_some())
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
        while !self.is_over() {
            let mut jobs = Vec::new();
            for (target, (findings, run)) in self.findings.iter().zip(&mut runs).enumerate() {
                if findings.lost.is_some() {
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
        while !rest.is_empty() && !self.is_over() {
            let Some(findings) = self.findings.first() else {
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

    /// Holds them, those to a server that put all of them off once more.
    fn hold(&mut self, jobs: &[Job], title: &str) -> io::Result<Vec<Done>> {
        let mut all = Vec::new();
        let mut rest = jobs.to_vec();
        while !rest.is_empty() {
            self.pause();
            if self.is_over() {
                break;
            }
            let mut done = phase::run(&self.targets, &rest, title, self.interrupted)?;
            for target in 0..self.targets.len() {
                self.hear(target, &mut done);
            }
            rest.retain(|job| {
                let findings = self.findings.get(job.target);
                findings.is_some_and(|findings| findings.is_put_off && findings.lost.is_none())
            });
            all.extend(done);
        }
        Ok(all)
    }

    /// What the connections to a target say.
    fn hear(&mut self, target: usize, done: &mut [Done]) {
        let Some(findings) = self.findings.get_mut(target) else {
            return;
        };
        let own: Vec<&Done> = done
            .iter()
            .filter(|done| done.job.target == target)
            .collect();
        findings.hear_dials(&own);
        let silent = own.iter().filter(|done| done.job.plan.kind == Kind::Silent);
        let held = silent.filter_map(|done| done.result.as_ref()?.as_ref().ok());
        held.for_each(|held| findings.talk.hear(held));
        let is_lost = findings.lost.is_some();

        let own = done.iter_mut().filter(|done| done.job.target == target);
        let held = own.filter_map(|done| done.result.as_mut()?.as_mut().ok());
        let mut ended: Vec<&mut Held> = held.filter(|held| held.has_ended()).collect();
        if is_lost || !may_have_gone(&ended) || !self.is_gone(target) {
            return;
        }
        if let Some(findings) = self.findings.get_mut(target) {
            findings.ended_with_server += ended.len();
        }
        for held in &mut ended {
            held.outcome = Outcome::Left;
        }
    }

    /// Asks a server whether it is still there.
    fn is_gone(&mut self, target: usize) -> bool {
        loop {
            self.pause();
            let (Some(server), Some(findings)) =
                (self.targets.get(target), self.findings.get_mut(target))
            else {
                return false;
            };
            let failure = server.reach(self.interrupted).err();
            let failure = failure.filter(|failure| failure.may_be_gone());
            let Some(failure) = failure.filter(|_| !self.interrupted.is_set()) else {
                findings.is_put_off = false;
                return false;
            };
            findings.hear_failures(vec![failure], 0);
            if findings.lost.is_some() {
                return true;
            }
        }
    }

    /// For as long as a server asked for.
    fn pause(&self) {
        let pauses = self.findings.iter().filter_map(|findings| findings.pause);
        let left = pauses.max().map(|until| until - Instant::now());
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            phase::pause(left, self.interrupted);
        }
    }
}

/// Whether connections may have ended because the server went. A limit counts from the
/// beginning of each; a server that goes ends all of them at the same moment.
fn may_have_gone(ended: &[&mut Held]) -> bool {
    let cuts = ended.iter().filter_map(|held| match held.outcome {
        Outcome::Cut(at, _) => Some((held.begun + at, at)),
        _ => None,
    });
    let mut outcomes = ended.iter().map(|held| held.outcome);
    let is_dead = outcomes.any(|outcome| matches!(outcome, Outcome::Dead(_)));
    let is_cut = cuts.clone().next().is_some();
    let moments = spread(cuts.clone().map(|(moment, _)| moment));
    let ages = spread(cuts.map(|(_, age)| age));
    is_dead || (is_cut && moments <= ages)
}

fn spread<T: Copy + Ord + Sub<Output = Duration>>(
    times: impl Iterator<Item = T> + Clone,
) -> Duration {
    match (times.clone().min(), times.max()) {
        (Some(first), Some(last)) => last - first,
        _ => Duration::ZERO,
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

#[cfg(test)]
mod tests {
    use super::super::limit::tests::{alive, cut, dead, seconds};
    use super::*;

    #[test]
    fn a_limit_ends_connections_one_after_the_other_and_a_server_all_at_once() {
        let origin = Instant::now();
        let may_have_gone = |ended: &[(f64, Outcome)]| {
            let held = |(begun, outcome): &(f64, Outcome)| Held {
                begun: origin + seconds(*begun),
                outcome: *outcome,
                heard: 0,
                pinged: 0,
            };
            let mut held: Vec<Held> = ended.iter().map(held).collect();
            super::may_have_gone(&held.iter_mut().collect::<Vec<_>>())
        };
        assert!(!may_have_gone(&[]));
        assert!(!may_have_gone(&[(0.0, alive(2.0)), (0.1, alive(1.0))]));
        // Each after 2 s, give or take a bit.
        let limit = [(0.0, cut(2.01)), (0.1, cut(2.0)), (0.2, cut(2.02))];
        assert!(!may_have_gone(&limit));
        let server = [(0.0, cut(2.01)), (0.1, cut(1.9)), (0.2, cut(1.82))];
        assert!(may_have_gone(&server));
        // It cannot be told.
        assert!(may_have_gone(&[(0.0, cut(2.0))]));
        assert!(may_have_gone(&[
            (0.0, cut(2.0)),
            (0.1, cut(2.0)),
            (0.2, dead(1.5))
        ]));
    }
}
