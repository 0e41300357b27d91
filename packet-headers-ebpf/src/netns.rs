//! Which network namespace a socket is in.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_get_netns_cookie;

use crate::maps::NETNS_COOKIE;

/// Whether the socket of a program's context is in the network namespace that the daemon watches, or it watches all.
#[inline(always)]
pub(crate) fn is_watched(ctx: *mut c_void) -> bool {
    let wanted = NETNS_COOKIE.load();
    // The verifier drops the call where the kernel lacks the helper: `wanted` is 0 there.
    // SAFETY: the context is valid while the program runs.
    wanted == 0 || unsafe { bpf_get_netns_cookie(ctx) } == wanted
}
