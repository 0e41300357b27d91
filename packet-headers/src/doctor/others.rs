//! Programs that others have attached to an interface, and the place of ours among them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcMessage, TcOption};

use super::finding::Group;
use crate::host::interfaces::Interface;
use crate::host::netlink::Netlink;
use crate::kernel::Candidate;
use crate::kernel::NETLINK_PRIORITY;
use crate::kernel::attach::tcx_programs;
use model::AttachMethod;

/// The direction in which packets pass an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// The programs of one direction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Hook {
    /// TCX links, in the order in which they run.
    tcx: Vec<String>,
    /// Filters of the clsact or ingress qdisc, by priority.
    filters: Vec<Filter>,
}

/// A TC filter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    priority: u16,
    /// The EtherType of the packets that it sees, in host byte order.
    protocol: u16,
    kind: String,
    /// The names and IDs of its BPF programs.
    programs: Vec<String>,
}

/// The programs of an interface.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Others {
    ingress: Hook,
    egress: Hook,
}

impl Others {
    /// Asks the kernel. The result is empty for a method that other programs do not affect.
    pub(super) async fn on(
        netlink: &mut Netlink,
        interface: &Interface,
        candidate: &Candidate,
    ) -> Result<Self> {
        let mut others = Self::default();
        if matches!(candidate.method, AttachMethod::Socket | AttachMethod::Raw) {
            return Ok(others);
        }
        let index = i32::try_from(interface.index).context("the interface's index is too large")?;
        for direction in [Direction::Ingress, Direction::Egress] {
            let filters = netlink.dump(|handle| {
                let ask = handle.traffic_filter(index).get();
                let ask = match direction {
                    Direction::Ingress => ask.ingress(),
                    Direction::Egress => ask.egress(),
                };
                ask.execute().try_collect::<Vec<_>>()
            });
            let hook = others.hook(direction);
            hook.filters = read_filters(&filters.await.context("listing TC filters")?);
            if candidate.has_tcx {
                hook.tcx = tcx_programs(&interface.name, direction == Direction::Egress)?;
            }
        }
        Ok(others)
    }

    fn hook(&mut self, direction: Direction) -> &mut Hook {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}

/// Filters by priority. The kernel reports each several times, more or less completely.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "filters of many kinds have many attributes; two matter here"
)]
fn read_filters(messages: &[TcMessage]) -> Vec<Filter> {
    let mut filters: BTreeMap<u16, Filter> = BTreeMap::new();
    for message in messages {
        let info = message.header.info;
        let priority = (info >> 16) as u16;
        // The lower half, in network order.
        let protocol = u16::from_be((info & 0xffff) as u16);
        let filter = filters.entry(priority).or_insert_with(|| Filter {
            priority,
            protocol,
            kind: String::new(),
            programs: Vec::new(),
        });
        for attribute in &message.attributes {
            match attribute {
                TcAttribute::Kind(kind) => filter.kind.clone_from(kind),
                TcAttribute::Options(options) => filter.programs.extend(program(options)),
                _ => {}
            }
        }
    }
    filters.into_values().collect()
}

/// The name and ID of a BPF filter's program.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "filters of many kinds have many options; two matter here"
)]
fn program(options: &[TcOption]) -> Option<String> {
    let (mut name, mut id) = (None, None);
    for option in options {
        match option {
            TcOption::Bpf(TcFilterBpfOption::ProgName(text)) => name = Some(text),
            TcOption::Bpf(TcFilterBpfOption::ProgId(number)) => id = Some(number),
            _ => {}
        }
    }
    let id = id.map_or_else(String::new, |id| format!(" (id {id})"));
    name.map(|name| format!("{name}{id}"))
}

/// The prefix of our programs' names.
const OURS: &str = "ph_";

/// `ETH_P_ALL` of linux/if_ether.h: packets of every protocol.
const EVERY_PROTOCOL: u16 = 3;

/// Reports where our programs would run among these.
pub(super) fn judge(group: &mut Group, interface: &str, method: AttachMethod, others: &Others) {
    for (direction, hook) in [("ingress", &others.ingress), ("egress", &others.egress)] {
        judge_tcx(group, interface, method, (direction, &hook.tcx));
        for filter in &hook.filters {
            judge_filter(group, interface, method, (direction, filter));
        }
    }
}

fn judge_tcx(
    group: &mut Group,
    interface: &str,
    method: AttachMethod,
    (direction, programs): (&str, &[String]),
) {
    let (ours, theirs): (Vec<_>, Vec<_>) = programs.iter().partition(|name| name.starts_with(OURS));
    if !ours.is_empty() {
        let found = format!("{direction}: another packet-headers is attached already");
        group.mention(interface, found);
    }
    if theirs.is_empty() {
        return;
    }
    let stands = match (method, direction) {
        (AttachMethod::Tcx, "ingress") => "ours runs first, and sees every packet",
        (AttachMethod::Tcx, _) => "ours runs last, and sees what they let pass",
        (AttachMethod::Netlink | AttachMethod::Socket | AttachMethod::Raw, _) => {
            "they run before TC filters: ours sees what they let pass"
        }
    };
    let theirs: Vec<_> = theirs.into_iter().map(String::as_str).collect();
    let theirs = theirs.join(", ");
    group.mention(
        interface,
        format!("{direction}: TCX program {theirs}; {stands}"),
    );
}

