//! The heartbeat against a slow machine that follows from the contract at a
//! glance, `support/reference.rs`: whatever happens, both do and show the same.
//! The last test is about this one: that it sees a heartbeat that is a little off,
//! where the invariants allow it too. More cases:
//! `PROPTEST_CASES=1000 cargo test --release --test reference`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod arbitrary;
    pub mod oracle;
    pub mod reference;
    pub mod world;
}

use core::time::Duration;

use keepalive::{Config, Event, Heartbeat};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use support::arbitrary::{config, start, steps};
use support::oracle::{Input, Trace, Watched};
use support::reference::Reference;
use support::world::play;

/// Many where they are quick.
fn cases() -> ProptestConfig {
    let ordinary = ProptestConfig::default();
    let times = if cfg!(debug_assertions) { 1 } else { 40 };
    ProptestConfig {
        cases: ordinary.cases.saturating_mul(times),
        failure_persistence: None,
        ..ordinary
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_happens_both_machines_do_the_same(
        config in config(),
        seed: u64,
        start in start(),
        steps in steps(),
    ) {
        let trace = play(config, seed, start, &steps).watched.trace;
        Reference::agrees(&trace, seed).map_err(TestCaseError::fail)?;
    }
}

/// What a heartbeat believes in place of its settings, its seed, and what it is
/// told at which time.
struct Plant {
    name: &'static str,
    settings: fn(Config) -> Config,
    seed: fn(u64) -> u64,
    told: fn(Input, Duration) -> Option<(Input, Duration)>,
    unheard: fn(Event) -> bool,
}

const HEALTHY: Plant = Plant {
    name: "nothing",
    settings: |config| config,
    seed: |seed| seed,
    told: |input, now| Some((input, now)),
    unheard: |_| false,
};

const fn unheard(name: &'static str, unheard: fn(Event) -> bool) -> Plant {
    Plant {
        name,
        unheard,
        ..HEALTHY
    }
}

const PLANTS: [Plant; 17] = [
    Plant {
        name: "a pong has 1 ns more",
        settings: |config| {
            let timeout = config.pong_timeout() + NANOSECOND;
            let builder = config.to_builder().pong_timeout(timeout);
            builder.build().unwrap_or(config)
        },
        ..HEALTHY
    },
    Plant {
        name: "silence is allowed 1 ns more",
        settings: |config| {
            let timeout = config.idle_timeout() + NANOSECOND;
            let builder = config.to_builder().idle_timeout(timeout);
            builder.build().unwrap_or(config)
        },
        ..HEALTHY
    },
    Plant {
        name: "intervals are not shortened",
        settings: |config| config.to_builder().jitter(0.0).build().unwrap(),
        ..HEALTHY
    },
    Plant {
        name: "other draws",
        seed: |seed| seed ^ 1,
        ..HEALTHY
    },
    Plant {
        name: "what comes in is noted 1 ns late",
        told: |input, now| match input {
            Input::Event(Event::Received) => Some((input, now.saturating_add(NANOSECOND))),
            _ => Some((input, now)),
        },
        ..HEALTHY
    },
    Plant {
        name: "what goes out is noted 1 ns late",
        told: |input, now| match input {
            Input::Event(Event::Sent) => Some((input, now.saturating_add(NANOSECOND))),
            _ => Some((input, now)),
        },
        ..HEALTHY
    },
    Plant {
        name: "a message is allowed 1 ns more",
        settings: |config| {
            let timeout = config.message_timeout();
            let timeout = timeout.map(|timeout| timeout.saturating_add(NANOSECOND));
            let builder = config.to_builder().message_timeout(timeout);
            builder.build().unwrap_or(config)
        },
        ..HEALTHY
    },
    Plant {
        name: "a login is allowed 1 ns more",
        settings: |config| {
            let timeout = config.healthy_within();
            let timeout = timeout.map(|timeout| timeout.saturating_add(NANOSECOND));
            let builder = config.to_builder().healthy_within(timeout);
            builder.build().unwrap_or(config)
        },
        ..HEALTHY
    },
    Plant {
        name: "a doubt is allowed 1 ns more",
        settings: |config| {
            let timeout = config.confirm_within();
            let timeout = timeout.map(|timeout| timeout.saturating_add(NANOSECOND));
            let builder = config.to_builder().confirm_within(timeout);
            builder.build().unwrap_or(config)
        },
        ..HEALTHY
    },
    Plant {
        name: "any activity is an answer",
        settings: |config| config.to_builder().strict_pongs(false).build().unwrap(),
        ..HEALTHY
    },
    Plant {
        name: "pings come only after silence",
        settings: |config| config.to_builder().always_ping(false).build().unwrap(),
        ..HEALTHY
    },
    Plant {
        name: "a message is activity and nothing else",
        told: |input, now| match input {
            Input::Event(Event::Message) => Some((Input::Event(Event::Received), now)),
            _ => Some((input, now)),
        },
        ..HEALTHY
    },
    Plant {
        name: "the application decides nothing",
        told: |input, now| match input {
            Input::Event(Event::Error(Some(_))) => Some((Input::Event(Event::Error(None)), now)),
            _ => Some((input, now)),
        },
        ..HEALTHY
    },
    unheard("bytes that the transport takes are not heard of", |event| {
        matches!(event, Event::Draining)
    }),
    unheard("a ping never leaves the write buffer", |event| {
        matches!(event, Event::PingSent(_))
    }),
    Plant {
        name: "a change of network is an early tick",
        told: |input, now| match input {
            Input::Event(Event::NetworkChanged) => Some((Input::Event(Event::Tick), now)),
            _ => Some((input, now)),
        },
        ..HEALTHY
    },
    Plant {
        name: "old epochs are heard",
        told: |input, now| match input {
            Input::From(_, event) => Some((Input::Event(event), now)),
            _ => Some((input, now)),
        },
        ..HEALTHY
    },
];

const NANOSECOND: Duration = Duration::from_nanos(1);

impl Plant {
    /// The same inputs, as a heartbeat takes them that believes this.
    fn replay(&self, trace: &Trace, seed: u64) -> Trace {
        let settings = (self.settings)(trace.config);
        let heartbeat = Heartbeat::new(settings, (self.seed)(seed));
        let mut watched = Watched::of(heartbeat, trace.config);
        for entry in &trace.entries {
            let told = match entry.input {
                Input::Event(event) if (self.unheard)(event) => None,
                input => (self.told)(input, entry.now),
            };
            watched.misreport(entry.input, entry.now, told);
        }
        watched.trace
    }

    /// How many traces it takes to see it.
    fn is_seen(&self, most: usize) -> Option<usize> {
        let plays = (config(), any::<u64>(), start(), steps());
        let mut runner = TestRunner::deterministic();
        (1..=most).find(|_| {
            let (config, seed, start, steps) = plays.new_tree(&mut runner).unwrap().current();
            let trace = play(config, seed, start, &steps).watched.trace;
            Reference::agrees(&self.replay(&trace, seed), seed).is_err()
        })
    }
}

#[test]
fn the_reference_sees_a_heartbeat_that_is_a_little_off() {
    assert_eq!(HEALTHY.is_seen(50), None);
    for plant in &PLANTS {
        let seen = plant.is_seen(3000);
        println!("{}: seen in trace {seen:?}", plant.name);
        assert!(seen.is_some(), "{} is not seen", plant.name);
    }
}
