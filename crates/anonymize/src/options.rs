//! Walks lists of options. A malformed list is zeroed from the first option that does not fit.

/// End of option list, in IPv4 and TCP; only padding follows.
const END: u8 = 0;

/// No operation, in IPv4 and TCP: a single byte.
const NOP: u8 = 1;

/// A single byte of padding, in IPv6.
const PAD1: u8 = 0;

/// Bytes of an option's type and length.
pub(crate) const HEADER_LEN: usize = 2;

/// Passes each option of an IPv4 (RFC 791, 3.1) or TCP header (RFC 9293, 3.1) to `anonymize`, with
/// its type and length: at least two bytes. The length field includes type and length.
pub(crate) fn walk(list: &mut [u8], anonymize: impl Fn(&mut [u8])) {
    let length = |option: &[u8]| match *option {
        [NOP, ..] => Some(1),
        [END, ..] | [] | [_] => None,
        [_, length, ..] => Some(usize::from(length)).filter(|length| *length >= HEADER_LEN),
    };
    each(list, length, anonymize);
}

/// Passes each option of an IPv6 extension header (RFC 8200, 4.2) to `anonymize`, with its type and
/// length: at least two bytes. The length field counts only the data.
pub(crate) fn walk_ipv6(list: &mut [u8], anonymize: impl Fn(&mut [u8])) {
    let length = |option: &[u8]| match *option {
        [PAD1, ..] => Some(1),
        [] | [_] => None,
        [_, length, ..] => Some(HEADER_LEN + usize::from(length)),
    };
    each(list, length, anonymize);
}

fn each(list: &mut [u8], length: impl Fn(&[u8]) -> Option<usize>, anonymize: impl Fn(&mut [u8])) {
    let mut at = 0;
    while let Some(length) = list.get(at..).and_then(&length) {
        let Some(option) = list.get_mut(at..at + length) else {
            break;
        };
        if option.len() >= HEADER_LEN {
            anonymize(option);
        }
        at += length;
    }
    // Padding, or bytes that cannot be told from it.
    list[at..].fill(0);
}

/// Zeroes the data of an option; type and length stay.
pub(crate) fn blank(option: &mut [u8]) {
    if let Some(data) = option.get_mut(HEADER_LEN..) {
        data.fill(0);
    }
}
