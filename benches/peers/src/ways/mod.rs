//! The ways of others.

mod arrays;
mod heap;
mod polled;
mod sweeper;
mod tokio;
mod wheels;

use crate::many::Entry;
use crate::ours;

pub(crate) use arrays::{SCAN, STORE};

/// The order of the tables.
pub(crate) fn all() -> Vec<Entry> {
    let mut all = arrays::entries();
    all.extend(ours::entries());
    all.extend(heap::entries());
    all.extend(wheels::entries());
    all.extend(polled::entries());
    all.extend(sweeper::entries());
    all.extend(tokio::entries());
    all
}
