//! What the socket program counts.

crate::named_enum! {
    /// What the socket program counts of the begins and ends of connections.
    pub enum EventCounter {
        /// A begin or end was put into the event ring.
        Submitted = "event_submitted",
        /// A begin or end was lost, because the event ring was full.
        RingFull = "event_ring_full",
        /// That a UDP socket was closed was lost, because the ring for that was full: its flow ends by silence.
        ClosedSocketLost = "closed_udp_socket_lost",
        /// The map of captured connections had no room for one: its packets go into the candidate
        /// ring.
        FlowsFull = "flows_full",
        /// A begin was left out, because the operator did not ask for its connection.
        Filtered = "event_filtered",
        /// A begin was left out, because its socket is in another network namespace.
        OtherNetns = "event_other_netns",
        /// A begin was left out, because its connection runs over loopback, which is not captured.
        Loopback = "event_loopback",
    }
}

/// What one CPU's socket program counted: the value of the map
/// [`EVENT_COUNTERS`](crate::settings::EVENT_COUNTERS).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounters([u64; EventCounters::SLOTS]);

impl EventCounters {
    /// How many numbers the map's value is made of.
    pub const SLOTS: usize = EventCounter::COUNT;

    /// Counts one of `what`.
    #[inline(always)]
    pub const fn count(&mut self, what: EventCounter) {
        self.0[what.index()] += 1;
    }

    /// How many of `what` there were.
    #[must_use]
    pub const fn get(&self, what: EventCounter) -> u64 {
        self.0[what.index()]
    }

    /// Adds the counters of another CPU, as the map has them.
    pub fn add_slots(&mut self, slots: &[u64; Self::SLOTS]) {
        for (counter, slot) in self.0.iter_mut().zip(slots) {
            *counter += slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_space_reads_the_slots_that_the_program_counts_in() {
        for (slot, &what) in EventCounter::ALL.iter().enumerate() {
            let mut counters = EventCounters::default();
            let mut slots = [0; EventCounters::SLOTS];
            slots[slot] = 3;
            counters.add_slots(&slots);
            counters.count(what);
            let counted = EventCounter::ALL.iter().map(|&other| counters.get(other));
            assert!(counted.eq(slots.map(|of_slot| if of_slot == 3 { 4 } else { 0 })));
        }
    }
}
