//! The faults, each played to one subject, and what became of it.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::peer::{Conn, Hole, Log, Peer, Script, Seen, listen, now};
use crate::process::{Process, with_hosts};
use crate::subject::Subject;
use crate::{INTERVAL, MESSAGES, STALL, TIMEOUT, UPLOAD};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    HalfOpen,
    Stall,
    AcceptAndDrop,
    Stale,
    LargeFrame,
    LargeUpload,
    SecondAddress,
    Messages,
    Busy,
}

impl Fault {
    /// The longest first.
    pub const ALL: [Self; 9] = [
        Self::AcceptAndDrop,
        Self::HalfOpen,
        Self::Messages,
        Self::Stale,
        Self::SecondAddress,
        Self::Busy,
        Self::Stall,
        Self::LargeUpload,
        Self::LargeFrame,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::HalfOpen => "half-open",
            Self::Stall => "stall",
            Self::AcceptAndDrop => "accept-and-drop",
            Self::Stale => "stale",
            Self::LargeFrame => "large-frame",
            Self::LargeUpload => "large-upload",
            Self::SecondAddress => "second-address",
            Self::Messages => "messages",
            Self::Busy => "busy",
        }
    }

    /// How often it is played to each.
    pub fn rounds(self) -> usize {
        match self {
            Self::AcceptAndDrop => 1,
            Self::Stall => 10,
            _ => 3,
        }
    }

    pub fn play(self, subject: &Subject, round: usize) -> Outcome {
        match self {
            Self::HalfOpen => half_open(subject, round),
            Self::Stall => stall(subject),
            Self::AcceptAndDrop => accept_and_drop(subject),
            Self::Stale => stale(subject),
            Self::LargeFrame => large_frame(subject),
            Self::LargeUpload => large_upload(subject),
            Self::SecondAddress => second_address(subject),
            Self::Messages => lost_messages(subject),
            Self::Busy => busy(subject),
        }
    }
}

/// Times are in seconds; `None` is never, within the time that the fault is watched.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    HalfOpen {
        cut: Option<f64>,
        told: Option<f64>,
        open: Option<f64>,
    },
    /// Whether the healthy peer was convicted.
    Stall {
        convicted: bool,
    },
    /// Dials a minute.
    Dials(f64),
    Stale(Stale),
    /// After what time the connection was cut, while the peer was alive; `None` if the
    /// frame arrived.
    Large {
        cut: Option<f64>,
    },
    Opened(Option<f64>),
    Messages {
        missing: usize,
        told: u64,
    },
    NextDial(Option<f64>),
    /// What was wrong: the subject did not get as far as the fault.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stale {
    /// There was no second connection beside the old one.
    NoSecond,
    Safe,
    Disturbed(String),
}

const PATIENCE: Duration = Duration::from_secs(45);
/// For opening, where nothing is in the way; the machine may be busy.
const OPENING: Duration = Duration::from_secs(30);
const HEALTHY: Duration = Duration::from_secs(3);
/// Of a slow link, in 100 ms.
const LINK: usize = 5_000;

struct Play {
    peer: Peer,
    subject: Process,
}

impl Play {
    fn start(
        subject: &Subject,
        mode: &str,
        listener: TcpListener,
        script: impl Fn(&mut Conn) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let script: Arc<Script> = Arc::new(script);
        let peer = Peer::start(listener, script);
        let url = format!("ws://{}/", peer.address);
        let subject = Process::start(subject.command(&url, mode));
        Self { peer, subject }
    }

    fn log(&self) -> &Log {
        &self.peer.log
    }

