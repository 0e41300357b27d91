//! Packets as packet sockets see them: a socket filter may not look at them itself, and sees those of
//! every interface of the namespace.

use aya_ebpf::programs::TcContext;
use packet_headers_common::{Direction, LinkType};
use packet_headers_ebpf::parse::Bytes;

use crate::maps::INTERFACES;
use crate::skb::{Frame, load, load_words};

/// `PACKET_OUTGOING` of linux/if_packet.h.
const PACKET_OUTGOING: u32 = 4;

/// Captures a packet of an interface that is wanted; others are not for us to count.
///
/// A packet socket is shown a packet from its link header on, also one that was received.
#[inline(always)]
pub(crate) fn capture(ctx: &TcContext) {
    // SAFETY: the context of a socket filter is valid while it runs.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    // SAFETY: as above.
    let kind = unsafe { (*ctx.skb.skb).pkt_type };
    let Some(link) = INTERFACES.get_ptr(&ifindex) else {
        return;
    };
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
    crate::account(ctx, &Loaded(ctx), direction, link);
}

const RAW_IP: u8 = LinkType::RawIp as u8;

/// A packet that is read by the kernel's helper.
struct Loaded<'a>(&'a TcContext);

impl Frame for Loaded<'_> {
    /// A socket filter may not look at it.
    #[inline(always)]
    fn hardware_time(&self) -> u64 {
        0
    }
}

impl Bytes for Loaded<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        self.0.len() as usize
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        load(self.0, offset)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        load_words(self.0, offset)
    }
}
