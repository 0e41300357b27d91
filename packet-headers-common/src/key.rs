//! A connection's four-tuple, the same for both directions: the lower end comes first.

use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv6Addr};

/// One end of a TCP connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// IPv6 address as two numbers, most significant first; IPv4 is v4-mapped (RFC 4291, 2.5.5.2).
    address: [u64; 2],
    /// Port number, in host order.
    port: u16,
}

/// What precedes the 32 bits of an IPv4 address in its v4-mapped form.
const V4_MAPPED_PREFIX: u64 = 0xffff_0000_0000;

impl Endpoint {
    /// An end whose IPv4 address is given in network byte order.
    #[inline(always)]
    #[must_use]
    pub const fn v4(address: [u8; 4], port: u16) -> Self {
        let low = V4_MAPPED_PREFIX | u32::from_be_bytes(address) as u64;
        Self {
            address: [0, low],
            port,
        }
    }

    /// An end whose IPv6 address is given as two numbers, most significant first.
    #[inline(always)]
    #[must_use]
    pub const fn v6(address: [u64; 2], port: u16) -> Self {
        Self { address, port }
    }

    /// The address in network byte order, v4-mapped when it is IPv4.
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        let address = ((self.address[0] as u128) << 64) | self.address[1] as u128;
        address.to_be_bytes()
    }

    /// The address as two numbers, most significant first, v4-mapped when it is IPv4.
    #[inline(always)]
    #[must_use]
    pub const fn address(&self) -> [u64; 2] {
        self.address
    }

    /// The address: IPv4 when it is v4-mapped.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        let address = ((self.address[0] as u128) << 64) | self.address[1] as u128;
        Ipv6Addr::from_bits(address).to_canonical()
    }

    /// Whether the address is a loopback address: 127.0.0.0/8 (RFC 1122, 3.2.1.3) or ::1 (RFC 4291,
    /// 2.5.3).
    #[inline(always)]
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.address[0] == 0
            && (self.address[1] >> 24 == V4_MAPPED_PREFIX >> 24 | 127 || self.address[1] == 1)
    }

    /// The port number.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Orders ends by address, then by port. The derived order is no `const fn`.
    #[inline(always)]
    const fn is_above(&self, other: &Self) -> bool {
        if self.address[0] != other.address[0] {
            return self.address[0] > other.address[0];
        }
        if self.address[1] != other.address[1] {
            return self.address[1] > other.address[1];
        }
        self.port > other.port
    }
}

/// A four-tuple without direction: packets of both directions have the same key.
///
/// Packed to its 36 bytes: the kernel's hash maps digest a key in steps of three words, and padding
/// would cost one more step for every packet.
#[repr(C, packed(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    low: [u64; 2],
    high: [u64; 2],
    /// Both ports, the lower end's in the lower half. One `u32`, to avoid a store-forwarding stall:
    /// two stores of a `u16`, then one load of both.
    ports: u32,
}

const _: () = assert!(size_of::<FlowKey>() == FlowKey::SIZE);

impl FlowKey {
    /// The key of the connection between two ends, in whichever order they are given.
    #[inline(always)]
    #[must_use]
    pub const fn new(one: Endpoint, other: Endpoint) -> Self {
        let (low, high) = if one.is_above(&other) {
            (other, one)
        } else {
            (one, other)
        };
        Self {
            low: low.address,
            high: high.address,
            ports: low.port as u32 | (high.port as u32) << 16,
        }
    }

    #[inline(always)]
    const fn low_port(&self) -> u16 {
        self.ports as u16
    }

    /// The key as numbers.
    #[inline(always)]
    #[must_use]
    pub const fn words(&self) -> [u64; 5] {
        let ([a, b], [c, d]) = (self.low, self.high);
        [a, b, c, d, self.ports as u64]
    }

    /// Bytes of the key in a map.
    pub const SIZE: usize = 36;

