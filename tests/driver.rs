//! The driver, in virtual time, under an oracle that sees it from outside only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod support {
    pub mod driver;
}

use core::time::Duration;

use keepalive::{Closed, Config, ConfigBuilder, PingId, Retry, SendError, Unsendable};
use proptest::prelude::*;
use support::driver::net::{Dial, Ends, LONGEST, Net, Peer, Pings, Talk, Wire};
use support::driver::oracle::Oracle;
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

fn ends(after: Duration, how: Ends) -> Peer {
    Peer::that(|peer| peer.ends = Some((after, how)))
}

/// A peer that takes so many bytes a second.
fn slow(rate: u64) -> Peer {
    Peer::that(|peer| {
        peer.rate = Some(rate);
        peer.system = 100;
        peer.buffer = 50_000;
    })
}

fn ping(number: u64) -> PingId {
    PingId::from_bytes(number.to_be_bytes())
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
        it.peers = vec![ends(s(3), Ends::Close(1000)), Peer::good()];
        it.retry = Some(Retry::Stop);
        it.wishes = vec![
            (s(2), Wish::Listen(false)),
            (s(2), Wish::Queue(30)),
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
            (s(20), Wish::GiveUp(Some(4003))),
            (s(20), Wish::Reconnect),
            (s(20), Wish::Sleep(s(6))),
            (s(20), Wish::Reconnect),
        ];
    })
    .run();
    world.assert_log(&["26s drop Some(Close(Some(CloseCode(4003))", "26s dial"]);
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

// The contract's section on the driver, sentence by sentence.

mod orders_before_notices {
    use super::*;

    #[test]
    fn nobody_hears_of_a_loss_while_the_old_socket_is_open() {
        let world = setup(|it| it.peers = vec![ends(s(1), Ends::Plain)]).run();
        world.assert_log(&[
            "in Plain",
            "drop None",
            "told Down",
            "dial 1",
            "told Connecting",
        ]);
    }

    #[test]
    fn notices_that_nobody_collects_delay_no_ping() {
        let world = setup(|it| {
            it.wishes = vec![(s(1), Wish::Listen(false))];
            it.until = s(30);
        })
        .run();
        world.assert_right();
        assert!(world.count("out Ping") >= 4);
        // Of those that nobody heard the last is told.
        assert_eq!(world.count("told Ping"), 1);
    }
}

mod what_goes_out {
    use super::*;

