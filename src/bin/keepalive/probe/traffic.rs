//! What goes over a connection while it is held, and what that says.

use std::time::Duration;

use super::limit::{Bracket, Seen};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing from here.
    Silent,
    /// Pings from here, and so pongs from there.
    Pings,
    /// Pongs that nobody asked for, which nobody answers (RFC 6455 section 5.5.3).
    Pongs,
    /// The text of `--text`, and whatever the server answers.
    Text,
    /// What the server sends after the text of `--subscribe`.
    Inbound,
}

impl Kind {
    pub(crate) const TRAFFIC: [Self; 4] = [Self::Pings, Self::Pongs, Self::Text, Self::Inbound];

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Silent => "nothing",
            Self::Pings => "pings, answered",
            Self::Pongs => "outbound control frames",
            Self::Text => "outbound data",
            Self::Inbound => "inbound data",
        }
    }

    /// Its name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Pings => "pings",
            Self::Pongs => "outbound_frames",
            Self::Text => "outbound_data",
            Self::Inbound => "inbound_data",
        }
    }

    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::Pings | Self::Pongs | Self::Text)
    }
}

/// Whether traffic of a kind keeps a connection alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keeps,
    /// Some of them.
    Sometimes,
    EndsAt(Bracket),
    Unknown,
}

impl Verdict {
    pub(crate) fn of(seen: &Seen) -> Self {
        match seen.usual().or_else(|| seen.least()) {
            None if seen.alive.is_empty() => Self::Unknown,
            None => Self::Keeps,
            Some(_) if !seen.alive.is_empty() => Self::Sometimes,
            Some(end) => Self::EndsAt(end),
        }
    }

    /// In JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Keeps => "keeps",
            Self::Sometimes => "sometimes",
            Self::EndsAt(_) => "ends",
            Self::Unknown => "unknown",
        }
    }
}

/// The default of the library, and the earliest limit that it suits.
pub(crate) const DEFAULT: Duration = Duration::from_secs(25);

/// The interval fits twice into the limit, so that one late ping does no harm.
const PART: f64 = 0.45;

/// How often something has to go over a path that cuts after this.
pub(crate) fn interval(limit: Bracket) -> Duration {
    // Where not even the shortest silence was survived, anything below is a guess.
    let safe = if limit.over.is_zero() {
        limit.upto / 2
    } else {
        limit.over
    };
    rounded_down(safe.mul_f64(PART))
}

fn rounded_down(interval: Duration) -> Duration {
    let millis = interval.as_millis() as u64;
    let step = match millis {
        10_000.. => 1000,
        1000.. => 100,
        _ => 10,
    };
    Duration::from_millis((millis / step * step).max(1))
}

/// What to do about the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing was measured.
    Unknown,
    /// Nothing ended up to this time, which is long enough for the default.
    Default(Duration),
    /// Nothing ended up to this time, which says little about the default.
    LookLonger(Duration),
    /// The server speaks by itself: no silence was longer than this.
    Spoken(Duration),
    /// Pings that often.
    Pings(Duration),
    /// Pings that often did so; or most of the time.
    Shaky(Duration),
    /// Messages that often: pings do not count.
    Messages(Duration),
    /// Pings do not count, and messages were not tried.
    TryMessages(Duration),
    /// Nothing that was tried kept it.
    Reconnect,
    /// Something that often; it is not known what counts.
    Something(Duration),
}

impl Advice {
    /// `is_spoken`: the server did not let the connections be silent.
    pub(crate) fn of(silent: &Seen, is_spoken: bool, pings: Verdict, text: Verdict) -> Self {
        let Some(least) = silent.least() else {
            return match silent.lived() {
                None => Self::Unknown,
                Some(lived) if is_spoken => Self::Spoken(lived),
                Some(lived) if lived.mul_f64(PART) >= DEFAULT => Self::Default(lived),
                Some(lived) => Self::LookLonger(lived),
            };
        };
        let interval = interval(least);
        match (pings, text) {
            (Verdict::Keeps, _) => Self::Pings(interval),
            (Verdict::Sometimes, _) => Self::Shaky(interval),
            (Verdict::EndsAt(_), Verdict::Keeps) => Self::Messages(interval),
            (Verdict::EndsAt(_), Verdict::Unknown) => Self::TryMessages(interval),
            (Verdict::EndsAt(_), _) => Self::Reconnect,
            (Verdict::Unknown, Verdict::Keeps) => Self::Messages(interval),
            (Verdict::Unknown, _) => Self::Something(interval),
        }
    }

