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
            Self::Pings => "pings",
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

/// Whether a limit beyond this suits the default.
pub(crate) fn is_enough(lived: Duration) -> bool {
    lived.mul_f64(PART) >= DEFAULT
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

/// What the advice depends on, besides how long silent connections lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// The server did not let the connections be silent.
    pub(crate) is_spoken: bool,
    /// The whole probe would have looked long enough, but it was ended early.
    pub(crate) is_cut_short: bool,
    /// The server answers pings.
    pub(crate) has_pongs: bool,
    /// It said something to those who sent text.
    pub(crate) is_text_answered: bool,
    pub(crate) pings: Verdict,
    pub(crate) text: Verdict,
}

/// What to do about the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing was measured.
    Unknown,
    /// Nothing ended up to this time, which is long enough for the default.
    Default(Duration),
    /// Nothing ended up to this time, but whoever pings waits for pongs in vain.
    NoPings(Duration),
    /// Nothing ended up to this time, which says little about the default.
    LookLonger(Duration),
    /// The same, but the probe was ended early.
    Finish(Duration),
    /// The server speaks by itself: no silence was longer than this.
    Spoken(Duration),
    /// Pings that often.
    Pings(Duration),
    /// Pings that often did so; or most of the time.
    Shaky(Duration),
    /// Messages that often: pings do not count.
    Messages(Duration),
    /// Messages that often, which are answered: pings are not.
    AnsweredMessages(Duration),
    /// Messages that often did so most of the time, and pings are of no use.
    ShakyMessages(Duration),
    /// Pings do not count, and messages were not tried.
    TryMessages(Duration),
    /// Pings are not answered, and messages were not tried.
    TryAnsweredMessages(Duration),
    /// Something that often, but no answer shows that the server is alive.
    Unanswered(Duration),
    /// Nothing that was tried kept it.
    Reconnect,
    /// Something that often; it is not known what counts.
    Something(Duration),
}

impl Advice {
    pub(crate) fn of(silent: &Seen, evidence: Evidence) -> Self {
        let Some(least) = silent.least() else {
            return match silent.lived() {
                None => Self::Unknown,
                Some(lived) if evidence.is_spoken => Self::Spoken(lived),
                Some(lived) if !is_enough(lived) && evidence.is_cut_short => Self::Finish(lived),
                Some(lived) if !is_enough(lived) => Self::LookLonger(lived),
                Some(lived) if !evidence.has_pongs => Self::NoPings(lived),
                Some(lived) => Self::Default(lived),
            };
        };
        let interval = interval(least);
        if evidence.has_pongs {
            Self::with_pongs(interval, evidence)
        } else {
            Self::without_pongs(interval, evidence)
        }
    }

    const fn with_pongs(interval: Duration, evidence: Evidence) -> Self {
        match (evidence.pings, evidence.text) {
            (Verdict::Keeps, _) => Self::Pings(interval),
            (Verdict::Sometimes, _) => Self::Shaky(interval),
            (Verdict::EndsAt(_) | Verdict::Unknown, Verdict::Keeps) => Self::Messages(interval),
            (Verdict::EndsAt(_), Verdict::Sometimes) => Self::ShakyMessages(interval),
            (Verdict::EndsAt(_), Verdict::EndsAt(_)) => Self::Reconnect,
            (Verdict::EndsAt(_), Verdict::Unknown) => Self::TryMessages(interval),
            (Verdict::Unknown, _) => Self::Something(interval),
        }
    }

    const fn without_pongs(interval: Duration, evidence: Evidence) -> Self {
        match (evidence.pings, evidence.text) {
            (_, Verdict::Keeps) if evidence.is_text_answered => Self::AnsweredMessages(interval),
            (_, Verdict::Sometimes) => Self::ShakyMessages(interval),
            (_, Verdict::Unknown) => Self::TryAnsweredMessages(interval),
            (Verdict::EndsAt(_), Verdict::EndsAt(_)) => Self::Reconnect,
            _ => Self::Unanswered(interval),
        }
    }

    pub(crate) const fn interval(self) -> Option<Duration> {
        match self {
            Self::Pings(interval)
            | Self::Shaky(interval)
            | Self::Messages(interval)
            | Self::AnsweredMessages(interval)
            | Self::ShakyMessages(interval)
            | Self::TryMessages(interval)
            | Self::TryAnsweredMessages(interval)
            | Self::Unanswered(interval)
            | Self::Something(interval) => Some(interval),
            _ => None,
        }
    }

