//! A client that is watched, and how late this machine is.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use keepalive::Config;
use real::peers::Speech;
use real::{Adapter, Client, Down, Event, Seen, Target};

use crate::{Outcome, Row};

/// Nothing that is awaited without a bound takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long what is healthy has to stay so.
pub const LIFE: Duration = Duration::from_secs(30);

static LATE: Mutex<Vec<(Instant, Duration)>> = Mutex::new(Vec::new());

/// Notes how much later than asked for a thread wakes up.
pub fn measure_lateness() {
    let step = Duration::from_millis(10);
    thread::spawn(move || {
        loop {
            let begun = Instant::now();
            thread::sleep(step);
            let late = begun.elapsed().saturating_sub(step);
            if late > step {
                LATE.lock().unwrap().push((begun, late));
            }
        }
    });
}

/// The worst of it since then.
pub fn lateness_since(since: Instant) -> Duration {
    let late = LATE.lock().unwrap();
    let recent = late
        .iter()
        .rev()
        .take_while(|(at, late)| *at + *late >= since);
    recent.map(|&(_, late)| late).max().unwrap_or_default()
}

/// What a bound of the contract is worth here: with ticks that are late by as much as this
/// machine was since then.
pub fn with_lateness(bound: Duration, config: &Config, since: Instant) -> Duration {
    let late = lateness_since(since);
    let mut allowed = bound + 2 * late + Duration::from_millis(250);
    if late > config.late_tolerance() {
        allowed += config.pong_timeout() + late;
    }
    allowed
}

/// After how long a dead peer is convicted, with ticks in time.
pub fn detection_bound(config: &Config) -> Duration {
    match config.listen_only() {
        true => config.idle_timeout(),
        false => config.ping_interval() + config.max_missed() * config.pong_timeout(),
    }
}

pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// A client, and all that it reported.
pub struct Watched {
    pub name: String,
    pub adapter: Adapter,
    pub config: Config,
    pub client: Client,
    pub log: Vec<Event>,
    speech: Speech,
    /// When the peer was healthy by the suite's own doing: not before, or after a fault.
    faults: Vec<(Instant, Instant)>,
}

impl Watched {
    pub fn start(
        name: &str,
        adapter: Adapter,
        config: Config,
        speech: Speech,
        target: Target,
    ) -> Self {
        let client = speech.client(adapter, config, target);
        Self::of(name, config, speech, client)
    }

    pub fn of(name: &str, config: Config, speech: Speech, client: Client) -> Self {
        Self {
            name: name.to_owned(),
            adapter: client.adapter,
            config,
            client,
            log: Vec::new(),
            speech,
            faults: Vec::new(),
        }
    }

    pub fn row(&self, check: impl ToString, outcome: Outcome) -> Row {
        Row::new(&self.name, self.adapter, check, outcome)
    }

