//! The thread that looks after files that are not being written: first it publishes what earlier
//! runs left, then it keeps the data directory within its limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;
use capture_files::{Directories, RetentionLimits};

use crate::heartbeat::{Heartbeats, WaitsFor};
use crate::stats::Counters;
use crate::threads::{join, spawn};

mod power_loss;
mod recovery;
mod retention;
mod stop;

use self::stop::Stop;

/// The name of the thread.
const NAME: &str = "maintenance";

/// The running thread. It goes on until the other end of its channel is dropped.
pub(crate) struct Maintenance {
    stop: SyncSender<Infallible>,
    thread: JoinHandle<Result<()>>,
}

impl Maintenance {
    /// Starts it.
    pub(crate) fn start(
        directories: &Directories,
        limits: RetentionLimits,
        heartbeats: &Heartbeats,
        counters: &Arc<Counters>,
    ) -> Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let stopped = Stop::new(stopped, heartbeats.add(NAME, WaitsFor::Disk));
        let (directories, counters) = (directories.clone(), Arc::clone(counters));
        let thread = spawn(NAME, move || {
            power_loss::run(&directories, &counters, &|| stopped.goes_on());
            if limits != RetentionLimits::default() {
                retention::run(directories.data(), limits, &counters, &stopped);
            }
            Ok(())
        })?;
        Ok(Self { stop, thread })
    }

    /// Lets it finish the file that it is working on, and waits for it.
    pub(crate) fn stop(self) -> Result<()> {
        drop(self.stop);
        join(self.thread)
    }
}
