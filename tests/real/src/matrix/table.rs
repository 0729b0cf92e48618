//! The table, and what it comes to.

use std::fmt::Write;

use super::{Outcome, Row, SLACK};
use crate::Adapter;

/// What must be nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub cells: usize,
    pub clients: usize,
    pub sent: usize,
    pub reported: usize,
    pub lost: usize,
    pub wrong: usize,
    pub undetected: usize,
    pub unrecovered: usize,
    pub unaccounted: usize,
    pub errors: usize,
}

impl Totals {
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.wrong + self.undetected + self.unrecovered + self.unaccounted + self.errors == 0
    }
}

/// Adds them up.
#[must_use]
pub fn totals(rows: &[Row]) -> Totals {
    let mut totals = Totals::default();
    for row in rows {
        totals.errors += row.errors.len();
        totals.cells += row.clients.iter().flatten().count();
        for outcome in row.clients.iter().flatten() {
            totals.clients += 1;
            totals.sent += outcome.sent;
            totals.reported += outcome.reported;
            totals.lost += outcome.lost;
            totals.wrong += outcome.wrong;
            totals.undetected += usize::from(outcome.undetected);
            totals.unrecovered += usize::from(outcome.unrecovered);
            totals.unaccounted += outcome.unaccounted;
        }
    }
    totals
}

/// The table, its totals, and what went wrong.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    let names = Adapter::ALL.map(|adapter| adapter.to_string()).join(", ");
    let _ = writeln!(
        text,
        "Four clients at once in each row: {names}. Times in seconds; to each bound comes \
         {:.1} s of slack for a busy machine. Reported are the messages that were given back, \
         in doubt or unsent; in brackets, those of them that the peer's application did not \
         receive.\n",
        SLACK.as_secs_f64()
    );
    text.push_str(
        "| peer | fault | expected | detected in | at most | recovered in | at most | reported (lost) | unaccounted | wrong |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let each = |show: &dyn Fn(&Outcome) -> String| {
            let shown = row.clients.iter();
            let shown = shown.map(|one| one.as_ref().map_or("n/a".to_owned(), show));
            shown.collect::<Vec<_>>().join(" ")
        };
        let time = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.2}"));
        let detected = match row.lives {
            true => "-".to_owned(),
            false => each(&|one| time(one.detected)),
        };
        let recovered = match row.recovery {
            None => "-".to_owned(),
            Some(_) => each(&|one| time(one.recovered)),
        };
        let sum = |count: fn(&Outcome) -> usize| -> usize {
            row.clients.iter().flatten().map(count).sum()
        };
        let mut expected = row.expected.clone();
        if !row.note.is_empty() {
            let _ = write!(expected, " ({})", row.note);
        }
        let _ = writeln!(
            text,
            "| {} | {} | {expected} | {detected} | {} | {recovered} | {} | {} | {} | {} |",
            row.peer,
            row.fault,
            time(row.bound),
            time(row.recovery),
            each(&|one| format!("{} ({})", one.reported, one.lost)),
            sum(|one| one.unaccounted),
            sum(|one| one.wrong),
        );
    }
    let totals = totals(rows);
    let _ = writeln!(
        text,
        "\n{} cells in {} rows: {} messages sent, {} reported, {} of them lost. Wrong convictions \
         {}, undetected {}, not recovered {}, unaccounted {}, other errors {}.",
        totals.cells,
        rows.len(),
        totals.sent,
        totals.reported,
        totals.lost,
        totals.wrong,
        totals.undetected,
        totals.unrecovered,
        totals.unaccounted,
        totals.errors,
    );
    for row in rows {
        for error in &row.errors {
            let _ = writeln!(text, "- {}, {}: {error}", row.peer, row.fault);
        }
    }
    text
}
