//! The rules of an open connection: two silences, one probe, and the verdict.
//!
//! Apart from the settings and from the random numbers, so that a million
//! connections can share one of each.

use core::time::Duration;

use crate::action::CloseReason;
use crate::config::Config;
use crate::event::{Epoch, PingId};
use crate::random::{Fraction, Rng};
use crate::rtt::RoundTrip;
use crate::time::{SECOND, Time, nanos};

/// After a change of network an answer has at most this long.
const URGENT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    opened: Time,
    /// The last inbound activity; `opened` until there is one.
    received: Time,
    /// Outbound silence counts from here: the last thing that went out, or the
    /// last look at a probe that was still out then.
    sent: Time,
    /// The deadline of the ping that is out.
    probe: Option<Time>,
    /// From where the round trip of the last ping counts.
    pinged: Time,
    /// A late clock was forgiven in this silence, and where no ping can be sent
    /// the verdict put off until then.
    spared: Option<Time>,
    round_trip: Option<RoundTrip>,
    /// How many pings this connection has had.
    pings: u32,
    /// The drawn share of both intervals, until the next ping.
    share: Fraction,
    /// How long before `pinged` a change of network last made a ping, in
    /// nanoseconds; the greatest if it is long ago.
    urged: u32,
    missed: u8,
    heard: bool,
    healthy: bool,
    answer: Answer,
}

/// What the last ping waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing: its pong came, or there was no ping.
    NotAwaited,
    /// Its pong, and `PingSent` may come before.
    Awaited,
    /// Its pong; it has left the write buffer.
    AwaitedSinceFlush,
}

/// What a tick at the deadline finds.
pub(crate) enum Beat {
    /// Nothing yet: look again at this time.
    Wait(Time),
    Ping,
    Dead(CloseReason),
}

impl Open {
    pub(crate) fn new(config: &Config, rng: &mut Rng, now: Time) -> Self {
        Self {
            opened: now,
            received: now,
            sent: now,
            probe: None,
            pinged: now,
            spared: None,
            round_trip: None,
            pings: 0,
            share: first_share(config, rng),
            urged: u32::MAX,
            missed: 0,
            heard: false,
            healthy: false,
            answer: Answer::NotAwaited,
        }
    }

    /// Any inbound activity is life: it ends the probe and the silence.
    pub(crate) fn received(&mut self, now: Time) {
        self.received = now;
        self.heard = true;
        self.probe = None;
        self.missed = 0;
        self.spared = None;
    }

    pub(crate) fn pong(&mut self, id: PingId, epoch: Epoch, now: Time) {
        if self.awaited_ping(epoch) == Some(id) {
            self.answer = Answer::NotAwaited;
            let sample = now.since(self.pinged);
            self.round_trip = Some(RoundTrip::with(self.round_trip, sample));
        }
        self.received(now);
    }

    pub(crate) fn sent(&mut self, now: Time) {
        self.sent = now;
    }

    /// The time in the write buffer is not the peer's: the deadline moves by it,
    /// by at most one timeout.
    pub(crate) fn ping_sent(&mut self, id: PingId, epoch: Epoch, config: &Config, now: Time) {
        if self.answer != Answer::Awaited || self.awaited_ping(epoch) != Some(id) {
            return;
        }
        if let Some(deadline) = self.probe {
            let buffered = now.since(self.pinged).min(self.timeout(config));
            self.probe = Some(deadline.after(buffered));
            self.counts_from(now);
            self.answer = Answer::AwaitedSinceFlush;
        }
    }

    pub(crate) fn healthy(&mut self) {
        self.healthy = true;
    }

    /// Looks at what is due. To be called at the deadline, not before.
    pub(crate) fn tick(&mut self, config: &Config, now: Time) -> Beat {
        if config.listen_only() {
            return self.judge_silence(config, now);
        }
        match self.probe {
            Some(deadline) if now >= deadline => self.miss(config, deadline, now),
            None if now >= self.quiet_until(config) => Beat::Ping,
            _ => Beat::Wait(self.next_look(config, now)),
        }
    }

    fn miss(&mut self, config: &Config, deadline: Time, now: Time) -> Beat {
        let missed = self.missed.saturating_add(1);
        let is_last = u32::from(missed) >= config.max_missed();
        if is_last && self.forgives(config, deadline, now, Duration::ZERO) {
            return Beat::Ping;
        }
        self.missed = missed;
        if is_last {
            Beat::Dead(CloseReason::PongTimeout)
        } else {
            Beat::Ping
        }
    }

    fn judge_silence(&mut self, config: &Config, now: Time) -> Beat {
        let deadline = self.silent_until(config);
        if now < deadline || self.forgives(config, deadline, now, grace(config)) {
            Beat::Wait(self.next_look(config, now))
        } else {
            Beat::Dead(CloseReason::IdleTimeout)
        }
    }

    /// Whether this tick is so late that it was this process that was away. Once
    /// per silence.
    fn forgives(&mut self, config: &Config, deadline: Time, now: Time, grace: Duration) -> bool {
        let forgives = self.spared.is_none() && now.since(deadline) > config.late_tolerance();
        if forgives {
            self.spared = Some(now.after(grace));
        }
        forgives
    }

