//! What the second edition promises its users, each in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/settings.rs"]
mod settings;

use core::time::Duration;

use keepalive::{
    Action, CloseCode, CloseReason, Closed, Config, ConfigBuilder, Event, Heartbeat, PingId,
    Refused, Retry, State, StopReason, stop_when_refused,
};
use settings::*;

/// A server on the other end of an open connection, in steps of 10 ms: what it does at
/// each, before a tick that is due then. It is told of a ping one step later. Returns
/// what the client did until then, and when.
fn run(
    heartbeat: &mut Beat,
    until: Duration,
    mut server: impl FnMut(&mut Beat, Duration, Option<PingId>),
) -> Vec<(Duration, Action<Duration>)> {
    let step = millis(10);
    let (mut done, mut seen) = (Vec::new(), 0);
    let (mut now, mut asked) = (Duration::ZERO, None);
    while now < until && heartbeat.state() == State::Open {
        now += step;
        done.extend(ticks(heartbeat, now - NANOSECOND));
        server(heartbeat, now, asked.take());
        done.extend(ticks(heartbeat, now));
        asked = done[seen..]
            .iter()
            .rev()
            .find_map(|&(_, action)| ping_in(action));
        seen = done.len();
    }
    done
}

fn ping_in(action: Action<Duration>) -> Option<PingId> {
    match action {
        Action::SendPing(id) => Some(id),
        _ => None,
    }
}

fn is_ping(action: Action<Duration>) -> bool {
    ping_in(action).is_some()
}

/// The verdict, and when it fell.
fn verdict(done: &[(Duration, Action<Duration>)]) -> Option<(Duration, CloseReason)> {
    done.iter().find_map(|&(at, action)| match action {
        Action::Close(reason) => Some((at, reason)),
        _ => None,
    })
}

/// 24 MiB, of which the server takes 400 KB a second, stand before the first ping. Returns
/// the verdict and how many pings were answered, where the bytes are counted and where not.
fn uploads(config: ConfigBuilder, counted: bool) -> (Option<(Duration, CloseReason)>, u32) {
    let mut heartbeat = opened(config);
    handle(&mut heartbeat, Event::Sent, Duration::ZERO);
    let (mut waiting, mut left, mut answers) = (None, 24 * 1024 * 1024_u32, 0);
    let done = run(&mut heartbeat, seconds(120), |heartbeat, now, asked| {
        waiting = waiting.or(asked);
        if left > 0 && now.subsec_millis() % 250 == 0 {
            left = left.saturating_sub(100_000);
            if counted {
                handle(heartbeat, Event::Draining, now);
            }
        }
        if let Some(id) = waiting.take_if(|_| left == 0) {
            handle(heartbeat, Event::PingSent(id), now);
            handle(heartbeat, Event::Pong(id), now + millis(200));
            answers += 1;
        }
    });
    (verdict(&done), answers)
}

#[test]
fn a_server_that_takes_24_mib_slowly_while_a_ping_waits_behind_it_is_not_convicted() {
    for config in [plain(), plain().strict_pongs(true), Config::builder()] {
        let (verdict, answers) = uploads(config, true);
        assert_eq!(verdict, None);
        assert!(answers >= 2, "{answers}");
        // It would be, if the bytes did not count.
        assert!(uploads(config, false).0.is_some());
    }
}

#[test]
fn one_that_is_stuck_is_convicted_within_its_bound() {
    for takes in [seconds(0), seconds(5), seconds(30)] {
        let mut heartbeat = opened(plain());
        handle(&mut heartbeat, Event::Sent, Duration::ZERO);
        // It takes bytes of ours until then, and no more.
        let mut last = Duration::ZERO;
        let done = run(&mut heartbeat, HOUR, |heartbeat, now, _| {
            if now <= takes && heartbeat.is_ping_out() {
                handle(heartbeat, Event::Draining, now);
                last = now;
            }
        });
        let pinged = seconds(10);
        let (at, reason) = verdict(&done).unwrap();
        assert_eq!(reason, CloseReason::PongTimeout);
        assert_eq!(at, pinged.max(last) + seconds(4), "{takes:?}");
    }
}

