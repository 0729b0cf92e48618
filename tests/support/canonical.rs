//! What a heartbeat will do from now on, as text: two that have the same one
//! cannot be told apart by what comes.

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt::Write;

use keepalive::{Event, Heartbeat, PingId};

/// Fields that do not tell what comes: they count on, measure, or are drawn,
/// where the settings leave nothing to draw.
const IDLE: [&str; 9] = [
    "rng",
    "epoch",
    "pings",
    "share",
    "round_trip",
    "last",
    "smoothed",
    "variance",
    "minimum",
];

const SECOND: i64 = 1_000_000_000;

/// The hidden state of a heartbeat under settings of which nothing is random and
/// each duration (but hints) is far below a second, with the times relative to
/// `now`. A time that has passed is brought up to where it no longer matters how
/// long ago it was. What lasts a second (between dials, between urged pings) is
/// either over or not.
pub fn canonical(heartbeat: &Heartbeat<Duration>, now: Duration) -> String {
    let shown = format!("{:?}", settled(heartbeat, now));
    let fields = Fields::of(&shown);
    let config = heartbeat.config();
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap();
    let forgiven = nanos(config.late_tolerance()) + 1_000_000;
    let since = |name, most: i64| fields.time(name).map(|time| time.max(-most));

    let mut key = String::with_capacity(96);
    let deadline = since("deadline", forgiven);
    let attempts = fields
        .number("attempt")
        .min(config.max_attempts().map_or(2, i64::from));
    let dialled = since("dialled", SECOND).is_some_and(|at| at > -SECOND);
    write!(key, "{} {deadline:?} {attempts} {dialled} ", fields.phase).unwrap();
    if let Some(longest) = config.max_elapsed() {
        write!(key, "{:?} ", since("first_down", nanos(longest))).unwrap();
    }
    match fields.phase {
        "Connecting" => write!(key, "{}", fields.is("spared")),
        "Waiting" => {
            let latest = deadline.unwrap_or(i64::MAX).max(0);
            let earliest = fields.time("earliest").map(|at| at.clamp(0, latest));
            write!(key, "{earliest:?} {}", fields.is("hurried"))
        }
        "Open" => {
            let probe = since("probe", forgiven);
            let silent = if config.listen_only() {
                since("received", nanos(config.idle_timeout()) + forgiven)
            } else {
                since("received", nanos(config.ping_interval())).filter(|_| probe.is_none())
            };
            let sent = config.send_interval().and_then(|most| since("sent", nanos(most)));
            let answer = fields.values["answer"];
            let is_buffered = probe.is_some() && answer == "Awaited";
            let pinged = since("pinged", nanos(config.pong_timeout())).filter(|_| is_buffered);
            let urged = fields.time("pinged").map(|at| at - fields.number("urged"));
            let urged = urged.is_some_and(|at| at > -SECOND);
            let opened = since("opened", nanos(config.stable_after()));
            let stable = match (fields.is("healthy"), fields.is("heard")) {
                (true, _) => None,
                (false, heard) => Some((opened, heard)),
            };
            let missed = fields.number("missed");
            let (awaited, spared) = (answer != "NotAwaited", since("spared", 0));
            write!(
                key,
                "{probe:?} {silent:?} {sent:?} {pinged:?} {urged} {stable:?} {missed} {awaited} {spared:?}"
            )
        }
        _ => Ok(()),
    }
    .unwrap();
    key
}

/// What came in is looked at: a pong that nobody awaits is flushed in vain.
fn settled(heartbeat: &Heartbeat<Duration>, now: Duration) -> Heartbeat<Duration> {
    let mut settled = heartbeat.clone();
    let nobodys = PingId::from_bytes([0; 8]);
    drop(settled.handle(Event::PingSent(nobodys), now));
    settled
}

/// The fields of the machine as `Debug` shows them: a field that this file does
/// not know is an error, so that no hidden state is overlooked.
struct Fields<'a> {
    phase: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    fn of(shown: &'a str) -> Self {
        const KNOWN: [&str; 19] = [
            "now",
            "deadline",
            "first_down",
            "dialled",
            "attempt",
            "phase",
            "earliest",
            "hurried",
            "spared",
            "opened",
            "received",
            "sent",
            "probe",
            "pinged",
            "urged",
            "missed",
            "heard",
            "healthy",
            "answer",
        ];
        let (_, machine) = shown.split_once("machine: Machine { ").unwrap();
        let (_, phase) = machine.split_once("phase: ").unwrap();
        let end = phase.find(|char: char| !char.is_alphabetic()).unwrap();
        let mut values = BTreeMap::new();
        for field in machine.split(", ") {
            let (path, value) = field.rsplit_once(": ").unwrap();
            let name = path.rsplit(' ').next().unwrap();
            assert!(
                KNOWN.contains(&name) || IDLE.contains(&name),
                "what is {name}?"
            );
            values.insert(name, value);
        }
        let phase = &phase[..end];
        Self { phase, values }
    }

    fn number(&self, name: &str) -> i64 {
        let value = self.values[name];
        let digits = value.trim_matches(|char: char| !char.is_ascii_digit());
        digits.parse().unwrap()
    }

    /// Relative to the machine's time.
    fn time(&self, name: &str) -> Option<i64> {
        let is_there = self.values[name].contains("Time(");
        is_there.then(|| self.number(name) - self.number("now"))
    }

    fn is(&self, name: &str) -> bool {
        self.values[name].starts_with("true")
    }
}
