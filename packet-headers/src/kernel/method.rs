//! Chooses the attach method: the one that was requested, or the best that works here.

use std::io;

use anyhow::{Error, Result};
use aya::maps::MapData;
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
use model::{AttachMethod, Diagnostic};

use super::load::Needed;
use super::requirements::{self, Capabilities, Capability, refused_with};

/// What a capture asks of its method.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The method, or `None` for the best that works here.
    pub method: Option<AttachMethod>,
    /// Whether the sockets of this kernel are watched.
    pub watches_sockets: bool,
    /// Whether packets get the NIC's timestamps.
    pub hardware_clock: bool,
    /// Whether UDP is captured.
    pub datagrams: bool,
}

/// A method that works here, as far as that is known before it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The method.
    pub method: AttachMethod,
    /// Why it is not one of those with eBPF, if nobody has asked for it.
    pub instead: Option<String>,
}

/// The requested method, or the best that works here. Checks the kernel and this process's
/// privileges, including those for the kernel flow source if it is in use.
///
/// # Errors
/// A [`Diagnostic`] of what is missing.
pub fn choose(asked: Asked) -> Result<Chosen> {
    let candidate = Candidate::find(asked)?;
    if candidate.method != AttachMethod::Raw {
        requirements::check_kernel()?;
    }
    candidate.is_permitted()?;
    candidate.is_supported()?;
    Ok(Chosen {
        method: candidate.method,
        instead: candidate.instead,
    })
}

/// The best method with eBPF that is permitted. If none is, the one whose missing privileges to report.
fn best(own: Capabilities, watches_sockets: bool, has_tcx: bool) -> AttachMethod {
    let permitted = |method: &AttachMethod| own.need(needs(*method, watches_sockets)).is_ok();
    match (has_tcx, permitted(&AttachMethod::Netlink)) {
        (true, _) => AttachMethod::Tcx,
        (false, false) if permitted(&AttachMethod::Socket) => AttachMethod::Socket,
        (false, _) => AttachMethod::Netlink,
    }
}

/// The capabilities that a method needs, on top of those that every program needs, if it has any.
const fn needs(method: AttachMethod, watches_sockets: bool) -> &'static [Capability] {
    match (method, watches_sockets) {
        (AttachMethod::Socket, false) | (AttachMethod::Raw, _) => &[Capability::NetRaw],
        (AttachMethod::Socket, true) => &[Capability::NetRaw, Capability::NetAdmin],
        (AttachMethod::Tcx | AttachMethod::Netlink, _) => &[Capability::NetAdmin],
    }
}

/// The programs that a method needs, except those that note owners.
#[must_use]
pub fn programs(method: AttachMethod, watches_sockets: bool) -> Needed {
    let socket = method == AttachMethod::Socket;
    Needed {
        classifiers: matches!(method, AttachMethod::Tcx | AttachMethod::Netlink),
        packet_socket: socket,
        sockets: watches_sockets,
        owners: false,
    }
}

/// The requested or the best method, before it is known to work.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) method: AttachMethod,
    pub(crate) has_tcx: bool,
    /// Why it does without eBPF, if nobody has asked for that.
    pub(crate) instead: Option<String>,
    own: Capabilities,
    asked: Asked,
}

impl Candidate {
    /// Chooses by what the kernel offers and permits.
    ///
    /// # Errors
    /// When this process's capabilities cannot be read.
    pub(crate) fn find(asked: Asked) -> Result<Self> {
        let own = Capabilities::own()?;
        // Without this capability, the kernel refuses to answer.
        let has_tcx = own.have(Capability::NetAdmin) && has_tcx();
        let best = || best(own, asked.watches_sockets, has_tcx);
        let candidate = Self {
            method: asked.method.unwrap_or_else(best),
            has_tcx,
            instead: None,
            own,
            asked,
        };
        Ok(candidate.or_without_programs(bpf_is_refused))
    }

