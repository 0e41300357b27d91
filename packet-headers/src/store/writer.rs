//! The thread that owns the files of one shard.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result};
use capture_files::{
    Directories, FileError, FileEvent, FileIssue, FileOptions, FinishedFile, InterfaceNames, Job,
    Limit, Observer, Room, Writer,
};
use model::owner::WantedOwners;
use model::{DiscardReason, FlowUuid, Protocol, WallNanos};
use tokio::sync::watch;

use crate::heartbeat::{Heartbeat, LONGEST_WAIT};
use crate::rate_limit::RateLimit;
use crate::shard::outbox::Queued;
use crate::stats::Counters;
use crate::stats::backlog::Backlog;
use crate::terminal::logged;

use super::{explain, swept};

/// How many jobs may wait between a shard and its writer. More wait in the shard, within its limit.
pub const QUEUE: usize = 1024;

/// The bytes before the first packet of a file, and more.
const FILE_HEADER: u64 = 1024;

/// How often finished files that could not get their final name are tried again, and open ones closed
/// that are not written any more.
pub(super) const CARE: Duration = Duration::from_secs(1);

/// The writer of one shard's files.
pub struct ShardWriter {
    writer: Writer<Counting>,
    room: Room,
    counters: Arc<Counters>,
    /// What its files are of.
    protocol: Protocol,
    /// Says that there is no room, and that files cannot be removed to make some.
    full: RateLimit,
    stuck: RateLimit,
    /// When that was done last which is done each [`CARE`].
    cared: Instant,
    /// Whose flows are wanted, which may change.
    owners: watch::Receiver<WantedOwners>,
    /// How many files it has said to keep open.
    kept_open: usize,
    /// Whether the disk was too slow for a stop.
    late: bool,
}

impl ShardWriter {
    /// A writer into these directories, as far as there is room.
    ///
    /// # Errors
    /// If compression cannot be started.
    pub fn new(
        directories: Directories,
        options: &FileOptions,
        interfaces: Arc<InterfaceNames>,
        counting: Counting,
    ) -> Result<Self> {
        let (room, counters) = (counting.room.clone(), Arc::clone(&counting.counters));
        let protocol = counting.protocol;
        let writer = Writer::new(directories, options, interfaces, counting);
        Ok(Self {
            writer: writer.context("starting compression")?,
            room,
            counters,
            protocol,
            full: RateLimit::default(),
            stuck: RateLimit::default(),
            cared: Instant::now(),
            owners: watch::Sender::default().subscribe(),
            kept_open: 0,
            late: false,
        })
    }

    /// Lets another thread publish what is finished.
    pub fn hand_over(&mut self, finished: SyncSender<FinishedFile>) {
        self.writer.hand_over(finished);
    }

    /// Writes only flows of these owners, as they are then. Whose a flow is, its last job says.
    pub fn only_of(&mut self, owners: watch::Receiver<WantedOwners>) {
        self.owners = owners;
    }

    /// Lets so many files stay open between two writes.
    pub fn keep_open(&mut self, most: usize) {
        self.writer.keep_open(most);
    }

