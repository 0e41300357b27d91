//! How the kernel programs are attached.

use std::fmt;

/// How the kernel programs are attached (`--attach`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachMethod {
    /// TCX links, which end with the daemon, however it ends. Since Linux 6.6.
    Tcx,
    /// TC filters in the clsact qdisc.
    Netlink,
    /// The filter of a packet socket; nothing is attached to an interface.
    Socket,
    /// The rings of packet sockets, and no eBPF: the daemon does what the programs do otherwise.
    Raw,
}

impl AttachMethod {
    /// The value of `--attach`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Netlink => "netlink",
            Self::Socket => "socket",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for AttachMethod {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcx => "TCX links",
            Self::Netlink => "TC filters in the clsact qdisc",
            Self::Socket => "a packet socket",
            Self::Raw => "rings of packet sockets, without eBPF",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_the_name_of_its_flag_and_one_for_people() {
        for (method, name, shown) in [
            (AttachMethod::Tcx, "tcx", "TCX links"),
            (
                AttachMethod::Netlink,
                "netlink",
                "TC filters in the clsact qdisc",
            ),
            (AttachMethod::Socket, "socket", "a packet socket"),
            (
                AttachMethod::Raw,
                "raw",
                "rings of packet sockets, without eBPF",
            ),
        ] {
            assert_eq!(method.name(), name);
            assert_eq!(method.to_string(), shown);
        }
    }
}