    /// All of it waits at once, behind a transport that is full.
    #[test]
    fn the_ping_the_answer_what_was_sent_the_backlog_and_the_goodbye() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.rate = Some(1000);
                peer.system = 100;
                peer.buffer = 1;
                peer.talks = Some((ms(4600), Talk::Asks));
                peer.is_polite = true;
            })];
            it.wishes = vec![
                (ms(4500), Wish::Queue(1500)),
                (ms(4550), Wish::Queue(30)),
                (ms(4700), Wish::Send(30)),
                (ms(4700), Wish::Network),
                (ms(4800), Wish::Stop),
            ];
        })
        .run();
        world.assert_log(&[
            "out Text { id: 1",
            "wish Stop",
            "out Ping",
            "out Answer",
            "out Text { id: 3",
            "out Text { id: 2",
            "out Ping(PingId(4294967296))",
            "out Close",
            "finish",
        ]);
    }

    #[test]
    fn nothing_of_the_backlog_before_the_opening_was_heard_and_the_next_asked_for() {
        let world = setup(|it| {
            it.wishes = vec![
                (s(0), Wish::Queue(30)),
                (s(0), Wish::Listen(false)),
                (s(4), Wish::Listen(true)),
            ];
            it.busy = ms(100);
        })
        .run();
        world.assert_log(&["4", "told Opened", "4.2s out Text"]);
    }

    #[test]
    fn what_is_sent_at_the_opening_goes_ahead_of_the_backlog() {
        let world = setup(|it| {
            it.wishes = vec![(s(0), Wish::Queue(30)), (s(0), Wish::Queue(30))];
            it.logins = 2;
        })
        .run();
        world.assert_log(&["id: 3", "id: 4", "id: 1", "id: 2"]);
    }

    #[test]
    fn nor_before_the_login_which_itself_goes_as_answers_do() {
        let config = calm().healthy_within(Some(s(20))).build().unwrap();
        let world = Setup::that(config, |it| {
            it.wishes = vec![(s(0), Wish::Queue(30))];
            it.peers = vec![Peer::that(|peer| peer.talks = Some((s(3), Talk::Asks)))];
            it.logins = 1;
            it.healthy_after = Some(s(10));
        })
        .run();
        world.assert_log(&["out Text { id: 2", "out Answer", "10.005s out Text { id: 1"]);
        let before = world.net.oracle.log.iter();
        let mut before = before.take_while(|line| !line.contains("10.005s"));
        assert!(!before.any(|line| line.contains("out Ping")));
    }

    #[test]
    fn what_was_sent_and_not_handed_over_is_given_back_and_the_backlog_stays() {
        let world = setup(|it| {
            it.peers = vec![
                Peer::that(|peer| {
                    peer.rate = Some(10);
                    peer.system = 10;
                    peer.buffer = 1;
                    peer.ends = Some((s(2), Ends::Failed));
                }),
                Peer::good(),
            ];
            it.wishes = vec![
                (ms(500), Wish::Send(30)),
                (ms(500), Wish::Send(31)),
                (ms(500), Wish::Queue(32)),
            ];
        })
        .run();
        world.assert_log(&[
            "unsent: [Text { id: 2, size: 31 }], in_doubt: 1",
            "out Text { id: 3",
        ]);
    }

    /// They neither start a doubt nor renew the outbound watch.
    /// A protocol ping of more than 125 bytes ends the connection, for example.
    #[test]
    fn pings_and_answers_of_the_codec_that_it_may_not_send_do_not_go() {
        let world = setup(|it| {
            it.pings = Pings::Forbidden;
            it.peers = vec![Peer::that(|peer| peer.talks = Some((s(7), Talk::Asks)))];
            it.wishes = vec![(ms(20_000), Wish::Queue(30)), (s(20), Wish::Stop)];
        })
        .run();
        world.assert_log(&["out Ping", "told Pong", "out Ping", "out Close"]);
        assert_eq!(world.count("out Control"), 0);
    }

    #[test]
    fn the_backlog_goes_with_the_connection_where_it_does_not_outlive_it() {
        for drops in [false, true] {
            let world = setup(|it| {
                it.peers = vec![
                    Peer::that(|peer| {
                        peer.rate = Some(10);
                        peer.system = 10;
                        peer.buffer = 1;
                        peer.ends = Some((s(2), Ends::Failed));
                    }),
                    Peer::good(),
                ];
                it.drops_queue = drops;
                it.wishes = vec![(s(1), Wish::Queue(30)), (s(1), Wish::Queue(30))];
            })
            .run();
            let unsent = if drops {
                "unsent: [Text { id: 2"
            } else {
                "unsent: []"
            };
            world.assert_log(&["out Text { id: 1", "told Down", "told Opened"]);
            world.assert_log(&[unsent]);
            assert_eq!(world.count("out Text { id: 2"), usize::from(!drops));
        }
    }

    #[test]
    fn answers_are_not_sent_messages() {
        let config = calm()
            .ping_interval(s(60))
            .send_interval(Some(s(3)))
            .confirm_within(Some(s(1)))
            .build()
            .unwrap();
        let world = Setup::that(config, |it| {
            it.peers = vec![Peer::that(|peer| peer.talks = Some((ms(700), Talk::Asks)))];
            it.until = s(4);
        })
        .run();
        world.assert_log(&["out Answer", "3.005s out Ping"]);
    }

    #[test]
    fn what_cannot_be_sent_is_given_back_with_the_reason() {
        let world = setup(|it| it.wishes = vec![(s(1), Wish::Queue(LONGEST + 1))]).run();
        world.assert_log(&["why: TooLong { size: 100001, limit: 100000 }"]);
        let mut world = setup(|it| it.until = s(1)).start(|driver| driver);
        world.play_until(s(1));
        for wire in [
            Wire::Ping(ping(1)),
            Wire::Pong(ping(1)),
            Wire::Close(None, String::new()),
        ] {
            let Err(SendError::Unsendable { message, why }) = world.driver.send(wire.clone())
            else {
                panic!("{wire:?} was taken");
            };
            assert_eq!((message, why), (wire, Unsendable::Control));
        }
    }

    /// The reads have their turn after 32.
    #[test]
    fn a_hundred_messages_go_at_once() {
        for wish in [Wish::Send(30), Wish::Queue(30)] {
            let world = setup(|it| {
                it.peers = vec![Peer::that(|peer| peer.buffer = 50_000)];
                it.wishes = vec![(s(1), wish); 100];
            })
            .run();
            world.assert_right();
            assert_eq!(world.count("1s out Text"), 100);
        }
    }

    /// Where a flush made room, nobody else says so.
    /// The adapter waits inside of its reads: it has to know that there is more.
    #[test]
    fn what_is_behind_a_message_that_cannot_be_sent_goes_at_once() {
        let world = setup(|it| {
            it.rests = true;
            for size in [LONGEST + 1, LONGEST + 1, 30] {
                it.wishes.push((s(1), Wish::Queue(size)));
            }
        })
        .run();
        world.assert_log(&[
            "1s told Rejected",
            "1s told Rejected",
            "1s out Text { id: 3",
        ]);
    }

    #[test]
    fn so_does_what_is_queued_while_a_message_is_handled_ahead_of_a_ping() {
        let config = calm().send_interval(Some(s(5))).build().unwrap();
        let world = Setup::that(config, |it| {
            it.rests = true;
            it.busy = ms(7);
            // It comes when the ping is due.
            it.peers = vec![Peer::that(|peer| peer.talks = Some((ms(4990), Talk::Text)))];
            it.wishes = (0..100).map(|_| (ms(5010), Wish::Queue(30))).collect();
        })
        .run();
        let at = "5.021s out Text { id: 100";
        world.assert_log(&["out Ping", "told Message", "told Ping", at]);
    }

    #[test]
    fn what_had_no_room_goes_once_there_is_some() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| peer.buffer = 1)];
            it.wishes = vec![(s(1), Wish::Send(30)); 3];
        })
        .run();
        world.assert_right();
        assert_eq!(world.count("1s out Text"), 3);
    }

    #[test]
    fn the_limit_covers_what_has_not_left_our_buffer() {
        let setup = setup(|it| {
            it.queue_limit = Some(100);
            it.peers = vec![Peer::that(|peer| {
                peer.stuck = Some(ms(500));
                peer.rate = Some(1000);
                peer.system = 10;
            })];
        });
        let mut world = setup.start(|driver| driver);
        world.play_until(s(1));
        let text = |size| Wire::Text { id: 0, size };
        // A longer one only where nothing waits.
        assert!(world.driver.send(text(1000)).is_ok());
        let full = world.driver.send(text(1));
        assert!(matches!(
            full,
            Err(SendError::Full {
                size: 1,
                used: 1000,
                limit: 100,
                ..
            })
        ));
        drop(world.driver.run(&mut world.net));
        assert_eq!(world.driver.waiting(), 1000);
        let full = world.driver.send(text(1));
        assert!(matches!(full, Err(SendError::Full { used: 1000, .. })));
    }
}

mod handed_over_and_left {
    use super::*;

    #[test]
    fn a_message_whose_write_fails_was_handed_over() {
        let world = setup(|it| {
            it.peers = vec![ends(s(2), Ends::BrokenMute)];
            it.wishes = vec![(s(3), Wish::Queue(30))];
        })
        .run();
        // It was not ready, so that it stays where it is.
        world.assert_log(&["a write fails", "in_doubt: 0"]);
        world.assert_log(&["told Down", "out Text { id: 1"]);
    }

    #[test]
    fn while_a_ping_has_not_left_nothing_more_is_handed_over() {
        let world = setup(|it| {
            it.peers = vec![slow(100)];
            it.wishes = vec![(ms(4900), Wish::Queue(600)), (s(6), Wish::Send(30))];
        })
        .run();
        world.assert_log(&["out Ping", "6s wish Send", "10.015s out Text { id: 2"]);
    }

    #[test]
    fn our_own_backlog_is_not_the_peers_silence() {
        let world = setup(|it| {
            it.peers = vec![slow(100)];
            it.wishes = vec![(ms(4900), Wish::Queue(2000))];
        })
        .run();
        world.assert_log(&["out Ping", "told Pong"]);
        assert_eq!(world.count("told Down"), 1);
    }

    #[test]
    fn the_round_trip_counts_from_when_the_ping_has_left() {
        let world = setup(|it| {
            it.peers = vec![slow(100)];
            it.wishes = vec![(ms(4900), Wish::Queue(600))];
        })
        .run();
        world.assert_log(&["round_trip: 1."]);
    }
}

mod what_is_told {
    use super::*;

    #[test]
    fn every_opening_has_one_loss_whatever_ended_it() {
        for wish in [Wish::Stop, Wish::Reconnect, Wish::GiveUp(Some(4003))] {
            let world = setup(|it| it.wishes = vec![(s(2), wish.clone())]).run();
            world.assert_log(&["told Opened", "told Down(Down { lost: Connection"]);
            let downs = world.count("told Down(Down { lost: Connection");
            assert_eq!(downs, world.count("told Opened"), "{wish:?}");
        }
    }

