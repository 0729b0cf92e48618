//! What the compiler says about wrong use names the cure.
//!
//! Its words differ by version: they are compared on the one of `RUST` alone.
//! After a change: `TRYBUILD=overwrite cargo test --test messages`.

#![allow(clippy::unwrap_used)]

use std::process::Command;

/// The compiler whose words are written down.
const RUST: &str = "1.95.0";

#[test]
fn wrong_use_is_told_with_its_cure() {
    let version = Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    if version.split(' ').nth(1) != Some(RUST) {
        println!("NOT RUN: the messages are those of rustc {RUST}, and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
