//! The rules of an open connection: a set of watches, each with a point that it counts
//! from and a time that it lasts.
//!
//! | watch | when | counts from | lasts | then |
//! | --- | --- | --- | --- | --- |
//! | inbound | not in listen-only, not `always_ping` | the last inbound activity (`strict_pongs`: the last pong that ended a probe) | drawn share of `ping_interval` | ping |
//! | outbound | the same, and `send_interval` is on | the last `Sent` or ping | drawn share of `send_interval` | ping |
//! | cadence | `always_ping`, in place of inbound and outbound | the last ping | drawn share of `ping_interval` | ping |
//! | doubt | `confirm_within` | the first `Sent` since the last ping | `confirm_within` | ping |
//! | news | the network changed within 1 s of the last ping that news made | that ping | 1 s | ping |
//! | answer | a ping is out | the ping; each `Draining`; `PingSent` | `pong_timeout` | missed; the last miss convicts |
//! | idle | listen-only | the last inbound activity | `idle_timeout` | convict |
//! | messages | `message_timeout` | the last `Message` | `message_timeout` | convict |
//! | login | `healthy_within`, until `Healthy` | `Opened` | `healthy_within` | convict |
//!
//! All begin at `Opened`, or at `Healthy` where login is awaited, which is the only
//! watch until then; one that is switched on begins then. A verdict takes precedence
//! over a ping, and of several verdicts the first in the table is reported.
//!
//! Nothing here knows ids, instants of the caller's, or where random numbers come
//! from, and time is whatever counts: so a million connections can share these rules
//! in a form that is packed more tightly.

use core::time::Duration;

use crate::action::CloseReason;
use crate::config::Config;
use crate::random::{Draw, Fraction};
use crate::rtt::RoundTrip;
use crate::time::{SECOND, Timeline, bring_forward, nanos};

/// After a change of network an answer has no longer than this, unless round trips
/// say that it needs longer.
const URGENT: Duration = Duration::from_secs(5);

/// What the application and the transport report all the time, so that noting it
/// should cost nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Facts<T> {
    /// The last inbound activity, if there was any.
    pub(crate) received: Option<T>,
    /// What the outbound watch or the cadence counts from.
    pub(crate) sent: T,
}

/// An open connection, besides its [`Facts`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open<T> {
    pub(crate) opened: T,
    /// Inbound and idle count from here at the earliest: where the watches began, or
    /// one of them did; under `strict_pongs` the last pong that ended a probe.
    pub(crate) alive: T,
    /// The first message that was sent since the last ping.
    pub(crate) doubt: Option<T>,
    /// The last message, or where its watch began.
    pub(crate) message: T,
    /// The verdict on messages was put off until then.
    pub(crate) messages_put_off: Option<T>,
    /// From where the round trip of the last ping counts.
    pub(crate) pinged: T,
    pub(crate) probe: Probe<T>,
    pub(crate) round_trip: Option<RoundTrip>,
    pub(crate) news: News,
    /// How many pings the last one replaced while they were out.
    pub(crate) replaced: u16,
    /// The drawn share of the intervals, until the next ping.
    pub(crate) share: Fraction,
    pub(crate) draw: Draw,
    pub(crate) answer: Answer,
    pub(crate) login: Login,
    pub(crate) proof: Proof,
}

/// What the verdict on silence waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe<T> {
    None,
    /// A ping is out: sent, not missed, and nothing came in that ends it.
    Out(Ping<T>),
    /// Where no ping can be sent: the verdict was put off until then.
    PutOff(T),
}

/// A ping that is out, with those that it replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping<T> {
    pub(crate) deadline: T,
    /// The pings that were missed before it in this silence.
    pub(crate) missed: u8,
    /// The verdict on this silence was put off: another ping stands for the last miss.
    pub(crate) is_put_off: bool,
    /// The network changed since.
    pub(crate) urgent: bool,
}

/// What the last ping waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing: its pong came, or there was no ping.
    NotAwaited,
    /// Its pong.
    Awaited,
    /// Its pong; it waits behind bytes in our own buffer.
    AwaitedBehindBytes,
    /// Its pong; it, or one that it replaced, has left our buffer.
    AwaitedSinceSent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// `healthy_within` was off when the connection opened.
    NotAsked,
    Awaited,
    /// `healthy_within` was switched off before `Healthy`.
    Waived,
    /// The application said `Healthy`.
    Healthy,
}

