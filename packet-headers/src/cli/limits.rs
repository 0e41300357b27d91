//! The flags that bound what the daemon takes.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use bytesize::ByteSize;
use clap::Args;
use clap::error::ErrorKind;
use packet_headers_common::settings::MAX_SHARDS;

use super::refusal::Refusal;
use crate::config::Sizes;

/// The flags that bound what the daemon takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArguments {
    /// Memory for everything that grows with traffic
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    maxheap: ByteSize,

    /// How many connections are captured at once; 0 for as many as fit into --maxheap
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    maxflows: usize,

    /// Size of each shard's ring of captured connections; rounded up to a power of two. The ring of
    /// connections that have no name yet is a quarter of it
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "16MiB",
        hide_short_help = true
    )]
    ring_size: ByteSize,

    /// How many packet rings, and threads that read them [default: one for four CPUs, at most 8]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SHARDS)), hide_short_help = true)]
    shards: Option<u32>,
}

/// One reader is enough for so many CPUs: it takes a packet in a fraction of the time in which one
/// is sent.
const CPUS_PER_SHARD: usize = 4;

/// More readers than this would rather wait for the disk.
const MAX_DEFAULT_SHARDS: usize = 8;

/// Less memory than this holds no useful number of flows.
const MIN_HEAP: ByteSize = ByteSize::mib(16);

/// The candidates' ring is a quarter of it, and must be whole pages of any size up to 64 KiB.
const MIN_RING: ByteSize = ByteSize::kib(256);

/// The kernel's bound of a ring buffer is 4 GiB, its users' that of the address space around it.
const MAX_RING: ByteSize = ByteSize::gib(1);

impl LimitArguments {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// What to say.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let (heap, ring) = (self.maxheap, self.ring_size);
        if heap < MIN_HEAP {
            let message = format!("--maxheap ({heap}) must be at least {MIN_HEAP}");
            return Err((ErrorKind::ValueValidation, message));
        }
        if !(MIN_RING..=MAX_RING).contains(&ring) {
            let message = format!("--ring-size ({ring}) must be {MIN_RING} to {MAX_RING}");
            return Err((ErrorKind::ValueValidation, message));
        }
        Ok(())
    }

    /// How much there may be, with so many header bytes of a packet.
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

/// The next power of two, which is what a ring buffer's size has to be.
fn ring_bytes(size: ByteSize) -> u32 {
    u32::try_from(size.as_u64().next_power_of_two()).unwrap_or(1 << 30)
}

fn default_shards() -> u32 {
    let cpus = available_parallelism().map_or(1, NonZeroUsize::get);
    let shards = (cpus / CPUS_PER_SHARD).clamp(1, MAX_DEFAULT_SHARDS);
    u32::try_from(shards).unwrap_or(1)
}
