//! How a connection ends, and what is told of it.

use std::task::{Context, Poll, Waker};

use keepalive::session::Session;
use keepalive::{CloseCode, Closed, Config, Ending, Goodbye, PingId, Refused, Retry, State};

use crate::rig::{
    Awake, Dialled, Frames, Manual, Msg, NO_CODE, Outbox, Pings, Rig, Socket, Wire, World, config,
    millis, seconds, words,
};

/// A way of ending, and why it is told to have ended.
type Way = (fn(&Wire), &'static str);

const WAYS: [Way; 8] = [
    (Wire::end, "closed without a code"),
    (|wire| wire.fail("reset"), "reset"),
    (
        |wire| {
            wire.fail("reset");
            wire.fail("reset again");
            wire.end();
        },
        "reset",
    ),
    (|wire| wire.say(Msg::Close(1001)), "closed with code 1001"),
    (
        |wire| {
            wire.say(Msg::Close(1001));
            wire.fail("reset");
        },
        "closed with code 1001",
    ),
    (
        |wire| wire.line().fails = Some("broken pipe"),
        "broken pipe",
    ),
    // What the peer said before is heard, though the write fails first.
    (
        |wire| {
            wire.line().fails = Some("broken pipe");
            wire.say_at(wire.world().now(), Msg::Close(1001));
        },
        "closed with code 1001",
    ),
    // What broke the writes came first.
    (
        |wire| {
            wire.line().fails = Some("broken pipe");
            let reset = wire.clone();
            wire.world()
                .at(wire.world().now(), move || reset.fail("reset"));
        },
        "broken pipe",
    ),
];

#[test]
fn an_end_is_told_once() {
    for (number, (end, why)) in WAYS.into_iter().enumerate() {
        let (mut rig, wire) = Rig::open(config());
        rig.run(millis(500));
        end(&wire);
        rig.outbox.send(1);
        rig.run(millis(1500));
        let down = format!("down: {why}, retry 1");
        assert_eq!(rig.outline(), [&*down, "connecting 1"], "way {number}");
        assert!(wire.dropped().is_some());
        rig.run(seconds(19));
        assert_eq!(rig.told.len(), 2, "{:?}", rig.lines());
    }
}

#[test]
fn an_error_may_be_an_orderly_end() {
    let (mut rig, wire) = Rig::open(config());
    rig.session = rig.session.with_endings(|fault| {
        let away = Closed::default().retry_after(seconds(30));
        match *fault {
            "reset" => Ending::Closed(away),
            _ => Ending::Failed,
        }
    });
    wire.fail("reset");
    rig.run(seconds(29));
    assert_eq!(rig.outline(), ["down: closed without a code, retry 1"]);
    rig.run(seconds(31));
    assert_eq!(rig.when("connecting 1"), seconds(30) + millis(1));
}

#[test]
fn a_dial_may_be_refused() {
    let mut rig = Rig::dialling(config(), |_, _| Dialled::Fails("403"));
    rig.session = rig.session.with_endings(|fault| match *fault {
        "403" => Ending::Refused(Refused::with_status(403).retry_after(seconds(30))),
        _ => Ending::Failed,
    });
    rig.run(seconds(29));
    assert_eq!(
        rig.lines(),
        ["0 connecting 0", "0 down: refused with status 403, retry 1"]
    );
    rig.run(seconds(32));
    assert!(rig.when("connecting 1") > seconds(30), "{:?}", rig.lines());
}

/// Nothing was there that could close; the hint holds.
#[test]
fn a_dial_that_ends_in_an_orderly_way_is_reported_with_its_error() {
    let mut rig = Rig::dialling(config(), |_, _| Dialled::Fails("cannot connect"));
    rig.session = rig
        .session
        .with_endings(|_| Ending::Closed(Closed::default().retry_after(seconds(30))));
    rig.run(seconds(29));
    assert_eq!(
        rig.lines(),
        ["0 connecting 0", "0 down: cannot connect, retry 1"]
    );
    rig.run(seconds(32));
    assert!(rig.when("connecting 1") > seconds(30), "{:?}", rig.lines());
}

/// An open connection cannot be refused any more, whatever its error looks like.
#[test]
fn a_refusal_on_an_open_connection_is_a_failure() {
    let (mut rig, wire) = Rig::open(config());
    rig.session = rig
        .session
        .with_endings(|_| Ending::Refused(Refused::with_status(403)));
    wire.fail("403");
    rig.run(millis(500));
    assert_eq!(rig.outline(), ["down: 403, retry 1", "connecting 1"]);
}

#[test]
fn a_close_frame_is_answered() {
    let (mut rig, wire) = Rig::open(config());
    wire.say_at(seconds(1), Msg::Close(1001));
    rig.run(seconds(2));
    assert_eq!(wire.got(), [Msg::Answer]);
    assert_eq!(wire.dropped(), Some(seconds(1)));
}

/// The library takes no ping any more, and still has its answer to send.
#[test]
fn a_close_frame_is_answered_though_a_ping_waits() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(0);
    let peer = wire.clone();
    rig.world.at(seconds(3), move || {
        peer.unstick();
        peer.say(Msg::Close(1001));
    });
    rig.run(seconds(4));
    assert_eq!(
        rig.outline(),
        ["down: closed with code 1001, retry 1", "connecting 1"]
    );
    assert_eq!(wire.got(), [Msg::Answer]);
}

