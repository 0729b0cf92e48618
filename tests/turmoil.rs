//! A network that is cut, heals, stalls and loses, in simulated time: turmoil's hosts
//! with tokio-tungstenite, both sides watched by the same driver.
//!
//! What turmoil drops is not sent again, so a connection that lost a segment stays
//! silent when the network is whole again.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "this room is never closed")]
#[path = "../examples/chat/room.rs"]
mod room;

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use keepalive::driver::{Cause, Notice};
use keepalive::tokio::{Channel, accepted, client};
use keepalive::{CloseReason, Config};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use tungstenite::{Error, Message};
use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

const PORT: u16 = 9001;
const SECOND: Duration = Duration::from_secs(1);
const LATENCY: Duration = Duration::from_millis(20);
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// What a message on its way, the driver and the steps of the simulation add.
const SLACK: Duration = Duration::from_millis(100);

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
const CAP: Duration = Duration::from_secs(8);

#[test]
fn a_quiet_link_stays_up() {
    let mut world = World::new(answering());
    world.run(120 * SECOND);
    let told = world.client.told();
    assert_eq!(told[..2], [Told::Dial(0), Told::Open]);
    let pongs = &told[2..];
    assert!(pongs.len() >= 50, "{told:?}");
    for pong in pongs {
        let Told::Pong(round_trip) = pong else {
            panic!("{pong:?}");
        };
        assert!(*round_trip >= ROUND_TRIP && *round_trip <= ROUND_TRIP + SLACK);
    }
    assert_eq!(world.server.last_state(), Some(Told::Open));
}

#[test]
fn a_partition_is_found_by_both_sides_and_healed() {
    let mut world = World::new(watching());
    world.run(5 * SECOND);
    world.sim.partition("client", "server");
    let cut = world.now();
    world.run(INTERVAL + TIMEOUT + SLACK);
    for side in [&world.client, &world.server] {
        let found = side.when(&Told::Dead).unwrap();
        assert!(found + ROUND_TRIP >= cut + TIMEOUT, "{found:?}");
    }
    world.say("while it was down");
    world.run(60 * SECOND);
    assert!(world.client.count(|told| matches!(told, Told::Dial(_))) > 5);
    assert_eq!(world.client.count(|told| *told == Told::Open), 1);

    world.sim.repair("client", "server");
    world.run(CAP + SLACK);
    assert_eq!(world.client.count(|told| *told == Told::Open), 2);
    let echo = |told: &Told| *told == Told::Heard("while it was down".to_owned());
    assert_eq!(world.server.count(echo), 1);
    assert_eq!(world.client.count(echo), 1);
}

#[test]
fn a_network_that_is_said_to_be_back_is_tried_at_once() {
    let mut world = World::new(watching());
    world.run(5 * SECOND);
    world.sim.partition("client", "server");
    world.run(60 * SECOND);
    world.sim.repair("client", "server");
    world.changes.send(()).unwrap();
    // At most a second from now, and a second after the last dial.
    world.run(2 * SECOND + SLACK);
    assert_eq!(world.client.count(|told| *told == Told::Open), 2);
}

#[test]
fn a_client_that_hears_nothing_leaves() {
    let mut world = World::new(watching());
    world.run(5 * SECOND);
    world.sim.partition_oneway("server", "client");
    world.run(INTERVAL + TIMEOUT + SLACK);
    assert!(world.client.when(&Told::Dead).is_some());
    world.sim.repair_oneway("server", "client");
    world.run(CAP + SLACK);
    assert_eq!(world.client.last_state(), Some(Told::Open));
}

/// It still hears the server, which hears nothing, leaves, and says so.
#[test]
fn a_client_that_is_not_heard_is_told() {
    let mut world = World::new(watching());
    world.run(5 * SECOND);
    world.sim.partition_oneway("client", "server");
    world.run(INTERVAL + TIMEOUT + SLACK);
    assert!(world.server.when(&Told::Dead).is_some());
    assert_eq!(world.client.when(&Told::Dead), None);
    assert!(world.client.count(|told| matches!(told, Told::Lost(_))) > 0);
    world.sim.repair_oneway("client", "server");
    world.run(CAP + SLACK);
    assert_eq!(world.client.last_state(), Some(Told::Open));
}

