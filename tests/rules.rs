//! The rules of the contract, by example, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use core::time::Duration;

use keepalive::{
    Action, CloseCode, CloseReason, Closed, Config, ConfigBuilder, Event, Heartbeat, PingId, Retry,
    State, StopReason, default_close_policy,
};

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

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Pings after 10 s of silence in, dead after 4 s without an answer; nothing is
/// random.
fn plain() -> ConfigBuilder {
    Config::builder()
        .ping_interval(seconds(10))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(seconds(4))
        .first_spread(millis(1))
}

/// Open since the origin of time.
fn opened(config: ConfigBuilder) -> Heartbeat<Duration> {
    let mut heartbeat = Heartbeat::new(config.build().unwrap(), 1);
    handle(&mut heartbeat, Event::Opened, Duration::ZERO);
    heartbeat
}

/// Has a ping out since second 10.
fn pinged(config: ConfigBuilder) -> (Heartbeat<Duration>, PingId) {
    let mut heartbeat = opened(config);
    let id = ping(&mut heartbeat, Event::Tick, seconds(10));
    (heartbeat, id)
}

/// Waits for its second retry since the origin of time, when it also dialled last.
fn waiting(config: ConfigBuilder) -> Heartbeat<Duration> {
    let mut heartbeat = Heartbeat::new(config.build().unwrap(), 1);
    for _ in 0..2 {
        handle(&mut heartbeat, Event::ReconnectNow, Duration::ZERO);
        handle(&mut heartbeat, Event::Error, Duration::ZERO);
    }
    heartbeat
}

/// Handles what has to make a ping.
#[track_caller]
fn ping(heartbeat: &mut Heartbeat<Duration>, event: Event, now: Duration) -> PingId {
    let actions = handle(heartbeat, event, now);
    match actions[..] {
        [Action::SendPing(id)] | [Action::SendPing(id), Action::ArmDeadline(_)] => id,
        _ => panic!("no ping at {now:?}: {actions:?}"),
    }
}

/// Ticks where there is nothing to do but to ask for the next tick.
#[track_caller]
fn only_arms(heartbeat: &mut Heartbeat<Duration>, now: Duration, next: Duration) {
    let actions = handle(heartbeat, Event::Tick, now);
    assert_eq!(actions, [Action::ArmDeadline(next)], "at {now:?}");
}

/// Ticks where the verdict falls.
#[track_caller]
fn convicts(heartbeat: &mut Heartbeat<Duration>, now: Duration, reason: CloseReason) {
    let actions = handle(heartbeat, Event::Tick, now);
    assert_eq!(actions[0], Action::Close(reason), "at {now:?}");
}

fn reconfigure(
    heartbeat: &mut Heartbeat<Duration>,
    config: ConfigBuilder,
    now: Duration,
) -> Vec<Action<Duration>> {
    heartbeat
        .reconfigure(config.build().unwrap(), now)
        .collect()
}

#[test]
fn what_an_old_socket_reports_late_changes_nothing() {
    let mut heartbeat = Heartbeat::new(Config::article(), 1);
    handle(&mut heartbeat, Event::Start, seconds(0));
    let old = heartbeat.epoch();
    handle(&mut heartbeat, Event::ReconnectNow, seconds(1));
    let new = heartbeat.epoch();
    assert_ne!(old, new);
    for event in [Event::Error, Event::Opened, Event::Received] {
        assert_eq!(heartbeat.handle_from(old, event, seconds(2)).count(), 0);
        assert_eq!(heartbeat.state(), State::Connecting);
    }
    let actions = heartbeat.handle_from(new, Event::Opened, seconds(2));
    assert!(actions.eq([Action::ArmDeadline(seconds(4))]));
    assert_eq!(heartbeat.state(), State::Open);
    assert_eq!(heartbeat.last_received(), None);
}

#[test]
fn the_settings_in_force_are_the_last_ones() {
    let mut heartbeat = opened(plain());
    assert_eq!(*heartbeat.config(), plain().build().unwrap());
    heartbeat
        .reconfigure(Config::listener(), seconds(1))
        .for_each(drop);
    assert_eq!(*heartbeat.config(), Config::listener());
}

#[test]
fn what_goes_out_does_not_put_off_the_ping_for_silence_in() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(20))));
    handle(&mut heartbeat, Event::Sent, seconds(9));
    ping(&mut heartbeat, Event::Tick, seconds(10));
}

#[test]
fn a_peer_that_talks_does_not_put_off_the_ping_for_silence_out() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(6))));
    handle(&mut heartbeat, Event::Received, seconds(5));
    ping(&mut heartbeat, Event::Tick, seconds(6));
}

#[test]
fn what_goes_out_puts_off_the_ping_for_silence_out() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(6))));
    handle(&mut heartbeat, Event::Received, seconds(5));
    handle(&mut heartbeat, Event::Sent, seconds(4));
    // It is later than that by now, since time never goes back.
    only_arms(&mut heartbeat, seconds(6), seconds(11));
    ping(&mut heartbeat, Event::Tick, seconds(11));
}

