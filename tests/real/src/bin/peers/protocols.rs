//! Each peer kept alive for 30 s although it ends who is silent, then muted, detected and
//! healed.

use std::thread;
use std::time::{Duration, Instant};

use keepalive::{Config, ConfigBuilder, Tls};
use real::peers::{Kind, Options, Peer, Place, Speech};
use real::{Adapter, Client};

use crate::Row;
use crate::tls::Certificate;
use crate::watch::{LIFE, Watched, detection_bound, seconds};

const SECOND: Duration = Duration::from_secs(1);

/// Pings each second, and no long waits.
pub fn settings() -> ConfigBuilder {
    Config::builder()
        .ping_interval(SECOND)
        .send_interval(Some(SECOND))
        .pong_timeout(3 * SECOND)
        .idle_timeout(5 * SECOND)
        .connect_timeout(5 * SECOND)
        .first_spread(SECOND / 2)
        .backoff_floor(SECOND / 5)
        .backoff_base(SECOND)
        .backoff_cap(2 * SECOND)
}

/// No heartbeat at all.
pub fn no_heartbeat() -> Config {
    let never = Duration::from_secs(3600);
    let settings = settings().ping_interval(never).send_interval(None);
    settings.build().unwrap()
}

fn config(speech: Speech) -> Config {
    let config = speech.settings(settings()).build().unwrap();
    match config.healthy_within() {
        None => config,
        Some(_) => config
            .to_builder()
            .healthy_within(Some(3 * SECOND))
            .build()
            .unwrap(),
    }
}

/// After how much silence the peer itself ends a connection.
fn limit(kind: Kind) -> Option<Duration> {
    match kind {
        // The first has none, and the second is not to be heard.
        Kind::Ours | Kind::WsMute | Kind::Nginx | Kind::Haproxy => None,
        Kind::Websockets => Some(4 * SECOND),
        Kind::EngineIo | Kind::SocketIo => Some(2 * SECOND),
        Kind::Ws | Kind::GraphqlWs => Some(3 * SECOND),
        // Longer than a client that is not answered takes to give up: it hears all the time.
        _ => Some(6 * SECOND),
    }
}

type Fault = (&'static str, fn(&mut Peer), fn(&mut Peer));

fn faults(kind: Kind) -> Vec<Fault> {
    let frozen: Fault = (
        "stopped (SIGSTOP)",
        |peer| peer.freeze(),
        |peer| peer.thaw(),
    );
    let mute: Fault = ("mute", |peer| peer.mute(), |peer| peer.unmute());
    let behind: Fault = (
        "stopped behind it",
        |peer| peer.behind().unwrap().freeze(),
        |peer| peer.behind().unwrap().thaw(),
    );
    use Kind::{Exchange, ExchangeId, Haproxy, Nginx, Phoenix, SignalR, WsMute};
    match kind {
        WsMute | Phoenix | SignalR | Exchange | ExchangeId => vec![mute, frozen],
        Nginx | Haproxy => vec![behind, frozen],
        _ => vec![frozen],
    }
}

pub fn run(kind: Kind, tls: Option<(&Certificate, Tls)>) -> Vec<Row> {
    let options = Options {
        limit: limit(kind),
        idle: 2 * SECOND,
        tls: tls.as_ref().map(|(certificate, _)| certificate.files()),
        ..Options::default()
    };
    let mut peer = Peer::start_with(kind, &Place::default(), options);
    if kind == Kind::WsMute {
        peer.unmute();
    }
    let speech = peer.speech();
    let mut target = speech.target(&peer);
    target.tls = tls.as_ref().map(|(_, tls)| tls.clone());
    let name = match tls {
        Some(_) => format!("{kind}, TLS"),
        None => kind.to_string(),
    };
    let runs =
        |&adapter: &Adapter| speech.runs_on(adapter) && (tls.is_none() || adapter.dials_all());
    let config = config(speech);
    let mut clients: Vec<Watched> = Adapter::ALL
        .into_iter()
        .filter(runs)
        .map(|adapter| Watched::start(&name, adapter, config, speech, target.clone()))
        .collect();
    let mut careless = (tls.is_none()).then(|| careless(kind, &peer)).flatten();

    let mut rows = Vec::new();
    let mut alive = Vec::new();
    for client in &mut clients {
        match client.echo(&format!("{} before", client.adapter)) {
            Ok(_) => alive.push(true),
            Err(error) => {
                rows.push(client.row("echoes", Err(error)));
                alive.push(false);
            }
        }
    }
    let mut alive = alive.into_iter();
    clients.retain(|_| alive.next() == Some(true));
    thread::sleep(LIFE);
    for client in &mut clients {
        let outcome = client.calm(SECOND);
        rows.push(client.row("alive 30 s", outcome));
    }
    if let Some(careless) = &mut careless {
        rows.push(cut(careless));
    }

    for (fault, begin, end) in faults(kind) {
        let from = Instant::now();
        begin(&mut peer);
        for client in &mut clients {
            // A proxy may hang up first where the peer behind it is silent.
            let outcome = client.detected(from, !kind.is_proxy());
            rows.push(client.row(format!("{fault}: detected"), outcome));
        }
        let until = Instant::now();
        end(&mut peer);
        for client in &mut clients {
            let echoed = client.echo(&format!("{} after {fault}", client.adapter));
            let outcome =
                echoed.map(|at| format!("in {}", seconds(at.saturating_duration_since(until))));
            rows.push(client.row(format!("{fault}: healed"), outcome));
            client.note_fault(from, until);
        }
    }
    thread::sleep(detection_bound(&config));
    rows.extend(clients.iter_mut().map(Watched::wrong_convictions));
    rows
}

/// A client without the heartbeat that this peer wants, where it can be done without.
fn careless(kind: Kind, peer: &Peer) -> Option<Watched> {
    let (speech, adapter) = (peer.speech(), Adapter::Tokio);
    let config = no_heartbeat();
    let name = kind.to_string();
    match kind {
        // It does not answer `2`.
        Kind::EngineIo | Kind::SocketIo => {
            let client = Client::start(adapter, config, speech.target(peer));
            Some(Watched::of(&name, config, speech, client))
        }
        Kind::Phoenix | Kind::SignalR | Kind::Exchange | Kind::ExchangeId => {
            let config = config
                .to_builder()
                .healthy_within(Some(3 * SECOND))
                .build()
                .unwrap();
            Some(Watched::start(
                &name,
                adapter,
                config,
                speech,
                speech.target(peer),
            ))
        }
        _ => None,
    }
}

fn cut(careless: &mut Watched) -> Row {
    careless.client.drain(&mut careless.log);
    let outcome = careless
        .opened()
        .and_then(|opened| match careless.downs().first() {
            Some((at, down)) if !down.why.is_conviction() => {
                Ok(format!("{} ({})", seconds(*at - opened), down.cause))
            }
            _ => Err(careless.story()),
        });
    careless.row("without a heartbeat: cut after", outcome)
}
