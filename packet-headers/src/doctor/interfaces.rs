//! Which interfaces are captured with these flags, which are not and why, and which programs are
//! attached to them already.

use anyhow::{Context as _, Result};
use packet_headers_common::LinkType;

use super::finding::Group;
use super::others::{self, Others};
use crate::config::Config;
use crate::host::choice::{Choice, LeftOut};
use crate::host::interfaces::{self, Interface, Link};
use crate::host::netlink::Netlink;
use crate::kernel::Candidate;

pub(super) async fn check(config: &Config, candidate: &Candidate) -> Group {
    let mut group = Group::new("interfaces");
    if let Err(error) = look(&mut group, config, candidate).await {
        let help = "allow NETLINK_ROUTE sockets in the container's seccomp profile";
        group.problem("rtnetlink", format!("{error:#}"), help);
    }
    group
}

async fn look(group: &mut Group, config: &Config, candidate: &Candidate) -> Result<()> {
    let mut netlink = Netlink::open(&[]).context("listing network interfaces")?;
    let links = interfaces::list(&mut netlink).await?;
    let choice = Choice::new(&config.interfaces);
    for (link, interface) in choose(group, &choice, &links) {
        if link.has_xdp {
            group.mention(
                &link.name,
                "an XDP program is attached: packets that it drops or redirects are not seen",
            );
        }
        let on_it = Others::on(&mut netlink, &interface, candidate).await;
        match on_it {
            Ok(on_it) => others::judge(group, &link.name, candidate.method, &on_it),
            Err(error) => group.mention(
                &link.name,
                format!("cannot list programs that are attached already: {error:#}"),
            ),
        }
    }
    Ok(())
}

/// Reports which links are captured, and why others are not.
fn choose<'a>(group: &mut Group, choice: &Choice, links: &'a [Link]) -> Vec<(&'a Link, Interface)> {
    if let Err(error) = choice.check(links) {
        let help = "name an interface that exists, or use a pattern such as 'eth*' to wait for one";
        group.error("interface", &error, help);
    }
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for link in links {
        match choice.judge(link) {
            Ok(interface) => {
                let kind = match interface.link_type {
                    LinkType::Ethernet => "Ethernet",
                    LinkType::RawIp => "raw IP",
                };
                if link.is_up {
                    group.ok(&link.name, format!("{kind}, up"));
                } else {
                    let help = format!("run ip link set {} up", link.name);
                    group.note(&link.name, format!("{kind}, down: no packets pass"), &help);
                }
                chosen.push((link, interface));
            }
            Err(LeftOut::Unwanted(why)) => left_out.push(format!("{} ({why})", link.name)),
            Err(LeftOut::Unknown(why)) => {
                group.mention(&link.name, format!("not captured: {why:#}"));
            }
        }
    }
    if chosen.is_empty() {
        let found = format!("none yet: waiting for {}", choice.awaited());
        group.note(
            "interface",
            found,
            "bring one up, or name another with --interface",
        );
    }
    if !left_out.is_empty() {
        group.ok("left out", left_out.join(", "));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::LinkLayerType;

    use super::super::finding::State;
    use super::*;

    fn link(name: &str, index: u32, is_up: bool, layer: LinkLayerType) -> Link {
        Link {
            name: name.to_owned(),
            index,
            is_up,
            is_loopback: layer == LinkLayerType::Loopback,
            has_xdp: false,
            layer,
        }
    }

    fn judged(wanted: &[&str]) -> (Group, Vec<String>) {
        let links = [
            link("lo", 1, true, LinkLayerType::Loopback),
            link("eth0", 2, true, LinkLayerType::Ether),
            link("eth1", 3, false, LinkLayerType::Ether),
            link("wg0", 4, true, LinkLayerType::None),
            link("can0", 5, true, LinkLayerType::Can),
        ];
        let wanted: Vec<_> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let mut group = Group::new("interfaces");
        let chosen = choose(&mut group, &Choice::new(&wanted), &links);
        let chosen = chosen.iter().map(|(link, _)| link.name.clone()).collect();
        (group, chosen)
    }

    #[test]
    fn each_interface_is_said_with_its_link_type_and_the_others_with_why() {
        let (group, chosen) = judged(&[]);
        assert_eq!(chosen, ["eth0", "wg0"]);
        assert_eq!(group.the("eth0").found, "Ethernet, up");
        assert_eq!(group.the("wg0").found, "raw IP, up");
        let left = &group.the("left out").found;
        assert!(left.contains("lo (loopback must be named)"), "{left}");
        assert!(left.contains("eth1 (down"), "{left}");
        assert_eq!(group.the("can0").state, State::Note);
        assert!(group.the("can0").found.contains("link type"));
    }

    #[test]
    fn a_name_that_is_not_there_is_a_problem_and_a_pattern_waits() {
        let (group, chosen) = judged(&["eth9"]);
        assert!(chosen.is_empty());
        let states: Vec<_> = group.findings.iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Problem, State::Note, State::Ok]);
        assert!(
            group.findings[0]
                .found
                .contains("interfaces here: lo, eth0")
        );
        let (group, _) = judged(&["ppp*"]);
        let waits = group.the("interface");
        assert_eq!(waits.state, State::Note);
        assert!(waits.found.contains("waiting for one that matches ppp*"));
    }

    #[test]
    fn one_that_was_named_and_is_down_is_noted() {
        let (group, chosen) = judged(&["eth1"]);
        assert_eq!(chosen, ["eth1"]);
        let down = group.the("eth1");
        assert_eq!(down.state, State::Note);
        assert_eq!(down.help.as_deref(), Some("run ip link set eth1 up"));
    }
}
