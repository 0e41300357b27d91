//! Attaches the programs to interfaces and sockets. Dropping a link detaches its program.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::tc::qdisc_add_clsact;
use aya::programs::{SchedClassifier, TcAttachType};
use packet_headers_common::LinkType;
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};

use super::backend::Backend;
use super::classifier::Classifier;
use super::load::Programs;
use super::packet_socket::{PacketSocket, Shown};
use super::raw::{Tapped, Taps};
use super::socket_link::SocketLink;
use crate::host::interfaces::Interface;
use model::AttachMethod;

/// Attaches programs to interfaces and sockets.
pub(crate) trait Attach {
    /// The attachment to one interface. Dropping it detaches.
    type Link;

    /// The attachment to sockets. Dropping it detaches.
    type SocketLink;

    /// Attaches to an interface.
    fn attach(&mut self, interface: &Interface) -> Result<Self::Link>;

    /// Attaches to the sockets of this host.
    fn watch_sockets(&mut self) -> Result<Self::SocketLink>;

    /// Why the programs are not attached to an interface any more, in words, if they are not.
    fn gone(&mut self, interface: &Interface, link: &Self::Link) -> Result<Option<String>>;

    /// Why sockets are not watched any more, in words, if they are not.
    fn sockets_gone(&mut self, link: &Self::SocketLink) -> Result<Option<String>>;
}

/// What captures, and how it is attached.
#[derive(Debug)]
pub struct Attacher {
    way: Way,
    /// The cgroup whose sockets are watched.
    cgroup: Option<PathBuf>,
}

#[derive(Debug)]
enum Way {
    /// Classifiers at each interface.
    Classifiers(Box<Programs>, AttachMethod),
    /// The filter of a packet socket.
    Socket(Box<Programs>, PacketSocket),
    /// Packet sockets without a program of ours.
    Taps(Taps),
}

/// The attachment to both directions of one interface.
#[derive(Debug)]
pub struct CaptureLinks(Links);

#[derive(Debug)]
enum Links {
    /// For ingress and egress.
    Classifiers([Classifier; 2]),
    /// The packet socket's program takes both directions.
    Shown(Shown),
    /// The packet sockets take both directions.
    Tapped { _until_dropped: Tapped },
}

/// What to do when TC does not accept a program.
const ELSEWHERE: &str = " (if TC cannot be used here, try --attach socket)";

impl Attacher {
    /// Takes over what captures, and the cgroup whose sockets they are to watch.
    ///
    /// # Errors
    /// When the method needs a packet socket, and the kernel refuses it.
    pub(crate) fn new(
        backend: Backend,
        method: AttachMethod,
        cgroup: Option<PathBuf>,
    ) -> Result<Self> {
        let way = match backend {
            Backend::Programs(mut programs) if method == AttachMethod::Socket => {
                let socket = PacketSocket::open(&mut programs)?;
                Way::Socket(programs, socket)
            }
            Backend::Programs(programs) => Way::Classifiers(programs, method),
            Backend::Sockets(taps) => Way::Taps(taps),
        };
        Ok(Self { way, cgroup })
    }
}

/// Attaches the classifiers to both directions of an interface.
fn classify(
    programs: &mut Programs,
    method: AttachMethod,
    interface: &Interface,
) -> Result<[Classifier; 2]> {
    let name = interface.name.as_str();
    if method == AttachMethod::Netlink {
        prepare_clsact(name);
    }
    let mut attach = |program, direction, which: &str| {
        let attached = Classifier::attach(programs, method, interface, (program, direction));
        attached.with_context(|| format!("attaching to {which} of {name}{ELSEWHERE}"))
    };
    let [ingress, egress] = classifiers(interface.link_type);
    let ingress = attach(ingress, TcAttachType::Ingress, "ingress")?;
    let egress = attach(egress, TcAttachType::Egress, "egress")?;
    // Programs are attached by name, and another interface may have got the name meanwhile.
    let index = index_of(name)?;
    ensure!(
        index == interface.index,
        "{name} is another interface by now (index {index}, not {})",
        interface.index
    );
    Ok([ingress, egress])
}

impl Attach for Attacher {
    type Link = CaptureLinks;
    type SocketLink = SocketLink;

    /// Attaches the classifiers to both directions of an interface. With packet sockets, lets these take the
    /// interface's packets.
    fn attach(&mut self, interface: &Interface) -> Result<CaptureLinks> {
        Ok(CaptureLinks(match &mut self.way {
            Way::Classifiers(programs, method) => {
                Links::Classifiers(classify(programs, *method, interface)?)
            }
            Way::Socket(programs, socket) => {
                socket.filter(programs)?;
                Links::Shown(socket.show(interface)?)
            }
            Way::Taps(taps) => Links::Tapped {
                _until_dropped: taps.tap(interface)?,
            },
        }))
    }

    fn watch_sockets(&mut self) -> Result<SocketLink> {
        let cgroup = self.cgroup.as_deref();
        let (Way::Classifiers(programs, _) | Way::Socket(programs, _), Some(cgroup)) =
            (&mut self.way, cgroup)
        else {
            bail!("the programs were not loaded to watch sockets");
        };
        SocketLink::attach(programs, cgroup)
    }

    fn gone(&mut self, interface: &Interface, links: &CaptureLinks) -> Result<Option<String>> {
        let classifiers = match (&links.0, &mut self.way) {
            (Links::Classifiers(classifiers), _) => classifiers,
            (Links::Shown(shown), Way::Socket(_, socket)) => return socket.gone(shown),
            (Links::Shown(_) | Links::Tapped { .. }, _) => return Ok(None),
        };
        let gone = classifiers.iter().filter_map(|it| it.gone().transpose());
        let gone = gone.collect::<Result<Vec<_>>>()?;
        if gone.is_empty() {
            return Ok(None);
        }
        // They go with their interface, of which the messages about interfaces tell.
        let is_there = index_of(&interface.name).is_ok_and(|index| index == interface.index);
        Ok(is_there.then(|| gone.join(", ")))
    }

    fn sockets_gone(&mut self, link: &SocketLink) -> Result<Option<String>> {
        link.gone()
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
