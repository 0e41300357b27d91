//! Which network interfaces there are, what they are called, and what their packets begin with.

use anyhow::{Context as _, Result, bail};
use futures_util::TryStreamExt as _;
use packet_headers_common::LinkType;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

use crate::netlink::Netlink;

pub mod choice;

/// An interface that can be captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name in this network namespace.
    pub name: String,
    /// Its index in this network namespace.
    pub index: u32,
    /// What its packets begin with.
    pub link_type: LinkType,
}

impl Interface {
    /// Its index and name.
    pub(crate) fn numbered(&self) -> (u32, String) {
        (self.index, self.name.clone())
    }
}

/// A link of this network namespace, as rtnetlink tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) is_up: bool,
    pub(crate) is_loopback: bool,
    /// Whether an XDP program is on it.
    pub(crate) has_xdp: bool,
    pub(crate) layer: LinkLayerType,
}

impl Link {
    /// All there are.
    pub(crate) async fn list(netlink: &mut Netlink) -> Result<Vec<Self>> {
        let links = netlink.dump(|handle| handle.link().get().execute().try_collect::<Vec<_>>());
        let links = links.await.context("listing network interfaces")?;
        Ok(links.into_iter().filter_map(Self::read).collect())
    }

    fn read(message: LinkMessage) -> Option<Self> {
        let (mut name, mut has_xdp) = (None, false);
        for attribute in message.attributes {
            if let LinkAttribute::IfName(text) = attribute {
                name = Some(text);
            } else if let LinkAttribute::Xdp(said) = attribute {
                let nothing = LinkXdp::Attached(XdpAttached::None);
                has_xdp = !said.is_empty() && !said.contains(&nothing);
            }
        }
        Some(Self {
            name: name?,
            has_xdp,
            index: message.header.index,
            is_up: message.header.flags.contains(LinkFlags::Up),
            is_loopback: message.header.flags.contains(LinkFlags::Loopback),
            layer: message.header.link_layer_type,
        })
    }

    /// What its packets begin with, by its hardware type (ARPHRD of linux/if_arp.h).
    ///
    /// # Errors
    /// When it is a type that we do not know.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kernel has dozens of hardware types, and we know a few"
    )]
    fn interface(&self) -> Result<Interface> {
        let link_type = match self.layer {
            LinkLayerType::Ether | LinkLayerType::Loopback => LinkType::Ethernet,
            // tun and wireguard; rawip; ipip; sit; gre and gre6 in their IP modes.
            LinkLayerType::None
            | LinkLayerType::Rawip
            | LinkLayerType::Tunnel
            | LinkLayerType::Tunnel6
            | LinkLayerType::Sit
            | LinkLayerType::Ipgre
            | LinkLayerType::Ip6gre => LinkType::RawIp,
            other => bail!("its link type is {other:?}; Ethernet and raw IP are known"),
        };
        Ok(Interface {
            name: self.name.clone(),
            index: self.index,
            link_type,
        })
    }
}