#[test]
fn a_close_frame_on_full_buffers_is_the_end() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(1);
    wire.line().passes = Some(0);
    (0..10).for_each(|number| rig.outbox.send(number));
    wire.say_at(seconds(1), Msg::Close(1001));
    rig.run(seconds(2));
    assert_eq!(rig.when("down: closed with code 1001, retry 1"), seconds(1));
    assert_eq!(wire.dropped(), Some(seconds(1)));
}

#[test]
fn a_librarys_own_answer_leaves_at_once() {
    let (mut rig, wire) = Rig::open(config());
    wire.say_at(seconds(1), Msg::Control);
    rig.run(seconds(2));
    assert_eq!(wire.line().got, [(seconds(1), Msg::Answer)]);
}

/// Where it cannot leave, only the latest has to.
#[test]
fn a_peers_ping_is_answered_and_not_told() {
    let (mut rig, wire) = Rig::open(config());
    let ids = [1, 2, 3].map(|number| PingId::from_bytes([number; 8]));
    wire.say_at(seconds(1), Msg::Ping(ids[0]));
    rig.run(millis(1500));
    assert_eq!(wire.line().got, [(seconds(1), Msg::Pong(ids[0]))]);
    wire.line().room = Some(0);
    wire.say(Msg::Ping(ids[1]));
    wire.say(Msg::Ping(ids[2]));
    rig.run(seconds(2));
    wire.unstick();
    rig.run(millis(2500));
    assert_eq!(wire.got(), [Msg::Pong(ids[0]), Msg::Pong(ids[2])]);
    assert_eq!(rig.told, []);
}

#[test]
fn a_stop_says_goodbye_behind_what_is_queued() {
    let (mut rig, wire) = Rig::open(config());
    (1..=100).for_each(|number| rig.outbox.send(number));
    rig.session.stop_with(goodbye(1001));
    rig.run(seconds(1));
    // A last ping confirms them.
    let got = wire.got();
    assert_eq!(wire.texts(), (1..=100).collect::<Vec<_>>());
    assert!(matches!(got[100..], [Msg::Ping(_), Msg::Close(1001)]));
    assert!(wire.line().has_closed);
    assert_eq!(rig.lines(), ["0 down: stopped", "0 over: stopped"]);
    assert!(is_over(&mut rig));
}

/// Its goodbye still has time for an answer.
#[test]
fn a_stop_says_goodbye_also_where_there_is_always_more_to_send() {
    let (mut rig, wire) = Rig::open(config());
    rig.outbox.never_ends();
    rig.session.stop();
    rig.run_in_steps(seconds(10), millis(10));
    assert!(matches!(
        wire.got()[..],
        [.., Msg::Ping(_), Msg::Close(1000)]
    ));
    assert_eq!(wire.texts().len(), rig.outbox.taken() as usize);
    assert!(rig.outbox.taken() > 1024, "{}", rig.outbox.taken());
    assert_eq!(rig.outline(), ["down: stopped", "over: stopped"]);
    let over = rig.when("over: stopped");
    assert!(over > seconds(2) && over < seconds(5), "{over:?}");
}

