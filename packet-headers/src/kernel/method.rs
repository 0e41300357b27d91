//! How programs get to packets: what was asked for, and the best that works here.

use std::fmt;

use anyhow::{Result, ensure};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};

use super::load::Needed;
use super::requirements::{self, Capabilities, Capability};

/// How programs get to an interface's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachMethod {
    /// As TCX links, which end with the daemon however it ends; since Linux 6.6.
    Tcx,
    /// As filters of the clsact qdisc.
    Netlink,
    /// As the filter of a packet socket, which is no part of an interface.
    Socket,
}

impl fmt::Display for AttachMethod {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcx => "TCX links",
            Self::Netlink => "TC filters in the clsact qdisc",
            Self::Socket => "a packet socket",
        })
    }
}

impl AttachMethod {
    /// What was asked for, or the best that works here; checks the kernel and the privileges that it
    /// takes, with those of a program that watches sockets when there is to be one.
    ///
    /// # Errors
    /// What is missing, with what to do.
    pub fn choose(asked: Option<Self>, watches_sockets: bool) -> Result<Self> {
        requirements::check_kernel()?;
        let own = Capabilities::own()?;
        let method = asked.unwrap_or_else(|| Self::best(own, watches_sockets));
        own.need(method.needs(watches_sockets))?;
        ensure!(
            method != Self::Tcx || has_tcx(),
            "this kernel has no TCX links (Linux 6.6 has): use --attach netlink"
        );
        Ok(method)
    }

    /// Of what is permitted; what a TC program needs when nothing is.
    fn best(own: Capabilities, watches_sockets: bool) -> Self {
        if own.need(Self::Socket.needs(watches_sockets)).is_ok() && !own.have(Capability::NetAdmin)
        {
            Self::Socket
        } else if own.have(Capability::NetAdmin) && has_tcx() {
            Self::Tcx
        } else {
            Self::Netlink
        }
    }

    /// The privileges that it takes, beside those of every program.
    const fn needs(self, watches_sockets: bool) -> &'static [Capability] {
        match (self, watches_sockets) {
            (Self::Socket, false) => &[Capability::NetRaw],
            (Self::Socket, true) => &[Capability::NetRaw, Capability::NetAdmin],
            (Self::Tcx | Self::Netlink, _) => &[Capability::NetAdmin],
        }
    }

    /// The programs that it takes.
    #[must_use]
    pub fn programs(self, watches_sockets: bool) -> Needed {
        let socket = self == Self::Socket;
        Needed {
            classifiers: !socket,
            packet_socket: socket,
            sockets: watches_sockets,
        }
    }
}

/// Whether the kernel attaches classifiers by links: since 6.6, unless it was built without.
fn has_tcx() -> bool {
    // Loopback is everywhere.
    let asked = SchedClassifier::query_tcx("lo", TcAttachType::Ingress);
    requirements::kernel_is_at_least(6, 6) && !matches!(asked, Err(ProgramError::SyscallError(_)))
}
