//! The faults: how each begins and ends, and what the contract says of it.

mod certificate;
mod net;
mod proxy;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use keepalive::{CloseCode, CloseReason, Config, ConfigBuilder};

use certificate::Certificate;
pub use net::{Net, Way};
pub use proxy::{Cut, Door, Proxy};

use crate::peers::{Kind, Options, Peer, Place};
use crate::{Adapter, Down, Target, Why};

/// Bytes a second of a slow link.
const SLOW: u64 = 128 << 10;

/// How long this process is paused: longer than every timeout.
const PAUSE: Duration = Duration::from_millis(4500);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing, for comparison.
    None,
    /// The peer's process is stopped by SIGSTOP.
    Stopped,
    /// The peer behind a proxy is, and the proxy lives.
    StoppedBehind,
    /// All packets are dropped.
    BlackHole,
    /// Those of the client are.
    HoleUp,
    /// Those of the peer are.
    HoleDown,
    /// Half of all packets are.
    Loss,
    /// The link is down.
    LinkDown,
    /// The connection is reset, by SO_LINGER 0.
    Reset,
    /// Each packet is answered with a reset.
    Reject,
    /// The peer's process is killed, and started again.
    Killed,
    /// It is asked to end by SIGTERM, and started again.
    Terminated,
    /// Our own process is stopped for longer than every timeout.
    Paused,
    /// The peer is stopped, and we send until nothing fits.
    FullBuffer,
    SlowUp,
    SlowDown,
    /// The peer sends as fast as it can.
    Flood,
    /// Each connection is accepted and dropped.
    AcceptDrop,
    /// Each connection is dropped after its handshake.
    OpenDrop,
    /// Nobody listens.
    Refused,
    /// The name does not resolve.
    NoName,
    /// The name's first address swallows what is sent to it.
    FirstHole,
    Closed(u16),
    /// 503 with `Retry-After` in seconds.
    RetrySeconds,
    /// The same with a date.
    RetryDate,
    /// 404 for a while: a minute in the long form.
    NotFound,
    Unauthorised,
    /// 401, with the policy `stop_when_refused`.
    UnauthorisedStop,
}