/// What came in, as far as it proves a connection: flags, since space is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof(u8);

impl Proof {
    pub(crate) const NONE: Self = Self(0);
    /// A message came.
    const MESSAGE: u8 = 1;
    /// A pong ended a probe.
    const ANSWER: u8 = 2;

    fn add(&mut self, what: u8) {
        self.0 |= what;
    }

    fn has(self, what: u8) -> bool {
        self.0 & what != 0
    }
}

/// When a change of network last made a ping, as the time from there to `pinged`, and
/// whether a later change waits for the end of that second: nanoseconds in 31 bits,
/// and one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News(u32);

impl News {
    const LONG_AGO: u32 = u32::MAX >> 1;
    const WAITS: u32 = 1 << 31;
    pub(crate) const NEVER: Self = Self(Self::LONG_AGO);
    const NOW: Self = Self(0);

    fn before_pinged(self) -> Duration {
        Duration::from_nanos(u64::from(self.0 & Self::LONG_AGO))
    }

    fn waits(self) -> bool {
        self.0 & Self::WAITS != 0
    }

    fn wait(&mut self) {
        self.0 |= Self::WAITS;
    }

    fn drop_waiting(&mut self) {
        self.0 &= Self::LONG_AGO;
    }

    /// `pinged` moves on.
    fn age(&mut self, by: Duration) {
        let aged = nanos(self.before_pinged().saturating_add(by));
        let aged = u32::try_from(aged).map_or(Self::LONG_AGO, |aged| aged.min(Self::LONG_AGO));
        self.0 = self.0 & Self::WAITS | aged;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Inbound,
    Outbound,
    Cadence,
    Doubt,
    News,
    Answer,
    Idle,
    Messages,
    Login,
}

impl Watch {
    const THAT_PING: [Self; 5] = [
        Self::Inbound,
        Self::Outbound,
        Self::Cadence,
        Self::Doubt,
        Self::News,
    ];
    /// Besides the answer, which may be asked for again.
    const THAT_CONVICT: [(Self, CloseReason); 3] = [
        (Self::Idle, CloseReason::IdleTimeout),
        (Self::Messages, CloseReason::MessageTimeout),
        (Self::Login, CloseReason::LoginTimeout),
    ];
}

/// A watch that is on.
struct Running<T> {
    due: T,
    lasts: Duration,
}

/// What a tick at the deadline finds.
pub(crate) enum Beat<T> {
    Wait,
    /// A ping is due, and how its interval is to be drawn.
    Ping(Draw),
    /// The verdict, and when it was due.
    Dead(CloseReason, T),
}

/// What a ping that was missed at its deadline asks for.
enum Missed<T> {
    Pings(T),
    Convicts(T),
}

/// What a change of network asks for.
pub(crate) enum Urgency<T> {
    Nothing,
    Ping,
    /// To look at this time, or sooner.
    Look(T),
}

impl<T: Timeline> Open<T> {
    pub(crate) fn new(
        config: &Config,
        share: impl FnOnce(Draw) -> Fraction,
        now: T,
    ) -> (Self, Facts<T>) {
        let mut open = Self {
            opened: now,
            alive: now,
            doubt: None,
            message: now,
            messages_put_off: None,
            pinged: now,
            probe: Probe::None,
            round_trip: None,
            news: News::NEVER,
            replaced: 0,
            share: Fraction::WHOLE,
            draw: Draw::First,
            answer: Answer::NotAwaited,
            login: Login::NotAsked,
            proof: Proof::NONE,
        };
        let mut facts = Facts {
            received: None,
            sent: now,
        };
        if config.healthy_within().is_some() {
            open.login = Login::Awaited;
        } else {
            open.at(config, &mut facts, now).begin(share);
        }
        (open, facts)
    }

