//! The thread that publishes what the writers have finished, where files are synced: many at a time, and
//! out of the writers' way.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use capture_files::{Directories, FileNaming, FinishedFile, Publisher};

use super::writer::{CARE, Counting};
use crate::heartbeat::{Heartbeat, Heartbeats, LONGEST_WAIT, WaitsFor};
use crate::threads::spawn;

/// The name of the thread.
const NAME: &str = "publisher";

/// How many finished files may wait for it. With more, the writers wait.
const QUEUE: usize = 4096;

/// How long a finished file waits for others that are synced with it.
const GATHER: Duration = Duration::from_secs(1);

/// How many files are synced together.
const GROUP: usize = 1024;

/// Starts the thread. It goes on until nobody has the sender any more, and publishes everything before it
/// ends.
pub(crate) fn start(
    directories: &Directories,
    naming: FileNaming,
    heartbeats: &Heartbeats,
    counting: Counting,
) -> Result<(SyncSender<FinishedFile>, JoinHandle<Result<()>>)> {
    let (finished, inbox) = sync_channel(QUEUE);
    let publisher = Publisher::new(directories.clone(), naming, counting);
    let heartbeat = heartbeats.add(NAME, WaitsFor::Disk);
    let thread = spawn(NAME, move || {
        run(publisher, &inbox, &heartbeat);
        Ok(())
    })?;
    Ok((finished, thread))
}

fn run(mut publisher: Publisher<Counting>, inbox: &Receiver<FinishedFile>, heartbeat: &Heartbeat) {
    let mut tried = Instant::now();
    loop {
        heartbeat.beat();
        let waits = publisher.unpublished().len() > 0;
        match inbox.recv_timeout(if waits { CARE } else { LONGEST_WAIT }) {
            Ok(first) => {
                let group = gather(first, inbox);
                heartbeat.beat();
                publisher.publish(group);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if publisher.unpublished().len() > 0 && tried.elapsed() >= CARE {
            publisher.retry();
            tried = Instant::now();
        }
    }
    publisher.finish();
}

/// The files that are finished soon after the first.
fn gather(first: FinishedFile, inbox: &Receiver<FinishedFile>) -> Vec<FinishedFile> {
    let deadline = Instant::now() + GATHER;
    let mut group = vec![first];
    while group.len() < GROUP {
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.recv_timeout(left) {
            Ok(file) => group.push(file),
            // At the end, nobody waits for more.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    group
}
