//! What replaces addresses in the packets of one connection.

use std::cell::Cell;
use std::net::IpAddr;

use crate::Anonymizer;

/// An address and what replaces it.
#[derive(Debug, Clone, Copy)]
struct Replacement {
    real: IpAddr,
    pseudonym: IpAddr,
}

/// How many addresses of outer headers are remembered: a tunnel within a tunnel has four ends.
const OTHERS: usize = 4;

/// Anonymizes the packets of one connection; [`Anonymizer::for_flow`] makes it. It can move to
/// another thread, but not be shared by threads, as it remembers pseudonyms.
///
/// ```
/// use anonymize::{Anonymizer, Method, OwnAddresses};
///
/// let anonymizer = Anonymizer::new(Method::Netblock, OwnAddresses::default());
/// let flow = anonymizer.for_flow("192.0.2.1".parse()?, "198.51.100.77".parse()?);
/// // For file names, logs, and whatever else is written about the connection.
/// assert_eq!(flow.local().to_string(), "192.0.2.1");
/// assert_eq!(flow.remote().to_string(), "198.51.100.0");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FlowAnonymizer {
    local: Replacement,
    remote: Replacement,
    /// The ends of tunnels around the connection. A prefix-preserving pseudonym costs two AES
    /// blocks per bit of the address, so it is not computed again for each packet.
    others: Cell<[Option<Replacement>; OTHERS]>,
    anonymizer: Anonymizer,
}

impl Anonymizer {
    /// An anonymizer for the packets of one connection of this host.
    ///
    /// The pseudonyms of both ends are decided here, so that they stay the same when the host's
    /// addresses change during the connection. `local` counts as one of the host's own addresses
    /// even if it is not in the [`OwnAddresses`](crate::OwnAddresses): it may be on no interface, or no longer.
    #[must_use]
    pub fn for_flow(&self, local: IpAddr, remote: IpAddr) -> FlowAnonymizer {
        let local = Replacement {
            real: local.to_canonical(),
            pseudonym: self.local_pseudonym(local.to_canonical()),
        };
        let remote = match remote.to_canonical() {
            // A connection of the host with itself.
            real if real == local.real => local,
            real => self.replacement(real),
        };
        FlowAnonymizer::new(local, remote, self.clone())
    }

    /// An anonymizer for the packets of a connection that is not known to be this host's, such as
    /// one seen by a router or a mirror port: an end counts as the host's own only if the
    /// [`OwnAddresses`](crate::OwnAddresses) contain it. The order of the ends does not matter.
    #[must_use]
    pub fn for_transit(&self, one: IpAddr, other: IpAddr) -> FlowAnonymizer {
        FlowAnonymizer::new(self.replacement(one), self.replacement(other), self.clone())
    }

    fn local_pseudonym(&self, local: IpAddr) -> IpAddr {
        if self.keeps_own() {
            local
        } else {
            self.pseudonym(local)
        }
    }

    fn replacement(&self, real: IpAddr) -> Replacement {
        let real = real.to_canonical();
        Replacement {
            real,
            pseudonym: self.pseudonym(real),
        }
    }
}

impl FlowAnonymizer {
    fn new(local: Replacement, remote: Replacement, anonymizer: Anonymizer) -> Self {
        Self {
            local,
            remote,
            others: Cell::default(),
            anonymizer,
        }
    }

    /// The pseudonym of this host's address; of a connection in transit, that of the first end.
    #[must_use]
    pub const fn local(&self) -> IpAddr {
        self.local.pseudonym
    }

    /// The pseudonym of the peer's address; of a connection in transit, that of the second end.
    #[must_use]
    pub const fn remote(&self) -> IpAddr {
        self.remote.pseudonym
    }

    /// The pseudonym of any address in the connection's packets: an end of it, or of a tunnel.
    pub(crate) fn pseudonym(&self, real: IpAddr) -> IpAddr {
        let real = real.to_canonical();
        if real == self.local.real {
            return self.local.pseudonym;
        }
        if real == self.remote.real {
            return self.remote.pseudonym;
        }
        self.other(real)
    }

    fn other(&self, real: IpAddr) -> IpAddr {
        let mut others = self.others.get();
        for slot in &mut others {
            match slot {
                Some(known) if known.real == real => return known.pseudonym,
                Some(_) => {}
                None => {
                    let pseudonym = self.anonymizer.pseudonym(real);
                    *slot = Some(Replacement { real, pseudonym });
                    self.others.set(others);
                    return pseudonym;
                }
            }
        }
        self.anonymizer.pseudonym(real)
    }
}
