//! Peers x faults x adapters, as a table:
//!
//! `matrix [--quick | --long] [--write FILE] [--without-namespaces] [WORD...]`
//!
//! runs the rows whose peer and fault contain all words. `--quick` takes each fault once,
//! and a few of them with every peer; with `--long` a 404 lasts for a minute.
//! `--self-test` puts bugs in, and sees that they are found. The exit code is 1 where
//! anything is wrong, undetected, unaccounted or not run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use real::faults::{Fault, Net};
use real::matrix::{self, Plant, Row};
use real::peers::Kind;

/// Rows that run at once.
const AT_ONCE: usize = 6;

/// How many rows a busy machine may have disturbed.
const DISTURBED: usize = 8;

/// The peers whose rows are of every fault.
const PEERS: [Kind; 5] = [
    Kind::Ours,
    Kind::Websockets,
    Kind::Ws,
    Kind::Nginx,
    Kind::Haproxy,
];

/// Those with pings of their own, for some.
const OTHERS: [Kind; 4] = [
    Kind::GraphqlWs,
    Kind::Phoenix,
    Kind::SignalR,
    Kind::ExchangeId,
];

/// The faults of every peer in the quick form.
const QUICK: [Fault; 4] = [
    Fault::Stopped,
    Fault::StoppedBehind,
    Fault::BlackHole,
    Fault::Killed,
];

/// And of those others.
const SOME: [Fault; 5] = [
    Fault::Stopped,
    Fault::HoleDown,
    Fault::Killed,
    Fault::Closed(1001),
    Fault::Paused,
];

/// And above TLS, where the proxy sees no frames.
const SECURE: [Kind; 2] = [Kind::Websockets, Kind::Nginx];
const ABOVE_TLS: [Fault; 9] = [
    Fault::SlowUp,
    Fault::Stopped,
    Fault::BlackHole,
    Fault::LinkDown,
    Fault::Reset,
    Fault::Killed,
    Fault::Paused,
    Fault::FullBuffer,
    Fault::SlowDown,
];

#[derive(Clone, Copy)]
struct Cell {
    kind: Kind,
    tls: bool,
    fault: Fault,
    plant: Option<Plant>,
}

impl Cell {
    fn new(kind: Kind, fault: Fault) -> Self {
        Self {
            kind,
            tls: false,
            fault,
            plant: None,
        }
    }

    fn peer(&self) -> String {
        matrix::peer_name(self.kind, self.tls)
    }
}

