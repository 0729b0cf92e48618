//! The driver, in virtual time, under an oracle that sees it from outside only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod driver;
}

use core::time::Duration;

use keepalive::{Config, ConfigBuilder};
use proptest::prelude::*;
use support::driver::net::{Dial, Ends, LONGEST, Peer, Talk};
use support::driver::story;
use support::driver::world::{Setup, Wish};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A ping after 5 s of silence, and 4 s for the answer; nothing random.
fn calm() -> ConfigBuilder {
    Config::builder()
        .ping_interval(s(5))
        .send_interval(None)
        .jitter(0.0)
        .random_phase(false)
        .pong_timeout(s(4))
        .first_spread(ms(500))
        .connect_timeout(s(6))
        .close_timeout(s(3))
        .stable_after(s(3))
}

/// With those settings.
fn setup(change: impl FnOnce(&mut Setup)) -> Setup {
    Setup::that(calm().build().unwrap(), change)
}

// What the oracle found when it was new.

#[test]
fn a_dial_that_never_began_is_not_told() {
    let world = setup(|it| {
        it.wishes = vec![(s(0), Wish::Reconnect), (s(0), Wish::Stop)];
    })
    .run();
    world.assert_log(&["told Stopped"]);
    assert_eq!(world.count("told Connecting"), 0);
}

#[test]
fn orders_are_carried_out_before_it_waits_for_an_application_that_does_not_listen() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| peer.dial = Dial::Hangs)];
        it.wishes = vec![(s(0), Wish::Listen(false)), (ms(1500), Wish::Network)];
    })
    .run();
    world.assert_log(&["1.5s drop", "1.5s dial 0"]);
}

#[test]
fn of_connections_that_nobody_heard_of_a_message_comes_before_their_loss() {
    let world = setup(|it| {
        it.peers = vec![
            Peer::that(|peer| peer.ends = Some((ms(500), Ends::Plain))),
            Peer::that(|peer| {
                peer.talks = Some((ms(500), Talk::Text));
                peer.ends = Some((ms(700), Ends::Mute));
            }),
            Peer::that(|peer| peer.dial = Dial::Hangs),
        ];
        it.wishes = vec![
            (s(0), Wish::Listen(false)),
            (s(8), Wish::Reconnect),
            (s(12), Wish::Listen(true)),
        ];
    })
    .run();
    world.assert_log(&[
        "told Opened",
        "told Message",
        "told Down(Down { lost: Connection",
    ]);
    assert_eq!(world.count("told Opened"), 1);
}

#[test]
fn nothing_is_written_after_the_goodbye() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| peer.talks = Some((s(1), Talk::Asks)))];
        it.wishes = vec![(s(3), Wish::Stop)];
    })
    .run();
    world.assert_log(&["out Answer", "out Close", "in Message(Asks", "told Stopped"]);
}

#[test]
fn who_begins_anew_before_the_end_was_heard_hears_of_no_end() {
    let world = setup(|it| {
        it.wishes = vec![
            (s(2), Wish::Listen(false)),
            (s(2), Wish::Queue(30)),
            (s(2), Wish::Stop),
            (s(4), Wish::Queue(30)),
            (s(4), Wish::Reconnect),
            (s(6), Wish::Listen(true)),
        ];
    })
    .run();
    world.assert_log(&[
        "wish Reconnect",
        "dial 0",
        "told Down",
        "told Opened",
        "out Text { id: 2",
    ]);
    assert_eq!(world.count("told Stopped"), 1);
}

/// To take messages is no progress where bytes are counted.
#[test]
fn a_stuck_transport_is_ended_although_it_takes_messages() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| {
            peer.talks = Some((s(1), Talk::Asks));
            peer.stuck = Some(s(2));
            peer.rate = Some(100_000);
            peer.system = 20;
        })];
        it.until = s(15);
    })
    .run();
    world.assert_log(&["told Down(Down { lost: Connection, cause: Stalled"]);
}

