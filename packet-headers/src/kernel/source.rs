//! Where a shard's packets come from: the programs, or the rings of packet sockets. A shard does not know
//! which.

use std::time::Duration;

use anyhow::Result;
use model::{BootNanos, WallClock};
use packet_headers_common::FlowKey;
use packet_headers_common::settings::LANES;

use super::flow_maps::FlowMaps;
use super::ring::{Fill, PacketBatch as ProgramBatch, PacketReader, Waker};
use super::streams::PacketStreams;

/// Where a shard's packets come from, and whom it tells of its connections.
///
/// What it tells is a hint: the flow table decides the same about a packet that comes anyway. So nothing of it
/// fails.
pub trait PacketSource: Send + 'static {
    /// Records of one turn.
    type Batch<'a>: PacketBatch;

    /// Takes up to `most` records, or a few more. The clocks are those by which the shard will date them.
    fn read(&mut self, most: usize, clock: &WallClock) -> Self::Batch<'_>;

    /// Waits until much has come, or for `at_most`.
    ///
    /// # Errors
    /// When the kernel does not let it wait.
    fn wait(&mut self, at_most: Duration) -> Result<()>;

    /// Waits until anything has come, or for `at_most`.
    ///
    /// # Errors
    /// When the kernel does not let it wait.
    fn sleep(&mut self, at_most: Duration) -> Result<()>;

    /// A way to end its wait, or the next one.
    ///
    /// # Errors
    /// When no descriptor for it can be had.
    fn waker(&self) -> Result<Waker>;

    /// How full its rings were.
    fn fill(&self) -> Fill;

    /// Bytes of its rings: that for connections with a name, or for all, and that for those without.
    fn lane_bytes(&self) -> [u64; LANES as usize];

    /// The connection has a name, and is captured until then. Its entry in the kernel's table, or 0 if it has
    /// none.
    fn admit(&mut self, key: &FlowKey, until: BootNanos, cookie: u64) -> u32;

    /// The connection's file is finished, but it is still open.
    fn retire(&mut self, key: &FlowKey, cookie: u64);

    /// The connection has ended.
    fn release(&mut self, key: &FlowKey, cookie: u64);

    /// The connection is not wanted, until a SYN begins another.
    fn ignore(&mut self, key: &FlowKey);
}

/// Records of one turn. They are given back when this is dropped.
pub trait PacketBatch {
    /// Whether there were more records, which the next batch can have.
    fn more(&self) -> bool;

    /// The records.
    fn records(&self) -> impl Iterator<Item = &[u8]>;
}

/// What the programs write for one shard, and its handle to their maps.
pub(crate) struct ProgramSource {
    ring: PacketReader,
    maps: FlowMaps,
}

impl ProgramSource {
    /// The source of the shard with these streams and maps.
    ///
    /// # Errors
    /// When no epoll instance can be created.
    pub(crate) fn new(streams: PacketStreams, maps: FlowMaps) -> Result<Self> {
        let ring = PacketReader::new(streams)?;
        Ok(Self { ring, maps })
    }
}

impl PacketSource for ProgramSource {
    type Batch<'a> = ProgramBatch<'a>;

    #[inline]
    fn read(&mut self, most: usize, _clock: &WallClock) -> ProgramBatch<'_> {
        self.ring.read(most)
    }

    fn wait(&mut self, at_most: Duration) -> Result<()> {
        self.ring.wait(at_most)
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        self.ring.sleep(at_most)
    }

    fn waker(&self) -> Result<Waker> {
        self.ring.waker()
    }

    fn fill(&self) -> Fill {
        self.ring.fill()
    }

    fn lane_bytes(&self) -> [u64; LANES as usize] {
        self.ring.lane_bytes()
    }

    fn admit(&mut self, key: &FlowKey, until: BootNanos, cookie: u64) -> u32 {
        self.maps.admit(key, until, cookie)
    }

    fn retire(&mut self, key: &FlowKey, cookie: u64) {
        self.maps.retire(key, cookie);
    }

    fn release(&mut self, key: &FlowKey, cookie: u64) {
        self.maps.release(key, cookie);
    }

    fn ignore(&mut self, key: &FlowKey) {
        self.maps.ignore(key);
    }
}

/// What the programs write of UDP. They know by themselves which flows there are, so they need no hints.
pub(crate) struct DatagramSource(PacketReader);

impl DatagramSource {
    /// The source with these streams.
    ///
    /// # Errors
    /// When no epoll instance can be created.
    pub(crate) fn new(streams: PacketStreams) -> Result<Self> {
        PacketReader::new(streams).map(Self)
    }
}

impl PacketSource for DatagramSource {
    type Batch<'a> = ProgramBatch<'a>;

    fn read(&mut self, most: usize, _clock: &WallClock) -> ProgramBatch<'_> {
        self.0.read(most)
    }

    fn wait(&mut self, at_most: Duration) -> Result<()> {
        self.0.wait(at_most)
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        self.0.sleep(at_most)
    }

    fn waker(&self) -> Result<Waker> {
        self.0.waker()
    }

    fn fill(&self) -> Fill {
        self.0.fill()
    }

    fn lane_bytes(&self) -> [u64; LANES as usize] {
        self.0.lane_bytes()
    }

    fn admit(&mut self, _key: &FlowKey, _until: BootNanos, _cookie: u64) -> u32 {
        0
    }

    fn retire(&mut self, _key: &FlowKey, _cookie: u64) {}

    fn release(&mut self, _key: &FlowKey, _cookie: u64) {}

    fn ignore(&mut self, _key: &FlowKey) {}
}

impl PacketBatch for ProgramBatch<'_> {
    fn more(&self) -> bool {
        self.more()
    }

    #[inline]
    fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.records()
    }
}
