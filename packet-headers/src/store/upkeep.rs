//! What is done to files beside writing them: publishing what earlier runs left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;

use super::partial::Directories;
use super::recover::Recovery;
use super::retention::Limits;
use crate::accounts::Accounts;
use crate::threads::{join, spawn};

/// The running threads.
pub(crate) struct Upkeep {
    stop: Arc<AtomicBool>,
    recovery: JoinHandle<Result<()>>,
}

impl Upkeep {
    /// Starts them.
    pub(crate) fn start(
        directories: &Directories,
        _retention: Limits,
        accounts: &Arc<Accounts>,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (directories, accounts) = (directories.clone(), Arc::clone(accounts));
        let until = Arc::clone(&stop);
        let recovery = spawn("recovery", move || {
            let recovery = Recovery {
                directories: &directories,
                accounts: &accounts,
                stop: &until,
            };
            recovery.run()
        })?;
        Ok(Self { stop, recovery })
    }

    /// Lets each finish the file that it is at, and waits for it.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        join(self.recovery)
    }
}
