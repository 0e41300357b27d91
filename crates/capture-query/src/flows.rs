//! Takes a capture apart into TCP connections and UDP flows. Neither can push the other out of its table.

use flow_stats::{Datagram, IcmpError, Segment};

use crate::connections::Connections;
use crate::datagrams::DatagramFlows;
use crate::flow::{Added, Numbers, Taken};

/// The connections and flows of a capture that are open.
#[derive(Debug)]
pub(crate) struct Flows {
    connections: Connections,
    datagrams: DatagramFlows,
    numbers: Numbers,
}

impl Flows {
    /// None yet. `is_of_one` says that the capture is the file of one of them.
    pub(crate) fn new(is_of_one: bool) -> Self {
        Self {
            connections: Connections::new(is_of_one),
            datagrams: DatagramFlows::new(is_of_one),
            numbers: Numbers::default(),
        }
    }

    /// Adds a segment of this time. Connections that are finished by it are given to `finish`.
    #[inline]
    pub(crate) fn add<E>(
        &mut self,
        time: i64,
        segment: &Segment,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<Added, E> {
        self.connections
            .add(time, segment, &mut self.numbers, finish)
    }

    /// Adds a UDP packet of this time. Flows that are finished by it are given to `finish`.
    pub(crate) fn add_datagram<E>(
        &mut self,
        time: i64,
        datagram: &Datagram<'_>,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<Added, E> {
        self.datagrams
            .add(time, datagram, &mut self.numbers, finish)
    }

    /// Adds an ICMP error, as [`Connections::add_error`] does.
    pub(crate) fn add_error(&mut self, error: &IcmpError) -> Option<u64> {
        self.connections.add_error(error)
    }

    /// How many were finished early, because too many were open.
    pub(crate) fn early(&self) -> u64 {
        self.connections.early + self.datagrams.early
    }

    /// Finishes all, in the order in which they began.
    pub(crate) fn finish<E>(
        self,
        finish: &mut impl FnMut(Taken) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = self.connections.into_rest();
        left.append(&mut self.datagrams.into_rest());
        left.sort_unstable_by_key(Taken::number);
        left.into_iter().try_for_each(finish)
    }
}

#[cfg(test)]
mod tests;
