use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keepalive::driver::{Cause, Deciding, Lost, Notice, Plain};
use keepalive::{CloseCode, Closed, Config, ConfigBuilder, SendError, State, StopReason};
use tungstenite::Message;

use super::runtime::{client, client_with, run, within};
use crate::peer::{BlackHole, eventually, url_of};
use crate::peers::{self, Heard};
use crate::{LONG, ms, quick};

/// An answer takes this long at most; no pings in step.
fn strict(interval: u64, timeout: u64) -> ConfigBuilder {
    Config::builder()
        .ping_interval(ms(interval))
        .pong_timeout(ms(timeout))
        .late_tolerance(ms(timeout))
        .jitter(0.0)
        .random_phase(false)
        .reconnect(false)
}

#[test]
fn a_mute_server_does_not_prove_a_connection() {
    let url = peers::serve(|_, socket| {
        thread::sleep(ms(500));
        drop(socket);
    });
    let config = quick().stable_after(ms(300)).max_attempts(Some(4));
    let config = config.ping_interval(ms(60_000)).send_interval(None).build();
    let config = config.unwrap();
    let mut attempts = Vec::new();
    run(async {
        let mut session = client(config, &url);
        while let Some(notice) = within(LONG, session.next()).await {
            if let Notice::Down(down) = notice {
                attempts.extend(down.retry.map(|retry| retry.attempt));
            }
        }
    });
    assert_eq!(attempts, [1, 2, 3, 4]);
}

/// Whether a peer that takes so many bytes of a large message thanks for it.
fn uploads(most: usize, thanks: bool) -> Result<(), String> {
    const SIZE: usize = 10 << 20;
    let most = most.min(SIZE);
    let url = peers::serve_narrow(move |_, socket| peers::takes(socket, 3 << 20, most, thanks));
    let config = strict(500, 1000).build().unwrap();
    run(async {
        let mut session = client(config, &url);
        loop {
            match within(LONG, session.next()).await {
                Some(Notice::Opened { .. }) => {
                    session.send(Message::binary(vec![7; SIZE])).unwrap();
                }
                Some(Notice::Message(_)) => return Ok(()),
                Some(Notice::Down(down)) => return Err(down.cause.to_string()),
                Some(_) => {}
                None => return Err("it was over".to_owned()),
            }
        }
    })
}

#[test]
fn a_large_message_on_a_slow_link_convicts_nobody() {
    assert_eq!(uploads(usize::MAX, true), Ok(()));
}

#[test]
fn a_peer_that_stops_taking_is_convicted() {
    assert!(uploads(1 << 20, false).is_err());
}

#[test]
fn a_large_frame_that_comes_in_slowly_is_life() {
    let url = peers::serve(|_, socket| peers::drips(socket, 20_000, 10_000));
    let config = strict(250, 500).build().unwrap();
    run(async {
        let mut session = client(config, &url);
        loop {
            match within(LONG, session.next()).await {
                Some(Notice::Message(message)) => return assert_eq!(message.len(), 20_000),
                Some(Notice::Down(down)) => panic!("{}", down.cause),
                Some(_) => {}
                None => panic!("it was over"),
            }
        }
    });
}

