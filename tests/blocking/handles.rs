//! What other threads want of a session that waits.

use std::io::Read;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keepalive::blocking::{self, Notice, Stream};
use keepalive::{
    Backlog, Cause, CloseCode, Closed, Config, Goodbye, Handle, Lost, MaybeTls, SendError, State,
};
use tungstenite::Message;

use crate::peer::{self, BlackHole, PATIENCE, accept, accept_tcp, millis, peer, serve, url_of};
use crate::scenarios::{NOISE, settings};

type Connect = blocking::Boxed<MaybeTls<Stream>>;
type Boxed = blocking::Client;

const NEVER: Duration = Duration::from_secs(3600);

fn client(config: Config, url: &str) -> Boxed {
    let url = url.to_owned();
    let connect: Connect = Box::new(move |dial| dial.connect(url.as_str()));
    blocking::client(config, connect)
}

/// The session on a thread of its own; what it tells, and when.
fn run(mut session: Boxed) -> (Handle<Message>, JoinHandle<Vec<(Instant, Notice)>>) {
    let handle = session.handle();
    let end = Instant::now() + PATIENCE;
    let told = thread::spawn(move || {
        let next = || Some((session.next_before(end).expect("no end")?, Instant::now()));
        let told = std::iter::from_fn(next);
        told.map(|(notice, at)| (at, notice)).collect()
    });
    (handle, told)
}

fn wait_for_state(handle: &Handle<Message>, state: State) {
    peer::eventually("the state", || handle.state().state == state);
}

/// From the wish to the last notice: the median of 20.
fn assert_soon(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let median = took[took.len() / 2];
    println!(
        "{what}: {median:?} in the middle, {:?} at worst",
        took[took.len() - 1]
    );
    assert!(median < millis(10), "{what}: {took:?}");
}

/// Nobody was woken for what it sent before the session ran again.
#[test]
fn what_the_first_handle_sends_leaves_at_once_on_an_open_connection() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        socket.send(Message::text("open")).unwrap();
        while let Ok(message) = socket.read() {
            if message.is_text() {
                socket.send(message).unwrap();
            }
        }
    });
    let config = settings().ping_interval(NEVER).build().unwrap();
    let mut session = client(config, &url);
    let end = Instant::now() + PATIENCE;
    let read = |session: &mut Boxed| loop {
        if let Some(Notice::Message(message)) = session.next_before(end).expect("no end") {
            break message;
        }
    };
    assert_eq!(read(&mut session), Message::text("open"));
    let handle = session.handle();
    handle.try_send(Message::text("mine")).unwrap();
    assert_eq!(read(&mut session), Message::text("mine"));
    let elsewhere = handle.clone();
    thread::spawn(move || elsewhere.try_send(Message::text("another's")).unwrap());
    assert_eq!(read(&mut session), Message::text("another's"));
    drop(session);
    server.join().unwrap();
}

#[test]
fn what_is_sent_leaves_at_once() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        let mut came = Vec::new();
        while let Ok(message) = socket.read() {
            if message.is_text() {
                came.push(Instant::now());
            }
        }
        came
    });
    let config = settings().ping_interval(NEVER).build().unwrap();
    let (handle, told) = run(client(config, &url));
    handle.wait_open(PATIENCE).unwrap();
    let sent: Vec<_> = (0..20)
        .map(|_| {
            thread::sleep(millis(20));
            let now = Instant::now();
            handle.try_send(Message::text("now")).unwrap();
            now
        })
        .collect();
    handle.stop().unwrap();
    told.join().unwrap();
    let came = server.join().unwrap();
    assert_eq!(came.len(), sent.len());
    let took = came
        .iter()
        .zip(sent)
        .map(|(came, sent)| came.duration_since(sent));
    assert_soon("sent", took.collect());
}

#[test]
fn what_waited_goes_out_once_opened_was_heard() {
    let (url, server) = peer(|listener| {
        let mut socket = accept(&listener);
        let mut came = Vec::new();
        while let Ok(message) = socket.read() {
            if let Message::Text(text) = message {
                came.push(text.to_string());
            }
        }
        came
    });
    let mut session = client(settings().build().unwrap(), &url);
    let handle = session.handle();
    for text in ["one", "two"] {
        handle.try_send(Message::text(text)).unwrap();
    }
    while let Some(notice) = session.next() {
        if let Notice::Opened { .. } = notice {
            session.send(Message::text("login")).unwrap();
            handle.stop().unwrap();
        }
    }
    assert_eq!(server.join().unwrap(), ["login", "one", "two"]);
}

#[test]
fn a_new_connection_can_be_ordered_from_a_dial_that_is_old() {
    let hole = BlackHole::new();
    let config = settings().connect_timeout(PATIENCE).build().unwrap();
    let (handle, told) = run(client(config, &url_of(hole.address)));
    wait_for_state(&handle, State::Connecting);
    // That dial is the new connection.
    thread::sleep(millis(500));
    handle.reconnect_now().unwrap();
    thread::sleep(millis(4700));
    let begin = Instant::now();
    handle.reconnect_now().unwrap();
    thread::sleep(millis(200));
    handle.stop().unwrap();
    let told = told.join().unwrap();
    let dials: Vec<_> = told
        .iter()
        .filter(|(_, notice)| matches!(notice, Notice::Connecting { .. }))
        .collect();
    assert_eq!(dials.len(), 2, "{told:?}");
    let took = dials[1].0.saturating_duration_since(begin);
    assert!(dials[1].0 >= begin && took < NOISE, "{took:?}");
}

