//! The gallery, `examples/README.md`, has every example, with the features that it needs.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const GALLERY: &str = include_str!("../examples/README.md");
const MANIFEST: &str = include_str!("../Cargo.toml");

#[test]
fn the_gallery_has_every_example_and_its_features() {
    if is_packed() {
        return;
    }
    assert_eq!(shown(), examples());
}

#[test]
fn each_row_leads_to_what_exists() {
    if is_packed() {
        return;
    }
    let mut links = 0;
    for link in GALLERY.split("](").skip(1) {
        let target = link.split(')').next().unwrap();
        assert!(directory().join(target).exists(), "{target}");
        links += 1;
    }
    assert!(links >= examples().len(), "only {links} links");
}

/// Examples that are packages of their own are not packed.
fn is_packed() -> bool {
    !Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci")).exists()
}

type Features = BTreeSet<String>;

/// From commands such as `cargo run --features tokio --example orders`.
fn shown() -> BTreeMap<String, Features> {
    let mut shown = BTreeMap::new();
    for command in GALLERY
        .split('`')
        .filter(|text| text.starts_with("cargo run"))
    {
        let mut words = command.split(' ');
        let (mut name, mut features) = (None, Features::new());
        while let Some(word) = words.next() {
            match word {
                "--example" => name = words.next(),
                "--features" => {
                    features.extend(words.next().unwrap().split(',').map(str::to_owned));
                }
                _ => {}
            }
        }
        let earlier = shown.insert(name.unwrap().to_owned(), features);
        assert_eq!(earlier, None, "{command} is there twice");
    }
    shown
}

/// Those of the manifest, and those that Cargo finds by itself.
fn examples() -> BTreeMap<String, Features> {
    let mut examples: BTreeMap<_, _> = found().map(|name| (name, Features::new())).collect();
    for section in MANIFEST
        .split("\n[")
        .filter(|text| text.starts_with("[example]]"))
    {
        let value = |key: &str| {
            let mut lines = section.lines();
            lines.find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix("= "))
        };
        let name = value("name").unwrap().trim_matches('"').to_owned();
        let features = value("required-features").unwrap_or("[]");
        let features = features.trim_matches(['[', ']']).split(", ");
        let features = features.map(|feature| feature.trim_matches('"').to_owned());
        examples.insert(
            name,
            features.filter(|feature| !feature.is_empty()).collect(),
        );
    }
    assert!(examples.len() > 5, "only {examples:?} were found");
    examples
}

fn found() -> impl Iterator<Item = String> {
    fs::read_dir(directory()).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_example = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("main.rs").is_file();
        is_example.then_some(name)
    })
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"))
}
