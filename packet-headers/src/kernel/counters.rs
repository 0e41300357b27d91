//! Reads the programs' counters.

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, PerCpuArray};
use packet_headers_common::{EventCounters, KernelDiscard, PacketCounters};

/// The maps of counters, with one value for each CPU.
pub struct KernelCounters {
    packets: PerCpuArray<MapData, [u64; PacketCounters::SLOTS]>,
    events: PerCpuArray<MapData, [u64; EventCounters::SLOTS]>,
}

/// The programs' counters at one moment, summed over every possible CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Counters of the packet programs.
    pub packets: PacketCounters,
    /// Counters of the socket program.
    pub events: EventCounters,
}

impl Counts {
    /// Packets lost because a ring was full.
    #[must_use]
    pub const fn ring_losses(&self) -> u64 {
        self.packets.discarded(KernelDiscard::AdmittedRingFull)
            + self.packets.discarded(KernelDiscard::CandidateRingFull)
    }
}

impl KernelCounters {
    pub(super) fn new(packets: Map, events: Map) -> Result<Self> {
        Ok(Self {
            packets: packets.try_into().context("opening the packet counters")?,
            events: events.try_into().context("opening the event counters")?,
        })
    }

    /// Reads every counter. Packets pass meanwhile, and the kernel copies one CPU's counters after
    /// another's: only when no program runs do the packets seen and what became of them agree.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn read(&self) -> Result<Counts> {
        let mut counts = Counts {
            packets: self.read_packets()?,
            events: EventCounters::default(),
        };
        let events = self.events.get(&0, 0);
        let events = events.context("reading the kernel's event counters")?;
        for slots in events.iter() {
            counts.events.add_slots(slots);
        }
        Ok(counts)
    }

    /// Reads what the packet programs counted.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_packets(&self) -> Result<PacketCounters> {
        let mut counts = PacketCounters::default();
        let packets = self.packets.get(&0, 0);
        let packets = packets.context("reading the kernel's packet counters")?;
        for slots in packets.iter() {
            counts.add_slots(slots);
        }
        Ok(counts)
    }
}
