//! This host's own addresses, kept up to date by rtnetlink.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anonymize::OwnAddresses;
use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use messages::rtnetlink::local_address;
use rtnetlink::MulticastGroup;
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
