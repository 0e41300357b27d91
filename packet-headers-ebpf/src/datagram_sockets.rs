//! Tells the daemon when a process closes a connected UDP socket: the flow that it has begun is over.

use core::ptr;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use aya_ebpf::programs::SockContext;
use packet_headers_common::{ClosedSocket, EventCounter};

use crate::admit::now;
use crate::flow_events::count;
use crate::maps::{CLOSED_SOCKETS, UDP};
use crate::netns;

const IPPROTO_UDP: u32 = 17;

/// `TCP_ESTABLISHED` (`include/net/tcp_states.h`), which is also a connected UDP socket's.
const CONNECTED: u32 = 1;

/// A process closes a socket, as the last that has it open.
#[inline(always)]
pub(crate) fn closes(ctx: &SockContext) {
    /// Reads one field of the context, by itself: the verifier refuses to read two as one.
    macro_rules! field {
        ($field:ident) => {
            // SAFETY: the context is valid while the program runs; the verifier checks the field.
            unsafe { ptr::read_volatile(&raw const (*ctx.sock).$field) }
        };
    }
    if UDP.load() == 0 || field!(protocol) != IPPROTO_UDP || field!(state) != CONNECTED {
        return;
    }
    if !netns::is_watched(ctx.as_ptr()) {
        return;
    }
    let Some(mut entry) = CLOSED_SOCKETS.reserve_untyped::<ClosedSocket>(0) else {
        return count(EventCounter::ClosedSocketLost);
    };
    entry.write(ClosedSocket {
        boot_ns: now(),
        // SAFETY: the context is valid while the program runs.
        cookie: unsafe { bpf_get_socket_cookie(ctx.as_ptr()) },
    });
    entry.submit(0);
}
