//! The rules of the contract, by example, in virtual time, in the contract's order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/settings.rs"]
mod settings;

use core::time::Duration;

use keepalive::{
    Action, CloseCode, CloseReason, Closed, Config, ConfigBuilder, Event, Heartbeat, Loss, Manner,
    PingId, Refused, Retry, State, StopReason, default_policy, stop_when_refused,
};
use settings::*;

/// So many that what they draw fills its range; Miri, which is slow, looks at the
/// bounds alone.
const CLIENTS: u64 = if cfg!(miri) { 5 } else { 1000 };

const ERROR: Event = Event::Error(None);

fn closed(code: u16) -> Event {
    Event::Closed(Closed::with_code(CloseCode(code)))
}

fn refused(status: u16) -> Event {
    Event::Refused(Refused::with_status(status))
}

fn between(least: Duration, greatest: Duration) -> Retry {
    Retry::Between { least, greatest }
}

/// What each of many clients draws: the shortest and the longest.
fn draws(draw: impl Fn(u64) -> Duration) -> (Duration, Duration) {
    let draws: Vec<_> = (0..CLIENTS).map(draw).collect();
    (*draws.iter().min().unwrap(), *draws.iter().max().unwrap())
}

/// The shortest and the longest fill this range, up to a hundredth of it at each end.
#[track_caller]
fn fill((least, greatest): (Duration, Duration), from: Duration, to: Duration) {
    let margin = (to - from) / if cfg!(miri) { 1 } else { 100 };
    assert!((from..=from + margin).contains(&least), "{least:?}");
    assert!((to - margin..=to).contains(&greatest), "{greatest:?}");
}

/// Fails what there is, and dials when that is planned. Returns the delay.
fn fail(heartbeat: &mut Beat, end: Event, now: Duration) -> Duration {
    let (at, _) = plans(heartbeat, end, now);
    dials(heartbeat, Event::Tick, at);
    at - now
}

// Time.

#[test]
fn a_loss_is_planned_for_even_if_the_first_instant_is_the_greatest() {
    let mut heartbeat = idle(plain());
    nothing(&mut heartbeat, Event::Opened, Duration::MAX);
    let (at, attempt) = (Duration::MAX, 1);
    assert_eq!(
        handle(&mut heartbeat, ERROR, Duration::MAX),
        [Action::ScheduleReconnect { at, attempt }]
    );
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn at_the_end_of_time_activity_leaves_nothing_to_wait_for() {
    let years = Duration::from_secs(600 * 365 * 24 * 60 * 60);
    for end in [years, Duration::MAX] {
        for event in [Event::Received, Event::Message, Event::Sent] {
            let mut heartbeat = opened(plain());
            handle(&mut heartbeat, event, end);
            assert_eq!(heartbeat.deadline(), None, "{event:?} at {end:?}");
        }
    }
}

#[test]
fn at_the_greatest_instant_nothing_is_due_whatever_happens() {
    let end = Duration::MAX;
    let (mut heartbeat, id) = pinged(plain());
    assert_eq!(handle(&mut heartbeat, Event::Tick, end), []);
    assert_eq!(heartbeat.verdict(end), None);
    for event in [Event::PingSent(id), Event::Draining, Event::NetworkChanged] {
        nothing(&mut heartbeat, event, end);
    }
    assert_eq!(reconfigure(&mut heartbeat, plain(), end), []);
    // The last instant that can be represented.
    let (at, attempt) = (Duration::from_nanos(u64::MAX - 1), 1);
    assert_eq!(
        handle(&mut heartbeat, ERROR, end),
        [Action::ScheduleReconnect { at, attempt }]
    );
    nothing(&mut heartbeat, Event::NetworkChanged, end);
    nothing(&mut heartbeat, Event::Tick, end);
    assert_eq!(
        handle(&mut heartbeat, Event::ReconnectNow, end),
        [Action::Connect]
    );
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn near_the_greatest_instant_time_goes_on_at_its_pace() {
    // Every deadline is beyond the greatest instant, and is told as that.
    let before = |left: u64| Duration::MAX - millis(left);
    let mut heartbeat = idle(plain().stable_after(seconds(5)));
    handle(&mut heartbeat, Event::Start, before(3000));
    handle(&mut heartbeat, ERROR, before(2900));
    handle(&mut heartbeat, Event::ReconnectNow, before(2000));
    handle(&mut heartbeat, Event::Opened, before(1500));
    assert_eq!(heartbeat.deadline(), Some(Duration::MAX));
    handle(&mut heartbeat, Event::Received, before(1400));
    assert_eq!(heartbeat.last_received(), Some(before(1400)));
    // It was open for half a second only.
    handle(&mut heartbeat, ERROR, before(1000));
    assert_eq!(heartbeat.attempt(), 2);
}

#[test]
fn order_is_the_order_of_events_not_of_instants() {
    let mut heartbeat = opened(plain());
    // What came before the ping does not end its probe, also at the same instant.
    handle(&mut heartbeat, Event::Sent, seconds(10));
    ping(&mut heartbeat, Event::Tick, seconds(10));
    assert!(heartbeat.is_ping_out());
    handle(&mut heartbeat, Event::Received, seconds(10));
    assert!(!heartbeat.is_ping_out());
    // And what came in at the deadline, before the tick, has renewed the watch.
    handle(&mut heartbeat, Event::Received, seconds(20));
    only_arms(&mut heartbeat, seconds(20), seconds(30));
}

#[test]
fn time_never_goes_back() {
    let (mut heartbeat, _) = pinged(plain());
    handle(&mut heartbeat, Event::Received, seconds(12));
    handle(&mut heartbeat, Event::Received, seconds(5));
    handle(&mut heartbeat, Event::Sent, seconds(4));
    assert_eq!(heartbeat.last_received(), Some(seconds(12)));
    only_arms(&mut heartbeat, seconds(3), seconds(22));
    assert_eq!(heartbeat.verdict(seconds(1)), None);
    ping(&mut heartbeat, Event::Tick, seconds(22));
    handle(&mut heartbeat, Event::Message, seconds(7));
    assert_eq!(heartbeat.last_received(), Some(seconds(22)));
}

#[test]
fn nor_between_two_facts() {
    let config = feed(seconds(9)).send_interval(Some(seconds(6)));
    for [first, second] in [
        [Event::Message, Event::Message],
        [Event::Message, Event::Received],
        [Event::Received, Event::Message],
        [Event::Sent, Event::Sent],
    ] {
        let mut heartbeat = opened(config);
        nothing(&mut heartbeat, first, seconds(5));
        for event in [second, Event::Sent, Event::Message] {
            nothing(&mut heartbeat, event, seconds(2));
        }
        assert_eq!(heartbeat.last_received(), Some(seconds(5)));
        only_arms(&mut heartbeat, seconds(3), seconds(11));
        ping(&mut heartbeat, Event::Tick, seconds(11));
        convicts(&mut heartbeat, seconds(14), CloseReason::MessageTimeout);
    }
    // Also where the one is received and the other sent.
    let mut heartbeat = opened(config.ping_interval(HOUR));
    for (event, now) in [(Event::Sent, 2), (Event::Message, 5), (Event::Sent, 3)] {
        nothing(&mut heartbeat, event, seconds(now));
    }
    only_arms(&mut heartbeat, seconds(6), seconds(11));
    // What comes in the order of time is noted so.
    let mut heartbeat = opened(config);
    for (event, until) in [(Event::Sent, 4), (Event::Message, 6), (Event::Sent, 8)] {
        for now in (0..=until).map(seconds) {
            nothing(&mut heartbeat, event, now);
        }
    }
    for event in [Event::Start, Event::Message, Event::Message] {
        nothing(&mut heartbeat, event, seconds(8));
    }
    only_arms(&mut heartbeat, seconds(8), seconds(14));
    ping(&mut heartbeat, Event::Tick, seconds(14));
    convicts(&mut heartbeat, seconds(17), CloseReason::MessageTimeout);
}

/// Read as time since an origin, a `Duration` is an instant like that of `std`.
#[cfg(feature = "std")]
#[test]
fn the_instants_of_std_beat_as_those_of_a_duration_do() {
    let origin = std::time::Instant::now();
    let mut heartbeat = Heartbeat::new(Config::article(), 1);
    let actions = heartbeat.handle(Event::Opened, origin);
    assert!(actions.eq([Action::ArmDeadline(origin + seconds(2))]));
    let facts = [Event::Received, Event::Message, Event::Sent];
    for event in facts.iter().flat_map(|&event| [event, event]) {
        let noted = heartbeat.handle(event, origin + seconds(1));
        assert_eq!(noted.count(), 0);
    }
    assert_eq!(heartbeat.deadline(), Some(origin + seconds(2)));
    assert_eq!(heartbeat.last_received(), Some(origin + seconds(1)));
    let actions = heartbeat.handle(Event::Tick, origin + seconds(2));
    assert!(actions.eq([Action::ArmDeadline(origin + seconds(3))]));
}

// Actions and views.

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
fn every_reason_to_close_has_its_manner_and_its_words() {
    let reasons = [
        (CloseReason::PongTimeout, Manner::Abandon, "no pong in time"),
        (
            CloseReason::IdleTimeout,
            Manner::Abandon,
            "nothing received in time",
        ),
        (
            CloseReason::MessageTimeout,
            Manner::Farewell,
            "no message in time",
        ),
        (
            CloseReason::LoginTimeout,
            Manner::Farewell,
            "not ready in time",
        ),
        (
            CloseReason::ConnectTimeout,
            Manner::Abandon,
            "connecting took too long",
        ),
        (
            CloseReason::CloseTimeout,
            Manner::Abandon,
            "the close handshake took too long",
        ),
        (CloseReason::Stop, Manner::Handshake, "stopped"),
        (CloseReason::Abort, Manner::Abandon, "aborted"),
        (CloseReason::Reconnect, Manner::Farewell, "reconnecting"),
        (CloseReason::GivenUp, Manner::Farewell, "given up"),
        (CloseReason::Drained, Manner::Handshake, "drained"),
        (
            CloseReason::MaxAge,
            Manner::Handshake,
            "as old as it may become",
        ),
    ];
    for (reason, manner, words) in reasons {
        assert_eq!((reason.manner(), &*reason.to_string()), (manner, words));
    }
}

#[test]
fn every_reason_to_stop_has_its_words() {
    let code = Some(CloseCode(1000));
    for (reason, words) in [
        (StopReason::Requested, "stopped"),
        (StopReason::Closed(code), "closed with code 1000"),
        (StopReason::Closed(None), "closed without a code"),
        (StopReason::Refused(404), "refused with status 404"),
        (StopReason::AttemptLimit, "too many attempts"),
        (StopReason::TimeLimit, "no stable connection for too long"),
        (StopReason::Error, "the transport failed"),
        (StopReason::PongTimeout, "no pong in time"),
        (StopReason::IdleTimeout, "nothing received in time"),
        (StopReason::MessageTimeout, "no message in time"),
        (StopReason::LoginTimeout, "not ready in time"),
        (StopReason::ConnectTimeout, "connecting took too long"),
    ] {
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn the_views_see_what_came_in_since_the_last_event() {
    let (mut heartbeat, id) = pinged(plain());
    handle(&mut heartbeat, Event::Received, seconds(12));
    assert!(!heartbeat.is_ping_out());
    assert_eq!(heartbeat.missed(), 0);
    assert_eq!(heartbeat.awaited_ping(), Some(id));
    assert_eq!(heartbeat.last_received(), Some(seconds(12)));
    assert_eq!(heartbeat.deadline(), Some(seconds(14)));
}

#[test]
fn where_nothing_is_open_there_is_nothing_to_see() {
    let sees_nothing = |heartbeat: &Beat| {
        assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (0, false));
        assert_eq!(heartbeat.awaited_ping(), None);
        assert_eq!(heartbeat.round_trip(), None);
        assert_eq!(heartbeat.last_received(), None);
    };
    let mut heartbeat = idle(plain());
    sees_nothing(&heartbeat);
    assert_eq!(heartbeat.verdict(seconds(1)), None);
    handle(&mut heartbeat, Event::Received, seconds(1));
    for event in [Event::Healthy, Event::Start, ERROR] {
        handle(&mut heartbeat, event, seconds(2));
        for noted in [Event::Received, Event::Message, Event::Sent] {
            nothing(&mut heartbeat, noted, seconds(3));
        }
        sees_nothing(&heartbeat);
    }
}

#[test]
fn a_connection_begins_with_nothing_received() {
    let mut heartbeat = opened(plain());
    handle(&mut heartbeat, Event::Received, seconds(1));
    handle(&mut heartbeat, ERROR, seconds(2));
    assert_eq!(heartbeat.last_received(), None);
    handle(&mut heartbeat, Event::Opened, seconds(3));
    assert_eq!(heartbeat.last_received(), None);
}

#[test]
fn the_settings_in_force_are_the_last_ones() {
    let mut heartbeat = opened(plain());
    assert_eq!(*heartbeat.config(), plain().build().unwrap());
    reconfigure(&mut heartbeat, listener(), seconds(1));
    assert_eq!(*heartbeat.config(), listener().build().unwrap());
}

/// A tick that comes then: does it convict, and since when has that been due?
#[test]
fn what_a_tick_would_judge_can_be_asked_for_and_nothing_changes_by_it() {
    let dialling = || dialling(plain().connect_timeout(seconds(7)));
    let feed = plain()
        .ping_interval(HOUR)
        .message_timeout(Some(seconds(6)));
    let login = plain().healthy_within(Some(seconds(5)));
    let judges = [
        (dialling(), seconds(7)),
        (pinged(plain()).0, seconds(14)),
        (opened(listener()), seconds(9)),
        (opened(feed), seconds(6)),
        (opened(login), seconds(5)),
    ];
    for (heartbeat, due) in judges {
        let before = format!("{heartbeat:?}");
        assert_eq!(heartbeat.verdict(due - NANOSECOND), None);
        assert_eq!(heartbeat.verdict(due), Some(due));
        let tolerated = due + seconds(1);
        assert_eq!(heartbeat.verdict(tolerated), Some(due));
        assert_eq!(heartbeat.verdict(tolerated + NANOSECOND), None);
        assert_eq!(format!("{heartbeat:?}"), before);
        // Where it was put off, it is due at the end of that.
        let mut late = heartbeat;
        handle(&mut late, Event::Tick, due + seconds(2));
        let again = late.deadline().unwrap();
        assert_eq!(late.verdict(again - NANOSECOND), None);
        assert_eq!(late.verdict(HOUR), Some(again));
    }
}

#[test]
fn where_a_tick_would_do_anything_else_it_judges_nobody() {
    let (missed_once, _) = pinged(plain().max_missed(2));
    let (mut answered, id) = pinged(plain());
    handle(&mut answered, Event::Pong(id), seconds(14));
    let (mut alive, _) = pinged(plain());
    handle(&mut alive, Event::Received, seconds(14));
    let mut closing = opened(plain());
    handle(&mut closing, Event::Stop, seconds(0));
    let mut stopped = opened(plain());
    handle(&mut stopped, Event::Stop, seconds(0));
    handle(&mut stopped, Event::Stop, seconds(0));
    for heartbeat in [
        idle(plain()),
        opened(plain()),
        missed_once,
        answered,
        alive,
        closing,
        waiting(plain()),
        stopped,
    ] {
        for now in [seconds(5), seconds(10), seconds(14), seconds(60)] {
            assert_eq!(heartbeat.verdict(now), None, "{heartbeat:?}");
        }
    }
}

// Timers are lazy.

#[test]
fn facts_are_noted_and_ask_for_nothing() {
    let (mut heartbeat, id) = pinged(plain());
    for event in [
        Event::Sent,
        Event::Draining,
        Event::PingSent(id),
        Event::Received,
        Event::Message,
        Event::Pong(id),
        Event::Healthy,
    ] {
        nothing(&mut heartbeat, event, seconds(11));
    }
    only_arms(&mut heartbeat, seconds(14), seconds(21));
}

#[test]
fn the_first_message_sent_since_a_ping_brings_its_doubt_forward() {
    let mut heartbeat = opened(plain().confirm_within(Some(seconds(3))));
    arms(&mut heartbeat, Event::Sent, seconds(2), seconds(5));
    nothing(&mut heartbeat, Event::Sent, seconds(3));
    ping(&mut heartbeat, Event::Tick, seconds(5));
    // The answer is due at second 9, and so is the doubt.
    nothing(&mut heartbeat, Event::Sent, seconds(7));
    // But not where what is due comes sooner anyway.
    let mut heartbeat = opened(plain().confirm_within(Some(seconds(3))));
    nothing(&mut heartbeat, Event::Sent, seconds(7));
    ping(&mut heartbeat, Event::Tick, seconds(10));
    nothing(&mut heartbeat, Event::Sent, seconds(12));
}

#[test]
fn healthy_brings_the_deadline_forward_where_the_watches_begin() {
    let mut heartbeat = opened(plain().healthy_within(Some(seconds(30))));
    assert_eq!(heartbeat.deadline(), Some(seconds(30)));
    arms(&mut heartbeat, Event::Healthy, seconds(5), seconds(15));
    nothing(&mut heartbeat, Event::Healthy, seconds(6));
    ping(&mut heartbeat, Event::Tick, seconds(15));

    let mut heartbeat = opened(plain().healthy_within(Some(seconds(12))));
    nothing(&mut heartbeat, Event::Healthy, seconds(5));
    only_arms(&mut heartbeat, seconds(12), seconds(15));
    // Where no login is awaited it changes no deadline.
    nothing(&mut opened(plain()), Event::Healthy, seconds(5));
}

#[test]
fn a_tick_asks_for_the_next_and_any_other_event_where_the_deadline_changes() {
    let mut heartbeat = opened(plain());
    for _ in 0..2 {
        only_arms(&mut heartbeat, seconds(1), seconds(10));
    }
    // A dial at the instant of another has the deadline that was armed.
    let mut heartbeat = dialling(plain().connect_timeout(seconds(10)));
    assert_eq!(
        handle(&mut heartbeat, Event::Opened, seconds(0)),
        [],
        "the first ping is due then, too"
    );
}

#[test]
fn an_early_tick_looks_at_what_came_in() {
    let mut heartbeat = opened(plain());
    handle(&mut heartbeat, Event::Received, seconds(7));
    only_arms(&mut heartbeat, seconds(8), seconds(17));
    let mut listener = opened(listener());
    only_arms(&mut listener, seconds(1), seconds(9));
    handle(&mut listener, Event::Received, seconds(7));
    only_arms(&mut listener, seconds(8), seconds(16));
    convicts(&mut listener, seconds(16), CloseReason::IdleTimeout);
}

#[test]
fn a_tick_that_was_lost_shows_and_can_be_made_up_for() {
    let mut heartbeat = opened(plain());
    handle(&mut heartbeat, Event::Received, seconds(50));
    assert_eq!(heartbeat.deadline(), Some(seconds(10)));
    only_arms(&mut heartbeat, seconds(50), seconds(60));
}

#[test]
fn while_a_ping_is_out_it_looks_once_in_the_shortest_watch_that_asks_for_one() {
    let patient = plain().pong_timeout(seconds(30));
    let (mut heartbeat, _) = pinged(patient);
    only_arms(&mut heartbeat, seconds(20), seconds(30));
    // Ahead of time it moves no earlier.
    only_arms(&mut heartbeat, seconds(20), seconds(30));
    only_arms(&mut heartbeat, seconds(30), seconds(40));
    convicts(&mut heartbeat, seconds(40), CloseReason::PongTimeout);

    let (mut heartbeat, _) = pinged(patient.send_interval(Some(seconds(7))));
    assert_eq!(heartbeat.deadline(), Some(seconds(17)));
    only_arms(&mut heartbeat, seconds(17), seconds(24));
    // The doubt is among them where something was sent since the ping.
    let (mut heartbeat, _) = pinged(patient.confirm_within(Some(seconds(3))));
    assert_eq!(heartbeat.deadline(), Some(seconds(20)));
    arms(&mut heartbeat, Event::Sent, seconds(11), seconds(14));
    only_arms(&mut heartbeat, seconds(14), seconds(17));
}

#[test]
fn a_verdict_goes_before_a_ping_and_the_first_in_the_table_before_the_others() {
    let messages = |config: ConfigBuilder, timeout| config.message_timeout(Some(seconds(timeout)));
    let mut ping_due = opened(messages(plain(), 10));
    convicts(&mut ping_due, seconds(10), CloseReason::MessageTimeout);

    let (mut missed, _) = pinged(messages(plain().max_missed(2), 14));
    convicts(&mut missed, seconds(14), CloseReason::MessageTimeout);

    let (mut dead, _) = pinged(messages(plain(), 14));
    convicts(&mut dead, seconds(14), CloseReason::PongTimeout);

    let mut listener = opened(messages(listener(), 9));
    convicts(&mut listener, seconds(9), CloseReason::IdleTimeout);
}

#[test]
fn what_is_overdue_is_asked_for_a_millisecond_later() {
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
fn what_is_overdue_is_not_put_off_by_being_asked_for_again() {
    let mut heartbeat = opened(plain());
    let shorter = plain().ping_interval(millis(100));
    let asked = Duration::from_micros(1_001_000);
    for micros in [1_000_000, 1_000_400, 1_000_800] {
        let now = Duration::from_micros(micros);
        reconfigure(&mut heartbeat, shorter, now);
        assert_eq!(heartbeat.deadline(), Some(asked), "at {now:?}");
    }
}

// An open connection is a set of watches.

#[test]
fn inbound_counts_from_the_last_inbound_activity() {
    for event in [Event::Received, Event::Message, pong(9)] {
        let mut heartbeat = opened(plain());
        handle(&mut heartbeat, event, seconds(7));
        assert_eq!(pings(&mut heartbeat, seconds(17)), [seconds(17)]);
    }
}

#[test]
fn outbound_counts_from_the_last_sent_or_ping() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(6))));
    handle(&mut heartbeat, Event::Received, seconds(5));
    handle(&mut heartbeat, Event::Sent, seconds(4));
    // It is later than that by now, since time never goes back.
    only_arms(&mut heartbeat, seconds(6), seconds(11));
    let id = ping(&mut heartbeat, Event::Tick, seconds(11));
    handle(&mut heartbeat, Event::Pong(id), seconds(12));
    assert_eq!(pings(&mut heartbeat, seconds(17)), [seconds(17)]);
}

