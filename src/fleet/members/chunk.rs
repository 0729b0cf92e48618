//! What a member and the ticker share without a lock: stamps and flags of a slot; and
//! the waker of its task, behind a lock that is held for a store alone.

use alloc::boxed::Box;
use core::array;
use core::task::Waker;

use super::sync::{AtomicU16, AtomicU32, Mutex, OnceLock, Ordering, lock};

/// The slots of a chunk.
pub(super) const SLOTS: usize = super::sync::SLOTS;
/// The slots whose wakers have a lock together.
const LOCKED: usize = super::sync::LOCKED;

/// What a member is to be told, or waits for. Set and cleared under the lock of the
/// fleet, but for [`UNREGISTERED`].
pub(super) mod flag {
    /// A ping was asked for, and not taken.
    pub(in super::super) const PING: u16 = 1;
    /// By the rules it is dead, and is asked to read first.
    pub(in super::super) const ASKED: u16 = 1 << 1;
    /// It was polled since, and the next tick may speak the verdict.
    pub(in super::super) const POLLED: u16 = 1 << 2;
    /// The verdict is spoken when it is polled.
    pub(in super::super) const SPOKEN: u16 = 1 << 3;
    pub(in super::super) const DRAINED: u16 = 1 << 4;
    pub(in super::super) const AGED: u16 = 1 << 5;
    /// It knows that it has ended.
    pub(in super::super) const ENDED: u16 = 1 << 6;
    /// Nobody ticks any more.
    pub(in super::super) const UNATTENDED: u16 = 1 << 7;
    /// No tick has seen it.
    pub(in super::super) const JOINING: u16 = 1 << 8;
    /// Its waker was taken.
    pub(in super::super) const UNREGISTERED: u16 = 1 << 9;
    /// A message was sent since the last ping, and the ticker knows.
    pub(in super::super) const DOUBT: u16 = 1 << 10;

    pub(in super::super) const VERDICT: u16 = ASKED | POLLED | SPOKEN;
    /// For these a poll has something to do.
    pub(in super::super) const TO_DO: u16 =
        PING | ASKED | SPOKEN | DRAINED | AGED | ENDED | UNATTENDED | UNREGISTERED;
    /// With one of these nobody looks at it.
    pub(in super::super) const HELD: u16 = PING | DRAINED | AGED | ENDED | JOINING;
}

/// The last bit of a stamp that is not taken in yet; without it there is none.
const FRESH: u32 = 1;

/// The stamps that a member has noted.
#[derive(Clone, Copy)]
pub(super) struct Noted {
    pub(super) received: Option<u32>,
    pub(super) sent: Option<u32>,
    pub(super) message: Option<u32>,
}

pub(super) struct Chunk {
    received: [AtomicU32; SLOTS],
    sent: [AtomicU32; SLOTS],
    /// Where messages are watched.
    messages: OnceLock<Box<[AtomicU32; SLOTS]>>,
    flags: [AtomicU16; SLOTS],
    wakers: [Mutex<[Option<Waker>; LOCKED]>; SLOTS / LOCKED],
}

impl Chunk {
    pub(super) fn new() -> Self {
        Self {
            received: array::from_fn(|_| AtomicU32::new(0)),
            sent: array::from_fn(|_| AtomicU32::new(0)),
            messages: OnceLock::new(),
            flags: array::from_fn(|_| AtomicU16::new(0)),
            wakers: array::from_fn(|_| Mutex::new([const { None }; LOCKED])),
        }
    }

    #[inline]
    pub(super) fn note_received(&self, slot: usize, stamp: u32) {
        if let Some(received) = self.received.get(slot % SLOTS) {
            received.store(stamp, Ordering::Relaxed);
        }
    }

    /// Watches messages from now on.
    pub(super) fn watch_messages(&self) {
        let new = || Box::new(array::from_fn(|_| AtomicU32::new(0)));
        self.messages.get_or_init(new);
    }

