//! What is cut off counts up to its last whole packet; what lies costs nothing.

use std::io::{self, Read, Write as _};
use std::path::Path;

use super::common::{Block, Order, classic, packets, pcapng};
use crate::{Buffer, ReadError, for_each_capture};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

fn samples() -> [Vec<u8>; 2] {
    let data: Vec<u8> = (0..77).collect();
    let records: Vec<_> = (0..5)
        .map(|number| (number, 0, 99, &data[..60 + number as usize]))
        .collect();
    let packet = |number: u64| Block::Packet {
        interface: 0,
        ticks: number,
        wire_len: 99,
        data: data[..60 + number as usize].to_vec(),
        options: vec![(1, b"segments=3".to_vec())],
    };
    let mut blocks = vec![
        Block::Section(Some("x")),
        Block::Interface {
            link_type: 1,
            snap: 0,
            options: vec![],
        },
    ];
    blocks.extend((0..5).map(packet));
    [
        classic(Order::Little, 0xa1b2_3c4d, 1, &records),
        pcapng(Order::Big, &blocks),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[test]
fn whatever_is_cut_off_anywhere_has_its_whole_packets() {
    for whole in samples() {
        let (all, end) = packets(&whole);
        assert!(end.is_none());
        assert_eq!(all.len(), 5);
        let mut last = 0;
        for length in 0..whole.len() {
            let (got, end) = packets(&whole[..length]);
            assert_eq!(got[..], all[..got.len()], "{length}");
            assert!(got.len() >= last && got.len() <= last + 1, "{length}");
            last = got.len();
            // Between packets nobody can tell.
            if let Some(error) = end {
                let expected = if length == 0 {
                    matches!(error, ReadError::Empty)
                } else {
                    matches!(error, ReadError::CutOff)
                };
                assert!(expected, "{length}: {error:?}");
            }
        }
    }
}

#[test]
fn compressed_files_of_several_parts_are_read_to_their_ends() {
    for whole in samples() {
        let want = packets(&whole).0;
        for pack in [gzip, zstd] {
            let (one, other) = whole.split_at(whole.len() / 2);
            let file = [pack(one), pack(b""), pack(other)].concat();
            let (got, end) = packets(&file);
            assert!(end.is_none(), "{end:?}");
            assert_eq!(got, want);
            // Twice compressed.
            assert_eq!(packets(&pack(&file)).0, want);
            // Each part is whole by itself.
            let file = [pack(one), pack(other)].concat();
            let first = pack(one).len();
            let (got, end) = packets(&file[..first + 7]);
            assert!(end.is_some_and(|error| error.is_cut_off()));
            assert_eq!(got[..], want[..got.len()]);
            assert!(!got.is_empty());
        }
    }
}

#[test]
fn a_compressed_file_that_is_cut_off_is_said_to_be() {
    for whole in samples() {
        for pack in [gzip, zstd] {
            let packed = pack(&whole);
            for length in 1..packed.len() {
                let (_, end) = packets(&packed[..length]);
                let error = end.unwrap_or_else(|| panic!("{length} of {} bytes", packed.len()));
                let known = matches!(error, ReadError::CutOff | ReadError::NotACapture);
                assert!(known, "{length}: {error:?}");
                assert!(length < 4 || error.is_cut_off(), "{length}: {error:?}");
            }
        }
    }
}

#[test]
fn damaged_compression_is_told_from_a_damaged_capture() {
    let [whole, _] = samples();
    let mut packed = gzip(&whole);
    // In the checksum, before the length.
    let checksum = packed.len() - 8;
    packed[checksum] ^= 0xff;
    let end = packets(&packed).1;
    assert!(matches!(end, Some(ReadError::Compression(_))), "{end:?}");
    let mut file = whole;
    file[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        packets(&file).1,
        Some(ReadError::Damaged { offset: 24, .. })
    ));
}

#[test]
fn a_length_of_four_gigabytes_takes_no_memory() {
    // Whoever asks for more than it was given would take memory for it.
    struct Few(Vec<u8>, usize);
    impl Read for Few {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.max(into.len());
            assert!(self.1 <= 1 << 20, "{} bytes at once", self.1);
            let mut rest = &self.0[..];
            let read = rest.read(into)?;
            self.0 = rest.to_vec();
            Ok(read)
        }
    }
    let mut block = pcapng(Order::Little, &[Block::Section(None)]);
    for kind in [0x0a0d_0d0a_u32, 1, 2, 3, 6, 7] {
        let mut file = block.clone();
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&0xffff_fffc_u32.to_le_bytes());
        file.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        file.extend_from_slice(&[0; 100]);
        let mut ends = Vec::new();
        let source = Box::new(Few(file, 0));
        for_each_capture(
            source,
            Path::new("x"),
            &mut Buffer::default(),
            &mut |member| {
                ends.push(member.capture?.next().map(|packet| packet.is_some()));
                Ok(())
            },
        )
        .unwrap();
        assert!(matches!(ends[..], [Err(_)]), "{ends:?}");
    }
    // Of a packet nothing is that long, even if the bytes are there.
    let long = Block::Packet {
        interface: 0,
        ticks: 0,
        wire_len: 0,
        data: vec![0; 3 << 20],
        options: vec![],
    };
    let file = [&block[..], &pcapng(Order::Little, &[long])].concat();
    let end = packets(&file).1;
    assert!(
        matches!(end, Some(ReadError::Damaged { offset: 28, .. })),
        "{end:?}"
    );
    // A block that is passed over may be of any length that is there.
    block.extend_from_slice(&[7, 0, 0, 0]);
    block.extend_from_slice(&(3_u32 << 20).to_le_bytes());
    block.resize(28 + (3 << 20), 0);
    assert!(packets(&block).1.is_none());
}

#[test]
fn a_source_that_fails_is_named_by_its_error() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let [whole, _] = samples();
    let mut count = 0;
    let mut got = None;
    let source = Box::new(whole.chain(Fails));
    for_each_capture(
        source,
        Path::new("x"),
        &mut Buffer::default(),
        &mut |member| {
            let mut capture = member.capture?;
            got = loop {
                match capture.next() {
                    Ok(Some(_)) => count += 1,
                    other => break other.err(),
                }
            };
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(count, 5);
    assert!(matches!(got, Some(ReadError::Io(_))), "{got:?}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000), kind in 0..5) {
        let start: &[u8] = match kind {
            0 => &[],
            1 => b"\xa1\xb2\xc3\xd4",
            2 => b"\x4d\x3c\xb2\xa1",
            3 => b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
            _ => b"\x1f\x8b\x08",
        };
        drop(packets(&[start, &bytes].concat()));
    }

    #[test]
    fn a_changed_byte_never_panics(which in 0..2_usize, at in any::<prop::sample::Index>(), byte: u8) {
        let mut file = samples()[which].clone();
        let at = at.index(file.len());
        file[at] = byte;
        drop(packets(&file));
    }
}
