//! Which network namespaces are captured.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where `ip netns` keeps namespaces by their names.
const NAMED: &str = "/run/netns";

/// Which network namespaces are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Netns {
    /// The one that the daemon was started in.
    Own,
    /// Every one on this host, as far as it passes the daemon's interfaces.
    All,
    /// The one that this file stands for.
    Other(PathBuf),
}

impl FromStr for Netns {
    type Err = Infallible;

    /// Reads `own`, `all`, a name that `ip netns` knows, or a path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "own" => Self::Own,
            "all" => Self::All,
            path if path.contains('/') => Self::Other(path.into()),
            name => Self::Other(Path::new(NAMED).join(name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_ip_netns_and_a_path_is_itself() {
        for (text, meant) in [
            ("own", Netns::Own),
            ("all", Netns::All),
            ("blue", Netns::Other("/run/netns/blue".into())),
            ("/proc/7/ns/net", Netns::Other("/proc/7/ns/net".into())),
            ("./own", Netns::Other("./own".into())),
        ] {
            assert_eq!(text.parse(), Ok(meant));
        }
    }
}
