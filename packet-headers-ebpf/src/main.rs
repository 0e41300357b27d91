//! The programs: those that copy packet headers, and those that watch sockets.
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
mod allowance;
mod capture;
mod datagram_sockets;
mod datagrams;
mod emit;
mod entries;
mod filter;
mod flow_events;
mod icmp;
mod kept;
mod maps;
mod netns;
mod next;
mod odd_headers;
mod owners;
mod packet;
mod packet_socket;
mod quic;
mod scratch;
mod stream;

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::macros::{cgroup_sock, cgroup_sock_addr, classifier, sock_ops, socket_filter};
use aya_ebpf::programs::{SkBuffContext, SockAddrContext, SockContext, SockOpsContext, TcContext};
use packet_headers_common::{Direction, LinkType};

use crate::capture::{capture, capture_datagram, capture_error};
use crate::packet::Packet;

/// Packets received by an interface whose packets begin with an Ethernet header.
#[classifier]
pub fn ph_eth_ingress(ctx: TcContext) -> i32 {
    classify(&ctx, Direction::Ingress, LinkType::Ethernet)
}

/// Packets sent by an interface whose packets begin with an Ethernet header.
#[classifier]
pub fn ph_eth_egress(ctx: TcContext) -> i32 {
    classify(&ctx, Direction::Egress, LinkType::Ethernet)
}

/// Packets received by an interface without a link layer.
#[classifier]
pub fn ph_raw_ingress(ctx: TcContext) -> i32 {
    classify(&ctx, Direction::Ingress, LinkType::RawIp)
}

/// Packets sent by an interface without a link layer.
#[classifier]
pub fn ph_raw_egress(ctx: TcContext) -> i32 {
    classify(&ctx, Direction::Egress, LinkType::RawIp)
}

/// Packets of every interface, as a packet socket sees them. It queues none of them, and may not read
/// them directly.
#[socket_filter]
pub fn ph_any(ctx: SkBuffContext) -> i64 {
    if let Some(packet) = packet_socket::packet(&ctx) {
        capture(&packet);
    }
    0
}

/// ICMP errors that [`ph_eth_ingress`] was shown.
#[classifier]
pub fn ph_icmp_eth_ingress(ctx: TcContext) -> i32 {
    classify_error(&ctx, Direction::Ingress, LinkType::Ethernet)
}

/// ICMP errors that [`ph_eth_egress`] was shown.
#[classifier]
pub fn ph_icmp_eth_egress(ctx: TcContext) -> i32 {
    classify_error(&ctx, Direction::Egress, LinkType::Ethernet)
}

/// ICMP errors that [`ph_raw_ingress`] was shown.
#[classifier]
pub fn ph_icmp_raw_ingress(ctx: TcContext) -> i32 {
    classify_error(&ctx, Direction::Ingress, LinkType::RawIp)
}

/// ICMP errors that [`ph_raw_egress`] was shown.
#[classifier]
pub fn ph_icmp_raw_egress(ctx: TcContext) -> i32 {
    classify_error(&ctx, Direction::Egress, LinkType::RawIp)
}

/// ICMP errors that [`ph_any`] was shown.
#[socket_filter]
pub fn ph_icmp_any(ctx: SkBuffContext) -> i64 {
    if let Some(packet) = packet_socket::packet(&ctx) {
        capture_error(&packet);
    }
    0
}

/// UDP that [`ph_eth_ingress`] was shown.
#[classifier]
pub fn ph_udp_eth_ingress(ctx: TcContext) -> i32 {
    classify_datagram(&ctx, Direction::Ingress, LinkType::Ethernet)
}

/// UDP that [`ph_eth_egress`] was shown.
#[classifier]
pub fn ph_udp_eth_egress(ctx: TcContext) -> i32 {
    classify_datagram(&ctx, Direction::Egress, LinkType::Ethernet)
}

/// UDP that [`ph_raw_ingress`] was shown.
#[classifier]
pub fn ph_udp_raw_ingress(ctx: TcContext) -> i32 {
    classify_datagram(&ctx, Direction::Ingress, LinkType::RawIp)
}

/// UDP that [`ph_raw_egress`] was shown.
#[classifier]
pub fn ph_udp_raw_egress(ctx: TcContext) -> i32 {
    classify_datagram(&ctx, Direction::Egress, LinkType::RawIp)
}

/// UDP that [`ph_any`] was shown.
#[socket_filter]
pub fn ph_udp_any(ctx: SkBuffContext) -> i64 {
    if let Some(packet) = packet_socket::packet(&ctx) {
        capture_datagram(&packet);
    }
    0
}

/// Packets whose headers a classifier finds odd.
#[classifier]
pub fn ph_log(ctx: TcContext) -> i32 {
    // Neither counts.
    let (direction, link) = (Direction::Ingress, LinkType::Ethernet);
    odd_headers::log(&Packet::<true>::new(ctx.skb.skb, direction, link));
    TC_ACT_UNSPEC
}

/// Packets whose headers [`ph_any`] finds odd.
#[socket_filter]
pub fn ph_log_any(ctx: SkBuffContext) -> i64 {
    if let Some(packet) = packet_socket::packet(&ctx) {
        odd_headers::log(&packet);
    }
    0
}

/// Begins and ends of connections.
#[sock_ops]
pub fn ph_sockets(ctx: SockOpsContext) -> u32 {
    flow_events::observe(&ctx);
    1
}

/// A process connects an IPv4 socket. Forbids nothing.
#[cgroup_sock_addr(connect4)]
pub fn ph_connect4(ctx: SockAddrContext) -> i32 {
    owners::connects(&ctx);
    1
}

/// A process connects an IPv6 socket. Forbids nothing.
#[cgroup_sock_addr(connect6)]
pub fn ph_connect6(ctx: SockAddrContext) -> i32 {
    owners::connects(&ctx);
    1
}

/// A process has bound an IPv4 socket. Forbids nothing.
#[cgroup_sock(post_bind4)]
pub fn ph_bind4(ctx: SockContext) -> i32 {
    owners::bound(&ctx);
    1
}

/// A process has bound an IPv6 socket. Forbids nothing.
#[cgroup_sock(post_bind6)]
pub fn ph_bind6(ctx: SockContext) -> i32 {
    owners::bound(&ctx);
    1
}

/// A process closes a socket.
#[cgroup_sock(sock_release)]
pub fn ph_release(ctx: SockContext) -> i32 {
    if let Some((cookie, owner)) = owners::closes(&ctx) {
        flow_events::left(cookie, owner);
    }
    datagram_sockets::closes(&ctx);
    1
}

/// A classifier may read its packet directly.
#[inline(always)]
fn classify(ctx: &TcContext, direction: Direction, link: LinkType) -> i32 {
    capture(&Packet::<true>::new(ctx.skb.skb, direction, link));
    TC_ACT_UNSPEC
}

/// As [`classify`], of what may be UDP.
#[inline(always)]
fn classify_datagram(ctx: &TcContext, direction: Direction, link: LinkType) -> i32 {
    capture_datagram(&Packet::<true>::new(ctx.skb.skb, direction, link));
    TC_ACT_UNSPEC
}

#[inline(always)]
fn classify_error(ctx: &TcContext, direction: Direction, link: LinkType) -> i32 {
    capture_error(&Packet::<true>::new(ctx.skb.skb, direction, link));
    TC_ACT_UNSPEC
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
