//! Anything that may happen to a heartbeat, for proptest.

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.

use core::time::Duration;

use keepalive::{CloseCode, Config, ConfigBuilder, Loss, Policy, Retry, stop_when_refused};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::world::{Late, Step, Wait, What, Which};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Any setting of a duration; short ones, so that much happens, are likely.
pub fn setting() -> BoxedStrategy<Duration> {
    prop_oneof![
        4 => (1..50_u64).prop_map(Duration::from_millis),
        4 => (100..30_000_u64).prop_map(Duration::from_millis),
        2 => (1_000_000..5_000_000_000_u64).prop_map(Duration::from_nanos),
        1 => Just(Duration::from_millis(1)),
        1 => Just(DAY),
    ]
    .boxed()
}

fn jitter() -> impl Strategy<Value = f64> {
    prop_oneof![2 => Just(0.0), 1 => Just(0.2), 1 => Just(0.5), 1 => 0.0..0.5]
}

fn policy() -> impl Strategy<Value = Option<Policy>> {
    let never: Policy = |_| Retry::Stop;
    let always: Policy = |_| Retry::Backoff;
    let spread: Policy = |_| Retry::Spread;
    let mixed: Policy = |loss| match loss {
        Loss::Closed(Some(CloseCode(1001))) => Retry::Between {
            least: Duration::ZERO,
            greatest: Duration::ZERO,
        },
        Loss::Closed(Some(_)) => Retry::Between {
            least: Duration::MAX,
            greatest: Duration::from_secs(1),
        },
        Loss::Closed(None) => Retry::Spread,
        Loss::Refused(_) => Retry::Between {
            least: Duration::from_millis(2),
            greatest: Duration::from_secs(3),
        },
        _ => Retry::Backoff,
    };
    prop_oneof![
        6 => Just(None),
        1 => prop::sample::select(vec![never, always, spread, mixed, stop_when_refused])
            .prop_map(Some),
    ]
}

/// What the application decides about one loss.
fn retry() -> impl Strategy<Value = Option<Retry>> {
    let between =
        (short(), short()).prop_map(|(least, greatest)| Retry::Between { least, greatest });
    let retry = prop_oneof![
        1 => Just(Retry::Stop),
        2 => Just(Retry::Backoff),
        2 => Just(Retry::Spread),
        3 => between,
    ];
    option::weighted(0.2, retry)
}

prop_compose! {
    /// How an open connection is pinged and judged.
    fn probing()(
        interval in setting(),
        send_interval in option::of(setting()),
        jitter in jitter(),
        random_phase: bool,
        timeout in setting(),
        max_missed in prop_oneof![3 => Just(1_u32), 3 => 2..4_u32, 1 => Just(100)],
        adaptive in option::weighted(0.3, setting()),
        always_ping in prop::bool::weighted(0.25),
        strict_pongs in prop::bool::weighted(0.25),
        confirm_within in option::weighted(0.3, setting()),
    ) -> ConfigBuilder {
        Config::builder()
            .ping_interval(interval)
            .send_interval(send_interval)
            .jitter(jitter)
            .random_phase(random_phase)
            .pong_timeout(timeout)
            .max_missed(max_missed)
            .adaptive_timeout(adaptive.map(|longest| longest.max(timeout)))
            .always_ping(always_ping)
            .strict_pongs(strict_pongs)
            .confirm_within(confirm_within)
    }
}

prop_compose! {
    /// What an open connection is held to.
    fn beating()(
        probing in probing().boxed(),
        tolerance in setting(),
        listen_only in prop::bool::weighted(0.15),
        idle_timeout in setting(),
        message_timeout in option::weighted(0.25, setting()),
        healthy_within in option::weighted(0.25, setting()),
    ) -> ConfigBuilder {
        let builder = if listen_only {
            // These contradict it.
            probing.always_ping(false).strict_pongs(false).confirm_within(None)
        } else {
            probing
        };
        builder
            .late_tolerance(tolerance)
            .listen_only(listen_only)
            .idle_timeout(idle_timeout)
            .message_timeout(message_timeout)
            .healthy_within(healthy_within)
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
            .map_or(builder, |policy| builder.policy(policy))
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
        Late::Message,
        Late::Sent,
        Late::Error,
        Late::Closed,
        Late::Refused,
        Late::Healthy,
        Late::GiveUp,
        Late::Tick,
    ];
    (0..3_usize, prop::sample::select(kinds.to_vec())).prop_map(|(age, late)| What::Late(age, late))
}

fn status() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![301, 401, 404, 408, 425, 429, 500, 503])
}

/// What comes in and goes out on an open connection.
fn traffic() -> impl Strategy<Value = What> {
    prop_oneof![
        5 => Just(What::Received),
        4 => Just(What::Message),
        5 => which().prop_map(What::Pong),
        8 => Just(What::Sent),
        3 => Just(What::Draining),
        3 => which().prop_map(What::PingSent),
        4 => Just(What::Healthy),
        4 => Just(What::NetworkChanged),
    ]
}

/// What begins or ends a connection or a dial.
fn fate() -> impl Strategy<Value = What> {
    prop_oneof![
        2 => Just(What::Start),
        2 => (close_code(), hint(), retry())
            .prop_map(|(code, hint, retry)| What::Closed(code, hint, retry)),
        2 => (status(), hint(), retry())
            .prop_map(|(status, hint, retry)| What::Refused(status, hint, retry)),
        2 => retry().prop_map(What::Error),
        1 => (close_code(), hint(), retry())
            .prop_map(|(code, hint, retry)| What::GiveUp(code, hint, retry)),
        2 => Just(What::ReconnectNow),
        1 => Just(What::Stop),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        6 => Just(What::Opened),
        24 => traffic(),
        20 => Just(What::Tick),
        7 => fate(),
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
