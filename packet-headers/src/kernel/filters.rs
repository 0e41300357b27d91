//! Which connections the programs take, and for how long: set before anything is attached, and changed
//! while they run.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, Map, MapData, MapError};
use ipnet::IpNet;
use kernel_arrays::{Access, KernelArray};
use packet_headers_common::selection::{NetKey, SET_BITS, Set};
use packet_headers_common::{Selection, settings};

use model::{Filters, Wanted};

use super::grace::wait_for_programs;

/// The filters of the programs.
pub struct KernelFilters {
    choice: KernelArray,
    ports: Array<MapData, u8>,
    nets: LpmTrie<MapData, NetKey, u8>,
    /// The set that is in force.
    set: Set,
    /// What the maps may have of each set.
    there: [Marks; 2],
}

/// The ports and networks that filters name, with their marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Marks {
    ports: BTreeMap<u16, u8>,
    /// By prefix: addresses and lengths in bits, of 128.
    nets: BTreeMap<([u8; 16], u32), u8>,
}

impl KernelFilters {
    /// The filters of programs with these maps, which take every connection, and capture none: the choice,
    /// ports and networks.
    ///
    /// # Errors
    /// When one is not the map that it should be, or the kernel does not map it.
    pub(super) fn new(choice: Map, ports: Map, nets: Map) -> Result<Self> {
        let Map::Array(choice) = choice else {
            bail!("the choice is no array");
        };
        let choice = KernelArray::new(choice.fd().as_fd(), 3, size_of::<u64>(), Access::Write);
        Ok(Self {
            choice: choice.context("mapping the choice")?,
            ports: ports.try_into().context("opening the map of ports")?,
            nets: nets.try_into().context("opening the map of networks")?,
            set: Set::default(),
            there: Default::default(),
        })
    }

    /// Puts other filters in force, for connections that begin from now on. No program sees a part of
    /// them. Calls `before` when they are going to be, and nothing can be refused any more. Blocks until
    /// no program sees the former ones, some twenty milliseconds.
    ///
    /// # Errors
    /// When there are more networks than the map may have, or the kernel refuses one. Then the former
    /// filters stay in force.
    pub fn replace(&mut self, filters: &Filters, before: impl FnOnce()) -> Result<()> {
        let marks = Marks::of(filters)?;
        let (former, next) = (self.set, self.set.other());
        self.clear(next).context("making room for other filters")?;
        if let Err(error) = self.fill(next, &marks) {
            // What is left is in the way of nobody, and removed before the next attempt.
            let _in_the_maps = self.clear(next);
            return Err(error);
        }
        if self.there[next.index()] != Marks::default() {
            // A program loads which set is in force, and then its marks; but not every processor loads in that
            // order (arm64). Those that may have loaded marks too early end before they can find the set.
            wait_for_programs();
        }
        let selection = Selection::new(checks(filters), direction(filters), next);
        before();
        self.store(settings::SELECTION, selection.to_bits());
        self.set = next;
        if self.there[former.index()] != Marks::default() {
            wait_for_programs();
            if let Err(error) = self.clear(former) {
                tracing::debug!("former filters stay in memory: {error:#}");
            }
        }
        Ok(())
    }

    /// Sets for how long connections are captured that are established from now on.
    pub fn set_capture(&self, capture: Duration) {
        let nanos = u64::try_from(capture.as_nanos()).unwrap_or(u64::MAX);
        // The programs add it to the time.
        self.store(settings::CAPTURE_NS, nanos.min(u64::MAX / 2));
    }

    /// Sets for how long UDP flows may be silent.
    pub fn set_udp_silence(&self, silence: Duration) {
        let nanos = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
        self.store(settings::UDP_SILENCE_NS, nanos);
    }

    fn store(&self, place: u32, number: u64) {
        if let Some(place) = self.choice.u64_at(place, 0) {
            place.store(number, Ordering::Release);
        }
    }

    /// Fills a set that is empty and not in force.
    fn fill(&mut self, set: Set, marks: &Marks) -> Result<()> {
        // Before it is there: nothing is forgotten when the kernel refuses the rest.
        self.there[set.index()].clone_from(marks);
        for (&port, &marks) in &marks.ports {
            mark_port(&mut self.ports, port, (set, marks))?;
        }
        for (&(address, bits), &marks) in &marks.nets {
            let key = Key::new(SET_BITS + bits, set.net(address));
            let inserted = self.nets.insert(&key, marks, 0);
            inserted.with_context(|| {
                format!("filtering network {}", IpAddr::from(address).to_canonical())
            })?;
        }
        Ok(())
    }