    /// Does jobs until no shard sends any more. Each that is done is subtracted from `backlog`.
    pub fn run(mut self, jobs: &Receiver<Queued>, backlog: &Backlog, heartbeat: &Heartbeat) {
        loop {
            heartbeat.beat();
            match self.next(jobs) {
                Ok(Queued { job, since }) => {
                    backlog.begin(since);
                    let cost = job.cost() as u64;
                    if backlog.is_late(Instant::now()) {
                        self.give_up(job);
                    } else {
                        self.write(job);
                    }
                    backlog.sub(cost);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.needs_care() && self.cared.elapsed() >= CARE {
                self.care();
                self.cared = Instant::now();
            }
        }
        self.finish();
    }

    /// Waits for the next job, but for no longer than [`CARE`] while there are files to care for.
    fn next(&self, jobs: &Receiver<Queued>) -> Result<Queued, RecvTimeoutError> {
        let wait = if self.needs_care() {
            CARE
        } else {
            LONGEST_WAIT
        };
        jobs.recv_timeout(wait)
    }

    /// Tries again to give finished files their final name, and closes those that are not written any
    /// more.
    fn care(&mut self) {
        if self.has_unpublished() {
            self.writer.retry();
        }
        self.writer.close_idle();
        self.count_kept(self.writer.kept_open());
    }

    /// Whether files lack their final name, or are open.
    fn needs_care(&self) -> bool {
        self.has_unpublished() || self.writer.kept_open() > 0
    }

    fn has_unpublished(&self) -> bool {
        self.writer.unpublished().len() > 0
    }

    /// Does one job, as far as there is room. A file that is finished is published in any case: that
    /// takes no more.
    pub fn write(&mut self, mut job: Job) {
        if job.last && !self.owners.borrow().accepts(job.owner.as_deref()) {
            return self.leave_out(&job);
        }
        if job.chunk.packets > 0
            && let Some(limit) = self.make_room(&job)
        {
            let lost = std::mem::take(&mut job.chunk).packets;
            self.counters
                .lose_held(self.protocol, DiscardReason::NoRoom, lost);
            if let Some(more) = self.full.pass() {
                tracing::error!("{}{more}", explain(limit));
            }
            if !job.last {
                return;
            }
        }
        self.writer.write(job);
        self.count_kept(self.writer.kept_open());
    }

    /// Removes what there is of a flow that is of somebody else.
    fn leave_out(&mut self, last: &Job) {
        let packets = last.chunk.packets;
        self.counters
            .discard_held(DiscardReason::OtherOwner, packets);
        self.writer.leave_out(last.flow);
        self.count_kept(self.writer.kept_open());
    }

    /// Counts the files that stay open, with those of the other writers.
    fn count_kept(&mut self, now: usize) {
        let before = std::mem::replace(&mut self.kept_open, now);
        let count = &self.counters.kept_open;
        count.add(now.saturating_sub(before) as u64);
        count.sub(before.saturating_sub(now) as u64);
    }

    /// Makes room for a job's packets; the limit that is in the way, if there is none.
    fn make_room(&self, job: &Job) -> Option<Limit> {
        let new_file = !self.writer.has_file(job.flow);
        let more = job.chunk.length() as u64 + if new_file { FILE_HEADER } else { 0 };
        let made = self.room.make(more, new_file);
        if let Some(error) = swept::count(made.sweep, &self.counters)
            && let Some(more) = self.stuck.pass()
        {
            let error = Error::from(error);
            tracing::error!("cannot make room for new files: {error:#}{more}");
        }
        made.refused
    }

    /// Tries again to give finished files their final name.
    pub fn retry(&mut self) {
        self.writer.retry();
        self.count_kept(self.writer.kept_open());
    }

    /// Discards a job, without a disk.
    fn give_up(&mut self, mut job: Job) {
        if !std::mem::replace(&mut self.late, true) {
            tracing::error!(
                "the disk is too slow to stop in time: what is not written yet is discarded, and counted as \
                 writer_behind; the next start publishes the files that grow"
            );
        }
        let lost = std::mem::take(&mut job.chunk).packets;
        self.counters
            .lose_held(self.protocol, DiscardReason::WriterBehind, lost);
        if std::mem::take(&mut job.last) {
            // Its file is left as it is, if there is one, and counted with the others.
            self.writer.write(job);
        }
    }

    /// Ends writing: no job will come any more.
    pub fn finish(mut self) {
        self.count_kept(0);
        if self.late {
            self.writer.leave();
        } else {
            self.writer.finish();
        }
    }
}

/// Counts and logs what becomes of files and packets.
pub struct Counting {
    counters: Arc<Counters>,
    room: Room,
    /// What the files are of.
    protocol: Protocol,
    errors: RateLimit,
}

impl Observer for Counting {
    fn observe(&mut self, event: FileEvent<'_>) {
        self.room.note(&event);
        let counters = &self.counters;
        match event {
            FileEvent::Grown { .. } => {}
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
                if !counters.first_named.swap(true, Ordering::Relaxed) {
                    tracing::info!("the first file is {}", logged(&file.path));
                }
                counters.write_held(file.packets);
                counters.published.add(1);
                counters.published_bytes.add(file.bytes);
            }
            FileEvent::Dropped(uuid, dropped) => {
                counters.lose_held(self.protocol, DiscardReason::WriteFailed, dropped.packets);
                self.log_error(uuid, "is incomplete", dropped.error);
            }
            FileEvent::Deferred(uuid, error) => self.log_error(uuid, "waits for its name", error),
            FileEvent::StillDeferred(_, error) => counters.note_file_error(&error),
            FileEvent::Abandoned(uuid, file) => {
                counters.lose_held(self.protocol, DiscardReason::WriteFailed, file.packets);
                counters.failed.add(1);
                let what = if file.remains {
                    "is left for the next start to publish"
                } else {
                    "is lost"
                };
                self.log_error(uuid, what, file.error);
            }
            FileEvent::Removed(file) => {
                counters.discard_held(DiscardReason::NotKept, file.packets);
                counters.rows.not_kept.add(1);
            }
            FileEvent::LeftOut(file) => {
                counters.discard_held(DiscardReason::OtherOwner, file.packets);
            }
            FileEvent::NoFile(_) => counters.failed.add(1),
        }
    }

    fn lost_by(&self, moment: WallNanos) -> u64 {
        self.counters.losses_of(self.protocol).before(moment)
    }

    fn lost(&self) -> u64 {
        self.counters.lost()
    }
}

impl Counting {
    /// Adds to these counters and this account.
    #[must_use]
    pub fn new(counters: Arc<Counters>, room: Room) -> Self {
        Self {
            counters,
            room,
            protocol: Protocol::Tcp,
            errors: RateLimit::default(),
        }
    }

    /// The same, for files of this protocol.
    #[must_use]
    pub fn of(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// Counts and logs an error of a flow's file, and makes room if there was none.
    fn log_error(&self, uuid: &FlowUuid, what: &str, error: FileError) {
        self.counters.note_file_error(&error);
        if error.issue() == FileIssue::NoSpace {
            // What this could not remove, the next attempt to write says.
            let _first = swept::count(self.room.ran_out(), &self.counters);
        }
        if let Some(more) = self.errors.pass() {
            let error = Error::from(error);
            tracing::error!("the file of {uuid} {what}: {error:#}{more}");
        }
    }
}

#[cfg(test)]
mod tests;
