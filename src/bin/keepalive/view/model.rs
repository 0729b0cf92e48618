//! What the view shows, without a terminal.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use keepalive::Config;

use crate::track::{Phase, Quantiles, Slices, Track, short_name, shorten};
use crate::watch::output::{Head, Now, Standing};
use crate::watch::seen::{Seen, Sighting, Tone};

/// What is kept for the plot, more than a terminal has columns, and for the log.
const SLICES: usize = 600;
const ENTRIES: usize = 300;

/// A column of the plot takes at least this.
const THINNEST: Duration = Duration::from_millis(100);

/// The characters of a line in the log.
const LONGEST: usize = 400;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) started: Instant,
    pub(super) standing: Standing,
    /// Somebody has pressed a key to end the watch.
    pub(super) is_closing: bool,
    pub(super) counts: Counts,
    pub(super) latest: Option<(Duration, Instant)>,
    pub(super) round_trips: Quantiles,
    /// Why there is no connection, or was none the last time.
    pub(super) cause: Option<String>,
    config: Config,
    track: Track,
    open: Duration,
    slices: Slices,
    log: VecDeque<Entry>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) pings: u64,
    pub(super) pongs: u64,
    pub(super) lost: u64,
    pub(super) messages: u64,
    pub(super) downs: u64,
    pub(super) failed_dials: u64,
}

/// A line of the log.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) time: String,
    pub(super) tone: Tone,
    pub(super) text: String,
    /// How many of its kind it stands for.
    pub(super) times: u64,
    kind: Kind,
}

/// Pongs and messages go into one line each, so that they drive nothing else out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pong,
    Message,
    Other,
}

impl Model {
    pub(super) fn new(head: &Head<'_>) -> Self {
        let width = head.config.ping_interval().max(THINNEST);
        Self {
            name: short_name(head.name),
            started: head.started,
            standing: Standing::new(head.started),
            is_closing: false,
            counts: Counts::default(),
            latest: None,
            round_trips: Quantiles::default(),
            cause: None,
            config: *head.config,
            track: Track::new(head.started),
            open: Duration::ZERO,
            slices: Slices::of_late(head.started, width, SLICES),
            log: VecDeque::new(),
        }
    }

    /// With the time on the wall's clock, for the log.
    pub(super) fn note(&mut self, sighting: &Sighting, now: &Now<'_>, time: &str) {
        self.standing = *now.standing;
        self.count(now);
        let at = sighting.at;
        let step = self.track.note(sighting);
        if let Some(span) = step.left {
            self.slices.spend(span);
            if span.phase == Phase::Open {
                self.open += span.to.saturating_duration_since(span.from);
            }
        }
        if let Some(sent) = step.lost {
            self.slices
                .change(sent, |slice| slice.lost = slice.lost.saturating_add(1));
        }
        match &sighting.seen {
            Seen::Pong { round_trip, .. } => {
                self.latest = Some((*round_trip, at));
                self.round_trips.add(*round_trip);
                self.slices.change(at, |slice| slice.answer(*round_trip));
            }
            Seen::Down(down) if !down.is_dial => {
                self.slices
                    .change(at, |slice| slice.downs = slice.downs.saturating_add(1));
            }
            _ => {}
        }
        self.write_down(&sighting.seen, time);
    }

    fn count(&mut self, now: &Now<'_>) {
        self.counts = Counts {
            pings: now.tally.pings,
            pongs: now.tally.pongs,
            messages: now.tally.messages,
            downs: now.tally.downs,
            failed_dials: now.tally.failed_dials,
            lost: now.tally.lost,
        };
    }

    fn write_down(&mut self, seen: &Seen, time: &str) {
        let kind = match seen {
            Seen::Pong { .. } => Kind::Pong,
            Seen::Message(_) => Kind::Message,
            _ => Kind::Other,
        };
        for (tone, line) in seen.lines(&self.config) {
            let text = shorten(&line, LONGEST);
            if matches!(seen, Seen::Down(_) | Seen::Stopped(_)) && tone != Tone::Hint {
                self.cause = Some(text.clone());
            }
            let entry = Entry {
                time: time.to_owned(),
                tone,
                text,
                times: 1 + self.take_before(kind),
                kind,
            };
            if self.log.len() == ENTRIES {
                self.log.pop_front();
            }
            self.log.push_back(entry);
        }
    }

    /// How many are in the line of this kind, which goes, if nothing else followed.
    fn take_before(&mut self, kind: Kind) -> u64 {
        let mut latest = self.log.iter().rev();
        let mut latest = latest
            .by_ref()
            .take_while(|entry| entry.kind != Kind::Other);
        let Some(back) = latest.position(|entry| entry.kind == kind) else {
            return 0;
        };
        let entry = self.log.remove(self.log.len() - 1 - back);
        entry.map_or(0, |entry| entry.times)
    }

    /// The last lines, from the oldest of them.
    pub(super) fn tail(&self, lines: usize) -> impl Iterator<Item = &Entry> {
        self.log.iter().skip(self.log.len().saturating_sub(lines))
    }

    /// How long there was a connection.
    pub(super) fn open_for(&self, now: Instant) -> Duration {
        let span = self.track.span(now);
        let lasts = span.to.saturating_duration_since(span.from);
        let is_open = span.phase == Phase::Open;
        self.open + if is_open { lasts } else { Duration::ZERO }
    }

    /// Up to now.
    pub(super) fn slices(&self, now: Instant) -> Slices {
        let mut slices = self.slices.clone();
        slices.spend(self.track.span(now));
        slices
    }
}
