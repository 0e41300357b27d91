//! The maps of the programs in this process.
#![allow(unsafe_code, reason = "records are read where they lie")]

use std::io;
use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use kernel_arrays::{Access, KernelArray};
use packet_headers_common::segment::{
    Position, SEGMENT_HEADER_LEN, SEGMENT_LEN, SEGMENT_ROOM, Segment, Sleeper, Stream,
};

use crate::memory::{Link, Memory, Piece};

/// The maps that are mapped, each with the number of its elements.
#[derive(Debug, Clone, Copy)]
pub struct Maps<'a> {
    /// The map `SEGMENTS`.
    pub segments: (BorrowedFd<'a>, u32),
    /// The map `STREAMS`.
    pub streams: (BorrowedFd<'a>, u32),
    /// The map `SLEEPERS`.
    pub sleepers: (BorrowedFd<'a>, u32),
}

/// The maps in this process. All shards share it.
#[derive(Debug)]
pub struct Mapping {
    segments: KernelArray,
    streams: KernelArray,
    sleepers: KernelArray,
}

impl Mapping {
    /// Maps the maps: the sleepers writable, the others not.
    ///
    /// # Errors
    /// When the kernel does not map one.
    pub fn new(maps: &Maps<'_>) -> io::Result<Self> {
        let array =
            |(map, elements), length, access| KernelArray::new(map, elements, length, access);
        Ok(Self {
            segments: array(maps.segments, SEGMENT_LEN, Access::Read)?,
            streams: array(maps.streams, size_of::<Stream>(), Access::Read)?,
            sleepers: array(maps.sleepers, size_of::<Sleeper>(), Access::Write)?,
        })
    }

    /// Whether a shard sleeps for long: 1, or 0. `None` when there is no such shard.
    #[must_use]
    pub fn sleeper(&self, shard: u32) -> Option<&AtomicU32> {
        self.sleepers.u32_at(shard, offset_of!(Sleeper, asleep))
    }

    /// How much of its lanes was taken since the shard wrote 0. `None` when there is no such shard.
    #[must_use]
    pub fn taken(&self, shard: u32) -> Option<&AtomicU32> {
        self.sleepers.u32_at(shard, offset_of!(Sleeper, taken))
    }
}

impl Memory for Mapping {
    fn segments(&self) -> u32 {
        self.segments.elements()
    }

    fn position(&self, stream: u32) -> Position {
        let position = self.streams.u64_at(stream, offset_of!(Stream, position));
        let Some(position) = position else {
            return Position::NONE;
        };
        let position = Position(position.load(Ordering::Relaxed));
        // As an acquiring load, which is not defined for memory that only others write.
        fence(Ordering::Acquire);
        position
    }

    fn settle(&self) {
        settle();
    }

    fn first(&self, stream: u32) -> Option<u32> {
        let first = self.streams.u32_at(stream, offset_of!(Stream, first))?;
        let first = first.load(Ordering::Relaxed);
        first.checked_sub(1)
    }

    fn link(&self, segment: u32) -> Link {
        let load = |offset| {
            let number = self.segments.u32_at(segment, offset);
            number.map_or(0, |number| number.load(Ordering::Relaxed))
        };
        let (end, next) = (
            load(offset_of!(Segment, end)),
            load(offset_of!(Segment, next)),
        );
        Link {
            end: usize::try_from(end).unwrap_or(usize::MAX),
            next: next.checked_sub(1),
        }
    }

    fn records(&self, piece: &Piece) -> &[u8] {
        let (Some(place), bytes) = (self.segments.element(piece.segment()), piece.bytes()) else {
            return &[];
        };
        if bytes.start > bytes.end || bytes.end > SEGMENT_ROOM {
            return &[];
        }
        let begin = place.wrapping_add(SEGMENT_HEADER_LEN + bytes.start);
        // SAFETY: within the segment, as was just checked, and the area lives as long as `self`. A
        // position has shown these bytes, and the segment is not given back while there is a piece of
        // it: until then, programs write only behind them.
        unsafe { slice::from_raw_parts(begin, bytes.len()) }
    }
}

/// Returns when all that was written before the positions that this thread has loaded can be loaded.
///
/// On x86, the processor sees to that: stores are seen in the order in which they were made, and
/// loads are made in theirs.
#[cfg(target_arch = "x86_64")]
const fn settle() {}

/// Returns when all that was written before the positions that this thread has loaded can be loaded.
///
/// A program's stores have no order here, and it has no cheap instruction that gives them one. But it
/// runs in a read-side critical section of RCU (with preemption or bottom halves disabled, which is one),
/// and this call returns after a grace period (`synchronize_rcu` in kernel/sched/membarrier.c): every
/// program that had begun when this thread loaded its position has ended, and what it stored can be
/// seen. So can what earlier programs of that processor stored, as each of them either was before the end of
/// the grace period as a whole, or would have begun after this thread's load, which has seen what came later
/// still (`rcu-order` in the kernel's memory model, tools/memory-model/Documentation/explanation.txt).
/// With one processor online there is no grace period, and no need of one.
///
/// Nothing quicker does: the expedited barriers reach processors only where they run threads of processes
/// that asked for it, and programs run under anyone's.
///
/// Where the call is refused, [`settles`] has said so before.
#[cfg(not(target_arch = "x86_64"))]
fn settle() {
    let _refused = rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global);
}

/// Checks that records can be read in order on this host.
///
/// # Errors
/// When this processor needs the system call membarrier(2) for it, and the kernel refuses it.
#[cfg(target_arch = "x86_64")]
pub const fn settles() -> io::Result<()> {
    Ok(())
}

/// Checks that records can be read in order on this host.
///
/// # Errors
/// When this processor needs the system call membarrier(2) for it, and the kernel refuses it.
#[cfg(not(target_arch = "x86_64"))]
pub fn settles() -> io::Result<()> {
    Ok(rustix::thread::membarrier(
        rustix::thread::MembarrierCommand::Global,
    )?)
}
