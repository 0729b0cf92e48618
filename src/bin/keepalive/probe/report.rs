//! What was found, in words and in JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::compare::{Earlier, Side, runs_differ};
use super::course::{Findings, Talk, Traffic};
use super::limit::{Agreement, Bracket, How, Seen, compare, is_above};
use super::traffic::{Advice, DEFAULT, Evidence, Kind, Verdict, is_enough};
use crate::watch::seen::Tone;
use crate::watch::text;

pub(crate) struct Report<'a> {
    pub(crate) url: String,
    pub(crate) longest: Duration,
    pub(crate) findings: &'a Findings,
    pub(crate) control: Option<(String, &'a Findings)>,
    /// Its file, and what it says.
    pub(crate) earlier: Option<(String, Earlier)>,
    pub(crate) is_interrupted: bool,
}

type Line = (Tone, String);

impl Report<'_> {
    pub(crate) fn lines(&self) -> Vec<Line> {
        let findings = self.findings;
        let silent = findings.silent();
        let mut lines = vec![(Tone::Title, self.title())];
        if let Some(why) = self.ended_early() {
            let words = format!("It was ended early: {why}. This is what was seen until then.");
            lines.push((Tone::Bad, words));
        }
        if findings.hello.round_trip.is_none() {
            let words = "The server answers no pings: a connection that is dropped without a \
                         word looks alive.";
            lines.push((Tone::Bad, words.to_owned()));
        }
        lines.push((Tone::Plain, String::new()));
        lines.extend(silences("nothing", findings));
        for kind in Kind::TRAFFIC {
            let tried = findings.traffic.iter().find(|traffic| traffic.kind == kind);
            let name = match kind {
                Kind::Pings if findings.hello.has_pongs() => "pings, answered",
                kind => kind.words(),
            };
            lines.push(row(name, &of_kind(kind, tried, &silent)));
        }
        if let Some((_, control)) = &self.control {
            lines.extend(silences("nothing, to the control", control));
        }
        lines.push((Tone::Plain, String::new()));
        lines.extend(findings.talk.lines());
        lines.extend(self.doubts(&silent));
        if let Some(side) = self.side() {
            lines.push((Tone::Hint, sentence(side.words())));
        }
        lines.extend(self.since_earlier(&silent));
        lines.extend(self.failed());
        lines.extend(self.ended_with_server());
        lines.extend(self.advice().lines());
        lines
    }

    fn ended_early(&self) -> Option<String> {
        if self.is_interrupted {
            return Some("it was interrupted".to_owned());
        }
        let control = self.control.as_ref();
        let control = control.and_then(|(url, control)| Some((url, control.lost.as_ref()?)));
        self.findings
            .lost
            .clone()
            .or_else(|| control.map(|(url, why)| format!("{url}: {why}")))
    }

    fn title(&self) -> String {
        let round_trip = match self.findings.hello.round_trip {
            Some(round_trip) => format!(", round trip {}", text::took(round_trip)),
            None => String::new(),
        };
        let told = text::count(self.findings.silent().told() as u64, "silent connection");
        let longest = text::setting(self.longest);
        format!("{}: {told}, up to {longest}{round_trip}", self.url)
    }

    /// Where measurements do not say the same.
    fn doubts(&self, silent: &Seen) -> Vec<Line> {
        let mut lines = Vec::new();
        let runs = &self.findings.runs;
        let found: Vec<String> = runs.iter().map(short).collect();
        let found = found.join(", ");
        match runs_differ(runs) {
            Some(true) => lines.push((Tone::Bad, format!("The runs differ: {found}."))),
            Some(false) => lines.push((Tone::Good, format!("The runs agree: {found}."))),
            None => {}
        }
        if let Some(least) = silent.least().filter(|_| silent.is_spread()) {
            let last = silent.cuts.last().max(silent.alive.last());
            let last = last.copied().unwrap_or_default();
            let words = format!(
                "The connections differ: one ended {}, another one lived for {}. \
                 The advice is for the shorter time.",
                when(least),
                text::took(last),
            );
            lines.push((Tone::Bad, words));
        }
        lines
    }

    fn side(&self) -> Option<Side> {
        let (_, control) = self.control.as_ref()?;
        Some(Side::of(&self.findings.silent(), &control.silent()))
    }

    fn since_earlier(&self, silent: &Seen) -> Vec<Line> {
        let Some((file, earlier)) = &self.earlier else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        if earlier.url != self.url {
            let words = format!("{file} is of another server.");
            lines.push((Tone::Hint, words));
        }
        let (then, now) = (short(&earlier.silent), short(silent));
        lines.push(match compare(&earlier.silent, silent) {
            Agreement::Differ => (
                Tone::Bad,
                format!("Differs from {file}: {then} then, {now} now."),
            ),
            Agreement::Same => (
                Tone::Good,
                format!("Agrees with {file}: {then} then, {now} now."),
            ),
            Agreement::Unknown => (
                Tone::Hint,
                format!("Cannot be compared with {file}: {then} then, {now} now."),
            ),
        });
        for (kind, before) in earlier.changed(self.verdicts()) {
            let words = format!("Differs from {file}: {kind}, whose verdict was \"{before}\".");
            lines.push((Tone::Bad, words));
        }
        lines
    }

    fn all(&self) -> impl Iterator<Item = &Findings> {
        let control = self.control.iter().map(|(_, control)| *control);
        std::iter::once(self.findings).chain(control)
    }

    fn failed(&self) -> Option<Line> {
        let mut failures = self.all().flat_map(|all| &all.failures).peekable();
        let first = failures.peek()?.why.clone();
        let count = text::count(failures.count() as u64, "connection");
        let fewer = match self.all().any(|all| all.is_reduced) {
            true => ", and fewer were tried after",
            false => "",
        };
        let words = format!("{count} could not be made{fewer}: {first}.");
        Some((Tone::Bad, words))
    }

    fn ended_with_server(&self) -> Option<Line> {
        let count: usize = self.all().map(|all| all.ended_with_server).sum();
        let counted = text::count(count as u64, "connection");
        let words =
            format!("Not counted: {counted} that ended as the server could no longer be reached.");
        (count > 0).then_some((Tone::Bad, words))
    }

    fn verdicts(&self) -> impl Iterator<Item = (&'static str, Verdict)> {
        let traffic = self.findings.traffic.iter();
        traffic.map(|traffic| (traffic.kind.name(), Verdict::of(&traffic.seen)))
    }

    fn advice(&self) -> Advice {
        let verdict = |kind: Kind| {
            let mut verdicts = self.verdicts();
            let found = verdicts.find(|(name, _)| *name == kind.name());
            found.map_or(Verdict::Unknown, |(_, verdict)| verdict)
        };
        let silent = self.findings.silent();
        // None was silent for the longest time.
        let lived = silent.lived().unwrap_or_default();
        let texts = self.findings.traffic.iter();
        let mut texts = texts.filter(|traffic| traffic.kind == Kind::Text);
        let evidence = Evidence {
            is_spoken: self.findings.talk.spoken > 0 && is_above(self.longest, lived),
            is_cut_short: self.ended_early().is_some() && is_enough(self.longest),
            has_pongs: self.findings.hello.has_pongs(),
            is_text_answered: texts.any(|traffic| traffic.spoken > 0),
            pings: verdict(Kind::Pings),
            text: verdict(Kind::Text),
        };
        Advice::of(&silent, evidence)
    }

    pub(crate) fn json(&self) -> Value {
        let findings = self.findings;
        let silent = findings.silent();
        let control = self.control.as_ref().map(|(url, control)| {
            json!({
                "url": url,
                "runs": runs(control),
                "silent": summary(&control.silent()),
                "side": self.side().map(Side::name),
            })
        });
        let compared = self.earlier.as_ref().map(|(file, earlier)| {
            let changed = earlier.changed(self.verdicts());
            let kinds: Vec<&str> = changed.iter().map(|(kind, _)| *kind).collect();
            let differs = match compare(&earlier.silent, &silent) {
                Agreement::Differ => Some(true),
                Agreement::Same => Some(false),
                Agreement::Unknown => None,
            };
            json!({"file": file, "differs": differs, "changed": kinds})
        });
        let failures: Vec<&str> = findings
            .failures
            .iter()
            .map(|failure| &*failure.why)
            .collect();
        let traffic: Vec<Value> = findings.traffic.iter().map(Traffic::json).collect();
        let advice = self.advice();
        let text: Vec<String> = advice.lines().into_iter().map(|(_, text)| text).collect();
        json!({
            "event": "probe",
            "url": self.url,
            "partial": self.ended_early().is_some(),
            "ended_early": self.ended_early(),
            "ended_with_server": findings.ended_with_server,
            "max_s": self.longest.as_secs_f64(),
            "round_trip_s": findings.hello.round_trip.map(|trip| trip.as_secs_f64()),
            "spoken": findings.talk.spoken,
            "runs": runs(findings),
            "runs_differ": runs_differ(&findings.runs),
            "silent": summary(&silent),
            "traffic": traffic,
            "control": control,
            "compared": compared,
            "failures": failures,
            "advice": {
                "by": advice.name(),
                "interval_s": advice.interval().map(|interval| interval.as_secs_f64()),
                "text": text,
            },
        })
    }
}

