//! An executor that is late, while the answer lies unread: in virtual time, and on
//! tokio with real sockets.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use keepalive::Config;
use keepalive::driver::Notice;
use keepalive::tokio::{client, connect};
use tokio::time::timeout;

use crate::rig::{Dialled, Msg, Rig, config, millis, seconds};
use crate::rounds::Rounds;

/// Nothing that is awaited takes longer, even here.
const PATIENCE: Duration = Duration::from_secs(60);

/// No late clock is forgiven, so it is the order of reading and judging alone.
fn unforgiving() -> Config {
    let day = Duration::from_secs(24 * 60 * 60);
    let settings = config().to_builder().late_tolerance(day);
    settings.build().unwrap()
}

/// Another task holds the executor. When it lets go, the reactor turns.
#[test]
fn an_executor_that_was_blocked_accuses_nobody() {
    let (mut rig, wire) = Rig::open(unforgiving());
    wire.line().is_mute = true;
    answer_late(&wire);
    let world = rig.world.clone();
    rig.world.at(millis(2050), move || world.block(seconds(20)));
    rig.run(seconds(23));
    assert_eq!(wire.dropped(), None);
    assert_eq!(rig.lines()[..2], ["2000 ping", "22050 pong"]);
}

/// The task itself does. It is polled again before the reactor turns.
#[test]
fn a_task_that_was_blocked_accuses_nobody() {
    let (mut rig, wire) = Rig::open(unforgiving());
    wire.line().is_mute = true;
    answer_late(&wire);
    let world = rig.world.clone();
    rig.live(seconds(23), |session, context| {
        let polled = pin!(session.next()).poll(context);
        if matches!(polled, Poll::Ready(Some(Notice::Ping(_)))) {
            world.block(seconds(15));
        }
        polled
    });
    assert_eq!(wire.dropped(), None);
    assert!(rig.when("pong") < millis(17_002), "{:?}", rig.lines());
}

/// And it loses the processor once more while it sets the timer, which is ready at once
/// then, though the reactor has not turned.
#[test]
fn a_task_that_is_slow_to_set_its_timer_accuses_nobody() {
    let (mut rig, wire) = Rig::open(unforgiving());
    wire.line().is_mute = true;
    answer_late(&wire);
    let (world, alarm) = (rig.world.clone(), rig.alarm.clone());
    rig.live(seconds(23), |session, context| {
        let polled = pin!(session.next()).poll(context);
        let is_ping = matches!(polled, Poll::Ready(Some(Notice::Ping(_))));
        if is_ping && world.now() < seconds(15) {
            world.block(seconds(15));
            alarm.lag.set(millis(2));
        } else {
            alarm.lag.set(Duration::ZERO);
        }
        polled
    });
    assert_eq!(wire.dropped(), None);
    assert!(rig.when("pong") < millis(17_100), "{:?}", rig.lines());
}

