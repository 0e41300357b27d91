//! What a link does to the packets of TCP: how large they may be, and which of them are lost.

use std::process::Command;

use anyhow::{Context, Result};

use crate::peers::scapy;
use crate::traffic::ends;
use crate::world::netns::{self, Lab, Namespace, WAN};
use crate::world::process::{Process, output_of};

/// The peer's interface to what is behind it.
const LAN: &str = "lan0";

/// The program that lifts the limits of an interface.
const BIG_TCP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/big_tcp.py");

/// A classic BPF program that drops (2: `TC_ACT_SHOT`) one in sixteen of the packets that are longer
/// than 500 bytes, by chance, and leaves the others (-1: `TC_ACT_UNSPEC`).
const DROPS: &str = "7,128 0 0 0,37 0 4 500,32 0 0 4294963256,84 0 0 15,21 0 1 0,6 0 0 2,\
    6 0 0 4294967295";

/// Sets the MTU of [`WAN`] at both ends.
///
/// # Errors
/// What `ip` said.
pub fn set_mtu(lab: &Lab, mtu: usize) -> Result<()> {
    for namespace in [&lab.host, &lab.peer] {
        namespace.ip(&["link", "set", WAN, "mtu", &mtu.to_string()])?;
    }
    Ok(())
}

/// Lets [`WAN`] carry packets of so many bytes at both ends, more than an IP header has room for
/// (BIG TCP).
///
/// # Errors
/// A kernel without it.
pub fn allow_packets_of(lab: &Lab, bytes: usize) -> Result<()> {
    for namespace in [&lab.host, &lab.peer] {
        let mut command = Command::new(scapy::python()?);
        command.args([BIG_TCP, WAN, &bytes.to_string()]);
        let mut program = Process::start(namespace, &mut command)?;
        let status = program.wait(ends::LIMIT)?;
        anyhow::ensure!(status.success(), "{}", program.transcript());
    }
    Ok(())
}

/// Has TCP make no packet of several segments, for connections from now on.
///
/// # Errors
/// What `ip` said.
pub fn send_single_segments(namespace: &Namespace) -> Result<()> {
    namespace.ip(&["link", "set", WAN, "gso_max_segs", "1"])
}

/// A namespace behind the peer, whose address in subnet 1 the host reaches by a way on which packets
/// of both directions are lost. Not by a drop on either end: what a host drops itself is not lost to
/// its TCP, and what comes is dropped too early or too late for who else looks at it. Each segment
/// is sent on its own, so that it is lost on its own.
///
/// # Errors
/// `ip` or `tc` is missing, or the kernel has no `cls_bpf`.
pub fn behind_losses(lab: &Lab) -> Result<Namespace> {
    let far = Namespace::add("far")?;
    netns::join((&lab.peer, LAN), (&far, WAN), 1)?;
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        lab.peer.sysctl(setting, "1")?;
    }
    for (namespace, [via, to]) in [
        (&lab.host, [netns::second(0), netns::second(1)]),
        (&far, [netns::first(1), netns::first(0)]),
    ] {
        send_single_segments(namespace)?;
        for (via, to) in via.into_iter().zip(to) {
            namespace.ip(&["route", "add", &to.to_string(), "via", &via.to_string()])?;
        }
    }
    for interface in [WAN, LAN] {
        tc(&lab.peer, &["qdisc", "add", "dev", interface, "clsact"])?;
        let at = ["filter", "add", "dev", interface, "ingress"];
        let drops = ["bpf", "da", "bytecode", DROPS];
        tc(&lab.peer, &[at.as_slice(), &drops].concat())?;
    }
    Ok(far)
}

fn tc(namespace: &Namespace, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("tc");
    command.args(["-n", namespace.name()]).args(arguments);
    output_of(&mut command, "iproute2").map(drop).context("tc")
}
