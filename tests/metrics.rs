//! What `metrics` is told, in virtual time: by a driver, which is in every adapter, and by a
//! fleet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod driver;
}

use core::panic::{RefUnwindSafe, UnwindSafe};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use keepalive::fleet::Fleet;
use keepalive::{Config, ConfigBuilder, describe_metrics};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use support::driver::net::{Dial, Ends, Peer, Pings, Talk};
use support::driver::world::{Setup, Subject, Wish};

const GUIDE: &str = include_str!("../src/guide/metrics.md");

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A ping after 5 s of silence, and 4 s for the answer.
fn calm() -> ConfigBuilder {
    Config::builder()
        .ping_interval(s(5))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(s(4))
        .connect_timeout(s(6))
        .close_timeout(s(3))
        .stable_after(s(3))
}

/// What a recorder was told since it was asked last. A gauge is how much it changed by.
#[derive(Debug, Default)]
struct Seen {
    /// By name, with the labels in braces.
    values: BTreeMap<String, DebugValue>,
    /// As the guide's table has them.
    rows: BTreeSet<[String; 4]>,
}

impl Seen {
    fn count(&self, name: &str) -> u64 {
        match self.values.get(name) {
            Some(DebugValue::Counter(count)) => *count,
            other => panic!("{name} is {other:?} in {self:#?}"),
        }
    }

    fn gauge(&self, name: &str) -> f64 {
        match self.values.get(name) {
            Some(DebugValue::Gauge(value)) => value.0,
            other => panic!("{name} is {other:?} in {self:#?}"),
        }
    }

    fn histogram(&self, name: &str) -> Vec<f64> {
        match self.values.get(name) {
            Some(DebugValue::Histogram(values)) => values.iter().map(|value| value.0).collect(),
            other => panic!("{name} is {other:?} in {self:#?}"),
        }
    }

    fn causes(&self) -> impl Iterator<Item = &str> {
        self.values.keys().filter_map(|name| {
            let (_, label) = name.split_once("{cause=")?;
            label.strip_suffix('}')
        })
    }
}

/// What is seen of this.
fn seen(act: impl FnOnce(&mut dyn FnMut() -> Seen)) -> Seen {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let mut look = || {
        let mut seen = Seen::default();
        for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
            assert!(description.is_some(), "{key:?} is not described");
            let labels: Vec<_> = key.key().labels().collect();
            let keys: Vec<_> = labels.iter().map(|label| label.key()).collect();
            let labels: Vec<_> = labels
                .iter()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let name = key.key().name().to_owned();
            let unit = unit.map_or("none", |unit| unit.as_str());
            seen.rows.insert([
                name.clone(),
                format!("{:?}", key.kind()).to_lowercase(),
                unit.to_owned(),
                keys.join(", "),
            ]);
            let labels = labels.join(",");
            let name = match labels.as_str() {
                "" => name,
                labels => format!("{name}{{{labels}}}"),
            };
            seen.values.insert(name, value);
        }
        seen
    };
    with_local_recorder(&recorder, || {
        describe_metrics();
        act(&mut look);
    });
    look()
}

/// What is seen of a story of the driver's.
fn story(config: ConfigBuilder, change: impl FnOnce(&mut Setup)) -> Seen {
    seen(|_| {
        let setup = Setup::that(config.build().unwrap(), change);
        setup.run().assert_right();
    })
}

/// A dial that fails, one that is refused, a peer that answers two pings and falls silent
/// with a message in doubt, and one that is there until the end.
fn outage() -> Seen {
    story(calm(), |it| {
        it.peers = vec![
            Peer::that(|peer| peer.dial = Dial::Failed(ms(5))),
            Peer::that(|peer| peer.dial = Dial::Refused(ms(5), 503)),
            Peer::that(|peer| peer.ends = Some((s(12), Ends::Mute))),
            Peer::good(),
        ];
        it.wishes = vec![(s(0), Wish::Queue(30)), (s(15), Wish::Queue(30))];
        it.until = s(60);
    })
}

