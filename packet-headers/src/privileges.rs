//! Gives up, once the kernel has taken the programs, every privilege that capture does not need from
//! then on.

use anyhow::{Context as _, Result};
use caps::{CapSet, Capability, CapsHashSet};

use crate::config::Config;
use model::AttachMethod;

/// Sees to it that neither this process nor what it might start ever gets more than it has.
///
/// # Errors
/// When that is not permitted.
pub(crate) fn forbid_new() -> Result<()> {
    rustix::thread::set_no_new_privs(true).context("forbidding new privileges")
}

/// Gives up what capture by this method does not need from now on. Capabilities belong to threads and
/// are inherited: to be called before there are others.
///
/// # Errors
/// When that is not permitted.
pub(crate) fn drop_unneeded(config: &Config, method: AttachMethod) -> Result<()> {
    let permitted = caps::read(None, CapSet::Permitted).context("asking for capabilities")?;
    let kept = Later::of(config, method).keeps(&permitted);
    let giving_up = "giving up capabilities";
    // Nothing is ever started, so that no set needs what only a new program would get from it.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        caps::clear(None, CapSet::Bounding).context(giving_up)?;
    }
    caps::clear(None, CapSet::Ambient).context(giving_up)?;
    caps::clear(None, CapSet::Inheritable).context(giving_up)?;
    caps::set(None, CapSet::Effective, &kept).context(giving_up)?;
    caps::set(None, CapSet::Permitted, &kept).context(giving_up)?;
    let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
    names.sort();
    tracing::debug!("privileges from now on: {}", names.join(" "));
    Ok(())
}

/// A seccomp profile may forbid to give privileges up. That is no reason not to capture.
pub(crate) fn warn_unless(given_up: Result<()>) {
    if let Err(error) = given_up {
        tracing::warn!("privileges that are not needed are kept: {error:#}");
    }
}

/// What is done once programs are loaded, as far as it takes privileges.
#[derive(Debug, Clone, Copy, Default)]
struct Later {
    /// Programs are attached to interfaces, those that come included, or to a cgroup.
    attaches: bool,
    /// A packet socket is opened.
    packet_socket: bool,
}

impl Later {
    fn of(config: &Config, method: AttachMethod) -> Self {
        let packet_socket = method == AttachMethod::Socket;
        Self {
            attaches: !packet_socket || config.source.watches_sockets(),
            packet_socket,
        }
    }

    /// What stays of the capabilities that there are.
    ///
    /// CAP_PERFMON is for the verifier, and CAP_SYS_RESOURCE for the memory that maps lock on old
    /// kernels: both are over when the programs are loaded. Ports are taken before. Sockets are listed,
    /// and interfaces and addresses followed, without any.
    fn keeps(self, permitted: &CapsHashSet) -> CapsHashSet {
        let has = |capability| permitted.contains(&capability);
        let mut kept = CapsHashSet::from([
            // Before Linux 5.19 each bpf(2) takes it: links to interfaces that come, changes of maps.
            Capability::CAP_BPF,
            // Directories may be another user's: the data directory, and those of both event sockets.
            Capability::CAP_DAC_OVERRIDE,
        ]);
        if !has(Capability::CAP_BPF) {
            // It contains the one that is not there.
            kept.insert(Capability::CAP_SYS_ADMIN);
        }
        if self.attaches {
            // TC filters for interfaces that come. TCX and cgroup links did without it on 6.18, but
            // nothing promises that.
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

    fn keeps(later: Later, permitted: &[Capability]) -> Vec<String> {
        let kept = later.keeps(&permitted.iter().copied().collect());
        let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn of_everything_little_stays() {
        let all: Vec<_> = caps::all().into_iter().collect();
        let attaches = Later {
            attaches: true,
            ..Later::default()
        };
        let usual = ["CAP_BPF", "CAP_DAC_OVERRIDE", "CAP_NET_ADMIN"];
        assert_eq!(keeps(attaches, &all), usual);
        let socket = Later {
            packet_socket: true,
            ..Later::default()
        };
        let raw = ["CAP_BPF", "CAP_DAC_OVERRIDE", "CAP_NET_RAW"];
        assert_eq!(keeps(socket, &all), raw);
    }

    #[test]
    fn nothing_stays_that_was_not_there() {
        let attaches = Later {
            attaches: true,
            ..Later::default()
        };
        let listed = [CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN];
        assert_eq!(keeps(attaches, &listed), ["CAP_BPF", "CAP_NET_ADMIN"]);
        assert_eq!(keeps(attaches, &[]), [""; 0]);
        // The capability that BPF was split from.
        let old = [CAP_SYS_ADMIN, CAP_NET_ADMIN];
        assert_eq!(keeps(attaches, &old), ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
    }
}