#[test]
fn a_ping_counts_as_sent() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(6))));
    let id = ping(&mut heartbeat, Event::Tick, seconds(6));
    handle(&mut heartbeat, Event::Pong(id), seconds(6));
    only_arms(&mut heartbeat, seconds(10), seconds(12));
    ping(&mut heartbeat, Event::Tick, seconds(12));
}

#[test]
fn after_a_probe_silence_out_counts_from_the_last_look_at_it() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(3))));
    ping(&mut heartbeat, Event::Tick, seconds(3));
    only_arms(&mut heartbeat, seconds(6), seconds(7));
    handle(&mut heartbeat, Event::Received, millis(6500));
    only_arms(&mut heartbeat, seconds(7), seconds(9));
    ping(&mut heartbeat, Event::Tick, seconds(9));
}

#[test]
fn while_a_ping_is_out_it_looks_once_an_interval() {
    let patient = plain().pong_timeout(seconds(30));
    let (mut heartbeat, _) = pinged(patient);
    only_arms(&mut heartbeat, seconds(20), seconds(30));
    // Ahead of time nothing moves.
    only_arms(&mut heartbeat, seconds(21), seconds(30));
    only_arms(&mut heartbeat, seconds(30), seconds(40));
    convicts(&mut heartbeat, seconds(40), CloseReason::PongTimeout);

    let (mut heartbeat, _) = pinged(patient.send_interval(Some(seconds(12))));
    only_arms(&mut heartbeat, seconds(20), seconds(30));
}

#[test]
fn an_early_tick_looks_at_what_came_in() {
    let mut heartbeat = opened(plain());
    handle(&mut heartbeat, Event::Received, seconds(7));
    only_arms(&mut heartbeat, seconds(8), seconds(17));
    let mut listener = opened(plain().listen_only(true).idle_timeout(seconds(9)));
    only_arms(&mut listener, seconds(1), seconds(9));
    handle(&mut listener, Event::Received, seconds(7));
    only_arms(&mut listener, seconds(8), seconds(16));
    convicts(&mut listener, seconds(16), CloseReason::IdleTimeout);
}

#[test]
fn the_time_in_the_write_buffer_is_not_the_peers() {
    let (mut heartbeat, id) = pinged(plain());
    handle(&mut heartbeat, Event::PingSent(id), seconds(13));
    // Once: what is said again is void.
    handle(&mut heartbeat, Event::PingSent(id), millis(13_500));
    only_arms(&mut heartbeat, seconds(14), seconds(17));
    let mut answered = heartbeat.clone();
    convicts(&mut heartbeat, seconds(17), CloseReason::PongTimeout);

    handle(&mut answered, Event::Pong(id), seconds(15));
    assert_eq!(answered.round_trip().unwrap().last(), seconds(2));
}

#[test]
fn a_write_buffer_holds_up_a_ping_by_one_timeout_at_the_most() {
    let (mut heartbeat, id) = pinged(plain().late_tolerance(seconds(100)));
    handle(&mut heartbeat, Event::PingSent(id), seconds(15));
    only_arms(&mut heartbeat, seconds(15), seconds(18));
    convicts(&mut heartbeat, seconds(18), CloseReason::PongTimeout);
}

#[test]
fn only_the_ping_that_is_out_can_leave_the_buffer() {
    let (mut heartbeat, id) = pinged(plain());
    let foreign = PingId::from_bytes([7; 8]);
    handle(&mut heartbeat, Event::PingSent(foreign), seconds(13));
    let mut alive = heartbeat.clone();
    convicts(&mut heartbeat, seconds(14), CloseReason::PongTimeout);

    // Still awaited, but no longer out: its round trip counts from the ping.
    handle(&mut alive, Event::Received, seconds(13));
    assert_eq!(alive.awaited_ping(), Some(id));
    handle(&mut alive, Event::PingSent(id), seconds(13));
    assert!(!alive.is_ping_out());
    handle(&mut alive, Event::Pong(id), seconds(14));
    assert_eq!(alive.round_trip().unwrap().last(), seconds(4));
    handle(&mut alive, Event::PingSent(id), seconds(15));
    assert!(!alive.is_ping_out());
}

#[test]
fn the_next_ping_leaves_the_buffer_on_its_own() {
    let (mut heartbeat, id) = pinged(plain().max_missed(2));
    handle(&mut heartbeat, Event::PingSent(id), seconds(11));
    let next = ping(&mut heartbeat, Event::Tick, seconds(15));
    handle(&mut heartbeat, Event::PingSent(next), seconds(16));
    only_arms(&mut heartbeat, seconds(19), seconds(20));
    convicts(&mut heartbeat, seconds(20), CloseReason::PongTimeout);
}

