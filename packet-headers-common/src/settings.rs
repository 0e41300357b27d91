//! Names and bounds of the globals that the daemon sets before it loads the programs, and of the maps.
//!
//! The globals are read-only to the programs, so the verifier knows their values and removes the code
//! that they switch off: it never sees a helper that the kernel lacks.

use crate::{Direction, LinkType};

/// Global `u32`: how many shards there are, 1 to [`MAX_SHARDS`].
pub const SHARDS: &str = "SHARDS";

/// Global `[u64; 9]`: what the connections' hash is keyed with, a [`FlowHash`](crate::FlowHash).
pub const HASH: &str = "HASH";

/// Global `u32`: how many buckets of [`ENTRIES`] a shard has: a power of two.
pub const BUCKETS: &str = "BUCKETS";

/// Global `u64`: the network namespace whose sockets count, as `SO_NETNS_COOKIE`; 0 for every one.
///
/// `bpf_get_netns_cookie` exists in sock_ops since Linux 5.15.
pub const NETNS_COOKIE: &str = "NETNS_COOKIE";

/// Global `u8`: not 0 when the programs can tell network namespaces apart, which takes the same helper.
pub const TELLS_NETNS: &str = "TELLS_NETNS";

/// Global `u8`: not 0 when events say whose sockets they are of.
pub const OWNERS_WANTED: &str = "OWNERS_WANTED";

/// Global `u32`: when so many segments of the admitted lane were taken since the shard looked, it is woken
/// early.
pub const WAKE_AFTER: &str = "WAKE_AFTER";

/// Global `u32`: for how many of those a segment of the candidate lane counts, which has fewer.
pub const CANDIDATE_WEIGHT: &str = "CANDIDATE_WEIGHT";

/// Global `u8`: 1 if connections over loopback are told of. They can have no packet where the loopback
/// interface is not captured, and anybody on the host can make as many as there are ports.
pub const LOOPBACK: &str = "LOOPBACK";

/// Global `u32`: how many header bytes a record keeps of a packet, [`MIN_HEADERS`] to
/// [`MAX_HEADERS`].
///
/// [`MIN_HEADERS`]: crate::record::MIN_HEADERS
/// [`MAX_HEADERS`]: crate::record::MAX_HEADERS
pub const HEADER_BYTES: &str = "HEADER_BYTES";

/// Global `u8`: not 0 when TCP inside of a tunnel is captured.
pub const DECAPSULATE: &str = "DECAPSULATE";

/// Global `u8`: not 0 when ICMP errors are captured that quote a packet of a connection.
pub const ICMP_ERRORS: &str = "ICMP_ERRORS";

/// Global `u8`: not 0 when UDP is captured.
pub const UDP: &str = "UDP";

/// Global `u8`: not 0 when QUIC is told from other UDP, and its invariants are captured.
pub const QUIC: &str = "QUIC";

/// Map: LRU hash from a [`QuicServer`](crate::quic_state::QuicServer) to the bytes of its connection IDs, as a `u64`.
pub const QUIC_SERVERS: &str = "QUIC_SERVERS";

/// Global `u32`: how many shards there are with that of datagrams, which is the last one.
pub const ALL_SHARDS: &str = "ALL_SHARDS";

/// Map: LRU hash from a [`FlowKey`](crate::FlowKey) to the [`DatagramState`](crate::DatagramState) of a UDP flow.
pub const DATAGRAMS: &str = "DATAGRAMS";

/// Map: ring of [`ClosedSocket`](crate::ClosedSocket)s.
pub const CLOSED_SOCKETS: &str = "CLOSED_SOCKETS";

/// Map: array of programs at which classifiers go on: one for ICMP errors of each kind of packet, at
/// [`icmp_program`], and one at [`LOG_PROGRAM`].
pub const CLASSIFIERS: &str = "CLASSIFIERS";

/// Map: the same for the program of a packet socket, where those for ICMP errors are one, at 0.
pub const SOCKET_FILTERS: &str = "SOCKET_FILTERS";

/// Where in [`CLASSIFIERS`] the program is for ICMP errors of packets that pass an interface this way and
/// begin like this.
#[inline(always)]
#[must_use]
pub const fn icmp_program(direction: Direction, link: LinkType) -> u32 {
    direction as u32 + 2 * link as u32
}

/// Where in [`CLASSIFIERS`] the program is for UDP of packets that pass an interface this way and begin like this.
#[inline(always)]
#[must_use]
pub const fn udp_program(direction: Direction, link: LinkType) -> u32 {
    LOG_PROGRAM + 1 + direction as u32 + 2 * link as u32
}

/// Where in [`SOCKET_FILTERS`] the program is for UDP.
pub const UDP_FILTER: u32 = 1;

/// Where in [`CLASSIFIERS`] and [`SOCKET_FILTERS`] the program is that logs a packet with odd headers.
pub const LOG_PROGRAM: u32 = 4;

/// How many programs there is room for in [`CLASSIFIERS`], and in [`SOCKET_FILTERS`].
pub const NEXT_PROGRAMS: u32 = LOG_PROGRAM + 5;

/// Global `u8`: not 0 when records have the NIC's time of their packet.
///
/// A classifier can read it since Linux 5.16.
pub const HARDWARE_CLOCK: &str = "HARDWARE_CLOCK";

