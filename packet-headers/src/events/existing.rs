//! The connections that are older than the daemon: the TCP sockets of this network namespace, listed
//! through sock_diag(7).

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use messages::sock_diag::{AF_INET, AF_INET6, Dump, ExistingSocket, Wanted, request};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use tracing::warn;

use crate::clock;
use model::{FlowEvent, Open, Owner, UuidPrefix, WallClock};

/// Lists the connected TCP sockets of this thread's network namespace, IPv4 and IPv6.
///
/// Blocks for as long as the kernel takes: less than a second for 100,000 sockets. A socket that
/// opens or closes meanwhile may be in the list or not.
///
/// # Errors
/// When the kernel does not answer completely; the message says why.
pub fn connected() -> Result<Vec<ExistingSocket>> {
    sockets(Wanted::Connected)
}

/// Lists the TCP sockets of this thread's network namespace that listen, as [`connected`] does those that are
/// connected.
///
/// # Errors
/// As [`connected`].
pub fn listening() -> Result<Vec<ExistingSocket>> {
    sockets(Wanted::Listening)
}

fn sockets(wanted: Wanted) -> Result<Vec<ExistingSocket>> {
    let mut sockets = Vec::new();
    for (family, name) in [(AF_INET, "IPv4"), (AF_INET6, "IPv6")] {
        let listed =
            list(family, wanted).with_context(|| format!("listing the {name} TCP sockets"))?;
        sockets.extend(listed);
    }
    // The kernel numbers the sockets of a hash bucket by position: when one closes between two parts
    // of the answer, another may be listed twice.
    sockets.sort_unstable_by_key(|socket| socket.cookie);
    sockets.dedup_by_key(|socket| socket.cookie);
    Ok(sockets)
}

/// Open events for these connections, as of now: the kernel does not say when they really began, or
/// from which end.
pub fn opens(
    sockets: impl IntoIterator<Item = ExistingSocket>,
    prefix: &UuidPrefix,
    clock: &WallClock,
    mut whose: impl FnMut(&ExistingSocket) -> Option<Arc<Owner>>,
) -> impl Iterator<Item = FlowEvent> {
    let at = clock::now();
    let opened = clock.wall(at);
    sockets.into_iter().map(move |socket| {
        FlowEvent::Open(Open {
            at,
            opened,
            uuid: prefix.uuid(socket.cookie),
            local: socket.local,
            remote: socket.remote,
            role: None,
            cookie: socket.cookie,
            owner: whose(&socket),
        })
    })
}

/// How often a list is requested if it keeps changing while it is read.
const TRIES: usize = 4;

/// The wanted sockets of one address family.
fn list(family: u8, wanted: Wanted) -> Result<Vec<ExistingSocket>> {
    let mut dump = Dump::default();
    for _ in 0..TRIES {
        dump = ask(family, wanted)?;
        if !dump.interrupted {
            return Ok(dump.sockets);
        }
    }
    warn!("the kernel's list of sockets changed during {TRIES} attempts: some may be missing");
    Ok(dump.sockets)
}

/// Size in bytes of the buffer for one part of the answer. The kernel makes parts of at most 32 KiB
/// (`netlink_recvmsg` in `net/netlink/af_netlink.c`), the next one only after this has been read.
const PART: usize = 64 * 1024;

/// Asks once and reads the whole answer, on a new socket, so that the rest of an abandoned answer
/// is never mistaken for this one.
fn ask(family: u8, wanted: Wanted) -> Result<Dump> {
    let socket = Socket::new(NETLINK_SOCK_DIAG).context("opening sock_diag")?;
    // Port 0 is the kernel; nobody else can send to a socket that is connected to it.
    let connected = socket.connect(&SocketAddr::new(0, 0));
    connected.context("connecting to sock_diag")?;
    socket
        .send(&request(family, wanted), 0)
        .context("sending a request to sock_diag")?;
    let mut dump = Dump::default();
    let mut part = vec![0; PART];
    loop {
        // MSG_TRUNC returns the real length of a part that does not fit.
        let length = match socket.recv(&mut part.as_mut_slice(), libc::MSG_TRUNC) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("reading from sock_diag"),
        };
        let Some(datagram) = part.get(..length) else {
            bail!("sock_diag's answer has a part of {length} bytes, more than {PART}");
        };
        ensure!(length > 0, "sock_diag's answer ends early");
        if dump.take(datagram)? {
            return Ok(dump);
        }
    }
}

#[cfg(test)]
mod tests;
