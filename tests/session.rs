//! The driver for any async runtime, in virtual time.
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
