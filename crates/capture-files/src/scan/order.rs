//! Which packet can follow which in a file.

use packet_headers_common::LinkType;

use crate::headers::{Hosts, hosts, plausible};

/// What is known of the packet before.
#[derive(Default)]
pub(super) struct Order {
    time: u64,
    hosts: Hosts,
}

impl Order {
    /// Whether a packet of this time, in nanoseconds, can be the next.
    ///
    /// Records are in time order, except where the host's clock was set back. A record that steps
    /// back can also be what the disk held before, of another connection, in a file of which every
    /// record had the same length. So it counts only if it is between the same two hosts as the one
    /// before.
    pub(super) fn follows(&mut self, time: u64, packet: &[u8], link: LinkType) -> bool {
        if !plausible(packet, link) {
            return false;
        }
        let hosts = hosts(packet, link);
        if time < self.time && hosts != self.hosts {
            return false;
        }
        (self.time, self.hosts) = (time, hosts);
        true
    }
}