#[test]
fn the_login_goes_before_what_waited() {
    let heard = Heard::default();
    let hears = Arc::clone(&heard);
    let url = peers::serve(move |number, mut socket| {
        let mut knows = false;
        while let Some(text) = peers::text(&mut socket) {
            knows |= text == "login";
            hears.lock().unwrap().push((number, text));
            if !knows {
                return peers::close_with(&mut socket, 4401, "log in first");
            }
            if number == 0 {
                return;
            }
        }
    });
    run(async {
        let mut session = client(quick().build().unwrap(), &url);
        let (handle, stopper) = (session.handle(), session.handle());
        let hears = Arc::clone(&heard);
        thread::spawn(move || {
            let begun = Instant::now();
            while hears.lock().unwrap().len() < 7 && begun.elapsed() < LONG {
                thread::sleep(ms(5));
            }
            stopper.stop().unwrap();
        });
        while let Some(notice) = within(LONG, session.next()).await {
            match notice {
                Notice::Opened { .. } => session.send(Message::text("login")).unwrap(),
                Notice::Down(down) if down.retry.is_some() => {
                    for number in 0..5 {
                        let order = Message::text(format!("order {number}"));
                        handle.try_send(order).unwrap();
                    }
                }
                _ => {}
            }
        }
    });
    let orders = (0..5).map(|number| (1, format!("order {number}")));
    let logins = (0..2).map(|number| (number, "login".to_owned()));
    let expected: Vec<_> = logins.chain(orders).collect();
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[test]
fn many_tasks_that_send_at_once_find_room() {
    let total = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&total);
    let url = peers::serve(move |_, mut socket| {
        while peers::text(&mut socket).is_some() {
            counts.fetch_add(1, Ordering::SeqCst);
        }
    });
    run(async {
        let mut session = client(quick().build().unwrap(), &url);
        let senders: Vec<_> = (0..20).map(|_| session.handle()).collect();
        for handle in senders {
            thread::spawn(move || {
                let sends = handle.wait_open(LONG).is_ok();
                for number in 0..100 {
                    assert!(sends);
                    handle
                        .send_blocking(Message::text(number.to_string()))
                        .unwrap();
                }
            });
        }
        let stopper = session.handle();
        let total = Arc::clone(&total);
        thread::spawn(move || {
            let begun = Instant::now();
            while total.load(Ordering::SeqCst) < 2000 && begun.elapsed() < LONG {
                thread::sleep(ms(5));
            }
            stopper.stop().unwrap();
        });
        while within(LONG, session.next()).await.is_some() {}
    });
    assert_eq!(total.load(Ordering::SeqCst), 2000);
}

#[test]
fn the_peers_words_are_heard() {
    let url =
        peers::serve(|_, mut socket| peers::close_with(&mut socket, 4003, "kicked by an admin"));
    let cause = run(async {
        let mut session = client(quick().build().unwrap(), &url);
        loop {
            if let Some(Notice::Down(down)) = within(LONG, session.next()).await {
                return down.cause;
            }
        }
    });
    let Cause::Closed { code, words } = &cause else {
        panic!("{cause:?}");
    };
    assert_eq!(
        (*code, words.as_str()),
        (Some(CloseCode(4003)), "kicked by an admin")
    );
    assert_eq!(
        cause.to_string(),
        "closed with code 4003: kicked by an admin"
    );
}

