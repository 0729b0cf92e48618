//! What is drawn in the end. It is bounded, however long the watch lasts and however
//! fast the pings are: slices of time, which grow, and the first and the last outages.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, ZonedDateTime};
use keepalive::Config;

use super::picture::Picture;
use crate::track::{Phase, Quantiles, Slices, Track, short_name, shorten};
use crate::watch::seen::{Seen, Sighting, Tone};

/// There are at least half as many, once the watch is long enough: one a pixel or so.
const SLICES: usize = 1600;

/// How many outages are listed, from the first and from the last.
const FIRST: usize = 20;
const LAST: usize = 20;

/// The characters of a cause.
const LONGEST: usize = 90;

pub(super) struct Record {
    pub(super) name: String,
    pub(super) started: Instant,
    wall: ZonedDateTime,
    config: Config,
    pub(super) slices: Slices,
    pub(super) track: Track,
    pub(super) round_trips: Quantiles,
    /// How long there was a connection, up to the last loss.
    open: Duration,
    pub(super) pings: u64,
    pub(super) failed_dials: u64,
    pub(super) downs: u64,
    first: Vec<Outage>,
    last: VecDeque<Outage>,
    outages: u64,
}

/// From the loss of a connection to the next one.
pub(super) struct Outage {
    pub(super) number: u64,
    pub(super) at: Instant,
    /// `None` where there was no connection yet.
    pub(super) cause: Option<String>,
    pub(super) failed_dials: u64,
    pub(super) dial: Option<String>,
    pub(super) healed: Option<Instant>,
}

impl Record {
    pub(super) fn new(name: &str, config: Config, started: Instant) -> Self {
        Self {
            name: short_name(name),
            started,
            wall: ZonedDateTime::now(),
            config,
            slices: Slices::of_all(started, SLICES),
            track: Track::new(started),
            round_trips: Quantiles::default(),
            open: Duration::ZERO,
            pings: 0,
            failed_dials: 0,
            downs: 0,
            first: Vec::new(),
            last: VecDeque::new(),
            outages: 0,
        }
    }

    pub(super) fn note(&mut self, sighting: &Sighting) {
        let at = sighting.at;
        let step = self.track.note(sighting);
        if let Some(span) = step.left {
            if span.phase == Phase::Open {
                self.open += span.to.saturating_duration_since(span.from);
            }
            self.slices.spend(span);
        }
        if let Some(sent) = step.lost {
            self.slices
                .change(sent, |slice| slice.lost = slice.lost.saturating_add(1));
        }
        match &sighting.seen {
            Seen::Ping { .. } => self.pings += 1,
            Seen::Pong { round_trip, .. } => {
                self.round_trips.add(*round_trip);
                self.slices.change(at, |slice| slice.answer(*round_trip));
            }
            Seen::Opened => {
                if let Some(outage) = self.outage().filter(|outage| outage.healed.is_none()) {
                    outage.healed = Some(at);
                }
            }
            Seen::Down(down) => {
                let lines = sighting.seen.lines(&self.config);
                let cause = lines.into_iter().find(|(tone, _)| *tone == Tone::Bad);
                let cause = cause.map(|(_, line)| shorten(&line, LONGEST));
                if down.is_dial {
                    self.failed_dials += 1;
                    self.note_dial(at, cause);
                } else {
                    self.downs += 1;
                    self.slices
                        .change(at, |slice| slice.downs = slice.downs.saturating_add(1));
                    self.note_outage(at, cause);
                }
            }
            Seen::Connecting { .. } | Seen::Message(_) | Seen::Moved(_) | Seen::Stopped(_) => {}
        }
    }

    /// Of a watch that lasted so long.
    pub(super) fn svg(&self, lasted: Duration) -> Result<String, fmt::Error> {
        Picture::new(self, self.started + lasted).svg()
    }

    fn note_dial(&mut self, at: Instant, cause: Option<String>) {
        if self.outage().is_none_or(|outage| outage.healed.is_some()) {
            self.note_outage(at, None);
        }
        if let Some(outage) = self.outage() {
            outage.failed_dials += 1;
            outage.dial = cause;
        }
    }

    fn note_outage(&mut self, at: Instant, cause: Option<String>) {
        self.outages += 1;
        let outage = Outage {
            number: self.outages,
            at,
            cause,
            failed_dials: 0,
            dial: None,
            healed: None,
        };
        if self.first.len() < FIRST {
            self.first.push(outage);
            return;
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(outage);
    }

    /// The last one.
    fn outage(&mut self) -> Option<&mut Outage> {
        self.last.back_mut().or(self.first.last_mut())
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = &Outage> {
        self.first.iter().chain(&self.last)
    }

    pub(super) fn open_for(&self, ends: Instant) -> Duration {
        let span = self.track.span(ends);
        let lasts = span.to.saturating_duration_since(span.from);
        let is_open = span.phase == Phase::Open;
        self.open + if is_open { lasts } else { Duration::ZERO }
    }

    pub(super) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }

    /// By the clock on the wall, as it was when the watch began.
    pub(super) fn clock(&self, at: Instant, format: &str) -> String {
        let passed = SignedDuration::try_from(self.since_start(at)).unwrap_or_default();
        let wall = self.wall.checked_add(passed);
        wall.unwrap_or_else(|_| self.wall.clone())
            .strftime(format)
            .to_string()
    }
}
