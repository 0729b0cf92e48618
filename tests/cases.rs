//! What failed for users of the crate or of others like it, over real sockets, on each
//! runtime by the same scenario.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
// One list, by each runtime.
#![allow(clippy::duplicate_mod)]

#[path = "cases/peers.rs"]
mod peers;

#[path = "cases/on_smol.rs"]
mod on_smol;
#[path = "cases/on_tokio.rs"]
mod on_tokio;
