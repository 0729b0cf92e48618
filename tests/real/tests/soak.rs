//! The soak for a few seconds, and whether it turns red for what is planted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::thread;

use real::soak::Plant;

/// Whether it found everything right, and what it printed.
fn soak(plant: Option<&str>) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(["--connections", "40", "--for", "25s", "--seed", "12"]);
    if let Some(plant) = plant {
        command.args(["--plant", plant]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text)
}

/// What has to be in the text for each kind.
fn words(plant: Plant) -> &'static str {
    match plant {
        Plant::Missed => "a fault was not detected",
        Plant::Conviction => "down without a fault: no pong in time",
        Plant::Message => "nobody has seen {12}",
        Plant::Healing => "not open again",
        Plant::Descriptor | Plant::Thread | Plant::Task | Plant::Memory => "NOT FLAT",
    }
}

/// All at a time: they wait most of it.
#[test]
fn what_is_planted_is_found_and_nothing_else() {
    let healthy = thread::spawn(|| soak(None));
    let planted = Plant::ALL.map(|(name, plant)| (plant, thread::spawn(move || soak(Some(name)))));
    let (is_right, text) = healthy.join().unwrap();
    assert!(is_right && text.contains("all is right"), "{text}");
    for (plant, soak) in planted {
        let (is_right, text) = soak.join().unwrap();
        println!("--- {plant:?}\n{text}");
        assert!(!is_right, "{plant:?}: {text}");
        assert!(text.contains(words(plant)), "{plant:?}: {text}");
    }
}
