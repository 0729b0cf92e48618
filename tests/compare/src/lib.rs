//! keepalive and what people use today, in the same faults, as a table.
//!
//! `tests/compare/run` installs the others and prints it; `--write` puts it into
//! COMPARE.md. `--subject NAME` and `--fault NAME` take a part, `--rounds N` plays each
//! fault so often.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

pub mod faults;
mod peer;
mod process;
pub mod subject;
mod subjects;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use faults::{Fault, Outcome, has_namespaces};
use process::Process;
use subject::Subject;
use table::Table;

/// The same for all subjects that have such a setting.
const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(2);
/// More than both together.
const STALL: Duration = Duration::from_secs(5);
/// One message takes twice as long as interval and timeout together on the slow link.
const UPLOAD: usize = 400_000;
const MESSAGES: u32 = 30;
const MESSAGES_EVERY: Duration = Duration::from_millis(200);

/// So many subjects run at a time: most of them wait.
const AT_A_TIME: usize = 36;

/// The command.
pub fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut tools, mut write, mut rounds) = (PathBuf::new(), false, None);
    let (mut subjects, mut faults) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .unwrap_or_else(|| panic!("{word} needs a value"))
        };
        match word.as_str() {
            "subject" => {
                let [name, url, mode] = [(); 3].map(|()| value());
                subjects::run(&name, url, &mode);
                return ExitCode::SUCCESS;
            }
            "--tools" => tools = value().into(),
            "--write" => write = true,
            "--rounds" => rounds = Some(value().parse().unwrap()),
            "--subject" => subjects.push(value()),
            "--fault" => faults.push(value()),
            other => panic!("what is {other}?"),
        }
    }
    let whole = subjects.is_empty() && faults.is_empty() && rounds.is_none();
    assert!(whole || !write, "only the whole table is written");
    let takes =
        |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let mut chosen = Subject::all(&tools);
    chosen.retain(|it| takes(&subjects, it.name));
    let mut played = Fault::ALL.to_vec();
    played.retain(|it| takes(&faults, it.name()));
    let mut not_run = Vec::new();
    if played.contains(&Fault::SecondAddress) && !has_namespaces() {
        played.retain(|fault| *fault != Fault::SecondAddress);
        not_run.push("NOT RUN: second-address: a file of hosts of its own needs root");
    }

    let mut table = Table::default();
    for subject in &chosen {
        match version(subject) {
            Ok(version) => table.add(subject, version),
            Err(why) => {
                eprintln!("FAILED: {}: {why}", subject.name);
                return ExitCode::FAILURE;
            }
        }
    }
    table.outcomes = play_all(&chosen, &played, rounds);
    print!("{}", table.full());
    println!("\n{}", table.short());
    not_run.iter().for_each(|line| eprintln!("{line}"));
    let wrong = table.wrong();
    wrong.iter().for_each(|line| eprintln!("FAILED: {line}"));
    if write && wrong.is_empty() && not_run.is_empty() {
        table.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    }
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// As it says itself; an error if it does not start.
fn version(subject: &Subject) -> Result<String, String> {
    let process = Process::start(subject.command("ws://127.0.0.1:9/", "listen"));
    for _ in 0..3000 {
        if let Some(start) = process.events().first() {
            return Ok(subject.version(start.line["version"].as_str()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("it does not start".to_owned())
}

type Outcomes = BTreeMap<(&'static str, Fault), Vec<Outcome>>;

fn play_all(subjects: &[Subject], faults: &[Fault], rounds: Option<usize>) -> Outcomes {
    let mut plays = VecDeque::new();
    for &fault in faults {
        for round in 0..rounds.unwrap_or(fault.rounds()) {
            plays.extend(subjects.iter().map(|subject| (fault, subject, round)));
        }
    }
    let all = plays.len();
    let (plays, outcomes) = (Mutex::new(plays), Mutex::new(Outcomes::new()));
    thread::scope(|scope| {
        for worker in 0..AT_A_TIME.min(all) {
            let (plays, outcomes) = (&plays, &outcomes);
            scope.spawn(move || {
                // Not all of them start in one instant.
                thread::sleep(Duration::from_millis(100) * worker as u32);
                loop {
                    let next = plays.lock().unwrap().pop_front();
                    let Some((fault, subject, round)) = next else {
                        return;
                    };
                    let outcome = fault.play(subject, round);
                    eprintln!("{} {}: {outcome:?}", subject.name, fault.name());
                    let mut outcomes = outcomes.lock().unwrap();
                    outcomes
                        .entry((subject.name, fault))
                        .or_default()
                        .push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}