/// It waited for a connection that there was not.
#[test]
fn a_goodbye_is_not_kept_for_another_connection() {
    let mut rig = Rig::dialling(config(), |world, _| Dialled::Open(world.wire()));
    rig.session.stop_with(goodbye(4000));
    rig.run(seconds(1));
    rig.session.reconnect_now();
    rig.run(seconds(2));
    rig.session.stop();
    rig.run(seconds(3));
    assert_eq!(
        rig.outline(),
        [
            "over: stopped",
            "connecting 0",
            "opened",
            "down: stopped",
            "over: stopped"
        ]
    );
    assert_eq!(rig.world.wires()[0].got(), [Msg::Close(1000)]);
}

/// Our goodbye has not left yet, and cannot any more.
#[test]
fn a_close_frame_that_comes_before_the_goodbye_is_answered() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(0);
    rig.outbox.send(1);
    rig.session.stop();
    let peer = wire.clone();
    rig.world.at(seconds(1), move || {
        peer.unstick();
        peer.say(Msg::Close(1001));
    });
    let peer = wire.clone();
    rig.world.at(seconds(2), move || peer.end());
    rig.run(seconds(10));
    assert_eq!(wire.line().got, [(seconds(1), Msg::Answer)]);
    assert!(wire.line().has_closed);
    assert_eq!(rig.lines(), ["2000 down: stopped", "2000 over: stopped"]);
    assert_eq!(rig.outbox.len(), 1);
}

/// The peer has answered the close, and leaves the transport as it is.
#[test]
fn a_close_that_lingers_is_abandoned() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().is_mute = true;
    rig.session.stop();
    wire.say_at(seconds(1), Msg::Close(1000));
    rig.run(seconds(10));
    let down = "5000 down: the close handshake took too long";
    assert_eq!(rig.lines(), [down, "5000 over: stopped"]);
    assert_eq!(wire.dropped(), Some(seconds(5)));
}

/// Messages that come in while closing are told; so is nothing after the end.
#[test]
fn what_comes_while_closing_is_told() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().is_mute = true;
    rig.session.stop();
    wire.say_at(seconds(1), Msg::Text(1));
    let peer = wire.clone();
    rig.world.at(seconds(2), move || {
        peer.say(Msg::Text(2));
        peer.end();
        peer.say(Msg::Text(3));
    });
    rig.run(seconds(10));
    assert_eq!(
        rig.lines(),
        [
            "1000 text 1",
            "2000 text 2",
            "2000 down: stopped",
            "2000 over: stopped"
        ]
    );
}

#[test]
fn a_stop_works_in_every_state() {
    type Case = (fn() -> Rig, State, &'static [&'static str]);
    let cases: [Case; 5] = [
        (
            || Rig::dialling(config(), |_, _| Dialled::Hangs),
            State::Idle,
            &["over: stopped"],
        ),
        (
            || Rig::dialling(config(), |_, _| Dialled::Hangs),
            State::Connecting,
            &["connecting 0", "over: stopped"],
        ),
        (
            || Rig::open(config()).0,
            State::Open,
            &["down: stopped", "over: stopped"],
        ),
        (
            || Rig::dialling(waiting(), |_, _| Dialled::Fails("refused")),
            State::Waiting,
            &["connecting 0", "down: refused, retry 1", "over: stopped"],
        ),
        (
            || {
                let mut rig = Rig::dialling(config(), |_, _| Dialled::Hangs);
                rig.session.stop();
                rig
            },
            State::Stopped,
            &["over: stopped"],
        ),
    ];
    for (make, state, expected) in cases {
        let mut rig = make();
        if state != State::Idle {
            rig.run(seconds(1));
        }
        assert_eq!(rig.session.heartbeat().state(), state);
        rig.session.stop();
        rig.run(seconds(100));
        assert_eq!(rig.outline(), expected, "{state:?}");
        assert_eq!(rig.dials.under_way(), 0, "{state:?}");
        assert_eq!(rig.session.heartbeat().state(), State::Stopped);
        assert!(is_over(&mut rig), "{state:?}");
    }
}

