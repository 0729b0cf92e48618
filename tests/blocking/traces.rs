//! What `tracing` is told.

use std::io;
use std::sync::{Arc, Mutex};

use keepalive::blocking::{self, Dialer, Notice};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::peer::{accept, accept_raw, peer, serve};
use crate::scenarios::settings;
use crate::session::wait_for;

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

#[test]
fn changes_of_state_are_traced_with_epoch_attempt_reason_and_round_trip() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (url, server) = peer(|listener| {
        drop(accept_raw(&listener));
        serve(&mut accept(&listener));
    });
    let config = settings().build().unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    let round_trip = wait_for(&mut session, "a pong", |notice| match notice {
        Notice::Pong { round_trip, .. } => Some(round_trip),
        _ => None,
    });
    session.stop();
    wait_for(&mut session, "stopped", |notice| {
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
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (url, _peer) = peer(|listener| {
        let mut socket = accept_raw(&listener);
        let _ = io::Read::read_to_end(&mut socket, &mut Vec::new());
    });
    let config = settings().build().unwrap();
    let mut session = blocking::client(config, Dialer::new(url.as_str()));
    wait_for(&mut session, "down", |notice| {
        matches!(notice, Notice::Down(_)).then_some(())
    });
    let convicted = "INFO keepalive: state from=Open to=Waiting epoch=2 attempt=1 \
                     reason=no pong in time";
    assert_eq!(log.lines().last().unwrap(), convicted);
}