/// Map: array of three numbers that the daemon may change while the programs run. It maps the array, and
/// stores each by one instruction.
pub const CHOICE: &str = "CHOICE";
/// The place in [`CHOICE`] of a [`Selection`](crate::Selection): which connections that begin are taken.
pub const SELECTION: u32 = 0;
/// The place in [`CHOICE`] of the nanoseconds for which they are captured, from their establishment on.
pub const CAPTURE_NS: u32 = 1;
/// The place in [`CHOICE`] of the nanoseconds for which a UDP flow may be silent.
pub const UDP_SILENCE_NS: u32 = 2;
/// [`Selection::direction`](crate::Selection::direction): every connection.
pub const WANT_ALL: u8 = 0;
/// [`Selection::direction`](crate::Selection::direction): those that this host accepted.
pub const WANT_INCOMING: u8 = 1;
/// [`Selection::direction`](crate::Selection::direction): those that this host began.
pub const WANT_OUTGOING: u8 = 2;
/// [`Selection::checks`](crate::Selection::checks): only connections with a port that is marked
/// [`INCLUDED`].
pub const FILTER_PORT: u8 = 1;
/// [`Selection::checks`](crate::Selection::checks): no connection with a port that is marked
/// [`EXCLUDED`].
pub const FILTER_EXCLUDE_PORT: u8 = 2;
/// [`Selection::checks`](crate::Selection::checks): only connections with an address in a network that
/// is marked [`INCLUDED`].
pub const FILTER_NET: u8 = 4;
/// [`Selection::checks`](crate::Selection::checks): no connection with an address in a network that is
/// marked [`EXCLUDED`].
pub const FILTER_EXCLUDE_NET: u8 = 8;

/// Map: array of bytes, one for each port: its marks in each of two sets, as
/// [`Set::marks`](crate::selection::Set::marks) reads them.
pub const PORTS: &str = "PORTS";
/// A port that `--port` names, or a network of `--net` or within one.
pub const INCLUDED: u8 = 1;
/// A port that `--exclude-port` names, or a network of `--exclude-net` or within one.
pub const EXCLUDED: u8 = 2;

/// Map: trie of the networks that filters name, as prefixes of v4-mapped or IPv6 addresses behind the
/// number of their set; their values are marks. The longest prefix is found, so each has the marks of
/// those that contain it, too.
pub const NETS: &str = "NETS";

/// The most networks of `--net`, and of `--exclude-net`.
pub const MAX_NETS: u32 = 4096;

/// The most entries of [`NETS`]: both lists of two sets.
pub const MAX_NET_ENTRIES: u32 = 2 * 2 * MAX_NETS;

/// Map: hash from an interface's index to the [`LinkType`] of its packets: the
/// interfaces whose packets the packet socket's program captures.
pub const INTERFACES: &str = "INTERFACES";

/// The most interfaces in [`INTERFACES`].
pub const MAX_INTERFACES: u32 = 1 << 14;

/// Map: array of every [`Bucket`](crate::flow_entry::Bucket) of the table of flows, shard by shard, which
/// the daemon maps: connections that are captured, or that were and are still open.
pub const ENTRIES: &str = "ENTRIES";

/// Map: hash from a [`FlowKey`](crate::FlowKey) to the [`FlowState`](crate::FlowState) of such a
/// connection that is not in [`ENTRIES`]: not yet, or as there is no room.
pub const FLOWS: &str = "FLOWS";

/// Map: LRU hash of the connections whose packets are discarded, because nobody named or wanted them.
pub const IGNORED: &str = "IGNORED";

/// The most shards there can be.
pub const MAX_SHARDS: u32 = 16;

/// The most shards with that of datagrams.
pub const MAX_ALL_SHARDS: u32 = MAX_SHARDS + 1;

/// The two ways of a shard's packets. Each has segments of its own.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// For connections that have a name: nothing else can take these segments.
    Admitted = 0,
    /// For those that have none yet: this lane may overflow.
    Candidate = 1,
}

/// Lanes of one shard.
pub const LANES: u32 = 2;

/// Map: array of every [`Segment`](crate::segment::Segment), which the daemon maps.
pub const SEGMENTS: &str = "SEGMENTS";

/// Map: array of every [`Stream`](crate::segment::Stream), which the daemon maps; their numbers:
/// [`segment::stream`](crate::segment::stream).
pub const STREAMS: &str = "STREAMS";

/// Map: array of a [`Sleeper`](crate::segment::Sleeper) for each shard, which the daemon maps.
pub const SLEEPERS: &str = "SLEEPERS";

/// Map: array of stacks with the numbers of free segments, one for each lane: the shard's number times
/// [`LANES`], plus the lane's.
pub const FREE: &str = "FREE";

/// The most segments of a lane: how many numbers each stack of [`FREE`] has room for. Before Linux
/// 5.10, maps in a map must all be of one size.
pub const MAX_LANE_SEGMENTS: u32 = 1 << 16;

/// Map: array of rings that stay empty, one for each shard: they wake it.
pub const WAKE: &str = "WAKE";

/// Bytes of a ring of [`WAKE`]: the largest page that a host may have.
pub const WAKE_RING: u32 = 64 << 10;

/// Map: per-CPU array of one [`PacketCounters`](crate::PacketCounters).
pub const PACKET_COUNTERS: &str = "PACKET_COUNTERS";

/// Map: per-CPU array of one [`EventCounters`](crate::EventCounters).
pub const EVENT_COUNTERS: &str = "EVENT_COUNTERS";

/// Map: the ring of connection begins and ends.
pub const EVENTS: &str = "EVENTS";

/// Map: LRU hash from a socket's cookie to the [`OwnerRecord`](crate::OwnerRecord) of the process that connected
/// or closed it, until an event has told of it.
pub const OWNERS: &str = "OWNERS";

/// Map: LRU hash from a [`ListenerKey`](crate::ListenerKey) to the [`OwnerRecord`](crate::OwnerRecord) of the
/// process that bound a socket to that port last.
pub const LISTENERS: &str = "LISTENERS";
