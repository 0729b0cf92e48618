//! What `tracing` is told. These tests have a process of their own: a thread without a
//! subscriber that reaches an event first, while another one sets its subscriber, can turn
//! that event off for good.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

#[path = "support/peer.rs"]
mod peer;
#[path = "support/peer_scenarios.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod scenarios;
#[allow(dead_code)]
mod support {
    pub mod driver;
}

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keepalive::Config;
use keepalive::blocking::{self, Client, Dialer, Notice};
use peer::{PATIENCE, accept, accept_raw, peer, serve};
use scenarios::settings;
use support::driver::net::Peer;
use support::driver::world::{Setup, Wish};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What this thread is told from now on.
fn log(level: LevelFilter) -> (Log, DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn wait_for<T>(session: &mut Client, mut pick: impl FnMut(Notice) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    while let Ok(Some(notice)) = session.next_before(end) {
        if let Some(found) = pick(notice) {
            return found;
        }
    }
    panic!("it never comes");
}

fn dial(url: &str) -> Client {
    let dialer = blocking::boxed(Dialer::new(url));
    blocking::client(settings().build().unwrap(), dialer)
}

#[test]
fn changes_of_state_are_traced_with_epoch_attempt_reason_and_round_trip() {
    let (log, _guard) = log(LevelFilter::DEBUG);
    let (url, server) = peer(|listener| {
        drop(accept_raw(&listener));
        serve(&mut accept(&listener));
    });
    let mut session = dial(&url);
    let round_trip = wait_for(&mut session, |notice| match notice {
        Notice::Pong { round_trip, .. } => Some(round_trip),
        _ => None,
    });
    session.stop();
    wait_for(&mut session, |notice| {
        matches!(notice, Notice::Stopped { .. }).then_some(())
    });
    server.join().unwrap();
    let pong = format!("DEBUG keepalive: pong epoch=3 ping=1 round_trip={round_trip:?}");
    assert_eq!(
        log.lines(),
        [
            "INFO keepalive: state from=Idle to=Connecting epoch=1 attempt=0",
            "INFO keepalive: state from=Connecting to=Open epoch=1 attempt=0",
            "INFO keepalive: state from=Open to=Waiting epoch=2 attempt=1 \
             reason=closed without a code",
            "INFO keepalive: state from=Waiting to=Connecting epoch=3 attempt=1",
            "INFO keepalive: state from=Connecting to=Open epoch=3 attempt=1",
            "DEBUG keepalive: ping epoch=3 ping=1",
            pong.as_str(),
            "INFO keepalive: state from=Open to=Closing epoch=3 attempt=1 reason=stopped",
            "INFO keepalive: state from=Closing to=Stopped epoch=4 attempt=1 \
             reason=closed with code 1000",
        ]
    );
}

/// A conviction is the heartbeat's own, and says so.
#[test]
fn a_conviction_is_traced_with_its_reason() {
    let (log, _guard) = log(LevelFilter::INFO);
    let (url, _peer) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let _ = io::Read::read_to_end(&mut socket, &mut Vec::new());
    });
    let mut session = dial(&url);
    wait_for(&mut session, |notice| {
        matches!(notice, Notice::Down(_)).then_some(())
    });
    let convicted = "INFO keepalive: state from=Open to=Waiting epoch=2 attempt=1 \
                     reason=no pong in time";
    assert_eq!(log.lines().last().unwrap(), convicted);
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The last line of a story of the driver's, in virtual time.
fn last_of(change: impl FnOnce(&mut Setup)) -> String {
    let config = Config::builder()
        .ping_interval(s(5))
        .jitter(0.0)
        .close_timeout(s(3))
        .build()
        .unwrap();
    let (log, _guard) = log(LevelFilter::INFO);
    Setup::that(config, change).run().assert_right();
    log.lines().pop().unwrap()
}

#[test]
fn a_goodbye_that_was_answered_is_traced_with_its_code() {
    let last = last_of(|it| it.wishes = vec![(s(2), Wish::StopWith(4000))]);
    let end = "to=Stopped epoch=2 attempt=0 reason=closed with code 4000: until tomorrow";
    assert!(last.ends_with(end), "{last}");
    let last = last_of(|it| {
        it.peers = vec![Peer::that(|peer| peer.is_polite = false)];
        it.wishes = vec![(s(2), Wish::Stop), (s(3), Wish::Stop)];
    });
    assert!(last.ends_with("reason=aborted"), "{last}");
}