#[test]
fn after_a_probe_outbound_counts_from_its_end_at_the_latest() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(3))));
    ping(&mut heartbeat, Event::Tick, seconds(3));
    only_arms(&mut heartbeat, seconds(6), seconds(7));
    handle(&mut heartbeat, Event::Received, millis(6500));
    // Here it goes on counting from the ping.
    ping(&mut heartbeat, Event::Tick, seconds(7));
    // However long it was out, and whenever it was looked at.
    let patient = plain().send_interval(Some(seconds(3)));
    let mut heartbeat = opened(patient.pong_timeout(seconds(60)));
    ping(&mut heartbeat, Event::Tick, seconds(3));
    ticks(&mut heartbeat, seconds(20));
    handle(&mut heartbeat, Event::Received, seconds(20));
    let next = pings(&mut heartbeat, seconds(23));
    assert!((seconds(20)..=seconds(23)).contains(&next[0]), "{next:?}");
}

/// Heartbeats each 5 s, whatever else flows.
fn counted() -> ConfigBuilder {
    plain().always_ping(true).ping_interval(seconds(5))
}

#[test]
fn the_cadence_counts_from_the_last_ping_whatever_else_flows() {
    let mut heartbeat = opened(counted().send_interval(Some(seconds(2))));
    let mut pinged = Vec::new();
    for now in (0..16_000).step_by(250).map(millis) {
        handle(&mut heartbeat, Event::Sent, now);
        handle(&mut heartbeat, Event::Message, now);
        pinged.extend(pings(&mut heartbeat, now));
    }
    assert_eq!(pinged, [5, 10, 15].map(seconds));
    // A ping that news made counts as well.
    ping(&mut heartbeat, Event::NetworkChanged, seconds(17));
    handle(&mut heartbeat, Event::Received, seconds(18));
    assert_eq!(pings(&mut heartbeat, seconds(22)), [seconds(22)]);
}

#[test]
fn a_ping_that_is_out_when_the_cadence_is_due_is_replaced_not_missed() {
    let mut heartbeat = opened(counted().pong_timeout(seconds(12)).max_missed(2));
    let done = ticks(&mut heartbeat, seconds(28));
    // The first answer is due at second 17, which is also the first miss.
    let pinged: Vec<_> = done.iter().map(|(at, _)| *at).collect();
    assert_eq!(pinged, [5, 10, 15, 17, 22, 27].map(seconds));
    assert_eq!(heartbeat.missed(), 1);
    ticks(&mut heartbeat, seconds(28));
    assert_eq!(heartbeat.deadline(), Some(seconds(29)));
    convicts(&mut heartbeat, seconds(29), CloseReason::PongTimeout);
}

#[test]
fn a_replaced_ping_whose_round_trip_is_longer_than_the_interval_teaches_nothing() {
    let adaptive = counted().pong_timeout(seconds(8));
    let mut heartbeat = opened(adaptive.adaptive_timeout(Some(seconds(20))));
    let first = ping(&mut heartbeat, Event::Tick, seconds(5));
    ping(&mut heartbeat, Event::Tick, seconds(10));
    handle(&mut heartbeat, Event::Pong(first), seconds(11));
    assert!(!heartbeat.is_ping_out());
    assert_eq!(heartbeat.round_trip(), None);
}

#[test]
fn the_cadence_waits_while_its_row_waits_behind_our_bytes() {
    let mut heartbeat = opened(counted().pong_timeout(seconds(12)));
    let first = ping(&mut heartbeat, Event::Tick, seconds(5));
    nothing(&mut heartbeat, Event::Draining, seconds(8));
    // The answer counts from there, and the cadence is not due.
    only_arms(&mut heartbeat, seconds(10), seconds(15));
    nothing(&mut heartbeat, Event::PingSent(first), seconds(13));
    let second = ping(&mut heartbeat, Event::Tick, seconds(15));
    // From the first that has left on nothing moves the answer.
    for event in [Event::Draining, Event::PingSent(second)] {
        nothing(&mut heartbeat, event, seconds(16));
    }
    ping(&mut heartbeat, Event::Tick, seconds(20));
    only_arms(&mut heartbeat, seconds(20), seconds(25));
    convicts(&mut heartbeat, seconds(25), CloseReason::PongTimeout);
}

#[test]
fn any_ping_of_the_row_may_be_the_first_that_leaves() {
    let mut heartbeat = opened(counted().pong_timeout(seconds(9)));
    let first = ping(&mut heartbeat, Event::Tick, seconds(5));
    let second = ping(&mut heartbeat, Event::Tick, seconds(10));
    let mut later = heartbeat.clone();
    handle(&mut heartbeat, Event::PingSent(first), seconds(12));
    handle(&mut heartbeat, Event::PingSent(second), seconds(14));
    assert_eq!(pings(&mut heartbeat, seconds(20)), [15, 20].map(seconds));
    convicts(&mut heartbeat, seconds(21), CloseReason::PongTimeout);

    handle(&mut later, Event::PingSent(second), seconds(13));
    handle(&mut later, Event::PingSent(first), seconds(14));
    assert_eq!(pings(&mut later, seconds(21)), [15, 20].map(seconds));
    convicts(&mut later, seconds(22), CloseReason::PongTimeout);
}

#[test]
fn doubt_counts_from_the_first_sent_since_the_last_ping() {
    let doubting = plain().confirm_within(Some(seconds(3)));
    let mut heartbeat = opened(doubting);
    handle(&mut heartbeat, Event::Sent, seconds(1));
    for now in [seconds(2), seconds(3)] {
        handle(&mut heartbeat, Event::Sent, now);
        handle(&mut heartbeat, Event::Received, now);
    }
    assert_eq!(pings(&mut heartbeat, seconds(4)), [seconds(4)]);
    handle(&mut heartbeat, Event::Received, seconds(5));
    handle(&mut heartbeat, Event::Sent, seconds(6));
    assert_eq!(pings(&mut heartbeat, seconds(9)), [seconds(9)]);
    // Where nothing is sent there is no doubt.
    handle(&mut heartbeat, Event::Received, seconds(10));
    assert_eq!(pings(&mut heartbeat, seconds(20)), [seconds(20)]);
}

#[test]
fn a_doubt_may_ask_for_a_ping_before_the_cadence_does() {
    let doubting = counted().confirm_within(Some(seconds(2)));
    let mut heartbeat = opened(doubting);
    arms(&mut heartbeat, Event::Sent, seconds(1), seconds(3));
    nothing(&mut heartbeat, Event::Sent, seconds(2));
    ping(&mut heartbeat, Event::Tick, seconds(3));
    handle(&mut heartbeat, Event::Received, seconds(4));
    assert_eq!(pings(&mut heartbeat, seconds(8)), [seconds(8)]);
}

#[test]
fn after_a_probe_doubt_counts_from_its_end_at_the_latest() {
    let (mut heartbeat, _) = pinged(plain().confirm_within(Some(seconds(3))));
    handle(&mut heartbeat, Event::Sent, seconds(11));
    handle(&mut heartbeat, Event::Received, seconds(13));
    let next = pings(&mut heartbeat, seconds(16));
    assert!((seconds(13)..=seconds(16)).contains(&next[0]), "{next:?}");
}

#[test]
fn messages_counts_from_the_last_message() {
    let mut heartbeat = opened(plain().message_timeout(Some(seconds(15))));
    handle(&mut heartbeat, Event::Message, seconds(2));
    handle(&mut heartbeat, Event::Received, seconds(9));
    handle(&mut heartbeat, pong(1), seconds(9));
    assert_eq!(ticks(&mut heartbeat, seconds(16)), []);
    convicts(&mut heartbeat, seconds(17), CloseReason::MessageTimeout);
}

#[test]
fn a_message_is_seen_behind_what_else_came_in() {
    let mut heartbeat = opened(plain().message_timeout(Some(seconds(9))));
    handle(&mut heartbeat, Event::Message, seconds(2));
    handle(&mut heartbeat, Event::Received, seconds(5));
    only_arms(&mut heartbeat, seconds(9), seconds(11));
    assert_eq!(heartbeat.last_received(), Some(seconds(5)));
    handle(&mut heartbeat, Event::Received, seconds(10));
    handle(&mut heartbeat, Event::Message, millis(10_500));
    only_arms(&mut heartbeat, seconds(11), millis(19_500));
}

