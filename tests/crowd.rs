//! The example `crowd`, as it is built, with fewer connections.
//!
//! `cargo test` builds it; with `--test crowd` build it before:
//! `cargo build --features tokio --example crowd`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/built.rs"]
mod built;

use built::{example, output};

#[test]
fn the_mute_ones_are_found_in_time_and_nobody_else() {
    let output = output(example("crowd").args(["--connections", "300"]));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for (title, ended) in [
        ("300 connections on one Members", "drained      294 in "),
        ("300 connections, a Session each", "closed       294 in "),
    ] {
        let lines = text.lines().skip_while(|line| *line != title).skip(1);
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
        assert!(has("connected    300 in "), "{text}");
        assert!(
            has("found dead   6 of 6 that fell silent, 0 wrongly"),
            "{text}"
        );
        // That it was in time is in the status.
        assert!(has("after        "), "{text}");
        assert!(has(ended), "{text}");
        assert!(has("clients      294 closed with 1001, 0 lost"), "{text}");
    }
    for kind in ["  Members      ", "  Session each "] {
        let size = text.lines().find_map(|line| line.strip_prefix(kind));
        assert!(size.unwrap().ends_with(" kB"), "{text}");
    }
}

#[test]
fn wrong_arguments_are_told() {
    let wrong: [&[&str]; 6] = [
        &["--help"],
        &["10000"],
        &["--connections"],
        &["--connections", "20000"],
        &["--members", "--sessions"],
        &["load"],
    ];
    for arguments in wrong {
        let output = output(example("crowd").args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("Arguments: "), "{error}");
    }
}
