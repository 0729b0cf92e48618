//! What becomes of a server that restarts with all its clients connected: clients of this
//! crate beside those of other rules, in virtual time. `cargo run --release --example
//! storm`.
//!
//! `--clients 1000000` takes some minutes; `--svg FILE` draws the dials of the first table.

mod chart;
mod clients;
mod model;
mod rolling;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, fs, thread};

use clap::Parser;
use keepalive::{CloseCode, Config};

use chart::{Chart, Panel};
use clients::{Other, Ours, Rule};
use model::{BIN, Outcome, Scenario};
use rolling::Rolling;

/// What becomes of a server that restarts with all its clients connected.
#[derive(Debug, Parser)]
#[command(name = "storm")]
struct Args {
    /// How many clients there are
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1000..=2_000_000))]
    clients: u32,

    /// How many seconds the server is down
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=3600))]
    outage: u64,

    /// The same seed gives the same figures
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Where to draw the dials of the first table
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (restart, stress, rolling) = (args.restart(), args.stress(), args.rolling());

    let mut crowds = crowds();
    let runs = run_all(&restart, &crowds)?;
    show_restart(&restart, &runs);
    if let Some(file) = &args.svg {
        fs::write(file, draw(&restart, &runs)?)?;
    }
    show_rolling(&rolling, &crowds);

    let ample = Duration::from_millis(stress.ideal() * 5 / 4);
    let spread = Config::builder().first_spread(ample).build()?;
    crowds.push(("keepalive, 250 s", Who::Ours(spread, None)));
    show_stress(&stress, &run_all(&stress, &crowds)?);
    Ok(())
}

impl Args {
    /// A server that accepts everybody within 5 s, and at no cost refuses whom it does
    /// not.
    fn restart(&self) -> Scenario {
        Scenario {
            clients: self.clients,
            seed: self.seed,
            outage: self.outage * 1000,
            accepts: f64::from(self.clients) / 5.0,
            backlog: 4096,
            refusal: 0.0,
            limit: 30 * 60_000,
            after: 100_000,
        }
    }

    /// A million clients on a server that accepts 5,000 per second; fewer in proportion.
    fn stress(&self) -> Scenario {
        Scenario {
            accepts: f64::from(self.clients) / 200.0,
            backlog: self.clients as usize * 4096 / 1_000_000,
            refusal: 0.1,
            after: 0,
            ..self.restart()
        }
    }

    fn rolling(&self) -> Rolling {
        Rolling {
            clients: self.clients,
            seed: self.seed,
            servers: 10,
            turn: 100_000,
            drain: 60_000,
        }
    }
}

/// Who comes back.
#[derive(Clone, Copy)]
enum Who {
    Other(Rule),
    /// By these settings, after a close with this code.
    Ours(Config, Option<CloseCode>),
}

fn crowds() -> Vec<(&'static str, Who)> {
    let (ours, restarts) = (Config::default(), CloseCode::SERVICE_RESTART);
    vec![
        ("at once", Who::Other(Rule::Immediate)),
        ("every 1 s", Who::Other(Rule::Fixed(1000))),
        ("every 5 s", Who::Other(Rule::Fixed(5000))),
        ("1, 2, 4 .. 60 s", Who::Other(Rule::Exponential)),
        ("socket.io", Who::Other(Rule::SocketIo)),
        ("gRPC", Who::Other(Rule::Grpc)),
        ("keepalive", Who::Ours(ours, None)),
        ("keepalive, 1012", Who::Ours(ours, Some(restarts))),
    ]
}

impl Who {
    fn run(self, scenario: &Scenario) -> Outcome {
        match self {
            Self::Other(rule) => model::run(scenario, |seed| Other::new(rule, seed)),
            Self::Ours(config, code) => model::run(scenario, |seed| Ours::new(config, code, seed)),
        }
    }

    fn peak(self, rolling: &Rolling) -> u32 {
        match self {
            Self::Other(rule) => rolling::peak(rolling, |seed| Other::new(rule, seed)),
            Self::Ours(config, code) => {
                rolling::peak(rolling, |seed| Ours::new(config, code, seed))
            }
        }
    }
}

struct Run {
    name: &'static str,
    who: Who,
    outcome: Outcome,
}

