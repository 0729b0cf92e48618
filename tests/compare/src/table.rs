//! What is printed, and written into the documents.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Outcomes;
use crate::faults::{Fault, Outcome, Stale};
use crate::subject::Subject;
use crate::{INTERVAL, TIMEOUT};

#[derive(Default)]
pub(crate) struct Table {
    subjects: Vec<(Subject, String)>,
    pub(crate) outcomes: Outcomes,
}

type Column = (&'static str, fn(&[Outcome]) -> String, Fault);

const COLUMNS: [Column; 11] = [
    ("half-open: cut after", cut, Fault::HalfOpen),
    ("application told after", told, Fault::HalfOpen),
    ("open again after", open, Fault::HalfOpen),
    (
        "healthy peer convicted after a stall of 5 s",
        stalls,
        Fault::Stall,
    ),
    (
        "dials a minute, accept and drop",
        dials,
        Fault::AcceptAndDrop,
    ),
    ("late events of the old connection", stale, Fault::Stale),
    (
        "400 kB frame that comes in for 8 s",
        large,
        Fault::LargeFrame,
    ),
    ("400 kB that go out for 8 s", large_out, Fault::LargeUpload),
    (
        "first address swallows SYNs: open after",
        opened,
        Fault::SecondAddress,
    ),
    (
        "lost without a word, of 30 messages",
        messages,
        Fault::Messages,
    ),
    (
        "dials again after 503, `Retry-After: 8`",
        next_dial,
        Fault::Busy,
    ),
];

/// What people ask for first, in few words.
const SHORT: [Column; 8] = [
    ("half-open: cut after", cut_median, Fault::HalfOpen),
    ("told after", told_median, Fault::HalfOpen),
    ("stalled 5 s: convicts the healthy", stalls, Fault::Stall),
    (
        "accept and drop: dials a minute",
        dials,
        Fault::AcceptAndDrop,
    ),
    ("late events of the old socket", stale_short, Fault::Stale),
    ("a frame that takes 8 s", large_short, Fault::LargeFrame),
    (
        "first address dead: open after",
        opened_median,
        Fault::SecondAddress,
    ),
    ("lost without a word, of 30", silent, Fault::Messages),
];

impl Table {
    pub(crate) fn add(&mut self, subject: &Subject, version: String) {
        self.subjects.push((subject.clone(), version));
    }

    fn cell(&self, names: &[&'static str], (_, print, fault): &Column) -> String {
        let of = |name: &&'static str| self.outcomes.get(&(*name, *fault)).cloned();
        let outcomes: Vec<Outcome> = names.iter().filter_map(of).flatten().collect();
        if outcomes.is_empty() {
            return "not run".to_owned();
        }
        match outcomes.iter().any(|it| matches!(it, Outcome::Failed(_))) {
            true => "failed".to_owned(),
            false => print(&outcomes),
        }
    }

    /// A row for each title, of all outcomes of these subjects.
    fn rows(&self, columns: &[Column], titles: &[(String, Vec<&'static str>)]) -> String {
        let mut text = String::from("| |");
        columns
            .iter()
            .for_each(|(head, ..)| text += &format!(" {head} |"));
        text += &format!("\n|{}\n", " --- |".repeat(columns.len() + 1));
        for (title, names) in titles {
            text += &format!("| {title} |");
            for column in columns {
                text += &format!(" {} |", self.cell(names, column));
            }
            text.push('\n');
        }
        text
    }

    pub(crate) fn full(&self) -> String {
        let date = Command::new("date").args(["-u", "+%F"]).output();
        let date = date.map_or_else(
            |_| String::new(),
            |it| String::from_utf8_lossy(&it.stdout).trim().to_owned(),
        );
        let mut text = format!(
            "Interval {} s, timeout {} s, everything else at its default. Seconds are the median \
             of the rounds (least to most).\n",
            INTERVAL.as_secs(),
            TIMEOUT.as_secs()
        );
        let name = |(subject, _): &(Subject, _)| (title(subject.name), vec![subject.name]);
        let titles: Vec<_> = self.subjects.iter().map(name).collect();
        // Wide tables are hard to read: two.
        let (first, second) = COLUMNS.split_at(6);
        text += &format!("\n{}", self.rows(first, &titles));
        text += &format!("\n{}", self.rows(second, &titles));
        text += &format!("\nMeasured on {date}:");
        for (at, (subject, version)) in self.subjects.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            text += &format!("{comma} {} {version}", subject.name);
        }
        text += ".\n";
        text
    }

    /// With one row for both adapters, and one for the two that share most of their code.
    pub(crate) fn short(&self) -> String {
        let mut titles: Vec<(String, Vec<&'static str>)> = Vec::new();
        for (subject, _) in &self.subjects {
            let title = match subject.name {
                _ if subject.is_ours() => "**keepalive**, tokio and blocking".to_owned(),
                "reconnecting-websocket" | "partysocket" => {
                    "reconnecting-websocket, partysocket (JavaScript)".to_owned()
                }
                name => title(name),
            };
            match titles.last_mut() {
                Some((last, names)) if *last == title => names.push(subject.name),
                _ => titles.push((title, vec![subject.name])),
            }
        }
        self.rows(&SHORT, &titles)
    }

    /// What must not be: a subject that could not be played, and what this crate promises.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for ((name, fault), outcomes) in &self.outcomes {
            let is_ours = self
                .subjects
                .iter()
                .any(|(it, _)| it.name == *name && it.is_ours());
            for outcome in outcomes {
                if matches!(outcome, Outcome::Failed(_)) || (is_ours && !is_kept(outcome)) {
                    wrong.push(format!("{name}, {}: {outcome:?}", fault.name()));
                }
            }
        }
        wrong
    }

    pub(crate) fn write(&self, root: &Path) {
        put(&root.join("COMPARE.md"), &self.full());
        put(&root.join("README.md"), &self.short());
    }
}

/// Between the markers, where there are any.
fn put(path: &Path, table: &str) {
    const BEGIN: &str = "<!-- tests/compare/run --write -->\n";
    const END: &str = "<!-- to here -->\n";
    let text = fs::read_to_string(path).unwrap();
    let Some((before, rest)) = text.split_once(BEGIN) else {
        return;
    };
    let (_, after) = rest.split_once(END).unwrap();
    fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}

fn title(name: &str) -> String {
    match name {
        "keepalive-tokio" => "**keepalive**, tokio".to_owned(),
        "keepalive-blocking" => "**keepalive**, blocking".to_owned(),
        "by-hand" => "`select!` loop by hand".to_owned(),
        "websockets" => "websockets (Python)".to_owned(),
        "reconnecting-websocket" | "partysocket" => format!("{name} (JavaScript)"),
        "article" => "the article's listing (JavaScript)".to_owned(),
        other => other.to_owned(),
    }
}

/// Generous: a busy machine is no defect.
fn is_kept(outcome: &Outcome) -> bool {
    let soon = |time: &Option<f64>| time.is_some_and(|time| time < 10.0);
    match outcome {
        Outcome::HalfOpen { cut, told, open } => soon(cut) && soon(told) && open.is_some(),
        Outcome::Stall { convicted } => !convicted,
        Outcome::Dials(dials) => *dials <= 20.0,
        Outcome::Stale(stale) => *stale == Stale::Safe,
        Outcome::Large { cut } => cut.is_none(),
        Outcome::Opened(time) => soon(time),
        Outcome::Messages { missing, told } => *missing as u64 <= *told,
        Outcome::NextDial(time) => time.is_some_and(|time| time >= 8.0),
        Outcome::Failed(_) => false,
    }
}

/// A median and a range, and how often it was never.
fn times(times: impl Iterator<Item = Option<f64>>) -> String {
    let times: Vec<_> = times.collect();
    let mut known: Vec<f64> = times.iter().flatten().copied().collect();
    known.sort_by(f64::total_cmp);
    let never = times.len() - known.len();
    let Some((least, most)) = known.first().zip(known.last()) else {
        return "not in 45 s".to_owned();
    };
    let median = known[known.len() / 2];
    let mut text = format!("{median:.1} s");
    if format!("{least:.1}") != format!("{most:.1}") {
        text += &format!(" ({least:.1} to {most:.1})");
    }
    if never > 0 {
        text += &format!(", {never} of {} not in 45 s", times.len());
    }
    text
}

type Time = fn(&Outcome) -> Option<f64>;

const CUT: Time = |it| match it {
    Outcome::HalfOpen { cut, .. } => *cut,
    _ => None,
};
const TOLD: Time = |it| match it {
    Outcome::HalfOpen { told, .. } => *told,
    _ => None,
};
const OPEN: Time = |it| match it {
    Outcome::HalfOpen { open, .. } => *open,
    _ => None,
};
const OPENED: Time = |it| match it {
    Outcome::Opened(time) => *time,
    _ => None,
};
const NEXT_DIAL: Time = |it| match it {
    Outcome::NextDial(time) => *time,
    _ => None,
};

fn cut(outcomes: &[Outcome]) -> String {
    times(outcomes.iter().map(CUT))
}

fn told(outcomes: &[Outcome]) -> String {
    times(outcomes.iter().map(TOLD))
}

fn open(outcomes: &[Outcome]) -> String {
    times(outcomes.iter().map(OPEN))
}

fn opened(outcomes: &[Outcome]) -> String {
    times(outcomes.iter().map(OPENED))
}

fn next_dial(outcomes: &[Outcome]) -> String {
    times(outcomes.iter().map(NEXT_DIAL))
}

fn cut_median(outcomes: &[Outcome]) -> String {
    median(outcomes, CUT)
}

fn told_median(outcomes: &[Outcome]) -> String {
    median(outcomes, TOLD)
}

fn opened_median(outcomes: &[Outcome]) -> String {
    median(outcomes, OPENED)
}

/// Never counts as the longest time.
fn median(outcomes: &[Outcome], time: Time) -> String {
    let times = outcomes.iter().map(|it| time(it).unwrap_or(f64::INFINITY));
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    match times[times.len() / 2] {
        median if median.is_finite() => format!("{median:.1} s"),
        _ => "never".to_owned(),
    }
}

fn stalls(outcomes: &[Outcome]) -> String {
    let convicted = Outcome::Stall { convicted: true };
    let count = outcomes.iter().filter(|it| **it == convicted).count();
    format!("{count} of {}", outcomes.len())
}

fn dials(outcomes: &[Outcome]) -> String {
    let dials = outcomes.iter().filter_map(|it| match it {
        Outcome::Dials(dials) => Some(*dials),
        _ => None,
    });
    let most = dials.fold(0.0, f64::max);
    // What a busy machine makes of a hot loop is no measure.
    match most {
        most if most > 1000.0 => "over 1000".to_owned(),
        most => format!("{most:.0}"),
    }
}

fn stale(outcomes: &[Outcome]) -> String {
    let mut disturbed = outcomes.iter().filter_map(|it| match it {
        Outcome::Stale(Stale::Disturbed(what)) => Some(what.as_str()),
        _ => None,
    });
    if let Some(what) = disturbed.next() {
        let count = disturbed.count() + 1;
        return format!("{what}, {count} of {}", outcomes.len());
    }
    if outcomes.contains(&Outcome::Stale(Stale::NoSecond)) {
        return "no second connection".to_owned();
    }
    "ignored".to_owned()
}

fn stale_short(outcomes: &[Outcome]) -> String {
    let is_safe = |it: &Outcome| *it == Outcome::Stale(Stale::Safe);
    let is_disturbed = |it: &Outcome| matches!(it, Outcome::Stale(Stale::Disturbed(_)));
    match outcomes {
        all if all.iter().any(is_disturbed) => "disturb the new",
        all if all.iter().all(is_safe) => "ignored",
        _ => "no new one",
    }
    .to_owned()
}

fn large(outcomes: &[Outcome]) -> String {
    let cuts = outcomes.iter().filter_map(|it| match it {
        Outcome::Large { cut } => *cut,
        _ => None,
    });
    let cuts: Vec<_> = cuts.collect();
    if cuts.is_empty() {
        return "arrives".to_owned();
    }
    let after = times(cuts.iter().copied().map(Some));
    format!(
        "healthy peer convicted, {} of {}, after {after}",
        cuts.len(),
        outcomes.len()
    )
}

/// When it was cut is not seen: its close frame stands behind what is slow.
fn large_out(outcomes: &[Outcome]) -> String {
    match convicted(outcomes) {
        0 => "arrive".to_owned(),
        count => format!("healthy peer convicted, {count} of {}", outcomes.len()),
    }
}

fn large_short(outcomes: &[Outcome]) -> String {
    match convicted(outcomes) {
        0 => "arrives".to_owned(),
        count if count == outcomes.len() => "cut".to_owned(),
        count => format!("cut, {count} of {}", outcomes.len()),
    }
}

fn convicted(outcomes: &[Outcome]) -> usize {
    let arrived = Outcome::Large { cut: None };
    outcomes.iter().filter(|it| **it != arrived).count()
}

fn messages(outcomes: &[Outcome]) -> String {
    let (count, missing, told) = lost(outcomes);
    match told {
        0 => count.to_string(),
        told => format!("{count} ({missing} lost, {told} reported)"),
    }
}

fn silent(outcomes: &[Outcome]) -> String {
    lost(outcomes).0.to_string()
}

/// Of the worst round: how many were lost without a word, how many at all, and how many were
/// reported.
fn lost(outcomes: &[Outcome]) -> (u64, usize, u64) {
    let rounds = outcomes.iter().filter_map(|it| match it {
        Outcome::Messages { missing, told } => {
            Some(((*missing as u64).saturating_sub(*told), *missing, *told))
        }
        _ => None,
    });
    rounds.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(name: &'static str, fault: Fault, outcome: Outcome) -> usize {
        let mut table = Table::default();
        let subjects = Subject::all(Path::new(""));
        for subject in subjects.iter().filter(|it| it.name == name) {
            table.add(subject, String::new());
        }
        table.outcomes.insert((name, fault), vec![outcome]);
        table.wrong().len()
    }

    #[test]
    fn a_broken_promise_of_ours_fails_the_run() {
        let never = Outcome::HalfOpen {
            cut: None,
            told: None,
            open: None,
        };
        let disturbed = Stale::Disturbed(String::new());
        let broken = [
            (Fault::HalfOpen, never),
            (Fault::Stall, Outcome::Stall { convicted: true }),
            (Fault::AcceptAndDrop, Outcome::Dials(77.0)),
            (Fault::Stale, Outcome::Stale(disturbed)),
            (Fault::Stale, Outcome::Stale(Stale::NoSecond)),
            (Fault::LargeFrame, Outcome::Large { cut: Some(3.0) }),
            (Fault::SecondAddress, Outcome::Opened(None)),
            (
                Fault::Messages,
                Outcome::Messages {
                    missing: 2,
                    told: 1,
                },
            ),
            (Fault::Busy, Outcome::NextDial(Some(7.9))),
        ];
        for (fault, outcome) in broken {
            assert_eq!(wrong("keepalive-tokio", fault, outcome.clone()), 1);
            assert_eq!(wrong("ezsockets", fault, outcome), 0);
        }
    }

    #[test]
    fn who_could_not_be_played_fails_the_run() {
        let failed = Outcome::Failed("it did not open".to_owned());
        assert_eq!(wrong("ezsockets", Fault::Stall, failed), 1);
    }
}
