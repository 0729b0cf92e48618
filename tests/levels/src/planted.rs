//! The shape that is miscompiled, as it once stood in the core.

use core::hint::black_box;
use core::num::NonZeroU64;

use crate::hash::Fnv;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Time(NonZeroU64);

/// Whether anything is planned, which comes at `latest` at the latest from now on.
fn bring_forward(slot: &mut Option<Time>, latest: Time) -> bool {
    *slot = slot.map(|at| at.min(latest));
    slot.is_some()
}

pub fn hash() -> u64 {
    let mut hash = Fnv::new();
    let time = |nanos| NonZeroU64::new(black_box(nanos)).map(Time);
    for planned in [0, 3, 9] {
        for latest in [1, 5, 100].into_iter().filter_map(time) {
            let mut slot = time(planned);
            let is_planned = bring_forward(&mut slot, latest);
            hash.note((is_planned, slot.map(|Time(at)| at.get())));
        }
    }
    hash.finish()
}