    #[test]
    fn an_opening_says_for_how_long_the_application_was_deaf() {
        let world = setup(|it| {
            it.peers = vec![
                Peer::that(|peer| {
                    peer.talks = Some((s(1), Talk::Text));
                    peer.ends = Some((ms(2500), Ends::Plain));
                }),
                Peer::good(),
            ];
        })
        .run();
        world.assert_log(&[
            "deaf: None",
            "2.015s in Message",
            "2.515s in Plain",
            "told Opened",
        ]);
        let log = &world.net.oracle.log;
        let second = log
            .iter()
            .filter(|line| line.contains("told Opened"))
            .nth(1)
            .unwrap();
        assert!(!second.contains("None"), "{second}");
    }

    #[test]
    fn a_loss_has_the_peers_code_and_words() {
        for (how, words) in [
            (Ends::Close(4003), "words of 0"),
            (Ends::AppClose(4003), "words of 0"),
            (Ends::ClosedEnd(4003), "an end with words"),
        ] {
            let world = setup(|it| it.peers = vec![ends(s(1), how), Peer::good()]).run();
            world.assert_right();
            let cause = format!("Closed {{ code: Some(CloseCode(4003)), words: {words:?} }}");
            assert_eq!(world.outcomes[0], cause);
        }
    }

    /// In whichever order they are found.
    #[test]
    fn a_close_code_counts_before_a_write_error_and_that_before_a_plain_end() {
        for (how, cause) in [
            (
                Ends::BrokenClose(4003, ms(0)),
                "Closed { code: Some(CloseCode(4003))",
            ),
            (Ends::Broken(ms(0)), "Failed(Write(0))"),
            (Ends::BrokenMute, "Failed(Write(0))"),
            (Ends::Failed, "Failed(Read(0))"),
            (Ends::Plain, "Closed { code: None"),
        ] {
            let world = setup(|it| {
                it.lags = true;
                it.peers = vec![ends(s(2), how), Peer::good()];
                it.wishes = vec![(ms(1999), Wish::Sleep(ms(100))), (ms(1999), Wish::Send(30))];
            })
            .run();
            world.assert_right();
            assert!(
                world.outcomes[0].starts_with(cause),
                "{how:?}: {:?}",
                world.outcomes
            );
        }
    }

    #[test]
    fn a_write_error_is_told_at_once_where_nothing_else_is_there() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.ends = Some((s(2), Ends::BrokenMute));
            })];
            it.lags = true;
            it.wishes = vec![
                (ms(2500), Wish::Sleep(ms(100))),
                (ms(2500), Wish::Queue(30)),
            ];
            it.until = s(4);
        })
        .run();
        world.assert_log(&[
            "2.6s a write fails",
            "2.601s told Down(Down { lost: Connection, cause: Failed(Write(0))",
        ]);
    }

    #[test]
    fn a_write_error_that_is_said_once_is_told() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.fails_once = true;
                peer.ends = Some((s(3), Ends::BrokenMute));
            })];
            it.wishes = vec![(ms(3500), Wish::Queue(30))];
        })
        .run();
        let down = "3.5s told Down(Down { lost: Connection, cause: Failed(Write(0))";
        world.assert_log(&["3.5s a write fails", down, "told Opened"]);
    }

    #[test]
    fn an_unheard_dial_is_replaced_by_the_next() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| peer.dial = Dial::Failed(ms(10)))];
            it.wishes = vec![(s(0), Wish::Listen(false)), (s(9), Wish::Listen(true))];
            it.until = s(9);
        })
        .run();
        world.assert_log(&["dial 0", "dial 1", "dial 2", "9s told Connecting"]);
        let told_until_then = |what: &str| {
            let log = world.net.oracle.log.iter();
            log.filter(|line| line.starts_with("9s told") && line.contains(what))
                .count()
        };
        assert_eq!(told_until_then("Connecting"), 1);
        assert_eq!(told_until_then("Down"), 1);
    }

    #[test]
    fn the_counts_say_what_happened() {
        let config = calm().max_missed(2).build().unwrap();
        let mut world = Setup::that(config, |it| {
            it.logins = 2;
            it.peers = vec![
                Peer::that(|peer| peer.ends = Some((s(6), Ends::Mute))),
                Peer::that(|peer| peer.dial = Dial::Hangs),
            ];
            it.wishes = vec![(s(7), Wish::Send(30))];
        })
        .start(|driver| driver);
        world.play_until(s(22));
        let counts = world.driver.counts();
        assert_eq!((counts.dials, counts.downs), (2, 1), "{counts:?}");
        assert_eq!((counts.pings, counts.missed), (3, 2), "{counts:?}");
        let messages = (counts.handed_over, counts.confirmed, counts.in_doubt);
        assert_eq!(messages, (3, 2, 1), "{counts:?}");
    }

    #[test]
    fn a_dial_that_was_ended_is_not_told_as_lost() {
        for (at, wish) in [
            (s(1), Wish::Stop),
            (ms(5500), Wish::Reconnect),
            (s(2), Wish::Network),
        ] {
            let world = setup(|it| {
                it.peers = vec![Peer::that(|peer| peer.dial = Dial::Hangs)];
                it.wishes = vec![(at, wish.clone())];
                it.until = s(6);
            })
            .run();
            world.assert_log(&["drop"]);
            assert_eq!(world.count("told Down"), 0, "{wish:?}");
        }
    }

    #[test]
    fn a_dial_that_fails_is() {
        for (dial, cause) in [
            (Dial::Failed(ms(10)), "cause: Failed(Dial(0))"),
            (
                Dial::Refused(ms(10), 503),
                "Refused { status: 503, error: Refusal(0) }",
            ),
            (Dial::Ends(ms(10)), "Closed { code: None"),
            (Dial::Hangs, "TimedOut(ConnectTimeout)"),
        ] {
            let world = setup(|it| {
                it.peers = vec![Peer::that(|peer| peer.dial = dial), Peer::good()];
            })
            .run();
            world.assert_log(&[
                "told Down(Down { lost: Dial",
                "told Connecting { attempt: 1",
            ]);
            world.assert_log(&[cause]);
        }
    }

    #[test]
    fn a_ping_is_told_when_it_is_handed_over() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.rate = Some(100);
                peer.system = 50;
                peer.buffer = 1;
            })];
            it.wishes = vec![(ms(4900), Wish::Queue(300))];
        })
        .run();
        world.assert_log(&["out Text", "8.", "out Ping", "told Ping"]);
    }

    #[test]
    fn at_most_one_message_waits_then_reading_stops_and_no_verdict_is_spoken() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.talks = Some((s(1), Talk::Text));
                peer.ends = Some((s(4), Ends::Mute));
            })];
            it.wishes = vec![(ms(500), Wish::Listen(false)), (s(39), Wish::Listen(true))];
            it.until = s(60);
        })
        .run();
        world.assert_log(&["in Message(Text", "39s wish Listen", "39s in Message(Text"]);
        world.assert_log(&["39s told Message", "TimedOut(PongTimeout)"]);
    }

    #[test]
    fn losses_that_nobody_heard_of_are_one() {
        let world = setup(|it| {
            it.peers = vec![ends(s(1), Ends::Plain)];
            it.wishes = vec![(s(0), Wish::Listen(false)), (s(30), Wish::Listen(true))];
        })
        .run();
        world.assert_log(&["30s told Opened { epoch: Epoch(1)", "30s told Down"]);
        assert!(world.net.oracle.downs() > 5);
    }

    #[test]
    fn what_comes_with_an_end_proves_nothing() {
        let mute = |how| ends(ms(3500), how);
        for how in [
            Ends::Close(1011),
            Ends::Plain,
            Ends::Failed,
            Ends::AppClose(1011),
        ] {
            let world = setup(|it| it.peers = vec![mute(how)]).run();
            world.assert_log(&["dial 1", "dial 2", "dial 3"]);
        }
    }
}

