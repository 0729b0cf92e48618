//! From what single connections showed to a limit, which is a spread and not a number.

use std::time::Duration;

/// What one connection showed. The durations count from when its traffic was as it was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its end was seen, at this time.
    Cut(Duration, How),
    /// It answered a ping at this time.
    Alive(Duration),
    /// It did not answer a ping at this time, and nothing had announced its end.
    Dead(Duration),
    /// Nobody looked any longer: nothing is known.
    Left,
}

/// How an end looks from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// A close frame, with this code.
    Closed(Option<u16>),
    /// The stream ended without one.
    Ended,
    /// A TCP reset.
    Reset,
    /// Any other error.
    Failed,
}

impl How {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Closed(Some(code)) => format!("a close frame with {code}"),
            Self::Closed(None) => "a close frame without a code".to_owned(),
            Self::Ended => "the end of the stream, without a close frame".to_owned(),
            Self::Reset => "a TCP reset".to_owned(),
            Self::Failed => "an error".to_owned(),
        }
    }
}

/// Times that lie closer to each other than this share of them are the same,
const SHARE: f64 = 0.1;

/// and than this, which a busy machine needs.
const SLACK: Duration = Duration::from_millis(50);

/// When something ends: after `over`, and by `upto`. They are the same where it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bracket {
    pub(crate) over: Duration,
    pub(crate) upto: Duration,
}

impl Bracket {
    pub(crate) const fn exactly(at: Duration) -> Self {
        Self { over: at, upto: at }
    }

    pub(crate) fn is_exact(self) -> bool {
        self.over == self.upto
    }

    /// Whether another look between its ends tells nothing of interest.
    pub(crate) fn is_narrow(self) -> bool {
        !is_above(self.upto, self.over)
    }

    fn is_apart(self, other: Self) -> bool {
        is_above(self.over, other.upto) || is_above(other.over, self.upto)
    }
}

/// By more than what may be chance.
pub(crate) fn is_above(time: Duration, other: Duration) -> bool {
    time > other + other.mul_f64(SHARE).max(SLACK)
}

/// What a number of connections showed, each list in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) cuts: Vec<Duration>,
    pub(crate) hows: Vec<How>,
    pub(crate) dead: Vec<Duration>,
    pub(crate) alive: Vec<Duration>,
}

impl Seen {
    pub(crate) fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let mut seen = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Cut(at, how) => {
                    seen.cuts.push(at);
                    seen.hows.push(how);
                }
                Outcome::Dead(at) => seen.dead.push(at),
                Outcome::Alive(at) => seen.alive.push(at),
                Outcome::Left => {}
            }
        }
        seen.sorted()
    }

    pub(crate) fn merged(parts: &[Self]) -> Self {
        let mut seen = Self::default();
        for part in parts {
            seen.cuts.extend(&part.cuts);
            seen.hows.extend(&part.hows);
            seen.dead.extend(&part.dead);
            seen.alive.extend(&part.alive);
        }
        seen.sorted()
    }

    pub(crate) fn sorted(mut self) -> Self {
        self.cuts.sort_unstable();
        self.hows.sort_unstable();
        self.dead.sort_unstable();
        self.alive.sort_unstable();
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cuts.is_empty() && self.dead.is_empty() && self.alive.is_empty()
    }

    /// How many connections ended.
    pub(crate) fn ended(&self) -> usize {
        self.cuts.len() + self.dead.len()
    }

    /// How many connections told something.
    pub(crate) fn told(&self) -> usize {
        self.ended() + self.alive.len()
    }

    /// The longest that one was found alive after.
    pub(crate) fn lived(&self) -> Option<Duration> {
        self.alive.last().copied()
    }

    /// The earliest end.
    pub(crate) fn least(&self) -> Option<Bracket> {
        match (self.cuts.first(), self.dead.first()) {
            (Some(&cut), Some(&dead)) if dead < cut => Some(self.before(dead)),
            (Some(&cut), _) => Some(Bracket::exactly(cut)),
            (None, Some(&dead)) => Some(self.before(dead)),
            (None, None) => None,
        }
    }

    /// The usual end: the median of those that were seen, or where none was the earliest.
    pub(crate) fn usual(&self) -> Option<Bracket> {
        if self.cuts.len() < self.dead.len() {
            return self.least();
        }
        let middle = self.cuts.get(self.cuts.len() / 2);
        middle.copied().map(Bracket::exactly)
    }

    /// Whether these connections contradict each other, or differ by more than chance.
    pub(crate) fn is_spread(&self) -> bool {
        let Some(least) = self.least() else {
            return false;
        };
        let last = self.cuts.last().max(self.alive.last());
        last.is_some_and(|&last| is_above(last, least.upto))
    }

    /// The end of one that was found dead.
    fn before(&self, dead: Duration) -> Bracket {
        let over = self.alive.iter().rfind(|alive| **alive < dead);
        Bracket {
            over: over.copied().unwrap_or_default(),
            upto: dead,
        }
    }
}

/// Whether two measurements say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    Same,
    Differ,
    /// One of them did not look long enough.
    Unknown,
}

