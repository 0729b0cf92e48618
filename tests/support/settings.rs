//! Settings that many tests share, and the paths into the states that they look at, in
//! virtual time.
#![allow(dead_code, unreachable_pub)]

use core::time::Duration;

use keepalive::{Action, CloseReason, ConfigBuilder, Event, Heartbeat, PingId};

pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const NANOSECOND: Duration = Duration::from_nanos(1);
pub const HOUR: Duration = Duration::from_secs(60 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub type Beat = Heartbeat<Duration>;
pub type Actions = Vec<Action<Duration>>;

pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Pings after 10 s of inbound silence, dead after 4 s without an answer; nothing is
/// random but the delays between dials.
pub fn plain() -> ConfigBuilder {
    keepalive::Config::builder()
        .ping_interval(seconds(10))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(seconds(4))
        .first_spread(MILLISECOND)
}

/// The same in listen-only, dead after 9 s of silence.
pub fn listener() -> ConfigBuilder {
    plain().listen_only(true).idle_timeout(seconds(9))
}

/// Nothing has happened.
pub fn idle(config: ConfigBuilder) -> Beat {
    Heartbeat::new(config.build().unwrap(), 1)
}

/// A dial is under way since the origin of time.
pub fn dialling(config: ConfigBuilder) -> Beat {
    let mut heartbeat = idle(config);
    handle(&mut heartbeat, Event::Start, Duration::ZERO);
    heartbeat
}

/// Dialled and open since the origin of time.
pub fn opened(config: ConfigBuilder) -> Beat {
    let mut heartbeat = dialling(config);
    handle(&mut heartbeat, Event::Opened, Duration::ZERO);
    heartbeat
}

/// A ping is out since second 10.
pub fn pinged(config: ConfigBuilder) -> (Beat, PingId) {
    let mut heartbeat = opened(config);
    let id = ping(&mut heartbeat, Event::Tick, seconds(10));
    (heartbeat, id)
}

/// Waits for its second retry since the origin of time, when it also dialled last.
/// Internal time began 10 s before.
pub fn waiting(config: ConfigBuilder) -> Beat {
    let mut heartbeat = idle(config);
    let early = seconds(0);
    handle(&mut heartbeat, Event::Start, early);
    handle(&mut heartbeat, Event::Error(None), early);
    handle(&mut heartbeat, Event::ReconnectNow, LAST_DIAL);
    handle(&mut heartbeat, Event::Error(None), LAST_DIAL);
    heartbeat
}

/// When [`waiting`] dialled last, and failed.
pub const LAST_DIAL: Duration = seconds(10);

/// Handles an event, and returns everything that is to be done.
pub fn handle(heartbeat: &mut Beat, event: Event, now: Duration) -> Actions {
    heartbeat.handle(event, now).collect()
}

/// Handles what asks for nothing, and moves no deadline.
#[track_caller]
pub fn nothing(heartbeat: &mut Beat, event: Event, now: Duration) {
    let deadline = heartbeat.deadline();
    let actions = handle(heartbeat, event, now);
    assert_eq!(actions, [], "{event:?} at {now:?}");
    assert_eq!(heartbeat.deadline(), deadline, "{event:?} at {now:?}");
}

/// Handles what asks for nothing but another deadline.
#[track_caller]
pub fn arms(heartbeat: &mut Beat, event: Event, now: Duration, at: Duration) {
    let actions = handle(heartbeat, event, now);
    let armed = [Action::ArmDeadline(at)];
    assert_eq!(actions, armed, "{event:?} at {now:?}");
    assert_eq!(heartbeat.deadline(), Some(at));
}

/// Ticks where there is nothing to do but to ask for the next tick.
#[track_caller]
pub fn only_arms(heartbeat: &mut Beat, now: Duration, at: Duration) {
    arms(heartbeat, Event::Tick, now, at);
}

/// Handles what has to make a ping.
#[track_caller]
pub fn ping(heartbeat: &mut Beat, event: Event, now: Duration) -> PingId {
    let actions = handle(heartbeat, event, now);
    match actions[..] {
        [Action::SendPing(id)] | [Action::SendPing(id), Action::ArmDeadline(_)] => id,
        _ => panic!("no ping at {now:?}: {actions:?}"),
    }
}

/// Ticks where the verdict falls; the machine said so before.
#[track_caller]
pub fn convicts(heartbeat: &mut Beat, now: Duration, reason: CloseReason) {
    assert!(heartbeat.verdict(now).is_some(), "at {now:?}");
    let actions = handle(heartbeat, Event::Tick, now);
    assert_eq!(actions[0], Action::Close(reason), "at {now:?}");
}

/// Handles what has to plan a dial, and returns when it is and which attempt.
#[track_caller]
pub fn plans(heartbeat: &mut Beat, event: Event, now: Duration) -> (Duration, u32) {
    let actions = handle(heartbeat, event, now);
    let planned = planned_in(&actions);
    planned.unwrap_or_else(|| panic!("no dial is planned at {now:?}: {actions:?}"))
}

/// Handles what has to dial at once.
#[track_caller]
pub fn dials(heartbeat: &mut Beat, event: Event, now: Duration) {
    let actions = handle(heartbeat, event, now);
    assert!(actions.contains(&Action::Connect), "{actions:?}");
}

pub fn planned_in(actions: &[Action<Duration>]) -> Option<(Duration, u32)> {
    actions.iter().find_map(|action| match *action {
        Action::ScheduleReconnect { at, attempt } => Some((at, attempt)),
        _ => None,
    })
}

pub fn reconfigure(heartbeat: &mut Beat, config: ConfigBuilder, now: Duration) -> Actions {
    let config = config.build().unwrap();
    heartbeat.reconfigure(config, now).collect()
}

/// Ticks whenever it is asked for until then. Returns what was to be done, and when.
pub fn ticks(heartbeat: &mut Beat, until: Duration) -> Vec<(Duration, Action<Duration>)> {
    let mut done = Vec::new();
    while let Some(at) = heartbeat.deadline().filter(|&at| at <= until) {
        let actions = heartbeat.handle(Event::Tick, at);
        let told = actions.filter(|action| !matches!(action, Action::ArmDeadline(_)));
        done.extend(told.map(|action| (at, action)));
        assert_ne!(heartbeat.deadline(), Some(at), "it spins");
    }
    done
}

/// Ticks whenever it is asked for until then. Returns when there were pings.
pub fn pings(heartbeat: &mut Beat, until: Duration) -> Vec<Duration> {
    let done = ticks(heartbeat, until).into_iter();
    let pings = done.filter(|(_, action)| matches!(action, Action::SendPing(_)));
    pings.map(|(at, _)| at).collect()
}