impl Fault {
    pub const ALL: [Self; 32] = [
        Self::None,
        Self::Stopped,
        Self::StoppedBehind,
        Self::BlackHole,
        Self::HoleUp,
        Self::HoleDown,
        Self::Loss,
        Self::LinkDown,
        Self::Reset,
        Self::Reject,
        Self::Killed,
        Self::Terminated,
        Self::Paused,
        Self::FullBuffer,
        Self::SlowUp,
        Self::SlowDown,
        Self::Flood,
        Self::AcceptDrop,
        Self::OpenDrop,
        Self::Refused,
        Self::NoName,
        Self::FirstHole,
        Self::Closed(1000),
        Self::Closed(1001),
        Self::Closed(1008),
        Self::Closed(1012),
        Self::Closed(1013),
        Self::RetrySeconds,
        Self::RetryDate,
        Self::NotFound,
        Self::Unauthorised,
        Self::UnauthorisedStop,
    ];

    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::None => "none",
            Self::Stopped => "SIGSTOP",
            Self::StoppedBehind => "SIGSTOP behind it",
            Self::BlackHole => "black hole",
            Self::HoleUp => "black hole, ours only",
            Self::HoleDown => "black hole, theirs only",
            Self::Loss => "50 % loss",
            Self::LinkDown => "link down",
            Self::Reset => "RST, linger 0",
            Self::Reject => "RST, nft",
            Self::Killed => "SIGKILL, restart",
            Self::Terminated => "SIGTERM, restart",
            Self::Paused => "we are paused 4.5 s",
            Self::FullBuffer => "full send buffer",
            Self::SlowUp => "slow uplink",
            Self::SlowDown => "slow downlink",
            Self::Flood => "flood",
            Self::AcceptDrop => "accept and drop",
            Self::OpenDrop => "101 and drop",
            Self::Refused => "refused",
            Self::NoName => "no such name",
            Self::FirstHole => "first address a hole",
            Self::Closed(code) => return format!("close {code}"),
            Self::RetrySeconds => "503, Retry-After: 2",
            Self::RetryDate => "503, Retry-After: date",
            Self::NotFound => "404",
            Self::Unauthorised => "401",
            Self::UnauthorisedStop => "401, stop_when_refused",
        }
        .to_owned()
    }

    /// Whether it takes a network namespace.
    #[must_use]
    pub fn needs_net(self) -> bool {
        use Fault::{BlackHole, HoleDown, HoleUp, LinkDown, Loss, Reject};
        matches!(
            self,
            BlackHole | HoleUp | HoleDown | Loss | LinkDown | Reject
        )
    }

    fn needs_proxy(self) -> bool {
        use Fault::{
            AcceptDrop, Closed, Flood, NotFound, OpenDrop, Refused, Reset, RetryDate, RetrySeconds,
            SlowDown, SlowUp, Unauthorised, UnauthorisedStop,
        };
        matches!(
            self,
            Reset
                | SlowUp
                | SlowDown
                | Flood
                | AcceptDrop
                | OpenDrop
                | Refused
                | Closed(_)
                | RetrySeconds
                | RetryDate
                | NotFound
                | Unauthorised
                | UnauthorisedStop
        )
    }

    /// Whether it is there from the start.
    #[must_use]
    pub fn is_of_the_dial(self) -> bool {
        matches!(self, Self::NoName | Self::FirstHole)
    }

    /// Whether it takes a processor of its own.
    #[must_use]
    pub fn is_heavy(self) -> bool {
        matches!(self, Self::Flood | Self::FullBuffer)
    }

    /// Whether there is such a cell at all.
    #[must_use]
    pub fn fits(self, kind: Kind) -> bool {
        match self {
            Self::StoppedBehind => kind.is_proxy(),
            // Nobody is there.
            Self::NoName => kind == Kind::Ours,
            _ => true,
        }
    }

    #[must_use]
    pub fn runs_on(self, adapter: Adapter, tls: bool) -> bool {
        if tls {
            return adapter.dials_all();
        }
        // The example looks the name up once, and dials the first address alone.
        adapter.dials_all() || !self.is_of_the_dial()
    }

    /// Whether it may be noticed by one cause or by another.
    #[must_use]
    pub fn may_differ(self) -> bool {
        matches!(
            self,
            Self::FullBuffer | Self::LinkDown | Self::Killed | Self::Terminated
        )
    }

    /// The bytes of a message that is sent at the beginning and every 4 s, or all the
    /// time where the buffer is to be full.
    #[must_use]
    pub fn large(self) -> Option<usize> {
        match self {
            Self::SlowUp | Self::SlowDown => Some(384 << 10),
            Self::FullBuffer => Some(64 << 10),
            _ => None,
        }
    }

    /// The settings of the clients in this fault.
    pub fn settings(self) -> ConfigBuilder {
        let milliseconds = Duration::from_millis;
        let settings = Config::builder()
            .ping_interval(milliseconds(500))
            .send_interval(Some(milliseconds(500)))
            .pong_timeout(milliseconds(1500))
            .confirm_within(Some(milliseconds(250)))
            .connect_timeout(milliseconds(2000))
            .close_timeout(milliseconds(1000))
            .first_spread(milliseconds(500))
            .backoff_floor(milliseconds(200))
            .backoff_base(milliseconds(400))
            .backoff_cap(milliseconds(2000))
            .stable_after(milliseconds(1000));
        match self {
            // The defaults, with a cap that a suite can wait for.
            Self::AcceptDrop | Self::OpenDrop => settings
                .backoff_floor(milliseconds(1000))
                .backoff_base(milliseconds(2000))
                .backoff_cap(milliseconds(4000)),
            Self::UnauthorisedStop => settings.policy(keepalive::stop_when_refused),
            _ => settings,
        }
    }
}

