//! What is to happen in a world: who is in it, what breaks when, and how long all
//! may take to be open again. The seed decides everything.

use core::time::Duration;

use fastrand::Rng;
use keepalive::{CloseCode, Closed, Config, ConfigBuilder, Refused, Retry, stop_when_refused};

/// How many clients a storm has.
pub const CROWD: usize = 10_000;

/// How many sorts of storm there are.
pub const STORMS: u64 = 7;

/// What a packet that was held up by a fault may need longer, once that is over.
pub const LEFTOVER: Duration = Duration::from_secs(20);

/// So long after its heartbeat stopped by itself the application starts it again.
pub const SECOND_THOUGHTS: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub clients: Vec<Habits>,
    /// What the server's accepted sockets are held to.
    pub server: Config,
    /// How late the server's ticks are at most.
    pub lateness: Duration,
    pub capacity: Capacity,
    pub faults: Vec<Fault>,
    /// From then on nothing breaks any more.
    pub heal: Duration,
    /// So long after that all have to be open.
    pub bound: Duration,
    /// And stay so for this long.
    pub stay: Duration,
}

/// What a client is like all the time.
#[derive(Clone, Debug)]
pub struct Habits {
    pub config: Config,
    pub starts: Duration,
    /// A packet takes this long, one way, and up to as long again.
    pub latency: Duration,
    /// How late its ticks are at most.
    pub lateness: Duration,
    /// How often the application sends, and how often the server's does.
    pub talks: [Option<Duration>; 2],
    /// What it reports of its own write buffer.
    pub reports: Reports,
    /// Whole messages are reported as such.
    pub knows_messages: bool,
    /// The end of a socket that it abandoned is reported to it later.
    pub late_ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reports {
    Nothing,
    /// Its pings have left.
    PingSent,
    /// That too, and each time that the kernel takes bytes which are before one.
    Draining,
}

/// What the server can take.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub accepts_a_second: f64,
    /// So much of the work of an accept.
    pub refusal: f64,
    /// Dials that wait to be accepted; one more is refused.
    pub backlog: usize,
    /// How it refuses.
    pub refuses: Refusal,
}

