//! What two measurements say about each other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::limit::{Agreement, Seen, compare};
use super::traffic::Verdict;
use crate::watch::text;

/// Whether any two of these runs differ; None where it cannot be told.
pub(crate) fn runs_differ(runs: &[Seen]) -> Option<bool> {
    let mut told = None;
    for (number, one) in runs.iter().enumerate() {
        for other in runs.iter().skip(number + 1) {
            match compare(one, other) {
                Agreement::Differ => return Some(true),
                Agreement::Same => told = Some(false),
                Agreement::Unknown => {}
            }
        }
    }
    told
}

/// Where a limit lies, as far as a second server at another place tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nothing ended.
    None,
    /// Both end alike.
    Client,
    /// The other one lives on.
    Server,
    /// The other one ends, this one lives on.
    Control,
    /// Both end, and not alike: the shorter limit is not the client's.
    Both,
    Unknown,
}

impl Side {
    pub(crate) fn of(target: &Seen, control: &Seen) -> Self {
        let is_target = target.least().is_some();
        let is_control = control.least().is_some();
        match (compare(target, control), is_target, is_control) {
            (Agreement::Unknown, ..) => Self::Unknown,
            (_, false, false) => Self::None,
            (Agreement::Same, ..) => Self::Client,
            (_, true, false) => Self::Server,
            (_, false, true) => Self::Control,
            (_, true, true) => Self::Both,
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::None => "neither server's connections ended",
            Self::Client => {
                "both servers' connections end alike: the limit is probably near this client, \
                 unless both have the same"
            }
            Self::Server => {
                "the control's connections live on: the limit is probably on the server's side, \
                 in its proxy or itself"
            }
            Self::Control => "only the control's connections end: the limit is on its side",
            Self::Both => {
                "both end, and not alike: the shorter limit is not near this client, the longer \
                 one may be"
            }
            Self::Unknown => "the control was not held long enough to tell",
        }
    }

    /// In JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Client => "client",
            Self::Server => "server",
            Self::Control => "control",
            Self::Both => "both",
            Self::Unknown => "unknown",
        }
    }
}

/// A probe that was written with `--json`.
#[derive(Debug)]
pub(crate) struct Earlier {
    pub(crate) url: String,
    pub(crate) silent: Seen,
    verdicts: Vec<(String, String)>,
}

impl Earlier {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let told = |why: &str| format!("--compare {}: {why}", file.display());
        let text = fs::read_to_string(file).map_err(|error| told(&text::bare(&error)))?;
        Self::parse(&text).ok_or_else(|| told("it is not what `keepalive probe --json` prints"))
    }

    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let runs = value.get("runs")?.as_array()?;
        let runs: Option<Vec<Seen>> = runs.iter().map(seen).collect();
        let traffic = value.get("traffic")?.as_array()?;
        let name = |of: &Value, field| Some(of.get(field)?.as_str()?.to_owned());
        let verdicts: Option<Vec<_>> = traffic
            .iter()
            .map(|of| Some((name(of, "kind")?, name(of, "verdict")?)))
            .collect();
        Some(Self {
            url: name(&value, "url")?,
            silent: Seen::merged(&runs?),
            verdicts: verdicts?,
        })
    }

    /// The kinds of traffic of which the opposite was found.
    pub(crate) fn changed<'a>(
        &self,
        verdicts: impl IntoIterator<Item = (&'a str, Verdict)>,
    ) -> Vec<(&'a str, String)> {
        let mut changed = Vec::new();
        for (kind, verdict) in verdicts {
            let before = self.verdicts.iter().find(|(name, _)| name == kind);
            let Some((_, before)) = before else { continue };
            let unknown = Verdict::Unknown.name();
            if before != unknown && verdict.name() != unknown && before != verdict.name() {
                changed.push((kind, before.clone()));
            }
        }
        changed
    }
}

fn seen(run: &Value) -> Option<Seen> {
    let times = |field| -> Option<Vec<Duration>> {
        let times = run.get(field)?.as_array()?.iter();
        times
            .map(|time| Duration::try_from_secs_f64(time.as_f64()?).ok())
            .collect()
    };
    let seen = Seen {
        cuts: times("cut_s")?,
        dead: times("dead_s")?,
        alive: times("alive_s")?,
        hows: Vec::new(),
    };
    Some(seen.sorted())
}

#[cfg(test)]
mod tests {
    use super::super::limit::{Bracket, How, Outcome};
    use super::*;

    fn cut(at: u64) -> Seen {
        Seen::of([Outcome::Cut(Duration::from_secs(at), How::Ended)])
    }

    fn alive(at: u64) -> Seen {
        Seen::of([Outcome::Alive(Duration::from_secs(at))])
    }

    #[test]
    fn one_run_that_differs_is_enough() {
        assert_eq!(runs_differ(&[cut(60), cut(61), cut(62)]), Some(false));
        assert_eq!(runs_differ(&[cut(60), cut(61), cut(90)]), Some(true));
        assert_eq!(runs_differ(&[cut(60), alive(120)]), Some(true));
        assert_eq!(runs_differ(&[cut(60), alive(50)]), None);
        assert_eq!(runs_differ(&[alive(60), alive(60)]), Some(false));
        assert_eq!(runs_differ(&[cut(60)]), None);
        assert_eq!(runs_differ(&[]), None);
    }

    #[test]
    fn a_control_tells_near_from_far() {
        let table = [
            (alive(120), alive(120), Side::None),
            (cut(60), cut(61), Side::Client),
            (cut(60), alive(120), Side::Server),
            (alive(120), cut(60), Side::Control),
            (cut(60), cut(100), Side::Both),
            (cut(60), alive(50), Side::Unknown),
            (cut(60), Seen::default(), Side::Unknown),
        ];
        for (target, control, expected) in table {
            assert_eq!(
                Side::of(&target, &control),
                expected,
                "{target:?} {control:?}"
            );
        }
    }

    #[test]
    fn an_earlier_probe_is_read_from_its_json() {
        let earlier = Earlier::parse(
            r#"{"url": "ws://one/", "other": 1,
                "runs": [{"cut_s": [2.5, 2], "dead_s": [], "alive_s": [1.5], "how": []},
                         {"cut_s": [], "dead_s": [3], "alive_s": []}],
                "traffic": [{"kind": "pings", "verdict": "keeps"},
                            {"kind": "outbound_data", "verdict": "unknown"}]}"#,
        );
        let earlier = earlier.unwrap();
        assert_eq!(earlier.url, "ws://one/");
        let least = Bracket::exactly(Duration::from_secs(2));
        assert_eq!(earlier.silent.least(), Some(least));
        assert_eq!((earlier.silent.ended(), earlier.silent.told()), (3, 4));

        let changed = |kind, verdict| earlier.changed([(kind, verdict)]).len();
        assert_eq!(changed("pings", Verdict::Keeps), 0);
        assert_eq!(changed("pings", Verdict::EndsAt(least)), 1);
        assert_eq!(changed("pings", Verdict::Unknown), 0);
        assert_eq!(changed("outbound_data", Verdict::Keeps), 0);
        assert_eq!(changed("inbound_data", Verdict::Keeps), 0);

        for text in [
            "",
            "[]",
            "{}",
            r#"{"url": "x", "runs": [{}], "traffic": []}"#,
        ] {
            assert!(Earlier::parse(text).is_none(), "{text}");
        }
    }
}
