//! The maps of the programs in this process: the only unsafe code of the crate.
#![allow(
    unsafe_code,
    reason = "the kernel's maps are mapped and read where they lie: two system calls, and loads at \
              offsets that were checked"
)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use packet_headers_common::segment::{
    Position, SEGMENT_HEADER_LEN, SEGMENT_LEN, SEGMENT_ROOM, Segment, Sleeper, Stream,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

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
    segments: Area,
    streams: Area,
    sleepers: Area,
}

impl Mapping {
    /// Maps the maps: the sleepers writable, the others not.
    ///
    /// # Errors
    /// When the kernel does not map one.
    pub fn new(maps: &Maps<'_>) -> io::Result<Self> {
        let read = ProtFlags::READ;
        Ok(Self {
            segments: Area::new(maps.segments, SEGMENT_LEN, read)?,
            streams: Area::new(maps.streams, size_of::<Stream>(), read)?,
            sleepers: Area::new(maps.sleepers, size_of::<Sleeper>(), read | ProtFlags::WRITE)?,
        })
    }

    /// Whether a shard sleeps for long: 1, or 0. `None` when there is no such shard.
    #[must_use]
    pub fn sleeper(&self, shard: u32) -> Option<&AtomicU32> {
        let place = self.sleepers.element(shard)?;
        let asleep = place.wrapping_add(std::mem::offset_of!(Sleeper, asleep));
        // SAFETY: within the area, which lives as long as `self`, is writable, and is aligned to a
        // page; an element has 128 bytes. Programs only load and store it whole.
        Some(unsafe { AtomicU32::from_ptr(asleep.cast()) })
    }

    /// How much of its lanes was taken since the shard wrote 0. `None` when there is no such shard.
    #[must_use]
    pub fn taken(&self, shard: u32) -> Option<&AtomicU32> {
        let place = self.sleepers.element(shard)?;
        let taken = place.wrapping_add(std::mem::offset_of!(Sleeper, taken));
        // SAFETY: as above.
        Some(unsafe { AtomicU32::from_ptr(taken.cast()) })
    }
}

impl Memory for Mapping {
    fn segments(&self) -> u32 {
        self.segments.elements
    }

    fn position(&self, stream: u32) -> Position {
        let Some(place) = self.streams.element(stream) else {
            return Position::NONE;
        };
        let position = place.wrapping_add(std::mem::offset_of!(Stream, position));
        // SAFETY: within the area, which lives as long as `self`, and aligned, as elements have 64
        // bytes. A program stores it by one instruction.
        let position = unsafe { AtomicU64::from_ptr(position.cast()) };
        let position = Position(position.load(Ordering::Relaxed));
        // As an acquiring load, which is not defined for memory that only others write.
        fence(Ordering::Acquire);
        position
    }

    fn settle(&self) {
        settle();
    }

    fn first(&self, stream: u32) -> Option<u32> {
        let place = self.streams.element(stream)?;
        // SAFETY: as for the position.
        let first = unsafe { load(place.wrapping_add(std::mem::offset_of!(Stream, first))) };
        first.checked_sub(1)
    }

    fn link(&self, segment: u32) -> Link {
        let Some(place) = self.segments.element(segment) else {
            return Link { end: 0, next: None };
        };
        // SAFETY: within the area, which lives as long as `self`, and aligned, as segments are whole
        // pages.
        let end = unsafe { load(place.wrapping_add(std::mem::offset_of!(Segment, end))) };
        // SAFETY: as above.
        let next = unsafe { load(place.wrapping_add(std::mem::offset_of!(Segment, next))) };
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

/// Loads a number that a program may store at the same time.
///
/// # Safety
/// It must be within a mapped area, and aligned.
unsafe fn load(place: *mut u8) -> u32 {
    // SAFETY: the caller vouches for it. A program stores it by one instruction.
    unsafe { AtomicU32::from_ptr(place.cast()) }.load(Ordering::Relaxed)
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
/// runs in a read-side critical section of RCU, and this call returns after a grace period: every
/// program that had begun when this thread loaded its position has ended, and what it stored can be
/// seen. Where the call is refused, [`settles`] has said so before.
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

/// Memory that is mapped as long as this lives: elements of one size.
#[derive(Debug)]
struct Area {
    start: NonNull<u8>,
    elements: u32,
    element_len: usize,
}

// SAFETY: it is memory, which every thread may use; whoever looks into it argues for what it does.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    fn new(
        (map, elements): (BorrowedFd<'_>, u32),
        element_len: usize,
        protection: ProtFlags,
    ) -> io::Result<Self> {
        let length = elements as usize * element_len;
        // SAFETY: a new mapping, at no place in particular, touches no other memory.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                length,
                protection,
                MapFlags::SHARED,
                map,
                0,
            )
        };
        let start = NonNull::new(start?.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            elements,
            element_len,
        })
    }

    /// Where an element begins.
    fn element(&self, number: u32) -> Option<*mut u8> {
        let at = number as usize * self.element_len;
        (number < self.elements).then(|| self.start.as_ptr().wrapping_add(at))
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        let length = self.elements as usize * self.element_len;
        // SAFETY: this is what was mapped, and all that borrows from it has ended.
        let _unmapped = unsafe { munmap(self.start.as_ptr().cast(), length) };
    }
}