#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    Reset,
    Says(Closed),
    Status(Refused),
    /// The dial hangs.
    Never,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub from: Duration,
    pub till: Duration,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// What is sent to the client's side or the server's, or both, does not arrive.
    /// Lasting: what was lost is never repeated, so that a connection which lost
    /// something stays deaf in this direction after the heal. Early: each client
    /// hears that its network is back, at some time up to that long before it is.
    Cut {
        clients: Vec<usize>,
        to: [bool; 2],
        lasting: bool,
        early: Option<Duration>,
    },
    /// What is sent arrives late, or much later.
    Lossy {
        client: usize,
    },
    /// A box on the way forgets the connection.
    Forgotten {
        client: usize,
        noticed: bool,
    },
    /// The client's process does not run, and its clock may not either: from the
    /// beginning, or from its next ping on, so that the answer lies unread.
    Suspended {
        client: usize,
        clock_stops: bool,
        after_ping: bool,
        noticed: bool,
    },
    /// Timers fire at multiples of this only.
    Throttled {
        client: usize,
        grain: Duration,
    },
    /// Nothing leaves the client's write buffer.
    Stuck {
        client: usize,
    },
    /// The client uploads so many bytes, and only so many leave its write buffer in a
    /// second.
    Slow {
        client: usize,
        upload: u64,
        rate: u64,
    },
    /// The server does not let anybody in.
    Logins(Login),
    /// The server has no messages for these clients.
    Dry {
        clients: Vec<usize>,
    },
    /// The server ends, like this, and comes back.
    Restart {
        says: Goodbye,
        meanwhile: Refusal,
    },
    /// The server can take less.
    Overload(Capacity),
    /// The server's process does not run.
    Paused,
    Whim {
        client: usize,
        whim: Whim,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Goodbye {
    Nothing,
    Reset,
    Says(Closed),
}

/// What becomes of a login that the server does not take.
#[derive(Clone, Copy, Debug)]
pub enum Login {
    /// No answer.
    Ignored,
    /// The answer comes later.
    Slow(Duration),
    /// The client gives up for this reason.
    Denied(Closed),
    /// The server closes.
    Closed(Closed),
}

#[derive(Clone, Copy, Debug)]
pub enum Whim {
    NetworkChanged,
    ReconnectNow,
    /// Not where it would be a lie.
    Healthy,
    GiveUp,
    /// And starts again at the end of the fault.
    Stop,
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// U[least, greatest].
pub fn between(random: &mut Rng, least: Duration, greatest: Duration) -> Duration {
    let spread = greatest.saturating_sub(least).as_nanos();
    least + Duration::from_nanos(random.u64(0..=u64::try_from(spread).unwrap()))
}

/// As likely between 1 s and 10 s as between 10 s and 100 s.
fn of_any_size(random: &mut Rng, least: Duration, greatest: Duration) -> Duration {
    let (least, greatest) = (least.as_secs_f64(), greatest.as_secs_f64());
    Duration::from_secs_f64(least * (greatest / least).powf(random.f64()))
}

impl Plan {
    /// Some ten clients, a few minutes or an hour.
    pub fn small(seed: u64) -> Self {
        Self::of(seed, 16, seconds(3000))
    }

    /// For a debug build.
    pub fn tiny(seed: u64) -> Self {
        Self::of(seed, 4, seconds(200))
    }

    fn of(seed: u64, most: usize, longest: Duration) -> Self {
        let mut random = Rng::with_seed(seed);
        let random = &mut random;
        let heal = of_any_size(random, seconds(60), longest);
        let count = random.usize(2..=most);
        let (client, server) = (client(random), server(random));
        let server = server.reconnect(false).build().unwrap();
        let clients = Vec::from_iter((0..count).map(|_| habits(random, client, &server, heal)));
        let capacity = Capacity {
            accepts_a_second: random.f64() * 40.0 + 10.0,
            refusal: random.f64(),
            backlog: 2 * count,
            refuses: Refusal::Reset,
        };
        let faults = 1 + usize::try_from(heal.as_secs() / 40).unwrap().min(14);
        let faults = random.usize(1..=faults);
        let faults = Vec::from_iter((0..faults).map(|_| fault(random, count, heal)));
        let mut plan = Self {
            seed,
            clients,
            server,
            lateness: lateness(random),
            capacity,
            faults,
            heal,
            bound: Duration::ZERO,
            stay: seconds(60),
        };
        plan.bound = plan.patience();
        plan
    }

    /// Ten thousand clients lose their server, or their network, for half a minute.
    /// Then it can take only so many of them at a time.
    pub fn storm(seed: u64) -> Self {
        let hint = Closed::with_code(CloseCode::TRY_AGAIN_LATER).retry_after(seconds(30));
        let restart = |says, meanwhile| What::Restart { says, meanwhile };
        let cut = |early| What::Cut {
            clients: (0..CROWD).collect(),
            to: [true, true],
            lasting: true,
            early,
        };
        let what = match seed % STORMS {
            0 => restart(Goodbye::Nothing, Refusal::Never),
            1 => restart(Goodbye::Reset, Refusal::Reset),
            2 => restart(
                Goodbye::Says(Closed::with_code(CloseCode::SERVICE_RESTART)),
                Refusal::Reset,
            ),
            3 => restart(Goodbye::Says(hint), Refusal::Says(Closed::default())),
            4 => cut(None),
            5 => cut(Some(seconds(10))),
            _ => restart(Goodbye::Reset, Refusal::Status(Refused::with_status(404))),
        };
        let mut plan = Self::crowd(seed, seconds(60));
        plan.capacity = Capacity {
            accepts_a_second: 300.0,
            refusal: 0.2,
            backlog: 1500,
            refuses: Refusal::Reset,
        };
        let (from, till) = (seconds(240), seconds(270));
        plan.faults = vec![Fault { from, till, what }];
        plan.heal = till;
        plan.bound = plan.calm();
        plan
    }

    /// Ten thousand clients connect within a second, and nothing breaks.
    pub fn rush(seed: u64) -> Self {
        Self::crowd(seed, seconds(1))
    }

    fn crowd(seed: u64, within: Duration) -> Self {
        let mut random = Rng::with_seed(seed);
        let config = Config::default();
        let client = |_| Habits {
            config,
            starts: between(&mut random, Duration::ZERO, within),
            latency: of_any_size(&mut random, millis(2), millis(200)),
            lateness: millis(20),
            talks: [None, None],
            reports: Reports::PingSent,
            knows_messages: false,
            late_ends: false,
        };
        Self {
            seed,
            clients: (0..CROWD).map(client).collect(),
            server: config.to_builder().reconnect(false).build().unwrap(),
            lateness: millis(20),
            capacity: Capacity {
                accepts_a_second: 2.0 * CROWD as f64,
                refusal: 1.0,
                backlog: CROWD,
                refuses: Refusal::Reset,
            },
            faults: Vec::new(),
            heal: within,
            bound: seconds(10),
            stay: seconds(120),
        }
    }

    /// How long a storm takes: all find out; those who wait dial at the cap, where
    /// refusals cost the server the share that is not left for accepts; and where
    /// it can take all that dial, nobody is refused, and waits once more at most.
    fn calm(&self) -> Duration {
        let Some(config) = self.clients.first().map(|habits| habits.config) else {
            return Duration::ZERO;
        };
        let crowd = self.clients.len() as f64;
        let wait = (config.backoff_floor() + config.backoff_cap()).as_secs_f64() / 2.0;
        let capacity = self.capacity;
        let accepts = capacity.accepts_a_second - capacity.refusal * crowd / wait;
        assert!(accepts > 0.0, "these dials never calm down");
        let down = config.ping_interval() + config.pong_timeout();
        let work = Duration::from_secs_f64(crowd / accepts);
        down + self.hint() + 2 * config.backoff_cap() + work + config.connect_timeout()
    }

    /// How long it takes at most until all are open, after the last fault: what
    /// is on its way arrives; an end is found out, or a dial fails; the next dial
    /// has its time, and fails, since it was refused; the one after succeeds.
    fn patience(&self) -> Duration {
        let hint = self.hint();
        let of_client = self.clients.iter().map(|habits| {
            let (config, late) = (&habits.config, habits.lateness);
            let put_off = config.late_tolerance() + 2 * late;
            let dial = config.connect_timeout() + put_off;
            let dial = dial
                + config
                    .healthy_within()
                    .map_or(Duration::ZERO, |login| login + put_off);
            let wait = config
                .backoff_cap()
                .max(config.first_spread())
                .max(SECOND_THOUGHTS);
            let wait = wait + hint + late;
            let dries = config.message_timeout().unwrap_or_default() + put_off;
            let down = detection(config, late).max(dial).max(dries);
            down + wait + dial + wait
        });
        let of_server = detection(&self.server, self.lateness);
        let all = of_client.chain([of_server]).max().unwrap_or_default();
        let crowd = self.clients.len() + self.capacity.backlog;
        let queue = Duration::from_secs_f64(crowd as f64 / self.capacity.accepts_a_second);
        LEFTOVER + all + queue + seconds(5)
    }

    fn hint(&self) -> Duration {
        let said = |refusal: &Refusal| match refusal {
            Refusal::Says(closed) => closed.retry_after,
            Refusal::Status(refused) => refused.retry_after,
            Refusal::Reset | Refusal::Never => None,
        };
        let hints = self.faults.iter().flat_map(|fault| match &fault.what {
            What::Restart { says, meanwhile } => {
                let last = match says {
                    Goodbye::Says(closed) => closed.retry_after,
                    _ => None,
                };
                [last, said(meanwhile)]
            }
            What::Overload(capacity) => [said(&capacity.refuses), None],
            What::Logins(Login::Denied(closed) | Login::Closed(closed)) => {
                [closed.retry_after, None]
            }
            _ => [None, None],
        });
        let hints = hints.chain([said(&self.capacity.refuses)]);
        hints.flatten().max().unwrap_or_default()
    }
}

/// The bound of the contract, where every ping is as long in the write buffer as
/// counts, and a verdict came late.
fn detection(config: &Config, late: Duration) -> Duration {
    if config.listen_only() {
        return config.idle_timeout() + config.late_tolerance() + 2 * late;
    }
    let missed = config.max_missed();
    let timeout = config.adaptive_timeout().unwrap_or(config.pong_timeout());
    config.ping_interval() + (2 * missed + 2) * timeout + (missed + 2) * late
}

/// The server is one of these. It watches both silences, for its listeners' sake.
fn server(random: &mut Rng) -> ConfigBuilder {
    let ordinary = Config::builder();
    let every = |interval| {
        ordinary
            .ping_interval(interval)
            .send_interval(Some(interval))
    };
    match random.u8(0..4) {
        0 => every(seconds(10)).pong_timeout(seconds(5)).max_missed(2),
        1 => every(seconds(40)),
        _ => ordinary,
    }
}

/// The clients of one world have the same settings, or listen.
fn client(random: &mut Rng) -> ConfigBuilder {
    let ordinary = Config::builder();
    match random.u8(0..12) {
        0 => Config::article().to_builder(),
        1 => ordinary
            .ping_interval(seconds(5))
            .pong_timeout(seconds(3))
            .max_missed(2)
            .connect_timeout(seconds(5))
            .first_spread(seconds(1))
            .backoff_cap(seconds(10))
            .stable_after(seconds(3)),
        2 => ordinary
            .pong_timeout(seconds(5))
            .adaptive_timeout(Some(seconds(20))),
        3 => ordinary
            .ping_interval(seconds(15))
            .pong_timeout(seconds(8))
            .max_missed(3)
            .late_tolerance(millis(100)),
        4 => ordinary.ping_interval(seconds(5)).always_ping(true),
        5 => ordinary
            .ping_interval(seconds(30))
            .always_ping(true)
            .strict_pongs(true)
            .max_missed(2),
        6 => ordinary.pong_timeout(seconds(10)).strict_pongs(true),
        7 => ordinary.confirm_within(Some(seconds(2))),
        8 => ordinary.policy(stop_when_refused),
        _ => ordinary,
    }
}

fn habits(random: &mut Rng, builder: ConfigBuilder, server: &Config, heal: Duration) -> Habits {
    // The server's next ping and its answer come within this.
    let idle = server.ping_interval() + server.pong_timeout();
    let listens = builder.listen_only(true).idle_timeout(idle);
    let builder = match (random.u8(0..10), listens.build()) {
        (0, Ok(_)) => listens,
        _ => builder,
    };
    let login = [seconds(5), seconds(20)][random.usize(0..2)];
    let builder = builder.healthy_within((random.u8(0..4) == 0).then_some(login));
    // The server's application has something for this client that often.
    let feed = (random.u8(0..4) == 0).then(|| between(random, seconds(1), seconds(20)));
    let builder = builder.message_timeout(feed.map(|every| 3 * every + seconds(10)));
    let config = builder.build().unwrap();
    let shortest = config.pong_timeout().min(server.pong_timeout());
    // Both ways together are less than half of any timeout.
    let farthest = shortest.min(seconds(5)) / 10;
    let often = (random.u8(0..16) == 0).then(|| between(random, millis(300), seconds(2)));
    let mut talks = || {
        let rarely = of_any_size(random, seconds(3), seconds(100));
        [Some(often.unwrap_or(rarely)), None][random.usize(0..2)]
    };
    let talks = [talks(), feed.or(talks())];
    Habits {
        config,
        talks,
        starts: between(random, Duration::ZERO, heal.min(seconds(30))),
        latency: of_any_size(random, Duration::from_micros(100), farthest),
        lateness: lateness(random),
        reports: [
            Reports::Nothing,
            Reports::PingSent,
            Reports::Draining,
            Reports::Draining,
        ][random.usize(0..4)],
        knows_messages: feed.is_some() || random.bool(),
        late_ends: random.bool(),
    }
}

fn lateness(random: &mut Rng) -> Duration {
    let some = [0, 0, 0, 4, 15, 100, 1000, 3000];
    millis(some[random.usize(0..some.len())])
}

fn closed(random: &mut Rng) -> Closed {
    let codes = [
        None,
        Some(CloseCode::NORMAL),
        Some(CloseCode::GOING_AWAY),
        Some(CloseCode::POLICY_VIOLATION),
        Some(CloseCode::SERVICE_RESTART),
        Some(CloseCode::TRY_AGAIN_LATER),
        Some(CloseCode(4001)),
    ];
    let mut closed = Closed::from(codes[random.usize(0..codes.len())]);
    closed.retry_after = hint(random);
    closed
}

/// As an application decides it, that is asked for a reason to give up.
fn given_up(random: &mut Rng) -> Closed {
    let between = Retry::Between {
        least: millis(1),
        greatest: seconds(20),
    };
    let retries = [None, None, Some(Retry::Spread), Some(between)];
    let retry = retries[random.usize(0..retries.len())];
    let mut closed = closed(random);
    closed.retry = retry;
    closed
}

fn hint(random: &mut Rng) -> Option<Duration> {
    let hints = [None, None, Some(seconds(5)), Some(seconds(30))];
    hints[random.usize(0..hints.len())]
}

fn refused(random: &mut Rng) -> Refused {
    let statuses = [401, 403, 404, 429, 500, 502, 503];
    let mut refused = Refused::with_status(statuses[random.usize(0..statuses.len())]);
    refused.retry_after = hint(random);
    refused
}

fn login(random: &mut Rng) -> Login {
    match random.u8(0..4) {
        0 => Login::Ignored,
        1 => Login::Slow(of_any_size(random, millis(100), seconds(60))),
        2 => Login::Denied(given_up(random)),
        _ => Login::Closed(closed(random)),
    }
}

fn refusal(random: &mut Rng) -> Refusal {
    match random.u8(0..5) {
        0 => Refusal::Reset,
        1 => Refusal::Says(closed(random)),
        2 | 3 => Refusal::Status(refused(random)),
        _ => Refusal::Never,
    }
}

fn fault(random: &mut Rng, clients: usize, heal: Duration) -> Fault {
    let from = between(random, Duration::ZERO, heal);
    let mut long = of_any_size(random, millis(100), seconds(300));
    let client = random.usize(0..clients);
    let noticed = random.bool();
    let mut some = || match random.u8(0..3) {
        0 => vec![client],
        1 => Vec::from_iter(0..clients),
        _ => Vec::from_iter((0..clients).filter(|_| random.bool())),
    };
    let some = some();
    let what = match random.u8(0..22) {
        0..=4 => What::Cut {
            clients: some,
            to: [[true, true], [true, false], [false, true]][random.usize(0..3)],
            lasting: random.bool(),
            early: noticed.then(|| of_any_size(random, millis(100), seconds(60))),
        },
        5 => What::Lossy { client },
        6 => What::Forgotten { client, noticed },
        7 | 8 => What::Suspended {
            client,
            clock_stops: random.bool(),
            after_ping: random.u8(0..4) > 0,
            noticed,
        },
        9 => What::Throttled {
            client,
            grain: seconds([1, 60][random.usize(0..2)]),
        },
        10 => What::Stuck { client },
        11 | 12 => What::Restart {
            says: match random.u8(0..3) {
                0 => Goodbye::Nothing,
                1 => Goodbye::Reset,
                _ => Goodbye::Says(closed(random)),
            },
            meanwhile: refusal(random),
        },
        13 => What::Overload(Capacity {
            accepts_a_second: random.f64() + 0.1,
            refusal: random.f64(),
            backlog: random.usize(1..4),
            refuses: refusal(random),
        }),
        14 => What::Paused,
        15..=17 => {
            let upload = random.u64(1_000..30_000_000);
            let takes = of_any_size(random, seconds(5), seconds(300));
            long = long.max(takes);
            let rate = (upload as f64 / takes.as_secs_f64()) as u64 + 1;
            What::Slow {
                client,
                upload,
                rate,
            }
        }
        18 => What::Logins(login(random)),
        19 => What::Dry { clients: some },
        _ => What::Whim {
            client,
            whim: match random.u8(0..5) {
                0 => Whim::NetworkChanged,
                1 => Whim::ReconnectNow,
                2 => Whim::Healthy,
                3 => Whim::GiveUp,
                _ => Whim::Stop,
            },
        },
    };
    Fault {
        from,
        till: (from + long).min(heal),
        what,
    }
}