    /// Falls back to packet sockets, where these are what is left of all methods.
    fn or_without_programs(self, bpf_is_refused: impl FnOnce() -> Option<String>) -> Self {
        let can = self.own.have(Capability::NetRaw) && !self.asked.watches_sockets;
        if self.asked.method.is_some() || !can {
            return self;
        }
        let obstacle = match (requirements::check_kernel(), self.is_permitted()) {
            (Err(too_old), _) => Some(problem(&too_old)),
            (Ok(()), Err(missing)) => Some(missing.problem),
            (Ok(()), Ok(())) => bpf_is_refused(),
        };
        match obstacle {
            None => self,
            Some(_) => Self {
                method: AttachMethod::Raw,
                instead: obstacle,
                ..self
            },
        }
    }

    /// All capabilities that the method needs.
    pub(crate) fn needs(&self) -> Vec<Capability> {
        let needs = needs(self.method, self.asked.watches_sockets);
        match self.method {
            AttachMethod::Raw => needs.to_vec(),
            AttachMethod::Tcx | AttachMethod::Netlink | AttachMethod::Socket => {
                [&[Capability::Bpf, Capability::Perfmon], needs].concat()
            }
        }
    }

    /// Checks that this process has the capabilities.
    ///
    /// # Errors
    /// The capabilities that are missing.
    pub(crate) fn is_permitted(&self) -> Result<(), Diagnostic> {
        if self.method == AttachMethod::Raw {
            return match self.own.have(Capability::NetRaw) {
                true => Ok(()),
                false => Err(Diagnostic::new(
                    "not permitted to open packet sockets: CAP_NET_RAW missing",
                    "run as root, or grant what is missing",
                )),
            };
        }
        let missing = self
            .own
            .need(needs(self.method, self.asked.watches_sockets));
        missing.map_err(|missing| {
            let less = match (self.asked.method, self.asked.watches_sockets) {
                (Some(_), _) => return missing,
                (None, false) => "CAP_NET_RAW alone is enough for --attach raw",
                (None, true) => {
                    "where tcp-info names connections (--tcpinfo.eventsocket), CAP_NET_RAW alone is enough"
                }
            };
            let help = format!("{}; {less}", missing.help);
            Diagnostic { help, ..missing }
        })
    }

    /// Checks that the kernel supports the method, and the method what is asked of it.
    ///
    /// # Errors
    /// What is lacking.
    pub(crate) fn is_supported(&self) -> Result<(), Diagnostic> {
        match self.method {
            AttachMethod::Tcx if !self.has_tcx => Err(Diagnostic::new(
                "this kernel has no TCX links (they need Linux 6.6)",
                "use --attach netlink",
            )),
            AttachMethod::Raw if self.asked.watches_sockets => Err(Diagnostic::new(
                "without eBPF (--attach raw) the sockets of this kernel cannot be watched",
                "let tcp-info name connections (--tcpinfo.eventsocket), or use another --attach",
            )),
            AttachMethod::Raw if self.asked.hardware_clock => Err(Diagnostic::new(
                "without eBPF (--attach raw) packets have the kernel's timestamps only",
                "omit --timestamp hardware, or use another --attach",
            )),
            AttachMethod::Raw if self.asked.datagrams => Err(Diagnostic::new(
                "without eBPF (--attach raw) only TCP is captured",
                "omit --protocols, or use another --attach, which needs CAP_BPF and CAP_PERFMON",
            )),
            AttachMethod::Tcx
            | AttachMethod::Netlink
            | AttachMethod::Socket
            | AttachMethod::Raw => Ok(()),
        }
    }
}

/// What is wrong, without what to do about it.
fn problem(error: &Error) -> String {
    match error.downcast_ref::<Diagnostic>() {
        Some(diagnostic) => diagnostic.problem.clone(),
        None => format!("{error:#}"),
    }
}

