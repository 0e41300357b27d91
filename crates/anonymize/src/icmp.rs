//! Anonymizes an ICMP error, which quotes a packet of the connection.

use crate::{FlowAnonymizer, ip, tcp};

pub(crate) const PROTOCOL_ICMP: u8 = 1;
pub(crate) const PROTOCOL_ICMPV6: u8 = 58;
pub(crate) const PROTOCOL_TCP: u8 = 6;

/// Bytes of the header; the quoted packet follows.
const HEADER_LEN: usize = 8;

/// Type and code.
const KEPT_LEN: usize = 2;

/// Anonymizes a message of this protocol: addresses in it become pseudonyms, as far as the quoted packet
/// leads to TCP, and both its own checksum and those of the quoted packet become zero.
///
/// What is no error is zeroed but for its type and code, with all that follows.
pub(crate) fn anonymize(bytes: &mut [u8], protocol: u8, flow: &FlowAnonymizer) {
    let Some((header, quoted)) = bytes.split_first_chunk_mut::<HEADER_LEN>() else {
        bytes.fill(0);
        return;
    };
    header[KEPT_LEN..4].fill(0);
    let [kind, code, .., a, b, c, d] = header;
    let kept = match (protocol, *kind, *code) {
        // How long the quote is (RFC 4884, 4), and the next hop's MTU (RFC 1191, 4).
        (PROTOCOL_ICMP, 3, 4) => [0, *b, *c, *d],
        (PROTOCOL_ICMP, 3 | 11, _) => [0, *b, 0, 0],
        (PROTOCOL_ICMP, 4, _) => [0; 4],
        // A redirect's gateway.
        (PROTOCOL_ICMP, 5, _) => ip::pseudonym_v4([*a, *b, *c, *d], flow),
        // Where the problem is.
        (PROTOCOL_ICMP, 12, _) => [*a, *b, 0, 0],
        (PROTOCOL_ICMPV6, 1 | 3, _) => [*a, 0, 0, 0],
        // An MTU, and a place.
        (PROTOCOL_ICMPV6, 2 | 4, _) => [*a, *b, *c, *d],
        _ => {
            header[KEPT_LEN..].fill(0);
            return quoted.fill(0);
        }
    };
    header[4..].copy_from_slice(&kept);
    quote(quoted, flow);
}

/// Anonymizes a packet that may end anywhere.
fn quote(bytes: &mut [u8], flow: &FlowAnonymizer) {
    match ip::anonymize(bytes, flow) {
        Some((PROTOCOL_TCP, at)) => {
            if let Some(header) = bytes.get_mut(at..) {
                tcp::anonymize_cut(header);
            }
        }
        // Only the fixed part is sure to be what it seems.
        Some(_) | None => {
            let kept = ip::fixed_len(bytes);
            bytes[kept..].fill(0);
        }
    }
}
