use super::Keep;
use crate::action::CloseReason;
use crate::event::PingId;
use crate::fleet::Key;
use crate::fleet::clock::Now;
use crate::fleet::columns::{BLOCK, Facts};
use crate::fleet::slots::GROUP;
use crate::open;
use crate::random::Fraction;
use crate::time::Timeline;

/// What members need besides.
impl Keep {
    /// How many groups of 1,024 slots there are, the last one perhaps in part.
    pub(in crate::fleet) fn groups(&self) -> usize {
        self.slots.blocks().div_ceil(GROUP / BLOCK)
    }

    /// A connection opened that is to have its slot in this group, if one is free there.
    pub(in crate::fleet) fn open_among(&mut self, group: usize, now: Now) -> Option<Key> {
        let slot = loop {
            if let Some(slot) = self.slots.free_among(group) {
                break slot;
            }
            let end = (group + 1) * GROUP;
            if self.slots.blocks() * BLOCK >= end {
                return None;
            }
            self.grow(now)?;
        };
        self.open_in(slot, now)
    }

    pub(in crate::fleet) fn has_room_among(&self, group: usize) -> bool {
        let end = (group + 1) * GROUP;
        self.slots.free_among(group).is_some() || self.slots.blocks() * BLOCK < end
    }

    pub(in crate::fleet) fn key(&self, slot: usize) -> Option<Key> {
        self.slots.key(slot)
    }

    /// Whether the last tick left something.
    pub(in crate::fleet) fn is_unfinished(&self) -> bool {
        self.is_unfinished && self.count() > 0
    }

    /// Where what happened to one connection since the last look is taken in.
    pub(in crate::fleet) fn facts(&mut self, now: Now) -> Facts<'_> {
        self.columns.facts(&self.config, now.down)
    }

    /// The connection opens now.
    pub(in crate::fleet) fn reopen(&mut self, key: Key, now: Now) {
        let slot = key.index();
        self.columns.restart(slot, now.up);
        if let Some(max_age) = self.max_age {
            let share = Fraction::jittered(0.1, &mut self.rng);
            self.columns.set_age(slot, now.up.after(share.of(max_age)));
        }
        let look = self.note(slot, now, |_, _, _| {});
        self.look_by(slot, look, now);
    }

    /// The ping that was asked for is out from now on. Its id.
    pub(in crate::fleet) fn take_ping(&mut self, key: Key, now: Now) -> PingId {
        let slot = key.index();
        let look = self.note(slot, now, |watches, _, _| watches.ping_taken());
        self.look_by(slot, look, now);
        Self::id(key, self.columns.pings(slot))
    }

    /// The ping that was taken in the period before is out from now on.
    pub(in crate::fleet) fn ping_counts_from_now(&mut self, key: Key, now: Now) {
        if self.is_open(key) {
            let slot = key.index();
            let look = self.note(slot, now, |watches, _, _| watches.ping_counts_from_now());
            self.look_by(slot, look, now);
        }
    }

    /// Convicts this connection, if it is dead by the rules.
    pub(in crate::fleet) fn convict(&mut self, key: Key, now: Now) -> Option<CloseReason> {
        let slot = key.index();
        let (mut open, mut facts) = self.columns.unpack(slot, &self.config, now.down);
        match self.judge(&mut open, &mut facts, now) {
            open::Beat::Dead(reason, _) => {
                let is_missed = reason == CloseReason::PongTimeout;
                self.counters.missed += u64::from(is_missed);
                self.counters.convicted += 1;
                Some(reason)
            }
            _ => None,
        }
    }
}
