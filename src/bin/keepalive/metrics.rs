//! The library's metrics, for Prometheus: `--metrics ADDRESS`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::watch::output::{Head, Now, Output, Summary};
use crate::watch::seen::Sighting;

/// For a request and for its answer, each. One client is served after the other.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a request may be.
const LONGEST: usize = 8 << 10;

/// After a failure of the system's, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// In seconds.
const ROUND_TRIPS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];
const OUTAGES: [f64; 10] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0];

/// An address with a port, or a port alone, which is one of the loopback interface.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse()
        .map_err(|_| "an address is written as 127.0.0.1:9100, [::1]:9100 or 9100".to_owned())
}

/// Counts from here on, and answers on this address.
pub(crate) struct Metrics {
    recorder: PrometheusHandle,
    address: SocketAddr,
}

impl Metrics {
    pub(crate) fn serve(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let recorder = install().map_err(io::Error::other)?;
        let answers = recorder.clone();
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || serve(&listener, &answers))?;
        Ok(Self { recorder, address })
    }

    /// The port is the system's choice where 0 was asked for.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn install() -> Result<PrometheusHandle, Box<dyn std::error::Error + Send + Sync>> {
    let metric = |name: &str| Matcher::Full(name.to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(metric("keepalive_round_trip_seconds"), &ROUND_TRIPS)?
        .set_buckets_for_metric(metric("keepalive_deaf_seconds"), &OUTAGES)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    keepalive::describe_metrics();
    Ok(handle)
}

impl Output for Metrics {
    fn head(&mut self, _: &Head<'_>) -> io::Result<()> {
        Ok(())
    }

    fn sighting(&mut self, _: &Sighting, _: &Now<'_>) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _: &Now<'_>) -> io::Result<()> {
        // Samples pile up until they are put into their buckets.
        self.recorder.run_upkeep();
        Ok(())
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }
}

fn serve(listener: &TcpListener, recorder: &PrometheusHandle) {
    loop {
        match listener.accept() {
            // Whoever is slow or leaves gets no answer.
            Ok((client, _)) => drop(answer(client, recorder)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn answer(mut client: TcpStream, recorder: &PrometheusHandle) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let (status, body) = match request(&head) {
        Some(("GET", "/metrics")) => ("200 OK", recorder.render()),
        Some(("GET", _)) => ("404 Not Found", "It is /metrics.\n".to_owned()),
        Some(_) => ("405 Method Not Allowed", "It is GET.\n".to_owned()),
        None => ("400 Bad Request", "It is HTTP.\n".to_owned()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\n\
         Allow: GET\r\n\
         Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    write(&mut client, answer.as_bytes())
}

/// Up to the empty line, or as much as is taken.
fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < LONGEST {
        client.set_read_timeout(Some(left(until)?))?;
        let read = client.read(&mut bytes)?;
        head.extend(bytes.iter().take(read));
        if read == 0 {
            break;
        }
    }
    Ok(head)
}

fn write(client: &mut TcpStream, mut answer: &[u8]) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while !answer.is_empty() {
        client.set_write_timeout(Some(left(until)?))?;
        let written = client.write(answer)?;
        answer = answer.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The sockets know no timeout of zero.
fn left(until: Instant) -> io::Result<Duration> {
    match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// The method, and the path without a query.
fn request(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let path = target.split('?').next()?;
    version.starts_with("HTTP/1.").then_some((method, path))
}
