//! The rules of the contract, by example, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use core::time::Duration;

use keepalive::{Action, Config, Event, Heartbeat};

/// Handles an event, and returns all that is to be done.
fn handle(
    heartbeat: &mut Heartbeat<Duration>,
    event: Event,
    now: Duration,
) -> Vec<Action<Duration>> {
    heartbeat.handle(event, now).collect()
}

#[test]
fn a_loss_is_planned_for_even_if_the_first_instant_is_the_greatest() {
    let mut heartbeat = Heartbeat::new(Config::default(), 1);
    assert!(handle(&mut heartbeat, Event::Opened, Duration::MAX).is_empty());
    let (at, attempt) = (Duration::MAX, 1);
    assert_eq!(
        handle(&mut heartbeat, Event::Error, Duration::MAX),
        [Action::ScheduleReconnect { at, attempt }]
    );
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn at_the_end_of_time_activity_leaves_nothing_to_wait_for() {
    let years = Duration::from_secs(600 * 365 * 24 * 60 * 60);
    for end in [years, Duration::MAX] {
        let mut heartbeat = Heartbeat::new(Config::default(), 1);
        handle(&mut heartbeat, Event::Opened, Duration::ZERO);
        handle(&mut heartbeat, Event::Received, end);
        assert_eq!(heartbeat.deadline(), None, "{end:?}");
    }
}

#[test]
fn what_is_overdue_is_not_put_off_by_being_asked_for_again() {
    let millis = Duration::from_millis;
    let config = Config::article();
    let mut heartbeat = Heartbeat::new(config, 1);
    handle(&mut heartbeat, Event::Opened, Duration::ZERO);
    let shorter = config.to_builder().ping_interval(millis(100));
    let shorter = shorter.build().unwrap();
    let asked = Duration::from_micros(1_001_000);
    for micros in [1_000_000, 1_000_400, 1_000_800] {
        let now = Duration::from_micros(micros);
        heartbeat.reconfigure(shorter, now).for_each(drop);
        assert_eq!(heartbeat.deadline(), Some(asked), "at {now:?}");
    }
}

#[test]
fn a_verdict_that_was_put_off_for_a_ping_is_not_put_off_in_listen_only() {
    let seconds = Duration::from_secs;
    let config = Config::article();
    let mut heartbeat = Heartbeat::new(config, 1);
    handle(&mut heartbeat, Event::Opened, seconds(0));
    handle(&mut heartbeat, Event::Tick, seconds(2));
    // The verdict is late, so there is one more ping.
    handle(&mut heartbeat, Event::Tick, seconds(100));
    let listening = config
        .to_builder()
        .listen_only(true)
        .idle_timeout(seconds(101));
    let listening = listening.build().unwrap();
    heartbeat
        .reconfigure(listening, seconds(100))
        .for_each(drop);
    assert_eq!(heartbeat.deadline(), Some(seconds(101)));
}

#[test]
fn a_verdict_that_was_put_off_comes_by_the_new_settings_too() {
    let seconds = Duration::from_secs;
    let patient = Config::listener().to_builder();
    let patient = patient
        .idle_timeout(seconds(500))
        .late_tolerance(seconds(500));
    let mut heartbeat = Heartbeat::new(patient.build().unwrap(), 1);
    handle(&mut heartbeat, Event::Opened, seconds(0));
    handle(&mut heartbeat, Event::Tick, seconds(1001));
    assert_eq!(heartbeat.deadline(), Some(seconds(1501)));

    let hasty = Config::listener().to_builder().idle_timeout(seconds(10));
    let hasty = hasty.late_tolerance(seconds(20)).build().unwrap();
    heartbeat.reconfigure(hasty, seconds(1002)).for_each(drop);
    assert_eq!(heartbeat.deadline(), Some(seconds(1012)));
}

fn listening(idle_timeout: u64) -> Config {
    let builder = Config::listener().to_builder();
    let idle_timeout = Duration::from_secs(idle_timeout);
    builder.idle_timeout(idle_timeout).build().unwrap()
}

#[test]
fn a_later_idle_timeout_gives_a_verdict_that_was_put_off_no_second_grace() {
    let millis = Duration::from_millis;
    let mut heartbeat = Heartbeat::new(listening(10), 1);
    handle(&mut heartbeat, Event::Opened, millis(0));
    handle(&mut heartbeat, Event::Tick, millis(12_000));
    assert_eq!(heartbeat.deadline(), Some(millis(13_000)));
    for (idle_timeout, now, deadline) in [(100, 12_500, 100_000), (5, 13_000, 13_001)] {
        let config = listening(idle_timeout);
        heartbeat.reconfigure(config, millis(now)).for_each(drop);
        assert_eq!(heartbeat.deadline(), Some(millis(deadline)));
    }
}

#[test]
fn a_silence_that_a_ping_was_spared_in_is_put_off_by_no_later_settings() {
    let millis = Duration::from_millis;
    let mut heartbeat = Heartbeat::new(Config::article(), 1);
    handle(&mut heartbeat, Event::Opened, millis(0));
    handle(&mut heartbeat, Event::Tick, millis(2_000));
    handle(&mut heartbeat, Event::Tick, millis(20_000));
    for (idle_timeout, now, deadline) in [(100, 20_000, 100_000), (10, 20_500, 20_501)] {
        let config = listening(idle_timeout);
        heartbeat.reconfigure(config, millis(now)).for_each(drop);
        assert_eq!(heartbeat.deadline(), Some(millis(deadline)));
    }
}

/// Red in a release build of Rust 1.95 where the machine leaves the compiler a
/// chance to take the ping that is not out for one that was due at the origin.
#[test]
fn a_change_of_network_after_an_answer_moves_no_deadline() {
    let now = Duration::from_secs(3);
    let mut heartbeat = Heartbeat::new(Config::article(), 1);
    handle(&mut heartbeat, Event::Opened, now);
    handle(&mut heartbeat, Event::NetworkChanged, now);
    handle(&mut heartbeat, Event::Received, now);
    let deadline = heartbeat.deadline();
    assert_eq!(handle(&mut heartbeat, Event::NetworkChanged, now), []);
    assert_eq!(heartbeat.deadline(), deadline);
}
