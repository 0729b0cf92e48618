//! Nothing is lost in silence: what a peer that dies has not read is counted and given
//! back.

use std::thread;
use std::time::Duration;

use keepalive::driver::{Counts, Lost, Notice};
use keepalive::{Config, ConfigBuilder};
use tungstenite::Message;

use super::runtime::{keeping, run, within};
use crate::dying::{self, End, number, order};
use crate::{LONG, ms, quick};

/// Asks soon whether what it sent has arrived, and does not wait long.
fn curious() -> ConfigBuilder {
    quick()
        .confirm_within(Some(ms(10)))
        .ping_interval(ms(5000))
        .pong_timeout(ms(200))
}

/// What is left of a session that had one connection.
#[derive(Debug, Default)]
struct Left {
    /// Whether a login was handed over, which is counted and not kept.
    has_login: bool,
    in_doubt: u64,
    kept: Vec<u64>,
    /// What was not handed over.
    unsent: Vec<u64>,
    counts: Counts,
    cause: String,
    /// What the server has read.
    read: Vec<u64>,
}

const ORDERS: u64 = 100;

/// What becomes of these orders.
fn lives_once(config: Config, limit: usize, orders: u64, stops: bool, end: (u64, End)) -> Left {
    let server = dying::serve(move |_| end);
    let mut left = Left::default();
    run(async {
        let mut session = keeping(config, &server.url, limit).unwrap();
        let handle = session.handle();
        for number in 0..orders {
            handle.try_send(order(number)).unwrap();
        }
        while let Some(notice) = within(LONG, session.next()).await {
            match notice {
                Notice::Opened { .. } if stops => handle.stop().unwrap(),
                Notice::Opened { .. } => {
                    left.has_login = session.send(Message::text("login")).is_ok();
                }
                Notice::Down(down) => {
                    assert_eq!(down.lost, Lost::Connection, "{}", down.cause);
                    assert!(left.cause.is_empty(), "down twice");
                    left.has_login &= down.unsent.is_empty();
                    left.kept = down.kept.iter().map(number).collect();
                    left.in_doubt = down.in_doubt;
                    left.cause = down.cause.to_string();
                }
                Notice::Stopped { unsent, .. } => {
                    left.unsent = unsent.iter().map(number).collect();
                }
                _ => {}
            }
        }
        left.counts = session.counts();
    });
    let read = server.read();
    left.read = read.into_iter().map(|(_, number)| number).collect();
    println!("{end:?}, {limit} bytes kept: {left:?}");
    left
}

/// How many orders were confirmed, where all that is told of it is true.
fn confirmed(left: &Left, orders: u64) -> u64 {
    let (counts, login) = (left.counts, u64::from(left.has_login));
    assert_eq!(counts.handed_over, counts.confirmed + counts.in_doubt);
    assert_eq!(counts.in_doubt, left.in_doubt);
    let doubted_login = left.in_doubt - left.kept.len() as u64;
    assert!(doubted_login <= login);
    let confirmed = counts.confirmed - (login - doubted_login);
    // What was not confirmed is given back, in order.
    let back: Vec<_> = left.kept.iter().chain(&left.unsent).copied().collect();
    assert_eq!(back, (confirmed..orders).collect::<Vec<_>>());
    // And all of the rest was read.
    let read = left.read.len() as u64;
    assert_eq!(left.read, (0..read).collect::<Vec<_>>());
    assert!(confirmed <= read);
    confirmed
}

fn loses_nothing_in_silence(end: End) {
    let config = curious().reconnect(false).build().unwrap();
    let ways = [(0, 2000), (1, 2000), (38, 2000), (70, 400), (70, 100_000)];
    let total: u64 = ways
        .iter()
        .map(|&(reads, limit)| {
            let left = lives_once(config, limit, ORDERS, false, (reads, end));
            confirmed(&left, ORDERS)
        })
        .sum();
    assert!(total > 0, "nothing was ever confirmed");
}

#[test]
fn a_reset_loses_nothing_in_silence() {
    loses_nothing_in_silence(End::Reset);
}

#[test]
fn an_end_of_file_loses_nothing_in_silence() {
    loses_nothing_in_silence(End::Fin);
}

#[test]
fn a_close_frame_loses_nothing_in_silence() {
    loses_nothing_in_silence(End::Close);
}

#[test]
fn a_peer_that_goes_mute_loses_nothing_in_silence() {
    loses_nothing_in_silence(End::Mute);
}

#[test]
fn a_process_that_is_killed_loses_nothing_in_silence() {
    loses_nothing_in_silence(End::Killed);
}

/// Nobody would ask what has arrived, but for the goodbye.
fn incurious() -> ConfigBuilder {
    quick()
        .ping_interval(Duration::from_secs(600))
        .confirm_within(Some(Duration::from_secs(500)))
        .close_timeout(ms(300))
        .reconnect(false)
}

#[test]
fn a_stop_asks_what_has_arrived() {
    let end = (u64::MAX, End::Mute);
    let config = incurious().close_timeout(LONG).build().unwrap();
    let left = lives_once(config, 100_000, ORDERS, true, end);
    assert_eq!(confirmed(&left, ORDERS), ORDERS);
    assert_eq!(left.cause, "stopped");
    assert_eq!(left.counts.pings, 0);
}

#[test]
fn a_stop_knows_what_nobody_confirmed() {
    let config = incurious().build().unwrap();
    for end in [End::Reset, End::Fin, End::Close, End::Mute, End::Killed] {
        let left = lives_once(config, 100_000, ORDERS, true, (38, end));
        // The process may have read all before it is killed.
        let all = confirmed(&left, ORDERS);
        assert!(all == 0 || matches!(end, End::Killed));
    }
}

/// Each connection ends after some of them, in one way or another.
#[test]
fn over_many_connections_every_order_arrives() {
    const ORDERS: u64 = 400;
    let server = dying::serve(|visit| {
        let ends = [End::Reset, End::Fin, End::Close];
        let end = if visit % 8 == 7 {
            End::Mute
        } else {
            ends[visit % 3]
        };
        (visit as u64 * 37 % 61, end)
    });
    let mut doubted = 0;
    let counts = run(async {
        let config = curious().build().unwrap();
        let mut session = keeping(config, &server.url, 1000).unwrap();
        let handle = session.handle();
        let orders = thread::spawn(move || {
            for number in 0..ORDERS {
                handle.send_blocking(order(number)).unwrap();
            }
        });
        while let Some(notice) = within(LONG, session.next()).await {
            match notice {
                Notice::Pong { .. } if session.counts().confirmed == ORDERS => session.stop(),
                Notice::Down(down) => {
                    assert_eq!(down.in_doubt, down.kept.len() as u64);
                    doubted += down.in_doubt;
                    session.requeue(down.kept);
                }
                Notice::Stopped { unsent, .. } => assert!(unsent.is_empty()),
                _ => {}
            }
        }
        orders.join().unwrap();
        session.counts()
    });
    let read = server.read();
    println!("{counts:?}, {} read", read.len());
    assert_eq!((counts.confirmed, counts.in_doubt), (ORDERS, doubted));
    assert_eq!(counts.handed_over, ORDERS + doubted);
    assert!(counts.downs > 5 && doubted > 0);
    // What comes once more is known by its number. The rest is in order, without a gap.
    let (mut taken, mut before) = (0, None);
    for (visit, number) in read {
        match before.replace((visit, number)) {
            Some((same, last)) if same == visit => assert_eq!(number, last + 1),
            _ => assert!(number <= taken),
        }
        taken = taken.max(number + 1);
    }
    assert_eq!(taken, ORDERS);
}
