use core::time::Duration;
use std::net::SocketAddr;

use crate::Instant;

/// The time between the starts of two attempts (RFC 8305 section 5).
const DELAY: Duration = Duration::from_millis(250);

/// Which address of a host is tried when: one after the other, 250 ms apart, or at
/// once where the attempt started last has failed. It does nothing itself.
#[derive(Debug)]
pub(crate) struct Plan<I> {
    addresses: Vec<SocketAddr>,
    started: usize,
    /// When the next attempt may start; at once where there is none.
    due: Option<I>,
}

impl<I: Instant> Plan<I> {
    /// A plan for addresses that are in order of preference. The families take turns,
    /// beginning with that of the first address (RFC 8305 section 4).
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses: interleaved(addresses),
            started: 0,
            due: None,
        }
    }

    /// The attempt that starts now, if one does: its number, from 0, and the address.
    /// To be asked until there is none.
    pub(crate) fn next_start(&mut self, now: I) -> Option<(usize, SocketAddr)> {
        if self.due.is_some_and(|due| now < due) {
            return None;
        }
        let number = self.started;
        let address = *self.addresses.get(number)?;
        self.started += 1;
        self.due = Some(now.saturating_add(DELAY));
        Some((number, address))
    }

    /// The attempt with this number failed.
    pub(crate) fn failed(&mut self, number: usize) {
        if number + 1 == self.started {
            self.due = None;
        }
    }

    /// When [`next_start`](Self::next_start) is to be asked again, unless an attempt
    /// fails before; `None` where nothing is left to start.
    pub(crate) fn due(&self) -> Option<I> {
        let is_left = self.started < self.addresses.len();
        self.due.filter(|_| is_left)
    }
}

/// The same addresses, each once, of the two families in turn. Within a family they
/// keep their order.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut turn, mut other) = (Vec::new(), Vec::new());
    for address in addresses {
        let family = if address.is_ipv6() == first_is_v6 {
            &mut turn
        } else {
            &mut other
        };
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let (mut turn, mut other) = (turn.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(turn.len() + other.len());
    while let Some(address) = turn.next() {
        mixed.push(address);
        core::mem::swap(&mut turn, &mut other);
        if turn.len() == 0 {
            core::mem::swap(&mut turn, &mut other);
        }
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 80))
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn families_take_turns_from_the_first_one_on() {
        let sorted = vec![v6(1), v6(2), v6(3), v4(1), v4(2)];
        assert_eq!(interleaved(sorted), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        let sorted = vec![v4(1), v6(1), v6(2), v6(3)];
        assert_eq!(interleaved(sorted), [v4(1), v6(1), v6(2), v6(3)]);
        assert_eq!(interleaved(vec![v4(1), v4(2)]), [v4(1), v4(2)]);
        assert_eq!(interleaved(vec![v4(1), v4(1)]), [v4(1)]);
        assert_eq!(interleaved(vec![]), []);
    }

    #[test]
    fn starts_are_a_quarter_of_a_second_apart() {
        let mut plan = Plan::new(vec![v4(1), v4(2), v4(3)]);
        assert_eq!(plan.next_start(millis(1000)), Some((0, v4(1))));
        assert_eq!(plan.due(), Some(millis(1250)));
        assert_eq!(plan.next_start(millis(1249)), None);
        assert_eq!(plan.next_start(millis(1260)), Some((1, v4(2))));
        // From the start that was, not from the one that was due.
        assert_eq!(plan.due(), Some(millis(1510)));
        assert_eq!(plan.next_start(millis(9000)), Some((2, v4(3))));
        assert_eq!(plan.due(), None);
        assert_eq!(plan.next_start(millis(9999)), None);
    }

    #[test]
    fn what_failed_leaves_its_time_to_the_next() {
        let mut plan = Plan::new(vec![v4(1), v4(2), v4(3)]);
        assert_eq!(plan.next_start(millis(0)), Some((0, v4(1))));
        plan.failed(0);
        assert_eq!(plan.next_start(millis(0)), Some((1, v4(2))));
        assert_eq!(plan.next_start(millis(0)), None);
        plan.failed(1);
        assert_eq!(plan.next_start(millis(1)), Some((2, v4(3))));
        plan.failed(2);
        assert_eq!((plan.next_start(millis(1)), plan.due()), (None, None));
    }

    /// The one that started last still has its quarter of a second.
    #[test]
    fn what_failed_late_hurries_nobody() {
        let mut plan = Plan::new(vec![v4(1), v4(2), v4(3)]);
        assert_eq!(plan.next_start(millis(0)), Some((0, v4(1))));
        assert_eq!(plan.next_start(millis(250)), Some((1, v4(2))));
        plan.failed(0);
        assert_eq!(plan.next_start(millis(499)), None);
        assert_eq!(plan.next_start(millis(500)), Some((2, v4(3))));
    }
}
