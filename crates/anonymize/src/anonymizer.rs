//! What replaces addresses, for all connections of a host.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{FlowAnonymizer, Replacement};
use crate::method::Scheme;
use crate::{Method, OwnAddresses};

/// Gives addresses their pseudonyms. Cheap to clone; threads can share it.
///
/// ```
/// use anonymize::{Anonymizer, Method, OwnAddresses};
///
/// let own = OwnAddresses::from_iter(["192.0.2.1".parse()?]);
/// let anonymizer = Anonymizer::new(Method::Netblock, own);
/// let pseudonym = |real: &str| real.parse().map(|real| anonymizer.pseudonym(real).to_string());
/// assert_eq!(pseudonym("198.51.100.77")?, "198.51.100.0");
/// assert_eq!(pseudonym("2001:db8:1:2::77")?, "2001:db8:1::");
/// // Netblock leaves this host's own addresses as they are.
/// assert_eq!(pseudonym("192.0.2.1")?, "192.0.2.1");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct Anonymizer(Arc<Inner>);

struct Inner {
    scheme: Scheme,
    own: OwnAddresses,
}

impl Anonymizer {
    /// An anonymizer for a host that has these addresses.
    #[must_use]
    pub fn new(method: Method, own: OwnAddresses) -> Self {
        let scheme = Scheme::new(method);
        Self(Arc::new(Inner { scheme, own }))
    }

    /// The pseudonym of an address. An IPv4-mapped IPv6 address gets that of its IPv4 address.
    #[must_use]
    pub fn pseudonym(&self, real: IpAddr) -> IpAddr {
        let real = real.to_canonical();
        if self.0.scheme.keeps_own() && self.0.own.contains(real) {
            return real;
        }
        self.0.scheme.pseudonym(real)
    }

    /// An anonymizer for the packets of one connection of this host.
    ///
    /// The pseudonyms of both ends are decided here, so that they stay the same when the host's
    /// addresses change during the connection. `local` counts as one of the host's own addresses
    /// even if it is not in the [`OwnAddresses`]: it may be on no interface, or no longer.
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
    /// [`OwnAddresses`] contain it. The order of the ends does not matter.
    #[must_use]
    pub fn for_transit(&self, one: IpAddr, other: IpAddr) -> FlowAnonymizer {
        FlowAnonymizer::new(self.replacement(one), self.replacement(other), self.clone())
    }

    fn local_pseudonym(&self, local: IpAddr) -> IpAddr {
        if self.0.scheme.keeps_own() {
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

/// The method, without its key.
impl fmt::Debug for Anonymizer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Anonymizer").field(&self.0.scheme).finish()
    }
}
