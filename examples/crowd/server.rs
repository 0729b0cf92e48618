//! A server, and what is done to it.

use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use keepalive::fleet::Members;
use keepalive::tokio::Timer;
use keepalive::{Config, ConfigError, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::Failure;
use crate::connection::{accept, as_member, as_session};
use crate::late::Lateness;
use crate::load::{MUTE, MUTE_WITHIN};
use crate::report::{self, Event, Tally};

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(2);
const DRAIN: Duration = Duration::from_secs(5);

/// For everything that should be over long before.
const PATIENCE: Duration = Duration::from_secs(60);

/// What keeps the heartbeats.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Members,
    Sessions,
}

/// tungstenite's buffers are 128 KiB by default, which hides everything else.
pub(crate) fn web_socket() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096)
}

#[tokio::main]
pub(crate) async fn run(kind: Kind, connections: usize) -> Result<bool, Failure> {
    let muted = (connections / 50).max(1);
    let heartbeats = Heartbeats::new(kind)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (sender, events) = unbounded_channel();
    let mut tally = Tally::new(events);
    let before = resident()?;
    println!("{}", heartbeats.title(connections));

    let began = Instant::now();
    let mut load = Load::start(address, connections, muted)?;
    let accepting = tokio::spawn(serve(listener, heartbeats.clone(), sender));
    let all = |tally: &Tally| tally.joined == connections || tally.lost > 0;
    if !tally.until(PATIENCE, all).await || tally.lost > 0 {
        return Err(format!("only {} of {connections} connected", tally.joined).into());
    }
    accepting.abort(); // there are no others
    report::connected(connections, began.elapsed());

    // Until each has had a ping.
    sleep(INTERVAL).await;
    report::memory(before, resident()?, connections, heartbeats.own_bytes());

    let lateness = Lateness::watch();
    load.tell(MUTE)?;
    let bound = heartbeats.bound();
    let found = |tally: &Tally| tally.found.len() >= muted;
    tally.until(MUTE_WITHIN + bound * 2, found).await;
    let on_time = report::found(&tally, muted, bound, lateness.greatest());

    let began = Instant::now();
    heartbeats.drain();
    let gone =
        |tally: &Tally| tally.closed.len() + tally.lost + tally.wrongly >= connections - muted;
    tally.until(PATIENCE, gone).await;
    report::drained(&tally, began, heartbeats.drains_over());
    Ok(load.has_ended_well().await? && on_time && tally.wrongly + tally.lost == 0)
}

async fn serve(listener: TcpListener, heartbeats: Heartbeats, events: UnboundedSender<Event>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (heartbeats, events) = (heartbeats.clone(), events.clone());
        tokio::spawn(async move {
            // Who does not manage the handshake never was a connection.
            let Some(socket) = accept(socket).await else {
                return;
            };
            // A task is as large as the largest of what it does, so that is another one.
            match heartbeats {
                Heartbeats::Members(members) => {
                    tokio::spawn(as_member(members, socket, events));
                }
                Heartbeats::Sessions(shutdown, config) => {
                    tokio::spawn(as_session(config, shutdown, socket, events));
                }
            }
        });
    }
}

#[derive(Clone)]
enum Heartbeats {
    Members(Members),
    Sessions(Shutdown, Config),
}

impl Heartbeats {
    fn new(kind: Kind) -> Result<Self, ConfigError> {
        let config = Config::builder()
            .ping_interval(INTERVAL)
            .pong_timeout(TIMEOUT)
            .build()?;
        Ok(match kind {
            Kind::Members => {
                let members = Members::new(config, RandomState::new().hash_one(0));
                tokio::spawn(members.clone().run(Timer::new()));
                Self::Members(members)
            }
            Kind::Sessions => Self::Sessions(Shutdown::new(), config),
        })
    }

    fn title(&self, connections: usize) -> String {
        match self {
            Self::Members(_) => format!("{connections} connections on one Members"),
            Self::Sessions(..) => format!("{connections} connections, a Session each"),
        }
    }

    /// How long a peer that fell silent may stay, where timers are exact.
    fn bound(&self) -> Duration {
        INTERVAL
            + TIMEOUT
            + match self {
                // What comes counts as of the end of its period, an eighth more, and a watch
                // ends at a tick: that is twice 2 1/8 periods, and two for the verdict.
                Self::Members(members) => members.granularity().mul_f64(6.25),
                Self::Sessions(..) => Duration::ZERO,
            }
    }

    fn own_bytes(&self) -> Option<usize> {
        match self {
            Self::Members(members) => Some(members.heap_bytes()),
            Self::Sessions(..) => None,
        }
    }

    fn drain(&self) {
        match self {
            Self::Members(members) => members.drain(DRAIN),
            Self::Sessions(shutdown, _) => {
                let shutdown = shutdown.clone();
                tokio::spawn(async move { shutdown.close().await });
            }
        }
    }

    /// Sessions are all closed at once.
    fn drains_over(&self) -> Option<Duration> {
        matches!(self, Self::Members(_)).then_some(DRAIN)
    }
}

/// The resident memory of this process, in kB.
fn resident() -> Result<usize, Failure> {
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("the system does not say how much memory this takes: {error}"))?;
    let mut lines = status.lines();
    let size = lines.find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
    Ok(size.unwrap_or_default().trim().parse()?)
}

/// The process of the load generator; it ends with this one.
struct Load {
    process: Child,
    input: Option<ChildStdin>,
}

impl Load {
    fn start(address: SocketAddr, connections: usize, muted: usize) -> Result<Self, Failure> {
        let numbers = [connections, muted].map(|number| number.to_string());
        let mut process = Command::new(env::current_exe()?)
            .args(["load", &address.to_string()])
            .args(numbers)
            .stdin(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        Ok(Self { process, input })
    }

    fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let input = self.input.as_mut();
        let mut input = input.ok_or("the load generator takes no input")?;
        Ok(writeln!(&mut input, "{line}")?)
    }

    async fn has_ended_well(mut self) -> Result<bool, Failure> {
        drop(self.input.take()); // now it tells what it saw
        let limit = Instant::now() + PATIENCE;
        while Instant::now() < limit {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status.success());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err("the load generator does not end".into())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // One that has ended is no worse off.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
