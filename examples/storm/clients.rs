//! Clients that come back: this crate's, and those of other rules.

use std::time::Duration;

use keepalive::{Action, CloseCode, Closed, Config, Event, Heartbeat};

/// Virtual time, in milliseconds since the server went down.
pub(crate) type Millis = u64;

/// What a client does when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Dial,
    /// The dial under way took too long.
    Abandon,
    Ping,
}

/// A client as the simulation sees it. It begins with a connection that is open.
pub(crate) trait Client {
    fn lost(&mut self, now: Millis);
    /// The dial under way was refused.
    fn refused(&mut self, now: Millis);
    fn opened(&mut self, now: Millis);
    fn pong(&mut self, now: Millis);
    /// Time has passed. Without effect before the deadline.
    fn tick(&mut self, now: Millis) -> Option<Act>;
    /// When to tick.
    fn deadline(&self) -> Option<Millis>;
}

/// A client of this crate.
pub(crate) struct Ours {
    heartbeat: Heartbeat<Duration>,
    /// With which the server says goodbye, if it does.
    code: Option<CloseCode>,
}

/// How long connections have been open when the server goes down.
const AGE: Millis = 60_000;

impl Ours {
    pub(crate) fn new(config: Config, code: Option<CloseCode>, seed: u64) -> Self {
        let mut heartbeat = Heartbeat::new(config, seed);
        heartbeat
            .handle(Event::Opened, Duration::ZERO)
            .for_each(drop);
        Self { heartbeat, code }
    }

    fn handle(&mut self, event: Event, now: Millis) -> Option<Act> {
        let actions = self.heartbeat.handle(event, instant(now));
        actions.fold(None, |act, action| match action {
            Action::Connect => Some(Act::Dial),
            Action::Close(_) => Some(Act::Abandon),
            Action::SendPing(_) => Some(Act::Ping),
            _ => act,
        })
    }
}

fn instant(now: Millis) -> Duration {
    Duration::from_millis(AGE + now)
}

impl Client for Ours {
    fn lost(&mut self, now: Millis) {
        let code = self.code;
        let closed = Closed::from(code);
        self.handle(Event::Closed(closed), now);
    }

    fn refused(&mut self, now: Millis) {
        self.handle(Event::Error(None), now);
    }

    fn opened(&mut self, now: Millis) {
        self.handle(Event::Opened, now);
    }

    fn pong(&mut self, now: Millis) {
        self.handle(Event::Received, now);
    }

    fn tick(&mut self, now: Millis) -> Option<Act> {
        self.handle(Event::Tick, now)
    }

    fn deadline(&self) -> Option<Millis> {
        let nanos = self.heartbeat.deadline()?.as_nanos();
        Some((nanos.div_ceil(1_000_000) as Millis).saturating_sub(AGE))
    }
}

/// How another client waits before its dials.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// At once.
    Immediate,
    /// Always as long.
    Fixed(Millis),
    /// Doubles from 1 s to 60 s, without jitter.
    Exponential,
    /// socket.io's: doubles from 1 s, more or less up to half of it; then at most 5 s, so
    /// that late delays are 5 s without jitter.
    SocketIo,
    /// gRPC's: at once, then from dial to dial times 1.6 from 1 s to 120 s, with a fifth
    /// as jitter from the third dial on.
    Grpc,
}

impl Rule {
    /// The delay after this many failed dials.
    fn delay(self, failures: u32, random: &mut Random) -> Millis {
        match self {
            Self::Immediate => 0,
            Self::Fixed(delay) => delay,
            Self::Exponential => 1000_u64.saturating_mul(1 << failures.min(16)).min(60_000),
            Self::SocketIo => {
                let delay = 1000.0 * f64::from(failures.min(32)).exp2();
                // The sign is drawn from the same number as the size.
                let share = random.unit();
                let sign = if (share * 10.0) as u32 % 2 == 0 {
                    -1.0
                } else {
                    1.0
                };
                (delay * (1.0 + sign * 0.5 * share)).min(5000.0) as Millis
            }
            Self::Grpc => match failures {
                0 => 0,
                1 => 1000,
                _ => {
                    let delay = (1000.0 * 1.6_f64.powi(failures.min(64) as i32 - 1)).min(120_000.0);
                    (delay * (0.8 + 0.4 * random.unit())) as Millis
                }
            },
        }
    }

    /// Whether a delay counts from when the last dial began, not from when it failed.
    const fn is_from_dial(self) -> bool {
        matches!(self, Self::Grpc)
    }
}

/// A client that dials by a rule, and pings at a fixed interval from its opening.
pub(crate) struct Other {
    rule: Rule,
    random: Random,
    failures: u32,
    dialled: Millis,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Waiting { until: Millis },
    Dialling { until: Millis },
    Open { ping: Millis },
}

const INTERVAL: Millis = 25_000;
/// How long a dial may take: socket.io's, gRPC's least, and this crate's.
const PATIENCE: Millis = 20_000;

impl Other {
    pub(crate) fn new(rule: Rule, seed: u64) -> Self {
        Self {
            rule,
            random: Random(seed),
            failures: 0,
            dialled: 0,
            phase: Phase::Open { ping: INTERVAL },
        }
    }

    fn wait(&mut self, now: Millis) {
        let delay = self.rule.delay(self.failures, &mut self.random);
        let is_from_dial = self.rule.is_from_dial() && self.failures > 0;
        let from = if is_from_dial { self.dialled } else { now };
        let until = (from + delay).max(now);
        self.phase = Phase::Waiting { until };
    }
}

impl Client for Other {
    fn lost(&mut self, now: Millis) {
        self.failures = 0;
        self.wait(now);
    }

    fn refused(&mut self, now: Millis) {
        self.failures += 1;
        self.wait(now);
    }

    fn opened(&mut self, now: Millis) {
        let ping = now + INTERVAL;
        self.phase = Phase::Open { ping };
    }

    fn pong(&mut self, _now: Millis) {}

    fn tick(&mut self, now: Millis) -> Option<Act> {
        if self.deadline()? > now {
            return None;
        }
        match &mut self.phase {
            Phase::Waiting { .. } => {
                self.dialled = now;
                let until = now + PATIENCE;
                self.phase = Phase::Dialling { until };
                Some(Act::Dial)
            }
            Phase::Dialling { .. } => {
                self.refused(now);
                Some(Act::Abandon)
            }
            Phase::Open { ping } => {
                *ping = now + INTERVAL;
                Some(Act::Ping)
            }
        }
    }

    fn deadline(&self) -> Option<Millis> {
        let (Phase::Waiting { until: at }
        | Phase::Dialling { until: at }
        | Phase::Open { ping: at }) = self.phase;
        Some(at)
    }
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// U[0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// U[0, `count`).
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }
}
