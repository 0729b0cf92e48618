//! What the targets share: anything that may happen to a heartbeat, as few bytes,
//! so that the fuzzer mutates operations and not encodings.
//!
//! - `operations`: the invariants of the contract, under the oracle of the tests.
//! - `reference`: the heartbeat against the slow machine of the tests.
//! - `driver`: the driver in virtual time, under the oracle of its tests.
//! - `fleet`: a fleet against as many single heartbeats.
//! - `config`: settings as text and from the builder.
//! - `codecs`: ids, messages, close codes and errors of tungstenite.
//!
//! `cargo +nightly fuzz run -s none operations` runs one until it finds something,
//! `.ci/run fuzz` each for a minute, `FUZZ_SECONDS=3600 .ci/run fuzz` for an hour.

#[path = "../../tests/support/driver/mod.rs"]
pub mod driver;
#[path = "../../tests/support/oracle.rs"]
pub mod oracle;
#[path = "../../tests/support/reference.rs"]
pub mod reference;
#[path = "../../tests/support/world.rs"]
pub mod world;

use std::time::Duration;

use arbitrary::Arbitrary;
use keepalive::{CloseCode, Config, Loss, Retry};

use oracle::Trace;
use world::{Late, Step, Wait, What, Which, play};

pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// More of them would be slow, and show nothing that fewer do not.
const MOST_OPERATIONS: usize = 200;

/// A heartbeat, and all that happens to it.
#[derive(Arbitrary, Debug)]
pub struct Story {
    config: Settings,
    seed: u64,
    start: Start,
    operations: Vec<(Pause, Operation)>,
}

#[derive(Arbitrary, Debug)]
enum Start {
    Origin,
    After(Span),
    BeforeTheEnd(Span),
}

#[derive(Arbitrary, Debug)]
enum Pause {
    No,
    For(Span),
    Back(Span),
    ToDeadline,
    PastDeadline(Span),
    ShortOfDeadline(Span),
    /// To the deadline, and there is a tick.
    Tick,
    /// Between dials, and between urged pings.
    Second,
    Years,
    ToTheEnd,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Start,
    Opened,
    Received,
    Message,
    Pong(Ping),
    Sent,
    Draining,
    PingSent(Ping),
    Tick,
    Closed(Option<Code>, Option<Hint>, Option<Decision>),
    Refused(u16, Option<Hint>, Option<Decision>),
    Error(Option<Decision>),
    NetworkChanged,
    Healthy,
    GiveUp(Option<Code>, Option<Hint>, Option<Decision>),
    ReconnectNow,
    Stop,
    Reconfigure(Box<Settings>),
    Late(u8, Old),
}

#[derive(Arbitrary, Debug)]
enum Ping {
    Awaited,
    Earlier(u8),
    Foreign(u64),
}

#[derive(Arbitrary, Debug)]
enum Old {
    Opened,
    Received,
    Message,
    Sent,
    Error,
    Closed,
    Refused,
    Healthy,
    GiveUp,
    Tick,
}

#[derive(Arbitrary, Debug)]
enum Code {
    Known(u8),
    Any(u16),
}

#[derive(Arbitrary, Debug)]
enum Hint {
    Short(Span),
    Greatest,
}

/// The application's own.
#[derive(Arbitrary, Debug)]
enum Decision {
    Stop,
    Backoff,
    Spread,
    Between(Span, Span),
}

/// So many of a unit: round, so that sums of them meet.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Span(u16);

impl Span {
    fn duration(self) -> Duration {
        const NANOS: [u64; 16] = [
            1,
            10,
            100,
            1_000,
            10_000,
            100_000,
            1_000_000,
            1_000_000,
            10_000_000,
            100_000_000,
            1_000_000_000,
            1_000_000_000,
            10_000_000_000,
            60_000_000_000,
            600_000_000_000,
            3_600_000_000_000,
        ];
        let (count, unit) = (self.0 & 0xfff, self.0 >> 12);
        Duration::from_nanos(u64::from(count) * NANOS[usize::from(unit)])
    }

    fn setting(self) -> Duration {
        self.duration().clamp(MILLISECOND, DAY)
    }
}

