//! Room for files: what writers ask for before they write, and tell what they wrote.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustix::fs::statvfs;

use super::RetentionLimits;
use super::account::{Account, Limit};
use super::clocks;
use super::names::Entry;
use super::sweep::{Removal, Sweep};
use super::tree::{Tree, place};
use super::usage::Usage;
use crate::disk::STAT_BLOCK;
use crate::observer::FileEvent;

/// How many files a writer removes at most before it goes on writing.
const MOST_AT_ONCE: u64 = 64;

/// Blocks of filesystems, in bytes. Over a network, they are as large as a request.
const BLOCKS: std::ops::RangeInclusive<u64> = 512..=65_536;
const USUAL_BLOCK: u64 = 4096;

/// The account of a data directory and its partial files, which writers keep up to date. Cheap to
/// clone: clones share it.
#[derive(Debug, Clone)]
pub struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    data: PathBuf,
    block: u64,
    account: Mutex<Account>,
}

/// What it took to make room.
#[derive(Debug, Default)]
pub struct Made {
    /// The files that were removed.
    pub sweep: Sweep,
    /// The limit because of which there is no room, if there is none.
    pub refused: Option<Limit>,
}

impl Room {
    pub(super) fn new(data: &Path, limits: RetentionLimits) -> Self {
        let block = statvfs(data).map_or(USUAL_BLOCK, |found| found.f_frsize);
        Self(Arc::new(Shared {
            data: data.to_owned(),
            block: if BLOCKS.contains(&block) {
                block
            } else {
                USUAL_BLOCK
            },
            account: Mutex::new(Account::new(limits)),
        }))
    }

    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        let account = &self.0.account;
        account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn data(&self) -> &Path {
        &self.0.data
    }

    /// Makes room for so many bytes more, in a new file or in one that is there: if a limit is
    /// reached, the oldest published files are removed. It is not waited for anything but their
    /// removal, and not more are removed at once than a writer has time for.
    #[must_use]
    pub fn make(&self, bytes: u64, new_file: bool) -> Made {
        let more = Usage {
            bytes: self.blocks(bytes),
            files: u64::from(new_file),
        };
        let mut made = Made::default();
        let excess = self.account().excess(more);
        self.remove_oldest(excess, SystemTime::now(), &mut made.sweep, &|swept| {
            swept.files + swept.failures < MOST_AT_ONCE
        });
        made.refused = self.account().refusal(more);
        made
    }

    /// Takes note that the filesystem, or a quota of it, was full, and removes some of the oldest
    /// files if there is any limit that says so.
    #[must_use]
    pub fn ran_out(&self) -> Sweep {
        let excess = self.account().ran_out();
        let mut sweep = Sweep::default();
        self.remove_oldest(excess, SystemTime::now(), &mut sweep, &|swept| {
            swept.files + swept.failures < MOST_AT_ONCE
        });
        sweep
    }

    /// The limit because of which no new file can be written, whichever old ones are removed, if
    /// there is one.
    #[must_use]
    pub fn refusal(&self) -> Option<Limit> {
        self.account().lasting_refusal(Usage::file(self.0.block))
    }

    /// Replaces the limits: from now on for those who write, and from the next sweep on for what is there.
    pub fn change(&self, limits: RetentionLimits) {
        self.account().set_limits(limits);
    }

    /// What all files take: published ones, and those that are growing.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.account().total()
    }

    /// Takes note of what became of a file.
    pub fn note(&self, event: &FileEvent<'_>) {
        match event {
            FileEvent::Grown { before, after } => {
                let [before, after] = [*before, *after].map(|length| self.file(length));
                self.account().grew(before, after);
            }
            FileEvent::Published(file) => {
                let bytes = self.blocks(file.bytes);
                self.account().grew(Usage::file(bytes), Usage::default());
                self.appeared(&file.path, bytes);
            }
            FileEvent::Abandoned(_, file) if !file.remains => {
                let was = self.file(Some(file.bytes));
                self.account().grew(was, Usage::default());
            }
            FileEvent::Removed(file) | FileEvent::LeftOut(file) => {
                let was = self.file(Some(file.bytes));
                self.account().grew(was, Usage::default());
            }
            FileEvent::Spill(_)
            | FileEvent::Rename(_)
            | FileEvent::Sync(_)
            | FileEvent::NotSynced(_)
            | FileEvent::Dropped(..)
            | FileEvent::Deferred(..)
            | FileEvent::StillDeferred(..)
            | FileEvent::Abandoned(..)
            | FileEvent::NoFile(_) => {}
        }
    }

    /// Takes note of a file of an earlier run that was published.
    pub fn note_recovered(&self, path: &Path) {
        let bytes = path.symlink_metadata().map_or(0, |found| {
            std::os::unix::fs::MetadataExt::blocks(&found) * STAT_BLOCK
        });
        self.account().recovered(bytes);
        self.appeared(path, bytes);
    }

    fn appeared(&self, path: &Path, bytes: u64) {
        let Some((day, name)) = place(path) else {
            return;
        };
        let entry = Entry {
            modified: u64::try_from(clocks::wall(SystemTime::now())).unwrap_or(0),
            name,
            blocks: u32::try_from(bytes / STAT_BLOCK).unwrap_or(u32::MAX),
        };
        self.account().published(day, &entry);
    }

    /// Removes the oldest files until there is no `excess`, for as long as `go_on` says so of what
    /// was removed, and names are known.
    pub(super) fn remove_oldest(
        &self,
        excess: Usage,
        now: SystemTime,
        sweep: &mut Sweep,
        go_on: &dyn Fn(&Sweep) -> bool,
    ) {
        let forever = || true;
        if excess.is_nothing() {
            return;
        }
        let Ok(tree) = Tree::open(self.data(), &forever) else {
            return;
        };
        let (mut left, tomorrow) = (excess, clocks::tomorrow(now));
        while !left.is_nothing() && go_on(sweep) {
            let taken = self.account().take(left, tomorrow);
            let Some((day, entries)) = taken else {
                return;
            };
            for entry in &entries {
                left = left.without(Usage::file(entry.bytes()));
            }
            self.remove(&tree, day, &entries, sweep);
        }
    }

    /// Removes files that were taken out of the account.
    pub(super) fn remove(
        &self,
        tree: &Tree<'_>,
        day: jiff::civil::Date,
        entries: &[Entry],
        sweep: &mut Sweep,
    ) {
        sweep.remove(tree, day, entries, |entry, removal| match removal {
            Removal::Done => {}
            Removal::WasGone => self.account().was_gone(entry),
            Removal::Failed => self.account().stays(day, entry),
        });
    }

    fn file(&self, length: Option<u64>) -> Usage {
        length.map_or_else(Usage::default, |length| Usage::file(self.blocks(length)))
    }

    /// The disk space that so many bytes take.
    fn blocks(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(self.0.block)
    }
}
