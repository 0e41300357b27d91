//! This host's own addresses, kept up to date by rtnetlink.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anonymize::OwnAddresses;
use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use tokio::time::sleep_until;

use super::netlink::{self, Changes, Follower, Netlink};

/// Lists this host's addresses, and subscribes to changes. An address that is removed stays for
/// `keep`: as long as packets with it may wait in memory. The returned [`Watch`] has to be run.
///
/// # Errors
/// When rtnetlink cannot be opened or does not answer.
pub async fn watch(keep: Duration) -> Result<(OwnAddresses, Watch)> {
    let netlink = Netlink::open(Addresses::GROUPS).context("watching this host's addresses")?;
    let own = OwnAddresses::default();
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

/// Keeps an [`OwnAddresses`] up to date while it runs.
#[derive(Debug)]
pub struct Watch {
    addresses: Addresses,
    netlink: Netlink,
}

impl Watch {
    /// Follows the addresses and never ends: spawn it as a task.
    pub async fn run(self) {
        match netlink::follow(self.netlink, self.addresses).await {}
    }
}

/// Follows the addresses.
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
        let present = messages.into_iter().filter_map(local_address).collect();
        self.own.update(&present, Instant::now());
        Ok(())
    }

    async fn idle(&mut self) -> Infallible {
        loop {
            let next = self.own.expire(self.keep, Instant::now());
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

/// The address of this end. On a point-to-point link `Address` is the peer's, and `Local` is this
/// end's (linux/if_addr.h).
fn local_address(message: AddressMessage) -> Option<IpAddr> {
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

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn on_a_point_to_point_link_the_own_address_is_that_of_this_end() {
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
        assert_eq!(local_address(message(both)), Some(this));
        let one = vec![AddressAttribute::Address(this)];
        assert_eq!(local_address(message(one)), Some(this));
        assert_eq!(local_address(message(vec![])), None);
    }
}
