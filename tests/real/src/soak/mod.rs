//! Random faults on hundreds of connections, through all adapters, and a judge that knows
//! what was done to each.

mod flat;
mod judge;
mod line;
mod member;
mod plan;
mod report;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use keepalive::{CloseCode, Config, Loss, Retry, default_policy};

pub use judge::run;
pub use server::run as serve;

/// So many listeners; a client dials the one of its group.
const GROUPS: usize = 10;

/// How late a late handshake is: less than `connect_timeout`.
const LATE: Duration = Duration::from_millis(1500);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    pub connections: usize,
    pub lasts: Duration,
    pub seed: u64,
    pub plant: Option<Plant>,
    pub write: Option<PathBuf>,
}

/// What is made wrong, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Client 0 has no heartbeat and goes mute: a fault is missed.
    Missed,
    /// The server goes mute on one connection, which the judge does not know.
    Conviction,
    /// The server forgets one message.
    Message,
    /// The server refuses client 0 for longer than the judge thinks.
    Healing,
    /// A file is opened each second.
    Descriptor,
    /// A thread is started each second.
    Thread,
    /// A task is spawned each second.
    Task,
    /// 64 kB are leaked each second.
    Memory,
}

impl Plant {
    pub const ALL: [(&'static str, Self); 8] = [
        ("missed", Self::Missed),
        ("conviction", Self::Conviction),
        ("message", Self::Message),
        ("healing", Self::Healing),
        ("descriptor", Self::Descriptor),
        ("thread", Self::Thread),
        ("task", Self::Task),
        ("memory", Self::Memory),
    ];

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(word, _)| *word == name)?;
        Some(found.1)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, plant)| *plant == self);
        found.map_or("", |(name, _)| name)
    }
}

/// How dials fail for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DialFault {
    Drop,
    Busy,
    Hang,
    Late,
}

impl DialFault {
    fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Busy => "503",
            Self::Hang => "hang",
            Self::Late => "late",
        }
    }

    fn parse(name: &str) -> Self {
        let all = [Self::Drop, Self::Busy, Self::Hang, Self::Late];
        let found = all.into_iter().find(|fault| fault.name() == name);
        found.expect("a name of a fault")
    }
}

/// The settings of all clients: short, so that many faults fit into an hour.
fn config() -> Config {
    Config::builder()
        .ping_interval(Duration::from_secs(2))
        .send_interval(Some(Duration::from_secs(2)))
        .pong_timeout(Duration::from_secs(3))
        .confirm_within(Some(Duration::from_millis(500)))
        .connect_timeout(Duration::from_secs(3))
        .close_timeout(Duration::from_secs(2))
        .first_spread(Duration::from_millis(500))
        .backoff_floor(Duration::from_millis(200))
        .backoff_base(Duration::from_millis(500))
        .backoff_cap(Duration::from_secs(1))
        .stable_after(Duration::from_secs(1))
        .policy(|loss| match loss {
            // By default from 5 to 30 s later.
            Loss::Closed(Some(CloseCode::SERVICE_RESTART)) => Retry::Between {
                least: Duration::from_millis(200),
                greatest: Duration::from_secs(1),
            },
            other => default_policy(other),
        })
        .build()
        .unwrap()
}

/// Without a heartbeat.
fn without_heartbeat() -> Config {
    let day = Duration::from_secs(24 * 3600);
    let quiet = config().to_builder().ping_interval(day).send_interval(None);
    quiet.confirm_within(None).build().unwrap()
}