    /// The next ping, and when to look then. Only where none is out.
    pub(crate) fn ping(
        &mut self,
        config: &Config,
        rng: &mut Rng,
        epoch: Epoch,
        now: Time,
    ) -> (PingId, Time) {
        self.pings = self.pings.wrapping_add(1);
        self.counts_from(now);
        self.sent = now;
        self.answer = Answer::Awaited;
        self.probe = Some(now.after(self.timeout(config)));
        self.share = Fraction::jittered(config.jitter(), rng);
        (PingId::new(epoch, self.pings), self.next_look(config, now))
    }

    fn counts_from(&mut self, now: Time) {
        let urged = nanos(self.since_urged(now));
        self.urged = u32::try_from(urged).unwrap_or(u32::MAX);
        self.pinged = now;
    }

    fn since_urged(&self, now: Time) -> Duration {
        let before = Duration::from_nanos(u64::from(self.urged));
        now.since(self.pinged).saturating_add(before)
    }

    /// Whether a change of network asks for a ping at once.
    pub(crate) fn is_urged(&self, config: &Config, now: Time) -> bool {
        !config.listen_only() && self.probe.is_none() && self.since_urged(now) >= SECOND
    }

    /// The ping that was just sent is owed to a change of network.
    pub(crate) fn urged(&mut self) {
        self.urged = 0;
    }

    /// After a change of network the ping that is out has little time left.
    /// Returns its deadline.
    pub(crate) fn hurry(&mut self, config: &Config, now: Time) -> Option<Time> {
        if config.listen_only() {
            return None;
        }
        self.shorten(now.after(self.timeout(config).min(URGENT)));
        self.probe
    }

    pub(crate) fn reconfigure(&mut self, config: &Config, rng: &mut Rng, now: Time) {
        self.shorten(now.after(self.timeout(config)));
        let latest = now.after(grace(config));
        self.spared = self.spared.map(|until| until.min(latest));
        self.share = if self.pings == 0 {
            first_share(config, rng)
        } else {
            Fraction::jittered(config.jitter(), rng)
        };
    }

    /// Not by `map` and `min`: with those, release builds of Rust 1.95 take a probe
    /// that is absent for one that is long due.
    fn shorten(&mut self, latest: Time) {
        if self.probe.is_some_and(|deadline| latest < deadline) {
            self.probe = Some(latest);
        }
    }

    /// When to look next. While a ping is out also once an interval, since what
    /// ends the probe does not move the deadline.
    pub(crate) fn next_look(&mut self, config: &Config, now: Time) -> Time {
        if config.listen_only() {
            let silent_until = self.silent_until(config);
            return self
                .spared
                .map_or(silent_until, |until| until.max(silent_until));
        }
        match self.probe {
            None => self.quiet_until(config),
            Some(deadline) => {
                self.sent = self.sent.max(now);
                let inbound = self.interval(config);
                let interval = self
                    .send_interval(config)
                    .map_or(inbound, |out| out.min(inbound));
                deadline.min(now.after(interval))
            }
        }
    }

    /// The same before the deadline, which stays while a ping is out or a verdict
    /// was put off.
    pub(crate) fn look_again(&self, config: &Config, deadline: Time) -> Time {
        if config.listen_only() {
            self.silent_until(config).max(deadline)
        } else if self.probe.is_some() {
            deadline
        } else {
            self.quiet_until(config).max(deadline)
        }
    }

    /// Until when neither silence asks for a ping.
    fn quiet_until(&self, config: &Config) -> Time {
        let inbound = self.received.after(self.interval(config));
        match self.send_interval(config) {
            Some(interval) => inbound.min(self.sent.after(interval)),
            None => inbound,
        }
    }

    /// Until when silence is no death, in listen-only.
    fn silent_until(&self, config: &Config) -> Time {
        self.received.after(config.idle_timeout())
    }

    fn interval(&self, config: &Config) -> Duration {
        self.share.of(config.ping_interval())
    }

    fn send_interval(&self, config: &Config) -> Option<Duration> {
        config
            .send_interval()
            .map(|interval| self.share.of(interval))
    }

    fn timeout(&self, config: &Config) -> Duration {
        let least = config.pong_timeout();
        match (config.adaptive_timeout(), self.round_trip) {
            (Some(greatest), Some(measured)) => measured.patience().min(greatest).max(least),
            _ => least,
        }
    }

    /// Whether this connection proves that attempts may count from 1 again.
    pub(crate) fn is_stable(&self, config: &Config, now: Time) -> bool {
        self.healthy || (self.heard && now.since(self.opened) >= config.stable_after())
    }

    pub(crate) fn awaited_ping(&self, epoch: Epoch) -> Option<PingId> {
        (self.answer != Answer::NotAwaited).then(|| PingId::new(epoch, self.pings))
    }

    pub(crate) fn is_ping_out(&self) -> bool {
        self.probe.is_some()
    }

    pub(crate) fn missed(&self) -> u32 {
        u32::from(self.missed)
    }

    pub(crate) fn round_trip(&self) -> Option<RoundTrip> {
        self.round_trip
    }

    pub(crate) fn last_received(&self) -> Option<Time> {
        self.heard.then_some(self.received)
    }
}

/// For how long a late verdict in listen-only is put off.
fn grace(config: &Config) -> Duration {
    config.late_tolerance().min(config.idle_timeout())
}

fn first_share(config: &Config, rng: &mut Rng) -> Fraction {
    if config.random_phase() {
        Fraction::phase(rng)
    } else {
        Fraction::jittered(config.jitter(), rng)
    }
}
