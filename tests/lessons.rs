//! How heartbeats written elsewhere break, and what this one does in the same place.
//!
//! | what happens elsewhere | here |
//! | --- | --- |
//! | `close()` on a half-open socket brings no close event, and the reconnect waits for it | `a_dead_peer_is_abandoned_and_the_next_dial_planned_in_one_step` |
//! | the detector fires and nobody acts | the same: a verdict is an action, and `Actions` must be used |
//! | a late timer kills a healthy link, although the pong lies unread | `a_late_verdict_gives_the_pong_that_lies_unread_a_chance`; over sockets `blocking::suspend`, `session`, `.ci/run late-clock` |
//! | the old socket's late event hits the new one | `what_an_old_socket_says_late_is_not_heard` |
//! | error and close both count as a failure | `an_error_and_its_close_are_one_failure` |
//! | the state of a ping survives the reconnect and kills the fresh socket | `a_ping_does_not_outlive_its_connection` |
//! | inbound traffic postpones the ping for ever, and the proxy hears nothing | `a_client_that_only_listens_is_heard_all_the_same` |
//! | outbound traffic postpones it, and a dead peer is never noticed | `what_goes_out_is_no_sign_of_life` |
//! | only the pong counts, and it queues behind a big message | `some_bytes_of_a_message_are_life`; over sockets `a_frame_that_takes_long_is_life` |
//! | one lost pong kills | `one_lost_pong_need_not_kill` |
//! | the deadline of a pong is moved by the next ping, so it never comes | `no_ping_moves_the_deadline_of_another` |
//! | backoff starts afresh at each open: a hot loop against a server that accepts and drops | `a_server_that_accepts_and_drops_is_not_hammered` |
//! | no jitter, or none at the cap; no delay at all after 1015 tries | `the_delays_of_the_last_attempts_are_spread_too` |
//! | a stop during the backoff still reconnects | `a_stop_while_waiting_is_the_end` |
//! | "reconnect now" waits out the old delay | `reconnect_now_does_not_wait` |
//! | a dial hangs for ever | `a_dial_that_hangs_is_a_failure_like_any_other` |
//! | 1001, 1012 and 1013 are all treated alike | `close_codes_are_told_apart` |
//! | the ping blocks in its own send | `a_ping_that_cannot_leave_has_a_deadline`; over sockets `a_reader_that_is_stuck_is_given_up` |
//! | throttled timers, one wake a minute | `a_throttled_timer_convicts_the_dead_and_nobody_else` |
//! | blocking read and ping in one thread | the adapter `blocking`, and `tests/blocking.rs` |
//! | failures are counted for ever | `a_stable_connection_forgives_what_was_before` |
//! | opening alone sets the count of attempts back | `opening_alone_forgives_nothing` |
//! | a ping that stands behind one large message convicts a slow uplink | `a_slow_uplink_is_not_a_dead_peer` |
//! | a server that recycles its sockets with 1000, or answers 404 for a minute, silences its clients for good | `no_code_and_no_status_silences_a_client_for_good` |
//! | a server that counts heartbeats and nothing else throws a busy client out | `a_busy_client_beats_as_often_as_a_silent_one` |
//! | the gateway lives, the backend is dead | `a_gateway_does_not_answer_for_the_backend` |
//! | pongs flow, the subscription is silent for hours | `pongs_do_not_stand_for_data` |
//! | a heartbeat before the login gets the client thrown out | `nothing_beats_before_the_login` |
//! | an overloaded server's `Retry-After` is ignored, or brings the crowd back in step | `a_hint_is_kept_and_keeps_nobody_in_step` |
//! | nobody asks soon whether a message arrived | `what_was_sent_is_asked_about_soon` |
//! | the application reconnects on each refusal, in a hot loop | `an_application_that_insists_dials_once_a_second` |
//!
//! Each was seen to fail with the machine broken in that point.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use core::time::Duration;
use std::collections::BTreeSet;