    /// The key as the maps hold it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[32..].copy_from_slice(&self.ports.to_ne_bytes());
        bytes
    }

    /// The key of which [`Self::to_bytes`] made these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        Self {
            low: [word(0), word(8)],
            high: [word(16), word(24)],
            ports: u32::from_ne_bytes([bytes[32], bytes[33], bytes[34], bytes[35]]),
        }
    }

    /// Whether this end is the lower one, which tells the direction of a packet that it sent.
    #[inline(always)]
    #[must_use]
    pub const fn is_low(&self, end: &Endpoint) -> bool {
        self.low[0] == end.address[0]
            && self.low[1] == end.address[1]
            && self.low_port() == end.port
    }

    /// The two ends, the lower one first.
    #[must_use]
    pub const fn ends(&self) -> (Endpoint, Endpoint) {
        (
            Endpoint::v6(self.low, self.low_port()),
            Endpoint::v6(self.high, (self.ports >> 16) as u16),
        )
    }
}

impl Hash for FlowKey {
    /// Five numbers: a derived hash would take arrays, with their lengths.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.words() {
            state.write_u64(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any end, and often one that shares a part of its address, or all of it, with another.
    fn endpoint() -> impl Strategy<Value = Endpoint> {
        let half = || prop_oneof![any::<u64>(), 0..2u64];
        let port = prop_oneof![any::<u16>(), 0..2u16];
        (half(), half(), port).prop_map(|(high, low, port)| Endpoint::v6([high, low], port))
    }

    proptest! {
        #[test]
        fn both_directions_have_one_key(a in endpoint(), b in endpoint()) {
            let (there, back) = (FlowKey::new(a, b), FlowKey::new(b, a));
            prop_assert_eq!(there, back);
            prop_assert_eq!(FlowKey::from_bytes(&there.to_bytes()), there);
            let (low, high) = there.ends();
            prop_assert!(low <= high);
            prop_assert!((low, high) == (a, b) || (low, high) == (b, a));
            prop_assert_eq!([a, b].map(|end| there.is_low(&end)), [a == low, b == low]);
        }
    }

    #[test]
    fn loopback_addresses_are_those_that_the_standard_library_knows() {
        let mapped = |address: [u8; 4]| Endpoint::v4(address, 0);
        for address in [
            [127, 0, 0, 1],
            [127, 255, 255, 255],
            [126, 0, 0, 1],
            [128, 0, 0, 1],
        ] {
            let known = IpAddr::from(address).is_loopback();
            assert_eq!(mapped(address).is_loopback(), known, "{address:?}");
        }
        for address in [[0, 1], [0, 2], [1, 1], [0, 0]] {
            assert_eq!(Endpoint::v6(address, 0).is_loopback(), address == [0, 1]);
        }
    }

    #[test]
    fn an_ipv4_end_is_written_v4_mapped() {
        let end = Endpoint::v4([192, 0, 2, 7], 443);
        assert_eq!(
            end.octets(),
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7]
        );
        assert_eq!(end.port(), 443);
        assert_eq!(end.ip(), IpAddr::from([192, 0, 2, 7]));
    }

    #[test]
    fn a_hasher_is_given_the_whole_key() {
        #[derive(Default)]
        struct Words([u64; 5], usize);
        impl Hasher for Words {
            fn finish(&self) -> u64 {
                0
            }
            fn write(&mut self, _bytes: &[u8]) {}
            fn write_u64(&mut self, word: u64) {
                self.0[self.1] = word;
                self.1 += 1;
            }
        }
        let key = FlowKey::new(Endpoint::v6([1, 2], 3), Endpoint::v6([4, 5], 6));
        let mut words = Words::default();
        key.hash(&mut words);
        assert_eq!(words.0, [1, 2, 4, 5, 6 << 16 | 3]);
    }

    #[test]
    fn an_ipv6_end_keeps_its_address() {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);
        let end = Endpoint::v6([0x2001_0db8_0001_0002, 0x0003_0004_0005_0006], 443);
        assert_eq!((end.octets(), end.ip()), (address.octets(), address.into()));
    }
}
