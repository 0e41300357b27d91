//! UDP sockets in namespaces, and what is sent between them.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::socket_cookie;

use super::payload;
use crate::world::netns::Namespace;
use crate::world::process::Process;
use crate::world::{python, wait};

/// A UDP socket, closed on drop.
#[derive(Debug)]
pub struct Socket(UdpSocket);

impl Socket {
    /// Binds one to an address, and to a port that is free if it is 0.
    ///
    /// # Errors
    /// The port is taken.
    pub fn bind((namespace, ip): (&Namespace, IpAddr), port: u16) -> Result<Self> {
        let at = SocketAddr::new(ip, port);
        let socket = namespace.run(|| UdpSocket::bind(at).with_context(|| format!("bind {at}")))?;
        socket.set_read_timeout(Some(wait::LIMIT))?;
        Ok(Self(socket))
    }

    /// Connects it to another one.
    ///
    /// # Errors
    /// There is no route.
    pub fn connect(&self, to: &Self) -> Result<()> {
        Ok(self.0.connect(to.address()?)?)
    }

    /// Its address.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    /// Its SO_COOKIE.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn cookie(&self) -> Result<u64> {
        Ok(socket_cookie(&self.0)?)
    }

    /// Sends a datagram of so many bytes to another one, and waits until that has it.
    ///
    /// # Errors
    /// It does not arrive.
    pub fn send(&self, to: &Self, len: usize) -> Result<()> {
        self.send_bytes(to, &payload::bytes(len))
    }

    /// The same with other bytes than payload that is recognized.
    ///
    /// # Errors
    /// It does not arrive.
    pub fn send_bytes(&self, to: &Self, datagram: &[u8]) -> Result<()> {
        let len = datagram.len();
        let sent = match self.0.peer_addr() {
            Ok(_) => self.0.send(datagram)?,
            Err(_) => self.0.send_to(datagram, to.address()?)?,
        };
        let mut buffer = vec![0; len + 1];
        let (got, from) = to.0.recv_from(&mut buffer)?;
        ensure!(
            sent == len && got == len,
            "{got} of {len} bytes from {from}"
        );
        ensure!(from.port() == self.address()?.port(), "it is from {from}");
        Ok(())
    }

    /// Asks another one, which answers.
    ///
    /// # Errors
    /// Either does not arrive.
    pub fn ask(&self, other: &Self) -> Result<()> {
        self.send(other, QUESTION)?;
        other.send(self, ANSWER)
    }
}

/// Bytes of a question, and of its answer: about those of DNS.
const QUESTION: usize = 50;
const ANSWER: usize = 180;

/// Sends datagrams of `segment` bytes in one large one, which the kernel takes apart (`UDP_SEGMENT`), and receives such
/// ones if the socket at the other end asks for it (`UDP_GRO`); returns the two addresses.
///
/// # Errors
/// A kernel without it, or they do not arrive.
pub fn segments(
    from: (&Namespace, IpAddr),
    to: (&Namespace, IpAddr),
    [segment, times]: [usize; 2],
) -> Result<[SocketAddr; 2]> {
    let end = |(namespace, ip): (&Namespace, IpAddr), rest: &[&str]| {
        let mut command = python::program("udp_segments.py")?;
        command.arg(ip.to_string()).args(rest);
        Process::start(namespace, &mut command)
    };
    let [segment, times] = [segment, times].map(|number| number.to_string());
    let mut receiver = end(to, &["receive", &segment, &times])?;
    let address = |process: &Process, ip: IpAddr| -> Result<_> {
        let lines = process.lines(crate::world::process::Stream::Out);
        let port = lines.first().context("no port")?.parse()?;
        Ok(SocketAddr::new(ip, port))
    };
    let out = crate::world::process::Stream::Out;
    receiver.wait_for_line((out, 0), "it receives", |_| true)?;
    let target = address(&receiver, to.1)?;
    let port = target.port().to_string();
    let (ip, words) = (to.1.to_string(), ["send", &segment, &times]);
    let sender = end(from, &[&words[..], &[&ip, &port]].concat())?;
    let sent = sender.finish()?;
    receiver.finish()?;
    let port = sent.first().context("no port")?.parse()?;
    Ok([SocketAddr::new(from.1, port), target])
}
