//! What replaces addresses in the packets of one connection.

use std::cell::Cell;
use std::net::IpAddr;

use crate::{Anonymizer, Layers, packet};

/// An address and what replaces it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replacement {
    pub(crate) real: IpAddr,
    pub(crate) pseudonym: IpAddr,
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

impl FlowAnonymizer {
    pub(crate) fn new(local: Replacement, remote: Replacement, anonymizer: Anonymizer) -> Self {
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

    /// Anonymizes the headers of one packet in place: from the link layer to the end of the TCP
    /// header, as [`Layers`] describe them. Whatever is not understood is zeroed. The length does
    /// not change.
    ///
    /// The crate's documentation says [which offsets to give](crate#offsets), and what happens when
    /// they are wrong.
    pub fn anonymize_headers(&self, headers: &mut [u8], layers: Layers) {
        packet::anonymize(headers, layers, self);
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
