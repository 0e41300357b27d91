//! What a link does to TCP's packets: how large they may be, and which of them are lost.

use anyhow::Result;

use crate::world::command::output_of;
use crate::world::netns::{self, Lab, Namespace, WAN};
use crate::world::python;

/// The peer's interface to the namespace behind it.
const LAN: &str = "lan0";

/// A classic BPF program that drops (2: `TC_ACT_SHOT`) a random sixteenth of the packets that are
/// longer than 500 bytes, and leaves the others alone (-1: `TC_ACT_UNSPEC`).
const DROPS: &str = "7,128 0 0 0,37 0 4 500,32 0 0 4294963256,84 0 0 15,21 0 1 0,6 0 0 2,\
    6 0 0 4294967295";

/// Sets the MTU of [`WAN`] at both ends.
///
/// # Errors
/// What `ip` printed.
pub fn set_mtu(lab: &Lab, mtu: usize) -> Result<()> {
    for namespace in [&lab.host, &lab.peer] {
        namespace.ip(&["link", "set", WAN, "mtu", &mtu.to_string()])?;
    }
    Ok(())
}

/// Lets [`WAN`] carry packets of `bytes` bytes at both ends, more than an IP header can express
/// (BIG TCP).
///
/// # Errors
/// A kernel without it.
pub fn allow_packets_of(lab: &Lab, bytes: usize) -> Result<()> {
    for namespace in [&lab.host, &lab.peer] {
        let mut command = python::program("big_tcp.py")?;
        command.args([WAN, &bytes.to_string()]);
        namespace.run(|| output_of(&mut command, "python3"))?;
    }
    Ok(())
}

/// Makes TCP send each segment in a packet of its own, on connections from now on.
///
/// # Errors
/// What `ip` printed.
pub fn send_single_segments(namespace: &Namespace) -> Result<()> {
    namespace.ip(&["link", "set", WAN, "gso_max_segs", "1"])
}

/// A namespace behind the peer, whose address in subnet 1 the host reaches by a path that loses
/// packets in both directions. They are dropped on the path, not at an end: TCP notices when its
/// own host drops what it sends, and a drop of what arrives would come before or after the taps
/// that the tests compare. Each segment is sent in a packet of its own, so that it is lost alone.
///
/// # Errors
/// `ip` or `tc` is missing, or the kernel has no `cls_bpf`.
pub fn behind_losses(lab: &Lab) -> Result<Namespace> {
    let far = behind_the_peer(lab)?;
    for namespace in [&lab.host, &far] {
        send_single_segments(namespace)?;
    }
    for interface in [WAN, LAN] {
        lab.peer.tc(&["qdisc", "add", "dev", interface, "clsact"])?;
        let at = ["filter", "add", "dev", interface, "ingress"];
        let drops = ["bpf", "da", "bytecode", DROPS];
        lab.peer.tc(&[&at[..], &drops].concat())?;
    }
    Ok(far)
}

/// A namespace behind the peer, whose addresses in subnet 1 the host reaches by way of it.
///
/// # Errors
/// What `ip` printed.
pub fn behind_the_peer(lab: &Lab) -> Result<Namespace> {
    let far = Namespace::add("far")?;
    netns::join((&lab.peer, LAN), (&far, WAN), 1)?;
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        lab.peer.sysctl(setting, "1")?;
    }
    for (namespace, [via, to]) in [
        (&lab.host, [netns::second(0), netns::second(1)]),
        (&far, [netns::first(1), netns::first(0)]),
    ] {
        for (via, to) in via.into_iter().zip(to) {
            namespace.ip(&["route", "add", &to.to_string(), "via", &via.to_string()])?;
        }
    }
    Ok(far)
}

/// Lets the peer forward no packet of more than `mtu` bytes to [`behind_the_peer`]; the ends of the link do not
/// know.
///
/// # Errors
/// What `ip` printed.
pub fn narrow(lab: &Lab, mtu: usize) -> Result<()> {
    let mtu = mtu.to_string();
    for to in netns::second(1) {
        let route = ["route", "add", &to.to_string(), "dev", LAN];
        lab.peer
            .ip(&[&route[..], &["mtu", "lock", &mtu]].concat())?;
    }
    Ok(())
}
