//! The driver for any async runtime: in virtual time, and behind executors that are
//! blocked, with real sockets.
//!
//! What runtimes, sinks and timers do to a heartbeat, and which tests show that the
//! driver copes. Each was seen to fail with the driver broken in that point. What it
//! tells on each runtime is in `tests/runtimes.rs`; what an accepted socket allocates, in
//! `tests/session_alloc.rs`.
//!
//! | | fact | tests |
//! | --- | --- | --- |
//! | 1 | who waits for a send never finds a stuck peer dead | `stuck::a_stuck_peer_is_convicted_and_dropped`, `stuck::a_peer_that_takes_a_message_now_and_then_is_convicted`, `stuck::a_stop_is_over_in_time_on_a_stuck_peer`, `stuck::a_second_stop_does_not_wait_for_a_stuck_peer` |
//! | 2 | a sink keeps one write waker | `wakers::a_sink_that_keeps_one_waker_wakes_the_ping_and_the_messages`, `wakers::a_session_that_moves_to_another_task_is_woken_there`, `wakers::no_wake_is_lost` |
//! | 3 | a flood in one direction starves the other | `turns::a_flood_that_comes_in_starves_neither_ticks_nor_writes`, `turns::a_flood_of_control_messages_lets_others_have_their_turn`, `turns::a_flood_that_goes_out_starves_neither_ticks_nor_reads`, `ends::a_stop_says_goodbye_also_where_there_is_always_more_to_send`, `late::a_verdict_is_not_put_off_by_what_goes_out` |
//! | 4 | a sleep by another clock than `now` spins | `paused::an_hour_of_pings_takes_a_few_polls_each`, `turns::a_busy_connection_sets_the_timer_once_an_interval`, `turns::a_quiet_connection_sets_the_timer_for_each_ping` |
//! | 5 | a paused clock is exact over a pipe | `paused::a_mute_peer_is_convicted` |
//! | 6 | `Send` is for the parts to decide | `paused::a_session_of_parts_that_are_send_can_be_spawned`, `paused::a_session_of_parts_that_are_not_send_lives_on_one_thread` |
//! | 7 | pings may be the application's | `paused::pings_may_be_texts`, `ends::a_peers_ping_is_answered_and_not_told` |
//! | 8 | bytes are life before they are a message | `turns::a_message_that_takes_long_is_life`, `turns::progress_does_not_put_the_verdict_off`, `turns::progress_before_a_ping_is_no_answer_to_it` |
//! | 9 | a request cannot be dialled twice | `dials::the_connector_is_called_afresh_for_each_dial`, `dials::a_dial_that_hangs_is_dropped_when_it_is_given_up` |
//! | 10 | a socket may say that it is open while it connects | `dials::a_socket_that_is_open_while_it_connects_is_given_up`, `dials::a_socket_that_is_open_while_it_connects_is_kept` |
//! | 11 | what was not sent stays, and what was is not sent again | `dials::messages_stay_in_the_channel_while_it_is_down`, `dials::what_the_sink_has_taken_is_not_sent_again`, `wakers::no_message_is_sent_twice_or_out_of_turn` |
//! | 12 | what a message costs | `benches/session.rs` |
//!
//! Futures of `next` can be dropped: `wakers::next_can_be_dropped_at_every_poll`. A
//! late executor accuses nobody: `late`. An end is told once, and a stop works in every
//! state: `ends`.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "session/dials.rs"]
mod dials;
#[path = "session/ends.rs"]
mod ends;
#[path = "session/late.rs"]
mod late;
#[path = "session/paused.rs"]
mod paused;
#[path = "session/rig.rs"]
mod rig;
#[path = "../examples/late_clock/rounds.rs"]
mod rounds;
#[path = "session/stuck.rs"]
mod stuck;
#[path = "session/turns.rs"]
mod turns;
#[path = "session/wakers.rs"]
mod wakers;
