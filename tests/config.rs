//! Settings: what is in bounds is taken, what is not is named, and as text they have
//! human durations and the same bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use core::time::Duration;

use keepalive::{
    Config, ConfigBuilder, ConfigError, Loss, Retry, default_policy, stop_when_refused,
};

const NANOSECOND: Duration = Duration::from_nanos(1);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Sets one setting.
type Setter = fn(ConfigBuilder, Duration) -> ConfigBuilder;

/// Every duration, and how it is set.
const DURATIONS: [(&str, Setter); 17] = [
    ("ping_interval", ConfigBuilder::ping_interval),
    ("send_interval", |builder, value| {
        builder.send_interval(Some(value))
    }),
    ("pong_timeout", ConfigBuilder::pong_timeout),
    ("adaptive_timeout", |builder, value| {
        builder.adaptive_timeout(Some(value))
    }),
    ("confirm_within", |builder, value| {
        builder.confirm_within(Some(value))
    }),
    ("late_tolerance", ConfigBuilder::late_tolerance),
    ("idle_timeout", ConfigBuilder::idle_timeout),
    ("message_timeout", |builder, value| {
        builder.message_timeout(Some(value))
    }),
    ("healthy_within", |builder, value| {
        builder.healthy_within(Some(value))
    }),
    ("connect_timeout", ConfigBuilder::connect_timeout),
    ("close_timeout", ConfigBuilder::close_timeout),
    ("first_spread", ConfigBuilder::first_spread),
    ("backoff_floor", ConfigBuilder::backoff_floor),
    ("backoff_base", ConfigBuilder::backoff_base),
    ("backoff_cap", ConfigBuilder::backoff_cap),
    ("stable_after", ConfigBuilder::stable_after),
    ("max_elapsed", |builder, value| {
        builder.max_elapsed(Some(value))
    }),
];

/// With this value everywhere, so that no setting contradicts another.
fn all(value: Duration) -> ConfigBuilder {
    DURATIONS
        .iter()
        .fold(Config::builder(), |builder, (_, set)| set(builder, value))
}

#[test]
fn the_bounds_themselves_are_taken() {
    for value in [SHORTEST, LONGEST] {
        all(value).build().unwrap();
    }
    for jitter in [0.0, 0.5] {
        let config = Config::builder().jitter(jitter).build().unwrap();
        assert_eq!(config.jitter(), jitter);
    }
    for factor in [1.0, 100.0] {
        let config = Config::builder().backoff_factor(factor).build().unwrap();
        assert_eq!(config.backoff_factor(), factor);
    }
    for missed in [1, 100] {
        let config = Config::builder().max_missed(missed).build().unwrap();
        assert_eq!(config.max_missed(), missed);
    }
    for attempts in [None, Some(1), Some(u32::MAX)] {
        let config = Config::builder().max_attempts(attempts).build().unwrap();
        assert_eq!(config.max_attempts(), attempts);
    }
}

#[test]
fn a_duration_out_of_bounds_is_named_with_its_value_and_the_bounds() {
    for (name, set) in DURATIONS {
        let wrong = [
            Duration::ZERO,
            SHORTEST - NANOSECOND,
            LONGEST + NANOSECOND,
            Duration::MAX,
        ];
        for wrong in wrong {
            // The others may neither be in the way nor be named.
            let error = set(all(SHORTEST), wrong).build().unwrap_err();
            let expected = ConfigError::Duration {
                field: name,
                value: wrong,
                least: SHORTEST,
                greatest: LONGEST,
            };
            assert_eq!(error, expected);
            assert_eq!(error.field(), name);
            let text = format!("{name} is {wrong:?}, but must be from 1ms to 86400s");
            assert_eq!(error.to_string(), text);
        }
    }
}

#[test]
fn a_ratio_out_of_bounds_is_named_and_so_is_what_is_no_number() {
    for wrong in [-0.001, 0.501, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = Config::builder().jitter(wrong).build().unwrap_err();
        let text = format!("jitter is {wrong}, but must be from 0 to 0.5");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.field(), "jitter");
    }
    for wrong in [0.999, 100.001, f64::NAN, f64::INFINITY] {
        let error = Config::builder().backoff_factor(wrong).build().unwrap_err();
        let text = format!("backoff_factor is {wrong}, but must be from 1 to 100");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.field(), "backoff_factor");
    }
}

#[test]
fn a_count_out_of_bounds_is_named() {
    for wrong in [0, 101, u32::MAX] {
        let error = Config::builder().max_missed(wrong).build().unwrap_err();
        let text = format!("max_missed is {wrong}, but must be from 1 to 100");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.field(), "max_missed");
    }
    let error = Config::builder().max_attempts(Some(0)).build().unwrap_err();
    let text = "max_attempts is 0, but must be from 1 to 4294967295";
    assert_eq!(error.to_string(), text);
    assert_eq!(error.field(), "max_attempts");
}

