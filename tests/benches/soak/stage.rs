//! What all parts of the soak work with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use end_to_end::peers::tcpinfo::StandIn;
use end_to_end::world::mount::SmallDisk;
use end_to_end::world::netns::Lab;

use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::rates::Rates;

/// What all parts of the soak work with.
pub(crate) struct Stage {
    /// The network.
    pub(crate) lab: Lab,
    /// Where everything that makes load passes.
    pub(crate) gate: Gate,
    /// The connections whose files are checked.
    pub(crate) ledger: Ledger,
    /// What was done.
    pub(crate) tally: Tally,
    /// How much there is of everything.
    pub(crate) rates: Rates,
    /// The disk of the daemon's directories.
    pub(crate) disk: SmallDisk,
    /// The tcp-info that the daemon follows.
    pub(crate) tcpinfo: RwLock<StandIn>,
    /// Whether the daemon names connections of every namespace.
    pub(crate) every_netns: bool,
    /// What all that is random comes from.
    pub(crate) seed: u64,
}

impl Stage {
    /// tcp-info, to tell it of connections.
    pub(crate) fn tcpinfo(&self) -> RwLockReadGuard<'_, StandIn> {
        self.tcpinfo.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// tcp-info, to restart it.
    pub(crate) fn tcpinfo_alone(&self) -> RwLockWriteGuard<'_, StandIn> {
        self.tcpinfo.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Random numbers of one part: the parts run at the same time, so each has its own.
    pub(crate) fn random(&self, part: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed ^ (part << 32))
    }
}

/// Declares counters of what was done, and their names in the report.
macro_rules! tally {
    ($($(#[doc = $doc:literal])+ $field:ident = $name:literal,)+) => {
        /// What was done.
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $($(#[doc = $doc])+ pub(crate) $field: Counter,)+
        }

        impl Tally {
            /// Every count by name.
            pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field.get()),)+]
            }
        }
    };
}

tally! {
    /// Connections that were made.
    connections = "connections",
    /// Connections that could not be made, or did not go as planned.
    failed = "connections that failed",
    /// Kilobytes that a bulk transfer has moved.
    bulk = "kilobytes in bulk",
    /// Packets that belong to no connection.
    forged = "forged packets",
    /// Interfaces that came and went, each with a namespace.
    interfaces = "interfaces and namespaces",
    /// How often an interface went down and up.
    downs = "interfaces down and up",
    /// How often tcp-info went and came.
    tcpinfo = "restarts of tcp-info",
    /// How often others filled the disk.
    full = "full disks",
    /// Requests over HTTP that were answered.
    answers = "HTTP answers",
    /// Requests over HTTP without an answer.
    unanswered = "HTTP requests without an answer",
    /// HTTP clients that never sent or read anything.
    idle_http = "idle HTTP clients",
    /// Event clients that read.
    event_clients = "event clients that read",
    /// Event clients that never read.
    idle_event_clients = "event clients that never read",
    /// Lines that event clients have read.
    event_lines = "events read",
    /// Event clients that could not connect.
    refused_clients = "event clients refused",
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
