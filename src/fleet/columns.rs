//! How connections are kept: a column for each thing to know, and a column for what a
//! setting needs only where it is on. A connection is unpacked for what happens to it
//! rarely, and the rules of [`Open`] are asked.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::iter::repeat_with;
use core::time::Duration;

use super::clock::Ms;
use crate::Config;
use crate::open::{self, Answer, Login, News, Open, Ping, Probe, Proof};
use crate::random::{Draw, Fraction};
use crate::rtt::RoundTrip;

/// So many connections share a lower bound of when one of them is due.
pub(super) const BLOCK: usize = 32;

/// Longer than all that is ever waited for, in milliseconds.
pub(super) const FAR: i32 = i32::MAX / 2;

/// What is known of a connection in a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags(u8);

impl Flags {
    /// A ping is out: `until` is its deadline.
    const OUT: u8 = 1;
    /// The verdict was put off: without a ping that is out, until `until`.
    const PUT_OFF: u8 = 1 << 1;
    const URGENT: u8 = 1 << 2;
    const ANSWER: u8 = 3 << 3;
    const LOGIN: u8 = 1 << 5;
    /// The share was drawn at a random phase.
    const PHASE: u8 = 1 << 6;
    /// Opened since the drain began.
    const NEW: u8 = 1 << 7;

    const fn has(self, what: u8) -> bool {
        self.0 & what != 0
    }

    const fn set(&mut self, what: u8, is_on: bool) {
        if is_on {
            self.0 |= what;
        } else {
            self.0 &= !what;
        }
    }

    const fn answer(self) -> Answer {
        match (self.0 & Self::ANSWER) >> 3 {
            0 => Answer::NotAwaited,
            1 => Answer::Awaited,
            2 => Answer::AwaitedBehindBytes,
            _ => Answer::AwaitedSinceSent,
        }
    }

    const fn set_answer(&mut self, answer: Answer) {
        let bits = match answer {
            Answer::NotAwaited => 0,
            Answer::Awaited => 1,
            Answer::AwaitedBehindBytes => 2,
            Answer::AwaitedSinceSent => 3,
        };
        self.0 = self.0 & !Self::ANSWER | bits << 3;
    }
}

/// What is older is kept as of this age, so that it can still be told; a time kept in
/// 31 bits is told within 12 days.
pub(super) const OLDEST: u64 = 6 * 24 * 3_600_000;

/// What is rarely touched.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    /// The deadline of the ping that is out; else until when a verdict was put off.
    until: u32,
    pings: u16,
    missed: u8,
    flags: Flags,
}

/// The round trips of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trips {
    /// From where that of the last ping counts.
    pinged: u32,
    /// 0 for none.
    smoothed: Short,
    variance: Short,
}

/// A duration, rounded up to 11 binary digits: these, below how many follow them. In whole
/// milliseconds a mean would not come down by less than 8 of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Short(u16);

impl Short {
    const DIGITS: u32 = 11;

    fn of(duration: Duration) -> Self {
        let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let follow = (u32::BITS - micros.leading_zeros()).saturating_sub(Self::DIGITS);
        let digits = u64::from(micros).div_ceil(1 << follow);
        // Rounded up to one digit more, of which the last is 0.
        let (follow, digits) = match digits >> Self::DIGITS {
            0 => (follow, digits),
            _ => (follow + 1, digits >> 1),
        };
        Self((follow << Self::DIGITS) as u16 | digits as u16)
    }

    fn duration(self) -> Duration {
        let digits = u64::from(self.0) & ((1 << Self::DIGITS) - 1);
        Duration::from_micros(digits << (self.0 >> Self::DIGITS))
    }
}

#[derive(Debug, Default)]
pub(super) struct Columns {
    /// When something last came in, or from when it counts; and whether that has yet to
    /// be looked at.
    received: Vec<u32>,
    /// What the outbound watch or the cadence counts from.
    sent: Vec<u32>,
    /// The drawn share of the intervals.
    share: Vec<u16>,
    rest: Vec<Rest>,
    /// The connections of each block that wait for more than silence.
    busy: Vec<u32>,
    /// The last message; while a login is awaited, when the connection opened.
    message: Option<Vec<u32>>,
    /// The first message that was sent since the last ping; 0 for none.
    doubt: Option<Vec<u32>>,
    /// When a connection is as old as it may become.
    age: Option<Vec<u32>>,
    /// How many pings the last one replaced.
    replaced: Option<Vec<u16>>,
    trips: Option<Vec<Trips>>,
    /// Until when the verdict on messages was put off, where it was.
    put_off: BTreeMap<u32, u32>,
}

