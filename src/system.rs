//! What only the operating system knows.

use std::hash::{BuildHasher, RandomState};
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
use std::time::{Duration, SystemTime};

/// A seed that no other client has: from the randomness that the standard library keys
/// its hash maps with.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// What the system's clock shows, which runs on while the machine sleeps.
#[cfg(any(feature = "blocking", feature = "smol", feature = "tokio"))]
pub(crate) fn system_time() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}
