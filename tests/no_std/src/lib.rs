//! A device without an operating system keeps a link alive.
//!
//! Nothing here needs `std` or an allocator: the clock is the time since power-up,
//! the loop polls. `cargo build --target thumbv7em-none-eabihf` builds it for a
//! microcontroller; `cargo test` runs it against a scripted link.

#![no_std]
#![forbid(unsafe_code)]

use core::time::Duration;

use keepalive::{Action, Event, Heartbeat, Manner, PingId, StopReason};

/// What the device has: a clock, and a link that does not block.
pub trait Device {
    /// The time since power-up.
    fn now(&self) -> Duration;
    /// What happened on the link, if anything did since the last call.
    fn poll(&mut self) -> Option<Event>;
    /// Begins to dial.
    fn dial(&mut self);
    /// Sends a ping.
    fn ping(&mut self, id: PingId);
    /// Ends the link, in this manner.
    fn hang_up(&mut self, manner: Manner);
    /// Sleeps until then, or until something happens on the link.
    fn sleep(&mut self, until: Option<Duration>);
}

/// Keeps the link alive until the heartbeat says that it is over.
pub fn run(heartbeat: &mut Heartbeat<Duration>, device: &mut impl Device) -> StopReason {
    let mut event = Event::Start;
    loop {
        for action in heartbeat.handle(event, device.now()) {
            match action {
                Action::Connect => device.dial(),
                Action::SendPing(id) => device.ping(id),
                Action::Close(reason) => device.hang_up(reason.manner()),
                Action::Stopped(reason) => return reason,
                Action::ScheduleReconnect { .. } | Action::ArmDeadline(_) => {}
            }
        }
        event = device.poll().unwrap_or_else(|| {
            device.sleep(heartbeat.deadline());
            device.poll().unwrap_or(Event::Tick)
        });
    }
}

#[cfg(test)]
mod tests {
    use keepalive::{CloseCode, Closed, Config, stop_when_refused};

    use super::*;

    /// Answers two pings on the first link and none after; says goodbye on the
    /// second.
    #[derive(Default)]
    struct Script {
        now: Duration,
        pending: Option<Event>,
        dials: u32,
        pings: u32,
        abandoned: u32,
    }

    impl Device for Script {
        fn now(&self) -> Duration {
            self.now
        }

        fn poll(&mut self) -> Option<Event> {
            self.pending.take()
        }

        fn dial(&mut self) {
            self.dials += 1;
            self.pending = Some(Event::Opened);
        }

        fn ping(&mut self, id: PingId) {
            self.pings += 1;
            self.pending = match (self.dials, self.pings) {
                (1, 1 | 2) => Some(Event::Pong(id)),
                (1, _) => None,
                _ => Some(Event::Closed(Closed::with_code(CloseCode::NORMAL))),
            };
        }

        fn hang_up(&mut self, manner: Manner) {
            self.abandoned += u32::from(manner == Manner::Abandon);
        }

        fn sleep(&mut self, until: Option<Duration>) {
            self.now = until.expect("a link that is not over waits for something");
        }
    }

    /// The goodbye of the second link is the end.
    fn config() -> Config {
        let article = Config::article().to_builder();
        article.policy(stop_when_refused).build().unwrap()
    }

    #[test]
    fn a_link_that_falls_silent_is_abandoned_and_dialled_again() {
        let mut device = Script::default();
        let mut heartbeat = Heartbeat::new(config(), 42);
        let reason = run(&mut heartbeat, &mut device);
        assert_eq!(reason, StopReason::Closed(Some(CloseCode::NORMAL)));
        assert_eq!((device.dials, device.pings, device.abandoned), (2, 4, 1));
        assert!(device.now >= Duration::from_secs(2 + 2 + 2 + 10 + 2));
    }
}
