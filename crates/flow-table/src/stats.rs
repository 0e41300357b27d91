//! Numbers of connections by state and outcome. The table counts in plain numbers of its own; other
//! threads read those that its shard last published.

use std::sync::atomic::{AtomicU64, Ordering};

use model::{DiscardReason, EventIssue};

macro_rules! table_stats {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// The connections of a table, by state and outcome.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct TableStats {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        /// The stats that a shard last published. Reading them blocks nobody.
        #[derive(Debug, Default)]
        pub struct SharedTableStats {
            $($field: AtomicU64,)+
        }

        impl SharedTableStats {
            /// Publishes new stats.
            pub fn set(&self, stats: &TableStats) {
                $(self.$field.store(stats.$field, Ordering::Relaxed);)+
            }

            /// Adds the published stats to a sum.
            pub fn add_to(&self, sum: &mut TableStats) {
                $(sum.$field += self.$field.load(Ordering::Relaxed);)+
            }
        }
    };
}

table_stats! {
    /// Connections that began, with or without a name.
    begun,
    /// At present: candidates, which have no name yet.
    candidates,
    /// At present: connections that are captured and have not ended.
    capturing,
    /// At present: connections that have ended, and whose file waits for last packets.
    lingering,
    /// At present: connections whose file is finished, and whose socket is not known to be closed.
    finished,
    /// Connections that did not get a name in time.
    unnamed,
    /// Connections that were not captured because memory ran out.
    over_memory,
    /// Connections that were not captured because of `--maxflows`.
    over_limit,
    /// Connections whose file was finished because they were silent for `--flowtimeout`.
    idle,
    /// Now: bytes of memory that they take with their packets.
    bytes,
}

/// What happened in a table since it was last asked, other than what is in its [`TableStats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Connections that got a name.
    pub opened: u64,
    /// Named connections whose socket was closed.
    pub closed: u64,
    /// Named connections that ended without a packet, and so without a file.
    pub empty: u64,
    /// Connections that were forgotten early to make room for others: finished ones, and those that
    /// never had a packet.
    pub evicted: u64,
    /// Packets that were held and are in no file, by [`DiscardReason`].
    pub discarded: [u64; DiscardReason::COUNT],
    /// Events that were refused, lost or ignored, by [`EventIssue`].
    pub issues: [u64; EventIssue::ALL.len()],
}

impl TableCounts {
    pub(crate) const fn issue(&mut self, issue: EventIssue) {
        self.issues[issue as usize] += 1;
    }
}
