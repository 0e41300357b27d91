//! Notes which process connects, binds or closes a socket. Other hooks run where nobody knows that: in whatever
//! process a packet interrupted.

use core::ptr;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_get_current_uid_gid, bpf_get_netns_cookie, bpf_get_socket_cookie,
};
use aya_ebpf::programs::{SockAddrContext, SockContext, SockOpsContext};
use packet_headers_common::owner_record::COMM_LEN;
use packet_headers_common::{ListenerKey, OwnerRecord, Role};

use crate::maps::{LISTENERS, OWNERS, OWNERS_WANTED, TELLS_NETNS};
use crate::netns;

const IPPROTO_TCP: u32 = 6;

/// States of a socket that has no connection (`include/net/tcp_states.h`).
const SYN_SENT: u32 = 2;
const CLOSE: u32 = 7;
const LISTEN: u32 = 10;

/// Reads one field of a context, by itself: the verifier refuses to read two as one.
macro_rules! field {
    ($context:expr, $field:ident) => {
        // SAFETY: the context is valid while the program runs; the verifier checks the field.
        unsafe { ptr::read_volatile(&raw const (*$context).$field) }
    };
}

/// A process connects a socket.
#[inline(always)]
pub(crate) fn connects(ctx: &SockAddrContext) {
    if field!(ctx.sock_addr, protocol) != IPPROTO_TCP || !netns::is_watched(ctx.as_ptr()) {
        return;
    }
    // SAFETY: the context is valid while the program runs.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // It replaces another one, or there is room.
    let _noted = OWNERS.insert(&cookie, &this_process(), 0);
}

/// A process has bound a socket.
#[inline(always)]
pub(crate) fn bound(ctx: &SockContext) {
    if field!(ctx.sock, protocol) != IPPROTO_TCP || !netns::is_watched(ctx.as_ptr()) {
        return;
    }
    let key = ListenerKey {
        // SAFETY: the context is valid while the program runs.
        netns: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        port: u64::from(field!(ctx.sock, src_port)),
    };
    // As above.
    let _noted = LISTENERS.insert(&key, &this_process(), 0);
}

/// A process closes a socket, as the last that has it open. If its connection has ended before, returns the
/// socket's cookie and the process.
#[inline(always)]
pub(crate) fn closes(ctx: &SockContext) -> Option<(u64, OwnerRecord)> {
    if OWNERS_WANTED.load() == 0 || field!(ctx.sock, protocol) != IPPROTO_TCP {
        return None;
    }
    if !netns::is_watched(ctx.as_ptr()) {
        return None;
    }
    // SAFETY: the context is valid while the program runs.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    match field!(ctx.sock, state) {
        // It had no connection, or the connection has ended before.
        SYN_SENT | CLOSE | LISTEN => {
            let is_awaited = taken(cookie)?.pid == 0;
            is_awaited.then(|| (cookie, this_process()))
        }
        _ => {
            // It replaces another one, or there is room.
            let _noted = OWNERS.insert(&cookie, &this_process(), 0);
            None
        }
    }
}

/// A connection has ended of which nobody has closed the socket: whoever does will be told of.
#[inline(always)]
pub(crate) fn await_owner(cookie: u64) {
    if OWNERS_WANTED.load() == 0 {
        return;
    }
    let nobody = OwnerRecord {
        cgroup: 0,
        pid: 0,
        uid: 0,
        comm: [0; COMM_LEN],
    };
    // As above.
    let _noted = OWNERS.insert(&cookie, &nobody, 0);
}

/// Who connected, or bound the port of, a socket that has become established.
#[inline(always)]
pub(crate) fn opener(
    ctx: &SockOpsContext,
    role: Role,
    cookie: u64,
    port: u16,
) -> Option<OwnerRecord> {
    if matches!(role, Role::Connecting) {
        return taken(cookie);
    }
    if OWNERS_WANTED.load() == 0 || TELLS_NETNS.load() == 0 {
        return None;
    }
    let key = ListenerKey {
        // SAFETY: the context is valid while the program runs. The verifier drops the call where the
        // kernel lacks the helper.
        netns: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        port: u64::from(port),
    };
    let found: *const OwnerRecord = LISTENERS.get_ptr(&key)?;
    // SAFETY: an entry's memory outlives the program's run. If it is given away meanwhile, the owner is wrong, until
    // its socket is closed.
    Some(unsafe { found.read() })
}

/// Who closed a socket, or connected it; nobody asks again.
#[inline(always)]
pub(crate) fn taken(cookie: u64) -> Option<OwnerRecord> {
    if OWNERS_WANTED.load() == 0 {
        return None;
    }
    let found: *const OwnerRecord = OWNERS.get_ptr(&cookie)?;
    // SAFETY: as above.
    let owner = unsafe { found.read() };
    // It was there.
    let _removed = OWNERS.remove(&cookie);
    Some(owner)
}

/// The process that runs this.
#[inline(always)]
fn this_process() -> OwnerRecord {
    let mut comm = [0; COMM_LEN];
    // SAFETY: the buffer has this length. On failure it is zeroed.
    let _named = unsafe { bpf_get_current_comm(comm.as_mut_ptr().cast(), COMM_LEN as u32) };
    OwnerRecord {
        // SAFETY: these take no arguments, and are there since 5.7.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        // SAFETY: as above.
        pid: unsafe { (bpf_get_current_pid_tgid() >> 32) as u32 },
        // SAFETY: as above.
        uid: unsafe { bpf_get_current_uid_gid() as u32 },
        comm,
    }
}
