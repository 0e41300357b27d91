//! What files take, kept up to date from what is written, published and removed, and what has to go
//! to stay within the limits. No clock and no I/O.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::civil::Date;

use super::RetentionLimits;
use super::names::{Entry, MOST, Names, Oldest};
use super::usage::Usage;

/// How many files are removed at once.
const BATCH: usize = 16;

/// A limit may be exceeded by one part in so many while there is no name of a file that could go.
const SLACK: u64 = 32;

/// When a limit is reached, a little more is removed, so that not every file has to make room for
/// itself: one part in so many, and so much at most. Of small limits that would be a large part.
const SPARE_PART: u64 = 256;
const LARGE: Usage = Usage {
    bytes: 16 << 20,
    files: SPARE_PART,
};
const SPARE: Usage = Usage {
    bytes: 256 << 10,
    files: 64,
};

/// So many times in a row old files go because the filesystem is full, though that does not help.
const TRIES: u32 = 16;

/// Old files may have to go soon when so many times what is to stay free is free.
const NEAR_FLOOR: u64 = 3;

/// What all programs together write to a filesystem in a second, at most. Where they write more, a sweep
/// comes later than it should, and writers make room themselves meanwhile.
const FASTEST: Usage = Usage {
    bytes: 2 << 30,
    files: 100_000,
};

/// So much memory for names is taken even if no limit is near: a small filesystem is full at once.
const LITTLE: usize = 1 << 20;

/// When so few names are left, the next ones are looked for.
const FEW: u64 = 16 * 1024;

/// So many times in a row, removing files may fail to make free space more.
const FRUITLESS: u32 = 3;

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The files take as much disk space as they may.
    Disk,
    /// There are as many files as there may be.
    Files,
    /// As little of the filesystem is free as may be.
    Free,
}

/// The files of a day.
#[derive(Debug, Default)]
struct Day {
    usage: Usage,
    /// Whether it is known what it takes: what was there before may not have been counted.
    known: bool,
    /// The oldest of them.
    names: Names,
    /// Whether these are all.
    complete: bool,
    /// No file in it was modified before this, as far as is known.
    oldest: u64,
    /// While its directory is read.
    scan: Option<Scan>,
    /// Some of them cannot be removed at present.
    stuck: bool,
}

/// What happens to a day while its directory is read.
#[derive(Debug, Default)]
struct Scan {
    added: Usage,
    removed: Usage,
    /// What was taken out of it.
    taken: HashSet<Vec<u8>>,
}

/// What was found in a day's directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) usage: Usage,
    /// The names, if they were wanted.
    pub(super) names: Option<Oldest>,
}

/// What makes it impossible to say how much free space a removal gives.
#[derive(Debug, Clone, Copy, Default)]
struct Watch {
    free: Usage,
    grown: Usage,
    removed: Usage,
    wanted: Usage,
}

/// The account of a data directory.
#[derive(Debug)]
pub(super) struct Account {
    limits: RetentionLimits,
    days: BTreeMap<Date, Day>,
    /// The sum of all days.
    published: Usage,
    /// The partial files of this run, and of earlier ones.
    growing: Usage,
    earlier: Usage,
    /// Whether it is known which days there are, and what each of them takes.
    listed: bool,
    counted: bool,
    /// What is free, and what is to stay free.
    free: Usage,
    floor: Usage,
    /// Everything that was ever written and removed here.
    grown: Usage,
    removed: Usage,
    watch: Option<Watch>,
    fruitless: u32,
    /// Nothing is removed for the sake of the floor, because it did not help.
    in_vain: bool,
    /// How many times in a row the filesystem was full, a quota for example.
    full: u32,
}

impl Account {
    pub(super) fn new(limits: RetentionLimits) -> Self {
        Self {
            limits,
            days: BTreeMap::new(),
            published: Usage::default(),
            growing: Usage::default(),
            earlier: Usage::default(),
            listed: false,
            counted: false,
            free: Usage::default(),
            floor: Usage::default(),
            grown: Usage::default(),
            removed: Usage::default(),
            watch: None,
            fruitless: 0,
            in_vain: false,
            full: 0,
        }
    }

    /// The limits that are in force.
    pub(super) const fn limits(&self) -> RetentionLimits {
        self.limits
    }

    /// Replaces the limits. What was in vain for the old ones may not be for these.
    pub(super) fn set_limits(&mut self, limits: RetentionLimits) {
        self.limits = limits;
        (self.watch, self.fruitless, self.in_vain, self.full) = (None, 0, false, 0);
        if limits.free == 0 {
            self.floor = Usage::default();
        }
    }

    /// What all files take.
    pub(super) fn total(&self) -> Usage {
        self.published + self.growing + self.earlier
    }

