//! What became of packets on their way to the shards, as the programs count it otherwise.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use model::Count;
use packet_headers_common::{KernelDiscard, PacketCounter, PacketCounters};
use packet_rings::Statistics;

use super::records::Copied;

/// How often to look whether a shard has taken what is in its ring, and how often at most.
const SETTLE: Duration = Duration::from_millis(4);
const SETTLE_TRIES: u32 = 250;

/// What is counted of one shard.
#[derive(Debug)]
pub(super) struct Tally {
    socket: Arc<OwnedFd>,
    told: Mutex<Told>,
    submitted: Count,
    truncated: Count,
    discarded: [Count; KernelDiscard::COUNT],
}

/// What the kernel has told so far: it forgets what it has told.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    taken: u64,
    lost: u64,
}

/// What is counted of all shards.
#[derive(Debug, Clone)]
pub(crate) struct Tallies(Vec<Arc<Tally>>);

impl Tally {
    pub(super) fn of(socket: Arc<OwnedFd>) -> Self {
        Self {
            socket,
            told: Mutex::default(),
            submitted: Count::default(),
            truncated: Count::default(),
            discarded: [const { Count::new() }; KernelDiscard::COUNT],
        }
    }

    /// Counts what became of a packet.
    pub(super) fn count(&self, outcome: Result<Copied, KernelDiscard>) {
        match outcome {
            Ok(Copied::Full) => {}
            Ok(Copied::Truncated) => self.truncated.add(1),
            Err(reason) => return self.discarded[reason.index()].add(1),
        }
        self.submitted.add(1);
    }

    /// Asks the kernel.
    fn ask(&self) -> Result<Told> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let more = Statistics::take(&*self.socket);
        let more = more.context("reading the counters of a packet socket")?;
        told.taken += u64::from(more.taken);
        told.lost += u64::from(more.lost);
        Ok(*told)
    }

    /// Packets that the shard has found in its ring.
    fn found(&self) -> u64 {
        let discarded: u64 = self.discarded.iter().map(Count::get).sum();
        discarded + self.submitted.get()
    }
}

impl Tallies {
    pub(super) const fn of(tallies: Vec<Arc<Tally>>) -> Self {
        Self(tallies)
    }

    /// What became of packets, and how many were lost because a ring was full. Those that are in a ring are
    /// seen, and nothing else yet.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(in crate::kernel) fn read(&self) -> Result<(PacketCounters, u64)> {
        let mut slots = [0; PacketCounters::SLOTS];
        for tally in &self.0 {
            // Where a packet ends up comes before where it was.
            for (slot, discarded) in slots[PacketCounter::COUNT..]
                .iter_mut()
                .zip(&tally.discarded)
            {
                *slot += discarded.get();
            }
            slots[PacketCounter::HeadersTruncated.index()] += tally.truncated.get();
            slots[PacketCounter::Submitted.index()] += tally.submitted.get();
        }
        let mut lost = 0;
        for tally in &self.0 {
            let told = tally.ask()?;
            slots[PacketCounter::Seen.index()] += told.taken;
            lost += told.lost;
        }
        let mut counters = PacketCounters::default();
        counters.add_slots(&slots);
        Ok((counters, lost))
    }

    /// Waits until the shards have found every packet that the kernel has put into their rings. No more may come.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(in crate::kernel) fn settle(&self) -> Result<()> {
        for _ in 0..SETTLE_TRIES {
            // The kernel may be putting one there.
            thread::sleep(SETTLE);
            let mut is_settled = true;
            for tally in &self.0 {
                let told = tally.ask()?;
                is_settled &= told.taken - told.lost == tally.found();
            }
            if is_settled {
                break;
            }
        }
        Ok(())
    }
}
