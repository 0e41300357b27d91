//! The hosts of the fleet, and what is wrong with some of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host that captures.
pub(crate) struct Host {
    /// Its number.
    pub(crate) number: u64,
    /// Its name.
    pub(crate) name: String,
    /// Its IPv4 and its IPv6 address.
    pub(crate) addresses: [IpAddr; 2],
    /// By how much its clock is ahead, in nanoseconds.
    pub(crate) clock: i64,
    /// The part of its packets that is lost in the evening.
    pub(crate) evening_loss: f64,
    /// The part of its connections of which its captures lack something.
    pub(crate) incomplete: f64,
}

/// Where hosts are.
const SITES: [&str; 4] = ["ams", "fra", "iad", "sin"];
/// Which of them have what is wrong.
const NAMED_BY_DIGITS: usize = 2;
const AHEAD: usize = 1;
const LOSSY: usize = 3;
const OVERLOADED: usize = 0;

impl Host {
    /// The host of this number.
    pub(crate) fn new(number: usize) -> Self {
        let [high, low] = (number as u16).to_be_bytes();
        let site = SITES[number % SITES.len()];
        let choose = |which, value, otherwise| if number == which { value } else { otherwise };
        Self {
            number: number as u64,
            // What looks like a number is a name all the same.
            name: if number == NAMED_BY_DIGITS {
                "0042".to_owned()
            } else {
                format!("{site}-{number:02}")
            },
            addresses: [
                Ipv4Addr::new(192, 0, high, low).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number as u16 + 1).into(),
            ],
            clock: if number == AHEAD { 250_000_000 } else { 0 },
            evening_loss: choose(LOSSY, 0.03, 0.002),
            incomplete: choose(OVERLOADED, 0.05, 0.002),
        }
    }
}
