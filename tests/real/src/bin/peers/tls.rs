//! TLS with a CA of the suite's own, and handshakes that stall.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keepalive::{CloseReason, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use real::peers::{Kind, Options, Peer, Place, installed};
use real::{Adapter, Event, Seen, Target, Why};

use crate::protocols::{self, settings};
use crate::watch::{PATIENCE, Watched, lateness_since, seconds};
use crate::{Outcome, Row};

const SECOND: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A certificate for 127.0.0.1, in files, and who vouches for it.
pub struct Certificate {
    folder: PathBuf,
    authority: String,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let own = params.signed_by(&key, &authority).unwrap();
        let folder = installed()
            .join("run")
            .join(format!("{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("certificate.pem"), own.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        let authority = authority.pem();
        Self { folder, authority }
    }

    pub fn files(&self) -> (PathBuf, PathBuf) {
        (
            self.folder.join("certificate.pem"),
            self.folder.join("key.pem"),
        )
    }

    fn tls(&self) -> Tls {
        Tls::trusting(&self.authority).unwrap()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// As without TLS; and who trusts another CA is told.
pub fn run(kind: Kind) -> Vec<Row> {
    let certificate = Certificate::new(&format!("tls-{kind}"));
    let mut rows = protocols::run(kind, Some((&certificate, certificate.tls())));
    let (peer, mut target) = secure(kind, &certificate);
    let stranger = Certificate::new(&format!("stranger-{kind}"));
    target.tls = Some(stranger.tls());
    for mut client in start(&format!("{kind}, TLS"), &peer, &target) {
        let outcome = failed_dial(&mut client, |why| why == Why::Failed);
        let outcome = outcome.map(|(_, cause)| cause);
        rows.push(client.row("another CA: told", outcome));
    }
    rows
}

fn secure(kind: Kind, certificate: &Certificate) -> (Peer, Target) {
    let options = Options {
        tls: Some(certificate.files()),
        ..Options::default()
    };
    let peer = Peer::start_with(kind, &Place::default(), options);
    let mut target = Target::new(peer.url());
    target.tls = Some(certificate.tls());
    (peer, target)
}

fn start(name: &str, peer: &Peer, target: &Target) -> Vec<Watched> {
    let config = settings().connect_timeout(CONNECT_TIMEOUT).build().unwrap();
    let adapters = Adapter::ALL.into_iter();
    let able = adapters.filter(|adapter| target.tls.is_none() || adapter.dials_all());
    able.map(|adapter| Watched::start(name, adapter, config, peer.speech(), target.clone()))
        .collect()
}

fn failed_dial(
    client: &mut Watched,
    is_right: impl Fn(Why) -> bool,
) -> Result<(Instant, String), String> {
    let found = client
        .client
        .find(PATIENCE, &mut client.log, |event| match &event.seen {
            Seen::Down(down) => Some((event.at, down.is_dial, down.why, down.cause.clone())),
            Seen::Opened { .. } => Some((event.at, false, Why::Other, "it opened".to_owned())),
            _ => None,
        });
    match found {
        Some((at, true, why, cause)) if is_right(why) => Ok((at, cause)),
        _ => Err(client.story()),
    }
}

/// The peer takes the connection and says nothing in the TLS handshake.
pub fn stalls() -> Vec<Row> {
    let certificate = Certificate::new("stalls");
    let (peer, mut target) = secure(Kind::Websockets, &certificate);
    let gate = Gate::start(peer.address());
    gate.hold(u64::MAX);
    target.url = format!("wss://{}/", gate.address);
    let mut rows = Vec::new();
    let mut clients = start("TLS handshake stalls", &peer, &target);
    give_up_and_heal(&mut clients, &gate, &mut rows);
    rows
}

/// The answer to the WebSocket handshake comes late, through a proxy that holds it.
pub fn late_answer() -> Vec<Row> {
    let peer = Peer::start(Kind::Ours, &Place::default());
    let gate = Gate::start(peer.address());
    gate.hold(1500);
    let target = Target::new(format!("ws://{}/", gate.address));
    let mut rows = Vec::new();
    let mut clients = start("101 after 1.5 s", &peer, &target);
    for client in &mut clients {
        let outcome = opened_after(client, Duration::from_millis(1500));
        rows.push(client.row("opens", outcome));
    }
    gate.hold(u64::MAX);
    let mut clients = start("101 never", &peer, &target);
    give_up_and_heal(&mut clients, &gate, &mut rows);
    rows
}

fn opened_after(client: &mut Watched, least: Duration) -> Outcome {
    let opened = client.opened()?;
    let took = opened - client.log[0].at;
    match took >= least && client.downs().is_empty() {
        true => Ok(format!(
            "after {} of {}",
            seconds(took),
            seconds(CONNECT_TIMEOUT)
        )),
        false => Err(client.story()),
    }
}

fn give_up_and_heal(clients: &mut [Watched], gate: &Gate, rows: &mut Vec<Row>) {
    for client in clients.iter_mut() {
        let is_right = |why| why == Why::TimedOut(CloseReason::ConnectTimeout);
        let outcome = failed_dial(client, is_right).and_then(|(at, cause)| {
            let began = |event: &&Event| matches!(event.seen, Seen::Connecting { .. });
            let began = client.log.iter().find(began).unwrap().at;
            let took = at - began;
            let text = format!(
                "in {} of {}: {cause}",
                seconds(took),
                seconds(CONNECT_TIMEOUT)
            );
            let late = lateness_since(began);
            match took
                <= CONNECT_TIMEOUT
                    + 2 * late
                    + SECOND / 4
                    + if late > SECOND {
                        SECOND
                    } else {
                        Duration::ZERO
                    } {
                true => Ok(text),
                false => Err(text),
            }
        });
        rows.push(client.row("the dial is given up", outcome));
    }
    let until = Instant::now();
    gate.hold(0);
    for client in clients.iter_mut() {
        let echoed = client.echo("after");
        let outcome =
            echoed.map(|at| format!("in {}", seconds(at.saturating_duration_since(until))));
        rows.push(client.row("healed", outcome));
        let wrong = client.wrong_convictions();
        rows.push(wrong);
    }
}

/// A proxy in this process: what the server says first, it holds for a while.
struct Gate {
    address: SocketAddr,
    milliseconds: Arc<AtomicU64>,
}

impl Gate {
    fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let milliseconds = Arc::new(AtomicU64::new(0));
        let held = Arc::clone(&milliseconds);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let held = held.load(Ordering::Relaxed);
                thread::spawn(move || pass(near, upstream, held));
            }
        });
        Self {
            address,
            milliseconds,
        }
    }

    /// For connections from now on; without an end, they get no answer at all.
    fn hold(&self, milliseconds: u64) {
        self.milliseconds.store(milliseconds, Ordering::Relaxed);
    }
}

fn pass(mut near: TcpStream, upstream: SocketAddr, held: u64) {
    if held == u64::MAX {
        // Until the client has had enough.
        while near.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
        return;
    }
    let Ok(mut far) = TcpStream::connect(upstream) else {
        return;
    };
    let (Ok(from_near), Ok(to_far)) = (near.try_clone(), far.try_clone()) else {
        return;
    };
    thread::spawn(move || copy(from_near, to_far));
    let mut first = [0; 4096];
    let Ok(read) = far.read(&mut first) else {
        return;
    };
    thread::sleep(Duration::from_millis(held));
    if near.write_all(&first[..read]).is_ok() {
        copy(far, near);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