#[test]
fn a_setting_that_does_not_reach_another_is_named_with_it() {
    let millis = Duration::from_millis;
    let contradictions: [(ConfigBuilder, &str, &str); 3] = [
        (
            Config::builder().backoff_floor(millis(2001)),
            "backoff_base",
            "backoff_base is 2s, but must be at least backoff_floor, which is 2.001s",
        ),
        (
            Config::builder().backoff_cap(millis(1999)),
            "backoff_cap",
            "backoff_cap is 1.999s, but must be at least backoff_base, which is 2s",
        ),
        (
            Config::builder().adaptive_timeout(Some(millis(19_999))),
            "adaptive_timeout",
            "adaptive_timeout is 19.999s, but must be at least pong_timeout, which is 20s",
        ),
    ];
    for (builder, field, text) in contradictions {
        let error = builder.build().unwrap_err();
        assert_eq!((error.field(), error.to_string().as_str()), (field, text));
    }
    let equal = Config::builder().adaptive_timeout(Some(millis(20_000)));
    equal.build().unwrap();
}

#[test]
fn settings_that_contradict_each_other_are_named_both() {
    type Set = fn(ConfigBuilder) -> ConfigBuilder;
    let contradictions: [(&str, Set); 3] = [
        ("always_ping", |builder| builder.always_ping(true)),
        ("strict_pongs", |builder| builder.strict_pongs(true)),
        ("confirm_within", |builder| {
            builder.confirm_within(Some(SHORTEST))
        }),
    ];
    for (field, set) in contradictions {
        set(Config::builder()).build().unwrap();
        let error = set(Config::listener().to_builder()).build().unwrap_err();
        let other = "listen_only";
        assert_eq!(error, ConfigError::Conflict { field, other });
        assert_eq!(error.field(), field);
        assert_eq!(
            error.to_string(),
            format!("{field} contradicts listen_only")
        );
    }
    let compatible = Config::listener()
        .to_builder()
        .message_timeout(Some(SHORTEST))
        .healthy_within(Some(SHORTEST))
        .adaptive_timeout(Some(LONGEST));
    compatible.build().unwrap();
    let together = Config::builder()
        .always_ping(true)
        .strict_pongs(true)
        .confirm_within(Some(SHORTEST));
    together.build().unwrap();
}

/// The defaults that the contract names, setting by setting.
#[test]
fn the_defaults_are_those_of_the_contract() {
    let seconds = Duration::from_secs;
    let config = Config::default();
    assert_eq!(config.ping_interval(), seconds(25));
    assert_eq!(config.send_interval(), Some(seconds(25)));
    assert!(!config.always_ping());
    assert_eq!(config.jitter(), 0.2);
    assert!(config.random_phase());
    assert_eq!(config.pong_timeout(), seconds(20));
    assert_eq!(config.max_missed(), 1);
    assert_eq!(config.adaptive_timeout(), None);
    assert!(!config.strict_pongs());
    assert_eq!(config.confirm_within(), None);
    assert_eq!(config.late_tolerance(), seconds(1));
    assert!(!config.listen_only());
    assert_eq!(config.idle_timeout(), seconds(45));
    assert_eq!(config.message_timeout(), None);
    assert_eq!(config.healthy_within(), None);
    assert_eq!(config.connect_timeout(), seconds(20));
    assert_eq!(config.close_timeout(), seconds(5));
    assert!(config.reconnect());
    assert_eq!(config.first_spread(), seconds(5));
    assert_eq!(config.backoff_floor(), seconds(1));
    assert_eq!(config.backoff_base(), seconds(2));
    assert_eq!(config.backoff_cap(), seconds(60));
    assert_eq!(config.backoff_factor(), 2.0);
    assert_eq!(config.stable_after(), seconds(10));
    assert_eq!(config.max_attempts(), None);
    assert_eq!(config.max_elapsed(), None);
}

#[test]
fn what_is_set_is_what_is_in_force() {
    let config = Config::builder()
        .always_ping(true)
        .random_phase(false)
        .strict_pongs(true)
        .confirm_within(Some(SHORTEST))
        .message_timeout(Some(LONGEST))
        .healthy_within(Some(2 * SHORTEST))
        .reconnect(false)
        .max_attempts(Some(3))
        .build()
        .unwrap();
    assert!(config.always_ping() && config.strict_pongs());
    assert!(!config.random_phase() && !config.reconnect());
    assert_eq!(config.confirm_within(), Some(SHORTEST));
    assert_eq!(config.message_timeout(), Some(LONGEST));
    assert_eq!(config.healthy_within(), Some(2 * SHORTEST));
    assert_eq!(config.max_attempts(), Some(3));
    assert_eq!(config.to_builder().build(), Ok(config));
}

#[test]
fn settings_fit_into_176_bytes() {
    assert!(size_of::<Config>() <= 176, "{}", size_of::<Config>());
}

#[test]
fn the_settings_of_the_article_are_as_in_the_article() {
    let article = Config::article();
    assert_eq!(article.ping_interval(), Duration::from_secs(2));
    assert_eq!(article.pong_timeout(), Duration::from_secs(10));
    assert_eq!(article.send_interval(), None);
    assert_eq!(article.max_missed(), 1);
    assert_eq!(article.jitter(), 0.0);
    assert!(!article.random_phase());
    assert_eq!(article.to_builder().build(), Ok(article));
}

