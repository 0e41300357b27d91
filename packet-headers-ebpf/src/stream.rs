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

use crate::maps::{
    ALL_SHARDS, CANDIDATE_WEIGHT, FREE, SEGMENTS, SLEEPERS, STREAMS, WAKE, WAKE_AFTER,
};

/// Room for a record of any length.
pub(crate) struct Place {
    stream: *mut Stream,
    shard: u32,
    lane: u32,
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
        let number = segment::stream(processor, ALL_SHARDS.load(), shard, lane as u32);
        let stream = STREAMS.get_ptr_mut(number)?;
        // SAFETY: an element of an array is always there.
        let mut position = Position(unsafe { (*stream).position });
        if position == Position::NONE || position.filled() > LAST_BEGIN {
            // SAFETY: as above; no other program writes this processor's stream.
            position = unsafe { go_on(&mut *stream, position, shard, lane) }?;
        }
        let number = position.segment()?;
        let segment = SEGMENTS.get_ptr_mut(number)?;
        // The compiler knows that it is no more, and the verifier has to be shown.
        let filled = black_box(position.filled() as u32).min(LAST_BEGIN as u32) as usize;
        // SAFETY: an element of an array is always there.
        let records = unsafe { &raw mut (*segment).records };
        let at = records.cast::<u8>().wrapping_add(filled);
        Some(Self {
            stream,
            shard,
            lane: lane as u32,
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
        let is_asleep = unsafe { asleep.read_volatile() } != 0;
        let mut much_waits = false;
        if self.position.filled() == 0 {
            // Once for a segment. No branch on the lane: the verifier would look twice at what follows.
            let weight = 1 + self.lane * (CANDIDATE_WEIGHT.load() - 1);
            // SAFETY: as above. What is not counted, as two processors write it, does no harm.
            let taken = unsafe { &mut (*sleeper).taken };
            *taken = taken.wrapping_add(weight);
            much_waits = *taken >= WAKE_AFTER.load();
        }
        if is_asleep || much_waits {
            // SAFETY: as above.
            unsafe { asleep.write_volatile(0) };
            wake(self.shard);
        }
    }
}

/// Moves a stream to a free segment; the position where it then is. `None` when none is free.
///
/// Like all of this it has to be inlined: verifiers before Linux 6.3 do not look back beyond the call of
/// a function, and then tell apart each way that leads here.
#[inline(always)]
fn go_on(stream: &mut Stream, position: Position, shard: u32, lane: Lane) -> Option<Position> {
    let free = FREE.get(shard * LANES + lane as u32)?;
    let number = free.pop().ok().flatten()?;
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
    let position = Position::begin(number);
    // Now, as the record may come to nothing.
    show(stream, position);
    Some(position)
}

/// Shows the shard how far a stream is written.
///
/// The position is stored by one plain instruction behind all others. On x86, stores are seen in the
/// order in which they are made. On arm64 they have no order, and kernels before 6.15 have no store for
/// programs that gives them one. So there, the shard reads the position, waits for a grace period of RCU, and
/// only then looks at anything else. At the end of that, the writing processor has passed a full barrier behind
/// all that its programs had stored up to the position that was read.
///
/// The other way round there is an order anywhere: a segment comes back through the stack's lock, which the
/// shard gives up behind its last look at the segment, and a program takes before it writes.
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
#[inline(always)]
fn wake(shard: u32) {
    if let Some(record) = WAKE.get(shard).and_then(|ring| ring.reserve_bytes(8, 0)) {
        record.discard(BPF_RB_FORCE_WAKEUP.into());
    }
}
