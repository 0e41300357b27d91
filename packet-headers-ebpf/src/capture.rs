//! What is done with a packet, and how it is counted.

use packet_headers_common::{KernelDiscard, PacketCounter};
use packet_headers_ebpf::parse::parse;

use crate::admit::admit;
use crate::emit::{Copied, emit};
use crate::maps::{DECAPSULATE, PACKET_COUNTERS};
use crate::odd_headers;
use crate::packet::Packet;

/// Counts a packet twice: once as seen, once by what became of it.
#[inline(always)]
pub(crate) fn capture<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    let Some(counters) = PACKET_COUNTERS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the slot of this CPU, which no other packet program touches while this one runs.
    let counters = unsafe { &mut *counters };
    counters.count(PacketCounter::Seen);
    match parse_admit_emit(packet) {
        Ok(Copied::Full) => counters.count(PacketCounter::Submitted),
        Ok(Copied::Truncated) => {
            counters.count(PacketCounter::HeadersTruncated);
            counters.count(PacketCounter::Submitted);
        }
        Err(reason) => {
            counters.discard(reason);
            odd_headers::log(packet, reason);
        }
    }
}

#[inline(always)]
fn parse_admit_emit<const DIRECT: bool>(packet: &Packet<DIRECT>) -> Result<Copied, KernelDiscard> {
    let headers = parse(packet, packet.link, DECAPSULATE.load() != 0)?;
    let admitted = admit(packet, &headers)?;
    emit(packet, &headers, &admitted)
}
