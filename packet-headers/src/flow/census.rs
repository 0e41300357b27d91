//! How many connections a table has, and has had. The table counts in plain numbers, which belong to
//! its shard; others read the last ones that the shard published.

use std::sync::atomic::{AtomicU64, Ordering};

use super::table::FlowTable;
use crate::accounts::Discard;

macro_rules! census {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// Connections of a table, by what they are and what became of them.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Census {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        /// The last census that a shard published. Reading it makes nobody wait.
        #[derive(Debug, Default)]
        pub struct PublishedCensus {
            $($field: AtomicU64,)+
        }

        impl PublishedCensus {
            /// Publishes another one.
            pub fn set(&self, census: &Census) {
                $(self.$field.store(census.$field, Ordering::Relaxed);)+
            }

            /// Adds the published one to a sum.
            pub fn add_to(&self, sum: &mut Census) {
                $(sum.$field += self.$field.load(Ordering::Relaxed);)+
            }
        }
    };
}

census! {
    /// Connections that began, with or without a name.
    begun,
    /// Now: those that nobody has named yet.
    candidates,
    /// Now: those that are captured, and have not ended.
    capturing,
    /// Now: those that have ended, and whose file waits for their last packets.
    lingering,
    /// Now: those whose file is finished, and whose socket is not known to be closed.
    done,
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

impl Census {
    /// A candidate was given up.
    pub(super) const fn gave_up(&mut self, reason: Discard) {
        // One that was refused is counted there.
        if matches!(reason, Discard::CandidateMemory) {
            self.over_memory += 1;
        } else if matches!(reason, Discard::Unnamed) {
            self.unnamed += 1;
        }
    }
}

impl FlowTable {
    /// How many connections there are and were.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            capturing: self.named as u64 - self.census.lingering,
            done: self.done as u64,
            bytes: self.bytes() as u64,
            ..self.census
        }
    }
}
