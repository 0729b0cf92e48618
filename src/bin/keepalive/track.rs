//! What a watch has been through, in a bounded space: which phase it is in, which
//! pings were lost, and how long answers took.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::watch::seen::{Seen, Sighting};
use crate::watch::text;

/// What the connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Open,
    /// For the time of the next dial.
    Waiting,
    /// No dial is planned any more.
    Over,
}

impl Phase {
    pub(crate) const ALL: [Self; 4] = [Self::Open, Self::Connecting, Self::Waiting, Self::Over];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Waiting => "waiting for the next dial",
            Self::Over => "stopped",
        }
    }
}

/// Follows the sightings.
#[derive(Debug)]
pub(crate) struct Track {
    phase: Phase,
    since: Instant,
    /// When the last ping was sent, if nothing came since.
    unanswered: Option<Instant>,
}

/// What a sighting brought to its end.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) left: Option<Span>,
    /// When a ping was sent that nothing came after, as [`Tally`] counts them.
    pub(crate) lost: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) phase: Phase,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Track {
    pub(crate) const fn new(started: Instant) -> Self {
        Self {
            phase: Phase::Connecting,
            since: started,
            unanswered: None,
        }
    }

    /// The phase that lasts.
    pub(crate) const fn span(&self, to: Instant) -> Span {
        Span {
            phase: self.phase,
            from: self.since,
            to,
        }
    }

    pub(crate) fn note(&mut self, sighting: &Sighting) -> Step {
        let at = sighting.at;
        match &sighting.seen {
            Seen::Connecting { .. } => self.enter(Phase::Connecting, at),
            Seen::Opened => self.enter(Phase::Open, at),
            Seen::Ping { .. } => {
                self.unanswered = Some(at);
                Step::default()
            }
            Seen::Pong { .. } | Seen::Message(_) => {
                self.unanswered = None;
                Step::default()
            }
            Seen::Down(down) => {
                let phase = down.retry.map_or(Phase::Over, |_| Phase::Waiting);
                let lost = self.unanswered.take().filter(|_| !down.is_answer());
                Step {
                    lost,
                    ..self.enter(phase, at)
                }
            }
            Seen::Stopped(_) => self.enter(Phase::Over, at),
            Seen::Moved(_) => Step::default(),
        }
    }

    fn enter(&mut self, phase: Phase, at: Instant) -> Step {
        self.unanswered = None;
        let left = (phase != self.phase).then(|| self.span(at));
        if left.is_some() {
            (self.phase, self.since) = (phase, at);
        }
        Step { left, lost: None }
    }
}

/// What happened in a slice of time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice {
    /// The least and the greatest.
    pub(crate) round_trip: Option<(Duration, Duration)>,
    pub(crate) pongs: u32,
    pub(crate) lost: u32,
    pub(crate) downs: u32,
    spent: [Duration; Phase::ALL.len()],
}

impl Slice {
    pub(crate) fn answer(&mut self, took: Duration) {
        self.pongs = self.pongs.saturating_add(1);
        self.round_trip = Some(self.round_trip.map_or((took, took), |(least, greatest)| {
            (least.min(took), greatest.max(took))
        }));
    }

    pub(crate) fn spend(&mut self, phase: Phase, time: Duration) {
        if let Some(spent) = self.spent.get_mut(phase as usize) {
            *spent += time;
        }
    }

    pub(crate) fn spent(&self, phase: Phase) -> Duration {
        self.spent.get(phase as usize).copied().unwrap_or_default()
    }

    /// The one that took most of the time, if any took some.
    pub(crate) fn phase(&self) -> Option<Phase> {
        let phases = Phase::ALL.into_iter();
        let spent = phases.filter(|phase| !self.spent(*phase).is_zero());
        spent.max_by_key(|phase| self.spent(*phase))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase().is_none_or(|phase| phase == Phase::Open)
    }

    pub(crate) fn join(mut self, other: &Self) -> Self {
        if let Some((least, greatest)) = other.round_trip {
            self.answer(least);
            self.answer(greatest);
            self.pongs = self.pongs.saturating_sub(2).saturating_add(other.pongs);
        }
        self.lost = self.lost.saturating_add(other.lost);
        self.downs = self.downs.saturating_add(other.downs);
        for phase in Phase::ALL {
            self.spend(phase, other.spent(phase));
        }
        self
    }
}