impl Talk {
    /// A server that speaks leaves nothing silent.
    fn lines(self) -> Vec<Line> {
        let of = |count| format!("{count} of {} connections", self.connections);
        let mut lines = Vec::new();
        if self.pinged > 0 {
            lines.push(format!(
                "The server sent pings on {}, and they were answered: how long silence may last \
                 cannot be seen.",
                of(self.pinged),
            ));
        }
        let spoken = self.spoken.saturating_sub(self.pinged);
        if spoken > 0 {
            lines.push(format!(
                "The server spoke by itself on {}: only the client was silent there.",
                of(spoken),
            ));
        }
        let hint = |line| (Tone::Hint, line);
        lines.into_iter().map(hint).collect()
    }
}

impl Traffic {
    fn json(&self) -> Value {
        let verdict = Verdict::of(&self.seen);
        let mut value = json!({
            "kind": self.kind.name(),
            "verdict": verdict.name(),
            "every_s": self.kind.sends().then_some(self.every.as_secs_f64()),
            "held_s": self.lasted.as_secs_f64(),
            "spoken": self.spoken,
        });
        if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), times(&self.seen)) {
            fields.extend(more);
        }
        value
    }
}

impl Advice {
    fn lines(self) -> Vec<Line> {
        let mut lines = vec![(Tone::Title, sentence(&self.words()))];
        if let Self::Pings(interval) | Self::Shaky(interval) = self {
            if interval < DEFAULT {
                let interval = constant(interval);
                let setting = format!(
                    "  Config::builder().ping_interval({interval}).send_interval(Some({interval}))"
                );
                lines.push((Tone::Plain, setting));
            }
        }
        lines
    }

