//! A fleet: that it does what as many single machines do, and what it has beside them.
//!
//! More traces: `PROPTEST_CASES=100000 cargo test --release --features alloc --test fleet`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "fleet/both.rs"]
mod both;
#[path = "fleet/own.rs"]
mod own;

use core::time::Duration;

use keepalive::{Config, ConfigBuilder};
use proptest::collection::vec;
use proptest::prelude::*;

use both::{Both, Fact, Step};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn setting(range: core::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(millis)
}

fn optional(range: core::ops::Range<u64>) -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![2 => Just(None), 1 => setting(range).prop_map(Some)]
}

/// Settings without draws, so that both do the same at the same time.
fn exact() -> ConfigBuilder {
    Config::builder()
        .jitter(0.0)
        .random_phase(false)
        .reconnect(false)
}

prop_compose! {
    fn any_config()(
        watch in 0..4,
        ping_interval in setting(2..60),
        send_interval in optional(2..60),
        pong_timeout in setting(2..40),
        max_missed in 1..4_u32,
        late_tolerance in setting(1..30),
        idle_timeout in setting(5..90),
        confirm_within in optional(2..30),
        message_timeout in optional(5..120),
        healthy_within in optional(5..60),
    ) -> Config {
        let builder = exact()
            .ping_interval(ping_interval)
            .send_interval(send_interval)
            .pong_timeout(pong_timeout)
            .max_missed(max_missed)
            .late_tolerance(late_tolerance)
            .idle_timeout(idle_timeout)
            .message_timeout(message_timeout)
            .healthy_within(healthy_within);
        let builder = match watch {
            0 => builder.listen_only(true),
            1 => builder.always_ping(true).confirm_within(confirm_within),
            2 => builder.strict_pongs(true).confirm_within(confirm_within),
            _ => builder.confirm_within(confirm_within),
        };
        builder.build().unwrap()
    }
}

prop_compose! {
    /// Settings by which no ping that is due waits for a probe to end: when such a one is
    /// noticed depends on when somebody looks.
    fn plain_config()(config in any_config()) -> Config {
        config
            .to_builder()
            .send_interval(None)
            .always_ping(false)
            .confirm_within(None)
            .build()
            .unwrap()
    }
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        4 => Just(Fact::Received),
        2 => Just(Fact::Message),
        3 => Just(Fact::Sent),
        2 => (0..3_usize).prop_map(Fact::Pong),
        1 => Just(Fact::Draining),
        1 => (0..3_usize).prop_map(Fact::PingSent),
        1 => Just(Fact::Healthy),
        1 => Just(Fact::Reopened),
    ]
}

/// Whether only a pong counts stays as it is: a fleet knows nothing of other activity
/// where it does.
fn alike(config: &Config, with: &Config) -> Config {
    let builder = config.to_builder().strict_pongs(with.strict_pongs());
    builder.build().unwrap_or(*with)
}

fn step(config: impl Strategy<Value = Config>) -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..100_usize, fact()).prop_map(|(which, fact)| Step::Fact(which, fact)),
        16 => (0..12_u64).prop_map(Step::Sleep),
        8 => Just(Step::SleepUntilDue),
        2 => (20..300_u64).prop_map(Step::Sleep),
        1 => config.prop_map(Step::Reconfigure),
    ]
}

fn play(config: Config, count: usize, start: u64, mut steps: Vec<Step>) {
    for step in &mut steps {
        if let Step::Reconfigure(other) = step {
            *other = alike(other, &config);
        }
    }
    Both::new(config, count, millis(start)).play(&steps);
}

fn cases(times: u32) -> ProptestConfig {
    let ordinary = ProptestConfig::default();
    ProptestConfig {
        cases: ordinary.cases.saturating_mul(times),
        failure_persistence: None,
        max_shrink_iters: 50_000,
        ..ordinary
    }
}

proptest! {
    #![proptest_config(cases(2))]

    #[test]
    fn one_connection_is_as_a_single_machine(
        config in any_config(),
        start in 0..10_000_u64,
        steps in vec(step(any_config()), 0..120),
    ) {
        play(config, 1, start, steps);
    }

    /// Hours in place of milliseconds, for a hundred days and more.
    #[test]
    fn the_end_of_its_clock_is_not_seen(
        count in 1..40_usize,
        late_tolerance in 1..5_u64,
        steps in vec(step(Just(Config::default())), 0..300),
    ) {
        let hour = |hours| Duration::from_secs(3600 * hours);
        let config = exact()
            .ping_interval(hour(20))
            .send_interval(None)
            .pong_timeout(hour(9))
            .late_tolerance(hour(late_tolerance))
            .build()
            .unwrap();
        let steps = steps.into_iter().filter_map(|step| match step {
            Step::Sleep(millis) => Some(Step::Sleep(millis * 3_600_000)),
            Step::Reconfigure(_) => None,
            step => Some(step),
        });
        let steps: Vec<_> = steps.collect();
        Both::new(config, count, Duration::ZERO).play(&steps);
    }

    #[test]
    fn many_connections_are_as_many_machines(
        config in plain_config(),
        count in 1..80_usize,
        steps in vec(step(plain_config()), 0..300),
    ) {
        play(config, count, 0, steps);
    }
}