pub(super) fn resize<T: Default + Clone>(column: &mut Vec<T>, len: usize) {
    if let Some(more) = len.checked_sub(column.len()) {
        if more > column.capacity() - column.len() {
            // In small steps, since most of what grows in large ones is never used.
            column.reserve_exact(more.max(column.len() / 32));
        }
        column.resize(len, T::default());
    } else {
        column.truncate(len);
        if column.capacity() - len > len / 16 + BLOCK {
            column.shrink_to(len + len / 32);
        }
    }
}

/// A column more, for a setting that is on.
fn add<T: Clone>(column: &mut Option<Vec<T>>, is_on: bool, len: usize, value: T) {
    if is_on && column.is_none() {
        *column = Some(alloc::vec![value; len]);
    }
}

/// The columns that settings ask for.
struct Asked {
    message: bool,
    doubt: bool,
    replaced: bool,
    trips: bool,
}

impl Asked {
    fn by(config: &Config, has_trips: bool) -> Self {
        Self {
            message: config.message_timeout().is_some() || config.healthy_within().is_some(),
            doubt: config.confirm_within().is_some(),
            replaced: config.always_ping(),
            trips: has_trips || config.adaptive_timeout().is_some(),
        }
    }
}

impl Columns {
    /// Adds the columns that these settings ask for.
    pub(super) fn add_for(&mut self, config: &Config, has_trips: bool, now: Ms) {
        let len = self.received.len();
        let asked = Asked::by(config, has_trips);
        add(&mut self.message, asked.message, len, now.packed());
        add(&mut self.doubt, asked.doubt, len, 0);
        add(&mut self.replaced, asked.replaced, len, 0);
        let trips = Trips {
            pinged: now.packed(),
            ..Trips::default()
        };
        add(&mut self.trips, asked.trips, len, trips);
    }

    /// Drops the columns that these settings do not ask for; not that of pings that were
    /// replaced, since those that are out go on.
    pub(super) fn drop_but_for(&mut self, config: &Config, has_trips: bool) {
        let asked = Asked::by(config, has_trips);
        self.message = self.message.take().filter(|_| asked.message);
        self.doubt = self.doubt.take().filter(|_| asked.doubt);
        self.trips = self.trips.take().filter(|_| asked.trips);
    }

    /// Keeps when connections are too old, each by a draw of its own.
    pub(super) fn keep_age(&mut self, draw: Option<impl FnMut() -> Ms>) {
        let len = self.received.len();
        self.age = draw.map(|draw| repeat_with(draw).take(len).map(Ms::packed).collect());
    }

    /// Makes room for so many slots.
    pub(super) fn resize(&mut self, len: usize) {
        resize(&mut self.received, len);
        resize(&mut self.sent, len);
        resize(&mut self.share, len);
        resize(&mut self.rest, len);
        resize(&mut self.busy, len / BLOCK);
        for column in [&mut self.message, &mut self.doubt, &mut self.age] {
            column.iter_mut().for_each(|column| resize(column, len));
        }
        self.replaced
            .iter_mut()
            .for_each(|column| resize(column, len));
        self.trips.iter_mut().for_each(|column| resize(column, len));
    }

    /// The bytes that the columns take.
    pub(super) fn bytes(&self) -> usize {
        fn of<T>(column: &Vec<T>) -> usize {
            column.capacity() * size_of::<T>()
        }
        let optional = [&self.message, &self.doubt, &self.age];
        of(&self.received)
            + of(&self.sent)
            + of(&self.share)
            + of(&self.rest)
            + of(&self.busy)
            + optional.into_iter().flatten().map(of).sum::<usize>()
            + self.replaced.as_ref().map_or(0, of)
            + self.trips.as_ref().map_or(0, of)
    }

    pub(super) fn facts<'a>(&'a mut self, config: &'a Config, now: Ms) -> Facts<'a> {
        Facts {
            columns: self,
            config,
            now,
        }
    }

