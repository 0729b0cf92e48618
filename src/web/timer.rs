use alloc::rc::Rc;
use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use gloo_timers::callback::Timeout;
use web_sys::Performance;
use web_sys::js_sys::Date;

use super::bell::Bell;
use super::global::{millis, performance};
use crate::session;

/// The browser's timer, `setTimeout`, and its clock, `performance.now()`: the time since
/// the page was opened.
///
/// That, because `std::time::Instant` panics in a browser.
///
/// ```no_run
/// use keepalive::session::Timer as _;
/// use keepalive::web::Timer;
///
/// let since_the_page_was_opened = Timer::new().now();
/// ```
pub struct Timer {
    clock: Option<Performance>,
    set: Option<(Timeout, Rc<Bell>)>,
}

impl Timer {
    /// A timer that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: performance(),
            set: None,
        }
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl session::Timer for Timer {
    type Instant = Duration;

    fn now(&self) -> Duration {
        millis(self.clock.as_ref().map_or_else(Date::now, Performance::now))
    }

    fn set(&mut self, at: Duration) {
        let bell = Rc::new(Bell::default());
        let rings = Rc::clone(&bell);
        let timeout = Timeout::new(delay(at.saturating_sub(self.now())), move || rings.ring());
        self.set = Some((timeout, bell));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some((_, bell)) = &self.set else {
            return Poll::Pending;
        };
        let polled = bell.poll(context);
        if polled.is_ready() {
            self.set = None;
        }
        polled
    }
}

/// Not a fraction of a millisecond too short; `setTimeout` takes at most `i32::MAX`, and a
/// session that is woken too early asks for the rest.
pub(super) fn delay(duration: Duration) -> u32 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    millis.min(i32::MAX.unsigned_abs().into()) as u32
}

impl fmt::Debug for Timer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Timer")
            .field("is_set", &self.set.is_some())
            .finish_non_exhaustive()
    }
}