mod what_the_application_says {
    use super::*;

    #[test]
    fn concerns_the_connection_that_it_heard_of() {
        let setup = setup(|it| {
            it.peers = vec![ends(s(1), Ends::Plain), Peer::good()];
            it.wishes = vec![(ms(500), Wish::Listen(false))];
        });
        let mut world = setup.start(|driver| driver);
        world.play_until(ms(200));
        let first = world.driver.heard_epoch().unwrap();
        world.play_until(s(4));
        assert_eq!(world.net.dials, 2);
        let text = Wire::Text { id: 9, size: 9 };
        let stale = world.driver.send(text.clone());
        assert!(matches!(stale, Err(SendError::Stale(message)) if message == text));
        assert!(!world.driver.healthy(first, world.net.now));
        assert!(
            !world
                .driver
                .give_up(first, Closed::default(), world.net.now)
        );
        assert_eq!(world.driver.heard_epoch(), None);
    }

    /// It hears of the first one while the second one is up.
    #[test]
    fn not_the_one_that_is_up_and_was_not_heard_of() {
        let world = setup(|it| {
            it.peers = vec![ends(s(1), Ends::Plain), Peer::good()];
            it.wishes = vec![(s(0), Wish::Listen(false)), (s(3), Wish::Listen(true))];
            it.logins = 1;
            it.until = s(4);
        })
        .run();
        world.assert_log(&[
            "told Opened",
            "told Down",
            "told Opened",
            "out Text { id: 2",
        ]);
        assert_eq!(world.count("out Text"), 1);
    }

    #[test]
    fn there_is_nothing_to_send_on_while_it_is_down_or_after_a_stop() {
        let mut world = setup(|_| {}).start(|driver| driver);
        let text = || Wire::Text { id: 9, size: 9 };
        assert!(matches!(world.driver.send(text()), Err(SendError::Down(_))));
        world.play_until(s(1));
        world.driver.stop(world.net.now);
        assert!(matches!(
            world.driver.send(text()),
            Err(SendError::Stopped(_))
        ));
    }
}

mod nothing_is_lost_in_silence {
    use super::*;

    #[test]
    fn a_pong_confirms_what_went_before_its_ping() {
        let mut world = setup(|it| {
            it.wishes = vec![(s(1), Wish::Queue(30)), (ms(5012), Wish::Queue(30))];
        })
        .start(|driver| driver);
        world.play_until(s(3));
        assert_eq!(world.driver.in_doubt(), 1);
        world.play_until(s(6));
        assert_eq!(
            (world.driver.in_doubt(), world.driver.counts().confirmed),
            (1, 1)
        );
    }

    #[test]
    fn beyond_32_pings_without_an_answer_none_is_recorded() {
        let mut world = Setup::that(
            calm()
                .ping_interval(ms(100))
                .pong_timeout(ms(50))
                .max_missed(100)
                .build()
                .unwrap(),
            |it| {
                it.peers = vec![Peer::that(|peer| peer.answers = Some(ms(3000)))];
                it.wishes = vec![(ms(50), Wish::Queue(30)), (ms(2900), Wish::Queue(30))];
            },
        )
        .start(|driver| driver);
        world.play_until(ms(5500));
        world.assert_right();
        // What went after the 32nd is not confirmed by the answers to later ones.
        assert!(world.count("out Ping") > 32);
        assert!(world.driver.in_doubt() <= 1);
    }

    #[test]
    fn an_answer_without_an_id_is_to_the_oldest_ping() {
        let world = setup(|it| {
            it.pings = Pings::Nameless;
            it.wishes = vec![(s(1), Wish::Queue(30))];
            it.until = s(8);
        })
        .run();
        world.assert_log(&["in Message(AppPong", "told Pong", "in_doubt: 0"]);
    }

    #[test]
    fn nor_to_any_while_the_awaited_one_is_queued() {
        let config = calm().max_missed(2).build().unwrap();
        let mut world = Setup::that(config, |it| {
            it.pings = Pings::Nameless;
            it.logins = 1;
            it.peers = vec![Peer::that(|peer| {
                peer.answers = Some(ms(4500));
                peer.rate = Some(1000);
                peer.system = 100;
            })];
            it.wishes = vec![(s(9), Wish::Queue(3000))];
        })
        .start(|driver| driver);
        world.play_until(s(11));
        world.assert_log(&[
            "5.005s out AppPing",
            "9s out Text",
            "9.005s out AppPing",
            "in Message(AppPong",
        ]);
        assert_eq!(world.driver.in_doubt(), 2);
        assert_eq!(world.count("told Pong"), 0);
    }

    #[test]
    fn a_last_ping_goes_ahead_of_the_goodbye_and_its_pong_confirms() {
        let world = setup(|it| {
            it.wishes = vec![(s(1), Wish::Queue(30)), (ms(1500), Wish::Stop)];
        })
        .run();
        world.assert_log(&[
            "out Ping(PingId(4294967296))",
            "out Close",
            "in Message(Pong(PingId(4294967296)))",
            "in_doubt: 0",
        ]);
    }

    #[test]
    fn a_close_frame_that_crosses_ours_confirms_nothing() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.latency = ms(300);
                peer.ends = Some((ms(1900), Ends::Close(1000)));
            })];
            it.wishes = vec![(ms(1950), Wish::Queue(30)), (s(2), Wish::Stop)];
        })
        .run();
        world.assert_log(&["out Text", "out Close", "in Message(Close", "in_doubt: 1"]);
    }

    #[test]
    fn not_in_listen_only_nor_before_the_login() {
        let listener = calm().listen_only(true).build().unwrap();
        let login = calm().healthy_within(Some(s(20))).build().unwrap();
        for config in [listener, login] {
            let world = Setup::that(config, |it| {
                it.logins = 1;
                it.wishes = vec![(s(1), Wish::Stop)];
            })
            .run();
            world.assert_log(&["out Text", "out Close", "in_doubt: 1"]);
            assert_eq!(world.count("out Ping"), 0);
        }
    }
}

