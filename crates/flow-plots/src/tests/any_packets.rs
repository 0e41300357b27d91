//! What holds whatever the packets are.

use proptest::prelude::*;
use roxmltree::Document;

use super::exchange::{Packet, client, numbered, server};
use super::marks::agree;

fn any_packet() -> impl Strategy<Value = Packet> {
    let number = prop_oneof![8 => 0..20_000_u32, 1 => any::<u32>()];
    let payload = prop_oneof![3 => Just(0), 5 => 1..3000_u32, 1 => any::<u32>()];
    let flags = prop_oneof![
        12 => Just(0x10_u16),
        1 => Just(0x02),
        1 => Just(0x12),
        1 => Just(0x11),
        1 => Just(0x14),
        1 => 0..0x200_u16,
    ];
    let stamps = prop::option::of((0..100_u32, 0..100_u32));
    let sack = prop::collection::vec([0..20_000_u32, 0..20_000_u32], 0..2);
    let numbers = (any::<bool>(), number.clone(), number, payload);
    let rest = (flags, stamps, sack, any::<u16>(), 0..3_u16);
    (numbers, rest).prop_map(|((from_client, sequence, acknowledgment, payload), rest)| {
        let (flags, stamps, sack, window, segments) = rest;
        let end = if from_client { client } else { server };
        let packet = end(sequence, acknowledgment).data(payload).flags(flags);
        let packet = packet.sack(&sack).window(window).segments(segments);
        match stamps {
            Some((value, echo)) => packet.ts(value, echo),
            None => packet,
        }
    })
}

/// Packets with times that do not always go on.
fn any_packets() -> impl Strategy<Value = Vec<(i64, Packet)>> {
    let time = prop_oneof![9 => 0..1_000_000_i64, 1 => any::<i64>().prop_map(|time| time / 1000)];
    prop::collection::vec((time, any_packet()), 1..100)
}

proptest! {
    #[test]
    fn any_packets_have_a_picture_that_agrees_with_their_row(
        packets in any_packets(),
        first in any::<[u32; 2]>(),
    ) {
        let picture = numbered(&packets, first);
        agree(&picture);
        let svg = picture.svg();
        Document::parse(&svg).unwrap();
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
        prop_assert!(picture.html().len() < 200_000);
    }
}
