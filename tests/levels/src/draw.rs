//! What happens, when, and under which settings: drawn from a seed.

use core::time::Duration;

use keepalive::{
    CloseCode, Closed, Config, Event, Loss, PingId, Policy, Refused, Retry, default_policy,
    stop_when_refused,
};

/// SplitMix64.
pub struct Draw(u64);

/// How long what is drawn lasts.
#[derive(Clone, Copy, PartialEq)]
pub enum Waits {
    /// A few seconds at most, so that much is due at a time.
    Short,
    Any,
}

const SECOND: Duration = Duration::from_secs(1);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    fn one_in(&mut self, so_many: u64) -> bool {
        self.below(so_many) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    pub fn start(&mut self) -> Duration {
        match self.below(8) {
            // Time may end soon.
            0 => Duration::MAX - self.duration(Waits::Any) * 50,
            1 => Duration::from_nanos(u64::MAX),
            2..5 => self.duration(Waits::Any),
            _ => Duration::ZERO,
        }
    }

    /// What the clock says next.
    pub fn instant(&mut self, now: Duration, armed: Duration, waits: Waits) -> Duration {
        match self.below(64) {
            0..20 => armed,
            20..26 => armed.saturating_add(self.duration(waits)),
            26..29 => armed.saturating_sub(self.duration(waits)),
            29..44 => now,
            44..58 => now.saturating_add(self.duration(waits) / 8),
            58..60 => now.saturating_add(self.duration(waits)),
            60..62 => now.saturating_sub(self.duration(Waits::Any)),
            62 => now.saturating_add(self.duration(Waits::Any)),
            _ if self.one_in(100) => Duration::MAX,
            _ => armed.saturating_add(Duration::from_nanos(1)),
        }
    }

    pub fn event(&mut self, ids: [PingId; 2]) -> Event {
        match self.below(64) {
            0..30 => Event::Tick,
            30..42 => self.fact(ids),
            42..46 => Event::Start,
            46..51 => Event::Opened,
            51..53 => Event::Closed(self.closed()),
            53 => Event::Refused(self.refused()),
            54..56 => Event::Error(self.retry()),
            56..59 => Event::NetworkChanged,
            59 => Event::GiveUp(self.closed()),
            60 => Event::ReconnectNow,
            61 if self.one_in(4) => Event::Stop,
            _ => Event::Tick,
        }
    }

    /// What only notes something.
    pub fn fact(&mut self, ids: [PingId; 2]) -> Event {
        let id = self.of(&ids);
        match self.below(16) {
            0..3 => Event::Received,
            3..5 => Event::Message,
            5..8 => Event::Sent,
            8..11 => Event::Pong(id),
            11..13 => Event::Draining,
            13 => Event::PingSent(id),
            14 => Event::Healthy,
            _ => Event::Pong(PingId::from_bytes(self.number().to_be_bytes())),
        }
    }

    fn closed(&mut self) -> Closed {
        let codes = [
            None,
            Some(1000),
            Some(1002),
            Some(1012),
            Some(1013),
            Some(4000),
        ];
        let mut closed = Closed::from(self.of(&codes).map(CloseCode));
        closed.retry_after = self.hint();
        closed.retry = self.retry();
        closed
    }

    fn refused(&mut self) -> Refused {
        let mut refused = Refused::with_status(self.of(&[401, 403, 404, 429, 503]));
        refused.retry_after = self.hint();
        refused.retry = self.retry();
        refused
    }

    fn hint(&mut self) -> Option<Duration> {
        self.one_in(4).then(|| self.duration(Waits::Any))
    }

    fn retry(&mut self) -> Option<Retry> {
        match self.below(16) {
            0 => Some(Retry::Spread),
            1 => Some(Retry::Backoff),
            2 => Some(Retry::Between {
                least: self.duration(Waits::Short),
                greatest: self.duration(Waits::Short),
            }),
            3 if self.one_in(4) => Some(Retry::Stop),
            _ => None,
        }
    }

    /// From 1 ms to an hour, whole milliseconds or not.
    fn duration(&mut self, waits: Waits) -> Duration {
        let least = Duration::from_millis(1);
        let greatest = match waits {
            Waits::Short => 3 * SECOND,
            Waits::Any => self.of(&[SECOND, 60 * SECOND, 3600 * SECOND]),
        };
        let more = self.below((greatest - least).as_nanos() as u64);
        let drawn = least + Duration::from_nanos(more);
        if self.one_in(2) {
            Duration::from_millis(drawn.as_millis() as u64)
        } else {
            drawn
        }
    }

    fn maybe(&mut self, so_many: u64, waits: Waits) -> Option<Duration> {
        self.one_in(so_many).then(|| self.duration(waits))
    }

    /// Settings that are valid; each of them is on now and then.
    pub fn config(&mut self, waits: Waits) -> Config {
        loop {
            if let Ok(config) = self.some_config(waits) {
                return config;
            }
        }
    }

    fn some_config(&mut self, waits: Waits) -> Result<Config, keepalive::ConfigError> {
        let mut backoff = [(); 3].map(|()| self.duration(waits));
        backoff.sort();
        let [floor, base, cap] = backoff;
        let pong_timeout = self.duration(waits);
        let adapted = self.maybe(4, waits).map(|more| pong_timeout + more);
        let builder = Config::builder()
            .ping_interval(self.duration(waits))
            .send_interval(self.maybe(2, waits))
            .always_ping(self.one_in(4))
            .jitter(self.of(&[0.0, 0.2, 0.5]))
            .random_phase(self.one_in(2))
            .pong_timeout(pong_timeout)
            .max_missed(self.of(&[1, 1, 2, 3, 100]))
            .adaptive_timeout(adapted)
            .strict_pongs(self.one_in(5))
            .confirm_within(self.maybe(3, waits))
            .late_tolerance(self.duration(waits) / 2 + Duration::from_millis(1))
            .listen_only(self.one_in(6))
            .idle_timeout(self.duration(waits));
        builder
            .message_timeout(self.maybe(5, waits))
            .healthy_within(self.maybe(5, waits))
            .connect_timeout(self.duration(waits))
            .close_timeout(self.duration(waits))
            .reconnect(!self.one_in(8))
            .first_spread(self.duration(waits))
            .backoff_floor(floor)
            .backoff_base(base)
            .backoff_cap(cap)
            .backoff_factor(self.of(&[1.0, 1.5, 2.0, 100.0]))
            .stable_after(self.duration(waits))
            .max_attempts(self.of(&[None, None, None, Some(1), Some(5)]))
            .max_elapsed(self.maybe(6, waits))
            .policy(self.of(&POLICIES))
            .build()
    }
}

const POLICIES: [Policy; 3] = [default_policy, stop_when_refused, |loss| match loss {
    Loss::Closed(_) => Retry::Spread,
    Loss::Refused(_) => Retry::Between {
        least: Duration::from_millis(1),
        greatest: SECOND,
    },
    other => default_policy(other),
}];
