//! Puts the programs where packets and sockets pass. A link that is dropped is detached.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::sock_ops::SockOpsLink;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact,
    qdisc_detach_program,
};
use aya::programs::{CgroupAttachMode, LinkOrder, TcAttachType};
use packet_headers_common::LinkType;

use super::load::Programs;
use super::requirements;
use crate::interfaces::Interface;

/// Both directions of one interface.
#[derive(Debug)]
pub struct CaptureLinks {
    _ingress: SchedClassifierLink,
    _egress: SchedClassifierLink,
}

/// The priority of our netlink filters: before most, so that we see packets that others drop.
const NETLINK_PRIORITY: u16 = 1;

/// The handle of our netlink filters, by which they differ from others of the same priority.
const NETLINK_HANDLE: TcHandle = TcHandle::new(0, 0x7068);

impl CaptureLinks {
    /// Attaches the classifiers to both directions of an interface: first on ingress and last on
    /// egress, so that they see what the wire sees.
    ///
    /// # Errors
    /// When the kernel refuses, with the interface and direction in the message.
    pub fn attach(programs: &mut Programs, interface: &Interface) -> Result<Self> {
        let (ingress, egress) = match interface.link_type {
            LinkType::Ethernet => ("ph_eth_ingress", "ph_eth_egress"),
            LinkType::RawIp => ("ph_raw_ingress", "ph_raw_egress"),
        };
        let name = interface.name.as_str();
        if !has_tcx() {
            prepare_clsact(name);
        }
        let ingress = attach(programs, ingress, name, TcAttachType::Ingress)
            .with_context(|| format!("attaching to what {name} receives"))?;
        let egress = attach(programs, egress, name, TcAttachType::Egress)
            .with_context(|| format!("attaching to what {name} sends"))?;
        Ok(Self {
            _ingress: ingress,
            _egress: egress,
        })
    }
}

/// Whether the kernel attaches classifiers by links: since 6.6.
fn has_tcx() -> bool {
    requirements::kernel_is_at_least(6, 6)
}

/// Makes sure of the clsact qdisc. It stays when we leave: others may have come to use it.
fn prepare_clsact(interface: &str) {
    if let Err(error) = qdisc_add_clsact(interface) {
        // It is there already more often than not; if it really is missing, attaching says so.
        tracing::debug!("{interface}: no new clsact qdisc: {error}");
    }
}

fn attach(
    programs: &mut Programs,
    program: &str,
    interface: &str,
    direction: TcAttachType,
) -> Result<SchedClassifierLink> {
    let options = if has_tcx() {
        TcAttachOptions::TcxOrder(match direction {
            TcAttachType::Egress => LinkOrder::last(),
            TcAttachType::Ingress | TcAttachType::Custom(_) => LinkOrder::first(),
        })
    } else {
        // What an earlier run left behind when it was killed; it bears our name.
        if qdisc_detach_program(interface, direction, program).is_ok() {
            tracing::info!("{interface}: removed the {program} of an earlier run");
        }
        TcAttachOptions::Netlink(NlOptions {
            priority: NETLINK_PRIORITY,
            handle: NETLINK_HANDLE,
            ..NlOptions::default()
        })
    };
    let program = programs.classifier(program)?;
    let link = program.attach_with_options(interface, direction, options)?;
    Ok(program.take_link(link)?)
}

/// The program that watches sockets, on a cgroup.
#[derive(Debug)]
pub struct SocketLink {
    _link: SockOpsLink,
}

impl SocketLink {
    /// Attaches to a cgroup: the sockets of every process in it and below are watched.
    ///
    /// # Errors
    /// When the directory cannot be opened or the kernel refuses.
    pub fn attach(programs: &mut Programs, cgroup: &Path) -> Result<Self> {
        let directory =
            File::open(cgroup).with_context(|| format!("opening cgroup {}", cgroup.display()))?;
        let program = programs.socket_program()?;
        // With links, Single is the mode that the kernel takes; it does not keep others away.
        let link = program
            .attach(directory, CgroupAttachMode::Single)
            .with_context(|| format!("attaching to cgroup {}", cgroup.display()))?;
        let link = program.take_link(link)?;
        Ok(Self { _link: link })
    }
}
