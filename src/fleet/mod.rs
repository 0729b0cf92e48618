//! Many heartbeats at once: the open connections of a server, a broker or a proxy, under
//! one [`Config`], with one timer and one tick.
//!
//! [`Fleet`] keeps them in about 20 bytes each. It follows the same rules as
//! [`Heartbeat`](crate::Heartbeat), and what a connection reports costs a store or two:
//!
//! ```
//! use core::time::Duration;
//! use keepalive::fleet::{Beat, Fleet};
//! use keepalive::{CloseReason, Config};
//!
//! let seconds = Duration::from_secs; // any clock will do: here, the time since the start
//! # let seed = 42;
//! let mut fleet = Fleet::new(Config::article(), seed);
//!
//! let mut at = fleet.at(seconds(0)); // once per turn of the loop
//! let (first, second) = (at.open().unwrap(), at.open().unwrap());
//! fleet.at(seconds(1)).received(second);
//!
//! // The first has been silent for 2 s, and gets a ping; it has 10 s to answer.
//! assert_eq!(fleet.deadline(), Some(seconds(2)));
//! let beats: Vec<_> = fleet.at(seconds(2)).tick().collect();
//! assert!(matches!(beats[..], [(key, Beat::Ping(_))] if key == first));
//! fleet.at(seconds(11)).received(second);
//! let beats: Vec<_> = fleet.at(seconds(12)).tick().collect();
//! assert_eq!(beats, [(first, Beat::Close(CloseReason::PongTimeout))]);
//!
//! // Its key is no longer good for anything.
//! assert!(!fleet.at(seconds(12)).received(first));
//! assert_eq!(fleet.len(), 1);
//! ```
//!
//! # Your loop
//!
//! Take what the sockets say, then [`tick`](At::tick), then sleep until
//! [`deadline`](Fleet::deadline) or the next thing that a socket says. Read everything
//! that has come before you tick, since an answer may be among it.
//!
//! A fleet holds open connections only: `Close` frees the key, and what you do to the
//! socket then is up to [`CloseReason::manner`](crate::CloseReason::manner). Keep what
//! belongs to a connection in a `Vec` by [`Key::index`]: a new connection takes the
//! lowest index that is free.
//!
//! # Time
//!
//! A fleet counts in whole milliseconds from the first instant that it is given. What
//! resets a watch is rounded up and a tick is rounded down, so a verdict comes up to
//! 2 ms late and never early. Deadlines are multiples of the
//! [granularity](Fleet::with_granularity), which bounds how late a ping or a verdict is
//! with ticks in time, and decides what ticks cost.

mod clock;
mod columns;
mod keep;
#[cfg(all(feature = "async", feature = "std"))]
mod members;
mod slots;

use core::fmt;
use core::time::Duration;

use clock::{Clock, Now};
use keep::{BUDGET, Caller, Keep, Scan};

#[cfg(all(feature = "async", feature = "std"))]
pub use members::{AlreadyRunning, Member, Members};

use crate::action::CloseReason;
use crate::config::Config;
use crate::error::ConfigError;
use crate::event::PingId;
use crate::rtt::RoundTrip;
use crate::time::{Instant, LONGEST, MILLISECOND, SECOND, is_greatest};

/// Names a connection of a [`Fleet`]: its slot, and how often that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    slot: u32,
    generation: u16,
}

impl Key {
    /// The index of its slot, which no other open connection has: for a table of yours.
    #[must_use]
    pub const fn index(self) -> usize {
        self.slot as usize
    }
}

/// What a connection of a [`Fleet`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beat {
    /// Send a ping with this id.
    Ping(PingId),
    /// End the connection in the [manner](CloseReason::manner) of this reason. It has
    /// left the fleet.
    Close(CloseReason),
    /// Nobody [runs](crate::fleet) the members any more: until somebody does, no ping
    /// and no verdict comes. A [`Fleet`] never says this.
    Unattended,
}

/// How many of what a [`Fleet`] has, and has had since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that are open.
    pub open: usize,
    /// Those of them that have a ping out. An answer is counted when the fleet next
    /// looks at the connection.
    pub probing: usize,
    /// Pings that were asked for.
    pub pings: u64,
    /// Pings that were not answered in time.
    pub missed: u64,
    /// Connections that were found dead.
    pub convicted: u64,
    /// Connections that were drained.
    pub drained: u64,
}

#[cfg(feature = "metrics")]
impl Counters {
    /// Sets the metrics that have this name as their label `fleet`: call it whenever they
    /// are scraped.
    pub fn publish(&self, fleet: &'static str) {
        crate::meter::fleet(self, fleet);
    }
}

/// The heartbeats of many open connections.
///
/// The [module](self) shows a loop. Equal settings, seed and events give equal beats.
pub struct Fleet<I> {
    clock: Clock<I>,
    keep: Keep,
    /// As asked for; else by the settings.
    granularity: Option<Duration>,
}

