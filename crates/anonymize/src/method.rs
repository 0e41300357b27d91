//! The ways to replace an address with a pseudonym.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipcrypt_rs::IpcryptPfx;

use crate::Key;

/// How addresses are replaced.
///
/// ```
/// use anonymize::{Anonymizer, Key, Method, OwnAddresses};
///
/// let key = Key::from_hex(b"2b7e151628aed2a6abf7158809cf4f3ca9f5ba40db214c3798f2e1c23456789a")?;
/// let anonymizer = Anonymizer::new(Method::PrefixPreserving(key), OwnAddresses::default());
/// let pseudonym = |last| anonymizer.pseudonym([10, 0, 0, last].into()).to_string();
/// // Neighbours stay neighbours.
/// assert_eq!(pseudonym(47), "19.214.210.244");
/// assert_eq!(pseudonym(129), "19.214.210.80");
/// # Ok::<(), anonymize::BadKey>(())
/// ```
#[derive(Debug, Clone)]
pub enum Method {
    /// Keeps the network and zeroes the rest: /24 of IPv4, /48 of IPv6, /40 of 6to4, which leaves
    /// 24 bits of the IPv4 address in it. This host's own addresses stay as they are. Not
    /// reversible.
    Netblock,
    /// Replaces every address, this host's own included, so that two addresses which share their
    /// first n bits, and no more, have pseudonyms which share their first n bits, and no more. This
    /// is ipcrypt-pfx of
    /// [draft-denis-ipcrypt](https://datatracker.ietf.org/doc/draft-denis-ipcrypt/).
    ///
    /// The same key gives the same pseudonyms on every host, and reverses them. The structure of
    /// the network survives: whoever knows some real addresses, such as a public server's, knows
    /// the first bits of their neighbours.
    PrefixPreserving(Key),
}

/// How many bits of an IPv4 address netblock keeps.
const V4_KEPT: u32 = 24;

/// How many bits of an IPv6 address netblock keeps: a site's prefix.
const V6_KEPT: u32 = 48;

/// 6to4 (RFC 3056, 2): a whole IPv4 address follows these 16 bits.
const SIX_TO_FOUR: u16 = 0x2002;

/// A [`Method`], ready for use.
pub(crate) enum Scheme {
    Netblock,
    PrefixPreserving(Box<IpcryptPfx>),
}

impl Scheme {
    pub(crate) fn new(method: Method) -> Self {
        match method {
            Method::Netblock => Self::Netblock,
            // It panics if the halves of the key are equal; those of a Key differ.
            Method::PrefixPreserving(key) => {
                Self::PrefixPreserving(Box::new(IpcryptPfx::new(key.bytes())))
            }
        }
    }

    /// Whether this host's own addresses stay as they are.
    pub(crate) const fn keeps_own(&self) -> bool {
        matches!(self, Self::Netblock)
    }

    pub(crate) fn pseudonym(&self, real: IpAddr) -> IpAddr {
        match self {
            Self::Netblock => netblock(real),
            Self::PrefixPreserving(cipher) => cipher.encrypt_ipaddr(real),
        }
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Netblock => "Netblock",
            Self::PrefixPreserving(_) => "PrefixPreserving",
        })
    }
}

fn netblock(real: IpAddr) -> IpAddr {
    match real {
        IpAddr::V4(real) => {
            let mask = u32::MAX << (u32::BITS - V4_KEPT);
            IpAddr::V4(Ipv4Addr::from_bits(real.to_bits() & mask))
        }
        IpAddr::V6(real) => {
            let kept = if real.segments()[0] == SIX_TO_FOUR {
                // Keep as much of the embedded IPv4 address as of any other.
                u16::BITS + V4_KEPT
            } else {
                V6_KEPT
            };
            let mask = u128::MAX << (u128::BITS - kept);
            IpAddr::V6(Ipv6Addr::from_bits(real.to_bits() & mask))
        }
    }
}
