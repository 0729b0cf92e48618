//! The tool `keepalive`, as it is built, against servers of the test's: its frame and
//! `keepalive watch`. What it has in common with the example is in `watch.rs`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/built.rs"]
mod built;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/peer_tls.rs"]
mod peer_tls;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use built::{Killed, Running, lines, next_line, output};
use peer::{
    BlackHole, PATIENCE, accept, accept_raw, accept_tcp, millis, peer, serve, signal, url_of,
};
use peer_tls::Authority;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tungstenite::Message;

/// An interval that no test waits out.
const NO_PINGS: [&str; 2] = ["--interval", "1h"];

/// As many as are needed soon.
const FAST: [&str; 2] = ["--interval", "10ms"];

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];

#[test]
fn wrong_arguments_are_told_with_a_reason() {
    let url = "ws://localhost";
    let duration = "a duration is from 1ms to 24h";
    let address = "an address is written as 127.0.0.1:9100, [::1]:9100 or 9100";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let no_pem = file("no.pem", "nothing");
    let bad_pem = file(
        "bad.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let table: &[(&[&str], &str)] = &[
        (&["wacht"], "unrecognized subcommand 'wacht'"),
        (&["http://localhost"], "begins with ws:// or wss://"),
        (&["--json", url], "unexpected argument '--json'"),
        (&["watch"], "<URL>"),
        (
            &["watch", "http://localhost"],
            "begins with ws:// or wss://",
        ),
        (
            &["watch", url, "ws://two"],
            "unexpected argument 'ws://two'",
        ),
        (&[url, "ws://two"], "unexpected argument 'ws://two'"),
        (&[url, "--interval", "0s"], duration),
        (&[url, "--timeout", "25h"], duration),
        (&[url, "--for", "soon"], "written as 500ms, 2s or 1m30s"),
        (&[url, "--count", "0"], "0 is not in 1.."),
        (&[url, "--header", "Origin"], "written as 'Name: value'"),
        (&[url, "--max-rtt", "0s"], duration),
        (&[url, "--max-rtt", "5"], "written as 500ms"),
        (&[url, "--max-downs", "few"], "--max-downs"),
        (&[url, "--max-downs=-1"], "--max-downs"),
        (&[url, "--max-lost", "1.5"], "--max-lost"),
        (&[url, "--metrics", "here"], address),
        (&[url, "--metrics", "127.0.0.1"], address),
        (&[url, "--metrics", "65536"], address),
        (&[url, "--metrics", &taken], "Address already in use\n"),
        (&[url, "--cacert"], "a value is required"),
        (
            &[url, "--cacert", "/no/file"],
            "No such file or directory\n",
        ),
        (&[url, "--cacert", &no_pem], "there is no certificate in it"),
        (&[url, "--cacert", &bad_pem], "bad.pem: "),
        (&[url, "--svg"], "a value is required"),
        (&[url, "--insecure"], "unexpected argument '--insecure'"),
        (&["probe"], "<URL>"),
        (&["show", url], "unexpected argument"),
        (&["completions"], "<SHELL>"),
        (&["completions", "dos"], "invalid value 'dos'"),
        (&["man", "watch"], "unexpected argument 'watch'"),
    ];
    for (arguments, reason) in table {
        let output = run(arguments);
        let error = error_of(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(error.starts_with("error: "), "{arguments:?}: {error}");
        assert!(error.contains(reason), "{arguments:?}: {error}");
        assert!(!error.contains("os error"), "{arguments:?}: {error}");
    }
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(error_of(&output).contains("Usage: keepalive <COMMAND>"));
}

#[test]
fn its_version_is_the_crates() {
    let expected = concat!("keepalive ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(text(&run(&["--version"])), expected);
}

#[test]
fn completions_and_the_man_page_know_every_command_and_flag() {
    let help = text(&run(&["--help"]));
    let commands = ["watch", "probe", "show", "completions", "man"];
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    let mut flags = BTreeSet::new();
    for command in commands {
        let help = text(&run(&[command, "--help"]));
        flags.extend(help.lines().filter_map(flag_of).map(str::to_owned));
    }
    for known in [
        "--cacert",
        "--interval",
        "--json",
        "--max-lost",
        "--metrics",
    ] {
        assert!(flags.contains(known), "{flags:?}");
    }
    for shell in SHELLS {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = text(&output);
        // fish writes `-l json`.
        let is_there = |flag: &str| {
            let word = flag.trim_start_matches('-');
            script.contains(flag) || script.contains(&format!("-l {word}"))
        };
        for flag in &flags {
            assert!(is_there(flag), "{flag} in {shell}");
        }
        for command in commands {
            assert!(script.contains(command), "{command} in {shell}");
        }
    }
    let output = run(&["man"]);
    assert_eq!(output.status.code(), Some(0));
    let page = text(&output).replace("\\-", "-");
    for flag in &flags {
        assert!(page.contains(flag), "{flag}");
    }
    for heading in [
        "NAME",
        "\"WATCH\"",
        "\"PROBE\"",
        "\"EXIT STATUS\"",
        "\"JSON\"",
    ] {
        assert!(page.contains(&format!(".SH {heading}\n")), "{heading}");
    }
    assert!(page.contains(" 130  a second Ctrl-C"), "{page}");
    assert!(page.contains("Durations are written as 500ms"), "{page}");
    assert_eq!(
        page.matches("\n.SS OPTIONS\n").count(),
        commands.len(),
        "{page}"
    );
}

/// `--json` of a line that explains it.
fn flag_of(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest = rest.strip_prefix("-h, ").unwrap_or(rest);
    let flag = rest.split(' ').next().unwrap();
    let is_flag = flag.strip_prefix("--").is_some_and(|name| {
        name.chars()
            .all(|char| char.is_ascii_lowercase() || char == '-')
    });
    is_flag.then_some(flag)
}

#[test]
fn the_show_begins() {
    let mut show = Running::start(tool().arg("show"));
    let mut lines = std::iter::from_fn(|| show.line());
    assert!(lines.any(|line| line.starts_with("What a heartbeat does")));
    assert!(lines.any(|line| line.ends_with("ping seq=1")));
}

#[test]
fn a_url_alone_is_watched() {
    let (url, server) = peer(|listener| {
        for _ in 0..2 {
            serve(&mut accept(&listener));
        }
    });
    for arguments in [&["watch", &url][..], &[&url]] {
        let output = output(tool().args(arguments).args(["--count", "2"]).args(FAST));
        let (text, error) = (text(&output), error_of(&output));
        assert_eq!(output.status.code(), Some(0), "{text}{error}");
        assert!(text.contains("2 pongs, 0 lost,"), "{text}");
        assert_eq!(error, "");
    }
    server.join().unwrap();
}

#[test]
fn what_was_never_connected_fails() {
    let url = refusing();
    let output = run(&[&url, "--for", "300ms"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(error_of(&output), "failed: it was never connected\n");
    let plan = text.lines().nth(2).unwrap();
    assert!(plan.ends_with(" s (no answer)"), "{text}");
    assert!(!text.contains("1006"), "{text}");

    let mut watch = Watch::start(&[&url]);
    watch.until("reconnect 1 in ");
    signal("INT", watch.id());
    assert_eq!(watch.end(), Some(1));

    let mut watch = Watch::start(&[&url, "--json"]);
    watch.until("watching");
    watch.stdout = None;
    assert_eq!(watch.end(), Some(1), "whoever reads it leaves");
    assert_eq!(
        next_line(&watch.stderr).unwrap(),
        "failed: it was never connected"
    );
}

#[test]
fn a_dial_that_fails_has_no_close_code() {
    let output = run(&[&refusing(), "--fail-fast", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let failure = "a dial failed, and --fail-fast was given";
    assert_eq!(error_of(&output), format!("failed: {failure}\n"));
    let objects = objects(&output);
    let down = &named(&objects, "down")[0];
    assert_eq!((&down["dial"], &down["code"]), (&true.into(), &Value::Null));
    assert_eq!(down["status"], Value::Null);
    let summary = objects.last().unwrap();
    assert_eq!(summary["failures"], Value::from(vec![failure]));
    assert_eq!(summary["connections"], 0);

    let refuses = |listener: TcpListener| {
        for _ in 0..2 {
            let mut socket = accept_tcp(&listener);
            let _ = socket.read(&mut [0; 4096]);
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 100\r\n\r\n";
            let _ = socket.write_all(answer);
            let _ = socket.read_to_end(&mut Vec::new());
        }
    };
    let (url, server) = peer(refuses);
    let mut watch = Watch::start(&[&url]);
    let plan = watch.until("reconnect 1 in ");
    assert!(plan.ends_with(" s (status 503)"), "{plan}");
    signal("INT", watch.id());
    assert_eq!(watch.end(), Some(1));
    let objects = self::objects(&run(&[&url, "--fail-fast", "--json"]));
    server.join().unwrap();
    let down = &named(&objects, "down")[0];
    assert_eq!(
        (&down["status"], &down["code"]),
        (&503.into(), &Value::Null)
    );
}

#[test]
fn it_says_each_second_that_a_dial_hangs() {
    let hole = BlackHole::new();
    let url = url_of(hole.address);
    let mut watch = Watch::start(&[&url]);
    watch.until("connecting, 1 s");
    watch.until("connecting, 2 s");
    signal("INT", watch.id());
    assert_eq!(watch.end(), Some(1));

    let output = run(&[&url, "--json", "--for", "1500ms"]);
    let objects = objects(&output);
    let connecting = named(&objects, "connecting");
    assert_eq!(connecting[0]["for_s"], 0.0);
    assert!(connecting[1]["for_s"].as_f64().unwrap() >= 1.0);
}

/// The terminal is the `script` of util-linux.
#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_what_is_true_for_a_second_is_overwritten() {
    let hole = BlackHole::new();
    let program = env!("CARGO_BIN_EXE_keepalive");
    let url = url_of(hole.address);
    let command = format!("'{program}' {url} --plain --for 2500ms");
    let output = output(
        Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null()),
    );
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let (_, rest) = text.split_once("  connecting, 1 s\r").unwrap();
    let (blank, rest) = rest.split_once('\r').unwrap();
    assert_eq!(blank.trim(), "", "{text:?}");
    let (_, rest) = rest.split_once("  connecting, 2 s\r").unwrap();
    let (blank, rest) = rest.split_once('\r').unwrap();
    assert_eq!(blank.trim(), "", "{text:?}");
    assert!(rest.starts_with("--- ws://"), "{text:?}");
}

#[test]
fn a_round_trip_that_is_too_long_fails() {
    let slow = |listener: TcpListener| {
        let mut socket = accept(&listener);
        if socket.read().unwrap() == Message::text("ping") {
            thread::sleep(millis(60));
            socket.send(Message::text("pong")).unwrap();
        }
        serve(&mut socket);
    };
    let (url, server) = peer(slow);
    let ping = ["--text", "ping", FAST[0], FAST[1]];
    let output = output(tool().arg(&url).args(ping).args(["--max-rtt", "50ms"]));
    server.join().unwrap();
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("failed: a round trip took "), "{error}");
    assert!(
        error.ends_with(" ms, longer than the 50 ms of --max-rtt\n"),
        "{error}"
    );
    assert!(text(&output).contains(" 1 pong,"), "{output:?}");

    let (url, server) = peer(slow);
    let limits = ["--max-rtt", "1m", "--count", "1"];
    let output = built::output(tool().arg(&url).args(ping).args(limits));
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_ping_that_waits_too_long_for_an_answer_fails() {
    let (url, server) = peer(|listener| {
        let mut mute = accept_raw(&listener);
        let _ = mute.read_to_end(&mut Vec::new());
    });
    let limits = ["--max-rtt", "100ms", "--for", "5s"];
    let output = output(tool().arg(&url).args(FAST).args(limits));
    server.join().unwrap();
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("failed: a ping had no answer for ")
            && error.ends_with(" ms, longer than the 0.1 s of --max-rtt\n"),
        "{error}"
    );
    assert!(text(&output).contains(" 0 lost,"), "{output:?}");
}

#[test]
fn too_many_downs_fail() {
    let restarts = |listener: TcpListener| {
        drop(accept(&listener));
        serve(&mut accept(&listener));
    };
    let (url, server) = peer(|listener| drop(accept(&listener)));
    let output = run(&[&url, "--max-downs", "0"]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failure = "1 down, more than the 0 of --max-downs";
    assert_eq!(error_of(&output), format!("failed: {failure}\n"));

    let (url, server) = peer(restarts);
    let output = run(&[&url, "--max-downs", "1", "--count", "1", FAST[0], FAST[1]]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).contains(" 1 down,"), "{output:?}");
}

#[test]
fn too_many_lost_pings_fail() {
    let (url, server) = peer(|listener| {
        let mut mute = accept_raw(&listener);
        let _ = mute.read_to_end(&mut Vec::new());
    });
    let limits = ["--timeout", "200ms", "--max-lost", "0", "--json"];
    let output = output(tool().arg(&url).args(FAST).args(limits));
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failure = "1 ping lost, more than the 0 of --max-lost";
    assert_eq!(error_of(&output), format!("failed: {failure}\n"));
    let summary = objects(&output).pop().unwrap();
    assert_eq!(summary["failures"], Value::from(vec![failure]));
    assert_eq!(
        (&summary["lost"], &summary["downs"]),
        (&1.into(), &1.into())
    );
}

/// The server is there, and says so.
#[test]
fn a_ping_that_a_close_answers_is_not_lost() {
    let (url, server) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        assert_ne!(socket.read(&mut [0; 64]).unwrap(), 0);
        socket.write_all(&[0x88, 2, 0x03, 0xe9]).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
        serve(&mut accept(&listener));
    });
    let limits = ["--max-lost", "0", "--count", "1"];
    let output = output(tool().arg(&url).args(FAST).args(limits));
    server.join().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text.contains("the server closed with 1001 (going away)"),
        "{text}"
    );
    assert!(text.contains(" 1 pong, 0 lost,"), "{text}");
}

