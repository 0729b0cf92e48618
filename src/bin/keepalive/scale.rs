//! Axes with round numbers on them.

use std::time::Duration;

/// An axis for durations: from nothing, or logarithmic where they differ too much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// In milliseconds, as everything here.
    Linear {
        top: f64,
        step: f64,
    },
    Log {
        bottom: f64,
        top: f64,
    },
}

/// Beyond this ratio of greatest to least the axis is logarithmic.
const WIDE: f64 = 100.0;

/// What is less is not distinguished.
const LEAST: f64 = 0.001;

impl Scale {
    pub(crate) fn over(least: Duration, greatest: Duration) -> Self {
        let least = millis(least).max(LEAST);
        let greatest = millis(greatest).max(least);
        if greatest > WIDE * least {
            let bottom = 10_f64.powf(least.log10().floor());
            let top = 10_f64.powf(greatest.log10().ceil());
            Self::Log { bottom, top }
        } else {
            let step = round_step(greatest / 4.0);
            let top = step * (greatest / step).ceil();
            Self::Linear { top, step }
        }
    }

    /// How high it is, from 0 to 1.
    pub(crate) fn share(&self, duration: Duration) -> f64 {
        self.share_of(millis(duration))
    }

    fn share_of(&self, value: f64) -> f64 {
        let share = match *self {
            Self::Linear { top, .. } => value / top,
            Self::Log { bottom, top } => (value.max(LEAST) / bottom).ln() / (top / bottom).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// How high, and what it says there, from the bottom.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = match *self {
            Self::Linear { top, step } => {
                let count = (top / step).round() as u32;
                (0..=count).map(|tick| f64::from(tick) * step).collect()
            }
            Self::Log { bottom, top } => {
                let decades = (top / bottom).log10().round() as i32;
                (0..=decades)
                    .map(|decade| bottom * 10_f64.powi(decade))
                    .collect()
            }
        };
        let label = |value| (self.share_of(value), label(value));
        values.into_iter().map(label).collect()
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// 1, 2 or 5 times a power of ten, no less than this.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let times = [1.0, 2.0, 5.0];
    // As 0.3 / 0.1 is a little more than 3.
    let fits = |times: &&f64| **times * power >= step * 0.999;
    times.iter().find(fits).unwrap_or(&10.0) * power
}

fn label(millis: f64) -> String {
    let (value, unit) = if millis >= 1000.0 {
        (millis / 1000.0, "s")
    } else {
        (millis, "ms")
    };
    // Four digits at most, without the noise of binary fractions.
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "0" {
        return text.to_owned();
    }
    format!("{text} {unit}")
}

/// Where on an axis of time the ticks are, ten at most, and what they say.
pub(crate) fn time_ticks(total: Duration) -> Vec<(Duration, String)> {
    const MOST: u32 = 10;
    const STEPS: [f64; 26] = [
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0,
        60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0,
    ];
    const DAY: f64 = 86400.0;
    let seconds = total.as_secs_f64();
    let fits = |step: &&f64| seconds / **step <= f64::from(MOST);
    let step = STEPS.iter().find(fits).copied().unwrap_or_else(|| {
        (1..=i32::MAX)
            .map(|days| f64::from(days) * DAY)
            .find(|step| fits(&step))
            .unwrap_or(DAY)
    });
    let count = (seconds / step) as u32;
    (0..=count)
        .map(|tick| {
            let seconds = f64::from(tick) * step;
            let label = if step < 1.0 {
                let places = (-step.log10()).ceil() as usize;
                format!("{seconds:.places$} s")
            } else if step < 60.0 {
                format!("{seconds} s")
            } else if step < 3600.0 {
                format!("{} min", seconds / 60.0)
            } else if step < DAY {
                format!("{} h", seconds / 3600.0)
            } else {
                format!("{} d", seconds / DAY)
            };
            (Duration::from_secs_f64(seconds), label)
        })
        .collect()
}
