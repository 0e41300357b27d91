//! Tells the daemon when a TCP socket of this host becomes ESTABLISHED and when it is CLOSED, and what the
//! kernel knows of the connection then.

use core::ptr;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE, bpf_sock, bpf_sock_ops, bpf_tcp_sock,
};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_ktime_get_boot_ns, bpf_tcp_sock as tcp_sock,
};
use aya_ebpf::programs::SockOpsContext;
use packet_headers_common::event::{CLOSE, CloseRecord, EventRecord, LEFT, OPEN, Owned};
use packet_headers_common::settings::{WANT_INCOMING, WANT_OUTGOING};
use packet_headers_common::{
    Endpoint, EventCounter, FlowEntry, FlowKey, FlowState, OwnerRecord, Role, SocketTotals,
    flow_hash,
};

use crate::maps::{EVENT_COUNTERS, EVENTS, FLOWS, IGNORED, LOOPBACK, SHARDS};
use crate::{entries, filter, netns, owners};

const AF_INET: u32 = 2;

/// The second half of the first 96 bits of a v4-mapped address, as the field's bytes lie in memory.
const V4_MAPPED: u32 = 0xffff_u32.to_be();

/// Looks at one socket operation, and counts what becomes of it.
#[inline(always)]
pub(crate) fn observe(ctx: &SockOpsContext) {
    match ctx.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => opened(ctx, Role::Connecting),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => opened(ctx, Role::Accepting),
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == BPF_TCP_CLOSE => closed(ctx),
        _ => {}
    }
}

/// A connection was established: from now on its packets go into the ring of named connections.
#[inline(always)]
fn opened(ctx: &SockOpsContext, role: Role) {
    if !netns::is_watched(ctx.as_ptr()) {
        return count(EventCounter::OtherNetns);
    }
    let event = event(ctx, OPEN, role);
    let local = Endpoint::v6(address(&event.local), event.local_port);
    let remote = Endpoint::v6(address(&event.remote), event.remote_port);
    if LOOPBACK.load() == 0 && remote.is_loopback() {
        return count(EventCounter::Loopback);
    }
    let key = FlowKey::new(local, remote);
    let selection = filter::selection();
    let wanted = match selection.direction() {
        WANT_INCOMING => matches!(role, Role::Accepting),
        WANT_OUTGOING => matches!(role, Role::Connecting),
        _ => true,
    };
    if !wanted {
        // Unless its other end is on this host too, and wanted.
        if entry(&key).is_none() && FLOWS.get_ptr(&key).is_none() {
            let _no_room = IGNORED.insert(&key, &1, 0);
        }
        return count(EventCounter::Filtered);
    }
    if !filter::passes(&key, selection) {
        return count(EventCounter::Filtered);
    }
    let owner = owners::opener(ctx, role, event.cookie, event.local_port);
    if !report(event, None, owner) {
        // Without the event, nobody would take the connection out of the map again.
        return;
    }
    admit(&key, &event);
    // Most often it was not there.
    let _removed = IGNORED.remove(&key);
    // The flags of other programs stay. On failure there is no Close, and the flow ends by its own
    // timeouts.
    let flags = ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
    let _unchanged = ctx.set_cb_flags(flags as i32);
}

/// From now on, the connection's packets go into the ring of named connections. The daemon gives it a
/// place in the table, where it may have one already: as the other socket of a connection with both ends
/// here, or as one that lived before on the four-tuple.
#[inline(always)]
fn admit(key: &FlowKey, event: &EventRecord) {
    let deadline_ns = event.boot_ns + filter::capture_ns();
    let entry = entry(key).map(|entry| {
        // SAFETY: an element of an array is always there.
        unsafe { &raw mut (*entry).deadline_ns }
    });
    if let Some(until) = entry {
        // SAFETY: as above. Only programs and the connection's shard write it: if the shard finishes the
        // connection at the same time, user space discards its packets for a while.
        if unsafe { until.read() } > event.boot_ns {
            // SAFETY: as above.
            return unsafe { until.write(deadline_ns) };
        }
    }
    if FLOWS
        .insert(key, &FlowState::new(deadline_ns, event.cookie), 0)
        .is_err()
    {
        count(EventCounter::FlowsFull);
    }
    if let Some(until) = entry {
        // SAFETY: as above.
        unsafe { until.write(FlowEntry::REPLACED) };
    }
}

/// The connection's entry in the table of flows.
#[inline(always)]
fn entry(key: &FlowKey) -> Option<*mut FlowEntry> {
    let hash = entries::hash(key);
    let shard = flow_hash::shard(hash, SHARDS.load());
    entries::find(key, hash, shard).map(|(entry, _)| entry)
}

/// A connection was closed; the daemon knows whether it was one of ours.
///
/// The socket is whole here, whatever becomes of it: one whose four-tuple goes into TIME_WAIT is closed as
/// that begins, and one that is reset has not been cleared (but for `packets_out`).
#[inline(always)]
fn closed(ctx: &SockOpsContext) {
    if !netns::is_watched(ctx.as_ptr()) {
        return;
    }
    let event = event(ctx, CLOSE, Role::Connecting);
    let owner = owners::taken(event.cookie);
    if owner.is_none() {
        owners::await_owner(event.cookie);
    }
    let _counted = report(event, totals(ctx), owner);
}

/// A process closes the socket of a connection that was told of as closed.
#[inline(always)]
pub(crate) fn left(cookie: u64, owner: OwnerRecord) {
    let record = EventRecord {
        // SAFETY: takes no argument, exists since 5.8.
        boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        cookie,
        local: [0; 4],
        remote: [0; 4],
        local_port: 0,
        remote_port: 0,
        kind: LEFT,
        role: 0,
        has_owner: 1,
        reserved: 0,
    };
    let _counted = submit(Owned { record, owner });
}

