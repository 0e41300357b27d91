//! What a shard tells others of itself: numbers that they read without asking, and answers that it
//! gives when it has time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;

use super::census::{Census, PublishedCensus};
use super::listing::Listing;
use super::table::FlowTable;
use crate::kernel::ring::Fill;
use model::BootNanos;

/// How much there may be of what a shard has.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of its ring of named connections.
    pub admitted_ring: u64,
    /// Bytes of its ring of other connections.
    pub candidate_ring: u64,
    /// Bytes of memory for its connections and their packets.
    pub memory: u64,
    /// Bytes that may wait for its writer.
    pub backlog: u64,
}

/// The numbers that a shard published last. Reading them makes nobody wait.
#[derive(Debug)]
pub struct ShardGauges {
    /// What they cannot exceed.
    pub bounds: Bounds,
    /// Its connections.
    pub census: PublishedCensus,
    admitted_fill: AtomicU64,
    candidate_fill: AtomicU64,
    backlog: Arc<AtomicUsize>,
}

impl ShardGauges {
    /// Of a shard with these bounds, and this much waiting for its writer.
    #[must_use]
    pub fn new(bounds: Bounds, backlog: Arc<AtomicUsize>) -> Self {
        Self {
            bounds,
            census: PublishedCensus::default(),
            admitted_fill: AtomicU64::new(0),
            candidate_fill: AtomicU64::new(0),
            backlog,
        }
    }

    pub(super) fn publish(&self, census: &Census, fill: Fill) {
        self.census.set(census);
        let Bounds {
            admitted_ring,
            candidate_ring,
            ..
        } = self.bounds;
        let admitted = fill.admitted.min(admitted_ring);
        self.admitted_fill.store(admitted, Ordering::Relaxed);
        let candidate = fill.candidate.min(candidate_ring);
        self.candidate_fill.store(candidate, Ordering::Relaxed);
    }

    /// How full the rings were when they were drained last.
    #[must_use]
    pub fn fill(&self) -> Fill {
        Fill {
            admitted: self.admitted_fill.load(Ordering::Relaxed),
            candidate: self.candidate_fill.load(Ordering::Relaxed),
        }
    }

    /// Bytes that wait for the writer.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed) as u64
    }
}

/// How many questions may wait for a shard.
const QUESTIONS: usize = 4;

/// Asks which connections there are.
#[derive(Debug)]
pub struct Question {
    limit: usize,
    answer: oneshot::Sender<Listing>,
}

/// The end from which a shard is asked.
pub type Asking = SyncSender<Question>;

impl Question {
    /// A way to ask a shard, and the end that the shard reads.
    #[must_use]
    pub fn channel() -> (Asking, Receiver<Self>) {
        sync_channel(QUESTIONS)
    }

    /// A question for at most `limit` connections, and where the answer will be.
    #[must_use]
    pub fn new(limit: usize) -> (Self, oneshot::Receiver<Listing>) {
        let (answer, answered) = oneshot::channel();
        (Self { limit, answer }, answered)
    }

    /// Answers it, if somebody still wants to know.
    pub(super) fn answer(self, table: &FlowTable, now: BootNanos) {
        if !self.answer.is_closed() {
            let _gone_meanwhile = self.answer.send(table.list(self.limit, now));
        }
    }
}