use keepalive::{
    Action, CloseCode, CloseReason, Closed, Config, Epoch, Event, Heartbeat, Loss, Manner, PingId,
    Refused, Retry, State, StopReason, default_policy,
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

struct Watched {
    heartbeat: Heartbeat<Duration>,
    now: Duration,
}

impl Watched {
    /// Open since second 0.
    fn open(config: Config) -> Self {
        let mut watched = Self {
            heartbeat: Heartbeat::new(config, 7),
            now: Duration::ZERO,
        };
        watched.tell(Event::Start);
        watched.tell(Event::Opened);
        watched
    }

    fn tell(&mut self, event: Event) -> Vec<Action<Duration>> {
        self.heartbeat.handle(event, self.now).collect()
    }

    fn tell_from(&mut self, epoch: Epoch, event: Event) -> Vec<Action<Duration>> {
        self.heartbeat.handle_from(epoch, event, self.now).collect()
    }

    /// Ticks on time until a tick does something, and returns what it did.
    fn tick(&mut self) -> Vec<Action<Duration>> {
        loop {
            self.now = self.heartbeat.deadline().expect("something is awaited");
            let actions = self.tell(Event::Tick);
            if !matches!(actions.as_slice(), [Action::ArmDeadline(_)]) {
                return actions;
            }
        }
    }

    fn tick_at(&mut self, at: f64) -> Vec<Action<Duration>> {
        self.now = seconds(at);
        self.tell(Event::Tick)
    }

    /// The ping that goes out when it is due.
    fn ping(&mut self) -> PingId {
        ping_in(&self.tick()).expect("a ping is due")
    }

    /// Fails the connection or the dial, and waits for the next dial.
    fn fail(&mut self) -> Duration {
        let planned = planned_in(&self.tell(Event::Error(None))).expect("it reconnects");
        let delay = planned - self.now;
        assert_eq!(self.tick()[0], Action::Connect);
        delay
    }
}

fn ping_in(actions: &[Action<Duration>]) -> Option<PingId> {
    actions.iter().find_map(|action| match action {
        Action::SendPing(id) => Some(*id),
        _ => None,
    })
}

fn planned_in(actions: &[Action<Duration>]) -> Option<Duration> {
    actions.iter().find_map(|action| match action {
        Action::ScheduleReconnect { at, .. } => Some(*at),
        _ => None,
    })
}

fn convicts(actions: &[Action<Duration>]) -> bool {
    actions.first() == Some(&Action::Close(CloseReason::PongTimeout))
}

#[test]
fn a_dead_peer_is_abandoned_and_the_next_dial_planned_in_one_step() {
    let mut watched = Watched::open(Config::article());
    watched.ping();
    let actions = watched.tick();
    assert_eq!(watched.now, seconds(12.0));
    let [
        Action::Close(reason),
        Action::ScheduleReconnect { at, attempt: 1 },
        armed,
    ] = actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(reason, CloseReason::PongTimeout);
    assert_eq!(reason.manner(), Manner::Abandon);
    assert_eq!(armed, Action::ArmDeadline(at));
    assert_eq!(watched.heartbeat.state(), State::Waiting);
}

#[test]
fn a_late_verdict_gives_the_pong_that_lies_unread_a_chance() {
    let mut watched = Watched::open(Config::article());
    let ping = watched.ping();
    // The process was away for a minute; its first tick comes before it has read.
    assert!(ping_in(&watched.tick_at(62.0)).is_some());
    assert!(watched.tell(Event::Pong(ping)).is_empty());
    assert!(ping_in(&watched.tick()).is_some());
    // But a clock that is always late does not save the dead.
    let mut watched = Watched::open(Config::article());
    watched.ping();
    watched.tick_at(62.0);
    assert!(convicts(&watched.tick_at(120.0)));
}

#[test]
fn what_an_old_socket_says_late_is_not_heard() {
    let mut watched = Watched::open(Config::article());
    let old = watched.heartbeat.epoch();
    watched.fail();
    watched.tell(Event::Opened);
    let before = format!("{:?}", watched.heartbeat);
    let late = [
        Event::Error(None),
        Event::Closed(Closed::default()),
        Event::Opened,
        Event::Received,
        Event::Tick,
    ];
    for event in late {
        assert_eq!(watched.tell_from(old, event), []);
        assert_eq!(format!("{:?}", watched.heartbeat), before, "{event:?}");
    }
}

#[test]
fn an_error_and_its_close_are_one_failure() {
    let both = [Event::Error(None), Event::Closed(Closed::default())];
    for (first, second) in [(both[0], both[1]), (both[1], both[0])] {
        let mut watched = Watched::open(Config::article());
        assert!(planned_in(&watched.tell(first)).is_some());
        assert_eq!(watched.tell(second), []);
        assert_eq!(watched.heartbeat.attempt(), 1);
    }
    // Nor does an error after the verdict count.
    let mut watched = Watched::open(Config::article());
    watched.ping();
    watched.tick();
    assert_eq!(watched.tell(Event::Error(None)), []);
    assert_eq!(watched.heartbeat.attempt(), 1);
}

#[test]
fn a_ping_does_not_outlive_its_connection() {
    let mut watched = Watched::open(Config::article());
    let old = watched.ping();
    watched.fail();
    watched.tell(Event::Opened);
    let opened = watched.now;
    assert!(!watched.heartbeat.is_ping_out());
    assert_eq!(watched.heartbeat.awaited_ping(), None);
    // The first thing that is due is a ping, not a verdict on the old one.
    let new = watched.ping();
    assert_eq!(watched.now, opened + seconds(2.0));
    assert_ne!(new, old);
    // The pong of the old one would be no round trip of the new.
    watched.tell(Event::Pong(old));
    assert_eq!(watched.heartbeat.round_trip(), None);
}

#[test]
fn a_client_that_only_listens_is_heard_all_the_same() {
    let config = Config::article().to_builder();
    let config = config.send_interval(Some(seconds(5.0))).build().unwrap();
    let mut watched = Watched::open(config);
    let mut pings = Vec::new();
    for tenths in 1..=200_u32 {
        watched.now = seconds(f64::from(tenths) / 10.0);
        watched.tell(Event::Received);
        if ping_in(&watched.tell(Event::Tick)).is_some() {
            pings.push(watched.now);
        }
    }
    assert_eq!(pings, [5.0, 10.0, 15.0, 20.0].map(seconds));
}

#[test]
fn what_goes_out_is_no_sign_of_life() {
    let mut watched = Watched::open(Config::article());
    let mut verdict = None;
    for tenths in 1..=200_u32 {
        watched.now = seconds(f64::from(tenths) / 10.0);
        watched.tell(Event::Sent);
        if convicts(&watched.tell(Event::Tick)) {
            verdict.get_or_insert(watched.now);
        }
    }
    assert_eq!(verdict, Some(seconds(12.0)));
}

#[test]
fn some_bytes_of_a_message_are_life() {
    let mut watched = Watched::open(Config::article());
    let ping = watched.ping();
    // The pong is far behind; the message before it comes in bit by bit.
    for second in 3..=60 {
        watched.now = seconds(f64::from(second));
        watched.tell(Event::Received);
        assert!(!convicts(&watched.tell(Event::Tick)));
    }
    let last = watched.heartbeat.awaited_ping().unwrap();
    assert!(last.sequence() >= ping.sequence());
    watched.tell(Event::Pong(last));
    assert!(watched.heartbeat.round_trip().is_some());
}

#[test]
fn one_lost_pong_need_not_kill() {
    let config = Config::article().to_builder().max_missed(2);
    let mut watched = Watched::open(config.build().unwrap());
    watched.ping();
    let second = watched.ping();
    assert_eq!(watched.now, seconds(12.0));
    assert_eq!(watched.heartbeat.missed(), 1);
    watched.tell(Event::Pong(second));
    assert_eq!(watched.heartbeat.missed(), 0);
    watched.ping();
    watched.ping();
    assert!(convicts(&watched.tick()));
}

#[test]
fn no_ping_moves_the_deadline_of_another() {
    // Pings would be due far more often than answers take.
    let config = Config::article().to_builder();
    let config = config.ping_interval(seconds(0.1)).build().unwrap();
    let mut watched = Watched::open(config);
    watched.ping();
    assert_eq!(watched.now, seconds(0.1));
    assert!(convicts(&watched.tick()));
    assert_eq!(watched.now, seconds(10.1));
    // Nor does a change of network, told again and again.
    let mut watched = Watched::open(config);
    watched.ping();
    let mut last = watched.heartbeat.deadline();
    for _ in 0..50 {
        watched.now += seconds(0.05);
        assert_eq!(ping_in(&watched.tell(Event::NetworkChanged)), None);
        assert!(watched.heartbeat.deadline() <= last);
        last = watched.heartbeat.deadline();
    }
    assert!(convicts(&watched.tick()));
    assert!(watched.now <= seconds(5.2));
}

#[test]
fn a_server_that_accepts_and_drops_is_not_hammered() {
    let mut watched = Watched::open(Config::default());
    let (mut dials, hour) = (0, seconds(3600.0));
    while watched.now < hour {
        // It even says something, but does not last.
        watched.tell(Event::Received);
        watched.now += MILLISECOND;
        watched.fail();
        watched.tell(Event::Opened);
        dials += 1;
    }
    println!("{dials} dials in an hour");
    assert!((60..=200).contains(&dials), "{dials}");
}

#[test]
fn the_delays_of_the_last_attempts_are_spread_too() {
    let config = Config::default();
    let mut watched = Watched::open(config);
    let mut delays = BTreeSet::new();
    for _ in 0..1200 {
        delays.insert(watched.fail());
    }
    assert_eq!(watched.heartbeat.attempt(), 1200);
    assert!(delays.iter().all(|&delay| delay <= config.backoff_cap()));
    // Nobody has the delay of another, and they reach over the whole range.
    assert_eq!(delays.len(), 1200);
    let late: Vec<_> = delays.iter().rev().take(400).collect();
    assert!(**late.last().unwrap() > seconds(35.0) && *late[0] > seconds(59.0));
    assert!(
        delays
            .iter()
            .filter(|&&delay| delay < seconds(20.0))
            .count()
            > 200
    );
}

#[test]
fn a_stop_while_waiting_is_the_end() {
    let mut watched = Watched::open(Config::article());
    let planned = planned_in(&watched.tell(Event::Error(None))).unwrap();
    assert_eq!(
        watched.tell(Event::Stop),
        [Action::Stopped(StopReason::Requested)]
    );
    assert_eq!(watched.heartbeat.deadline(), None);
    watched.now = planned + seconds(1.0);
    assert_eq!(watched.tell(Event::Tick), []);
    assert_eq!(watched.heartbeat.state(), State::Stopped);
}

#[test]
fn reconnect_now_does_not_wait() {
    let mut watched = Watched::open(Config::article());
    watched.fail();
    watched.fail();
    let planned = planned_in(&watched.tell(Event::Error(None))).unwrap();
    watched.now += seconds(1.0);
    assert!(planned > watched.now);
    let actions = watched.tell(Event::ReconnectNow);
    assert_eq!(actions[0], Action::Connect);
    watched.tell(Event::Opened);
    // The dial that was planned does not come as well.
    watched.now = planned;
    assert_eq!(watched.heartbeat.state(), State::Open);
    assert!(!watched.tell(Event::Tick).contains(&Action::Connect));
}

#[test]
fn a_dial_that_hangs_is_a_failure_like_any_other() {
    let mut watched = Watched::open(Config::default());
    watched.fail();
    let begun = watched.now;
    let actions = watched.tick();
    assert_eq!(watched.now, begun + seconds(20.0));
    assert_eq!(actions[0], Action::Close(CloseReason::ConnectTimeout));
    assert!(planned_in(&actions).is_some());
    assert_eq!(watched.heartbeat.attempt(), 2);
}

#[test]
fn close_codes_are_told_apart() {
    let delays = |code| -> Option<(Duration, Duration)> {
        let mut drawn = Vec::new();
        for seed in 0..2000 {
            let mut heartbeat = Heartbeat::new(Config::default(), seed);
            heartbeat
                .handle(Event::Opened, Duration::ZERO)
                .for_each(drop);
            let closed = Event::Closed(Closed::with_code(CloseCode(code)));
            let actions: Vec<_> = heartbeat.handle(closed, Duration::ZERO).collect();
            drawn.push(planned_in(&actions)?);
        }
        Some((*drawn.iter().min()?, *drawn.iter().max()?))
    };
    let near = |drawn: Option<(Duration, Duration)>, least: f64, greatest: f64| {
        let (first, last) = drawn.expect("it comes back");
        let edge = seconds((greatest - least) / 50.0);
        assert!(first >= seconds(least) && first < seconds(least) + edge);
        assert!(last <= seconds(greatest) && last > seconds(greatest) - edge);
    };
    near(delays(1001), 0.0, 5.0);
    near(delays(1012), 5.0, 30.0);
    near(delays(1013), 1.0, 60.0);
    near(delays(4000), 0.0, 5.0);
    near(delays(1000), 0.0, 5.0);
    near(delays(1008), 1.0, 60.0);
    let wrong = [1002, 1003, 1007, 1008, 1009, 1010, 1013, 1015];
    for code in 0..=u16::MAX {
        let retry = default_policy(Loss::Closed(Some(CloseCode(code))));
        assert_ne!(retry, Retry::Stop);
        assert_eq!(retry == Retry::Spread, wrong.contains(&code), "{code}");
    }
}

#[test]
fn a_ping_that_cannot_leave_has_a_deadline() {
    let mut watched = Watched::open(Config::article());
    watched.ping();
    // It never leaves the write buffer, so no `PingSent` comes.
    assert!(convicts(&watched.tick()));
    assert_eq!(watched.now, seconds(12.0));
    // What leaves late has its whole time from there, once.
    let mut watched = Watched::open(Config::article());
    let ping = watched.ping();
    watched.now = seconds(9.0);
    watched.tell(Event::PingSent(ping));
    watched.now = seconds(11.0);
    watched.tell(Event::PingSent(ping));
    assert!(convicts(&watched.tick()));
    assert_eq!(watched.now, seconds(19.0));
}

#[test]
fn a_throttled_timer_convicts_the_dead_and_nobody_else() {
    let minute = |number: u32| f64::from(number) * 60.0;
    // Each pong lies there at the next wake, read before the tick.
    let mut watched = Watched::open(Config::default());
    let mut pings = 0;
    for wake in 1..=60 {
        watched.now = seconds(minute(wake));
        if let Some(id) = watched.heartbeat.awaited_ping() {
            watched.tell(Event::Pong(id));
        }
        let actions = watched.tell(Event::Tick);
        assert!(!convicts(&actions), "at wake {wake}");
        pings += u32::from(ping_in(&actions).is_some());
    }
    assert!(pings >= 20, "{pings}");
    // And where none ever comes, three wakes are enough: a ping, another one since
    // this was late, the verdict.
    let mut watched = Watched::open(Config::default());
    let verdict = (1..=10).find(|&wake| convicts(&watched.tick_at(minute(wake))));
    assert_eq!(verdict, Some(3));
}

#[test]
fn a_stable_connection_forgives_what_was_before() {
    let mut watched = Watched::open(Config::default());
    for _ in 0..5 {
        watched.fail();
    }
    watched.tell(Event::Opened);
    watched.tell(Event::Received);
    watched.now += seconds(10.0);
    assert!(watched.fail() <= seconds(5.0));
    assert_eq!(watched.heartbeat.attempt(), 1);
    // So does the application's word, where the connection lasts: two tabs that log
    // each other out would dial without an end otherwise.
    for (lasts, attempt) in [(0.0, 7), (10.0, 1)] {
        let mut watched = Watched::open(Config::default());
        for _ in 0..6 {
            watched.fail();
        }
        watched.tell(Event::Opened);
        watched.tell(Event::Healthy);
        watched.now += seconds(lasts);
        watched.fail();
        assert_eq!(watched.heartbeat.attempt(), attempt);
    }
}

#[test]
fn opening_alone_forgives_nothing() {
    let mut watched = Watched::open(Config::default());
    for attempt in 1..=6 {
        // It is up for an hour, mute, and pinged again and again.
        watched.now += seconds(3600.0);
        watched.fail();
        assert_eq!(watched.heartbeat.attempt(), attempt);
        watched.tell(Event::Opened);
    }
}

#[test]
fn a_slow_uplink_is_not_a_dead_peer() {
    let mut watched = Watched::open(Config::article());
    let ping = watched.ping();
    // The ping stands behind a minute of our own bytes.
    for second in 3..=62 {
        watched.now = seconds(f64::from(second));
        watched.tell(Event::Draining);
        assert!(!convicts(&watched.tell(Event::Tick)));
    }
    watched.tell(Event::PingSent(ping));
    watched.now = seconds(71.0);
    watched.tell(Event::Pong(ping));
    assert!(!convicts(&watched.tick()));
    let round_trip = watched.heartbeat.round_trip().unwrap();
    assert_eq!(round_trip.last(), seconds(9.0));
    // Where the transport takes nothing more, the peer is dead.
    let mut watched = Watched::open(Config::article());
    watched.ping();
    watched.now = seconds(9.0);
    watched.tell(Event::Draining);
    assert!(convicts(&watched.tick()));
    assert_eq!(watched.now, seconds(19.0));
}

#[test]
fn no_code_and_no_status_silences_a_client_for_good() {
    for code in [1000, 1008, 4001] {
        let closed = Event::Closed(Closed::with_code(CloseCode(code)));
        let mut watched = Watched::open(Config::default());
        assert!(planned_in(&watched.tell(closed)).is_some(), "{code}");
    }
    for status in [401, 404, 418] {
        let mut watched = Watched::open(Config::default());
        watched.fail();
        let refused = Event::Refused(Refused::with_status(status));
        assert!(planned_in(&watched.tell(refused)).is_some(), "{status}");
    }
}

#[test]
fn a_busy_client_beats_as_often_as_a_silent_one() {
    let config = Config::article().to_builder().always_ping(true);
    let mut watched = Watched::open(config.build().unwrap());
    let mut pings = 0;
    for tenths in 1..=600_u32 {
        watched.now = seconds(f64::from(tenths) / 10.0);
        watched.tell(Event::Message);
        watched.tell(Event::Sent);
        pings += u32::from(ping_in(&watched.tell(Event::Tick)).is_some());
    }
    assert_eq!(pings, 30, "one each 2 s for a minute");
}

#[test]
fn a_gateway_does_not_answer_for_the_backend() {
    for (strict, verdict) in [(false, None), (true, Some(seconds(12.0)))] {
        let config = Config::article().to_builder().strict_pongs(strict);
        let mut watched = Watched::open(config.build().unwrap());
        let mut convicted = None;
        for tenths in 1..=600_u32 {
            watched.now = seconds(f64::from(tenths) / 10.0);
            // Its own pings and banners.
            watched.tell(Event::Received);
            if convicts(&watched.tell(Event::Tick)) {
                convicted.get_or_insert(watched.now);
            }
        }
        assert_eq!(convicted, verdict);
    }
}

#[test]
fn pongs_do_not_stand_for_data() {
    let config = Config::article().to_builder();
    let config = config.message_timeout(Some(seconds(60.0)));
    let mut watched = Watched::open(config.build().unwrap());
    watched.now = seconds(1.0);
    watched.tell(Event::Message);
    loop {
        let actions = watched.tick();
        match ping_in(&actions) {
            Some(ping) => drop(watched.tell(Event::Pong(ping))),
            None => {
                assert_eq!(actions[0], Action::Close(CloseReason::MessageTimeout));
                break;
            }
        }
    }
    assert_eq!(watched.now, seconds(61.0));
}

#[test]
fn nothing_beats_before_the_login() {
    let config = Config::article().to_builder();
    let config = config.healthy_within(Some(seconds(30.0)));
    let mut watched = Watched::open(config.build().unwrap());
    watched.now = seconds(29.0);
    for event in [Event::Sent, Event::Received, Event::NetworkChanged] {
        assert_eq!(ping_in(&watched.tell(event)), None);
        assert_eq!(ping_in(&watched.tell(Event::Tick)), None);
    }
    watched.tell(Event::Healthy);
    watched.ping();
    assert_eq!(watched.now, seconds(31.0));
}

#[test]
fn a_hint_is_kept_and_keeps_nobody_in_step() {
    let mut planned = BTreeSet::new();
    for seed in 0..200 {
        let mut heartbeat = Heartbeat::new(Config::default(), seed);
        let _ = heartbeat.handle(Event::Start, Duration::ZERO);
        let refused = Refused::with_status(503).retry_after(seconds(120.0));
        let actions: Vec<_> = heartbeat
            .handle(Event::Refused(refused), Duration::ZERO)
            .collect();
        planned.insert(planned_in(&actions).unwrap());
    }
    assert_eq!(planned.len(), 200);
    assert!(*planned.first().unwrap() > seconds(120.0));
    assert!(*planned.last().unwrap() <= seconds(125.0));
}

#[test]
fn what_was_sent_is_asked_about_soon() {
    let config = Config::default().to_builder();
    let config = config.confirm_within(Some(seconds(1.0))).build().unwrap();
    let mut watched = Watched::open(config);
    // The random phase is over.
    let ping = watched.ping();
    watched.tell(Event::Pong(ping));
    let sent = watched.now + seconds(2.0);
    watched.now = sent;
    watched.tell(Event::Sent);
    watched.ping();
    assert!(watched.now <= sent + seconds(1.0));
}

#[test]
fn an_application_that_insists_dials_once_a_second() {
    let mut watched = Watched::open(Config::default());
    let mut dials = 0;
    watched.tell(Event::Error(None));
    while watched.now < seconds(60.0) {
        let mut actions = watched.tell(Event::ReconnectNow);
        if !actions.contains(&Action::Connect) {
            actions = watched.tick();
        }
        assert_eq!(actions[0], Action::Connect);
        dials += 1;
        watched.tell(Event::Refused(Refused::with_status(401)));
    }
    assert!((59..=61).contains(&dials), "{dials}");
}
