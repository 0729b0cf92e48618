//! What handles ask for, done in the same way in every adapter.

#[cfg(feature = "blocking")]
use alloc::vec::Vec;

use super::{Codec, Dialect, Driver};
#[cfg(any(feature = "async", feature = "blocking"))]
use crate::{Backlog, Desk, State};
#[cfg(feature = "blocking")]
use crate::{Epoch, Event, Heartbeat};
use crate::{Instant, Wish};

impl<D, C, E, I> Driver<D, C, E, I>
where
    D: Dialect,
    C: Codec<D::Message>,
    I: Instant,
{
    /// Does what a handle asks for.
    #[doc(hidden)]
    pub fn grant(&mut self, wish: Wish, now: I) {
        match wish {
            Wish::Stop(None) => self.stop(now),
            Wish::Stop(Some(goodbye)) => self.stop_with(goodbye, now),
            Wish::ReconnectNow => self.reconnect_now(now),
            Wish::NetworkChanged => self.network_changed(),
            Wish::Healthy(epoch) => drop(self.healthy(epoch, now)),
            Wish::GiveUp(epoch, closed) => drop(self.give_up(epoch, closed, now)),
            // What the session cannot take was refused when it was asked for.
            Wish::Reconfigure(config) => drop(self.reconfigure(config, now)),
        }
    }

    /// A desk for its handles, which take nothing if it was told to stop before.
    #[cfg(any(feature = "async", feature = "blocking"))]
    pub(crate) fn desk(&self, backlog: Backlog) -> Desk<D::Message>
    where
        D: Clone + Send + Sync + 'static,
    {
        let dialect = self.dialect().clone();
        let size = move |message: &D::Message| dialect.size(message);
        let mut desk = Desk::new(size, backlog, self.check());
        if self.is_over() {
            drop(desk.reclaim());
        } else if self.is_stopping() {
            desk.stopping();
        }
        desk
    }

    /// Whether `Stopped` was reported, and it did not begin anew.
    #[cfg(any(feature = "async", feature = "blocking"))]
    pub(crate) fn is_over(&self) -> bool {
        self.heartbeat.state() == State::Stopped && !self.unheard.has_end()
    }

    /// Does what was heard during a dial. Returns whether the dial goes on.
    #[cfg(feature = "blocking")]
    pub(crate) fn grant_all(&mut self, under_way: &mut UnderWay<I>) -> bool {
        for (wish, at) in core::mem::take(&mut under_way.heard) {
            match wish {
                // It concerned the dial, whatever became of that.
                Wish::NetworkChanged => self.step(Event::NetworkChanged, None, at),
                wish => self.grant(wish, at),
            }
        }
        under_way.goes_on()
    }

    /// The dial that is under way, for an adapter that waits inside of it.
    #[cfg(feature = "blocking")]
    pub(crate) fn under_way(&self) -> UnderWay<I> {
        UnderWay {
            heartbeat: self.heartbeat.clone(),
            dial: self.heartbeat.epoch(),
            heard: Vec::new(),
        }
    }
}

/// A dial during which the driver does not run. What is asked for meanwhile is done
/// after it, as of the time when it was asked for, unless it ends the dial.
#[cfg(feature = "blocking")]
pub(crate) struct UnderWay<I> {
    /// It goes ahead of the driver's.
    heartbeat: Heartbeat<I>,
    dial: Epoch,
    heard: Vec<(Wish, I)>,
}

#[cfg(feature = "blocking")]
impl<I: Instant> UnderWay<I> {
    /// Whether the dial goes on.
    pub(crate) fn hear(&mut self, wishes: Vec<Wish>, now: I) -> bool {
        for wish in wishes {
            let heartbeat = &mut self.heartbeat;
            match &wish {
                Wish::Stop(_) => drop(heartbeat.handle(Event::Stop, now)),
                Wish::ReconnectNow => drop(heartbeat.handle(Event::ReconnectNow, now)),
                Wish::NetworkChanged => drop(heartbeat.handle(Event::NetworkChanged, now)),
                // Of connections, and of settings: they end no dial.
                Wish::Healthy(_) | Wish::GiveUp(..) | Wish::Reconfigure(_) => {}
            }
            self.heard.push((wish, now));
        }
        self.goes_on()
    }

    /// Whether nothing that was heard has ended the dial.
    fn goes_on(&self) -> bool {
        self.heartbeat.epoch() == self.dial
    }
}
