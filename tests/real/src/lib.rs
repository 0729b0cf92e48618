//! What the suites share: a client on each adapter, with the same face.
//!
//! - `cargo run --bin peers`: real peers and proxies, kept alive, muted, detected, healed.
//! - `cargo run --bin matrix`: peers x faults x adapters, as a table.
//! - `cargo run --bin soak`: hundreds of connections under random faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

pub mod client;
pub mod faults;
pub mod matrix;
#[path = "../../../examples/mio_client.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod mio_client;
pub mod peers;
mod server;
pub mod soak;

pub use client::{Adapter, Client, Down, Event, Seen, Target, Why};
pub use server::Server;