#[test]
fn a_pong_is_measured_once_and_only_that_of_the_last_ping() {
    let (mut heartbeat, first) = pinged(plain().max_missed(2));
    let second = ping(&mut heartbeat, Event::Tick, seconds(14));
    assert_eq!((first.sequence(), second.sequence()), (1, 2));
    assert_eq!(heartbeat.missed(), 1);
    handle(&mut heartbeat, Event::Pong(first), seconds(15));
    assert_eq!(heartbeat.round_trip(), None);
    assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (0, false));
    handle(&mut heartbeat, Event::Pong(second), seconds(16));
    handle(&mut heartbeat, Event::Pong(second), seconds(17));
    assert_eq!(heartbeat.round_trip().unwrap().last(), seconds(2));
    assert_eq!(heartbeat.awaited_ping(), None);
    assert_eq!(heartbeat.last_received(), Some(seconds(17)));
}

#[test]
fn the_views_see_what_came_in_since_the_last_event() {
    let (mut heartbeat, id) = pinged(plain());
    handle(&mut heartbeat, Event::Received, seconds(12));
    // The clock went back: internal time did not.
    handle(&mut heartbeat, Event::Received, seconds(5));
    assert!(!heartbeat.is_ping_out());
    assert_eq!(heartbeat.missed(), 0);
    assert_eq!(heartbeat.awaited_ping(), Some(id));
    assert_eq!(heartbeat.last_received(), Some(seconds(12)));
    assert_eq!(heartbeat.deadline(), Some(seconds(14)));
}

#[test]
fn where_nothing_is_open_there_is_nothing_to_see() {
    let mut heartbeat = Heartbeat::new(Config::article(), 1);
    handle(&mut heartbeat, Event::Received, seconds(1));
    for event in [Event::Healthy, Event::Start, Event::Error] {
        handle(&mut heartbeat, event, seconds(2));
        handle(&mut heartbeat, Event::Received, seconds(3));
        assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (0, false));
        assert_eq!(heartbeat.awaited_ping(), None);
        assert_eq!(heartbeat.round_trip(), None);
        assert_eq!(heartbeat.last_received(), None);
    }
}

#[test]
fn a_verdict_that_is_too_late_is_put_off_for_one_more_ping_once_a_silence() {
    let late = seconds(15) + Duration::from_nanos(1);
    let (mut in_time, _) = pinged(plain());
    convicts(&mut in_time, seconds(15), CloseReason::PongTimeout);

    let (mut heartbeat, first) = pinged(plain());
    let second = ping(&mut heartbeat, Event::Tick, late);
    assert_ne!(first, second);
    assert_eq!(heartbeat.missed(), 0);
    assert_eq!(heartbeat.deadline(), Some(late + seconds(4)));
    let mut alive = heartbeat.clone();
    convicts(&mut heartbeat, late + seconds(6), CloseReason::PongTimeout);

    // Life begins another silence, in which it is forgiven again.
    handle(&mut alive, Event::Received, seconds(20));
    ping(&mut alive, Event::Tick, seconds(30));
    ping(&mut alive, Event::Tick, seconds(36));
}

#[test]
fn a_miss_that_is_not_the_last_needs_no_forgiveness() {
    let (mut heartbeat, _) = pinged(plain().max_missed(2));
    ping(&mut heartbeat, Event::Tick, seconds(20));
    assert_eq!(heartbeat.missed(), 1);
    ping(&mut heartbeat, Event::Tick, seconds(30));
    assert_eq!(heartbeat.missed(), 1);
    convicts(&mut heartbeat, seconds(40), CloseReason::PongTimeout);
}

#[test]
fn a_late_verdict_in_listen_only_is_put_off_once_by_the_shorter_of_two_times() {
    let listener = plain().listen_only(true).idle_timeout(seconds(9));
    for (tolerance, grace) in [(seconds(2), seconds(2)), (seconds(20), seconds(9))] {
        let listener = listener.late_tolerance(tolerance);
        let mut in_time = opened(listener.reconnect(false));
        assert_eq!(
            handle(&mut in_time, Event::Tick, seconds(9) + tolerance),
            [
                Action::Close(CloseReason::IdleTimeout),
                Action::Stopped(StopReason::IdleTimeout),
            ]
        );

        let late = seconds(9) + tolerance + millis(1);
        let mut heartbeat = opened(listener);
        only_arms(&mut heartbeat, late, late + grace);
        // Ahead of time it stays so.
        let mut alive = heartbeat.clone();
        only_arms(&mut heartbeat, late + millis(1), late + grace);
        convicts(&mut heartbeat, late + 2 * grace, CloseReason::IdleTimeout);

        let heard = late + grace;
        handle(&mut alive, Event::Received, heard);
        only_arms(&mut alive, heard, heard + seconds(9));
        let again = heard + seconds(9) + tolerance + millis(1);
        only_arms(&mut alive, again, again + grace);
    }
}

