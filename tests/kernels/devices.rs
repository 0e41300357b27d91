//! Connections through devices that put something before the packet, captured where it is on the wire.

use std::fs::File;

use anyhow::{Context, Result, ensure};
use end_to_end::peers::daemon::{Daemon, kernel_uuid};
use end_to_end::peers::tcpdump::Tcpdump;
use end_to_end::traffic::pair::Pair;
use end_to_end::world::netns::{self, Lab, WAN};
use pcap_file::pcap::PcapReader;

/// The device, at both ends.
const DEVICE: &str = "over0";
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// What stands before the inner packet's IP header and is not in the device's own packets.
type Before = usize;

/// Makes the device at both ends; `arguments` of `ip link add`, each end's given the other's address.
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

/// Captures a connection of each version of IP at [`WAN`] while it passes the device; each packet that
/// tcpdump sees at the device is in its file, from the IP header to the end of the TCP header, behind so
/// many bytes more.
fn capture(lab: &Lab, before: Before) -> Result<Vec<Vec<u8>>> {
    let tcpdump = Tcpdump::start_on((&lab.host, DEVICE), 0, "tcp")?;
    let flags = ["--flow-source=kernel", "--decapsulate=true"];
    let mut daemon = Daemon::start(lab, &flags)?;
    let mut connections = Vec::new();
    for address in netns::first(1) {
        let pair = Pair::open((&lab.host, (address, 0).into()), &lab.peer)?;
        connections.push(pair.accepted()?);
        pair.finish()?;
    }
    daemon.wait_for_files(connections.len())?;
    let stopped = daemon.stop()?;
    stopped.summary.in_balance()?;
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
        for packet in oracle.connection(connection.host, connection.peer, 0)? {
            let inner = &packet.captured[ETHERNET..packet.header_len];
            let is_it = |our: &Vec<u8>| {
                our.len() == ETHERNET + before + inner.len() && our.ends_with(inner)
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
    for packet in capture(&lab, 4)? {
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
    capture(&lab, ETHERNET + IPV4 + 4).map(drop)
}

#[test]
fn geneve() -> Result<()> {
    let lab = Lab::new()?;
    join(&lab, |_, remote| {
        format!("type geneve id 7 remote {remote}")
    })?;
    capture(&lab, ETHERNET + IPV4 + UDP + 8).map(drop)
}

#[test]
fn vxlan() -> Result<()> {
    let lab = Lab::new()?;
    join(&lab, |local, remote| {
        format!("type vxlan id 7 dstport 4789 local {local} remote {remote}")
    })?;
    capture(&lab, ETHERNET + IPV4 + UDP + 8).map(drop)
}
