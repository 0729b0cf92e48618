//! Real peers and proxies: each kept alive, muted, detected, healed, on each adapter.
//!
//! `cargo run --bin peers [WORD...]` runs the scenarios whose names contain one of the words,
//! all at the same time, since they mostly wait. It prints a table, and fails where a check
//! did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, unreachable_pub)]

mod idle;
mod load;
mod protocols;
mod served;
mod tls;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use real::peers::{Kind, installed, serve_if_asked};

/// What a check said: a short result, or what is wrong.
type Outcome = Result<String, String>;

/// A line of the table.
struct Row {
    peer: String,
    adapter: String,
    check: String,
    outcome: Outcome,
}

impl Row {
    fn new(
        peer: impl ToString,
        adapter: impl ToString,
        check: impl ToString,
        outcome: Outcome,
    ) -> Self {
        Self {
            peer: peer.to_string(),
            adapter: adapter.to_string(),
            check: check.to_string(),
            outcome,
        }
    }
}

type Scenario = Box<dyn FnOnce() -> Vec<Row> + Send>;

fn scenarios() -> Vec<(String, Scenario)> {
    let mut all: Vec<(String, Scenario)> = Vec::new();
    let mut add = |name: String, run: Scenario| all.push((name, run));
    for kind in Kind::ALL {
        add(
            format!("alive {kind}"),
            Box::new(move || protocols::run(kind, None)),
        );
    }
    for (kind, each_direction) in [
        (Kind::Nginx, false),
        (Kind::Haproxy, false),
        (Kind::Haproxy, true),
    ] {
        let name = idle::name(kind, each_direction);
        add(
            format!("idle {name}"),
            Box::new(move || idle::run(kind, each_direction)),
        );
    }
    for kind in [Kind::Nginx, Kind::Haproxy] {
        add(format!("load {kind}"), Box::new(move || load::run(kind)));
    }
    add(
        "served websockets' client".to_owned(),
        Box::new(served::run),
    );
    for kind in [Kind::Websockets, Kind::Nginx] {
        add(format!("tls {kind}"), Box::new(move || tls::run(kind)));
    }
    add("tls handshake stalls".to_owned(), Box::new(tls::stalls));
    add("late 101".to_owned(), Box::new(tls::late_answer));
    all
}

fn main() -> ExitCode {
    serve_if_asked();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut chosen = scenarios();
    chosen.retain(|(name, _)| words.is_empty() || words.iter().any(|word| name.contains(word)));
    if chosen.is_empty() {
        eprintln!("no scenario has such a name; these are there:");
        scenarios()
            .iter()
            .for_each(|(name, _)| eprintln!("  {name}"));
        return ExitCode::from(2);
    }
    let _ = installed();
    watch::measure_lateness();

    let (begun, count) = (Instant::now(), chosen.len());
    let (sender, results) = mpsc::channel();
    for (index, (name, run)) in chosen.into_iter().enumerate() {
        let sender = sender.clone();
        thread::spawn(move || {
            let rows = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                vec![Row::new(
                    &name,
                    "",
                    "runs to its end",
                    Err("panicked".to_owned()),
                )]
            });
            eprintln!("{:5.1} s  {name}", begun.elapsed().as_secs_f64());
            sender.send((index, rows))
        });
    }
    drop(sender);
    let mut results: Vec<(usize, Vec<Row>)> = results.iter().collect();
    results.sort_by_key(|&(index, _)| index);
    let rows: Vec<Row> = results.into_iter().flat_map(|(_, rows)| rows).collect();

    println!("{:<24} {:<9} {:<44} result", "peer", "adapter", "check");
    for row in &rows {
        let (mark, text) = match &row.outcome {
            Ok(text) => ("", text),
            Err(text) => ("FAILED: ", text),
        };
        println!(
            "{:<24} {:<9} {:<44} {mark}{text}",
            row.peer, row.adapter, row.check
        );
    }
    let failed = rows.iter().filter(|row| row.outcome.is_err()).count();
    println!(
        "\n{count} scenarios, {} checks, {failed} failed, in {:.0} s; this machine was late by {} ms at most",
        rows.len(),
        begun.elapsed().as_secs_f64(),
        watch::lateness_since(begun).as_millis(),
    );
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
