//! What the adapters read of tungstenite's messages and errors.

#![cfg(feature = "tungstenite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use core::error::Error as _;
use core::time::Duration;
use std::time::SystemTime;

use keepalive::tungstenite::ending;
use keepalive::{Cause, CloseCode, Ending, Refused};
use tungstenite::Error;
use tungstenite::http::Response;

fn refused_with(retry_after: &str) -> Ending {
    refused_at(None, retry_after)
}

/// By a server whose clock shows this date.
fn refused_at(date: Option<&str>, retry_after: &str) -> Ending {
    let mut response = Response::builder()
        .status(503)
        .header("Retry-After", retry_after);
    if let Some(date) = date {
        response = response.header("Date", date);
    }
    ending(&Error::Http(Box::new(response.body(None).unwrap())))
}

fn away(hint: Duration) -> Ending {
    Ending::Refused(Refused::with_status(503).retry_after(hint))
}

fn no_hint() -> Ending {
    Ending::Refused(Refused::with_status(503))
}

#[test]
fn a_pause_is_read_in_seconds() {
    assert_eq!(refused_with("120"), away(Duration::from_secs(120)));
    assert_eq!(refused_with(" 0 "), away(Duration::ZERO));
    assert_eq!(refused_with(""), no_hint());
    assert_eq!(refused_with("soon"), no_hint());
}

#[test]
fn a_pause_is_read_as_a_date_too() {
    let date = "Fri, 31 Dec 1999 23:59:29 GMT";
    let until = "Fri, 31 Dec 1999 23:59:59 GMT";
    assert_eq!(refused_at(Some(date), until), away(Duration::from_secs(30)));
    // Past by the server's clock, and by ours.
    assert_eq!(refused_at(Some(until), date), away(Duration::ZERO));
    assert_eq!(refused_with(until), away(Duration::ZERO));
    assert_eq!(refused_with("Fri, 31 Dec 1999"), no_hint());
}

#[test]
fn a_date_counts_from_our_clock_where_the_server_says_none() {
    let until = SystemTime::now() + Duration::from_secs(30);
    let Ending::Refused(refused) = refused_with(&httpdate::fmt_http_date(until)) else {
        panic!("no refusal");
    };
    let pause = refused.retry_after.unwrap();
    assert!((20..=30).contains(&pause.as_secs()), "{pause:?}");
}

#[test]
fn a_pause_too_long_to_count_is_no_pause_too_short_to_keep() {
    let longest = Duration::from_secs(u64::MAX);
    assert_eq!(refused_with("18446744073709551616"), away(longest));
    assert_eq!(refused_with(&"9".repeat(100)), away(longest));
}

#[test]
fn a_pause_with_a_sign_is_none() {
    assert_eq!(refused_with("+5"), no_hint());
    assert_eq!(refused_with("-5"), no_hint());
}

fn closed(words: &str) -> Cause<Error> {
    Cause::Closed {
        code: Some(CloseCode(4000)),
        words: words.to_owned(),
    }
}

/// For those who report errors with what is behind them.
#[test]
fn a_cause_is_an_error() {
    let failed = Cause::Failed(Error::AlreadyClosed);
    assert_eq!(failed.to_string(), Error::AlreadyClosed.to_string());
    assert!(failed.source().is_some_and(|source| source.is::<Error>()));
    let refused = Cause::Refused {
        status: 403,
        error: Error::AlreadyClosed,
    };
    assert_eq!(refused.to_string(), "refused with status 403");
    assert!(refused.source().is_some_and(|source| source.is::<Error>()));
    for (cause, words) in [
        (closed(""), "closed with code 4000"),
        (closed("no more"), "closed with code 4000: no more"),
        (Cause::GivenUp, "given up"),
        (Cause::Stalled, "nothing could be written for too long"),
    ] {
        let cause: Cause<Error> = cause;
        assert_eq!(cause.to_string(), words);
        assert!(cause.source().is_none(), "{cause:?}");
    }
}
