//! Names and bounds that the daemon sets before the programs are loaded.
//!
//! The globals are read-only to the programs, so the verifier knows their values and removes what
//! they switch off: a helper that a kernel lacks is never looked at.

/// Global `u32`: how many packet rings there are, 1 to [`MAX_SHARDS`].
pub const SHARDS: &str = "SHARDS";

/// Global `u64`: the network namespace whose sockets count, as `SO_NETNS_COOKIE`; 0 for every one.
///
/// `bpf_get_netns_cookie` exists in sock_ops since Linux 5.15.
pub const NETNS_COOKIE: &str = "NETNS_COOKIE";

/// Global `u32`: how many bytes of one ring may wait before its reader is woken early.
pub const WAKEUP_BYTES: &str = "WAKEUP_BYTES";

/// The most packet rings there can be.
pub const MAX_SHARDS: u32 = 16;

/// Map: per-CPU array with one element, the counters of the classifiers.
pub const PACKET_COUNTERS: &str = "PACKET_COUNTERS";

/// Map: array with one element, the counters of the socket program.
pub const EVENT_COUNTERS: &str = "EVENT_COUNTERS";

/// Map: array of the packet rings, one for each shard.
pub const PACKET_RINGS: &str = "PACKET_RINGS";

/// Map: the ring of connection begins and ends.
pub const EVENTS: &str = "EVENTS";
