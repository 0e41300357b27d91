//! Numbers that a shard publishes, which others read without asking it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_table::{SharedTableStats, TableStats};
use model::Count;

use super::backlog::Backlog;
use crate::kernel::ring::Fill;

/// The limits of a shard, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct ShardBounds {
    /// The size of its admitted ring.
    pub admitted_ring: u64,
    /// The size of its candidate ring.
    pub candidate_ring: u64,
    /// Memory for its connections and their packets.
    pub memory: u64,
    /// Packets queued for its writer.
    pub backlog: u64,
}

/// The numbers that a shard last published. Reading them blocks nobody.
#[derive(Debug)]
pub struct ShardStats {
    /// What the shard is called.
    pub name: String,
    /// Their limits.
    pub bounds: ShardBounds,
    /// The numbers of its connections.
    pub table: SharedTableStats,
    admitted_fill: Count,
    candidate_fill: Count,
    backlog: Arc<Backlog>,
}

impl ShardStats {
    /// The numbers of a shard with this name and these limits. `backlog` is what waits for its writer.
    #[must_use]
    pub fn new(name: String, bounds: ShardBounds, backlog: Arc<Backlog>) -> Self {
        Self {
            name,
            bounds,
            table: SharedTableStats::default(),
            admitted_fill: Count::default(),
            candidate_fill: Count::default(),
            backlog,
        }
    }

    pub(crate) fn publish(&self, table: &TableStats, fill: Fill) {
        self.table.set(table);
        let ShardBounds {
            admitted_ring,
            candidate_ring,
            ..
        } = self.bounds;
        let admitted = fill.admitted.min(admitted_ring);
        self.admitted_fill.set(admitted);
        let candidate = fill.candidate.min(candidate_ring);
        self.candidate_fill.set(candidate);
    }

    /// How full the rings were when they were last drained.
    #[must_use]
    pub fn fill(&self) -> Fill {
        Fill {
            admitted: self.admitted_fill.get(),
            candidate: self.candidate_fill.get(),
        }
    }

    /// Bytes queued for the writer.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog.bytes()
    }

    /// How long the oldest of what is queued for the writer has been waiting.
    #[must_use]
    pub fn backlog_age(&self) -> Duration {
        self.backlog.age(Instant::now())
    }
}
