//! The thread that publishes what the writers have finished, where files are synced or rows are written: many
//! at a time, and out of the writers' way.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use capture_files::{Directories, FileNaming, FinishedFile, Publisher};

use super::rows::{RowedCaptures, Rows};
use super::writer::{CARE, Counting};
use crate::heartbeat::{Heartbeat, Heartbeats, LONGEST_WAIT, WaitsFor};
use crate::stats::backlog::Backlog;
use crate::threads::spawn;

/// How many finished files may wait for it. With more, the writers wait, and rows are given up until fewer wait.
const QUEUE: usize = 4096;

/// How long a finished file waits for others that are synced with it.
const GATHER: Duration = Duration::from_secs(1);

/// How many files are synced together.
const GROUP: usize = 1024;

/// The same while the daemon stops, when each group may be the one that comes too late.
const LAST_GROUP: usize = 128;

/// How much of the time for a stop is not for rows if files wait.
const WITHOUT_ROWS: Duration = Duration::from_secs(5);

/// What the thread publishes for.
pub(crate) struct Site<'a> {
    /// The name of the thread.
    pub(crate) name: &'static str,
    /// Where files are.
    pub(crate) directories: &'a Directories,
    /// What they are called.
    pub(crate) naming: FileNaming,
    /// What becomes of them is counted here.
    pub(crate) counting: Counting,
    /// What waits for each writer. They know how long a stop may take.
    pub(crate) backlogs: Vec<Arc<Backlog>>,
    /// The rows that are written of them.
    pub(crate) rows: Option<Rows>,
}

/// Starts the thread. It goes on until nobody has the sender any more. Before it ends it publishes
/// everything that it can until the daemon must have stopped.
pub(crate) fn start(
    site: Site<'_>,
    heartbeats: &Heartbeats,
) -> Result<(SyncSender<FinishedFile>, JoinHandle<Result<()>>)> {
    let Site {
        name,
        directories,
        naming,
        counting,
        backlogs,
        rows,
    } = site;
    let (finished, inbox) = sync_channel(QUEUE);
    let publisher = Publisher::new(directories.clone(), naming, counting);
    let heartbeat = heartbeats.add(name, WaitsFor::Disk);
    let gather = if directories.has_fsync() {
        GATHER
    } else {
        Duration::ZERO
    };
    let thread = spawn(name, move || {
        let publishing = Publishing {
            publisher,
            rowed: rows.clone().map(RowedCaptures::new),
            rows,
            gather,
            is_behind: false,
        };
        publishing.run(&inbox, &backlogs, &heartbeat);
        Ok(())
    })?;
    Ok((finished, thread))
}

/// What the thread works with.
pub(super) struct Publishing {
    pub(super) publisher: Publisher<Counting>,
    pub(super) rows: Option<Rows>,
    pub(super) rowed: Option<RowedCaptures>,
    /// How long a finished file waits for others.
    pub(super) gather: Duration,
    /// Whether more files are finished than can be read.
    pub(super) is_behind: bool,
}

impl Publishing {
    /// Publishes what comes, until nothing can come any more.
    pub(super) fn run(
        mut self,
        inbox: &Receiver<FinishedFile>,
        backlogs: &[Arc<Backlog>],
        heartbeat: &Heartbeat,
    ) {
        let in_time = || {
            heartbeat.beat();
            let now = Instant::now();
            !backlogs.iter().any(|backlog| backlog.is_late(now))
        };
        let (mut tried, mut due) = (Instant::now(), None);
        loop {
            heartbeat.beat();
            match inbox.recv_timeout(self.longest_wait(due)) {
                Ok(first) => {
                    let stops = backlogs.iter().any(|backlog| backlog.ends());
                    let most = if stops { LAST_GROUP } else { GROUP };
                    let group = gather(first, inbox, (self.gather, most));
                    self.is_behind = is_behind(self.is_behind, &group, most);
                    let now = Instant::now();
                    let mut ends = backlogs.iter();
                    let patient = ends.any(|backlog| backlog.ends_after(WITHOUT_ROWS, now));
                    self.publish(group, patient, &in_time);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.has_unpublished() && tried.elapsed() >= CARE && in_time() {
                self.publisher.retry();
                self.note_unpublished();
                tried = Instant::now();
            }
            // At a stop, captures come first.
            if !backlogs.iter().any(|backlog| backlog.ends()) {
                due = (self.rows.as_ref()).and_then(|rows| rows.publish_due(&in_time));
            }
        }
        self.finish(&in_time);
    }

    /// Publishes files; `patient` is whether there is time for rows all the same if it is behind.
    fn publish(&mut self, group: Vec<FinishedFile>, patient: bool, in_time: &dyn Fn() -> bool) {
        if !in_time() {
            self.publisher.leave(group);
        } else if let Some(rowed) = &mut self.rowed {
            let with_rows = patient || !self.is_behind;
            rowed.publish(group, &mut self.publisher, with_rows, in_time);
        } else {
            self.publisher.publish(group);
        }
    }

    /// How long to wait for files, if rows are due in so long.
    fn longest_wait(&self, rows: Option<Duration>) -> Duration {
        let wait = if self.has_unpublished() {
            CARE
        } else {
            LONGEST_WAIT
        };
        rows.map_or(wait, |rows| wait.min(rows))
    }

    fn has_unpublished(&self) -> bool {
        self.publisher.unpublished().len() > 0
    }

    /// Rows wait for their captures.
    fn note_unpublished(&self) {
        if let Some(rows) = &self.rows {
            rows.set_waiting(self.publisher.unpublished().len());
        }
    }

    fn finish(self, in_time: &dyn Fn() -> bool) {
        self.note_unpublished();
        if in_time() {
            self.publisher.finish();
        } else {
            self.publisher.leave_all();
        }
        if let Some(rows) = &self.rows {
            rows.finish(in_time);
        }
    }
}

/// Whether more files are finished than can be read: from when one had to wait for its place, until there are
/// fewer than fit into a group.
fn is_behind(was: bool, group: &[FinishedFile], most: usize) -> bool {
    group.len() >= most && (was || group.iter().any(FinishedFile::has_waited))
}

/// The files that are finished within a span after the first, up to `most` in all.
fn gather(
    first: FinishedFile,
    inbox: &Receiver<FinishedFile>,
    (span, most): (Duration, usize),
) -> Vec<FinishedFile> {
    let deadline = Instant::now() + span;
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
