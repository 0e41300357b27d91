//! The threads that look after files that are not being written: one publishes what earlier runs left,
//! the other keeps the data directory within its limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;
use capture_files::{Directories, Retention};

use super::rows::Rows;
use crate::heartbeat::{Heartbeats, WaitsFor};
use crate::stats::Counters;
use crate::threads::{join, spawn};

mod power_loss;
mod recovery;
mod retention;
mod stop;

use self::stop::Stop;

/// Recovers the files of earlier runs with their rows, to the end.
#[cfg(test)]
pub(super) fn recover(
    files: (&Directories, Option<&Rows>),
    room: &capture_files::Room,
    counters: &Counters,
) {
    recovery::run(files, room, counters, &|| true);
}

/// The running threads. They go on until the other ends of their channels are dropped.
pub(crate) struct Maintenance {
    threads: Vec<(SyncSender<Infallible>, JoinHandle<Result<()>>)>,
}

impl Maintenance {
    /// Starts them by these names.
    pub(crate) fn start(
        [maintenance, removal]: [&str; 2],
        (directories, rows): (&Directories, Option<Rows>),
        retention: Retention,
        heartbeats: &Heartbeats,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let mut threads = Vec::new();
        let mut start = |name: &str, work: Box<dyn FnOnce(&Stop) + Send>| -> Result<()> {
            let (stop, stopped) = sync_channel(1);
            let stopped = Stop::new(stopped, heartbeats.add(name, WaitsFor::Disk));
            let thread = spawn(name, move || {
                work(&stopped);
                Ok(())
            })?;
            threads.push((stop, thread));
            Ok(())
        };
        let (room, directories) = (retention.room(), directories.clone());
        let counted = Arc::clone(counters);
        let work = move |stop: &Stop| {
            let files = (&directories, rows.as_ref());
            power_loss::run(files, &room, &counted, &|| stop.goes_on());
        };
        start(maintenance, Box::new(work))?;
        let counted = Arc::clone(counters);
        let work = move |stop: &Stop| retention::run(retention, &counted, stop);
        start(removal, Box::new(work))?;
        Ok(Self { threads })
    }

    /// Lets them finish the file that they are working on, and waits for them.
    pub(crate) fn stop(self) -> Result<()> {
        let (stops, threads): (Vec<_>, Vec<_>) = self.threads.into_iter().unzip();
        drop(stops);
        threads.into_iter().try_for_each(join)
    }
}