    #[inline]
    pub(super) fn note_received(&mut self, slot: usize, stamp: u32) {
        if let Some(received) = self.received.get_mut(slot) {
            *received = stamp;
        }
    }

    pub(super) fn note_message(&mut self, slot: usize, now: Ms) {
        if self.flags(slot).has(Flags::LOGIN) {
            return; // It has the time of the opening there.
        }
        if let Some(message) = self.message.as_mut().and_then(|them| them.get_mut(slot)) {
            *message = now.packed();
        }
        if !self.put_off.is_empty() {
            self.put_off.remove(&(slot as u32));
        }
    }

    #[inline]
    pub(super) fn note_sent(&mut self, slot: usize, now: Ms) {
        if let Some(sent) = self.sent.get_mut(slot) {
            *sent = now.packed();
        }
    }

    /// Whether this is the first message that was sent since the last ping.
    pub(super) fn note_doubt(&mut self, slot: usize, now: Ms) -> bool {
        let is_login = self.flags(slot).has(Flags::LOGIN);
        let doubt = self.doubt.as_mut().and_then(|them| them.get_mut(slot));
        match doubt {
            Some(doubt) if *doubt == 0 && !is_login => {
                *doubt = now.packed_with(true);
                true
            }
            _ => false,
        }
    }

    fn rest(&self, slot: usize) -> Rest {
        self.rest.get(slot).copied().unwrap_or_default()
    }

    fn flags(&self, slot: usize) -> Flags {
        self.rest(slot).flags
    }

    pub(super) fn is_out(&self, slot: usize) -> bool {
        self.flags(slot).has(Flags::OUT)
    }

    /// Whether the last ping may wait in our own buffer.
    pub(super) fn is_unsent(&self, slot: usize) -> bool {
        let answer = self.flags(slot).answer();
        matches!(answer, Answer::Awaited | Answer::AwaitedBehindBytes)
    }

    pub(super) fn is_login_awaited(&self, slot: usize) -> bool {
        self.flags(slot).has(Flags::LOGIN)
    }

    pub(super) fn is_new(&self, slot: usize) -> bool {
        self.flags(slot).has(Flags::NEW)
    }

    pub(super) fn set_new(&mut self, slot: usize, is_new: bool) {
        if let Some(rest) = self.rest.get_mut(slot) {
            rest.flags.set(Flags::NEW, is_new);
        }
    }

    pub(super) fn pings(&self, slot: usize) -> u16 {
        self.rest(slot).pings
    }

    /// Counts one more, and returns its number.
    pub(super) fn count_ping(&mut self, slot: usize) -> u16 {
        let Some(rest) = self.rest.get_mut(slot) else {
            return 0;
        };
        rest.pings = rest.pings.wrapping_add(1);
        rest.pings
    }

    /// Looks at a block: which of the taken slots are to be looked at more closely, and
    /// when the next look at the others is due. It goes over all of them without a
    /// branch.
    #[inline]
    pub(super) fn look(&self, block: usize, taken: u32, silence: Silence, now: Ms) -> (u32, Ms) {
        let (Some(received), Some(sent), Some(share)) = (
            of_block(&self.received, block),
            of_block(&self.sent, block),
            of_block(&self.share, block),
        ) else {
            return (taken, now);
        };
        let mut left = [0; BLOCK];
        for ((left, received), share) in left.iter_mut().zip(received).zip(share) {
            let ago = (now.packed() << 1).wrapping_sub(received & !1) as i32 >> 1;
            *left = silence.inbound.of(*share) - ago;
        }
        if let Some(outbound) = silence.outbound {
            for ((left, sent), share) in left.iter_mut().zip(sent).zip(share) {
                let ago = now.packed().wrapping_sub(*sent) as i32;
                *left = outbound.of(*share).wrapping_sub(ago).min(*left);
            }
        }
        let until = |column: &Option<Vec<u32>>, then: i32, left: &mut [i32; BLOCK]| {
            let column = column.as_ref().and_then(|them| of_block(them, block));
            for (left, at) in left.iter_mut().zip(column.into_iter().flatten()) {
                let ahead = at.wrapping_sub(now.packed()) as i32;
                *left = ahead.wrapping_add(then).min(*left);
            }
        };
        if let Some(timeout) = silence.messages {
            until(&self.message, timeout, &mut left);
        }
        until(&self.age, 0, &mut left);

        let busy = self.busy.get(block).copied().unwrap_or(u32::MAX);
        let quiet = taken & !busy;
        let (mut due, mut least) = (0, FAR);
        for (slot, left) in left.iter().enumerate() {
            let is_due = *left <= 0;
            due |= u32::from(is_due) << slot;
            let counts = quiet >> slot & 1 == 1 && !is_due;
            least = least.min(if counts { *left } else { FAR });
        }
        (due & quiet | taken & busy, Ms(now.0 + least as u64))
    }

