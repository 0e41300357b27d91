//! What is done with a packet, and how it is counted.

use packet_headers_common::{KernelDiscard, PacketCounter, PacketCounters};
use packet_headers_ebpf::parse::{Found, Headers, datagram_in, find, network, parse_error};

use crate::admit::{admit, admit_error};
use crate::emit::{Copied, emit, emit_datagram, emit_error};
use crate::maps::{DECAPSULATE, ICMP_ERRORS, PACKET_COUNTERS, SCRATCH, UDP};
use crate::packet::Packet;
use crate::scratch::{Scratch, through};
use crate::{datagrams, next, odd_headers};

/// Counts a packet twice: once as seen, once by what became of it.
#[inline(always)]
pub(crate) fn capture<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    let Some(counters) = counters() else {
        return;
    };
    counters.count(PacketCounter::Seen);
    let outcome = match find(packet, packet.link, DECAPSULATE.load() != 0) {
        Ok(Found::Tcp(headers)) => admit_emit(packet, &headers),
        Ok(Found::Icmp) => {
            if ICMP_ERRORS.load() != 0 {
                next::icmp(packet);
            }
            Err(KernelDiscard::NotTcp)
        }
        Ok(Found::Udp) => {
            if UDP.load() != 0 {
                next::udp(packet);
            }
            Err(KernelDiscard::NotTcp)
        }
        Err(reason) => Err(reason),
    };
    count(packet, counters, outcome);
}

/// Counts a UDP packet, which was counted as seen, by what became of it.
#[inline(always)]
pub(crate) fn capture_datagram<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    let Some(counters) = counters() else {
        return;
    };
    let outcome = parse_admit_emit_datagram(packet, counters);
    count(packet, counters, outcome);
}

/// Counts an ICMP packet, which was counted as seen, by what became of it.
#[inline(always)]
pub(crate) fn capture_error<const DIRECT: bool>(packet: &Packet<DIRECT>) {
    let Some(counters) = counters() else {
        return;
    };
    let outcome = parse_admit_emit_error(packet);
    if outcome.is_ok() {
        counters.count(PacketCounter::IcmpErrors);
    }
    count(packet, counters, outcome);
}

// No closures: the compiler would make functions of them.

#[inline(always)]
fn admit_emit<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    headers: &Headers,
) -> Result<Copied, KernelDiscard> {
    let admitted = admit(packet, headers)?;
    emit(packet, headers, &admitted)
}

#[inline(always)]
fn parse_admit_emit_error<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
) -> Result<Copied, KernelDiscard> {
    let headers = parse_error(packet, packet.link, DECAPSULATE.load() != 0)?;
    let admitted = admit_error(&headers)?;
    emit_error(packet, &headers, &admitted)
}

#[inline(always)]
fn parse_admit_emit_datagram<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    counters: &mut PacketCounters,
) -> Result<Copied, KernelDiscard> {
    let scratch: *mut Scratch = SCRATCH.get_ptr_mut(0).ok_or(KernelDiscard::CopyFailed)?;
    // SAFETY: the slot of this CPU, which no other packet program touches while this one runs.
    let scratch = unsafe { &mut *scratch };
    let network = network(packet, packet.link, DECAPSULATE.load() != 0)?;
    let network = through(&mut scratch.network, network);
    let datagram = datagram_in(packet, network)?;
    let datagram = through(&mut scratch.datagram, datagram);
    let admitted = datagrams::admit(packet, &datagram, scratch)?;
    let kept = &admitted.kept;
    if kept.is_news {
        counters.count(PacketCounter::QuicFlows);
    }
    if kept.is_too_long {
        counters.count(PacketCounter::QuicIdsTooLong);
    }
    let copied = emit_datagram(packet, &datagram.headers, &admitted)?;
    counters.count(PacketCounter::Datagrams);
    if kept.length != 0 {
        counters.count(PacketCounter::Quic);
    }
    Ok(copied)
}

/// This processor's counters.
#[inline(always)]
fn counters<'map>() -> Option<&'map mut PacketCounters> {
    let counters = PACKET_COUNTERS.get_ptr_mut(0)?;
    // SAFETY: the slot of this CPU, which no other packet program touches while this one runs.
    Some(unsafe { &mut *counters })
}

#[inline(always)]
fn count<const DIRECT: bool>(
    packet: &Packet<DIRECT>,
    counters: &mut PacketCounters,
    outcome: Result<Copied, KernelDiscard>,
) {
    match outcome {
        Ok(Copied::Full) => counters.count(PacketCounter::Submitted),
        Ok(Copied::Truncated) => {
            counters.count(PacketCounter::HeadersTruncated);
            counters.count(PacketCounter::Submitted);
        }
        Err(reason) => {
            counters.discard(reason);
            if odd_headers::are_logged(reason) {
                next::log(packet);
            }
        }
    }
}
