//! The ledger: each message that a client took is received by the peer's application, or
//! given back.

use std::collections::{BTreeMap, BTreeSet};

use tungstenite::Message;

use crate::peers::{Heard, Speech};
use crate::{Adapter, Seen};

/// The text of a message: its number is in it, at the beginning.
pub(super) fn text(adapter: Adapter, number: u64, size: usize) -> String {
    let mut text = format!("{adapter} {number} ");
    text.extend(std::iter::repeat_n('.', size.saturating_sub(text.len())));
    text
}

/// Whose message it is, and its number.
pub(super) fn number(text: &str) -> Option<(&str, u64)> {
    let (name, rest) = text.split_once(' ')?;
    let number = rest.split([' ', '"']).next()?;
    Some((name, number.parse().ok()?))
}

/// What was given back to one client.
#[derive(Debug, Default)]
pub(super) struct Reported(BTreeSet<u64>);

impl Reported {
    pub(super) fn note(&mut self, speech: Speech, seen: &Seen) {
        let (one, many, more) = match seen {
            Seen::Down(down) => (None, down.unsent.as_slice(), down.kept.as_slice()),
            Seen::Stopped { unsent, .. } => (None, unsent.as_slice(), [].as_slice()),
            Seen::Rejected(message) => (Some(message), [].as_slice(), [].as_slice()),
            _ => return,
        };
        for message in one.into_iter().chain(many).chain(more) {
            self.add(speech, message);
        }
    }

    fn add(&mut self, speech: Speech, message: &Message) {
        let text = speech.text(message);
        self.0.extend(text.and_then(|text| Some(number(&text)?.1)));
    }
}

/// What became of the messages of one client.
#[derive(Debug, Default)]
pub(super) struct Balance {
    pub(super) reported: usize,
    pub(super) lost: usize,
    pub(super) unaccounted: Vec<u64>,
    /// Received more than once.
    pub(super) twice: Vec<u64>,
    /// Whether each connection's came in their order.
    pub(super) is_in_order: bool,
}

/// `sent` have the numbers from 0 on.
pub(super) fn balance(
    adapter: Adapter,
    sent: u64,
    reported: &Reported,
    heard: &[Heard],
    forget_one: bool,
) -> Balance {
    let mut received = BTreeMap::<u64, u32>::new();
    let mut last = BTreeMap::new();
    let mut is_in_order = true;
    for heard in heard {
        let Some((name, number)) = number(&heard.text) else {
            continue;
        };
        if name != adapter.to_string() {
            continue;
        }
        *received.entry(number).or_default() += 1;
        let before = last.insert((heard.life, heard.connection), number);
        is_in_order &= before.is_none_or(|before| before < number);
    }
    if forget_one {
        let first = received.keys().find(|number| !reported.0.contains(number));
        first.copied().map(|first| received.remove(&first));
    }
    let lost: Vec<u64> = (0..sent)
        .filter(|number| !received.contains_key(number))
        .collect();
    let unaccounted = lost
        .iter()
        .copied()
        .filter(|number| !reported.0.contains(number))
        .collect();
    Balance {
        reported: reported.0.len(),
        lost: lost.len(),
        unaccounted,
        twice: received
            .iter()
            .filter(|(_, times)| **times > 1)
            .map(|(number, _)| *number)
            .collect(),
        is_in_order,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_received_or_given_back_or_missed() {
        let heard = |number| Heard {
            life: 0,
            connection: 1,
            text: text(Adapter::Smol, number, 40),
        };
        let mut reported = Reported::default();
        reported.0.extend([1, 2]);
        let all = [0, 1, 3, 3, 5].map(heard);
        let balance = balance(Adapter::Smol, 6, &reported, &all, false);
        assert_eq!((balance.reported, balance.lost), (2, 2));
        assert_eq!(balance.unaccounted, [4]);
        assert_eq!(balance.twice, [3]);
        assert!(!balance.is_in_order);
    }
}
