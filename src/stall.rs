//! A write that stalls. Like TCP's user timeout this is the transport's own end: a
//! peer that sends but never reads is alive, and would hold what is written for ever.

use std::io;
#[cfg(any(feature = "smol", feature = "tokio"))]
use std::task::Poll;
use std::time::{Duration, Instant};

/// For how long the system has taken no byte of what is to be written.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    last_try: Option<Instant>,
    lasted: Duration,
}

impl Stall {
    /// It took something.
    pub(crate) fn end(&mut self) {
        self.last_try = None;
    }

    /// It was asked at this time and took nothing. The time since it was last asked
    /// counts up to `longest`: for what is longer, this process was away.
    pub(crate) fn go_on(&mut self, now: Instant, longest: Duration) {
        self.lasted = match self.last_try {
            Some(last) => self.lasted + now.duration_since(last).min(longest),
            None => Duration::ZERO,
        };
        self.last_try = Some(now);
    }

    pub(crate) fn lasted(&self) -> Duration {
        self.last_try.map_or(Duration::ZERO, |_| self.lasted)
    }
}

/// As long as an answer may take, by default.
#[cfg(any(feature = "smol", feature = "tokio"))]
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn error() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "no byte could be written for too long",
    )
}

/// The end of a write that is polled and stalls.
#[cfg(any(feature = "smol", feature = "tokio"))]
#[derive(Debug)]
pub(crate) struct Limit {
    stall: Stall,
    timeout: Duration,
}

#[cfg(any(feature = "smol", feature = "tokio"))]
impl Limit {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self {
            stall: Stall {
                last_try: None,
                lasted: Duration::ZERO,
            },
            timeout,
        }
    }

    /// Fails in place of a write that has been pending for too long. The time
    /// between two writes counts as a quarter of that at most.
    pub(crate) fn judge<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        now: impl FnOnce() -> Instant,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall.end();
        } else {
            self.stall.go_on(now(), self.timeout / 4);
            self.check()?;
        }
        written
    }

    /// Whether the socket can still be used.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.stall.lasted() < self.timeout {
            Ok(())
        } else {
            Err(error())
        }
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(8);
    const PENDING: Poll<io::Result<()>> = Poll::Pending;

    #[test]
    fn ends_what_is_pending_for_too_long() {
        let (mut limit, mut now) = (Limit::new(TIMEOUT), Instant::now());
        for _ in 0..8 {
            assert!(limit.judge(PENDING, || now).is_pending());
            limit.check().unwrap();
            now += Duration::from_secs(1);
        }
        assert!(matches!(limit.judge(PENDING, || now), Poll::Ready(Err(_))));
        limit.check().unwrap_err();
    }

    #[test]
    fn starts_afresh_when_a_byte_went_out() {
        let (mut limit, mut now) = (Limit::new(TIMEOUT), Instant::now());
        for count in 0..100 {
            let written = if count % 8 == 7 {
                Poll::Ready(Ok(()))
            } else {
                PENDING
            };
            assert!(!matches!(limit.judge(written, || now), Poll::Ready(Err(_))));
            now += Duration::from_secs(1);
        }
    }

    #[test]
    fn takes_no_absence_for_a_stall() {
        let (mut limit, mut now) = (Limit::new(TIMEOUT), Instant::now());
        for _ in 0..4 {
            assert!(limit.judge(PENDING, || now).is_pending());
            now += Duration::from_secs(3600);
        }
        assert!(matches!(limit.judge(PENDING, || now), Poll::Ready(Err(_))));
    }
}