    /// The connection at an instant, under these settings.
    pub(crate) fn at<'a>(
        &'a mut self,
        config: &'a Config,
        facts: &'a mut Facts<T>,
        now: T,
    ) -> Watches<'a, T> {
        Watches {
            open: self,
            config,
            facts,
            now,
        }
    }

    pub(crate) fn is_answer_awaited(&self) -> bool {
        self.answer != Answer::NotAwaited
    }

    pub(crate) fn is_login_awaited(&self) -> bool {
        self.login == Login::Awaited
    }

    pub(crate) fn is_ping_out(&self) -> bool {
        matches!(self.probe, Probe::Out(_))
    }

    /// Until when the ping that is out is to be answered.
    #[cfg(feature = "alloc")]
    pub(crate) fn answer_due(&self) -> Option<T> {
        match self.probe {
            Probe::Out(ping) => Some(ping.deadline),
            Probe::None | Probe::PutOff(_) => None,
        }
    }

    pub(crate) fn missed(&self) -> u32 {
        match self.probe {
            Probe::Out(ping) => u32::from(ping.missed),
            Probe::None | Probe::PutOff(_) => 0,
        }
    }

    pub(crate) fn round_trip(&self) -> Option<RoundTrip> {
        self.round_trip
    }

    /// Whether the next `Sent` has no effect but on [`Facts::sent`].
    pub(crate) fn only_notes_sent(&self, config: &Config) -> bool {
        let is_doubt_due = config.confirm_within().is_some() && self.doubt.is_none();
        !self.is_login_awaited() && config.watches_silence() && !is_doubt_due
    }
}

/// The watches of an open connection at one instant.
pub(crate) struct Watches<'a, T> {
    open: &'a mut Open<T>,
    config: &'a Config,
    facts: &'a mut Facts<T>,
    now: T,
}

