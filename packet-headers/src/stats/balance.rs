//! What became of every packet: the kernel's half and the daemon's, added up.
//!
//! Packets move while they are counted, from the kernel's programs to a ring, to memory, to a file.
//! Each move is counted where the packet leaves before it is counted where it arrives, and the counts
//! are read against that direction: files first, the packets that the programs have seen last. So a
//! packet that moves meanwhile is found once or not at all, never twice. What is left over,
//! `seen - written - discarded - held`, is never negative, is at most what moved during the reading,
//! and is 0 as soon as nothing moves.

use std::fmt;

use packet_headers_common::{DiscardReason, KernelDiscard, PacketCounter};

use super::counters::Counters;
use crate::kernel::counters::Counts;

/// What became of every packet, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketBalance {
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

/// The daemon's half, which is to be read before the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonPackets {
    written: u64,
    discarded: Discarded,
    /// Packets in memory or in a partial file.
    held: u64,
    /// Packets that were taken from the rings.
    received: u64,
}

/// What a balance says, given how it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every packet is accounted for.
    Exact,
    /// All but these, which moved while they were counted.
    InFlight(u64),
    /// So many packets are in no account; in two, when it is negative. That is a bug.
    OffBy(i128),
}

impl DaemonPackets {
    /// Reads the counters, each before those that its packets come from.
    #[must_use]
    pub fn read(counters: &Counters) -> Self {
        let written = counters.written.get();
        let mut discarded = Discarded::default();
        for &reason in DiscardReason::ALL {
            discarded.add(reason, counters.discards.get(reason));
        }
        let held = counters.held.get();
        let received = counters.received.get();
        Self {
            written,
            discarded,
            held,
            received,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => write!(out, "exact"),
            Self::InFlight(packets) => write!(out, "{packets} packets in flight"),
            Self::OffBy(packets) => write!(out, "off by {packets}"),
        }
    }
}

impl PacketBalance {
    /// Adds up: first the daemon's half was read, then what became of packets in the kernel, then
    /// how many packets the programs had seen.
    #[must_use]
    pub fn new(daemon: DaemonPackets, kernel: &Counts, seen: u64) -> Self {
        let DaemonPackets {
            written,
            mut discarded,
            held,
            received,
        } = daemon;
        for &reason in KernelDiscard::ALL {
            discarded.add(reason.into(), kernel.packets.discarded(reason));
        }
        discarded.add(DiscardReason::PacketRingFull, kernel.packet_ring_full);
        // A program counts a packet as submitted when it is in the ring, and possibly taken already.
        let submitted = kernel.packets.get(PacketCounter::Submitted);
        Self {
            seen,
            written,
            discarded,
            held: (held + submitted).saturating_sub(received),
        }
    }

    /// How many packets are in no account, or in two when it is negative.
    #[must_use]
    pub fn difference(&self) -> i128 {
        let accounts = [self.written, self.discarded.total(), self.held];
        i128::from(self.seen) - accounts.map(i128::from).iter().sum::<i128>()
    }

    /// What this balance says when it was read after everything had stopped.
    #[must_use]
    pub fn at_rest(&self) -> Verdict {
        match self.difference() {
            0 => Verdict::Exact,
            packets => Verdict::OffBy(packets),
        }
    }

    /// What this balance says when it was read a while after `earlier`, with packets passing for all
    /// that is known: only what stays missing while nothing moves is missing.
    #[must_use]
    pub fn after(&self, earlier: &Self) -> Verdict {
        let difference = self.difference();
        match u64::try_from(difference) {
            Ok(0) => Verdict::Exact,
            Ok(packets) if self != earlier => Verdict::InFlight(packets),
            _ => Verdict::OffBy(difference),
        }
    }
}

