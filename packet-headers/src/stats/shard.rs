//! What a shard tells of itself: numbers that others read without asking.

use std::sync::Arc;

use flow_table::{SharedTableStats, TableStats};
use model::Count;

use crate::kernel::ring::Fill;

/// How much a shard may have, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct ShardBounds {
    /// Its ring of connections that are captured.
    pub admitted_ring: u64,
    /// Its ring of other connections.
    pub candidate_ring: u64,
    /// Memory for its connections and their packets.
    pub memory: u64,
    /// What may wait for its writer.
    pub backlog: u64,
}

/// The numbers that a shard published last. Reading them makes nobody wait.
#[derive(Debug)]
pub struct ShardStats {
    /// What they cannot exceed.
    pub bounds: ShardBounds,
    /// Its connections.
    pub table: SharedTableStats,
    admitted_fill: Count,
    candidate_fill: Count,
    backlog: Arc<Count>,
}

impl ShardStats {
    /// Of a shard with these bounds, and this much waiting for its writer.
    #[must_use]
    pub fn new(bounds: ShardBounds, backlog: Arc<Count>) -> Self {
        Self {
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

    /// How full the rings were when they were drained last.
    #[must_use]
    pub fn fill(&self) -> Fill {
        Fill {
            admitted: self.admitted_fill.get(),
            candidate: self.candidate_fill.get(),
        }
    }

    /// Bytes that wait for the writer.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog.get()
    }
}
