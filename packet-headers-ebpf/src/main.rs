//! The programs: classifiers that copy packet headers, and one that watches sockets.
//!
//! A classifier never changes a packet or a verdict: it returns `TC_ACT_UNSPEC`, which lets the next
//! program decide.
#![no_std]
#![no_main]
#![allow(
    unsafe_code,
    reason = "kernel helpers, and the contexts and maps that the verifier checks, are raw pointers"
)]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "a key by value is one more copy on a stack of 512 bytes"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the macros hand the context over"
)]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the macros make an entry point beside each documented function, public and bare"
)]

mod admit;
mod emit;
mod filter;
mod flow_events;
mod maps;
mod skb;
mod sock;

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::{classifier, sock_ops, socket_filter};
use aya_ebpf::programs::{SkBuffContext, SockOpsContext, TcContext};
use aya_log_ebpf::warn;
use packet_headers_common::{Direction, KernelDiscard, LinkType, PacketCounter};
use packet_headers_ebpf::parse::parse_through;

use crate::admit::admit;
use crate::emit::{Kept, emit};
use crate::maps::{DECAPSULATE, LAST_LOG, PACKET_COUNTERS};
use crate::skb::{Frame, Skb};

/// Packets received by an interface whose packets begin with an Ethernet header.
#[classifier]
pub fn ph_eth_ingress(ctx: TcContext) -> i32 {
    capture(&ctx, Direction::Ingress, LinkType::Ethernet)
}

/// Packets sent by an interface whose packets begin with an Ethernet header.
#[classifier]
pub fn ph_eth_egress(ctx: TcContext) -> i32 {
    capture(&ctx, Direction::Egress, LinkType::Ethernet)
}

/// Packets received by an interface without a link layer.
#[classifier]
pub fn ph_raw_ingress(ctx: TcContext) -> i32 {
    capture(&ctx, Direction::Ingress, LinkType::RawIp)
}

/// Packets sent by an interface without a link layer.
#[classifier]
pub fn ph_raw_egress(ctx: TcContext) -> i32 {
    capture(&ctx, Direction::Egress, LinkType::RawIp)
}

/// Packets of every interface, as a packet socket sees them. It queues none.
#[socket_filter]
pub fn ph_any(ctx: SkBuffContext) -> i64 {
    sock::capture(&TcContext::new(ctx.skb.skb));
    0
}

/// Begins and ends of connections.
#[sock_ops]
pub fn ph_sockets(ctx: SockOpsContext) -> u32 {
    flow_events::observe(&ctx);
    1
}

/// Where a classifier sees a packet.
struct Place {
    ifindex: u32,
    direction: Direction,
    link: LinkType,
}

#[inline(always)]
fn capture(ctx: &TcContext, direction: Direction, link: LinkType) -> i32 {
    account(ctx, &Skb(ctx), direction, link);
    TC_ACT_UNSPEC
}

/// Each packet is counted twice: once as seen, once by what became of it.
#[inline(always)]
fn account(ctx: &TcContext, packet: &impl Frame, direction: Direction, link: LinkType) {
    let Some(counters) = PACKET_COUNTERS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the slot of this CPU, which no other classifier touches while this one runs.
    let counters = unsafe { &mut *counters };
    counters.count(PacketCounter::Seen);
    match take(ctx, packet, direction, link) {
        Ok(Kept::Whole) => counters.count(PacketCounter::Submitted),
        Ok(Kept::Part) => {
            counters.count(PacketCounter::HeadersTruncated);
            counters.count(PacketCounter::Submitted);
        }
        Err(reason) => {
            counters.discard(reason);
            if matches!(
                reason,
                KernelDiscard::Malformed | KernelDiscard::HeadersTooLong
            ) {
                log_odd_header(ctx, reason);
            }
        }
    }
}

/// Parse, admit, emit; the error is the counter.
#[inline(always)]
fn take(
    ctx: &TcContext,
    packet: &impl Frame,
    direction: Direction,
    link: LinkType,
) -> Result<Kept, KernelDiscard> {
    let headers = parse_through(packet, link, DECAPSULATE.load() != 0)?;
    let place = Place {
        // SAFETY: the context of a classifier is valid while it runs.
        ifindex: unsafe { (*ctx.skb.skb).ifindex },
        direction,
        link,
    };
    let admitted = admit(&headers, &place)?;
    emit(ctx, packet, &headers, &place, &admitted)
}

/// How often an odd header is worth a line, in nanoseconds.
const LOG_EVERY: u64 = 1_000_000_000;

/// Says that a packet's headers were odd, once a second at most; the counters know how many.
#[cold]
#[inline(never)]
fn log_odd_header(ctx: &TcContext, outcome: KernelDiscard) {
    let Some(last) = LAST_LOG.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: takes no argument, exists since 5.8.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    // SAFETY: the map's one element; two CPUs that race write two lines.
    let last = unsafe { &mut *last };
    if now.wrapping_sub(*last) < LOG_EVERY && *last != 0 {
        return;
    }
    *last = now;
    // SAFETY: the context of a classifier is valid while it runs.
    let interface = unsafe { (*ctx.skb.skb).ifindex };
    let length = ctx.len();
    // Two lines and no text argument: that would be a copy of unknown length.
    if outcome as u32 == KernelDiscard::Malformed as u32 {
        warn!(
            ctx,
            "interface {}: malformed headers in a packet of {} bytes", interface, length
        );
    } else {
        warn!(
            ctx,
            "interface {}: too many header bytes in a packet of {}", interface, length
        );
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