    /// Sends a text, and again each two seconds, until it is echoed: a peer that comes back
    /// from being mute may have read it and said nothing.
    pub fn echo(&mut self, text: &str) -> Result<Instant, String> {
        let speech = self.speech;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let sent = self.client.handle().try_send(speech.data(text));
            sent.map_err(|error| error.to_string())?;
            let wait = Duration::from_secs(2);
            let echoed = self
                .client
                .find(wait, &mut self.log, |event| match &event.seen {
                    Seen::Message(message) if speech.text(message).as_deref() == Some(text) => {
                        Some(event.at)
                    }
                    _ => None,
                });
            if let Some(at) = echoed {
                return Ok(at);
            }
        }
        Err(format!(
            "no echo within {}: {}",
            seconds(PATIENCE),
            self.story()
        ))
    }

    /// When it opened first.
    pub fn opened(&mut self) -> Result<Instant, String> {
        let opened = |event: &Event| matches!(event.seen, Seen::Opened { .. }).then_some(event.at);
        if let Some(at) = self.log.iter().find_map(opened) {
            return Ok(at);
        }
        let found = self.client.find(PATIENCE, &mut self.log, opened);
        found.ok_or_else(|| format!("not opened within {}: {}", seconds(PATIENCE), self.story()))
    }

    /// Whether it was open, and never down, until now. A peer that cuts is excused where this
    /// machine was late by what the heartbeat has in hand; a conviction never is.
    pub fn calm(&mut self, in_hand: Duration) -> Outcome {
        self.client.drain(&mut self.log);
        let opened = self.opened()?;
        let late = lateness_since(opened);
        let downs = self.downs();
        let is_convicted = downs.iter().any(|(_, down)| down.why.is_conviction());
        let count = |is: fn(&Seen) -> bool| self.log.iter().filter(|one| is(&one.seen)).count();
        match downs.len() {
            0 => Ok(format!(
                "no down in {:.0} s, {} pings, {} pongs",
                opened.elapsed().as_secs_f64(),
                count(|seen| matches!(seen, Seen::Ping)),
                count(|seen| matches!(seen, Seen::Pong { .. })),
            )),
            count if late >= in_hand && !is_convicted => Ok(format!(
                "{count} downs, but this machine was late by {}",
                seconds(late)
            )),
            _ => Err(self.story()),
        }
    }

    pub fn downs(&self) -> Vec<(Instant, &Down)> {
        let downs = self.log.iter().filter_map(|event| match &event.seen {
            Seen::Down(down) => Some((event.at, down)),
            _ => None,
        });
        downs.collect()
    }

    /// The loss of the connection since then, within the bound of the settings.
    pub fn detected(&mut self, since: Instant, must_convict: bool) -> Outcome {
        let bound = detection_bound(&self.config);
        let lost = |event: &Event| match &event.seen {
            Seen::Down(down) if event.at >= since && !down.is_dial => {
                Some((event.at - since, down.why, down.cause.clone()))
            }
            _ => None,
        };
        let earlier = self.log.iter().find_map(lost);
        let found = earlier.or_else(|| self.client.find(PATIENCE, &mut self.log, lost));
        let Some((took, why, cause)) = found else {
            return Err(format!(
                "not within {}: {}",
                seconds(PATIENCE),
                self.story()
            ));
        };
        let allowed = with_lateness(bound, &self.config, since);
        let text = format!("in {} of {}: {cause}", seconds(took), seconds(bound));
        match took <= allowed && (!must_convict || why.is_conviction()) {
            true => Ok(text),
            false => Err(format!("{text}, {why:?}; {}", self.story())),
        }
    }

    /// From when until when the peer was not healthy.
    pub fn note_fault(&mut self, from: Instant, until: Instant) {
        self.faults.push((from, until));
    }

    /// A conviction is right only from the beginning of a fault until its end, and for as
    /// long afterwards as a ping of its time may be out.
    pub fn wrong_convictions(&mut self) -> Row {
        self.client.drain(&mut self.log);
        let grace = detection_bound(&self.config);
        let is_right = |at: Instant| {
            let mut faults = self.faults.iter();
            faults.any(|&(from, until)| from <= at && at <= until + grace)
        };
        let downs = self.downs();
        let wrong = downs
            .iter()
            .filter(|(at, down)| down.why.is_conviction() && !is_right(*at));
        let outcome = match wrong.count() {
            0 => Ok("0".to_owned()),
            count => Err(format!("{count}: {}", self.story())),
        };
        self.row("wrong convictions", outcome)
    }

    /// What happened, in short.
    pub fn story(&self) -> String {
        let Some(begun) = self.log.first().map(|event| event.at) else {
            return "it said nothing".to_owned();
        };
        let mut told = Vec::new();
        for event in &self.log {
            let what = match &event.seen {
                Seen::Opened { .. } => "opened".to_owned(),
                Seen::Down(down) if down.is_dial => format!("dial failed ({})", down.cause),
                Seen::Down(down) => format!("down ({})", down.cause),
                Seen::Stopped { reason, .. } => format!("stopped ({reason})"),
                Seen::Rejected(_) => "rejected".to_owned(),
                _ => continue,
            };
            told.push(format!("{what} at {}", seconds(event.at - begun)));
        }
        let last = self.log.last().map_or(begun, |event| event.at) - begun;
        format!("{}; the last word at {}", told.join(", "), seconds(last))
    }
}
