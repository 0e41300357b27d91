//! What every version of QUIC shows of itself (RFC 8999), and what versions 1 and 2 show of their packets' types (RFC
//! 9000, 17.2; RFC 9369, 3.2).

/// QUIC version 1 (RFC 9000).
pub const VERSION_1: u32 = 0x0000_0001;

/// QUIC version 2 (RFC 9369).
pub const VERSION_2: u32 = 0x6b33_43cf;

/// The version that a version negotiation packet has.
pub const NEGOTIATION: u32 = 0;

/// A bit of the first byte: the header is a long one.
pub const LONG_HEADER: u8 = 0x80;

/// A bit of the first byte that is set in every packet of versions 1 and 2, unless its receiver has asked for it to be
/// at random (RFC 9287). Without it, a datagram may be of what shares ports with QUIC, such as STUN and RTP (RFC 9443).
pub const FIXED_BIT: u8 = 0x40;

/// A bit of the first byte of a short header: each end shows by it how long round trips take (RFC 9000, 17.4).
pub const SPIN_BIT: u8 = 0x20;

/// The bits of the first byte of a long header that versions 1 and 2 have a packet's type in.
pub const TYPE_BITS: u8 = 0x30;

/// The most bytes of a connection ID in versions 1 and 2.
pub const MAX_ID: usize = 20;

/// The fewest bytes of the destination ID with which a client begins (RFC 9000, 7.2).
pub const MIN_FIRST_ID: usize = 8;

/// The fewest bytes of payload of a datagram with which a client begins (RFC 9000, 14.1).
pub const MIN_FIRST_DATAGRAM: usize = 1200;

/// Where in a long header the length of the destination ID is: behind the first byte and the version.
pub const ID_OFFSET: usize = 5;

/// What every version shows of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariants<'a> {
    /// A packet with a long header.
    Long {
        /// The first byte, of which all but [`LONG_HEADER`] belong to the version.
        first: u8,
        /// The version.
        version: u32,
        /// The destination connection ID: at most [`MAX_ID`] bytes.
        destination: &'a [u8],
        /// The source connection ID: at most [`MAX_ID`] bytes.
        source: &'a [u8],
    },
    /// A packet with a short header, behind whose first byte is a destination connection ID of a length that
    /// the packet does not tell.
    Short {
        /// The first byte, of which all but [`LONG_HEADER`] belong to the version.
        first: u8,
    },
}

/// The type of a packet with a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongType {
    /// It begins a connection, or answers one that does.
    Initial,
    /// It has what a client sends before it was answered.
    ZeroRtt,
    /// It goes on with the handshake.
    Handshake,
    /// A server asks the client to begin again with a token.
    Retry,
}

/// What the first packet of a datagram shows; `None` when the bytes end before that, the packet has no fixed bit
/// and is no version negotiation, or has an ID that is longer than in versions 1 and 2.
#[must_use]
pub fn invariants(bytes: &[u8]) -> Option<Invariants<'_>> {
    let (&first, rest) = bytes.split_first()?;
    if first & LONG_HEADER == 0 {
        return (first & FIXED_BIT != 0).then_some(Invariants::Short { first });
    }
    let (version, rest) = rest.split_first_chunk()?;
    let version = u32::from_be_bytes(*version);
    if !may_be_long(first, version) {
        return None;
    }
    let (destination, rest) = split_id(rest)?;
    let (source, _) = split_id(rest)?;
    Some(Invariants::Long {
        first,
        version,
        destination,
        source,
    })
}

/// Whether a datagram begins with the packet by which a client begins a connection of version 1 or 2. It has
/// `payload_len` bytes of payload, of which `payload` are the first ones.
#[must_use]
pub fn begins_connection(payload: &[u8], payload_len: usize) -> bool {
    match invariants(payload) {
        Some(Invariants::Long {
            first,
            version,
            destination,
            ..
        }) => {
            payload_len >= MIN_FIRST_DATAGRAM
                && destination.len() >= MIN_FIRST_ID
                && first & FIXED_BIT != 0
                && long_type(first, version) == Some(LongType::Initial)
        }
        Some(Invariants::Short { .. }) | None => false,
    }
}

/// The type of a packet with a long header, by its first byte; `None` of other versions than 1 and 2.
#[inline(always)]
#[must_use]
pub const fn long_type(first: u8, version: u32) -> Option<LongType> {
    let number = (first & TYPE_BITS) >> 4;
    // Version 2 has the same types by other numbers.
    let number = match version {
        VERSION_1 => number,
        VERSION_2 => number.wrapping_sub(1) & 3,
        _ => return None,
    };
    Some(match number {
        0 => LongType::Initial,
        1 => LongType::ZeroRtt,
        2 => LongType::Handshake,
        _ => LongType::Retry,
    })
}

/// Whether a first byte with [`LONG_HEADER`], before this version, may be QUIC's.
#[inline(always)]
#[must_use]
pub const fn may_be_long(first: u8, version: u32) -> bool {
    first & FIXED_BIT != 0 || version == NEGOTIATION
}

