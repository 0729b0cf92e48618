//! The driver, in virtual time, under an oracle that sees it from outside only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod driver;
}

use proptest::prelude::*;
use support::driver::story;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_contract_holds(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        story::setup(&bytes).run().assert_right();
    }
}

/// What is wrong, once each, with the shortest log: to look for many faults at once.
/// `STORIES=100000 cargo test --release --features alloc --test driver -- --ignored --nocapture hunt`
#[test]
#[ignore = "on demand"]
fn hunt() {
    let stories = std::env::var("STORIES").map_or(20_000, |text| text.parse().unwrap());
    let seed = std::env::var("SEED").map_or(1, |text| text.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut found = std::collections::BTreeMap::<String, (usize, String)>::new();
    let mut downs = 0;
    for _ in 0..stories {
        let mut bytes = vec![0; random.usize(0..220)];
        random.fill(&mut bytes);
        // So that most of it is plain.
        let plain = random.f32();
        for byte in &mut bytes {
            if random.f32() < plain {
                *byte = 0;
            }
        }
        let world = match std::panic::catch_unwind(|| story::setup(&bytes).run()) {
            Ok(world) => world,
            Err(_) => panic!("{bytes:?}"),
        };
        downs += world.net.oracle.downs();
        if let Some(fault) = world.fault() {
            let log = format!("{:#?}\n{}", world.setup, world.net.oracle.log.join("\n"));
            let kept = found.entry(fault.to_owned()).or_insert((0, log.clone()));
            kept.0 += 1;
            if log.len() < kept.1.len() {
                kept.1 = log;
            }
        }
    }
    for (fault, (times, log)) in &found {
        println!("=== {times} times: {fault}\n{log}\n");
    }
    for (fault, (times, _)) in &found {
        println!("{times:6} {fault}");
    }
    println!("{stories} stories, {downs} connections lost");
    assert!(found.is_empty());
}