/// What happened in each slice of time.
#[derive(Clone, Debug)]
pub(crate) struct Slices {
    started: Instant,
    width: Duration,
    /// The place of the first, counted from the start.
    first: usize,
    slices: VecDeque<Slice>,
    most: usize,
    /// What to do when there are more.
    surplus: Surplus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surplus {
    Join,
    Forget,
}

impl Slices {
    /// All from the start; where there were too many, each takes twice as long.
    pub(crate) const fn of_all(started: Instant, most: usize) -> Self {
        Self::new(started, Duration::from_millis(1), most, Surplus::Join)
    }

    /// The last ones.
    pub(crate) const fn of_late(started: Instant, width: Duration, most: usize) -> Self {
        Self::new(started, width, most, Surplus::Forget)
    }

    const fn new(started: Instant, width: Duration, most: usize, surplus: Surplus) -> Self {
        Self {
            started,
            width,
            first: 0,
            slices: VecDeque::new(),
            most,
            surplus,
        }
    }

    pub(crate) const fn width(&self) -> Duration {
        self.width
    }

    /// With the time at which each begins, from the start.
    pub(crate) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Duration, &Slice)> + ExactSizeIterator {
        let begin = move |index| self.width.saturating_mul((self.first + index) as u32);
        let slices = self.slices.iter().enumerate();
        slices.map(move |(index, slice)| (begin(index), slice))
    }

    pub(crate) fn change(&mut self, at: Instant, change: impl FnOnce(&mut Slice)) {
        let time = self.since_start(at);
        self.make_room(time);
        let index = self.place(time).checked_sub(self.first);
        if let Some(slice) = index.and_then(|index| self.slices.get_mut(index)) {
            change(slice);
        }
    }

    pub(crate) fn spend(&mut self, span: Span) {
        let (start, end) = (self.since_start(span.from), self.since_start(span.to));
        self.make_room(end);
        let begin = self.place(start).max(self.first);
        for place in begin..=self.place(end) {
            let opens = self.width.saturating_mul(place as u32);
            let time = end.min(opens + self.width).saturating_sub(start.max(opens));
            if let Some(slice) = self.slices.get_mut(place - self.first) {
                slice.spend(span.phase, time);
            }
        }
    }

    /// Slices up to this time.
    fn make_room(&mut self, time: Duration) {
        if self.surplus == Surplus::Join {
            while self.place(time) >= self.most {
                self.join();
            }
        }
        let needed = self.place(time) + 1;
        if needed <= self.first {
            return;
        }
        let first = needed.saturating_sub(self.most).max(self.first);
        self.slices
            .drain(..self.slices.len().min(first - self.first));
        self.first = first;
        if self.slices.len() < needed - first {
            self.slices.resize(needed - first, Slice::default());
        }
    }

    fn join(&mut self) {
        self.width *= 2;
        let old = std::mem::take(&mut self.slices);
        for (index, slice) in old.iter().enumerate() {
            match self.slices.back_mut() {
                Some(last) if index % 2 == 1 => *last = last.join(slice),
                _ => self.slices.push_back(*slice),
            }
        }
    }

    fn place(&self, time: Duration) -> usize {
        let place = time.as_nanos() / self.width.as_nanos().max(1);
        usize::try_from(place).unwrap_or(usize::MAX)
    }

    fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }
}

/// Quantiles, at most 2 % off, however many samples there are.
#[derive(Debug, Default)]
pub(crate) struct Quantiles {
    /// Those from each power of [`GROWTH`] to the next, in microseconds.
    ranges: Vec<Range>,
    total: u64,
    least: Duration,
    greatest: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Range {
    count: u64,
    sum: f64,
}

const GROWTH: f64 = 1.02;

impl Quantiles {
    pub(crate) fn add(&mut self, sample: Duration) {
        let micros = (sample.as_secs_f64() * 1e6).max(1.0);
        // A day is the 1272nd.
        let place = (micros.ln() / GROWTH.ln()) as usize;
        if self.ranges.len() <= place {
            self.ranges.resize(place + 1, Range::default());
        }
        if let Some(range) = self.ranges.get_mut(place) {
            range.count += 1;
            range.sum += micros;
        }
        self.least = if self.total == 0 {
            sample
        } else {
            self.least.min(sample)
        };
        self.greatest = self.greatest.max(sample);
        self.total += 1;
    }

