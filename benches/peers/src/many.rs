//! Many connections: virtual time, messages that were drawn ahead, and a tick that asks for
//! pings, each of which is answered before the next tick.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use crate::{Args, cpu_time, median, ways};

/// When a way is made. Before it lies room for the connections to have been silent.
pub(crate) const START: Duration = Duration::from_secs(60);

/// How many messages a turn of the event loop reads: they share one instant.
pub(crate) const TURN: usize = 64;

/// One way to keep the heartbeats of many connections.
pub(crate) trait Way: Sized {
    const NAME: &'static str;
    /// Takes so long that it runs only once.
    const IS_HEAVY: bool = false;

    /// The bytes of a key that the way keeps only to tell it: they are not counted.
    const KEY_BYTES: i64 = 0;

    /// What whoever reads the socket of a connection has at hand.
    type Key: Copy;

    /// Connections that are numbered from 0.
    fn new(connections: u32, settings: &Settings) -> Self;

    fn key(&self, connection: u32) -> Self::Key;

    /// One turn of the event loop: a message came in on each of these.
    fn received(&mut self, keys: &[Self::Key], now: Duration);

    /// A message went out on each of these. Only a few ways look at that.
    fn sent(&mut self, _keys: &[Self::Key], _now: Duration) {}

    /// Adds every connection that is to get a ping now.
    fn tick(&mut self, now: Duration, pings: &mut Vec<Self::Key>);

    /// What the most expensive of its calls in a tick cost, where there are several.
    fn worst_call(&self) -> Option<Duration> {
        None
    }
}

/// The key of a connection is its number.
macro_rules! keys_are_numbers {
    () => {
        type Key = u32;

        fn key(&self, connection: u32) -> u32 {
            connection
        }
    };
}
pub(crate) use keys_are_numbers;

/// What every way keeps to.
pub(crate) struct Settings {
    /// Silence for as long as this asks for a ping.
    pub(crate) period: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) tick: Duration,
    /// Whether outbound silence for a period asks for a ping as well.
    pub(crate) watches_sent: bool,
}

impl Settings {
    /// When a connection last spoke before [`START`]: spread evenly over one period.
    pub(crate) fn received(&self, connection: u32) -> Duration {
        let draw = connection.wrapping_mul(0x9E37_79B9);
        START - self.period.mul_f64(f64::from(draw) / f64::from(u32::MAX))
    }
}

/// Whole milliseconds, in which the arrays count.
pub(crate) fn ms(time: Duration) -> u32 {
    time.as_millis() as u32
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(crate) enum Traffic {
    /// Every connection is equally likely.
    Uniform,
    /// The k-th busiest connection gets messages in proportion to 1/k.
    Zipf,
    /// Nobody speaks: the only messages are the answers to pings.
    Idle,
    /// Uniform, and every message is answered by one of ours.
    Answered,
}

/// One measurement to be made with every way.
pub(crate) struct Plan {
    pub(crate) connections: u32,
    pub(crate) traffic: Traffic,
    settings: Settings,
    warm_up: u32,
    ticks: u32,
    messages_per_tick: usize,
    targets: Vec<u32>,
}

impl Plan {
    pub(crate) fn new(args: &Args, connections: u32, traffic: Traffic) -> Self {
        let ticks = args.seconds * 1_000 / args.tick;
        let messages_per_tick = (u64::from(args.rate) * u64::from(args.tick) / 1_000) as usize;
        let count = messages_per_tick * ticks as usize;
        Self {
            connections,
            traffic,
            settings: Settings {
                period: Duration::from_secs(25),
                pong_timeout: Duration::from_secs(20),
                tick: Duration::from_millis(args.tick.into()),
                watches_sent: traffic == Traffic::Answered,
            },
            warm_up: args.warm_up * 1_000 / args.tick,
            ticks,
            messages_per_tick,
            targets: draw(traffic, connections, count),
        }
    }
}

fn draw(traffic: Traffic, connections: u32, count: usize) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(1);
    match traffic {
        Traffic::Idle => Vec::new(),
        Traffic::Uniform | Traffic::Answered => {
            (0..count).map(|_| random.u32(..connections)).collect()
        }
        Traffic::Zipf => {
            let mut by_rank: Vec<u32> = (0..connections).collect();
            random.shuffle(&mut by_rank);
            let rank = |draw: f64| f64::from(connections).powf(draw) as usize - 1;
            (0..count)
                .map(|_| by_rank[rank(random.f64()).min(by_rank.len() - 1)])
                .collect()
        }
    }
}

/// What one run of a way cost.
#[derive(Default)]
struct Run {
    messages: Duration,
    ticks: Duration,
    worst_tick: Duration,
    worst_call: Option<Duration>,
    /// Messages that came in, answers to pings among them.
    received: usize,
    pings: usize,
    bytes: i64,
}

/// A [`Way`] that the tables know by its name.
pub(crate) struct Entry {
    name: &'static str,
    is_heavy: bool,
    run: fn(&Plan) -> Run,
}

impl Entry {
    pub(crate) fn of<W: Way>() -> Self {
        Self {
            name: W::NAME,
            is_heavy: W::IS_HEAVY,
            run: run::<W>,
        }
    }
}

