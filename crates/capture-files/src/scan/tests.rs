//! Files as an independent program writes them, and what can become of them.

use std::io::Write as _;

use flate2::write::GzEncoder;
use proptest::prelude::*;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::*;
use crate::file_name::FileName;

mod samples;

use samples::{Sample, pcap, pcapng};

fn verdict(file: &[u8], format: Format, compression: Compression) -> Verdict {
    scan(file, format, compression).expect("memory can be read")
}

/// Packs each piece as a member of its own.
fn pack(pieces: &[&[u8]], compression: Compression) -> (Vec<u8>, Vec<usize>) {
    let (mut file, mut ends) = (Vec::new(), Vec::new());
    for piece in pieces {
        match compression {
            Compression::None => file.extend_from_slice(piece),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(&mut file, flate2::Compression::fast());
                encoder.write_all(piece).unwrap();
                encoder.finish().unwrap();
            }
            Compression::Zstd => {
                let mut encoder = ZstdEncoder::new(&mut file, 3).unwrap();
                encoder.include_checksum(true).unwrap();
                encoder.write_all(piece).unwrap();
                encoder.finish().unwrap();
            }
        }
        ends.push(file.len());
    }
    (file, ends)
}

/// A sample in three members, and what is whole at each of its ends.
fn packed(sample: &Sample, compression: Compression) -> Sample {
    let ends = &sample.ends;
    let (one, two) = (ends[ends.len() / 3].0, ends[ends.len() / 2].0);
    let pieces = [
        &sample.bytes[..one],
        &sample.bytes[one..two],
        &sample.bytes[two..],
    ];
    let (bytes, cuts) = pack(&pieces, compression);
    let packets = [one, two, sample.bytes.len()].map(|at| sample.whole_at(at).1);
    Sample {
        bytes,
        ends: cuts.into_iter().zip(packets).collect(),
    }
}

/// Every file that we write, small.
fn samples() -> Vec<(Sample, Format, Compression)> {
    let mut all = Vec::new();
    for (format, sample) in [
        (Format::Pcap, pcap(1, 12)),
        (Format::Pcap, pcap(101, 12)),
        (Format::Pcapng, pcapng(12)),
    ] {
        for compression in [Compression::Gzip, Compression::Zstd] {
            all.push((packed(&sample, compression), format, compression));
        }
        all.push((sample, format, Compression::None));
    }
    all
}

#[test]
fn a_file_cut_anywhere_is_whole_up_to_its_last_whole_record() {
    for (sample, format, compression) in samples() {
        for cut in 0..=sample.bytes.len() {
            let found = verdict(&sample.bytes[..cut], format, compression);
            let want = match sample.whole_at(cut) {
                (_, 0) => Verdict::Empty,
                (bytes, packets) => Verdict::Whole(Whole {
                    bytes: bytes as u64,
                    packets,
                }),
            };
            assert_eq!(found, want, "{format:?} {compression:?} cut at {cut}");
            if let Verdict::Whole(whole) = found {
                let kept = &sample.bytes[..usize::try_from(whole.bytes).unwrap()];
                assert_eq!(verdict(kept, format, compression), found, "again");
            }
        }
    }
}

#[test]
fn what_a_power_loss_leaves_behind_the_whole_part_is_cut() {
    let old = pcap(101, 3).bytes;
    let tails = [vec![0; 4096], vec![0xff; 100], old, b"text\n".repeat(50)];
    for (sample, format, compression) in samples() {
        for &(end, packets) in sample.ends.iter().filter(|(_, packets)| *packets > 0) {
            let want = Verdict::Whole(Whole {
                bytes: end as u64,
                packets,
            });
            for tail in &tails {
                let file = [&sample.bytes[..end], tail].concat();
                assert_eq!(verdict(&file, format, compression), want);
            }
        }
    }
}

#[test]
fn the_end_of_a_record_in_zeros_is_cut_when_it_can_be_seen() {
    let sample = pcapng(4);
    let (end, packets) = sample.ends[sample.ends.len() - 3];
    let mut file = sample.bytes.clone();
    let next = file.len();
    file[end + 20..next].fill(0);
    let want = Verdict::Whole(Whole {
        bytes: end as u64,
        packets,
    });
    assert_eq!(verdict(&file, Format::Pcapng, Compression::None), want);
}

#[test]
fn a_record_of_other_hosts_that_goes_back_in_time_or_one_with_a_payload_ends_the_whole_part() {
    let sample = pcap(1, 3);
    let (end, _) = sample.ends[2];
    let breaches: [(usize, [u8; 4]); 6] = [
        (0, 0u32.to_le_bytes()),
        (0, 1_699_999_999u32.to_le_bytes()),
        (4, 1_000_000_000u32.to_le_bytes()),
        (8, 27u32.to_le_bytes()),
        (8, 1101u32.to_le_bytes()),
        (12, 53u32.to_le_bytes()),
    ];
    for (at, value) in breaches {
        let mut file = sample.bytes.clone();
        file[end + at..end + at + 4].copy_from_slice(&value);
        file.resize(file.len() + 2000, 0x45);
        let want = Verdict::Whole(Whole {
            bytes: end as u64,
            packets: 2,
        });
        assert_eq!(
            verdict(&file, Format::Pcap, Compression::None),
            want,
            "{at}"
        );
    }
}