#[test]
fn a_service_that_counts_heartbeats_gets_one_each_interval_under_traffic_both_ways() {
    let config = Config::builder()
        .always_ping(true)
        .ping_interval(seconds(5))
        .jitter(0.0);
    let mut heartbeat = opened(config);
    let done = run(&mut heartbeat, seconds(600), |heartbeat, now, asked| {
        handle(heartbeat, Event::Message, now);
        handle(heartbeat, Event::Sent, now);
        if let Some(id) = asked {
            handle(heartbeat, Event::Pong(id), now);
        }
    });
    assert!(done.iter().all(|&(_, action)| is_ping(action)));
    // The first at a random phase, the others exactly an interval apart.
    assert!((119..=120).contains(&done.len()), "{}", done.len());
    let apart = |pair: &[(Duration, Action<Duration>)]| pair[1].0 - pair[0].0;
    assert!(done.windows(2).map(apart).all(|apart| apart == seconds(5)));
}

#[test]
fn a_gateway_that_pings_us_and_swallows_our_pings_is_convicted_under_strict_pongs_only() {
    for (is_strict, expected) in [
        (false, None),
        (true, Some((seconds(14), CloseReason::PongTimeout))),
    ] {
        let mut heartbeat = opened(plain().strict_pongs(is_strict));
        let done = run(&mut heartbeat, seconds(600), |heartbeat, now, _| {
            if now.as_millis() % 3000 == 0 {
                handle(heartbeat, Event::Received, now);
            }
        });
        assert_eq!(verdict(&done), expected);
    }
}

fn feed() -> ConfigBuilder {
    plain().message_timeout(Some(seconds(60)))
}

#[test]
fn pongs_but_no_messages_end_a_connection_under_message_timeout() {
    for (config, expected) in [
        (plain(), None),
        (feed(), Some((seconds(75), CloseReason::MessageTimeout))),
    ] {
        let mut heartbeat = opened(config);
        let done = run(&mut heartbeat, seconds(600), |heartbeat, now, asked| {
            if now == seconds(15) {
                handle(heartbeat, Event::Message, now); // The last one ever.
            }
            if let Some(id) = asked {
                handle(heartbeat, Event::Pong(id), now);
            }
        });
        assert_eq!(verdict(&done), expected);
    }
}

#[test]
fn no_ping_goes_before_healthy_under_healthy_within() {
    let careful = Config::builder()
        .ping_interval(seconds(1))
        .send_interval(Some(seconds(1)))
        .confirm_within(Some(seconds(1)))
        .healthy_within(Some(seconds(30)));
    for seed in 0..100 {
        let mut heartbeat = Heartbeat::new(careful.build().unwrap(), seed);
        handle(&mut heartbeat, Event::Opened, Duration::ZERO);
        let healthy = seconds(29);
        let done = run(&mut heartbeat, seconds(35), |heartbeat, now, _| {
            handle(heartbeat, Event::Sent, now); // The login, again and again.
            handle(heartbeat, Event::Message, now);
            if now < healthy {
                nothing(heartbeat, Event::NetworkChanged, now);
            }
            if now == healthy {
                handle(heartbeat, Event::Healthy, now);
            }
        });
        let pinged = done.iter().find(|&&(_, action)| is_ping(action)).unwrap().0;
        assert!(pinged > healthy, "{pinged:?}");
        // The first message after it is in doubt for a second.
        assert!(pinged <= healthy + millis(1010), "{pinged:?}");
    }
}

#[test]
fn a_login_that_never_comes_is_a_down_that_counts() {
    let config = plain().healthy_within(Some(seconds(30)));
    let mut heartbeat = opened(config.max_attempts(Some(3)));
    let mut now = Duration::ZERO;
    for attempt in 1..=3 {
        // It even talks, for longer than a stable connection has to.
        handle(&mut heartbeat, Event::Message, now + seconds(29));
        let done = ticks(&mut heartbeat, now + seconds(30));
        now += seconds(30);
        assert_eq!(verdict(&done), Some((now, CloseReason::LoginTimeout)));
        assert_eq!(heartbeat.attempt(), attempt);
        now = heartbeat.deadline().unwrap();
        dials(&mut heartbeat, Event::Tick, now);
        handle(&mut heartbeat, Event::Opened, now);
    }
    let done = ticks(&mut heartbeat, now + seconds(30));
    let last = done.last().unwrap().1;
    assert_eq!(last, Action::Stopped(StopReason::AttemptLimit));
}

