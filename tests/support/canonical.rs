//! What a heartbeat will do from now on, as text: two that have the same one
//! cannot be told apart by what comes.

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt::Write;

use keepalive::{Event, Heartbeat, PingId};

/// Fields that do not tell what comes: they count on, measure, are drawn where the
/// settings leave nothing to draw, shorten what is short, or follow from the others.
const IDLE: [&str; 14] = [
    "rng",
    "epoch",
    "pings",
    "noted",
    "share",
    "draw",
    "urgent",
    "is_redrawn",
    "hinted",
    "round_trip",
    "last",
    "smoothed",
    "variance",
    "minimum",
];

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLISECOND;
/// What is planned for later than this is far: no setting lasts as long.
const FAR: i64 = 100 * MILLISECOND;
/// The flags of what proved a connection.
const MESSAGE: i64 = 1;
const ANSWER: i64 = 2;
/// The flag of news that wait.
const WAITS: i64 = 1 << 31;

/// The hidden state of a heartbeat under settings of which nothing is random and
/// each duration (but hints) is far below a second, with the times relative to
/// `now`. A time that has passed is brought up to where it no longer matters how
/// long ago it was. What lasts seconds (between dials, between pings that news make,
/// until a dial is old, a hint) is either over or not.
///
/// Where the settings may change, also what the others would ask for.
pub fn canonical(heartbeat: &Heartbeat<Duration>, now: Duration, may_change: bool) -> String {
    let shown = format!("{:?}", settled(heartbeat, now));
    let fields = Fields::of(&shown);
    let config = heartbeat.config();
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap();
    let tolerated = nanos(config.late_tolerance()) + MILLISECOND;
    let since = |name, most: i64| fields.time(name).map(|time| time.clamp(-most, FAR));

    let mut key = String::with_capacity(128);
    let deadline = since("deadline", tolerated);
    let attempts = fields
        .number("attempt")
        .min(config.max_attempts().map_or(2, i64::from));
    let dialled = fields.time("dialled").map_or(2, |at| -at / SECOND);
    let (calm, quick) = (dialled.min(1), fields.number("quick"));
    write!(
        key,
        "{} {deadline:?} {attempts} {calm} {quick} ",
        fields.phase
    )
    .unwrap();
    if let Some(longest) = config.max_elapsed() {
        write!(key, "{:?} ", since("first", nanos(longest))).unwrap();
    }
    match fields.phase {
        "Connecting" => {
            let (put_off, replaces) = (fields.is("is_put_off"), fields.is("replaces"));
            write!(key, "{put_off} {replaces} {}", dialled >= 5)
        }
        "Open" => {
            let strict = config.strict_pongs();
            let mut life = fields.time("alive");
            if !strict {
                life = life.max(fields.received);
            }
            let interval = if config.listen_only() {
                nanos(config.idle_timeout()) + tolerated
            } else if config.always_ping() && !may_change {
                0
            } else {
                nanos(config.ping_interval())
            };
            let life = life.map(|at| at.max(-interval));
            let activity = fields.received.filter(|_| may_change && strict);
            let activity = activity.map(|at| at.max(-interval));
            let outbound = if config.always_ping() {
                Some(config.ping_interval())
            } else {
                config.send_interval()
            };
            let outbound = outbound.filter(|_| !config.listen_only());
            let sent = outbound.and_then(|most| fields.sent.map(|at| at.max(-nanos(most))));
            let doubt = config
                .confirm_within()
                .and_then(|most| since("doubt", nanos(most)));
            let messages = config.message_timeout().map(|most| {
                let put_off = since("messages_put_off", 0);
                (since("message", nanos(most) + tolerated), put_off)
            });
            write!(
                key,
                "{life:?} {activity:?} {sent:?} {doubt:?} {messages:?} "
            )
            .unwrap();

            let answer_by = since("answer_by", tolerated);
            let probe = answer_by.map(|at| (at, fields.number("missed"), fields.is("is_put_off")));
            let put_off = since("probe", 0).filter(|_| probe.is_none());
            let answer = fields.values["answer"];
            let replaced = fields.number("replaced").min(1);
            let news = fields.number("news");
            let heeded = fields.time("pinged").map(|at| at - news % WAITS);
            let is_recent = heeded.is_some_and(|at| at > -SECOND);
            let waits = news >= WAITS;
            write!(
                key,
                "{probe:?} {put_off:?} {answer} {replaced} {is_recent} {waits} "
            )
            .unwrap();

            let login = fields.values["login"];
            let proof = fields.number("proof");
            let is_proven = if config.message_timeout().is_some() {
                proof & MESSAGE != 0
            } else if strict {
                proof & ANSWER != 0
            } else {
                fields.received.is_some()
            };
            let proven = (is_proven, if may_change { proof } else { 0 });
            let patience = config
                .healthy_within()
                .filter(|_| login == "Awaited")
                .map_or(0, |most| nanos(most) + tolerated);
            let opened = since("opened", patience.max(nanos(config.stable_after())));
            write!(key, "{login} {proven:?} {opened:?}")
        }
        _ => Ok(()),
    }
    .unwrap();
    key
}