/// A year in seconds, there and back.
const YEAR: u32 = 31_536_000;

/// Puts the time of a record in a pcap file this many seconds off.
fn shift(file: &mut [u8], at: usize, by: u32) {
    let seconds: [u8; 4] = file[at..at + 4].try_into().unwrap();
    let seconds = u32::from_le_bytes(seconds).wrapping_add(by);
    file[at..at + 4].copy_from_slice(&seconds.to_le_bytes());
}

/// The file of one connection, whose packets go back and forth, and where its records begin.
fn conversation(records: usize) -> (Vec<u8>, Vec<usize>) {
    let sample = pcap(1, 1);
    let (header, _) = sample.ends[0];
    let mut record = sample.bytes[header..].to_vec();
    let (mut file, mut starts) = (sample.bytes[..header].to_vec(), Vec::new());
    // Behind the record's header and that of Ethernet: IPv4, with the addresses at 12.
    let addresses = 16 + 14 + 12;
    for _ in 0..records {
        starts.push(file.len());
        file.extend_from_slice(&record);
        record[addresses..addresses + 8].rotate_left(4);
    }
    (file, starts)
}

#[test]
fn a_file_is_whole_though_the_clock_was_set_by_a_year_meanwhile() {
    for by in [YEAR, YEAR.wrapping_neg()] {
        let (mut file, starts) = conversation(200);
        for &at in &starts[100..] {
            shift(&mut file, at, by);
        }
        let all = |packets, bytes: usize| {
            Verdict::Whole(Whole {
                bytes: bytes as u64,
                packets,
            })
        };
        let found = verdict(&file, Format::Pcap, Compression::None);
        assert_eq!(found, all(200, file.len()));
        // A torn end is found all the same.
        file.truncate(file.len() - 9);
        let found = verdict(&file, Format::Pcap, Compression::None);
        assert_eq!(found, all(199, starts[199]));
    }
}

#[test]
fn the_older_file_of_another_connection_that_the_disk_held_before_is_cut() {
    let (mut file, starts) = conversation(100);
    // Every record is as long as those of that file: they begin where ours would.
    for &at in &starts[60..] {
        shift(&mut file, at, YEAR.wrapping_neg());
        file[at + 16 + 14 + 12] ^= 1;
    }
    let found = verdict(&file, Format::Pcap, Compression::None);
    let want = Verdict::Whole(Whole {
        bytes: starts[60] as u64,
        packets: 60,
    });
    assert_eq!(found, want);
}

