//! Hides who took part: the addresses in a file, and everything else in a header that tells them.
//!
//! A header repeats its addresses in more places than two: a checksum over them gives hidden bits
//! back by arithmetic, options carry routes, and an authentication code lets guesses be tried. So
//! what is known to say nothing about an address stays, and the rest of what is optional is blanked.
//! Pure: no I/O, no clock.

mod ip;
mod key;
mod options;
mod own_addresses;
mod packet;
mod schemes;
mod tcp;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use packet_headers_common::LinkType;

pub use self::key::{BadKey, Key};
pub use self::own_addresses::OwnAddresses;
use self::schemes::Scheme;

/// How addresses are hidden.
#[derive(Debug, Clone)]
pub enum Method {
    /// The network stays (/24 of IPv4, /48 of IPv6), the rest is zero; this host's own addresses
    /// stay as they are.
    Netblock,
    /// Every address becomes another one, and two that share a prefix share one of that length
    /// afterwards: ipcrypt-pfx of draft-denis-ipcrypt. Who has the key can turn it back.
    PrefixPreserving(Key),
}

/// Gives addresses their pseudonyms. Cheap to clone.
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

    /// The pseudonym of an address; of a v4-mapped one, that of its IPv4 address.
    #[must_use]
    pub fn address(&self, real: IpAddr) -> IpAddr {
        let real = real.to_canonical();
        if self.0.scheme.keeps_own() && self.0.own.contains(real) {
            return real;
        }
        self.0.scheme.pseudonym(real)
    }

    /// The pseudonyms of a connection's ends, decided once per file: it stays consistent when the
    /// host's addresses change meanwhile. `local` is this host's end as the flow source told it, so
    /// it counts as an own address whether or not an interface has it.
    #[must_use]
    pub fn disguise(&self, local: IpAddr, remote: IpAddr) -> Disguise {
        let (local, remote) = (local.to_canonical(), remote.to_canonical());
        let shown_local = if self.0.scheme.keeps_own() {
            local
        } else {
            self.address(local)
        };
        let shown_remote = if remote == local {
            shown_local
        } else {
            self.address(remote)
        };
        Disguise {
            local: Pseudonym {
                real: local,
                shown: shown_local,
            },
            remote: Pseudonym {
                real: remote,
                shown: shown_remote,
            },
            others: Cell::default(),
            anonymizer: self.clone(),
        }
    }
}

impl fmt::Debug for Anonymizer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Anonymizer").field(&self.0.scheme).finish()
    }
}

/// An address and what is shown in its place.
#[derive(Debug, Clone, Copy)]
struct Pseudonym {
    real: IpAddr,
    shown: IpAddr,
}

/// How many addresses of outer headers are remembered: two tunnels in each other have four ends.
const OTHERS: usize = 4;

/// What one connection looks like in its file. It belongs to one thread at a time.
#[derive(Debug, Clone)]
pub struct Disguise {
    local: Pseudonym,
    remote: Pseudonym,
    /// The ends of the tunnels that the connection runs in, so that a pseudonym, which costs
    /// hundreds of AES blocks, is not made again for each packet.
    others: Cell<[Option<Pseudonym>; OTHERS]>,
    anonymizer: Anonymizer,
}

/// Where the headers of a packet are that belong to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// What the packet begins with.
    pub link_type: LinkType,
    /// Where the connection's IP header begins: behind those of tunnels, if there are any.
    pub l3: usize,
    /// Where the TCP header begins.
    pub l4: usize,
}

impl Disguise {
    /// What is shown in place of this host's address.
    #[must_use]
    pub const fn local(&self) -> IpAddr {
        self.local.shown
    }

    /// What is shown in place of the other end's address.
    #[must_use]
    pub const fn remote(&self) -> IpAddr {
        self.remote.shown
    }

    /// Covers, in place, everything in a packet's header bytes that tells a hidden address. What is
    /// not understood is zeroed rather than left. The length stays.
    pub fn cover(&self, headers: &mut [u8], layers: Layers) {
        packet::cover(headers, layers, self);
    }

    /// What is shown in place of an address that a header of the packet has.
    fn shown(&self, real: IpAddr) -> IpAddr {
        let real = real.to_canonical();
        if real == self.local.real {
            return self.local.shown;
        }
        if real == self.remote.real {
            return self.remote.shown;
        }
        self.other(real)
    }

    fn other(&self, real: IpAddr) -> IpAddr {
        let mut others = self.others.get();
        for slot in &mut others {
            match slot {
                Some(known) if known.real == real => return known.shown,
                Some(_) => {}
                None => {
                    let shown = self.anonymizer.address(real);
                    *slot = Some(Pseudonym { real, shown });
                    self.others.set(others);
                    return shown;
                }
            }
        }
        self.anonymizer.address(real)
    }
}