    pub(super) const fn counted(&self) -> bool {
        self.counted
    }

    /// A partial file of this run has become as large as `after`, or is gone.
    pub(super) fn grew(&mut self, before: Usage, after: Usage) {
        let more = after.without(before);
        self.growing = (self.growing + more).without(before.without(after));
        if !more.is_nothing() {
            self.full = 0;
        }
        self.grown += more;
        self.free = self.free.without(more);
    }

    /// A file appeared in the directory of a day.
    pub(super) fn published(&mut self, date: Date, entry: &Entry) {
        let size = Usage::file(entry.bytes());
        let most = if self.wants_names() { MOST } else { LITTLE };
        let room = self.names_memory() < most;
        let listed = self.listed;
        let day = self.days.entry(date).or_insert_with(|| Day {
            // It had no directory when the days were listed.
            known: listed,
            complete: listed,
            oldest: entry.modified,
            ..Day::default()
        });
        day.usage += size;
        day.oldest = day.oldest.min(entry.modified);
        self.published += size;
        if let Some(scan) = &mut day.scan {
            scan.added += size;
        }
        day.complete &= room;
        if day.complete {
            day.names.push(entry);
        }
    }

    /// What partial files of earlier runs take.
    pub(super) fn found_earlier(&mut self, usage: Usage) {
        self.earlier = usage;
    }

    /// A partial file of an earlier run was published or removed.
    pub(super) fn recovered(&mut self, bytes: u64) {
        self.earlier = self.earlier.without(Usage::file(bytes));
    }

    /// Whether limits are near, so that old files may have to go soon.
    pub(super) fn is_near(&self) -> bool {
        self.is_near_with(Usage::default())
    }

    /// Whether limits may be near after this time, whoever writes.
    pub(super) fn gets_near(&self, within: Duration) -> bool {
        let seconds = within.as_secs() + 1;
        self.is_near_with(Usage {
            bytes: FASTEST.bytes * seconds,
            files: FASTEST.files * seconds,
        })
    }

    /// Whether limits are near once `more` is written.
    fn is_near_with(&self, more: Usage) -> bool {
        let (total, free) = (self.total() + more, self.free.without(more));
        let near = |used: u64, limit: Option<u64>| limit.is_some_and(|it| used > it / 4 * 3);
        near(total.bytes, self.limits.disk)
            || near(total.files, self.limits.files)
            || self.full > 0
            || free.bytes < self.floor.bytes.saturating_mul(NEAR_FLOOR)
            || free.files < self.floor.files.saturating_mul(NEAR_FLOOR)
    }

    /// Whether the names of old files may be needed.
    pub(super) fn wants_names(&self) -> bool {
        self.limits.disk.is_some() || self.limits.files.is_some() || self.is_near()
    }

    fn names_memory(&self) -> usize {
        self.days.values().map(|day| day.names.memory()).sum()
    }

    /// What has to go so that `more` has room.
    pub(super) fn excess(&self, more: Usage) -> Usage {
        let total = self.total() + more;
        let over = |used: u64, limit: Option<u64>, of: fn(Usage) -> u64| match limit {
            Some(limit) if used > limit && limit < of(LARGE) => used - limit,
            Some(limit) if used > limit => used - limit + of(SPARE).min(limit / SPARE_PART),
            _ => 0,
        };
        let limits = if self.counted {
            Usage {
                bytes: over(total.bytes, self.limits.disk, |it| it.bytes),
                files: over(total.files, self.limits.files, |it| it.files),
            }
        } else {
            Usage::default()
        };
        if self.in_vain || !self.listed {
            limits
        } else {
            limits.or(self.floor.without(self.free.without(more)))
        }
    }

    /// Why `more` has no room, if it has none now.
    pub(super) fn refusal(&self, more: Usage) -> Option<Limit> {
        self.refusal_without(Usage::default(), more)
    }

    /// Why `more` will have no room, whatever is removed.
    pub(super) fn lasting_refusal(&self, more: Usage) -> Option<Limit> {
        self.refusal_without(self.published, more)
    }

    fn refusal_without(&self, gone: Usage, more: Usage) -> Option<Limit> {
        // Until everything is counted, what was written meanwhile is.
        let total = if self.counted {
            self.total()
        } else {
            self.grown
        };
        let total = total.without(gone) + more;
        let over = |used: u64, limit: Option<u64>| {
            let base = |limit| if self.counted { limit } else { 0 };
            limit.is_some_and(|limit| used > base(limit) + limit / SLACK)
        };
        let gone = if self.in_vain { Usage::default() } else { gone };
        let (left, floor) = ((self.free + gone).without(more), self.floor);
        let least = floor.without(floor.part(8));
        if over(total.bytes, self.limits.disk) {
            Some(Limit::Disk)
        } else if over(total.files, self.limits.files) {
            Some(Limit::Files)
        } else if left.bytes < least.bytes || left.files < least.files {
            Some(Limit::Free)
        } else {
            None
        }
    }

