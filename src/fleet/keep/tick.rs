//! Who is due.

use super::{Keep, Owners};
use crate::action::CloseReason;
use crate::event::PingId;
use crate::fleet::clock::{Ms, Now};
use crate::fleet::columns::{BLOCK, FAR, Silence};
use crate::fleet::{Beat, Key};
use crate::open::{self, Open, Urgency};
use crate::random::Draw;
use crate::time::{SECOND, Timeline};

/// To look at a block without a branch costs as much as this many looks.
const LOOKS_A_BLOCK: u32 = 8;

/// So many bounds are compared at once.
const SOME: usize = 64;

/// A tick under way.
#[derive(Debug)]
pub(in crate::fleet) struct Scan {
    now: Now,
    looks: u32,
    /// The blocks that are left, and when the first of those seen is due.
    blocks: usize,
    wait: i32,
    block: Option<Block>,
}

/// A block that is looked at: the slots that are left, and what was found.
#[derive(Debug)]
struct Block {
    at: usize,
    left: u32,
    bound: Ms,
}

impl Keep {
    /// A tick begins.
    pub(in crate::fleet) fn scan(&mut self, now: Now, looks: u32) -> Scan {
        let deadline = self.deadline();
        let is_early = deadline.is_none_or(|deadline| now.down < deadline);
        if !self.is_unfinished {
            self.asked = deadline.unwrap_or(now.down);
        }
        self.ticked = now.down;
        self.kept = now.down;
        if !is_early {
            self.is_unfinished = true;
            self.next = Ms(u64::MAX);
        }
        Scan {
            now,
            looks: if is_early { 0 } else { looks },
            blocks: self.slots.blocks(),
            wait: FAR,
            block: None,
        }
    }

    /// The next beat of this tick.
    pub(in crate::fleet) fn beat<O: Owners>(
        &mut self,
        scan: &mut Scan,
        owners: &O,
    ) -> Option<(Key, Beat)> {
        let passed = self.drain_some(scan, owners);
        if let Some(beat) = passed.or_else(|| self.tell_some(scan, owners)) {
            return Some(beat);
        }
        while scan.looks > 0 {
            let Some(block) = &mut scan.block else {
                if !self.find_block(scan, owners) {
                    self.finish(scan);
                    return None;
                }
                continue;
            };
            if block.left == 0 {
                self.leave_block(scan);
                continue;
            }
            let slot = block.at * BLOCK + block.left.trailing_zeros() as usize;
            block.left &= block.left - 1;
            scan.looks -= 1;
            let Some(key) = self.slots.key(slot) else {
                continue;
            };
            let (look, beat) = self.look(key, scan.now, owners);
            if let Some(block) = &mut scan.block {
                block.bound = block.bound.min(look);
            }
            if let Some(beat) = beat {
                return Some((key, beat));
            }
        }
        None
    }

    /// Closes of what is drained as many as should be by now.
    fn drain_some<O: Owners>(&mut self, scan: &mut Scan, owners: &O) -> Option<(Key, Beat)> {
        let mut drain = self.drain?;
        let mut beat = None;
        while scan.looks > 0 && drain.is_due(scan.now.down) {
            let slot = drain.slot;
            if slot >= self.slots.blocks() * BLOCK {
                self.drain = None;
                return None;
            }
            drain.slot += 1;
            scan.looks -= 1;
            let Some(key) = self.slots.key(slot) else {
                continue;
            };
            if owners.has_ended(slot) {
                continue;
            }
            if self.columns.is_new(slot) {
                self.columns.set_new(slot, false);
                continue;
            }
            drain.done += 1;
            self.counters.drained += 1;
            self.leave::<O>(key);
            beat = Some((key, Beat::Close(CloseReason::Drained)));
            break;
        }
        self.drain = Some(drain);
        beat
    }

