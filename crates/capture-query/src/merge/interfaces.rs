//! The interfaces of the output: those of the sources, each once.

use std::sync::{Mutex, PoisonError};

use capture_reader::Interface;
use hashbrown::HashMap;

use super::sorter::Key;

/// As many as a source may have.
const MOST: usize = 65_536;

/// The interfaces of the output while it is put together, by several threads.
#[derive(Debug, Default)]
pub(super) struct Interfaces(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Name, u32>,
    list: Vec<Described>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    link_type: u16,
    name: Option<String>,
}

/// An interface of the output.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) link_type: u16,
    pub(super) name: Option<String>,
    pub(super) snap_length: u32,
    /// Its first packet, which decides its place.
    first: Key,
}

impl Interfaces {
    /// The preliminary number of an interface which has this packet; `None` if there are too many.
    pub(super) fn number(&self, of: &Interface, packet: Key) -> Option<u32> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = Name {
            link_type: of.link_type,
            name: of.name.clone(),
        };
        let number = match known.numbers.get(&name) {
            Some(&number) => number,
            None if known.list.len() == MOST => return None,
            None => {
                let number = known.list.len() as u32;
                known.list.push(Described {
                    link_type: of.link_type,
                    name: of.name.clone(),
                    snap_length: of.snap_length,
                    first: packet,
                });
                known.numbers.insert(name, number);
                number
            }
        };
        let described = known.list.get_mut(number as usize)?;
        described.first = described.first.min(packet);
        described.snap_length = match (described.snap_length, of.snap_length) {
            // No limit.
            (0, _) | (_, 0) => 0,
            (one, other) => one.max(other),
        };
        Some(number)
    }

    /// The interfaces by their first packets, and for each preliminary number the final one: which thread
    /// was first shall not show.
    pub(super) fn in_order(&self) -> (Vec<Described>, Vec<u32>) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<_> = (0..known.list.len()).collect();
        order.sort_by_key(|&number| known.list[number].first);
        let mut numbers = vec![0; known.list.len()];
        for (at, &number) in (0..).zip(&order) {
            numbers[number] = at;
        }
        let described = order
            .iter()
            .map(|&number| known.list[number].clone())
            .collect();
        (described, numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn their_order_is_that_of_their_first_packets_whoever_was_read_first() {
        let interfaces = Interfaces::default();
        let interface = |name: &str, snap_length| Interface {
            link_type: 1,
            snap_length,
            name: Some(name.to_owned()),
            number: 0,
        };
        let key = |source| Key {
            time: 0,
            source,
            packet: 0,
        };
        assert_eq!(interfaces.number(&interface("b", 96), key(5)), Some(0));
        assert_eq!(interfaces.number(&interface("a", 96), key(3)), Some(1));
        assert_eq!(interfaces.number(&interface("c", 0), key(4)), Some(2));
        assert_eq!(interfaces.number(&interface("b", 128), key(1)), Some(0));
        let (described, numbers) = interfaces.in_order();
        let described: Vec<_> = described
            .iter()
            .map(|one| (one.name.as_deref(), one.snap_length))
            .collect();
        assert_eq!(
            described,
            [(Some("b"), 128), (Some("a"), 96), (Some("c"), 0)]
        );
        assert_eq!(numbers, [0, 1, 2]);

        assert_eq!(interfaces.number(&interface("c", 0), key(0)), Some(2));
        assert_eq!(interfaces.in_order().1, [1, 2, 0]);
    }
}
