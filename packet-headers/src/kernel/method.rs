//! Chooses the attach method: the one that was requested, or the best that works here.

use anyhow::Result;
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use model::{AttachMethod, Diagnostic};

use super::load::Needed;
use super::requirements::{self, Capabilities, Capability};

/// The requested method, or the best that works here. Checks the kernel and this process's
/// privileges, including those for the kernel flow source if it is in use.
///
/// # Errors
/// A [`Diagnostic`] of what is missing.
pub fn choose(asked: Option<AttachMethod>, watches_sockets: bool) -> Result<AttachMethod> {
    requirements::check_kernel()?;
    let candidate = Candidate::find(asked, watches_sockets)?;
    candidate.is_permitted()?;
    candidate.is_supported()?;
    Ok(candidate.method)
}

/// The best method that is permitted. If none is, the one whose missing privileges to report.
fn best(own: Capabilities, watches_sockets: bool, has_tcx: bool) -> AttachMethod {
    let permitted = |method: &AttachMethod| own.need(needs(*method, watches_sockets)).is_ok();
    match (has_tcx, permitted(&AttachMethod::Netlink)) {
        (true, _) => AttachMethod::Tcx,
        (false, false) if permitted(&AttachMethod::Socket) => AttachMethod::Socket,
        (false, _) => AttachMethod::Netlink,
    }
}

/// The capabilities that a method needs, on top of those that every program needs.
const fn needs(method: AttachMethod, watches_sockets: bool) -> &'static [Capability] {
    match (method, watches_sockets) {
        (AttachMethod::Socket, false) => &[Capability::NetRaw],
        (AttachMethod::Socket, true) => &[Capability::NetRaw, Capability::NetAdmin],
        (AttachMethod::Tcx | AttachMethod::Netlink, _) => &[Capability::NetAdmin],
    }
}

/// The programs that a method needs, except those that note owners.
#[must_use]
pub fn programs(method: AttachMethod, watches_sockets: bool) -> Needed {
    let socket = method == AttachMethod::Socket;
    Needed {
        classifiers: !socket,
        packet_socket: socket,
        sockets: watches_sockets,
        owners: false,
    }
}

/// The requested or the best method, before it is known to work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) method: AttachMethod,
    pub(crate) has_tcx: bool,
    own: Capabilities,
    watches_sockets: bool,
}

impl Candidate {
    /// Chooses by what the kernel offers and permits.
    ///
    /// # Errors
    /// When this process's capabilities cannot be read.
    pub(crate) fn find(asked: Option<AttachMethod>, watches_sockets: bool) -> Result<Self> {
        let own = Capabilities::own()?;
        // Without this capability, the kernel refuses to answer.
        let has_tcx = own.have(Capability::NetAdmin) && has_tcx();
        let best = || best(own, watches_sockets, has_tcx);
        Ok(Self {
            method: asked.unwrap_or_else(best),
            has_tcx,
            own,
            watches_sockets,
        })
    }

    /// All capabilities that the method needs.
    pub(crate) fn needs(self) -> Vec<Capability> {
        let needs = needs(self.method, self.watches_sockets);
        [&[Capability::Bpf, Capability::Perfmon], needs].concat()
    }

    /// Checks that this process has the capabilities.
    ///
    /// # Errors
    /// The capabilities that are missing.
    pub(crate) fn is_permitted(self) -> Result<(), Diagnostic> {
        self.own.need(needs(self.method, self.watches_sockets))
    }

    /// Checks that the kernel supports the method.
    ///
    /// # Errors
    /// What the kernel lacks.
    pub(crate) fn is_supported(self) -> Result<(), Diagnostic> {
        if self.method != AttachMethod::Tcx || self.has_tcx {
            return Ok(());
        }
        let found = "this kernel has no TCX links (they need Linux 6.6)";
        Err(Diagnostic::new(found, "use --attach netlink"))
    }
}

/// Whether the kernel has TCX: since Linux 6.6, unless it was built without.
fn has_tcx() -> bool {
    // Every network namespace has loopback.
    let asked = SchedClassifier::query_tcx("lo", TcAttachType::Ingress);
    requirements::kernel_is_at_least(6, 6) && !matches!(asked, Err(ProgramError::SyscallError(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "CapEff:\t000000c000001000\n";
    const RAW: &str = "CapEff:\t000000c000002000\n";
    const NONE: &str = "CapEff:\t0000000000000000\n";

    fn best(status: &str, watches_sockets: bool, has_tcx: bool) -> AttachMethod {
        let own = Capabilities::parse(status).unwrap();
        super::best(own, watches_sockets, has_tcx)
    }

    #[test]
    fn the_best_is_what_the_kernel_has_and_permits() {
        assert_eq!(best(ADMIN, true, true), AttachMethod::Tcx);
        assert_eq!(best(ADMIN, true, false), AttachMethod::Netlink);
        assert_eq!(best(RAW, false, false), AttachMethod::Socket);
    }

    #[test]
    fn what_is_missing_is_told_of_the_usual_way() {
        // A program that watches sockets needs what TC does.
        assert_eq!(best(RAW, true, false), AttachMethod::Netlink);
        assert_eq!(best(NONE, false, false), AttachMethod::Netlink);
    }
}
