//! A fleet that all tasks of a process share.

mod chunk;
mod late;
mod run;
mod sync;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::available_parallelism;

use chunk::{Chunk, Noted, flag};
use late::Late;
use sync::{AtomicU32, Mutex, MutexGuard, Ordering, lock};

use super::clock::{Ms, Now};
use super::columns::{BLOCK, Facts};
use super::keep::{Keep, Owners};
use super::slots::GROUP;
use super::{
    Beat, Counters, Key, check, check_granularity, default_granularity, granularity_for, millis,
};
use crate::action::CloseReason;
use crate::config::Config;
use crate::error::ConfigError;
use crate::event::PingId;
use crate::time::LONGEST;

pub use run::AlreadyRunning;

/// The heartbeats of many connections, each of which is a task of its own: clone it, and
/// [`join`](Self::join) in each.
///
/// One task [runs](Self::run) it, which is the only timer of them all. It follows the
/// rules of a [`Fleet`](super::Fleet), and what a member reports is one store, without a
/// lock and without a look at a clock:
///
/// ```
/// # #[cfg(feature = "tokio")]
/// # async fn serve(mut socket: impl futures_core::Stream<Item = String> + Unpin) {
/// use keepalive::Config;
/// use keepalive::fleet::{Beat, Members};
/// use keepalive::tokio::Timer;
/// # use core::future::poll_fn;
/// # use core::pin::Pin;
/// # fn ping(_: [u8; 8]) {}
/// # fn close(_: keepalive::Manner) {}
///
/// # let seed = 42;
/// let members = Members::new(Config::default(), seed);
/// tokio::spawn(members.clone().run(Timer::new()));
///
/// // In the task of a connection:
/// let Some(mut member) = members.join() else {
///     return; // four billion are there
/// };
/// loop {
///     let message = poll_fn(|context| Pin::new(&mut socket).poll_next(context));
///     tokio::select! {
///         message = message => match message {
///             Some(message) => { member.received(); drop(message) }
///             None => break,
///         },
///         beat = member.next() => match beat {
///             Beat::Ping(id) => ping(id.to_bytes()),
///             Beat::Close(reason) => break close(reason.manner()),
///             _ => {} // nobody runs the fleet any more
///         },
///     }
/// }
/// # }
/// ```
///
/// # What is in time
///
/// While there are members, a tick comes each [granularity](Self::with_granularity), and
/// what a member reports counts as of the end of the period between two ticks in which
/// it does; where that tick comes late, as of that late one. So a watch is never shorter
/// than it says, and longer by two periods, an eighth of one and the lateness at most:
/// one until what is noted counts, and one until a tick looks.
/// Round trips, which only an adaptive timeout uses here, are as coarse as that.
///
/// A ping is out from when [`Member::next`] returned it: until then no answer is missed,
/// no other ping is asked for and no verdict falls.
///
/// A dead member is asked first: it is woken, so that its task reads what has come. Once
/// it was polled, and another tick has found it as silent, its next poll returns
/// [`Beat::Close`]: two periods later at most, if it is polled when it is woken. A member
/// that is not polled is not convicted.
///
/// Until somebody runs it, time stands still: nobody gets a ping or is convicted.
#[derive(Clone)]
pub struct Members {
    shared: Arc<Shared>,
}

struct Shared {
    published: Published,
    state: Mutex<State>,
}

/// In cache lines of its own, since all members read it, and one task writes it.
#[repr(align(128))]
struct Published {
    /// The end of this period, as a stamp.
    stamp: AtomicU32,
    /// Whether the first message after a ping is to be told at once.
    tells_doubts: AtomicBool,
}

struct State {
    keep: Keep,
    chunks: Vec<Arc<Chunk>>,
    /// The group in which the members of some of the threads have their slots, so that
    /// two threads do not write to one cache line.
    homes: Vec<Option<usize>>,
    /// The slots of those who joined since the last tick.
    joining: Vec<u32>,
    /// Those whose pings were taken in this period.
    taken: Vec<Key>,
    late: Late,
    /// When this period began, and when it ends: after all that the ticker has seen.
    now: Now,
    /// As asked for; else by the settings.
    granularity: Option<Duration>,
    is_running: bool,
    /// Who runs it, while there is nobody to run it for.
    runner: Option<Waker>,
}