#[test]
fn a_stall_below_the_timeout_is_survived() {
    let mut world = World::new(watching());
    world.run(5 * SECOND);
    world.sim.hold("client", "server");
    world.say("held");
    world.run(TIMEOUT - SECOND);
    assert_eq!(world.server.when(&Told::Heard("held".to_owned())), None);
    world.sim.release("client", "server");
    world.run(60 * SECOND);
    assert_eq!(world.client.count(|told| *told == Told::Open), 1);
    assert_eq!(world.client.last_state(), Some(Told::Open));
    assert_eq!(world.server.last_state(), Some(Told::Open));
    assert!(world.client.when(&Told::Heard("held".to_owned())).is_some());
}

/// The dials hang too. What was held comes late, for a connection that is no more.
#[test]
fn a_stall_above_the_timeout_is_found_and_healed() {
    let mut world = World::new(watching());
    world.run(5 * SECOND);
    world.sim.hold("client", "server");
    let stalled = world.now();
    world.run(INTERVAL + TIMEOUT + SLACK);
    let found = world.client.when(&Told::Dead).unwrap();
    assert!(found + ROUND_TRIP >= stalled + TIMEOUT, "{found:?}");
    world.run(60 * SECOND);
    let hung = Told::Lost("connecting took too long".to_owned());
    assert!(world.client.count(|told| *told == hung) > 2);

    world.sim.release("client", "server");
    world.run(CONNECT + CAP + SLACK);
    assert_eq!(world.client.count(|told| *told == Told::Open), 2);
    world.run(60 * SECOND);
    assert_eq!(world.client.count(|told| *told == Told::Open), 2);
    assert_eq!(world.client.last_state(), Some(Told::Open));
}

/// The server only answers: where it pings, its pings are life whatever the latency.
#[test]
fn a_round_trip_below_the_timeout_is_fine() {
    let mut world = World::new(answering());
    world.run(5 * SECOND);
    world.latency(TIMEOUT / 2 - SECOND / 10);
    world.run(120 * SECOND);
    assert_eq!(world.client.last_state(), Some(Told::Open));
    let slow =
        |told: &Told| matches!(told, Told::Pong(round_trip) if *round_trip > TIMEOUT * 9 / 10);
    assert!(world.client.count(slow) > 5);
}

#[test]
fn a_round_trip_above_the_timeout_is_not() {
    let mut world = World::new(answering());
    world.run(5 * SECOND);
    world.latency(TIMEOUT / 2 + SECOND / 10);
    world.run(INTERVAL + TIMEOUT + SLACK);
    assert!(world.client.when(&Told::Dead).is_some());
    world.latency(LATENCY);
    world.run(CONNECT + CAP + SLACK);
    assert_eq!(world.client.last_state(), Some(Told::Open));
}

#[test]
fn a_server_that_crashes_is_awaited() {
    let mut world = World::new(watching());
    world.run(5 * SECOND);
    world.sim.crash("server");
    world.run(60 * SECOND);
    assert_eq!(world.client.count(|told| *told == Told::Open), 1);
    world.sim.bounce("server");
    world.run(CONNECT + CAP + SLACK);
    assert_eq!(world.client.last_state(), Some(Told::Open));
}