    /// Tells as many of a change of network as should know by now.
    fn tell_some(&mut self, scan: &mut Scan, owners: &impl Owners) -> Option<(Key, Beat)> {
        let mut news = self.news?;
        let mut beat = None;
        while scan.looks > 0 && news.is_due(scan.now.down) {
            let slot = news.slot;
            if slot >= self.slots.blocks() * BLOCK {
                if scan.now.down >= news.began.after(SECOND) {
                    self.news = None;
                }
                return None;
            }
            news.slot += 1;
            scan.looks -= 1;
            let Some(key) = self.slots.key(slot) else {
                continue;
            };
            news.done += 1;
            let (block, bit) = (slot / BLOCK, 1 << (slot % BLOCK));
            owners.take_in(
                block,
                bit,
                &mut self.columns.facts(&self.config, scan.now.down),
            );
            if owners.held(block) & bit == 0 {
                beat = self.tell(key, scan.now);
            }
            if beat.is_some() {
                break;
            }
        }
        self.news = Some(news);
        beat
    }

    fn tell(&mut self, key: Key, now: Now) -> Option<(Key, Beat)> {
        let slot = key.index();
        let (mut open, mut facts) = self.columns.unpack(slot, &self.config, now.up);
        let mut watches = open.at(&self.config, &mut facts, now.up);
        let beat = match watches.network_changed() {
            Urgency::Ping => {
                let share = Draw::Usual.share(&self.config, &mut self.rng);
                watches.ping(Draw::Usual, share);
                Some((key, Beat::Ping(self.next_id(key))))
            }
            Urgency::Nothing | Urgency::Look(_) => None,
        };
        let look = self.pack(slot, open, facts, now.up);
        self.look_by(slot, look, now);
        beat
    }

    /// Goes on to the next block in which something may be due. Whether there is one.
    fn find_block(&mut self, scan: &mut Scan, owners: &impl Owners) -> bool {
        let now = scan.now.down.packed();
        let wait = |bound: &u32| bound.wrapping_sub(now) as i32;
        while scan.blocks > 0 {
            if self.cursor >= self.bounds.len() {
                self.cursor = 0;
            }
            let ahead = self.bounds.get(self.cursor..).unwrap_or_default();
            let ahead = ahead.get(..scan.blocks).unwrap_or(ahead);
            let some = ahead.get(..SOME).unwrap_or(ahead);
            if some.is_empty() {
                return false;
            }
            let least = some.iter().map(wait).fold(FAR, i32::min);
            if least > 0 {
                scan.wait = scan.wait.min(least);
                scan.blocks -= some.len();
                self.cursor += some.len();
                continue;
            }
            for bound in some {
                let wait = wait(bound);
                if wait <= 0 {
                    break;
                }
                scan.wait = scan.wait.min(wait);
                scan.blocks -= 1;
                self.cursor += 1;
            }
            let taken = self.slots.of_block(self.cursor);
            let mut facts = self.columns.facts(&self.config, scan.now.down);
            owners.take_in(self.cursor, taken, &mut facts);
            let taken = taken & !owners.held(self.cursor);
            let (left, bound) = match self.silence {
                Some(silence) => self
                    .columns
                    .look(self.cursor, taken, silence, scan.now.down),
                None => (taken, Ms(scan.now.down.0 + FAR as u64)),
            };
            scan.looks = scan.looks.saturating_sub(LOOKS_A_BLOCK);
            scan.block = Some(Block {
                at: self.cursor,
                left,
                bound,
            });
            return true;
        }
        false
    }

    fn leave_block(&mut self, scan: &mut Scan) {
        let Some(block) = scan.block.take() else {
            return;
        };
        if let Some(bound) = self.bounds.get_mut(block.at) {
            *bound = block.bound.packed();
            scan.wait = scan
                .wait
                .min(block.bound.packed().wrapping_sub(scan.now.down.packed()) as i32);
        }
        scan.blocks -= 1;
        self.cursor = block.at + 1;
    }

