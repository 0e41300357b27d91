//! The writing end of a stream: where a processor's next record goes, and how the shard learns of it.
//!
//! One packet program runs at a time on a processor, as the softirqs and the senders that it runs in
//! have bottom halves disabled. So a stream has one writer, which needs no lock.

use core::hint::black_box;
use core::ptr;

use aya_ebpf::bindings::BPF_RB_FORCE_WAKEUP;
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use packet_headers_common::segment::{self, LAST_BEGIN, Position, Segment, Stream};
use packet_headers_common::settings::{LANES, Lane};

use crate::maps::{FREE, SEGMENTS, SHARDS, SLEEPERS, STREAMS, WAKE, WAKE_AFTER};

/// Room for a record of any length.
pub(crate) struct Place {
    stream: *mut Stream,
    shard: u32,
    /// Where the record begins.
    position: Position,
    /// The same in memory.
    at: *mut u8,
}

impl Place {
    /// Behind the last record that this processor has written for the shard and lane; `None` when no
    /// segment of the lane is free.
    #[inline(always)]
    pub(crate) fn next(shard: u32, lane: Lane) -> Option<Self> {
        // SAFETY: takes no argument, and cannot fail.
        let processor = unsafe { bpf_get_smp_processor_id() };
        let number = segment::stream(processor, SHARDS.load(), shard, lane as u32);
        let stream = STREAMS.get_ptr_mut(number)?;
        // SAFETY: an element of an array is always there.
        let mut position = Position(unsafe { (*stream).position });
        if position == Position::NONE || position.filled() > LAST_BEGIN {
            position = Position(go_on(stream, shard, lane as u32));
        }
        let number = position.segment()?;
        let segment = SEGMENTS.get_ptr_mut(number)?;
        // The compiler knows that it is no more, and the verifier has to be shown.
        let filled = black_box(position.filled()).min(LAST_BEGIN);
        // SAFETY: an element of an array is always there.
        let records = unsafe { &raw mut (*segment).records };
        let at = records.cast::<u8>().wrapping_add(filled);
        Some(Self {
            stream,
            shard,
            position,
            at,
        })
    }

    /// Where to write the record: room for the longest, and for a word behind it.
    #[inline(always)]
    pub(crate) const fn at(&self) -> *mut u8 {
        self.at
    }

    /// Shows the record of `length` bytes to the shard: whole words, all written.
    #[inline(always)]
    pub(crate) fn publish(self, length: usize) {
        // SAFETY: an element of an array is always there.
        unsafe { show(&mut *self.stream, self.position.after(length)) };
        let Some(sleeper) = SLEEPERS.get_ptr_mut(self.shard) else {
            return;
        };
        // SAFETY: as above. The shard writes it too: a race wakes it once too often, or when its sleep
        // ends, which it does soon.
        let asleep = unsafe { &raw mut (*sleeper).asleep };
        // SAFETY: as above.
        if unsafe { asleep.read_volatile() } != 0 {
            // SAFETY: as above.
            unsafe { asleep.write_volatile(0) };
            wake(self.shard);
        }
    }
}

/// Moves a stream to a free segment; the position where it then is, or that of none when none is free.
///
/// Once in some hundred packets, so that it need not be in each program twice.
#[cold]
#[inline(never)]
fn go_on(stream: *mut Stream, shard: u32, lane: u32) -> u64 {
    // SAFETY: an element of an array is always there; no other program writes this processor's stream.
    let stream = unsafe { &mut *stream };
    let Some(number) = take(stream, shard, lane) else {
        wake(shard);
        return Position::NONE.0;
    };
    let position = Position::begin(number);
    // Now, as the record may come to nothing.
    show(stream, position);
    if is_late(shard, lane) {
        wake(shard);
    }
    position.0
}

/// Takes a free segment, and writes where the stream goes on into the one that it leaves.
#[inline(always)]
fn take(stream: &mut Stream, shard: u32, lane: u32) -> Option<u32> {
    let free = FREE.get(shard * LANES + lane)?;
    let number = free.pop().ok().flatten()?;
    let position = Position(stream.position);
    match position.segment() {
        Some(left) => {
            let left: *mut Segment = SEGMENTS.get_ptr_mut(left)?;
            // SAFETY: an element of an array is always there, and this one is the stream's.
            let left = unsafe { &mut *left };
            left.end = position.filled() as u32;
            left.next = number + 1;
        }
        None => stream.first = number + 1,
    }
    Some(number)
}

/// Counts a segment that was taken; whether a shard has not looked for so long that it is to be woken.
#[inline(always)]
fn is_late(shard: u32, lane: u32) -> bool {
    let [admitted, candidate] = WAKE_AFTER.load();
    let Some(sleeper) = SLEEPERS.get_ptr_mut(shard) else {
        return false;
    };
    // SAFETY: an element of an array is always there. The shard and programs on other processors write
    // it, too: one that is not counted does no harm.
    let [taken_admitted, taken_candidate] = unsafe { &mut (*sleeper).taken };
    let (taken, most) = if lane == Lane::Admitted as u32 {
        (taken_admitted, admitted)
    } else {
        (taken_candidate, candidate)
    };
    *taken = taken.wrapping_add(1);
    *taken >= most
}

/// Shows the shard how far a stream is written.
///
/// The position is stored by one plain instruction behind all others. On x86, stores are seen in the
/// order in which they are made; elsewhere, the shard waits until all programs that were running when
/// it read the position have ended, before it looks at anything else.
#[inline(always)]
fn show(stream: &mut Stream, position: Position) {
    // The compiler leaves all other stores on this side.
    let stream = black_box(ptr::from_mut(stream));
    // SAFETY: it comes from a reference.
    let shown = unsafe { &raw mut (*stream).position };
    // SAFETY: as above.
    unsafe { shown.write_volatile(position.0) };
}

/// Wakes a shard: a record of its ring that is discarded at once leaves nothing but the wakeup. When
/// the ring is full of such, the shard is awake.
#[cold]
#[inline(never)]
fn wake(shard: u32) {
    if let Some(record) = WAKE.get(shard).and_then(|ring| ring.reserve_bytes(8, 0)) {
        record.discard(BPF_RB_FORCE_WAKEUP.into());
    }
}
