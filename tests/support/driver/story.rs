//! A setup from any bytes: for properties, which shrink them, and for the fuzzer.
//! Zeros are what is plain.

use core::time::Duration;

use keepalive::{Config, Retry};

use super::net::{Dial, Ends, LONGEST, Peer, Pings, Talk};
use super::world::{Setup, Wish};

/// The bytes, and then zeros.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// One of so many.
    fn of(&mut self, many: u8) -> u8 {
        self.byte() % many
    }

    /// In one of so many.
    fn once_in(&mut self, many: u8) -> bool {
        self.of(many) == many - 1
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        let at = usize::from(self.byte()) % all.len();
        all[at].clone()
    }

    fn millis(&mut self, unit: u64) -> Duration {
        Duration::from_millis(u64::from(self.byte()) * unit)
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn config(bytes: &mut Bytes<'_>, needs_confirm: bool) -> Config {
    let kind = bytes.of(8);
    let listens = kind == 6 && !needs_confirm;
    let pong_timeout = bytes.pick(&[ms(4000), ms(2000), ms(700), ms(10_000)]);
    let mut builder = Config::builder()
        .ping_interval(bytes.pick(&[ms(5000), ms(2000), ms(1000), ms(15_000)]))
        .send_interval(bytes.pick(&[None, Some(ms(5000)), Some(ms(2000))]))
        .jitter(bytes.pick(&[0.0, 0.2]))
        .random_phase(bytes.once_in(2))
        .pong_timeout(pong_timeout)
        .max_missed(bytes.pick(&[1, 1, 2, 3]))
        .late_tolerance(bytes.pick(&[ms(1000), ms(100), ms(5000)]))
        .connect_timeout(bytes.pick(&[ms(6000), ms(1500)]))
        .close_timeout(bytes.pick(&[ms(3000), ms(500), ms(8000)]))
        .first_spread(bytes.pick(&[ms(500), ms(3000)]))
        .backoff_floor(ms(200))
        .backoff_base(ms(1000))
        .backoff_cap(ms(5000))
        .stable_after(bytes.pick(&[ms(3000), ms(100), ms(10_000)]))
        .idle_timeout(ms(6000))
        .listen_only(listens)
        .always_ping(kind == 5 && !listens)
        .strict_pongs(kind == 7 && !listens);
    if kind == 4 || needs_confirm {
        builder = builder.confirm_within(Some(bytes.pick(&[ms(500), ms(2000)])));
    }
    if bytes.once_in(6) {
        builder = builder.message_timeout(Some(ms(9000)));
    }
    if bytes.once_in(5) {
        builder = builder.healthy_within(Some(bytes.pick(&[ms(2000), ms(300)])));
    }
    if bytes.once_in(16) {
        builder = builder.reconnect(false);
    }
    if bytes.once_in(16) {
        builder = builder.max_attempts(Some(3));
    }
    if bytes.once_in(8) {
        let longest = pong_timeout * 3;
        builder = builder.adaptive_timeout(Some(longest));
    }
    builder.build().expect("the bounds are kept")
}

fn peer(bytes: &mut Bytes<'_>) -> Peer {
    let mut peer = Peer::good();
    let short = bytes.millis(20);
    let status = bytes.pick(&[503, 404]);
    peer.dial = match bytes.of(9) {
        5 => Dial::Refused(short, status),
        6 => Dial::Failed(short),
        7 => Dial::Ends(short),
        8 => Dial::Hangs,
        _ => Dial::Opens(short),
    };
    peer.latency = bytes.pick(&[ms(10), ms(1), ms(300), ms(0)]);
    peer.answers = bytes.pick(&[
        Some(ms(0)),
        Some(ms(0)),
        Some(ms(900)),
        Some(ms(9000)),
        None,
    ]);
    let every = bytes.pick(&[ms(1000), ms(300), ms(4000), ms(50)]);
    peer.talks = match bytes.of(7) {
        0 => None,
        1 | 2 => Some((every, Talk::Text)),
        3 => Some((every, Talk::Bytes)),
        4 => Some((every, Talk::Asks)),
        5 => Some((every, Talk::Control)),
        _ => Some((every, Talk::Pongs)),
    };
    peer.rate = bytes.pick(&[None, None, Some(1000), Some(100), Some(10_000)]);
    peer.system = bytes.pick(&[4096, 64, 500]);
    peer.buffer = bytes.pick(&[4096, 1, 200, 50_000]);
    if bytes.once_in(5) {
        peer.stuck = Some(bytes.millis(60));
    }
    let after = bytes.millis(90);
    let code = bytes.pick(&[1000, 1001, 1011, 1012, 4001]);
    let later = bytes.millis(10);
    peer.ends = match bytes.of(12) {
        1 => Some((after, Ends::Plain)),
        2 => Some((after, Ends::Failed)),
        3 => Some((after, Ends::Close(code))),
        4 => Some((after, Ends::AppClose(code))),
        5 => Some((after, Ends::ClosedEnd(code))),
        6 => Some((after, Ends::Mute)),
        7 => Some((after, Ends::BrokenClose(code, later))),
        8 => Some((after, Ends::Broken(later))),
        9 => Some((after, Ends::BrokenMute)),
        _ => None,
    };
    if bytes.once_in(9) {
        peer.floods = Some(bytes.millis(60));
    }
    peer.counts = !bytes.once_in(4);
    peer.is_polite = !bytes.once_in(4);
    peer
}

fn wish(bytes: &mut Bytes<'_>, needs_confirm: bool) -> Wish {
    let size = bytes.pick(&[30, 30, 300, 3000, 1, LONGEST + 1]);
    match bytes.of(26) {
        0..=6 => Wish::Queue(size),
        7..=10 => Wish::Send(size),
        11 => Wish::Stop,
        12 => Wish::StopWith(bytes.pick(&[4000, 1001])),
        13 => Wish::Reconnect,
        14 => Wish::GiveUp(bytes.pick(&[None, Some(4003), Some(1006)])),
        15 => Wish::Healthy,
        16 => Wish::Network,
        17 => Wish::Reconfigure(config(bytes, needs_confirm)),
        18 => Wish::Sleep(bytes.millis(50)),
        19 | 20 => Wish::Listen(false),
        21..=23 => Wish::Listen(true),
        24 => Wish::Suspend(bytes.millis(200)),
        _ => Wish::Send(size),
    }
}

pub fn setup(bytes: &[u8]) -> Setup {
    let bytes = &mut Bytes::new(bytes);
    let keeps = if bytes.once_in(3) {
        Some(bytes.pick(&[100, 1000, 10_000]))
    } else {
        None
    };
    let mut setup = Setup::new(config(bytes, keeps.is_some()));
    setup.keeps = keeps;
    setup.seed = u64::from(bytes.byte());
    setup.pings = bytes.pick(&[
        Pings::Protocol,
        Pings::Protocol,
        Pings::Named,
        Pings::Nameless,
        Pings::Forbidden,
    ]);
    setup.is_accepted = bytes.once_in(8);
    setup.retry = bytes.pick(&[None, None, None, Some(Retry::Backoff), Some(Retry::Stop)]);
    setup.stall_timeout = bytes.pick(&[None, None, Some(ms(1500))]);
    setup.queue_limit = bytes.pick(&[None, Some(1000)]);
    setup.lags = bytes.once_in(3);
    setup.drops_queue = bytes.once_in(6);
    setup.logins = usize::from(bytes.of(3));
    setup.healthy_after = bytes.pick(&[Some(ms(100)), Some(ms(0)), Some(ms(1000)), None]);
    setup.requeues = bytes.once_in(2);
    setup.busy = bytes.pick(&[ms(0), ms(0), ms(7), ms(400)]);
    setup.until = Duration::from_secs(40);
    let peers = 1 + bytes.of(3);
    setup.peers = (0..peers).map(|_| peer(bytes)).collect();
    let mut at = Duration::ZERO;
    for _ in 0..bytes.of(24) {
        at += bytes.pick(&[ms(0), ms(100), ms(1000), ms(2500)]);
        let wish = wish(bytes, setup.keeps.is_some());
        setup.wishes.push((at, wish));
    }
    setup.rests = bytes.once_in(3);
    let fails_once = bytes.once_in(2);
    for peer in &mut setup.peers {
        peer.fails_once = fails_once;
    }
    setup
}
