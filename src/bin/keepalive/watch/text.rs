//! How numbers are written.

use std::error::Error;
use std::time::Duration;

/// In milliseconds, without the unit: 0.21, 12.5, 340.
pub(crate) fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    let places = match millis {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{millis:.places$}")
}

/// In seconds, without the unit: 0.34, 1.20, 12.5.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let places = if seconds < 10.0 { 2 } else { 1 };
    format!("{seconds:.places$}")
}

/// With the unit: 0.34 ms, 2.27 s.
pub(crate) fn took(duration: Duration) -> String {
    if duration < Duration::from_millis(100) {
        format!("{} ms", millis(duration))
    } else {
        format!("{} s", seconds(duration))
    }
}

/// A setting, as short as it can be: 10 s, 0.5 s, 20 ms.
pub(crate) fn setting(duration: Duration) -> String {
    if duration < Duration::from_millis(100) {
        format!("{} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{} s", duration.as_secs_f64())
    }
}

/// In whole seconds, without the unit, and never less than it is.
pub(crate) fn whole(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// 1 ping, 2 pings.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Without the system's number: "(os error 111)".
pub(crate) fn bare(error: &dyn Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
