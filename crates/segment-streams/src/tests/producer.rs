//! The programs' side of the protocol, as code of the host.
#![allow(
    unsafe_code,
    reason = "as in the kernel, a producer writes where readers may not look yet; Miri and loom check \
              that"
)]

use std::io;
#[cfg(not(loom))]
use std::sync::Mutex;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use std::cell::UnsafeCell;
use std::sync::Arc;

use packet_headers_common::record::{RECORD_HEADER_LEN, record_len};
use packet_headers_common::segment::{Position, SEGMENT_ROOM};

use crate::memory::{Free, Link, Memory, Piece};

/// A lane's free segments, the last on top.
pub(super) type Stack = Arc<Mutex<Vec<u32>>>;

/// What makes the reader see what a position shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The processor: a store is seen after those before it, as on x86.
    Stores,
    /// Nothing but RCU, as on arm64: programs store in any order, and the reader waits for a grace period.
    #[cfg(loom)]
    GracePeriods,
}

/// What the kernel maps.
pub(super) struct World {
    segments: Vec<Segment>,
    streams: Vec<Stream>,
    pub(super) lanes: [Stack; 2],
    order: Order,
    /// Of each stream: locked while its processor runs a program, which is a read-side critical section.
    /// Whoever locks it once has waited for what ran, as a grace period does; and has no more from it: all
    /// of a program is before the end of a grace period, or all of it after its begin.
    sections: Vec<Mutex<()>>,
}

struct Segment {
    end: AtomicU32,
    next: AtomicU32,
    records: Box<[UnsafeCell<u8>]>,
    /// Notices when a reader and a producer look at the segment's first record at the same time.
    #[cfg(loom)]
    race: loom::cell::UnsafeCell<()>,
}

#[derive(Default)]
struct Stream {
    position: AtomicU64,
    first: AtomicU32,
}

// SAFETY: readers look only at bytes that a position has shown, and producers write only others: that
// is what the tests check.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    /// With so many streams for each lane, and so many segments, on a processor that stores in order.
    #[cfg(not(loom))]
    pub(super) fn new(streams: usize, per_lane: u32) -> Arc<Self> {
        Self::with_order(streams, per_lane, Order::Stores)
    }

    /// As [`Self::new`], on any processor.
    pub(super) fn with_order(streams: usize, per_lane: u32, order: Order) -> Arc<Self> {
        let segment = |_| Segment {
            end: AtomicU32::new(0),
            next: AtomicU32::new(0),
            records: (0..SEGMENT_ROOM).map(|_| UnsafeCell::new(0xee)).collect(),
            #[cfg(loom)]
            race: loom::cell::UnsafeCell::new(()),
        };
        let lane = |numbers: std::ops::Range<u32>| Arc::new(Mutex::new(numbers.collect()));
        Arc::new(Self {
            segments: (0..2 * per_lane).map(segment).collect(),
            streams: (0..2 * streams).map(|_| Stream::default()).collect(),
            lanes: [lane(0..per_lane), lane(per_lane..2 * per_lane)],
            order,
            sections: (0..2 * streams).map(|_| Mutex::new(())).collect(),
        })
    }

    /// The numbers of all free segments of a lane, sorted.
    pub(super) fn free(&self, lane: usize) -> Vec<u32> {
        let mut free = self.lanes[lane].lock().unwrap().clone();
        free.sort_unstable();
        free
    }

    /// What a program would not do: says that a stream is written up to anywhere.
    #[cfg(not(loom))]
    pub(super) fn lie(&self, stream: u32, position: Position) {
        self.streams[stream as usize]
            .position
            .store(position.0, Ordering::Release);
    }

    /// What a program would not do: changes where a stream goes on.
    #[cfg(not(loom))]
    pub(super) fn relink(&self, segment: u32, end: u32, next: u32) {
        let segment = &self.segments[segment as usize];
        segment.end.store(end, Ordering::Relaxed);
        segment.next.store(next, Ordering::Relaxed);
    }
}

impl Memory for World {
    fn segments(&self) -> u32 {
        self.segments.len() as u32
    }

    fn position(&self, stream: u32) -> Position {
        let position = &self.streams[stream as usize].position;
        Position(position.load(match self.order {
            Order::Stores => Ordering::Acquire,
            #[cfg(loom)]
            Order::GracePeriods => Ordering::Relaxed,
        }))
    }