fn fleet() -> Seen {
    seen(|_| {
        let mut fleet = Fleet::new(calm().build().unwrap(), 42);
        let mut at = fleet.at(s(0));
        at.open().unwrap();
        let lives = at.open().unwrap();
        at.open().unwrap();
        fleet.at(s(3)).received(lives);
        let two = fleet.at(s(5)).tick().count();
        fleet.counters().publish("devices");
        assert_eq!(two, 2);
        for second in 6..=9 {
            fleet.at(s(second)).tick().for_each(drop);
        }
        fleet.at(s(10)).drain(Duration::ZERO);
        fleet.at(s(11)).tick().for_each(drop);
        let mut at = fleet.at(s(12));
        at.open().unwrap();
        at.open().unwrap();
        fleet.at(s(17)).tick().for_each(drop);
        // Again changes nothing.
        for _ in 0..2 {
            fleet.counters().publish("devices");
        }
    })
}

#[test]
fn an_outage_is_counted_and_measured() {
    let seen = outage();
    assert_eq!(seen.count("keepalive_dials_total"), 4);
    assert_eq!(seen.count("keepalive_dials_lost_total{cause=failed}"), 1);
    assert_eq!(seen.count("keepalive_dials_lost_total{cause=refused}"), 1);
    assert_eq!(seen.count("keepalive_connections_opened_total"), 2);
    let lost = |cause: &str| {
        seen.count(&format!(
            "keepalive_connections_lost_total{{cause={cause}}}"
        ))
    };
    assert_eq!((lost("pong_timeout"), lost("stopped")), (1, 1));
    assert_eq!(seen.causes().count(), 4);
    assert_eq!(seen.gauge("keepalive_connections_open"), 0.0);
    // Two that were answered, of a peer that is 10 ms away, and one that was missed; then
    // those of the second peer.
    let round_trips = seen.histogram("keepalive_round_trip_seconds");
    assert!(round_trips.len() > 2 && round_trips.iter().all(|&took| took == 0.02));
    let pings = round_trips.len() as u64 + 1;
    assert_eq!(seen.count("keepalive_pings_total"), pings);
    assert_eq!(seen.count("keepalive_pings_missed_total"), 1);
    assert_eq!(unconfirmed(&seen), (0, 1));
    // From the last pong to the end of the next dial.
    let deaf = seen.histogram("keepalive_deaf_seconds");
    assert!(
        deaf.len() == 1 && (9.0..20.0).contains(&deaf[0]),
        "{deaf:?}"
    );
}

/// How many messages were unsent, and how many in doubt.
fn unconfirmed(seen: &Seen) -> (u64, u64) {
    let of = |state| {
        seen.count(&format!(
            "keepalive_messages_unconfirmed_total{{state={state}}}"
        ))
    };
    (of("unsent"), of("in_doubt"))
}

#[test]
fn the_guides_table_is_what_a_recorder_is_told() {
    let rows = GUIDE.lines().filter(|line| line.starts_with("| `"));
    let written: BTreeSet<_> = rows
        .map(|row| {
            let row = row.replace('`', "");
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().to_owned());
            core::array::from_fn(|_| cells.next().unwrap())
        })
        .collect();
    let mut told = outage().rows;
    told.extend(fleet().rows);
    assert_eq!(written, told);
}

#[test]
fn what_is_counted_is_what_the_driver_counts() {
    let mut counts = None;
    let seen = seen(|_| {
        let mut setup = Setup::new(calm().max_missed(2).build().unwrap());
        setup.peers = vec![Peer::that(|peer| peer.ends = Some((s(12), Ends::Mute)))];
        setup.wishes = (0..40).map(|second| (s(second), Wish::Queue(30))).collect();
        let world = setup.run();
        counts = Some(world.assert_right().driver.counts());
    });
    let counts = counts.unwrap();
    assert!(counts.missed >= 4 && counts.in_doubt >= 4, "{counts:?}");
    let lost: u64 = seen
        .causes()
        .map(|cause| {
            seen.count(&format!(
                "keepalive_connections_lost_total{{cause={cause}}}"
            ))
        })
        .sum();
    let told = [
        seen.count("keepalive_dials_total"),
        lost,
        seen.count("keepalive_pings_total"),
        seen.count("keepalive_pings_missed_total"),
        seen.count("keepalive_messages_unconfirmed_total{state=in_doubt}"),
    ];
    let own = [
        counts.dials,
        counts.downs,
        counts.pings,
        counts.missed,
        counts.in_doubt,
    ];
    assert_eq!(told, own);
}

