//! Who wakes whom: no wake is lost, whatever is dropped and whoever polls.

use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::rig::{Awake, Dialled, Msg, Rig, Wire, World, config, millis, seconds, texts};

const LIFE: Duration = Duration::from_secs(60);

/// The futures of `next` are dropped at every poll: nothing is lost, and nothing
/// comes at another time.
#[test]
fn next_can_be_dropped_at_every_poll() {
    for seed in 1..=100 {
        let (mut dropping, mut keeping) = (busy(seed), busy(seed));
        dropping.run(LIFE);
        keeping.run_without_a_drop(LIFE);
        assert_same(&dropping, &keeping, seed);
    }
}

/// A session that sleeps has nothing to do: one that is asked every millisecond does
/// no more, and no sooner.
#[test]
fn no_wake_is_lost() {
    for seed in 1..=12 {
        let (mut woken, mut asked) = (busy(seed), busy(seed));
        woken.run(LIFE);
        for milli in 0..LIFE.as_millis() as u64 {
            let awake = asked.awake.clone();
            let wake = move || awake.0.store(true, Ordering::Relaxed);
            asked.world.at(millis(milli), wake);
        }
        asked.run(LIFE);
        assert_same(&woken, &asked, seed);
    }
}

/// However often the connection breaks.
#[test]
fn no_message_is_sent_twice_or_out_of_turn() {
    let mut arrived = 0;
    for seed in 1..=100 {
        let mut rig = busy(seed);
        rig.run(LIFE);
        let wires = rig.world.wires();
        let got = texts(wires.iter().flat_map(Wire::got));
        assert!(
            got.is_sorted_by(|one, next| one < next),
            "seed {seed}: {got:?}"
        );
        arrived += got.len();
    }
    assert!(arrived > 1000, "{arrived}");
}

/// The sink keeps the last waker that it was given: the ping and the messages wait
/// with one and the same.
#[test]
fn a_sink_that_keeps_one_waker_wakes_the_ping_and_the_messages() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(0);
    rig.outbox.send(1);
    rig.run(seconds(3));
    assert_eq!(wire.got(), []);
    let awake = wire.clone();
    rig.world.at(millis(3500), move || awake.unstick());
    rig.run(seconds(5));
    assert_eq!(wire.line().got[0].0, millis(3500));
    assert!(matches!(wire.got()[..], [Msg::Ping(_), Msg::Text(1)]));
    // So it is where the sink has taken them and the flush waits.
    wire.line().passes = Some(0);
    rig.outbox.send(2);
    let awake = wire.clone();
    rig.world.at(millis(5300), move || awake.unstick());
    rig.run(seconds(6));
    assert_eq!(wire.texts(), [1, 2]);
    assert_eq!(wire.line().got[2].0, millis(5300));
}

#[test]
fn a_message_wakes_a_session_that_sleeps() {
    let (mut rig, wire) = Rig::open(config());
    for second in [1, 3, 4] {
        let outbox = rig.outbox.clone();
        rig.world
            .at(seconds(second), move || outbox.send(second as u32));
    }
    rig.run(seconds(5));
    let got = wire.line().got.clone();
    let texts: Vec<_> = got
        .iter()
        .filter(|(_, message)| matches!(message, Msg::Text(_)))
        .collect();
    for (at, message) in &texts {
        assert_eq!(*message, Msg::Text(at.as_secs() as u32));
    }
    assert_eq!(texts.len(), 3);
}

/// It is polled by another task than before, which is then the one to be woken: by the
/// timer, the socket and the channel.
#[test]
fn a_session_that_moves_to_another_task_is_woken_there() {
    let causes: [fn(&Rig, &Wire); 3] = [
        |_, _| {},
        |_, wire| wire.say_at(seconds(1), Msg::Text(1)),
        |rig, _| {
            let outbox = rig.outbox.clone();
            rig.world.at(seconds(1), move || outbox.send(1));
        },
    ];
    for cause in causes {
        let (mut rig, wire) = Rig::open(config());
        rig.run(millis(500));
        cause(&rig, &wire);
        let other = Awake::new();
        let waker = Waker::from(other.clone());
        assert!(
            rig.session
                .poll_notice(&mut Context::from_waker(&waker))
                .is_pending()
        );
        other.0.store(false, Ordering::Relaxed);
        rig.awake = other;
        // Not `run`, which would poll once more.
        rig.world.pass(seconds(2));
        rig.world.turn();
        assert!(rig.awake.0.load(Ordering::Relaxed));
    }
}

/// The same was told, and the same came to each peer, all at the same time.
fn assert_same(one: &Rig, other: &Rig, seed: u64) {
    let (one, other) = (story(one), story(other));
    let difference = one.iter().zip(&other).find(|(one, other)| one != other);
    assert_eq!(difference, None, "seed {seed}");
    assert_eq!(one.len(), other.len(), "seed {seed}");
}

fn story(rig: &Rig) -> Vec<String> {
    let mut story = rig.lines();
    for (number, wire) in rig.world.wires().iter().enumerate() {
        let line = |(at, message): &(Duration, Msg)| {
            format!("{} wire {number} {message:?}", at.as_millis())
        };
        story.extend(wire.line().got.iter().map(line));
    }
    story
}

/// A life in which things happen at random: many, or few.
fn busy(seed: u64) -> Rig {
    let mut random = Random(seed);
    let mut dials = Random(seed ^ 0xd1a1);
    let rig = Rig::dialling(config(), move |world, _| match dials.below(8) {
        0 => Dialled::Fails("refused"),
        1 => Dialled::Hangs,
        kind => {
            let wire = world.wire();
            wire.line().is_mute = kind == 2;
            wire.line().passes = (kind == 3).then_some(0);
            wire.line().room = (kind > 5).then_some(2);
            Dialled::Open(wire)
        }
    });
    let many = if seed % 2 == 0 { 600 } else { 30 };
    for number in 0..many {
        let at = millis(random.below(LIFE.as_millis() as u64));
        let (world, what) = (rig.world.clone(), random.below(40));
        rig.world.at(at, move || happens(&world, what, number));
    }
    for number in 0..many / 2 {
        let outbox = rig.outbox.clone();
        rig.world
            .at(LIFE / (many / 2) * number, move || outbox.send(number));
    }
    rig
}

fn happens(world: &World, what: u64, number: u32) {
    let Some(wire) = world.wires().pop() else {
        return;
    };
    match what {
        0..20 => wire.say(Msg::Text(number)),
        20..24 => wire.say(Msg::Control),
        24..28 => wire.unstick(),
        28 => wire.line().passes = Some(0),
        29 => wire.line().room = Some(0),
        // Never more than there was.
        30 => {
            let room = wire.line().room;
            wire.line().room = Some(room.unwrap_or(1).min(1));
        }
        31 => wire.line().is_mute = true,
        32 => wire.end(),
        33 => wire.fail("reset"),
        34 => wire.say(Msg::Close(1001)),
        _ => wire.line().is_mute = false,
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
