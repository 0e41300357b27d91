//! What replaces addresses, for all connections of a host.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

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
        if self.keeps_own() && self.0.own.contains(real) {
            return real;
        }
        self.0.scheme.pseudonym(real)
    }

    /// Whether the host's own addresses stay as they are.
    pub(crate) fn keeps_own(&self) -> bool {
        self.0.scheme.keeps_own()
    }
}

/// The method, without its key.
impl fmt::Debug for Anonymizer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Anonymizer").field(&self.0.scheme).finish()
    }
}
