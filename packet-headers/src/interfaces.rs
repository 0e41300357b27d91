//! Which network interfaces there are, what they are called, and what their packets begin with.

use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock};

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

/// How many interfaces that have gone are remembered: files in progress may have packets of them.
const GONE: usize = 1024;

/// What interfaces are called, by index, also those that have gone of late.
#[derive(Debug, Default)]
pub struct InterfaceNames(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    present: HashMap<u32, String>,
    gone: VecDeque<(u32, String)>,
}

impl InterfaceNames {
    /// Takes over what there is now.
    pub fn update(&self, interfaces: &[Interface]) {
        let present: HashMap<_, _> = interfaces
            .iter()
            .map(|i| (i.index, i.name.clone()))
            .collect();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut known.present, present);
        for (index, name) in before {
            if !known.present.contains_key(&index) {
                known.gone.push_front((index, name));
            }
        }
        known.gone.truncate(GONE);
    }

    /// An interface's name, or its index as `if3` when it has none.
    #[must_use]
    pub fn name(&self, index: u32) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let gone = || known.gone.iter().find(|(gone, _)| *gone == index);
        let name = known.present.get(&index);
        let name = name.or_else(|| gone().map(|(_, name)| name));
        name.cloned().unwrap_or_else(|| format!("if{index}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32) -> Interface {
        Interface {
            name: name.to_owned(),
            index,
            link_type: LinkType::Ethernet,
        }
    }

    #[test]
    fn a_name_is_known_until_another_interface_has_the_index() {
        let names = InterfaceNames::default();
        assert_eq!(names.name(2), "if2");
        names.update(&[interface("eth0", 2), interface("veth1", 3)]);
        names.update(&[interface("lan", 2)]);
        assert_eq!(
            (names.name(2), names.name(3)),
            ("lan".into(), "veth1".into())
        );
        names.update(&[interface("tun0", 3)]);
        assert_eq!(
            (names.name(2), names.name(3)),
            ("lan".into(), "tun0".into())
        );
    }

    #[test]
    fn names_of_what_has_gone_take_bounded_memory() {
        let names = InterfaceNames::default();
        for index in 0..5000 {
            names.update(&[interface("veth", index)]);
        }
        assert_eq!(names.0.read().unwrap().gone.len(), GONE);
        assert_eq!(
            (names.name(4998), names.name(4)),
            ("veth".into(), "if4".into())
        );
    }
}
