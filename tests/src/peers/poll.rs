//! A tcp-info that polls, and so misses connections that are shorter than its period.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::tcpinfo::StandIn;
use crate::traffic::{Connection, Observer};

/// A tcp-info that lists the open connections every 10 ms, and misses those that come and go
/// between.
#[derive(Debug)]
pub struct Poll<'a> {
    stand_in: &'a StandIn,
    /// The open connections, and whether a poll has found each of them.
    open: Mutex<Vec<(Connection, bool)>>,
    announced: AtomicUsize,
}

impl<'a> Poll<'a> {
    /// The default of tcp-info.
    const PERIOD: Duration = Duration::from_millis(10);

    /// Announces connections through `stand_in`.
    #[must_use]
    pub const fn new(stand_in: &'a StandIn) -> Self {
        Self {
            stand_in,
            open: Mutex::new(Vec::new()),
            announced: AtomicUsize::new(0),
        }
    }

    /// Polls while `job` runs; returns the job's result, and how many connections were announced.
    ///
    /// # Errors
    /// The job's own error.
    pub fn during<T>(&self, job: impl FnOnce(&Self) -> Result<T>) -> Result<(T, usize)> {
        let stop = AtomicBool::new(false);
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    self.poll();
                    thread::sleep(Self::PERIOD);
                }
            });
            let outcome = job(self);
            stop.store(true, Ordering::Relaxed);
            outcome
        })?;
        Ok((outcome, self.announced.load(Ordering::Relaxed)))
    }

    fn poll(&self) {
        for (connection, found) in self.open().iter_mut().filter(|(_, found)| !found) {
            self.stand_in.opened(connection);
            self.announced.fetch_add(1, Ordering::Relaxed);
            *found = true;
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<(Connection, bool)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Poll<'_> {
    fn opened(&self, connection: &Connection) {
        self.open().push((connection.clone(), false));
    }

    fn closed(&self, connection: &Connection) {
        let mut open = self.open();
        let at = open
            .iter()
            .position(|(of, _)| of.cookie == connection.cookie);
        if let Some((_, true)) = at.map(|at| open.swap_remove(at)) {
            self.stand_in.closed(connection);
        }
    }
}
