//! What failed for users of the crate or of others like it, over real sockets, in each
//! adapter by the same scenario.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]
// One list, by each adapter.
#![allow(clippy::duplicate_mod)]

#[path = "cases/dying.rs"]
mod dying;
#[path = "../examples/mio_client.rs"]
#[allow(dead_code)]
mod mio_client;
#[path = "support/peer.rs"]
mod peer;
#[path = "cases/peers.rs"]
mod peers;

#[path = "cases/on_blocking.rs"]
mod on_blocking;
#[path = "cases/on_mio.rs"]
mod on_mio;
#[path = "cases/on_smol.rs"]
mod on_smol;
#[path = "cases/on_tokio.rs"]
mod on_tokio;

use std::time::Duration;

use keepalive::{Config, ConfigBuilder};

const LONG: Duration = Duration::from_secs(60);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Comes back soon.
fn quick() -> ConfigBuilder {
    Config::builder()
        .first_spread(ms(20))
        .backoff_floor(ms(1))
        .backoff_base(ms(20))
        .backoff_cap(ms(20))
}
