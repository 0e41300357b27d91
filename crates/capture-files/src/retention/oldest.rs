//! The oldest of a directory's files, without remembering all of them.

use std::collections::BinaryHeap;

use super::tree::Entry;

/// How many files are remembered at once: some megabytes of names. If more of one day have to go,
/// its directory is read again.
pub(super) const MOST: usize = 1 << 15;

/// The oldest of the files that were added: as many as are wanted, and no more than [`MOST`].
pub(super) struct Oldest {
    /// The youngest of them first.
    files: BinaryHeap<Entry>,
    bytes: u64,
    wanted: u64,
}

impl Oldest {
    /// Files of `wanted` bytes together.
    pub(super) fn new(wanted: u64) -> Self {
        Self {
            files: BinaryHeap::new(),
            bytes: 0,
            wanted,
        }
    }

    /// Adds a file. The youngest is dropped if there is enough without it.
    pub(super) fn add(&mut self, file: Entry) {
        self.bytes = self.bytes.saturating_add(file.bytes);
        self.files.push(file);
        while let Some(youngest) = self.files.peek() {
            let without = self.bytes.saturating_sub(youngest.bytes);
            if without < self.wanted && self.files.len() <= MOST {
                break;
            }
            self.bytes = without;
            self.files.pop();
        }
    }

    /// The files, oldest first.
    pub(super) fn into_sorted(self) -> Vec<Entry> {
        self.files.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    fn file(second: u64, bytes: u64) -> Entry {
        Entry {
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            name: std::ffi::CString::new(format!("{second}-{bytes}")).unwrap(),
            bytes,
        }
    }

    proptest! {
        #[test]
        fn they_are_the_oldest_and_just_enough(
            files in proptest::collection::vec((0u64..50, 0u64..9), 0..60), wanted in 1u64..100,
        ) {
            let mut oldest = Oldest::new(wanted);
            let mut all: Vec<_> = files.into_iter().map(|(at, bytes)| file(at, bytes)).collect();
            for file in &all {
                oldest.add(file.clone());
            }
            all.sort();
            let mut sum = 0;
            all.retain(|file| {
                let wanted = sum < wanted;
                sum += file.bytes;
                wanted
            });
            prop_assert_eq!(oldest.into_sorted(), all);
        }
    }

    #[test]
    fn there_are_never_too_many() {
        let mut oldest = Oldest::new(u64::MAX);
        for second in 0..MOST as u64 + 100 {
            oldest.add(file(second, 1));
        }
        let files = oldest.into_sorted();
        assert_eq!(files.len(), MOST);
        assert_eq!(files.first(), Some(&file(0, 1)));
    }
}