pub(crate) fn compare(one: &Seen, other: &Seen) -> Agreement {
    match (one.usual(), other.usual()) {
        (Some(one), Some(other)) if one.is_apart(other) => Agreement::Differ,
        (Some(_), Some(_)) => Agreement::Same,
        (None, None) if one.is_empty() || other.is_empty() => Agreement::Unknown,
        (None, None) => Agreement::Same,
        (Some(limit), None) => unlimited(limit, other),
        (None, Some(limit)) => unlimited(limit, one),
    }
}

/// A limit beside connections of which none ended.
fn unlimited(limit: Bracket, seen: &Seen) -> Agreement {
    match seen.lived() {
        Some(lived) if is_above(lived, limit.upto) => Agreement::Differ,
        _ => Agreement::Unknown,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    pub(in super::super) fn cut(at: f64) -> Outcome {
        Outcome::Cut(seconds(at), How::Ended)
    }

    pub(in super::super) fn alive(at: f64) -> Outcome {
        Outcome::Alive(seconds(at))
    }

    pub(in super::super) fn dead(at: f64) -> Outcome {
        Outcome::Dead(seconds(at))
    }

    fn bracket(over: f64, upto: f64) -> Option<Bracket> {
        let (over, upto) = (seconds(over), seconds(upto));
        Some(Bracket { over, upto })
    }

    #[test]
    fn ends_that_are_seen_are_the_limit() {
        let seen = Seen::of([cut(60.2), alive(40.0), cut(60.0), cut(60.1), alive(59.0)]);
        assert_eq!(seen.least(), bracket(60.0, 60.0));
        assert_eq!(seen.usual(), bracket(60.1, 60.1));
        assert_eq!((seen.ended(), seen.told()), (3, 5));
        assert!(!seen.is_spread());
    }

    #[test]
    fn silent_drops_lie_between_the_last_that_lived_and_the_first_that_did_not() {
        let seen = Seen::of([dead(300.0), alive(100.0), dead(250.0), alive(230.0)]);
        assert_eq!(seen.least(), bracket(230.0, 250.0));
        assert_eq!(seen.usual(), seen.least());
        assert!(!seen.is_spread());
        assert_eq!(Seen::of([dead(2.0)]).least(), bracket(0.0, 2.0));
    }

    #[test]
    fn contradictions_are_a_spread() {
        // A longer silence was survived than the one that was not.
        let seen = Seen::of([alive(45.0), dead(50.0), alive(60.0)]);
        assert_eq!(seen.least(), bracket(45.0, 50.0));
        assert!(seen.is_spread());
        let seen = Seen::of([cut(50.0), alive(60.0)]);
        assert_eq!(seen.least(), bracket(50.0, 50.0));
        assert!(seen.is_spread());
        let seen = Seen::of([cut(216.0), cut(1788.0), alive(200.0)]);
        assert_eq!(seen.least(), bracket(216.0, 216.0));
        assert!(seen.is_spread());
        // What a busy machine does to one reading is none.
        assert!(!Seen::of([cut(0.30), cut(0.34), alive(0.34)]).is_spread());
    }

    #[test]
    fn a_silent_drop_may_come_before_the_ends_that_are_seen() {
        let seen = Seen::of([cut(60.0), dead(20.0), alive(10.0), cut(61.0)]);
        assert_eq!(seen.least(), bracket(10.0, 20.0));
        assert_eq!(seen.usual(), bracket(61.0, 61.0));
        assert!(seen.is_spread());
    }

    #[test]
    fn no_end_is_no_limit() {
        let seen = Seen::of([alive(10.0), alive(120.0), Outcome::Left]);
        assert_eq!(seen.least(), None);
        assert_eq!(seen.usual(), None);
        assert_eq!(seen.lived(), Some(seconds(120.0)));
        assert!(!seen.is_spread());
        assert!(Seen::of([Outcome::Left]).is_empty());
    }

    #[test]
    fn measurements_agree_within_a_tenth() {
        let at = |at| Seen::of([cut(at)]);
        let up_to = |at| Seen::of([alive(at)]);
        let between = |over, upto| Seen::of([alive(over), dead(upto)]);
        let none = Seen::default();
        let table = [
            (at(60.0), at(65.0), Agreement::Same),
            (at(60.0), at(67.0), Agreement::Differ),
            (at(0.10), at(0.14), Agreement::Same),
            (between(45.0, 50.0), between(48.0, 53.0), Agreement::Same),
            (between(45.0, 50.0), between(56.0, 60.0), Agreement::Differ),
            (between(45.0, 50.0), at(47.0), Agreement::Same),
            (between(45.0, 50.0), at(30.0), Agreement::Differ),
            (up_to(120.0), up_to(120.0), Agreement::Same),
            (up_to(120.0), at(60.0), Agreement::Differ),
            (up_to(50.0), at(60.0), Agreement::Unknown),
            (up_to(62.0), at(60.0), Agreement::Unknown),
            (none.clone(), at(60.0), Agreement::Unknown),
            (none.clone(), up_to(60.0), Agreement::Unknown),
        ];
        for (one, other, expected) in table {
            assert_eq!(compare(&one, &other), expected, "{one:?} {other:?}");
            assert_eq!(compare(&other, &one), expected, "{other:?} {one:?}");
        }
    }
}
