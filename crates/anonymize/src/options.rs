//! Walks lists of options. A list that does not add up is zeroed from where it stops doing so.

/// The end of a list, in IPv4 and TCP; behind it is padding.
const END: u8 = 0;

/// No operation, in IPv4 and TCP: one byte.
const NOP: u8 = 1;

/// One byte of padding in IPv6.
const PAD1: u8 = 0;

/// Bytes of an option's type and length.
pub(super) const HEADER: usize = 2;

/// Hands each option of an IPv4 (RFC 791, 3.1) or TCP header (RFC 9293, 3.1) to `cover`: whole, two
/// bytes at least. The length counts type and length themselves.
pub(super) fn walk(list: &mut [u8], cover: impl Fn(&mut [u8])) {
    let length = |option: &[u8]| match *option {
        [NOP, ..] => Some(1),
        [END, ..] | [] | [_] => None,
        [_, length, ..] => Some(usize::from(length)).filter(|length| *length >= HEADER),
    };
    each(list, length, cover);
}

/// Hands each option of an IPv6 extension header (RFC 8200, 4.2) to `cover`: whole, two bytes at
/// least. The length counts the data alone.
pub(super) fn walk_ipv6(list: &mut [u8], cover: impl Fn(&mut [u8])) {
    let length = |option: &[u8]| match *option {
        [PAD1, ..] => Some(1),
        [] | [_] => None,
        [_, length, ..] => Some(HEADER + usize::from(length)),
    };
    each(list, length, cover);
}

fn each(list: &mut [u8], length: impl Fn(&[u8]) -> Option<usize>, cover: impl Fn(&mut [u8])) {
    let mut at = 0;
    while let Some(length) = list.get(at..).and_then(&length) {
        let Some(option) = list.get_mut(at..at + length) else {
            break;
        };
        if option.len() >= HEADER {
            cover(option);
        }
        at += length;
    }
    // Padding, or what cannot be told from it.
    list[at..].fill(0);
}

/// Zeroes the data of an option; type and length stay.
pub(super) fn blank(option: &mut [u8]) {
    if let Some(data) = option.get_mut(HEADER..) {
        data.fill(0);
    }
}