    fn finish(&mut self, scan: &Scan) {
        self.is_unfinished = false;
        let next = scan.now.down.0.saturating_add_signed(i64::from(scan.wait));
        self.next = self.next.min(Ms(next));
        self.shrink();
    }

    /// When to look at a connection again, and what to do about it now.
    fn look<O: Owners>(&mut self, key: Key, now: Now, owners: &O) -> (Ms, Option<Beat>) {
        let slot = key.index();
        let was_out = self.columns.is_out(slot);
        if let Some(silence) = self.silence.filter(|_| was_out) {
            if let Some(look) = self.columns.look_at_probe(slot, silence, now.down) {
                let is_out = self.columns.is_out(slot);
                self.count_probe(was_out, is_out);
                owners.is_alive(slot);
                return (look, None);
            }
        }
        let age = self.columns.age(slot, now.down);
        if age.is_some_and(|age| age <= now.down) {
            self.leave::<O>(key);
            return (Ms(u64::MAX), Some(Beat::Close(CloseReason::MaxAge)));
        }
        self.look_closely(key, now, owners)
    }

    fn look_closely<O: Owners>(&mut self, key: Key, now: Now, owners: &O) -> (Ms, Option<Beat>) {
        let slot = key.index();
        let (mut open, mut facts) = self.columns.unpack(slot, &self.config, now.down);
        let answer = open.answer_due();
        // It is missed in the next tick, when it has had its whole time.
        let is_missed_soon = answer.is_some_and(|due| now.down < due && due <= now.up);
        let silence = self.silence.filter(|_| !self.columns.is_busy(slot));
        let beat = if silence.is_some_and(Silence::is_for_pings) && self.is_in_time(now) {
            open::Beat::Ping(Draw::Usual) // That is why it is looked at.
        } else {
            self.judge(&mut open, &mut facts, now)
        };
        let is_missed = answer.is_some_and(|due| due <= now.down);
        match beat {
            open::Beat::Dead(..) if !owners.is_dead(slot) => {
                return (Ms(now.down.0 + 1).round_up(self.granularity), None);
            }
            open::Beat::Dead(reason, _) => {
                self.counters.missed += u64::from(is_missed);
                self.counters.convicted += 1;
                self.leave::<O>(key);
                return (Ms(u64::MAX), Some(Beat::Close(reason)));
            }
            open::Beat::Ping(_) => self.counters.missed += u64::from(is_missed),
            open::Beat::Wait => {}
        }
        owners.is_alive(slot);
        match beat {
            open::Beat::Ping(draw) if !is_missed_soon => {
                let share = draw.share(&self.config, &mut self.rng);
                open.at(&self.config, &mut facts, now.up).ping(draw, share);
                let look = self.pack(slot, open, facts, now.up);
                (look, Some(Beat::Ping(self.next_id(key))))
            }
            _ => {
                let look = self.pack(slot, open, facts, now.down);
                (look, None)
            }
        }
    }

    /// What is due by the rules.
    pub(super) fn judge(
        &self,
        open: &mut Open<Ms>,
        facts: &mut open::Facts<Ms>,
        now: Now,
    ) -> open::Beat<Ms> {
        let mut watches = open.at(&self.config, facts, now.down);
        let asked = if self.is_in_time(now) {
            now.down
        } else {
            watches.next_look().round_up(self.granularity)
        };
        watches.tick(asked.max(self.settled))
    }

    /// Whether nothing that is due can be late.
    fn is_in_time(&self, now: Now) -> bool {
        now.down <= self.asked.after(self.config.late_tolerance())
    }

    /// A connection ended.
    fn leave<O: Owners>(&mut self, key: Key) {
        if O::LEAVE_AT_ONCE {
            self.free(key);
        }
    }

    /// Counts a ping.
    fn next_id(&mut self, key: Key) -> PingId {
        self.counters.pings += 1;
        Self::id(key, self.columns.count_ping(key.index()))
    }
}
