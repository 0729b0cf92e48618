//! The blocking adapter against real sockets and peers that misbehave.
//!
//! What sockets, tungstenite and TLS do to a heartbeat, and which tests show that
//! the adapter copes. Each was seen to fail with the adapter broken in that point.
//! Those in `tls` are in `tests/tls.rs`, those in `readiness` in `tests/readiness.rs`.
//!
//! | | fact | tests |
//! | --- | --- | --- |
//! | 1 | a wait ends late | `readiness::a_wait_ends_at_its_time_and_then_a_read_looks` |
//! | 2 | a signal cuts a wait short | `readiness::an_interrupted_wait_goes_on` |
//! | 3 | half a frame survives a read that ends | `a_byte_a_second_and_a_frame_of_1_mb_over_10_s_are_life`, `tls::half_a_frame_survives_a_timeout` |
//! | 4 | each call may take its time | `a_dial_that_drips_is_given_up`, `wire::a_drip_does_not_hold_a_read`, `wire::a_slow_drain_does_not_hold_a_write`, `tls::a_dial_that_drips_in_tls_is_given_up`, `readiness::a_frame_that_never_ends_holds_no_read` |
//! | 5 | TLS reads while it writes | `tls::a_blocked_write_neither_hangs_nor_kills`, `tls::a_peer_that_only_sends_is_alive_while_a_write_is_blocked` |
//! | 6 | a frame of which a part was written is queued | `session::a_stop_sends_what_is_queued_first`, `tls::a_blocked_write_neither_hangs_nor_kills` |
//! | 7 | a pong is late behind much that is sent, or received | `wire::a_ping_behind_a_big_message_counts_from_its_flush`, `wire::a_pong_behind_many_messages_is_read_before_the_verdict`, `wire::a_slow_peer_is_not_convicted_while_it_drains`, `a_byte_a_second_and_a_frame_of_1_mb_over_10_s_are_life`, `tls::a_drip_below_tls_is_life` |
//! | 8 | tungstenite's answer to a ping waits for the next call | `wire::the_answer_to_a_ping_leaves_at_once` |
//! | 9 | a control frame that is too long is accepted | `wire::control_frames_are_not_the_applications_to_send`, `wire::a_ping_of_the_codecs_that_is_too_long_ends_it_with_a_reason` |
//! | 10 | TLS takes `WouldBlock` in a handshake for a promise | `wire::a_deadline_is_timed_out_while_connecting_and_would_block_afterwards`, `tls::a_dial_that_hangs_in_tls_is_given_up` |
//! | 11 | one address at a time, and no deadline for a name | `race` in `src/blocking/race.rs`, `readiness::a_dial_that_nobody_answers_ends_at_its_deadline`, `a_dial_that_hangs_in_connect_is_given_up` |
//! | 12 | a handshake that times out is interrupted | `wire::an_interrupted_handshake_is_a_dial_that_failed`, `a_dial_that_hangs_in_the_handshake_is_given_up` |
//! | 13 | an end has many looks, and may never come | `an_end_of_file_is_told_once`, `a_reset_is_told_once`, `a_close_code_is_told_once`, `tls::an_end_without_close_notify_is_told_once`, `a_close_that_lingers_is_abandoned` |
//! | 14 | dropping a socket takes no time | `wire::abandoning_takes_milliseconds` |
//! | 15 | std waits neither for both directions at once nor for other threads | `handles`, `wire::a_write_that_was_blocked_goes_on_soon`, `a_flood_starves_neither_ticks_nor_writes` |
//! | 16 | a wait takes descriptors, and there may be none | `descriptors::a_client_dials_until_there_is_a_descriptor` |
#![cfg(all(feature = "blocking", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "blocking/descriptors.rs"]
mod descriptors;
#[path = "blocking/handles.rs"]
mod handles;
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
#[path = "blocking/wire.rs"]
mod wire;

use std::thread;
use std::time::{Duration, Instant};

use keepalive::blocking::{self, Dialer, TimeUp};
use keepalive::{CloseCode, Closed, Config};

use scenarios::{Client, Order, Story, Told, words_of};
use tungstenite::Message;

struct Blocking;

impl Client for Blocking {
    fn run(config: Config, url: &str, mut app: impl FnMut(&Told) -> Order) -> Story {
        let mut session = blocking::client(config, Dialer::new(url)).with_seed(7);
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
                Order::GiveUp(code) => {
                    session.give_up(Closed::with_code(CloseCode(code)));
                }
                Order::Quit => return story,
            }
            let notice = match session.next_before(end) {
                Ok(Some(notice)) => notice,
                Ok(None) => return story,
                Err(TimeUp) => panic!("no end of {story:?}"),
            };
            let told = Told::of(notice, Instant::now(), Message::len, words_of);
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
