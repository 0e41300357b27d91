//! The network interfaces of this namespace: their names, and what their packets begin with.

use anyhow::{Context as _, Result, bail};
use futures_util::TryStreamExt as _;
use packet_headers_common::LinkType;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

use super::netlink::Netlink;

/// An interface that can be captured: its link type is supported.
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
    /// The index and the name.
    pub(crate) fn numbered(&self) -> (u32, String) {
        (self.index, self.name.clone())
    }
}

/// Any interface of this network namespace, as rtnetlink describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) is_up: bool,
    pub(crate) is_loopback: bool,
    /// Whether an XDP program is attached to it.
    pub(crate) has_xdp: bool,
    pub(crate) layer: LinkLayerType,
}

impl Link {
    /// Lists all of them.
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
            } else if let LinkAttribute::Xdp(xdp) = attribute {
                let none = LinkXdp::Attached(XdpAttached::None);
                has_xdp = !xdp.is_empty() && !xdp.contains(&none);
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

    /// The link as an interface to capture. Its link type follows from its hardware type (ARPHRD_*
    /// of linux/if_arp.h).
    ///
    /// # Errors
    /// When the hardware type is not supported.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kernel has dozens of hardware types, and a few are supported"
    )]
    pub(super) fn interface(&self) -> Result<Interface> {
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
            other => {
                bail!("its link type is {other:?}, but only Ethernet and raw IP are supported")
            }
        };
        Ok(Interface {
            name: self.name.clone(),
            index: self.index,
            link_type,
        })
    }
}