#[test]
fn the_files_of_others_are_not_ours() {
    let mut micro = pcap(1, 2).bytes;
    micro[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    let mut big = pcap(1, 2).bytes;
    big[..4].reverse();
    let mut snap = pcap(1, 2).bytes;
    snap[18] = 1;
    let mut cooked = pcap(1, 2).bytes;
    cooked[20] = 113;
    let ng = pcapng(2).bytes;
    let text = b"what somebody wrote".to_vec();
    for file in [&micro, &big, &snap, &cooked, &ng, &text, &vec![0; 100]] {
        for compression in Compression::ALL {
            let (packed, _) = pack(&[file], compression);
            let found = verdict(&packed, Format::Pcap, compression);
            assert!(matches!(found, Verdict::NotOurs(_)), "{found:?}");
            let plain = verdict(file, Format::Pcap, compression);
            assert!(matches!(plain, Verdict::NotOurs(_)), "{plain:?}");
        }
    }
    let mut micro = ng.clone();
    // The resolution of the first interface.
    let at = micro.windows(5).position(|bytes| bytes == [9, 0, 1, 0, 9]);
    micro[at.unwrap() + 4] = 6;
    for file in [&micro, &pcap(1, 2).bytes, &text, &ng[4..].to_vec()] {
        let found = verdict(file, Format::Pcapng, Compression::None);
        assert!(matches!(found, Verdict::NotOurs(_)), "{found:?}");
    }
}

#[test]
fn a_damaged_member_is_cut_as_a_whole() {
    for (sample, format, compression) in samples() {
        if compression == Compression::None {
            continue;
        }
        let (end, packets) = sample.ends[0];
        let second = end..sample.ends[1].0;
        let want = Verdict::Whole(Whole {
            bytes: end as u64,
            packets,
        });
        let last = second.end - 1;
        for at in [second.start, (second.start + last) / 2, last - 4] {
            let mut file = sample.bytes.clone();
            file[at] ^= 0x55;
            assert_eq!(
                verdict(&file, format, compression),
                want,
                "{compression:?} {at}"
            );
        }
    }
}

#[test]
fn a_member_that_ends_within_a_record_is_cut() {
    let sample = pcap(1, 6);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let (one, two) = (sample.ends[3].0, sample.ends[5].0 - 7);
        let all = &sample.bytes;
        let (file, ends) = pack(&[&all[..one], &all[one..two], &all[two..]], compression);
        let want = Verdict::Whole(Whole {
            bytes: ends[0] as u64,
            packets: 3,
        });
        assert_eq!(verdict(&file, Format::Pcap, compression), want);
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    let sample = pcap(1, 2);
    let record = &sample.bytes[sample.ends[1].0..];
    let repeated = record.repeat((17 << 20) / record.len());
    for compression in [Compression::Gzip, Compression::Zstd] {
        for bomb in [
            &repeated[..],
            &repeated[..record.len() * 100_000],
            &[0; 1 << 20],
        ] {
            let (file, ends) = pack(&[&sample.bytes, bomb], compression);
            let found = verdict(&file, Format::Pcap, compression);
            let packets = (bomb.len() / record.len()) as u64;
            // Gzip cannot pack so well that less than 16 MiB would be a bomb.
            let harmless = compression == Compression::Gzip && bomb.len() < 16 << 20;
            let valid = bomb.starts_with(record);
            let (bytes, packets) = if valid && harmless {
                (ends[1], packets + 2)
            } else {
                (ends[0], 2)
            };
            let bytes = bytes as u64;
            assert_eq!(found, Verdict::Whole(Whole { bytes, packets }));
        }
    }
}

#[test]
fn a_frame_that_wants_much_memory_or_has_no_checksum_is_cut() {
    let sample = pcap(1, 2);
    for (window, checksum, kept) in [(21, true, true), (22, true, false), (21, false, false)] {
        let mut file = Vec::new();
        let mut encoder = ZstdEncoder::new(&mut file, 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.window_log(window).unwrap();
        encoder.write_all(&sample.bytes).unwrap();
        encoder.finish().unwrap();
        let found = verdict(&file, Format::Pcap, Compression::Zstd);
        assert_eq!(matches!(found, Verdict::Whole(_)), kept, "{found:?}");
    }
}

#[test]
fn skippable_frames_and_empty_members_are_not_ours() {
    let (mut file, ends) = pack(&[&pcap(1, 2).bytes], Compression::Zstd);
    file.extend([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    let whole = |bytes: usize| {
        Verdict::Whole(Whole {
            bytes: bytes as u64,
            packets: 2,
        })
    };
    assert_eq!(
        verdict(&file, Format::Pcap, Compression::Zstd),
        whole(ends[0])
    );
    let (file, ends) = pack(&[&pcap(1, 2).bytes, b""], Compression::Gzip);
    assert_eq!(
        verdict(&file, Format::Pcap, Compression::Gzip),
        whole(ends[0])
    );
}

/// Yields a byte at a time, and fails after `left` of them.
struct Slow<'a> {
    file: &'a [u8],
    left: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        if self.left.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = into.len().min(1);
        self.file.read(&mut into[..length])
    }
}

#[test]
fn how_a_file_is_read_makes_no_difference_but_that_it_cannot_be_read_does() {
    for (sample, format, compression) in samples() {
        let file = &sample.bytes;
        let want = verdict(file, format, compression);
        let slow = |left| scan(Slow { file, left }, format, compression);
        assert_eq!(slow(usize::MAX).unwrap(), want);
        for left in [0, 1, 30, file.len()] {
            let error = slow(left).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }
}

#[test]
fn the_fuzzer_begins_with_whole_files() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/scan");
    for seed in std::fs::read_dir(seeds).unwrap() {
        let seed = seed.unwrap();
        let bytes = std::fs::read(seed.path()).unwrap();
        let name = seed.file_name().into_string().unwrap();
        let to_pack = name.starts_with("to-pack-");
        let read = FileName::parse(&name).unwrap();
        let compression = if to_pack {
            Compression::None
        } else {
            read.compression
        };
        let length = bytes.len() as u64 - 1;
        let found = verdict(&bytes[1..], read.format, compression);
        let whole = matches!(found, Verdict::Whole(whole) if whole.bytes == length);
        assert!(whole, "{name}: {found:?}");
    }
}

proptest! {
    #[test]
    fn damage_never_panics_and_what_is_kept_is_whole(
        which in 0usize..9,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8),
    ) {
        let (mut sample, format, compression) = samples().swap_remove(which);
        for (at, flip) in flips {
            let at = at.index(sample.bytes.len());
            sample.bytes[at] ^= flip;
        }
        if let Verdict::Whole(whole) = verdict(&sample.bytes, format, compression) {
            let kept = &sample.bytes[..usize::try_from(whole.bytes).unwrap()];
            prop_assert_eq!(verdict(kept, format, compression), Verdict::Whole(whole));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        after in 0usize..200,
        which in 0usize..9,
    ) {
        let (sample, format, compression) = samples().swap_remove(which);
        let mut file = sample.bytes;
        file.truncate(after);
        file.extend(bytes);
        let _verdict = verdict(&file, format, compression);
    }
}
