//! Healthy peers of clients whose executor is blocked while the pongs lie unread.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use keepalive::Config;
use keepalive::driver::{Cause, Notice};
use keepalive::tokio::{client, connect};
use tokio::runtime;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

/// For everything that should be over at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections that share one executor, and for how long it is blocked when their
/// pings are out.
pub(crate) struct Rounds {
    pub(crate) connections: usize,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) block: Duration,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Quiet,
    Pinged,
    Answered,
    Convicted,
    Lost,
}

impl Rounds {
    /// A server whose answers take half of the timeout; returns its URL.
    pub(crate) fn serve(&self) -> io::Result<String> {
        let answers_in = self.timeout / 2;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("ws://{}", listener.local_addr()?);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                thread::spawn(move || {
                    let Ok(mut socket) = tungstenite::accept(socket) else {
                        return;
                    };
                    while let Ok(message) = socket.read() {
                        if message.is_ping() {
                            thread::sleep(answers_in);
                        }
                    }
                });
            }
        });
        Ok(url)
    }

    /// How many of the connections were convicted. No late clock is forgiven, so it
    /// is the order of reading and judging alone.
    pub(crate) fn convicted(&self, url: &str) -> Result<usize, Box<dyn Error>> {
        let config = Config::article()
            .to_builder()
            .ping_interval(self.interval)
            .pong_timeout(self.timeout)
            .late_tolerance(Duration::from_secs(24 * 60 * 60))
            .reconnect(false)
            .build()?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, self.run(config, url))
    }

    async fn run(&self, config: Config, url: &str) -> Result<usize, Box<dyn Error>> {
        let states = Rc::new(RefCell::new(vec![State::Quiet; self.connections]));
        for number in 0..self.connections {
            spawn_local(watch(config, url.to_owned(), states.clone(), number));
        }
        let all = |states: &[State]| states.iter().all(|state| *state == State::Pinged);
        wait_for(&states, all, "the pings are not out together").await?;
        for state in states.borrow_mut().iter_mut() {
            *state = State::Quiet;
        }

        thread::sleep(self.block);

        let all = |states: &[State]| !states.contains(&State::Quiet);
        wait_for(&states, all, "neither pongs nor verdicts").await?;
        let states = states.borrow();
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        match count(State::Lost) {
            0 => Ok(count(State::Convicted)),
            lost => Err(format!("{lost} connections were lost").into()),
        }
    }
}

async fn watch(config: Config, url: String, states: Rc<RefCell<Vec<State>>>, number: usize) {
    let mut session = client(config, |_| connect(url.clone()));
    while let Some(notice) = session.next().await {
        let state = match notice {
            Notice::Ping(_) => State::Pinged,
            Notice::Pong { .. } => State::Answered,
            Notice::Down(down) => match down.cause {
                Cause::TimedOut(_) => State::Convicted,
                _ => State::Lost,
            },
            _ => continue,
        };
        if let Some(place) = states.borrow_mut().get_mut(number) {
            *place = state;
        }
    }
}

async fn wait_for(
    states: &RefCell<Vec<State>>,
    holds: impl Fn(&[State]) -> bool,
    otherwise: &str,
) -> Result<(), Box<dyn Error>> {
    let end = Instant::now() + PATIENCE;
    while !holds(&states.borrow()) {
        if Instant::now() > end {
            return Err(format!("{otherwise}: {states:?}").into());
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
