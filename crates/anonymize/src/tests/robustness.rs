//! Whatever the bytes are.

use proptest::prelude::*;

use super::*;

fn layers() -> impl Strategy<Value = Layers> {
    (any::<bool>(), 0usize..200, 0usize..260).prop_map(|(raw, l3, l4)| Layers {
        link_type: if raw {
            LinkType::RawIp
        } else {
            LinkType::Ethernet
        },
        l3,
        l4,
    })
}

/// Bytes that lead somewhere more often than arbitrary ones do.
fn headers() -> impl Strategy<Value = Vec<u8>> {
    let telling = proptest::sample::select(vec![
        0x45, 0x46, 0x60, 0x08, 0x00, 1, 3, 5, 58, 0x81, 0x88, 0x47, 0x64, 0x86, 0xdd, 0x65, 0x58,
        4, 6, 17, 41, 43, 44, 47, 51, 60, 135, 140, 0x12, 0xb5, 0x17, 0xc1, 0xf0, 0x50,
    ]);
    let byte = prop_oneof![any::<u8>(), telling];
    proptest::collection::vec(byte, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_and_no_offsets_make_it_panic_or_change_the_length(
        headers in headers(), layers in layers()
    ) {
        let flow = netblock().for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
        anonymized(&flow, &headers, layers);
    }

    #[test]
    fn a_damaged_packet_does_not_make_it_panic(
        damage in proptest::collection::vec((0usize..200, any::<u8>()), 0..6),
        which in 0usize..tunnels::COUNT
    ) {
        let (mut headers, layers) = tunnels::example(which);
        for (at, byte) in damage {
            if let Some(place) = headers.get_mut(at) {
                *place = byte;
            }
        }
        for anonymizer in both() {
            let flow = anonymizer.for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
            anonymized(&flow, &headers, layers);
        }
    }

    #[test]
    fn anonymizing_twice_gives_the_same_as_anonymizing_once(
        headers in headers(), layers in layers()
    ) {
        // Netblock's pseudonyms are their own, so a second time finds nothing that the first left.
        let flow = netblock().for_flow(ip("192.0.2.1"), ip("198.51.100.77"));
        let once = anonymized(&flow, &headers, layers);
        prop_assert_eq!(anonymized(&flow, &once, layers), once);
    }
}
