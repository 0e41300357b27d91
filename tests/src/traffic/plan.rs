//! The connections that a test wants: every kind of address, opener, length and ending.

/// The addresses of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 at both ends.
    V4,
    /// IPv6 at both ends.
    V6,
    /// IPv4 on the wire; the host's socket is an IPv6 socket with a v4-mapped address.
    V4Mapped,
}

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The daemon's host.
    Host,
    /// The other one.
    Peer,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The host closes, then the peer.
    HostFirst,
    /// The peer closes, then the host.
    PeerFirst,
    /// The host closes; the peer only 300 ms later.
    PeerLate,
    /// The peer resets it.
    Reset,
}

/// A connection to make.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Its addresses.
    pub family: Family,
    /// The side that connects.
    pub opener: Side,
    /// Whether it carries several hundred kilobytes each way over several hundred milliseconds,
    /// instead of a few bytes at once.
    pub long: bool,
    /// How it ends.
    pub ending: Ending,
}

impl Plan {
    /// A short IPv4 connection that the peer opens and closes.
    pub const SHORT: Self = Self {
        family: Family::V4,
        opener: Side::Peer,
        long: false,
        ending: Ending::PeerFirst,
    };

    /// Whether the connection takes hundreds of milliseconds, most of which it waits.
    #[must_use]
    pub fn pauses(&self) -> bool {
        self.long || self.ending == Ending::PeerLate
    }

    /// `count` connections that combine all kinds of address, opener and ending; every fifth is
    /// long.
    #[must_use]
    pub fn mixed(count: usize) -> Vec<Self> {
        let plan = |at: usize| Self {
            family: [Family::V4, Family::V6, Family::V4Mapped][at % 3],
            opener: [Side::Peer, Side::Host][at % 2],
            long: at.is_multiple_of(5),
            ending: [
                Ending::HostFirst,
                Ending::PeerFirst,
                Ending::PeerLate,
                Ending::Reset,
            ][at / 2 % 4],
        };
        (0..count).map(plan).collect()
    }
}
