//! Reads what the programs counted.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, PerCpuArray};
use packet_headers_common::Counter;

/// How long detached programs are given to finish the packet that they are at. Links wait for that
/// themselves; netlink filters do not.
const SETTLE: Duration = Duration::from_millis(2);
const SETTLE_TRIES: u32 = 50;

/// One CPU's counters, as the map holds them.
type Slots = [u64; Counter::COUNT];

/// The counters of all programs.
pub struct KernelCounters {
    packets: PerCpuArray<MapData, Slots>,
    events: PerCpuArray<MapData, Slots>,
}

/// The counters at one moment, summed over every possible CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts(Slots);

impl Counts {
    /// The value of one counter.
    #[must_use]
    pub const fn get(&self, counter: Counter) -> u64 {
        self.0[counter.slot()]
    }

    /// Packets that were to be captured and found a ring full.
    #[must_use]
    pub const fn ring_losses(&self) -> u64 {
        self.get(Counter::AdmittedRingFull) + self.get(Counter::CandidateRingFull)
    }
}

impl KernelCounters {
    pub(super) fn new(packets: Map, events: Map) -> Result<Self> {
        Ok(Self {
            packets: packets.try_into().context("opening the packet counters")?,
            events: events.try_into().context("opening the event counters")?,
        })
    }

    /// Reads every counter. Each map is read in one call, so an outcome and its packet are at most
    /// one packet for each CPU apart while traffic flows, and agree when it does not.
    ///
    /// # Errors
    /// When the kernel does not let us read a map.
    pub fn read(&self) -> Result<Counts> {
        let mut sum = Slots::default();
        for map in [&self.packets, &self.events] {
            let per_cpu = map.get(&0, 0).context("reading the kernel's counters")?;
            for slots in per_cpu.iter() {
                for (sum, slot) in sum.iter_mut().zip(slots) {
                    *sum += slot;
                }
            }
        }
        Ok(Counts(sum))
    }

    /// Waits until no program runs any more: the counters stand still.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn settle(&self) -> Result<()> {
        let mut before = self.read()?.get(Counter::Seen);
        for _ in 0..SETTLE_TRIES {
            thread::sleep(SETTLE);
            let now = self.read()?.get(Counter::Seen);
            if now == before {
                break;
            }
            before = now;
        }
        Ok(())
    }
}
