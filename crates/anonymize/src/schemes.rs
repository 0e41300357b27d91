//! The two ways to turn an address into its pseudonym.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipcrypt_rs::IpcryptPfx;

use super::Method;

/// How many bits of an IPv4 address netblock keeps.
const V4_KEPT: u32 = 24;

/// How many bits of an IPv6 address netblock keeps: a site's prefix.
const V6_KEPT: u32 = 48;

/// 6to4 (RFC 3056, 2): behind these 16 bits stands a whole IPv4 address.
const SIX_TO_FOUR: u16 = 0x2002;

/// A [`Method`], ready for use.
pub(super) enum Scheme {
    Netblock,
    PrefixPreserving(Box<IpcryptPfx>),
}

impl Scheme {
    pub(super) fn new(method: Method) -> Self {
        match method {
            Method::Netblock => Self::Netblock,
            // A Key's halves differ, which is all that this asks for.
            Method::PrefixPreserving(key) => {
                Self::PrefixPreserving(Box::new(IpcryptPfx::new(key.bytes())))
            }
        }
    }

    /// Whether this host's own addresses stay as they are.
    pub(super) const fn keeps_own(&self) -> bool {
        matches!(self, Self::Netblock)
    }

    pub(super) fn pseudonym(&self, real: IpAddr) -> IpAddr {
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
                // What is kept of the IPv4 address in it is what is kept of any.
                u16::BITS + V4_KEPT
            } else {
                V6_KEPT
            };
            let mask = u128::MAX << (u128::BITS - kept);
            IpAddr::V6(Ipv6Addr::from_bits(real.to_bits() & mask))
        }
    }
}
