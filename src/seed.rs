use std::hash::{BuildHasher, RandomState};

/// A seed that no other client has: from the randomness that the standard library keys
/// its hash maps with.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}
