//! What a packet socket shows to its filter: the packets of every interface of the network namespace.

use aya_ebpf::programs::SkBuffContext;
use packet_headers_common::{Direction, LinkType};

use crate::maps::INTERFACES;
use crate::packet::Packet;

/// `PACKET_OUTGOING` of linux/if_packet.h.
const PACKET_OUTGOING: u32 = 4;

const RAW_IP: u8 = LinkType::RawIp as u8;

/// The packet, unless its interface is not captured.
///
/// It begins with its link header, even one that was received.
#[inline(always)]
pub(crate) fn packet(ctx: &SkBuffContext) -> Option<Packet<false>> {
    let skb = ctx.skb.skb;
    // SAFETY: the context of a socket filter is valid while it runs.
    let ifindex = unsafe { (*skb).ifindex };
    // SAFETY: as above.
    let kind = unsafe { (*skb).pkt_type };
    let link = INTERFACES.get_ptr(&ifindex)?;
    // SAFETY: the memory of an entry outlives the program's run.
    let link = match unsafe { *link } {
        RAW_IP => LinkType::RawIp,
        _ => LinkType::Ethernet,
    };
    let direction = if kind == PACKET_OUTGOING {
        Direction::Egress
    } else {
        Direction::Ingress
    };
    Some(Packet::new(skb, direction, link))
}