#[test]
fn a_listener_has_the_defaults_but_sends_no_pings() {
    let listener = Config::listener();
    assert!(listener.listen_only());
    assert_eq!(listener.idle_timeout(), Duration::from_secs(45));
    let defaults = listener.to_builder().listen_only(false).build().unwrap();
    assert_eq!(defaults, Config::default());
    assert_eq!(ConfigBuilder::default().build(), Ok(Config::default()));
    assert_eq!(Config::try_from(Config::builder()), Ok(Config::default()));
}

#[test]
fn a_builder_can_be_converted_where_it_can_be_built() {
    let article = Config::article();
    assert_eq!(Config::try_from(article.to_builder()), Ok(article));
    let wrong = article.to_builder().max_missed(0);
    assert_eq!(Config::try_from(wrong), wrong.build());
    assert!(wrong.build().is_err());
}

#[test]
fn a_policy_of_the_applications_distinguishes_settings() {
    let config = Config::default();
    let insistent = config.to_builder().policy(|_| Retry::Backoff);
    let insistent = insistent.build().unwrap();
    let wrong = Loss::Refused(404);
    assert_eq!((insistent.policy())(wrong), Retry::Backoff);
    assert_eq!((config.policy())(wrong), default_policy(wrong));
    assert_ne!(insistent, config);
    assert_eq!(insistent, insistent.to_builder().build().unwrap());
    assert!(format!("{insistent:?}").contains("policy: custom"));
    assert!(format!("{config:?}").contains("policy: default"));
    let other = config.to_builder().policy(stop_when_refused);
    assert_eq!((other.build().unwrap().policy())(wrong), Retry::Stop);
    assert_ne!(other.build().unwrap(), insistent);
}

#[cfg(feature = "serde")]
mod as_text {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        let text = serde_json::to_value(Config::default()).unwrap();
        assert_eq!(text["ping_interval"], "25s");
        assert_eq!(text["send_interval"], "25s");
        assert_eq!(text["backoff_cap"], "1m");
        assert_eq!(text["max_elapsed"], serde_json::Value::Null);
        assert_eq!(text["jitter"], 0.2);
        assert_eq!(text["reconnect"], true);
        assert_eq!(text["always_ping"], false);
        assert_eq!(text["strict_pongs"], false);
        assert_eq!(text["confirm_within"], serde_json::Value::Null);
        assert_eq!(text.get("policy"), None);
    }

    #[test]
    fn what_was_written_is_read_again() {
        let odd = Config::builder()
            .ping_interval(Duration::new(86_399, 999_999_999))
            .send_interval(None)
            .max_elapsed(Some(LONGEST))
            .max_attempts(Some(7))
            .always_ping(true)
            .strict_pongs(true)
            .confirm_within(Some(Duration::from_millis(1500)))
            .message_timeout(Some(Duration::from_secs(90)))
            .healthy_within(Some(Duration::from_secs(15)))
            .adaptive_timeout(Some(Duration::from_micros(20_000_001)));
        let configs = [
            Config::default(),
            Config::article(),
            Config::listener(),
            all(SHORTEST).build().unwrap(),
            odd.build().unwrap(),
        ];
        for config in configs {
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(read(&text).unwrap(), config, "{text}");
        }
    }

    #[test]
    fn a_duration_is_read_in_every_common_way() {
        for text in ["90s", "1m30s", "1m 30s", "90 seconds", "PT1M30S", "90000ms"] {
            let config = read(&format!(r#"{{"ping_interval": "{text}"}}"#)).unwrap();
            assert_eq!(config.ping_interval(), Duration::from_secs(90), "{text}");
        }
    }

    #[test]
    fn what_is_missing_has_its_default_and_null_is_off() {
        assert_eq!(read("{}").unwrap(), Config::default());
        let off = read(r#"{"send_interval": null}"#).unwrap();
        assert_eq!(off.send_interval(), None);
        let rest = off.to_builder();
        let rest = rest.send_interval(Config::default().send_interval());
        assert_eq!(rest.build(), Ok(Config::default()));
    }

    #[test]
    fn the_bounds_hold_for_text_too() {
        let wrong = [
            (r#"{"pong_timeout": "0s"}"#, "pong_timeout is 0ns"),
            (r#"{"connect_timeout": "25h"}"#, "connect_timeout is 90000s"),
            (r#"{"jitter": 0.6}"#, "jitter is 0.6"),
            (r#"{"max_missed": 0}"#, "max_missed is 0"),
            (r#"{"backoff_cap": "1s"}"#, "backoff_cap is 1s"),
            (
                r#"{"listen_only": true, "always_ping": true}"#,
                "always_ping contradicts listen_only",
            ),
            (r#"{"message_timeout": "0s"}"#, "message_timeout is 0ns"),
            (
                r#"{"ping_intervall": "5s"}"#,
                "unknown field `ping_intervall`",
            ),
            (r#"{"ping_interval": "-5s"}"#, "negative"),
            (r#"{"ping_interval": "soon"}"#, "expected duration"),
        ];
        for (text, expected) in wrong {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    fn read(text: &str) -> Result<Config, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}
