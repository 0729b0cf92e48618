//! What worlds came to, counted.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use keepalive::CloseReason;

/// Why a world is not as it should be.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub seed: u64,
    pub kind: Kind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A heartbeat broke an invariant.
    Oracle,
    /// A healthy peer was convicted.
    Mistake,
    /// Long after the last fault somebody is not open.
    NotOpen,
    /// All was well, and somebody connected anew.
    Restless,
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {}", self.kind, self.text)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub worlds: usize,
    pub clients: usize,
    pub time: Duration,
    pub steps: u64,
    pub dials: u64,
    pub accepts: u64,
    pub refusals: u64,
    pub convictions: u64,
    /// By their reason.
    pub verdicts: BTreeMap<String, u64>,
    /// Logins that the server took, and those that the client gave up.
    pub logins: u64,
    pub given_up: u64,
    /// How often a kernel was seen to take bytes that were before a ping, and how long
    /// a ping waited at most.
    pub drained: u64,
    pub waited: Duration,
    pub mistakes: u64,
    pub troubles: u64,
    /// How long each dead peer was silent, as a share of its bound.
    pub detections: Vec<f32>,
    /// The longest time from the heal until all were open, and the greatest share
    /// of its bound.
    pub healing: Duration,
    pub healing_share: f64,
    /// In each second of the world.
    pub dials_at: Vec<u32>,
    pub pings_at: Vec<u32>,
}

impl Tally {
    pub fn new(clients: usize) -> Self {
        Self {
            worlds: 1,
            clients,
            ..Self::default()
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.clients += other.clients;
        self.time += other.time;
        self.steps += other.steps;
        self.dials += other.dials;
        self.accepts += other.accepts;
        self.refusals += other.refusals;
        self.convictions += other.convictions;
        self.logins += other.logins;
        self.given_up += other.given_up;
        self.drained += other.drained;
        self.waited = self.waited.max(other.waited);
        for (reason, count) in &other.verdicts {
            *self.verdicts.entry(reason.clone()).or_default() += count;
        }
        self.mistakes += other.mistakes;
        self.troubles += other.troubles;
        self.detections.extend_from_slice(&other.detections);
        self.healing = self.healing.max(other.healing);
        self.healing_share = self.healing_share.max(other.healing_share);
        sums(&mut self.dials_at, &other.dials_at);
        sums(&mut self.pings_at, &other.pings_at);
    }

    pub fn troubled(&mut self, kind: Kind) {
        self.troubles += 1;
        self.mistakes += u64::from(kind == Kind::Mistake);
    }

    pub fn convicted(&mut self, reason: CloseReason, verdict: Option<(Duration, Duration)>) {
        self.convictions += 1;
        *self.verdicts.entry(reason.to_string()).or_default() += 1;
        if reason == CloseReason::ConnectTimeout {
            return;
        }
        if let Some((silence, bound)) = verdict {
            let share = silence.as_secs_f64() / bound.as_secs_f64();
            self.detections.push(share as f32);
        }
    }

    pub fn healed(&mut self, took: Duration, bound: Duration) {
        self.healing = took;
        self.healing_share = took.as_secs_f64() / bound.as_secs_f64();
    }

    pub fn dials(&mut self, now: Duration) {
        self.dials += 1;
        counts(&mut self.dials_at, now);
    }

    pub fn pings(&mut self, now: Duration) {
        counts(&mut self.pings_at, now);
    }
}

/// The most in one second over the even spread, from this second to that one.
pub fn peak(counts: &[u32], seconds: core::ops::Range<usize>) -> (u32, f64) {
    let length = seconds.len() as f64;
    let counts = counts.get(seconds).unwrap_or_default();
    let most = counts.iter().copied().max().unwrap_or_default();
    let even = f64::from(counts.iter().sum::<u32>()) / length;
    (most, f64::from(most) / even)
}

fn sums(counts: &mut Vec<u32>, other: &[u32]) {
    counts.resize(counts.len().max(other.len()), 0);
    for (count, other) in counts.iter_mut().zip(other) {
        *count += other;
    }
}

fn counts(seconds: &mut Vec<u32>, now: Duration) {
    let at = usize::try_from(now.as_secs()).unwrap();
    if seconds.len() <= at {
        seconds.resize(at + 1, 0);
    }
    seconds[at] += 1;
}

/// The least value that so many percent do not exceed.
fn percentile(sorted: &[f32], percent: usize) -> f32 {
    let at = (sorted.len().saturating_sub(1) * percent).div_ceil(100);
    sorted.get(at).copied().unwrap_or(f32::NAN)
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            worlds,
            clients,
            steps,
            dials,
            accepts,
            refusals,
            logins,
            given_up,
            drained,
            verdicts,
            convictions,
            mistakes,
            troubles,
            ..
        } = self;
        let hours = self.time.as_secs_f64() / 3600.0;
        let mut detections = self.detections.clone();
        detections.sort_by(f32::total_cmp);
        let [least, median, most, greatest] =
            [0, 50, 99, 100].map(|percent| percentile(&detections, percent));
        let detected = if detections.is_empty() {
            "nobody was found dead".into()
        } else {
            format!(
                "found dead after: min {least:.3}, median {median:.3}, p99 {most:.3}, \
                 max {greatest:.3} of the bound"
            )
        };
        let healing = self.healing.as_secs_f64();
        let share = self.healing_share;
        let counted = Vec::from_iter(verdicts.iter().map(|(why, count)| format!("{count} {why}")));
        let counted = if counted.is_empty() {
            "none".into()
        } else {
            counted.join(", ")
        };
        let waited = self.waited.as_secs_f64();
        writeln!(
            formatter,
            "{worlds} worlds, {clients} clients, {hours:.1} simulated hours, {steps} steps\n\
             {mistakes} mistakes in {convictions} convictions; {troubles} troubles in all\n\
             by reason: {counted}\n\
             {detected}\n\
             all open again: at most {healing:.1} s after the heal, {share:.3} of the bound\n\
             {dials} dials, {accepts} accepted, {refusals} refused; \
             {logins} logins, {given_up} given up\n\
             {drained} times bytes left before a ping; it waited for {waited:.1} s at most"
        )
    }
}
