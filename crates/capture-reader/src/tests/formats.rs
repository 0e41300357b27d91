//! Every format that is read, from bytes made by hand.

use std::path::Path;

use super::common::{Block, Order, classic, packets, pcapng, read, time_of};

use crate::{Buffer, ReadError, for_each_capture};

const DATA: &[u8] = b"\x45some packet's bytes";

#[test]
fn classic_files_have_either_byte_order_and_either_unit() {
    for order in [Order::Little, Order::Big] {
        for (magic, unit) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1)] {
            let file = classic(
                order,
                magic,
                101,
                &[(1_700_000_000, 999_999, 1_500, DATA), (7, 1, 0, b"")],
            );
            let (got, end) = packets(&file);
            assert!(end.is_none(), "{end:?}");
            assert_eq!(got[0].time, 1_700_000_000_000_000_000 + 999_999 * unit);
            assert_eq!((got[0].wire_len, &*got[0].bytes), (1_500, DATA));
            assert_eq!((got[1].time, got[1].bytes.len()), (7_000_000_000 + unit, 0));
            assert_eq!(got[0].link_type, 101);
        }
    }
}

#[test]
fn a_packet_is_never_longer_than_it_was_on_the_wire() {
    // As some programs write it.
    let file = classic(Order::Little, 0xa1b2_c3d4, 1, &[(0, 0, 3, DATA)]);
    assert_eq!(packets(&file).0[0].wire_len, DATA.len() as u32);
}

#[test]
fn sections_have_their_own_byte_order_and_interfaces() {
    let first = [
        Block::Section(None),
        Block::Interface {
            link_type: 1,
            snap: 0,
            options: vec![(2, b"eth0".to_vec())],
        },
        Block::Interface {
            link_type: 101,
            snap: 0,
            options: vec![],
        },
        Block::Packet {
            interface: 1,
            ticks: 5,
            wire_len: 60,
            data: DATA.to_vec(),
            options: vec![],
        },
    ];
    let second = [
        Block::Section(Some("a comment")),
        Block::Interface {
            link_type: 113,
            snap: 0,
            options: vec![],
        },
        Block::Other(0x0bad),
        Block::Packet {
            interface: 0,
            ticks: 6,
            wire_len: 60,
            data: DATA.to_vec(),
            options: vec![],
        },
    ];
    for (one, other) in [(Order::Little, Order::Big), (Order::Big, Order::Little)] {
        let file = [pcapng(one, &first), pcapng(other, &second)].concat();
        let (got, end) = packets(&file);
        assert!(end.is_none(), "{end:?}");
        let got: Vec<_> = got
            .iter()
            .map(|p| (p.link_type, p.interface, p.time, &*p.bytes))
            .collect();
        assert_eq!(got, [(101, 1, 5_000, DATA), (113, 2, 6_000, DATA)]);
    }
}

#[test]
fn times_have_the_unit_and_the_offset_of_their_interface() {
    let seconds = |seconds: i64| seconds.to_le_bytes().to_vec();
    for (ticks, unit, offset, want) in [
        (1_700_000_000_123_456, None, None, 1_700_000_000_123_456_000),
        (1_700_000_000, Some(0), None, 1_700_000_000_000_000_000),
        (17_000_000_001, Some(1), None, 1_700_000_000_100_000_000),
        (
            1_700_000_000_123_456_789,
            Some(9),
            None,
            1_700_000_000_123_456_789,
        ),
        (
            1_700_000_000_123_456_789,
            Some(10),
            None,
            170_000_000_012_345_678,
        ),
        // Powers of two: 1024 parts of a second.
        (1_536, Some(0x80 | 10), None, 1_500_000_000),
        (3 << 61, Some(0x80 | 63), None, 750_000_000),
        (5, Some(9), Some(1_700_000_000), 1_700_000_000_000_000_005),
        (5, Some(9), Some(-3), -2_999_999_995),
        // What does not fit is the last time that there is.
        (u64::MAX, Some(0), None, i64::MAX),
        (1 << 63, Some(0), None, i64::MAX),
        (u64::MAX, Some(127), None, 0),
        (u64::MAX, Some(255), None, 0),
        (u64::MAX, Some(0), Some(i64::MAX), i64::MAX),
    ] {
        let mut options = Vec::new();
        options.extend(unit.map(|unit| (9, vec![unit])));
        options.extend(offset.map(|offset| (14, seconds(offset))));
        assert_eq!(time_of(ticks, options), want, "{ticks} {unit:?} {offset:?}");
    }
}

/// A section with an interface of this snap length, a packet, and blocks behind it.
fn behind_a_packet(order: Order, snap: u32, blocks: impl IntoIterator<Item = Block>) -> Vec<u8> {
    let mut all = vec![
        Block::Section(None),
        Block::Interface {
            link_type: 1,
            snap,
            options: vec![],
        },
        Block::Packet {
            interface: 0,
            ticks: 9,
            wire_len: 99,
            data: DATA.to_vec(),
            options: vec![],
        },
    ];
    all.extend(blocks);
    pcapng(order, &all)
}

