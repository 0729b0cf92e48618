//! The core in your own event loop: `cargo run --example embed`.
//!
//! Threads and channels stand for the network here. Any other runtime has the same
//! three parts: what comes in, a wait that ends at the deadline, and a `match` over
//! the actions. Ends by itself in less than a second.

use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use keepalive::{Action, Closed, Config, ConfigError, Epoch, Event, Heartbeat, PingId, StopReason};

fn main() -> Result<(), ConfigError> {
    let (network, reports) = mpsc::channel();
    let seed = RandomState::new().hash_one(0); // a different one per client
    let mut client = Client {
        heartbeat: Heartbeat::new(quick()?, seed),
        start: Instant::now(),
        network,
        connection: None,
        dials: 0,
        pongs: 0,
    };
    let reason = client.run(&reports);

    assert_eq!(reason, StopReason::Requested);
    assert_eq!(client.dials, 2, "the first peer fell silent");
    assert_eq!(client.pongs, 4, "both answered twice");
    Ok(())
}

/// The article's settings, forty times as fast.
fn quick() -> Result<Config, ConfigError> {
    Config::article()
        .to_builder()
        .ping_interval(Duration::from_millis(50))
        .pong_timeout(Duration::from_millis(400))
        .first_spread(Duration::from_millis(50))
        .build()
}

struct Client {
    /// Its clock is the time since `start`; with the feature `std` it can be
    /// `std::time::Instant` as well.
    heartbeat: Heartbeat<Duration>,
    start: Instant,
    /// What every connection reports, and which one it is.
    network: Sender<(Epoch, Event)>,
    /// Takes pings; gone when it is dropped.
    connection: Option<Sender<PingId>>,
    dials: u32,
    pongs: u32,
}

impl Client {
    fn run(&mut self, reports: &Receiver<(Epoch, Event)>) -> StopReason {
        let mut actions = self.heartbeat.handle(Event::Start, self.now());
        loop {
            for action in actions {
                self.say(&action);
                match action {
                    Action::Connect => self.dial(),
                    Action::SendPing(id) => self.ping(id),
                    Action::Close(_) => self.connection = None,
                    Action::Stopped(reason) => return reason,
                    // To show, and for timers that are set: this loop asks for the deadline.
                    Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) => {}
                }
            }
            actions = match reports.recv_timeout(self.patience()) {
                Ok((epoch, event)) => {
                    self.say(&event);
                    self.pongs += u32::from(matches!(event, Event::Pong(_)));
                    // What an old connection says late changes nothing.
                    self.heartbeat.handle_from(epoch, event, self.now())
                }
                Err(_) if self.pongs == 4 => self.heartbeat.handle(Event::Stop, self.now()),
                Err(_) => self.heartbeat.handle(Event::Tick, self.now()),
            };
        }
    }

    /// How long to wait for the network before the next tick.
    fn patience(&self) -> Duration {
        let deadline = self.heartbeat.deadline();
        deadline.map_or(Duration::MAX, |at| at.saturating_sub(self.now()))
    }

    /// The first peer answers two pings and falls silent.
    fn dial(&mut self) {
        self.dials += 1;
        let answers = if self.dials == 1 { 2 } else { usize::MAX };
        let (epoch, network) = (self.heartbeat.epoch(), self.network.clone());
        let (connection, pings) = mpsc::channel();
        self.connection = Some(connection);
        thread::spawn(move || {
            peer(&pings, answers, |event| {
                // An error means that the client is done.
                let _ = network.send((epoch, event));
            });
        });
    }

    fn ping(&self, id: PingId) {
        if let Some(connection) = &self.connection {
            // A peer that is gone shows as silence.
            let _ = connection.send(id);
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn say(&self, what: &impl std::fmt::Debug) {
        println!("{:>3} ms  {what:?}", self.now().as_millis());
    }
}

fn peer(pings: &Receiver<PingId>, answers: usize, report: impl Fn(Event)) {
    report(Event::Opened);
    for (count, id) in pings.iter().enumerate() {
        if count < answers {
            report(Event::Pong(id));
        }
    }
    report(Event::Closed(Closed::default()));
}