/// A connection ID behind its length, and the rest.
fn split_id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let length = usize::from(length);
    if length > MAX_ID {
        return None;
    }
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const INITIAL_1: u8 = 0xc0;
    const INITIAL_2: u8 = 0xd0;

    fn long(first: u8, version: u32, destination: &[u8], source: &[u8]) -> Vec<u8> {
        let mut packet = vec![first];
        packet.extend(version.to_be_bytes());
        for id in [destination, source] {
            packet.push(id.len() as u8);
            packet.extend(id);
        }
        packet
    }

    /// RFC 9001, A.2, and RFC 9369, A.2: what a client's first packets begin with.
    #[test]
    fn the_packets_of_the_standards_are_read() {
        const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        for (first, version) in [(INITIAL_1, VERSION_1), (INITIAL_2, VERSION_2)] {
            let packet = [&long(first, version, &ID, &[])[..], &[0, 0x44, 0x9e]].concat();
            let want = Invariants::Long {
                first,
                version,
                destination: &ID,
                source: &[],
            };
            assert_eq!(invariants(&packet), Some(want));
            assert!(begins_connection(&packet, 1200));
            assert!(!begins_connection(&packet, 1199));
        }
    }

    #[test]
    fn types_have_other_numbers_in_version_2() {
        use LongType::{Handshake, Initial, Retry, ZeroRtt};
        for (version, types) in [
            (VERSION_1, [Initial, ZeroRtt, Handshake, Retry]),
            (VERSION_2, [Retry, Initial, ZeroRtt, Handshake]),
        ] {
            for (number, want) in types.into_iter().enumerate() {
                let first = 0xcf & !TYPE_BITS | (number as u8) << 4;
                assert_eq!(long_type(first, version), Some(want));
                let packet = long(first, version, &[1; 8], &[2; 8]);
                assert_eq!(begins_connection(&packet, 1200), want == Initial);
            }
        }
        for version in [NEGOTIATION, 2, 0xff00_001d, VERSION_2 + 1] {
            assert_eq!(long_type(INITIAL_1, version), None);
            let packet = long(INITIAL_1, version, &[1; 8], &[2; 8]);
            assert!(invariants(&packet).is_some() && !begins_connection(&packet, 1200));
        }
    }

    #[test]
    fn a_client_begins_with_an_id_of_8_to_20_bytes() {
        for length in 0..=21 {
            let packet = long(INITIAL_1, VERSION_1, &vec![1; length], &[]);
            assert_eq!(
                begins_connection(&packet, 1200),
                (8..=20).contains(&length),
                "{length}"
            );
        }
        let packet = long(INITIAL_1, VERSION_1, &[1; 8], &[2; 20]);
        assert!(begins_connection(&packet, 1200));
        let packet = long(INITIAL_1, VERSION_1, &[1; 8], &[2; 21]);
        assert!(!begins_connection(&packet, 1200));
    }

    #[test]
    fn what_shares_the_port_is_not_taken_for_quic() {
        // STUN, TURN channels, RTP.
        for first in [0x00, 0x03, 0x3f, 0x80, 0xbf] {
            let packet = long(first, VERSION_1, &[1; 8], &[]);
            assert_eq!(invariants(&packet), None, "{first:#x}");
        }
        let negotiation = long(0x80, NEGOTIATION, &[1; 8], &[]);
        assert!(invariants(&negotiation).is_some());
        assert!(!begins_connection(&negotiation, 1200));
        assert_eq!(invariants(&[0x60]), Some(Invariants::Short { first: 0x60 }));
        assert_eq!(invariants(&[]), None);
    }

    proptest! {
        #[test]
        fn long_headers_are_read_whole_or_not_at_all(
            first in LONG_HEADER | FIXED_BIT..,
            version: u32,
            destination in proptest::collection::vec(any::<u8>(), 0..=24),
            source in proptest::collection::vec(any::<u8>(), 0..=24),
            rest in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let header = long(first, version, &destination, &source);
            let packet = [&header[..], &rest].concat();
            let are_short = destination.len() <= MAX_ID && source.len() <= MAX_ID;
            let want = are_short.then_some(Invariants::Long {
                first,
                version,
                destination: &destination,
                source: &source,
            });
            prop_assert_eq!(invariants(&packet), want);
            for cut in 0..header.len() {
                prop_assert_eq!(invariants(&header[..cut]), None);
            }
        }

        #[test]
        fn anything_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let begins = begins_connection(&bytes, 1200);
            match invariants(&bytes) {
                Some(Invariants::Long { destination, source, .. }) => {
                    prop_assert!(destination.len() <= MAX_ID && source.len() <= MAX_ID);
                    prop_assert!(destination.len() + source.len() + 7 <= bytes.len());
                }
                Some(Invariants::Short { first }) => prop_assert_eq!(first & 0xc0, FIXED_BIT),
                None => prop_assert!(!begins),
            }
        }
    }
}
