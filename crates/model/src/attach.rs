//! How kernel programs get to packets.

use std::fmt;

/// How kernel programs get to an interface's packets (`--attach`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachMethod {
    /// TCX links, which end with the daemon however it ends; since Linux 6.6.
    Tcx,
    /// TC filters in the clsact qdisc.
    Netlink,
    /// The filter of a packet socket; nothing is attached to an interface.
    Socket,
}

impl AttachMethod {
    /// Its name, as `--attach` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Netlink => "netlink",
            Self::Socket => "socket",
        }
    }
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
