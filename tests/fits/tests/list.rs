//! The list of libraries that fit, in the docs of `keepalive::session`, is true.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

const DOCS: &str = include_str!("../../../src/session/mod.rs");
const LOCK: &str = include_str!("../Cargo.lock");

/// The rows of the list: library, version, what its messages are, what it takes, and the
/// file.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let rows: Vec<_> = cells.skip_while(|row| row[0] != "---").skip(1).collect();
    assert!(!rows.is_empty());
    rows
}

#[test]
fn the_versions_are_those_that_are_compiled() {
    for row in rows() {
        let locked = format!("name = \"{}\"\nversion = \"{}\"\n", row[0], row[1]);
        assert!(
            LOCK.contains(&locked),
            "{} {} is not what is compiled",
            row[0],
            row[1]
        );
    }
}

#[test]
fn the_files_are_here_and_all_are_listed() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let listed = rows().into_iter().map(|row| row[4].trim_matches('`'));
    let mut listed: Vec<_> = listed.collect();
    listed.sort_unstable();
    listed.dedup();
    let files = std::fs::read_dir(sources).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "lib.rs").collect();
    names.sort_unstable();
    assert_eq!(listed, names);
}