#[test]
fn a_dial_that_ran_out_while_the_process_was_away_is_spared_once() {
    let dialling = |tolerance| {
        let config = plain()
            .connect_timeout(seconds(7))
            .late_tolerance(tolerance);
        let mut heartbeat = Heartbeat::new(config.build().unwrap(), 1);
        handle(&mut heartbeat, Event::Start, Duration::ZERO);
        heartbeat
    };
    for (tolerance, grace) in [(seconds(2), seconds(2)), (seconds(20), seconds(7))] {
        let mut in_time = dialling(tolerance);
        convicts(
            &mut in_time,
            seconds(7) + tolerance,
            CloseReason::ConnectTimeout,
        );
        let late = seconds(7) + tolerance + millis(1);
        let mut heartbeat = dialling(tolerance);
        only_arms(&mut heartbeat, late, late + grace);
        let later = late + grace + tolerance + millis(1);
        convicts(&mut heartbeat, later, CloseReason::ConnectTimeout);
    }
}

#[test]
fn a_change_of_network_pings_once_a_second_at_the_most() {
    let mut heartbeat = opened(plain());
    ping(&mut heartbeat, Event::NetworkChanged, seconds(1));
    handle(&mut heartbeat, Event::Received, seconds(1));
    for now in [seconds(1), millis(1999)] {
        assert_eq!(handle(&mut heartbeat, Event::NetworkChanged, now), []);
    }
    ping(&mut heartbeat, Event::NetworkChanged, seconds(2));
    // None where one is out.
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(4)),
        []
    );
}

#[test]
fn a_change_of_network_leaves_a_ping_five_seconds_and_the_later_ones_all_of_theirs() {
    let (mut heartbeat, _) = pinged(plain().pong_timeout(seconds(9)).max_missed(2));
    let hurried = seconds(17);
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(12)),
        [Action::ArmDeadline(hurried)]
    );
    // Asked again, it does not get longer.
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(13)),
        []
    );
    ping(&mut heartbeat, Event::Tick, hurried);
    only_arms(&mut heartbeat, seconds(17), seconds(26));
    convicts(&mut heartbeat, seconds(26), CloseReason::PongTimeout);
}

#[test]
fn a_ping_that_a_change_of_network_made_has_five_seconds_too() {
    let mut heartbeat = opened(plain().pong_timeout(seconds(9)));
    let id = PingId::from_bytes([0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(1)),
        [Action::SendPing(id), Action::ArmDeadline(seconds(6))]
    );
    convicts(&mut heartbeat, seconds(6), CloseReason::PongTimeout);
}

#[test]
fn a_change_of_network_gives_no_ping_more_time_than_it_had() {
    let (mut heartbeat, _) = pinged(plain());
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(13)),
        []
    );
    convicts(&mut heartbeat, seconds(14), CloseReason::PongTimeout);
}

#[test]
fn in_listen_only_a_change_of_network_changes_nothing() {
    let mut heartbeat = opened(plain().listen_only(true));
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(1)),
        []
    );
    assert_eq!(heartbeat.deadline(), Some(seconds(45)));
    // Not even to the ping that was out before.
    let (mut heartbeat, _) = pinged(plain().pong_timeout(seconds(30)));
    let listener = plain().listen_only(true).pong_timeout(seconds(30));
    reconfigure(&mut heartbeat, listener, seconds(11));
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(12)),
        []
    );
    assert_eq!(heartbeat.deadline(), Some(seconds(45)));
}

#[test]
fn a_change_of_network_makes_the_dial_earlier_once_a_wait() {
    let mut heartbeat = waiting(plain().backoff_floor(seconds(2)));
    let planned = heartbeat.deadline().unwrap();
    let actions = handle(&mut heartbeat, Event::NetworkChanged, seconds(1));
    let at = heartbeat.deadline().unwrap();
    assert!((seconds(1)..planned).contains(&at), "{at:?}");
    let attempt = 2;
    assert_eq!(
        actions,
        [
            Action::ScheduleReconnect { at, attempt },
            Action::ArmDeadline(at),
        ]
    );
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(1)),
        []
    );
    assert_eq!(handle(&mut heartbeat, Event::Tick, at)[0], Action::Connect);
}

#[test]
fn no_change_of_network_makes_a_dial_later_or_plans_the_same_again() {
    // The dial is a second after the last one, and may not be earlier.
    let mut heartbeat = waiting(plain().backoff_base(seconds(1)).backoff_cap(seconds(1)));
    assert_eq!(heartbeat.deadline(), Some(seconds(1)));
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(0)),
        []
    );
    assert_eq!(heartbeat.deadline(), Some(seconds(1)));

    let mut heartbeat = waiting(plain().backoff_floor(millis(100)).backoff_base(millis(100)));
    assert_eq!(heartbeat.deadline(), Some(millis(100)));
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, millis(99)),
        []
    );
    assert_eq!(heartbeat.deadline(), Some(millis(100)));
}