#[test]
fn packets_of_every_kind_of_block_are_read() {
    for order in [Order::Little, Order::Big] {
        let file = behind_a_packet(
            order,
            6,
            [
                // It is as long as the snap length allows, and has the time of the one before it.
                Block::Simple {
                    wire_len: 21,
                    data: b"\x45short".to_vec(),
                },
                Block::Obsolete {
                    interface: 0,
                    ticks: 10,
                    wire_len: 77,
                    data: DATA.to_vec(),
                },
            ],
        );
        let (got, end) = packets(&file);
        assert!(end.is_none(), "{end:?}");
        let got: Vec<_> = got
            .iter()
            .map(|p| (p.time, p.wire_len, p.bytes.len()))
            .collect();
        assert_eq!(
            got,
            [
                (9_000, 99, DATA.len()),
                (9_000, 21, 6),
                (10_000, 77, DATA.len())
            ]
        );
    }
}

#[test]
fn a_packet_that_is_longer_than_its_block_is_damage() {
    let simple = Block::Simple {
        wire_len: 21,
        data: b"\x45short".to_vec(),
    };
    let (got, end) = packets(&behind_a_packet(Order::Little, 0, [simple]));
    assert!(matches!(end, Some(ReadError::Damaged { .. })), "{end:?}");
    assert_eq!(got.len(), 1);
}

#[test]
fn comments_and_merged_segments_are_read() {
    let options = vec![
        (1, b"seen by somebody".to_vec()),
        (1, b"segments=44".to_vec()),
        (2, vec![2, 0, 0, 0]),
    ];
    let file = pcapng(
        Order::Little,
        &[
            Block::Section(Some("uuid=x local=y remote=z")),
            Block::Interface {
                link_type: 1,
                snap: 0,
                options: vec![],
            },
            Block::Packet {
                interface: 0,
                ticks: 0,
                wire_len: 1,
                data: vec![1, 2, 3],
                options,
            },
            Block::Packet {
                interface: 0,
                ticks: 0,
                wire_len: 1,
                data: vec![1, 2, 3],
                options: vec![(1, b"segments=0".to_vec())],
            },
        ],
    );
    let mut segments = Vec::new();
    read(&file, |comment, packet| {
        assert_eq!(comment, Some("uuid=x local=y remote=z"));
        segments.push((packet.segments(), packet.options.count()));
    });
    assert_eq!(segments, [(44, 3), (1, 1)]);
}

#[test]
fn what_statistics_say_is_known_at_the_end_of_their_section() {
    let interface = || Block::Interface {
        link_type: 1,
        snap: 0,
        options: vec![],
    };
    for order in [Order::Little, Order::Big] {
        let own = [
            Block::Section(None),
            interface(),
            Block::Statistics(&["some"]),
            Block::Statistics(&["kernel.srtt_us=7", "owner.uid=0"]),
            Block::Statistics(&[]),
        ];
        let others = [Block::Section(None), interface(), Block::Statistics(&[])];
        let own = pcapng(order, &own);
        let both = [own.clone(), pcapng(order, &others)].concat();
        for (file, said) in [(own, Some("kernel.srtt_us=7\nowner.uid=0")), (both, None)] {
            let mut buffer = Buffer::default();
            let mut found = None;
            let read = for_each_capture(
                Box::new(&file[..]),
                Path::new("file.pcapng"),
                &mut buffer,
                &mut |member| {
                    let mut capture = member.capture?;
                    assert_eq!(capture.statistics_comments(), None, "it was not read yet");
                    assert!(capture.next()?.is_none());
                    found = capture.statistics_comments().map(str::to_owned);
                    Ok(())
                },
            );
            read.unwrap();
            assert_eq!(found.as_deref(), said);
        }
    }
}

#[test]
fn a_packet_of_an_interface_that_is_not_there_is_damage() {
    let file = pcapng(
        Order::Little,
        &[
            Block::Section(None),
            Block::Packet {
                interface: 0,
                ticks: 9,
                wire_len: 9,
                data: vec![],
                options: vec![],
            },
        ],
    );
    assert!(matches!(
        packets(&file).1,
        Some(ReadError::Damaged { offset: 28, .. })
    ));
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    assert!(matches!(packets(b"").1, Some(ReadError::Empty)));
    assert!(matches!(
        packets(b"\xa1\xb2\xc3\xd5 and more").1,
        Some(ReadError::NotACapture)
    ));
    assert!(matches!(
        packets(&[0; 5_000]).1,
        Some(ReadError::NotACapture)
    ));
}
