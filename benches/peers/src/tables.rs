//! Markdown whose columns line up, to be read in a terminal as well.

use std::fmt::Write;

use keepalive::fleet::Member;

use crate::many::{Cost, Results, Traffic};
use crate::one;
use crate::shared;
use crate::ways::{SCAN, STORE};

pub(crate) fn one(costs: &[one::Cost]) -> String {
    let rows = costs
        .iter()
        .map(|cost| vec![cost.name.into(), digits(cost.ns)]);
    let mut text = String::from("## One connection, a message\n\n");
    text += &table(&["way", "ns"], rows.collect());
    text
}

pub(crate) fn many(results: &Results) -> String {
    let mut text = String::new();
    for group in results
        .0
        .chunk_by(|one, next| (one.connections, one.traffic) == (next.connections, next.traffic))
    {
        let first = &group[0];
        let _ = writeln!(
            text,
            "\n## {} connections, {} traffic\n",
            thousands(first.connections),
            format!("{:?}", first.traffic).to_lowercase()
        );
        let header = [
            "way",
            match first.traffic {
                Traffic::Idle => "ns a ping",
                _ => "ns a message",
            },
            "of the scan",
            "without ticks",
            "of the stores",
            "ticks, % of a core",
            "worst tick, ms",
            "worst call, ms",
            "pings/s",
            "bytes each",
        ];
        text += &table(&header, group.iter().map(|cost| row(cost, group)).collect());
    }
    text
}

pub(crate) fn members(costs: &shared::Costs) -> String {
    let ns = |cost: &one::Cost| vec![cost.name.into(), digits(cost.ns)];
    let mut text = String::from("\n## Members of several threads\n\n");
    text += &table(
        &["a message of a member", "ns"],
        costs.rows.iter().map(ns).collect(),
    );
    let ratio = |(own, ratio): &(usize, f64)| vec![thousands(*own as u32), format!("{ratio:.2}")];
    let header = ["members of each of two threads", "of what bare arrays gain"];
    text += "\n";
    text += &table(&header, costs.two_threads.iter().map(ratio).collect());
    let handle = size_of::<Member>();
    let _ = writeln!(
        text,
        "\n{:.1} bytes each, and a handle of {handle}.",
        costs.bytes_a_member
    );
    text
}

fn row(cost: &Cost, group: &[Cost]) -> Vec<String> {
    let finite = |value: f64| value.is_finite().then_some(value);
    let of = |name, value: fn(&Cost) -> f64| {
        let other = group.iter().find(|other| other.name == name)?;
        Some(finite(value(cost))? / finite(value(other))?)
    };
    let ratio = |ratio: Option<f64>| ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
    let ns = |value| finite(value).map_or("-".into(), digits);
    vec![
        cost.name.into(),
        ns(cost.ns_a_message),
        ratio(of(SCAN, |cost| cost.ns_a_message)),
        ns(cost.ns_without_ticks),
        ratio(of(STORE, |cost| cost.ns_without_ticks)),
        format!("{:.3}", cost.tick_share),
        format!("{:.3}", cost.worst_tick_ms),
        format!("{:.3}", cost.worst_call_ms),
        format!("{:.0}", cost.pings_a_second),
        format!("{:.1}", cost.bytes_a_connection),
    ]
}

/// The first column to the left, numbers to the right.
fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        cells
            .chain([header[column].len()])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&widths).enumerate();
        let padded = cells.map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rules = widths
        .iter()
        .enumerate()
        .map(|(column, &width)| match column {
            0 => "-".repeat(width),
            _ => format!("{}:", "-".repeat(width - 1)),
        });
    let rules: Vec<String> = rules.collect();
    let mut text = line(header.to_vec());
    text += &line(rules.iter().map(String::as_str).collect());
    for row in &rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// Three digits, or as many as there are before the point.
fn digits(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `1000000` as `1,000,000`.
pub(crate) fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}
