//! The blocking adapter against real sockets and peers that misbehave.
//!
//! What sockets, tungstenite and TLS do to a heartbeat, and which tests show that
//! the adapter copes. Each was seen to fail with the adapter broken in that point.
//! Those in `tls` are in `tests/tls.rs`, those in `dial` in `src/blocking/dial.rs`.
//!
//! | | fact | tests |
//! | --- | --- | --- |
//! | 1 | a timeout of zero is an error, and a long one ends late | `wire::no_timeout_is_zero`, `wire::a_long_wait_ends_in_time_though_the_system_is_late_by_an_eighth` |
//! | 2 | a timeout is `WouldBlock` or `TimedOut`, and a signal cuts it short | `wire::a_timeout_is_no_end_by_either_name`, `wire::a_signal_is_no_end` |
//! | 3 | half a frame survives a timeout | `a_byte_a_second_and_a_frame_of_1_mb_over_10_s_are_life`, `tls::half_a_frame_survives_a_timeout` |
//! | 4 | each call starts its timeout afresh | `a_dial_that_drips_is_given_up`, `wire::a_drip_does_not_hold_a_read`, `wire::a_slow_drain_does_not_hold_a_write`, `tls::a_dial_that_drips_in_tls_is_given_up` |
//! | 5 | TLS reads while it writes | `tls::a_blocked_write_neither_hangs_nor_kills`, `tls::a_peer_that_only_sends_is_alive_while_a_write_is_blocked` |
//! | 6 | a frame whose write timed out is queued | `session::a_stop_sends_what_is_queued_first`, `tls::a_blocked_write_neither_hangs_nor_kills` |
//! | 7 | a pong is late behind much that is sent, or received | `wire::a_ping_behind_a_big_message_counts_from_its_flush`, `a_byte_a_second_and_a_frame_of_1_mb_over_10_s_are_life`, `tls::a_drip_below_tls_is_life` |
//! | 8 | tungstenite's answer to a ping waits for the next call | `wire::the_answer_to_a_ping_leaves_at_once` |
//! | 9 | a control frame that is too long is accepted | `wire::a_control_frame_that_is_too_long_never_leaves`, `wire::a_ping_of_the_codecs_that_is_too_long_ends_it_with_a_reason` |
//! | 10 | TLS takes `WouldBlock` in a handshake for a promise | `wire::a_deadline_is_timed_out_while_connecting_and_would_block_afterwards`, `tls::a_dial_that_hangs_in_tls_is_given_up` |
//! | 11 | one address at a time, and no deadline for a name | `dial::an_address_that_does_not_answer_has_its_share_only`, `dial::all_addresses_together_have_one_deadline`, `dial::a_resolver_that_hangs_does_not_hold_the_dial`, `a_dial_that_hangs_in_connect_is_given_up` |
//! | 12 | a handshake that times out is interrupted | `wire::an_interrupted_handshake_is_a_dial_that_failed`, `a_dial_that_hangs_in_the_handshake_is_given_up` |
//! | 13 | an end has many looks, and may never come | `an_end_of_file_is_told_once`, `a_reset_is_told_once`, `a_close_code_is_told_once`, `tls::an_end_without_close_notify_is_told_once`, `a_close_that_lingers_is_abandoned` |
//! | 14 | dropping a socket takes no time | `wire::abandoning_takes_milliseconds` |
//! | 15 | nothing waits for reading and writing at once | `wire::a_write_that_was_blocked_goes_on_soon`, `a_flood_starves_neither_ticks_nor_writes` |
#![cfg(all(feature = "blocking", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/peer.rs"]
mod peer;
#[path = "support/peer_scenarios.rs"]
mod scenarios;
#[path = "blocking/server.rs"]
mod server;
#[path = "blocking/session.rs"]
mod session;
#[path = "blocking/suspend.rs"]
mod suspend;
#[cfg(feature = "tracing")]
#[path = "blocking/traces.rs"]
mod traces;
#[path = "blocking/wire.rs"]
mod wire;

use std::thread;
use std::time::{Duration, Instant};

use keepalive::blocking::{Dial, Notice, Session};
use keepalive::{Cause, Config};
use tungstenite::Error;

use peer::millis;
use scenarios::{Client, End, Order, Story, Told, Why};

struct Blocking;

impl Client for Blocking {
    fn run(config: Config, url: &str, mut app: impl FnMut(&Told) -> Order) -> Story {
        let mut session = Session::client(config, 7, |dial: &Dial| dial.connect(url));
        let end = Instant::now() + peer::PATIENCE;
        let mut story = Vec::new();
        while let Some(notice) = session.next_before(end) {
            let now = Instant::now();
            assert!(now < end, "no end of {story:?}");
            let told = told(notice, now);
            let order = app(&told);
            story.push((now, told));
            match order {
                Order::Nothing => {}
                Order::Send(message) => drop(session.send(message)),
                Order::Stop => session.stop(),
                Order::Quit => return Story(story),
            }
        }
        assert!(Instant::now() < end, "no end of {story:?}");
        Story(story)
    }
}

