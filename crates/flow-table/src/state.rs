//! What the rules work on: connections, settings, and what is to come out.

use model::{BootNanos, DiscardReason, Timing, Wanted};

use crate::action::{Action, Hint};
use crate::connections::{Connections, Id};
use crate::datagrams::Datagrams;
use crate::stats::{TableCounts, TableStats};

/// The limits of a table.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of memory for everything that the table holds.
    pub memory: usize,
    /// The most connections with a name at once.
    pub flows: usize,
}

/// A table's connections, its settings, and what has not been taken out of it yet.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) timing: Timing,
    pub(crate) limits: Limits,
    pub(crate) wanted: Wanted,
    /// When other filters came into force than before, if ever.
    pub(crate) refiltered: Option<BootNanos>,
    /// What is known beside the flows, if they are of datagrams.
    pub(crate) datagrams: Option<Datagrams>,
    pub(crate) connections: Connections,
    pub(crate) actions: Vec<Action>,
    pub(crate) counts: TableCounts,
    /// All stats except those that `connections` knows.
    pub(crate) stats: TableStats,
}

impl State {
    pub(crate) fn new(timing: Timing, limits: Limits, wanted: Wanted) -> Self {
        Self {
            timing,
            limits,
            wanted,
            refiltered: None,
            datagrams: None,
            connections: Connections::default(),
            actions: Vec::new(),
            counts: TableCounts::default(),
            stats: TableStats::default(),
        }
    }

    /// Gives the kernel a hint. Of datagrams it needs none: it finds out itself when a flow is over.
    pub(crate) fn tell(&mut self, hint: Hint) {
        match (&mut self.datagrams, hint) {
            (None, hint) => self.actions.push(Action::Tell(hint)),
            (Some(datagrams), Hint::Release(key, cookie)) => datagrams.forget(cookie, &key),
            (Some(_), Hint::Admit(..) | Hint::Retire(..) | Hint::Ignore(_)) => {}
        }
    }

    /// A candidate with so many packets was given up.
    pub(crate) fn gave_up(&mut self, reason: DiscardReason, packets: u64) {
        self.counts.discarded[reason as usize] += packets;
        // Candidates of other reasons were refused, and have been counted there.
        self.stats.unnamed += u64::from(reason == DiscardReason::Unnamed);
        self.stats.over_memory += u64::from(reason == DiscardReason::CandidateMemory);
    }

    /// Sets a connection's timer for when to look at it again.
    pub(crate) fn set_timer(&mut self, id: Id) {
        self.connections.set_timer(id, &self.timing);
    }
}
