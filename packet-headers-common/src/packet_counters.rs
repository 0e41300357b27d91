//! What the packet programs count.

use crate::KernelDiscard;

crate::named_enum! {
    /// What the packet programs count beside the packets that they discard.
    pub enum PacketCounter {
        /// Packets that a program was shown. Each is also either submitted or discarded.
        Seen = "seen",
        /// Packets whose headers were put into a ring.
        Submitted = "submitted",
        /// Those of the submitted whose headers are longer than a record may keep: it has their
        /// beginning.
        HeadersTruncated = "headers_truncated",
        /// Those of the submitted that are ICMP errors.
        IcmpErrors = "icmp_errors",
        /// Those of the submitted that are UDP.
        Datagrams = "udp",
        /// Those of the submitted UDP packets whose record has more than headers: what QUIC shows of itself.
        Quic = "quic",
        /// UDP packets by which a flow was found to be QUIC.
        QuicFlows = "quic_flows",
        /// Packets of QUIC whose connection IDs are longer than in any version that is known: their records end
        /// behind the UDP header.
        QuicIdsTooLong = "quic_ids_too_long",
    }
}

/// What one CPU's packet programs counted: the value of the map
/// [`PACKET_COUNTERS`](crate::settings::PACKET_COUNTERS).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounters {
    packets: [u64; PacketCounter::COUNT],
    discarded: [u64; KernelDiscard::COUNT],
}

const _: () = {
    assert!(size_of::<PacketCounters>() == PacketCounters::SLOTS * size_of::<u64>());
    assert!(
        core::mem::offset_of!(PacketCounters, discarded) == PacketCounter::COUNT * size_of::<u64>()
    );
};

impl PacketCounters {
    /// How many numbers the map's value is made of.
    pub const SLOTS: usize = PacketCounter::COUNT + KernelDiscard::COUNT;

    /// Counts one packet.
    #[inline(always)]
    pub const fn count(&mut self, what: PacketCounter) {
        self.packets[what.index()] += 1;
    }

    /// Counts one discarded packet.
    #[inline(always)]
    pub const fn discard(&mut self, reason: KernelDiscard) {
        let slot = reason.index();
        // Always so, of which the compiler may lose sight: a program has no way to panic.
        if slot < KernelDiscard::COUNT {
            self.discarded[slot] += 1;
        }
    }

    /// How many packets were counted as `what`.
    #[must_use]
    pub const fn get(&self, what: PacketCounter) -> u64 {
        self.packets[what.index()]
    }

    /// How many packets were discarded for `reason`.
    #[must_use]
    pub const fn discarded(&self, reason: KernelDiscard) -> u64 {
        self.discarded[reason.index()]
    }

    /// Adds the counters of another CPU, as the map has them.
    pub fn add_slots(&mut self, slots: &[u64; Self::SLOTS]) {
        let counters = self.packets.iter_mut().chain(&mut self.discarded);
        for (counter, slot) in counters.zip(slots) {
            *counter += slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_space_reads_the_slots_that_the_programs_count_in() {
        let mut counters = PacketCounters::default();
        for (slot, &what) in PacketCounter::ALL.iter().enumerate() {
            let mut slots = [0; PacketCounters::SLOTS];
            slots[slot] = 3;
            counters.add_slots(&slots);
            counters.count(what);
            assert_eq!(counters.get(what), 4);
        }
        for (slot, &reason) in KernelDiscard::ALL.iter().enumerate() {
            let mut slots = [0; PacketCounters::SLOTS];
            slots[PacketCounter::COUNT + slot] = 5;
            counters.add_slots(&slots);
            counters.discard(reason);
            assert_eq!(counters.discarded(reason), 6);
        }
    }
}
