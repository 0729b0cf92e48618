//! What the guide `stability` promises is what the committed listings of the public API
//! say; `tests/api/check` compares those with the code.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

const GUIDE: &str = include_str!("../src/guide/stability.md");
const ALL: &str = include_str!("api/all.txt");
const NONE: &str = include_str!("api/none.txt");
const FEATURES: &str = include_str!("api/features.txt");

type Names = BTreeSet<&'static str>;

#[test]
fn types_of_other_crates_come_with_the_features_that_it_names() {
    let listed: BTreeMap<_, Names> = FEATURES
        .lines()
        .map(|line| line.split_once(':').unwrap())
        .map(|(feature, crates)| (feature, crates.split_whitespace().collect()))
        .collect();
    let mut promised: BTreeMap<_, Names> = BTreeMap::new();
    for (feature, crates) in rows("| feature |") {
        let (feature, mut crates) = (*feature.first().unwrap(), Names::from_iter(crates));
        // As in "those of `tokio`, and ...".
        if feature == "tokio-websockets" {
            crates.extend(&listed["tokio"]);
        }
        if feature == "cli" {
            crates = listed["blocking"]
                .union(&listed["rustls"])
                .copied()
                .collect();
        }
        if feature == "serde" {
            crates.retain(|name| *name == "serde_core");
        }
        promised.insert(feature, crates);
    }
    for none in ["alloc", "metrics", "std", "tracing"] {
        assert!(GUIDE.contains(&format!("`{none}`")), "{none}");
        promised.insert(none, Names::new());
    }
    assert_eq!(promised, listed);
}

#[test]
fn without_features_none_does() {
    for crates in [
        "futures",
        "tungstenite",
        "tokio",
        "serde",
        "web_sys",
        "std::",
    ] {
        assert!(!NONE.contains(crates), "{crates}");
    }
    assert!(NONE.contains("pub struct keepalive::Heartbeat<I>"));
}

#[test]
fn it_names_every_enum_that_stays_as_it_is() {
    let exhaustive: Names = ALL
        .lines()
        .filter(|line| !line.contains("#[non_exhaustive]"))
        .filter_map(|line| line.split_once("pub enum keepalive::"))
        .map(|(_, name)| name.split('<').next().unwrap())
        // In the root and in `driver`.
        .filter(|name| *name != "driver::Lost")
        .collect();
    let promised: Names = rows("| enum |").into_iter().flat_map(|row| row.0).collect();
    assert_eq!(promised, exhaustive);
}

/// What is in backquotes in the cells of the rows of the table that begins so.
fn rows(head: &str) -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let (_, table) = GUIDE.split_once(head).unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let quoted = |text: &'static str| text.split('`').skip(1).step_by(2).collect();
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" | "))
        .map(|(name, rest)| (line_start(name), quoted(rest)))
        .collect()
}

/// The names of a first cell, whose first backquote was taken off.
fn line_start(cell: &'static str) -> Vec<&'static str> {
    cell.split('`')
        .step_by(2)
        .filter(|name| !name.is_empty())
        .collect()
}