    pub(crate) const fn interval(self) -> Option<Duration> {
        match self {
            Self::Pings(interval)
            | Self::Shaky(interval)
            | Self::Messages(interval)
            | Self::TryMessages(interval)
            | Self::Something(interval) => Some(interval),
            _ => None,
        }
    }

    /// In JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Default(_) => "default",
            Self::LookLonger(_) => "look longer",
            Self::Spoken(_) => "the server",
            Self::Pings(_) => "pings",
            Self::Shaky(_) => "pings, not always",
            Self::Messages(_) => "messages",
            Self::TryMessages(_) => "not pings",
            Self::Reconnect => "reconnect",
            Self::Something(_) => "something",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limit::Outcome;
    use super::super::limit::tests::{alive, cut, dead, seconds};
    use super::*;

    #[test]
    fn a_verdict_needs_all_connections_to_agree() {
        let verdict = |outcomes: &[Outcome]| Verdict::of(&Seen::of(outcomes.iter().copied()));
        let end = Bracket::exactly(seconds(2.0));
        assert_eq!(verdict(&[alive(4.0), alive(4.0)]), Verdict::Keeps);
        assert_eq!(verdict(&[cut(2.0), cut(2.0)]), Verdict::EndsAt(end));
        assert_eq!(verdict(&[cut(2.0), alive(4.0)]), Verdict::Sometimes);
        assert_eq!(verdict(&[dead(2.0), alive(4.0)]), Verdict::Sometimes);
        assert_eq!(verdict(&[Outcome::Left, alive(4.0)]), Verdict::Keeps);
        assert_eq!(verdict(&[Outcome::Left]), Verdict::Unknown);
        assert_eq!(verdict(&[]), Verdict::Unknown);
    }

    #[test]
    fn the_interval_fits_twice_below_the_least_limit() {
        let table = [
            (60.0, 60.0, 27.0),
            (55.0, 55.0, 24.0),
            (2.0, 2.0, 0.9),
            (0.3, 0.3, 0.13),
            (230.0, 250.0, 103.0),
            // Not even the shortest silence was survived.
            (0.0, 1.2, 0.27),
        ];
        for (over, upto, expected) in table {
            let (over, upto) = (seconds(over), seconds(upto));
            let interval = interval(Bracket { over, upto });
            assert_eq!(interval, seconds(expected), "{over:?} {upto:?}");
            assert!(interval * 2 < upto);
        }
    }

    #[test]
    fn the_advice_is_for_the_least_limit_and_for_what_counts() {
        let limit = Seen::of([cut(20.0), cut(60.0), alive(50.0)]);
        let every = seconds(9.0);
        let ends = Verdict::EndsAt(Bracket::exactly(seconds(20.0)));
        let (keeps, unknown) = (Verdict::Keeps, Verdict::Unknown);
        let table = [
            (keeps, unknown, Advice::Pings(every)),
            (keeps, ends, Advice::Pings(every)),
            (Verdict::Sometimes, keeps, Advice::Shaky(every)),
            (ends, keeps, Advice::Messages(every)),
            (ends, unknown, Advice::TryMessages(every)),
            (ends, ends, Advice::Reconnect),
            (unknown, keeps, Advice::Messages(every)),
            (unknown, unknown, Advice::Something(every)),
        ];
        for (pings, text, expected) in table {
            assert_eq!(
                Advice::of(&limit, false, pings, text),
                expected,
                "{pings:?} {text:?}"
            );
        }
    }

    #[test]
    fn without_a_limit_it_depends_on_how_long_one_looked() {
        let advice = |seen: &Seen, is_spoken| {
            Advice::of(seen, is_spoken, Verdict::Unknown, Verdict::Unknown)
        };
        let (long, short) = (Seen::of([alive(120.0)]), Seen::of([alive(10.0)]));
        assert_eq!(advice(&long, false), Advice::Default(seconds(120.0)));
        assert_eq!(advice(&short, false), Advice::LookLonger(seconds(10.0)));
        assert_eq!(advice(&long, true), Advice::Spoken(seconds(120.0)));
        let nothing = advice(&Seen::default(), false);
        assert_eq!(nothing, Advice::Unknown);
        assert_eq!(nothing.interval(), None);
    }
}
