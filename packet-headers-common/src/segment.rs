//! How records lie in the memory that the programs and the daemon share.
//!
//! Each processor has a *stream* for each lane of each shard: records one behind the other, in
//! *segments* that it takes from the lane's free ones as it needs them. The shard follows the streams,
//! and gives back the segments that it has read. Only programs on that processor write a stream, one
//! at a time; so nobody takes a lock for a packet.

use crate::record::MAX_RECORD_LEN;
use crate::settings::LANES;

/// Bytes of a [`Segment`]: whole pages where pages have 4 or 16 KiB.
pub const SEGMENT_LEN: usize = 16 << 10;

/// Bytes of a segment before its records.
pub const SEGMENT_HEADER_LEN: usize = 64;

/// Bytes of records that a segment has room for.
pub const SEGMENT_ROOM: usize = SEGMENT_LEN - SEGMENT_HEADER_LEN;

/// A segment that is filled further than this is left: another record may not fit. A record may also
/// be followed by one word of zeros.
pub const LAST_BEGIN: usize = SEGMENT_ROOM - MAX_RECORD_LEN - size_of::<u64>();

/// A segment: the value of the map [`SEGMENTS`](crate::settings::SEGMENTS).
#[repr(C)]
pub struct Segment {
    /// How many bytes are filled. Written when the stream leaves the segment.
    pub end: u32,
    /// Where the stream goes on: the number of a segment, plus 1. Written together with `end`.
    pub next: u32,
    unused: [u32; 14],
    /// Records, each from a multiple of 8 on.
    pub records: [u8; SEGMENT_ROOM],
}

/// A stream: the value of the map [`STREAMS`](crate::settings::STREAMS). A cache line of its own.
#[repr(C)]
pub struct Stream {
    /// How far it is written: a [`Position`], stored by one instruction behind all that it covers.
    pub position: u64,
    /// The first segment that it ever took: its number plus 1. Written before `position`.
    pub first: u32,
    unused: [u32; 13],
}

/// When a shard is to be woken: the value of the map [`SLEEPERS`](crate::settings::SLEEPERS). Two cache
/// lines, as every packet looks at the first one.
#[repr(C)]
pub struct Sleeper {
    /// 1: a program that has published a record is to wake the shard, and to write 0.
    pub asleep: u32,
    unused: [u32; 15],
    /// How much of the lanes was taken since the shard looked, which writes 0: a segment of the admitted
    /// lane counts as one, one of the candidate lane as the larger part of its lane that it is. Programs
    /// on two processors may count one segment for two.
    pub taken: u32,
    unused_too: [u32; 15],
}

const _: () = {
    assert!(size_of::<Segment>() == SEGMENT_LEN);
    assert!(core::mem::offset_of!(Segment, next) == 4);
    assert!(core::mem::offset_of!(Segment, records) == SEGMENT_HEADER_LEN);
    assert!(size_of::<Stream>() == 64);
    assert!(core::mem::offset_of!(Stream, first) == 8);
    assert!(size_of::<Sleeper>() == 128);
    assert!(core::mem::offset_of!(Sleeper, taken) == 64);
    assert!(SEGMENT_ROOM <= Position::FILLED as usize);
    assert!(LAST_BEGIN + MAX_RECORD_LEN + size_of::<u64>() == SEGMENT_ROOM);
};

/// How far a stream is written: in which segment, and how many bytes of it are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(pub u64);

impl Position {
    /// Of a stream that has no segment yet.
    pub const NONE: Self = Self(0);

    /// The bits that hold how many bytes are filled.
    const FILLED: u64 = 0xffff;

    /// The begin of a segment.
    #[inline(always)]
    #[must_use]
    pub const fn begin(segment: u32) -> Self {
        Self((segment as u64 + 1) << 32)
    }

    /// Behind `bytes` more, which must fit into the segment.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }

    /// The number of the segment, if there is one.
    #[inline(always)]
    #[must_use]
    pub const fn segment(self) -> Option<u32> {
        ((self.0 >> 32) as u32).checked_sub(1)
    }

    /// How many bytes of the segment are filled.
    #[inline(always)]
    #[must_use]
    pub const fn filled(self) -> usize {
        (self.0 & Self::FILLED) as usize
    }
}

/// The number of a processor's stream for a lane of one of so many shards.
#[inline(always)]
#[must_use]
pub const fn stream(processor: u32, shards: u32, shard: u32, lane: u32) -> u32 {
    (processor * shards + shard) * LANES + lane
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_tells_segment_and_bytes() {
        assert_eq!(Position::NONE.segment(), None);
        for segment in [0, 1, u32::MAX - 1] {
            let position = Position::begin(segment);
            assert_eq!((position.segment(), position.filled()), (Some(segment), 0));
            let later = position.after(88).after(SEGMENT_ROOM - 88);
            assert_eq!(
                (later.segment(), later.filled()),
                (Some(segment), SEGMENT_ROOM)
            );
        }
    }

    #[test]
    fn no_two_streams_have_the_same_number() {
        let mut numbers = [0; 3 * 4 * 2];
        for (processor, shard, lane) in
            (0..3).flat_map(|p| (0..4).flat_map(move |s| (0..2).map(move |l| (p, s, l))))
        {
            numbers[stream(processor, 4, shard, lane) as usize] += 1;
        }
        assert_eq!(numbers, [1; 3 * 4 * 2]);
    }
}
