//! The thread that sees to files beside those that are being written: first it publishes what
//! earlier runs left, then it keeps the data directory within its limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;

use super::partial::Directories;
use super::recover::Recovery;
use super::retention::{Limits, Retention};
use crate::accounts::Accounts;
use crate::rate_limit::RateLimit;
use crate::threads::{join, spawn};

/// The running thread; it goes on for as long as it has the other end of the channel.
pub(crate) struct Upkeep {
    stop: SyncSender<Infallible>,
    thread: JoinHandle<Result<()>>,
}

impl Upkeep {
    /// Starts it.
    pub(crate) fn start(
        directories: &Directories,
        limits: Limits,
        accounts: &Arc<Accounts>,
    ) -> Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let (directories, accounts) = (directories.clone(), Arc::clone(accounts));
        let thread = spawn("upkeep", move || {
            recover(&directories, &accounts, &stopped);
            if limits != Limits::default() {
                Retention::new(directories.data(), limits, accounts).run(&stopped);
            }
            Ok(())
        })?;
        Ok(Self { stop, thread })
    }

    /// Lets it finish the file that it is at, and waits for it.
    pub(crate) fn stop(self) -> Result<()> {
        drop(self.stop);
        join(self.thread)
    }
}

/// What earlier runs left is no reason not to capture.
fn recover(directories: &Directories, accounts: &Accounts, stopped: &Receiver<Infallible>) {
    let recovery = Recovery {
        directories,
        accounts,
        go_on: &|| matches!(stopped.try_recv(), Err(TryRecvError::Empty)),
        complaints: RateLimit::default(),
    };
    if let Err(error) = recovery.run() {
        tracing::error!("files of earlier runs stay unpublished: {error:#}");
    }
}
