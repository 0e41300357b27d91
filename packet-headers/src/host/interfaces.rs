//! The network interfaces of this namespace.

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
pub use messages::rtnetlink::{Interface, Link};

use super::netlink::Netlink;

/// Lists the interfaces of this network namespace, whatever they are.
pub(crate) async fn list(netlink: &mut Netlink) -> Result<Vec<Link>> {
    let links = netlink.dump(|handle| handle.link().get().execute().try_collect::<Vec<_>>());
    let links = links.await.context("listing network interfaces")?;
    Ok(links.into_iter().filter_map(Link::read).collect())
}