/// What came in is looked at: a ping that nobody sent leaves in vain.
fn settled(heartbeat: &Heartbeat<Duration>, now: Duration) -> Heartbeat<Duration> {
    let mut settled = heartbeat.clone();
    let nobodys = PingId::from_bytes([0; 8]);
    drop(settled.handle(Event::PingSent(nobodys), now));
    settled
}

/// The fields of the heartbeat as `Debug` shows them: a field that this file does
/// not know is an error, so that no hidden state is overlooked.
struct Fields<'a> {
    phase: &'a str,
    /// In the caller's time, relative to the machine's.
    received: Option<i64>,
    sent: Option<i64>,
    /// Of the machine.
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    fn of(shown: &'a str) -> Self {
        const KNOWN: [&str; 25] = [
            "now",
            "deadline",
            "first",
            "dialled",
            "attempt",
            "quick",
            "phase",
            "is_put_off",
            "replaces",
            "opened",
            "alive",
            "doubt",
            "message",
            "messages_put_off",
            "pinged",
            "probe",
            "answer_by",
            "missed",
            "news",
            "replaced",
            "answer",
            "login",
            "proof",
            "received",
            "sent",
        ];
        let (_, own) = shown.split_once(", anchor: ").unwrap();
        let (facts, machine) = own.split_once(", machine: Machine { ").unwrap();
        let (anchor, facts) = facts.split_once(", received: ").unwrap();
        let (received, sent) = facts.split_once(", sent: ").unwrap();

        let (_, phase) = machine.split_once("phase: ").unwrap();
        let end = phase.find(|char: char| !char.is_alphabetic()).unwrap();
        let mut values = BTreeMap::new();
        for field in machine.split(", ") {
            let (path, value) = field.rsplit_once(": ").unwrap();
            let name = match path.rsplit(' ').next().unwrap() {
                "deadline" if path.contains("Ping {") => "answer_by",
                name => name,
            };
            assert!(
                KNOWN.contains(&name) || IDLE.contains(&name),
                "what is {name}?"
            );
            let value = value.trim_end_matches([' ', '}', ')']);
            assert!(values.insert(name, value).is_none(), "two fields {name}");
        }
        let mut fields = Self {
            phase: &phase[..end],
            received: None,
            sent: None,
            values,
        };
        // The anchor is the instant of the deadline.
        if let (Some(anchor), Some(deadline)) = (seconds(anchor), fields.time("deadline")) {
            let now = anchor - deadline;
            fields.received = seconds(received).map(|at| at - now);
            fields.sent = seconds(sent).map(|at| at - now);
        }
        fields
    }

    fn number(&self, name: &str) -> i64 {
        let value = self.values[name];
        let digits = value.trim_matches(|char: char| !char.is_ascii_digit());
        digits.parse().unwrap()
    }

    /// Relative to the machine's time.
    fn time(&self, name: &str) -> Option<i64> {
        let is_there = self.values.get(name)?.contains("Time(");
        is_there.then(|| self.number(name) - self.number("now"))
    }

    fn is(&self, name: &str) -> bool {
        self.values[name].starts_with("true")
    }
}

/// An instant as `Debug` shows it, in nanoseconds: the search begins seconds after the
/// origin, so it is in seconds.
fn seconds(shown: &str) -> Option<i64> {
    let text = shown.strip_prefix("Some(")?.strip_suffix("s)").unwrap();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().unwrap();
    let part: i64 = format!("{part:0<9}").parse().unwrap();
    Some(whole * SECOND + part)
}
