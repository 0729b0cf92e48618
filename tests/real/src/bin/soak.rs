//! Random faults on hundreds of real connections, through all adapters:
//! `cargo run --release --bin soak -- --for 1h`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::process::ExitCode;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use real::soak::{self, Plant, Settings};

#[global_allocator]
static COUNTS_THE_HEAP: PeakAlloc = PeakAlloc;

const USAGE: &str =
    "usage: soak [--for 2m] [--connections 500] [--seed N] [--write FILE] [--plant KIND]";

fn main() -> ExitCode {
    let mut settings = Settings {
        connections: 500,
        lasts: Duration::from_secs(120),
        seed: fastrand::u64(..),
        plant: None,
        write: None,
    };
    let mut is_server = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--server" {
            is_server = true;
            continue;
        }
        let value = arguments.next().unwrap_or_default();
        let is_taken = match name.as_str() {
            "--for" => time(&value).map(|lasts| settings.lasts = lasts),
            "--connections" => value
                .parse()
                .ok()
                .map(|number| settings.connections = number),
            "--seed" => value.parse().ok().map(|seed| settings.seed = seed),
            "--plant" => Plant::parse(&value).map(|plant| settings.plant = Some(plant)),
            "--write" => Some(value.clone().into()).map(|path| settings.write = Some(path)),
            _ => None,
        };
        if is_taken.is_none() {
            eprintln!("{name} {value}?\n{USAGE}");
            return ExitCode::from(2);
        }
    }
    if is_server {
        soak::serve(settings.plant);
        return ExitCode::SUCCESS;
    }
    if soak::run(&settings) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// `90s`, `2m`, `1h`.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}
