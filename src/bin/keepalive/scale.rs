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
    match plain(value) {
        zero if zero == "0" => zero,
        number => format!("{number} {unit}"),
    }
}

/// Without the noise of binary fractions.
fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
            let (unit, name) = match step {
                ..60.0 => (1.0, "s"),
                ..3600.0 => (60.0, "min"),
                ..DAY => (3600.0, "h"),
                _ => (DAY, "d"),
            };
            let label = format!("{} {name}", plain(seconds / unit));
            (Duration::from_secs_f64(seconds), label)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(least: f64, greatest: f64) -> Vec<String> {
        let duration = |millis: f64| Duration::from_secs_f64(millis / 1000.0);
        let ticks = Scale::over(duration(least), duration(greatest)).ticks();
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn numbers_on_an_axis_are_round() {
        assert_eq!(
            labels(0.2, 0.31),
            ["0", "0.1 ms", "0.2 ms", "0.3 ms", "0.4 ms"]
        );
        assert_eq!(labels(30.0, 1200.0), ["0", "500 ms", "1 s", "1.5 s"]);
        assert_eq!(labels(0.4, 51.0), ["0.1 ms", "1 ms", "10 ms", "100 ms"]);
        assert_eq!(
            labels(0.0, 0.0).last().map(String::as_str),
            Some("0.001 ms")
        );
    }

    #[test]
    fn an_axis_holds_what_it_is_for() {
        for least in [0, 1, 30, 999, 1_000, 123_456] {
            for ratio in [1, 2, 3, 7, 99, 100, 101, 5_000, 1_000_000] {
                let least = Duration::from_micros(least);
                let greatest = least * ratio;
                let scale = Scale::over(least, greatest);
                let ticks = scale.ticks();
                assert!((2..=14).contains(&ticks.len()), "{ticks:?}");
                assert!(scale.share(least) <= scale.share(greatest));
                let shares = ticks.iter().map(|(share, _)| *share);
                assert!(shares.clone().is_sorted_by(|a, b| a < b), "{ticks:?}");
                assert!(shares.clone().all(|share| (0.0..=1.0).contains(&share)));
                let top = ticks.last().map(|(share, _)| *share);
                assert!(top.is_some_and(|top| top > 0.999));
                assert!(
                    scale.share(greatest) > 0.4 || greatest.is_zero(),
                    "{scale:?} {greatest:?}"
                );
            }
        }
    }

    #[test]
    fn there_is_room_for_the_ticks_of_any_time() {
        let mut total = Duration::from_millis(1);
        while total < Duration::from_secs(400 * 86_400) {
            let ticks = time_ticks(total);
            assert!((2..=11).contains(&ticks.len()), "{total:?}: {ticks:?}");
            assert!(ticks.iter().all(|(at, _)| *at <= total));
            total = total * 13 / 10;
        }
        let labels = |seconds| -> Vec<String> {
            let ticks = time_ticks(Duration::from_secs(seconds));
            ticks.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(
            labels(4),
            [
                "0 s", "0.5 s", "1 s", "1.5 s", "2 s", "2.5 s", "3 s", "3.5 s", "4 s"
            ]
        );
        assert_eq!(
            labels(45),
            [
                "0 s", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s", "35 s", "40 s", "45 s"
            ]
        );
        assert_eq!(labels(3700).last().map(String::as_str), Some("60 min"));
        assert_eq!(labels(86_400).last().map(String::as_str), Some("24 h"));
    }
}