#[test]
fn a_fleet_is_as_it_was_when_it_was_published() {
    let seen = fleet();
    let of = |name: &str| format!("keepalive_fleet_{name}{{fleet=devices}}");
    assert_eq!(seen.gauge(&of("open")), 2.0);
    assert_eq!(seen.gauge(&of("probing")), 2.0);
    // Of the first three, two were found dead, and the third was drained.
    assert_eq!(seen.count(&of("pings_total")), 5);
    assert_eq!(seen.count(&of("pings_missed_total")), 2);
    assert_eq!(seen.count(&of("convicted_total")), 2);
    assert_eq!(seen.count(&of("drained_total")), 1);
}

#[test]
fn each_cause_has_its_label_and_the_guide_names_it() {
    let end = |ends: Ends| story(calm(), |it| it.peers = vec![peer_that_ends(ends)]);
    let wish = |wish: Wish| story(calm(), |it| it.wishes = vec![(s(2), wish)]);
    let stories = [
        ("closed", end(Ends::Close(1001))),
        ("failed", end(Ends::Failed)),
        ("pong_timeout", end(Ends::Mute)),
        (
            "refused",
            story(calm(), |it| {
                it.peers = vec![dialled(Dial::Refused(ms(5), 503))]
            }),
        ),
        (
            "connect_timeout",
            story(calm(), |it| it.peers = vec![dialled(Dial::Hangs)]),
        ),
        ("given_up", wish(Wish::GiveUp(None))),
        ("reconnected", wish(Wish::Reconnect)),
        ("stopped", wish(Wish::Stop)),
        ("no_ping", story(calm(), |it| it.pings = Pings::Nobodys)),
        ("idle_timeout", story(calm().listen_only(true), |_| {})),
        (
            "message_timeout",
            story(calm().message_timeout(Some(s(9))), |_| {}),
        ),
        (
            "login_timeout",
            story(calm().healthy_within(Some(s(2))), |_| {}),
        ),
        (
            "close_timeout",
            story(calm(), |it| {
                it.peers = vec![Peer::that(|peer| peer.is_polite = false)];
            }),
        ),
        (
            "stalled",
            story(calm(), |it| {
                it.peers = vec![Peer::that(|peer| {
                    peer.stuck = Some(s(2));
                    peer.rate = Some(100_000);
                    peer.system = 20;
                    peer.talks = Some((s(1), Talk::Text));
                })];
                it.wishes = vec![(s(3), Wish::Send(30))];
                it.until = s(20);
            }),
        ),
    ];
    for (cause, seen) in &stories {
        assert!(
            seen.causes().any(|told| told == *cause),
            "{cause}: {seen:#?}"
        );
    }
    let told: BTreeSet<_> = stories.iter().flat_map(|(_, seen)| seen.causes()).collect();
    assert_eq!(told, stories.iter().map(|(cause, _)| *cause).collect());
    let causes = GUIDE.split("- `cause`:").nth(1).unwrap();
    let causes = causes.split("the\n  `Cause`").next().unwrap();
    let written: BTreeSet<_> = causes.split('`').skip(1).step_by(2).collect();
    assert_eq!(written, told);
}

fn peer_that_ends(how: Ends) -> Peer {
    Peer::that(|peer| peer.ends = Some((s(3), how)))
}

fn dialled(dial: Dial) -> Peer {
    Peer::that(|peer| peer.dial = dial)
}