/// Minutes of links that break and heal at random; then the network is whole, and
/// so must be the connection.
#[test]
fn losses_are_survived() {
    for seed in 1..=2 {
        let mut world = World::with_losses(seed);
        for number in 0..300 {
            world.say(&number.to_string());
            world.run(SECOND);
        }
        let found = world.client.count(|told| *told == Told::Dead);
        assert!(found > 2, "{found} with seed {seed}");

        world.sim.set_fail_rate(0.0);
        world.sim.repair("client", "server");
        world.run(INTERVAL + TIMEOUT + CONNECT + CAP + SLACK);
        world.say("the end");
        world.run(SECOND);
        let heard = world.server.heard();
        assert_eq!(
            heard.last().map(String::as_str),
            Some("the end"),
            "seed {seed}"
        );

        // Some were lost with their connection; none came twice, or late.
        let numbers: Vec<u32> = heard.iter().filter_map(|text| text.parse().ok()).collect();
        assert!(numbers.len() > 100, "{} with seed {seed}", numbers.len());
        assert!(numbers.is_sorted_by(|one, next| one < next), "seed {seed}");
    }
}

#[test]
fn a_member_behind_a_partition_leaves_the_chat_within_the_bound() {
    let mut sim = simulation().build();
    sim.host("server", || async {
        let listener = Listener(TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?);
        axum::serve(listener, room::Room::new(watching()).router()).await?;
        Ok(())
    });
    let ann = Log::default();
    let log = ann.clone();
    sim.client("ann", async move {
        let (_says, outgoing) = mpsc::channel(1);
        watch(&log, outgoing, mpsc::unbounded_channel().1, "/chat/ann").await
    });
    sim.client("bob", async {
        let (_says, outgoing) = mpsc::channel(1);
        watch(
            &Log::default(),
            outgoing,
            mpsc::unbounded_channel().1,
            "/chat/bob",
        )
        .await
    });
    run(&mut sim, 5 * SECOND);
    assert!(ann.when(&Told::Heard("bob joins".to_owned())).is_some());
    sim.partition("bob", "server");
    let cut = sim.elapsed();
    run(&mut sim, INTERVAL + TIMEOUT + SLACK);
    let left = Told::Heard("bob leaves: no pong in time".to_owned());
    assert!(ann.when(&left).unwrap() + ROUND_TRIP >= cut + TIMEOUT);
    sim.repair("bob", "server");
    run(&mut sim, CAP + SLACK);
    let joined = Told::Heard("bob joins".to_owned());
    assert_eq!(ann.count(|told| *told == joined), 2);
}

/// The article's times, with a backoff that is soon at its cap.
fn watching() -> Config {
    Config::article()
        .to_builder()
        .connect_timeout(CONNECT)
        .first_spread(SECOND)
        .backoff_cap(CAP)
        .build()
        .unwrap()
}

/// Sends no pings, and is patient.
fn answering() -> Config {
    Config::listener()
        .to_builder()
        .idle_timeout(3600 * SECOND)
        .build()
        .unwrap()
}

/// What a side is told, without what differs from run to run.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Dial(u32),
    Open,
    Heard(String),
    Pong(Duration),
    /// The peer is dead.
    Dead,
    /// Down for another reason.
    Lost(String),
}

/// What a side was told, and when.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<(Duration, Told)>>>);

impl Log {
    fn note<M: ToString, E: std::fmt::Display, I>(&self, notice: &Notice<M, M, E, I>) {
        let told = match notice {
            Notice::Connecting { attempt } => Told::Dial(*attempt),
            Notice::Opened { .. } => Told::Open,
            Notice::Message(message) => Told::Heard(message.to_string()),
            Notice::Pong { round_trip, .. } => Told::Pong(*round_trip),
            Notice::Down(down) => match &down.cause {
                Cause::TimedOut(CloseReason::PongTimeout) => Told::Dead,
                cause => Told::Lost(cause.to_string()),
            },
            _ => return,
        };
        let now = turmoil::sim_elapsed().unwrap();
        self.0.borrow_mut().push((now, told));
    }

    fn told(&self) -> Vec<Told> {
        let log = self.0.borrow();
        log.iter().map(|(_, told)| told.clone()).collect()
    }

    /// The first time.
    fn when(&self, wanted: &Told) -> Option<Duration> {
        let log = self.0.borrow();
        let mut found = log.iter().filter(|(_, told)| told == wanted);
        found.next().map(|(at, _)| *at)
    }

    fn count(&self, is_wanted: impl Fn(&Told) -> bool) -> usize {
        let log = self.0.borrow();
        log.iter().filter(|(_, told)| is_wanted(told)).count()
    }

