//! Which of the existing interfaces to capture. Pure.

use std::collections::HashSet;

use anyhow::{Context as _, Error, Result, bail};
use model::NamePattern;

use super::interfaces::{Interface, Link};
use crate::rate_limit::RateLimit;

/// Which interfaces to capture: those that match an `--interface`; without any, each except
/// loopback from the first time that it is up.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    wanted: Vec<NamePattern>,
    /// Chosen the last time, by index: an interface that goes down stays chosen.
    chosen: HashSet<u32>,
    /// Not chosen because of the link type, by index, so that this is reported only once.
    refused: HashSet<u32>,
    /// Of the lines that report it: interfaces may come and go without end.
    unsupported: RateLimit,
}

/// Why a link is not captured.
#[derive(Debug)]
pub(crate) enum LeftOut {
    /// It is not wanted, or not yet: the reason in words.
    Unwanted(&'static str),
    /// Its link type is not supported.
    Unknown(Error),
}

impl Choice {
    pub(crate) fn new(wanted: &[NamePattern]) -> Self {
        Self {
            wanted: wanted.to_vec(),
            ..Self::default()
        }
    }

    /// Checks the interfaces that are wanted by name; patterns may match later.
    ///
    /// # Errors
    /// When one does not exist (the message lists those that do), or its link type is not
    /// supported.
    pub(crate) fn check(&self, links: &[Link]) -> Result<()> {
        for name in self.wanted.iter().filter_map(NamePattern::plain_name) {
            let Some(link) = links.iter().find(|link| link.name == name) else {
                let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
                bail!(
                    "there is no interface {:?} (interfaces here: {})",
                    name,
                    names.join(", ")
                );
            };
            let supported = link.interface();
            supported.with_context(|| format!("--interface {name}"))?;
        }
        Ok(())
    }

    /// Whether an interface is wanted by its exact name, rather than by a pattern.
    pub(crate) fn is_named(&self, interface: &Interface) -> bool {
        self.wanted
            .iter()
            .any(|wanted| wanted.names(&interface.name))
    }

    /// Chooses from the links that exist now. `removed` are the indexes of those that left since
    /// the last time, even if others have these indexes now.
    pub(crate) fn choose(&mut self, links: &[Link], removed: &HashSet<u32>) -> Vec<Interface> {
        self.chosen.retain(|index| !removed.contains(index));
        self.refused.retain(|index| !removed.contains(index));
        let mut interfaces = Vec::new();
        for link in links {
            match self.judge(link) {
                Ok(interface) => interfaces.push(interface),
                Err(LeftOut::Unwanted(_)) => {}
                Err(LeftOut::Unknown(why)) => {
                    if self.refused.insert(link.index)
                        && let Some(more) = self.unsupported.pass()
                    {
                        tracing::warn!("not capturing {}: {why:#}{more}", link.name);
                    }
                }
            }
        }
        self.chosen = interfaces.iter().map(|i| i.index).collect();
        interfaces
    }

    /// Whether to capture a link, and if not, why.
    pub(crate) fn judge(&self, link: &Link) -> Result<Interface, LeftOut> {
        if !self.wanted.is_empty() {
            let wanted =
                (self.wanted.iter()).any(|wanted| wanted.matches(&link.name, link.is_loopback));
            if !wanted {
                return Err(LeftOut::Unwanted("not matched by any --interface"));
            }
        } else if link.is_loopback {
            return Err(LeftOut::Unwanted("loopback must be named"));
        } else if !link.is_up && !self.chosen.contains(&link.index) {
            return Err(LeftOut::Unwanted("down; captured once it comes up"));
        }
        link.interface().map_err(LeftOut::Unknown)
    }

