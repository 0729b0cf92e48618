//! A peer that is stuck: the sink takes nothing, or flushes nothing, ever.

use crate::rig::{Msg, Rig, Wire, config, millis, seconds};

/// The ways of being stuck.
fn ways() -> [fn(&Wire); 3] {
    [
        |wire| wire.line().room = Some(0),
        |wire| wire.line().passes = Some(0),
        |wire| {
            wire.line().room = Some(3);
            wire.line().passes = Some(0);
        },
    ]
}

/// Where the ping was the last that the sink took, it is the ping that has no answer;
/// where it took none, the transport has failed. The socket is dropped at that very
/// instant.
#[test]
fn a_stuck_peer_is_convicted_and_dropped() {
    let (mute, stalled) = ("no pong in time", "nothing could be written for too long");
    let told = [
        (mute, seconds(12)),
        (mute, seconds(12)),
        (stalled, seconds(10)),
    ];
    for (stick, (why, at)) in ways().into_iter().zip(told) {
        let (mut rig, wire) = Rig::open(config());
        stick(&wire);
        (0..100).for_each(|number| rig.outbox.send(number));
        rig.run(seconds(13));
        let down = rig.when(&format!("down: {why}, retry 1"));
        assert!(down >= at && down <= at + millis(1), "{down:?}");
        assert_eq!(wire.dropped(), Some(down));
        assert_eq!(wire.got(), []);
    }
}

/// Nor is the wait longer for what a slow peer takes now and then.
#[test]
fn a_peer_that_takes_a_message_now_and_then_is_convicted() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(1);
    wire.line().passes = Some(0);
    wire.line().is_mute = true;
    rig.outbox.never_ends();
    for second in 1..=12 {
        let slow = wire.clone();
        rig.world.at(seconds(second), move || slow.pass_one());
    }
    rig.run(seconds(15));
    // The ping left the buffer a second late, and its deadline counts from there.
    let down = rig.when("down: no pong in time, retry 1");
    assert!(down >= seconds(12) && down <= millis(13_001), "{down:?}");
    assert_eq!(wire.dropped(), Some(down));
}

#[test]
fn a_stop_is_over_in_time_on_a_stuck_peer() {
    for stick in ways() {
        let (mut rig, wire) = Rig::open(config());
        stick(&wire);
        (0..100).for_each(|number| rig.outbox.send(number));
        rig.run(seconds(1));
        rig.session.stop();
        rig.run(seconds(7));
        let down = "6000 down: the close handshake took too long";
        assert_eq!(rig.lines(), [down, "6000 over: stopped"]);
        assert_eq!(wire.dropped(), Some(seconds(6)));
    }
}

#[test]
fn a_second_stop_does_not_wait_for_a_stuck_peer() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().passes = Some(0);
    rig.session.stop();
    rig.run(seconds(1));
    rig.session.stop();
    rig.run(seconds(7));
    assert_eq!(wire.dropped(), Some(seconds(1)));
    assert_eq!(rig.lines(), ["1000 down: stopped", "1000 over: stopped"]);
}

/// The close handshake comes behind what was queued, once the peer reads again.
#[test]
fn a_stop_waits_for_a_peer_that_wakes_up() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(0);
    rig.outbox.send(1);
    rig.session.stop();
    let awake = wire.clone();
    rig.world.at(seconds(4), move || awake.unstick());
    rig.run(seconds(7));
    // The ping confirms the message.
    let got = wire.got();
    assert!(
        matches!(got[..], [Msg::Text(1), Msg::Ping(_), Msg::Close(1000)]),
        "{got:?}"
    );
    assert!(wire.line().has_closed);
    assert_eq!(rig.lines(), ["4000 down: stopped", "4000 over: stopped"]);
}

/// What the peer says is life, as long as nothing has to be said to it.
#[test]
fn a_peer_that_talks_and_never_reads_has_failed_once_something_waits() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(0);
    for second in 1..60 {
        wire.say_at(seconds(second), Msg::Text(0));
    }
    rig.run(seconds(30));
    assert_eq!(wire.dropped(), None);
    rig.session.send(Msg::Text(1)).unwrap();
    rig.run(seconds(60));
    let down = rig.when("down: nothing could be written for too long, retry 1");
    assert!(down >= seconds(40) && down <= millis(40_001), "{down:?}");
    assert_eq!(wire.dropped(), Some(down));
}

/// Where bytes are counted, what the sink takes into its own buffer is no progress.
#[test]
fn what_stays_in_a_buffer_has_not_left() {
    let (mut rig, wire) = Rig::counted(config(), 1);
    rig.session = rig.session.with_stall_timeout(seconds(3));
    wire.line().passes = Some(0);
    for tenth in 1..100 {
        let outbox = rig.outbox.clone();
        wire.say_at(millis(100) * tenth, Msg::Text(0));
        rig.world
            .at(millis(100) * tenth, move || outbox.send(tenth));
    }
    rig.run(seconds(10));
    let down = rig.when("down: nothing could be written for too long, retry 1");
    assert!(down >= millis(3100) && down <= millis(3101), "{down:?}");
}
