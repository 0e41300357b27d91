//! The connections that are older than the daemon: the TCP sockets of this network namespace, listed
//! through sock_diag(7).

use std::io;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, Parseable as _,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
};
use netlink_packet_sock_diag::message::SockDiagMessage;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use packet_headers_common::Endpoint;
use tracing::warn;

use super::endpoint::endpoint;
use crate::clock;
use model::{FlowEvent, Open, UuidPrefix, WallClock};

/// A socket of an established connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExistingSocket {
    /// The cookie, as shown by `SO_COOKIE` and `ss -e`.
    pub cookie: u64,
    /// This host's end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

/// The states in which a connection still carries packets: those between the handshake and
/// TIME_WAIT.
///
/// A client that closed first is in FIN_WAIT2, even when the kernel keeps only a small record of it:
/// the other side may still send.
const CARRYING: StateFlags = StateFlags::ESTABLISHED
    .union(StateFlags::FIN_WAIT1)
    .union(StateFlags::FIN_WAIT2)
    .union(StateFlags::CLOSE_WAIT)
    .union(StateFlags::CLOSING)
    .union(StateFlags::LAST_ACK);

/// Lists the connected TCP sockets of this thread's network namespace, IPv4 and IPv6.
///
/// Blocks for as long as the kernel takes: less than a second for 100,000 sockets. A socket that
/// opens or closes meanwhile may be in the list or not.
///
/// # Errors
/// When the kernel does not answer completely; the message says why.
pub fn connected() -> Result<Vec<ExistingSocket>> {
    let mut sockets = Vec::new();
    for (family, name) in [(AF_INET, "IPv4"), (AF_INET6, "IPv6")] {
        let listed = list(family).with_context(|| format!("listing the {name} TCP sockets"))?;
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
        })
    })
}

/// How often a list is requested if it keeps changing while it is read.
const TRIES: usize = 4;

/// The connected sockets of one address family.
fn list(family: u8) -> Result<Vec<ExistingSocket>> {
    let mut dump = Dump::default();
    for _ in 0..TRIES {
        dump = Dump::ask(family)?;
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

/// The kernel's answer, as far as it has been read.
#[derive(Debug, Default)]
struct Dump {
    sockets: Vec<ExistingSocket>,
    /// Whether the list changed while it was read, according to the kernel.
    interrupted: bool,
}

impl Dump {
    /// Asks once and reads the whole answer, on a new socket, so that the rest of an abandoned answer
    /// is never mistaken for this one.
    fn ask(family: u8) -> Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG).context("opening sock_diag")?;
        // Port 0 is the kernel; nobody else can send to a socket that is connected to it.
        let connected = socket.connect(&SocketAddr::new(0, 0));
        connected.context("connecting to sock_diag")?;
        socket
            .send(&request(family), 0)
            .context("sending a request to sock_diag")?;
        let mut dump = Self::default();
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

    /// Takes one part of the answer. Returns true for the last.
    fn take(&mut self, mut datagram: &[u8]) -> Result<bool> {
        while !datagram.is_empty() {
            let message: NetlinkMessage<Answer> =
                NetlinkMessage::deserialize(datagram).context("reading sock_diag's answer")?;
            self.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(Answer(socket)) => self.sockets.push(socket),
                NetlinkPayload::Done(done) => return accepted(done.code).map(|()| true),
                NetlinkPayload::Error(error) => accepted(error.raw_code())?,
                NetlinkPayload::Overrun(_) => bail!("the kernel lost a part of sock_diag's answer"),
                NetlinkPayload::Noop => {}
                _ => bail!("sock_diag's answer has a message of an unknown kind"),
            }
            // Every message begins at a multiple of four bytes (NLMSG_ALIGN), and none is empty.
            let next = (message.header.length as usize).next_multiple_of(4);
            datagram = datagram.get(next..).unwrap_or_default();
        }
        Ok(false)
    }
}

/// Checks the negated error number in a message from the kernel; zero means success.
fn accepted(code: i32) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(code.saturating_abs());
    Err(match error.raw_os_error() {
        Some(libc::ENOENT) => anyhow!(error).context(
            "this kernel has no sock_diag for TCP: load the module tcp_diag (CONFIG_INET_TCP_DIAG)",
        ),
        _ => anyhow!(error).context("sock_diag refused the request"),
    })
}

/// The request for all connected TCP sockets of one address family, as bytes.
fn request(family: u8) -> Vec<u8> {
    let question = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: CARRYING,
        // Ignored in a request for all sockets.
        socket_id: SocketId::new_v4(),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(question).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// One socket of the answer. Its attributes are ignored, so that none added by a newer kernel can be
/// misread.
#[derive(Debug)]
struct Answer(ExistingSocket);

impl NetlinkDeserializable for Answer {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        if header.message_type != SOCK_DIAG_BY_FAMILY {
            return Err("not an answer of sock_diag".into());
        }
        let id = InetResponseHeader::parse(payload)?.socket_id;
        Ok(Self(ExistingSocket {
            cookie: cookie(id.cookie),
            local: endpoint(id.source_address, id.source_port),
            remote: endpoint(id.destination_address, id.destination_port),
        }))
    }
}

/// Puts a cookie together: two numbers of 32 bits, the lower one first, each in this machine's order
/// (`sock_diag_save_cookie` in `net/core/sock_diag.c`).
fn cookie(halves: [u8; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = halves;
    let low = u32::from_ne_bytes([a, b, c, d]);
    let high = u32::from_ne_bytes([e, f, g, h]);
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests;