impl<T: Timeline> Watches<'_, T> {
    /// The table, but for what was put off.
    fn running(&self, watch: Watch) -> Option<Running<T>> {
        let (config, open, facts) = (self.config, &*self.open, &*self.facts);
        if open.is_login_awaited() != (watch == Watch::Login) {
            return None;
        }
        let (from, lasts) = match watch {
            Watch::Inbound if !config.watches_silence() => return None,
            Watch::Inbound => (self.alive(), open.share.of(config.ping_interval())),
            Watch::Outbound => (facts.sent, open.share.of(config.outbound_interval()?)),
            Watch::Cadence if !config.always_ping() => return None,
            Watch::Cadence => (facts.sent, open.share.of(config.ping_interval())),
            Watch::Doubt => {
                let lasts = config.confirm_within()?;
                (open.doubt?, lasts)
            }
            Watch::News if !open.news.waits() => return None,
            Watch::News => return Some(self.running_news()),
            Watch::Answer => return self.running_answer(),
            Watch::Idle if !config.listen_only() => return None,
            Watch::Idle => (self.alive(), config.idle_timeout()),
            Watch::Messages => (open.message, config.message_timeout()?),
            Watch::Login => (open.opened, config.healthy_within()?),
        };
        Some(Running {
            due: from.after(lasts),
            lasts,
        })
    }

    fn running_news(&self) -> Running<T> {
        let left = SECOND.saturating_sub(self.open.news.before_pinged());
        Running {
            due: self.open.pinged.after(left),
            lasts: SECOND,
        }
    }

    fn running_answer(&self) -> Option<Running<T>> {
        match self.open.probe {
            Probe::Out(ping) => Some(Running {
                due: ping.deadline,
                lasts: self.timeout(ping.urgent),
            }),
            Probe::None | Probe::PutOff(_) => None,
        }
    }

    /// The last sign of life, or where it began to be asked for.
    fn alive(&self) -> T {
        match self.facts.received {
            Some(received) if !self.config.strict_pongs() => received.max(self.open.alive),
            _ => self.open.alive,
        }
    }

    /// While a ping is out no other is sent, but for the cadence, which replaces it
    /// unless that waits behind our own bytes.
    fn may_ping(&self, watch: Watch) -> bool {
        let is_behind_bytes = self.open.answer == Answer::AwaitedBehindBytes;
        !self.open.is_ping_out() || (watch == Watch::Cadence && !is_behind_bytes)
    }

    /// When to look next: at what is due first. Where a watch cannot ping, because a
    /// ping is out, also once in the time that it lasts, since what ends the probe
    /// moves no deadline.
    pub(crate) fn next_look(&self) -> T {
        let pings = Watch::THAT_PING.into_iter().filter_map(|watch| {
            let Running { due, lasts } = self.running(watch)?;
            Some(if due > self.now || self.may_ping(watch) {
                due
            } else {
                self.now.after(lasts)
            })
        });
        let verdicts = Watch::THAT_CONVICT.into_iter().filter_map(|(watch, _)| {
            let due = self.running(watch)?.due;
            Some(self.put_off(watch).unwrap_or(due))
        });
        let answer = self.running(Watch::Answer).map(|answer| answer.due);
        let looks = pings.chain(verdicts).chain(answer);
        looks.min().unwrap_or(self.now) // Some watch is always on.
    }

    /// Looks at what is due, at the tick that was asked for then.
    pub(crate) fn tick(&mut self, armed: T) -> Beat<T> {
        let missed = self.missed(armed);
        if let Some(Missed::Convicts(due)) = missed {
            return Beat::Dead(CloseReason::PongTimeout, due);
        }
        for (watch, reason) in Watch::THAT_CONVICT {
            if let Some(due) = self.verdict(watch, armed) {
                return Beat::Dead(reason, due);
            }
        }
        let pings = Watch::THAT_PING
            .into_iter()
            .filter(|&watch| self.may_ping(watch))
            .filter_map(|watch| Some(self.running(watch)?.due))
            .filter(|&due| due <= self.now)
            .min();
        let due = match missed {
            Some(Missed::Pings(due)) => Some(due),
            _ => pings,
        };
        match due {
            Some(due) if self.is_late(due, armed) => Beat::Ping(Draw::Late),
            Some(_) => Beat::Ping(Draw::Usual),
            None => Beat::Wait,
        }
    }

    /// Whether a tick comes so late that it was this process that was away.
    fn is_late(&self, due: T, armed: T) -> bool {
        self.now.since(due.max(armed)) > self.config.late_tolerance()
    }

    /// What it means that the ping that is out was not answered, if it is missed by
    /// now. A late verdict is put off once per silence, by one more ping.
    fn missed(&mut self, armed: T) -> Option<Missed<T>> {
        let ping = match self.open.probe {
            Probe::Out(ping) if ping.deadline <= self.now => ping,
            _ => return None,
        };
        let due = ping.deadline;
        let next = if u32::from(ping.missed) + 1 < self.config.max_missed() {
            Ping {
                missed: ping.missed.saturating_add(1),
                urgent: false,
                ..ping
            }
        } else if !ping.is_put_off && self.is_late(due, armed) {
            Ping {
                is_put_off: true,
                ..ping
            }
        } else {
            return Some(Missed::Convicts(due));
        };
        self.open.probe = Probe::Out(next);
        Some(Missed::Pings(due))
    }

    /// When the verdict was due that is to be spoken now. A late one is put off once.
    fn verdict(&mut self, watch: Watch, armed: T) -> Option<T> {
        let Running { due, lasts } = self.running(watch)?;
        if self.now < due {
            return None;
        }
        match self.put_off(watch) {
            Some(until) => Some(until).filter(|&until| until <= self.now),
            None if self.is_late(due, armed) => {
                self.set_put_off(watch, Some(self.put_off_until(lasts)));
                None
            }
            None => Some(due),
        }
    }

    fn put_off_until(&self, lasts: Duration) -> T {
        self.now.after(self.config.late_tolerance().min(lasts))
    }

    fn put_off(&self, watch: Watch) -> Option<T> {
        match (watch, self.open.probe) {
            (Watch::Messages, _) => self.open.messages_put_off,
            (_, Probe::PutOff(until)) => Some(until),
            _ => None,
        }
    }

    fn set_put_off(&mut self, watch: Watch, until: Option<T>) {
        if watch == Watch::Messages {
            self.open.messages_put_off = until;
        } else {
            self.open.probe = until.map_or(Probe::None, Probe::PutOff);
        }
    }

    /// The watches begin.
    fn begin(&mut self, share: impl FnOnce(Draw) -> Fraction) {
        self.begin_life();
        self.begin_sent();
        self.begin_messages();
        self.open.probe = Probe::None;
        self.draw(Draw::First, share(Draw::First));
    }

    fn begin_life(&mut self) {
        self.open.alive = self.now;
    }

    fn begin_sent(&mut self) {
        self.facts.sent = self.now;
        self.open.doubt = None;
    }

    fn begin_messages(&mut self) {
        self.open.message = self.now;
        self.open.messages_put_off = None;
    }

    fn draw(&mut self, draw: Draw, share: Fraction) {
        self.open.draw = draw;
        self.open.share = share;
    }

    /// Any inbound activity is life, but for `strict_pongs`.
    pub(crate) fn received(&mut self) {
        self.facts.received = self.facts.received.max(Some(self.now));
        if !self.open.is_login_awaited() && !self.config.strict_pongs() {
            self.open.probe = Probe::None;
        }
    }

    pub(crate) fn message(&mut self) {
        self.received();
        self.open.proof.add(Proof::MESSAGE);
        self.begin_messages();
    }

    /// An answer to the ping that was sent so many pings ago on this connection.
    pub(crate) fn pong(&mut self, age: Option<u32>) {
        if age == Some(0) && self.open.is_answer_awaited() {
            self.open.answer = Answer::NotAwaited;
            let sample = self.now.since(self.open.pinged);
            self.open.round_trip = Some(RoundTrip::with(self.open.round_trip, sample));
        }
        if self.open.is_ping_out() && self.is_of_this_probe(age) {
            self.open.proof.add(Proof::ANSWER);
            self.open.probe = Probe::None;
            self.open.alive = self.now;
        }
        self.received();
    }

    /// Returns when to look, or sooner, where the deadline may be too late now.
    pub(crate) fn sent(&mut self) -> Option<T> {
        if self.open.is_login_awaited() {
            return None;
        }
        if !self.config.always_ping() {
            self.facts.sent = self.facts.sent.max(self.now);
        }
        if self.open.doubt.is_none() && self.config.confirm_within().is_some() {
            self.open.doubt = Some(self.now);
            return self.running(Watch::Doubt).map(|doubt| doubt.due);
        }
        None
    }

    /// The transport takes bytes, and the last ping waits behind them.
    pub(crate) fn draining(&mut self) {
        if self.is_unsent() {
            self.open.answer = Answer::AwaitedBehindBytes;
            self.answer_counts_from_now();
        }
    }

    /// Whether the last ping is awaited, and may still wait in our buffer.
    fn is_unsent(&self) -> bool {
        matches!(
            self.open.answer,
            Answer::Awaited | Answer::AwaitedBehindBytes
        )
    }

    /// Whether it is the last ping, or one that it replaced.
    fn is_of_this_probe(&self, age: Option<u32>) -> bool {
        age.is_some_and(|age| age <= u32::from(self.open.replaced))
    }

    /// The ping that was sent so many pings ago on this connection has left our buffer.
    pub(crate) fn ping_sent(&mut self, age: Option<u32>) {
        if self.is_unsent() && self.is_of_this_probe(age) {
            self.open.answer = Answer::AwaitedSinceSent;
            self.answer_counts_from_now();
        }
    }

    /// The ping that is out was taken only now: what was sent before is confirmed by it.
    #[cfg(all(feature = "async", feature = "std"))]
    pub(crate) fn ping_taken(&mut self) {
        self.open.doubt = None;
        self.ping_counts_from_now();
    }

    /// The ping that was taken last counts from now, and so does what was sent after it:
    /// its answer has its whole time from here.
    #[cfg(all(feature = "async", feature = "std"))]
    pub(crate) fn ping_counts_from_now(&mut self) {
        self.facts.sent = self.now;
        self.open.doubt = self.open.doubt.map(|_| self.now);
        if self.open.is_answer_awaited() {
            self.answer_counts_from_now();
        }
    }

    fn answer_counts_from_now(&mut self) {
        self.pinged_now();
        if let Probe::Out(ping) = self.open.probe {
            let deadline = self.now.after(self.timeout(ping.urgent));
            self.open.probe = Probe::Out(Ping { deadline, ..ping });
        }
    }

    /// The answer has no longer than its whole time from now.
    fn limit(&mut self, ping: Ping<T>) -> T {
        let latest = self.now.after(self.timeout(ping.urgent));
        let deadline = ping.deadline.min(latest);
        self.open.probe = Probe::Out(Ping { deadline, ..ping });
        deadline
    }

    fn pinged_now(&mut self) {
        let by = self.now.since(self.open.pinged);
        self.open.news.age(by);
        self.open.pinged = self.now;
    }

    /// How long an answer may take.
    fn timeout(&self, urgent: bool) -> Duration {
        let least = self.config.pong_timeout();
        let adapted = self.config.adaptive_timeout().zip(self.open.round_trip);
        let (timeout, patience) = match adapted {
            Some((greatest, measured)) => {
                let patience = measured.patience();
                (patience.min(greatest).max(least), patience)
            }
            None => (least, Duration::ZERO),
        };
        if urgent {
            timeout.min(URGENT.max(patience))
        } else {
            timeout
        }
    }

    /// The application has what it connected for. Whether the watches begin.
    pub(crate) fn healthy(&mut self, share: impl FnOnce(Draw) -> Fraction) -> bool {
        let begins = self.open.is_login_awaited();
        self.open.login = Login::Healthy;
        if begins {
            self.begin(share);
        }
        begins
    }

    /// Sends the next ping. Where one is out, it replaces that, or comes after it was
    /// missed.
    pub(crate) fn ping(&mut self, draw: Draw, share: Fraction) {
        let is_news = self.open.news.waits();
        self.pinged_now();
        if is_news {
            self.open.news = News::NOW;
        }
        self.facts.sent = self.now;
        self.open.doubt = None;
        self.draw(draw, share);
        let before = match self.open.probe {
            Probe::Out(ping) if self.now < ping.deadline => {
                self.open.replaced = self.open.replaced.saturating_add(1);
                if self.open.answer != Answer::AwaitedSinceSent {
                    self.open.answer = Answer::Awaited;
                }
                return;
            }
            Probe::Out(ping) => ping,
            Probe::None | Probe::PutOff(_) => Ping {
                deadline: self.now,
                missed: 0,
                is_put_off: false,
                urgent: is_news,
            },
        };
        let deadline = self.now.after(self.timeout(before.urgent));
        self.open.probe = Probe::Out(Ping { deadline, ..before });
        self.open.replaced = 0;
        self.open.answer = Answer::Awaited;
    }

    /// The network changed.
    pub(crate) fn network_changed(&mut self) -> Urgency<T> {
        if self.config.listen_only() || self.open.is_login_awaited() {
            return Urgency::Nothing;
        }
        if let Probe::Out(ping) = self.open.probe {
            let urgent = true;
            return Urgency::Look(self.limit(Ping { urgent, ..ping }));
        }
        self.open.news.wait();
        let due = self.running_news().due;
        if due <= self.now {
            Urgency::Ping
        } else {
            Urgency::Look(due)
        }
    }

    /// Other settings are in force from now on.
    pub(crate) fn reconfigure(&mut self, before: &Config, share: impl FnOnce(Draw) -> Fraction) {
        if self.open.is_login_awaited() {
            if self.running(Watch::Login).is_some() {
                self.keep_put_off(Watch::Login);
            } else {
                self.open.login = Login::Waived;
                self.begin(share);
            }
            return;
        }
        let config = self.config;
        let is_new = |is_on: fn(&Config) -> bool| is_on(config) && !is_on(before);
        if is_new(Config::listen_only) {
            self.open.probe = Probe::None;
            self.open.news.drop_waiting();
        }
        if is_new(Config::listen_only)
            || is_new(Config::watches_silence)
            || is_new(Config::strict_pongs)
        {
            self.begin_life();
        }
        if is_new(|config| config.outbound_interval().is_some()) || is_new(Config::always_ping) {
            self.facts.sent = self.now;
        }
        if config.confirm_within().is_none() {
            self.open.doubt = None;
        }
        if config.message_timeout().is_none() || before.message_timeout().is_none() {
            self.begin_messages();
        }
        self.keep_put_off(Watch::Idle);
        self.keep_put_off(Watch::Messages);
        if let Probe::Out(ping) = self.open.probe {
            self.limit(ping);
        }
        let draw = self.open.draw;
        self.draw(draw, share(draw));
    }

    /// A verdict that was put off falls no later than the new settings would put it
    /// off; where it is not due by these, it was not put off, and where its watch is
    /// off, there is none.
    fn keep_put_off(&mut self, watch: Watch) {
        let mut until = self.put_off(watch);
        if until.is_none() {
            return;
        }
        match self.running(watch) {
            Some(Running { due, lasts }) if due <= self.now => {
                bring_forward(&mut until, self.put_off_until(lasts));
            }
            _ => until = None,
        }
        self.set_put_off(watch, until);
    }

    /// Whether this connection proves that the attempts may count from 1 again.
    pub(crate) fn is_stable(&self, was_given_up: bool) -> bool {
        let (open, config) = (&*self.open, self.config);
        let is_old = self.now.since(open.opened) >= config.stable_after();
        let is_proved = match open.login {
            Login::Healthy => true,
            Login::Awaited | Login::Waived => false,
            Login::NotAsked if was_given_up => false,
            Login::NotAsked if config.message_timeout().is_some() => open.proof.has(Proof::MESSAGE),
            Login::NotAsked if config.strict_pongs() => open.proof.has(Proof::ANSWER),
            Login::NotAsked => self.facts.received.is_some(),
        };
        is_old && is_proved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use crate::time::Time;

    /// As a fleet counts: whole milliseconds, rounded up.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Millis(u32);

    impl Timeline for Millis {
        fn after(self, duration: Duration) -> Self {
            let millis = nanos(duration).div_ceil(1_000_000);
            Self(self.0.saturating_add(millis as u32))
        }

        fn since(self, earlier: Self) -> Duration {
            Duration::from_millis(u64::from(self.0.saturating_sub(earlier.0)))
        }
    }

    /// One connection, and what its steps found.
    struct Kept<T> {
        open: Open<T>,
        facts: Facts<T>,
        armed: T,
        log: Vec<(u8, Option<CloseReason>)>,
    }

    impl<T: Timeline> Kept<T> {
        fn new(config: &Config, now: T) -> Self {
            let (mut open, mut facts) = Open::new(config, |_| Fraction::WHOLE, now);
            let armed = open.at(config, &mut facts, now).next_look();
            let log = Vec::new();
            Self {
                open,
                facts,
                armed,
                log,
            }
        }

        fn step(&mut self, config: &Config, other: &Config, what: u64, now: T) {
            let Self {
                open, facts, log, ..
            } = self;
            let mut watches = open.at(config, facts, now);
            match what {
                0 => watches.received(),
                1 => watches.message(),
                2 => watches.pong(Some(0)),
                3 => drop(watches.sent()),
                4 => watches.draining(),
                5 => watches.ping_sent(Some(1)),
                6 => drop(watches.healthy(|_| Fraction::WHOLE)),
                7 => watches.reconfigure(other, |_| Fraction::WHOLE),
                8 => match watches.network_changed() {
                    Urgency::Ping => watches.ping(Draw::Usual, Fraction::WHOLE),
                    Urgency::Nothing | Urgency::Look(_) => {}
                },
                _ if now < self.armed => {}
                _ => match watches.tick(self.armed) {
                    Beat::Wait => log.push((0, None)),
                    Beat::Dead(reason, _) => log.push((1, Some(reason))),
                    Beat::Ping(draw) => {
                        watches.ping(draw, Fraction::WHOLE);
                        log.push((2, None));
                    }
                },
            }
            self.armed = watches.next_look().max(now);
            #[cfg(feature = "alloc")]
            assert_eq!(open.answer_due().is_some(), open.is_ping_out());
        }
    }

    /// Miri is slow.
    const STEPS: usize = if cfg!(miri) { 100 } else { 5_000 };

    #[test]
    fn counts_the_same_in_whatever_time() {
        let millis = Duration::from_millis;
        let builder = Config::builder()
            .ping_interval(millis(20))
            .send_interval(Some(millis(15)))
            .pong_timeout(millis(9))
            .max_missed(2)
            .late_tolerance(millis(4));
        let configs = [
            builder,
            builder.always_ping(true).message_timeout(Some(millis(60))),
            builder
                .strict_pongs(true)
                .confirm_within(Some(millis(7)))
                .healthy_within(Some(millis(40))),
            builder.listen_only(true).idle_timeout(millis(30)),
        ]
        .map(|builder| builder.build().unwrap());
        let mut rng = Rng::new(7);
        for (at, config) in configs.iter().enumerate() {
            let other = &configs[(at + 1) % configs.len()];
            let mut nanos = Kept::new(config, Time::ORIGIN);
            let mut whole = Kept::new(config, Millis(0));
            let mut now = 0;
            for _ in 0..STEPS {
                now += rng.up_to(9) as u32;
                let what = rng.up_to(14);
                let time = Time::ORIGIN.after(millis(u64::from(now)));
                nanos.step(config, other, what, time);
                whole.step(config, other, what, Millis(now));
                let armed = nanos.armed.since(Time::ORIGIN);
                assert_eq!(armed, whole.armed.since(Millis(0)));
            }
            assert_eq!(nanos.log, whole.log);
            assert!(nanos.log.len() > STEPS / 50);
        }
    }
}
