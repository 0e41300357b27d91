//! Anonymizes a TCP header.

use crate::options;

/// Bytes of a header without options (RFC 9293, 3.1).
const HEADER_LEN: usize = 20;

const CHECKSUM: std::ops::Range<usize> = 16..18;

const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const MPTCP: u8 = 30;

/// Bytes of a SACK option with one to four blocks (RFC 2018, 3).
const SACK_LENGTHS: [usize; 4] = [10, 18, 26, 34];

/// The only subtype of multipath TCP that carries an address (RFC 8684, 3.4.1).
const ADD_ADDR: u8 = 3;

/// MP_TCPRST (RFC 8684, 3.6), the highest subtype that is assigned.
const LAST_SUBTYPE: u8 = 8;

/// Zeroes what depends on the addresses: the checksum, which includes both in a pseudo-header, and
/// every option that is not known to be independent of them.
pub(crate) fn anonymize(bytes: &mut [u8]) {
    let Some((header, rest)) = bytes.split_first_chunk_mut::<HEADER_LEN>() else {
        bytes.fill(0);
        return;
    };
    header[CHECKSUM].fill(0);
    let length = usize::from(header[12] >> 4) * 4;
    let length = length.saturating_sub(HEADER_LEN).min(rest.len());
    let (list, beyond) = rest.split_at_mut(length);
    options::walk(list, option);
    beyond.fill(0);
}

/// The same for a header that may end anywhere: an ICMP error quotes it, and at least its ports.
pub(crate) fn anonymize_cut(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_LEN {
        return anonymize(bytes);
    }
    if let Some(checksum) = bytes.get_mut(CHECKSUM.start..) {
        checksum.fill(0);
    }
}

/// The lengths are checked too: an option of any other length is not the one its kind says.
fn option(option: &mut [u8]) {
    let known = match (option[0], option.len()) {
        (MSS, 4) | (WINDOW_SCALE, 3) | (SACK_PERMITTED, 2) | (TIMESTAMPS, 10) => true,
        (SACK, length) => SACK_LENGTHS.contains(&length),
        (MPTCP, 3..) => return multipath(option),
        _ => false,
    };
    if !known {
        // Includes MD5 and AO signatures (19, 29), which let whoever has the key test guesses, and
        // the fast open cookie (34), which the server derives from the client's address.
        options::blank(option);
    }
}

/// Keys, tokens and their HMACs are made from random numbers; ADD_ADDR carries an address and an
/// HMAC over it.
fn multipath(option: &mut [u8]) {
    let kept = option[options::HEADER_LEN] & 0xf0;
    let subtype = kept >> 4;
    if subtype == ADD_ADDR || subtype > LAST_SUBTYPE {
        options::blank(option);
        option[options::HEADER_LEN] = kept;
    }
}
