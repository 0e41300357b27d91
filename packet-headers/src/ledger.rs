//! What became of every packet: the kernel's half and user space's half, added up.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use packet_headers_common::Counter;

use crate::accounts::Accounts;
use crate::kernel::counters::Counts;

/// What became of every packet, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Packets that the programs were shown.
    pub seen: u64,
    /// Packets in published files.
    pub written: u64,
    /// Packets that are in no file, by every reason that there is. Kernel and daemon discard for
    /// some reasons alike: whichever of them met the packet first.
    pub discarded: BTreeMap<&'static str, u64>,
    /// Packets in a ring, in memory or in a partial file.
    pub held: u64,
}

impl Ledger {
    /// Adds up. What the kernel counted must have been read before.
    #[must_use]
    pub fn new(kernel: &Counts, accounts: &Accounts) -> Self {
        let received = accounts.received.load(Ordering::Relaxed);
        let in_rings = kernel.get(Counter::Submitted).saturating_sub(received);
        let by_kernel = Counter::DISCARDED
            .iter()
            .map(|&counter| (counter.name(), kernel.get(counter)));
        let mut discarded = BTreeMap::new();
        for (name, packets) in by_kernel.chain(accounts.discards.all()) {
            *discarded.entry(name).or_default() += packets;
        }
        Self {
            seen: kernel.get(Counter::Seen),
            written: accounts.written.load(Ordering::Relaxed),
            discarded,
            held: accounts.held.load(Ordering::Relaxed) + in_rings,
        }
    }

    /// How many packets are in no file.
    #[must_use]
    pub fn all_discarded(&self) -> u64 {
        self.discarded.values().sum()
    }

    /// How many packets are in no account, or in two when it is negative.
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        let accounts = [self.written, self.all_discarded(), self.held];
        i128::from(self.seen) - accounts.map(i128::from).iter().sum::<i128>()
    }
}