/// What the contract says.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// In a word or two.
    pub what: &'static str,
    /// Which down is the right one.
    pub right: fn(Fault, &Down) -> bool,
    /// What may come of it.
    pub may: May,
    /// How long it lasts, at least.
    pub lasts: Duration,
    /// The earliest and the latest plan for the next dial.
    pub plan: Option<(Duration, Duration)>,
    /// From its end until a message is echoed again.
    pub recovery: Duration,
}

/// What may come of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// Nothing: the peer is healthy, and is not left.
    Live,
    /// It is noticed within this time, by a verdict of ours or by an error.
    Die(Duration),
    /// It is noticed within this time, by what the peer or the system says: a verdict is
    /// wrong.
    Hear(Duration),
    /// A path so bad that both is right.
    Either,
}

impl Fault {
    /// What the contract says of it under these settings.
    #[must_use]
    pub fn expect(self, config: &Config, long: bool) -> Expect {
        let silence = config.ping_interval() + config.pong_timeout() * config.max_missed();
        let dial = config.connect_timeout();
        let (spread, floor, cap) = (
            config.first_spread(),
            config.backoff_floor(),
            config.backoff_cap(),
        );
        let seconds = Duration::from_secs;
        // A dial may hang when the fault ends; after it comes one more wait.
        let base = Expect {
            what: "nothing",
            right: |_, _| true,
            may: May::Live,
            lasts: Duration::ZERO,
            plan: None,
            recovery: dial + cap,
        };
        let refused: fn(Fault, &Down) -> bool = |_, down| matches!(down.why, Why::Refused(_));
        let by_dial: fn(Fault, &Down) -> bool = |_, down| down.is_dial && down.why == Why::Failed;
        match self {
            Self::None => Expect {
                lasts: seconds(6),
                ..base
            },
            Self::Stopped
            | Self::StoppedBehind
            | Self::BlackHole
            | Self::HoleUp
            | Self::HoleDown => Expect {
                what: "pong timeout",
                right: |_, down| down.why == Why::TimedOut(CloseReason::PongTimeout),
                may: May::Die(silence),
                ..base
            },
            Self::LinkDown => Expect {
                what: "pong timeout or error",
                right: |_, down| down.why.is_conviction() || down.why == Why::Failed,
                may: May::Die(silence),
                ..base
            },
            Self::Loss => Expect {
                what: "either",
                may: May::Either,
                lasts: seconds(6),
                recovery: silence + dial + cap,
                ..base
            },
            Self::FullBuffer => Expect {
                what: "pong timeout or stall",
                right: |_, down| down.why.is_conviction(),
                // What its kernel took counts as a sign of life; the stall timeout is the
                // pong timeout.
                may: May::Die(silence + config.pong_timeout()),
                ..base
            },
            Self::Reset | Self::Reject => Expect {
                what: "error",
                right: |_, down| !down.is_dial && down.why == Why::Failed,
                may: May::Hear(Duration::ZERO),
                plan: Some((Duration::ZERO, spread)),
                ..base
            },
            Self::Killed | Self::Terminated => Expect {
                what: "error or close",
                right: |_, down| matches!(down.why, Why::Failed | Why::Closed(_)),
                may: May::Hear(Duration::ZERO),
                ..base
            },
            Self::Paused => Expect {
                lasts: PAUSE + Duration::from_secs(2),
                ..base
            },
            Self::SlowUp | Self::SlowDown => Expect {
                lasts: seconds(9),
                // What waits is sent first.
                recovery: seconds(5),
                ..base
            },
            Self::Flood => Expect {
                lasts: seconds(4),
                recovery: seconds(5),
                ..base
            },
            Self::AcceptDrop => Expect {
                what: "failed dials",
                right: by_dial,
                may: May::Hear(spread),
                lasts: seconds(10),
                ..base
            },
            Self::OpenDrop => Expect {
                what: "short connections",
                right: |_, down| matches!(down.why, Why::Failed | Why::Closed(None)),
                may: May::Hear(spread),
                lasts: seconds(10),
                ..base
            },
            Self::Refused => Expect {
                what: "failed dials",
                right: by_dial,
                may: May::Hear(spread),
                lasts: seconds(3),
                ..base
            },
            Self::NoName => Expect {
                what: "failed dials",
                right: |_, down| {
                    let timeout = Why::TimedOut(CloseReason::ConnectTimeout);
                    down.is_dial && (down.why == Why::Failed || down.why == timeout)
                },
                may: May::Hear(dial),
                lasts: seconds(3),
                ..base
            },
            Self::FirstHole => Expect {
                what: "the second address",
                // RFC 8305.
                recovery: Duration::from_millis(250),
                ..base
            },
            Self::Closed(code) => {
                let (least, greatest) = match code {
                    1012 => (seconds(5), seconds(30)),
                    1008 | 1013 => (floor, cap),
                    _ => (Duration::ZERO, spread),
                };
                Expect {
                    what: "the close code",
                    right: |fault, down| match (fault, down.why) {
                        (Self::Closed(code), Why::Closed(Some(CloseCode(heard)))) => heard == code,
                        _ => false,
                    },
                    may: May::Hear(Duration::ZERO),
                    plan: Some((least, greatest)),
                    recovery: greatest + dial,
                    ..base
                }
            }
            Self::RetrySeconds | Self::RetryDate => Expect {
                what: "503",
                right: refused,
                may: May::Hear(spread),
                // A date of 3 s hence has whole seconds.
                plan: Some((seconds(2), seconds(3) + cap)),
                recovery: seconds(3) + cap + dial,
                ..base
            },
            Self::NotFound | Self::Unauthorised => Expect {
                what: "the status",
                right: refused,
                may: May::Hear(spread),
                lasts: seconds(if long && self == Self::NotFound {
                    60
                } else {
                    5
                }),
                plan: Some((floor, cap)),
                ..base
            },
            Self::UnauthorisedStop => Expect {
                what: "401, and it stops",
                right: refused,
                may: May::Hear(spread),
                ..base
            },
        }
    }
}