fn told(notice: Notice, now: Instant) -> Told {
    match notice {
        Notice::Connecting { attempt } => Told::Connecting(attempt),
        Notice::Opened => Told::Opened,
        Notice::Message(message) => Told::Message(message.len()),
        Notice::Ping(_) => Told::Ping,
        Notice::Pong { .. } => Told::Pong,
        Notice::Down { cause, retry } => Told::Down {
            why: match cause {
                Cause::Closed(code) => Why::Closed(code.map(|code| code.0)),
                Cause::Failed(Error::Io(error)) if error.raw_os_error().is_some() => {
                    Why::Failed(error.kind().to_string())
                }
                Cause::Failed(error) => Why::Failed(error.to_string()),
                Cause::TimedOut(reason) => Why::TimedOut(reason),
                other => panic!("{other:?}"),
            },
            attempt: retry.map(|planned| planned.attempt),
            delay: retry.map_or(Duration::ZERO, |planned| {
                planned.at.saturating_duration_since(now)
            }),
        },
        Notice::Stopped(reason) => Told::Stopped(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "the child of other tests"]
fn child_serves() {
    if peer::role().is_some() {
        scenarios::serve_as_a_process();
    }
}

#[test]
fn a_stopped_process_is_convicted() {
    scenarios::a_stopped_process_is_convicted::<Blocking>("child_serves");
}

#[test]
fn a_mute_peer_is_convicted() {
    scenarios::a_mute_peer_is_convicted::<Blocking>();
}

/// Side by side, for each takes 10 s.
#[test]
fn a_byte_a_second_and_a_frame_of_1_mb_over_10_s_are_life() {
    const LASTS: Duration = Duration::from_secs(10);
    let frame = thread::spawn(|| {
        scenarios::a_frame_that_takes_long_is_life::<Blocking>(1_000_000, LASTS);
    });
    scenarios::a_byte_now_and_then_is_life::<Blocking>(Duration::from_secs(1), LASTS);
    frame.join().unwrap();
}

#[test]
fn a_flood_starves_neither_ticks_nor_writes() {
    scenarios::a_flood_starves_neither_ticks_nor_writes::<Blocking>();
}

#[test]
fn sending_much_starves_neither_pings_nor_reads() {
    scenarios::sending_much_starves_neither_pings_nor_reads::<Blocking>();
}

#[test]
fn a_reset_is_told_once() {
    scenarios::an_end_is_told_once::<Blocking>(End::Reset, "connection reset");
}

#[test]
fn an_end_of_file_is_told_once() {
    scenarios::an_end_is_told_once::<Blocking>(End::Fin, "closed");
}

#[test]
fn a_close_code_is_told_once() {
    for code in [1001, 1011, 1012, 1013, 4000] {
        let why = format!("closed {code}");
        scenarios::an_end_is_told_once::<Blocking>(End::Code(code), &why);
    }
}

#[test]
fn a_normal_close_is_the_end() {
    scenarios::a_normal_close_is_the_end::<Blocking>();
}

#[test]
fn code_1012_keeps_away_for_5_to_30_s() {
    let bounds = (Duration::from_secs(5), Duration::from_secs(30));
    scenarios::a_close_code_decides_the_delay::<Blocking>(1012, bounds.0, bounds.1);
}

#[test]
fn code_1013_is_spread_out() {
    scenarios::a_close_code_decides_the_delay::<Blocking>(1013, millis(2000), millis(3000));
}

#[test]
fn a_close_is_graceful() {
    scenarios::a_close_is_graceful::<Blocking>();
}

#[test]
fn a_close_that_lingers_is_abandoned() {
    scenarios::a_close_that_lingers_is_abandoned::<Blocking>();
}

#[test]
fn a_close_without_an_answer_is_abandoned() {
    scenarios::a_close_without_an_answer_is_abandoned::<Blocking>();
}

#[test]
fn a_refused_dial_is_tried_again() {
    scenarios::a_refused_dial_is_tried_again::<Blocking>();
}

#[test]
fn accept_and_drop_counts_attempts() {
    scenarios::accept_and_drop_counts_attempts::<Blocking>();
}

#[test]
fn a_lost_connection_is_dialled_again() {
    scenarios::a_lost_connection_is_dialled_again::<Blocking>();
}

#[test]
fn a_dial_that_hangs_in_connect_is_given_up() {
    scenarios::a_dial_that_hangs_in_connect_is_given_up::<Blocking>();
}

#[test]
fn a_dial_that_hangs_in_the_handshake_is_given_up() {
    scenarios::a_dial_that_hangs_in_the_handshake_is_given_up::<Blocking>();
}

#[test]
fn a_dial_that_drips_is_given_up() {
    scenarios::a_dial_that_drips_is_given_up::<Blocking>();
}

#[test]
fn a_hint_in_the_handshake_is_heeded() {
    scenarios::a_hint_in_the_handshake_is_heeded::<Blocking>();
}

#[test]
fn a_reader_that_is_stuck_is_given_up() {
    scenarios::a_reader_that_is_stuck_is_given_up::<Blocking>();
}

#[test]
fn a_close_code_is_read_though_a_write_failed() {
    scenarios::a_close_code_is_read_though_a_write_failed::<Blocking>();
}
