//! Which network namespace this process is in.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use model::Diagnostic;

use super::requirements::kernel_is_at_least;
use super::socket_option::socket_option;

/// `SO_NETNS_COOKIE` of Linux 5.14's `asm-generic/socket.h`; the libc crate does not have it yet.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The cookie of this process's network namespace, by which the programs recognize its sockets.
///
/// # Errors
/// Why the programs cannot recognize them, and what that means.
pub fn own() -> Result<u64, Diagnostic> {
    if !tells() {
        return Err(every_namespace(
            "this kernel does not show a socket's network namespace to programs (Linux 5.15 does)",
        ));
    }
    cookie().map_err(|error| {
        every_namespace(&format!(
            "the daemon's own network namespace cannot be identified ({error})"
        ))
    })
}

/// Whether this kernel shows a socket's network namespace to the program that tells of connections.
#[must_use]
pub fn tells() -> bool {
    kernel_is_at_least(5, 15)
}

fn every_namespace(why: &str) -> Diagnostic {
    Diagnostic::new(
        format!("{why}: connections of every namespace on this host get names"),
        "use --netns all if that is what you want, or run on a newer kernel",
    )
}

/// The cookie of this thread's network namespace: what `bpf_get_netns_cookie` returns for its
/// sockets. Since Linux 5.14.
///
/// # Errors
/// `ENOPROTOOPT` on kernels that do not know the option.
fn cookie() -> io::Result<u64> {
    // Any socket of this thread will do.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket_option(&socket, SO_NETNS_COOKIE).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_cannot_be_told_apart_all_get_names() {
        let found = every_namespace("this kernel is old");
        assert!(found.problem.contains("every namespace"), "{found}");
        assert!(found.help.contains("--netns all"), "{found}");
    }
}