/// Where the clients and their peer are.
#[derive(Debug)]
pub struct World {
    // In this order they end.
    proxy: Option<Proxy>,
    hole: Option<Hole>,
    pub peer: Peer,
    certificate: Option<Certificate>,
    net: Option<Net>,
}

impl World {
    #[must_use]
    pub fn new(kind: Kind, fault: Fault, tls: bool) -> Self {
        let net = fault.needs_net().then(|| Net::new().unwrap());
        let place = net.as_ref().map_or_else(Place::default, Net::place);
        let certificate = tls.then(|| Certificate::new(place.address));
        let options = Options {
            tls: certificate.as_ref().map(Certificate::files),
            ..Options::default()
        };
        let peer = Peer::start_with(kind, &place, options);
        let proxy = fault.needs_proxy().then(|| Proxy::start(peer.address()));
        let hole = (fault == Fault::FirstHole).then(Hole::new);
        Self {
            proxy,
            hole,
            peer,
            certificate,
            net,
        }
    }

    /// Whom the clients dial.
    #[must_use]
    pub fn target(&self) -> Target {
        let mut target = self.peer.speech().target(&self.peer);
        target.tls = self.certificate.as_ref().map(Certificate::tls);
        let own = self.peer.address().to_string();
        if let Some(proxy) = &self.proxy {
            let instead = proxy.address().to_string();
            target.url = target.url.replace(&own, &instead);
            if let Some(request) = &mut target.request {
                let uri = request.uri().to_string().replace(&own, &instead);
                *request.uri_mut() = uri.parse().unwrap();
            }
        }
        if let Some(hole) = &self.hole {
            target.addresses = vec![hole.address, self.peer.address()];
        }
        target
    }

    /// The same where the name does not resolve.
    #[must_use]
    pub fn nowhere(&self) -> Target {
        Target::new(format!("ws://x.invalid:{}/", self.peer.address().port()))
    }

