//! Dials, and the application's messages while there is no connection.

use std::cell::RefCell;
use std::future::{Ready, poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keepalive::Config;
use keepalive::session::{Connect, Session};

use crate::rig::{
    Awake, Dialled, Fault, Frames, Manual, Msg, Pings, Rig, Socket, World, config, millis, seconds,
    texts,
};

/// Each attempt has a connection or a failure of its own.
#[test]
fn the_connector_is_called_afresh_for_each_dial() {
    let mut rig = Rig::dialling(config(), |world, attempt| match attempt {
        0 | 2 => Dialled::Fails("refused"),
        1 => Dialled::Hangs,
        _ => {
            let wire = world.wire();
            wire.end();
            Dialled::Open(wire)
        }
    });
    rig.run(seconds(25));
    assert_eq!(rig.dials.attempts(), [0, 1, 2, 3, 4, 5]);
    let expected = [
        "connecting 0",
        "down: refused, retry 1",
        "connecting 1",
        "down: connecting took too long, retry 2",
        "connecting 2",
        "down: refused, retry 3",
        "connecting 3",
        "opened",
        "down: closed without a code, retry 4",
    ];
    assert_eq!(rig.outline()[..9], expected);
    assert!(
        rig.world
            .wires()
            .iter()
            .all(|wire| wire.dropped().is_some())
    );
}

#[test]
fn a_dial_that_hangs_is_dropped_when_it_is_given_up() {
    let mut rig = Rig::dialling(Config::article(), |_, _| Dialled::Hangs);
    rig.run(seconds(20));
    assert_eq!(rig.dials.under_way(), 1);
    rig.run(seconds(20) + millis(1));
    let down = rig.when("down: connecting took too long, retry 1");
    assert!(down <= seconds(20) + millis(1), "{down:?}");
    assert_eq!(rig.dials.under_way(), 0);
}

/// Or one connection, or nothing; and no two within a second, however often the
/// application will not wait.
#[test]
fn there_is_one_dial_at_most() {
    let mut rig = Rig::dialling(config(), |world, _| {
        Dialled::Later(millis(300), world.wire())
    });
    let (world, dials) = (rig.world.clone(), rig.dials.clone());
    for turn in 0..100 {
        let until = rig.world.now() + millis(turn * 7);
        rig.live(until, |session, context| {
            let polled = pin!(session.next()).poll(context);
            let up = session.socket().is_some();
            assert!(usize::from(up) + dials.under_way() <= 1);
            polled
        });
        rig.session.reconnect_now();
    }
    rig.run(rig.world.now() + seconds(1));
    let open = world
        .wires()
        .iter()
        .filter(|wire| wire.dropped().is_none())
        .count();
    let begun: Vec<_> = rig
        .told
        .iter()
        .filter(|(_, words)| words.starts_with("connecting"))
        .map(|(at, _)| *at)
        .collect();
    assert!(begun.len() > 20, "{begun:?}");
    assert!(
        begun.windows(2).all(|pair| pair[1] - pair[0] >= seconds(1)),
        "{begun:?}"
    );
    // Those of dials that were dropped were never anybody's.
    let never = rig.dials.attempts().len()
        - rig
            .told
            .iter()
            .filter(|(_, words)| words == "opened")
            .count();
    assert_eq!(open - never, 1);
}

/// As gloo-net's: open at once by its own account, it takes all that it is given, and
/// is still connecting. It is no better than a mute peer, and proves nothing.
#[test]
fn a_socket_that_is_open_while_it_connects_is_given_up() {
    let mut rig = Rig::dialling(config(), |world, _| {
        let wire = world.wire();
        wire.line().is_mute = true;
        Dialled::Open(wire)
    });
    rig.outbox.send(1);
    rig.run(seconds(60));
    let expected = [
        "connecting 0",
        "opened",
        "down: no pong in time, retry 1",
        "connecting 1",
        "opened",
        "down: no pong in time, retry 2",
        "connecting 2",
        "opened",
        "down: no pong in time, retry 3",
    ];
    assert_eq!(rig.outline()[..9], expected);
    let down = rig.when("down");
    assert!(down >= seconds(12) && down <= millis(12_001), "{down:?}");
    // It took the message with it.
    assert_eq!(
        texts(rig.world.wires().iter().flat_map(|wire| wire.got())),
        [1]
    );
}

/// And once it is connected, it is as good as any.
#[test]
fn a_socket_that_is_open_while_it_connects_is_kept() {
    let (mut rig, wire) = Rig::open(config());
    wire.line().passes = Some(0);
    rig.outbox.send(1);
    let peer = wire.clone();
    rig.world.at(seconds(5), move || peer.unstick());
    rig.run(seconds(60));
    assert_eq!(wire.dropped(), None);
    assert_eq!(wire.texts(), [1]);
}

#[test]
fn messages_stay_in_the_channel_while_it_is_down() {
    let mut rig = Rig::dialling(config(), |world, attempt| match attempt {
        0 | 2 => Dialled::Open(world.wire()),
        1 => Dialled::Fails("refused"),
        _ => Dialled::Hangs,
    });
    rig.outbox.send(1);
    rig.run(seconds(1));
    rig.world.wires()[0].end();
    rig.run(millis(1100));
    rig.outbox.send(2);
    rig.outbox.send(3);
    rig.run(millis(1900));
    assert_eq!(rig.outbox.len(), 2);
    rig.run(seconds(3));
    assert_eq!(rig.outbox.len(), 0);
    let texts: Vec<_> = rig.world.wires().iter().map(|wire| wire.texts()).collect();
    assert_eq!(texts, [vec![1], vec![2, 3]]);
}

/// What the sink had taken may be lost with it.
#[test]
fn what_the_sink_has_taken_is_not_sent_again() {
    let mut rig = Rig::dialling(config(), |world, attempt| {
        let wire = world.wire();
        if attempt == 0 {
            wire.line().room = Some(3);
            wire.line().passes = Some(1);
        }
        Dialled::Open(wire)
    });
    (1..=10).for_each(|number| rig.outbox.send(number));
    rig.run(seconds(1));
    rig.world.wires()[0].fail("reset");
    rig.run(seconds(2));
    let wires = rig.world.wires();
    let (got, lost) = (wires[0].texts(), texts(wires[0].line().taken.clone()));
    assert_eq!(got, [1]);
    assert!(!lost.is_empty());
    let all = [got, lost, wires[1].texts()].concat();
    assert_eq!(all, (1..=10).collect::<Vec<_>>());
}

/// A stream that has ended may panic when it is asked again.
#[test]
fn an_outgoing_stream_may_end() {
    let mut rig = Rig::dialling(config(), |world, _| Dialled::Open(world.wire()));
    rig.outbox.send(1);
    rig.outbox.end();
    rig.run(seconds(10));
    rig.world.wires()[0].end();
    rig.run(seconds(20));
    assert_eq!(
        rig.outline()[2..],
        [
            "down: closed without a code, retry 1",
            "connecting 1",
            "opened"
        ]
    );
    assert_eq!(rig.world.wires()[0].texts(), [1]);
    rig.session.stop();
    rig.run(seconds(21));
    assert_eq!(rig.told.last().unwrap().1, "over: stopped");
}

/// A connector that hears of the network, as a browser's does.
struct Informed {
    world: World,
    news: Rc<RefCell<News>>,
}

#[derive(Default)]
struct News {
    is_new: bool,
    waker: Option<Waker>,
}

impl Connect for Informed {
    type Socket = Socket;
    type Dial = Ready<Result<Socket, Fault>>;

    fn connect(&mut self, _: u32) -> Self::Dial {
        ready(Ok(Socket(self.world.wire())))
    }

    fn poll_network_changed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut news = self.news.borrow_mut();
        news.waker = Some(context.waker().clone());
        if std::mem::take(&mut news.is_new) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// A client whose connector has news at these times, and that pings for nothing else.
fn informed(world: &World, times: [Duration; 2]) -> Session<Informed, Manual, Frames, Pings> {
    let news = Rc::<RefCell<News>>::default();
    for at in times {
        let news = news.clone();
        world.at(at, move || {
            let mut news = news.borrow_mut();
            news.is_new = true;
            if let Some(waker) = news.waker.take() {
                waker.wake();
            }
        });
    }
    let rarely = Config::article().to_builder().ping_interval(seconds(60));
    let (world, timer) = (world.clone(), world.timer());
    let connector = Informed { world, news };
    Session::client(rarely.build().unwrap(), 42, Frames, Pings, timer, connector)
}

fn pinged(world: &World) -> Vec<Duration> {
    let [wire] = &world.wires()[..] else {
        panic!("one connection");
    };
    let line = wire.line();
    let pings = line
        .got
        .iter()
        .filter(|(_, message)| matches!(message, Msg::Ping(_)));
    pings.map(|(at, _)| *at).collect()
}

#[test]
fn what_the_connector_hears_of_the_network_makes_a_ping() {
    let (world, times) = (World::default(), [seconds(5), seconds(10)]);
    let mut session = informed(&world, times);
    let all = poll_fn(|context| {
        while session.poll_notice(context).is_ready() {}
        Poll::<()>::Pending
    });
    assert!(world.run(&Awake::new(), pin!(all), seconds(20)).is_none());
    assert_eq!(pinged(&world), times);
}

#[test]
fn also_while_nobody_asks() {
    let (world, times) = (World::default(), [seconds(5), seconds(10)]);
    let (task, _notices) = informed(&world, times).into_task();
    assert!(world.run(&Awake::new(), pin!(task), seconds(20)).is_none());
    assert_eq!(pinged(&world), times);
}
