//! The connections of a fleet, in its own time: what happens to them, and who is due.

#[cfg(all(feature = "async", feature = "std"))]
mod members;
mod tick;

use alloc::vec::Vec;
use core::time::Duration;

pub(super) use tick::Scan;

use super::clock::{Ms, Now};
use super::columns::{BLOCK, Columns, FAR, Facts, OLDEST, Silence, resize};
use super::slots::Slots;
use super::{Counters, Key};
use crate::config::Config;
use crate::event::{Epoch, PingId};
use crate::open::{self, Open, Watches};
use crate::random::{Draw, Fraction, Rng};
use crate::rtt::RoundTrip;
use crate::time::{SECOND, Timeline};

/// So many connections are looked at in one tick.
pub(super) const BUDGET: u32 = 2048;

/// After so long without a tick all times are brought up to what can be told: 5 days, in
/// milliseconds. A look leaves none that is older than a week, and 12 days can be told.
const AWAY: u64 = 5 * 24 * 3_600_000;

/// Who holds the connections, where that is not the caller alone.
pub(super) trait Owners {
    /// A connection that ends leaves; else it stays until its owner leaves.
    const LEAVE_AT_ONCE: bool;

    /// Takes in what the owners of a block have noted.
    fn take_in(&self, block: usize, taken: u32, keep: &mut Facts<'_>);

    /// The connections of a block that nobody is to look at now.
    fn held(&self, block: usize) -> u32;

    /// Whether this connection has ended, and only its owner has not left.
    fn has_ended(&self, slot: usize) -> bool;

    /// By the rules this connection is dead. Whether it may be convicted now.
    fn is_dead(&self, slot: usize) -> bool;

    /// By the rules it is not.
    fn is_alive(&self, slot: usize);
}

/// The caller holds all keys, and has read what there was before the tick.
pub(super) struct Caller;

impl Owners for Caller {
    const LEAVE_AT_ONCE: bool = true;

    fn take_in(&self, _: usize, _: u32, _: &mut Facts<'_>) {}

    fn held(&self, _: usize) -> u32 {
        0
    }

    fn has_ended(&self, _: usize) -> bool {
        false
    }

    fn is_dead(&self, _: usize) -> bool {
        true
    }

    fn is_alive(&self, _: usize) {}
}

#[derive(Debug)]
pub(super) struct Keep {
    config: Config,
    /// Where these settings watch silence and nothing else.
    silence: Option<Silence>,
    max_age: Option<Duration>,
    has_trips: bool,
    /// Deadlines are multiples of so many milliseconds.
    pub(super) granularity: u64,
    columns: Columns,
    slots: Slots,
    /// When the first connection of a block may be due.
    bounds: Vec<u32>,
    /// No connection is due before.
    next: Ms,
    /// Where the next tick begins, and whether the last one left something.
    cursor: usize,
    is_unfinished: bool,
    ticked: Ms,
    /// All that was kept then is in the last days before, or in the days since.
    kept: Ms,
    /// When the tick was asked for that looks at all.
    asked: Ms,
    /// What is overdue since other settings are in force is late from here on only.
    settled: Ms,
    drain: Option<Pass>,
    news: Option<Pass>,
    rng: Rng,
    counters: Counters,
}

/// Something that is done to all connections of a time, evenly over some time.
#[derive(Clone, Copy, Debug)]
struct Pass {
    began: Ms,
    millis: u64,
    /// How many there are to do, and how many are done.
    all: usize,
    done: usize,
    slot: usize,
}

impl Pass {
    fn is_due(&self, now: Ms) -> bool {
        let elapsed = now.0.saturating_sub(self.began.0);
        let due = if elapsed >= self.millis {
            usize::MAX
        } else {
            (self.all as u128 * u128::from(elapsed) / u128::from(self.millis)) as usize + 1
        };
        self.done < due
    }