    /// Looks at a connection whose ping is out, and of which nothing but silence is
    /// watched: when to look again. `None` where it is to be looked at more closely.
    pub(super) fn look_at_probe(&mut self, slot: usize, silence: Silence, now: Ms) -> Option<Ms> {
        if silence.messages.is_some() || self.age.is_some() {
            return None;
        }
        let rest = self.rest.get_mut(slot)?;
        let received = self.received.get_mut(slot)?;
        let share = *self.share.get(slot)?;
        let is_fresh = *received & 1 == 1;
        if !rest.flags.has(Flags::OUT) {
            return None;
        }
        let when = |from: Ms, lasts: i32| {
            let due = Ms(from.0.saturating_add_signed(i64::from(lasts)));
            if due > now || is_fresh {
                due
            } else {
                Ms(now.0.saturating_add_signed(i64::from(lasts)))
            }
        };
        let mut look = when(now.near_with(*received), silence.inbound.of(share));
        if let Some(outbound) = silence.outbound {
            let sent = now.near(*self.sent.get(slot)?);
            look = look.min(when(sent, outbound.of(share)));
        }
        if !is_fresh {
            look = look.min(now.near(rest.until));
        }
        if look <= now {
            return None;
        }
        if is_fresh {
            // What came in ends the probe, as `Open::received` does.
            *received &= !1;
            let over = Flags::OUT | Flags::PUT_OFF | Flags::URGENT;
            rest.flags.set(over, false);
            self.set_busy(slot, false);
        }
        Some(look)
    }

    /// Forgets what was known of this slot.
    pub(super) fn clear(&mut self, slot: usize) {
        if let Some(rest) = self.rest.get_mut(slot) {
            *rest = Rest::default();
        }
        self.set_busy(slot, false);
        self.put_off.remove(&(slot as u32));
    }

    /// All counts from now on.
    #[cfg(all(feature = "async", feature = "std"))]
    pub(super) fn restart(&mut self, slot: usize, now: Ms) {
        self.note_received(slot, now.packed_with(false));
        self.note_sent(slot, now);
        if let Some(message) = self.message.as_mut().and_then(|them| them.get_mut(slot)) {
            *message = now.packed();
        }
        if let Some(doubt) = self.doubt.as_mut().and_then(|them| them.get_mut(slot)) {
            if *doubt != 0 {
                *doubt = now.packed_with(true);
            }
        }
    }

    pub(super) fn is_busy(&self, slot: usize) -> bool {
        let busy = self.busy.get(slot / BLOCK);
        busy.is_none_or(|busy| busy >> (slot % BLOCK) & 1 == 1)
    }

    fn set_busy(&mut self, slot: usize, is_busy: bool) {
        if let Some(busy) = self.busy.get_mut(slot / BLOCK) {
            let bit = 1 << (slot % BLOCK);
            *busy = if is_busy { *busy | bit } else { *busy & !bit };
        }
    }

    pub(super) fn set_age(&mut self, slot: usize, due: Ms) {
        if let Some(age) = self.age.as_mut().and_then(|them| them.get_mut(slot)) {
            *age = due.packed();
        }
    }

    /// When this connection is as old as it may become.
    pub(super) fn age(&self, slot: usize, now: Ms) -> Option<Ms> {
        let age = self.age.as_ref()?.get(slot)?;
        Some(now.near(*age))
    }

