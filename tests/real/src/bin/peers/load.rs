//! A proxy that is reloaded and restarted while clients send: they come back, and what is
//! neither received nor given back is lost.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use real::peers::{Kind, Options, Peer, Place};
use real::{Adapter, Seen};

use crate::protocols::settings;
use crate::watch::{PATIENCE, Watched, seconds};
use crate::{Outcome, Row};

const SECOND: Duration = Duration::from_secs(1);

/// How long clients send between two faults, and how often.
const BETWEEN: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(10);

type Fault = (&'static str, fn(&mut Peer), fn(&mut Peer));

pub fn run(kind: Kind) -> Vec<Row> {
    let mut peer = Peer::start_with(kind, &Place::default(), Options::default());
    let speech = peer.speech();
    let config = settings().confirm_within(Some(SECOND / 2)).build().unwrap();
    let name = format!("{kind} under load");
    let start = |adapter| Watched::start(&name, adapter, config, speech, speech.target(&peer));
    let mut clients: Vec<(Watched, Vec<String>)> = Adapter::ALL
        .map(|adapter| (start(adapter), Vec::new()))
        .into();
    let mut rows = Vec::new();

    send(&mut clients, 2 * SECOND);
    let nothing = |_: &mut Peer| {};
    let stop_and_start = |peer: &mut Peer| {
        peer.stop();
        peer.restart();
    };
    let faults: [Fault; 3] = [
        ("reload", nothing, |peer| peer.reload()),
        ("stop and start", nothing, stop_and_start),
        // What it was sent meanwhile is lost with it.
        ("freeze, kill, start", |peer| peer.freeze(), Peer::restart),
    ];
    for (fault, begin, go_on) in faults {
        let from = Instant::now();
        begin(&mut peer);
        send(&mut clients, SECOND / 2);
        go_on(&mut peer);
        send(&mut clients, BETWEEN);
        for (client, _) in &mut clients {
            let outcome = healed(client, from);
            rows.push(client.row(format!("{fault}: down and open again"), outcome));
            client.note_fault(from, Instant::now());
        }
    }
    for (client, sent) in clients {
        rows.extend(account(client, &sent, &peer));
    }
    rows
}

fn send(clients: &mut [(Watched, Vec<String>)], lasts: Duration) {
    let end = Instant::now() + lasts;
    while Instant::now() < end {
        for (client, sent) in &mut *clients {
            let text = format!("{}-{}", client.adapter, sent.len());
            let data = real::peers::Speech(Kind::Ours).data(&text);
            if client.client.handle().try_send(data).is_ok() {
                sent.push(text);
            }
        }
        thread::sleep(INTERVAL);
    }
}

/// The first loss since then, and when it was open again.
fn healed(client: &mut Watched, since: Instant) -> Outcome {
    client.client.drain(&mut client.log);
    let mut lost = None;
    let mut opened = None;
    let end = Instant::now() + PATIENCE;
    let mut from = 0;
    while opened.is_none() && Instant::now() < end {
        for event in &client.log[from..] {
            match &event.seen {
                Seen::Down(down) if event.at >= since && !down.is_dial => {
                    lost.get_or_insert_with(|| (event.at, down.cause.clone()));
                }
                Seen::Opened { .. } if lost.is_some() => opened = Some(event.at),
                _ => {}
            }
        }
        from = client.log.len();
        if opened.is_none() {
            client.log.extend(client.client.next(SECOND));
        }
    }
    match (lost, opened) {
        (Some((down, cause)), Some(open)) => Ok(format!(
            "down after {} ({cause}), open {} later",
            seconds(down - since),
            seconds(open - down)
        )),
        _ => Err(client.story()),
    }
}

/// Stops it: every message was received, or is given back.
fn account(mut client: Watched, sent: &[String], peer: &Peer) -> Vec<Row> {
    let speech = peer.speech();
    let wrong = client.wrong_convictions();
    let Watched {
        name,
        adapter,
        client,
        mut log,
        ..
    } = client;
    let row = |check: &str, outcome| Row::new(&name, adapter, check, outcome);
    let is_stopped = client.stop(PATIENCE, &mut log);

    let (mut kept, mut unsent) = (HashSet::new(), HashSet::new());
    let mut in_doubt = 0;
    for event in &log {
        let text = |message| speech.text(message);
        match &event.seen {
            Seen::Down(down) => {
                in_doubt += down.in_doubt;
                kept.extend(down.kept.iter().filter_map(text));
                unsent.extend(down.unsent.iter().filter_map(text));
            }
            Seen::Stopped { unsent: rest, .. } => unsent.extend(rest.iter().filter_map(text)),
            _ => {}
        }
    }
    let end = Instant::now() + Duration::from_secs(5);
    let (heard, lost) = loop {
        let heard: HashSet<String> = peer.heard().into_iter().map(|heard| heard.text).collect();
        let is_there = |text: &&String| {
            !heard.contains(*text) && !kept.contains(*text) && !unsent.contains(*text)
        };
        let lost: Vec<&String> = sent.iter().filter(is_there).collect();
        if lost.is_empty() || Instant::now() > end {
            break (heard, lost.into_iter().cloned().collect::<Vec<_>>());
        }
        thread::sleep(Duration::from_millis(100));
    };
    let received = sent.iter().filter(|text| heard.contains(*text)).count();
    let text = format!(
        "{} sent: {received} received, {in_doubt} in doubt ({} of them received), {} unsent, {} lost",
        sent.len(),
        kept.iter().filter(|text| heard.contains(*text)).count(),
        unsent.len(),
        lost.len()
    );
    let is_told_right = in_doubt == kept.len() as u64 && heard.is_disjoint(&unsent);
    let outcome = match is_stopped && lost.is_empty() && is_told_right {
        true => Ok(text),
        false => Err(format!("{text}: {lost:?}")),
    };
    vec![row("every message accounted for", outcome), wrong]
}
