//! Sorts what a batch has by connection.

/// Bits of a digit. Two digits tell connections apart: with 10,000 of them, a dozen pairs share a
/// place, and what shares one is merely mixed.
const DIGIT: u32 = 11;

/// Values of a digit.
const VALUES: usize = 1 << DIGIT;

/// With fewer items, counting digits would cost more than comparing.
const FEW: usize = 512;

/// Spreads a key's digest once more: the digests of a shard have their highest bits in common.
const SPREAD: u64 = 0xd6e8_feb8_6659_fd93;

/// Marks an item with which a connection may begin.
const BEGINS: u64 = 1 << 63;

/// An item of a batch: the place of its connection in the upper half, and its number in the lower half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Item(u64);

/// The order in which a batch is taken: by connection, and within one as it was added.
#[derive(Debug, Default)]
pub(super) struct Order {
    items: Vec<Item>,
    /// The same memory again, to sort with.
    spare: Vec<Item>,
    /// Whether it is by connection.
    by_connection: bool,
}

impl Item {
    /// How many items were added before it.
    #[inline]
    pub(super) const fn number(self) -> usize {
        self.0 as u32 as usize
    }

    /// Whether a connection may begin with it.
    #[inline]
    pub(super) const fn begins(self) -> bool {
        self.0 & BEGINS != 0
    }

    #[inline]
    const fn place(self) -> u64 {
        (self.0 & !BEGINS) >> 32
    }

    /// A digit of its place, the lower one first.
    #[inline]
    const fn digit(self, digit: u32) -> usize {
        (self.0 >> (32 + digit * DIGIT)) as usize % VALUES
    }
}

impl Order {
    /// Forgets all items.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.by_connection = false;
    }

    /// How many items there are.
    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }

    /// Adds the next item, by the digest of its connection's key, and whether a connection may begin
    /// with it. There may be 2^32 items.
    #[inline]
    pub(super) fn add(&mut self, digest: u64, begins: bool) {
        let place = digest.wrapping_mul(SPREAD) >> (u64::BITS - 2 * DIGIT);
        let mark = if begins { BEGINS } else { 0 };
        let number = self.items.len() as u64;
        self.items.push(Item(mark | place << 32 | number));
    }

    /// Brings the items of each connection together.
    pub(super) fn sort(&mut self) {
        self.by_connection = true;
        if self.items.len() < FEW {
            return self.items.sort_unstable_by_key(|item| item.0 & !BEGINS);
        }
        let mut counts = [[0u32; VALUES]; 2];
        for &item in &self.items {
            for (digit, counts) in counts.iter_mut().enumerate() {
                counts[item.digit(digit as u32)] += 1;
            }
        }
        self.spare.resize(self.items.len(), Item::default());
        for (digit, counts) in counts.iter_mut().enumerate() {
            begins(counts);
            for &item in &self.items {
                let next = &mut counts[item.digit(digit as u32)];
                self.spare[*next as usize] = item;
                *next += 1;
            }
            std::mem::swap(&mut self.items, &mut self.spare);
        }
    }

    /// The items of one place after the other: those of a connection, or of several that share it. All
    /// of them are one place, unless they were sorted.
    pub(super) fn places(&mut self) -> impl Iterator<Item = &mut [Item]> {
        let mixed = !self.by_connection;
        self.items
            .chunk_by_mut(move |one, next| mixed || one.place() == next.place())
    }

    /// Some items of those that there are.
    pub(super) fn some(&self, range: std::ops::Range<usize>) -> &[Item] {
        self.items.get(range).unwrap_or_default()
    }
}

/// Replaces how often each value occurs by where the first item with it belongs.
fn begins(counts: &mut [u32; VALUES]) {
    let mut begin = 0;
    for count in counts {
        begin += std::mem::replace(count, begin);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn items_of_a_connection_are_together_and_in_order(
            connections in proptest::collection::vec(0u64..300, 0..1500)
        ) {
            let mut order = Order::default();
            // What is left of another batch.
            order.add(7, true);
            order.sort();
            order.clear();
            connections.iter().for_each(|&it| order.add(it, it % 3 == 0));
            order.sort();
            let mut seen: Vec<u64> = Vec::new();
            let mut numbers: Vec<usize> = Vec::new();
            for place in order.places() {
                let here: Vec<_> = place.iter().map(|item| item.number()).collect();
                prop_assert!(here.is_sorted());
                // So few connections share no place.
                let connection = connections[here[0]];
                prop_assert!(place.iter().all(|it| it.begins() == (connection % 3 == 0)));
                prop_assert!(here.iter().all(|&it| connections[it] == connection));
                prop_assert!(!seen.contains(&connection));
                seen.push(connection);
                numbers.extend(here);
            }
            numbers.sort_unstable();
            prop_assert!(numbers.into_iter().eq(0..connections.len()));
        }
    }
}