    /// The connection, as the rules know it; what came in is taken in.
    pub(super) fn unpack(
        &self,
        slot: usize,
        config: &Config,
        now: Ms,
    ) -> (Open<Ms>, open::Facts<Ms>) {
        let rest = self.rest(slot);
        let flags = rest.flags;
        let packed = self.received.get(slot).copied().unwrap_or_default();
        let received = now.near_with(packed);
        let sent = now.near(self.sent.get(slot).copied().unwrap_or_default());
        let until = now.near(rest.until);
        let optional = |column: &Option<Vec<u32>>| {
            let at = column.as_ref().and_then(|them| them.get(slot));
            at.map(|at| now.near(*at))
        };
        let message = optional(&self.message).unwrap_or(received);
        let is_login = flags.has(Flags::LOGIN);
        let doubt = self.doubt.as_ref().and_then(|them| them.get(slot).copied());
        let trips = self.trips.as_ref().and_then(|them| them.get(slot).copied());
        let is_put_off = flags.has(Flags::PUT_OFF);
        let probe = if flags.has(Flags::OUT) {
            Probe::Out(Ping {
                deadline: until,
                missed: rest.missed,
                is_put_off,
                urgent: flags.has(Flags::URGENT),
            })
        } else if is_put_off {
            Probe::PutOff(until)
        } else {
            Probe::None
        };
        let put_off = self.put_off.get(&(slot as u32));
        let mut facts = open::Facts {
            received: Some(received),
            sent,
        };
        let mut open = Open {
            opened: if is_login { message } else { received },
            alive: received,
            doubt: doubt.filter(|&at| at != 0).map(|at| now.near_with(at)),
            message,
            messages_put_off: put_off.map(|&at| now.near(at)),
            pinged: trips.map_or(now, |trips| now.near(trips.pinged)),
            probe,
            round_trip: trips.and_then(Trips::round_trip),
            news: News::NEVER,
            replaced: self
                .replaced
                .as_ref()
                .and_then(|them| them.get(slot).copied())
                .unwrap_or_default(),
            share: Fraction::from_bits(self.share.get(slot).copied().unwrap_or_default()),
            draw: if flags.has(Flags::PHASE) {
                Draw::First
            } else {
                Draw::Usual
            },
            answer: flags.answer(),
            login: if is_login {
                Login::Awaited
            } else {
                Login::Healthy
            },
            proof: Proof::NONE,
        };
        if packed & 1 == 1 {
            open.at(config, &mut facts, received).received();
        }
        (open, facts)
    }

    /// Keeps the connection as it is now.
    pub(super) fn pack(
        &mut self,
        slot: usize,
        open: &Open<Ms>,
        facts: &open::Facts<Ms>,
        config: &Config,
        now: Ms,
    ) {
        let oldest = now.before(OLDEST);
        let alive = match facts.received {
            Some(received) if !config.strict_pongs() => received.max(open.alive),
            _ => open.alive,
        };
        let is_login = open.login == Login::Awaited;
        let message = if is_login { open.opened } else { open.message };
        let mut flags = Flags::default();
        let mut missed = 0;
        let until = match open.probe {
            Probe::Out(ping) => {
                flags.set(Flags::OUT, true);
                flags.set(Flags::PUT_OFF, ping.is_put_off);
                flags.set(Flags::URGENT, ping.urgent);
                missed = ping.missed;
                ping.deadline
            }
            Probe::PutOff(until) => {
                flags.set(Flags::PUT_OFF, true);
                until
            }
            Probe::None => now,
        };
        flags.set_answer(open.answer);
        flags.set(Flags::LOGIN, is_login);
        flags.set(Flags::PHASE, open.draw != Draw::Usual);
        let set = |column: Option<&mut Vec<u32>>, value: u32| {
            if let Some(kept) = column.and_then(|them| them.get_mut(slot)) {
                *kept = value;
            }
        };
        set(
            Some(&mut self.received),
            alive.max(oldest).packed_with(false),
        );
        set(Some(&mut self.sent), facts.sent.max(oldest).packed());
        set(self.message.as_mut(), message.max(oldest).packed());
        let doubt = open.doubt.map_or(0, |at| at.max(oldest).packed_with(true));
        set(self.doubt.as_mut(), doubt);
        if let Some(rest) = self.rest.get_mut(slot) {
            flags.set(Flags::NEW, rest.flags.has(Flags::NEW));
            *rest = Rest {
                until: until.packed(),
                pings: rest.pings,
                missed,
                flags,
            };
        }
        if let Some(share) = self.share.get_mut(slot) {
            *share = open.share.bits();
        }
        let busy = Flags::OUT | Flags::PUT_OFF | Flags::LOGIN;
        self.set_busy(slot, flags.has(busy) || open.messages_put_off.is_some());
        if let Some(replaced) = self.replaced.as_mut().and_then(|them| them.get_mut(slot)) {
            *replaced = open.replaced;
        }
        if let Some(trips) = self.trips.as_mut().and_then(|them| them.get_mut(slot)) {
            *trips = Trips::of(open.round_trip, open.pinged.max(oldest));
        }
        match open.messages_put_off {
            Some(until) if config.message_timeout().is_some() => {
                self.put_off.insert(slot as u32, until.packed());
            }
            _ if !self.put_off.is_empty() => {
                self.put_off.remove(&(slot as u32));
            }
            _ => {}
        }
    }