/// No verdict is spoken while a message is unread, which must not keep a stuck
/// transport alive.
#[test]
fn a_stuck_transport_is_ended_although_nobody_listens() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| {
            peer.talks = Some((s(1), Talk::Text));
            peer.stuck = Some(ms(2500));
            peer.rate = Some(100_000);
            peer.system = 20;
        })];
        it.stall_timeout = Some(s(10));
        it.wishes = vec![(ms(2600), Wish::Listen(false)), (s(3), Wish::Send(30))];
        it.until = s(30);
    })
    .run();
    world.assert_log(&["13s drop", "told Message", "cause: Stalled"]);
}

/// The turn in which a ping has left goes on with what waited for that.
#[test]
fn what_waits_for_a_ping_to_leave_goes_once_it_has() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| {
            peer.rate = Some(1000);
            peer.system = 64;
        })];
        it.wishes = vec![(ms(4900), Wish::Queue(300)), (ms(5050), Wish::Send(30))];
    })
    .run();
    world.assert_log(&[
        "out Text { id: 1",
        "out Ping",
        "wish Send",
        "5.146s out Text { id: 2",
    ]);
}

#[test]
fn orders_are_carried_out_before_a_message_is_told() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| {
            peer.talks = Some((ms(50), Talk::Text));
            peer.stuck = Some(s(2));
        })];
        it.stall_timeout = Some(ms(1500));
        it.wishes = vec![
            (s(3), Wish::Send(30)),
            (s(3), Wish::Send(5000)),
            (s(3), Wish::Send(30)),
        ];
        it.busy = ms(60);
        it.until = s(12);
    })
    .run();
    world.assert_log(&["cause: Stalled"]);
}

#[test]
fn what_a_dial_would_hear_is_not_said_to_the_connection_before_it() {
    let world = setup(|it| {
        it.wishes = vec![
            (s(20), Wish::Stop),
            (s(20), Wish::Stop),
            (s(20), Wish::Reconnect),
            (s(20), Wish::Sleep(s(6))),
            (s(20), Wish::Reconnect),
        ];
    })
    .run();
    world.assert_log(&["26s drop None", "26s dial 0"]);
}

/// Also where it was the last of the turns that are taken at a time.
#[test]
fn orders_are_carried_out_before_others_have_their_turn() {
    for pongs in 60..70 {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.talks = Some((ms(10), Talk::Pongs));
                peer.ends = Some((ms(10) * (pongs + 1), Ends::Close(1000)));
            })];
            it.wishes = vec![(ms(20), Wish::Sleep(s(2)))];
        })
        .run();
        world.assert_log(&["wish Sleep", "in Message(Close", "told Down"]);
    }
}

#[test]
fn what_cannot_be_sent_lets_the_goodbye_not_overtake_the_rest() {
    let world = setup(|it| {
        it.wishes = vec![
            (s(1), Wish::Queue(30)),
            (s(1), Wish::Queue(LONGEST + 1)),
            (s(1), Wish::Queue(30)),
            (s(1), Wish::Stop),
        ];
    })
    .run();
    world.assert_log(&[
        "out Text { id: 1",
        "told Rejected",
        "out Text { id: 3",
        "out Close",
    ]);
}

#[test]
fn a_later_stop_does_not_say_what_an_earlier_one_said() {
    let world = setup(|it| {
        it.wishes = vec![
            (s(1), Wish::StopWith(4000)),
            (s(3), Wish::Reconnect),
            (s(6), Wish::Stop),
        ];
    })
    .run();
    world.assert_log(&[
        "CloseCode(4000)",
        "told Stopped",
        "out Close(Some(CloseCode(1000)), \"\")",
    ]);
}