mod keeping {
    use super::*;

    fn keeps(change: impl FnOnce(&mut Setup)) -> Setup {
        Setup::that(calm().confirm_within(Some(s(2))).build().unwrap(), |it| {
            it.keeps = Some(1000);
            change(it);
        })
    }

    #[test]
    fn a_loss_gives_back_what_is_in_doubt_in_order_and_it_is_sent_again_first() {
        let world = keeps(|it| {
            it.peers = vec![ends(s(2), Ends::Plain), Peer::good()];
            it.requeues = true;
            it.logins = 1;
            it.wishes = vec![
                (s(1), Wish::Queue(30)),
                (s(1), Wish::Queue(30)),
                (ms(2100), Wish::Queue(30)),
            ];
        })
        .run();
        // What was sent for the connection is counted and not kept.
        world.assert_log(&[
            "in_doubt: 3, kept: [Text { id: 2, size: 30 }, Text { id: 3, size: 30 }]",
        ]);
        world.assert_log(&[
            "told Down",
            "out Text { id: 2",
            "out Text { id: 3",
            "out Text { id: 4",
        ]);
    }

    #[test]
    fn at_the_limit_nothing_more_goes_out_until_some_are_confirmed() {
        let world = keeps(|it| {
            it.keeps = Some(50);
            it.wishes = vec![
                (s(1), Wish::Queue(30)),
                (s(1), Wish::Queue(30)),
                (s(1), Wish::Queue(500)),
            ];
        })
        .run();
        world.assert_log(&[
            "1s out Text { id: 1",
            "3.02s out Text { id: 2",
            "5.04s out Text { id: 3",
        ]);
    }

    #[test]
    fn what_waits_at_the_limit_goes_with_a_backlog_that_does_not_outlive_the_connection() {
        let world = keeps(|it| {
            it.keeps = Some(50);
            it.drops_queue = true;
            it.peers = vec![ends(s(2), Ends::Plain), Peer::good()];
            it.wishes = vec![
                (s(1), Wish::Queue(30)),
                (s(1), Wish::Queue(31)),
                (s(1), Wish::Queue(32)),
            ];
        })
        .run();
        world.assert_log(&[
            "unsent: [Text { id: 2, size: 31 }, Text { id: 3, size: 32 }]",
            "told Opened",
        ]);
        assert_eq!(world.count("out Text"), 1);
    }

    #[test]
    fn it_needs_confirm_within_and_keeps_it() {
        let mut net = Net::new(
            vec![Peer::good()],
            Oracle::new(Config::default(), Pings::Protocol),
        );
        assert!(setup(|_| {}).driver(&mut net).keeping(10).is_err());
        let mut driver = keeps(|_| {}).driver(&mut net);
        assert!(driver.reconfigure(Config::default(), s(0)).is_err());
        assert!(driver.heartbeat().config().confirm_within().is_some());
        assert!(driver.reconfigure(keeps(|_| {}).config, s(0)).is_ok());
    }

    #[test]
    fn at_a_stop_what_is_in_doubt_is_given_back() {
        let world = keeps(|it| {
            it.peers = vec![Peer::that(|peer| peer.answers = None)];
            it.wishes = vec![(s(1), Wish::Queue(30)), (s(1), Wish::Stop)];
        })
        .run();
        world.assert_log(&[
            "in_doubt: 1, kept: [Text { id: 1, size: 30 }]",
            "told Stopped",
        ]);
    }
}

mod stalls {
    use super::*;

    fn stuck(change: impl FnOnce(&mut Setup)) -> Setup {
        setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.stuck = Some(s(2));
                peer.rate = Some(100_000);
                peer.system = 20;
                peer.talks = Some((s(1), Talk::Text));
            })];
            it.wishes = vec![(s(3), Wish::Send(30))];
            it.until = s(20);
            change(it);
        })
    }

    #[test]
    fn a_transport_that_takes_nothing_has_failed_although_the_peer_talks() {
        stuck(|_| {})
            .run()
            .assert_log(&["7s told Down(Down { lost: Connection, cause: Stalled"]);
        stuck(|it| it.stall_timeout = Some(s(10)))
            .run()
            .assert_log(&["13s told Down(Down { lost: Connection, cause: Stalled"]);
    }

    #[test]
    fn time_away_counts_for_a_second_at_most() {
        let world = stuck(|it| {
            it.wishes.push((s(5), Wish::Sleep(s(15))));
            it.until = s(40);
        })
        .run();
        world.assert_log(&["5s wish Sleep", "20s in Message", "21.", "cause: Stalled"]);
    }

    #[test]
    fn one_that_takes_bytes_has_not() {
        let world = setup(|it| {
            it.peers = vec![slow(20)];
            it.stall_timeout = Some(s(2));
            it.wishes = vec![(s(1), Wish::Queue(600))];
            it.until = s(50);
        })
        .run();
        world.assert_right();
        assert_eq!(world.count("Stalled"), 0);
    }

    #[test]
    fn without_a_count_of_bytes_progress_is_a_flush_or_a_message() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.counts = false;
                peer.rate = Some(100);
                peer.system = 30;
            })];
            it.wishes = (2..12).map(|at| (s(at), Wish::Send(30))).collect();
            it.until = s(14);
        })
        .run();
        world.assert_right();
        assert_eq!(world.count("Stalled"), 0);
    }

    #[test]
    fn a_verdict_that_is_due_as_well_is_told() {
        for (lags, at) in [(false, "9.005s drop"), (true, "9.006s drop")] {
            let world = stuck(|it| {
                it.lags = lags;
                it.peers[0].talks = None;
                it.stall_timeout = Some(ms(6005));
            })
            .run();
            world.assert_log(&[at, "TimedOut(PongTimeout)"]);
        }
    }

    /// Also where nothing else wakes it.
    #[test]
    fn a_stall_is_found_in_its_time() {
        let world = stuck(|it| {
            it.peers[0].talks = None;
            it.stall_timeout = Some(s(3));
        })
        .run();
        world.assert_log(&["6s told Down(Down { lost: Connection, cause: Stalled"]);
    }

    #[test]
    fn a_transport_that_is_never_ready_has_failed_too() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.buffer = 0;
                peer.talks = Some((s(1), Talk::Text));
            })];
            it.wishes = vec![(s(1), Wish::Send(30))];
        })
        .run();
        world.assert_log(&["5s told Down(Down { lost: Connection, cause: Stalled"]);
    }

    #[test]
    fn one_that_takes_messages_has_not_where_bytes_are_not_counted() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.counts = false;
                peer.rate = Some(1000);
                peer.system = 100;
                peer.buffer = 50_000;
                peer.talks = Some((s(1), Talk::Text));
            })];
            it.wishes = (4..44).map(|at| (ms(250) * at, Wish::Send(300))).collect();
            it.until = s(12);
        })
        .run();
        world.assert_right();
        assert_eq!(world.count("Stalled"), 0);
    }
}

