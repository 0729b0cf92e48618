//! The live view of the tool `keepalive`, on a terminal that `script` lends.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::indexing_slicing)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TOOL: &str = env!("CARGO_BIN_EXE_keepalive");

/// The other screen of a terminal, on which the view is, and back.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

/// What is not there before the first pong, in no cell.
const OPEN: &str = "min/median/p95/max";

const PATIENCE: Duration = Duration::from_secs(30);

/// Answers pings, and counts its connections.
fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let opened = Arc::new(AtomicUsize::new(0));
    let count = opened.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let count = count.clone();
            thread::spawn(move || serve(stream.unwrap(), &count));
        }
    });
    (url, opened)
}

fn serve(stream: TcpStream, count: &AtomicUsize) {
    if let Ok(mut socket) = tungstenite::accept(stream) {
        count.fetch_add(1, Ordering::Relaxed);
        while socket.read().is_ok() && socket.flush().is_ok() {}
    }
}

/// On a terminal of 24 rows and 80 columns.
struct Terminal {
    script: Child,
    keys: Option<ChildStdin>,
    folder: PathBuf,
}

impl Terminal {
    fn new(name: &str, environment: &[(&str, &str)], args: &str) -> Self {
        Self::after("", name, environment, args)
    }

    /// After these commands of its shell's.
    fn after(setup: &str, name: &str, environment: &[(&str, &str)], args: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("view-{name}"));
        // Of a run before this one.
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let commands = format!(
            "{setup}
             stty rows 24 cols 80 -echo; stty -g > before
             sh -c 'echo $$ > pid; exec {TOOL} {args}'
             echo code=$?; stty -g > after"
        );
        let mut script = Command::new("script")
            .args(["--quiet", "--flush", "--command", &commands, "screen"])
            .current_dir(&folder)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("script, of util-linux");
        let keys = script.stdin.take();
        Self {
            script,
            keys,
            folder,
        }
    }

    fn read(&self, file: &str) -> String {
        let bytes = fs::read(self.folder.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn wait_for(&self, words: &str) {
        self.wait_until(words, || self.read("screen").contains(words));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < until,
                "{what} in {:?}",
                self.read("screen")
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        let stdin = self.keys.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// What was written after the view, which has left the terminal as it was.
    fn end(mut self, code: u8) -> String {
        self.wait_for("code=");
        self.wait_until("after", || !self.read("after").is_empty());
        self.keys = None;
        self.script.wait().unwrap();
        let screen = self.read("screen");
        assert!(screen.contains(&format!("code={code}")), "{screen:?}");
        assert_eq!(self.read("before"), self.read("after"));
        assert_eq!(screen.matches(ENTER).count(), 1, "{screen:?}");
        let (view, rest) = screen.split_once(LEAVE).expect("an end of the view");
        assert!(view.contains(ENTER));
        assert!(!rest.contains(ENTER));
        // The cursor was hidden.
        assert!(screen.contains("\u{1b}[?25h"), "{screen:?}");
        rest.to_owned()
    }
}

impl Drop for Terminal {
    /// A test that fails leaves nothing that runs on.
    fn drop(&mut self) {
        _ = self.script.kill();
        _ = self.script.wait();
        let pid = self.read("pid");
        let pid = pid.trim();
        if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(TOOL)) {
            _ = Command::new("kill").args(["-KILL", pid]).status();
        }
    }
}

fn summary_of(rest: &str) -> &str {
    rest.split_once("--- ws://127.0.0.1:").expect(rest).1
}

#[test]
fn a_watch_with_a_count_ends_with_the_summary() {
    let (url, _) = server();
    let args = format!("{url} --interval 50ms --count 12");
    let terminal = Terminal::new("count", &[], &args);
    terminal.wait_for(OPEN);
    let rest = terminal.end(0);
    assert!(summary_of(&rest).contains("12 pongs"), "{rest:?}");
}

#[test]
fn keys_end_it() {
    for (name, key) in [("q", "q"), ("escape", "\u{1b}"), ("ctrl-c", "\u{3}")] {
        let (url, _) = server();
        let mut terminal = Terminal::new(name, &[], &format!("{url} --interval 50ms"));
        terminal.wait_for(OPEN);
        terminal.press(key);
        let rest = terminal.end(0);
        assert!(summary_of(&rest).contains(" pongs"), "{rest:?}");
    }
}

#[test]
fn sigterm_ends_it() {
    let (url, _) = server();
    let terminal = Terminal::new("sigterm", &[], &format!("{url} --interval 50ms"));
    terminal.wait_for(OPEN);
    let pid = terminal.read("pid");
    let kill = Command::new("kill").args(["-TERM", pid.trim()]).status();
    assert!(kill.unwrap().success());
    summary_of(&terminal.end(0));
}

/// As when its window is closed: nobody reads what it writes, and no key comes any more.
#[test]
fn a_terminal_that_is_gone_ends_it() {
    ends_when_it_is_gone("gone", "");
}

/// The shell survives it, and so the system tells nobody else.
#[test]
fn a_terminal_that_is_gone_ends_it_without_a_signal() {
    ends_when_it_is_gone("gone-silently", "trap '' HUP");
}

fn ends_when_it_is_gone(name: &str, setup: &str) {
    let (url, _) = server();
    let args = format!("{url} --interval 50ms --svg watch.svg");
    let mut terminal = Terminal::after(setup, name, &[], &args);
    terminal.wait_for(OPEN);
    let process = PathBuf::from(format!("/proc/{}", terminal.read("pid").trim()));
    assert!(process.exists());
    terminal.script.kill().unwrap();
    terminal.wait_until("the end", || {
        // Nobody may be there to wait for it.
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    assert!(terminal.read("watch.svg").starts_with("<svg"));
}

#[test]
fn an_r_reconnects() {
    let (url, opened) = server();
    let mut terminal = Terminal::new("reconnect", &[], &format!("{url} --interval 50ms"));
    terminal.wait_for(OPEN);
    terminal.press("r");
    let is_back = || opened.load(Ordering::Relaxed) == 2;
    terminal.wait_until("another connection", is_back);
    terminal.press("q");
    terminal.end(0);
}

#[test]
fn a_dial_that_fails_can_end_it() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = refusing.local_addr().unwrap();
    drop(refusing);
    let args = format!("ws://{address} --fail-fast");
    let rest = Terminal::new("fail-fast", &[], &args).end(1);
    assert!(summary_of(&rest).contains("1 failed dial"), "{rest:?}");
}

#[test]
fn a_picture_is_drawn_at_the_end() {
    let (url, _) = server();
    let args = format!("{url} --interval 50ms --svg watch.svg");
    let mut terminal = Terminal::new("svg", &[], &args);
    terminal.wait_for(OPEN);
    let picture = terminal.folder.join("watch.svg");
    assert!(!picture.exists());
    terminal.press("\u{3}");
    terminal.end(0);
    let picture = fs::read_to_string(picture).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
}

#[test]
fn colours_can_be_done_without() {
    let is_coloured = |name, environment: &[(&str, &str)]| {
        let (url, _) = server();
        let mut terminal = Terminal::new(name, environment, &format!("{url} --interval 50ms"));
        terminal.wait_for(OPEN);
        terminal.press("q");
        terminal.wait_for(LEAVE);
        let screen = terminal.read("screen");
        terminal.end(0);
        let (view, _) = screen.split_once(LEAVE).unwrap();
        // Green, as crossterm writes it.
        view.contains("\u{1b}[38;5;2;49m")
    };
    assert!(is_coloured("colour", &[]));
    assert!(!is_coloured("no-colour", &[("NO_COLOR", "1")]));
}

#[test]
fn without_a_terminal_for_it_there_are_lines() {
    for (name, environment, flag) in [
        ("dumb", [("TERM", "dumb")].as_slice(), ""),
        ("plain", &[], "--plain"),
        ("json", &[], "--json"),
    ] {
        let (url, _) = server();
        let args = format!("{url} --interval 50ms --count 3 {flag}");
        let terminal = Terminal::new(name, environment, &args);
        terminal.wait_for("code=0");
        let screen = terminal.read("screen");
        assert!(!screen.contains(ENTER), "{screen:?}");
        let line = if flag == "--json" {
            "\"event\":\"pong\""
        } else {
            "pong seq=3"
        };
        assert!(screen.contains(line), "{screen:?}");
    }
}

#[test]
fn into_a_pipe_go_lines() {
    let (url, _) = server();
    let Output { status, stdout, .. } = Command::new(TOOL)
        .args([&url, "--interval", "50ms", "--count", "3"])
        .output()
        .unwrap();
    let lines = String::from_utf8(stdout).unwrap();
    assert!(status.success());
    assert!(
        lines.contains("pong seq=3") && !lines.contains('\u{1b}'),
        "{lines}"
    );
}

#[test]
fn a_picture_that_cannot_be_written_is_an_error_before() {
    let (url, opened) = server();
    let mut tool = Command::new(TOOL)
        .args([&url, "--svg", "/nowhere/watch.svg"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut stderr = tool.stderr.take().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(tool.wait().unwrap().code(), Some(2));
    assert!(told.contains("--svg /nowhere/watch.svg: "), "{told}");
    assert_eq!(opened.load(Ordering::Relaxed), 0);
}
