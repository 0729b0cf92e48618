use alloc::vec::Vec;

use super::Ms;

/// The ends of periods whose tick came late: what was noted in them counts as of that
/// tick.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// By when they were to end, as stamps, and when they did; in order.
    ends: Vec<(u32, Ms)>,
}

impl Late {
    /// So many are kept.
    pub(super) const MOST: usize = 1024;

    pub(super) fn is_full(&self) -> bool {
        self.ends.len() >= Self::MOST
    }

    pub(super) fn clear(&mut self) {
        self.ends.clear();
    }

    pub(super) fn push(&mut self, stamp: u32, end: Ms) {
        self.ends.push((stamp, end));
    }

    /// When the period with this stamp ended, or ends.
    pub(super) fn end_of(&self, stamp: u32, now: Ms) -> Ms {
        let late = self.ends.iter().rev().find(|(late, _)| *late == stamp);
        late.map_or(now.near_with(stamp), |(_, end)| *end)
    }
}
