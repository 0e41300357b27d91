//! What the programs share with the daemon.

use crate::allowance::{ERROR_GROUPS, Errors};
use crate::scratch::Scratch;
use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{
    Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf, Stack,
};
use aya_ebpf::macros::btf_map;
use packet_headers_common::event::{CloseRecord, EventRecord, Owned};
use packet_headers_common::flow_entry::Bucket;
use packet_headers_common::quic_state::QuicServer;
use packet_headers_common::record::MAX_HEADERS;
use packet_headers_common::segment::{Segment, Sleeper, Stream};
use packet_headers_common::selection::NetKey;
use packet_headers_common::settings::{
    LANES, MAX_ALL_SHARDS, MAX_INTERFACES, MAX_LANE_SEGMENTS, MAX_NET_ENTRIES, NEXT_PROGRAMS,
    WAKE_RING,
};
use packet_headers_common::{
    ClosedSocket, DatagramState, EventCounters, FlowHash, FlowKey, FlowState, ListenerKey,
    OwnerRecord, PacketCounters,
};

/// Begins and ends of connections are small, but each that is lost is a file that is missing. Should
/// the daemon not run for a second in which 10,000 connections are made and closed, the ring holds them
/// all.
const EVENT_RING: usize = 4 << 20;

/// What is lost of it only lets flows wait for their silence.
const CLOSED_RING: usize = 64 << 10;

/// What the kernel puts before each item of a ring (`BPF_RINGBUF_HDR_SZ`).
const ITEM_HEADER: usize = 8;

const _: () = {
    let begin_and_end =
        2 * ITEM_HEADER + size_of::<Owned<EventRecord>>() + size_of::<Owned<CloseRecord>>();
    assert!(10_000 * begin_and_end <= EVENT_RING);
};

#[unsafe(no_mangle)]
pub(crate) static SHARDS: Global<u32> = Global::new(1);

#[unsafe(no_mangle)]
pub(crate) static HASH: [Global<u64>; FlowHash::WORDS] =
    [const { Global::new(0) }; FlowHash::WORDS];

#[unsafe(no_mangle)]
pub(crate) static BUCKETS: Global<u32> = Global::new(1);

#[unsafe(no_mangle)]
pub(crate) static NETNS_COOKIE: Global<u64> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static TELLS_NETNS: Global<u8> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static OWNERS_WANTED: Global<u8> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static WAKE_AFTER: Global<u32> = Global::new(1);

#[unsafe(no_mangle)]
pub(crate) static CANDIDATE_WEIGHT: Global<u32> = Global::new(1);

#[unsafe(no_mangle)]
pub(crate) static LOOPBACK: Global<u8> = Global::new(1);

#[unsafe(no_mangle)]
pub(crate) static HEADER_BYTES: Global<u32> = Global::new(MAX_HEADERS as u32);

#[unsafe(no_mangle)]
pub(crate) static DECAPSULATE: Global<u8> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static ICMP_ERRORS: Global<u8> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static UDP: Global<u8> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static QUIC: Global<u8> = Global::new(0);

#[unsafe(no_mangle)]
pub(crate) static ALL_SHARDS: Global<u32> = Global::new(1);

#[unsafe(no_mangle)]
pub(crate) static HARDWARE_CLOCK: Global<u8> = Global::new(0);

/// The table of flows; the daemon sets how many buckets there are.
#[btf_map]
pub(crate) static ENTRIES: Array<Bucket, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Named connections that are not in the table; the daemon sets how many there may be. Memory is taken
/// as they come.
#[btf_map]
pub(crate) static FLOWS: HashMap<FlowKey, FlowState, 65_536, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Connections whose packets are discarded; the kernel forgets those that are silent longest.
#[btf_map]
pub(crate) static IGNORED: LruHashMap<FlowKey, u8, 65_536> = LruHashMap::new();

/// UDP flows; the kernel forgets those that are silent longest. The daemon sets how many there are.
#[btf_map]
pub(crate) static DATAGRAMS: LruHashMap<FlowKey, DatagramState, 65_536> = LruHashMap::new();

#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Bytes of the connection IDs of servers, as they have answered.
#[btf_map]
pub(crate) static QUIC_SERVERS: LruHashMap<QuicServer, u64, 4096> = LruHashMap::new();

/// Link types of the interfaces that are captured, where a packet socket sees all.
#[btf_map]
pub(crate) static INTERFACES: HashMap<
    u32,
    u8,
    { MAX_INTERFACES as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[btf_map]
pub(crate) static CHOICE: Array<u64, 3, { BPF_F_MMAPABLE as usize }> = Array::new();

#[btf_map]
pub(crate) static PORTS: Array<u8, 65_536> = Array::new();

#[btf_map]
pub(crate) static NETS: LpmTrie<NetKey, u8, { MAX_NET_ENTRIES as usize }> = LpmTrie::new();

/// Programs of one kind only: the kernel keeps to that of the first.
#[btf_map]
pub(crate) static CLASSIFIERS: ProgramArray<{ NEXT_PROGRAMS as usize }> = ProgramArray::new();

#[btf_map]
pub(crate) static SOCKET_FILTERS: ProgramArray<{ NEXT_PROGRAMS as usize }> = ProgramArray::new();

/// How many ICMP errors there were in this second.
#[btf_map]
pub(crate) static ERRORS: PerCpuArray<Errors, { ERROR_GROUPS as usize }> = PerCpuArray::new();

#[btf_map]
pub(crate) static PACKET_COUNTERS: PerCpuArray<PacketCounters, 1> = PerCpuArray::new();

/// Unlike the packet programs' counters, these are not exact: a socket program in process context can
/// be interrupted by another on its CPU between load and store, and Rust has no atomic addition for
/// this target. They may miss one in such a moment; no packet is counted here.
#[btf_map]
pub(crate) static EVENT_COUNTERS: PerCpuArray<EventCounters, 1> = PerCpuArray::new();

/// The daemon sets how many there are.
#[btf_map]
pub(crate) static SEGMENTS: Array<Segment, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The daemon sets how many there are.
#[btf_map]
pub(crate) static STREAMS: Array<Stream, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

#[btf_map]
pub(crate) static SLEEPERS: Array<
    Sleeper,
    { MAX_ALL_SHARDS as usize },
    { BPF_F_MMAPABLE as usize },
> = Array::new();

#[btf_map]
pub(crate) static FREE: ArrayOfMaps<
    Stack<u32, { MAX_LANE_SEGMENTS as usize }>,
    { (MAX_ALL_SHARDS * LANES) as usize },
> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static WAKE: ArrayOfMaps<
    RingBuf<u64, { WAKE_RING as usize }>,
    { MAX_ALL_SHARDS as usize },
> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static EVENTS: RingBuf<EventRecord, EVENT_RING> = RingBuf::new();

/// Apart from those of connections, so that whoever opens and closes UDP sockets without end is in nobody's way.
#[btf_map]
pub(crate) static CLOSED_SOCKETS: RingBuf<ClosedSocket, CLOSED_RING> = RingBuf::new();

/// When the classifiers last wrote a log line, in boot nanoseconds.
#[btf_map]
pub(crate) static LAST_LOG: Array<u64, 1> = Array::new();

/// Sockets between their connect or close and the event that tells of it. If there are more, those that wait
/// longest have no owner.
#[btf_map]
pub(crate) static OWNERS: LruHashMap<u64, OwnerRecord, 16_384> = LruHashMap::new();

/// Ports that sockets are bound to.
#[btf_map]
pub(crate) static LISTENERS: LruHashMap<ListenerKey, OwnerRecord, 4096> = LruHashMap::new();
