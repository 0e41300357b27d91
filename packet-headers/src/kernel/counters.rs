//! Reads the programs' counters.

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, PerCpuArray};
use packet_headers_common::{EventCounters, KernelDiscard, PacketCounters};

use super::grace::wait_for_programs;
use super::raw::Tallies;

/// What is counted before packets and events come to the daemon's threads.
pub struct KernelCounters(Counted);

enum Counted {
    /// By the programs.
    InMaps(Box<Maps>),
    /// At packet sockets, of which there are events of no kind.
    AtSockets(Tallies),
}

/// The maps of counters, with one value for each CPU.
struct Maps {
    packets: PerCpuArray<MapData, [u64; PacketCounters::SLOTS]>,
    events: PerCpuArray<MapData, [u64; EventCounters::SLOTS]>,
}

/// These counters at one moment: those of programs are summed over every possible CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Counters of the packet programs.
    pub packets: PacketCounters,
    /// Counters of the socket program.
    pub events: EventCounters,
    /// Packets lost because the ring of a packet socket was full.
    pub packet_ring_full: u64,
}

impl Counts {
    /// Packets of connections lost because a ring was full.
    #[must_use]
    pub const fn ring_losses(&self) -> u64 {
        self.packet_ring_full
            + self.packets.discarded(KernelDiscard::AdmittedRingFull)
            + self.packets.discarded(KernelDiscard::CandidateRingFull)
    }
}

impl KernelCounters {
    pub(super) fn new(packets: Map, events: Map) -> Result<Self> {
        Ok(Self(Counted::InMaps(Box::new(Maps {
            packets: packets.try_into().context("opening the packet counters")?,
            events: events.try_into().context("opening the event counters")?,
        }))))
    }

    pub(super) const fn of_sockets(tallies: Tallies) -> Self {
        Self(Counted::AtSockets(tallies))
    }

    /// Reads every counter. Packets pass meanwhile, and the kernel copies one CPU's counters after
    /// another's: only when no program runs do the packets seen and what became of them agree.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn read(&self) -> Result<Counts> {
        match &self.0 {
            Counted::InMaps(maps) => Ok(Counts {
                packets: maps.read_packets()?,
                events: maps.read_events()?,
                packet_ring_full: 0,
            }),
            Counted::AtSockets(tallies) => {
                let (packets, packet_ring_full) = tallies.read()?;
                Ok(Counts {
                    packets,
                    events: EventCounters::default(),
                    packet_ring_full,
                })
            }
        }
    }

    /// Reads what was counted of packets.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_packets(&self) -> Result<PacketCounters> {
        match &self.0 {
            Counted::InMaps(maps) => maps.read_packets(),
            Counted::AtSockets(tallies) => tallies.read().map(|(packets, _)| packets),
        }
    }

    /// Waits until detached programs have finished the packet that they have, and packets of sockets are with
    /// their shards: counters and rings stand still. Links wait for programs themselves, netlink filters do not.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn settle(&self) -> Result<()> {
        match &self.0 {
            Counted::InMaps(_) => {
                wait_for_programs();
                Ok(())
            }
            Counted::AtSockets(tallies) => tallies.settle(),
        }
    }
}

impl Maps {
    fn read_events(&self) -> Result<EventCounters> {
        let mut counts = EventCounters::default();
        let events = self.events.get(&0, 0);
        let events = events.context("reading the kernel's event counters")?;
        for slots in events.iter() {
            counts.add_slots(slots);
        }
        Ok(counts)
    }

    fn read_packets(&self) -> Result<PacketCounters> {
        let mut counts = PacketCounters::default();
        let packets = self.packets.get(&0, 0);
        let packets = packets.context("reading the kernel's packet counters")?;
        for slots in packets.iter() {
            counts.add_slots(slots);
        }
        Ok(counts)
    }
}