impl Discarded {
    pub(crate) fn add(&mut self, reason: DiscardReason, packets: u64) {
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

    /// A host whose packets move one step at a time.
    #[derive(Default)]
    struct Host {
        kernel: Counts,
        daemon: Counters,
    }

    impl Host {
        /// Does the steps of one packet's life up to number `end`, from number `from` on, as the
        /// programs, a shard and a writer do them.
        fn live(&mut self, from: usize, end: usize) {
            for step in from..end {
                match step {
                    0 => self.kernel.packets.count(PacketCounter::Seen),
                    1 => self.kernel.packets.count(PacketCounter::Submitted),
                    2 => self.daemon.received.add(1),
                    3 => self.daemon.held.add(1),
                    4 => self.daemon.held.sub(1),
                    _ => self.daemon.written.add(1),
                }
            }
        }

        fn balance(&self) -> PacketBalance {
            let daemon = DaemonPackets::read(&self.daemon);
            PacketBalance::new(
                daemon,
                &self.kernel,
                self.kernel.packets.get(PacketCounter::Seen),
            )
        }
    }

    /// The steps of a packet's life.
    const STEPS: usize = 6;

    fn balance(seen: u64, written: u64) -> PacketBalance {
        PacketBalance {
            seen,
            written,
            discarded: Discarded::default(),
            held: 0,
        }
    }

    #[test]
    fn a_reason_of_both_sides_is_counted_once_with_the_packets_of_both() {
        let Host { mut kernel, daemon } = Host::default();
        for _ in 0..5 {
            kernel.packets.count(PacketCounter::Seen);
        }
        kernel.packets.discard(KernelDiscard::Duplicate);
        kernel.packets.discard(KernelDiscard::NotIp);
        for _ in 0..3 {
            kernel.packets.count(PacketCounter::Submitted);
        }
        daemon.received.add(2);
        daemon.discards.add(DiscardReason::Duplicate, 1);
        daemon.written.add(1);
        let balance = Host { kernel, daemon }.balance();
        assert_eq!(balance.discarded.get(DiscardReason::Duplicate), 2);
        assert_eq!(balance.discarded.get(DiscardReason::NotIp), 1);
        assert_eq!(balance.discarded.total(), 3);
        assert_eq!((balance.seen, balance.written, balance.held), (5, 1, 1));
        assert_eq!(balance.at_rest(), Verdict::Exact);
        let duplicate = balance
            .discarded
            .by_name()
            .filter(|(name, _)| *name == "duplicate");
        assert_eq!(
            duplicate.map(|(_, packets)| packets).collect::<Vec<_>>(),
            [2]
        );
    }

    #[test]
    fn a_packet_that_moves_while_it_is_counted_is_missed_and_never_counted_twice() {
        // The packet is at one step when the daemon's half is read, at a later one when the kernel
        // is asked what became of packets, and at a later one yet when it is asked what it saw.
        for first in 0..=STEPS {
            for second in first..=STEPS {
                for third in second..=STEPS {
                    let mut host = Host::default();
                    host.live(0, first);
                    let daemon = DaemonPackets::read(&host.daemon);
                    host.live(first, second);
                    let outcomes = host.kernel;
                    host.live(second, third);
                    let seen = host.kernel.packets.get(PacketCounter::Seen);
                    let difference = PacketBalance::new(daemon, &outcomes, seen).difference();
                    let steps = (first, second, third);
                    assert!((0..=1).contains(&difference), "{difference} at {steps:?}");
                    host.live(third, STEPS);
                    assert_eq!(host.balance().at_rest(), Verdict::Exact);
                }
            }
        }
    }

    #[test]
    fn a_packet_that_moves_between_two_counters_of_the_daemon_is_missed_at_most() {
        // As `DaemonPackets::read` reads, one counter after another, with a packet that moves on
        // before each.
        for (before_held, before_received) in [(5, 5), (5, 6), (4, 6), (3, 6), (2, 6), (0, 6)] {
            let mut host = Host::default();
            let written = host.daemon.written.get();
            host.live(0, before_held);
            let held = host.daemon.held.get();
            host.live(before_held, before_received);
            let daemon = DaemonPackets {
                written,
                discarded: Discarded::default(),
                held,
                received: host.daemon.received.get(),
            };
            let seen = host.kernel.packets.get(PacketCounter::Seen);
            let difference = PacketBalance::new(daemon, &host.kernel, seen).difference();
            let steps = (before_held, before_received);
            assert!((0..=1).contains(&difference), "{difference} at {steps:?}");
        }
    }

    #[test]
    fn a_packet_that_is_taken_before_it_is_counted_as_submitted_is_not_counted_twice() {
        let mut host = Host::default();
        host.live(0, 1);
        host.live(2, 4);
        assert_eq!(host.balance().difference(), 1);
        host.live(1, 2);
        assert_eq!(host.balance().at_rest(), Verdict::Exact);
    }

    #[test]
    fn what_moves_is_in_flight_and_what_stays_missing_is_missing() {
        assert_eq!(balance(9, 9).after(&balance(5, 4)), Verdict::Exact);
        assert_eq!(balance(9, 7).after(&balance(5, 4)), Verdict::InFlight(2));
        assert_eq!(balance(9, 7).after(&balance(9, 7)), Verdict::OffBy(2));
        // By the order of reading no packet is found twice.
        assert_eq!(balance(9, 10).after(&balance(5, 4)), Verdict::OffBy(-1));
        assert_eq!(balance(9, 7).at_rest(), Verdict::OffBy(2));
        assert_eq!(balance(9, 9).at_rest(), Verdict::Exact);
    }
}
