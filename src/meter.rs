//! What the driver and fleets count in `metrics`; nothing without the feature.

#[cfg(feature = "metrics")]
pub use on::describe_metrics;
#[cfg(feature = "metrics")]
pub(crate) use on::{
    Open, connection_lost, dial, dial_lost, fleet, missed, opened, ping, pong, unsent,
};

#[cfg(not(feature = "metrics"))]
pub(crate) use off::*;

#[cfg(feature = "metrics")]
mod on {
    use core::panic::AssertUnwindSafe;
    use core::time::Duration;

    use metrics::{
        Gauge, Key, Label, Level, Metadata, Unit, counter, describe_counter, describe_gauge,
        describe_histogram, gauge, histogram, with_recorder,
    };

    use crate::fleet::Counters;
    use crate::{Cause, CloseReason};

    const DIALS: &str = "keepalive_dials_total";
    const DIALS_LOST: &str = "keepalive_dials_lost_total";
    const OPENED: &str = "keepalive_connections_opened_total";
    const LOST: &str = "keepalive_connections_lost_total";
    const OPEN: &str = "keepalive_connections_open";
    const DEAF: &str = "keepalive_deaf_seconds";
    const PINGS: &str = "keepalive_pings_total";
    const MISSED: &str = "keepalive_pings_missed_total";
    const ROUND_TRIP: &str = "keepalive_round_trip_seconds";
    const UNCONFIRMED: &str = "keepalive_messages_unconfirmed_total";
    const FLEET_OPEN: &str = "keepalive_fleet_open";
    const FLEET_PROBING: &str = "keepalive_fleet_probing";
    const FLEET_PINGS: &str = "keepalive_fleet_pings_total";
    const FLEET_MISSED: &str = "keepalive_fleet_pings_missed_total";
    const FLEET_CONVICTED: &str = "keepalive_fleet_convicted_total";
    const FLEET_DRAINED: &str = "keepalive_fleet_drained_total";

    /// Gives the recorder of [`metrics`](::metrics) the unit and the meaning of each metric.
    /// Call it once the recorder is installed; what is counted does not depend on it.
    ///
    /// The guide [`metrics`](crate::guide::metrics) lists them.
    pub fn describe_metrics() {
        let count = Unit::Count;
        describe_counter!(DIALS, count, "Dials that began");
        describe_counter!(DIALS_LOST, count, "Dials that were lost, by cause");
        describe_counter!(OPENED, count, "Connections that opened");
        describe_counter!(LOST, count, "Connections that were lost or ended, by cause");
        describe_gauge!(OPEN, count, "Connections that are open");
        describe_histogram!(
            DEAF,
            Unit::Seconds,
            "For how long nothing was received, when a connection opened that was not the first"
        );
        describe_counter!(PINGS, count, "Pings that were handed over");
        describe_counter!(MISSED, count, "Pings that were not answered in time");
        describe_histogram!(ROUND_TRIP, Unit::Seconds, "How long an awaited pong took");
        describe_counter!(
            UNCONFIRMED,
            count,
            "Messages that no pong confirmed before a loss or the end: unsent, or in doubt"
        );
        describe_gauge!(FLEET_OPEN, count, "Connections of a fleet");
        describe_gauge!(FLEET_PROBING, count, "Those of them that have a ping out");
        describe_counter!(FLEET_PINGS, count, "Pings that a fleet asked for");
        describe_counter!(FLEET_MISSED, count, "Those that were not answered in time");
        describe_counter!(FLEET_CONVICTED, count, "Connections that were found dead");
        describe_counter!(FLEET_DRAINED, count, "Connections that were drained");
    }

    pub(crate) fn dial() {
        counter!(DIALS).increment(1);
    }

    pub(crate) fn dial_lost<E>(cause: &Cause<E>) {
        count(DIALS_LOST, label(cause));
    }

    /// A connection that is up, until it is dropped. It counts down where it counted up,
    /// whatever recorder is installed meanwhile.
    // As unwind-safe as without the feature.
    pub(crate) struct Open(AssertUnwindSafe<Gauge>);

    impl Open {
        pub(crate) fn new() -> Self {
            let open = gauge!(OPEN);
            open.increment(1.0);
            Self(AssertUnwindSafe(open))
        }
    }

