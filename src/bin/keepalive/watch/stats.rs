//! Numbers for the summary.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::seen::{Down, Seen, Sighting, is_verdict};
use super::text;

/// What a watch has come to so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) pings: u64,
    pub(crate) pongs: u64,
    /// Pings that nothing came after before their connection was lost.
    pub(crate) lost: u64,
    pub(crate) messages: u64,
    /// Connections that opened.
    pub(crate) opened: u64,
    /// Connections that were lost.
    pub(crate) downs: u64,
    pub(crate) failed_dials: u64,
    pub(crate) round_trip: Spread,
    /// The longest that a ping waited, so far without an answer.
    pub(crate) unanswered: Duration,
    /// From the last sign of life to the heartbeat's verdict.
    pub(crate) to_detect: Spread,
    /// From the loss of a connection to the next one.
    pub(crate) to_recover: Spread,
    /// Since when a ping is out that nothing came after.
    awaited: Option<Instant>,
    down: Option<Instant>,
}

impl Tally {
    pub(crate) fn note(&mut self, sighting: &Sighting) {
        match &sighting.seen {
            Seen::Ping { .. } => {
                self.pings += 1;
                self.awaited.get_or_insert(sighting.at);
            }
            Seen::Pong { round_trip, .. } => {
                self.pongs += 1;
                self.awaited = None;
                self.round_trip.add(*round_trip);
            }
            Seen::Message(_) => {
                self.messages += 1;
                self.awaited = None;
            }
            Seen::Opened => {
                self.opened += 1;
                if let Some(down) = self.down.take() {
                    self.to_recover.add(sighting.at - down);
                }
            }
            Seen::Down(down) if down.is_dial => self.failed_dials += 1,
            Seen::Down(down) => self.note_down(down, sighting.at),
            Seen::Connecting { .. } | Seen::Moved(_) | Seen::Stopped(_) => {}
        }
    }

    /// Nothing came until `now` but what was noted.
    pub(crate) fn wait(&mut self, now: Instant) {
        if let Some(awaited) = self.awaited {
            let lasts = now.saturating_duration_since(awaited);
            self.unanswered = self.unanswered.max(lasts);
        }
    }

    fn note_down(&mut self, down: &Down, at: Instant) {
        self.downs += 1;
        self.down = Some(at);
        if !down.is_answer() {
            self.wait(at);
            self.lost += u64::from(self.awaited.is_some());
        }
        self.awaited = None;
        if is_verdict(&down.cause) {
            self.to_detect.add(at - down.alive);
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.counts();
        lines.extend(self.to_detect.line("time to detect", text::seconds, " s"));
        lines.extend(self.to_recover.line("time to recover", text::seconds, " s"));
        lines
    }

    /// The same without the times that a connection was lost.
    pub(crate) fn counts(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{}, {}, {} lost, {}, {}, {}",
            text::count(self.pings, "ping"),
            text::count(self.pongs, "pong"),
            self.lost,
            text::count(self.messages, "message"),
            text::count(self.downs, "down"),
            text::count(self.failed_dials, "failed dial"),
        )];
        lines.extend(self.round_trip.line("round trip", text::millis, " ms"));
        lines
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "pings": self.pings,
            "pongs": self.pongs,
            "lost": self.lost,
            "messages": self.messages,
            "connections": self.opened,
            "downs": self.downs,
            "failed_dials": self.failed_dials,
            "round_trip_s": self.round_trip.json(),
            "time_to_detect_s": self.to_detect.json(),
            "time_to_recover_s": self.to_recover.json(),
        })
    }
}

/// Minimum, mean, maximum and mean deviation, as `ping` prints them, in one pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    count: u32,
    least: Duration,
    greatest: Duration,
    /// In seconds.
    mean: f64,
    /// The sum of the squared distances from the mean (Welford).
    squares: f64,
}

impl Spread {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.least = if self.count == 0 {
            sample
        } else {
            self.least.min(sample)
        };
        self.greatest = self.greatest.max(sample);
        self.count = self.count.saturating_add(1);
        let distance = sample.as_secs_f64() - self.mean;
        self.mean += distance / f64::from(self.count);
        self.squares += distance * (sample.as_secs_f64() - self.mean);
    }

    /// Minimum, mean, maximum, and the deviation from the mean: the root of the
    /// mean square, which `ping` calls mdev. `None` without a sample.
    pub(crate) fn values(&self) -> Option<[Duration; 4]> {
        if self.count == 0 {
            return None;
        }
        let deviation = (self.squares / f64::from(self.count)).max(0.0).sqrt();
        let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let (mean, deviation) = (duration(self.mean), duration(deviation));
        Some([self.least, mean, self.greatest, deviation])
    }

    /// Zero without a sample.
    pub(crate) const fn greatest(&self) -> Duration {
        self.greatest
    }

    fn line(&self, name: &str, show: fn(Duration) -> String, unit: &str) -> Option<String> {
        let values = self.values()?.map(show).join("/");
        Some(format!("{name} min/avg/max/mdev = {values}{unit}"))
    }

    fn json(&self) -> Value {
        self.values()
            .map_or(Value::Null, |[least, mean, greatest, deviation]| {
                json!({
                    "min": least.as_secs_f64(),
                    "avg": mean.as_secs_f64(),
                    "max": greatest.as_secs_f64(),
                    "mdev": deviation.as_secs_f64(),
                })
            })
    }
}
