//! The reader of pcapng files, on bytes that are written by hand.

use super::*;

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes(), &length[..], body, &length].concat()
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [code.to_le_bytes(), (value.len() as u16).to_le_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

const END: [u8; 4] = [0; 4];

/// One packet of three bytes, sent at 2^32 + 5 ns.
fn file() -> Vec<Vec<u8>> {
    let mut section = vec![0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
    section.extend([0xff; 8]);
    section.extend([option(1, b"why"), END.to_vec()].concat());
    let mut interface = vec![1, 0, 0, 0, 0, 4, 0, 0];
    interface.extend([option(2, b"wan0"), option(9, &[9]), END.to_vec()].concat());
    let words: [u32; 5] = [0, 1, 5, 3, 100];
    let mut packet: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    packet.extend([7, 8, 9, 0]);
    packet.extend([option(2, &[2, 0, 0, 0]), END.to_vec()].concat());
    let statistics = [
        vec![0; 12],
        option(4, &[1, 0, 0, 0, 0, 0, 0, 0]),
        END.to_vec(),
    ]
    .concat();
    vec![
        block(SECTION, &section),
        block(INTERFACE, &interface),
        block(PACKET, &packet),
        block(STATISTICS, &statistics),
    ]
}

#[test]
fn what_is_in_a_file_is_read() {
    let section = parse(&file().concat()).unwrap();
    assert_eq!(section.comments, ["why"]);
    assert_eq!(
        section.interfaces,
        [Interface {
            link_type: 1,
            snaplen: 1024,
            name: "wan0".to_owned()
        }]
    );
    let [packet] = &section.packets[..] else {
        panic!("{section:?}");
    };
    assert_eq!(packet.time, Duration::from_nanos((1 << 32) + 5));
    assert_eq!((packet.wire_len, &packet.data[..]), (100, &[7, 8, 9][..]));
    assert_eq!(
        (packet.interface, packet.direction),
        (0, Some(Direction::Out))
    );
    let (before, statistics) = &section.statistics[0];
    assert_eq!((*before, statistics.counters[&4]), (1, 1));
}

#[test]
fn a_file_that_is_cut_anywhere_but_between_blocks_is_refused() {
    let blocks = file();
    let ends: Vec<usize> = (0..=blocks.len())
        .map(|count| blocks[..count].concat().len())
        .collect();
    let whole = blocks.concat();
    for len in 0..whole.len() {
        let expected = len > 0 && ends.contains(&len);
        assert_eq!(parse(&whole[..len]).is_ok(), expected, "{len} bytes");
    }
}

#[test]
fn what_is_not_as_the_format_has_it_is_refused() {
    let whole = file().concat();
    // The version, a reserved field, the resolution of times, an interface number, padding, a
    // length.
    for at in [12, 58, 76, 100, 123, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(parse(&bytes).is_err(), "byte {at}");
    }
    assert!(parse(&file()[1..].concat()).is_err(), "no section");
}
