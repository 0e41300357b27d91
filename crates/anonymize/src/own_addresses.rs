//! The addresses that count as this host's own.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The addresses that count as this host's own. Cheap to clone: clones share one set, so that one
/// can be updated while anonymizers use the others.
///
/// An address that the host gives up counts as its own a while longer, because captured packets
/// with it may still wait in memory. The caller says how long, and what time it is.
///
/// ```
/// use anonymize::OwnAddresses;
///
/// let own = OwnAddresses::from_iter(["192.0.2.1".parse()?]);
/// assert!(own.contains("::ffff:192.0.2.1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses(Arc<RwLock<Known>>);

impl OwnAddresses {
    /// Whether the host has this address, or had it until recently. An IPv4-mapped IPv6 address is
    /// the same as its IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.0.contains_key(&address.to_canonical())
    }

    /// Replaces the addresses with those `present` at `now`. One that is no longer present stays
    /// until it [expires](Self::expire).
    pub fn update(&self, present: &HashSet<IpAddr>, now: Instant) {
        self.change(|known| known.update(present, now));
    }

    /// Removes addresses that have been gone for `keep`: as long as packets with them may wait in
    /// memory. Returns when the next one is due, if any is.
    pub fn expire(&self, keep: Duration, now: Instant) -> Option<Instant> {
        self.change(|known| known.expire(keep, now))
    }

    fn change<T>(&self, how: impl FnOnce(&mut Known) -> T) -> T {
        how(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FromIterator<IpAddr> for OwnAddresses {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        let addresses = addresses.into_iter();
        let known = addresses.map(|address| (address.to_canonical(), None));
        Self(Arc::new(RwLock::new(Known(known.collect()))))
    }
}

/// Each address that counts as own, and since when it has been gone, if it has.
#[derive(Debug, Default)]
struct Known(HashMap<IpAddr, Option<Instant>>);

impl Known {
    fn update(&mut self, present: &HashSet<IpAddr>, now: Instant) {
        for (address, gone) in &mut self.0 {
            *gone = if present.contains(address) {
                None
            } else {
                gone.or(Some(now))
            };
        }
        for address in present {
            self.0.entry(*address).or_insert(None);
        }
    }

    fn expire(&mut self, keep: Duration, now: Instant) -> Option<Instant> {
        self.0
            .retain(|_, gone| gone.is_none_or(|gone| gone + keep > now));
        self.0.values().flatten().min().map(|gone| *gone + keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(60);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn set(addresses: &[&str]) -> HashSet<IpAddr> {
        addresses.iter().copied().map(address).collect()
    }

    #[test]
    fn a_removed_address_stays_for_as_long_as_its_packets_may_wait() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut known = Known::default();
        known.update(&set(&["192.0.2.1", "2001:db8::1"]), start);
        assert_eq!(known.expire(KEEP, start + 9 * KEEP), None);

        let gone = start + second;
        known.update(&set(&["192.0.2.1"]), gone);
        // That it is still gone later does not keep it longer.
        known.update(&set(&["192.0.2.1"]), gone + second);
        assert_eq!(known.expire(KEEP, gone + KEEP - second), Some(gone + KEEP));
        assert!(known.0.contains_key(&address("2001:db8::1")));
        assert_eq!(known.expire(KEEP, gone + KEEP), None);
        assert_eq!(known.0.keys().collect::<Vec<_>>(), [&address("192.0.2.1")]);
    }

    #[test]
    fn an_address_that_comes_back_stays() {
        let start = Instant::now();
        let mut known = Known::default();
        known.update(&set(&["192.0.2.1"]), start);
        known.update(&set(&[]), start);
        known.update(&set(&["192.0.2.1"]), start + KEEP / 2);
        assert_eq!(known.expire(KEEP, start + 2 * KEEP), None);
        assert!(known.0.contains_key(&address("192.0.2.1")));
    }

    #[test]
    fn clones_share_what_expires() {
        let own = OwnAddresses::from_iter([address("192.0.2.1")]);
        let shared = own.clone();
        let start = Instant::now();
        own.update(&set(&[]), start);
        let due = start + KEEP;
        assert_eq!(own.expire(KEEP, start), Some(due));
        assert!(shared.contains(address("192.0.2.1")));
        assert_eq!(own.expire(KEEP, due), None);
        assert!(!shared.contains(address("192.0.2.1")));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let own = OwnAddresses::from_iter([address("192.0.2.1")]);
        assert!(own.contains(address("::ffff:192.0.2.1")));
        assert!(!own.contains(address("192.0.2.2")));
        assert!(!OwnAddresses::default().contains(address("192.0.2.1")));
    }
}