/// Settings within their bounds.
#[derive(Arbitrary, Debug)]
pub struct Settings {
    ping_interval: Span,
    send_interval: Option<Span>,
    always_ping: bool,
    jitter: u8,
    random_phase: bool,
    pong_timeout: Span,
    max_missed: u8,
    adaptive_timeout: Option<Span>,
    strict_pongs: bool,
    confirm_within: Option<Span>,
    late_tolerance: Span,
    listen_only: bool,
    idle_timeout: Span,
    message_timeout: Option<Span>,
    healthy_within: Option<Span>,
    connect_timeout: Span,
    close_timeout: Span,
    reconnects_not: bool,
    first_spread: Span,
    backoff: [Span; 3],
    backoff_factor: u8,
    stable_after: Span,
    max_attempts: Option<u8>,
    max_elapsed: Option<Span>,
    policy: Policy,
}

#[derive(Arbitrary, Debug)]
enum Policy {
    Default,
    StopWhenRefused,
    Never,
    Always,
    Spread,
    Between,
}

impl Story {
    /// Plays it, and returns what the heartbeat did.
    #[must_use]
    pub fn play(&self) -> Trace {
        let start = match self.start {
            Start::Origin => Duration::ZERO,
            Start::After(span) => span.duration(),
            Start::BeforeTheEnd(span) => Duration::MAX - span.duration(),
        };
        let operations = self.operations.iter().take(MOST_OPERATIONS);
        let steps = Vec::from_iter(operations.map(|(pause, operation)| Step {
            wait: pause.wait(),
            what: operation.what(pause),
        }));
        play(self.config.config(), self.seed, start, &steps)
            .watched
            .trace
    }

    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

impl Pause {
    fn wait(&self) -> Wait {
        match self {
            Self::No => Wait::No,
            Self::For(span) => Wait::For(span.duration()),
            Self::Back(span) => Wait::Back(span.duration()),
            Self::ToDeadline | Self::Tick => Wait::ToDeadline,
            Self::PastDeadline(span) => Wait::PastDeadline(span.duration()),
            Self::ShortOfDeadline(span) => Wait::ShortOfDeadline(span.duration()),
            Self::Second => Wait::For(Duration::from_secs(1)),
            Self::Years => Wait::For(DAY * 365 * 600),
            Self::ToTheEnd => Wait::ToTheEnd,
        }
    }
}

impl Operation {
    fn what(&self, pause: &Pause) -> What {
        if matches!(pause, Pause::Tick) {
            return What::Tick;
        }
        match self {
            Self::Start => What::Start,
            Self::Opened => What::Opened,
            Self::Received => What::Received,
            Self::Message => What::Message,
            Self::Pong(ping) => What::Pong(ping.which()),
            Self::Sent => What::Sent,
            Self::Draining => What::Draining,
            Self::PingSent(ping) => What::PingSent(ping.which()),
            Self::Tick => What::Tick,
            Self::Closed(code, hint, decision) => What::Closed(
                code.as_ref().map(Code::number),
                hint.as_ref().map(Hint::duration),
                decision.as_ref().map(Decision::retry),
            ),
            Self::Refused(status, hint, decision) => What::Refused(
                *status,
                hint.as_ref().map(Hint::duration),
                decision.as_ref().map(Decision::retry),
            ),
            Self::Error(decision) => What::Error(decision.as_ref().map(Decision::retry)),
            Self::NetworkChanged => What::NetworkChanged,
            Self::Healthy => What::Healthy,
            Self::GiveUp(code, hint, decision) => What::GiveUp(
                code.as_ref().map(Code::number),
                hint.as_ref().map(Hint::duration),
                decision.as_ref().map(Decision::retry),
            ),
            Self::ReconnectNow => What::ReconnectNow,
            Self::Stop => What::Stop,
            Self::Reconfigure(settings) => What::Reconfigure(settings.config()),
            Self::Late(age, old) => What::Late(usize::from(*age), old.late()),
        }
    }
}

impl Ping {
    fn which(&self) -> Which {
        match self {
            Self::Awaited => Which::Awaited,
            Self::Earlier(age) => Which::Earlier(usize::from(*age)),
            Self::Foreign(id) => Which::Foreign(*id),
        }
    }
}

impl Old {
    fn late(&self) -> Late {
        match self {
            Self::Opened => Late::Opened,
            Self::Received => Late::Received,
            Self::Message => Late::Message,
            Self::Sent => Late::Sent,
            Self::Error => Late::Error,
            Self::Closed => Late::Closed,
            Self::Refused => Late::Refused,
            Self::Healthy => Late::Healthy,
            Self::GiveUp => Late::GiveUp,
            Self::Tick => Late::Tick,
        }
    }
}

impl Code {
    fn number(&self) -> u16 {
        match self {
            Self::Known(code) => 1000 + u16::from(code % 16),
            Self::Any(code) => *code,
        }
    }
}

impl Hint {
    fn duration(&self) -> Duration {
        match self {
            Self::Short(span) => span.duration(),
            Self::Greatest => Duration::MAX,
        }
    }
}

impl Decision {
    fn retry(&self) -> Retry {
        match self {
            Self::Stop => Retry::Stop,
            Self::Backoff => Retry::Backoff,
            Self::Spread => Retry::Spread,
            Self::Between(least, greatest) => Retry::Between {
                least: least.duration(),
                greatest: greatest.duration(),
            },
        }
    }
}

impl Settings {
    fn config(&self) -> Config {
        let mut backoff = self.backoff.map(Span::setting);
        backoff.sort();
        let [floor, base, cap] = backoff;
        let pong_timeout = self.pong_timeout.setting();
        let adaptive = self.adaptive_timeout.map(Span::setting);
        let confirm_within = self.confirm_within.map(Span::setting);
        let builder = Config::builder()
            .ping_interval(self.ping_interval.setting())
            .send_interval(self.send_interval.map(Span::setting))
            .always_ping(self.always_ping && !self.listen_only)
            .jitter(f64::from(self.jitter) / 510.0)
            .random_phase(self.random_phase)
            .pong_timeout(pong_timeout)
            .max_missed(u32::from(self.max_missed % 100) + 1)
            .adaptive_timeout(adaptive.map(|greatest| greatest.max(pong_timeout)))
            .strict_pongs(self.strict_pongs && !self.listen_only)
            .confirm_within(confirm_within.filter(|_| !self.listen_only))
            .late_tolerance(self.late_tolerance.setting())
            .listen_only(self.listen_only)
            .idle_timeout(self.idle_timeout.setting())
            .message_timeout(self.message_timeout.map(Span::setting))
            .healthy_within(self.healthy_within.map(Span::setting))
            .connect_timeout(self.connect_timeout.setting())
            .close_timeout(self.close_timeout.setting())
            .reconnect(!self.reconnects_not)
            .first_spread(self.first_spread.setting())
            .backoff_floor(floor)
            .backoff_base(base)
            .backoff_cap(cap)
            .backoff_factor(1.0 + f64::from(self.backoff_factor) / 255.0 * 99.0)
            .stable_after(self.stable_after.setting())
            .max_attempts(self.max_attempts.map(|most| u32::from(most) + 1))
            .max_elapsed(self.max_elapsed.map(Span::setting));
        let builder = match self.policy.policy() {
            Some(policy) => builder.policy(policy),
            None => builder,
        };
        builder.build().expect("the bounds are kept")
    }
}

impl Policy {
    fn policy(&self) -> Option<keepalive::Policy> {
        match self {
            Self::Default => None,
            Self::StopWhenRefused => Some(keepalive::stop_when_refused),
            Self::Never => Some(|_| Retry::Stop),
            Self::Always => Some(|_| Retry::Backoff),
            Self::Spread => Some(|_| Retry::Spread),
            Self::Between => Some(|loss| match loss {
                Loss::Closed(Some(CloseCode(code))) | Loss::Refused(code) => Retry::Between {
                    least: Duration::from_millis(u64::from(code)),
                    greatest: Duration::from_secs(u64::from(code % 7) * 40_000),
                },
                _ => Retry::Between {
                    least: Duration::MAX,
                    greatest: Duration::ZERO,
                },
            }),
        }
    }
}