    fn words(self) -> String {
        match self {
            Self::Unknown => "no advice: nothing was measured".to_owned(),
            Self::Default(lived) => format!(
                "no limit was seen up to {}: the default, a ping after {}, is fine",
                text::took(lived),
                text::setting(DEFAULT),
            ),
            Self::NoPings(lived) => format!(
                "no limit was seen up to {}, but the server answers no pings: ping with messages \
                 that it answers, as `TextPings` does, or only listen, with `Config::listener()`",
                text::took(lived),
            ),
            Self::LookLonger(lived) => format!("{}: try --max 2m", too_short(lived)),
            Self::Finish(lived) => format!("{}: let the probe run to its end", too_short(lived)),
            Self::Spoken(lived) => format!(
                "no advice: what the server sends by itself keeps connections alive, and no \
                 silence was longer than {}",
                text::took(lived),
            ),
            Self::Pings(interval) if interval >= DEFAULT => format!(
                "the default, a ping after {}, is fine; every {} would do",
                text::setting(DEFAULT),
                text::setting(interval),
            ),
            Self::Pings(interval) => format!(
                "a ping after {} of silence keeps such a connection alive",
                text::setting(interval),
            ),
            Self::Shaky(interval) => format!(
                "a ping after {} of silence did not keep all connections alive: ping more often, \
                 and measure again",
                text::setting(interval),
            ),
            Self::Messages(interval) => format!(
                "pings do not count on this path, but messages do: send one every {}, as \
                 `TextPings` does",
                text::setting(interval),
            ),
            Self::AnsweredMessages(interval) => format!(
                "the server answers no pings, but it answers messages, and they keep such a \
                 connection alive: send one every {}, as `TextPings` does",
                text::setting(interval),
            ),
            Self::ShakyMessages(interval) => format!(
                "a message every {} did not keep all connections alive, and pings are no help: \
                 send messages more often, and measure again",
                text::setting(interval),
            ),
            Self::TryAnsweredMessages(interval) => format!(
                "the server answers no pings, and whoever waits for a pong would reconnect for \
                 ever: see whether it answers messages (--text), one every {}",
                text::setting(interval),
            ),
            Self::Unanswered(interval) => format!(
                "something has to be sent every {}, but nothing was found that counts and is answered: only \
                 what the server sends by itself can show that it is alive (`Config::listener()`)",
                text::setting(interval),
            ),
            Self::TryMessages(interval) => format!(
                "pings do not count on this path: see whether messages do (--text), one every {}",
                text::setting(interval),
            ),
            Self::Reconnect => "nothing that was sent kept a connection alive: its age may be \
                                limited, and a client has to connect again each time"
                .to_owned(),
            Self::Something(interval) => format!(
                "something has to be sent every {}; whether pings count was not seen",
                text::setting(interval),
            ),
        }
    }
}

