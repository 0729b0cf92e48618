//! The examples, as they are built.
#![allow(dead_code, unreachable_pub)]

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// None of them takes longer for anything.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Runs it to its end.
pub fn output(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Killed(child.unwrap());
    let stdout = thread::spawn(reading(child.0.stdout.take().unwrap()));
    let stderr = thread::spawn(reading(child.0.stderr.take().unwrap()));
    let status = child.end();
    Output {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn reading(mut pipe: impl Read) -> impl FnOnce() -> Vec<u8> {
    move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

/// A process that is killed where the test fails.
pub struct Killed(pub Child);

impl Killed {
    /// How it ends.
    pub fn end(&mut self) -> ExitStatus {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < limit, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // One that has ended is no worse off.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One that runs, and is read line by line.
pub struct Running {
    pub process: Killed,
    lines: Option<Receiver<String>>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Self {
            process: Killed(child),
            lines: Some(lines),
        }
    }

    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// The next line that it prints; `None` when there is none any more.
    pub fn line(&mut self) -> Option<String> {
        next_line(self.lines.as_ref()?)
    }

    /// From here on nobody reads what it prints.
    pub fn stop_reading(&mut self) {
        self.lines = None;
    }

    pub fn end(&mut self) -> ExitStatus {
        self.process.end()
    }
}

/// What comes through this pipe, read by a thread, so that it can be waited for.
pub fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

pub fn next_line(lines: &Receiver<String>) -> Option<String> {
    match lines.recv_timeout(PATIENCE) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("no line for {PATIENCE:?}"),
    }
}
