//! How often the threads of a process wake.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::world::procfs;

/// How often each thread of a process had waited for something by one moment, by its ID and name. Every
/// wait ends with a wakeup.
#[derive(Debug, Clone)]
pub struct Wakeups(BTreeMap<(u32, String), u64>);

impl Wakeups {
    /// Reads them.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(process: u32) -> Result<Self> {
        let mut threads = BTreeMap::new();
        for status in procfs::threads(process)? {
            let id = procfs::field(&status, "Pid")?.parse()?;
            let name = procfs::field(&status, "Name")?.to_owned();
            let waits = procfs::field(&status, "voluntary_ctxt_switches")?.parse()?;
            threads.insert((id, name), waits);
        }
        Ok(Self(threads))
    }

    /// Those of a process during a span, which passes meanwhile.
    ///
    /// # Errors
    /// There is no such process.
    pub fn during(span: Duration, process: u32) -> Result<Self> {
        let before = Self::of(process)?;
        thread::sleep(span);
        Ok(Self::of(process)?.since(&before))
    }

    /// Those since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let since = |(thread, count): (&(u32, String), &u64)| {
            let earlier = before.0.get(thread).copied().unwrap_or(0);
            (thread.clone(), count.saturating_sub(earlier))
        };
        Self(self.0.iter().map(since).collect())
    }

    /// Those of the threads whose name passes.
    #[must_use]
    pub fn of_threads(&self, mut passes: impl FnMut(&str) -> bool) -> u64 {
        let threads = self.0.iter();
        let passed = threads.filter(|((_, name), _)| passes(name));
        passed.map(|(_, count)| count).sum()
    }

    /// Those of all threads.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
