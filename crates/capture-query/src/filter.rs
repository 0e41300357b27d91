//! Which connections are meant.

use std::net::SocketAddr;

use flow_stats::Row;
use ipnet::IpNet;
use model::owner::WantedOwners;

use crate::condition::Condition;
use crate::figures::Figures;

/// Which connections are meant: those that fulfil every condition that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One end is in one of these networks.
    pub addresses: Vec<IpNet>,
    /// One end has one of these ports.
    pub ports: Vec<u16>,
    /// Its last packet is not before this, in nanoseconds since 1970.
    pub since: Option<i64>,
    /// Its first packet is before this, in nanoseconds since 1970.
    pub until: Option<i64>,
    /// Both ends together have at least as many retransmitted packets.
    pub min_retransmissions: Option<u64>,
    /// The round-trip time is at least this, in microseconds, by [`Figures::rtt_us`].
    pub min_rtt_us: Option<u64>,
    /// Both ends together sent at least as many bytes of payload.
    pub min_bytes: Option<u64>,
    /// Whose it was at one of its ends.
    pub owners: WantedOwners,
    /// Conditions on columns.
    pub conditions: Vec<Condition>,
}

impl Filter {
    /// Whether a connection's ends are all that has to be known of it.
    #[must_use]
    pub const fn is_of_ends(&self) -> bool {
        self.since.is_none()
            && self.until.is_none()
            && self.min_retransmissions.is_none()
            && self.min_rtt_us.is_none()
            && self.min_bytes.is_none()
            && self.owners.is_everybody()
            && self.conditions.is_empty()
    }

    /// Whether a connection with these ends may be meant.
    #[must_use]
    pub fn takes_ends(&self, (from, to): (SocketAddr, SocketAddr)) -> bool {
        let ends = [from, to];
        // An IPv4 address in IPv6 clothes (RFC 4291, 2.5.5.2) is that address.
        let within = |end: &SocketAddr| {
            let address = end.ip().to_canonical();
            self.addresses
                .iter()
                .any(|net| net.contains(&address) || net.contains(&end.ip()))
        };
        (self.addresses.is_empty() || ends.iter().any(within))
            && (self.ports.is_empty() || ends.iter().any(|end| self.ports.contains(&end.port())))
    }

    /// Whether a connection is meant. Its row must have its name and its file already.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        let figures = Figures::of(row);
        let bytes = figures.bytes[0].saturating_add(figures.bytes[1]);
        self.takes_ends(figures.ends)
            && self.since.is_none_or(|since| figures.end >= since)
            && self.until.is_none_or(|until| figures.start < until)
            && self
                .min_retransmissions
                .is_none_or(|least| figures.retransmissions >= least)
            && self
                .min_rtt_us
                .is_none_or(|least| figures.rtt_us.is_some_and(|rtt| rtt >= least))
            && self.min_bytes.is_none_or(|least| bytes >= least)
            && self.takes_owner(row)
            && self.conditions.iter().all(|condition| condition.takes(row))
    }

    fn takes_owner(&self, row: &Row) -> bool {
        self.owners.is_everybody() || self.owners.accepts(row.owner.owner().as_ref())
    }
}

#[cfg(test)]
mod tests;