    /// # Panics
    ///
    /// Where the system does not let us.
    pub fn begin(&mut self, fault: Fault) {
        let answer = |proxy: &Proxy, answer| {
            proxy.door(Door::Answer(answer));
            proxy.cut(Cut::Fin);
        };
        match fault {
            Fault::None | Fault::NoName | Fault::FirstHole => {}
            Fault::Stopped | Fault::FullBuffer => self.peer.freeze(),
            Fault::StoppedBehind => self.peer.behind().unwrap().freeze(),
            Fault::BlackHole => {
                self.net().drop_packets(Way::Up, 100);
                self.net().drop_packets(Way::Down, 100);
            }
            Fault::HoleUp => self.net().drop_packets(Way::Up, 100),
            Fault::HoleDown => self.net().drop_packets(Way::Down, 100),
            Fault::Loss => {
                self.net().drop_packets(Way::Up, 50);
                self.net().drop_packets(Way::Down, 50);
            }
            Fault::LinkDown => self.net().link(false),
            Fault::Reject => self.net().reject(),
            Fault::Killed => self.peer.kill(),
            Fault::Terminated => self.peer.stop(),
            Fault::Paused => pause(&self.peer),
            Fault::Reset => self.proxy().cut(Cut::Reset),
            Fault::SlowUp => self.proxy().limit(Some(SLOW), None),
            Fault::SlowDown => self.proxy().limit(None, Some(SLOW)),
            Fault::Flood => self.proxy().flood(true),
            Fault::AcceptDrop => {
                self.proxy().door(Door::Drop);
                self.proxy().cut(Cut::Fin);
            }
            Fault::OpenDrop => {
                self.proxy().door(Door::DropOpened);
                self.proxy().cut(Cut::Fin);
            }
            Fault::Refused => {
                self.proxy().door(Door::Shut);
                self.proxy().cut(Cut::Reset);
            }
            Fault::Closed(code) => self.proxy().cut(Cut::Close(code)),
            Fault::RetrySeconds => answer(self.proxy(), || {
                refusal("503 Service Unavailable", "Retry-After: 2\r\n")
            }),
            Fault::RetryDate => answer(self.proxy(), || {
                let then = SystemTime::now() + Duration::from_secs(3);
                let date = httpdate::fmt_http_date(then);
                refusal(
                    "503 Service Unavailable",
                    &format!("Retry-After: {date}\r\n"),
                )
            }),
            Fault::NotFound => answer(self.proxy(), || refusal("404 Not Found", "")),
            Fault::Unauthorised | Fault::UnauthorisedStop => {
                answer(self.proxy(), || refusal("401 Unauthorized", ""));
            }
        }
    }

    /// # Panics
    ///
    /// Where the system does not let us.
    pub fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Stopped | Fault::FullBuffer => self.peer.thaw(),
            Fault::StoppedBehind => self.peer.behind().unwrap().thaw(),
            Fault::Killed | Fault::Terminated => self.peer.restart(),
            Fault::LinkDown => self.net().link(true),
            _ => {
                if let Some(net) = &self.net {
                    net.clear();
                }
                if let Some(proxy) = &self.proxy {
                    proxy.door(Door::Open);
                    proxy.limit(None, None);
                    proxy.flood(false);
                }
            }
        }
    }

    fn net(&self) -> &Net {
        self.net.as_ref().unwrap()
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }
}

fn refusal(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

/// Stops this process while its pings are out, and has it woken when their answers have
/// long been there, unread.
fn pause(peer: &Peer) {
    peer.freeze();
    thread::sleep(Duration::from_millis(400));
    let (own, peer) = (std::process::id(), peer.pid());
    let seconds = PAUSE.as_secs_f64();
    let script =
        format!("kill -STOP {own}; kill -s CONT -- -{peer}; sleep {seconds}; kill -CONT {own}");
    let mut alarm = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    thread::spawn(move || alarm.wait());
}

/// An address that swallows what is sent to it.
#[derive(Debug)]
struct Hole {
    address: SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

impl Hole {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let short = Duration::from_millis(200);
        let mut filling = Vec::new();
        // What comes after the queue is full hangs.
        while let Ok(socket) = TcpStream::connect_timeout(&address, short) {
            filling.push(socket);
            assert!(filling.len() < 10, "the queue of a listener has no end");
            thread::sleep(Duration::from_millis(10));
        }
        Self {
            address,
            _listener: listener,
            _filling: filling,
        }
    }
}
