//! Connections through devices that put headers in front of the packet, captured where these are on
//! the wire.

use std::fs::File;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::tcpdump::{TCP, Tcpdump};
use end_to_end::traffic::pair::Pair;
use end_to_end::world::netns::{self, Lab, WAN};
use pcap_file::pcap::PcapReader;

/// The device, at both ends.
const DEVICE: &str = "over0";
/// Lengths of headers, in bytes.
const ETHERNET_LEN: usize = 14;
const VLAN_TAG_LEN: usize = 4;
const IPV4_LEN: usize = 20;
const UDP_LEN: usize = 8;
const GRE_LEN: usize = 4;
const GENEVE_LEN: usize = 8;
const VXLAN_LEN: usize = 8;

/// Makes the device at both ends by `ip link add`; `arguments` gives those of an end with the local
/// and the remote address.
fn join(lab: &Lab, arguments: impl Fn(&str, &str) -> String) -> Result<()> {
    let [ours, theirs] = [netns::first(0)[0], netns::second(0)[0]].map(|ip| ip.to_string());
    for (namespace, local, remote, [v4, v6]) in [
        (&lab.host, &ours, &theirs, netns::first(1)),
        (&lab.peer, &theirs, &ours, netns::second(1)),
    ] {
        namespace.ip_batch(&format!(
            "link add {DEVICE} {}\n\
             addr add {v4}/24 dev {DEVICE}\n\
             addr add {v6}/64 dev {DEVICE} nodad\n\
             link set {DEVICE} up\n",
            arguments(local, remote)
        ))?;
    }
    Ok(())
}

/// Captures at [`WAN`] a connection of each version of IP that passes the device. Each packet that
/// tcpdump sees at the device must be in the connection's file, from its IP header to the end of
/// its TCP header, with `outer` more bytes of headers in front. Returns the records of all files.
fn capture(lab: &Lab, outer: usize) -> Result<Vec<Vec<u8>>> {
    let tcpdump = Tcpdump::start_on((&lab.host, DEVICE), TCP)?;
    let mut daemon = Daemon::start(lab, &["--decapsulate=true"])?;
    let mut connections = Vec::new();
    for address in netns::first(1) {
        let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
        connections.push(pair.accepted()?);
        pair.finish()?;
    }
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    stopped.captures.no_payload()?;
    let oracle = tcpdump.stop()?;
    let files = stopped.captures.published()?;
    ensure!(files.len() == connections.len(), "{files:?}");
    let mut all = Vec::new();
    for connection in &connections {
        let file = files.get(&kernel_uuid(connection));
        let file = file.with_context(|| format!("no file of {connection}"))?;
        let mut ours = Vec::new();
        let mut reader = PcapReader::new(File::open(file)?)?;
        while let Some(packet) = reader.next_packet() {
            ours.push(packet?.data.into_owned());
        }
        all.extend(ours.iter().cloned());
        for packet in oracle.packets_of(connection)? {
            let inner = &packet.captured[ETHERNET_LEN..packet.header_len];
            let is_it = |our: &Vec<u8>| {
                our.len() == ETHERNET_LEN + outer + inner.len() && our.ends_with(inner)
            };
            let found = ours.iter().position(is_it);
            let found = found.with_context(|| format!("we lack {packet} of {connection}"))?;
            ours.remove(found);
        }
        ensure!(ours.is_empty(), "{} packets too many", ours.len());
    }
    Ok(all)
}

#[test]
fn a_vlan() -> Result<()> {
    let lab = Lab::new()?;
    join(&lab, |_, _| format!("link {WAN} type vlan id 7"))?;
    for packet in capture(&lab, VLAN_TAG_LEN)? {
        assert_eq!(packet[12..16], [0x81, 0x00, 0x00, 0x07]);
    }
    Ok(())
}

#[test]
fn gre() -> Result<()> {
    let lab = Lab::new()?;
    join(&lab, |local, remote| {
        format!("type gretap local {local} remote {remote}")
    })?;
    capture(&lab, ETHERNET_LEN + IPV4_LEN + GRE_LEN).map(drop)
}

#[test]
fn geneve() -> Result<()> {
    let lab = Lab::new()?;
    join(&lab, |_, remote| {
        format!("type geneve id 7 remote {remote}")
    })?;
    capture(&lab, ETHERNET_LEN + IPV4_LEN + UDP_LEN + GENEVE_LEN).map(drop)
}

#[test]
fn vxlan() -> Result<()> {
    let lab = Lab::new()?;
    join(&lab, |local, remote| {
        format!("type vxlan id 7 dstport 4789 local {local} remote {remote}")
    })?;
    capture(&lab, ETHERNET_LEN + IPV4_LEN + UDP_LEN + VXLAN_LEN).map(drop)
}