    #[inline]
    pub(super) fn note_message(&self, slot: usize, stamp: u32) {
        self.note_received(slot, stamp);
        let messages = self.messages.get();
        if let Some(message) = messages.and_then(|them| them.get(slot % SLOTS)) {
            message.store(stamp, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn take_message(&self, slot: usize) -> Option<u32> {
        take(self.messages.get()?.get(slot % SLOTS)?)
    }

    #[inline]
    pub(super) fn note_sent(&self, slot: usize, stamp: u32) {
        if let Some(sent) = self.sent.get(slot % SLOTS) {
            sent.store(stamp, Ordering::Relaxed);
        }
    }

    /// The last stamp, once.
    #[inline]
    pub(super) fn take_received(&self, slot: usize) -> Option<u32> {
        take(self.received.get(slot % SLOTS)?)
    }

    #[inline]
    pub(super) fn take_sent(&self, slot: usize) -> Option<u32> {
        take(self.sent.get(slot % SLOTS)?)
    }

    /// What was noted, once.
    #[inline]
    pub(super) fn take_noted(&self, slot: usize) -> Noted {
        Noted {
            message: self.take_message(slot),
            received: self.take_received(slot),
            sent: self.take_sent(slot),
        }
    }

    /// What was noted; it stays.
    pub(super) fn noted(&self, slot: usize) -> Noted {
        let at = slot % SLOTS;
        Noted {
            message: self.messages.get().and_then(|them| read(them.get(at)?)),
            received: self.received.get(at).and_then(read),
            sent: self.sent.get(at).and_then(read),
        }
    }

    #[inline]
    pub(super) fn flags(&self, slot: usize) -> u16 {
        let flags = self.flags.get(slot % SLOTS);
        flags.map_or(0, |flags| flags.load(Ordering::Acquire))
    }

    #[inline]
    pub(super) fn has(&self, slot: usize, flags: u16) -> bool {
        self.flags(slot) & flags != 0
    }

    pub(super) fn set(&self, slot: usize, more: u16) {
        if let Some(flags) = self.flags.get(slot % SLOTS) {
            flags.fetch_or(more, Ordering::AcqRel);
        }
    }

    pub(super) fn clear(&self, slot: usize, less: u16) {
        if let Some(flags) = self.flags.get(slot % SLOTS) {
            flags.fetch_and(!less, Ordering::AcqRel);
        }
    }

    /// Makes the slot as new. What is left of the one before is returned, to be dropped
    /// without a lock.
    pub(super) fn reset(&self, slot: usize, flags: u16) -> Option<Waker> {
        let _ = (
            self.take_received(slot),
            self.take_sent(slot),
            self.take_message(slot),
        );
        let waker = self.swap_waker(slot, None);
        if let Some(all) = self.flags.get(slot % SLOTS) {
            all.store(flags, Ordering::Release);
        }
        waker
    }

    /// Whether the member has nothing to do, and this waker is the one that it
    /// registered.
    #[inline]
    pub(super) fn is_quiet(&self, slot: usize, known: &Option<Waker>, waker: &Waker) -> bool {
        !self.has(slot, flag::TO_DO) && is_known(known, waker)
    }

    /// Whether the member has something to do. What comes from here on wakes this waker.
    pub(super) fn has_to_do(&self, slot: usize, known: &mut Option<Waker>, waker: &Waker) -> bool {
        if !is_known(known, waker) || self.has(slot, flag::UNREGISTERED) {
            *known = Some(waker.clone());
            drop(self.swap_waker(slot, Some(waker.clone())));
        }
        self.has(slot, flag::TO_DO)
    }

    /// By the rules the member is dead. Whether to wake it: to be asked, or to be told.
    pub(super) fn accuse(&self, slot: usize) -> bool {
        let flags = self.flags(slot);
        if flags & flag::VERDICT == 0 {
            self.set(slot, flag::ASKED);
            return true;
        }
        let was_polled = flags & flag::POLLED != 0;
        if was_polled {
            self.clear(slot, flag::POLLED);
            self.set(slot, flag::SPOKEN);
        }
        was_polled
    }

    /// By the rules the member is not dead.
    pub(super) fn acquit(&self, slot: usize) {
        if self.has(slot, flag::VERDICT) {
            self.clear(slot, flag::VERDICT);
        }
    }

    /// The member is polled, so it has read what there was.
    pub(super) fn note_polled(&self, slot: usize) {
        if self.has(slot, flag::ASKED) {
            self.clear(slot, flag::ASKED);
            self.set(slot, flag::POLLED);
        }
    }

    /// Whom to wake, once: without a lock.
    pub(super) fn take_waker(&self, slot: usize) -> Option<Waker> {
        self.swap_waker(slot, None)
    }

    fn swap_waker(&self, slot: usize, waker: Option<Waker>) -> Option<Waker> {
        let slot = slot % SLOTS;
        let wakers = self.wakers.get(slot / LOCKED)?;
        let mut wakers = lock(wakers);
        if waker.is_some() {
            self.clear(slot, flag::UNREGISTERED);
        } else {
            self.set(slot, flag::UNREGISTERED);
        }
        core::mem::replace(wakers.get_mut(slot % LOCKED)?, waker)
    }
}

#[inline]
fn is_known(known: &Option<Waker>, waker: &Waker) -> bool {
    known.as_ref().is_some_and(|known| known.will_wake(waker))
}

#[inline]
fn read(stamp: &AtomicU32) -> Option<u32> {
    let stamp = stamp.load(Ordering::Relaxed);
    (stamp & FRESH != 0).then_some(stamp)
}

/// A stamp that comes meanwhile is not lost: it is taken now or stays.
#[inline]
fn take(stamp: &AtomicU32) -> Option<u32> {
    read(stamp)?;
    Some(stamp.swap(0, Ordering::Relaxed))
}
