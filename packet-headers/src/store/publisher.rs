//! The thread that publishes what the writers have finished, where files are synced: many at a time, and
//! out of the writers' way.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use capture_files::{Directories, FileNaming, FinishedFile, Publisher};

use super::writer::{CARE, Counting};
use crate::heartbeat::{Heartbeat, Heartbeats, LONGEST_WAIT, WaitsFor};
use crate::stats::backlog::Backlog;
use crate::threads::spawn;

/// The name of the thread.
const NAME: &str = "publisher";

/// How many finished files may wait for it. With more, the writers wait.
const QUEUE: usize = 4096;

/// How long a finished file waits for others that are synced with it.
const GATHER: Duration = Duration::from_secs(1);

/// How many files are synced together.
const GROUP: usize = 1024;

/// The same while the daemon stops, when each group may be the one that comes too late.
const LAST_GROUP: usize = 128;

/// What the thread publishes for.
pub(crate) struct Site<'a> {
    /// Where files are.
    pub(crate) directories: &'a Directories,
    /// What they are called.
    pub(crate) naming: FileNaming,
    /// What becomes of them is counted here.
    pub(crate) counting: Counting,
    /// What waits for each writer. They know how long a stop may take.
    pub(crate) backlogs: Vec<Arc<Backlog>>,
}

/// Starts the thread. It goes on until nobody has the sender any more. Before it ends it publishes
/// everything that it can until the daemon must have stopped.
pub(crate) fn start(
    site: Site<'_>,
    heartbeats: &Heartbeats,
) -> Result<(SyncSender<FinishedFile>, JoinHandle<Result<()>>)> {
    let Site {
        directories,
        naming,
        counting,
        backlogs,
    } = site;
    let (finished, inbox) = sync_channel(QUEUE);
    let publisher = Publisher::new(directories.clone(), naming, counting);
    let heartbeat = heartbeats.add(NAME, WaitsFor::Disk);
    let thread = spawn(NAME, move || {
        run(publisher, &inbox, &backlogs, &heartbeat);
        Ok(())
    })?;
    Ok((finished, thread))
}

/// Publishes what comes, until nothing can come any more.
pub(super) fn run(
    mut publisher: Publisher<Counting>,
    inbox: &Receiver<FinishedFile>,
    backlogs: &[Arc<Backlog>],
    heartbeat: &Heartbeat,
) {
    let is_late = || {
        let now = Instant::now();
        backlogs.iter().any(|backlog| backlog.is_late(now))
    };
    let mut tried = Instant::now();
    loop {
        heartbeat.beat();
        let waits = publisher.unpublished().len() > 0;
        match inbox.recv_timeout(if waits { CARE } else { LONGEST_WAIT }) {
            Ok(first) => {
                let stops = backlogs.iter().any(|backlog| backlog.ends());
                let group = gather(first, inbox, if stops { LAST_GROUP } else { GROUP });
                heartbeat.beat();
                if is_late() {
                    publisher.leave(group);
                } else {
                    publisher.publish(group);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if publisher.unpublished().len() > 0 && tried.elapsed() >= CARE && !is_late() {
            publisher.retry();
            tried = Instant::now();
        }
    }
    if is_late() {
        publisher.leave_all();
    } else {
        publisher.finish();
    }
}

/// The files that are finished soon after the first, up to `most` in all.
fn gather(first: FinishedFile, inbox: &Receiver<FinishedFile>, most: usize) -> Vec<FinishedFile> {
    let deadline = Instant::now() + GATHER;
    let mut group = vec![first];
    while group.len() < most {
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.recv_timeout(left) {
            Ok(file) => group.push(file),
            // At the end, nobody waits for more.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    group
}