    fn settle(&self) {
        if self.order == Order::Stores {
            return;
        }
        for section in &self.sections {
            drop(section.lock().unwrap());
        }
    }

    fn first(&self, stream: u32) -> Option<u32> {
        let first = &self.streams[stream as usize].first;
        first.load(Ordering::Relaxed).checked_sub(1)
    }

    fn link(&self, segment: u32) -> Link {
        let segment = &self.segments[segment as usize];
        Link {
            end: segment.end.load(Ordering::Relaxed) as usize,
            next: segment.next.load(Ordering::Relaxed).checked_sub(1),
        }
    }

    fn records(&self, piece: &Piece) -> &[u8] {
        let segment = &self.segments[piece.segment() as usize];
        let bytes = &segment.records[piece.bytes().clone()];
        #[cfg(loom)]
        if !bytes.is_empty() {
            segment.race.with(|_| ());
        }
        // SAFETY: nobody writes these bytes before the segment is given back.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
    }
}

/// A reader's handle to a lane's free segments.
pub(super) struct Lane(pub(super) Stack);

impl Free for Lane {
    fn give_back(&mut self, segment: u32) -> io::Result<()> {
        let mut free = self.0.lock().unwrap();
        assert!(!free.contains(&segment), "{segment} is free twice");
        free.push(segment);
        Ok(())
    }
}

/// A processor's programs: the writer of one stream. As the kernel's, but with another bound.
pub(super) struct Producer {
    world: Arc<World>,
    stream: usize,
    lane: usize,
    position: Position,
    /// A segment that is filled further is left.
    last_begin: usize,
}

impl Producer {
    pub(super) fn new(world: &Arc<World>, stream: u32, lane: usize, last_begin: usize) -> Self {
        Self {
            world: Arc::clone(world),
            stream: stream as usize,
            lane,
            position: Position::NONE,
            last_begin,
        }
    }

    /// Writes a record, unless no segment is free. Returns whether it did.
    pub(super) fn write(&mut self, record: &[u8]) -> bool {
        let world = Arc::clone(&self.world);
        // Where stores are in order, no program has to end before it is seen.
        let _section =
            (world.order != Order::Stores).then(|| world.sections[self.stream].lock().unwrap());
        if self.position == Position::NONE || self.position.filled() > self.last_begin {
            let popped = self.world.lanes[self.lane].lock().unwrap().pop();
            let Some(number) = popped else {
                return false;
            };
            match self.position.segment() {
                Some(left) => {
                    let left = &self.world.segments[left as usize];
                    left.end
                        .store(self.position.filled() as u32, Ordering::Relaxed);
                    left.next.store(number + 1, Ordering::Relaxed);
                }
                None => self.world.streams[self.stream]
                    .first
                    .store(number + 1, Ordering::Relaxed),
            }
            self.show(Position::begin(number));
        }
        let number = self.position.segment().expect("a segment") as usize;
        let segment = &self.world.segments[number];
        let filled = self.position.filled();
        let write = || {
            for (place, byte) in segment.records[filled..].iter().zip(record) {
                // SAFETY: no position has shown this byte.
                unsafe { *place.get() = *byte };
            }
        };
        #[cfg(loom)]
        if filled == 0 {
            segment.race.with_mut(|_| write());
        } else {
            write();
        }
        #[cfg(not(loom))]
        write();
        self.show(self.position.after(record.len()));
        true
    }

    /// Shows how far the stream is written.
    fn show(&mut self, position: Position) {
        self.position = position;
        let shown = &self.world.streams[self.stream].position;
        shown.store(
            position.0,
            match self.world.order {
                Order::Stores => Ordering::Release,
                #[cfg(loom)]
                Order::GracePeriods => Ordering::Relaxed,
            },
        );
    }
}

/// A record with this time and so many header bytes, which are all `time`'s last byte.
pub(super) fn record(time: u64, header_len: usize) -> Vec<u8> {
    let mut record = vec![0; record_len(0, header_len)];
    record[..8].copy_from_slice(&time.to_ne_bytes());
    record[16..18].copy_from_slice(&(header_len as u16).to_ne_bytes());
    record[RECORD_HEADER_LEN..][..header_len].fill(time as u8);
    record
}
