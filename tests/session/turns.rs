//! Whose turn it is: reads, ticks and writes each have theirs, and the timer and the
//! progress are asked seldom.

use std::time::Duration;

use keepalive::Config;
use keepalive::driver::Notice;

use crate::rig::{Msg, Rig, config, millis, seconds};

/// Pings for the other direction, too.
fn both_ways() -> Config {
    let settings = config().to_builder().send_interval(Some(seconds(2)));
    settings.build().unwrap()
}

fn pings(got: &[(Duration, Msg)]) -> Vec<Duration> {
    let pings = got
        .iter()
        .filter(|(_, message)| matches!(message, Msg::Ping(_)));
    pings.map(|(at, _)| *at).collect()
}

/// Messages of the application's, and control messages.
#[test]
fn a_flood_that_comes_in_starves_neither_ticks_nor_writes() {
    for message in [Msg::Text(0), Msg::Control] {
        let (mut rig, wire) = Rig::open(both_ways());
        wire.line().flood = Some((message, Duration::from_micros(100)));
        (1..=1000).for_each(|number| rig.outbox.send(number));
        rig.run(seconds(11));
        assert_eq!(wire.texts(), (1..=1000).collect::<Vec<_>>());
        let got = wire.line().got.clone();
        let last = got
            .iter()
            .rfind(|(_, message)| matches!(message, Msg::Text(_)));
        assert!(last.unwrap().0 < millis(200), "{last:?}");
        let pings = pings(&got);
        assert!(pings.len() >= 4, "{pings:?}");
        assert!(pings[0] < millis(2100), "{pings:?}");
        for pair in pings.windows(2) {
            assert!(pair[1] - pair[0] < millis(2100), "{pings:?}");
        }
        assert!(wire.line().flooded > 100_000);
    }
}

/// A poll ends though the control messages do not.
#[test]
fn a_flood_of_control_messages_lets_others_have_their_turn() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().flood = Some((Msg::Control, Duration::ZERO));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(rig.session.poll_notice(&mut context).is_pending());
    let read = wire.line().flooded;
    assert!((1..=1000).contains(&read), "{read}");
}

/// A number of messages, then the peer is heard, and so on.
#[test]
fn a_flood_that_goes_out_starves_neither_ticks_nor_reads() {
    let (mut rig, wire) = Rig::open(config());
    rig.outbox.never_ends();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for number in 1..=100 {
        wire.say(Msg::Text(number));
        wire.turn();
        let before = rig.outbox.taken();
        let heard = rig.session.poll_notice(&mut context).map(Option::unwrap);
        let is_heard = |told: &Notice<_, _, _, _>| matches!(told, Notice::Message(Msg::Text(text)) if *text == number);
        assert!(
            matches!(&heard, std::task::Poll::Ready(told) if is_heard(told)),
            "{heard:?}"
        );
        assert!(rig.outbox.taken() - before <= 100);
        rig.world.block(millis(10));
    }
    // A ping goes ahead of the messages that wait.
    rig.world.block(seconds(3));
    let before = wire.got().len();
    let mut told = Vec::new();
    while let std::task::Poll::Ready(Some(notice)) = rig.session.poll_notice(&mut context) {
        told.push(crate::rig::words(&notice));
    }
    assert_eq!(told, ["ping"]);
    let place = wire.got()[before..]
        .iter()
        .position(|message| matches!(message, Msg::Ping(_)));
    assert!(place.unwrap() <= 100, "{place:?}");
}

/// Whatever the rate of the messages, in both directions: the timer is set once an
/// interval, and asked in the last two milliseconds before it fires.
#[test]
fn a_busy_connection_sets_the_timer_once_an_interval() {
    const INTERVALS: usize = 30;
    for (every, most) in [(millis(1), 6), (millis(10), 3), (millis(100), 3)] {
        let (mut rig, wire) = Rig::open(config());
        rig.run(millis(1));
        let life = seconds(2) * INTERVALS as u32;
        let mut messages = 0;
        while every * messages < life {
            let (at, outbox) = (every * messages, rig.outbox.clone());
            wire.say_at(at, Msg::Text(messages));
            rig.world.at(at + every / 2, move || outbox.send(messages));
            messages += 1;
        }
        let (sets, polls) = (rig.alarm.sets.get(), rig.alarm.polls.get());
        rig.run(life);
        assert_eq!(rig.told.len() as u32, messages);
        assert_eq!(wire.texts().len() as u32, messages);
        let (sets, polls) = (rig.alarm.sets.get() - sets, rig.alarm.polls.get() - polls);
        assert!(sets <= INTERVALS, "{sets} for {messages} messages");
        assert!(polls <= most * INTERVALS, "{polls} for {messages} messages");
    }
}