/// It stays awake for other reasons, and the reactor does not turn for a long time.
#[test]
fn a_task_that_is_kept_awake_accuses_nobody() {
    let (mut rig, wire) = Rig::open(unforgiving());
    wire.line().is_mute = true;
    answer_late(&wire);
    let (world, awake) = (rig.world.clone(), rig.awake.clone());
    rig.live(seconds(23), |session, context| {
        let polled = pin!(session.next()).poll(context);
        match polled {
            Poll::Ready(Some(Notice::Ping(_))) => world.block(seconds(15)),
            Poll::Pending if world.now() > seconds(3) && world.now() < seconds(20) => {
                world.block(millis(100));
                awake.0.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        polled
    });
    assert_eq!(wire.dropped(), None);
    assert!(
        rig.told.iter().any(|(_, words)| words == "pong"),
        "{:?}",
        rig.lines()
    );
}

/// The dial has come to its end, which it was not asked for.
#[test]
fn a_task_that_was_blocked_does_not_give_a_dial_up() {
    let mut rig = Rig::dialling(config(), |world, _| {
        Dialled::Later(seconds(1), world.wire())
    });
    let world = rig.world.clone();
    rig.live(seconds(22), |session, context| {
        let polled = pin!(session.next()).poll(context);
        if matches!(polled, Poll::Ready(Some(Notice::Connecting { .. }))) {
            world.block(millis(20_500));
        }
        polled
    });
    assert_eq!(rig.outline(), ["connecting 0", "opened"]);
}

/// A dead peer is found though the application never leaves the session alone.
#[test]
fn a_verdict_is_not_put_off_by_calls() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().is_mute = true;
    let (world, awake) = (rig.world.clone(), rig.awake.clone());
    for half in 0..30_000 {
        let awake = awake.clone();
        world.at(millis(half) / 2, move || {
            awake.0.store(true, Ordering::Relaxed)
        });
    }
    rig.live(seconds(14), |session, context| {
        session.healthy();
        pin!(session.next()).poll(context)
    });
    let down = rig.when("down: no pong in time");
    assert!(down >= seconds(12) && down <= millis(12_002), "{down:?}");
}

/// And though it floods the peer, so that the session never sleeps.
#[test]
fn a_verdict_is_not_put_off_by_what_goes_out() {
    // A thousand messages at each step are many.
    let settings = config().to_builder().ping_interval(millis(200));
    let settings = settings.pong_timeout(seconds(1)).build().unwrap();
    let (mut rig, wire) = Rig::open(settings);
    wire.line().is_mute = true;
    rig.outbox.never_ends();
    rig.run_in_steps(millis(1400), Duration::from_micros(200));
    let down = rig.when("down: no pong in time");
    assert!(down >= millis(1200) && down <= millis(1230), "{down:?}");
    assert_eq!(wire.dropped(), Some(down));
}

/// Three seconds after the ping.
fn answer_late(wire: &crate::rig::Wire) {
    let answer = wire.clone();
    let answer = move || {
        let got = answer.got();
        let ping = got.iter().find_map(|message| match message {
            Msg::Ping(id) => Some(*id),
            _ => None,
        });
        answer.say(Msg::Pong(ping.unwrap()));
        answer.line().is_mute = false;
    };
    wire.world().at(seconds(5), answer);
}

const ROUNDS: Rounds = Rounds {
    connections: 20,
    interval: millis(200),
    timeout: seconds(2),
    block: seconds(3),
};

/// What `examples/late_clock/run` shows beside Python's `websockets`.
#[test]
fn none_of_20_healthy_peers_is_convicted_by_a_blocked_executor() {
    let url = ROUNDS.serve().unwrap();
    let convicted = ROUNDS.convicted(&url).unwrap();
    println!("blocked for 3 s: convicted {convicted} of 20");
    assert_eq!(convicted, 0);
}

/// Each in an executor of its own, blocked by the task that asks for the notices.
#[test]
fn none_of_20_healthy_peers_is_convicted_by_a_blocked_task() {
    let url = ROUNDS.serve().unwrap();
    let settings = unforgiving().to_builder();
    let settings = settings.ping_interval(ROUNDS.interval);
    let config = settings.pong_timeout(ROUNDS.timeout).build().unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|seed| {
            let url = url.clone();
            thread::spawn(move || blocked_task(config, seed, &url))
        })
        .collect();
    let fine = tasks.into_iter().filter_map(|task| task.join().ok());
    assert_eq!(fine.count(), 20);
}

#[tokio::main(flavor = "current_thread")]
async fn blocked_task(config: Config, seed: u64, url: &str) {
    let mut session = client(config, |_| connect(url)).with_seed(seed);
    let mut has_pinged = false;
    while let Some(notice) = timeout(PATIENCE, session.next()).await.unwrap() {
        match notice {
            Notice::Ping(_) => {
                assert!(!has_pinged);
                thread::sleep(ROUNDS.block);
                has_pinged = true;
            }
            Notice::Pong { .. } => return,
            Notice::Down(down) => panic!("{}", down.cause),
            _ => {}
        }
    }
}
