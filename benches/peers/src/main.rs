//! What heartbeats cost, beside every other way to keep them: see the README.

mod charts;
mod limits;
mod many;
mod one;
mod ours;
mod shared;
mod tables;
mod ways;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};

use crate::many::{Plan, Results, Traffic};

/// What heartbeats cost, in CPU time of one thread, beside every other way to keep them.
#[derive(Parser)]
struct Args {
    /// How many connections.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000],
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    n: Vec<u32>,
    /// Virtual seconds of traffic in each run.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Virtual seconds before that, which do not count.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=3_600))]
    warm_up: u32,
    /// Inbound messages a second, on all connections together.
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    rate: u32,
    /// Milliseconds from tick to tick.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    tick: u32,
    /// Only the ways whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    ways: Vec<String>,
    /// Which connections the messages are for.
    #[arg(long, value_enum, value_delimiter = ',',
          default_values_t = [Traffic::Uniform, Traffic::Zipf, Traffic::Idle])]
    traffic: Vec<Traffic>,
    /// How often each light way runs; the tables show medians. Heavy ways run once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    repeat: u32,
    /// Only this table.
    #[arg(long)]
    table: Option<Table>,
    /// Heavy ways under all traffic and beyond a million connections as well.
    #[arg(long)]
    all: bool,
    /// Fails where this crate's ways cost more than they may; what is not measured is skipped.
    #[arg(long)]
    check: bool,
    /// Writes the tables as Markdown and the charts as SVG into this folder.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Table {
    One,
    Many,
    Members,
}

impl Args {
    fn wants_table(&self, table: Table) -> bool {
        self.table.is_none_or(|only| only == table)
    }

    fn wants(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.ways.is_empty()
            || self
                .ways
                .iter()
                .any(|part| name.contains(&part.to_lowercase()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut text = String::new();
    if args.wants_table(Table::One) {
        let costs = one::measure(|name| args.wants(name));
        if !costs.is_empty() {
            text += &tables::one(&costs);
        }
    }
    let mut results = Results::default();
    if args.wants_table(Table::Many) {
        for &traffic in &args.traffic {
            for &connections in &args.n {
                let plan = Plan::new(&args, connections, traffic);
                many::measure(&args, &plan, &mut results);
            }
        }
        text += &tables::many(&results);
    }
    let mut is_kept = !args.check || limits::are_kept(&results);
    if args.wants_table(Table::Members) && args.wants("Members") {
        let costs = shared::measure();
        text += &tables::members(&costs);
        is_kept &= !args.check || shared::are_kept(&costs);
    }
    if text.is_empty() {
        return Err("no way has such a name".into());
    }
    print!("{text}");
    if let Some(folder) = &args.write {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("peers.md"), &text)?;
        charts::write(folder, &results)?;
    }
    match is_kept {
        true => Ok(()),
        false => Err("that is too much".into()),
    }
}

/// What this thread has cost so far. Neighbours on the machine do not move it.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
