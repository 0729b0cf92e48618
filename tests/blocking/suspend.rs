//! The process under test is itself stopped while the answer lies in its buffer.

use std::thread;
use std::time::{Duration, Instant};

use keepalive::Config;
use keepalive::blocking::{self, Dialer, Notice};
use tungstenite::Message;

use crate::peer::{self, Process, accept, millis, peer};

/// Stopped for 5 s with the pong in the buffer, 20 times: never a verdict. No
/// late clock is forgiven here, so it is the order of reading and ticking alone.
#[test]
fn a_process_that_was_stopped_reads_before_it_judges() {
    let runs: Vec<_> = (0..20)
        .map(|number| thread::spawn(move || run(number)))
        .collect();
    let verdicts: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
    let fine = verdicts.iter().filter(|verdict| *verdict == "fine").count();
    println!("stopped for 5 s: {fine} of 20 never convicted");
    assert_eq!(fine, 20, "{verdicts:?}");
}

fn run(number: u32) -> String {
    let (url, server) = peer(move |listener| {
        // Every other one is stopped outside of a read.
        let role = format!(
            "{} {url}",
            number % 2,
            url = peer::url_of(listener.local_addr().unwrap())
        );
        let mut process = Process::start("suspend::child_watches", &role);
        let mut socket = accept(&listener);
        while !matches!(socket.read().unwrap(), Message::Ping(_)) {}
        thread::sleep(millis(50));
        process.stop();
        socket.flush().unwrap();
        thread::sleep(Duration::from_secs(5));
        process.resume();
        let resumed = Instant::now();
        while resumed.elapsed() < millis(1500) && socket.read().is_ok() {}
        let _ = socket.send(Message::text("done"));
        process.line().unwrap_or_default()
    });
    drop(url);
    server.join().unwrap()
}

#[test]
#[ignore = "the child of other tests"]
fn child_watches() {
    let Some(role) = peer::role() else { return };
    let (is_busy, url) = role.split_once(' ').unwrap();
    let config = Config::builder()
        .ping_interval(millis(200))
        .pong_timeout(millis(1000))
        .late_tolerance(Duration::from_secs(24 * 60 * 60))
        .build()
        .unwrap();
    let mut session = blocking::client(config, Dialer::new(url));
    let end = Instant::now() + peer::PATIENCE;
    while let Ok(Some(notice)) = session.next_before(end) {
        match notice {
            Notice::Ping(_) if is_busy == "1" => thread::sleep(millis(400)),
            Notice::Message(_) => return peer::tell("fine"),
            Notice::Down(down) => return peer::tell(&format!("down: {}", down.cause)),
            _ => {}
        }
    }
}
