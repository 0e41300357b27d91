//! How many connections a table has, and what became of others. The table counts in plain numbers,
//! which belong to its shard; others read those that the shard published last.

use std::sync::atomic::{AtomicU64, Ordering};

use model::{DiscardReason, EventIssue};

macro_rules! table_stats {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// Connections of a table, by what they are and what became of them.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct TableStats {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        /// The stats that a shard published last. Reading them makes nobody wait.
        #[derive(Debug, Default)]
        pub struct SharedTableStats {
            $($field: AtomicU64,)+
        }

        impl SharedTableStats {
            /// Publishes other ones.
            pub fn set(&self, stats: &TableStats) {
                $(self.$field.store(stats.$field, Ordering::Relaxed);)+
            }

            /// Adds the published ones to a sum.
            pub fn add_to(&self, sum: &mut TableStats) {
                $(sum.$field += self.$field.load(Ordering::Relaxed);)+
            }
        }
    };
}

table_stats! {
    /// Connections that began, with or without a name.
    begun,
    /// Now: those that nobody has named yet.
    candidates,
    /// Now: those that are captured, and have not ended.
    capturing,
    /// Now: those that have ended, and whose file waits for their last packets.
    lingering,
    /// Now: those whose file is finished, and whose socket is not known to be closed.
    finished,
    /// Those that nobody named in time.
    unnamed,
    /// Those that were not captured because memory ran out.
    over_memory,
    /// Those that were not captured because of `--maxflows`.
    over_limit,
    /// Those whose file was finished because they were silent for `--flowtimeout`.
    idle,
    /// Now: bytes of memory that they take with their packets.
    bytes,
}

/// What happened in a table since it was asked last, beside what is in its [`TableStats`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Connections that got a name.
    pub opened: u64,
    /// Closes of connections with a name.
    pub closed: u64,
    /// Connections with a name that ended without a packet: they have no file.
    pub empty: u64,
    /// Connections that were forgotten early to make room for others: finished ones, and those that
    /// never had a packet.
    pub evicted: u64,
    /// Packets that were held and are in no file, by [`DiscardReason`].
    pub discarded: [u64; DiscardReason::COUNT],
    /// Events that were not what they should be, by [`EventIssue`].
    pub issues: [u64; EventIssue::ALL.len()],
}

impl TableCounts {
    pub(crate) const fn issue(&mut self, issue: EventIssue) {
        self.issues[issue as usize] += 1;
    }
}