#[test]
fn a_hint_is_added_to_the_draw_and_no_change_of_network_undercuts_it() {
    let config = plain().close_policy(|_| Retry::Between {
        least: Duration::from_secs(3),
        greatest: Duration::from_secs(3),
    });
    let mut heartbeat = opened(config);
    let closed = |hint| Event::Closed(Closed::default().retry_after(hint));
    let (at, attempt) = (seconds(1 + 30 + 3), 1);
    assert_eq!(
        handle(&mut heartbeat, closed(seconds(30)), seconds(1)),
        [
            Action::ScheduleReconnect { at, attempt },
            Action::ArmDeadline(at),
        ]
    );
    handle(&mut heartbeat, Event::NetworkChanged, seconds(2));
    assert_eq!(heartbeat.deadline(), Some(seconds(31)));

    let day = seconds(24 * 60 * 60);
    let mut heartbeat = opened(config);
    handle(&mut heartbeat, closed(2 * day), seconds(0));
    assert_eq!(heartbeat.deadline(), Some(day + seconds(3)));
}

#[test]
fn a_limit_on_attempts_ends_it_at_the_failure_after_the_last_retry() {
    let config = plain().max_attempts(Some(2)).build().unwrap();
    let mut heartbeat = Heartbeat::new(config, 1);
    for attempt in [1, 2] {
        handle(&mut heartbeat, Event::ReconnectNow, seconds(1));
        handle(&mut heartbeat, Event::Error, seconds(1));
        assert_eq!(heartbeat.attempt(), attempt);
    }
    handle(&mut heartbeat, Event::ReconnectNow, seconds(1));
    assert_eq!(
        handle(&mut heartbeat, Event::Error, seconds(1)),
        [Action::Stopped(StopReason::AttemptLimit)]
    );
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn a_limit_on_time_counts_from_the_first_failure() {
    let config = plain().max_elapsed(Some(seconds(60))).build().unwrap();
    let mut heartbeat = Heartbeat::new(config, 1);
    handle(&mut heartbeat, Event::Start, seconds(0));
    for now in [seconds(5), millis(64_999)] {
        handle(&mut heartbeat, Event::ReconnectNow, now);
        handle(&mut heartbeat, Event::Error, now);
        assert_eq!(heartbeat.state(), State::Waiting, "at {now:?}");
    }
    handle(&mut heartbeat, Event::ReconnectNow, seconds(65));
    assert_eq!(
        handle(&mut heartbeat, Event::Error, seconds(65)),
        [Action::Stopped(StopReason::TimeLimit)]
    );
    // A new beginning counts anew.
    handle(&mut heartbeat, Event::Start, seconds(70));
    handle(&mut heartbeat, Event::Error, seconds(70));
    assert_eq!(heartbeat.state(), State::Waiting);
    assert_eq!(heartbeat.attempt(), 1);
}

#[test]
fn a_close_code_that_says_so_ends_it() {
    for code in [1000, 1002, 1003, 1007, 1008, 1009, 1010, 1015].map(CloseCode) {
        assert_eq!(default_close_policy(Some(code)), Retry::Stop, "{code}");
        let mut heartbeat = opened(plain());
        assert_eq!(
            handle(
                &mut heartbeat,
                Event::Closed(Closed::with_code(code)),
                seconds(1)
            ),
            [Action::Stopped(StopReason::Closed(Some(code)))]
        );
        assert_eq!(heartbeat.state(), State::Stopped);
    }
}

#[test]
fn a_close_code_that_does_not_say_so_backs_off() {
    let codes = [999, 1001, 1004, 1005, 1006, 1011, 1014, 1016, 3000, 4999];
    let codes = codes.map(|code| Some(CloseCode(code)));
    for code in codes.into_iter().chain([None]) {
        assert_eq!(default_close_policy(code), Retry::Backoff, "{code:?}");
    }
}

/// So many that what they draw fills its range; Miri, which is slow, looks at the
/// bounds alone.
const CLIENTS: u64 = if cfg!(miri) { 5 } else { 1000 };

/// Of all clients, the shortest and the longest delay at this attempt.
fn delays(config: ConfigBuilder, attempt: u32, end: Event) -> (Duration, Duration) {
    let delay = |seed| {
        let mut heartbeat = Heartbeat::new(config.build().unwrap(), seed);
        for _ in 1..attempt {
            handle(&mut heartbeat, Event::ReconnectNow, Duration::ZERO);
            handle(&mut heartbeat, Event::Error, Duration::ZERO);
        }
        handle(&mut heartbeat, Event::ReconnectNow, Duration::ZERO);
        handle(&mut heartbeat, end, Duration::ZERO);
        assert_eq!(heartbeat.attempt(), attempt);
        heartbeat.deadline().unwrap()
    };
    let delays: Vec<_> = (0..CLIENTS).map(delay).collect();
    (*delays.iter().min().unwrap(), *delays.iter().max().unwrap())
}

/// They fill this range, up to a hundredth of it at each end.
#[track_caller]
fn fill((least, greatest): (Duration, Duration), from: Duration, to: Duration) {
    let margin = (to - from) / if cfg!(miri) { 1 } else { 100 };
    assert!((from..=from + margin).contains(&least), "{least:?}");
    assert!((to - margin..=to).contains(&greatest), "{greatest:?}");
}

#[test]
fn delays_fill_their_range_from_the_first_retry_to_the_cap() {
    let config = Config::builder();
    fill(delays(config, 1, Event::Error), millis(1), seconds(5));
    for (attempt, greatest) in [(2, 2), (3, 4), (4, 8), (6, 32), (7, 60), (20, 60)] {
        let delays = delays(config, attempt, Event::Error);
        fill(delays, seconds(1), seconds(greatest));
    }
    let triple = config.backoff_factor(3.0);
    fill(delays(triple, 4, Event::Error), seconds(1), seconds(18));
}

#[test]
fn a_server_that_restarts_or_is_overloaded_spreads_its_clients() {
    let end = |code| Event::Closed(Closed::with_code(code));
    for attempt in [1, 3] {
        let restarts = delays(Config::builder(), attempt, end(CloseCode::SERVICE_RESTART));
        fill(restarts, seconds(5), seconds(30));
        let overloaded = delays(Config::builder(), attempt, end(CloseCode::TRY_AGAIN_LATER));
        fill(overloaded, seconds(1), seconds(60));
    }
}

#[test]
fn the_delays_of_an_applications_policy_are_taken_into_the_bounds() {
    let (none, day) = (Duration::ZERO, seconds(24 * 60 * 60));
    let config = plain().close_policy(|_| Retry::Between {
        least: Duration::ZERO,
        greatest: Duration::MAX,
    });
    fill(delays(config, 1, Event::Error), none, day);
    let config = plain().close_policy(|_| Retry::Between {
        least: Duration::MAX,
        greatest: Duration::ZERO,
    });
    assert_eq!(delays(config, 1, Event::Error), (day, day));
    let config = plain().close_policy(|_| Retry::Between {
        least: Duration::ZERO,
        greatest: Duration::ZERO,
    });
    assert_eq!(delays(config, 1, Event::Error), (millis(1), millis(1)));
}

/// After one failure and a connection that is up from second 1.
fn reopened() -> Heartbeat<Duration> {
    let mut heartbeat = Heartbeat::new(plain().stable_after(seconds(5)).build().unwrap(), 1);
    handle(&mut heartbeat, Event::Start, seconds(0));
    handle(&mut heartbeat, Event::Error, seconds(0));
    handle(&mut heartbeat, Event::ReconnectNow, seconds(1));
    handle(&mut heartbeat, Event::Opened, seconds(1));
    heartbeat
}

#[test]
fn attempts_count_from_one_again_after_a_stable_connection_only() {
    let just_short = seconds(6) - Duration::from_nanos(1);
    for (heard, healthy, down, attempt) in [
        (true, false, seconds(6), 1),
        (true, false, just_short, 2),
        (false, false, seconds(9), 2),
        (false, true, seconds(1), 1),
        (true, true, seconds(1), 1),
    ] {
        let mut heartbeat = reopened();
        if heard {
            handle(&mut heartbeat, Event::Received, seconds(1));
        }
        if healthy {
            handle(&mut heartbeat, Event::Healthy, seconds(1));
        }
        handle(&mut heartbeat, Event::Error, down);
        assert_eq!(heartbeat.attempt(), attempt, "{heard} {healthy} {down:?}");
    }
}

#[test]
fn attempts_count_from_one_again_when_a_stable_connection_is_closed_or_replaced() {
    for (event, state) in [
        (Event::ReconnectNow, State::Connecting),
        (Event::Stop, State::Closing),
    ] {
        let mut heartbeat = reopened();
        handle(&mut heartbeat, Event::Healthy, seconds(1));
        assert_eq!(heartbeat.attempt(), 1);
        handle(&mut heartbeat, event, seconds(2));
        assert_eq!((heartbeat.state(), heartbeat.attempt()), (state, 0));
    }
}

#[test]
fn a_patient_timeout_follows_the_round_trips_between_its_bounds() {
    let config = plain().adaptive_timeout(Some(seconds(6)));
    for (round_trip, timeout) in [
        (seconds(1), seconds(4)),
        (millis(1800), millis(5400)),
        (seconds(3), seconds(6)),
    ] {
        let (mut heartbeat, id) = pinged(config);
        let now = seconds(10) + round_trip;
        handle(&mut heartbeat, Event::Pong(id), now);
        only_arms(&mut heartbeat, now, now + seconds(10));
        let now = now + seconds(10);
        ping(&mut heartbeat, Event::Tick, now);
        assert_eq!(heartbeat.deadline(), Some(now + timeout));
        // Without it, a measured round trip changes nothing.
        reconfigure(&mut heartbeat, plain(), now);
        assert_eq!(heartbeat.deadline(), Some(now + seconds(4)));
    }
}

#[test]
fn the_first_ping_has_a_random_phase_and_the_next_ones_a_little_jitter() {
    let config = plain().jitter(0.2).random_phase(true);
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for seed in 0..CLIENTS {
        let mut heartbeat = Heartbeat::new(config.build().unwrap(), seed);
        handle(&mut heartbeat, Event::Opened, Duration::ZERO);
        let at = heartbeat.deadline().unwrap();
        first.push(at);
        let id = ping(&mut heartbeat, Event::Tick, at);
        handle(&mut heartbeat, Event::Pong(id), at);
        handle(&mut heartbeat, Event::Tick, at);
        next.push(heartbeat.deadline().unwrap() - at);
    }
    let ends = |delays: &[Duration]| (*delays.iter().min().unwrap(), *delays.iter().max().unwrap());
    fill(ends(&first), Duration::ZERO, seconds(10));
    fill(ends(&next), seconds(8), seconds(10));
}

#[test]
fn new_settings_draw_the_interval_anew_as_it_was_drawn_before() {
    let config = plain().jitter(0.2).random_phase(true);
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for seed in 0..CLIENTS {
        let mut heartbeat = Heartbeat::new(config.build().unwrap(), seed);
        handle(&mut heartbeat, Event::Opened, Duration::ZERO);
        reconfigure(&mut heartbeat, config, Duration::ZERO);
        let at = heartbeat.deadline().unwrap();
        first.push(at);
        let id = ping(&mut heartbeat, Event::Tick, at);
        handle(&mut heartbeat, Event::Pong(id), at);
        reconfigure(&mut heartbeat, config, at);
        next.push(heartbeat.deadline().unwrap() - at);
    }
    let ends = |delays: &[Duration]| (*delays.iter().min().unwrap(), *delays.iter().max().unwrap());
    fill(ends(&first), Duration::ZERO, seconds(10));
    fill(ends(&next), seconds(8), seconds(10));
}

#[test]
fn new_settings_give_a_ping_that_is_out_no_more_time_than_it_had() {
    let (mut heartbeat, _) = pinged(plain());
    assert_eq!(
        reconfigure(
            &mut heartbeat,
            plain().pong_timeout(seconds(30)),
            seconds(11)
        ),
        []
    );
    assert_eq!(
        reconfigure(
            &mut heartbeat,
            plain().pong_timeout(seconds(1)),
            seconds(12)
        ),
        [Action::ArmDeadline(seconds(13))]
    );
    convicts(&mut heartbeat, seconds(13), CloseReason::PongTimeout);
}

#[test]
fn new_settings_leave_a_dial_a_close_and_a_wait_their_deadlines() {
    let dialling = [Event::Start].as_slice();
    let closing = [Event::Start, Event::Opened, Event::Stop].as_slice();
    let waiting = [Event::Start, Event::Error].as_slice();
    for path in [dialling, closing, waiting, &[]] {
        let mut heartbeat = Heartbeat::new(plain().build().unwrap(), 1);
        for &event in path {
            handle(&mut heartbeat, event, seconds(1));
        }
        let deadline = heartbeat.deadline();
        let hasty = plain().connect_timeout(millis(1)).close_timeout(millis(1));
        assert_eq!(reconfigure(&mut heartbeat, hasty, seconds(1)), []);
        assert_eq!(heartbeat.deadline(), deadline, "{path:?}");
    }
}

#[test]
fn a_verdict_that_was_put_off_is_not_put_off_further_by_new_settings() {
    let listener = plain().listen_only(true).idle_timeout(seconds(9));
    let mut heartbeat = opened(listener.late_tolerance(seconds(3)));
    only_arms(&mut heartbeat, seconds(20), seconds(23));
    let patient = listener.late_tolerance(seconds(8));
    assert_eq!(reconfigure(&mut heartbeat, patient, seconds(21)), []);
    assert_eq!(heartbeat.deadline(), Some(seconds(23)));
    // A longer silence is granted, but from its own beginning.
    let longer = patient.idle_timeout(seconds(30));
    assert_eq!(
        reconfigure(&mut heartbeat, longer, seconds(22)),
        [Action::ArmDeadline(seconds(30))]
    );
}

#[test]
fn new_settings_that_send_pings_again_ping_for_a_silence_that_was_put_off() {
    let listener = plain().listen_only(true).idle_timeout(seconds(9));
    let mut heartbeat = opened(listener.late_tolerance(seconds(3)));
    only_arms(&mut heartbeat, seconds(20), seconds(23));
    let now = seconds(21);
    let soon = now + millis(1);
    assert_eq!(
        reconfigure(&mut heartbeat, plain(), now),
        [Action::ArmDeadline(soon)]
    );
    ping(&mut heartbeat, Event::Tick, soon);
}

#[test]
fn at_the_greatest_instant_nothing_is_due_whatever_happens() {
    let end = Duration::MAX;
    let (mut heartbeat, id) = pinged(plain());
    assert_eq!(handle(&mut heartbeat, Event::Tick, end), []);
    assert_eq!(handle(&mut heartbeat, Event::PingSent(id), end), []);
    assert_eq!(reconfigure(&mut heartbeat, plain(), end), []);
    assert_eq!(handle(&mut heartbeat, Event::NetworkChanged, end), []);
    let actions = handle(&mut heartbeat, Event::Error, end);
    let planned = matches!(actions[..], [Action::ScheduleReconnect { .. }]);
    assert!(planned, "{actions:?}");
    assert_eq!(handle(&mut heartbeat, Event::NetworkChanged, end), []);
    assert_eq!(handle(&mut heartbeat, Event::Tick, end), []);
    assert_eq!(
        handle(&mut heartbeat, Event::ReconnectNow, end),
        [Action::Connect]
    );
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn what_was_asked_for_and_is_overdue_is_asked_for_a_millisecond_later() {
    // The probe is over, and the next ping has been due for a long time.
    let mut heartbeat = opened(plain().send_interval(Some(seconds(1))));
    let id = ping(&mut heartbeat, Event::Tick, seconds(1));
    handle(&mut heartbeat, Event::Pong(id), seconds(2));
    let now = seconds(7);
    ping(&mut heartbeat, Event::Tick, now);
    handle(&mut heartbeat, Event::Received, now);
    only_arms(&mut heartbeat, now, seconds(8));
    // Exactly now is overdue, too.
    let sooner = plain().send_interval(Some(millis(500)));
    assert_eq!(
        reconfigure(&mut heartbeat, sooner, millis(7500)),
        [Action::ArmDeadline(millis(7501))]
    );
}

#[test]
fn what_is_due_this_very_moment_is_asked_for_a_millisecond_later() {
    let mut heartbeat = opened(plain());
    assert_eq!(
        reconfigure(
            &mut heartbeat,
            plain().ping_interval(seconds(5)),
            seconds(10)
        ),
        [Action::ArmDeadline(seconds(10) + millis(1))]
    );
}

#[test]
fn the_actions_of_a_step_can_be_counted_before_they_are_done() {
    let (mut heartbeat, _) = pinged(plain());
    let mut actions = heartbeat.handle(Event::Tick, seconds(14));
    for left in (1..=3).rev() {
        assert_eq!(actions.size_hint(), (left, Some(left)));
        assert_eq!(actions.len(), left);
        assert!(actions.next().is_some());
    }
    assert_eq!(actions.len(), 0);
    assert_eq!(actions.next(), None);
    assert_eq!(actions.next(), None);
}

#[test]
fn ids_and_codes_are_what_they_are_on_the_wire() {
    let (mut heartbeat, id) = pinged(plain());
    assert_eq!(id.to_bytes(), [0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(PingId::from_payload(&id.to_bytes()), Some(id));
    assert_eq!(PingId::from_payload(&[0; 7]), None);
    assert_eq!(PingId::from_payload(&[0; 9]), None);
    let later = PingId::from_bytes([0, 0, 0, 9, 1, 2, 3, 4]);
    assert_eq!(later.sequence(), 0x0102_0304);
    handle(&mut heartbeat, Event::ReconnectNow, seconds(11));
    assert_eq!(heartbeat.epoch().to_string(), "3");
    assert_eq!(CloseCode(4001).to_string(), "4001");
}

#[test]
fn reasons_are_told_in_words() {
    let closes = [
        (CloseReason::PongTimeout, "no pong in time"),
        (CloseReason::IdleTimeout, "nothing received in time"),
        (CloseReason::ConnectTimeout, "connecting took too long"),
        (CloseReason::Stop, "stopped"),
        (
            CloseReason::CloseTimeout,
            "the close handshake took too long",
        ),
        (CloseReason::Abort, "aborted"),
        (CloseReason::Reconnect, "reconnecting at once"),
    ];
    for (reason, words) in closes {
        assert_eq!(reason.to_string(), words);
        assert_eq!(reason.is_graceful(), reason == CloseReason::Stop);
    }
    let stops = [
        (StopReason::Requested, "stopped"),
        (
            StopReason::Closed(Some(CloseCode(1000))),
            "closed with code 1000",
        ),
        (StopReason::Closed(None), "closed without a code"),
        (StopReason::AttemptLimit, "too many attempts"),
        (StopReason::TimeLimit, "no stable connection for too long"),
        (StopReason::Error, "the transport failed"),
        (StopReason::PongTimeout, "no pong in time"),
        (StopReason::IdleTimeout, "nothing received in time"),
        (StopReason::ConnectTimeout, "connecting took too long"),
    ];
    for (reason, words) in stops {
        assert_eq!(reason.to_string(), words);
    }
}

/// Read as time since an origin, a `Duration` is an instant like that of `std`.
#[cfg(feature = "std")]
#[test]
fn the_instants_of_std_beat_as_those_of_a_duration_do() {
    let origin = std::time::Instant::now();
    let mut heartbeat = Heartbeat::new(Config::article(), 1);
    let actions = heartbeat.handle(Event::Opened, origin);
    assert!(actions.eq([Action::ArmDeadline(origin + seconds(2))]));
    heartbeat
        .handle(Event::Received, origin + seconds(1))
        .for_each(drop);
    let actions = heartbeat.handle(Event::Tick, origin + seconds(2));
    assert!(actions.eq([Action::ArmDeadline(origin + seconds(3))]));
}