fn judge_filter(
    group: &mut Group,
    interface: &str,
    method: AttachMethod,
    (direction, filter): (&str, &Filter),
) {
    let Filter {
        priority,
        protocol,
        kind,
        programs,
    } = filter;
    let named = if programs.is_empty() {
        kind.clone()
    } else {
        format!("{kind} {}", programs.join(", "))
    };
    let is_ours = programs.iter().any(|name| name.starts_with(OURS));
    if is_ours {
        let found = format!(
            "{direction}: {named}, of a packet-headers that is running or was killed; the next start \
             on this interface replaces it"
        );
        return group.mention(interface, found);
    }
    let found = format!("{direction}: TC filter {named} of priority {priority}");
    let ours_fits = kind == "bpf" && *protocol == EVERY_PROTOCOL;
    match method {
        AttachMethod::Netlink if *priority == NETLINK_PRIORITY && !ours_fits => group.problem(
            interface,
            format!("{found}: it takes the place of ours"),
            "use --attach tcx (Linux 6.6) or --attach socket",
        ),
        AttachMethod::Netlink if *priority == NETLINK_PRIORITY => group.mention(
            interface,
            format!("{found}, like ours: the kernel decides which runs first"),
        ),
        AttachMethod::Netlink | AttachMethod::Tcx | AttachMethod::Socket | AttachMethod::Raw => {
            group.mention(
                interface,
                format!("{found}; ours runs first, and also sees what it drops"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn filter(priority: u16, kind: &str, programs: &[&str]) -> Filter {
        Filter {
            priority,
            protocol: EVERY_PROTOCOL,
            kind: kind.to_owned(),
            programs: programs.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn judged(method: AttachMethod, ingress: Hook, egress: Hook) -> Vec<(State, String)> {
        let mut group = Group::new("interfaces");
        judge(&mut group, "eth0", method, &Others { ingress, egress });
        let findings = group.findings.into_iter();
        findings.map(|f| (f.state, f.found)).collect()
    }

    fn with_tcx(names: &[&str]) -> Hook {
        Hook {
            tcx: names.iter().map(|&name| name.to_owned()).collect(),
            ..Hook::default()
        }
    }

    fn with_filter(filter: Filter) -> Hook {
        Hook {
            filters: vec![filter],
            ..Hook::default()
        }
    }

    #[test]
    fn nothing_is_said_of_an_interface_without_programs() {
        let nothing = judged(AttachMethod::Tcx, Hook::default(), Hook::default());
        assert!(nothing.is_empty(), "{nothing:?}");
    }

    #[test]
    fn tcx_programs_are_named_in_order_with_our_place_among_them() {
        let hook = with_tcx(&["cil_from_netdev (id 3)", "acct (id 9)"]);
        let said = judged(AttachMethod::Tcx, hook.clone(), hook.clone());
        assert_eq!(said.len(), 2);
        assert_eq!(said[0].0, State::Note);
        assert!(said[0].1.contains("cil_from_netdev (id 3), acct (id 9)"));
        assert!(said[0].1.starts_with("ingress") && said[0].1.contains("ours runs first"));
        assert!(said[1].1.starts_with("egress") && said[1].1.contains("ours runs last"));
        let said = judged(AttachMethod::Netlink, hook, Hook::default());
        assert!(said[0].1.contains("they run before TC filters"), "{said:?}");
    }

    #[test]
    fn our_own_are_not_taken_for_others() {
        let tcx = with_tcx(&["ph_eth_ingress (id 3)"]);
        let left = with_filter(filter(1, "bpf", &["ph_eth_egress (id 4)"]));
        let said = judged(AttachMethod::Netlink, tcx, left);
        assert!(
            said[0].1.contains("another packet-headers is attached"),
            "{said:?}"
        );
        assert!(said[1].1.contains("replaces it"), "{said:?}");
        assert!(said.iter().all(|(state, _)| *state == State::Note));
    }

    #[test]
    fn a_filter_of_another_kind_in_our_place_is_a_problem_for_filters_only() {
        let taken = with_filter(filter(1, "u32", &[]));
        let said = judged(AttachMethod::Netlink, taken.clone(), Hook::default());
        assert_eq!(said[0].0, State::Problem);
        assert!(said[0].1.contains("TC filter u32 of priority 1"));
        let said = judged(AttachMethod::Tcx, taken, Hook::default());
        assert_eq!(said[0].0, State::Note);
        let later = with_filter(filter(7, "u32", &[]));
        let said = judged(AttachMethod::Netlink, later, Hook::default());
        assert_eq!(said[0].0, State::Note);
        let same = with_filter(filter(1, "bpf", &["other (id 1)"]));
        let said = judged(AttachMethod::Netlink, same, Hook::default());
        assert_eq!(said[0].0, State::Note);
    }
}