/// Each crowd on a thread of its own.
fn run_all(scenario: &Scenario, crowds: &[(&'static str, Who)]) -> Result<Vec<Run>, &'static str> {
    thread::scope(|scope| {
        let start = |&(name, who): &(_, Who)| (name, who, scope.spawn(move || who.run(scenario)));
        let started: Vec<_> = crowds.iter().map(start).collect();
        let runs = started.into_iter().map(|(name, who, run)| {
            let outcome = run.join().map_err(|_| "a run has panicked")?;
            Ok(Run { name, who, outcome })
        });
        runs.collect()
    })
}

const COLUMNS: [[&str; 2]; 4] = [
    ["peak dials", "per 100 ms"],
    ["dials", "per client"],
    ["50 %", "back after"],
    ["99 %", "back after"],
];

fn show_restart(scenario: &Scenario, runs: &[Run]) {
    println!("{}.\n", sentence(scenario));
    let [peak, dials, half, most] = COLUMNS;
    head(&[peak, dials, half, most, ["peak pings", "over mean"]]);
    for run in runs {
        let step = run.outcome.step().map(|step| format!("{step:.1}"));
        row(run, step.as_deref().unwrap_or("-"));
    }
}

fn show_stress(scenario: &Scenario, runs: &[Run]) {
    let (refusal, ideal) = (scenario.refusal, scenario.ideal());
    println!("\n{}.", sentence(scenario));
    println!(
        "A refused dial costs {refusal} of an accept; the ideal is {} s.\n",
        ideal / 1000
    );
    let [peak, dials, half, most] = COLUMNS;
    head(&[peak, dials, half, most, ["99 %", "over ideal"]]);
    for run in runs {
        let last = match run.outcome.until(0.99) {
            Some(at) => format!("{:.2}", at as f64 / ideal as f64),
            None => format!("{:.0} % back", run.outcome.back() * 100.0),
        };
        row(run, &last);
    }
}

fn show_rolling(rolling: &Rolling, crowds: &[(&str, Who)]) {
    let Rolling {
        servers,
        clients,
        turn,
        drain,
        ..
    } = *rolling;
    println!(
        "\n{} clients on {servers} servers; one restarts every {} s. Peak dials per 100 ms at the others:\n",
        grouped(clients),
        turn / 1000
    );
    let drained = format!("over {} s", drain / 1000);
    head(&[["closed", "all at once"], ["closed", &drained]]);
    for (name, who) in crowds {
        let at_once = who.peak(&Rolling {
            drain: 0,
            ..*rolling
        });
        let drained = who.peak(rolling);
        println!("{name:16}{:>12}{:>12}", grouped(at_once), grouped(drained));
    }
}

fn sentence(scenario: &Scenario) -> String {
    format!(
        "{} clients; {} s down, then {} accepts/s, backlog {}",
        grouped(scenario.clients),
        scenario.outage / 1000,
        grouped(scenario.accepts),
        grouped(scenario.backlog as u32)
    )
}

fn head(columns: &[[&str; 2]]) {
    for line in 0..2 {
        let cells = columns.iter().filter_map(|column| column.get(line));
        let cells: String = cells.map(|cell| format!("{cell:>12}")).collect();
        println!("{:16}{cells}", "");
    }
}

fn row(run: &Run, last: &str) {
    let Run { name, outcome, .. } = run;
    let back = |share| match outcome.until(share) {
        Some(at) => format!("{:.1} s", at as f64 / 1000.0),
        None if outcome.is_livelock => "livelock".to_owned(),
        None => "never".to_owned(),
    };
    println!(
        "{name:16}{:>12}{:>12.1}{:>12}{:>12}{last:>12}",
        grouped(outcome.peak()),
        outcome.dials_per_client(),
        back(0.5),
        back(0.99)
    );
}

/// A whole number in groups of three digits.
fn grouped(number: impl Into<f64>) -> String {
    let digits = format!("{:.0}", number.into());
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn draw(scenario: &Scenario, runs: &[Run]) -> Result<String, fmt::Error> {
    let rate = 1000.0 / BIN as f64;
    let note = |run: &Run| {
        let (peak, dials) = (run.outcome.peak(), run.outcome.dials_per_client());
        format!("at most {}; {dials:.1} per client", grouped(peak))
    };
    let panels = runs.iter().map(|run| Panel {
        name: run.name,
        note: note(run),
        colour: match run.who {
            Who::Ours(..) => "#00796b",
            Who::Other(_) => "#b0543c",
        },
        counts: &run.outcome.dials,
    });
    let chart = Chart {
        title: format!(
            "Dials per 100 ms when a server with {} clients restarts",
            grouped(scenario.clients)
        ),
        subtitle: "Grey: the server is down. Dashed: as many as it can accept.".to_owned(),
        rate,
        seconds: 60.0,
        shaded_until: scenario.outage as f64 / 1000.0,
        dashed_at: scenario.accepts / rate,
        panels: panels.collect(),
    };
    chart.svg()
}
