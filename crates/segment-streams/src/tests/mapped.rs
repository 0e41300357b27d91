//! The maps, as files in memory: they are mapped the same.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

use packet_headers_common::segment::{
    Position, SEGMENT_HEADER_LEN, SEGMENT_LEN, SEGMENT_ROOM, Sleeper, Stream,
};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::mapping::{Mapping, Maps, settles};
use crate::memory::{Link, Memory as _, Piece};

/// A map of so many elements.
fn map(elements: u64, len: usize) -> File {
    let file = File::from(memfd_create("map", MemfdFlags::CLOEXEC).expect("a file in memory"));
    file.set_len(elements * len as u64).expect("its size");
    file
}

#[test]
fn what_a_program_writes_is_read_from_its_place() {
    let segments = map(3, SEGMENT_LEN);
    let streams = map(5, size_of::<Stream>());
    let sleepers = map(2, size_of::<Sleeper>());
    let mapping = Mapping::new(&Maps {
        segments: (segments.as_fd(), 3),
        streams: (streams.as_fd(), 5),
        sleepers: (sleepers.as_fd(), 2),
    });
    let mapping = mapping.expect("a mapping");
    settles().expect("an order");
    assert_eq!(mapping.segments(), 3);

    // The fifth stream: its position, then its first segment.
    let position = Position::begin(2).after(104);
    streams
        .write_all_at(&position.0.to_ne_bytes(), 4 * 64)
        .expect("written");
    streams
        .write_all_at(&2u32.to_ne_bytes(), 4 * 64 + 8)
        .expect("written");
    assert_eq!((mapping.position(4), mapping.first(4)), (position, Some(1)));
    assert_eq!(
        (mapping.position(3), mapping.first(3)),
        (Position::NONE, None)
    );
    assert_eq!(
        (mapping.position(5), mapping.first(5)),
        (Position::NONE, None)
    );

    // The third segment: its end, the next one, a record.
    let begin = 2 * SEGMENT_LEN as u64;
    segments
        .write_all_at(&16_000u32.to_ne_bytes(), begin)
        .expect("written");
    segments
        .write_all_at(&1u32.to_ne_bytes(), begin + 4)
        .expect("written");
    let record = begin + SEGMENT_HEADER_LEN as u64 + 8;
    segments.write_all_at(b"a record", record).expect("written");
    let (end, next) = (16_000, Some(0));
    assert_eq!(mapping.link(2), Link { end, next });
    assert_eq!(mapping.link(0), Link { end: 0, next: None });
    assert_eq!(mapping.link(3), Link { end: 0, next: None });
    let piece = |segment, bytes| Piece { segment, bytes };
    assert_eq!(mapping.records(&piece(2, 8..16)), b"a record");
    let all = mapping.records(&piece(2, 0..SEGMENT_ROOM));
    assert_eq!((all.len(), &all[8..16]), (SEGMENT_ROOM, &b"a record"[..]));
    let outside = [(3, 8..16), (2, 0..SEGMENT_ROOM + 8), (2, 16..usize::MAX)];
    for (segment, bytes) in outside {
        assert_eq!(mapping.records(&piece(segment, bytes)), b"");
    }
}

#[test]
fn what_both_sides_write_is_at_one_place() {
    let file = map(2, SEGMENT_LEN);
    let sleepers = map(2, size_of::<Sleeper>());
    let mapping = Mapping::new(&Maps {
        segments: (file.as_fd(), 1),
        streams: (file.as_fd(), 1),
        sleepers: (sleepers.as_fd(), 2),
    });
    let mapping = mapping.expect("a mapping");
    let sleeper = mapping.sleeper(1).expect("a shard");
    sleeper.store(1, Ordering::Relaxed);
    let mut asleep = [0; 4];
    sleepers.read_exact_at(&mut asleep, 128).expect("read");
    assert_eq!(asleep, 1u32.to_ne_bytes());
    sleepers.write_all_at(&[0; 4], 128).expect("written");
    assert_eq!(sleeper.load(Ordering::Relaxed), 0);
    assert!(mapping.sleeper(2).is_none());
    // How much it took.
    sleepers
        .write_all_at(&7u32.to_ne_bytes(), 128 + 64)
        .expect("written");
    let taken = [0, 1, 2].map(|shard| mapping.taken(shard));
    let taken = taken.map(|taken| taken.map(|taken| taken.load(Ordering::Relaxed)));
    assert_eq!(taken, [Some(0), Some(7), None]);
}

#[test]
fn a_map_that_cannot_be_mapped_is_an_error() {
    let (file, none) = (
        map(1, SEGMENT_LEN),
        File::open("/dev/null").expect("a file"),
    );
    let mapping = Mapping::new(&Maps {
        segments: (none.as_fd(), 1),
        streams: (file.as_fd(), 1),
        sleepers: (file.as_fd(), 1),
    });
    assert!(mapping.is_err());
}
