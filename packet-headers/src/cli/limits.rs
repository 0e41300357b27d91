//! Flags that limit what the daemon uses.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use bytesize::ByteSize;
use clap::Args;
use clap::error::ErrorKind;
use packet_headers_common::segment::SEGMENT_LEN;
use packet_headers_common::settings::{MAX_LANE_SEGMENTS, MAX_SHARDS};

use super::refusal::Refusal;
use super::size;
use crate::config::Sizes;

/// Flags that limit what the daemon uses.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArguments {
    /// Memory for everything that grows with traffic; at least 16MiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size::parse)]
    maxheap: ByteSize,

    /// Connections captured at once; 0 for as many as fit in --maxheap
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    maxflows: usize,

    /// Each shard's ring for captured connections, 256KiB to 1GiB, rounded up to a multiple of 64KiB.
    /// The ring for connections without a name is a quarter of it, on top. Each has at least 32KiB for
    /// each processor
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "16MiB",
        value_parser = size::parse,
        hide_short_help = true
    )]
    ring_size: ByteSize,

    /// Packet rings, each with its own reader thread [default: one per four CPUs, at most 8]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS)), hide_short_help = true)]
    shards: Option<u32>,
}

/// One reader keeps up with this many CPUs: reading a packet takes a fraction of the time that
/// sending one takes.
const CPUS_PER_SHARD: usize = 4;

/// More readers than this would only wait for the disk.
const MAX_DEFAULT_SHARDS: usize = 8;

/// Less memory than this holds too few connections to be useful.
const MIN_HEAP: ByteSize = ByteSize::mib(16);

/// Less memory than this is full within a turn of its reader.
const MIN_RING: ByteSize = ByteSize::kib(256);

/// As many segments as a lane can have.
const MAX_RING: ByteSize = ByteSize::gib(1);

const _: () = assert!(MAX_RING.0 == MAX_LANE_SEGMENTS as u64 * SEGMENT_LEN as u64);

/// A quarter of this, for the candidate ring, is a whole segment.
const RING_UNIT: u64 = 4 * SEGMENT_LEN as u64;

impl LimitArguments {
    /// Refuses sizes that cannot work.
    ///
    /// # Errors
    /// The message.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let (heap, ring) = (self.maxheap, self.ring_size);
        if heap < MIN_HEAP {
            let message = format!("--maxheap ({heap}) must be at least {MIN_HEAP}");
            return Err((ErrorKind::ValueValidation, message));
        }
        if !(MIN_RING..=MAX_RING).contains(&ring) {
            let message = format!("--ring-size ({ring}) must be between {MIN_RING} and {MAX_RING}");
            return Err((ErrorKind::ValueValidation, message));
        }
        Ok(())
    }

    /// The configured sizes, with this many header bytes kept per packet.
    pub(super) fn sizes(&self, headers: u32) -> Sizes {
        Sizes {
            shards: self.shards.unwrap_or_else(default_shards),
            ring: ring_bytes(self.ring_size),
            heap: usize::try_from(self.maxheap.as_u64()).unwrap_or(usize::MAX),
            flows: match self.maxflows {
                0 => usize::MAX,
                flows => flows,
            },
            headers,
        }
    }
}

fn ring_bytes(size: ByteSize) -> u32 {
    u32::try_from(size.as_u64().next_multiple_of(RING_UNIT)).unwrap_or(1 << 30)
}

fn default_shards() -> u32 {
    let cpus = available_parallelism().map_or(1, NonZeroUsize::get);
    let shards = (cpus / CPUS_PER_SHARD).clamp(1, MAX_DEFAULT_SHARDS);
    u32::try_from(shards).unwrap_or(1)
}