    /// What is waited for while no interface is chosen, in words.
    pub(crate) fn awaited(&self) -> String {
        if self.wanted.is_empty() {
            return "one that is up".to_owned();
        }
        let wanted: Vec<_> = self.wanted.iter().map(ToString::to_string).collect();
        format!("one that matches {}", wanted.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use packet_headers_common::LinkType;
    use rtnetlink::packet_route::link::LinkLayerType;

    use super::*;

    fn link(name: &str, index: u32, is_up: bool, layer: LinkLayerType) -> Link {
        let is_loopback = layer == LinkLayerType::Loopback;
        let name = name.to_owned();
        Link {
            name,
            index,
            is_up,
            is_loopback,
            has_xdp: false,
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

    fn choice(wanted: &[&str]) -> Choice {
        let wanted: Vec<_> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        Choice::new(&wanted)
    }

    fn names(choice: &mut Choice, links: &[Link], gone: &[u32]) -> Vec<String> {
        let chosen = choice.choose(links, &gone.iter().copied().collect());
        chosen.into_iter().map(|i| i.name).collect()
    }

    #[test]
    fn every_interface_that_is_up_but_loopback_is_the_default() {
        let chosen = choice(&[]).choose(&host(), &HashSet::new());
        let chosen: Vec<_> = chosen
            .iter()
            .map(|i| (i.name.as_str(), i.link_type))
            .collect();
        assert_eq!(
            chosen,
            [("eth0", LinkType::Ethernet), ("wg0", LinkType::RawIp)]
        );
    }

    #[test]
    fn what_comes_up_is_taken_and_stays_when_it_goes_down_or_is_renamed() {
        let (mut choice, mut links) = (choice(&[]), host());
        assert_eq!(names(&mut choice, &links, &[]), ["eth0", "wg0"]);
        links[2].is_up = true;
        assert_eq!(names(&mut choice, &links, &[]), ["eth0", "eth1", "wg0"]);
        links[1].is_up = false;
        links[2].name = "lan".to_owned();
        assert_eq!(names(&mut choice, &links, &[]), ["eth0", "lan", "wg0"]);
        // Another one that got the index has to come up itself.
        assert_eq!(names(&mut choice, &links, &[2]), ["lan", "wg0"]);
    }

    #[test]
    fn what_is_asked_for_is_taken_once_even_when_it_is_down_or_loopback() {
        let mut choice = choice(&["lo", "eth1", "lo", "eth*"]);
        assert_eq!(names(&mut choice, &host(), &[]), ["lo", "eth0", "eth1"]);
    }

    #[test]
    fn a_pattern_takes_what_its_shell_would_but_loopback() {
        let chosen = |wanted: &str| names(&mut choice(&[wanted]), &host(), &[]);
        assert_eq!(chosen("eth*"), ["eth0", "eth1"]);
        assert_eq!(chosen("eth[1-9]"), ["eth1"]);
        assert_eq!(chosen("??0"), ["wg0"]);
        assert_eq!(chosen("*"), ["eth0", "eth1", "wg0"]);
        assert!(chosen("ppp*").is_empty());
        assert!("eth[".parse::<NamePattern>().is_err());
    }

    #[test]
    fn a_name_that_is_lost_is_not_captured_any_more() {
        let (mut choice, mut links) = (choice(&["eth0"]), host());
        assert_eq!(names(&mut choice, &links, &[]), ["eth0"]);
        links[1].name = "wan".to_owned();
        assert!(names(&mut choice, &links, &[]).is_empty());
    }

    #[test]
    fn an_unknown_interface_lists_those_there_are() {
        let error = choice(&["eth9"]).check(&host()).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no interface \"eth9\" (interfaces here: lo, eth0, eth1, wg0, can0)"
        );
        let error = format!("{:#}", choice(&["can0"]).check(&host()).unwrap_err());
        assert!(error.contains("can0") && error.contains("Can"), "{error}");
        choice(&["ppp*", "eth1"]).check(&host()).unwrap();
    }

    #[test]
    fn what_is_waited_for_has_a_name() {
        assert_eq!(choice(&[]).awaited(), "one that is up");
        let two = choice(&["eth*", "wan0"]).awaited();
        assert_eq!(two, "one that matches eth* or wan0");
    }
}
