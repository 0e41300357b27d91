//! How much of what was sent to a client it has not read yet, by the kernel's account.

use std::io;

use anyhow::{Context as _, Result, bail, ensure};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::unix::nlas::Nla;
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use tokio::net::UnixStream;

/// Size in bytes of the buffer for an answer, which is about a hundred bytes long.
const ANSWER: usize = 4096;

/// A connected Unix socket of ours, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode(u32);

impl Inode {
    /// The inode of a socket; `None` if the kernel does not say.
    pub(super) fn of(socket: &UnixStream) -> Option<Self> {
        let status = rustix::fs::fstat(socket).ok()?;
        u32::try_from(status.st_ino).ok().map(Self)
    }
}

/// Asks the kernel.
pub(super) struct Unread(Socket);

impl Unread {
    /// Opens the way to the kernel.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn open() -> Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG).context("opening sock_diag")?;
        let connected = socket.connect(&SocketAddr::new(0, 0));
        connected.context("connecting to sock_diag")?;
        Ok(Self(socket))
    }

    /// The memory that the kernel keeps for what the client has not read, in bytes: 0 if it has read
    /// everything, otherwise more than there is to read.
    ///
    /// # Errors
    /// When the kernel has no sock_diag for Unix sockets, or does not know the socket any more.
    pub(super) fn of(&self, socket: Inode) -> Result<u32> {
        let request = request(socket);
        self.0.send(&request, 0).context("asking sock_diag")?;
        let mut answer = vec![0; ANSWER];
        // The kernel has answered before the request is sent.
        let length = loop {
            match self.0.recv(&mut answer.as_mut_slice(), libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.context("reading from sock_diag")?,
            }
        };
        let answer = answer.get(..length).unwrap_or_default();
        let message: NetlinkMessage<SockDiagMessage> =
            NetlinkMessage::deserialize(answer).context("reading sock_diag's answer")?;
        let NetlinkPayload::InnerMessage(SockDiagMessage::UnixResponse(found)) = message.payload
        else {
            bail!("sock_diag does not tell of Unix sockets");
        };
        ensure!(
            found.header.inode == socket.0,
            "sock_diag tells of another socket"
        );
        let unread = found.nlas.iter().find_map(|nla| {
            if let Nla::ReceiveQueueLength(_, by_peer) = nla {
                Some(*by_peer)
            } else {
                None
            }
        });
        unread.context("sock_diag does not tell what is unread")
    }
}

/// The request for one Unix socket, as bytes.
fn request(socket: Inode) -> Vec<u8> {
    let question = UnixRequest {
        state_flags: StateFlags::all(),
        inode: socket.0,
        show_flags: ShowFlags::RQLEN,
        // Any socket with this inode.
        cookie: [u8::MAX; 8],
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::UnixRequest(question).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_a_client_has_not_read_is_known() {
        let (mut ours, mut client) = UnixStream::pair().unwrap();
        let (unread, inode) = (Unread::open().unwrap(), Inode::of(&ours).unwrap());
        assert_eq!(unread.of(inode).unwrap(), 0);
        ours.write_all(&[7; 1000]).await.unwrap();
        assert!(unread.of(inode).unwrap() >= 1000);
        client.read_exact(&mut [0; 1000]).await.unwrap();
        assert_eq!(unread.of(inode).unwrap(), 0);
        drop(ours);
        unread.of(inode).unwrap_err();
    }
}