    /// How long it waits between two steps: a twentieth, or what `step` says.
    fn step(&self, step: u64) -> u64 {
        (self.millis / 20).clamp(1, step.max(1))
    }
}

/// When a connection is too old that begins now: a crowd does not end at once.
fn end_of_age(max_age: Duration, now: Now, rng: &mut Rng) -> Ms {
    now.up.after(Fraction::jittered(0.1, rng).of(max_age))
}

impl Keep {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        let mut keep = Self {
            silence: Silence::alone(&config),
            config,
            max_age: None,
            has_trips: false,
            granularity: 1,
            columns: Columns::default(),
            slots: Slots::default(),
            bounds: Vec::new(),
            next: Ms(u64::MAX),
            cursor: 0,
            is_unfinished: false,
            ticked: Ms::ORIGIN,
            kept: Ms::ORIGIN,
            asked: Ms::ORIGIN,
            settled: Ms::ORIGIN,
            drain: None,
            news: None,
            rng: Rng::new(seed),
            counters: Counters::default(),
        };
        keep.columns.add_for(&config, false, Ms::ORIGIN);
        keep
    }

    /// Keeps round trips from now on.
    pub(super) fn keep_trips(&mut self, now: Ms) {
        self.has_trips = true;
        self.columns.add_for(&self.config, true, now);
    }

    /// Ends connections that are older; for those that are open, from now on.
    pub(super) fn limit_age(&mut self, max_age: Option<Duration>, now: Now) {
        self.max_age = max_age;
        let rng = &mut self.rng;
        let draw = max_age.map(|max_age| move || end_of_age(max_age, now, rng));
        self.columns.keep_age(draw);
        self.look_at_all(now);
    }

    /// Looks at all connections in the next tick.
    pub(super) fn look_at_all(&mut self, now: Now) {
        self.bounds.fill(now.down.packed());
        self.next = now.down;
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn count(&self) -> usize {
        self.slots.count()
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            open: self.count(),
            ..self.counters
        }
    }

    #[inline]
    pub(super) fn is_open(&self, key: Key) -> bool {
        self.slots.is_open(key)
    }

    pub(super) fn round_trip(&self, key: Key) -> Option<RoundTrip> {
        let is_open = self.is_open(key);
        is_open.then(|| self.columns.round_trip(key.index()))?
    }

    pub(super) fn bytes(&self) -> usize {
        self.columns.bytes() + self.slots.bytes() + self.bounds.capacity() * 4
    }

    /// When to tick.
    pub(super) fn deadline(&self) -> Option<Ms> {
        if self.count() == 0 {
            return None;
        }
        if self.is_unfinished {
            return Some(self.ticked);
        }
        let next = self.next.max(self.ticked.after(Duration::from_nanos(1)));
        let mut next = next.round_up(self.granularity);
        for pass in [self.drain, self.news].into_iter().flatten() {
            let step = pass.step(self.granularity);
            next = next.min(Ms(self.ticked.0.max(pass.began.0) + 1).round_up(step));
        }
        Some(next)
    }

    pub(super) fn open(&mut self, now: Now) -> Option<Key> {
        let slot = match self.slots.lowest_free() {
            Some(slot) => slot,
            None => self.grow(now)?,
        };
        self.open_in(slot, now)
    }

    fn open_in(&mut self, slot: usize, now: Now) -> Option<Key> {
        let key = self.slots.take(slot)?;
        let (open, facts) = Open::new(
            &self.config,
            |draw| draw.share(&self.config, &mut self.rng),
            now.up,
        );
        self.columns.clear(slot);
        if let Some(max_age) = self.max_age {
            let due = end_of_age(max_age, now, &mut self.rng);
            self.columns.set_age(slot, due);
        }
        let is_later = self.drain.is_some_and(|drain| drain.slot <= slot);
        self.columns.set_new(slot, is_later);
        let look = self.pack(slot, open, facts, now.up);
        self.look_by(slot, look, now);
        Some(key)
    }

    /// A block more, and its first slot.
    fn grow(&mut self, now: Now) -> Option<usize> {
        let block = self.slots.blocks();
        let slots = (block + 1) * BLOCK;
        u32::try_from(slots).ok()?;
        self.slots.grow();
        self.columns.resize(slots);
        resize(&mut self.bounds, block + 1);
        if let Some(bound) = self.bounds.get_mut(block) {
            *bound = now.down.packed().wrapping_add(FAR as u32);
        }
        self.slots.lowest_free()
    }

