//! The way from a shard to its writer: bounded, and it never waits for a disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use crate::stats::Counters;
use capture_files::Job;
use model::{Count, DiscardReason};

/// Jobs on their way to the writer. A shard never waits for a disk: what the writer does not take
/// now waits here, up to a bound, and beyond it is discarded and counted.
pub struct Outbox {
    writer: SyncSender<Job>,
    waiting: VecDeque<Job>,
    /// Bytes of all jobs that are not done.
    backlog: Arc<Count>,
    limit: u64,
    counters: Arc<Counters>,
}

impl Outbox {
    /// A way to a writer, with room for `limit` bytes that wait.
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

    /// Takes a job; over the limit, without its packets. The end of a flow is always kept: without
    /// it the file would never be published.
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

    /// Gives the writer what it takes without waiting.
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

    /// Gives the writer everything, as fast as it takes it.
    pub(crate) fn finish(&mut self) {
        for job in self.waiting.drain(..) {
            if let Err(refused) = self.writer.send(job) {
                let lost = refused.0.chunk.packets;
                self.counters.discard_held(DiscardReason::WriteFailed, lost);
            }
        }
    }
}
