//! What `tracing` is told.

use std::io;
use std::sync::{Arc, Mutex};

use keepalive::blocking::{Dial, Notice, Session};
use tracing_subscriber::fmt::MakeWriter;

use crate::peer::{accept, accept_raw, peer, serve};
use crate::scenarios::settings;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

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
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry());
    let (url, server) = peer(|listener| {
        drop(accept_raw(&listener));
        serve(&mut accept(&listener));
    });
    let config = settings().build().unwrap();
    let mut session = Session::client(config, 1, |dial: &Dial| dial.connect(url.as_str()));
    while let Some(notice) = session.next() {
        if let Notice::Pong { .. } = notice {
            session.stop();
        }
    }
    server.join().unwrap();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    println!("{log}");
}