    /// The days, those first whose files go first. What is dated later than `tomorrow` was written
    /// by another clock, before anything that is written now.
    fn order(&self, tomorrow: Date) -> impl Iterator<Item = Date> {
        let future = self.days.range(tomorrow..).map(|(date, _)| *date);
        let future = future.filter(move |date| *date > tomorrow);
        let past = self.days.range(..=tomorrow).map(|(date, _)| *date);
        future.chain(past)
    }

    /// Takes some of the oldest files out of the account, to be removed. `None` if there are none,
    /// or their names have to be found first.
    pub(super) fn take(&mut self, excess: Usage, tomorrow: Date) -> Option<(Date, Vec<Entry>)> {
        let date = self.first(tomorrow)?;
        let day = self.days.get_mut(&date)?;
        let mut gone = Usage::default();
        let enough = |gone: Usage| excess.without(gone).is_nothing();
        let mut entries = Vec::new();
        while entries.len() < BATCH
            && !enough(gone)
            && let Some(entry) = day.names.pop()
        {
            gone += Usage::file(entry.bytes());
            entries.push(entry);
        }
        self.take_out(date, &entries);
        (!entries.is_empty()).then_some((date, entries))
    }

    /// Takes some files of a day that were modified before `limit` out of the account.
    pub(super) fn take_older(&mut self, date: Date, limit: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(day) = self.days.get_mut(&date) {
            while entries.len() < BATCH && day.names.oldest().is_some_and(|it| it < limit) {
                entries.extend(day.names.pop());
            }
        }
        self.take_out(date, &entries);
        entries
    }

    fn take_out(&mut self, date: Date, entries: &[Entry]) {
        let sizes = entries.iter().map(|entry| Usage::file(entry.bytes()));
        let gone = sizes.fold(Usage::default(), |sum, size| sum + size);
        self.published = self.published.without(gone);
        self.free += gone;
        self.removed += gone;
        if let Some(day) = self.days.get_mut(&date) {
            day.usage = day.usage.without(gone);
            if let Some(scan) = &mut day.scan {
                scan.removed += gone;
                let names = entries.iter().map(|entry| entry.name.clone());
                scan.taken.extend(names);
            }
        }
    }

    /// A file that was taken could not be removed.
    pub(super) fn stays(&mut self, date: Date, entry: &Entry) {
        let size = Usage::file(entry.bytes());
        let day = self.days.entry(date).or_default();
        day.usage += size;
        (day.complete, day.stuck) = (false, true);
        self.published += size;
        self.was_gone(entry);
    }

    /// A file that was taken had been removed by others: that made no space.
    pub(super) fn was_gone(&mut self, entry: &Entry) {
        let size = Usage::file(entry.bytes());
        self.free = self.free.without(size);
        self.removed = self.removed.without(size);
    }

    /// The first day that has files which can be removed, for all that is known.
    fn first(&self, tomorrow: Date) -> Option<Date> {
        let removable =
            |day: &Day| day.names.len() > 0 || (day.usage.files > 0 || !day.known) && !day.stuck;
        let mut order = self.order(tomorrow);
        order.find(|date| self.days.get(date).is_some_and(removable))
    }

    /// The day whose directory has to be read so that files can be taken: at once, or soon if that
    /// is what is asked for.
    pub(super) fn to_scan(&self, tomorrow: Date, soon: bool) -> Option<Date> {
        let date = self.first(tomorrow)?;
        let day = self.days.get(&date)?;
        let names = day.names.len() as u64;
        let few = if soon {
            FEW.min(day.usage.files / 4)
        } else {
            0
        };
        // Where others add files, the names may be less complete than they were.
        let lacks = !day.complete || names == 0;
        (names <= few && lacks).then_some(date)
    }

    /// Whether the directory of a day has to be read to find files that were modified before
    /// `limit`.
    pub(super) fn may_have_older(&self, date: Date, limit: u64) -> bool {
        self.days.get(&date).is_some_and(|day| {
            let unknown = day.names.len() == 0 && !day.complete;
            let some = day.usage.files > 0 || !day.known;
            some && day.oldest < limit && unknown && !day.stuck
        })
    }

    /// The directory of a day will be read.
    pub(super) fn begin_scan(&mut self, date: Date) {
        self.days.entry(date).or_default().scan = Some(Scan::default());
    }