    /// Empties a set that no program looks at.
    fn clear(&mut self, set: Set) -> Result<()> {
        let there = &self.there[set.index()];
        for &port in there.ports.keys() {
            mark_port(&mut self.ports, port, (set, 0))?;
        }
        for &(address, bits) in there.nets.keys() {
            let key = Key::new(SET_BITS + bits, set.net(address));
            match self.nets.remove(&key) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error).context("removing a network"),
            }
        }
        self.there[set.index()] = Marks::default();
        Ok(())
    }
}

/// Marks a port in one set.
fn mark_port(ports: &mut Array<MapData, u8>, port: u16, (set, marks): (Set, u8)) -> Result<()> {
    let before = ports.get(&u32::from(port), 0);
    let before = before.with_context(|| format!("reading the filter of port {port}"))?;
    let written = ports.set(u32::from(port), set.marked(before, marks), 0);
    written.with_context(|| format!("filtering port {port}"))
}

/// The checks that these filters need.
fn checks(filters: &Filters) -> u8 {
    let bit = |asked: bool, bit: u8| if asked { bit } else { 0 };
    bit(!filters.ports.is_empty(), settings::FILTER_PORT)
        | bit(
            !filters.exclude_ports.is_empty(),
            settings::FILTER_EXCLUDE_PORT,
        )
        | bit(!filters.nets.is_empty(), settings::FILTER_NET)
        | bit(
            !filters.exclude_nets.is_empty(),
            settings::FILTER_EXCLUDE_NET,
        )
}

/// The `WANT_` value of these filters.
const fn direction(filters: &Filters) -> u8 {
    match filters.wanted {
        Wanted::All => settings::WANT_ALL,
        Wanted::Incoming => settings::WANT_INCOMING,
        Wanted::Outgoing => settings::WANT_OUTGOING,
    }
}

impl Marks {
    /// What these filters name.
    fn of(filters: &Filters) -> Result<Self> {
        let mut marks = Self::default();
        let lists = [
            (&filters.ports, &filters.nets, settings::INCLUDED),
            (
                &filters.exclude_ports,
                &filters.exclude_nets,
                settings::EXCLUDED,
            ),
        ];
        for (ports, nets, mark) in lists {
            ensure!(
                nets.len() <= settings::MAX_NETS as usize,
                "too many networks: --net and --exclude-net accept {} each, not {}",
                settings::MAX_NETS,
                nets.len()
            );
            for port in ports {
                *marks.ports.entry(*port).or_default() |= mark;
            }
            for net in nets {
                *marks.nets.entry(prefix(*net)).or_default() |= mark;
            }
        }
        marks.inherit();
        Ok(marks)
    }

    /// Gives each network the marks of those that contain it: the programs find the longest prefix only.
    fn inherit(&mut self) {
        // In order, those that contain a network come before it, the longest last.
        let mut around: Vec<([u8; 16], u32, u8)> = Vec::new();
        for (&(address, bits), marks) in &mut self.nets {
            around.retain(|(outer, bits, _)| agree(outer, &address, *bits));
            if let Some((.., outer)) = around.last() {
                *marks |= outer;
            }
            around.push((address, bits, *marks));
        }
    }
}

/// Whether the first bits of two addresses are the same.
fn agree(one: &[u8; 16], other: &[u8; 16], bits: u32) -> bool {
    let differ = u128::from_be_bytes(*one) ^ u128::from_be_bytes(*other);
    differ.leading_zeros() >= bits
}

