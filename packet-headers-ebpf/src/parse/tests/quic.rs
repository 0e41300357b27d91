//! What is kept of QUIC, against what user space reads.

use packet_headers_common::quic::{
    FIXED_BIT, Invariants, LONG_HEADER, NEGOTIATION, VERSION_1, VERSION_2, begins_connection,
    invariants,
};
use packet_headers_common::quic_state::ShownId;
use proptest::prelude::*;

use super::super::{Shown, shown};
use super::{Vec, vec};

/// As many bytes as a payload has, behind one of the UDP header.
fn look(payload: &[u8]) -> Shown {
    let bytes = [&[0][..], payload].concat();
    shown(&&bytes[..], 1, payload.len())
}

fn id_of(id: &[u8]) -> ShownId {
    let mut padded = [0; 24];
    padded[0] = id.len() as u8;
    padded[1..=id.len()].copy_from_slice(id);
    let (words, _) = padded.as_chunks::<8>();
    let words = [words[0], words[1], words[2]].map(u64::from_ne_bytes);
    ShownId::of(words, id.len() as u64)
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let versions = vec![VERSION_1, VERSION_2, NEGOTIATION, 0xff00_001d];
    let id = || proptest::collection::vec(any::<u8>(), 0..=22);
    let parts = (any::<u8>(), proptest::sample::select(versions), id(), id());
    (parts, 0usize..60, any::<bool>()).prop_map(|((first, version, one, other), cut, is_full)| {
        let mut payload = vec![first | LONG_HEADER];
        payload.extend(version.to_be_bytes());
        for id in [one, other] {
            payload.push(id.len() as u8);
            payload.extend(id);
        }
        payload.resize(if is_full { 1200 } else { payload.len() }, 0);
        let end = payload
            .len()
            .saturating_sub(if is_full { cut / 30 } else { cut });
        payload.truncate(end);
        payload
    })
}

#[test]
fn a_short_header_is_one_with_the_fixed_bit() {
    for (payload, want) in [
        (&[][..], Shown::Nothing),
        (&[0x3f], Shown::Nothing),
        (&[0x40], Shown::Short),
        (&[0x7f, 1, 2, 3, 4, 5, 6, 7], Shown::Short),
        (&[0xc0], Shown::Nothing),
    ] {
        assert_eq!(look(payload), want, "{payload:x?}");
    }
}

proptest! {
    #[test]
    fn the_kernel_keeps_what_user_space_reads(payload in payload()) {
        let found = look(&payload);
        let Some(Invariants::Long { first, version, destination, source }) = invariants(&payload) else {
            prop_assert!(matches!(found, Shown::Nothing | Shown::TooLong));
            return Ok(());
        };
        let is_known = version == NEGOTIATION
            || ([VERSION_1, VERSION_2].contains(&version) && first & FIXED_BIT != 0);
        let Shown::Long(long, length) = found else {
            prop_assert!(!is_known, "{found:?}");
            return Ok(());
        };
        prop_assert!(is_known);
        prop_assert_eq!(length, 7 + destination.len() + source.len());
        prop_assert_eq!(long.begins, begins_connection(&payload, payload.len()));
        prop_assert_eq!((long.destination, long.source), (id_of(destination), id_of(source)));
        // A record that ends there can be read.
        prop_assert_eq!(invariants(&payload[..length]), invariants(&payload));
    }

    #[test]
    fn ids_that_are_too_long_are_told_from_those_that_are_cut(
        lengths in (0usize..=30, 0usize..=30),
        cut in 0usize..10,
    ) {
        let (one, other) = lengths;
        let mut payload = vec![0xe0, 0, 0, 0, 1];
        for length in [one, other] {
            payload.push(length as u8);
            payload.resize(payload.len() + length, 7);
        }
        let whole = payload.len();
        payload.truncate(whole - cut.min(other));
        let is_too_long = one > 20 || other > 20;
        match look(&payload) {
            Shown::TooLong => prop_assert!(is_too_long),
            Shown::Long(_, length) => prop_assert!(!is_too_long && length == whole && whole == payload.len()),
            Shown::Nothing | Shown::Short => prop_assert!(!is_too_long && payload.len() < whole),
        }
    }

    #[test]
    fn two_ids_are_told_apart(
        one in proptest::collection::vec(any::<u8>(), 0..=20),
        other in proptest::collection::vec(any::<u8>(), 0..=20),
        place in 0usize..20,
        bit in 0u8..8,
    ) {
        prop_assert_eq!(one == other, id_of(&one).tag == id_of(&other).tag);
        let mut changed = one.clone();
        if let Some(byte) = changed.get_mut(place) {
            *byte ^= 1 << bit;
            prop_assert_ne!(id_of(&one).tag, id_of(&changed).tag);
        }
    }
}
