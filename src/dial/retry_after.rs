use core::time::Duration;
use std::time::SystemTime;

use tungstenite::http::HeaderMap;
use tungstenite::http::header::{DATE, HeaderName, RETRY_AFTER};

/// How long a response asks to stay away: `Retry-After` in seconds or as a date (RFC
/// 9110 section 10.2.3). A date counts from the response's own `Date`, so that a wrong
/// clock here does no harm, or else from `now`; a past one is zero.
pub(crate) fn retry_after(
    headers: &HeaderMap,
    now: impl FnOnce() -> SystemTime,
) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(seconds) = seconds(value) {
        return Some(seconds);
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let from = date(headers, DATE).unwrap_or_else(now);
    Some(until.duration_since(from).unwrap_or_default())
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let value = headers.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(value.trim()).ok()
}

/// Digits and nothing else; those that are too many to count are still long.
fn seconds(digits: &str) -> Option<Duration> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(fields: &[(&'static str, &'static str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.insert(name, value.parse().unwrap());
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&headers, || now)
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn seconds_are_seconds() {
        assert_eq!(pause(&[("retry-after", " 120 ")]), seconds(120));
        assert_eq!(pause(&[("retry-after", "+120")]), None);
        assert_eq!(pause(&[]), None);
    }

    #[test]
    fn a_date_counts_from_our_clock() {
        // The three forms of RFC 9110 section 5.6.7.
        for date in [
            "Sun, 06 Nov 1994 08:50:07 GMT",
            "Sunday, 06-Nov-94 08:50:07 GMT",
            "Sun Nov  6 08:50:07 1994",
        ] {
            assert_eq!(pause(&[("retry-after", date)]), seconds(30), "{date}");
        }
    }

    #[test]
    fn a_date_counts_from_the_servers_own_where_it_says_one() {
        let (date, until) = (
            "Sun, 06 Nov 1994 10:00:00 GMT",
            "Sun, 06 Nov 1994 10:00:07 GMT",
        );
        assert_eq!(pause(&[("retry-after", until), ("date", date)]), seconds(7));
        let broken = [
            ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"),
            ("date", "now"),
        ];
        assert_eq!(pause(&broken), seconds(30));
    }

    #[test]
    fn a_past_date_is_no_pause() {
        assert_eq!(
            pause(&[("retry-after", "Fri, 31 Dec 1993 23:59:59 GMT")]),
            seconds(0)
        );
        let (date, until) = (
            "Sun, 06 Nov 1994 10:00:00 GMT",
            "Sun, 06 Nov 1994 09:00:00 GMT",
        );
        assert_eq!(pause(&[("retry-after", until), ("date", date)]), seconds(0));
    }
}