#[test]
fn a_flood_holds_up_neither_the_end_nor_an_interrupt() {
    let flood = |listener: TcpListener| {
        for _ in 0..2 {
            let mut socket = accept_raw(&listener);
            let frames = [0x81, 1, b'x'].repeat(1000);
            while socket.write_all(&frames).is_ok() {}
        }
    };
    let (url, server) = peer(flood);
    let output = run(&[&url, "--for", "500ms"]);
    let summary = text(&output).lines().nth_back(0).unwrap().to_owned();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert!(summary.starts_with("0 pings, "), "{summary}");

    let mut watch = Watch::start(&[&url]);
    watch.until("message, text of 1 byte");
    signal("INT", watch.id());
    watch.until("0 pings, ");
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

#[test]
fn it_ends_well_when_it_is_terminated() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let mut watch = Watch::start(&[&url, FAST[0], FAST[1]]);
    watch.until("pong seq=1 ");
    signal("TERM", watch.id());
    watch.until(" 0 downs, 0 failed dials");
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

#[test]
fn under_nohup_no_hangup_ends_it() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_keepalive"));
    let mut watch = Watch::of(command.args([&url, FAST[0], FAST[1]]));
    watch.until("pong seq=1 ");
    signal("HUP", watch.id());
    watch.until("pong seq=30 ");
    signal("TERM", watch.id());
    watch.until(" 0 downs, 0 failed dials");
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_goodbye() {
    let (url, server) = peer(|listener| {
        // Reads nothing until the client has gone.
        let mut socket = accept_raw(&listener);
        thread::sleep(millis(500));
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let mut watch = Watch::start(&[&url, NO_PINGS[0], NO_PINGS[1]]);
    watch.until("open");
    signal("INT", watch.id());
    thread::sleep(millis(100));
    signal("INT", watch.id());
    watch.until("0 pings, ");
    assert_eq!(watch.end(), Some(130));
    server.join().unwrap();
}

/// What ends it is not the interrupt, which only hurries it.
#[test]
fn an_interrupt_of_the_goodbye_alone_is_no_failure() {
    let (url, server) = peer(|listener| {
        let _ = accept_raw(&listener).read_to_end(&mut Vec::new());
    });
    let mut watch = Watch::start(&[&url, "--for", "300ms"]);
    watch.until("open");
    // The goodbye takes a second, as nobody answers it.
    thread::sleep(millis(700));
    signal("INT", watch.id());
    watch.until("0 pings, ");
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

#[test]
fn a_second_interrupt_ends_it_although_nobody_reads() {
    let (url, server) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let frames = [0x81, 1, b'x'].repeat(1000);
        while socket.write_all(&frames).is_ok() {}
    });
    let mut command = tool();
    let command = command.args([&url, "--json"]).stdout(Stdio::piped());
    let mut watch = Killed(command.spawn().unwrap());
    // The pipe is full long before.
    thread::sleep(millis(1000));
    signal("INT", watch.0.id());
    thread::sleep(millis(1500));
    assert!(watch.0.try_wait().unwrap().is_none());
    signal("INT", watch.0.id());
    assert_eq!(watch.end().code(), Some(130));
    server.join().unwrap();
}

#[test]
fn what_cannot_be_written_is_named() {
    let full = fs::File::options().write(true).open("/dev/full");
    let mut command = tool();
    let output = command.arg(refusing()).stdout(full.unwrap()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        error_of(&output),
        "error: stdout: No space left on device\n"
    );

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-gone");
    fs::create_dir_all(&folder).unwrap();
    let svg = folder.join("a.svg").display().to_string();
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let mut watch = Watch::start(&[&url, "--svg", &svg]);
    watch.until("open");
    fs::remove_dir_all(&folder).unwrap();
    signal("INT", watch.id());
    assert_eq!(watch.end(), Some(1));
    server.join().unwrap();
    let error = next_line(&watch.stderr).unwrap();
    assert_eq!(
        error,
        format!("error: --svg {svg}: No such file or directory")
    );
}

#[test]
fn a_ca_of_ones_own_is_trusted_besides_the_systems() {
    let (system, own, other) = (Authority::new(), Authority::new(), Authority::new());
    let system_file = file("system.pem", &system.pem());
    let own_file = file("own.pem", &own.pem());
    let watch = |authority: &Authority, arguments: &[&str]| {
        let (url, server) = secure(authority.server("127.0.0.1", None));
        let output = output(
            tool()
                .args([&url, "--count", "1", "--fail-fast", FAST[0], FAST[1]])
                .args(arguments)
                .env("SSL_CERT_FILE", &system_file)
                .env_remove("SSL_CERT_DIR"),
        );
        server.join().unwrap();
        let text = text(&output);
        let is_refused = text.contains("cannot connect: invalid peer certificate");
        assert_eq!(is_refused, output.status.code() == Some(1), "{text}");
        output.status.code()
    };
    let with_own = ["--cacert", &own_file];
    assert_eq!(watch(&system, &[]), Some(0));
    assert_eq!(watch(&own, &[]), Some(1));
    assert_eq!(watch(&own, &with_own), Some(0));
    assert_eq!(watch(&system, &with_own), Some(0));
    assert_eq!(watch(&other, &with_own), Some(1));
}

#[test]
fn metrics_are_served_while_it_watches() {
    let (url, server) = peer(|listener| serve(&mut accept(&listener)));
    let mut watch = Watch::start(&[&url, "--metrics", "0", FAST[0], FAST[1]]);
    let said = next_line(&watch.stderr).unwrap();
    let address = said.strip_prefix("metrics: http://").unwrap();
    let address: SocketAddr = address.strip_suffix("/metrics").unwrap().parse().unwrap();
    assert!(address.ip().is_loopback());
    watch.until("pong seq=2 ");

    let page = scrape(address, b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    for expected in [
        "# HELP keepalive_dials_total Dials that began\n",
        "# TYPE keepalive_round_trip_seconds histogram\n",
        "\nkeepalive_dials_total 1\n",
        "\nkeepalive_connections_open 1\n",
        "keepalive_round_trip_seconds_bucket{le=\"0.01\"} ",
    ] {
        assert!(body.contains(expected), "{expected} in {body}");
    }
    let pings = body
        .lines()
        .find_map(|line| line.strip_prefix("keepalive_pings_total "));
    assert!(pings.unwrap().parse::<u32>().unwrap() >= 2, "{body}");

    for (request, status) in [
        (&b"GET /metrics?name=x HTTP/1.0\r\n\r\n"[..], "200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00\xff\r\n\r\n", "400 Bad Request"),
        (b"\r\n\r\n", "400 Bad Request"),
        (&[b'x'; 8 << 10], "400 Bad Request"),
    ] {
        let answer = scrape(address, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
    }
    // Whoever says nothing, or leaves, holds up nobody for long.
    let silent = TcpStream::connect(address).unwrap();
    drop(TcpStream::connect(address).unwrap());
    let page = scrape(address, b"GET /metrics HTTP/1.1\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    drop(silent);

    signal("INT", watch.id());
    assert_eq!(watch.end(), Some(0));
    server.join().unwrap();
}

/// What comes back for this.
fn scrape(address: SocketAddr, request: &[u8]) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(request).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// One that has everything in it that a watch says.
#[test]
fn the_help_explains_what_json_there_is() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        socket.send(Message::text("news")).unwrap();
        let _ = socket.read();
        drop(socket);
        serve(&mut accept(&listener));
    });
    let output = run(&[&url, "--json", "--count", "1", FAST[0], FAST[1]]);
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let help = text(&run(&["watch", "--help"]));
    let (_, schema) = help.split_once("With --json").unwrap();
    let words: BTreeSet<&str> = schema
        .split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .collect();
    let objects = objects(&output);
    for event in [
        "watching",
        "connecting",
        "open",
        "message",
        "ping",
        "pong",
        "down",
    ] {
        assert!(!named(&objects, event).is_empty(), "{event}");
    }
    for object in &objects {
        let event = object["event"].as_str().unwrap();
        assert!(words.contains(event), "{event}");
        for key in object.as_object().unwrap().keys() {
            assert!(words.contains(key.as_str()), "{key} of {event}");
        }
    }
}

/// A server over TLS, for one connection.
fn secure(config: Arc<ServerConfig>) -> (String, thread::JoinHandle<()>) {
    let (url, server) = peer(move |listener| {
        let tls = ServerConnection::new(config).unwrap();
        let stream = StreamOwned::new(tls, accept_tcp(&listener));
        if let Ok(mut socket) = tungstenite::accept(stream) {
            serve(&mut socket);
        }
    });
    (url.replacen("ws:", "wss:", 1), server)
}

/// A URL where nobody listens.
fn refusing() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    url_of(port.local_addr().unwrap())
}

/// A file of this test's, and its path.
fn file(name: &str, text: &str) -> String {
    let path = format!("{}/cli-{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, text).unwrap();
    path
}

fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keepalive"));
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end.
fn run(arguments: &[&str]) -> Output {
    output(tool().args(arguments))
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    text(output).lines().map(parse).collect()
}

fn named<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    let is_named = |object: &&Value| object["event"] == event;
    objects.iter().filter(is_named).collect()
}

/// One that runs, and is read line by line.
struct Watch {
    process: Killed,
    stdout: Option<Receiver<String>>,
    stderr: Receiver<String>,
}

impl Watch {
    fn start(arguments: &[&str]) -> Self {
        Self::of(tool().args(arguments))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Some(lines(child.stdout.take().unwrap()));
        let stderr = lines(child.stderr.take().unwrap());
        Self {
            process: Killed(child),
            stdout,
            stderr,
        }
    }

    /// The next line with this in it, from there on.
    fn until(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "{part:?} did not come");
            let line = next_line(self.stdout.as_ref().unwrap());
            let line = line.unwrap_or_else(|| panic!("{part:?} never came"));
            if let Some(at) = line.find(part) {
                return line[at..].to_owned();
            }
        }
    }

    fn id(&self) -> u32 {
        self.process.0.id()
    }

    fn end(&mut self) -> Option<i32> {
        self.process.end().code()
    }
}
