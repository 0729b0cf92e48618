//! Sessions of ours on accepted sockets, with clients of Python's `websockets`.

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use real::peers::{Kind, Options, Peer, Place};
use real::{Adapter, Event, Seen, Server};

use crate::protocols::settings;
use crate::watch::{LIFE, PATIENCE, detection_bound, seconds, with_lateness};
use crate::{Outcome, Row};

pub fn run() -> Vec<Row> {
    let adapters = [Adapter::Blocking, Adapter::Tokio, Adapter::Smol];
    let runs = adapters.map(|adapter| thread::spawn(move || on(adapter)));
    runs.into_iter()
        .flat_map(|run| run.join().unwrap())
        .collect()
}

fn on(adapter: Adapter) -> Vec<Row> {
    let config = settings().build().unwrap();
    let server = Server::start(adapter, config);
    let options = Options {
        port: Some(server.address.port()),
        ..Options::default()
    };
    let mut client = Peer::start_with(Kind::WebsocketsClient, &Place::default(), options);
    let session = server.next(PATIENCE).expect("nobody came");
    let mut rows = Vec::new();
    let mut add = |check: &str, outcome| {
        rows.push(Row::new(client_name(), adapter, check, outcome));
    };

    thread::sleep(LIFE);
    let events: Vec<Event> = session.try_iter().collect();
    add("alive 30 s", alive(&events));

    let from = Instant::now();
    client.freeze();
    let bound = detection_bound(&config);
    let outcome = match down(&session) {
        Some((at, is_conviction, cause)) => {
            let took = at - from;
            let text = format!("in {} of {}: {cause}", seconds(took), seconds(bound));
            match is_conviction && took <= with_lateness(bound, &config, from) {
                true => Ok(text),
                false => Err(text),
            }
        }
        None => Err("never".to_owned()),
    };
    add("stopped (SIGSTOP): detected", outcome);

    let until = Instant::now();
    client.restart();
    let again = server.next(PATIENCE).and_then(|session| said(&session));
    let outcome = again.map(|at| format!("in {}, on a new socket", seconds(at - until)));
    add(
        "killed, started: healed",
        outcome.ok_or_else(|| "never".to_owned()),
    );
    rows
}

fn client_name() -> String {
    Kind::WebsocketsClient.to_string()
}

fn alive(events: &[Event]) -> Outcome {
    let pongs = events
        .iter()
        .filter(|event| matches!(event.seen, Seen::Pong { .. }))
        .count();
    let heard = events
        .iter()
        .any(|event| matches!(event.seen, Seen::Message(_)));
    let is_down = events
        .iter()
        .any(|event| matches!(event.seen, Seen::Down(_) | Seen::Stopped { .. }));
    match heard && !is_down && pongs >= 10 {
        true => Ok(format!("no down, {pongs} pongs")),
        false => Err(format!("{events:?}")),
    }
}

fn down(session: &Receiver<Event>) -> Option<(Instant, bool, String)> {
    next(session, |event| match &event.seen {
        Seen::Down(down) => Some((event.at, down.why.is_conviction(), down.cause.clone())),
        _ => None,
    })
}

fn said(session: &Receiver<Event>) -> Option<Instant> {
    next(session, |event| {
        matches!(event.seen, Seen::Message(_)).then_some(event.at)
    })
}

fn next<T>(session: &Receiver<Event>, take: impl Fn(&Event) -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        let wait: Duration = end.saturating_duration_since(Instant::now());
        let event = session.recv_timeout(wait).ok()?;
        if let Some(taken) = take(&event) {
            return Some(taken);
        }
    }
}