    pub(crate) const fn count(&self) -> u64 {
        self.total
    }

    /// `None` without a sample.
    pub(crate) fn at(&self, share: f64) -> Option<Duration> {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let range = self.ranges.iter().find(|range| {
            seen += range.count;
            seen >= rank
        })?;
        let micros = range.sum / range.count as f64;
        Some(Duration::from_secs_f64(micros / 1e6).clamp(self.least, self.greatest))
    }

    /// Minimum, median, 95th percentile and maximum.
    pub(crate) fn four(&self) -> Option<[Duration; 4]> {
        Some([self.least, self.at(0.5)?, self.at(0.95)?, self.greatest])
    }
}

/// Without the query, which may hold a secret, and short.
pub(crate) fn short_name(url: &str) -> String {
    const LONGEST: usize = 80;
    let (bare, end) = match url.split_once('?') {
        Some((bare, _)) => (bare, "?\u{2026}"),
        None => (url, ""),
    };
    let mut name = shorten(bare, LONGEST);
    name.push_str(end);
    name
}

/// As one line without control characters, of so many characters at most.
pub(crate) fn shorten(text: &str, longest: usize) -> String {
    let mut short: String = text
        .chars()
        .map(|char| if is_hidden(char) { '\u{fffd}' } else { char })
        .take(longest)
        .collect();
    if text.chars().nth(longest).is_some() {
        short.pop();
        short.push('\u{2026}');
    }
    short
}

/// Control characters, those that change the direction of text, and what XML forbids.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// With the two units that matter: 0.34 ms, 20.0 s, 12 min 5 s, 24 h 0 min, 3 d 2 h.
pub(crate) fn lasted(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        ..120 => text::took(time),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// 100 is said of the whole only.
pub(crate) fn percent(part: Duration, whole: Duration) -> String {
    if part >= whole {
        return "100".to_owned();
    }
    let share = part.as_secs_f64() / whole.as_secs_f64();
    format!("{:.1}", (share * 1000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acted::{Act, SECOND, millis};

    fn lost(
        act: impl FnOnce(&mut Act<&mut dyn FnMut(&Sighting, &crate::watch::output::Now<'_>)>),
    ) -> Vec<Duration> {
        let started = Instant::now();
        let mut track = Track::new(started);
        let mut lost = Vec::new();
        let mut audience = |sighting: &Sighting, _: &crate::watch::output::Now<'_>| {
            lost.extend(track.note(sighting).lost.map(|sent| sent - started));
        };
        act(&mut Act::new(started, &mut audience));
        lost
    }

    #[test]
    fn a_ping_is_lost_when_nothing_came_before_the_connection_was_down() {
        let answered = lost(|act| _ = act.open().answered(SECOND).convicted(SECOND));
        assert!(answered.is_empty(), "{answered:?}");
        let message = lost(|act| _ = act.open().ping().message("news").convicted(SECOND));
        assert!(message.is_empty(), "{message:?}");
        // A close frame is an answer too.
        let closed = lost(|act| _ = act.open().ping().closed(SECOND));
        assert!(closed.is_empty(), "{closed:?}");
        let down = lost(|act| {
            act.open().answered(SECOND).ping();
            act.wait(SECOND).convicted(SECOND);
        });
        assert_eq!(down, [SECOND]);
    }

    #[test]
    fn a_phase_lasts_until_the_next() {
        let started = Instant::now();
        let mut track = Track::new(started);
        let mut left = Vec::new();
        let mut act = Act::new(
            started,
            |sighting: &Sighting, _: &crate::watch::output::Now<'_>| {
                left.extend(track.note(sighting).left);
            },
        );
        act.wait(SECOND)
            .open()
            .wait(2 * SECOND)
            .answered(SECOND)
            .closed(SECOND);
        act.wait(SECOND).dial(1).wait(SECOND).stopped();
        let spans: Vec<(Phase, Duration)> = left
            .iter()
            .map(|span| (span.phase, span.to - span.from))
            .collect();
        assert_eq!(
            spans,
            [
                (Phase::Connecting, SECOND),
                (Phase::Open, 3 * SECOND),
                (Phase::Waiting, SECOND),
                (Phase::Connecting, SECOND),
            ]
        );
    }

    #[test]
    fn slices_of_all_are_joined_and_lose_nothing() {
        let started = Instant::now();
        let mut slices = Slices::of_all(started, 50);
        for second in 0..10_000 {
            let at = started + SECOND * second;
            slices.change(at, |slice| {
                slice.answer(millis(u64::from(second % 100)));
                slice.lost += 1;
                slice.downs += 2;
            });
            slices.spend(Span {
                phase: Phase::Open,
                from: at,
                to: at + SECOND,
            });
            assert!(slices.iter().len() <= 50);
        }
        let all = slices
            .iter()
            .fold(Slice::default(), |all, (_, slice)| all.join(slice));
        assert_eq!((all.pongs, all.lost, all.downs), (10_000, 10_000, 20_000));
        assert_eq!(all.round_trip, Some((Duration::ZERO, millis(99))));
        assert_eq!(all.spent(Phase::Open), SECOND * 10_000);
        assert!(slices.iter().len() > 25);
    }

    #[test]
    fn late_slices_are_those_up_to_now() {
        let started = Instant::now();
        let mut slices = Slices::of_late(started, SECOND, 10);
        slices.change(started, |slice| slice.lost += 1);
        let week = SECOND * 7 * 86_400;
        slices.spend(Span {
            phase: Phase::Open,
            from: started,
            to: started + week,
        });
        let begins: Vec<Duration> = slices.iter().map(|(begins, _)| begins).collect();
        assert_eq!(begins.len(), 10);
        assert_eq!(begins.last(), Some(&week));
        assert!(slices.iter().all(|(_, slice)| slice.lost == 0));
        let spent: Duration = slices
            .iter()
            .map(|(_, slice)| slice.spent(Phase::Open))
            .sum();
        assert_eq!(spent, SECOND * 9);
        // What is too old is nowhere.
        slices.change(started, |slice| slice.lost += 1);
        assert!(slices.iter().all(|(_, slice)| slice.lost == 0));
    }

    #[test]
    fn quantiles_are_right_within_two_per_cent() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.four(), None);
        let mut samples: Vec<Duration> = (1..=10_000_u64)
            .map(|n| Duration::from_micros(n * n % 99_991 + 1))
            .collect();
        samples.iter().for_each(|sample| quantiles.add(*sample));
        samples.sort();
        let exact = |share: f64| samples.get((share * 1e4) as usize - 1).copied();
        for share in [0.01, 0.25, 0.5, 0.95, 0.99] {
            let (near, exact) = quantiles.at(share).zip(exact(share)).unwrap_or_default();
            let ratio = near.as_secs_f64() / exact.as_secs_f64();
            assert!(
                (0.98..=1.02).contains(&ratio),
                "{share}: {near:?} for {exact:?}"
            );
        }
        let four = quantiles.four().unwrap_or_default();
        assert_eq!(Some(&four[0]), samples.first());
        assert_eq!(Some(&four[3]), samples.last());
    }

    #[test]
    fn a_single_sample_is_every_quantile() {
        for sample in [Duration::ZERO, Duration::from_nanos(10), SECOND * 86_400] {
            let mut quantiles = Quantiles::default();
            quantiles.add(sample);
            assert_eq!(quantiles.four(), Some([sample; 4]));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        assert_eq!(
            shorten("a\u{1b}[31mb\r\n\u{7}\u{9b}\u{202e}c\u{feff}", 99),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}c\u{fffd}"
        );
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde\u{2026}");
        assert_eq!(
            short_name("ws://host/path?token=secret"),
            "ws://host/path?\u{2026}"
        );
    }

    #[test]
    fn only_the_whole_is_100_per_cent() {
        assert_eq!(percent(SECOND, SECOND), "100");
        assert_eq!(percent(SECOND * 99_999, SECOND * 100_000), "99.9");
        assert_eq!(percent(Duration::ZERO, SECOND), "0.0");
        assert_eq!(percent(Duration::ZERO, Duration::ZERO), "100");
    }

    #[test]
    fn long_times_have_two_units() {
        assert_eq!(lasted(millis(1500)), "1.50 s");
        assert_eq!(lasted(SECOND * 725), "12 min 5 s");
        assert_eq!(lasted(SECOND * 86_460), "24 h 1 min");
        assert_eq!(lasted(SECOND * 266_400), "3 d 2 h");
    }
}