    /// What was found when it was read, or nothing if that failed.
    pub(super) fn end_scan(&mut self, date: Date, found: Option<Found>) {
        let Some(day) = self.days.get_mut(&date) else {
            return;
        };
        let scan = day.scan.take().unwrap_or_default();
        let Some(found) = found else {
            return;
        };
        self.published = self.published.without(day.usage);
        day.usage = settle(day.usage, found.usage, scan.added + scan.removed);
        day.known = true;
        self.published += day.usage;
        if let Some(oldest) = found.names {
            let complete = oldest.is_complete() && scan.added.is_nothing();
            day.names = oldest.into_names(&scan.taken);
            day.complete = complete;
            day.oldest = day.names.oldest().unwrap_or(u64::MAX);
            self.forget_younger_names(date);
        }
    }

    /// Keeps the memory of names within its limit.
    fn forget_younger_names(&mut self, than: Date) {
        while self.names_memory() > MOST {
            let known = |(date, day): &(&Date, &mut Day)| **date != than && day.names.len() > 0;
            let Some((_, day)) = self.days.iter_mut().rev().find(known) else {
                return;
            };
            day.names = Names::default();
            day.complete = false;
        }
    }

    /// These are the days that there are.
    pub(super) fn list(&mut self, dates: &BTreeSet<Date>) {
        self.listed = true;
        for date in dates {
            self.days.entry(*date).or_default();
        }
        self.days
            .retain(|date, day| dates.contains(date) || !day.usage.is_nothing());
    }

    /// Whether it is known which days there are.
    pub(super) const fn listed(&self) -> bool {
        self.listed
    }

    /// Every day has been counted once.
    pub(super) fn all_counted(&mut self) {
        self.counted = true;
    }

    /// The days with directories.
    pub(super) fn dates(&self) -> Vec<Date> {
        self.days.keys().copied().collect()
    }

    /// Whether there is nothing of ours in a day.
    pub(super) fn is_empty(&self, date: Date) -> bool {
        self.days
            .get(&date)
            .is_none_or(|day| day.usage.is_nothing())
    }

    /// A day's directory was removed.
    pub(super) fn forget(&mut self, date: Date) {
        if self.is_empty(date) {
            self.days.remove(&date);
        }
    }

    /// The filesystem was full, whatever is said to be free. What has to go for that.
    pub(super) fn ran_out(&mut self) -> Usage {
        self.full = self.full.saturating_add(1);
        let RetentionLimits {
            disk, files, free, ..
        } = self.limits;
        let may_remove = disk.is_some() || files.is_some() || free > 0;
        if may_remove && !self.in_vain && self.full <= TRIES {
            SPARE
        } else {
            Usage::default()
        }
    }

    /// What is to stay free.
    pub(super) fn set_floor(&mut self, floor: Usage) {
        self.floor = floor;
    }

    /// What is free was measured.
    pub(super) fn measured(&mut self, free: Usage) {
        self.free = free;
        let lacking = self.floor.without(free);
        if lacking.is_nothing() {
            (self.watch, self.fruitless, self.in_vain) = (None, 0, false);
            return;
        }
        let watch = *self.watch.get_or_insert(Watch {
            free,
            grown: self.grown,
            removed: self.removed,
            wanted: lacking,
        });
        if self.in_vain {
            return;
        }
        let removed = self.removed.without(watch.removed);
        let grown = self.grown.without(watch.grown);
        // As much as was lacking was removed. A quarter of that should be seen at least, whatever
        // others write meanwhile.
        let enough = watch.wanted.without(removed).is_nothing();
        let expected = (watch.free + removed.part(4)).without(grown);
        let missing = expected.without(free);
        let helps = (lacking.bytes == 0 || missing.bytes == 0)
            && (lacking.files == 0 || missing.files == 0);
        if enough && !helps {
            self.in_vain = true;
            self.fruitless += 1;
        }
    }

    /// A while later: what did not help or failed may be tried again, but not for ever.
    pub(super) fn try_again(&mut self) {
        for day in self.days.values_mut() {
            day.stuck = false;
        }
        if self.fruitless < FRUITLESS {
            (self.watch, self.in_vain) = (None, false);
        }
    }
}

/// What a day takes, when it was counted while files came and went: the count, unless the
/// difference can be due to these.
fn settle(known: Usage, counted: Usage, moved: Usage) -> Usage {
    let within = |known: u64, counted: u64, moved: u64| {
        if known.abs_diff(counted) <= moved {
            known
        } else {
            counted
        }
    };
    Usage {
        bytes: within(known.bytes, counted.bytes, moved.bytes),
        files: within(known.files, counted.files, moved.files),
    }
}

#[cfg(test)]
mod tests;
