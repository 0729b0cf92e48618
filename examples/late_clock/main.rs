//! What becomes of healthy peers when the executor is blocked for 5 s, longer than
//! the interval and the timeout together: `cargo run --features tokio --example
//! late_clock`.
//!
//! `examples/late_clock/run` shows the same of Python's `websockets` beside it: the
//! arguments are a command, to which the URL of the same server is given, the number
//! of connections, and the seconds of interval, timeout and block.

mod rounds;

use std::env;
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rounds::Rounds;

const ROUNDS: Rounds = Rounds {
    connections: 20,
    interval: Duration::from_secs(1),
    timeout: Duration::from_secs(2),
    block: Duration::from_secs(5),
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Rounds {
        connections,
        interval,
        timeout,
        block,
    } = ROUNDS;
    println!(
        "{connections} peers answer each ping after {:?}; the executor is blocked for {block:?} meanwhile.",
        timeout / 2
    );
    let url = ROUNDS.serve()?;
    let convicted = ROUNDS.convicted(&url)?;
    println!("keepalive:        convicted {convicted} of {connections}");

    let mut arguments = env::args_os().skip(1);
    if let Some(command) = arguments.next() {
        let numbers = [interval, timeout, block].map(|time| time.as_secs().to_string());
        let status = Command::new(command)
            .args(arguments)
            .args([url, connections.to_string()])
            .args(numbers)
            .status()?;
        if !status.success() {
            return Err(format!("the other one failed: {status}").into());
        }
    }
    Ok(if convicted == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
