//! What became of every packet: the kernel's half and user space's half, added up.

use std::sync::atomic::Ordering;

use packet_headers_common::{DiscardReason, KernelDiscard, PacketCounter};

use crate::accounts::Accounts;
use crate::kernel::counters::Counts;

/// What became of every packet, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Packets that the programs were shown.
    pub seen: u64,
    /// Packets in published files.
    pub written: u64,
    /// Packets that are in no file.
    pub discarded: Discarded,
    /// Packets in a ring, in memory or in a partial file.
    pub held: u64,
}

/// How many packets are in no file, by reason. Kernel and daemon discard for some reasons alike:
/// these are the packets of both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discarded([u64; DiscardReason::COUNT]);

impl Ledger {
    /// Adds up. What the kernel counted must have been read before.
    #[must_use]
    pub fn new(kernel: &Counts, accounts: &Accounts) -> Self {
        let kernel = &kernel.packets;
        let received = accounts.received.load(Ordering::Relaxed);
        let submitted = kernel.get(PacketCounter::Submitted);
        let in_rings = submitted.saturating_sub(received);
        let mut discarded = Discarded::default();
        for &reason in KernelDiscard::ALL {
            discarded.add(reason.into(), kernel.discarded(reason));
        }
        for &reason in DiscardReason::ALL {
            discarded.add(reason, accounts.discards.get(reason));
        }
        Self {
            seen: kernel.get(PacketCounter::Seen),
            written: accounts.written.load(Ordering::Relaxed),
            discarded,
            held: accounts.held.load(Ordering::Relaxed) + in_rings,
        }
    }

    /// How many packets are in no account, or in two when it is negative.
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        let accounts = [self.written, self.discarded.total(), self.held];
        i128::from(self.seen) - accounts.map(i128::from).iter().sum::<i128>()
    }
}

impl Discarded {
    fn add(&mut self, reason: DiscardReason, packets: u64) {
        self.0[reason.index()] += packets;
    }

    /// How many packets were discarded for this reason.
    #[must_use]
    pub const fn get(&self, reason: DiscardReason) -> u64 {
        self.0[reason.index()]
    }

    /// How many packets are in no file, for whatever reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason's name, and how many packets were discarded for it.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = DiscardReason::ALL.iter();
        reasons.map(|&reason| (reason.name(), self.get(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::DiscardReason;

    #[test]
    fn a_reason_of_both_sides_is_counted_once_with_the_packets_of_both() {
        let mut kernel = Counts::default();
        for _ in 0..5 {
            kernel.packets.count(PacketCounter::Seen);
        }
        kernel.packets.discard(KernelDiscard::Duplicate);
        kernel.packets.discard(KernelDiscard::NotIp);
        for _ in 0..3 {
            kernel.packets.count(PacketCounter::Submitted);
        }
        let accounts = Accounts::default();
        accounts.received.store(2, Ordering::Relaxed);
        accounts.discards.add(DiscardReason::Duplicate, 1);
        accounts.written.store(1, Ordering::Relaxed);
        let ledger = Ledger::new(&kernel, &accounts);
        assert_eq!(ledger.discarded.get(DiscardReason::Duplicate), 2);
        assert_eq!(ledger.discarded.get(DiscardReason::NotIp), 1);
        assert_eq!(ledger.discarded.total(), 3);
        assert_eq!((ledger.seen, ledger.written, ledger.held), (5, 1, 1));
        assert_eq!(ledger.imbalance(), 0);
        let duplicate = ledger
            .discarded
            .by_name()
            .filter(|(name, _)| *name == "duplicate");
        assert_eq!(
            duplicate.map(|(_, packets)| packets).collect::<Vec<_>>(),
            [2]
        );
    }
}