/// Why no program can be loaded although the capabilities are there, in words, if that is so.
fn bpf_is_refused() -> Option<String> {
    let word = size_of::<u32>() as u32;
    let map = aya_obj::Map::new_from_params(BPF_MAP_TYPE_ARRAY as u32, word, word, 1, 0);
    let error = Error::from(MapData::create(map, "ph_probe", None).err()?);
    let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported];
    let is_refused = kinds.iter().any(|kind| refused_with(&error, *kind));
    is_refused.then(|| {
        "bpf(2) is refused, as a container's seccomp profile or a security module does".to_owned()
    })
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

    fn candidate(status: &str, asked: Option<AttachMethod>, watches_sockets: bool) -> Candidate {
        let own = Capabilities::parse(status).unwrap();
        let asked = Asked {
            method: asked,
            watches_sockets,
            hardware_clock: false,
            datagrams: false,
        };
        Candidate {
            method: asked
                .method
                .unwrap_or_else(|| super::best(own, watches_sockets, false)),
            has_tcx: false,
            instead: None,
            own,
            asked,
        }
    }

    const RAW_ALONE: &str = "CapEff:\t0000000000002000\n";

    #[test]
    fn what_is_left_is_to_do_without_programs() {
        let fall = |status, asked, watches| {
            let found = candidate(status, asked, watches).or_without_programs(|| None);
            (found.method, found.instead)
        };
        let (method, instead) = fall(RAW_ALONE, None, false);
        assert_eq!(method, AttachMethod::Raw);
        let instead = instead.unwrap();
        assert!(
            instead.contains("CAP_BPF") && instead.contains("CAP_NET_ADMIN"),
            "{instead}"
        );
        // With what programs need, or where sockets are to be watched, or as was asked.
        assert_eq!(fall(RAW, None, false), (AttachMethod::Socket, None));
        assert_eq!(fall(RAW_ALONE, None, true), (AttachMethod::Netlink, None));
        assert_eq!(fall(NONE, None, false), (AttachMethod::Netlink, None));
        let asked = Some(AttachMethod::Socket);
        assert_eq!(fall(RAW_ALONE, asked, false), (AttachMethod::Socket, None));
    }

    #[test]
    fn a_refused_system_call_is_no_reason_not_to_capture() {
        let refused = || Some("bpf(2) is refused".to_owned());
        let found = candidate(RAW, None, false).or_without_programs(refused);
        assert_eq!(
            (found.method, found.instead),
            (AttachMethod::Raw, refused())
        );
        let asked = Some(AttachMethod::Socket);
        let found = candidate(RAW, asked, false).or_without_programs(refused);
        assert_eq!((found.method, found.instead), (AttachMethod::Socket, None));
    }

    #[test]
    fn who_lacks_all_is_told_how_little_is_enough() {
        let said = |asked, watches| {
            let error = candidate(NONE, asked, watches).is_permitted().unwrap_err();
            error.to_string()
        };
        for (watches, wanted) in [(false, "--attach raw"), (true, "--tcpinfo.eventsocket")] {
            let said = said(None, watches);
            assert!(
                said.contains("CAP_BPF, CAP_PERFMON missing") && said.contains(wanted),
                "{said}"
            );
        }
        let raw = said(Some(AttachMethod::Raw), false);
        assert!(
            raw.contains("CAP_NET_RAW missing") && !raw.contains("CAP_BPF"),
            "{raw}"
        );
    }

    #[test]
    fn what_cannot_be_had_without_programs_is_refused() {
        let raw = candidate(RAW_ALONE, Some(AttachMethod::Raw), false);
        raw.is_permitted().unwrap();
        raw.is_supported().unwrap();
        assert_eq!(raw.needs(), [Capability::NetRaw]);
        let mut hardware = raw.clone();
        hardware.asked.hardware_clock = true;
        let mut datagrams = raw.clone();
        datagrams.asked.datagrams = true;
        let refused = datagrams.is_supported().unwrap_err().to_string();
        assert!(refused.contains("omit --protocols"), "{refused}");
        let mut sockets = raw;
        sockets.asked.watches_sockets = true;
        for (candidate, flag) in [
            (hardware, "--timestamp"),
            (sockets, "--tcpinfo.eventsocket"),
        ] {
            let refused = candidate.is_supported().unwrap_err();
            assert!(refused.help.contains(flag), "{refused}");
        }
    }

    #[test]
    fn what_is_missing_is_told_of_the_usual_way() {
        // A program that watches sockets needs what TC does.
        assert_eq!(best(RAW, true, false), AttachMethod::Netlink);
        assert_eq!(best(NONE, false, false), AttachMethod::Netlink);
    }
}
