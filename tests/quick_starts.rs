//! The quick starts of the README, as a reader uses them: each is pasted into an empty
//! project, with the README's own `cargo add` lines, and run. The server's serves the others.
//! It builds six projects: `.ci/run quick-starts`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/built.rs"]
mod built;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use built::{Running, lines, next_line};

const README: &str = include_str!("../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WASM: &str = "wasm32-unknown-unknown";
/// The port in the README.
const PORT: &str = "9001";

struct QuickStart {
    /// Of the feature that it shows.
    name: String,
    adds: Vec<String>,
    code: String,
}

/// A block of `cargo add` lines, and the code after it.
fn quick_starts() -> Vec<QuickStart> {
    README
        .split("```sh\n")
        .filter(|part| part.starts_with("cargo add keepalive --features "))
        .map(|part| {
            let (adds, rest) = part.split_once("```").unwrap();
            let (_, code) = rest.split_once("```rust,").unwrap();
            let (_, code) = code.split_once('\n').unwrap();
            let (code, _) = code.split_once("```").unwrap();
            let feature = adds.split([' ', ',', '\n']).nth(4).unwrap();
            QuickStart {
                name: feature.to_owned(),
                adds: adds.lines().map(str::to_owned).collect(),
                code: code.to_owned(),
            }
        })
        .collect()
}

/// What is built here.
fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("quick_starts")
        .join(name)
}

fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", place("target"))
        .env("RUSTFLAGS", "-D warnings");
    cargo
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}

/// Pastes it into an empty project, and builds that.
fn build(start: &QuickStart, port: u16) {
    let folder = place(&start.name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let name = format!("quick_start_{}", start.name);
    run(cargo(&folder).args(["init", "--quiet", "--vcs", "none", "--name", &name]));
    // The versions that everything else is tested with.
    fs::copy(
        Path::new(ROOT).join("Cargo.lock"),
        folder.join("Cargo.lock"),
    )
    .unwrap();
    for add in &start.adds {
        let mut words = add.split_whitespace();
        assert_eq!(words.next(), Some("cargo"), "{add}");
        let mut cargo = cargo(&folder);
        for word in words {
            match word {
                "keepalive" => cargo.args(["--path", ROOT]),
                _ => cargo.arg(word),
            };
        }
        run(cargo.arg("--quiet"));
    }
    let code = start.code.replace(PORT, &port.to_string());
    assert!(start.name == "web" || code != start.code);
    fs::write(folder.join("src/main.rs"), code).unwrap();
    let mut cargo = cargo(&folder);
    cargo.args(["build", "--quiet"]);
    if start.name == "web" {
        cargo.args(["--target", WASM]);
    }
    run(&mut cargo);
}

fn program(name: &str) -> Command {
    Command::new(place("target/debug").join(format!("quick_start_{name}")))
}

/// Ctrl-C.
fn interrupt(process: &Running) {
    let id = process.id().to_string();
    let status = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(status.success());
}

#[test]
#[ignore = ".ci/run quick-starts"]
fn each_quick_start_does_what_it_says() {
    let starts = quick_starts();
    let names: Vec<_> = starts.iter().map(|start| start.name.as_str()).collect();
    assert_eq!(names, ["tokio", "blocking", "smol", "web", "axum"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for start in &starts {
        println!("building {}", start.name);
        build(start, port);
    }

    let mut server = Running::start(&mut program("axum"));
    let limit = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < limit, "the server does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    for name in ["tokio", "blocking", "smol"] {
        println!("running {name}");
        let mut client = Running::start(&mut program(name));
        // The server repeats what it hears.
        assert_eq!(client.line().as_deref(), Some("login"), "{name}");
        assert_eq!(client.line().as_deref(), Some("subscribe"), "{name}");
        let mut said = [client.line().unwrap(), client.line().unwrap()];
        said.sort();
        assert_eq!(said, ["Ann is here", "Bob is here"], "{name}");
        interrupt(&client);
        assert_eq!(client.line().as_deref(), Some("stopped"), "{name}");
        assert_eq!(client.line(), None, "{name}");
        assert!(client.end().success(), "{name}");
        let gone = "a client is gone: closed with code 1000";
        assert_eq!(server.line().as_deref(), Some(gone), "{name}");
    }

    println!("the server goes");
    let mut client = Running::start(program("tokio").stderr(Stdio::piped()));
    assert_eq!(client.line().as_deref(), Some("login"));
    let errors = lines(client.process.0.stderr.take().unwrap());
    interrupt(&server);
    let gone = "a client is gone: stopped";
    assert_eq!(server.line().as_deref(), Some(gone));
    assert_eq!(server.line(), None);
    assert!(server.end().success());
    let down = next_line(&errors).unwrap();
    assert!(down.starts_with("down: closed with code 1001"), "{down}");
}
