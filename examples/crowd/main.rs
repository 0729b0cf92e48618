//! Ten thousand connections on one server, part of which fall silent:
//! `cargo run --release --features tokio --example crowd`.
//!
//! It runs the server twice, each time in a process of its own with a load generator
//! beside it: all connections on one `Members`, then a `Session` for each. It prints who
//! was found dead and when, what a connection takes, and how evenly a drain goes.

mod connection;
mod late;
mod load;
mod report;
mod server;

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};

use server::Kind;

const USAGE: &str = "Arguments: [--members | --sessions] [--connections N], N from 10 to 19000";

type Failure = Box<dyn Error + Send + Sync>;

/// What this process is to do.
enum Role {
    Both(usize),
    Server(Kind, usize),
    Load(SocketAddr, usize, usize),
}

fn main() -> ExitCode {
    let Some(role) = role() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let is_good = match role {
        Role::Both(connections) => both(connections),
        Role::Server(kind, connections) => server::run(kind, connections),
        Role::Load(address, connections, muted) => load::run(address, connections, muted),
    };
    match is_good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crowd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn role() -> Option<Role> {
    let mut words = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let (mut kind, mut connections) = (None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "load" if kind.is_none() && connections.is_none() => {
                let address = words.next()?.parse().ok()?;
                let (all, muted) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                return Some(Role::Load(address, all, muted));
            }
            "--members" if kind.is_none() => kind = Some(Kind::Members),
            "--sessions" if kind.is_none() => kind = Some(Kind::Sessions),
            "--connections" if connections.is_none() => {
                connections = Some(words.next()?.parse().ok()?);
            }
            _ => return None,
        }
    }
    // Each process may have 20,000 descriptors.
    let connections = connections.unwrap_or(10_000);
    if !(10..=19_000).contains(&connections) {
        return None;
    }
    Some(kind.map_or(Role::Both(connections), |kind| {
        Role::Server(kind, connections)
    }))
}

/// One kind after the other, and what a connection takes with each.
fn both(connections: usize) -> Result<bool, Failure> {
    let mut is_good = true;
    let mut sizes = Vec::new();
    for flag in ["--members", "--sessions"] {
        let mut server = Command::new(env::current_exe()?)
            .args([flag, "--connections", &connections.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        for line in server.stdout.take().into_iter().map(BufReader::new) {
            for line in line.lines() {
                let line = line?;
                println!("{line}");
                if let Some(size) = line.strip_prefix(report::MEMORY) {
                    let size = size.split(" a connection").next().unwrap_or_default();
                    sizes.push(size.trim().to_owned());
                }
            }
        }
        is_good &= server.wait()?.success();
        println!();
    }
    println!("A connection takes, as the memory of the process grows:");
    for (kind, size) in ["Members", "Session each"].iter().zip(sizes) {
        println!("  {kind:<13}{size}");
    }
    Ok(is_good)
}
