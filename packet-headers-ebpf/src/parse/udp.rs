//! The UDP header (RFC 768).

use packet_headers_common::{Endpoint, FlowKey, KernelDiscard};

use super::ip::{Carried, IPV4_WORDS, IPV6_HEADER_LEN, IPV6_WORDS, ip_end};
use super::{Bytes, Datagram, Headers, MAX_OFFSET, Network, launder_offset};

const PROTOCOL_UDP: u8 = 17;
const UDP_LEN: usize = 8;

#[inline(always)]
pub(super) const fn is_udp(protocol: u8) -> bool {
    protocol == PROTOCOL_UDP
}

/// Finds the headers of a UDP packet, where an IP packet carries something else than TCP.
///
/// # Errors
/// Why it is none.
#[inline(always)]
pub(super) fn datagram(
    packet: &impl Bytes,
    network: Network,
    carried: &Carried,
) -> Result<Datagram, KernelDiscard> {
    let Carried::Other { protocol, at } = *carried else {
        return Err(KernelDiscard::NotTcp);
    };
    if !is_udp(protocol) {
        return Err(KernelDiscard::NotTcp);
    }
    let (l3, source, destination, ip_end) = match network {
        Network::V4(l3) => {
            let header: [u32; IPV4_WORDS] = packet.words(l3).ok_or(KernelDiscard::Malformed)?;
            let address = |word: u32| Endpoint::v4(word.to_be_bytes(), 0).address();
            let end = ip_end(packet, l3, 0, header[0] as u16);
            (l3, address(header[3]), address(header[4]), end)
        }
        Network::V6(l3) => {
            let header: [u32; IPV6_WORDS] = packet.words(l3).ok_or(KernelDiscard::Malformed)?;
            // As in a TCP packet: the key of an IPv4 flow has addresses in this form.
            if header[2] | header[3] | (header[4] ^ 0xffff) == 0 {
                return Err(KernelDiscard::Malformed);
            }
            let half = |at| u64::from(header[at]) << 32 | u64::from(header[at + 1]);
            let end = ip_end(packet, l3, IPV6_HEADER_LEN, (header[1] >> 16) as u16);
            (l3, [half(2), half(4)], [half(6), half(8)], end)
        }
    };
    let l4 = launder_offset(packet, at);
    if l4 > MAX_OFFSET {
        return Err(KernelDiscard::HeadersTooLong);
    }
    let [ports, length]: [u32; 2] = packet.words(l4).ok_or(KernelDiscard::Malformed)?;
    let end = l4 + UDP_LEN;
    if end > ip_end {
        return Err(KernelDiscard::Malformed);
    }
    let source = Endpoint::v6(source, (ports >> 16) as u16);
    let key = FlowKey::new(source, Endpoint::v6(destination, ports as u16));
    // What follows the datagram in its packet is none of it. A jumbo packet's does not tell its length (RFC 2675).
    let payload = match (length >> 16) as usize {
        0 => ip_end - end,
        told => (ip_end - end).min(told.saturating_sub(UDP_LEN)),
    };
    let headers = Headers {
        // The verifier need not look at the rest of the program for each way that leads here.
        l3: launder_offset(packet, l3),
        l4,
        end,
        key,
        from_low: key.is_low(&source),
        sequence: 0,
        tcp_flags: 0,
    };
    Ok(Datagram { headers, payload })
}
