//! Reads what the kernel answers through sock_diag(7): the TCP sockets of a network namespace.

use std::io;

use anyhow::{Context as _, Result, anyhow, bail};
use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NlasIterator, Parseable as _,
};
pub use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6};
use netlink_packet_sock_diag::constants::{IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
};
use netlink_packet_sock_diag::message::SockDiagMessage;
use packet_headers_common::Endpoint;

use crate::endpoint::endpoint;

/// A socket of an established connection, or one that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExistingSocket {
    /// The cookie, as shown by `SO_COOKIE` and `ss -e`.
    pub cookie: u64,
    /// This host's end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// The inode that a descriptor of it shows, or 0 if no process has it open.
    pub inode: u32,
    /// The user that it belongs to; without meaning if no process has it open.
    pub uid: u32,
    /// The ID of the cgroup that it was made in, if the kernel tells (Linux 5.8).
    pub cgroup: Option<u64>,
}

/// Which sockets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those of connections that still carry packets.
    Connected,
    /// Those that listen.
    Listening,
}

/// The attribute with the ID of a socket's cgroup, a `u64`: `INET_DIAG_CGROUP_ID` (linux/inet_diag.h).
const CGROUP_ID: u16 = 21;

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

/// The kernel's answer, as far as it has been read.
#[derive(Debug, Default)]
pub struct Dump {
    /// The sockets so far.
    pub sockets: Vec<ExistingSocket>,
    /// Whether the list changed while it was read, according to the kernel.
    pub interrupted: bool,
}

impl Dump {
    /// Takes one part of the answer, a datagram. Returns true for the last.
    ///
    /// # Errors
    /// When the kernel refused the request or lost a part, or when this is not an answer of sock_diag.
    pub fn take(&mut self, mut datagram: &[u8]) -> Result<bool> {
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
    let what = if error.kind() == io::ErrorKind::NotFound {
        "this kernel has no sock_diag for TCP: load the module tcp_diag (CONFIG_INET_TCP_DIAG)"
    } else {
        "sock_diag refused the request"
    };
    Err(anyhow!(error).context(what))
}

/// The request for all such TCP sockets of one address family, as bytes.
#[must_use]
pub fn request(family: u8, wanted: Wanted) -> Vec<u8> {
    let question = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: match wanted {
            Wanted::Connected => CARRYING,
            Wanted::Listening => StateFlags::LISTEN,
        },
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

/// One socket of the answer. Of its attributes one is read and all others are ignored, so that none added by a
/// newer kernel can be misread.
#[derive(Debug)]
struct Answer(ExistingSocket);

impl NetlinkDeserializable for Answer {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        if header.message_type != SOCK_DIAG_BY_FAMILY {
            return Err("not an answer of sock_diag".into());
        }
        let socket = InetResponseHeader::parse(payload)?;
        let id = socket.socket_id;
        Ok(Self(ExistingSocket {
            cookie: cookie(id.cookie),
            local: endpoint(id.source_address, id.source_port),
            remote: endpoint(id.destination_address, id.destination_port),
            inode: socket.inode,
            uid: socket.uid,
            cgroup: payload.get(SOCKET_LEN..).and_then(cgroup),
        }))
    }
}

/// Bytes of `struct inet_diag_msg`, before the attributes.
const SOCKET_LEN: usize = 72;

/// The ID of the cgroup among these attributes.
fn cgroup(attributes: &[u8]) -> Option<u64> {
    let mut attributes = NlasIterator::new(attributes).map_while(Result::ok);
    let found = attributes.find(|attribute| attribute.kind() == CGROUP_ID)?;
    let id = found.value().first_chunk()?;
    Some(u64::from_ne_bytes(*id))
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