fn too_short(lived: Duration) -> String {
    format!(
        "no limit was seen up to {}, which is too short to say that an interval of {} is enough",
        text::took(lived),
        text::setting(DEFAULT),
    )
}

/// The row of silent connections, and how they ended.
fn silences(name: &str, findings: &Findings) -> Vec<Line> {
    let silent = findings.silent();
    let mut lines = vec![row(name, &found(&silent))];
    let mut hows: Vec<(How, usize)> = Vec::new();
    for how in &silent.hows {
        match hows.last_mut() {
            Some((last, count)) if last == how => *count += 1,
            _ => hows.push((*how, 1)),
        }
    }
    let mut ways: Vec<String> = hows
        .into_iter()
        .map(|(how, count)| format!("{} ({count})", how.words()))
        .collect();
    if !silent.dead.is_empty() {
        ways.push(format!("nothing that was heard ({})", silent.dead.len()));
    }
    if !ways.is_empty() {
        lines.push(row("  ended by", &ways.join(", ")));
    }
    lines
}

fn of_kind(kind: Kind, tried: Option<&Traffic>, silent: &Seen) -> String {
    match (tried, kind) {
        (Some(traffic), _) if !traffic.seen.is_empty() => {
            let every = if kind.sends() {
                format!(", every {}", text::setting(traffic.every))
            } else {
                String::new()
            };
            let spoken = match kind {
                Kind::Text if traffic.spoken > 0 => "; the server answered",
                Kind::Inbound if traffic.spoken == 0 => "; but the server said nothing",
                _ => "",
            };
            format!("{}{every}{spoken}", found(&traffic.seen))
        }
        (Some(_), _) => "not known".to_owned(),
        (None, _) if silent.least().is_none() => "not tried: nothing ended without".to_owned(),
        (None, Kind::Text) => "not tried: it takes --text".to_owned(),
        (None, Kind::Inbound) => "not tried: it takes --subscribe".to_owned(),
        (None, _) => "not tried".to_owned(),
    }
}

