//! Anything that may happen to a heartbeat, for proptest.

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.

use core::time::Duration;

use keepalive::{CloseCode, ClosePolicy, Config, Retry};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::world::{Late, Step, Wait, What, Which};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Any setting of a duration; short ones, so that much happens, are likely.
pub fn setting() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (1..50_u64).prop_map(Duration::from_millis),
        4 => (100..30_000_u64).prop_map(Duration::from_millis),
        2 => (1_000_000..5_000_000_000_u64).prop_map(Duration::from_nanos),
        1 => Just(Duration::from_millis(1)),
        1 => Just(DAY),
    ]
}

fn jitter() -> impl Strategy<Value = f64> {
    prop_oneof![2 => Just(0.0), 1 => Just(0.2), 1 => Just(0.5), 1 => 0.0..0.5]
}

fn policy() -> impl Strategy<Value = Option<ClosePolicy>> {
    let never: ClosePolicy = |_| Retry::Stop;
    let always: ClosePolicy = |_| Retry::Backoff;
    let spread: ClosePolicy = |_| Retry::Spread;
    let between: ClosePolicy = |code| match code {
        Some(CloseCode(1001)) => Retry::Between {
            least: Duration::ZERO,
            greatest: Duration::ZERO,
        },
        Some(_) => Retry::Between {
            least: Duration::MAX,
            greatest: Duration::from_secs(1),
        },
        None => Retry::Between {
            least: Duration::from_secs(2),
            greatest: Duration::from_secs(3),
        },
    };
    prop_oneof![
        6 => Just(None),
        1 => prop::sample::select(vec![never, always, spread, between]).prop_map(Some),
    ]
}

prop_compose! {
    /// What an open connection is held to.
    fn beating()(
        interval in setting(),
        send_interval in option::of(setting()),
        jitter in jitter(),
        random_phase: bool,
        timeout in setting(),
        max_missed in prop_oneof![3 => Just(1_u32), 3 => 2..4_u32, 1 => Just(100)],
        adaptive in option::weighted(0.3, setting()),
        tolerance in setting(),
        listen_only in prop::bool::weighted(0.15),
        idle_timeout in setting(),
    ) -> keepalive::ConfigBuilder {
        Config::builder()
            .ping_interval(interval)
            .send_interval(send_interval)
            .jitter(jitter)
            .random_phase(random_phase)
            .pong_timeout(timeout)
            .max_missed(max_missed)
            .adaptive_timeout(adaptive.map(|longest| longest.max(timeout)))
            .late_tolerance(tolerance)
            .listen_only(listen_only)
            .idle_timeout(idle_timeout)
    }
}

prop_compose! {
    /// Any valid settings.
    pub fn config()(
        beating in beating().boxed(),
        connect_timeout in setting(),
        close_timeout in setting(),
        reconnect in prop::bool::weighted(0.9),
        first_spread in setting(),
        mut backoff in [setting(), setting(), setting()],
        factor in prop_oneof![Just(1.0), Just(2.0), Just(100.0), 1.0..3.0],
        stable_after in setting(),
        max_attempts in option::weighted(0.2, 1..5_u32),
        max_elapsed in option::weighted(0.2, setting()),
        policy in policy(),
    ) -> Config {
        backoff.sort();
        let [floor, base, cap] = backoff;
        let builder = beating
            .connect_timeout(connect_timeout)
            .close_timeout(close_timeout)
            .reconnect(reconnect)
            .first_spread(first_spread)
            .backoff_floor(floor)
            .backoff_base(base)
            .backoff_cap(cap)
            .backoff_factor(factor)
            .stable_after(stable_after)
            .max_attempts(max_attempts)
            .max_elapsed(max_elapsed);
        policy
            .map_or(builder, |policy| builder.close_policy(policy))
            .build()
            .expect("the bounds are kept")
    }
}

fn short() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..2_000_000_u64).prop_map(Duration::from_nanos),
        (0..2_000_u64).prop_map(Duration::from_millis),
        (0..100_u64).prop_map(Duration::from_secs),
    ]
}

/// How a clock may go on that never ends.
fn endless_wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        3 => Just(Wait::No),
        4 => short().prop_map(Wait::For),
        6 => Just(Wait::ToDeadline),
        3 => short().prop_map(Wait::PastDeadline),
        2 => short().prop_map(Wait::ShortOfDeadline),
        1 => short().prop_map(Wait::Back),
    ]
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        200 => endless_wait(),
        1 => Just(Wait::For(Duration::from_secs(600 * 365 * 24 * 60 * 60))),
        1 => Just(Wait::ToTheEnd),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        4 => Just(Which::Awaited),
        2 => (0..3_usize).prop_map(Which::Earlier),
        1 => any::<u64>().prop_map(Which::Foreign),
    ]
}

fn close_code() -> impl Strategy<Value = Option<u16>> {
    let named = [1000, 1001, 1002, 1006, 1008, 1011, 1012, 1013, 1015, 4000];
    prop_oneof![
        3 => Just(None),
        3 => prop::sample::select(named.to_vec()).prop_map(Some),
        1 => any::<u16>().prop_map(Some),
    ]
}

fn hint() -> impl Strategy<Value = Option<Duration>> {
    let hint = prop_oneof![
        4 => short(),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::MAX),
    ];
    option::weighted(0.3, hint)
}

fn late() -> impl Strategy<Value = What> {
    let kinds = [
        Late::Opened,
        Late::Received,
        Late::Error,
        Late::Closed,
        Late::Tick,
    ];
    (0..3_usize, prop::sample::select(kinds.to_vec())).prop_map(|(age, late)| What::Late(age, late))
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        2 => Just(What::Start),
        6 => Just(What::Opened),
        5 => Just(What::Received),
        4 => which().prop_map(What::Pong),
        3 => Just(What::Sent),
        3 => which().prop_map(What::PingSent),
        20 => Just(What::Tick),
        2 => (close_code(), hint()).prop_map(|(code, hint)| What::Closed(code, hint)),
        1 => Just(What::Error),
        3 => Just(What::NetworkChanged),
        1 => Just(What::Healthy),
        1 => Just(What::ReconnectNow),
        1 => Just(What::Stop),
        2 => config().prop_map(What::Reconfigure).boxed(),
        2 => late(),
    ]
}

/// Anything, at any time.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        (wait().boxed(), what().boxed()).prop_map(|(wait, what)| Step { wait, what }),
        0..80,
    )
}

/// Anything, at any time that has another time after it.
pub fn endless_steps() -> impl Strategy<Value = Vec<Step>> {
    vec(
        (endless_wait().boxed(), what().boxed()).prop_map(|(wait, what)| Step { wait, what }),
        0..80,
    )
}

/// A first instant, with the ends of the type among them.
pub fn start() -> impl Strategy<Value = Duration> {
    prop_oneof![
        5 => Just(Duration::ZERO),
        5 => short(),
        1 => Just(Duration::MAX),
        1 => short().prop_map(|before| Duration::MAX.saturating_sub(before)),
    ]
}
