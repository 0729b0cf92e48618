//! Which messages were read by the far end: a WebSocket is read in order, so the pong
//! to a ping confirms all that was handed over before that ping.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::PingId;

/// How many unanswered pings are remembered. Forgetting the oldest for a new one would
/// confirm too much.
const MARKS: usize = 32;

/// What one connection was given, and how much of it was confirmed.
pub(super) struct Doubt<W> {
    handed: u64,
    confirmed: u64,
    marks: VecDeque<Mark>,
    kept: VecDeque<Kept<W>>,
    kept_bytes: usize,
}

/// A ping that was handed over.
struct Mark {
    id: PingId,
    /// How many messages went before it.
    before: u64,
    /// How many pings that are not remembered followed it.
    followed_by: u32,
}

/// A copy of a message that is in doubt.
struct Kept<W> {
    number: u64,
    size: usize,
    message: W,
}

impl<W> Doubt<W> {
    pub(super) const fn new() -> Self {
        Self {
            handed: 0,
            confirmed: 0,
            marks: VecDeque::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    /// A message was handed over; with a copy, and its size, where those are kept.
    pub(super) fn message(&mut self, copy: Option<(W, usize)>) {
        self.handed += 1;
        if let Some((message, size)) = copy {
            self.kept_bytes += size;
            self.kept.push_back(Kept {
                number: self.handed,
                size,
                message,
            });
        }
    }

    /// A ping was handed over.
    pub(super) fn ping(&mut self, id: PingId) {
        let is_full = self.marks.len() == MARKS;
        match self.marks.back_mut() {
            Some(last) if is_full => last.followed_by = last.followed_by.saturating_add(1),
            _ => self.marks.push_back(Mark {
                id,
                before: self.handed,
                followed_by: 0,
            }),
        }
    }

    /// The answer to this ping came: how many messages it confirmed.
    pub(super) fn pong(&mut self, id: PingId) -> u64 {
        let Some(at) = self.marks.iter().position(|mark| mark.id == id) else {
            return 0;
        };
        let answered = self.marks.drain(..=at).next_back();
        self.confirm(answered.map_or(0, |mark| mark.before))
    }

    /// The oldest ping that has no answer. An answer without an id is to this one.
    pub(super) fn oldest(&self) -> Option<PingId> {
        self.marks.front().map(|mark| mark.id)
    }

    /// An answer without an id came: how many messages it confirmed. Pings that are
    /// not remembered have theirs too, in their place.
    pub(super) fn any_pong(&mut self) -> u64 {
        let Some(oldest) = self.marks.front_mut() else {
            return 0;
        };
        let before = oldest.before;
        match oldest.followed_by.checked_sub(1) {
            Some(left) => oldest.followed_by = left,
            None => drop(self.marks.pop_front()),
        }
        self.confirm(before)
    }

    fn confirm(&mut self, before: u64) -> u64 {
        let news = before.saturating_sub(self.confirmed);
        self.confirmed += news;
        while let Some(kept) = self.kept.pop_front() {
            if kept.number > self.confirmed {
                self.kept.push_front(kept);
                break;
            }
            self.kept_bytes -= kept.size;
        }
        news
    }

    /// Whether a pong is awaited that would confirm something.
    pub(super) fn is_asked(&self) -> bool {
        let last = self.marks.back();
        last.is_some_and(|mark| mark.before > self.confirmed)
    }

    /// How many messages were handed over and not confirmed.
    pub(super) const fn in_doubt(&self) -> u64 {
        self.handed - self.confirmed
    }

    /// Whether a copy of this size fits within the limit; a longer one only alone.
    pub(super) fn has_room(&self, size: usize, limit: usize) -> bool {
        self.kept.is_empty() || self.kept_bytes.saturating_add(size) <= limit
    }

    /// What was kept, in order.
    pub(super) fn into_kept(self) -> Vec<W> {
        self.kept.into_iter().map(|kept| kept.message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> PingId {
        PingId::from_bytes(number.to_be_bytes())
    }

    fn with(messages: &[u64]) -> Doubt<u64> {
        let mut doubt = Doubt::new();
        for &message in messages {
            doubt.message(Some((message, 10)));
        }
        doubt
    }

    #[test]
    fn a_pong_confirms_what_went_before_its_ping() {
        let mut doubt = with(&[1, 2]);
        doubt.ping(id(1));
        doubt.message(Some((3, 10)));
        assert_eq!(doubt.in_doubt(), 3);
        assert_eq!(doubt.pong(id(2)), 0);
        assert_eq!(doubt.pong(id(1)), 2);
        assert_eq!(doubt.pong(id(1)), 0);
        assert_eq!(doubt.in_doubt(), 1);
        assert_eq!(doubt.into_kept(), [3]);
    }

    #[test]
    fn a_later_pong_answers_for_earlier_pings() {
        let mut doubt = with(&[1]);
        doubt.ping(id(1));
        doubt.message(None);
        doubt.ping(id(2));
        assert_eq!(doubt.pong(id(2)), 2);
        assert_eq!(doubt.oldest(), None);
        assert_eq!(doubt.pong(id(1)), 0);
    }

    #[test]
    fn an_answer_without_an_id_is_to_the_oldest_ping() {
        let mut doubt = with(&[1]);
        doubt.ping(id(1));
        doubt.message(None);
        doubt.ping(id(2));
        assert_eq!(doubt.oldest(), Some(id(1)));
        assert_eq!(doubt.any_pong(), 1);
        assert_eq!(doubt.any_pong(), 1);
        assert_eq!(doubt.any_pong(), 0);
    }

    /// The answers to pings beyond the limit must not be taken for those to later ones.
    #[test]
    fn pings_beyond_the_limit_keep_their_place() {
        let mut doubt = with(&[]);
        for number in 0..MARKS as u64 + 2 {
            doubt.message(None);
            doubt.ping(id(number));
        }
        for _ in 0..MARKS {
            doubt.any_pong();
        }
        assert_eq!(doubt.in_doubt(), 2);
        doubt.message(None);
        doubt.ping(id(99));
        doubt.any_pong();
        doubt.any_pong();
        assert_eq!(doubt.in_doubt(), 3);
        assert_eq!(doubt.pong(id(33)), 0);
        doubt.any_pong();
        assert_eq!(doubt.in_doubt(), 0);
    }

    #[test]
    fn room_is_counted_in_bytes() {
        let mut doubt = with(&[]);
        assert!(doubt.has_room(1000, 25));
        doubt.message(Some((1, 10)));
        assert!(doubt.has_room(15, 25) && !doubt.has_room(16, 25));
        doubt.ping(id(1));
        doubt.pong(id(1));
        assert!(doubt.has_room(1000, 25));
    }
}