/// Nor does a quiet one do more than its pings ask for.
#[test]
fn a_quiet_connection_sets_the_timer_for_each_ping() {
    let (mut rig, _wire) = Rig::open(config());
    let before = rig.alarm.sets.get();
    rig.run(seconds(60));
    let pings = rig.told.iter().filter(|(_, words)| words == "ping").count();
    assert!(pings >= 29, "{pings}");
    let sets = rig.alarm.sets.get() - before;
    assert!(sets <= 2 * pings + 1, "{sets} for {pings} pings");
}

/// It fires up to a millisecond early: no loop, and no early ping.
#[test]
fn a_timer_that_fires_early_is_no_trouble() {
    let (mut rig, wire) = Rig::open(config());
    rig.alarm.early.set(Duration::from_micros(900));
    let outbox = rig.outbox.clone();
    // Awake for another reason at the same time.
    rig.world
        .at(seconds(2) - Duration::from_micros(900), move || {
            outbox.send(1)
        });
    rig.run(seconds(1));
    wire.line().is_mute = true;
    rig.run_in_steps(seconds(20), Duration::from_micros(50));
    let pinged = rig.when("ping");
    assert!(pinged >= seconds(2) && pinged <= millis(2001), "{pinged:?}");
    let down = rig.when("down: no pong in time");
    assert!(down >= seconds(12) && down <= millis(12_002), "{down:?}");
}

/// One byte a second.
#[test]
fn a_message_that_takes_long_is_life() {
    let (mut rig, wire) = Rig::counted(config(), 0);
    wire.line().is_mute = true;
    for second in 0..100 {
        let byte = wire.clone();
        rig.world
            .at(seconds(second), move || byte.line().bytes += 1);
    }
    rig.run(seconds(99));
    assert_eq!(wire.dropped(), None);
    // The silence counts from the last one.
    rig.run(seconds(99) + seconds(14) + millis(1));
    let down = rig.when("down: no pong in time");
    assert!(down >= seconds(99 + 10), "{down:?}");
}

/// The bytes of whole messages are no more life than the messages themselves.
#[test]
fn progress_does_not_put_the_verdict_off() {
    let (mut rig, wire) = Rig::counted(config(), 0);
    wire.line().is_mute = true;
    wire.say_at(millis(100), Msg::Text(1));
    rig.run(seconds(20));
    let down = rig.when("down: no pong in time");
    assert!(down >= seconds(12) && down <= millis(12_102), "{down:?}");
}

/// Nor do they answer a ping that was sent between two looks.
#[test]
fn progress_before_a_ping_is_no_answer_to_it() {
    let (mut rig, wire) = Rig::counted(config(), 0);
    wire.line().is_mute = true;
    wire.say_at(millis(100), Msg::Text(1));
    rig.run(seconds(1));
    rig.session.network_changed();
    rig.run(seconds(20));
    // Five seconds after a change of network.
    let down = rig.when("down: no pong in time");
    assert!(down >= seconds(6) && down <= millis(6002), "{down:?}");
}

/// Nor are those that came before it was asked for.
#[test]
fn progress_counts_from_where_it_begins() {
    let (mut rig, wire) = Rig::counted(config(), 1000);
    wire.line().is_mute = true;
    rig.run(seconds(20));
    let down = rig.when("down: no pong in time");
    assert!(down >= seconds(12) && down <= millis(12_002), "{down:?}");
}

/// The deadlines that these two bring forward reach the timer.
#[test]
fn what_is_sent_and_healthy_bring_the_next_ping_forward() {
    let settings = config().to_builder().ping_interval(seconds(20));
    let confirming = settings.confirm_within(Some(seconds(3))).build().unwrap();
    let (mut rig, _wire) = Rig::open(confirming);
    rig.run(seconds(1));
    rig.outbox.send(1);
    rig.run(seconds(5));
    assert_eq!(rig.lines(), ["4000 ping", "4000 pong"]);

    let settings = config().to_builder().healthy_within(Some(seconds(20)));
    let (mut rig, _wire) = Rig::open(settings.build().unwrap());
    rig.run(seconds(1));
    rig.session.healthy();
    rig.run(millis(3500));
    assert_eq!(rig.lines(), ["3000 ping", "3000 pong"]);
}

/// Pongs are no messages, and half messages are none either.
#[test]
fn only_whole_messages_are_messages() {
    let settings = config().to_builder().message_timeout(Some(seconds(5)));
    let (mut rig, wire) = Rig::counted(settings.build().unwrap(), 0);
    wire.say_at(seconds(3), Msg::Text(1));
    for second in 0..10 {
        let byte = wire.clone();
        rig.world
            .at(seconds(second), move || byte.line().bytes += 1);
    }
    rig.run(seconds(9));
    let down = rig.when("down: no message in time");
    assert!(down >= seconds(8) && down <= millis(8002), "{down:?}");
}
