//! The queue from a shard to its writer. It is bounded, and never waits for a disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use crate::stats::Counters;
use capture_files::Job;
use model::{Count, DiscardReason};

/// Jobs on their way to the writer. Jobs that the writer does not take at once wait here, up to a
/// limit in bytes. Packets beyond it are discarded and counted.
pub struct Outbox {
    writer: SyncSender<Job>,
    waiting: VecDeque<Job>,
    /// Bytes of all jobs that are not done.
    backlog: Arc<Count>,
    limit: u64,
    counters: Arc<Counters>,
}

impl Outbox {
    /// A queue to a writer, with room for `limit` bytes.
    #[must_use]
    pub fn new(
        writer: SyncSender<Job>,
        backlog: Arc<Count>,
        limit: u64,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            writer,
            waiting: VecDeque::new(),
            backlog,
            limit,
            counters,
        }
    }

    /// Queues a job. Over the limit its packets are dropped and counted; the last job of a connection
    /// is still queued, because without it the file would never be published.
    pub(crate) fn add(&mut self, mut job: Job) {
        let cost = job.cost() as u64;
        if self.backlog.get() + cost > self.limit {
            let lost = std::mem::take(&mut job.chunk);
            self.counters
                .discard_held(DiscardReason::WriterBehind, lost.packets);
            if !job.last {
                return;
            }
        }
        self.backlog.add(job.cost() as u64);
        self.waiting.push_back(job);
    }

    /// Hands the writer as many jobs as it takes without waiting.
    pub fn push(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            match self.writer.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    return self.waiting.push_front(job);
                }
            }
        }
    }

    /// Hands the writer all jobs, waiting for it.
    pub(crate) fn finish(&mut self) {
        for job in self.waiting.drain(..) {
            if let Err(refused) = self.writer.send(job) {
                let lost = refused.0.chunk.packets;
                self.counters.discard_held(DiscardReason::WriteFailed, lost);
            }
        }
    }
}
