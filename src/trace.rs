//! What the adapters report to `tracing`; nothing without the feature.

#[cfg(feature = "tracing")]
pub(crate) use on::*;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::*;

#[cfg(feature = "tracing")]
mod on {
    use core::fmt::Display;
    use core::time::Duration;

    use crate::action::Actions;
    use crate::event::Epoch;
    use crate::{Heartbeat, Instant, PingId, State};

    /// Where a heartbeat was before a step.
    #[derive(Clone, Copy)]
    pub(crate) struct Before {
        state: State,
        epoch: Epoch,
    }

    impl Before {
        pub(crate) fn of<I: Instant>(heartbeat: &Heartbeat<I>) -> Self {
            Self {
                state: heartbeat.state(),
                epoch: heartbeat.epoch(),
            }
        }

        /// Reports where the step led, if anywhere else, and why: the heartbeat's own
        /// reason, or how the connection ended if that was the event.
        pub(crate) fn changed<I: Instant>(
            self,
            heartbeat: &Heartbeat<I>,
            actions: &Actions<I>,
            ended: Option<&dyn Display>,
        ) {
            let now = Self::of(heartbeat);
            if (now.state, now.epoch) == (self.state, self.epoch) {
                return;
            }
            let own = actions.close.as_ref().map(|reason| reason as &dyn Display);
            let reason = own.or(ended);
            tracing::info!(
                target: "keepalive",
                from = ?self.state,
                to = ?now.state,
                epoch = %now.epoch,
                attempt = heartbeat.attempt(),
                reason = reason.map(tracing::field::display),
                "state"
            );
        }
    }

    pub(crate) fn ping(epoch: Epoch, id: PingId) {
        tracing::debug!(target: "keepalive", epoch = %epoch, ping = id.sequence(), "ping");
    }

    pub(crate) fn pong(epoch: Epoch, id: PingId, round_trip: Duration) {
        tracing::debug!(
            target: "keepalive",
            epoch = %epoch,
            ping = id.sequence(),
            round_trip = ?round_trip,
            "pong"
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use core::fmt::Display;
    use core::time::Duration;

    use crate::action::Actions;
    use crate::event::Epoch;
    use crate::{Heartbeat, Instant, PingId};

    #[derive(Clone, Copy)]
    pub(crate) struct Before;

    impl Before {
        pub(crate) fn of<I: Instant>(_: &Heartbeat<I>) -> Self {
            Self
        }

        pub(crate) fn changed<I: Instant>(
            self,
            _: &Heartbeat<I>,
            _: &Actions<I>,
            _: Option<&dyn Display>,
        ) {
        }
    }

    pub(crate) fn ping(_: Epoch, _: PingId) {}

    pub(crate) fn pong(_: Epoch, _: PingId, _: Duration) {}
}