mod reading_and_judging {
    use super::*;

    #[test]
    fn bytes_are_life_where_they_are_counted_and_those_of_the_handshake_are_not() {
        let bytes = |counts| {
            setup(|it| {
                it.peers = vec![Peer::that(|peer| {
                    peer.talks = Some((s(1), Talk::Bytes));
                    peer.answers = None;
                    peer.counts = counts;
                })];
                it.until = s(30);
            })
            .run()
        };
        let world = bytes(true);
        world.assert_right();
        assert_eq!(world.count("PongTimeout"), 0);
        bytes(false).assert_log(&["PongTimeout"]);
        // Opened for long enough, and nothing was received: the attempts go on.
        let world = setup(|it| it.peers = vec![ends(s(4), Ends::Plain)]).run();
        world.assert_log(&["dial 1", "dial 2", "dial 3"]);
    }

    #[test]
    fn no_verdict_before_the_reactor_has_turned() {
        let world = setup(|it| {
            it.lags = true;
            it.peers = vec![Peer::that(|peer| peer.answers = Some(ms(3990)))];
            it.wishes = vec![(ms(8900), Wish::Sleep(ms(200)))];
            it.until = s(12);
        })
        .run();
        world.assert_right();
        assert_eq!(world.count("PongTimeout"), 0);
    }

    /// What holds a verdict for longer than `late_tolerance` makes it late, which the
    /// machine forgives once.
    fn holds_for_a_pong_timeout(peer: &Peer, busy: Duration) {
        for (late, at) in [(s(5), "13."), (s(1), "18.")] {
            let config = calm().strict_pongs(true).late_tolerance(late);
            let world = Setup::that(config.build().unwrap(), |it| {
                it.peers = vec![peer.clone()];
                it.busy = busy;
                it.until = s(25);
            })
            .run();
            world.assert_right();
            let log = &world.net.oracle.log;
            let dropped = log.iter().find(|line| line.contains("drop")).unwrap();
            assert!(dropped.starts_with(at), "{dropped}");
            world.assert_log(&["out Ping", dropped, "TimedOut(PongTimeout)"]);
        }
    }

    #[test]
    fn a_flood_holds_a_verdict_for_a_pong_timeout_at_most() {
        let peer = Peer::that(|peer| {
            peer.talks = Some((ms(150), Talk::Text));
            peer.answers = None;
        });
        holds_for_a_pong_timeout(&peer, ms(160));
    }

    #[test]
    fn so_does_one_message_that_has_no_end() {
        for counts in [true, false] {
            let peer = Peer::that(|peer| {
                peer.floods = Some(s(4));
                peer.answers = None;
                peer.counts = counts;
            });
            holds_for_a_pong_timeout(&peer, s(0));
        }
    }

    /// What the application does not collect is not its time to read.
    #[test]
    fn who_was_not_listened_to_reads_for_that_long_again() {
        let config = calm().strict_pongs(true).late_tolerance(s(60));
        let world = Setup::that(config.build().unwrap(), |it| {
            it.peers = vec![Peer::that(|peer| {
                peer.talks = Some((ms(150), Talk::Text));
                peer.answers = None;
            })];
            it.busy = ms(300);
            it.wishes = vec![(s(11), Wish::Listen(false)), (s(21), Wish::Listen(true))];
            it.until = s(27);
        })
        .run();
        world.assert_log(&["out Ping", "wish Listen(false)", "wish Listen(true)"]);
        let log = &world.net.oracle.log;
        let dropped = log.iter().find(|line| line.contains("drop")).unwrap();
        assert!(dropped.starts_with("25."), "{dropped}");
    }

    /// What counts is for how long it was read, not for how long it lay there.
    #[test]
    fn who_was_away_reads_for_that_long_before_it_judges() {
        let config = calm().strict_pongs(true).pong_timeout(ms(700));
        let config = config.late_tolerance(s(4)).build().unwrap();
        let world = Setup::that(config, |it| {
            it.peers = vec![Peer::that(|peer| {
                peer.talks = Some((ms(1740), Talk::Text));
                peer.answers = Some(ms(600));
            })];
            it.wishes = vec![(ms(5010), Wish::Sleep(s(3)))];
            it.until = s(9);
        })
        .run();
        world.assert_log(&["5.005s out Ping", "8.01s told Message", "8.01s told Pong"]);
        assert_eq!(world.count("PongTimeout"), 0);
    }

    #[test]
    fn a_verdict_is_not_held_for_less_because_another_was() {
        let config = calm().late_tolerance(s(5)).build().unwrap();
        let world = Setup::that(config, |it| {
            it.peers = vec![
                Peer::that(|peer| peer.dial = Dial::Hangs),
                Peer::that(|peer| peer.dial = Dial::Opens(s(0))),
            ];
            it.lags = true;
            it.wishes = vec![
                (ms(5900), Wish::Sleep(s(1))),
                // Of the second dial, too, the verdict is due once it is looked at.
                (ms(6000), Wish::Reconnect),
                (ms(6000), Wish::Sleep(ms(6100))),
            ];
            it.until = s(15);
        })
        .run();
        world.assert_log(&["13s dial 0", "13s in Opened"]);
        assert_eq!(world.count("ConnectTimeout"), 0);
    }

    #[test]
    fn a_late_pong_while_traffic_flows_convicts_nobody() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.talks = Some((s(1), Talk::Text));
                peer.answers = Some(s(9));
            })];
            it.wishes = vec![(s(2), Wish::Network)];
            it.until = s(30);
        })
        .run();
        world.assert_log(&["out Ping", "told Pong"]);
        assert_eq!(world.count("PongTimeout"), 0);
    }
}

mod goodbyes {
    use super::*;

    #[test]
    fn a_client_says_1000_an_accepted_socket_1001_and_both_what_they_are_told() {
        for (is_accepted, wish, said) in [
            (false, Wish::Stop, "out Close(Some(CloseCode(1000)), \"\")"),
            (true, Wish::Stop, "out Close(Some(CloseCode(1001)), \"\")"),
            (
                false,
                Wish::StopWith(4000),
                "out Close(Some(CloseCode(4000)), \"until tomorrow\")",
            ),
            (
                true,
                Wish::StopWith(1000),
                "out Close(Some(CloseCode(1000)), \"until tomorrow\")",
            ),
        ] {
            let world = setup(|it| {
                it.is_accepted = is_accepted;
                it.wishes = vec![(s(1), wish)];
            })
            .run();
            world.assert_log(&[said, "finish", "told Down", "told Stopped"]);
        }
    }