#[test]
fn a_retry_after_that_is_a_date_is_heeded() {
    let (url, count) = peers::refuse(|| {
        let until = std::time::SystemTime::now() + Duration::from_secs(30);
        let until = httpdate::fmt_http_date(until);
        format!("HTTP/1.1 503 Busy\r\nRetry-After: {until}\r\nContent-Length: 0\r\n\r\n")
    });
    let retry = run(async {
        let mut session = client(quick().build().unwrap(), &url);
        loop {
            if let Some(Notice::Down(down)) = within(LONG, session.next()).await {
                assert_eq!(down.lost, Lost::Dial);
                assert!(
                    matches!(down.cause, Cause::Refused { status: 503, .. }),
                    "{down:?}"
                );
                return down.retry.unwrap();
            }
        }
    });
    let wait = retry.at.saturating_duration_since(Instant::now());
    assert!(wait > Duration::from_secs(20), "{wait:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// How long it takes until it is over, from a stop in this state. What the goodbye would
/// stand behind is not waited for: a second stop says so.
fn stops(url: &str, state: State, is_stuck: bool) -> Duration {
    let config = Config::builder().first_spread(LONG).pong_timeout(LONG);
    let config = config.close_timeout(LONG).build().unwrap();
    let mut session = client(config, url);
    let handle = session.handle();
    let stopper = thread::spawn(move || {
        eventually("the state", || handle.state().state == state);
        thread::sleep(ms(if is_stuck { 50 } else { 10 }));
        let begun = Instant::now();
        handle.stop().unwrap();
        while is_stuck && handle.state().state == state && begun.elapsed() < LONG {
            thread::sleep(Duration::from_micros(50));
        }
        if is_stuck {
            handle.stop().unwrap();
        }
        begun
    });
    run(async {
        loop {
            match within(LONG, session.next()).await {
                Some(Notice::Opened { .. }) if is_stuck => {
                    session.send(Message::binary(vec![7; 6 << 20])).unwrap();
                }
                Some(Notice::Stopped { reason, .. }) => {
                    let over = Instant::now();
                    assert_eq!(reason, StopReason::Requested);
                    let took = over.duration_since(stopper.join().unwrap());
                    assert!(took < ms(5000), "not heard: {took:?}");
                    return took;
                }
                Some(_) => {}
                None => panic!("not told"),
            }
        }
    })
}

/// It took 5 to 60 s without a handle that wakes. The median is that of a machine which
/// has time: where it has none, it may have some later.
fn stops_at_once(what: &str, url: &str, state: State) {
    let is_stuck = what == "a write";
    let mut medians = Vec::new();
    while medians.len() < 10 {
        let mut waits: Vec<_> = (0..20).map(|_| stops(url, state, is_stuck)).collect();
        waits.sort();
        println!("{what}: stopped within {:?} (median of 20)", waits[10]);
        if waits[10] < ms(10) {
            return;
        }
        medians.push(waits[10]);
    }
    panic!("{what}: {medians:?}");
}

#[test]
fn a_stop_from_another_thread_ends_a_read() {
    let url = peers::serve(|_, mut socket| while socket.read().is_ok() {});
    stops_at_once("a read", &url, State::Open);
}

#[test]
fn a_stop_from_another_thread_ends_a_write() {
    let url = peers::serve_narrow(|_, socket| peers::takes(socket, 1 << 20, 1, false));
    stops_at_once("a write", &url, State::Open);
}

#[test]
fn a_stop_from_another_thread_ends_a_backoff() {
    let (url, _) = peers::refuse(|| "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned());
    stops_at_once("a backoff", &url, State::Waiting);
}

#[test]
fn a_stop_from_another_thread_ends_a_dial() {
    let hole = BlackHole::new();
    stops_at_once("a dial", &url_of(hole.address), State::Connecting);
}

#[test]
fn a_stop_from_another_thread_ends_a_handshake() {
    let (url, _) = peers::refuse(|| {
        thread::sleep(LONG);
        String::new()
    });
    stops_at_once("a handshake", &url, State::Connecting);
}

#[test]
fn a_login_that_is_refused_by_a_message_backs_off() {
    let dials = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&dials);
    let url = peers::serve(move |_, mut socket| {
        counts.fetch_add(1, Ordering::SeqCst);
        let _ = socket.send(Message::text("login refused"));
        while socket.read().is_ok() {}
    });
    let attempts = run(async {
        let mut attempts = Vec::new();
        let mut session = client(quick().build().unwrap(), &url);
        while attempts.len() < 5 {
            match within(LONG, session.next()).await {
                Some(Notice::Message(_)) => assert!(session.give_up(Closed::default())),
                Some(Notice::Down(down)) => {
                    assert!(matches!(down.cause, Cause::GivenUp), "{down:?}");
                    attempts.extend(down.retry.map(|retry| retry.attempt));
                }
                Some(_) => {}
                None => panic!("it was over"),
            }
        }
        attempts
    });
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_too_much_is_given_back() {
    let url = peers::serve_narrow(|_, socket| peers::takes(socket, 1 << 20, 1, false));
    let config = strict(10_000, 10_000).build().unwrap();
    run(async {
        let mut session = client(config, &url);
        while !matches!(
            within(LONG, session.next()).await,
            Some(Notice::Opened { .. })
        ) {}
        session.send(Message::binary(vec![7; 8 << 20])).unwrap();
        let error = session
            .send(Message::binary(vec![7; 50 << 20]))
            .unwrap_err();
        let SendError::Full {
            size, used, limit, ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((*size, *used, *limit), (50 << 20, 8 << 20, 1 << 20));
        assert_eq!(error.into_message().len(), 50 << 20);
        let control = session.send(Message::Close(None)).unwrap_err();
        assert!(
            matches!(control, SendError::Unsendable { .. }),
            "{control:?}"
        );
    });
}

#[test]
fn a_closure_that_captures_decides_about_losses() {
    let url = peers::serve(|_, mut socket| peers::close_with(&mut socket, 4001, ""));
    let mut evictions = 0;
    run(async {
        let codec = Deciding::new(Plain, move |_| {
            evictions += 1;
            (evictions == 3).then_some(keepalive::Retry::Stop)
        });
        let mut session = client_with(quick().build().unwrap(), codec, &url);
        let mut downs = 0;
        while let Some(notice) = within(LONG, session.next()).await {
            downs += u32::from(matches!(notice, Notice::Down(_)));
        }
        assert_eq!(downs, 3);
    });
}