#[test]
fn a_404_for_ever_is_dialled_at_random_times_from_floor_to_cap_and_never_stops() {
    let mut delays = Vec::new();
    let mut heartbeat = dialling(Config::builder());
    let mut now = Duration::ZERO;
    while delays.len() < 2000 {
        let refused = Event::Refused(Refused::with_status(404));
        let (at, attempt) = plans(&mut heartbeat, refused, now);
        delays.push(at - now);
        assert_eq!(usize::try_from(attempt), Ok(delays.len()));
        now = at;
        dials(&mut heartbeat, Event::Tick, now);
    }
    let (least, greatest) = (seconds(1), seconds(60));
    let margin = (greatest - least) / 100;
    let shortest = *delays.iter().min().unwrap();
    let longest = *delays.iter().max().unwrap();
    assert!((least..least + margin).contains(&shortest), "{shortest:?}");
    assert!((greatest - margin..=greatest).contains(&longest));
    let mean = delays.iter().sum::<Duration>() / 2000;
    assert!(mean.abs_diff(millis(30_500)) < seconds(2), "{mean:?}");
}

#[test]
fn a_404_stops_a_client_that_should_not_insist() {
    let config = Config::builder().policy(stop_when_refused);
    let mut heartbeat = dialling(config);
    assert_eq!(
        handle(
            &mut heartbeat,
            Event::Refused(Refused::with_status(404)),
            seconds(1)
        ),
        [Action::Stopped(StopReason::Refused(404))]
    );
    assert_eq!(heartbeat.deadline(), None);
}

#[test]
fn a_server_that_closes_with_1000_is_dialled_again() {
    let normal = Event::Closed(Closed::with_code(CloseCode::NORMAL));
    let mut heartbeat = opened(Config::builder());
    let (at, attempt) = plans(&mut heartbeat, normal, seconds(100));
    assert!(at <= seconds(105));
    assert_eq!(attempt, 1);
    dials(&mut heartbeat, Event::Tick, at);
}

/// The instants of the dials where this answers each refusal, at once.
fn dials_of_an_hour(answer: fn(&mut Beat, Duration)) -> Vec<Duration> {
    let mut heartbeat = dialling(Config::builder());
    let (mut now, mut dials) = (Duration::ZERO, vec![Duration::ZERO]);
    while now <= HOUR {
        if heartbeat.state() == State::Connecting {
            now += millis(50); // The refusal comes.
            handle(
                &mut heartbeat,
                Event::Refused(Refused::with_status(401)),
                now,
            );
            answer(&mut heartbeat, now);
            continue;
        }
        now = heartbeat.deadline().unwrap();
        if handle(&mut heartbeat, Event::Tick, now).contains(&Action::Connect) {
            dials.push(now);
        }
    }
    dials
}

#[test]
fn reconnect_now_and_start_after_each_refusal_make_one_dial_a_second() {
    fn reconnect(heartbeat: &mut Beat, now: Duration) {
        handle(heartbeat, Event::ReconnectNow, now);
    }
    fn start(heartbeat: &mut Beat, now: Duration) {
        handle(heartbeat, Event::Stop, now);
        handle(heartbeat, Event::Start, now);
    }
    for answer in [reconnect, start] {
        let dials = dials_of_an_hour(answer);
        assert_eq!(dials.len(), 3601);
        let apart = |pair: &[Duration]| pair[1] - pair[0];
        assert!(dials.windows(2).map(apart).all(|apart| apart == seconds(1)));
    }
}

#[test]
fn late_ticks_for_ever_and_pongs_without_messages_still_convict_under_message_timeout() {
    for late in [seconds(2), seconds(30), seconds(90)] {
        let mut heartbeat = opened(feed());
        let closed = loop {
            let now = heartbeat.deadline().unwrap() + late;
            let actions = handle(&mut heartbeat, Event::Tick, now);
            match actions[0] {
                Action::Close(reason) => break (now, reason),
                Action::SendPing(id) => drop(handle(&mut heartbeat, Event::Pong(id), now)),
                _ => {}
            }
        };
        assert_eq!(closed.1, CloseReason::MessageTimeout);
        // 60 s, one tick late; put off by 1 s, one tick late; looks between at ticks.
        let bound = seconds(60) + late + seconds(1) + late;
        assert!(closed.0 <= bound, "{closed:?}");
    }
}

#[test]
fn whoever_decides_by_a_closure_decides_each_time() {
    // A session's closure is asked; what it says travels with the event.
    let mut lives = 3;
    let mut decide = || {
        lives -= 1;
        if lives == 0 {
            Retry::Stop
        } else {
            Retry::Spread
        }
    };
    let mut heartbeat = dialling(Config::builder());
    let mut now = Duration::ZERO;
    for _ in 0..2 {
        let (at, _) = plans(&mut heartbeat, Event::Error(Some(decide())), now);
        now = at;
        dials(&mut heartbeat, Event::Tick, now);
    }
    assert_eq!(
        handle(&mut heartbeat, Event::Error(Some(decide())), now),
        [Action::Stopped(StopReason::Error)]
    );
}