/// Reports an event with what is known beside it, and returns whether there was room.
#[inline(always)]
fn report(
    mut event: EventRecord,
    totals: Option<SocketTotals>,
    owner: Option<OwnerRecord>,
) -> bool {
    event.has_owner = u8::from(owner.is_some());
    match (totals, owner) {
        (None, None) => submit(event),
        (Some(totals), None) => submit(CloseRecord { event, totals }),
        (None, Some(owner)) => submit(Owned {
            record: event,
            owner,
        }),
        (Some(totals), Some(owner)) => submit(Owned {
            record: CloseRecord { event, totals },
            owner,
        }),
    }
}

/// What the kernel knows of the connection.
///
/// Word by word and volatile: the verifier refuses to read two fields as one.
#[inline(always)]
fn totals(ctx: &SockOpsContext) -> Option<SocketTotals> {
    // SAFETY: the context is valid while the program runs.
    let place = unsafe { &raw const (*ctx.ops).__bindgen_anon_2 };
    // SAFETY: as above; what is there is a pointer, which may be null.
    let socket = unsafe { ptr::read_volatile(place.cast::<*mut bpf_sock>()) };
    if socket.is_null() {
        return None;
    }
    // SAFETY: a socket that is not null.
    let tcp: *const bpf_tcp_sock = unsafe { tcp_sock(socket) };
    if tcp.is_null() {
        return None;
    }
    /// Reads one field of the socket.
    macro_rules! field {
        ($field:ident) => {
            // SAFETY: valid while the program runs, as it is not null; the verifier checks the field.
            unsafe { ptr::read_volatile(&raw const (*tcp).$field) }
        };
    }
    Some(SocketTotals {
        bytes_acked: field!(bytes_acked),
        bytes_received: field!(bytes_received),
        // In eighths of a microsecond.
        srtt_us: field!(srtt_us) >> 3,
        min_rtt_us: field!(rtt_min),
        total_retrans: field!(total_retrans),
        segs_out: field!(segs_out),
        data_segs_out: field!(data_segs_out),
        segs_in: field!(segs_in),
        data_segs_in: field!(data_segs_in),
        lost: field!(lost_out),
        sacked: field!(sacked_out),
        unacked_bytes: field!(snd_nxt).wrapping_sub(field!(snd_una)),
        snd_cwnd: field!(snd_cwnd),
        rate_delivered: field!(rate_delivered),
        rate_interval_us: field!(rate_interval_us),
        delivered_ce: field!(delivered_ce),
        dsack_dups: field!(dsack_dups),
        snd_mss: field!(mss_cache) as u16,
        ecn_flags: field!(ecn_flags) as u8,
        state: ctx.arg(0) as u8,
    })
}

#[inline(always)]
fn event(ctx: &SockOpsContext, kind: u8, role: Role) -> EventRecord {
    let (local, remote) = addresses(ctx.ops);
    EventRecord {
        // SAFETY: takes no argument, exists since 5.8.
        boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        // SAFETY: the context is valid while the program runs.
        cookie: unsafe { bpf_get_socket_cookie(ctx.as_ptr()) },
        local,
        remote,
        local_port: ctx.local_port() as u16,
        // The field is the port in network order, in 32 bits.
        remote_port: u32::from_be(ctx.remote_port()) as u16,
        kind,
        role: role as u8,
        has_owner: 0,
        reserved: 0,
    }
}

/// Puts an event into the ring, and returns whether there was room.
#[inline(always)]
fn submit<T: Copy + 'static>(event: T) -> bool {
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else {
        count(EventCounter::RingFull);
        return false;
    };
    entry.write(event);
    entry.submit(0);
    count(EventCounter::Submitted);
    true
}

/// An address in network byte order as the two numbers of an [`Endpoint`].
#[inline(always)]
fn address(words: &[u32; 4]) -> [u64; 2] {
    let half =
        |high: u32, low: u32| (u64::from(u32::from_be(high)) << 32) | u64::from(u32::from_be(low));
    [half(words[0], words[1]), half(words[2], words[3])]
}

/// Local and remote address in network byte order, IPv4 as v4-mapped.
///
/// Word by word and volatile: the verifier refuses a copy of the array, which is what the compiler
/// would make of it. A v4-mapped socket has family AF_INET6 and v4-mapped words.
#[inline(always)]
fn addresses(ops: *const bpf_sock_ops) -> ([u32; 4], [u32; 4]) {
    /// Reads one word of the context.
    macro_rules! word {
        ($($field:tt)+) => {
            // SAFETY: the context is valid while the program runs; the verifier checks the field.
            unsafe { ptr::read_volatile(&raw const (*ops).$($field)+) }
        };
    }
    // All are read before one is chosen: the compiler would merge reads in two branches into one at a
    // computed offset of the context, which the verifier refuses too.
    let (local4, remote4) = (word!(local_ip4), word!(remote_ip4));
    let local6 = [
        word!(local_ip6[0]),
        word!(local_ip6[1]),
        word!(local_ip6[2]),
        word!(local_ip6[3]),
    ];
    let remote6 = [
        word!(remote_ip6[0]),
        word!(remote_ip6[1]),
        word!(remote_ip6[2]),
        word!(remote_ip6[3]),
    ];
    if word!(family) == AF_INET {
        ([0, 0, V4_MAPPED, local4], [0, 0, V4_MAPPED, remote4])
    } else {
        (local6, remote6)
    }
}

#[inline(always)]
pub(crate) fn count(what: EventCounter) {
    let Some(counters) = EVENT_COUNTERS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the slot of this CPU, aligned to 8 bytes.
    let counters = unsafe { &mut *counters };
    counters.count(what);
}