    /// In JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Default(_) => "default",
            Self::LookLonger(_) | Self::Finish(_) => "look longer",
            Self::Spoken(_) => "the server",
            Self::Pings(_) => "pings",
            Self::Shaky(_) => "pings, not always",
            Self::Messages(_) | Self::AnsweredMessages(_) => "messages",
            Self::ShakyMessages(_) => "messages, not always",
            Self::NoPings(_) | Self::TryMessages(_) | Self::TryAnsweredMessages(_) => "not pings",
            Self::Unanswered(_) => "listen",
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
        let sometimes = Verdict::Sometimes;
        let table = [
            (keeps, unknown, Advice::Pings(every)),
            (keeps, ends, Advice::Pings(every)),
            (sometimes, keeps, Advice::Shaky(every)),
            (ends, keeps, Advice::Messages(every)),
            (ends, sometimes, Advice::ShakyMessages(every)),
            (ends, unknown, Advice::TryMessages(every)),
            (ends, ends, Advice::Reconnect),
            (unknown, keeps, Advice::Messages(every)),
            (unknown, unknown, Advice::Something(every)),
        ];
        for (pings, text, expected) in table {
            let evidence = Evidence {
                pings,
                text,
                ..NOTHING
            };
            assert_eq!(Advice::of(&limit, evidence), expected, "{pings:?} {text:?}");
        }
    }

    /// Whoever waits for a pong convicts such a server.
    #[test]
    fn pings_that_are_not_answered_are_never_advised() {
        let limit = Seen::of([cut(20.0)]);
        let every = seconds(9.0);
        let ends = Verdict::EndsAt(Bracket::exactly(seconds(20.0)));
        let (keeps, unknown) = (Verdict::Keeps, Verdict::Unknown);
        let table = [
            (keeps, keeps, true, Advice::AnsweredMessages(every)),
            (ends, keeps, true, Advice::AnsweredMessages(every)),
            (keeps, keeps, false, Advice::Unanswered(every)),
            (keeps, unknown, false, Advice::TryAnsweredMessages(every)),
            (keeps, ends, true, Advice::Unanswered(every)),
            (
                keeps,
                Verdict::Sometimes,
                true,
                Advice::ShakyMessages(every),
            ),
            (ends, ends, true, Advice::Reconnect),
        ];
        for (pings, text, is_text_answered, expected) in table {
            let evidence = Evidence {
                has_pongs: false,
                is_text_answered,
                pings,
                text,
                ..NOTHING
            };
            let advice = Advice::of(&limit, evidence);
            assert_eq!(advice, expected, "{pings:?} {text:?}");
        }
        let evidence = Evidence {
            has_pongs: false,
            ..NOTHING
        };
        let advice = Advice::of(&Seen::of([alive(120.0)]), evidence);
        assert_eq!(advice, Advice::NoPings(seconds(120.0)));
    }

    const NOTHING: Evidence = Evidence {
        is_spoken: false,
        is_cut_short: false,
        has_pongs: true,
        is_text_answered: false,
        pings: Verdict::Unknown,
        text: Verdict::Unknown,
    };

    #[test]
    fn without_a_limit_it_depends_on_how_long_one_looked() {
        let (long, short) = (Seen::of([alive(120.0)]), Seen::of([alive(10.0)]));
        let spoken = Evidence {
            is_spoken: true,
            ..NOTHING
        };
        let cut_short = Evidence {
            is_cut_short: true,
            ..NOTHING
        };
        let table = [
            (&long, NOTHING, Advice::Default(seconds(120.0))),
            (&long, cut_short, Advice::Default(seconds(120.0))),
            (&long, spoken, Advice::Spoken(seconds(120.0))),
            (&short, NOTHING, Advice::LookLonger(seconds(10.0))),
            (&short, cut_short, Advice::Finish(seconds(10.0))),
        ];
        for (seen, evidence, expected) in table {
            assert_eq!(Advice::of(seen, evidence), expected, "{evidence:?}");
        }
        let nothing = Advice::of(&Seen::default(), NOTHING);
        assert_eq!(nothing, Advice::Unknown);
        assert_eq!(nothing.interval(), None);
    }
}