#[test]
fn login_counts_from_opened_and_is_the_only_watch_until_healthy() {
    let careful = plain()
        .send_interval(Some(seconds(2)))
        .confirm_within(Some(seconds(2)))
        .message_timeout(Some(seconds(2)))
        .healthy_within(Some(seconds(40)));
    let mut heartbeat = opened(careful);
    for now in (1..40).map(seconds) {
        for event in [Event::Sent, Event::Received, Event::NetworkChanged] {
            nothing(&mut heartbeat, event, now);
        }
        only_arms(&mut heartbeat, now, seconds(40));
    }
    let mut healthy = heartbeat.clone();
    convicts(&mut heartbeat, seconds(40), CloseReason::LoginTimeout);
    assert_eq!(heartbeat.attempt(), 1);

    // The others begin at `Healthy`: there is no doubt about what was sent before.
    let actions = handle(&mut healthy, Event::Healthy, seconds(39));
    assert_eq!(actions, []);
    only_arms(&mut healthy, seconds(40), seconds(41));
    convicts(&mut healthy, seconds(41), CloseReason::MessageTimeout);
}

#[test]
fn what_is_sent_before_healthy_starts_no_doubt() {
    let doubting = plain().confirm_within(Some(seconds(3)));
    let mut heartbeat = opened(doubting.healthy_within(Some(seconds(30))));
    handle(&mut heartbeat, Event::Sent, seconds(1));
    handle(&mut heartbeat, Event::Healthy, seconds(2));
    assert_eq!(pings(&mut heartbeat, seconds(12)), [seconds(12)]);
}

#[test]
fn in_listen_only_idle_begins_at_healthy_too() {
    let mut heartbeat = opened(listener().healthy_within(Some(seconds(30))));
    nothing(&mut heartbeat, Event::Received, seconds(1));
    arms(&mut heartbeat, Event::Healthy, seconds(20), seconds(29));
    convicts(&mut heartbeat, seconds(29), CloseReason::IdleTimeout);
}

#[test]
fn an_interval_is_drawn_at_each_ping_and_holds_until_the_next() {
    let mut heartbeat = opened(plain().jitter(0.5));
    let mut drawn = Vec::new();
    let mut now = Duration::ZERO;
    for _ in 0..5 {
        let share = heartbeat.deadline().unwrap() - now;
        now += seconds(4);
        handle(&mut heartbeat, Event::Received, now);
        ticks(&mut heartbeat, now + share - NANOSECOND);
        now += share;
        let id = ping(&mut heartbeat, Event::Tick, now);
        handle(&mut heartbeat, Event::Pong(id), now);
        ticks(&mut heartbeat, now + seconds(4));
        drawn.push(share);
    }
    let mut different = drawn.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), drawn.len(), "{drawn:?}");
}

/// A pong that no ping of ours asked for.
fn pong(sequence: u8) -> Event {
    Event::Pong(PingId::from_bytes([7, 7, 7, 7, 7, 7, 7, sequence]))
}

// Two silences.

#[test]
fn a_peer_that_talks_does_not_put_off_the_ping_for_outbound_silence() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(6))));
    handle(&mut heartbeat, Event::Received, seconds(5));
    ping(&mut heartbeat, Event::Tick, seconds(6));
}

#[test]
fn what_goes_out_does_not_put_off_the_ping_for_inbound_silence() {
    let mut heartbeat = opened(plain().send_interval(Some(seconds(20))));
    handle(&mut heartbeat, Event::Sent, seconds(9));
    ping(&mut heartbeat, Event::Tick, seconds(10));
}

#[test]
fn what_goes_out_never_extends_the_deadline_of_a_pong() {
    let (mut heartbeat, _) = pinged(plain());
    nothing(&mut heartbeat, Event::Sent, seconds(13));
    convicts(&mut heartbeat, seconds(14), CloseReason::PongTimeout);
}

// Any inbound activity is life.

#[test]
fn any_inbound_activity_ends_the_probe_and_the_row_of_misses() {
    for event in [Event::Received, Event::Message, pong(9)] {
        let (mut heartbeat, _) = pinged(plain().max_missed(3));
        let second = ping(&mut heartbeat, Event::Tick, seconds(14));
        assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (1, true));
        handle(&mut heartbeat, event, seconds(15));
        assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (0, false));
        // The id stays awaited for the round trip, until its pong.
        assert_eq!(heartbeat.awaited_ping(), Some(second));
        handle(&mut heartbeat, Event::Pong(second), seconds(17));
        assert_eq!(heartbeat.awaited_ping(), None);
        assert_eq!(heartbeat.round_trip().unwrap().last(), seconds(3));
    }
}

#[test]
fn a_ping_is_awaited_until_the_next_one_or_the_end() {
    let (mut heartbeat, first) = pinged(plain());
    handle(&mut heartbeat, Event::Received, seconds(11));
    let second = ping(&mut heartbeat, Event::Tick, seconds(21));
    assert_eq!((first.sequence(), second.sequence()), (1, 2));
    assert_eq!(heartbeat.awaited_ping(), Some(second));
    handle(&mut heartbeat, Event::Pong(first), seconds(22));
    assert_eq!(heartbeat.round_trip(), None);
    assert_eq!(heartbeat.awaited_ping(), Some(second));
    handle(&mut heartbeat, ERROR, seconds(22));
    assert_eq!(heartbeat.awaited_ping(), None);
    handle(&mut heartbeat, Event::Opened, seconds(22));
    assert_eq!(heartbeat.awaited_ping(), None);
    handle(&mut heartbeat, Event::Pong(second), seconds(23));
    assert_eq!(heartbeat.round_trip(), None);
}

#[test]
fn unsolicited_repeated_and_stale_pongs_are_activity_and_nothing_else() {
    let (mut heartbeat, first) = pinged(plain().max_missed(2));
    let second = ping(&mut heartbeat, Event::Tick, seconds(14));
    handle(&mut heartbeat, Event::Pong(first), seconds(15));
    assert_eq!(heartbeat.round_trip(), None);
    assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (0, false));
    handle(&mut heartbeat, Event::Pong(second), seconds(16));
    let measured = heartbeat.round_trip().unwrap();
    assert_eq!(measured.last(), seconds(2));
    for event in [Event::Pong(second), Event::Pong(first), pong(1)] {
        nothing(&mut heartbeat, event, seconds(17));
    }
    assert_eq!(heartbeat.round_trip(), Some(measured));
    assert_eq!(heartbeat.last_received(), Some(seconds(17)));
    assert_eq!(pings(&mut heartbeat, seconds(27)), [seconds(27)]);
}

#[test]
fn bytes_of_a_message_that_never_ends_are_life() {
    let mut heartbeat = opened(plain());
    for now in (0..600).map(seconds) {
        handle(&mut heartbeat, Event::Received, now);
        assert_eq!(ticks(&mut heartbeat, now), []);
    }
}

#[test]
fn under_strict_pongs_only_a_pong_that_ends_a_probe_renews_the_inbound_watch() {
    let mut heartbeat = opened(plain().strict_pongs(true));
    for event in [Event::Received, Event::Message, pong(1)] {
        handle(&mut heartbeat, event, seconds(9));
    }
    assert_eq!(heartbeat.last_received(), Some(seconds(9)));
    let id = ping(&mut heartbeat, Event::Tick, seconds(10));
    handle(&mut heartbeat, Event::Pong(id), seconds(12));
    // Said again it is stale.
    handle(&mut heartbeat, Event::Pong(id), seconds(15));
    assert_eq!(pings(&mut heartbeat, seconds(22)), [seconds(22)]);
}

#[test]
fn under_strict_pongs_nothing_else_ends_the_probe_or_the_row_of_misses() {
    let (mut heartbeat, first) = pinged(plain().strict_pongs(true).max_missed(2));
    let second = ping(&mut heartbeat, Event::Tick, seconds(14));
    for event in [
        Event::Received,
        Event::Message,
        pong(1),
        Event::Pong(first), // It was missed.
    ] {
        handle(&mut heartbeat, event, seconds(15));
        assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (1, true));
    }
    assert_eq!(heartbeat.last_received(), Some(seconds(15)));
    let mut alive = heartbeat.clone();
    convicts(&mut heartbeat, seconds(18), CloseReason::PongTimeout);

    handle(&mut alive, Event::Pong(second), seconds(16));
    assert_eq!((alive.missed(), alive.is_ping_out()), (0, false));
}

#[test]
fn under_strict_pongs_the_answer_to_a_replaced_ping_is_life() {
    let strict = counted().strict_pongs(true).pong_timeout(seconds(12));
    for answered in 0..3 {
        let mut heartbeat = opened(strict);
        let row = [5, 10, 15].map(|now| ping(&mut heartbeat, Event::Tick, seconds(now)));
        handle(&mut heartbeat, Event::Received, seconds(16));
        assert!(heartbeat.is_ping_out());
        handle(&mut heartbeat, Event::Pong(row[answered]), seconds(16));
        assert!(!heartbeat.is_ping_out(), "{answered}");
        let is_last = answered == 2;
        assert_eq!(heartbeat.round_trip().is_some(), is_last);
    }
}

#[test]
fn under_strict_pongs_a_message_counts_for_its_own_watch() {
    let strict = plain().strict_pongs(true);
    let mut heartbeat = opened(strict.message_timeout(Some(seconds(9))));
    handle(&mut heartbeat, Event::Message, seconds(8));
    only_arms(&mut heartbeat, seconds(9), seconds(10));
    ping(&mut heartbeat, Event::Tick, seconds(10));
    assert_eq!(heartbeat.deadline(), Some(seconds(14)));
}

// One ping out at a time.

#[test]
fn at_the_last_miss_the_peer_is_dead_in_the_same_step() {
    let (mut heartbeat, _) = pinged(plain().max_missed(3));
    assert_eq!(pings(&mut heartbeat, seconds(18)), [14, 18].map(seconds));
    assert_eq!(heartbeat.missed(), 2);
    let epoch = heartbeat.epoch();
    let actions = handle(&mut heartbeat, Event::Tick, seconds(22));
    let (at, attempt) = planned_in(&actions).unwrap();
    assert_eq!(
        actions,
        [
            Action::Close(CloseReason::PongTimeout),
            Action::ScheduleReconnect { at, attempt },
            Action::ArmDeadline(at),
        ]
    );
    // It does not wait for a `Closed` that may never come.
    assert_eq!((heartbeat.state(), attempt), (State::Waiting, 1));
    assert_ne!(heartbeat.epoch(), epoch);
}

#[test]
fn while_a_ping_is_out_no_other_goes() {
    let patient = plain().pong_timeout(seconds(60));
    let patient = patient.confirm_within(Some(seconds(2)));
    let mut heartbeat = opened(patient.send_interval(Some(seconds(3))));
    assert_eq!(pings(&mut heartbeat, seconds(3)), [seconds(3)]);
    for now in (4..62).map(seconds) {
        handle(&mut heartbeat, Event::Sent, now);
        handle(&mut heartbeat, Event::NetworkChanged, seconds(0));
        if heartbeat.state() == State::Open {
            assert_eq!(pings(&mut heartbeat, now), []);
        }
    }
}

// Our own backlog is not the peer's silence.

#[test]
fn each_draining_lets_the_answer_count_from_now_and_ping_sent_for_the_last_time() {
    let (mut heartbeat, id) = pinged(plain());
    for now in 12..100 {
        nothing(&mut heartbeat, Event::Draining, seconds(now));
        assert_eq!(ticks(&mut heartbeat, seconds(now)), []);
    }
    handle(&mut heartbeat, Event::PingSent(id), seconds(102));
    // What is reported again is void, and so is what cannot be.
    for event in [Event::PingSent(id), Event::Draining] {
        handle(&mut heartbeat, event, seconds(105));
    }
    let mut answered = heartbeat.clone();
    assert_eq!(ticks(&mut heartbeat, seconds(105)), []);
    convicts(&mut heartbeat, seconds(106), CloseReason::PongTimeout);

    handle(&mut answered, Event::Pong(id), seconds(105));
    assert_eq!(answered.round_trip().unwrap().last(), seconds(3));
}

#[test]
fn a_stuck_transport_does_not_hold_the_verdict() {
    let (mut heartbeat, _) = pinged(plain());
    handle(&mut heartbeat, Event::Draining, seconds(13));
    assert_eq!(ticks(&mut heartbeat, millis(16_999)), []);
    convicts(&mut heartbeat, seconds(17), CloseReason::PongTimeout);
}

#[test]
fn draining_is_void_unless_a_ping_is_awaited_and_has_not_left() {
    let mut heartbeat = opened(plain());
    handle(&mut heartbeat, Event::Draining, seconds(9));
    let id = ping(&mut heartbeat, Event::Tick, seconds(10));
    handle(&mut heartbeat, Event::Pong(id), seconds(12));
    handle(&mut heartbeat, Event::Draining, seconds(13));
    assert_eq!(heartbeat.round_trip().unwrap().last(), seconds(2));
    ping(&mut heartbeat, Event::Tick, seconds(22));
    assert_eq!(heartbeat.deadline(), Some(seconds(26)));
}

#[test]
fn the_round_trip_counts_from_what_left_late_also_where_the_probe_is_over() {
    for event in [|_| Event::Draining, Event::PingSent] {
        let (mut heartbeat, id) = pinged(plain());
        handle(&mut heartbeat, Event::Received, seconds(11));
        nothing(&mut heartbeat, event(id), seconds(13));
        assert!(!heartbeat.is_ping_out());
        handle(&mut heartbeat, Event::Pong(id), seconds(14));
        assert_eq!(heartbeat.round_trip().unwrap().last(), seconds(1));
    }
}

#[test]
fn only_a_ping_that_is_awaited_can_leave_the_buffer() {
    let (mut heartbeat, id) = pinged(plain());
    let foreign = PingId::from_bytes([7; 8]);
    nothing(&mut heartbeat, Event::PingSent(foreign), seconds(13));
    let mut answered = heartbeat.clone();
    convicts(&mut heartbeat, seconds(14), CloseReason::PongTimeout);

    handle(&mut answered, Event::Pong(id), seconds(14));
    handle(&mut answered, Event::PingSent(id), seconds(15));
    assert_eq!(answered.round_trip().unwrap().last(), seconds(4));
    assert_eq!(pings(&mut answered, seconds(24)), [seconds(24)]);
}

#[test]
fn the_next_ping_leaves_the_buffer_on_its_own() {
    let (mut heartbeat, first) = pinged(plain().max_missed(2));
    handle(&mut heartbeat, Event::PingSent(first), seconds(11));
    let second = ping(&mut heartbeat, Event::Tick, seconds(15));
    // The first was missed: it is no longer awaited, nor replaced by what is.
    nothing(&mut heartbeat, Event::PingSent(first), seconds(16));
    handle(&mut heartbeat, Event::PingSent(second), seconds(16));
    only_arms(&mut heartbeat, seconds(19), seconds(20));
    convicts(&mut heartbeat, seconds(20), CloseReason::PongTimeout);
}

// A late clock accuses nobody.

