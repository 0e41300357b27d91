//! Waits for what the programs write, and takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use anyhow::Result;
use aya::maps::{MapData, RingBuf};
use packet_headers_common::settings::LANES;
use segment_streams::{Batch, Mapping, Reader};

use super::streams::{FreeSegments, PacketStreams};
pub use super::waiting::Waker;
use super::waiting::{Waiting, Wakes};

/// One ring, and how its program's wakeups arrive.
pub struct RingReader {
    ring: RingBuf<MapData>,
    waiting: Waiting,
}

impl RingReader {
    /// Takes over a ring.
    ///
    /// # Errors
    /// When no epoll instance can be created.
    pub fn new(ring: RingBuf<MapData>) -> Result<Self> {
        let waiting = Waiting::new()?;
        waiting.watch(&ring, Wakes::OnEdge)?;
        Ok(Self { ring, waiting })
    }

    /// A way to end the wait for the program.
    ///
    /// # Errors
    /// When no descriptor for it can be had.
    pub fn waker(&self) -> Result<Waker> {
        self.waiting.waker()
    }

    /// Waits until the program or a [`Waker`] wakes the reader, or for `at_most`.
    ///
    /// # Errors
    /// When epoll fails. A signal is not an error.
    pub fn wait(&self, at_most: Duration) -> Result<()> {
        self.waiting.wait(at_most)
    }

    /// Passes the next item to `look`. Returns false if there is none.
    #[inline]
    pub fn next(&mut self, look: impl FnOnce(&[u8])) -> bool {
        match self.ring.next() {
            Some(item) => {
                look(&item);
                true
            }
            None => false,
        }
    }
}

/// The packets of one shard.
pub struct PacketReader {
    reader: Reader<Arc<Mapping>, FreeSegments>,
    wake: RingReader,
    mapping: Arc<Mapping>,
    shard: u32,
    lane_bytes: [u64; LANES as usize],
}

/// Records of packets.
pub type PacketBatch<'a> = Batch<'a, Arc<Mapping>, FreeSegments>;

/// How full the rings of a shard were when they were last read: the bytes taken since both were empty.
/// These exceed the size of the rings while the reader does not keep up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes from the admitted ring.
    pub admitted: u64,
    /// Bytes from the candidate ring.
    pub candidate: u64,
}

impl PacketReader {
    /// Takes over the streams of a shard.
    ///
    /// # Errors
    /// When no epoll instance can be created.
    pub fn new(streams: PacketStreams) -> Result<Self> {
        let lane_bytes = streams.lane_bytes();
        let PacketStreams {
            mapping,
            shard,
            streams,
            free,
            wake,
            ..
        } = streams;
        Ok(Self {
            reader: Reader::new(Arc::clone(&mapping), free, streams),
            wake: RingReader::new(wake)?,
            mapping,
            shard,
            lane_bytes,
        })
    }

    /// Bytes of the segments of each lane.
    #[must_use]
    pub const fn lane_bytes(&self) -> [u64; LANES as usize] {
        self.lane_bytes
    }

    /// A way to end its sleep, or the next one.
    ///
    /// # Errors
    /// When no descriptor for it can be had.
    pub fn waker(&self) -> Result<Waker> {
        self.wake.waker()
    }

    /// Waits until the rings fill, or for `at_most`.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn wait(&mut self, at_most: Duration) -> Result<()> {
        self.wake.wait(at_most)?;
        self.take_wakeups();
        Ok(())
    }

    /// Waits until the first packet comes, or for `at_most`.
    ///
    /// A program stores its position, then looks whether the shard sleeps; the shard says that it
    /// does, then looks at the positions. The shard has a barrier between the two, and the program has
    /// none, which would cost every packet: so both can miss each other. Then the packet waits until
    /// the sleep ends, as it would have without a wakeup.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn sleep(&mut self, at_most: Duration) -> Result<()> {
        self.say_asleep(1);
        fence(Ordering::SeqCst);
        let waited = if self.reader.has_news() {
            Ok(())
        } else {
            self.wake.wait(at_most)
        };
        self.say_asleep(0);
        self.take_wakeups();
        waited
    }

    /// Tells the programs whether the shard sleeps.
    fn say_asleep(&self, asleep: u32) {
        if let Some(sleeper) = self.mapping.sleeper(self.shard) {
            AtomicU32::store(sleeper, asleep, Ordering::Relaxed);
        }
    }

    /// Takes what has woken it: items that were discarded at once, so there is none to look at.
    fn take_wakeups(&mut self) {
        while self.wake.next(|_| {}) {}
    }

    /// Takes up to `most` records, stream after stream: see [`Reader::read`].
    pub fn read(&mut self, most: usize) -> PacketBatch<'_> {
        if let Some(taken) = self.mapping.taken(self.shard) {
            AtomicU32::store(taken, 0, Ordering::Relaxed);
        }
        self.reader.read(most)
    }

    /// How full the rings were.
    #[must_use]
    pub const fn fill(&self) -> Fill {
        let [admitted, candidate] = self.reader.fill();
        Fill {
            admitted,
            candidate,
        }
    }
}