impl<I> fmt::Debug for Fleet<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("config", self.keep.config())
            .field("counters", &self.keep.counters())
            .finish_non_exhaustive()
    }
}

impl<I: Instant> Fleet<I> {
    /// A fleet without connections. What concerns dials in the settings is ignored.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let mut keep = Keep::new(config, seed);
        keep.granularity = millis(default_granularity(&config));
        Self {
            clock: Clock::new(),
            keep,
            granularity: None,
        }
    }

    /// Deadlines are multiples of this, counted from the first instant. It is taken in
    /// whole milliseconds.
    ///
    /// By default it is a twentieth of the shortest watch, at least 1 ms and at most 1 s.
    ///
    /// # Errors
    ///
    /// If it is shorter than 1 ms, or longer than a tenth of the shortest watch.
    pub fn with_granularity(mut self, granularity: Duration) -> Result<Self, ConfigError> {
        check_granularity(granularity, self.keep.config())?;
        self.granularity = Some(granularity);
        self.keep.granularity = millis(granularity);
        Ok(self)
    }

    /// Ends connections of that age with [`CloseReason::MaxAge`], for load to even out
    /// between servers; jitter shortens it by up to a tenth. Those that are open already
    /// begin now. Off by default. It adds 4 bytes a connection.
    ///
    /// # Errors
    ///
    /// If it is shorter than 1 ms or longer than 24 h.
    pub fn with_max_age(mut self, max_age: Option<Duration>) -> Result<Self, ConfigError> {
        if let Some(value) = max_age {
            check("max_age", value, LONGEST)?;
        }
        let now = self.clock.now();
        self.keep.limit_age(max_age, now);
        Ok(self)
    }

    /// Keeps the smoothed round trip of each connection, rounded up by a thousandth at
    /// most. Off by default, unless the settings adapt the timeout to it. It adds 8 bytes
    /// a connection.
    #[must_use]
    pub fn with_round_trips(mut self) -> Self {
        self.keep.keep_trips(self.clock.now().up);
        self
    }

    /// The fleet at this instant: ask once per turn of your loop, not for each event.
    ///
    /// An instant before the latest counts as the latest.
    #[inline]
    pub fn at(&mut self, now: I) -> At<'_, I> {
        self.clock.advance(now);
        let now = self.clock.now();
        self.keep.advance(now);
        At {
            now,
            stamp: now.up.packed_with(true),
            fleet: self,
        }
    }

    /// When to [`tick`](At::tick) next; `None` when nothing is open. It is no later than
    /// now where the last tick left something.
    #[must_use]
    pub fn deadline(&self) -> Option<I> {
        let deadline = self.clock.instant(self.keep.deadline()?)?;
        (!is_greatest(deadline)).then_some(deadline)
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keep.count()
    }

    /// Whether no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is the key of a connection that is open.
    #[must_use]
    pub fn is_open(&self, key: Key) -> bool {
        self.keep.is_open(key)
    }

    /// The smoothed round trip of this connection and its mean deviation, from its first
    /// pong on, [where they are kept](Self::with_round_trips).
    #[must_use]
    pub fn round_trip(&self, key: Key) -> Option<(Duration, Duration)> {
        let trip: RoundTrip = self.keep.round_trip(key)?;
        Some((trip.smoothed(), trip.variance()))
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.keep.config()
    }

    /// What deadlines are multiples of.
    #[must_use]
    pub fn granularity(&self) -> Duration {
        Duration::from_millis(self.keep.granularity)
    }

    /// What there is to count.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.keep.counters()
    }

    /// The bytes on the heap that it has taken.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.keep.bytes()
    }
}

/// A [`Fleet`] at an instant: tell it here what happened.
///
/// What concerns one connection returns whether its key is that of a connection that is
/// open; an old key changes nothing. The facts are those of [`Event`](crate::Event).
#[derive(Debug)]
pub struct At<'a, I> {
    fleet: &'a mut Fleet<I>,
    now: Now,
    /// What came in now is noted as this.
    stamp: u32,
}