#[test]
fn a_reconnect_ends_what_there_is() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().is_mute = true;
    rig.outbox.send(1);
    rig.run(seconds(1));
    rig.session.reconnect_now();
    wire.say(Msg::Text(1));
    wire.end();
    rig.run(seconds(2));
    assert_eq!(wire.dropped(), Some(seconds(1)));
    // The dial that is under way is younger than 5 s.
    rig.session.reconnect_now();
    rig.run(seconds(6));
    let begun = [
        "1000 down: a new connection was asked for",
        "1000 connecting 0",
    ];
    assert_eq!(rig.lines(), begun);
    rig.session.reconnect_now();
    rig.run(seconds(7));
    assert_eq!(rig.lines()[2..], ["6000 connecting 0"]);
    assert_eq!(rig.dials.under_way(), 1);
}

#[test]
fn a_reconnect_right_after_a_dial_waits_for_the_second_to_end() {
    let (mut rig, wire) = Rig::open(config());
    rig.run(millis(100));
    rig.session.reconnect_now();
    rig.run(seconds(3));
    assert_eq!(wire.dropped(), Some(millis(100)));
    let down = "100 down: a new connection was asked for, retry 0";
    assert_eq!(rig.lines(), [down, "1000 connecting 0"]);
}

/// What the peer hears last, where we end a connection on which it lives.
#[test]
fn a_farewell_has_the_code_of_its_reason() {
    type Case = (Config, fn(&mut Rig), u16, &'static str);
    let settings = || config().to_builder();
    let cases: [Case; 6] = [
        (
            config(),
            |rig| {
                rig.session.give_up(Closed::with_code(CloseCode(4401)));
            },
            4401,
            "down: given up, retry 1",
        ),
        (
            config(),
            |rig| {
                rig.session.give_up(Closed::default());
            },
            1000,
            "down: given up, retry 1",
        ),
        // One that nobody may send.
        (
            config(),
            |rig| {
                rig.session.give_up(Closed::with_code(CloseCode(1006)));
            },
            1000,
            "down: given up, retry 1",
        ),
        (
            settings()
                .message_timeout(Some(seconds(2)))
                .build()
                .unwrap(),
            |_| {},
            1008,
            "down: no message in time, retry 1",
        ),
        (
            settings().healthy_within(Some(seconds(2))).build().unwrap(),
            |_| {},
            1008,
            "down: not ready in time, retry 1",
        ),
        (
            config(),
            |rig| rig.session.reconnect_now(),
            NO_CODE,
            "down: a new connection was asked for",
        ),
    ];
    for (config, end, code, told) in cases {
        let (mut rig, wire) = Rig::open(config);
        wire.line().is_mute = true;
        rig.run(seconds(1));
        end(&mut rig);
        rig.run(seconds(3));
        assert!(rig.when(told) <= millis(2002), "{:?}", rig.lines());
        assert_eq!(wire.got().last(), Some(&Msg::Close(code)), "{told}");
        assert!(wire.dropped().unwrap() <= millis(2002), "{told}");
    }
}

/// It waits for nobody.
#[test]
fn a_farewell_to_a_stuck_peer_is_none() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().room = Some(0);
    rig.run(seconds(1));
    assert!(rig.session.give_up(Closed::default()));
    rig.run(seconds(1));
    assert_eq!(wire.dropped(), Some(seconds(1)));
    assert_eq!(wire.got(), []);
    assert_eq!(rig.lines(), ["1000 down: given up, retry 1"]);
}

