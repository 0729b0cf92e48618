//! The examples, as they are built.
#![allow(dead_code, unreachable_pub)]

use std::env;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// To run this example; it is next to the test itself, in `target/PROFILE/examples`.
pub fn example(name: &str) -> Command {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path: PathBuf = profile
        .join("examples")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is missing: `cargo test` builds it, or `cargo build --all-features --examples`",
        path.display()
    );
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A process that is killed where the test fails.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // One that has ended is no worse off.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