    /// Keeps what is known of a connection. Returns when to look at it.
    fn pack(&mut self, slot: usize, mut open: Open<Ms>, mut facts: open::Facts<Ms>, now: Ms) -> Ms {
        let was_out = self.columns.is_out(slot);
        self.columns.pack(slot, &open, &facts, &self.config, now);
        let is_out = self.columns.is_out(slot);
        self.count_probe(was_out, is_out);
        let probed = match self.silence {
            Some(silence) if is_out => self.columns.look_at_probe(slot, silence, now),
            _ => None,
        };
        let look = match probed {
            Some(look) => look,
            None => open.at(&self.config, &mut facts, now).next_look(),
        };
        // What is overdue is asked for 1 ms later.
        let look = look.max(Ms(now.0 + 1));
        self.columns
            .age(slot, now)
            .map_or(look, |age| look.min(age))
    }

    fn count_probe(&mut self, was_out: bool, is_out: bool) {
        match (was_out, is_out) {
            (false, true) => self.counters.probing += 1,
            (true, false) => self.counters.probing = self.counters.probing.saturating_sub(1),
            _ => {}
        }
    }

    /// Asks for a look at this slot, unless one is asked for that is no later.
    fn look_by(&mut self, slot: usize, look: Ms, now: Now) {
        if let Some(bound) = self.bounds.get_mut(slot / BLOCK) {
            if look < now.down.near(*bound) {
                *bound = look.packed();
            }
        }
        self.next = self.next.min(look);
    }