/// What connections showed: 24 of 36 ended after 2.00 s (1.99 to 2.01 s); alive after 1.92 s.
fn found(seen: &Seen) -> String {
    let lived = seen.lived().map(text::took);
    let Some(usual) = seen.usual() else {
        return match lived {
            Some(lived) => {
                let told = seen.told();
                let are_alike = seen
                    .alive
                    .first()
                    .is_some_and(|first| !is_above(seen.lived().unwrap_or_default(), *first));
                let for_time = if are_alike { " for" } else { ", for up to" };
                format!("{told} of {told} lived{for_time} {lived}")
            }
            None => "nothing was seen".to_owned(),
        };
    };
    let mut words = format!("{} of {} ended {}", seen.ended(), seen.told(), when(usual));
    if let [first, .., last] = *seen.cuts {
        let (first, last) = (text::seconds(first), text::took(last));
        words.push_str(&format!(" ({first} to {last})"));
    }
    if let Some(lived) = lived.filter(|_| usual.is_exact()) {
        words.push_str(&format!("; alive after {lived}"));
    }
    words
}

/// after 2.00 s; between 1.92 s and 2.01 s.
fn when(end: Bracket) -> String {
    if end.is_exact() {
        format!("after {}", text::took(end.upto))
    } else {
        format!(
            "between {} s and {}",
            text::seconds(end.over),
            text::took(end.upto)
        )
    }
}

/// A measurement in two words.
fn short(seen: &Seen) -> String {
    match (seen.usual(), seen.lived()) {
        (Some(usual), _) if usual.is_exact() => text::took(usual.upto),
        (Some(usual), _) => format!(
            "{} to {}",
            text::seconds(usual.over),
            text::took(usual.upto)
        ),
        (None, Some(lived)) => format!("none up to {}", text::took(lived)),
        (None, None) => "nothing".to_owned(),
    }
}

fn row(name: &str, found: &str) -> Line {
    (Tone::Plain, format!("{name:24}  {found}"))
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// As it is written in Rust.
fn constant(interval: Duration) -> String {
    if interval.subsec_nanos() == 0 {
        format!("Duration::from_secs({})", interval.as_secs())
    } else {
        format!("Duration::from_millis({})", interval.as_millis())
    }
}

fn runs(findings: &Findings) -> Vec<Value> {
    findings.runs.iter().map(times).collect()
}

fn times(seen: &Seen) -> Value {
    let times =
        |times: &[Duration]| -> Vec<f64> { times.iter().map(Duration::as_secs_f64).collect() };
    let hows: Vec<String> = seen.hows.iter().map(|how| how.words()).collect();
    json!({
        "cut_s": times(&seen.cuts),
        "dead_s": times(&seen.dead),
        "alive_s": times(&seen.alive),
        "how": hows,
    })
}

fn summary(seen: &Seen) -> Value {
    let ends = |end: Option<Bracket>| {
        end.map(|end| json!([end.over.as_secs_f64(), end.upto.as_secs_f64()]))
    };
    json!({
        "ended": seen.ended(),
        "of": seen.told(),
        "least_s": ends(seen.least()),
        "usual_s": ends(seen.usual()),
        "longest_cut_s": seen.cuts.last().map(Duration::as_secs_f64),
        "lived_s": seen.lived().map(|lived| lived.as_secs_f64()),
        "spread": seen.is_spread(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_told_from_what_else_the_server_says() {
        let lines = |spoken, pinged| {
            let connections = 12;
            let talk = Talk {
                connections,
                spoken,
                pinged,
            };
            talk.lines()
                .into_iter()
                .map(|(_, line)| line)
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(0, 0), [""; 0]);
        let [pings] = &lines(3, 3)[..] else { panic!() };
        assert!(
            pings.starts_with("The server sent pings on 3 of 12 "),
            "{pings}"
        );
        let [data] = &lines(3, 0)[..] else { panic!() };
        assert!(
            data.starts_with("The server spoke by itself on 3 of 12 "),
            "{data}"
        );
        let [pings, data] = &lines(4, 1)[..] else {
            panic!()
        };
        assert!(
            pings.starts_with("The server sent pings on 1 of 12 "),
            "{pings}"
        );
        assert!(
            data.starts_with("The server spoke by itself on 3 of 12 "),
            "{data}"
        );
    }
}