    #[test]
    fn who_reconnects_says_no_code_and_who_gives_up_the_one_given() {
        for (wish, said) in [
            (Wish::Reconnect, "drop Some(Close(None, \"\"))"),
            (
                Wish::GiveUp(Some(4003)),
                "drop Some(Close(Some(CloseCode(4003)), \"\"))",
            ),
            // It must not be sent.
            (
                Wish::GiveUp(Some(1006)),
                "drop Some(Close(Some(CloseCode(1000)), \"\"))",
            ),
            (
                Wish::GiveUp(None),
                "drop Some(Close(Some(CloseCode(1000)), \"\"))",
            ),
        ] {
            setup(|it| it.wishes = vec![(s(2), wish)])
                .run()
                .assert_log(&[said]);
        }
        let config = calm().healthy_within(Some(s(1))).build().unwrap();
        let world = Setup::new(config).run();
        world.assert_log(&[
            "drop Some(Close(Some(CloseCode(1008)), \"\"))",
            "LoginTimeout",
        ]);
    }

    #[test]
    fn what_was_taken_goes_ahead_as_far_as_one_close_timeout_allows() {
        let world = setup(|it| {
            it.peers = vec![slow(100)];
            it.peers[0].buffer = 1;
            it.wishes = (0..20).map(|_| (s(1), Wish::Queue(100))).collect();
            it.wishes.push((s(1), Wish::Stop));
        })
        .run();
        world.assert_log(&[
            "out Text",
            "4s drop None",
            "CloseTimeout",
            "told Stopped { reason: Requested, unsent: [Text",
        ]);
    }

    #[test]
    fn without_a_connection_or_before_it_was_heard_the_backlog_is_given_back_at_once() {
        let hangs = |it: &mut Setup| it.peers[0].dial = Dial::Hangs;
        let world = setup(|it| {
            hangs(it);
            it.wishes = vec![(s(1), Wish::Queue(30)), (s(2), Wish::Stop)];
        })
        .run();
        world.assert_log(&["2s told Stopped { reason: Requested, unsent: [Text { id: 1"]);
        let world = setup(|it| {
            it.wishes = vec![
                (s(0), Wish::Listen(false)),
                (s(1), Wish::Queue(30)),
                (s(2), Wish::Stop),
                (s(3), Wish::Listen(true)),
            ];
        })
        .run();
        world.assert_log(&["2s out Close", "unsent: [Text { id: 1"]);
        let config = calm().healthy_within(Some(s(20))).build().unwrap();
        let world = Setup::that(config, |it| {
            it.wishes = vec![(s(1), Wish::Queue(30)), (s(2), Wish::Stop)];
        })
        .run();
        world.assert_log(&["2s out Close", "unsent: [Text { id: 1"]);
    }

    /// The process was away; what the peer said lies unread.
    #[test]
    fn a_close_that_was_answered_meanwhile_is_no_timeout() {
        for lags in [false, true] {
            let world = setup(|it| {
                it.lags = lags;
                it.peers = vec![Peer::that(|peer| peer.talks = Some((s(1), Talk::Text)))];
                it.wishes = vec![
                    (s(2), Wish::Queue(30)),
                    (s(3), Wish::Stop),
                    (ms(3001), Wish::Sleep(s(10))),
                ];
            })
            .run();
            world.assert_log(&[
                "13.001s in Message(Text",
                "13.001s in Message(Pong",
                "13.001s in Message(Close",
                "cause: Stopped, retry: None, unsent: [], in_doubt: 0",
                "told Stopped",
            ]);
        }
    }

    /// But that is held for no longer than `late_tolerance`.
    #[test]
    fn a_flood_does_not_hold_a_close() {
        for (away, drop) in [(s(0), "6s drop"), (s(10), "14.001s drop")] {
            let world = setup(|it| {
                it.peers = vec![Peer::that(|peer| {
                    peer.floods = Some(s(1));
                    peer.is_polite = false;
                })];
                it.wishes = vec![(s(3), Wish::Stop), (ms(3001), Wish::Sleep(away))];
            })
            .run();
            world.assert_log(&[drop, "TimedOut(CloseTimeout)", "told Stopped"]);
        }
    }

