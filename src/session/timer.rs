use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::Instant;

/// A runtime's clock and one timer on it.
///
/// Both belong to the same runtime, so that a test with a paused clock pauses both.
/// [`Sleeper`] makes one from two closures.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a timer of a session",
    label = "has no clock, or cannot be set",
    note = "`keepalive::tokio::Timer::new()`, or that of `smol` or `web`",
    note = "of two closures: `session::Sleeper::new(Instant::now, |at| sleep_until(at.into()))`"
)]
pub trait Timer {
    /// What the clock shows.
    type Instant: Instant;

    /// The time.
    fn now(&self) -> Self::Instant;

    /// Sets the timer, replacing what it was set to.
    fn set(&mut self, at: Self::Instant);

    /// Whether the time that was set has come; if not, wakes the task when it does: at
    /// most a millisecond early, soon afterwards if need be.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// A [`Timer`] made of two closures: one returns the time, the other sleeps until then.
///
/// The sleep is boxed once; the box is reused.
///
/// ```
/// use keepalive::session::{Sleeper, Timer};
/// use std::time::{Duration, Instant};
///
/// // With tokio: `|at| tokio::time::sleep_until(at.into())`.
/// let mut timer = Sleeper::new(Instant::now, |_at| std::future::ready(()));
/// let now = timer.now();
/// timer.set(now + Duration::from_secs(1));
/// ```
pub struct Sleeper<N, S, F> {
    now: N,
    sleep: S,
    current: Option<Pin<Box<F>>>,
}

impl<N, S, F> Sleeper<N, S, F> {
    /// A timer that is not set.
    pub const fn new<I>(now: N, sleep: S) -> Self
    where
        N: Fn() -> I,
        S: FnMut(I) -> F,
        F: Future,
    {
        Self {
            now,
            sleep,
            current: None,
        }
    }
}

impl<N, S, F, I> Timer for Sleeper<N, S, F>
where
    N: Fn() -> I,
    S: FnMut(I) -> F,
    F: Future,
    I: Instant,
{
    type Instant = I;

    fn now(&self) -> I {
        (self.now)()
    }

    fn set(&mut self, at: I) {
        let sleep = (self.sleep)(at);
        match &mut self.current {
            Some(current) => current.set(sleep),
            None => self.current = Some(Box::pin(sleep)),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(current) = &mut self.current else {
            return Poll::Pending;
        };
        let result = current.as_mut().poll(context).map(drop);
        if result.is_ready() {
            self.current = None;
        }
        result
    }
}

impl<N, S, F> fmt::Debug for Sleeper<N, S, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sleeper")
            .field("is_set", &self.current.is_some())
            .finish_non_exhaustive()
    }
}