    /// What is older than this is as old as this, so that its age can still be told.
    pub(super) fn bring_up(&mut self, slot: usize, before: Ms, oldest: Ms) {
        if let Some(received) = self.received.get_mut(slot) {
            let bit = *received & 1 == 1;
            *received = before.near_with(*received).max(oldest).packed_with(bit);
        }
        if let Some(sent) = self.sent.get_mut(slot) {
            *sent = before.near(*sent).max(oldest).packed();
        }
        if let Some(rest) = self.rest.get_mut(slot) {
            rest.until = before.near(rest.until).max(oldest).packed();
        }
        for column in [&mut self.message, &mut self.age].into_iter().flatten() {
            if let Some(at) = column.get_mut(slot) {
                *at = before.near(*at).max(oldest).packed();
            }
        }
        if let Some(doubt) = self.doubt.as_mut().and_then(|them| them.get_mut(slot)) {
            if *doubt != 0 {
                *doubt = before.near_with(*doubt).max(oldest).packed_with(true);
            }
        }
        if let Some(trips) = self.trips.as_mut().and_then(|them| them.get_mut(slot)) {
            trips.pinged = before.near(trips.pinged).max(oldest).packed();
        }
        if let Some(until) = self.put_off.get_mut(&(slot as u32)) {
            *until = before.near(*until).max(oldest).packed();
        }
    }

    pub(super) fn round_trip(&self, slot: usize) -> Option<RoundTrip> {
        self.trips.as_ref()?.get(slot).copied()?.round_trip()
    }
}

impl Trips {
    fn round_trip(self) -> Option<RoundTrip> {
        (self.smoothed != Short::default())
            .then(|| RoundTrip::smoothed_to(self.smoothed.duration(), self.variance.duration()))
    }

    fn of(round_trip: Option<RoundTrip>, pinged: Ms) -> Self {
        let short = |of: fn(&RoundTrip) -> Duration| {
            round_trip.map_or(Short::default(), |trip| Short::of(of(&trip)))
        };
        Self {
            pinged: pinged.packed(),
            smoothed: short(RoundTrip::smoothed),
            variance: short(RoundTrip::variance),
        }
    }
}

/// Where what happened to connections since the last look is taken in.
#[derive(Debug)]
#[cfg_attr(not(all(feature = "async", feature = "std")), allow(dead_code))]
pub(super) struct Facts<'a> {
    columns: &'a mut Columns,
    config: &'a Config,
    now: Ms,
}

#[cfg_attr(not(all(feature = "async", feature = "std")), allow(dead_code))]
impl Facts<'_> {
    pub(super) fn received(&mut self, slot: usize, at: Ms) {
        if !self.config.strict_pongs() {
            self.columns.note_received(slot, at.packed_with(true));
        }
    }

    pub(super) fn message(&mut self, slot: usize, at: Ms) {
        self.columns.note_message(slot, at);
    }

    pub(super) fn sent(&mut self, slot: usize, at: Ms) {
        let before = self.columns.sent.get(slot).map(|sent| self.now.near(*sent));
        if !self.config.always_ping() && before < Some(at) {
            self.columns.note_sent(slot, at);
        }
    }
}