/// A dial cannot be given up, nor a connection that is gone.
#[test]
fn only_what_is_open_is_given_up() {
    let mut rig = Rig::dialling(config(), |_, _| Dialled::Hangs);
    assert!(!rig.session.give_up(Closed::default()));
    rig.run(seconds(1));
    assert!(!rig.session.give_up(Closed::default()));
    rig.run(seconds(2));
    assert_eq!(rig.lines(), ["0 connecting 0"]);
    assert_eq!(rig.dials.under_way(), 1);
}

/// The accepted socket of a server is never dialled again, whatever the settings say.
#[test]
fn an_accepted_socket_is_over_when_it_is_over() {
    for (end, why) in WAYS {
        let world = World::default();
        let wire = world.wire();
        let timer = world.timer();
        let outbox = Outbox::default();
        let mut session =
            Session::accepted(config(), 42, Frames, Pings, timer, Socket(wire.clone()))
                .sending(outbox.clone());
        session.reconfigure(config()).unwrap();
        let awake = Awake::new();
        wire.say(Msg::Text(1));
        wire.say(Msg::Control);
        let mut told = Vec::new();
        let mut live = |until| {
            let next = std::future::poll_fn(|context| {
                loop {
                    match session.poll_notice(context) {
                        Poll::Ready(Some(notice)) => told.push(words(&notice)),
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            });
            world.run(&awake, std::pin::pin!(next), until)
        };
        assert_eq!(live(seconds(3)), None);
        end(&wire);
        outbox.send(1);
        assert_eq!(live(seconds(20)), Some(()));
        let ends = [format!("down: {why}"), format!("over: {}", over(why))];
        told.retain(|words| !matches!(&**words, "ping" | "pong"));
        assert_eq!(told[..2], ["opened", "text 1"]);
        assert_eq!(told[2..], ends);
    }
}

/// Whether it has been asked for a notice before, or not.
#[test]
fn an_accepted_socket_that_is_not_wanted_is_over() {
    type Case = (fn(&mut Accepted), u16, [&'static str; 2]);
    let stopped = ["down: stopped", "over: stopped"];
    let cases: [Case; 3] = [
        (Session::stop, 1001, stopped),
        (|session| session.stop_with(goodbye(1012)), 1012, stopped),
        (
            Session::reconnect_now,
            NO_CODE,
            [
                "down: a new connection was asked for",
                "over: closed without a code",
            ],
        ),
    ];
    for (end, code, ends) in cases {
        for is_asked in [false, true] {
            let world = World::default();
            let wire = world.wire();
            let (timer, socket) = (world.timer(), Socket(wire.clone()));
            let mut session = Session::accepted(config(), 42, Frames, Pings, timer, socket);
            let mut told = Vec::new();
            let mut live = |session: &mut Accepted| {
                let next = std::future::poll_fn(|context| {
                    while let Poll::Ready(notice) = session.poll_notice(context) {
                        match notice {
                            Some(notice) => told.push(words(&notice)),
                            None => return Poll::Ready(()),
                        }
                    }
                    Poll::Pending
                });
                world.run(&Awake::new(), std::pin::pin!(next), seconds(1))
            };
            if is_asked {
                assert_eq!(live(&mut session), None);
            }
            end(&mut session);
            assert_eq!(live(&mut session), Some(()));
            assert_eq!(told[0], "opened");
            assert_eq!(told[1..], ends);
            assert_eq!(wire.got(), [Msg::Close(code)]);
            assert!(wire.dropped().is_some());
        }
    }
}

type Accepted = Session<keepalive::session::Accepted<Socket>, Manual, Frames, Pings>;

fn goodbye(code: u16) -> Goodbye {
    Goodbye::new(CloseCode(code), "").unwrap()
}

fn over(why: &str) -> &str {
    match why {
        "reset" | "broken pipe" => "the transport failed",
        other => other,
    }
}

/// The retry is a long way off.
fn waiting() -> Config {
    config()
        .to_builder()
        .policy(|_| Retry::Between {
            least: seconds(50),
            greatest: seconds(60),
        })
        .build()
        .unwrap()
}

fn is_over(rig: &mut Rig) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(rig.session.poll_notice(&mut context), Poll::Ready(None))
}
