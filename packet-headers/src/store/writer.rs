//! The thread that owns the files of one shard.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result};
use capture_files::{
    Directories, FileError, FileEvent, FileOptions, FinishedFile, InterfaceNames, Job, Observer,
    Writer,
};
use model::{Count, DiscardReason, FlowUuid, WallNanos};

use crate::heartbeat::{Heartbeat, LONGEST_WAIT};
use crate::rate_limit::RateLimit;
use crate::stats::Counters;

/// How many jobs may wait between a shard and its writer. More wait in the shard, within its limit.
pub const QUEUE: usize = 1024;

/// How often finished files that could not get their final name are tried again.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// The writer of one shard's files.
pub struct ShardWriter {
    writer: Writer<Counting>,
    /// When finished files were tried again last.
    tried: Instant,
}

impl ShardWriter {
    /// A writer into these directories.
    ///
    /// # Errors
    /// If compression cannot be started.
    pub fn new(
        directories: Directories,
        options: &FileOptions,
        interfaces: Arc<InterfaceNames>,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        let counting = Counting::new(counters);
        let writer = Writer::new(directories, options, interfaces, counting);
        Ok(Self {
            writer: writer.context("starting compression")?,
            tried: Instant::now(),
        })
    }

    /// Lets another thread publish what is finished.
    pub fn hand_over(&mut self, finished: SyncSender<FinishedFile>) {
        self.writer.hand_over(finished);
    }

    /// Does jobs until no shard sends any more. Each that is done is subtracted from `backlog`.
    pub fn run(mut self, jobs: &Receiver<Job>, backlog: &Count, heartbeat: &Heartbeat) {
        loop {
            heartbeat.beat();
            match self.next(jobs) {
                Ok(job) => {
                    let cost = job.cost() as u64;
                    self.write(job);
                    backlog.sub(cost);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.has_unpublished() && self.tried.elapsed() >= RETRY {
                self.retry();
                self.tried = Instant::now();
            }
        }
        self.finish();
    }

    /// Waits for the next job, but for no longer than [`RETRY`] while files lack their final name.
    fn next(&self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        let wait = if self.has_unpublished() {
            RETRY
        } else {
            LONGEST_WAIT
        };
        jobs.recv_timeout(wait)
    }

    fn has_unpublished(&self) -> bool {
        self.writer.unpublished().len() > 0
    }

    /// Does one job.
    pub fn write(&mut self, job: Job) {
        self.writer.write(job);
    }

    /// Tries again to give finished files their final name.
    pub fn retry(&mut self) {
        self.writer.retry();
    }

    /// Ends writing: no job will come any more.
    pub fn finish(self) {
        self.writer.finish();
    }
}

/// Counts and logs what becomes of files and packets.
pub struct Counting {
    counters: Arc<Counters>,
    errors: RateLimit,
}

impl Observer for Counting {
    fn observe(&mut self, event: FileEvent<'_>) {
        let counters = &self.counters;
        match event {
            FileEvent::Spill(took) => counters.spills.add(took),
            FileEvent::Rename(took) => counters.renames.add(took),
            FileEvent::Sync(took) => counters.syncs.add(took),
            FileEvent::NotSynced(error) => {
                counters.note_file_error(&error);
                if let Some(more) = self.errors.pass() {
                    let error = Error::from(error);
                    tracing::error!(
                        "published files may be partial again after a power loss: {error:#}{more}"
                    );
                }
            }
            FileEvent::Published(file) => {
                tracing::trace!("published {}", file.path.display());
                counters.write_held(file.packets);
                counters.published.add(1);
                counters.published_bytes.add(file.bytes);
            }
            FileEvent::Dropped(uuid, dropped) => {
                counters.discard_held(DiscardReason::WriteFailed, dropped.packets);
                self.log_error(uuid, "is incomplete", dropped.error);
            }
            FileEvent::Deferred(uuid, error) => self.log_error(uuid, "waits for its name", error),
            FileEvent::StillDeferred(_, error) => counters.note_file_error(&error),
            FileEvent::Abandoned(uuid, file) => {
                counters.discard_held(DiscardReason::WriteFailed, file.packets);
                counters.failed.add(1);
                let what = if file.remains {
                    "is left for the next start to publish"
                } else {
                    "is lost"
                };
                self.log_error(uuid, what, file.error);
            }
            FileEvent::NoFile(_) => counters.failed.add(1),
        }
    }

    fn lost_by(&self, moment: WallNanos) -> u64 {
        self.counters.losses.before(moment)
    }

    fn lost(&self) -> u64 {
        self.counters.lost()
    }
}

impl Counting {
    /// Counts there.
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            errors: RateLimit::default(),
        }
    }

    /// Counts and logs an error of a flow's file.
    fn log_error(&self, uuid: &FlowUuid, what: &str, error: FileError) {
        self.counters.note_file_error(&error);
        if let Some(more) = self.errors.pass() {
            let error = Error::from(error);
            tracing::error!("the file of {uuid} {what}: {error:#}{more}");
        }
    }
}

#[cfg(test)]
mod tests;
