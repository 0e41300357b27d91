//! The names of a day's files, oldest first, in little memory: a name takes what distinguishes it
//! from its neighbours, and 14 bytes.
//!
//! A directory may hold millions of files. Reading it once has to pay for as many removals as
//! possible, or each removal would cost more the more files there are: half of [`MOST`] holds some
//! 300,000 names that end in a socket's cookie.

use std::collections::{HashSet, VecDeque};

use crate::disk::STAT_BLOCK;

/// The memory for names, in bytes.
pub(super) const MOST: usize = 16 << 20;

/// A published file. Older ones compare as less.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// When it was modified last, in nanoseconds since 1970.
    pub(super) modified: u64,
    /// Its name in its directory.
    pub(super) name: Vec<u8>,
    /// The disk space that it takes, in blocks of stat(2).
    pub(super) blocks: u32,
}

impl Entry {
    /// The disk space that it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.blocks) * STAT_BLOCK
    }
}

/// Names in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The beginning of the first name, which most names share.
    pivot: Vec<u8>,
    /// One name after the other.
    bytes: VecDeque<u8>,
    count: usize,
}

/// The bytes of a name's time, blocks, and two lengths.
const HEAD: usize = 8 + 4 + 1 + 1;

impl Names {
    /// Adds one. Names longer than 255 bytes do not exist (NAME_MAX).
    pub(super) fn push(&mut self, entry: &Entry) {
        if self.count == 0 {
            self.pivot.clone_from(&entry.name);
        }
        self.bytes.extend(encode(&self.pivot, entry));
        self.count += 1;
    }

    /// The one that was added first.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let [a, b, c, d, e, f, g, h, i, j, k, l, shared, length] = self.head()?;
        self.bytes.drain(..HEAD);
        let mut name = self.pivot[..usize::from(shared)].to_vec();
        name.extend(self.bytes.drain(..usize::from(length)));
        self.count -= 1;
        Some(Entry {
            modified: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            blocks: u32::from_ne_bytes([i, j, k, l]),
            name,
        })
    }

    /// When the first one was modified last.
    pub(super) fn oldest(&self) -> Option<u64> {
        let [a, b, c, d, e, f, g, h, ..] = self.head()?;
        Some(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }

    fn head(&self) -> Option<[u8; HEAD]> {
        let mut head = [0; HEAD];
        let mut bytes = self.bytes.iter();
        for byte in &mut head {
            *byte = *bytes.next()?;
        }
        Some(head)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// The memory that they take, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len()
    }
}

fn encode(pivot: &[u8], entry: &Entry) -> Vec<u8> {
    let pairs = pivot.iter().zip(&entry.name);
    let shared = pairs.take_while(|(a, b)| a == b).count().min(255);
    let rest = &entry.name[shared..];
    let rest = &rest[..rest.len().min(255)];
    let mut bytes = Vec::with_capacity(HEAD + rest.len());
    bytes.extend(entry.modified.to_ne_bytes());
    bytes.extend(entry.blocks.to_ne_bytes());
    bytes.extend([shared, rest.len()].map(|length| u8::try_from(length).unwrap_or(u8::MAX)));
    bytes.extend(rest);
    bytes
}

/// The oldest of the files that are added in any order: all of them, or as many as memory allows.
#[derive(Debug)]
pub(super) struct Oldest {
    pivot: Vec<u8>,
    /// When each was modified, and where it begins in `bytes`.
    slots: Vec<(u64, u32)>,
    bytes: Vec<u8>,
    memory: usize,
    /// Files as young as this one are left out, if any were.
    youngest: Option<u64>,
}

impl Oldest {
    /// In so many bytes of memory.
    pub(super) const fn within(memory: usize) -> Self {
        Self {
            pivot: Vec::new(),
            slots: Vec::new(),
            bytes: Vec::new(),
            memory,
            youngest: None,
        }
    }

    /// Adds one, unless it is younger than what there is no memory for.
    pub(super) fn add(&mut self, entry: &Entry) {
        if self
            .youngest
            .is_some_and(|youngest| entry.modified >= youngest)
        {
            return;
        }
        if self.slots.is_empty() {
            self.pivot.clone_from(&entry.name);
        }
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.slots.push((entry.modified, at));
        self.bytes.extend(encode(&self.pivot, entry));
        if self.bytes.len() > self.memory {
            self.halve();
        }
    }

