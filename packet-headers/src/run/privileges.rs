//! Drops every privilege that capture no longer needs once the programs are loaded.

use anyhow::{Context as _, Result};
use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::config::Config;
use model::AttachMethod;

/// Makes sure that neither this process nor any that it might start ever gains a privilege.
///
/// # Errors
/// When the kernel does not permit it.
pub(crate) fn forbid_new() -> Result<()> {
    rustix::thread::set_no_new_privs(true).context("forbidding new privileges")
}

/// Makes sure that what is in memory now and later never gets into a file: no core dump, and no
/// other process of this user can look.
///
/// # Errors
/// When the kernel does not permit it.
pub(crate) fn forbid_core_dumps() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbidding core dumps")?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("limiting core dumps to 0 bytes")
}

/// Drops the capabilities that capture by this method does not need from now on. Capabilities
/// belong to threads, and new threads inherit them: call this while there is only one.
///
/// # Errors
/// When the kernel does not permit it.
pub(crate) fn drop_unneeded(config: &Config, method: AttachMethod) -> Result<()> {
    let permitted = caps::read(None, CapSet::Permitted).context("reading capabilities")?;
    let kept = Needs::of(config, method).keep(&permitted);
    let dropping = "dropping capabilities";
    // No program is ever started, so the sets that only a new program would inherit can be empty.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        caps::clear(None, CapSet::Bounding).context(dropping)?;
    }
    caps::clear(None, CapSet::Ambient).context(dropping)?;
    caps::clear(None, CapSet::Inheritable).context(dropping)?;
    caps::set(None, CapSet::Effective, &kept).context(dropping)?;
    caps::set(None, CapSet::Permitted, &kept).context(dropping)?;
    let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
    names.sort();
    tracing::debug!("capabilities kept: {}", names.join(" "));
    Ok(())
}

/// Logs a failure to drop privileges. A seccomp profile may forbid it, which is no reason not to
/// capture.
pub(crate) fn warn_on_error(dropped: Result<()>) {
    if let Err(error) = dropped {
        tracing::warn!("cannot drop privileges that are no longer needed: {error:#}");
    }
}

/// What remains to be done once the programs are loaded, as far as it takes privileges.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    /// Programs are attached to a cgroup, or to interfaces, including those that come later.
    attaches: bool,
    /// A packet socket is opened.
    packet_socket: bool,
    /// Nothing but that: packet sockets are open, and there are no programs.
    nothing: bool,
}

impl Needs {
    fn of(config: &Config, method: AttachMethod) -> Self {
        let packet_socket = method == AttachMethod::Socket;
        Self {
            attaches: !packet_socket || config.source.watches_sockets(),
            packet_socket,
            nothing: method == AttachMethod::Raw,
        }
    }

    /// Which of the permitted capabilities to keep.
    ///
    /// CAP_PERFMON is for the verifier, and CAP_SYS_RESOURCE for the memory that maps lock on old
    /// kernels: neither is needed once the programs are loaded. Ports are bound before that.
    /// Listing sockets, and following interfaces and addresses, needs no capability.
    fn keep(self, permitted: &CapsHashSet) -> CapsHashSet {
        let has = |capability| permitted.contains(&capability);
        let mut kept = CapsHashSet::from([
            // Before Linux 5.19 every bpf(2) call needs it: to attach to new interfaces, and to
            // change maps.
            Capability::CAP_BPF,
            // Root may own the data directory, and anybody the directory of an event socket.
            Capability::CAP_DAC_OVERRIDE,
        ]);
        if self.nothing {
            kept.remove(&Capability::CAP_BPF);
            kept.retain(|capability| has(*capability));
            return kept;
        }
        if !has(Capability::CAP_BPF) {
            // CAP_BPF was split off from it in Linux 5.8; the process was given the older one.
            kept.insert(Capability::CAP_SYS_ADMIN);
        }
        if self.attaches {
            // TC filters on new interfaces need it. TCX and cgroup links did not on Linux 6.18, but
            // nothing guarantees that.
            kept.insert(Capability::CAP_NET_ADMIN);
        }
        if self.packet_socket {
            kept.insert(Capability::CAP_NET_RAW);
        }
        kept.retain(|capability| has(*capability));
        kept
    }
}

#[cfg(test)]
mod tests {
    use Capability::*;

    use super::*;

    fn kept(needs: Needs, permitted: &[Capability]) -> Vec<String> {
        let kept = needs.keep(&permitted.iter().copied().collect());
        let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn of_all_capabilities_few_are_kept() {
        let all: Vec<_> = caps::all().into_iter().collect();
        let attaches = Needs {
            attaches: true,
            ..Needs::default()
        };
        let usual = ["CAP_BPF", "CAP_DAC_OVERRIDE", "CAP_NET_ADMIN"];
        assert_eq!(kept(attaches, &all), usual);
        let socket = Needs {
            packet_socket: true,
            ..Needs::default()
        };
        let raw = ["CAP_BPF", "CAP_DAC_OVERRIDE", "CAP_NET_RAW"];
        assert_eq!(kept(socket, &all), raw);
    }

    #[test]
    fn no_capability_is_kept_that_was_not_there() {
        let attaches = Needs {
            attaches: true,
            ..Needs::default()
        };
        let listed = [CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN];
        assert_eq!(kept(attaches, &listed), ["CAP_BPF", "CAP_NET_ADMIN"]);
        assert_eq!(kept(attaches, &[]), [""; 0]);
        // The capability that BPF was split from.
        let old = [CAP_SYS_ADMIN, CAP_NET_ADMIN];
        assert_eq!(kept(attaches, &old), ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
    }
}
