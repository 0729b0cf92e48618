//! Settings, as text and from the builder: nothing panics, what is accepted is
//! within the bounds and comes back from its own text, and what is refused says
//! which setting, which value and which bound.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use keepalive::{Config, ConfigBuilder, ConfigError};
use keepalive_fuzz::{DAY, MILLISECOND};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Text(&'a [u8]),
    Settings(Vec<Setting>),
}

/// One call of the builder, in the order of its methods; later ones replace
/// earlier ones.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Setting {
    PingInterval(Length),
    SendInterval(Option<Length>),
    AlwaysPing(bool),
    Jitter(f64),
    RandomPhase(bool),
    PongTimeout(Length),
    MaxMissed(u32),
    AdaptiveTimeout(Option<Length>),
    StrictPongs(bool),
    ConfirmWithin(Option<Length>),
    LateTolerance(Length),
    ListenOnly(bool),
    IdleTimeout(Length),
    MessageTimeout(Option<Length>),
    HealthyWithin(Option<Length>),
    ConnectTimeout(Length),
    CloseTimeout(Length),
    Reconnect(bool),
    FirstSpread(Length),
    BackoffFloor(Length),
    BackoffBase(Length),
    BackoffCap(Length),
    BackoffFactor(f64),
    StableAfter(Length),
    MaxAttempts(Option<u32>),
    MaxElapsed(Option<Length>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Length {
    Nanos(u32),
    Millis(u16),
    Seconds(u16),
    Any(Duration),
}

fuzz_target!(|input: Input| match input {
    Input::Text(text) => {
        if let Ok(config) = serde_json::from_slice(text) {
            is_sound(config);
        }
    }
    Input::Settings(settings) => {
        let (builder, text) = both(&settings);
        let built = builder.build();
        match &built {
            Ok(config) => is_sound(*config),
            Err(error) => names_what_is_wrong(*error),
        }
        // JSON has no word for what is not finite.
        let is_number = |name| !text.get(name).is_some_and(Value::is_null);
        if is_number("jitter") && is_number("backoff_factor") {
            same_verdict(built, text);
        }
    }
});

fn is_sound(config: Config) {
    let durations = [
        Some(config.ping_interval()),
        config.send_interval(),
        Some(config.pong_timeout()),
        config.adaptive_timeout(),
        config.confirm_within(),
        Some(config.late_tolerance()),
        Some(config.idle_timeout()),
        config.message_timeout(),
        config.healthy_within(),
        Some(config.connect_timeout()),
        Some(config.close_timeout()),
        Some(config.first_spread()),
        Some(config.backoff_floor()),
        Some(config.backoff_base()),
        Some(config.backoff_cap()),
        Some(config.stable_after()),
        config.max_elapsed(),
    ];
    for duration in durations.into_iter().flatten() {
        assert!((MILLISECOND..=DAY).contains(&duration), "{duration:?}");
    }
    assert!((0.0..=0.5).contains(&config.jitter()));
    assert!((1.0..=100.0).contains(&config.backoff_factor()));
    assert!((1..=100).contains(&config.max_missed()));
    assert_ne!(config.max_attempts(), Some(0));
    assert!(config.backoff_floor() <= config.backoff_base());
    assert!(config.backoff_base() <= config.backoff_cap());
    let adaptive = config.adaptive_timeout();
    assert!(adaptive.is_none_or(|greatest| greatest >= config.pong_timeout()));

    let pings = config.always_ping() || config.strict_pongs() || config.confirm_within().is_some();
    assert!(!(config.listen_only() && pings));

    assert_eq!(config.to_builder().build(), Ok(config));
    let text = serde_json::to_string(&config).unwrap();
    let read: Config = serde_json::from_str(&text).unwrap();
    assert_eq!(read, config, "{text}");
}

fn names_what_is_wrong(error: ConfigError) {
    let text = error.to_string();
    assert!(text.starts_with(error.field()), "{text}");
    let (value, bound) = match error {
        ConfigError::Duration {
            value,
            least,
            greatest,
            ..
        } => {
            assert!(value < least || value > greatest);
            (
                format!("{value:?}"),
                format!("from {least:?} to {greatest:?}"),
            )
        }
        ConfigError::Order {
            value,
            least,
            other,
            ..
        } => {
            assert!(value < least);
            (
                format!("{value:?}"),
                format!("at least {other}, which is {least:?}"),
            )
        }
        ConfigError::Ratio {
            value,
            least,
            greatest,
            ..
        } => {
            assert!(!(least..=greatest).contains(&value));
            (value.to_string(), format!("from {least} to {greatest}"))
        }
        ConfigError::Count {
            value,
            least,
            greatest,
            ..
        } => {
            assert!(!(least..=greatest).contains(&value));
            (value.to_string(), format!("from {least} to {greatest}"))
        }
        ConfigError::Conflict { field, other } => {
            assert!(["always_ping", "strict_pongs", "confirm_within"].contains(&field));
            assert_eq!(text, format!("{field} contradicts {other}"));
            assert_eq!(other, "listen_only");
            return;
        }
        _ => panic!("{text}: a new kind of error"),
    };
    let expected = format!("{} is {value}, but must be {bound}", error.field());
    assert_eq!(text, expected);
}

fn same_verdict(built: Result<Config, ConfigError>, text: Map<String, Value>) {
    let text = Value::Object(text).to_string();
    match (built, serde_json::from_str::<Config>(&text)) {
        (Ok(built), Ok(read)) => assert_eq!(read, built, "{text}"),
        (Err(expected), Err(error)) => {
            let (expected, error) = (expected.to_string(), error.to_string());
            assert!(
                error.contains(&expected),
                "{error}, and not {expected}: {text}"
            );
        }
        (built, read) => panic!("{text}: {built:?} from the builder, {read:?} as text"),
    }
}

/// The builder's calls, and the same as text.
fn both(settings: &[Setting]) -> (ConfigBuilder, Map<String, Value>) {
    let (mut builder, mut text) = (Config::builder(), Map::new());
    macro_rules! set {
        ($name:ident, $value:expr, $text:expr) => {{
            builder = builder.$name($value);
            text.insert(stringify!($name).to_owned(), json!($text));
        }};
        ($name:ident, length $length:expr) => {
            set!($name, $length.duration(), $length.text())
        };
        ($name:ident, lengths $length:expr) => {
            set!(
                $name,
                $length.map(Length::duration),
                $length.map(Length::text)
            )
        };
        ($name:ident, $value:expr) => {
            set!($name, $value, $value)
        };
    }
    for &setting in settings {
        match setting {
            Setting::PingInterval(length) => set!(ping_interval, length length),
            Setting::SendInterval(length) => set!(send_interval, lengths length),
            Setting::AlwaysPing(is) => set!(always_ping, is),
            Setting::Jitter(share) => set!(jitter, share),
            Setting::RandomPhase(is) => set!(random_phase, is),
            Setting::PongTimeout(length) => set!(pong_timeout, length length),
            Setting::MaxMissed(count) => set!(max_missed, count),
            Setting::AdaptiveTimeout(length) => set!(adaptive_timeout, lengths length),
            Setting::StrictPongs(is) => set!(strict_pongs, is),
            Setting::ConfirmWithin(length) => set!(confirm_within, lengths length),
            Setting::LateTolerance(length) => set!(late_tolerance, length length),
            Setting::ListenOnly(is) => set!(listen_only, is),
            Setting::IdleTimeout(length) => set!(idle_timeout, length length),
            Setting::MessageTimeout(length) => set!(message_timeout, lengths length),
            Setting::HealthyWithin(length) => set!(healthy_within, lengths length),
            Setting::ConnectTimeout(length) => set!(connect_timeout, length length),
            Setting::CloseTimeout(length) => set!(close_timeout, length length),
            Setting::Reconnect(is) => set!(reconnect, is),
            Setting::FirstSpread(length) => set!(first_spread, length length),
            Setting::BackoffFloor(length) => set!(backoff_floor, length length),
            Setting::BackoffBase(length) => set!(backoff_base, length length),
            Setting::BackoffCap(length) => set!(backoff_cap, length length),
            Setting::BackoffFactor(factor) => set!(backoff_factor, factor),
            Setting::StableAfter(length) => set!(stable_after, length length),
            Setting::MaxAttempts(count) => set!(max_attempts, count),
            Setting::MaxElapsed(length) => set!(max_elapsed, lengths length),
        }
    }
    (builder, text)
}

impl Length {
    fn duration(self) -> Duration {
        match self {
            Self::Nanos(count) => Duration::from_nanos(count.into()),
            Self::Millis(count) => Duration::from_millis(count.into()),
            Self::Seconds(count) => Duration::from_secs(count.into()),
            Self::Any(duration) => duration,
        }
    }

    fn text(self) -> String {
        let duration = self.duration();
        format!("{}s {}ns", duration.as_secs(), duration.subsec_nanos())
    }
}