    fn wait<T>(&self, within: Duration, mut get: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let end = Instant::now() + within;
        loop {
            if let Some(got) = get(self) {
                return Some(got);
            }
            if Instant::now() > end {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn when(&self, within: Duration, dial: usize, is: impl Fn(&Seen) -> bool) -> Option<f64> {
        self.wait(within, |play| play.log().when(dial, &is))
    }

    fn failed(&mut self, what: &str) -> Outcome {
        let ended = if self.subject.has_ended() {
            ", it ended"
        } else {
            ""
        };
        let events = self.subject.events();
        let last = events.last().map(|event| event.line.to_string());
        Outcome::Failed(format!("{what}{ended}; {}", last.unwrap_or_default()))
    }
}

fn seconds(from: f64, to: f64) -> f64 {
    (to - from) / 1000.0
}

fn any() -> TcpListener {
    listen("127.0.0.1:0", None)
}

fn half_open(subject: &Subject, round: usize) -> Outcome {
    // At another phase of the interval each.
    let healthy = HEALTHY + INTERVAL.mul_f64(0.3) * round as u32;
    let mut play = Play::start(subject, "listen", any(), move |conn| {
        conn.open()?;
        if conn.dial > 0 {
            return conn.serve();
        }
        conn.answer(healthy, Duration::ZERO)?;
        conn.mute(|_| false)
    });
    let silent = |seen: &Seen| *seen == Seen::Did("fell silent");
    let Some(from) = play.when(OPENING, 0, silent) else {
        return play.failed("it did not stay open");
    };
    play.wait(PATIENCE, |play| {
        play.log().when(0, Seen::is_cut)?;
        play.subject.when("down", from)?;
        play.log().when(1, |seen| *seen == Seen::Opened)
    });
    let since = |at: f64| seconds(from, at);
    Outcome::HalfOpen {
        cut: play.log().when(0, Seen::is_cut).map(since),
        told: play.subject.when("down", from).map(since),
        open: play.log().when(1, |seen| *seen == Seen::Opened).map(since),
    }
}

fn stall(subject: &Subject) -> Outcome {
    let mut play = Play::start(subject, "listen", any(), |conn| {
        conn.open()?;
        conn.answer(Duration::from_secs(600), TIMEOUT / 2)
    });
    let Some(_) = play.when(OPENING, 0, |seen| *seen == Seen::Opened) else {
        return play.failed("it did not open");
    };
    // After a whole round, and at once after a ping: the pong comes when nobody can take it.
    play.wait(INTERVAL * 5, |play| {
        let entries = play.log().entries();
        let pings = entries.iter().filter(|entry| entry.seen == Seen::Ping);
        (pings.count() == 2).then_some(())
    });
    if play.log().when(0, Seen::is_cut).is_some() {
        return play.failed("it ended before the stall");
    }
    let from = now();
    play.subject.stop();
    thread::sleep(STALL);
    play.subject.go_on();
    thread::sleep(INTERVAL + TIMEOUT + Duration::from_secs(2));
    if play.subject.has_ended() {
        return play.failed("after the stall");
    }
    let cut = play.log().when(0, Seen::is_cut);
    let told = play.subject.when("down", from);
    Outcome::Stall {
        convicted: cut.is_some() || told.is_some(),
    }
}

fn accept_and_drop(subject: &Subject) -> Outcome {
    const MINUTE: Duration = Duration::from_secs(60);
    const MANY: usize = 600;

    let mut play = Play::start(subject, "listen", any(), Conn::open);
    let Some(from) = play.when(OPENING, 0, |seen| *seen == Seen::Dialled) else {
        return play.failed("it did not dial");
    };
    let many = play.wait(MINUTE, |play| (play.log().dials() >= MANY).then(now));
    let until = many.unwrap_or_else(now);
    let minutes = seconds(from, until) / 60.0;
    Outcome::Dials(play.log().dials() as f64 / minutes)
}

fn stale(subject: &Subject) -> Outcome {
    const LATE: Duration = Duration::from_secs(1);
    const WATCHED: Duration = Duration::from_secs(5);

    let is_open = |seen: &Seen| *seen == Seen::Opened;
    let mut play = Play::start(subject, "reconnect", any(), move |conn| {
        conn.open()?;
        match conn.dial {
            0 => {
                conn.answer(HEALTHY, Duration::ZERO)?;
                // Until a while after the next one is open; then it wakes and ends.
                conn.mute(|conn| {
                    let next = conn.log.when(1, is_open);
                    next.is_some_and(|at| seconds(at, now()) > LATE.as_secs_f64())
                })?;
                conn.did("spoke late");
                let _ = conn.say("late");
                let _ = conn.say_goodbye(1001);
                Ok(())
            }
            1 => {
                conn.answer(LATE + WATCHED / 2, Duration::ZERO)?;
                conn.say("still here")?;
                conn.serve()
            }
            _ => conn.serve(),
        }
    });
    if play.when(OPENING, 0, is_open).is_none() {
        return play.failed("it did not open");
    }
    let Some(from) = play.when(HEALTHY + PATIENCE, 1, is_open) else {
        return Outcome::Stale(Stale::NoSecond);
    };
    thread::sleep(LATE + WATCHED);
    let heard = |text: &str| {
        let events = play.subject.events();
        events.iter().any(|event| event.line["text"] == text)
    };
    // What is reported of the first loss may come together with the second opening.
    let settled = from + LATE.as_secs_f64() * 500.0;
    let what = if play.log().when(1, Seen::is_cut).is_some() {
        "the new connection ended"
    } else if play.log().dials() > 2 {
        "it dialled once more"
    } else if play.subject.when("down", settled).is_some() {
        "a loss was reported"
    } else if heard("late") {
        "the old one's message was delivered"
    } else if !heard("still here") {
        "the new one's message was not delivered"
    } else {
        return Outcome::Stale(Stale::Safe);
    };
    Outcome::Stale(Stale::Disturbed(what.to_owned()))
}

fn large_frame(subject: &Subject) -> Outcome {
    let mut play = Play::start(subject, "listen", any(), |conn| {
        conn.open()?;
        if conn.dial == 0 {
            conn.answer(INTERVAL / 2, Duration::ZERO)?;
            conn.send_slowly(UPLOAD, LINK)?;
        }
        conn.serve()
    });
    let Some(from) = play.when(OPENING, 0, |seen| *seen == Seen::Did("began")) else {
        return play.failed("it did not stay open");
    };
    let ended = play.wait(PATIENCE, |play| {
        let cut = play.log().when(0, Seen::is_cut);
        let events = play.subject.events();
        let arrived = events.iter().any(|event| event.line["size"] == UPLOAD);
        (cut.is_some() || arrived).then_some(cut)
    });
    match ended {
        Some(cut) => Outcome::Large {
            cut: cut.map(|at| seconds(from, at)),
        },
        None => play.failed("the frame did not arrive"),
    }
}

fn large_upload(subject: &Subject) -> Outcome {
    // A receive buffer that does not take it all at once.
    let listener = listen("127.0.0.1:0", Some(8192));
    let mut play = Play::start(subject, "upload", listener, |conn| {
        conn.open()?;
        if conn.dial == 0 {
            conn.read_slowly(LINK);
        }
        conn.serve()
    });
    let Some(from) = play.when(OPENING, 0, |seen| *seen == Seen::Opened) else {
        return play.failed("it did not open");
    };
    let arrived = |play: &Play| play.log().when(0, |seen| *seen == Seen::Binary(UPLOAD));
    let ended = play.wait(PATIENCE, |play| {
        // Behind the slow link its close frame is seen late, and the dial is not.
        let cut = play.subject.when("down", from);
        let cut = cut.or_else(|| play.log().when(1, |seen| *seen == Seen::Dialled));
        let cut = cut.or_else(|| play.log().when(0, Seen::is_cut));
        if cut.is_some() {
            return Some(cut);
        }
        arrived(play)?;
        Some(None)
    });
    // A close frame may stand right behind the message.
    if ended == Some(None) {
        thread::sleep(Duration::from_secs(1));
    }
    match ended {
        Some(cut) => Outcome::Large {
            cut: cut
                .or_else(|| play.log().when(0, Seen::is_cut))
                .map(|at| seconds(from, at)),
        },
        None => play.failed("the message did not arrive"),
    }
}

fn second_address(subject: &Subject) -> Outcome {
    const NAME: &str = "two-addresses.test";

    let hole = Hole::new();
    let listener = listen(&format!("127.0.0.2:{}", hole.port), None);
    let peer = Peer::start(
        listener,
        Arc::new(|conn: &mut Conn| {
            conn.open()?;
            conn.serve()
        }),
    );
    let hosts = Hosts::new(&format!("127.0.0.1 {NAME}\n127.0.0.2 {NAME}\n"), hole.port);
    let url = format!("ws://{NAME}:{}/", hole.port);
    let command = with_hosts(&hosts.0, &subject.command(&url, "listen"));
    let mut play = Play {
        peer,
        subject: Process::start(command),
    };
    let Some(from) = play.wait(OPENING, |play| play.subject.when("start", 0.0)) else {
        return play.failed("it did not start");
    };
    let opened = play.wait(PATIENCE, |play| play.subject.when("open", from));
    Outcome::Opened(opened.map(|at| seconds(from, at)))
}

/// A file that goes with it.
struct Hosts(PathBuf);

impl Hosts {
    fn new(text: &str, port: u16) -> Self {
        let name = format!("compare-hosts-{}-{port}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether a file of hosts of one's own is possible here.
pub fn has_namespaces() -> bool {
    let hosts = Hosts::new("127.0.0.1 localhost\n", 0);
    let mut command = with_hosts(&hosts.0, &Command::new("true"));
    command.status().is_ok_and(|status| status.success())
}

fn lost_messages(subject: &Subject) -> Outcome {
    const TAKEN: usize = 5;
    const RESET: Duration = Duration::from_secs(25);

    let mut play = Play::start(subject, "messages", any(), |conn| {
        conn.open()?;
        if conn.dial > 0 {
            return conn.serve();
        }
        while numbers(&conn.log).len() < TAKEN && !conn.is_over() {
            conn.answer(Duration::from_millis(20), Duration::ZERO)?;
        }
        // The network's own end comes in the end, also to those who do not notice theirs.
        let end = Instant::now() + RESET;
        conn.mute(|_| Instant::now() > end)?;
        conn.reset();
        Ok(())
    });
    let silent = |seen: &Seen| *seen == Seen::Did("fell silent");
    let Some(from) = play.when(OPENING, 0, silent) else {
        return play.failed("its messages did not come");
    };
    let is_whole = |play: &Play| {
        let numbers = arrived(play.log(), from);
        numbers.contains(&MESSAGES).then_some(())
    };
    // Until the last one is there, or everything is quiet.
    play.wait(RESET + PATIENCE / 3, is_whole);
    thread::sleep(Duration::from_secs(1));
    let events = play.subject.events();
    let told = events
        .iter()
        .filter_map(|event| event.line["count"].as_u64());
    Outcome::Messages {
        missing: MESSAGES as usize - arrived(play.log(), from).len(),
        told: told.sum(),
    }
}

fn numbers(log: &Log) -> Vec<u32> {
    let entries = log.entries();
    let texts = entries.iter().filter_map(|entry| match &entry.seen {
        Seen::Text(text) => text.strip_prefix('m')?.parse().ok(),
        _ => None,
    });
    texts.collect()
}

/// Those that did not go into a silent connection.
fn arrived(log: &Log, silent: f64) -> Vec<u32> {
    let mut numbers: Vec<u32> = log
        .entries()
        .iter()
        .filter(|entry| entry.dial > 0 || entry.at <= silent)
        .filter_map(|entry| match &entry.seen {
            Seen::Text(text) => text.strip_prefix('m')?.parse().ok(),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn busy(subject: &Subject) -> Outcome {
    const WANTED: u32 = 8;

    let mut play = Play::start(subject, "listen", any(), |conn| match conn.dial {
        0 => {
            conn.open()?;
            conn.answer(HEALTHY / 3, Duration::ZERO)?;
            conn.say_goodbye(1001)
        }
        1 => conn.refuse(WANTED),
        _ => {
            conn.open()?;
            conn.serve()
        }
    });
    let Some(from) = play.when(OPENING, 1, |seen| *seen == Seen::Did("refused")) else {
        return play.failed("it did not come back");
    };
    let next = play.when(PATIENCE, 2, |seen| *seen == Seen::Dialled);
    Outcome::NextDial(next.map(|at| seconds(from, at)))
}
