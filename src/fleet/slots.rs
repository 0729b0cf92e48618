//! Which slots are taken, and which is the lowest that is free.

use alloc::vec::Vec;

use super::Key;
use super::columns::BLOCK;

/// As many blocks as a word has bits.
const BLOCKS: usize = 32;

/// The slots of these blocks.
#[cfg(all(feature = "async", feature = "std"))]
pub(super) const GROUP: usize = BLOCKS * BLOCK;

/// The last generation of a slot, which is retired with it.
const LAST: u16 = u16::MAX - 1;

#[derive(Debug, Default)]
pub(super) struct Slots {
    /// A bit for each slot of a block: it is taken, or retired.
    taken: Vec<u32>,
    /// A bit for each of the blocks of a group: it is full.
    full: Vec<u32>,
    /// No slot of the words of `full` before this one is free.
    free_from: usize,
    /// Odd while the slot is taken. They outlive the rest, so that an old key is known.
    generations: Vec<u16>,
    count: usize,
}

impl Slots {
    /// How many connections there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn blocks(&self) -> usize {
        self.taken.len()
    }

    #[inline]
    pub(super) fn is_open(&self, key: Key) -> bool {
        self.generations.get(key.slot as usize) == Some(&key.generation)
    }

    /// The key of the connection in this slot, where there is one.
    pub(super) fn key(&self, slot: usize) -> Option<Key> {
        let generation = *self.generations.get(slot)?;
        (generation % 2 == 1).then_some(Key {
            slot: slot as u32,
            generation,
        })
    }

    /// The lowest free slot; `None` where a block is needed.
    pub(super) fn lowest_free(&mut self) -> Option<usize> {
        let from = self.free_from;
        let words = self.full.iter().enumerate().skip(from);
        let (at, full) = words.into_iter().find(|(_, full)| **full != u32::MAX)?;
        self.free_from = at;
        let block = at * BLOCKS + full.trailing_ones() as usize;
        let taken = self.taken.get(block)?;
        Some(block * BLOCK + taken.trailing_ones() as usize)
    }

    /// The lowest free slot of a group; `None` where it is full, as far as it exists.
    #[cfg(all(feature = "async", feature = "std"))]
    pub(super) fn free_among(&self, group: usize) -> Option<usize> {
        let full = self.full.get(group)?;
        let block = group * BLOCKS + full.trailing_ones() as usize;
        let taken = self.taken.get(block)?;
        (block / BLOCKS == group).then(|| block * BLOCK + taken.trailing_ones() as usize)
    }

    /// Takes a slot that is free.
    pub(super) fn take(&mut self, slot: usize) -> Option<Key> {
        let generation = self.generations.get_mut(slot)?;
        *generation += 1;
        self.mark(slot, true);
        self.count += 1;
        self.key(slot)
    }

    /// Frees the slot of this connection; for good, where its generations are used up.
    pub(super) fn free(&mut self, key: Key) {
        let slot = key.slot as usize;
        let Some(generation) = self.generations.get_mut(slot) else {
            return;
        };
        *generation += 1;
        self.count -= 1;
        if *generation < LAST {
            self.mark(slot, false);
        }
    }

    fn mark(&mut self, slot: usize, is_taken: bool) {
        let block = slot / BLOCK;
        let Some(taken) = self.taken.get_mut(block) else {
            return;
        };
        set_bit(taken, slot, is_taken);
        let is_full = *taken == u32::MAX;
        if let Some(full) = self.full.get_mut(block / BLOCKS) {
            set_bit(full, block, is_full);
        }
        if !is_taken {
            self.free_from = self.free_from.min(block / BLOCKS);
        }
    }

    /// Adds a block at the end.
    pub(super) fn grow(&mut self) {
        let block = self.taken.len();
        let slots = (block + 1) * BLOCK;
        if self.generations.len() < slots {
            super::columns::resize(&mut self.generations, slots);
        }
        // No block is given back of which a slot is retired.
        self.taken.push(0);
        if block % BLOCKS == 0 {
            self.full.push(0);
        }
    }

    /// Gives blocks at the end back that nobody uses. How many are left, if any were.
    pub(super) fn shrink(&mut self) -> Option<usize> {
        let used = self.taken.iter().rposition(|taken| *taken != 0);
        let blocks = used.map_or(0, |last| last + 1);
        if blocks == self.taken.len() {
            return None;
        }
        super::columns::resize(&mut self.taken, blocks);
        super::columns::resize(&mut self.full, blocks.div_ceil(BLOCKS));
        Some(blocks)
    }

    /// The taken slots of a block, as bits; a retired slot may be among them.
    pub(super) fn of_block(&self, block: usize) -> u32 {
        self.taken.get(block).copied().unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> usize {
        (self.taken.capacity() + self.full.capacity()) * 4 + self.generations.capacity() * 2
    }
}

fn set_bit(word: &mut u32, bit: usize, is_set: bool) {
    let mask = 1 << (bit % 32);
    if is_set {
        *word |= mask;
    } else {
        *word &= !mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(slots: &mut Slots) -> Key {
        let slot = slots.lowest_free().unwrap_or_else(|| {
            slots.grow();
            slots.lowest_free().unwrap()
        });
        slots.take(slot).unwrap()
    }

    #[test]
    fn the_lowest_free_slot_is_taken_first() {
        let mut slots = Slots::default();
        let keys: Vec<_> = (0..5000).map(|_| open(&mut slots)).collect();
        assert!(keys.iter().enumerate().all(|(at, key)| key.index() == at));
        for at in [4999, 1500, 40] {
            slots.free(keys[at]);
        }
        assert_eq!(
            [open(&mut slots), open(&mut slots)].map(Key::index),
            [40, 1500]
        );
        assert!(!slots.is_open(keys[40]));
        assert_eq!(slots.count(), 4999);
    }

    #[test]
    fn blocks_at_the_end_are_given_back_and_keys_stay_old() {
        let mut slots = Slots::default();
        let keys: Vec<_> = (0..200).map(|_| open(&mut slots)).collect();
        for &key in keys.iter().skip(33) {
            slots.free(key);
        }
        assert_eq!(slots.shrink(), Some(2));
        assert_eq!(slots.shrink(), None);
        let again: Vec<_> = (0..167).map(|_| open(&mut slots)).collect();
        assert_eq!(again[166].index(), 199);
        assert!(!slots.is_open(keys[199]) && slots.is_open(again[166]));
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut slots = Slots::default();
        let first = open(&mut slots);
        slots.free(first);
        let mut times = 1;
        loop {
            let key = open(&mut slots);
            if key.index() != 0 {
                assert_eq!(key.index(), 1);
                slots.free(key);
                break;
            }
            assert!(key != first && !slots.is_open(first));
            slots.free(key);
            times += 1;
        }
        assert_eq!(times, 32_767);
        assert_eq!(slots.count(), 0);
        assert_eq!(slots.key(0), None);
    }
}