    /// Forgets the younger half.
    fn halve(&mut self) {
        self.slots.sort_unstable();
        let kept = self.slots.len() / 2;
        self.youngest = self.slots.get(kept).map(|slot| slot.0);
        self.slots.truncate(kept);
        let before = std::mem::take(&mut self.bytes);
        for slot in &mut self.slots {
            let piece = piece(&before, slot.1);
            slot.1 = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
            self.bytes.extend(piece);
        }
    }

    /// Whether all that were added are in it.
    pub(super) const fn is_complete(&self) -> bool {
        self.youngest.is_none()
    }

    /// The names, oldest first, but not those that were `taken` meanwhile.
    pub(super) fn into_names(mut self, taken: &HashSet<Vec<u8>>) -> Names {
        self.slots.sort_unstable();
        let mut names = Names {
            pivot: self.pivot,
            ..Names::default()
        };
        for (_, at) in self.slots {
            let piece = piece(&self.bytes, at);
            if taken.is_empty() || !taken.contains(&name(&names.pivot, piece)) {
                names.bytes.extend(piece);
                names.count += 1;
            }
        }
        names
    }
}

/// The whole name that these bytes stand for.
fn name(pivot: &[u8], piece: &[u8]) -> Vec<u8> {
    let shared = piece.get(HEAD - 2).map_or(0, |shared| usize::from(*shared));
    [
        pivot.get(..shared).unwrap_or_default(),
        piece.get(HEAD..).unwrap_or_default(),
    ]
    .concat()
}

/// The bytes of the name that begins there.
fn piece(bytes: &[u8], at: u32) -> &[u8] {
    let bytes = bytes.get(at as usize..).unwrap_or_default();
    let rest = bytes.get(HEAD - 1).map_or(0, |length| usize::from(*length));
    bytes.get(..HEAD + rest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(modified: u64, name: &str) -> Entry {
        Entry {
            modified,
            name: name.into(),
            blocks: 8,
        }
    }

    fn all(mut names: Names) -> Vec<Entry> {
        std::iter::from_fn(|| names.pop()).collect()
    }

    proptest! {
        #[test]
        fn names_come_back_in_order(
            files in proptest::collection::vec((0u64..50, "[a-c_]{1,6}", 0u32..9), 0..60),
        ) {
            let mut names = Names::default();
            let mut want: Vec<_> = files
                .into_iter()
                .map(|(modified, name, blocks)| Entry { modified, name: name.into(), blocks })
                .collect();
            let mut oldest = Oldest::within(MOST);
            for entry in &want {
                names.push(entry);
                oldest.add(entry);
            }
            prop_assert_eq!(names.len(), want.len());
            prop_assert_eq!(names.oldest(), want.first().map(|entry| entry.modified));
            prop_assert_eq!(&all(names), &want);
            want.sort_by_key(|entry| entry.modified);
            prop_assert!(oldest.is_complete());
            prop_assert_eq!(all(oldest.into_names(&HashSet::new())), want);
        }

        #[test]
        fn where_memory_ends_the_oldest_are_known(
            times in proptest::collection::vec(0u64..10_000, 1..300),
        ) {
            let mut oldest = Oldest::within(600);
            for &time in &times {
                oldest.add(&entry(time, &format!("host_{time:016X}.pcap")));
            }
            let complete = oldest.is_complete();
            let names = oldest.into_names(&HashSet::new());
            prop_assert!(names.memory() <= 600);
            let got: Vec<_> = all(names).iter().map(|entry| entry.modified).collect();
            let mut want = times;
            want.sort_unstable();
            if complete {
                prop_assert_eq!(&got, &want);
            } else {
                // Of several that are equally old, some may be missing.
                let last = *got.last().unwrap();
                want.retain(|time| *time <= last);
                want.truncate(got.len());
                prop_assert_eq!(&got, &want);
            }
        }
    }

    #[test]
    fn a_name_takes_little_memory() {
        let mut names = Names::default();
        for cookie in 0..1000 {
            let name = format!("node-17.example.org_1700000000_unsafe_{cookie:016X}.pcap");
            names.push(&entry(cookie, &name));
        }
        assert!(names.memory() < 26 * 1000, "{}", names.memory());
    }
}
