//! What is counted, and the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use keepalive::Config;

use super::flat::{Sample, Trend};
use super::plan::{Duty, Kind};
use crate::Adapter;

/// How long something took, many times; to 10 ms, but for the worst.
#[derive(Clone)]
pub(super) struct Times {
    counts: Vec<u32>,
    pub(super) count: u32,
    pub(super) worst: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            counts: vec![0; 3000],
            count: 0,
            worst: Duration::ZERO,
        }
    }
}

impl Times {
    pub(super) fn add(&mut self, took: Duration) {
        let place = (took.as_millis() / 10) as usize;
        self.counts[place.min(2999)] += 1;
        self.count += 1;
        self.worst = self.worst.max(took);
    }

    fn median(&self) -> Duration {
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen * 2 >= self.count
        });
        Duration::from_millis(place.unwrap_or(0) as u64 * 10)
    }

    /// The median and the worst.
    fn cells(&self) -> String {
        if self.count == 0 {
            return format!("{:>6}  {:>6}", "-", "-");
        }
        let (median, worst) = (self.median().as_secs_f64(), self.worst.as_secs_f64());
        format!("{median:6.2}  {worst:6.2}")
    }
}

#[derive(Clone, Default)]
pub(super) struct Counts {
    pub(super) connections: usize,
    pub(super) faults: u64,
    pub(super) downs: u64,
    pub(super) convicted: Times,
    pub(super) recovered: Times,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) in_doubt: u64,
    /// Of those in doubt, what did not arrive.
    pub(super) lost: u64,
    pub(super) unsent: u64,
    pub(super) unaccounted: u64,
    pub(super) wrong: u64,
    pub(super) missed: u64,
    pub(super) unhealed: u64,
    pub(super) excused: u64,
}

#[derive(Clone, Default)]
pub(super) struct OfKind {
    pub(super) faults: u64,
    pub(super) detected: Times,
    pub(super) recovered: Times,
    pub(super) bound: Duration,
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) adapters: BTreeMap<Adapter, Counts>,
    pub(super) kinds: Vec<OfKind>,
    pub(super) duties: Vec<Option<Duty>>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            adapters: BTreeMap::new(),
            kinds: vec![OfKind::default(); Kind::NAMES.len()],
            duties: vec![None; Kind::NAMES.len()],
        }
    }

    pub(super) fn of(&mut self, adapter: Adapter) -> &mut Counts {
        self.adapters.entry(adapter).or_default()
    }

    pub(super) fn kind(&mut self, kind: Kind, config: &Config) -> &mut OfKind {
        let of_kind = &mut self.kinds[kind.index()];
        of_kind.bound = kind.bound(config);
        self.duties[kind.index()] = Some(kind.duty());
        of_kind
    }

    pub(super) fn tables(&self, config: &Config, heals_in: Duration) -> String {
        let mut text = String::new();
        let bound = (config.ping_interval() + config.pong_timeout()).as_secs_f64();
        let heals = heals_in.as_secs_f64();
        let _ = writeln!(
            text,
            "times in s: median and worst. Silent faults are to be detected within {bound:.1} s of\n\
             their beginning, and a client is to be open again {heals:.1} s after the fault and its\n\
             detection are over; to both, what the machine was late is added. Sent = received + lost +\n\
             unsent + unaccounted.\n\n\
             adapter   clients  faults   downs   detected in     open again in       sent   \
             received  in doubt  of it lost  unsent  unaccounted  wrong  missed  not healed"
        );
        for (adapter, counts) in &self.adapters {
            let _ = writeln!(
                text,
                "{adapter:<10}{:7}  {:6}  {:6}  {}  {}  {:9}  {:9}  {:8}  {:10}  {:6}  {:11}  {:5}  {:6}  {:10}",
                counts.connections,
                counts.faults,
                counts.downs,
                counts.convicted.cells(),
                counts.recovered.cells(),
                counts.sent,
                counts.received,
                counts.in_doubt,
                counts.lost,
                counts.unsent,
                counts.unaccounted,
                counts.wrong,
                counts.missed,
                counts.unhealed,
            );
        }
        text += "\nfault                 times    within  ended or detected in     open again in\n";
        for (index, name) in Kind::NAMES.iter().enumerate() {
            let kind = &self.kinds[index];
            let within = match self.duties[index] {
                None | Some(Duty::Bear) => "borne".to_owned(),
                Some(_) => format!("{:.1} s", kind.bound.as_secs_f64()),
            };
            let _ = writeln!(
                text,
                "{name:<20}  {:5}  {within:>8}    {}           {}",
                kind.faults,
                kind.detected.cells(),
                kind.recovered.cells(),
            );
        }
        text
    }
}

pub(super) fn flatness(samples: &[Sample], trends: &[Trend]) -> String {
    let mut text = format!(
        "\nflat: {} samples, each taken while all are open; medians of thirds",
        samples.len()
    );
    if let (Some(first), Some(last)) = (samples.first(), samples.last()) {
        let (first, last) = (first.at.as_secs(), last.at.as_secs());
        let _ = write!(text, ", from {first} s to {last} s");
    }
    text += "\n                         start    middle       end  may grow by\n";
    for trend in trends {
        let _ = writeln!(
            text,
            "{:<21}  {:7}   {:7}   {:7}  {:11}  {}",
            trend.name,
            trend.start,
            trend.middle,
            trend.end,
            trend.may_grow,
            if trend.is_flat() { "flat" } else { "NOT FLAT" },
        );
    }
    text
}