fn run<W: Way>(plan: &Plan) -> Run {
    let mut way = None;
    let made = allocation_counter::measure(|| {
        way = Some(W::new(plan.connections, &plan.settings));
    });
    let Some(mut way) = way else {
        return Run::default();
    };
    let targets: Vec<W::Key> = plan
        .targets
        .iter()
        .map(|&connection| way.key(connection))
        .collect();
    // Room for a ping to everybody, so that only the way allocates.
    let mut pings = Vec::with_capacity(plan.connections as usize);
    let mut answers = Vec::with_capacity(plan.connections as usize);
    let mut run = Run::default();
    let driven = allocation_counter::measure(|| {
        drive(&mut way, plan, &targets, &mut run, &mut pings, &mut answers);
    });
    run.worst_call = way.worst_call();
    run.bytes =
        made.bytes_current + driven.bytes_current - W::KEY_BYTES * i64::from(plan.connections);
    run
}

fn drive<W: Way>(
    way: &mut W,
    plan: &Plan,
    targets: &[W::Key],
    run: &mut Run,
    pings: &mut Vec<W::Key>,
    answers: &mut Vec<W::Key>,
) {
    let turns = plan.messages_per_tick.div_ceil(TURN) as u32 + 1;
    let mut targets = targets.chunks(plan.messages_per_tick).cycle();
    for tick in 0..plan.warm_up + plan.ticks {
        let start = START + plan.settings.tick * tick;
        let end = start + plan.settings.tick;
        let messages = targets.next().unwrap_or_default();

        let begin = cpu_time();
        let mut now = start;
        for turn in messages.chunks(TURN) {
            now += plan.settings.tick / turns;
            way.received(turn, now);
            if plan.traffic == Traffic::Answered {
                way.sent(turn, now);
            }
        }
        for turn in answers.chunks(TURN) {
            way.received(turn, now);
        }
        let between = cpu_time();
        pings.clear();
        way.tick(end, pings);
        let took = cpu_time() - between;

        if tick >= plan.warm_up {
            run.messages += between - begin;
            run.ticks += took;
            run.worst_tick = run.worst_tick.max(took);
            run.received += messages.len() + answers.len();
            run.pings += pings.len();
        }
        std::mem::swap(pings, answers);
    }
}

/// The medians of a way's runs under one plan.
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    pub(crate) connections: u32,
    pub(crate) traffic: Traffic,
    /// Messages and ticks together.
    pub(crate) ns_a_message: f64,
    /// Messages alone.
    pub(crate) ns_without_ticks: f64,
    /// The part of one core that the ticks take, in percent.
    pub(crate) tick_share: f64,
    pub(crate) worst_tick_ms: f64,
    /// Of one call, where a tick takes several.
    pub(crate) worst_call_ms: f64,
    pub(crate) pings_a_second: f64,
    pub(crate) bytes_a_connection: f64,
}

#[derive(Default)]
pub(crate) struct Results(pub(crate) Vec<Cost>);

impl Results {
    /// What another way costs under the same plan.
    pub(crate) fn beside(&self, cost: &Cost, name: &str) -> Option<&Cost> {
        self.0.iter().find(|other| {
            (other.name, other.connections, other.traffic) == (name, cost.connections, cost.traffic)
        })
    }
}

/// Runs every way that is asked for under one plan: all of them, then all of them again,
/// so that what else happens on the machine meets each of them.
pub(crate) fn measure(args: &Args, plan: &Plan, results: &mut Results) {
    let is_light = plan.traffic == Traffic::Uniform && plan.connections <= 1_000_000;
    let entries: Vec<Entry> = ways::all()
        .into_iter()
        .filter(|entry| args.wants(entry.name) && (!entry.is_heavy || is_light || args.all))
        .collect();
    let mut runs: Vec<Vec<Run>> = entries.iter().map(|_| Vec::new()).collect();
    let shows_progress = stderr().is_terminal();
    for round in 0..args.repeat as usize {
        // From another one each time, so that nobody always follows the same neighbour.
        for index in (0..entries.len()).map(|index| (index + round) % entries.len()) {
            let entry = &entries[index];
            if round == 0 || !entry.is_heavy {
                if shows_progress {
                    eprint!(
                        "\r\x1b[K{:?}, {}: {}",
                        plan.traffic, plan.connections, entry.name
                    );
                }
                runs[index].push((entry.run)(plan));
            }
        }
    }
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    results.0.extend(
        entries
            .iter()
            .zip(&runs)
            .map(|(entry, runs)| cost(entry.name, plan, runs)),
    );
}

fn cost(name: &'static str, plan: &Plan, runs: &[Run]) -> Cost {
    let seconds = (plan.settings.tick * plan.ticks).as_secs_f64();
    let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(value).collect());
    Cost {
        name,
        connections: plan.connections,
        traffic: plan.traffic,
        ns_a_message: of(&|run| {
            (run.messages + run.ticks).as_secs_f64() * 1e9 / run.received as f64
        }),
        ns_without_ticks: of(&|run| run.messages.as_secs_f64() * 1e9 / run.received as f64),
        tick_share: of(&|run| run.ticks.as_secs_f64() / seconds * 100.0),
        worst_tick_ms: of(&|run| run.worst_tick.as_secs_f64() * 1e3),
        worst_call_ms: of(&|run| run.worst_call.unwrap_or(run.worst_tick).as_secs_f64() * 1e3),
        pings_a_second: of(&|run| run.pings as f64 / seconds),
        bytes_a_connection: of(&|run| run.bytes as f64 / f64::from(plan.connections)),
    }
}