    /// The last of them that tells whether the connection is up.
    fn last_state(&self) -> Option<Told> {
        let log = self.0.borrow();
        let mut told = log.iter().rev().map(|(_, told)| told);
        told.find(|told| !matches!(told, Told::Heard(_) | Told::Pong(_)))
            .cloned()
    }

    fn heard(&self) -> Vec<String> {
        let log = self.0.borrow();
        let heard = log.iter().filter_map(|(_, told)| match told {
            Told::Heard(text) => Some(text.clone()),
            _ => None,
        });
        heard.collect()
    }
}

/// A client, a server that sends everything back, and the network between them.
struct World {
    sim: Sim<'static>,
    client: Log,
    server: Log,
    says: mpsc::Sender<Message>,
    /// Tells the client that the network has changed.
    changes: mpsc::UnboundedSender<()>,
}

impl World {
    fn new(server: Config) -> Self {
        Self::build(simulation().build(), server)
    }

    /// A link breaks at every fiftieth segment, for ten or so.
    fn with_losses(seed: u64) -> Self {
        let mut simulation = simulation();
        simulation.rng_seed(seed).fail_rate(0.02).repair_rate(0.1);
        Self::build(simulation.build(), watching())
    }

    fn build(mut sim: Sim<'static>, config: Config) -> Self {
        let server = Log::default();
        let log = server.clone();
        sim.host("server", move || serve(log.clone(), config));
        let client = Log::default();
        let log = client.clone();
        let (says, outgoing) = mpsc::channel(1024);
        let (changes, changed) = mpsc::unbounded_channel();
        sim.client("client", async move {
            watch(&log, outgoing, changed, "/").await
        });
        Self {
            sim,
            client,
            server,
            says,
            changes,
        }
    }

    fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    fn run(&mut self, time: Duration) {
        run(&mut self.sim, time);
    }

    fn say(&self, text: &str) {
        self.says.try_send(Message::text(text)).unwrap();
    }

    /// One way.
    fn latency(&self, latency: Duration) {
        self.sim.set_link_latency("client", "server", latency);
    }
}

fn simulation() -> Builder {
    let mut builder = Builder::new();
    builder
        .rng_seed(42)
        .tick_duration(Duration::from_millis(10))
        .simulation_duration(24 * 3600 * SECOND)
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY);
    builder
}

fn run(sim: &mut Sim<'_>, time: Duration) {
    let end = sim.elapsed() + time;
    while sim.elapsed() < end {
        assert!(!sim.step().unwrap(), "a client has ended");
    }
}

async fn watch(
    log: &Log,
    outgoing: mpsc::Receiver<Message>,
    mut changes: mpsc::UnboundedReceiver<()>,
    path: &str,
) -> turmoil::Result {
    let mut session = client(watching(), |_| dial(path))
        .with_seed(42)
        .sending(Channel(outgoing));
    loop {
        tokio::select! {
            notice = session.next() => log.note(&notice.unwrap()),
            Some(()) = changes.recv() => session.network_changed(),
        }
    }
}

async fn dial(path: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let socket = TcpStream::connect(("server", PORT)).await?;
    let (socket, _) = client_async(format!("ws://server:{PORT}{path}"), socket).await?;
    Ok(socket)
}

async fn serve(log: Log, config: Config) -> turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        spawn_local(echo(socket, log.clone(), config));
    }
}

/// Not all that is accepted becomes a WebSocket.
async fn echo(socket: TcpStream, log: Log, config: Config) {
    let Ok(Ok(socket)) = timeout(CONNECT, accept_async(socket)).await else {
        return;
    };
    let mut session = accepted(config, socket).with_seed(42);
    while let Some(notice) = session.next().await {
        log.note(&notice);
        if let Notice::Message(message) = notice {
            // Where the connection has just ended, nobody waits for it.
            let _ = session.send(message);
        }
    }
}

/// turmoil's, for axum.
struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
