//! How late the timers of this process are: what is late on a busy machine is told apart
//! from what is late in a heartbeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

#[derive(Clone, Default)]
pub(crate) struct Lateness(Arc<AtomicU64>);

impl Lateness {
    /// Watches from now on, in a task of its own.
    pub(crate) fn watch() -> Self {
        let lateness = Self::default();
        let millis = Arc::clone(&lateness.0);
        tokio::spawn(async move {
            loop {
                let due = Instant::now() + Duration::from_millis(10);
                sleep_until(due).await;
                let late = due.elapsed().as_millis() as u64;
                millis.fetch_max(late, Ordering::Relaxed);
            }
        });
        lateness
    }

    /// The greatest so far.
    pub(crate) fn greatest(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}
