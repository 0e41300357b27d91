//! This host's own addresses, kept up to date by rtnetlink.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use hashbrown::{HashMap, HashSet};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use tokio::time::sleep_until;

use crate::netlink::{self, Changes, Follower, Netlink};

/// The addresses of the interfaces of this network namespace. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses(Arc<RwLock<Known>>);

impl OwnAddresses {
    /// Whether an interface has this address, or had it until recently. A v4-mapped one is the same
    /// as its IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.0.contains_key(&address.to_canonical())
    }

    /// Reads the addresses, and begins to follow them. A removed one stays for `keep`: as long as
    /// packets with it may wait in memory. The returned [`Watch`] has to be run.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn watch(keep: Duration) -> Result<(Self, Watch)> {
        let netlink = Netlink::open(Addresses::GROUPS).context("watching this host's addresses")?;
        let own = Self::default();
        let addresses = Addresses {
            own: own.clone(),
            keep,
        };
        let mut watch = Watch { addresses, netlink };
        watch
            .addresses
            .refresh(&mut watch.netlink, Changes::default())
            .await
            .context("listing this host's addresses")?;
        Ok((own, watch))
    }

    /// Takes over what there is now.
    pub(crate) fn update(&self, present: &HashSet<IpAddr>) {
        self.change(|known| known.update(present, Instant::now()));
    }

    fn change<T>(&self, how: impl FnOnce(&mut Known) -> T) -> T {
        how(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FromIterator<IpAddr> for OwnAddresses {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        let own = Self::default();
        let present = addresses
            .into_iter()
            .map(|own| own.to_canonical())
            .collect();
        own.update(&present);
        own
    }
}

/// Each address that counts as own, and since when no interface has it any more.
#[derive(Debug, Default)]
struct Known(HashMap<IpAddr, Option<Instant>>);

impl Known {
    /// Takes over what there is now.
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

    /// Forgets what has been gone for `keep`. When there will be something to forget next.
    fn expire(&mut self, keep: Duration, now: Instant) -> Option<Instant> {
        self.0
            .retain(|_, gone| gone.is_none_or(|gone| gone + keep > now));
        self.0.values().flatten().min().map(|gone| *gone + keep)
    }
}

/// Keeps an [`OwnAddresses`] up to date while it runs.
#[derive(Debug)]
pub struct Watch {
    addresses: Addresses,
    netlink: Netlink,
}

impl Watch {
    /// Follows the addresses for ever; to be spawned.
    pub async fn run(self) {
        match netlink::follow(self.netlink, self.addresses).await {}
    }
}

/// What is followed.
#[derive(Debug)]
struct Addresses {
    own: OwnAddresses,
    keep: Duration,
}

impl Follower for Addresses {
    const WHAT: &'static str = "this host's addresses";
    const GROUPS: &'static [MulticastGroup] =
        &[MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];

    async fn refresh(&mut self, netlink: &mut Netlink, _: Changes) -> Result<()> {
        let messages: Vec<_> = netlink
            .dump(|handle| handle.address().get().execute().try_collect())
            .await?;
        let present = messages.into_iter().filter_map(own).collect();
        self.own.update(&present);
        Ok(())
    }

    async fn idle(&mut self) -> Infallible {
        loop {
            let next = self
                .own
                .change(|known| known.expire(self.keep, Instant::now()));
            until(next).await;
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// This end's address: on a point-to-point link `Address` is the other end's, and there is a
/// `Local` beside it (linux/if_addr.h).
fn own(message: AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            return Some(address);
        }
        if let AddressAttribute::Address(address) = attribute {
            found = Some(address);
        }
    }
    found
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
    fn of_a_point_to_point_link_this_end_is_the_own_one() {
        let message = |attributes| {
            let mut message = AddressMessage::default();
            message.attributes = attributes;
            message
        };
        let (this, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let both = vec![
            AddressAttribute::Address(other),
            AddressAttribute::Local(this),
        ];
        assert_eq!(own(message(both)), Some(this));
        let one = vec![AddressAttribute::Address(this)];
        assert_eq!(own(message(one)), Some(this));
        assert_eq!(own(message(vec![])), None);
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let own = OwnAddresses::from_iter([address("192.0.2.1")]);
        assert!(own.contains(address("::ffff:192.0.2.1")));
        assert!(!own.contains(address("192.0.2.2")));
        assert!(!OwnAddresses::default().contains(address("192.0.2.1")));
    }
}
