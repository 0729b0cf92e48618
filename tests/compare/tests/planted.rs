//! The harness sees what it claims to see: clients with known faults.
#![allow(clippy::unwrap_used, clippy::panic)]

use compare::faults::{Fault, Outcome, Stale};
use compare::subject::Subject;

fn play(name: &'static str, fault: Fault) -> Outcome {
    fault.play(&Subject::in_rust(name), 0)
}

#[test]
fn a_client_that_judges_before_it_reads_is_seen() {
    let outcome = play("planted-hasty", Fault::Stall);
    assert_eq!(outcome, Outcome::Stall { convicted: true });
}

#[test]
fn a_client_that_counts_pongs_alone_is_seen() {
    for fault in [Fault::LargeFrame, Fault::LargeUpload] {
        let outcome = play("planted-hasty", fault);
        assert!(
            matches!(outcome, Outcome::Large { cut: Some(_) }),
            "{fault:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_hot_loop_is_seen() {
    let outcome = play("planted-hot", Fault::AcceptAndDrop);
    assert!(
        matches!(outcome, Outcome::Dials(dials) if dials > 1000.0),
        "{outcome:?}"
    );
}

#[test]
fn who_hears_the_old_connection_is_seen() {
    let outcome = play("planted-deaf", Fault::Stale);
    assert!(
        matches!(outcome, Outcome::Stale(Stale::Disturbed(_))),
        "{outcome:?}"
    );
}

#[test]
fn messages_that_are_lost_without_a_word_are_counted() {
    let outcome = play("planted-deaf", Fault::Messages);
    assert!(
        matches!(outcome, Outcome::Messages { missing, told: 0 } if missing >= 20),
        "{outcome:?}"
    );
}

#[test]
fn who_notices_nothing_is_not_said_to() {
    let outcome = play("planted-hot", Fault::HalfOpen);
    let nothing = Outcome::HalfOpen {
        cut: None,
        told: None,
        open: None,
    };
    assert_eq!(outcome, nothing);
}