/// What is watched of a connection of which no ping is out, where that is silence alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    inbound: Wait,
    outbound: Option<Wait>,
    messages: Option<i32>,
    /// Who is due by this is due for a ping, and not a moment too early.
    is_for_pings: bool,
}

impl Silence {
    pub(super) fn is_for_pings(self) -> bool {
        self.is_for_pings
    }

    /// `None` where these settings watch more.
    pub(super) fn alone(config: &Config) -> Option<Self> {
        if config.always_ping() || config.confirm_within().is_some() {
            return None;
        }
        let inbound = if config.listen_only() {
            Wait::whole(config.idle_timeout())
        } else {
            Wait::share_of(config.ping_interval())
        };
        let intervals = [Some(config.ping_interval()), config.outbound_interval()];
        let are_exact = intervals.into_iter().flatten().all(Wait::is_exact);
        Some(Self {
            is_for_pings: are_exact
                && config.watches_silence()
                && config.message_timeout().is_none(),
            inbound,
            outbound: config.outbound_interval().map(Wait::share_of),
            messages: config
                .message_timeout()
                .map(|timeout| Ms::of(timeout) as i32),
        })
    }
}

/// How long a silence may last: in milliseconds, where an interval has whole ones and is
/// shorter than 65 s; else it is a little shorter than it should be.
#[derive(Clone, Copy, Debug)]
struct Wait {
    /// In 16 bits, so that a share of it takes 32.
    scaled: u32,
    shift: u32,
    /// All of it, whatever the share.
    share: u32,
    round: u32,
}

impl Wait {
    fn share_of(interval: Duration) -> Self {
        let millis = interval.as_millis() as u32; // A day fits.
        let shift = (u32::BITS - millis.leading_zeros()).saturating_sub(16);
        let round = if shift == 0 { 0xffff } else { 0 };
        Self {
            scaled: millis >> shift,
            shift,
            share: 0,
            round,
        }
    }

    fn is_exact(interval: Duration) -> bool {
        interval.subsec_nanos() % 1_000_000 == 0 && interval.as_millis() <= 0xffff
    }

    fn whole(timeout: Duration) -> Self {
        Self {
            share: 0xffff,
            ..Self::share_of(timeout)
        }
    }

    #[inline]
    fn of(self, share: u16) -> i32 {
        let parts = (u32::from(share) | self.share) + 1;
        let scaled = (self.scaled * parts + self.round) >> 16;
        (scaled << self.shift).max(1) as i32
    }
}

fn of_block<T>(column: &[T], block: usize) -> Option<&[T; BLOCK]> {
    let slots = column.get(block * BLOCK..(block + 1) * BLOCK)?;
    slots.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_exact_below_65_s_and_never_too_long() {
        for millis in [
            2, 999, 25_000, 40_000, 65_535, 65_537, 3_600_001, 86_400_000,
        ] {
            let interval = Duration::from_millis(millis);
            for share in [0, 1, 0x7fff, 0x8000, 0xd70a, 0xfffe, 0xffff] {
                let exact = Ms::of(Fraction::from_bits(share).of(interval)).max(1);
                let wait = Wait::share_of(interval).of(share) as u64;
                if millis < 65_536 {
                    assert_eq!(wait, exact, "{millis} {share}");
                } else {
                    let least = exact - exact / 30_000;
                    assert!((least.saturating_sub(4096)..=exact).contains(&wait));
                }
            }
            assert_eq!(
                Wait::whole(interval).of(0),
                Wait::share_of(interval).of(0xffff)
            );
        }
    }

    #[test]
    fn a_short_duration_is_rounded_up_by_a_thousandth_at_most() {
        let powers = (0..u32::BITS).map(|bits| 1 << bits);
        let near = powers.flat_map(|power: u32| [power - 1, power, power + 1]);
        for micros in near.chain([80_000, 999_999, u32::MAX]) {
            let exact = Duration::from_micros(u64::from(micros));
            let kept = Short::of(exact).duration();
            assert!(kept >= exact && kept <= exact + exact / 1000, "{exact:?}");
            assert_eq!(Short::of(kept), Short::of(exact), "{exact:?}");
        }
        let longest = Duration::from_micros(u64::from(u32::MAX) + 1);
        assert_eq!(Short::of(Duration::MAX).duration(), longest);
    }
}