impl<I: Instant> At<'_, I> {
    /// A connection opened. `None` where there are four billion.
    pub fn open(&mut self) -> Option<Key> {
        self.fleet.keep.open(self.now)
    }

    /// The application or the peer ended the connection: its key is used up.
    pub fn remove(&mut self, key: Key) -> bool {
        self.fleet.keep.remove(key)
    }

    /// Anything came in. See [`Event::Received`](crate::Event::Received).
    #[inline]
    pub fn received(&mut self, key: Key) -> bool {
        self.fleet.keep.received(key, self.stamp)
    }

    /// A message came in. See [`Event::Message`](crate::Event::Message).
    #[inline]
    pub fn message(&mut self, key: Key) -> bool {
        self.fleet.keep.message(key, self.stamp, self.now)
    }

    /// A message went out. See [`Event::Sent`](crate::Event::Sent).
    #[inline]
    pub fn sent(&mut self, key: Key) -> bool {
        self.fleet.keep.sent(key, self.now)
    }

    /// A pong came in. See [`Event::Pong`](crate::Event::Pong).
    pub fn pong(&mut self, key: Key, id: PingId) -> bool {
        self.fleet.keep.pong(key, id, self.now)
    }

    /// The transport took bytes. See [`Event::Draining`](crate::Event::Draining).
    pub fn draining(&mut self, key: Key) -> bool {
        self.fleet.keep.draining(key, self.now)
    }

    /// The ping left our buffer. See [`Event::PingSent`](crate::Event::PingSent).
    pub fn ping_sent(&mut self, key: Key, id: PingId) -> bool {
        self.fleet.keep.ping_sent(key, id, self.now)
    }

    /// The peer has logged in. See [`Event::Healthy`](crate::Event::Healthy).
    pub fn healthy(&mut self, key: Key) -> bool {
        self.fleet.keep.healthy(key, self.now)
    }

    /// The network of this host may have changed: each connection gets a ping within a
    /// second, spread over it; where one is out, the answer has 5 s at most. Heard once
    /// a second.
    pub fn network_changed(&mut self) {
        self.fleet.keep.network_changed(self.now);
    }

    /// Closes all that are open now, evenly spread over this time, with
    /// [`CloseReason::Drained`], so that a restart brings no crowd back at once. What is
    /// opened from now on stays. A drain that is under way is replaced.
    pub fn drain(&mut self, over: Duration) {
        self.fleet.keep.drain(over, self.now);
    }

    /// Changes the settings while running, as
    /// [`Heartbeat::reconfigure`](crate::Heartbeat::reconfigure) does, for all
    /// connections at once: that looks at each of them.
    ///
    /// # Errors
    ///
    /// If the [granularity](Fleet::with_granularity) that was asked for is longer than a
    /// tenth of the shortest watch; nothing has changed then.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), ConfigError> {
        let granularity = granularity_for(&config, self.fleet.granularity)?;
        self.fleet
            .keep
            .reconfigure(config, millis(granularity), self.now);
        Ok(())
    }

    /// What is due: one beat for each connection at most, as you take them.
    ///
    /// A tick looks at some 2,000 connections at most. What it does not come to, and what
    /// you do not take, stays due: [`deadline`](Fleet::deadline) says so, and the next
    /// tick goes on there. Ticks that are early, late or repeated are safe.
    pub fn tick(&mut self) -> Beats<'_> {
        Beats {
            scan: self.fleet.keep.scan(self.now, BUDGET),
            keep: &mut self.fleet.keep,
        }
    }
}

/// What is due in a [`tick`](At::tick). The fleet is borrowed meanwhile, so note what
/// ends, and [`remove`](At::remove) it afterwards.
#[derive(Debug)]
#[must_use = "what is not taken stays due"]
pub struct Beats<'a> {
    keep: &'a mut Keep,
    scan: Scan,
}

impl Iterator for Beats<'_> {
    type Item = (Key, Beat);

    fn next(&mut self) -> Option<(Key, Beat)> {
        self.keep.beat(&mut self.scan, &Caller)
    }
}

fn millis(granularity: Duration) -> u64 {
    (granularity.as_millis() as u64).max(1)
}

fn default_granularity(config: &Config) -> Duration {
    (shortest_watch(config) / 20).clamp(MILLISECOND, SECOND)
}

/// The one that was asked for, if it fits these settings, or their own.
fn granularity_for(config: &Config, asked: Option<Duration>) -> Result<Duration, ConfigError> {
    match asked {
        Some(asked) => check_granularity(asked, config).map(|()| asked),
        None => Ok(default_granularity(config)),
    }
}

fn check_granularity(value: Duration, config: &Config) -> Result<(), ConfigError> {
    let greatest = shortest_watch(config) / 10;
    check("granularity", value, greatest.max(MILLISECOND))
}

fn check(field: &'static str, value: Duration, greatest: Duration) -> Result<(), ConfigError> {
    if (MILLISECOND..=greatest).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Duration {
        field,
        value,
        least: MILLISECOND,
        greatest,
    })
}

/// The shortest time that a watch of these settings lasts, without jitter.
fn shortest_watch(config: &Config) -> Duration {
    let probes = (!config.listen_only()).then(|| config.ping_interval().min(config.pong_timeout()));
    let idle = config.listen_only().then(|| config.idle_timeout());
    [
        probes,
        idle,
        config.outbound_interval(),
        config.confirm_within(),
        config.message_timeout(),
        config.healthy_within(),
    ]
    .into_iter()
    .flatten()
    .min()
    .unwrap_or(LONGEST)
}