    /// A fact that is rare. Returns when to look; it is not asked for.
    fn note(
        &mut self,
        slot: usize,
        now: Now,
        fact: impl FnOnce(&mut Watches<'_, Ms>, &Config, &mut Rng),
    ) -> Ms {
        let (mut open, mut facts) = self.columns.unpack(slot, &self.config, now.up);
        let mut watches = open.at(&self.config, &mut facts, now.up);
        fact(&mut watches, &self.config, &mut self.rng);
        self.pack(slot, open, facts, now.up)
    }

    #[inline]
    pub(super) fn received(&mut self, key: Key, stamp: u32) -> bool {
        let is_open = self.is_open(key);
        if is_open && !self.config.strict_pongs() {
            self.columns.note_received(key.index(), stamp);
        }
        is_open
    }

    pub(super) fn message(&mut self, key: Key, stamp: u32, now: Now) -> bool {
        let is_open = self.received(key, stamp);
        if is_open {
            self.columns.note_message(key.index(), now.up);
        }
        is_open
    }

    #[inline]
    pub(super) fn sent(&mut self, key: Key, now: Now) -> bool {
        if !self.is_open(key) {
            return false;
        }
        if !self.config.always_ping() {
            self.columns.note_sent(key.index(), now.up);
        }
        if let Some(within) = self.config.confirm_within() {
            if self.columns.note_doubt(key.index(), now.up) {
                self.look_by(key.index(), now.up.after(within), now);
            }
        }
        true
    }

    pub(super) fn pong(&mut self, key: Key, id: PingId, now: Now) -> bool {
        let is_open = self.is_open(key);
        if is_open {
            let age = self.age(key, id);
            self.note(key.index(), now, |watches, _, _| watches.pong(age));
        }
        is_open
    }

    pub(super) fn draining(&mut self, key: Key, now: Now) -> bool {
        let is_open = self.is_open(key);
        if is_open && self.columns.is_unsent(key.index()) {
            self.note(key.index(), now, |watches, _, _| watches.draining());
        }
        is_open
    }

    pub(super) fn ping_sent(&mut self, key: Key, id: PingId, now: Now) -> bool {
        let is_open = self.is_open(key);
        if is_open && self.columns.is_unsent(key.index()) {
            let age = self.age(key, id);
            self.note(key.index(), now, |watches, _, _| watches.ping_sent(age));
        }
        is_open
    }

    pub(super) fn healthy(&mut self, key: Key, now: Now) -> bool {
        let is_open = self.is_open(key);
        if is_open && self.columns.is_login_awaited(key.index()) {
            let look = self.note(key.index(), now, |watches, config, rng| {
                watches.healthy(|draw| draw.share(config, rng));
            });
            self.look_by(key.index(), look, now);
        }
        is_open
    }

    pub(super) fn remove(&mut self, key: Key) -> bool {
        let is_open = self.is_open(key);
        if is_open {
            self.free(key);
            self.shrink();
        }
        is_open
    }

    fn free(&mut self, key: Key) {
        let was_out = self.columns.is_out(key.index());
        self.count_probe(was_out, false);
        self.columns.clear(key.index());
        self.slots.free(key);
    }

    fn shrink(&mut self) {
        if let Some(blocks) = self.slots.shrink() {
            self.columns.resize(blocks * BLOCK);
            resize(&mut self.bounds, blocks);
        }
    }

    /// The id of the ping with this number.
    fn id(key: Key, number: u16) -> PingId {
        let epoch = u32::from(key.generation) << 16 | key.slot & 0xffff;
        PingId::new(Epoch(epoch), u32::from(number))
    }

    /// How many pings ago this one was sent, if on this connection.
    fn age(&self, key: Key, id: PingId) -> Option<u32> {
        let number = u16::try_from(id.sequence()).ok()?;
        let age = self.columns.pings(key.index()).wrapping_sub(number);
        (Self::id(key, number) == id).then_some(u32::from(age))
    }

    pub(super) fn network_changed(&mut self, now: Now) {
        let is_young = |news: Pass| now.down < news.began.after(SECOND);
        if self.config.listen_only() || self.news.is_some_and(is_young) {
            return;
        }
        self.news = Some(self.pass(now, SECOND));
    }

    pub(super) fn drain(&mut self, over: Duration, now: Now) {
        if self.drain.is_some() {
            for slot in 0..self.slots.blocks() * BLOCK {
                self.columns.set_new(slot, false);
            }
        }
        self.drain = Some(self.pass(now, over));
    }

    fn pass(&self, now: Now, over: Duration) -> Pass {
        Pass {
            began: now.up,
            millis: Ms::of(over),
            all: self.count(),
            done: 0,
            slot: 0,
        }
    }

    /// Other settings are in force from now on.
    pub(super) fn reconfigure(&mut self, config: Config, granularity: u64, now: Now) {
        let before = core::mem::replace(&mut self.config, config);
        self.granularity = granularity;
        self.silence = Silence::alone(&config);
        self.settled = now.up.after(Duration::from_millis(1));
        let has_trips = self.has_trips;
        self.columns.add_for(&config, has_trips, now.up);
        self.bounds.fill(now.down.packed().wrapping_add(FAR as u32));
        self.next = Ms(u64::MAX);
        for slot in 0..self.slots.blocks() * BLOCK {
            if self.slots.key(slot).is_none() {
                continue;
            }
            let (mut open, mut facts) = self.columns.unpack(slot, &before, now.up);
            let share = |draw: Draw| draw.share(&config, &mut self.rng);
            let mut watches = open.at(&config, &mut facts, now.up);
            watches.reconfigure(&before, share);
            let look = self.pack(slot, open, facts, now.up);
            self.look_by(slot, look, now);
        }
        self.columns.drop_but_for(&config, has_trips);
    }

    /// Time goes on to this instant. What was kept long ago is kept as of an age that can
    /// be told.
    #[inline]
    pub(super) fn advance(&mut self, now: Now) {
        if now.down.0.saturating_sub(self.kept.0) > AWAY {
            self.bring_up(now.down);
        }
    }

    #[cold]
    fn bring_up(&mut self, now: Ms) {
        let oldest = now.before(OLDEST);
        for slot in 0..self.slots.blocks() * BLOCK {
            self.columns.bring_up(slot, self.kept, oldest);
        }
        for bound in &mut self.bounds {
            *bound = oldest.packed();
        }
        self.next = oldest;
        self.kept = now;
    }
}
