//! What a message says of a network interface, and what the interface's packets begin with.

use anyhow::{Result, bail};
use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};
use packet_headers_common::LinkType;

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
    pub fn numbered(&self) -> (u32, String) {
        (self.index, self.name.clone())
    }
}

/// Any interface of this network namespace, as rtnetlink describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name in this network namespace.
    pub name: String,
    /// Its index in this network namespace.
    pub index: u32,
    /// Whether it is administratively up.
    pub is_up: bool,
    /// Whether it is a loopback interface.
    pub is_loopback: bool,
    /// Whether an XDP program is attached to it.
    pub has_xdp: bool,
    /// Its hardware type.
    pub layer: LinkLayerType,
}

impl Link {
    /// Reads a message about a link. None if it has no name, which the kernel always gives.
    #[must_use]
    pub fn read(message: LinkMessage) -> Option<Self> {
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
    pub fn interface(&self) -> Result<Interface> {
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

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkHeader;

    use super::*;

    fn message(attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header = LinkHeader {
            index: 3,
            flags: LinkFlags::Up,
            link_layer_type: LinkLayerType::Ether,
            ..LinkHeader::default()
        };
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_link_is_what_the_kernel_says_of_it() {
        let name = LinkAttribute::IfName("eth0".to_owned());
        let none = LinkAttribute::Xdp(vec![LinkXdp::Attached(XdpAttached::None)]);
        let some = LinkAttribute::Xdp(vec![LinkXdp::Attached(XdpAttached::Driver)]);
        for (attributes, has_xdp) in [
            (vec![name.clone()], false),
            (vec![name.clone(), none], false),
            (vec![some, name], true),
        ] {
            let link = Link::read(message(attributes)).unwrap();
            assert_eq!((&*link.name, link.index), ("eth0", 3));
            assert_eq!((link.is_up, link.is_loopback), (true, false));
            assert_eq!((link.layer, link.has_xdp), (LinkLayerType::Ether, has_xdp));
            let interface = link.interface().unwrap();
            assert_eq!(interface.numbered(), (3, "eth0".to_owned()));
            assert_eq!(interface.link_type, LinkType::Ethernet);
        }
        assert!(Link::read(message(Vec::new())).is_none());
    }
}