    #[test]
    fn a_second_stop_does_not_wait() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| peer.is_polite = false)];
            it.wishes = vec![(s(1), Wish::Stop), (s(2), Wish::Stop)];
        })
        .run();
        world.assert_log(&[
            "1s out Close",
            "2s drop None",
            "2s told Down",
            "2s told Stopped",
        ]);
    }

    /// Whatever it was doing when it was told to stop.
    #[test]
    fn who_was_told_to_stop_is_not_revived_before_the_end_is_told() {
        let hangs = || vec![Peer::that(|peer| peer.dial = Dial::Hangs)];
        let fails = || vec![Peer::that(|peer| peer.dial = Dial::Failed(ms(10)))];
        let rude = || vec![Peer::that(|peer| peer.is_polite = false)];
        for (peers, stop, reconnect) in [
            (rude(), s(2), ms(2100)),
            (hangs(), s(2), s(2)),
            (fails(), ms(20), ms(20)),
            (vec![Peer::good()], s(0), s(0)),
            // It has ended, and nobody heard that.
            (vec![ends(s(1), Ends::Close(1000))], s(2), s(3)),
        ] {
            let world = setup(|it| {
                it.retry = peers[0].ends.map(|_| Retry::Stop);
                it.peers = peers.clone();
                it.wishes = vec![
                    (s(0), Wish::Listen(false)),
                    (stop, Wish::Stop),
                    (reconnect, Wish::Reconnect),
                    (s(7), Wish::Reconnect),
                    (s(9), Wish::Listen(true)),
                ];
            })
            .run();
            world.assert_log(&["wish Reconnect", "wish Reconnect", "9s told Stopped"]);
            assert!(world.count("told Opened") <= 1);
        }
    }

    #[test]
    fn once_the_end_was_told_it_may_begin_anew() {
        let world = setup(|it| {
            it.wishes = vec![
                (s(2), Wish::Stop),
                (s(3), Wish::Stop),
                (s(4), Wish::Reconnect),
                (s(6), Wish::Stop),
            ];
        })
        .run();
        world.assert_log(&["2.021s told Stopped", "4s dial 0", "6.021s told Stopped"]);
    }

    #[test]
    fn a_stop_of_an_accepted_socket_before_it_was_read_says_goodbye() {
        let world = setup(|it| {
            it.is_accepted = true;
            it.wishes = vec![(s(0), Wish::Stop), (s(0), Wish::Reconnect)];
        })
        .run();
        world.assert_log(&[
            "out Close(Some(CloseCode(1001))",
            "told Opened",
            "told Stopped",
        ]);
    }

    #[test]
    fn a_second_stop_of_an_accepted_socket_before_it_was_read_abandons_it() {
        for first in [Wish::Reconnect, Wish::Stop] {
            let world = setup(|it| {
                it.is_accepted = true;
                it.wishes = vec![
                    (s(0), first),
                    (s(0), Wish::Stop),
                    (s(0), Wish::Stop),
                    (s(0), Wish::Reconnect),
                ];
            })
            .run();
            world.assert_log(&["0ns in Opened", "0ns drop None", "told Opened", "told Down"]);
            world.assert_log(&["cause: Stopped", "told Stopped"]);
            assert_eq!(world.count("out "), 0);
        }
    }

    #[test]
    fn an_accepted_socket_that_is_to_reconnect_before_it_was_read_ends() {
        let world = setup(|it| {
            it.is_accepted = true;
            it.wishes = vec![(s(0), Wish::Reconnect)];
        })
        .run();
        world.assert_log(&["0ns in Opened", "0ns drop", "Reconnected", "told Stopped"]);
    }

    /// Its socket cannot be read, for example.
    #[test]
    fn an_accepted_socket_that_ends_before_it_was_read_is_over() {
        let ends = [
            Dial::Ends(s(0)),
            Dial::Failed(s(0)),
            Dial::Refused(s(0), 503),
        ];
        let wishes = [
            vec![],
            vec![Wish::Stop],
            vec![Wish::Stop, Wish::Stop],
            vec![Wish::Reconnect],
        ];
        for (end, wishes) in ends
            .iter()
            .flat_map(|end| wishes.iter().map(move |it| (end, it)))
        {
            let world = setup(|it| {
                it.is_accepted = true;
                it.peers = vec![Peer::that(|peer| peer.dial = *end)];
                it.wishes = wishes.iter().map(|wish| (s(0), wish.clone())).collect();
            })
            .run();
            world.assert_log(&[
                "0ns drop",
                "told Opened",
                "told Down(Down { lost: Connection",
                "0ns told Stopped",
            ]);
            assert_eq!(world.count("out "), 0);
        }
    }

    #[test]
    fn an_accepted_socket_never_dials() {
        let config = calm().reconnect(true).build().unwrap();
        for wishes in [vec![], vec![(s(1), Wish::Reconfigure(config))]] {
            let world = setup(|it| {
                it.is_accepted = true;
                it.peers = vec![ends(s(2), Ends::Plain)];
                it.wishes = wishes;
            })
            .run();
            world.assert_log(&["told Down", "told Stopped"]);
            assert_eq!(world.count("dial"), 0);
        }
    }

    #[test]
    fn who_heard_the_peers_goodbye_says_nothing_more() {
        let world = setup(|it| {
            it.peers = vec![Peer::that(|peer| {
                peer.rate = Some(1000);
                peer.buffer = 1;
                peer.ends = Some((s(3), Ends::Close(1001)));
            })];
            it.wishes = vec![
                (s(1), Wish::Send(7500)),
                (s(2), Wish::Send(30)),
                (s(2), Wish::Stop),
                // Then there is room.
                (ms(2900), Wish::Sleep(s(2))),
            ];
        })
        .run();
        world.assert_log(&[
            "in Message(Close",
            "cause: Stopped, retry: None, unsent: [Text { id: 2",
        ]);
        assert_eq!(world.count("out "), 1);
    }

    #[test]
    fn an_accepted_socket_that_is_to_reconnect_ends() {
        let world = setup(|it| {
            it.is_accepted = true;
            it.wishes = vec![(s(1), Wish::Reconnect)];
        })
        .run();
        world.assert_log(&["1s drop", "Reconnected", "told Stopped"]);
        assert_eq!(world.count("dial"), 0);
    }
}

mod woken {
    use super::*;

    #[test]
    fn a_clock_that_ran_on_by_more_than_10_s_is_a_change_of_network() {
        for (sleep, is_news) in [(s(9), false), (s(11), true)] {
            let world = setup(|it| {
                it.peers = vec![Peer::that(|peer| peer.talks = Some((s(1), Talk::Text)))];
                it.wishes = vec![(s(0), Wish::Suspend(s(0))), (s(7), Wish::Suspend(sleep))];
                it.until = s(12);
            })
            .run();
            world.assert_right();
            assert_eq!(world.count("out Ping") > 0, is_news);
        }
    }
}

/// Three messages with pings between them, cut after each step of the way there and
/// back: with `keeping` and `requeue` each of them is read in the end, and each that
/// was confirmed had been.
#[test]
fn nothing_that_was_ever_sent_is_lost_whenever_it_is_cut() {
    let config = calm()
        .confirm_within(Some(ms(100)))
        .ping_interval(ms(400))
        .build()
        .unwrap();
    let cuts = [
        Ends::Plain,
        Ends::Failed,
        Ends::Close(1001),
        Ends::BrokenClose(1011, ms(5)),
        Ends::Broken(ms(5)),
        Ends::Mute,
    ];
    let (mut losses, mut doubts) = (0, 0);
    for how in cuts {
        for pings in [Pings::Protocol, Pings::Named, Pings::Nameless] {
            for gap in [0, 150] {
                for rate in [None, Some(400)] {
                    for cut in (0..=500).step_by(10) {
                        let world = Setup::that(config, |it| {
                            it.pings = pings;
                            it.keeps = Some(70);
                            it.requeues = true;
                            it.peers = vec![
                                Peer::that(|peer| {
                                    peer.latency = ms(20);
                                    peer.rate = rate;
                                    peer.system = 40;
                                    peer.buffer = 40;
                                    peer.ends = Some((ms(cut), how));
                                }),
                                Peer::good(),
                            ];
                            it.wishes = (0..3)
                                .map(|n| (ms(10 + gap * n), Wish::Queue(30)))
                                .collect();
                            it.until = s(30);
                        })
                        .run();
                        world.assert_right();
                        assert_eq!(
                            world.lost(),
                            Vec::<u64>::new(),
                            "{how:?} {pings:?} {gap} {rate:?} {cut}"
                        );
                        for id in 1..=3 {
                            assert!(
                                world.net.oracle.was_read(id),
                                "{how:?} {pings:?} {gap} {rate:?} {cut}"
                            );
                        }
                        losses += world.net.oracle.downs();
                        doubts += usize::from(world.count("kept: [Text") > 0);
                    }
                }
            }
        }
    }
    assert!(losses > 5000 && doubts > 500, "{losses} {doubts}");
}

/// The table of the rules in the docs of the driver.
#[test]
fn the_docs_name_only_tests_that_there_are() {
    let docs = include_str!("../src/driver/mod.rs");
    let rows = docs
        .lines()
        .skip_while(|line| *line != "//! | rule | test |");
    let rows = rows.map_while(|line| line.strip_prefix("//! | ")).skip(2);
    let tests: Vec<_> = include_str!("driver.rs")
        .split("#[test]\n")
        .skip(1)
        .filter_map(|text| text.split_once("fn ")?.1.split_once('('))
        .map(|(name, _)| name)
        .collect();
    let mut named = 0;
    for row in rows {
        let (rule, shown) = row.split_once(" | ").unwrap();
        let names: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test shows: {rule}");
        for name in names {
            assert!(tests.contains(&name), "there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} tests are named");
}

// Whatever happens.

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

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
