//! A blocking session on a thread of its own, over real sockets.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/peer.rs"]
mod peer;

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use keepalive::blocking::{Dial, Dialer, Notice, Notices, TimeUp, client, client_with};
use keepalive::driver::{Codec, Incoming};
use keepalive::{Cause, Config, SendError, State, StopReason};
use peer::{BlackHole, accept, eventually, millis, peer, url_of};
use tungstenite::{Error, Message};

/// One at a time: they count threads, and what those need.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn busy() -> Config {
    let settings = Config::builder().ping_interval(millis(20));
    settings.always_ping(true).build().unwrap()
}

/// The ids of the sessions' threads.
fn threads() -> Vec<String> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let tasks = tasks.map(|task| task.unwrap().path());
    let own = tasks.filter(|task| {
        let name = fs::read_to_string(task.join("comm"));
        name.is_ok_and(|name| name.trim() == "keepalive")
    });
    own.map(|task| task.display().to_string()).collect()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// How long this thread has run, in ticks of 10 ms.
fn ticks(thread: &str) -> u64 {
    let stat = fs::read_to_string(format!("{thread}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let mut fields = fields.split_whitespace().skip(11);
    let mut field = || fields.next().unwrap().parse::<u64>().unwrap();
    field() + field()
}

fn until_opened<S: io::Read + io::Write, K: Codec<Message>>(notices: &mut Notices<S, K>) {
    let opened = notices.find(|notice| matches!(notice, Notice::Opened { .. }));
    assert!(opened.is_some());
}

/// A server that counts five pings, says three words, and tells the code of the goodbye.
fn patient_server() -> (String, Receiver<Option<u16>>) {
    let (sender, code) = channel();
    let (url, _) = peer(move |listener| {
        let mut socket = accept(&listener);
        let mut pings = 0;
        while pings < 5 {
            pings += usize::from(socket.read().unwrap().is_ping());
        }
        for number in 0..3 {
            socket.send(Message::text(number.to_string())).unwrap();
        }
        loop {
            match socket.read() {
                Ok(Message::Close(frame)) => {
                    sender.send(frame.map(|frame| frame.code.into())).unwrap();
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    (url, code)
}

#[test]
fn it_beats_while_nobody_asks_and_stops_when_nobody_listens() {
    let _alone = alone();
    let (url, code) = patient_server();
    let (_handle, mut notices) = client(busy(), Dialer::new(url)).spawn().unwrap();
    until_opened(&mut notices);
    thread::sleep(millis(400));
    // Nobody asked; it has read one word, and does not look for more.
    if let [thread] = threads().as_slice() {
        let before = ticks(thread);
        thread::sleep(millis(500));
        let ran = ticks(thread) - before;
        assert!(ran < 10, "{ran} ticks in half a second");
    }
    let messages = notices.by_ref().filter_map(|notice| match notice {
        Notice::Message(message) => Some(message.to_string()),
        _ => None,
    });
    assert!(messages.take(3).eq(["0", "1", "2"]));
    assert!(code.try_recv().is_err());
    drop(notices);
    assert_eq!(code.recv_timeout(peer::PATIENCE).unwrap(), Some(1000));
    eventually("its thread ends", || threads().is_empty());
}

#[test]
fn what_is_dropped_after_a_stop_still_says_goodbye() {
    let _alone = alone();
    let (url, code) = patient_server();
    let (handle, mut notices) = client(busy(), Dialer::new(url)).spawn().unwrap();
    // Then the server has its five pings, however late they were.
    let said = notices.find(|notice| matches!(notice, Notice::Message(_)));
    assert!(said.is_some());
    handle.stop().unwrap();
    drop(notices);
    assert_eq!(code.recv_timeout(peer::PATIENCE).unwrap(), Some(1000));
}

#[test]
fn what_is_sent_at_opened_goes_ahead_of_the_backlog() {
    let _alone = alone();
    let (sender, heard) = channel();
    let (url, _) = peer(move |listener| {
        let mut socket = accept(&listener);
        while let Ok(message) = socket.read() {
            if let Message::Text(text) = message {
                sender.send(text.to_string()).unwrap();
                if text == "order" {
                    socket.close(None).unwrap();
                }
            }
        }
    });
    let (handle, mut notices) = client(Config::default(), Dialer::new(url)).spawn().unwrap();
    handle.try_send(Message::text("order")).unwrap();
    until_opened(&mut notices);
    // However long that takes.
    thread::sleep(millis(100));
    notices.send(Message::text("login")).unwrap();
    let down = notices.find_map(|notice| match notice {
        Notice::Down(down) => Some(down),
        _ => None,
    });
    assert!(matches!(down.unwrap().cause, Cause::Closed { .. }));
    let back = notices.send(Message::text("late")).unwrap_err();
    assert!(matches!(back, SendError::Down(_)), "{back}");
    notices.requeue([Message::text("again")]);
    handle.stop().unwrap();
    match notices.last() {
        Some(Notice::Stopped { reason, unsent }) => {
            assert_eq!(reason, StopReason::Requested);
            assert_eq!(unsent, [Message::text("again")]);
        }
        other => panic!("{other:?}"),
    }
    assert!(heard.iter().eq(["login", "order"]));
}

#[test]
fn it_comes_back_in_time() {
    let _alone = alone();
    let hole = BlackHole::new();
    let (handle, mut notices) = client(busy(), Dialer::new(url_of(hole.address)))
        .spawn()
        .unwrap();
    // In a dial, too, which goes on, and of which it tells.
    eventually("it dials", || handle.state().state == State::Connecting);
    thread::sleep(millis(50));
    let begin = Instant::now();
    let next = notices.next();
    assert!(begin.elapsed() < millis(1000));
    assert!(matches!(next, Some(Notice::Connecting { attempt: 0 })));
    for _ in 0..3 {
        let begin = Instant::now();
        assert_eq!(notices.next_before(begin + millis(50)).unwrap_err(), TimeUp);
        assert!((millis(50)..millis(1000)).contains(&begin.elapsed()));
    }
    assert_eq!(handle.state().state, State::Connecting);

    let (url, _) = patient_server();
    let (_handle, mut notices) = client(busy(), Dialer::new(url)).spawn().unwrap();
    until_opened(&mut notices);
    thread::sleep(millis(400));
    // What there is is found without a wait.
    let mut messages = 0;
    let long_ago = Instant::now();
    while let Ok(Some(notice)) = notices.next_before(long_ago) {
        messages += usize::from(matches!(notice, Notice::Message(_)));
    }
    assert_eq!(messages, 3);
}

#[test]
fn who_drops_it_waits_for_nothing_and_leaves_nothing() {
    let _alone = alone();
    let hole = BlackHole::new();
    let (url, _server) = peer(|listener| {
        let mut sockets = Vec::new();
        for _ in 0..12 {
            sockets.push(accept(&listener));
        }
    });
    let mut before = None;
    for round in 0..24 {
        let url = match round % 2 {
            0 => url_of(hole.address),
            _ => url.clone(),
        };
        let config = Config::builder()
            .close_timeout(millis(100))
            .build()
            .unwrap();
        let (handle, mut notices) = client(config, Dialer::new(url)).spawn().unwrap();
        let begin = Instant::now();
        if round % 2 == 1 {
            until_opened(&mut notices);
        } else {
            notices.next();
        }
        drop(notices);
        assert!(begin.elapsed() < peer::PATIENCE / 2);
        eventually("it is gone", || handle.try_send(Message::text("")).is_err());
        eventually("its thread ends", || threads().is_empty());
        if round > 2 {
            let known = *before.get_or_insert_with(descriptors);
            // The server holds one more at each second round.
            assert!(descriptors() <= known + round, "{known} before");
        }
    }
}

struct Panics;

impl Codec<Message> for Panics {
    type Message = Message;

    fn read(&mut self, data: Message) -> Incoming<Message, Message> {
        panic!("on {data}")
    }
}

#[test]
fn a_codec_that_panics_ends_the_notices() {
    let _alone = alone();
    let (url, _) = patient_server();
    let session = client_with(busy(), Panics, Dialer::new(url));
    let (handle, mut notices) = session.spawn().unwrap();
    until_opened(&mut notices);
    while notices.next().is_some() {}
    assert!(notices.next().is_none());
    let back = notices.send(Message::text("late")).unwrap_err();
    assert!(matches!(back, SendError::Gone(_)), "{back}");
    assert!(handle.stop().is_err());
}

#[test]
fn a_connector_that_panics_ends_the_notices() {
    let _alone = alone();
    let dial = |dial: &Dial| match dial.attempt() {
        0 => Err(Error::AlreadyClosed),
        _ => panic!("at the second dial"),
    };
    let soon = millis(1);
    let config = Config::builder()
        .first_spread(soon)
        .backoff_floor(soon)
        .backoff_base(soon)
        .build()
        .unwrap();
    let dial: keepalive::blocking::Boxed<keepalive::blocking::Stream> = Box::new(dial);
    let (handle, mut notices) = client(config, dial).spawn().unwrap();
    while notices
        .next_before(Instant::now() + Duration::from_secs(20))
        .unwrap()
        .is_some()
    {}
    assert!(handle.stop().is_err());
    eventually("its thread ends", || threads().is_empty());
}

#[test]
fn a_listener_is_not_needed_to_end() {
    let _alone = alone();
    // Refused at once.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url_of(listener.local_addr().unwrap());
    drop(listener);
    let config = Config::builder().reconnect(false).build().unwrap();
    let (_handle, notices) = client(config, Dialer::new(url)).spawn().unwrap();
    let last = notices.last();
    assert!(matches!(last, Some(Notice::Stopped { .. })), "{last:?}");
    eventually("its thread ends", || threads().is_empty());
}
