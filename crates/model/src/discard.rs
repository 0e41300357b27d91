//! Counters of discarded packets, by reason.

use packet_headers_common::DiscardReason;

use crate::counter_set;

counter_set!(DiscardCounts by DiscardReason);