fn main() -> ExitCode {
    real::peers::serve_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--cell") {
        return cell(&arguments[1..]);
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let write = arguments.iter().position(|argument| argument == "--write");
    let write = write.and_then(|index| arguments.get(index + 1));
    let words: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--") && Some(*argument) != write)
        .collect();

    let mut fails = false;
    let can_net = Net::try_out();
    if let Err(error) = &can_net {
        eprintln!("NOT RUN: the faults of a network: no network namespace: {error}");
        fails = !has("--without-namespaces");
    }
    if has("--self-test") {
        return self_test();
    }
    let mut cells = cells(has("--quick"));
    cells.retain(|cell| {
        let name = format!("{} {}", cell.peer(), cell.fault.name());
        (can_net.is_ok() || !cell.fault.needs_net())
            && words.iter().all(|word| name.contains(*word))
    });
    let begun = Instant::now();
    let mut rows = run(&cells, has("--long"));
    let again = play_again(&cells, &mut rows, has("--long"));
    let mut text = matrix::markdown(&rows);
    text.push_str(&again);
    let form = match (has("--quick"), has("--long")) {
        (true, _) => "quick form",
        (_, true) => "long form",
        _ => "all",
    };
    text.push_str(&format!(
        "\n{} by `cargo run --release --bin matrix`, {form}, in {:.0} s.\n",
        today(),
        begun.elapsed().as_secs_f64()
    ));
    println!("{text}");
    if let Some(file) = write {
        std::fs::write(file, &text).unwrap();
    }
    fails |= rows.is_empty() || !matrix::totals(&rows).is_clean();
    if fails {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn cells(quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for kind in PEERS {
        for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(kind)) {
            if !quick || kind == Kind::Ours || QUICK.contains(&fault) {
                cells.push(Cell::new(kind, fault));
            }
        }
    }
    for kind in OTHERS {
        let some = if quick { &SOME[..1] } else { &SOME[..] };
        cells.extend(some.iter().map(|fault| Cell::new(kind, *fault)));
    }
    for kind in SECURE {
        let some = if quick {
            &ABOVE_TLS[..2]
        } else {
            &ABOVE_TLS[..]
        };
        let cell = |fault: &Fault| Cell {
            tls: true,
            ..Cell::new(kind, *fault)
        };
        cells.extend(some.iter().map(cell));
    }
    cells
}

/// The bugs, each with a row that must show it.
fn self_test() -> ExitCode {
    let mut passes = true;
    let cells = Plant::ALL.map(|plant| {
        let fault = match plant {
            Plant::Deaf | Plant::Silent | Plant::Stubborn => Fault::Stopped,
            Plant::Hasty => Fault::SlowDown,
            Plant::Forgetful => Fault::Reset,
        };
        Cell {
            plant: Some(plant),
            ..Cell::new(Kind::Ours, fault)
        }
    });
    for (plant, row) in Plant::ALL.into_iter().zip(run(&cells, false)) {
        let totals = matrix::totals(std::slice::from_ref(&row));
        let found = match plant {
            Plant::Deaf => totals.undetected,
            Plant::Hasty => totals.wrong,
            Plant::Forgetful | Plant::Silent => totals.unaccounted,
            Plant::Stubborn => totals.unrecovered,
        };
        println!("planted: {plant}, {}: {totals:?}", row.fault);
        if found == 0 || totals.is_clean() {
            println!("NOT FOUND: {plant}");
            passes = false;
        }
    }
    if passes {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Each row in a process of its own, so that one can be stopped, and none disturbs another.
fn run(cells: &[Cell], long: bool) -> Vec<Row> {
    let (heavy, light): (Vec<_>, Vec<_>) = cells
        .iter()
        .copied()
        .enumerate()
        .partition(|(_, cell)| cell.fault.is_heavy());
    let mut rows = run_at_once(light, AT_ONCE, long);
    rows.extend(run_at_once(heavy, 1, long));
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Where other work on this machine holds up a peer for longer than a timeout, it is
/// convicted, and rightly. So a row with a fault of time is played once more, alone; what it
/// was is told. A ledger that does not balance is final, and so is a crowd of such rows.
fn play_again(cells: &[Cell], rows: &mut [Row], long: bool) -> String {
    let disturbed = rows.iter().filter(|row| !row.is_clean()).count();
    let mut text = String::new();
    if disturbed > DISTURBED {
        return text;
    }
    for (cell, row) in cells.iter().zip(rows) {
        if row.is_clean() || !row.ledger_holds {
            continue;
        }
        let first = std::mem::replace(row, in_a_process(*cell, long));
        text.push_str(&format!(
            "\nPlayed again, alone: {}, {}. It was: {}.\n",
            first.peer,
            first.fault,
            first.errors.join("; ")
        ));
    }
    text
}

fn run_at_once(cells: Vec<(usize, Cell)>, at_once: usize, long: bool) -> Vec<(usize, Row)> {
    // The longest ones first.
    let mut cells: VecDeque<_> = cells.into();
    cells
        .make_contiguous()
        .sort_by_key(|(_, cell)| match cell.fault {
            Fault::Closed(1012) => 0,
            Fault::NotFound if long => 0,
            Fault::AcceptDrop | Fault::OpenDrop | Fault::SlowUp | Fault::SlowDown => 1,
            _ => 2,
        });
    let cells = Mutex::new(cells);
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = cells.lock().unwrap().pop_front();
                    let Some((index, cell)) = next else { return };
                    let row = in_a_process(cell, long);
                    rows.lock().unwrap().push((index, row));
                }
            });
        }
    });
    rows.into_inner().unwrap()
}

fn in_a_process(cell: Cell, long: bool) -> Row {
    let (peer, fault) = (cell.peer(), cell.fault.name());
    let begun = Instant::now();
    let plant = cell
        .plant
        .map_or("none".to_owned(), |plant| plant.to_string());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--cell", &cell.kind.to_string(), &fault, &plant])
        .args(cell.tls.then_some("--tls"))
        .args(long.then_some("--long"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let output = thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        text
    });
    let errors = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let end = begun + Duration::from_secs(150);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(20));
    }
    let (output, errors) = (output.join().unwrap(), errors.join().unwrap());
    let row = output
        .lines()
        .find_map(|line| serde_json::from_str::<Row>(line).ok());
    let row = row.unwrap_or_else(|| Row {
        peer: peer.clone(),
        fault: fault.clone(),
        expected: String::new(),
        lives: false,
        bound: None,
        recovery: None,
        clients: Vec::new(),
        errors: vec![format!("did not run: {}", errors.trim())],
        ledger_holds: true,
        note: String::new(),
    });
    eprintln!(
        "{} {peer}, {fault} ({:.0} s)",
        if row.is_clean() { "ok" } else { "WRONG" },
        begun.elapsed().as_secs_f64()
    );
    row
}

/// The other end of `in_a_process`.
fn cell(arguments: &[String]) -> ExitCode {
    thread::spawn(|| {
        // Whoever started it is gone; with this process go its peers and its network.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let [kind, fault, plant, rest @ ..] = arguments else {
        return ExitCode::from(2);
    };
    let kind = Kind::ALL.into_iter().find(|one| one.to_string() == *kind);
    let fault = Fault::ALL.into_iter().find(|one| one.name() == *fault);
    let plant = Plant::ALL.into_iter().find(|one| one.to_string() == *plant);
    let has = |flag: &str| rest.iter().any(|argument| argument == flag);
    let (kind, fault) = (kind.unwrap(), fault.unwrap());
    let row = matrix::run(kind, has("--tls"), fault, plant, has("--long"));
    println!("{}", serde_json::to_string(&row).unwrap());
    ExitCode::SUCCESS
}

/// The date, of UTC.
fn today() -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut words = date.split(' ').skip(1).take(3);
    let mut next = || words.next().unwrap_or_default().to_owned();
    format!("{} {} {}", next(), next(), next())
}
