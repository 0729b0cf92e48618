//! Proxies that cut after 2 s: what dies without a heartbeat, and lives with one.

use std::thread;
use std::time::{Duration, Instant};

use keepalive::Config;
use real::peers::{Kind, Options, Peer, Place};
use real::{Adapter, Seen, Target};
use tungstenite::Message;

use crate::protocols::{no_heartbeat, settings};
use crate::watch::{LIFE, Watched, lateness_since, seconds};
use crate::{Outcome, Row};

const IDLE: Duration = Duration::from_secs(2);

/// What flows besides the heartbeat.
#[derive(Clone, Copy, PartialEq)]
enum Traffic {
    None,
    /// The server talks each 500 ms, and the client never does.
    Inbound,
    /// The client does, and the server never answers.
    Outbound,
}

pub fn name(kind: Kind, each_direction: bool) -> String {
    match each_direction {
        true => format!("{kind}, by direction"),
        false => kind.to_string(),
    }
}

pub fn run(kind: Kind, each_direction: bool) -> Vec<Row> {
    let options = Options {
        idle: IDLE,
        each_direction,
        ..Options::default()
    };
    let peer = Peer::start_with(kind, &Place::default(), options);
    let speech = peer.speech();
    let name = name(kind, each_direction);

    let pings = settings().build().unwrap();
    // The guide `intervals`: 45 % of the limit.
    let by_the_guide = Config::builder()
        .ping_interval(IDLE.mul_f32(0.45))
        .send_interval(Some(IDLE.mul_f32(0.45)))
        .build()
        .unwrap();
    let inbound_watch_only = settings().send_interval(None).build().unwrap();
    use Traffic::{Inbound, Outbound};
    let cases = [
        (Traffic::None, "no heartbeat", no_heartbeat(), true),
        (
            Traffic::None,
            "ping each 0.9 s, else defaults",
            by_the_guide,
            false,
        ),
        (Inbound, "no heartbeat", no_heartbeat(), each_direction),
        (
            Inbound,
            "ping for inbound silence alone",
            inbound_watch_only,
            each_direction,
        ),
        (Inbound, "ping each 1 s", pings, false),
        (Outbound, "no heartbeat", no_heartbeat(), each_direction),
        (Outbound, "ping each 1 s", pings, false),
    ];
    let mut clients = Vec::new();
    for (traffic, what, config, is_cut) in cases {
        for adapter in Adapter::ALL {
            let path = match traffic {
                Traffic::None => "",
                Traffic::Inbound => "feed",
                Traffic::Outbound => "sink",
            };
            let target = Target::new(peer.url() + path);
            let client = Watched::start(&name, adapter, config, speech, target);
            clients.push((traffic, what, is_cut, client));
        }
    }
    let end = Instant::now() + LIFE + Duration::from_secs(1);
    while Instant::now() < end {
        for (_, _, _, client) in clients.iter().filter(|(traffic, ..)| *traffic == Outbound) {
            // While it is down, the backlog may be full.
            let _ = client.client.handle().try_send(Message::text("outbound"));
        }
        thread::sleep(Duration::from_millis(500));
    }
    let judged = clients.iter_mut().map(|(traffic, what, is_cut, client)| {
        let outcome = match is_cut {
            true => cut(client),
            false => client.calm(IDLE - client.config.ping_interval().min(IDLE)),
        };
        let traffic = match traffic {
            Traffic::None => "silent",
            Traffic::Inbound => "inbound only",
            Traffic::Outbound => "outbound only",
        };
        let expected = if *is_cut { "cut" } else { "lives" };
        client.row(format!("{traffic}, {what}: {expected}"), outcome)
    });
    judged.collect()
}

/// Again and again at the limit, by nobody but the proxy. The first one may have been told
/// late, in the rush of the beginning; so the median counts.
fn cut(client: &mut Watched) -> Outcome {
    client.client.drain(&mut client.log);
    let (mut opened, mut lives) = (None, Vec::new());
    for event in &client.log {
        match &event.seen {
            Seen::Opened { .. } => opened = Some(event.at),
            Seen::Down(down) if down.why.is_conviction() => return Err(client.story()),
            Seen::Down(_) => lives.extend(opened.take().map(|opened| event.at - opened)),
            _ => {}
        }
    }
    lives.sort();
    let Some(&median) = lives.get(lives.len() / 2).filter(|_| lives.len() >= 3) else {
        return Err(format!("{} times: {}", lives.len(), client.story()));
    };
    let late = lateness_since(client.log[0].at);
    let least = IDLE.saturating_sub(Duration::from_millis(100) + late);
    let most = IDLE + Duration::from_millis(700) + late;
    let text = format!("{} times after {}", lives.len(), seconds(median));
    match (least..=most).contains(&median) {
        true => Ok(text),
        false => Err(format!("{text}; {}", client.story())),
    }
}
