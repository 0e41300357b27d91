//! Passes the filters for ports and networks to the programs.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData};
use ipnet::IpNet;
use packet_headers_common::settings;

use super::load::Programs;
use model::{Filters, Wanted};

/// The `FILTER_` bits of these filters: the programs skip the checks that are not needed.
#[must_use]
pub fn bits(filters: &Filters) -> u8 {
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
#[must_use]
pub const fn wanted(filters: &Filters) -> u8 {
    match filters.wanted {
        Wanted::All => settings::WANT_ALL,
        Wanted::Incoming => settings::WANT_INCOMING,
        Wanted::Outgoing => settings::WANT_OUTGOING,
    }
}

/// Fills the programs' maps, before anything is attached.
///
/// # Errors
/// When there are more networks than the maps hold, or the kernel refuses one.
pub fn set(programs: &mut Programs, filters: &Filters) -> Result<()> {
    let ports = programs.ebpf.map_mut(settings::PORTS);
    let ports = ports.context("the eBPF object has no map of ports")?;
    let mut ports: Array<_, u8> = ports.try_into().context("opening the map of ports")?;
    for (list, mark) in [
        (&filters.ports, settings::INCLUDED),
        (&filters.exclude_ports, settings::EXCLUDED),
    ] {
        for &port in list {
            let before = ports.get(&u32::from(port), 0).unwrap_or(0);
            let set = ports.set(u32::from(port), before | mark, 0);
            set.with_context(|| format!("filtering port {port}"))?;
        }
    }
    set_nets(programs, settings::NETS, &filters.nets)?;
    set_nets(programs, settings::EXCLUDED_NETS, &filters.exclude_nets)
}

fn set_nets(programs: &mut Programs, map: &str, nets: &[IpNet]) -> Result<()> {
    ensure!(
        nets.len() <= settings::MAX_NETS as usize,
        "too many networks: --net and --exclude-net accept {} each, not {}",
        settings::MAX_NETS,
        nets.len()
    );
    let trie = programs.ebpf.map_mut(map);
    let trie = trie.with_context(|| format!("the eBPF object has no map {map}"))?;
    let mut trie: LpmTrie<&mut MapData, [u8; 16], u8> = trie
        .try_into()
        .with_context(|| format!("opening the map {map}"))?;
    for net in nets {
        let (bits, octets) = prefix(*net);
        let inserted = trie.insert(&Key::new(bits, octets), 1, 0);
        inserted.with_context(|| format!("filtering network {net}"))?;
    }
    Ok(())
}

/// A network as a prefix of 128-bit addresses. IPv4 becomes v4-mapped.
fn prefix(net: IpNet) -> (u32, [u8; 16]) {
    let bits = u32::from(net.prefix_len());
    match net.network() {
        IpAddr::V4(address) => (96 + bits, address.to_ipv6_mapped().octets()),
        IpAddr::V6(address) => (bits, address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_prefixes_of_128_bits() {
        let (bits, octets) = prefix("10.1.2.3/8".parse().unwrap());
        assert_eq!(bits, 104);
        assert_eq!(octets[10..], [0xff, 0xff, 10, 0, 0, 0]);
        let (bits, octets) = prefix("2001:db8::/32".parse().unwrap());
        assert_eq!(bits, 32);
        assert_eq!(octets[..4], [0x20, 0x01, 0x0d, 0xb8]);
    }

    #[test]
    fn what_is_not_asked_for_is_not_looked_at() {
        assert_eq!(bits(&Filters::default()), 0);
        let filters = Filters {
            ports: vec![443],
            exclude_nets: vec!["10.0.0.0/8".parse().unwrap()],
            ..Filters::default()
        };
        assert_eq!(
            bits(&filters),
            settings::FILTER_PORT | settings::FILTER_EXCLUDE_NET
        );
    }
}