    impl Drop for Open {
        fn drop(&mut self) {
            self.0.decrement(1.0);
        }
    }

    pub(crate) fn opened(deaf: Option<Duration>) {
        counter!(OPENED).increment(1);
        if let Some(deaf) = deaf {
            histogram!(DEAF).record(deaf);
        }
    }

    pub(crate) fn connection_lost<E>(cause: &Cause<E>, messages: usize, in_doubt: u64) {
        count(LOST, label(cause));
        unsent(messages);
        counter!(UNCONFIRMED, "state" => "in_doubt").increment(in_doubt);
    }

    pub(crate) fn ping() {
        counter!(PINGS).increment(1);
    }

    pub(crate) fn missed(pings: u32) {
        if pings > 0 {
            counter!(MISSED).increment(u64::from(pings));
        }
    }

    pub(crate) fn pong(round_trip: Duration) {
        histogram!(ROUND_TRIP).record(round_trip);
    }

    pub(crate) fn unsent(messages: usize) {
        counter!(UNCONFIRMED, "state" => "unsent").increment(messages as u64);
    }

    pub(crate) fn fleet(counters: &Counters, fleet: &'static str) {
        gauge!(FLEET_OPEN, "fleet" => fleet).set(counters.open as f64);
        gauge!(FLEET_PROBING, "fleet" => fleet).set(counters.probing as f64);
        counter!(FLEET_PINGS, "fleet" => fleet).absolute(counters.pings);
        counter!(FLEET_MISSED, "fleet" => fleet).absolute(counters.missed);
        counter!(FLEET_CONVICTED, "fleet" => fleet).absolute(counters.convicted);
        counter!(FLEET_DRAINED, "fleet" => fleet).absolute(counters.drained);
    }

    /// As [`counter!`] does, without an allocation for the label.
    fn count(name: &'static str, labels: &'static [Label]) {
        static METADATA: Metadata<'static> =
            Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
        let key = Key::from_static_labels(name, labels);
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA)).increment(1);
    }

    macro_rules! cause {
        ($cause:literal) => {{
            static LABELS: [Label; 1] = [Label::from_static_parts("cause", $cause)];
            &LABELS
        }};
    }

    fn label<E>(cause: &Cause<E>) -> &'static [Label] {
        match cause {
            Cause::Closed { .. } => cause!("closed"),
            Cause::Refused { .. } => cause!("refused"),
            Cause::Failed(_) => cause!("failed"),
            Cause::TimedOut(reason) => match reason {
                CloseReason::PongTimeout => cause!("pong_timeout"),
                CloseReason::IdleTimeout => cause!("idle_timeout"),
                CloseReason::MessageTimeout => cause!("message_timeout"),
                CloseReason::LoginTimeout => cause!("login_timeout"),
                CloseReason::ConnectTimeout => cause!("connect_timeout"),
                CloseReason::CloseTimeout => cause!("close_timeout"),
                // No timeouts.
                CloseReason::Reconnect => cause!("reconnected"),
                CloseReason::GivenUp => cause!("given_up"),
                CloseReason::Stop
                | CloseReason::Abort
                | CloseReason::Drained
                | CloseReason::MaxAge => cause!("stopped"),
            },
            Cause::Stalled => cause!("stalled"),
            Cause::GivenUp => cause!("given_up"),
            Cause::Reconnected => cause!("reconnected"),
            Cause::Stopped => cause!("stopped"),
            Cause::NoPing => cause!("no_ping"),
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use core::time::Duration;

    use crate::Cause;

    pub(crate) fn dial() {}

    pub(crate) fn dial_lost<E>(_: &Cause<E>) {}

    pub(crate) struct Open;

    impl Open {
        pub(crate) const fn new() -> Self {
            Self
        }
    }

    pub(crate) fn opened(_: Option<Duration>) {}

    pub(crate) fn connection_lost<E>(_: &Cause<E>, _: usize, _: u64) {}

    pub(crate) fn ping() {}

    pub(crate) fn missed(_: u32) {}

    pub(crate) fn pong(_: Duration) {}

    pub(crate) fn unsent(_: usize) {}
}