#[test]
fn what_comes_back_is_unsent() {
    // Of three that were sent the transport takes two; what is queued goes with the connection.
    let seen = story(calm(), |it| {
        it.drops_queue = true;
        it.peers = vec![Peer::that(|peer| {
            peer.stuck = Some(ms(1));
            peer.system = 20;
            peer.buffer = 20;
            peer.ends = Some((s(3), Ends::Failed));
        })];
        let sends = [(); 3].map(|()| (s(1), Wish::Send(30)));
        let queues = [(); 2].map(|()| (s(1), Wish::Queue(30)));
        it.wishes = [&sends[..], &queues].concat();
        it.until = s(4);
    });
    assert_eq!(unconfirmed(&seen), (3, 2));
    // What is left at the end.
    let seen = story(calm(), |it| {
        it.peers = vec![dialled(Dial::Failed(ms(5)))];
        it.wishes = vec![(s(1), Wish::Queue(30)), (s(2), Wish::Queue(30))];
        it.until = s(4);
    });
    assert_eq!(
        seen.count("keepalive_messages_unconfirmed_total{state=unsent}"),
        2
    );
}

#[test]
fn a_session_that_is_dropped_is_open_no_more() {
    seen(|look| {
        let mut world = Setup::new(calm().build().unwrap()).start(|driver| driver);
        world.play_until(s(2));
        assert_eq!(look().gauge("keepalive_connections_open"), 1.0);
        drop(world);
        // Since it was asked last.
        assert_eq!(look().gauge("keepalive_connections_open"), -1.0);
    });
}

#[test]
fn a_message_asks_no_recorder() {
    let asked = Asked::default();
    with_local_recorder(&asked, || {
        let mut setup = Setup::new(calm().build().unwrap());
        setup.peers = vec![Peer::that(|peer| peer.talks = Some((ms(50), Talk::Text)))];
        setup.wishes = (0..90).map(|i| (ms(i * 50), Wish::Queue(30))).collect();
        let mut world = setup.start(|driver| driver);
        world.play_until(s(1));
        let before = asked.0.load(Relaxed);
        world.play_until(s(4));
        let counts = world.driver.counts();
        assert!(before > 0 && counts.handed_over > 70, "{counts:?}");
        assert_eq!(asked.0.load(Relaxed), before);
    });
}

/// How often a recorder is asked for a metric.
#[derive(Default)]
struct Asked(AtomicUsize);

impl Recorder for Asked {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.0.fetch_add(1, Relaxed);
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.fetch_add(1, Relaxed);
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.fetch_add(1, Relaxed);
        Histogram::noop()
    }
}

/// A feature takes nothing away.
#[test]
fn a_driver_is_as_unwind_safe_as_without() {
    fn is_safe<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
    is_safe::<Subject>();
}

/// An adapter has all of it from the driver.
#[cfg(feature = "tokio")]
mod session {
    use futures_util::StreamExt;
    use keepalive::driver::Notice;
    use keepalive::tokio::client;
    use tokio::io::{DuplexStream, duplex};
    use tokio::runtime::Builder;
    use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
    use tungstenite::Error;

    use super::*;

    #[test]
    fn on_tokio_an_outage_is_told() {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let seen = seen(|look| {
            runtime.block_on(async {
                let mut session = client(calm().build().unwrap(), dial);
                while !matches!(session.next().await.unwrap(), Notice::Pong { .. }) {}
                let before = look();
                assert_eq!(before.gauge("keepalive_connections_open"), 1.0);
                assert_eq!(before.count("keepalive_dials_total"), 2);
                let dead = "keepalive_connections_lost_total{cause=pong_timeout}";
                assert_eq!(before.count(dead), 1);
                assert_eq!(before.histogram("keepalive_round_trip_seconds").len(), 1);
                session.stop();
                while session.next().await.is_some() {}
            });
        });
        // Since it was looked at.
        assert_eq!(seen.gauge("keepalive_connections_open"), -1.0);
        let stopped = "keepalive_connections_lost_total{cause=stopped}";
        assert_eq!(seen.count(stopped), 1);
    }

    /// The first peer reads nothing after the handshake.
    async fn dial(attempt: u32) -> Result<WebSocketStream<DuplexStream>, Error> {
        let (ours, theirs) = duplex(64 << 10);
        tokio::spawn(async move {
            let mut socket = accept_async(theirs).await.unwrap();
            if attempt == 0 {
                core::future::pending::<()>().await;
            }
            while let Some(Ok(_)) = socket.next().await {}
        });
        let (socket, _) = client_async("ws://server/", ours).await?;
        Ok(socket)
    }
}
