//! A device on embassy keeps a link alive.
//!
//! `cargo build --target thumbv7em-none-eabihf` builds it for a microcontroller,
//! without `std` and without an allocator; `--features session` needs an allocator.
//! `cargo test` runs it on a clock of the test's.

#![no_std]
#![forbid(unsafe_code)]

use core::future::pending;
use core::time::Duration;

use embassy_futures::select::{Either, select};
use embassy_time::{Instant, Timer};
use keepalive::{Action, Event, Heartbeat, Manner, PingId, StopReason};

/// A link, such as a socket of embassy-net with buffers to write to.
pub trait Link {
    /// What happens next on the link. It writes what is to be written, too. It may be
    /// dropped while it waits.
    fn next(&mut self) -> impl Future<Output = Event>;
    /// Begins to dial.
    fn dial(&mut self);
    /// Puts a ping into the write buffer.
    fn ping(&mut self, id: PingId);
    /// Ends the link.
    fn end(&mut self, manner: Manner);
}

/// Keeps the link alive until the heartbeat says that it is over.
pub async fn run(heartbeat: &mut Heartbeat<Duration>, link: &mut impl Link) -> StopReason {
    let mut event = Event::Start;
    loop {
        for action in heartbeat.handle(event, now()) {
            match action {
                Action::Connect => link.dial(),
                Action::SendPing(id) => link.ping(id),
                Action::Close(reason) => link.end(reason.manner()),
                Action::Stopped(reason) => return reason,
                Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) => {}
            }
        }
        let deadline = async {
            match heartbeat.deadline() {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        // What came in goes first.
        event = match select(link.next(), deadline).await {
            Either::First(event) => event,
            Either::Second(()) => Event::Tick,
        };
    }
}

/// The timer of a session.
#[cfg(feature = "session")]
pub fn timer() -> impl keepalive::session::Timer<Instant = Duration> {
    keepalive::session::Sleeper::new(now, sleep_until)
}

fn now() -> Duration {
    Duration::from_micros(Instant::now().as_micros())
}

async fn sleep_until(at: Duration) {
    // Not a fraction of a microsecond too early.
    let at = at.as_nanos().div_ceil(1000);
    Timer::at(Instant::from_micros(u64::try_from(at).unwrap_or(u64::MAX))).await;
}