#[test]
fn a_dial_hangs_on_the_old_path_when_the_network_changes() {
    let (url, server) = peer(|listener| {
        let mut mute = accept_tcp(&listener);
        serve(&mut accept(&listener));
        let _ = mute.read_to_end(&mut Vec::new());
    });
    let config = settings().connect_timeout(PATIENCE).build().unwrap();
    let (handle, told) = run(client(config, &url));
    wait_for_state(&handle, State::Connecting);
    thread::sleep(millis(1200));
    handle.network_changed().unwrap();
    let epoch = handle.wait_open(NOISE).unwrap();
    assert_eq!(handle.state().epoch, Some(epoch));
    handle.stop().unwrap();
    told.join().unwrap();
    server.join().unwrap();
}

/// That dial begins on the new path, and so nothing is to be done on its connection.
#[test]
fn a_young_dial_goes_on_when_the_network_changes() {
    let (reached, is_reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let (url, server) = peer(move |listener| {
        let socket = accept_tcp(&listener);
        reached.send(()).unwrap();
        may_go_on.recv().unwrap();
        let mut socket = tungstenite::accept(socket).unwrap();
        // A ping on the old news would be told before this.
        thread::sleep(millis(100));
        socket.send(Message::text("hello")).unwrap();
        serve(&mut socket);
    });
    let config = settings().connect_timeout(PATIENCE).ping_interval(NEVER);
    let (handle, told) = run(client(config.build().unwrap(), &url));
    is_reached.recv().unwrap();
    handle.network_changed().unwrap();
    go_on.send(()).unwrap();
    handle.wait_open(PATIENCE).unwrap();
    thread::sleep(millis(300));
    handle.stop().unwrap();
    let told = told.join().unwrap();
    server.join().unwrap();
    let is_ping = |(_, notice): &(Instant, Notice)| matches!(notice, Notice::Ping(_));
    assert!(!told.iter().any(is_ping), "{told:?}");
}

#[test]
fn a_handle_gives_up_the_connection_that_it_means() {
    let (url, server) = peer(|listener| {
        let mut first = accept(&listener);
        let code = loop {
            match first.read() {
                Ok(Message::Close(frame)) => break frame.map(|frame| u16::from(frame.code)),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        };
        serve(&mut accept(&listener));
        code
    });
    let (handle, told) = run(client(settings().build().unwrap(), &url));
    let first = handle.wait_open(PATIENCE).unwrap();
    handle
        .give_up(first, Closed::with_code(CloseCode(4401)))
        .unwrap();
    peer::eventually("another one", || {
        handle.state().epoch.is_some_and(|epoch| epoch != first)
    });
    handle.give_up(first, Closed::default()).unwrap();
    let goodbye = Goodbye::new(CloseCode(4000), "enough").unwrap();
    handle.stop_with(goodbye).unwrap();
    let told = told.join().unwrap();
    assert_eq!(server.join().unwrap(), Some(4401));
    let downs: Vec<_> = told
        .iter()
        .filter_map(|(_, notice)| match notice {
            Notice::Down(down) => Some((down.lost, &down.cause)),
            _ => None,
        })
        .collect();
    assert!(
        matches!(
            downs[..],
            [(Lost::Connection, Cause::GivenUp), (_, Cause::Stopped)]
        ),
        "{downs:?}"
    );
}

/// What waits when a connection ends: with its `Down`, or at last with `Stopped`.
fn given_back(backlog: Backlog) -> (Vec<Message>, Vec<Message>) {
    let (url, _peer) = peer(|listener| drop(accept(&listener)));
    // Before the login nothing of it goes out.
    let config = settings().healthy_within(Some(PATIENCE)).build().unwrap();
    let mut session = client(config, &url);
    let handle = session.handle_of(backlog);
    let (mut at_down, mut at_last) = (Vec::new(), Vec::new());
    while let Some(notice) = session.next() {
        match notice {
            Notice::Opened { .. } => handle.try_send(Message::text("waits")).unwrap(),
            Notice::Down(down) if down.lost == Lost::Connection => {
                at_down = down.unsent;
                session.stop();
            }
            Notice::Stopped { unsent, .. } => at_last = unsent,
            _ => {}
        }
    }
    (at_down, at_last)
}

#[test]
fn a_backlog_may_end_with_its_connection() {
    let waits = vec![Message::text("waits")];
    let backlog = Backlog::default();
    assert_eq!(given_back(backlog), (Vec::new(), waits.clone()));
    assert_eq!(given_back(backlog.dropped_at_down()), (waits, Vec::new()));
}

/// Inside of its own loop a session cannot make room while it is waited for.
#[test]
fn to_wait_for_oneself_is_an_error() {
    let (url, _peer) = peer(|listener| serve(&mut accept(&listener)));
    let mut session = client(settings().build().unwrap(), &url);
    let handle = session.handle();
    let _ = session.next();
    let most = Backlog::default();
    assert!(most.outlives_connections());
    handle.try_send(Message::binary(vec![0; 1 << 20])).unwrap();
    let error = handle.send_blocking(Message::text("one more")).unwrap_err();
    assert!(matches!(error, SendError::WouldBlock(_)), "{error}");
    drop(session);
    let error = handle.send_blocking(Message::text("one more")).unwrap_err();
    assert!(matches!(error, SendError::Gone(_)), "{error}");
}
