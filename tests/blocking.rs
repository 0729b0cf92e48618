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
//! | 7 | a pong is late behind much that is sent, or received | `wire::a_ping_behind_a_big_message_counts_from_its_flush`, `wire::a_pong_behind_many_messages_is_read_before_the_verdict`, `wire::a_slow_peer_is_not_convicted_while_it_drains`, `a_byte_a_second_and_a_frame_of_1_mb_over_10_s_are_life`, `tls::a_drip_below_tls_is_life` |
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

use keepalive::blocking::{Dial, Session};
use keepalive::{CloseCode, Closed, Config};

use scenarios::{Client, Order, Story, Told, words_of};
use tungstenite::Message;

struct Blocking;

impl Client for Blocking {
    const TELLS_EVERY_DOWN: bool = false;

    fn run(config: Config, url: &str, mut app: impl FnMut(&Told) -> Order) -> Story {
        let mut session = Session::client(config, 7, |dial: &Dial| dial.connect(url));
        let end = Instant::now() + peer::PATIENCE;
        let mut story = Story::default();
        let mut order = app(&Told::Idle);
        loop {
            match order {
                Order::Nothing => {}
                Order::Send(message) => drop(session.send(message)),
                Order::Stop => session.stop(),
                Order::ReconnectNow => session.reconnect_now(),
                Order::NetworkChanged => session.network_changed(),
                Order::GiveUp(code) => session.give_up(Closed::with_code(CloseCode(code))),
                Order::Quit => return story,
            }
            let notice = session.next_before(end);
            assert!(Instant::now() < end, "no end of {story:?}");
            let Some(notice) = notice else {
                return story;
            };
            let told = Told::of_blocking(notice, Instant::now(), Message::len, words_of);
            order = story.tell(told, &mut app);
        }
    }
}

scenarios::test_all!(Blocking);

/// Side by side, for each takes 10 s.
#[test]
fn a_byte_a_second_and_a_frame_of_1_mb_over_10_s_are_life() {
    const LASTS: Duration = Duration::from_secs(10);
    let frame = thread::spawn(|| scenarios::a_slow_frame_is_life::<Blocking>(1_000_000, LASTS));
    scenarios::a_drip_is_life::<Blocking>(Duration::from_secs(1), LASTS);
    frame.join().unwrap();
}