/// What is kept is full, and nobody asked for a pong: the goodbye's ping does.
#[test]
fn a_stop_at_the_limit_of_what_is_kept_does_not_hang() {
    let config = calm().confirm_within(Some(s(2))).build().unwrap();
    let world = Setup::that(config, |it| {
        it.keeps = Some(50);
        it.wishes = vec![
            (s(1), Wish::Queue(30)),
            (s(1), Wish::Queue(30)),
            (s(1), Wish::Stop),
        ];
    })
    .run();
    world.assert_log(&[
        "out Text { id: 1",
        "out Ping",
        "out Close",
        "1.0",
        "told Stopped",
    ]);
    assert_eq!(world.count("out Text"), 1);
    assert_eq!(world.count("CloseTimeout"), 0);
}

#[test]
fn a_ping_that_waits_is_not_sent_once_pings_are_off() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| {
            peer.rate = Some(100);
            peer.system = 50;
            peer.buffer = 1;
        })];
        let listener = calm().listen_only(true).build().unwrap();
        it.wishes = vec![
            (ms(4900), Wish::Queue(300)),
            (ms(5100), Wish::Reconfigure(listener)),
        ];
    })
    .run();
    world.assert_right();
    assert_eq!(world.count("out Ping"), 0);
}

#[test]
fn a_broken_transport_is_not_asked_all_the_time_while_nobody_listens() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| {
            peer.talks = Some((s(1), Talk::Text));
            peer.ends = Some((ms(3500), Ends::BrokenMute));
        })];
        it.wishes = vec![
            (ms(500), Wish::Listen(false)),
            (s(4), Wish::Send(30)),
            (s(40), Wish::Listen(true)),
        ];
    })
    .run();
    world.assert_log(&["a write fails", "told Message", "cause: Failed(Write(0))"]);
    assert!(world.runs < 300, "{} runs", world.runs);
}

#[test]
fn after_a_sleep_all_is_read_before_the_network_counts_as_changed() {
    let world = setup(|it| {
        it.peers = vec![Peer::that(|peer| peer.talks = Some((s(4), Talk::Text)))];
        it.wishes = vec![
            (s(0), Wish::Suspend(s(0))),
            (s(7), Wish::Suspend(s(60))),
            (s(7), Wish::Sleep(s(10))),
        ];
        it.until = s(20);
    })
    .run();
    world.assert_log(&[
        "7s wish Sleep",
        "17s in Message(Text",
        "17s in Message(Text",
        "17s out Ping",
    ]);
}

// Whatever happens.

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_contract_holds(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        story::setup(&bytes).run().assert_right();
    }
}

/// What is wrong, once each, with the shortest log: to look for many faults at once.
/// `STORIES=100000 cargo test --release --features alloc --test driver -- --ignored --nocapture hunt`
#[test]
#[ignore = "on demand"]
fn hunt() {
    let stories = std::env::var("STORIES").map_or(20_000, |text| text.parse().unwrap());
    let seed = std::env::var("SEED").map_or(1, |text| text.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let mut found = std::collections::BTreeMap::<String, (usize, String)>::new();
    let mut downs = 0;
    for _ in 0..stories {
        let mut bytes = vec![0; random.usize(0..220)];
        random.fill(&mut bytes);
        // So that most of it is plain.
        let plain = random.f32();
        for byte in &mut bytes {
            if random.f32() < plain {
                *byte = 0;
            }
        }
        let world = match std::panic::catch_unwind(|| story::setup(&bytes).run()) {
            Ok(world) => world,
            Err(_) => panic!("{bytes:?}"),
        };
        downs += world.net.oracle.downs();
        if let Some(fault) = world.fault() {
            let log = format!("{:#?}\n{}", world.setup, world.net.oracle.log.join("\n"));
            let kept = found.entry(fault.to_owned()).or_insert((0, log.clone()));
            kept.0 += 1;
            if log.len() < kept.1.len() {
                kept.1 = log;
            }
        }
    }
    for (fault, (times, log)) in &found {
        println!("=== {times} times: {fault}\n{log}\n");
    }
    for (fault, (times, _)) in &found {
        println!("{times:6} {fault}");
    }
    println!("{stories} stories, {downs} connections lost");
    assert!(found.is_empty());
}