/// A network as a prefix of 128-bit addresses. IPv4 becomes v4-mapped.
fn prefix(net: IpNet) -> ([u8; 16], u32) {
    let bits = u32::from(net.prefix_len());
    match net.network() {
        IpAddr::V4(address) => (address.to_ipv6_mapped().octets(), 96 + bits),
        IpAddr::V6(address) => (address.octets(), bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(nets: &[&str]) -> Vec<IpNet> {
        nets.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn networks_are_prefixes_of_128_bits() {
        let (octets, bits) = prefix("10.1.2.3/8".parse().unwrap());
        assert_eq!(bits, 104);
        assert_eq!(octets[10..], [0xff, 0xff, 10, 0, 0, 0]);
        let (octets, bits) = prefix("2001:db8::/32".parse().unwrap());
        assert_eq!(bits, 32);
        assert_eq!(octets[..4], [0x20, 0x01, 0x0d, 0xb8]);
    }

    #[test]
    fn what_is_not_asked_for_is_not_looked_at() {
        assert_eq!(checks(&Filters::default()), 0);
        let filters = Filters {
            ports: vec![443],
            exclude_nets: nets(&["10.0.0.0/8"]),
            ..Filters::default()
        };
        assert_eq!(
            checks(&filters),
            settings::FILTER_PORT | settings::FILTER_EXCLUDE_NET
        );
    }

    #[test]
    fn a_network_has_the_marks_of_those_that_contain_it() {
        let marks = Marks::of(&Filters {
            nets: nets(&["10.0.0.0/8", "10.1.2.0/24", "2001:db8::/32", "::/0"]),
            exclude_nets: nets(&["10.1.0.0/16", "10.1.2.3/32", "10.2.0.0/16", "192.0.2.0/24"]),
            ..Filters::default()
        });
        let marks = marks.unwrap();
        let of = |net: &str| marks.nets[&prefix(net.parse().unwrap())];
        let (included, both) = (settings::INCLUDED, settings::INCLUDED | settings::EXCLUDED);
        for (net, found) in [
            ("::/0", included),
            ("10.0.0.0/8", included),
            ("10.1.0.0/16", both),
            ("10.1.2.0/24", both),
            ("10.1.2.3/32", both),
            ("10.2.0.0/16", both),
            ("192.0.2.0/24", both),
            ("2001:db8::/32", included),
        ] {
            assert_eq!(of(net), found, "{net}");
        }
    }

    #[test]
    fn marks_are_those_that_the_filters_themselves_find() {
        // Every way to choose from nested networks, and addresses within and beside each.
        let all = [
            "10.0.0.0/8",
            "10.128.0.0/9",
            "10.128.0.0/16",
            "10.128.0.1/32",
            "11.0.0.0/8",
        ];
        let addresses = [
            "10.0.0.1",
            "10.128.0.1",
            "10.128.0.2",
            "10.129.0.0",
            "11.0.0.0",
            "12.0.0.0",
        ];
        for chosen in 0..1_u32 << (2 * all.len()) {
            let pick = |from: usize| -> Vec<IpNet> {
                let has = |at: &usize| chosen >> (from + at) & 1 == 1;
                let places = (0..all.len()).filter(has);
                places.map(|at| all[at].parse().unwrap()).collect()
            };
            let (included, excluded) = (pick(0), pick(all.len()));
            let marks = Marks::of(&Filters {
                nets: included.clone(),
                exclude_nets: excluded.clone(),
                ..Filters::default()
            });
            let marks = marks.unwrap();
            for address in addresses {
                let address: IpAddr = address.parse().unwrap();
                let (octets, _) = prefix(address.into());
                let around = marks
                    .nets
                    .iter()
                    .filter(|((net, bits), _)| agree(net, &octets, *bits));
                let longest = around.max_by_key(|((_, bits), _)| *bits);
                let found = longest.map_or(0, |(_, marks)| *marks);
                let mark = |nets: &[IpNet], mark: u8| {
                    if nets.iter().any(|net| net.contains(&address)) {
                        mark
                    } else {
                        0
                    }
                };
                let wanted =
                    mark(&included, settings::INCLUDED) | mark(&excluded, settings::EXCLUDED);
                assert_eq!(found, wanted, "{address} in {included:?}, {excluded:?}");
            }
        }
    }

    #[test]
    fn too_many_networks_are_refused() {
        let net: IpNet = "10.0.0.0/8".parse().unwrap();
        let filters = |number| Filters {
            exclude_nets: vec![net; number],
            ..Filters::default()
        };
        Marks::of(&filters(4096)).unwrap();
        let refused = Marks::of(&filters(4097)).unwrap_err().to_string();
        assert!(refused.contains("accept 4096 each, not 4097"), "{refused}");
    }
}