/// A place among [`Members`]: the only way to report for it, and given up when it is
/// dropped.
pub struct Member {
    shared: Arc<Shared>,
    chunk: Arc<Chunk>,
    /// Whom the slot wakes.
    waker: Option<Waker>,
    // Not as a key, which would take two bytes more.
    slot: u32,
    generation: u16,
    ended: Option<CloseReason>,
}

/// How many threads have joined somewhere.
static THREADS: AtomicUsize = AtomicUsize::new(0);

std::thread_local! {
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

impl Members {
    /// A fleet without members. What concerns dials in the settings is ignored.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let mut keep = Keep::new(config, seed);
        keep.granularity = millis(default_granularity(&config));
        let now = Now {
            down: Ms::ORIGIN,
            up: Ms::ORIGIN,
        };
        let threads = available_parallelism().map_or(1, NonZeroUsize::get);
        let published = Published {
            stamp: AtomicU32::new(now.up.packed_with(true)),
            tells_doubts: AtomicBool::new(config.confirm_within().is_some()),
        };
        let state = State {
            keep,
            chunks: Vec::new(),
            homes: alloc::vec![None; threads],
            joining: Vec::new(),
            taken: Vec::new(),
            late: Late::default(),
            now,
            granularity: None,
            is_running: false,
            runner: None,
        };
        let state = Mutex::new(state);
        Self {
            shared: Arc::new(Shared { published, state }),
        }
    }

    /// How long the periods between ticks are, in whole milliseconds.
    ///
    /// By default a twentieth of the shortest watch, at least 1 ms and at most 1 s.
    ///
    /// # Errors
    ///
    /// If it is shorter than 1 ms, or longer than a tenth of the shortest watch.
    pub fn with_granularity(self, granularity: Duration) -> Result<Self, ConfigError> {
        let mut state = self.shared.lock();
        check_granularity(granularity, state.keep.config())?;
        state.granularity = Some(granularity);
        state.keep.granularity = millis(granularity);
        drop(state);
        Ok(self)
    }

    /// Ends connections of that age with [`CloseReason::MaxAge`]; jitter shortens it by up
    /// to a tenth. Those that are members already begin now. Off by default.
    ///
    /// # Errors
    ///
    /// If it is shorter than 1 ms or longer than 24 h.
    pub fn with_max_age(self, max_age: Option<Duration>) -> Result<Self, ConfigError> {
        if let Some(value) = max_age {
            check("max_age", value, LONGEST)?;
        }
        let mut state = self.shared.lock();
        let now = state.now;
        state.keep.limit_age(max_age, now);
        drop(state);
        Ok(self)
    }

    /// A connection opened: it counts from the end of this period. `None` where there
    /// are four billion.
    #[must_use]
    pub fn join(&self) -> Option<Member> {
        let home = THREAD.with(|thread| *thread);
        let (member, left, runner) = self.shared.lock().join(&self.shared, home)?;
        drop(left);
        if let Some(runner) = runner {
            runner.wake();
        }
        Some(member)
    }

    /// The network of this host may have changed: each connection gets a ping within a
    /// second and a period, spread over it; where one is out, the answer has 5 s at most.
    /// Heard once a second.
    pub fn network_changed(&self) {
        let mut state = self.shared.lock();
        let now = state.now;
        state.keep.network_changed(now);
    }

    /// Asks all that are members now to close, evenly spread over this time, with
    /// [`CloseReason::Drained`]. Who joins from now on stays. A drain that is under way
    /// is replaced.
    pub fn drain(&self, over: Duration) {
        let mut state = self.shared.lock();
        let now = state.now;
        state.keep.drain(over, now);
    }

    /// Changes the settings while running, as
    /// [`Heartbeat::reconfigure`](crate::Heartbeat::reconfigure) does, for all at once:
    /// that looks at each of them.
    ///
    /// # Errors
    ///
    /// If the [granularity](Self::with_granularity) that was asked for is longer than a
    /// tenth of the shortest watch; nothing has changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        let mut state = self.shared.lock();
        let granularity = granularity_for(&config, state.granularity)?;
        state.take_in_all();
        let over = if config.listen_only() {
            flag::DOUBT | flag::PING
        } else {
            flag::DOUBT
        };
        for chunk in &state.chunks {
            (0..GROUP).for_each(|slot| chunk.clear(slot, over));
        }
        let now = state.now;
        state.keep.reconfigure(config, millis(granularity), now);
        if config.message_timeout().is_some() {
            state.chunks.iter().for_each(|chunk| chunk.watch_messages());
        }
        let tells_doubts = config.confirm_within().is_some();
        let published = &self.shared.published;
        published
            .tells_doubts
            .store(tells_doubts, Ordering::Relaxed);
        Ok(())
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().keep.count()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Config {
        *self.shared.lock().keep.config()
    }

    /// How long the periods between ticks are.
    #[must_use]
    pub fn granularity(&self) -> Duration {
        Duration::from_millis(self.shared.lock().keep.granularity)
    }

    /// What there is to count. Who was told to close is open until the member is dropped.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.lock().keep.counters()
    }

    /// The bytes on the heap that it has taken, without those of the members themselves.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let state = self.shared.lock();
        let chunks = state.chunks.len() * size_of::<Chunk>();
        size_of::<Shared>() + state.keep.bytes() + chunks
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members")
            .field("config", &self.config())
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Member {
    /// Its key, whose [index](Key::index) no other member has meanwhile.
    #[must_use]
    pub const fn key(&self) -> Key {
        Key {
            slot: self.slot,
            generation: self.generation,
        }
    }

    const fn index(&self) -> usize {
        self.slot as usize
    }

    /// Anything came in. See [`Event::Received`](crate::Event::Received).
    #[inline]
    pub fn received(&self) {
        self.chunk.note_received(self.index(), self.stamp());
    }

    /// A message came in. See [`Event::Message`](crate::Event::Message).
    #[inline]
    pub fn message(&self) {
        self.chunk.note_message(self.index(), self.stamp());
    }

    /// A message went out. See [`Event::Sent`](crate::Event::Sent).
    #[inline]
    pub fn sent(&self) {
        self.chunk.note_sent(self.index(), self.stamp());
        if self.shared.published.tells_doubts.load(Ordering::Relaxed) {
            self.tell_doubt();
        }
    }

    #[cold]
    fn tell_doubt(&self) {
        if !self.chunk.has(self.index(), flag::DOUBT) {
            self.chunk.set(self.index(), flag::DOUBT);
            self.note(|keep, key, now| keep.sent(key, now));
        }
    }

    /// A pong came in. See [`Event::Pong`](crate::Event::Pong).
    pub fn pong(&self, id: PingId) {
        self.received();
        self.note(|keep, key, now| keep.pong(key, id, now));
    }

    /// The transport took bytes. See [`Event::Draining`](crate::Event::Draining).
    pub fn draining(&self) {
        self.note(|keep, key, now| keep.draining(key, now));
    }

    /// The ping left our buffer. See [`Event::PingSent`](crate::Event::PingSent).
    pub fn ping_sent(&self, id: PingId) {
        self.note(|keep, key, now| keep.ping_sent(key, id, now));
    }

    /// The peer has logged in. See [`Event::Healthy`](crate::Event::Healthy).
    pub fn healthy(&self) {
        self.note(|keep, key, now| keep.healthy(key, now));
        // What was sent to log in is not watched.
        self.chunk.clear(self.index(), flag::DOUBT);
    }

    /// The next thing to do for this connection: a ping to send, or to close. After
    /// `Close` it returns the same again.
    ///
    /// Whoever waits for it in a `select!` may drop it at any time: nothing is lost.
    pub async fn next(&mut self) -> Beat {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for what [`next`](Self::next) returns.
    #[inline]
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Beat> {
        let waker = context.waker();
        if self.chunk.is_quiet(self.index(), &self.waker, waker) {
            return Poll::Pending;
        }
        self.poll_slowly(context)
    }

    fn poll_slowly(&mut self, context: &mut Context<'_>) -> Poll<Beat> {
        if let Some(reason) = self.ended {
            return Poll::Ready(Beat::Close(reason));
        }
        let (slot, waker) = (self.index(), context.waker());
        if !self.chunk.has_to_do(slot, &mut self.waker, waker) {
            return Poll::Pending;
        }
        let beat = self.shared.lock().beat(&self.chunk, self.key());
        if let Some(Beat::Close(reason)) = beat {
            self.ended = Some(reason);
        }
        beat.map_or(Poll::Pending, Poll::Ready)
    }

    #[inline]
    fn stamp(&self) -> u32 {
        self.shared.published.stamp.load(Ordering::Relaxed)
    }

    fn note(&self, fact: impl FnOnce(&mut Keep, Key, Now) -> bool) {
        let mut state = self.shared.lock();
        state.take_in(&self.chunk, self.key());
        let now = state.now;
        fact(&mut state.keep, self.key(), now);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("key", &self.key())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.keep.remove(self.key());
        let waker = self.chunk.reset(self.index(), 0);
        let used = state.keep.groups().min(state.chunks.len());
        let unused = state.chunks.split_off(used);
        drop(state);
        drop((waker, unused));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let runner = lock(&self.state).runner.take();
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}

impl State {
    /// A new member; what is to be dropped and who is to be woken without the lock.
    fn join(
        &mut self,
        shared: &Arc<Shared>,
        thread: usize,
    ) -> Option<(Member, Option<Waker>, Option<Waker>)> {
        let thread = thread % self.homes.len().max(1);
        let home = self.homes.get(thread).copied().flatten();
        let home = match home.filter(|home| self.keep.has_room_among(*home)) {
            Some(home) => home,
            None => self.free_group()?,
        };
        if let Some(kept) = self.homes.get_mut(thread) {
            *kept = Some(home);
        }
        let key = self.keep.open_among(home, self.now)?;
        let slot = key.index();
        while self.chunks.len() < self.keep.groups() {
            let chunk = Chunk::new();
            if self.keep.config().message_timeout().is_some() {
                chunk.watch_messages();
            }
            self.chunks.push(Arc::new(chunk));
        }
        let chunk = Arc::clone(self.chunks.get(slot / GROUP)?);
        let left = chunk.reset(slot, flag::JOINING | flag::UNREGISTERED);
        if self.joining.len() > 2 * self.keep.count() + GROUP {
            // Who came and went before a tick is among them.
            let keep = &self.keep;
            self.joining
                .retain(|slot| keep.key(*slot as usize).is_some());
            self.joining.sort_unstable();
            self.joining.dedup();
        }
        self.joining.push(key.slot);
        let member = Member {
            shared: Arc::clone(shared),
            chunk,
            waker: None,
            slot: key.slot,
            generation: key.generation,
            ended: None,
        };
        Some((member, left, self.runner.take()))
    }

    /// The first group with room that is no thread's.
    fn free_group(&self) -> Option<usize> {
        (0..).find(|group| !self.homes.contains(&Some(*group)) && self.keep.has_room_among(*group))
    }

    /// What a member is to do.
    fn beat(&mut self, chunk: &Chunk, key: Key) -> Option<Beat> {
        let slot = key.index();
        self.take_in(chunk, key);
        let flags = chunk.flags(slot);
        let has = |flag| flags & flag != 0;
        let ended = if has(flag::DRAINED) {
            Some(CloseReason::Drained)
        } else if has(flag::AGED) {
            Some(CloseReason::MaxAge)
        } else if has(flag::SPOKEN) {
            chunk.clear(slot, flag::VERDICT);
            self.keep.convict(key, self.now)
        } else {
            None
        };
        if let Some(reason) = ended {
            chunk.clear(slot, flag::TO_DO);
            chunk.set(slot, flag::ENDED);
            return Some(Beat::Close(reason));
        }
        if has(flag::UNATTENDED) {
            chunk.clear(slot, flag::UNATTENDED);
            return Some(Beat::Unattended);
        }
        if has(flag::PING) {
            chunk.clear(slot, flag::PING | flag::DOUBT);
            self.taken.push(key);
            return Some(Beat::Ping(self.keep.take_ping(key, self.now)));
        }
        // The next tick looks at it again.
        chunk.note_polled(slot);
        None
    }

    /// Takes in what this member has noted since the last look. It stays noted, since the
    /// tick that ends this period may come late.
    fn take_in(&mut self, chunk: &Chunk, key: Key) {
        let (slot, now) = (key.index(), self.now);
        let noted = chunk.noted(slot);
        take_in(noted, slot, &self.late, &mut self.keep.facts(now), now.down);
    }

    fn take_in_all(&mut self) {
        for (group, chunk) in self.chunks.iter().enumerate() {
            for slot in group * GROUP..(group + 1) * GROUP {
                if self.keep.key(slot).is_some() {
                    let (noted, now) = (chunk.take_noted(slot), self.now);
                    take_in(noted, slot, &self.late, &mut self.keep.facts(now), now.down);
                }
            }
        }
    }
}

fn take_in(noted: Noted, slot: usize, late: &Late, facts: &mut Facts<'_>, now: Ms) {
    let at = |stamp| late.end_of(stamp, now);
    if let Some(stamp) = noted.message {
        facts.message(slot, at(stamp));
    }
    if let Some(stamp) = noted.received {
        facts.received(slot, at(stamp));
    }
    if let Some(stamp) = noted.sent {
        facts.sent(slot, at(stamp));
    }
}

/// The members, as those who hold the connections.
struct Holders<'a> {
    chunks: &'a [Arc<Chunk>],
    late: &'a Late,
    now: Ms,
    /// The slots whose tasks are to be woken.
    to_wake: core::cell::RefCell<Vec<u32>>,
}

impl Holders<'_> {
    fn chunk(&self, slot: usize) -> Option<&Chunk> {
        self.chunks.get(slot / GROUP).map(Arc::as_ref)
    }

    fn tell(&self, slot: usize, flags: u16) {
        if let Some(chunk) = self.chunk(slot) {
            chunk.set(slot, flags);
            self.to_wake.borrow_mut().push(slot as u32);
        }
    }
}