#[test]
fn in_place_of_a_last_miss_that_is_late_comes_one_more_ping_once_a_silence() {
    let (mut in_time, _) = pinged(plain());
    convicts(&mut in_time, seconds(15), CloseReason::PongTimeout);

    let late = seconds(15) + NANOSECOND;
    let (mut heartbeat, first) = pinged(plain());
    let second = ping(&mut heartbeat, Event::Tick, late);
    assert_ne!(first, second);
    assert_eq!(heartbeat.missed(), 0);
    assert_eq!(heartbeat.deadline(), Some(late + seconds(4)));
    let mut alive = heartbeat.clone();
    convicts(&mut heartbeat, late + seconds(60), CloseReason::PongTimeout);

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
fn under_strict_pongs_only_what_ends_the_probe_renews_its_forgiveness() {
    let (mut heartbeat, _) = pinged(plain().strict_pongs(true));
    ping(&mut heartbeat, Event::Tick, seconds(20));
    for event in [Event::Received, Event::Message, pong(1)] {
        handle(&mut heartbeat, event, seconds(21));
    }
    convicts(&mut heartbeat, seconds(30), CloseReason::PongTimeout);
}

#[test]
fn the_ping_in_place_of_a_miss_has_the_timeout_of_the_one_that_it_stands_for() {
    let mut heartbeat = opened(plain().pong_timeout(seconds(9)));
    ping(&mut heartbeat, Event::NetworkChanged, seconds(1));
    ping(&mut heartbeat, Event::Tick, seconds(8));
    only_arms(&mut heartbeat, seconds(10), seconds(13));
    convicts(&mut heartbeat, seconds(13), CloseReason::PongTimeout);
}

/// Only the watch on messages can be due.
fn feed(message_timeout: Duration) -> ConfigBuilder {
    let quiet = plain().ping_interval(DAY);
    quiet.message_timeout(Some(message_timeout))
}

fn login(healthy_within: Duration) -> ConfigBuilder {
    plain().healthy_within(Some(healthy_within))
}

#[test]
fn the_other_verdicts_are_put_off_once_by_the_shorter_of_two_times() {
    let nine = seconds(9);
    let hasty = plain().connect_timeout(nine);
    type Begin = fn(ConfigBuilder) -> Beat;
    let watches: [(Begin, ConfigBuilder, CloseReason); 4] = [
        (dialling, hasty, CloseReason::ConnectTimeout),
        (opened, listener(), CloseReason::IdleTimeout),
        (opened, feed(nine), CloseReason::MessageTimeout),
        (opened, login(nine), CloseReason::LoginTimeout),
    ];
    for (open, config, reason) in watches {
        for (tolerance, grace) in [(seconds(2), seconds(2)), (seconds(20), seconds(9))] {
            let config = config.late_tolerance(tolerance);
            let in_time = nine + tolerance;
            convicts(&mut open(config), in_time, reason);

            let late = in_time + NANOSECOND;
            let mut heartbeat = open(config);
            only_arms(&mut heartbeat, late, late + grace);
            // Ahead of time it stays so.
            only_arms(&mut heartbeat, late + MILLISECOND, late + grace);
            let mut later = heartbeat.clone();
            convicts(&mut heartbeat, late + grace, reason);
            convicts(&mut later, late + HOUR, reason);
        }
    }
}

#[test]
fn a_put_off_is_renewed_only_by_what_renews_its_watch() {
    let late = seconds(11);
    let renewing = [Event::Received, Event::Message, pong(1), Event::Healthy];
    for event in renewing.into_iter().chain([Event::Sent]) {
        let mut listener = opened(listener());
        only_arms(&mut listener, late, seconds(12));
        handle(&mut listener, event, late);
        if matches!(event, Event::Healthy | Event::Sent) {
            convicts(&mut listener, seconds(14), CloseReason::IdleTimeout);
        } else {
            only_arms(&mut listener, seconds(12), seconds(20));
            only_arms(&mut listener, seconds(22), seconds(23));
        }

        let mut feed = opened(feed(seconds(9)));
        only_arms(&mut feed, late, seconds(12));
        handle(&mut feed, event, late);
        if event == Event::Message {
            only_arms(&mut feed, seconds(12), seconds(20));
            only_arms(&mut feed, seconds(22), seconds(23));
        } else {
            convicts(&mut feed, seconds(14), CloseReason::MessageTimeout);
        }

        let mut login = opened(login(seconds(9)));
        only_arms(&mut login, late, seconds(12));
        handle(&mut login, event, late);
        if event == Event::Healthy {
            only_arms(&mut login, seconds(12), seconds(21));
        } else {
            convicts(&mut login, seconds(14), CloseReason::LoginTimeout);
        }
    }
}

#[test]
fn each_watch_has_a_put_off_of_its_own() {
    // Both are late at once: one more ping, and a second for the messages.
    let (mut heartbeat, _) = pinged(plain().message_timeout(Some(seconds(20))));
    ping(&mut heartbeat, Event::Tick, seconds(30));
    assert_eq!(heartbeat.deadline(), Some(seconds(31)));
    convicts(&mut heartbeat, seconds(31), CloseReason::MessageTimeout);

    // A late verdict on messages does not spend what the answer has.
    let (mut heartbeat, _) = pinged(plain().message_timeout(Some(seconds(11))));
    only_arms(&mut heartbeat, millis(12_500), millis(13_500));
    handle(&mut heartbeat, Event::Message, seconds(13));
    ping(&mut heartbeat, Event::Tick, seconds(23));
    ping(&mut heartbeat, Event::Tick, seconds(29));
    // Nor the other way round: the messages are due at second 24.
    assert_eq!(heartbeat.deadline(), Some(seconds(30)));
    convicts(&mut heartbeat, seconds(30), CloseReason::MessageTimeout);

    let mut both = opened(listener().message_timeout(Some(seconds(10))));
    only_arms(&mut both, seconds(20), seconds(21));
    handle(&mut both, Event::Received, seconds(20));
    convicts(&mut both, seconds(21), CloseReason::MessageTimeout);
}

#[test]
fn lateness_counts_from_the_deadline_that_was_armed_where_that_is_later() {
    let mut on_time = opened(listener().idle_timeout(seconds(100)));
    reconfigure(&mut on_time, listener(), seconds(50));
    let armed = seconds(50) + MILLISECOND;
    assert_eq!(on_time.deadline(), Some(armed));
    let mut late = on_time.clone();
    convicts(&mut on_time, armed + seconds(1), CloseReason::IdleTimeout);
    let now = armed + seconds(1) + NANOSECOND;
    only_arms(&mut late, now, now + seconds(1));
}

#[test]
fn ticks_that_are_always_late_convict_the_dead_all_the_same() {
    let configs = [
        (plain(), CloseReason::PongTimeout),
        (plain().max_missed(3), CloseReason::PongTimeout),
        (plain().strict_pongs(true), CloseReason::PongTimeout),
        (counted(), CloseReason::PongTimeout),
        (listener(), CloseReason::IdleTimeout),
        (feed(seconds(9)), CloseReason::MessageTimeout),
        (login(seconds(9)), CloseReason::LoginTimeout),
    ];
    for (config, reason) in configs {
        let mut heartbeat = opened(config);
        let closes = (0..12).find_map(|_| {
            let now = heartbeat.deadline().unwrap() + seconds(30);
            let actions = handle(&mut heartbeat, Event::Tick, now);
            match actions[0] {
                Action::Close(reason) => Some(reason),
                _ => None,
            }
        });
        assert_eq!(closes, Some(reason));
    }
}

// Bounded detection.

/// Ticks late by so much until the verdict falls.
fn verdict_falls(heartbeat: &mut Beat, late: Duration) -> Duration {
    for _ in 0..1000 {
        let now = heartbeat.deadline().unwrap() + late;
        let actions = handle(heartbeat, Event::Tick, now);
        if matches!(actions[0], Action::Close(_)) {
            return now;
        }
    }
    panic!("no verdict falls");
}

#[test]
fn a_dead_peer_is_convicted_within_its_bound() {
    for max_missed in 1..=4 {
        for life in [0, 1, 5, 9, 10].map(seconds) {
            let mut heartbeat = opened(plain().max_missed(max_missed));
            handle(&mut heartbeat, Event::Received, life);
            let bound = life + seconds(10) + max_missed * seconds(4);
            let falls = verdict_falls(&mut heartbeat.clone(), Duration::ZERO);
            assert_eq!(falls, bound, "{max_missed} {life:?}");
            // Ticks that are late, but not so late that it was this process.
            let late = seconds(1);
            let falls = verdict_falls(&mut heartbeat.clone(), late);
            assert!(falls <= bound + (max_missed + 1) * late);
            let late = seconds(3);
            let falls = verdict_falls(&mut heartbeat, late);
            assert!(falls <= bound + (max_missed + 1) * late + seconds(4) + late);
        }
    }
}

#[test]
fn under_strict_pongs_the_bound_counts_from_the_last_pong() {
    let mut heartbeat = opened(plain().strict_pongs(true));
    let id = ping(&mut heartbeat, Event::Tick, seconds(10));
    handle(&mut heartbeat, Event::Pong(id), seconds(12));
    for now in (12..26).map(seconds) {
        assert!(ticks(&mut heartbeat, now).len() <= 1);
        handle(&mut heartbeat, Event::Received, now);
    }
    convicts(&mut heartbeat, seconds(26), CloseReason::PongTimeout);
}

#[test]
fn idle_messages_and_login_are_bounded_by_the_time_that_they_last() {
    for config in [listener(), feed(seconds(9)), login(seconds(9))] {
        let falls = |late| verdict_falls(&mut opened(config), late);
        assert_eq!(falls(Duration::ZERO), seconds(9));
        assert_eq!(falls(seconds(1)), seconds(10));
        assert_eq!(falls(seconds(3)), seconds(9 + 3 + 1 + 3));
    }
}

// Every state that waits has a deadline.

#[test]
fn a_dial_that_hangs_fails_like_any_other() {
    let mut heartbeat = dialling(plain());
    let actions = handle(&mut heartbeat, Event::Tick, seconds(20));
    let (at, attempt) = planned_in(&actions).unwrap();
    assert_eq!(attempt, 1);
    assert_eq!(
        actions,
        [
            Action::Close(CloseReason::ConnectTimeout),
            Action::ScheduleReconnect { at, attempt },
            Action::ArmDeadline(at),
        ]
    );
}

#[test]
fn a_close_handshake_that_hangs_is_abandoned() {
    let mut heartbeat = opened(plain());
    assert_eq!(
        handle(&mut heartbeat, Event::Stop, seconds(1)),
        [
            Action::Close(CloseReason::Stop),
            Action::ArmDeadline(seconds(6)),
        ]
    );
    // However late the tick is, nobody is forgiven.
    assert_eq!(
        handle(&mut heartbeat, Event::Tick, HOUR),
        [
            Action::Close(CloseReason::CloseTimeout),
            Action::Stopped(StopReason::Requested),
        ]
    );
}

// Down happens once.

#[test]
fn however_often_an_end_is_reported_it_is_one_down() {
    let ends = [
        ERROR,
        Event::Closed(Closed::default()),
        closed(1001),
        refused(503),
        Event::GiveUp(Closed::default()),
    ];
    for first in ends {
        for second in ends {
            for begin in [dialling, opened] {
                let mut heartbeat = begin(plain());
                if plans_nothing(&mut heartbeat, first) {
                    continue; // A refusal of what is open.
                }
                nothing(&mut heartbeat, second, seconds(1));
                assert_eq!(heartbeat.attempt(), 1);
            }
        }
    }
    let (mut heartbeat, _) = pinged(plain());
    convicts(&mut heartbeat, seconds(14), CloseReason::PongTimeout);
    for end in ends {
        nothing(&mut heartbeat, end, seconds(14));
    }
    assert_eq!(heartbeat.attempt(), 1);
}

fn plans_nothing(heartbeat: &mut Beat, event: Event) -> bool {
    planned_in(&handle(heartbeat, event, seconds(1))).is_none()
}

#[test]
fn the_epoch_moves_on_at_each_end_and_at_each_beginning() {
    let mut heartbeat = idle(plain());
    for (event, now, epoch) in [
        (Event::Start, 0, "1"),
        (Event::Opened, 0, "1"),
        (ERROR, 2, "2"),
        (Event::Opened, 2, "3"),
        (Event::Stop, 2, "3"),
        (Event::Closed(Closed::default()), 2, "4"),
        (Event::Opened, 3, "5"),
        (Event::ReconnectNow, 3, "7"),
        (Event::Stop, 4, "8"),
    ] {
        handle(&mut heartbeat, event, seconds(now));
        assert_eq!(heartbeat.epoch().to_string(), epoch, "{event:?}");
    }
}

#[test]
fn what_an_old_socket_reports_late_changes_nothing() {
    let mut heartbeat = dialling(plain());
    let old = heartbeat.epoch();
    handle(&mut heartbeat, Event::ReconnectNow, seconds(5));
    let new = heartbeat.epoch();
    assert_ne!(old, new);
    for event in [ERROR, Event::Opened, Event::Received, Event::Tick] {
        assert_eq!(heartbeat.handle_from(old, event, seconds(60)).count(), 0);
        assert_eq!(heartbeat.state(), State::Connecting);
    }
    let actions = heartbeat.handle_from(new, Event::Opened, seconds(6));
    assert!(actions.eq([Action::ArmDeadline(seconds(16))]));
    assert_eq!(heartbeat.state(), State::Open);
    assert_eq!(heartbeat.last_received(), None);
}

// Reconnect off.

#[test]
fn where_reconnecting_is_off_every_down_is_the_end() {
    let off = |config: ConfigBuilder| opened(config.reconnect(false));
    let dial = || dialling(plain().reconnect(false));
    let given_up = Closed::with_code(CloseCode(4002));
    let verdict = |reason| Some(reason);
    for (mut heartbeat, event, now, close, stop) in [
        (dial(), ERROR, 1, None, StopReason::Error),
        (dial(), refused(404), 1, None, StopReason::Refused(404)),
        (
            dial(),
            Event::Tick,
            20,
            verdict(CloseReason::ConnectTimeout),
            StopReason::ConnectTimeout,
        ),
        (
            off(plain()),
            closed(4001),
            1,
            None,
            StopReason::Closed(Some(CloseCode(4001))),
        ),
        (
            off(plain()),
            Event::GiveUp(given_up),
            1,
            Some(CloseReason::GivenUp),
            StopReason::Closed(given_up.code),
        ),
        (
            pinged(plain().reconnect(false)).0,
            Event::Tick,
            14,
            verdict(CloseReason::PongTimeout),
            StopReason::PongTimeout,
        ),
        (
            off(listener()),
            Event::Tick,
            9,
            verdict(CloseReason::IdleTimeout),
            StopReason::IdleTimeout,
        ),
        (
            off(feed(seconds(9))),
            Event::Tick,
            9,
            verdict(CloseReason::MessageTimeout),
            StopReason::MessageTimeout,
        ),
        (
            off(login(seconds(9))),
            Event::Tick,
            9,
            verdict(CloseReason::LoginTimeout),
            StopReason::LoginTimeout,
        ),
    ] {
        let mut expected = Vec::from_iter(close.map(Action::Close));
        expected.push(Action::Stopped(stop));
        assert_eq!(handle(&mut heartbeat, event, seconds(now)), expected);
        assert_eq!(heartbeat.deadline(), None);
        assert_eq!(heartbeat.attempt(), 0);
    }
}

#[test]
fn a_limit_on_attempts_ends_it_at_the_failure_after_the_last_retry() {
    let mut heartbeat = dialling(plain().max_attempts(Some(2)));
    for attempt in [1, 2] {
        fail(&mut heartbeat, ERROR, seconds(3 * u64::from(attempt)));
        assert_eq!(heartbeat.attempt(), attempt);
    }
    assert_eq!(
        handle(&mut heartbeat, ERROR, seconds(9)),
        [Action::Stopped(StopReason::AttemptLimit)]
    );
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn a_limit_on_time_counts_from_the_first_failure() {
    let mut heartbeat = dialling(plain().max_elapsed(Some(seconds(60))));
    handle(&mut heartbeat, ERROR, seconds(5));
    handle(&mut heartbeat, Event::Opened, seconds(64));
    plans(&mut heartbeat, ERROR, seconds(65) - NANOSECOND);
    handle(&mut heartbeat, Event::Opened, seconds(65));
    assert_eq!(
        handle(&mut heartbeat, ERROR, seconds(65)),
        [Action::Stopped(StopReason::TimeLimit)]
    );
    // A new beginning counts anew.
    dials(&mut heartbeat, Event::Start, seconds(70));
    let (_, attempt) = plans(&mut heartbeat, ERROR, seconds(70));
    assert_eq!(attempt, 1);
}

#[test]
fn a_stable_connection_begins_the_time_limit_anew() {
    let mut heartbeat = dialling(plain().max_elapsed(Some(seconds(60))));
    handle(&mut heartbeat, ERROR, seconds(5));
    handle(&mut heartbeat, Event::Opened, seconds(40));
    handle(&mut heartbeat, Event::Received, seconds(40));
    plans(&mut heartbeat, ERROR, seconds(70));
    handle(&mut heartbeat, Event::Opened, seconds(100));
    plans(&mut heartbeat, ERROR, seconds(129));
}

#[test]
fn the_policys_stop_goes_before_the_limits() {
    let limited = plain().max_attempts(Some(1)).policy(stop_when_refused);
    let mut heartbeat = dialling(limited.max_elapsed(Some(MILLISECOND)));
    fail(&mut heartbeat, ERROR, seconds(1));
    assert_eq!(
        handle(&mut heartbeat, refused(404), seconds(9)),
        [Action::Stopped(StopReason::Refused(404))]
    );
}

// Backoff.

/// Of all clients, the shortest and the longest delay at this attempt.
fn delays(config: ConfigBuilder, attempt: u32, end: Event) -> (Duration, Duration) {
    draws(|seed| {
        let mut heartbeat = Heartbeat::new(config.build().unwrap(), seed);
        let mut now = Duration::ZERO;
        handle(&mut heartbeat, Event::Start, now);
        for _ in 1..attempt {
            now += fail(&mut heartbeat, ERROR, now);
        }
        now += seconds(1);
        let (at, planned) = plans(&mut heartbeat, end, now);
        assert_eq!(planned, attempt);
        at - now
    })
}

#[test]
fn delays_fill_their_range_from_the_first_retry_to_the_cap() {
    let config = Config::builder();
    fill(delays(config, 1, ERROR), MILLISECOND, seconds(5));
    for (attempt, greatest) in [(2, 2), (3, 4), (4, 8), (6, 32), (7, 60), (20, 60)] {
        let delays = delays(config, attempt, ERROR);
        fill(delays, seconds(1), seconds(greatest));
    }
    let triple = config.backoff_factor(3.0);
    fill(delays(triple, 4, ERROR), seconds(1), seconds(18));
}

#[test]
fn every_delay_is_at_least_a_millisecond() {
    let hasty = plain()
        .backoff_floor(MILLISECOND)
        .backoff_base(MILLISECOND)
        .backoff_cap(MILLISECOND);
    for attempt in 1..4 {
        let delays = delays(hasty, attempt, ERROR);
        assert_eq!(delays, (MILLISECOND, MILLISECOND));
    }
}

#[test]
fn a_hint_is_added_to_the_draw_and_is_a_day_at_most() {
    let config = plain().policy(|_| between(seconds(3), seconds(3)));
    let hinted = |hint| {
        [
            Event::Closed(Closed::default().retry_after(hint)),
            Event::GiveUp(Closed::default().retry_after(hint)),
            Event::Refused(Refused::with_status(503).retry_after(hint)),
        ]
    };
    for event in hinted(seconds(30)) {
        let planned = plans(&mut dialling(config), event, seconds(1));
        assert_eq!(planned, (seconds(1 + 30 + 3), 1), "{event:?}");
    }
    for event in hinted(2 * DAY) {
        let planned = plans(&mut dialling(config), event, seconds(1));
        assert_eq!(planned, (seconds(1 + 3) + DAY, 1), "{event:?}");
    }
}

/// Its second attempt is open from second 1 on, and it is stable after 5 s.
fn reopened(config: ConfigBuilder) -> Beat {
    let mut heartbeat = dialling(config.stable_after(seconds(5)));
    fail(&mut heartbeat, ERROR, seconds(0));
    handle(&mut heartbeat, Event::Opened, seconds(1));
    heartbeat
}

/// Whether the attempts begin anew after a connection with this event on it.
fn resets(config: ConfigBuilder, event: Event, end: Event, down: Duration) -> bool {
    let mut heartbeat = reopened(config);
    handle(&mut heartbeat, event, seconds(2));
    assert_eq!(heartbeat.attempt(), 1, "never at once");
    handle(&mut heartbeat, end, down);
    let counted = u32::from(!matches!(end, Event::ReconnectNow | Event::Stop));
    let before = heartbeat.attempt() - counted;
    assert!(before <= 1);
    before == 0
}

#[test]
fn the_attempts_begin_anew_after_a_stable_connection_only() {
    let just_short = seconds(6) - NANOSECOND;
    for (event, down, is_reset) in [
        (Event::Received, seconds(6), true),
        (Event::Received, just_short, false),
        (Event::Message, seconds(6), true),
        (pong(1), seconds(6), true),
        (Event::Healthy, seconds(6), true),
        (Event::Healthy, just_short, false),
        // Never on `Opened` alone, however long it was open.
        (Event::Sent, HOUR, false),
        (Event::Draining, HOUR, false),
    ] {
        let is = resets(plain(), event, ERROR, down);
        assert_eq!(is, is_reset, "{event:?} {down:?}");
    }
}

#[test]
fn what_proves_a_connection_depends_on_the_settings() {
    let messages = plain().message_timeout(Some(HOUR));
    let strict = plain().strict_pongs(true);
    let both = strict.message_timeout(Some(HOUR));
    let login = plain().healthy_within(Some(HOUR));
    for (config, proofs) in [
        (messages, [Event::Message, Event::Healthy].as_slice()),
        (strict, &[Event::Healthy]),
        (both, &[Event::Message, Event::Healthy]),
        (login, &[Event::Healthy]),
    ] {
        for event in [Event::Received, Event::Message, pong(1), Event::Healthy] {
            let is = resets(config, event, ERROR, HOUR);
            assert_eq!(is, proofs.contains(&event), "{config:?} {event:?}");
        }
    }
    // And under `strict_pongs` a pong that ended a probe, unless messages are asked for.
    for (config, attempt) in [(strict, 1), (both, 2)] {
        let mut heartbeat = reopened(config);
        let id = ping(&mut heartbeat, Event::Tick, seconds(11));
        handle(&mut heartbeat, Event::Pong(id), seconds(12));
        handle(&mut heartbeat, ERROR, seconds(12));
        assert_eq!(heartbeat.attempt(), attempt);
    }
}

#[test]
fn what_opened_under_healthy_within_needs_healthy_also_where_that_was_switched_off() {
    for (events, attempt) in [
        ([Event::Received, Event::Message], 2),
        ([Event::Received, Event::Healthy], 1),
    ] {
        let mut heartbeat = reopened(login(HOUR));
        reconfigure(&mut heartbeat, plain().stable_after(seconds(5)), seconds(2));
        for event in events {
            handle(&mut heartbeat, event, seconds(3));
        }
        handle(&mut heartbeat, ERROR, seconds(9));
        assert_eq!(heartbeat.attempt(), attempt, "{events:?}");
    }
}

#[test]
fn after_give_up_only_healthy_counts() {
    let given_up = Event::GiveUp(Closed::default());
    for (event, is_reset) in [
        (Event::Received, false),
        (Event::Message, false),
        (Event::Healthy, true),
    ] {
        assert_eq!(resets(plain(), event, given_up, HOUR), is_reset);
    }
    let messages = plain().message_timeout(Some(HOUR));
    assert!(!resets(messages, Event::Message, given_up, seconds(9)));
}

#[test]
fn a_stop_and_reconnect_now_settle_the_attempts_as_a_down_does() {
    for end in [Event::ReconnectNow, Event::Stop] {
        assert!(resets(plain(), Event::Received, end, seconds(6)));
        assert!(!resets(plain(), Event::Sent, end, seconds(6)));
        let early = seconds(6) - NANOSECOND;
        assert!(!resets(plain(), Event::Received, end, early));
    }
}

// The policy.

/// A delay that says what was lost.
fn told(loss: Loss) -> Retry {
    let exactly = |count| between(seconds(count), seconds(count));
    match loss {
        Loss::Closed(None) => exactly(10),
        Loss::Closed(Some(code)) => exactly(code.0.into()),
        Loss::Refused(status) => exactly(status.into()),
        Loss::Failed => exactly(20),
        other => panic!("no delay for {other:?}"),
    }
}

#[test]
fn the_policy_is_told_what_was_lost() {
    let told = |config: ConfigBuilder| config.policy(told);
    let closed_without = Event::Closed(Closed::from(None));
    let given_up = Event::GiveUp(Closed::from(Some(CloseCode(4002))));
    for (mut heartbeat, event, now, delay) in [
        (dialling(told(plain())), ERROR, 1, 20),
        (dialling(told(plain())), refused(404), 1, 404),
        (dialling(told(plain())), Event::Tick, 20, 20),
        (dialling(told(plain())), closed(1006), 1, 1006),
        (dialling(told(plain())), given_up, 1, 4002),
        (opened(told(plain())), ERROR, 1, 20),
        (opened(told(plain())), closed_without, 1, 10),
        (opened(told(plain())), closed(4001), 1, 4001),
        (opened(told(plain())), given_up, 1, 4002),
        (pinged(told(plain())).0, Event::Tick, 14, 20),
        (opened(told(listener())), Event::Tick, 9, 20),
        (opened(told(feed(seconds(9)))), Event::Tick, 9, 20),
        (opened(told(login(seconds(9)))), Event::Tick, 9, 20),
    ] {
        let (at, _) = plans(&mut heartbeat, event, seconds(now));
        assert_eq!(at, seconds(now + delay), "{event:?}");
    }
}

/// All of them, but for Miri.
fn codes() -> impl Iterator<Item = u16> {
    (0..=u16::MAX).step_by(if cfg!(miri) { 101 } else { 1 })
}

#[test]
fn the_default_policy_never_gives_up() {
    let restart = between(seconds(5), seconds(30));
    for code in codes() {
        let expected = match code {
            1012 => restart,
            1013 | 1002 | 1003 | 1007 | 1008 | 1009 | 1010 | 1015 => Retry::Spread,
            _ => Retry::Backoff,
        };
        let loss = Loss::Closed(Some(CloseCode(code)));
        assert_eq!(default_policy(loss), expected, "{loss:?}");
        let is_patient = matches!(code, 408 | 425 | 429) || (500..600).contains(&code);
        let expected = if is_patient {
            Retry::Backoff
        } else {
            Retry::Spread
        };
        let loss = Loss::Refused(code);
        assert_eq!(default_policy(loss), expected, "{loss:?}");
    }
    for loss in [Loss::Closed(None), Loss::Failed] {
        assert_eq!(default_policy(loss), Retry::Backoff);
    }
}

#[test]
fn the_other_policy_stops_where_the_peer_says_that_we_are_wrong_and_at_1000() {
    for code in codes() {
        for loss in [Loss::Closed(Some(CloseCode(code))), Loss::Refused(code)] {
            let is_spread = default_policy(loss) == Retry::Spread;
            let expected = match loss {
                Loss::Closed(Some(CloseCode(1000))) => Retry::Stop,
                Loss::Closed(Some(CloseCode(1013))) => Retry::Spread,
                _ if is_spread => Retry::Stop,
                _ => default_policy(loss),
            };
            assert_eq!(stop_when_refused(loss), expected, "{loss:?}");
        }
    }
    for loss in [Loss::Closed(None), Loss::Failed] {
        assert_eq!(stop_when_refused(loss), Retry::Backoff);
    }
}

#[test]
fn a_server_that_restarts_or_is_overloaded_or_refuses_spreads_its_clients() {
    for attempt in [1, 3] {
        let delays = |end| delays(Config::builder(), attempt, end);
        fill(delays(closed(1012)), seconds(5), seconds(30));
        for end in [closed(1013), closed(1008), refused(404)] {
            fill(delays(end), seconds(1), seconds(60));
        }
    }
    fill(
        delays(Config::builder(), 1, refused(503)),
        MILLISECOND,
        seconds(5),
    );
}

#[test]
fn the_delays_of_a_policy_are_taken_into_the_bounds() {
    let all = plain().policy(|_| between(Duration::ZERO, Duration::MAX));
    fill(delays(all, 1, ERROR), MILLISECOND, DAY);
    let reversed = plain().policy(|_| between(Duration::MAX, Duration::ZERO));
    assert_eq!(delays(reversed, 1, ERROR), (DAY, DAY));
    let none = plain().policy(|_| between(Duration::ZERO, Duration::ZERO));
    assert_eq!(delays(none, 1, ERROR), (MILLISECOND, MILLISECOND));
    let swapped = plain().policy(|_| between(seconds(7), seconds(3)));
    assert_eq!(delays(swapped, 1, ERROR), (seconds(7), seconds(7)));
}

/// The four events that may carry the application's own decision.
fn ends_with(retry: Retry, hint: Option<Duration>) -> [Event; 4] {
    let mut closed = Closed::default().retry(retry);
    closed.retry_after = hint;
    let mut refused = Refused::with_status(503).retry(retry);
    refused.retry_after = hint;
    [
        Event::Error(Some(retry)),
        Event::Closed(closed),
        Event::GiveUp(closed),
        Event::Refused(refused),
    ]
}

#[test]
fn what_an_event_carries_goes_before_the_policy() {
    let final_loss = plain().policy(|_| Retry::Stop);
    for event in ends_with(between(seconds(7), seconds(7)), None) {
        let planned = plans(&mut dialling(final_loss), event, seconds(2));
        assert_eq!(planned, (seconds(9), 1), "{event:?}");
    }
    for event in ends_with(Retry::Stop, None) {
        let mut heartbeat = dialling(plain());
        assert!(plans_nothing(&mut heartbeat, event), "{event:?}");
        assert_eq!(heartbeat.state(), State::Stopped);
    }
    for event in ends_with(Retry::Spread, None) {
        let spread = delays(Config::builder(), 1, event);
        fill(spread, seconds(1), seconds(60));
    }
    for event in ends_with(Retry::Backoff, None) {
        let spread = Config::builder().policy(|_| Retry::Spread);
        fill(delays(spread, 1, event), MILLISECOND, seconds(5));
    }
}

#[test]
fn to_what_an_event_carries_the_hint_is_added() {
    let seven = between(seconds(7), seconds(7));
    for event in &ends_with(seven, Some(seconds(30)))[1..] {
        let planned = plans(&mut dialling(plain()), *event, seconds(2));
        assert_eq!(planned, (seconds(2 + 30 + 7), 1), "{event:?}");
    }
}

#[test]
fn whatever_an_event_carries_reconnect_off_and_the_limits_hold() {
    for event in ends_with(Retry::Backoff, None) {
        let mut off = dialling(plain().reconnect(false));
        assert!(plans_nothing(&mut off, event), "{event:?}");

        let mut limited = dialling(plain().max_attempts(Some(1)));
        fail(&mut limited, ERROR, seconds(0));
        let actions = handle(&mut limited, event, seconds(1));
        let limit = Action::Stopped(StopReason::AttemptLimit);
        assert_eq!(actions.last(), Some(&limit), "{event:?}");
    }
}

// Jitter shortens.

fn jittery() -> ConfigBuilder {
    plain().jitter(0.2).random_phase(true)
}

/// The interval that follows what this does to a connection that opens now.
fn intervals(config: ConfigBuilder, path: impl Fn(&mut Beat) -> Duration) -> (Duration, Duration) {
    draws(|seed| {
        let mut heartbeat = Heartbeat::new(config.build().unwrap(), seed);
        handle(&mut heartbeat, Event::Opened, Duration::ZERO);
        let now = path(&mut heartbeat);
        if let Some(id) = heartbeat.awaited_ping() {
            handle(&mut heartbeat, Event::Pong(id), now);
            handle(&mut heartbeat, Event::Tick, now);
        }
        let next = heartbeat.deadline().unwrap();
        next - now
    })
}

/// Ticks late by so much, for a ping.
fn late_ping(heartbeat: &mut Beat, late: Duration) -> Duration {
    let now = heartbeat.deadline().unwrap() + late;
    ping(heartbeat, Event::Tick, now);
    now
}

#[test]
fn the_first_ping_has_a_random_phase_and_the_next_ones_a_little_jitter() {
    let first = intervals(jittery(), |_| Duration::ZERO);
    fill(first, MILLISECOND, seconds(10));
    for late in [Duration::ZERO, seconds(1)] {
        let next = intervals(jittery(), |heartbeat| late_ping(heartbeat, late));
        fill(next, seconds(8), seconds(10));
    }
    let network = intervals(jittery(), |heartbeat| {
        ping(heartbeat, Event::NetworkChanged, seconds(30));
        seconds(30)
    });
    fill(network, seconds(8), seconds(10));
    // Without it, only jitter is random.
    let first = intervals(jittery().random_phase(false), |_| Duration::ZERO);
    fill(first, seconds(8), seconds(10));
}

#[test]
fn both_intervals_and_the_cadence_begin_at_a_random_phase() {
    let outbound = jittery().send_interval(Some(seconds(4)));
    let first = intervals(outbound, |_| Duration::ZERO);
    fill(first, MILLISECOND, seconds(4));
    let cadence = jittery().always_ping(true);
    let first = intervals(cadence, |_| Duration::ZERO);
    fill(first, MILLISECOND, seconds(10));
    let login = jittery().healthy_within(Some(HOUR));
    let after_login = intervals(login, |heartbeat| {
        handle(heartbeat, Event::Healthy, seconds(30));
        seconds(30)
    });
    fill(after_login, MILLISECOND, seconds(10));
}

#[test]
fn after_a_ping_that_came_late_the_interval_is_scattered_from_a_tenth_on() {
    let late = seconds(1) + NANOSECOND;
    let silence = |heartbeat: &mut Beat| late_ping(heartbeat, late);
    fill(intervals(jittery(), silence), seconds(1), seconds(10));

    // Also after a miss, or in place of the last one.
    let miss = |heartbeat: &mut Beat| {
        ping(heartbeat, Event::NetworkChanged, seconds(30));
        late_ping(heartbeat, late)
    };
    for max_missed in [2, 1] {
        let config = impatient().max_missed(max_missed);
        fill(intervals(config, miss), seconds(1), seconds(10));
    }

    let usual = jittery().random_phase(false);
    fill(intervals(usual, silence), seconds(8), seconds(10));
}

#[test]
fn after_a_miss_on_time_the_interval_has_a_little_jitter() {
    let miss = |heartbeat: &mut Beat| {
        ping(heartbeat, Event::NetworkChanged, seconds(30));
        late_ping(heartbeat, seconds(2));
        late_ping(heartbeat, Duration::ZERO)
    };
    let config = impatient().max_missed(3);
    fill(intervals(config, miss), seconds(8), seconds(10));
}

/// An answer is due before anything else is looked at.
fn impatient() -> ConfigBuilder {
    jittery().pong_timeout(millis(500))
}

// Listen-only.

#[test]
fn in_listen_only_no_ping_goes_and_silence_convicts() {
    let mut heartbeat = opened(listener().send_interval(Some(seconds(2))));
    for now in (1..20).map(seconds) {
        assert_eq!(ticks(&mut heartbeat, now), []);
        handle(&mut heartbeat, Event::Received, now);
        nothing(&mut heartbeat, Event::NetworkChanged, now);
    }
    let done = ticks(&mut heartbeat, seconds(28));
    let verdict = (seconds(28), Action::Close(CloseReason::IdleTimeout));
    assert_eq!(done[0], verdict);
}

// Adaptive timeout.

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

// Settings that change while running.

#[test]
fn a_ping_that_is_out_gets_no_more_time_than_it_had() {
    let (mut heartbeat, _) = pinged(plain());
    let patient = plain().pong_timeout(seconds(30));
    assert_eq!(reconfigure(&mut heartbeat, patient, seconds(11)), []);
    let hasty = plain().pong_timeout(seconds(1));
    assert_eq!(
        reconfigure(&mut heartbeat, hasty, seconds(12)),
        [Action::ArmDeadline(seconds(13))]
    );
    convicts(&mut heartbeat, seconds(13), CloseReason::PongTimeout);
}

#[test]
fn a_dial_a_close_and_a_wait_keep_their_deadlines() {
    let paths: [&[Event]; 4] = [
        &[Event::Start],
        &[Event::Start, Event::Opened, Event::Stop],
        &[Event::Start, ERROR],
        &[],
    ];
    for path in paths {
        let mut heartbeat = idle(plain());
        for &event in path {
            handle(&mut heartbeat, event, seconds(1));
        }
        let deadline = heartbeat.deadline();
        let hasty = plain().connect_timeout(MILLISECOND);
        let hasty = hasty.close_timeout(MILLISECOND);
        assert_eq!(reconfigure(&mut heartbeat, hasty, seconds(1)), []);
        assert_eq!(heartbeat.deadline(), deadline, "{path:?}");
    }
}

#[test]
fn a_watch_that_is_switched_on_begins_then() {
    let second = seconds(3);
    // Inbound and outbound, by the end of listen-only.
    let both = plain().send_interval(Some(seconds(4)));
    for (config, due) in [(plain(), 13), (both, 7)] {
        let mut heartbeat = opened(listener());
        reconfigure(&mut heartbeat, config, second);
        assert_eq!(heartbeat.deadline(), Some(seconds(due)));
    }
    // Outbound; it is not begun again by what comes later.
    let mut heartbeat = opened(plain());
    reconfigure(&mut heartbeat, both, second);
    assert_eq!(heartbeat.deadline(), Some(seconds(7)));
    reconfigure(&mut heartbeat, both, seconds(5));
    assert_eq!(heartbeat.deadline(), Some(seconds(7)));
    // The cadence; and by its end inbound and outbound.
    let mut heartbeat = opened(plain());
    reconfigure(&mut heartbeat, counted(), second);
    assert_eq!(heartbeat.deadline(), Some(seconds(8)));
    reconfigure(&mut heartbeat, counted(), seconds(4));
    assert_eq!(heartbeat.deadline(), Some(seconds(8)));
    let mut outbound = heartbeat.clone();
    reconfigure(&mut heartbeat, plain(), seconds(5));
    assert_eq!(heartbeat.deadline(), Some(seconds(15)));
    reconfigure(&mut outbound, both, seconds(5));
    assert_eq!(outbound.deadline(), Some(seconds(9)));
    // Idle, whatever was received before.
    let mut heartbeat = opened(plain());
    handle(&mut heartbeat, Event::Received, seconds(1));
    reconfigure(&mut heartbeat, listener(), second);
    assert_eq!(heartbeat.deadline(), Some(seconds(12)));
    reconfigure(&mut heartbeat, listener(), seconds(5));
    assert_eq!(heartbeat.deadline(), Some(seconds(12)));
    // Messages, each time.
    let mut heartbeat = opened(plain());
    let feed = plain().message_timeout(Some(seconds(5)));
    for (config, now, due) in [
        (feed, 3, 8),
        (feed, 4, 8),
        (plain(), 5, 10),
        (feed, 7, 12), // The inbound watch is due at second 10.
    ] {
        reconfigure(&mut heartbeat, config, seconds(now));
        assert_eq!(heartbeat.deadline(), Some(seconds(due.min(10))));
    }
    assert_eq!(pings(&mut heartbeat, seconds(10)), [seconds(10)]);
    convicts(&mut heartbeat, seconds(12), CloseReason::MessageTimeout);
}

#[test]
fn a_doubt_that_is_switched_on_is_about_what_is_sent_from_then_on() {
    let doubting = plain().confirm_within(Some(seconds(2)));
    let mut heartbeat = opened(plain());
    handle(&mut heartbeat, Event::Sent, seconds(1));
    assert_eq!(reconfigure(&mut heartbeat, doubting, seconds(2)), []);
    arms(&mut heartbeat, Event::Sent, seconds(3), seconds(5));
    // What was in doubt is forgotten where it is switched off, also by listen-only.
    for off in [plain(), listener()] {
        let mut heartbeat = heartbeat.clone();
        reconfigure(&mut heartbeat, off, seconds(4));
        reconfigure(&mut heartbeat, doubting, seconds(4));
        assert!(heartbeat.deadline() >= Some(seconds(10)));
    }
    // And goes on where the settings still ask for it.
    let shorter = plain().confirm_within(Some(millis(1500)));
    assert_eq!(
        reconfigure(&mut heartbeat, shorter, seconds(4)),
        [Action::ArmDeadline(millis(4500))]
    );
}

#[test]
fn what_is_now_overdue_is_asked_for_a_millisecond_later_unless_a_tick_is_due_already() {
    let hasty = plain().ping_interval(seconds(5));
    for now in [seconds(5), seconds(7)] {
        let mut heartbeat = opened(plain());
        assert_eq!(
            reconfigure(&mut heartbeat, hasty, now),
            [Action::ArmDeadline(now + MILLISECOND)]
        );
    }
    for now in [seconds(10), seconds(12)] {
        let mut heartbeat = opened(plain());
        assert_eq!(reconfigure(&mut heartbeat, hasty, now), []);
        assert_eq!(heartbeat.deadline(), Some(seconds(10)));
    }
}

#[test]
fn a_verdict_that_was_put_off_falls_no_later_than_the_new_settings_put_it_off() {
    let patient = |config: ConfigBuilder| config.late_tolerance(seconds(4));
    let puts_off = |config: ConfigBuilder| {
        let mut heartbeat = opened(patient(config));
        only_arms(&mut heartbeat, seconds(20), seconds(24));
        heartbeat
    };
    type Lasting = fn(Duration) -> ConfigBuilder;
    let kinds: [(Lasting, CloseReason); 3] = [
        (idle_for, CloseReason::IdleTimeout),
        (feed, CloseReason::MessageTimeout),
        (login, CloseReason::LoginTimeout),
    ];
    for (lasting, reason) in kinds {
        // A longer tolerance changes nothing, a shorter one or a shorter time does.
        for (config, falls) in [
            (lasting(seconds(9)).late_tolerance(seconds(8)), 24),
            (lasting(seconds(9)).late_tolerance(seconds(2)), 23),
            (patient(lasting(seconds(1))), 22),
            (patient(lasting(seconds(21))), 24),
        ] {
            let mut heartbeat = puts_off(lasting(seconds(9)));
            reconfigure(&mut heartbeat, config, seconds(21));
            assert_eq!(heartbeat.deadline(), Some(seconds(falls)), "{config:?}");
            convicts(&mut heartbeat, HOUR, reason);
        }
        // Where the new time is not over yet, it was not put off.
        let mut heartbeat = puts_off(lasting(seconds(9)));
        reconfigure(&mut heartbeat, patient(lasting(seconds(22))), seconds(21));
        assert_eq!(heartbeat.deadline(), Some(seconds(22)));
        only_arms(&mut heartbeat, seconds(27), seconds(31));
    }
    // That of a dial stays.
    let mut heartbeat = dialling(patient(plain()));
    only_arms(&mut heartbeat, seconds(30), seconds(34));
    let hasty = plain().connect_timeout(seconds(1));
    assert_eq!(reconfigure(&mut heartbeat, hasty, seconds(31)), []);
    convicts(&mut heartbeat, HOUR, CloseReason::ConnectTimeout);
}

fn idle_for(idle_timeout: Duration) -> ConfigBuilder {
    listener().idle_timeout(idle_timeout)
}

#[test]
fn a_verdict_that_was_put_off_is_none_where_its_watch_is_off() {
    let mut heartbeat = opened(listener());
    only_arms(&mut heartbeat, seconds(20), seconds(21));
    assert_eq!(
        reconfigure(&mut heartbeat, plain(), seconds(20)),
        [Action::ArmDeadline(seconds(30))]
    );
    ping(&mut heartbeat, Event::Tick, seconds(30));

    let mut heartbeat = opened(feed(seconds(9)));
    only_arms(&mut heartbeat, seconds(20), seconds(21));
    for (config, now) in [(plain(), 20), (feed(seconds(9)), 20)] {
        reconfigure(&mut heartbeat, config, seconds(now));
    }
    ticks(&mut heartbeat, seconds(28));
    assert_eq!(heartbeat.deadline(), Some(seconds(29)));
    only_arms(&mut heartbeat, seconds(40), seconds(41));
}

#[test]
fn strict_pongs_switched_on_begins_the_inbound_watch_anew() {
    let strict = plain().strict_pongs(true);
    for (received, due) in [(1, 15), (8, 18)] {
        let mut heartbeat = opened(plain());
        if received == 1 {
            handle(&mut heartbeat, Event::Received, seconds(1));
        }
        assert_eq!(
            reconfigure(&mut heartbeat, strict, seconds(5)),
            [Action::ArmDeadline(seconds(15))]
        );
        // It is not begun again by other settings.
        assert_eq!(reconfigure(&mut heartbeat, strict, seconds(7)), []);
        if received == 8 {
            handle(&mut heartbeat, Event::Received, seconds(8));
        }
        // Switched off, it counts from the last activity, or from that beginning.
        reconfigure(&mut heartbeat, plain(), seconds(9));
        assert_eq!(heartbeat.deadline(), Some(seconds(due)));
    }
    // Or from the last pong that ended a probe.
    let (mut heartbeat, id) = pinged(strict);
    handle(&mut heartbeat, Event::Pong(id), seconds(12));
    reconfigure(&mut heartbeat, plain(), seconds(13));
    assert_eq!(heartbeat.deadline(), Some(seconds(22)));
}

#[test]
fn an_interval_is_drawn_again_as_the_one_in_force_was() {
    let again = |heartbeat: &mut Beat, now| {
        reconfigure(heartbeat, jittery(), now);
        now
    };
    let first = intervals(jittery(), |heartbeat| again(heartbeat, Duration::ZERO));
    fill(first, MILLISECOND, seconds(10));
    for (late, from) in [(seconds(0), seconds(8)), (seconds(2), seconds(1))] {
        let drawn = intervals(jittery(), |heartbeat| {
            let now = late_ping(heartbeat, late);
            again(heartbeat, now)
        });
        fill(drawn, from, seconds(10));
    }
    // It is another one.
    let mut heartbeat = opened(plain().jitter(0.5));
    let before = heartbeat.deadline();
    reconfigure(&mut heartbeat, plain().jitter(0.5), seconds(0));
    assert_ne!(heartbeat.deadline(), before);
}

#[test]
fn a_change_to_listen_only_ends_the_probe_and_the_row_of_misses() {
    let (mut heartbeat, _) = pinged(plain().max_missed(2));
    ping(&mut heartbeat, Event::Tick, seconds(14));
    assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (1, true));
    assert_eq!(
        reconfigure(&mut heartbeat, idle_for(seconds(30)), seconds(15)),
        [Action::ArmDeadline(seconds(45))]
    );
    assert_eq!((heartbeat.missed(), heartbeat.is_ping_out()), (0, false));
    // So does what was forgiven: idle may be put off in its turn.
    let (mut forgiven, _) = pinged(plain());
    ping(&mut forgiven, Event::Tick, seconds(20));
    reconfigure(&mut forgiven, listener(), seconds(20));
    assert_eq!(forgiven.deadline(), Some(seconds(29)));
    only_arms(&mut forgiven, seconds(31), seconds(32));
    convicts(&mut forgiven, seconds(32), CloseReason::IdleTimeout);

    reconfigure(&mut heartbeat, plain(), seconds(16));
    assert_eq!(pings(&mut heartbeat, seconds(26)), [seconds(26)]);
    convicts(&mut heartbeat, seconds(30), CloseReason::PongTimeout);
}

#[test]
fn healthy_within_is_asked_for_at_opened() {
    // Switched on later, it holds from the next connection on.
    let mut heartbeat = opened(plain());
    assert_eq!(
        reconfigure(&mut heartbeat, login(seconds(5)), seconds(1)),
        []
    );
    ping(&mut heartbeat, Event::Tick, seconds(10));
    handle(&mut heartbeat, ERROR, seconds(11));
    handle(&mut heartbeat, Event::Opened, seconds(12));
    convicts(&mut heartbeat, seconds(17), CloseReason::LoginTimeout);

    // Switched off before `Healthy`, the other watches begin then.
    let mut heartbeat = opened(login(seconds(60)).confirm_within(Some(seconds(1))));
    handle(&mut heartbeat, Event::Sent, seconds(1));
    let on = plain().confirm_within(Some(seconds(1)));
    assert_eq!(
        reconfigure(&mut heartbeat, on, seconds(3)),
        [Action::ArmDeadline(seconds(13))]
    );
    reconfigure(&mut heartbeat, login(seconds(5)), seconds(4));
    ping(&mut heartbeat, Event::Tick, seconds(13));

    // A new length counts from `Opened`.
    let mut heartbeat = opened(login(seconds(60)));
    for (length, now, due) in [(9, 3, seconds(9)), (30, 4, seconds(30))] {
        reconfigure(&mut heartbeat, login(seconds(length)), seconds(now));
        assert_eq!(heartbeat.deadline(), Some(due));
    }
    reconfigure(&mut heartbeat, login(seconds(2)), seconds(5));
    let soon = seconds(5) + MILLISECOND;
    assert_eq!(heartbeat.deadline(), Some(soon));
    convicts(&mut heartbeat, soon, CloseReason::LoginTimeout);
}

#[test]
fn other_settings_leave_a_login_that_is_awaited_alone() {
    let mut heartbeat = opened(login(seconds(60)));
    for config in [
        login(seconds(60)).message_timeout(Some(seconds(1))),
        login(seconds(60)).send_interval(Some(seconds(1))),
        login(seconds(60)).listen_only(true),
        login(seconds(60)).always_ping(true),
    ] {
        assert_eq!(reconfigure(&mut heartbeat, config, seconds(3)), []);
    }
    assert_eq!(heartbeat.deadline(), Some(seconds(60)));
}

// The network changed: open.

#[test]
fn a_change_of_network_pings_at_once_if_no_ping_is_out() {
    let mut heartbeat = opened(plain());
    ping(&mut heartbeat, Event::NetworkChanged, seconds(1));
    nothing(&mut heartbeat, Event::NetworkChanged, seconds(3));
    // A usual ping does not hold up the news that come after it.
    let (mut heartbeat, id) = pinged(plain());
    handle(&mut heartbeat, Event::Pong(id), millis(10_100));
    ping(&mut heartbeat, Event::NetworkChanged, millis(10_200));
}

#[test]
fn a_change_of_network_pings_nobody_before_healthy() {
    let mut heartbeat = opened(login(seconds(30)));
    nothing(&mut heartbeat, Event::NetworkChanged, seconds(1));
    handle(&mut heartbeat, Event::Healthy, seconds(2));
    assert_eq!(pings(&mut heartbeat, seconds(12)), [seconds(12)]);
}

/// News made a ping at second 1, which was answered at once.
fn told_once(config: ConfigBuilder) -> Beat {
    let mut heartbeat = opened(config);
    let id = ping(&mut heartbeat, Event::NetworkChanged, seconds(1));
    handle(&mut heartbeat, Event::Pong(id), seconds(1));
    heartbeat
}

#[test]
fn news_within_a_second_of_the_last_ping_that_news_made_wait_for_its_end() {
    let patient = plain().pong_timeout(seconds(9));
    let mut heartbeat = told_once(patient);
    arms(
        &mut heartbeat,
        Event::NetworkChanged,
        millis(1200),
        seconds(2),
    );
    // They come in bursts, and the last is the true one: there is one ping.
    for now in [1500, 1999] {
        nothing(&mut heartbeat, Event::NetworkChanged, millis(now));
    }
    // Activity meanwhile does not cancel it.
    handle(&mut heartbeat, Event::Message, millis(1999));
    only_arms(&mut heartbeat, millis(1999), seconds(2));
    ping(&mut heartbeat, Event::Tick, seconds(2));
    assert_eq!(heartbeat.deadline(), Some(seconds(7)));
    // That one counts as made by news, too.
    handle(&mut heartbeat, Event::Received, seconds(2));
    arms(
        &mut heartbeat,
        Event::NetworkChanged,
        millis(2100),
        seconds(3),
    );
    ping(&mut heartbeat, Event::Tick, seconds(3));
    handle(&mut heartbeat, Event::Received, seconds(3));
    ping(&mut heartbeat, Event::NetworkChanged, seconds(4));
}

#[test]
fn news_that_wait_where_a_tick_is_due_sooner_move_no_deadline() {
    let mut heartbeat = told_once(plain().pong_timeout(millis(500)));
    nothing(&mut heartbeat, Event::NetworkChanged, millis(1200));
    only_arms(&mut heartbeat, millis(1500), seconds(2));
    ping(&mut heartbeat, Event::Tick, seconds(2));
}

#[test]
fn the_next_ping_is_that_of_the_news_whatever_asks_for_it() {
    let doubting = plain().confirm_within(Some(millis(100)));
    let mut heartbeat = told_once(doubting.pong_timeout(seconds(9)));
    handle(&mut heartbeat, Event::NetworkChanged, millis(1400));
    handle(&mut heartbeat, Event::Sent, millis(1500));
    ping(&mut heartbeat, Event::Tick, millis(1600));
    // It has the short timeout, and there is no other at second 2.
    let mut answered = heartbeat.clone();
    assert_eq!(pings(&mut heartbeat, millis(6599)), []);
    convicts(&mut heartbeat, millis(6600), CloseReason::PongTimeout);
    handle(&mut answered, Event::Received, millis(1700));
    arms(
        &mut answered,
        Event::NetworkChanged,
        millis(1800),
        millis(2600),
    );
    assert_eq!(pings(&mut answered, millis(2600)), [millis(2600)]);
}

#[test]
fn the_second_of_the_news_runs_on_over_other_pings_and_what_leaves_late() {
    let doubting = plain().confirm_within(Some(millis(100)));
    let mut heartbeat = told_once(doubting);
    handle(&mut heartbeat, Event::Sent, millis(1200));
    let usual = ping(&mut heartbeat, Event::Tick, millis(1300));
    handle(&mut heartbeat, Event::PingSent(usual), millis(1500));
    handle(&mut heartbeat, Event::Received, millis(1600));
    let mut later = heartbeat.clone();
    arms(
        &mut heartbeat,
        Event::NetworkChanged,
        millis(1700),
        seconds(2),
    );
    ping(&mut later, Event::NetworkChanged, seconds(2));
    // Also where that ping is longer ago than can be told.
    let mut heartbeat = told_once(plain());
    for second in [11, 21, 4021] {
        let id = ping(&mut heartbeat, Event::Tick, seconds(second));
        handle(&mut heartbeat, Event::Pong(id), seconds(second));
    }
    ping(&mut heartbeat, Event::NetworkChanged, seconds(4021));
}

#[test]
fn a_change_to_listen_only_drops_news_that_wait() {
    let mut heartbeat = told_once(plain());
    handle(&mut heartbeat, Event::NetworkChanged, millis(1200));
    reconfigure(&mut heartbeat, listener(), millis(1300));
    reconfigure(&mut heartbeat, plain(), millis(1400));
    assert_eq!(pings(&mut heartbeat, millis(11_400)), [millis(11_400)]);
    assert_eq!(ticks(&mut heartbeat, millis(15_399)), []);
}

#[test]
fn a_ping_that_a_change_of_network_made_has_five_seconds() {
    let mut heartbeat = opened(plain().pong_timeout(seconds(9)));
    let id = PingId::from_bytes([0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, seconds(1)),
        [Action::SendPing(id), Action::ArmDeadline(seconds(6))]
    );
    convicts(&mut heartbeat, seconds(6), CloseReason::PongTimeout);
}

#[test]
fn a_change_of_network_leaves_a_ping_five_seconds_and_the_later_ones_all_of_theirs() {
    let (mut heartbeat, _) = pinged(plain().pong_timeout(seconds(9)).max_missed(2));
    arms(
        &mut heartbeat,
        Event::NetworkChanged,
        seconds(12),
        seconds(17),
    );
    // Asked again, it does not get longer.
    nothing(&mut heartbeat, Event::NetworkChanged, seconds(13));
    ping(&mut heartbeat, Event::Tick, seconds(17));
    only_arms(&mut heartbeat, seconds(17), seconds(26));
    convicts(&mut heartbeat, seconds(26), CloseReason::PongTimeout);
}

#[test]
fn a_change_of_network_gives_no_ping_more_time_than_it_had() {
    let (mut heartbeat, _) = pinged(plain());
    nothing(&mut heartbeat, Event::NetworkChanged, seconds(13));
    convicts(&mut heartbeat, seconds(14), CloseReason::PongTimeout);
}

#[test]
fn from_a_change_of_network_on_what_leaves_late_has_the_short_timeout() {
    let (mut heartbeat, id) = pinged(plain().pong_timeout(seconds(9)));
    arms(
        &mut heartbeat,
        Event::NetworkChanged,
        seconds(11),
        seconds(16),
    );
    handle(&mut heartbeat, Event::Draining, seconds(14));
    only_arms(&mut heartbeat, seconds(16), seconds(19));
    handle(&mut heartbeat, Event::PingSent(id), seconds(17));
    only_arms(&mut heartbeat, seconds(19), seconds(22));
    convicts(&mut heartbeat, seconds(22), CloseReason::PongTimeout);
}

#[test]
fn after_a_change_of_network_the_pings_of_the_row_have_the_short_timeout() {
    let mut heartbeat = opened(counted().pong_timeout(seconds(30)));
    ping(&mut heartbeat, Event::Tick, seconds(5));
    nothing(&mut heartbeat, Event::NetworkChanged, seconds(6));
    let second = ping(&mut heartbeat, Event::Tick, seconds(10));
    assert_eq!(heartbeat.deadline(), Some(seconds(11)));
    handle(&mut heartbeat, Event::PingSent(second), millis(10_500));
    assert_eq!(pings(&mut heartbeat, seconds(15)), [seconds(15)]);
    convicts(&mut heartbeat, millis(15_500), CloseReason::PongTimeout);
}

#[test]
fn where_the_timeout_adapts_a_change_of_network_leaves_what_round_trips_need() {
    let config = plain().pong_timeout(seconds(9));
    let adaptive = config.adaptive_timeout(Some(seconds(12)));
    for (round_trip, timeout) in [
        (millis(500), seconds(5)),
        (seconds(2), seconds(6)),
        (seconds(3), seconds(9)),
        (seconds(5), seconds(12)),
    ] {
        let (mut heartbeat, id) = pinged(adaptive);
        let now = seconds(10) + round_trip;
        handle(&mut heartbeat, Event::Pong(id), now);
        ping(&mut heartbeat, Event::NetworkChanged, now);
        let falls = verdict_falls(&mut heartbeat, Duration::ZERO);
        assert_eq!(falls, now + timeout, "{round_trip:?}");
    }
}

#[test]
fn in_listen_only_a_change_of_network_changes_nothing() {
    let mut heartbeat = opened(listener());
    nothing(&mut heartbeat, Event::NetworkChanged, seconds(1));
    assert_eq!(pings(&mut heartbeat, seconds(8)), []);
    convicts(&mut heartbeat, seconds(9), CloseReason::IdleTimeout);
}

/// Red in a release build of Rust 1.95 where the machine leaves the compiler a
/// chance to take the ping that is not out for one that was due at the origin.
#[test]
fn a_change_of_network_after_an_answer_brings_no_verdict_forward() {
    let now = seconds(3);
    let mut heartbeat = opened(plain());
    ping(&mut heartbeat, Event::NetworkChanged, now);
    handle(&mut heartbeat, Event::Received, now);
    arms(&mut heartbeat, Event::NetworkChanged, now, seconds(4));
    assert!(!heartbeat.is_ping_out());
    assert_eq!(heartbeat.verdict(seconds(60)), None);
}

// The network changed: waiting.

#[test]
fn a_change_of_network_makes_the_dial_earlier_once_a_wait() {
    let mut heartbeat = waiting(plain().backoff_floor(seconds(30)).backoff_base(seconds(30)));
    assert_eq!(heartbeat.deadline(), Some(LAST_DIAL + seconds(30)));
    let now = LAST_DIAL + seconds(5);
    let actions = handle(&mut heartbeat, Event::NetworkChanged, now);
    let at = heartbeat.deadline().unwrap();
    assert!((now + MILLISECOND..=now + seconds(1)).contains(&at));
    let attempt = 2;
    assert_eq!(
        actions,
        [
            Action::ScheduleReconnect { at, attempt },
            Action::ArmDeadline(at),
        ]
    );
    // Not even by a second draw that is shorter.
    for _ in 0..100 {
        nothing(&mut heartbeat, Event::NetworkChanged, now);
    }
    dials(&mut heartbeat, Event::Tick, at);
    // The next wait has its own.
    let now = at + seconds(2);
    let slow = Event::Error(Some(between(HOUR, HOUR)));
    assert_eq!(plans(&mut heartbeat, slow, now), (now + HOUR, 3));
    let (at, attempt) = plans(&mut heartbeat, Event::NetworkChanged, now);
    assert!(at <= now + seconds(1));
    assert_eq!(attempt, 3);
}

/// When the dial is after a change of network at this time, as it is drawn.
fn hastened(config: ConfigBuilder, end: Event, now: Duration) -> (Duration, Duration) {
    draws(|seed| {
        let mut heartbeat = Heartbeat::new(config.build().unwrap(), seed);
        handle(&mut heartbeat, Event::Start, seconds(0));
        handle(&mut heartbeat, end, seconds(0));
        handle(&mut heartbeat, Event::NetworkChanged, now);
        heartbeat.deadline().unwrap()
    })
}

#[test]
fn it_is_drawn_after_the_latest_of_now_the_hint_and_the_second_after_the_last_dial() {
    let slow = plain().policy(|_| between(HOUR, HOUR));
    let (ms, s) = (MILLISECOND, seconds);
    fill(hastened(slow, ERROR, s(7)), s(7) + ms, s(8));
    fill(hastened(slow, ERROR, millis(200)), s(1) + ms, s(2));
    let hinted = Event::Closed(Closed::default().retry_after(s(30)));
    fill(hastened(slow, hinted, s(7)), s(30) + ms, s(31));
    fill(hastened(slow, hinted, s(40)), s(40) + ms, s(41));
}

#[test]
fn no_change_of_network_makes_a_dial_later_or_plans_the_same_again() {
    // The dial would be a second after the last one at the earliest.
    let mut heartbeat = waiting(plain().backoff_base(seconds(1)).backoff_cap(seconds(1)));
    assert_eq!(heartbeat.deadline(), Some(LAST_DIAL + seconds(1)));
    nothing(&mut heartbeat, Event::NetworkChanged, LAST_DIAL);

    let hasty = plain().backoff_floor(millis(100)).backoff_base(millis(100));
    let mut heartbeat = waiting(hasty);
    let at = LAST_DIAL + millis(100);
    assert_eq!(heartbeat.deadline(), Some(at));
    nothing(&mut heartbeat, Event::NetworkChanged, at - MILLISECOND);
}

// The network changed: connecting.

#[test]
fn a_dial_that_is_a_second_old_is_replaced_once() {
    let mut heartbeat = dialling(plain());
    fail(&mut heartbeat, ERROR, seconds(0));
    let dialled = MILLISECOND;
    let young = dialled + seconds(1) - NANOSECOND;
    nothing(&mut heartbeat, Event::NetworkChanged, young);
    let epoch = heartbeat.epoch();
    let now = dialled + seconds(1);
    assert_eq!(
        handle(&mut heartbeat, Event::NetworkChanged, now),
        [
            Action::Close(CloseReason::Reconnect),
            Action::Connect,
            Action::ArmDeadline(now + seconds(20)),
        ]
    );
    // It is not a down, and keeps the attempt count.
    assert_eq!(heartbeat.attempt(), 1);
    assert_ne!(heartbeat.epoch(), epoch);
    for later in [1, 5, 19] {
        nothing(&mut heartbeat, Event::NetworkChanged, now + seconds(later));
    }
    // The dial after that is no replacement.
    let now = seconds(30);
    dials(&mut heartbeat, Event::ReconnectNow, now);
    let now = now + seconds(1);
    dials(&mut heartbeat, Event::NetworkChanged, now);
}

#[test]
fn a_replacement_has_a_put_off_of_its_own() {
    let mut heartbeat = dialling(plain());
    only_arms(&mut heartbeat, seconds(22), seconds(23));
    dials(&mut heartbeat, Event::NetworkChanged, millis(22_500));
    let late = millis(42_500) + seconds(2);
    only_arms(&mut heartbeat, late, late + seconds(1));
    convicts(&mut heartbeat, late + HOUR, CloseReason::ConnectTimeout);
}

// The network changed: the next two delays.

/// After the attempt count of `attempt`, and a change of network in Waiting or, `dialled`,
/// in the dial that follows: the delay that is `nth` after it, where what ends a dial
/// before is `end`.
fn quick(attempt: u32, dialled: bool, nth: u32, end: Event) -> (Duration, Duration) {
    draws(|seed| {
        let mut heartbeat = Heartbeat::new(Config::default(), seed);
        let mut now = Duration::ZERO;
        handle(&mut heartbeat, Event::Start, now);
        for _ in 1..attempt {
            now += fail(&mut heartbeat, ERROR, now);
        }
        let (planned, _) = plans(&mut heartbeat, ERROR, now);
        if !dialled {
            handle(&mut heartbeat, Event::NetworkChanged, planned - seconds(1));
        }
        now = heartbeat.deadline().unwrap();
        dials(&mut heartbeat, Event::Tick, now);
        if dialled {
            nothing(&mut heartbeat, Event::NetworkChanged, now);
        }
        for _ in 1..nth {
            now += fail(&mut heartbeat, end, now);
        }
        let (at, planned) = plans(&mut heartbeat, ERROR, now);
        assert_eq!(planned, attempt + nth);
        at - now
    })
}

#[test]
fn after_a_change_the_next_two_delays_that_back_off_are_drawn_as_the_first_two_are() {
    for dialled in [false, true] {
        let delays = |nth| quick(8, dialled, nth, ERROR);
        fill(delays(1), MILLISECOND, seconds(5));
        fill(delays(2), seconds(1), seconds(2));
        fill(delays(3), seconds(1), seconds(60));
    }
    // Early on as well.
    fill(quick(1, true, 3, ERROR), seconds(1), seconds(8));
}

#[test]
fn what_does_not_back_off_uses_up_no_quick_delay() {
    for end in [refused(404), closed(1012)] {
        for nth in [2, 3] {
            fill(quick(8, true, nth, end), MILLISECOND, seconds(5));
        }
    }
}

#[test]
fn a_new_change_makes_it_two_again_and_a_reset_ends_it() {
    let path = |again: bool, seed| {
        let mut heartbeat = Heartbeat::new(Config::default(), seed);
        let mut now = Duration::ZERO;
        handle(&mut heartbeat, Event::Start, now);
        for _ in 0..8 {
            now += fail(&mut heartbeat, ERROR, now);
        }
        nothing(&mut heartbeat, Event::NetworkChanged, now);
        now += fail(&mut heartbeat, ERROR, now);
        if again {
            nothing(&mut heartbeat, Event::NetworkChanged, now);
            let (at, _) = plans(&mut heartbeat, ERROR, now);
            return at - now;
        }
        // One quick delay is left; after the reset there are the first and the second.
        handle(&mut heartbeat, Event::Opened, now);
        handle(&mut heartbeat, Event::Received, now);
        now += seconds(10);
        now += fail(&mut heartbeat, ERROR, now);
        assert_eq!(heartbeat.attempt(), 1);
        let (at, _) = plans(&mut heartbeat, ERROR, now);
        at - now
    };
    fill(draws(|seed| path(true, seed)), MILLISECOND, seconds(5));
    fill(draws(|seed| path(false, seed)), seconds(1), seconds(2));
}

// Reconnect now.

#[test]
fn reconnect_now_is_no_down_and_keeps_the_attempt_count() {
    let mut heartbeat = dialling(plain());
    fail(&mut heartbeat, ERROR, seconds(0));
    handle(&mut heartbeat, Event::Opened, seconds(1));
    let epoch = heartbeat.epoch();
    assert_eq!(
        handle(&mut heartbeat, Event::ReconnectNow, seconds(2)),
        [
            Action::Close(CloseReason::Reconnect),
            Action::Connect,
            Action::ArmDeadline(seconds(22)),
        ]
    );
    assert_eq!(heartbeat.attempt(), 1);
    assert_ne!(heartbeat.epoch(), epoch);
}

#[test]
fn reconnect_now_does_not_wait_out_the_delay_or_the_hint() {
    let mut heartbeat = dialling(plain());
    let hinted = Closed::default().retry_after(HOUR);
    plans(&mut heartbeat, Event::Closed(hinted), seconds(3));
    dials(&mut heartbeat, Event::ReconnectNow, seconds(4));
}

// No hot loop.

#[test]
fn what_the_application_asks_for_dials_a_second_after_the_last_dial_at_the_earliest() {
    let paths: [(&[Event], &[CloseReason]); 4] = [
        (&[Event::Opened], &[CloseReason::Reconnect]),
        (&[Event::Opened, Event::Stop], &[CloseReason::Reconnect]),
        (&[Event::Stop], &[]),
        (&[refused(401), Event::Stop], &[]),
    ];
    for (path, closes) in paths {
        for event in [Event::ReconnectNow, Event::Start] {
            let mut heartbeat = dialling(plain());
            for &before in path {
                handle(&mut heartbeat, before, millis(200));
            }
            if event == Event::Start && heartbeat.state() == State::Open {
                continue;
            }
            let (at, attempt) = (seconds(1), 0);
            let mut expected = Vec::from_iter(closes.iter().copied().map(Action::Close));
            expected.push(Action::ScheduleReconnect { at, attempt });
            expected.push(Action::ArmDeadline(at));
            assert_eq!(handle(&mut heartbeat, event, millis(500)), expected);
            // Said again it changes nothing.
            nothing(&mut heartbeat, event, millis(600));
            dials(&mut heartbeat, Event::Tick, at);
        }
    }
}

#[test]
fn in_waiting_the_dial_moves_to_the_end_of_that_second_if_it_was_later() {
    let slow = plain().policy(|_| between(seconds(20), seconds(20)));
    let mut heartbeat = dialling(slow);
    let hinted = Closed::default().retry_after(HOUR);
    handle(&mut heartbeat, Event::Closed(hinted), millis(200));
    let (at, attempt) = (seconds(1), 1);
    assert_eq!(
        handle(&mut heartbeat, Event::ReconnectNow, millis(300)),
        [
            Action::ScheduleReconnect { at, attempt },
            Action::ArmDeadline(at),
        ]
    );
    nothing(&mut heartbeat, Event::ReconnectNow, millis(400));
    dials(&mut heartbeat, Event::Tick, at);
    // What backs off by itself may come sooner, and stays.
    let mut heartbeat = dialling(plain());
    handle(&mut heartbeat, ERROR, millis(200));
    nothing(&mut heartbeat, Event::ReconnectNow, millis(200));
    dials(&mut heartbeat, Event::Tick, millis(201));
}

#[test]
fn a_dial_that_is_younger_than_five_seconds_is_the_new_connection() {
    let mut heartbeat = dialling(plain());
    for now in [seconds(0), seconds(1), seconds(5) - NANOSECOND] {
        nothing(&mut heartbeat, Event::ReconnectNow, now);
    }
    dials(&mut heartbeat, Event::ReconnectNow, seconds(5));
    nothing(&mut heartbeat, Event::ReconnectNow, seconds(9));
}

#[test]
fn a_between_dials_a_second_after_the_last_dial_at_the_earliest() {
    let soon = between(MILLISECOND, MILLISECOND);
    let own = Event::Error(Some(soon));
    let hinted = |hint| {
        let closed = Closed::default().retry(soon);
        Event::Closed(closed.retry_after(millis(hint)))
    };
    for (event, now, at) in [
        (own, 200, 1000),
        (own, 999, 1000),
        (own, 1000, 1001),
        (own, 7000, 7001),
        (hinted(100), 200, 1000),
        (hinted(900), 200, 1101),
    ] {
        let planned = plans(&mut dialling(plain()), event, millis(now));
        assert_eq!(planned, (millis(at), 1), "{event:?} at {now}");
    }
    let hasty = plain().policy(|_| between(MILLISECOND, MILLISECOND));
    let planned = plans(&mut dialling(hasty), ERROR, millis(200));
    assert_eq!(planned, (seconds(1), 1));
    // The machine's own delays are as they are.
    let hundred = plain()
        .backoff_floor(millis(100))
        .backoff_base(millis(100))
        .backoff_cap(millis(100));
    for retry in [Retry::Backoff, Retry::Spread] {
        let mut heartbeat = dialling(hundred);
        fail(&mut heartbeat, ERROR, millis(0));
        let (at, _) = plans(&mut heartbeat, Event::Error(Some(retry)), millis(1));
        assert_eq!(at, millis(101));
    }
}

#[test]
fn what_was_never_dialled_is_dialled_at_once() {
    let mut heartbeat = idle(plain());
    handle(&mut heartbeat, Event::Opened, seconds(0));
    dials(&mut heartbeat, Event::ReconnectNow, seconds(0));
    let mut heartbeat = idle(plain());
    handle(&mut heartbeat, Event::Stop, seconds(0));
    dials(&mut heartbeat, Event::Start, seconds(0));
}

// What the application says of a connection, and of itself.

#[test]
fn the_first_healthy_of_a_connection_counts() {
    let mut heartbeat = opened(login(seconds(30)));
    handle(&mut heartbeat, Event::Healthy, seconds(2));
    // Later ones do not begin the watches anew.
    handle(&mut heartbeat, Event::Healthy, seconds(5));
    assert_eq!(pings(&mut heartbeat, seconds(12)), [seconds(12)]);
    handle(&mut heartbeat, Event::Healthy, seconds(13));
    convicts(&mut heartbeat, seconds(16), CloseReason::PongTimeout);
    // Each connection needs its own.
    handle(&mut heartbeat, Event::Opened, seconds(17));
    convicts(&mut heartbeat, seconds(47), CloseReason::LoginTimeout);
}

#[test]
fn give_up_is_a_down_on_which_we_close() {
    for begin in [dialling, opened] {
        let mut heartbeat = begin(plain());
        let actions = handle(
            &mut heartbeat,
            Event::GiveUp(Closed::with_code(CloseCode(4001))),
            seconds(2),
        );
        let (at, attempt) = (seconds(2) + MILLISECOND, 1);
        assert_eq!(
            actions,
            [
                Action::Close(CloseReason::GivenUp),
                Action::ScheduleReconnect { at, attempt },
                Action::ArmDeadline(at),
            ]
        );
    }
}

#[test]
fn after_stopped_nothing_is_due_until_it_begins_again_with_attempt_0() {
    for (begin, state) in [
        (Event::Start, State::Connecting),
        (Event::ReconnectNow, State::Connecting),
        (Event::Opened, State::Open),
    ] {
        let mut heartbeat = waiting(plain());
        let stopped = [Action::Stopped(StopReason::Requested)];
        assert_eq!(handle(&mut heartbeat, Event::Stop, seconds(20)), stopped);
        assert_eq!(heartbeat.deadline(), None);
        assert_eq!(heartbeat.attempt(), 2);
        for void in [
            Event::Tick,
            Event::Received,
            Event::Healthy,
            Event::Stop,
            ERROR,
            Event::NetworkChanged,
        ] {
            nothing(&mut heartbeat, void, seconds(30));
        }
        handle(&mut heartbeat, begin, seconds(40));
        assert_eq!((heartbeat.state(), heartbeat.attempt()), (state, 0));
    }
}
