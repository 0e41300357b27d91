//! Which network interfaces there are, and what their packets begin with.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::TryStreamExt as _;
use packet_headers_common::LinkType;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};

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

/// What interfaces are called, by index.
#[derive(Debug, Default)]
pub struct InterfaceNames(HashMap<u32, String>);

impl InterfaceNames {
    /// The names of these interfaces.
    #[must_use]
    pub fn of(interfaces: &[Interface]) -> Self {
        let pairs = interfaces.iter().map(|i| (i.index, i.name.clone()));
        Self(pairs.collect())
    }

    /// An interface's name, or its index as `if3` when it has none.
    #[must_use]
    pub fn name(&self, index: u32) -> String {
        let name = self.0.get(&index).cloned();
        name.unwrap_or_else(|| format!("if{index}"))
    }
}

/// A link of this network namespace, as rtnetlink tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    name: String,
    index: u32,
    is_up: bool,
    is_loopback: bool,
    layer: LinkLayerType,
}

/// The interfaces to capture: those that were asked for, or every one that is up but loopback.
///
/// # Errors
/// When there is none, when one that was asked for does not exist (the message lists those there
/// are), or when its link type is not one that we know.
pub async fn choose(wanted: &[String]) -> Result<Vec<Interface>> {
    let links = list().await.context("listing network interfaces")?;
    select(&links, wanted)
}

async fn list() -> Result<Vec<Link>> {
    let (connection, handle, _) = rtnetlink::new_connection().context("opening rtnetlink")?;
    let connection = tokio::spawn(connection);
    let links = handle.link().get().execute().try_collect::<Vec<_>>().await;
    connection.abort();
    Ok(links?.into_iter().filter_map(link).collect())
}

fn link(message: LinkMessage) -> Option<Link> {
    let name = message.attributes.into_iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute {
            Some(name)
        } else {
            None
        }
    })?;
    Some(Link {
        name,
        index: message.header.index,
        is_up: message.header.flags.contains(LinkFlags::Up),
        is_loopback: message.header.flags.contains(LinkFlags::Loopback),
        layer: message.header.link_layer_type,
    })
}

fn select(links: &[Link], wanted: &[String]) -> Result<Vec<Interface>> {
    if wanted.is_empty() {
        let chosen: Vec<_> = links
            .iter()
            .filter(|link| link.is_up && !link.is_loopback)
            .filter_map(|link| match interface(link) {
                Ok(interface) => Some(interface),
                Err(why) => {
                    tracing::warn!("not capturing {}: {why:#}", link.name);
                    None
                }
            })
            .collect();
        ensure!(
            !chosen.is_empty(),
            "no interface is up: bring one up, or name one of {} with --interface",
            names(links)
        );
        return Ok(chosen);
    }
    let mut chosen: Vec<Interface> = Vec::new();
    for name in wanted {
        let Some(link) = links.iter().find(|link| link.name == *name) else {
            bail!("there is no interface {name:?}: there are {}", names(links));
        };
        if chosen.iter().all(|have| have.index != link.index) {
            chosen.push(interface(link).with_context(|| format!("--interface {name}"))?);
        }
    }
    Ok(chosen)
}

/// What a link's packets begin with, by its hardware type (ARPHRD of linux/if_arp.h).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel has dozens of hardware types, and we know a few"
)]
fn interface(link: &Link) -> Result<Interface> {
    let link_type = match link.layer {
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
        name: link.name.clone(),
        index: link.index,
        link_type,
    })
}

fn names(links: &[Link]) -> String {
    let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, index: u32, is_up: bool, layer: LinkLayerType) -> Link {
        let is_loopback = layer == LinkLayerType::Loopback;
        let name = name.to_owned();
        Link {
            name,
            index,
            is_up,
            is_loopback,
            layer,
        }
    }

    fn host() -> Vec<Link> {
        vec![
            link("lo", 1, true, LinkLayerType::Loopback),
            link("eth0", 2, true, LinkLayerType::Ether),
            link("eth1", 3, false, LinkLayerType::Ether),
            link("wg0", 4, true, LinkLayerType::None),
            link("can0", 5, true, LinkLayerType::Can),
        ]
    }

    fn chosen(wanted: &[&str]) -> Result<Vec<(String, LinkType)>> {
        let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
        let chosen = select(&host(), &wanted)?;
        Ok(chosen.into_iter().map(|i| (i.name, i.link_type)).collect())
    }

    #[test]
    fn every_interface_that_is_up_but_loopback_is_the_default() {
        let want = [
            ("eth0".to_owned(), LinkType::Ethernet),
            ("wg0".to_owned(), LinkType::RawIp),
        ];
        assert_eq!(chosen(&[]).unwrap(), want);
    }

    #[test]
    fn what_is_asked_for_is_taken_once_even_when_it_is_down_or_loopback() {
        let names: Vec<_> = chosen(&["lo", "eth1", "lo"]).unwrap();
        let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["lo", "eth1"]);
    }

    #[test]
    fn an_unknown_interface_lists_those_there_are() {
        let error = chosen(&["eth9"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no interface \"eth9\": there are lo, eth0, eth1, wg0, can0"
        );
        let error = format!("{:#}", chosen(&["can0"]).unwrap_err());
        assert!(error.contains("can0") && error.contains("Can"), "{error}");
    }
}
