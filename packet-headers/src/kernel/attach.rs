//! Attaches the programs to interfaces and sockets. Dropping a link detaches its program.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::programs::sock_ops::SockOpsLink;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact,
    qdisc_detach_program,
};
use aya::programs::{CgroupAttachMode, LinkOrder, SchedClassifier, TcAttachType};
use packet_headers_common::LinkType;
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};

use super::load::Programs;
use super::packet_socket::{PacketSocket, Shown};
use crate::host::interfaces::Interface;
use model::AttachMethod;

/// Attaches programs to interfaces.
pub(crate) trait Attach {
    /// The attachment to one interface. Dropping it detaches.
    type Link;

    /// Attaches to an interface.
    fn attach(&mut self, interface: &Interface) -> Result<Self::Link>;

    /// Whether the programs are still attached.
    fn is_attached(&mut self, interface: &Interface) -> bool;
}

/// The programs, and how they are attached.
#[derive(Debug)]
pub struct Attacher {
    programs: Programs,
    method: AttachMethod,
    /// Open with [`AttachMethod::Socket`] only.
    socket: Option<PacketSocket>,
}

/// The attachment to both directions of one interface.
#[derive(Debug)]
pub enum CaptureLinks {
    /// A classifier for ingress, and one for egress.
    Classifiers(SchedClassifierLink, SchedClassifierLink),
    /// The packet socket's program takes both directions.
    Shown(Shown),
}

/// The priority of our netlink filters: before most others, so that we see packets that they drop.
pub(crate) const NETLINK_PRIORITY: u16 = 1;

/// The handle of our netlink filters, which tells them from others of the same priority.
const NETLINK_HANDLE: TcHandle = TcHandle::new(0, 0x7068);

/// What to do when TC does not accept a program.
const ELSEWHERE: &str = " (if TC cannot be used here, try --attach socket)";

impl Attacher {
    /// Takes over the loaded programs.
    ///
    /// # Errors
    /// When the method needs a packet socket, and the kernel refuses it.
    pub fn new(mut programs: Programs, method: AttachMethod) -> Result<Self> {
        let socket = match method {
            AttachMethod::Tcx | AttachMethod::Netlink => None,
            AttachMethod::Socket => Some(PacketSocket::open(&mut programs)?),
        };
        Ok(Self {
            programs,
            method,
            socket,
        })
    }

    /// The programs.
    pub const fn programs(&mut self) -> &mut Programs {
        &mut self.programs
    }

    fn attach_to(
        &mut self,
        interface: &str,
        program: &str,
        direction: TcAttachType,
    ) -> Result<SchedClassifierLink> {
        let options = if self.method == AttachMethod::Tcx {
            TcAttachOptions::TcxOrder(match direction {
                TcAttachType::Egress => LinkOrder::last(),
                TcAttachType::Ingress | TcAttachType::Custom(_) => LinkOrder::first(),
            })
        } else {
            // An earlier run that was killed may have left its filter, which has our name.
            if qdisc_detach_program(interface, direction, program).is_ok() {
                tracing::info!("{interface}: removed the filter {program} of an earlier run");
            }
            TcAttachOptions::Netlink(NlOptions {
                priority: NETLINK_PRIORITY,
                handle: NETLINK_HANDLE,
                ..NlOptions::default()
            })
        };
        let program = self.programs.classifier(program)?;
        let link = program.attach_with_options(interface, direction, options)?;
        Ok(program.take_link(link)?)
    }
}

impl Attach for Attacher {
    type Link = CaptureLinks;

    /// Attaches the classifiers to both directions of an interface: first on ingress and last on
    /// egress, so that they see what is on the wire. With a packet socket, lets its program take the
    /// interface's packets.
    fn attach(&mut self, interface: &Interface) -> Result<CaptureLinks> {
        if let Some(socket) = &self.socket {
            return Ok(CaptureLinks::Shown(socket.show(interface)?));
        }
        let [ingress, egress] = classifiers(interface.link_type);
        let name = interface.name.as_str();
        if self.method == AttachMethod::Netlink {
            prepare_clsact(name);
        }
        let ingress = self
            .attach_to(name, ingress, TcAttachType::Ingress)
            .with_context(|| format!("attaching to ingress of {name}{ELSEWHERE}"))?;
        let egress = self
            .attach_to(name, egress, TcAttachType::Egress)
            .with_context(|| format!("attaching to egress of {name}{ELSEWHERE}"))?;
        // Programs are attached by name, and another interface may have got the name meanwhile.
        let index = index_of(name)?;
        ensure!(
            index == interface.index,
            "{name} is another interface by now (index {index}, not {})",
            interface.index
        );
        Ok(CaptureLinks::Classifiers(ingress, egress))
    }

    /// Tries to attach again: TCX refuses a program that is attached already. Filters are assumed to
    /// be there. Listing programs would need a privilege that has been dropped.
    fn is_attached(&mut self, interface: &Interface) -> bool {
        let programs = classifiers(interface.link_type);
        let directions = [TcAttachType::Ingress, TcAttachType::Egress];
        let mut both = programs.into_iter().zip(directions);
        self.method != AttachMethod::Tcx
            || both.all(|(program, direction)| {
                // On an error it is attached, or the interface has just left: no reason to attach
                // again. If it was not attached, it is for a moment, until this link is dropped.
                self.attach_to(&interface.name, program, direction).is_err()
            })
    }
}

/// The names and IDs of all TCX programs of one direction of an interface, in the order in which they
/// run.
pub(crate) fn tcx_programs(interface: &str, egress: bool) -> Result<Vec<String>> {
    let direction = if egress {
        TcAttachType::Egress
    } else {
        TcAttachType::Ingress
    };
    let listed = SchedClassifier::query_tcx(interface, direction);
    let (_, programs) =
        listed.with_context(|| format!("listing the TCX programs of {interface}"))?;
    let programs = programs.iter().map(|info| {
        let name = info.name_as_str().unwrap_or("?");
        format!("{name} (id {})", info.id())
    });
    Ok(programs.collect())
}

/// The classifiers of both directions.
const fn classifiers(link_type: LinkType) -> [&'static str; 2] {
    match link_type {
        LinkType::Ethernet => ["ph_eth_ingress", "ph_eth_egress"],
        LinkType::RawIp => ["ph_raw_ingress", "ph_raw_egress"],
    }
}

fn index_of(name: &str) -> Result<u32> {
    // Of a family that the sandbox lets everybody have.
    let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    name_to_index(any, name).with_context(|| format!("looking up the index of {name}"))
}

/// Makes sure that there is a clsact qdisc. It stays when we leave: others may use it by then.
fn prepare_clsact(interface: &str) {
    if let Err(error) = qdisc_add_clsact(interface) {
        // Usually it exists already. If it does not, attaching fails and says so.
        tracing::debug!("{interface}: no new clsact qdisc: {error}");
    }
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
        // Links allow no other mode than Single, which does not exclude other programs here.
        let link = program
            .attach(directory, CgroupAttachMode::Single)
            .with_context(|| format!("attaching to cgroup {}", cgroup.display()))?;
        let link = program.take_link(link)?;
        Ok(Self { _link: link })
    }
}