impl Owners for Holders<'_> {
    const LEAVE_AT_ONCE: bool = false;

    fn take_in(&self, block: usize, taken: u32, facts: &mut Facts<'_>) {
        let Some(chunk) = self.chunk(block * BLOCK) else {
            return;
        };
        for slot in (block * BLOCK..).take(BLOCK) {
            if taken >> (slot % BLOCK) & 1 == 1 {
                take_in(chunk.take_noted(slot), slot, self.late, facts, self.now);
            }
        }
    }

    fn held(&self, block: usize) -> u32 {
        let Some(chunk) = self.chunk(block * BLOCK) else {
            return 0;
        };
        let slots = (block * BLOCK..).take(BLOCK);
        let held = |(at, slot)| u32::from(chunk.has(slot, flag::HELD)) << at;
        slots.enumerate().map(held).sum()
    }

    fn has_ended(&self, slot: usize) -> bool {
        let ended = flag::DRAINED | flag::AGED | flag::ENDED;
        self.chunk(slot).is_some_and(|chunk| chunk.has(slot, ended))
    }

    fn is_dead(&self, slot: usize) -> bool {
        if self.chunk(slot).is_some_and(|chunk| chunk.accuse(slot)) {
            self.to_wake.borrow_mut().push(slot as u32);
        }
        false
    }

    fn is_alive(&self, slot: usize) {
        if let Some(chunk) = self.chunk(slot) {
            chunk.acquit(slot);
        }
    }
}
