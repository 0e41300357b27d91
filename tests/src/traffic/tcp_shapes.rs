//! Connections whose sockets have options that Rust's standard library does not know: both ends are
//! programs in Python.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Connection, Side};
use crate::world::netns::{Lab, Namespace};
use crate::world::process::{Process, Stream};
use crate::world::{python, ss, wait};

/// The options of both sockets of a connection, and the amount of its payload.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The number of connections, made one after another.
    pub times: usize,
    /// `TCP_MAXSEG`; 0 leaves it to the MTU.
    pub mss: usize,
    /// `SO_SNDBUF` and `SO_RCVBUF`, in bytes; 0 leaves them to the kernel.
    pub buffer: usize,
    /// Bytes of payload each way.
    pub amount: usize,
    /// Whether TCP Fast Open (RFC 7413) is used.
    pub fast_open: bool,
}

impl Shape {
    /// One connection with the kernel's defaults, and 400,000 bytes each way.
    pub const PLAIN: Self = Self {
        times: 1,
        mss: 0,
        buffer: 0,
        amount: 400_000,
        fast_open: false,
    };

    fn start(self, at: &Namespace, ends: [&str; 3], words: &[&str]) -> Result<Process> {
        let mut command = python::program("tcp_end.py")?;
        command.args(ends);
        for number in [self.times, self.mss, self.buffer, self.amount] {
            command.arg(number.to_string());
        }
        command.args(words);
        command.args(self.fast_open.then_some("fastopen"));
        Process::start(at, &mut command)
    }

    /// Starts both ends, first the listening one and then the connecting one; returns them in that
    /// order.
    fn connect(
        self,
        (listens, server): (&Namespace, IpAddr),
        (connects, client): (&Namespace, IpAddr),
        words: [&[&str]; 2],
    ) -> Result<[Process; 2]> {
        let (server, client) = (server.to_string(), client.to_string());
        let mut listener = self.start(listens, [&server, "-", "-"], words[0])?;
        listener.wait_for_line((Stream::Out, 0), "it listens", |_| true)?;
        let port = listener.lines(Stream::Out).remove(0);
        let connector = self.start(connects, [&client, &server, &port], words[1])?;
        Ok([listener, connector])
    }

    /// Makes the connections between an address of the host and one of a peer.
    ///
    /// # Errors
    /// One that did not go as planned.
    pub fn converse(
        self,
        opener: Side,
        host: (&Namespace, IpAddr),
        peer: (&Namespace, IpAddr),
    ) -> Result<Vec<Connection>> {
        let [listener, connector] = match opener {
            Side::Peer => self.connect(host, peer, [&[]; 2])?,
            Side::Host => self.connect(peer, host, [&[]; 2])?,
        };
        let connector = connector.finish()?;
        let listener = listener.finish()?;
        let lines = match opener {
            Side::Peer => &listener[1..],
            Side::Host => &connector[..],
        };
        ensure!(lines.len() == self.times, "{lines:?}");
        lines.iter().map(|line| connection(line)).collect()
    }

    /// Makes a Multipath TCP connection (RFC 8684) from the peer to the host, with a second subflow
    /// from another address of the peer; returns both subflows.
    ///
    /// # Errors
    /// It did not go as planned, or the kernel has no Multipath TCP.
    pub fn multipath(
        self,
        lab: &Lab,
        [host, peer]: [IpAddr; 2],
        other: IpAddr,
    ) -> Result<Vec<Connection>> {
        let other = other.to_string();
        let ends = [(&lab.host, host), (&lab.peer, peer)];
        for (namespace, _) in ends {
            namespace.ip(&["mptcp", "limits", "set", "subflows", "1"])?;
        }
        lab.peer
            .ip(&["mptcp", "endpoint", "add", &other, "subflow"])?;
        let words: [&[&str]; 2] = [&["multipath", "again"], &["multipath", "hold"]];
        let [listener, connector] = self.connect(ends[0], ends[1], words)?;
        let subflows = wait::until("two subflows", || {
            let sockets = ss::established(&lab.host)?;
            Ok((sockets.len() == 2).then_some(sockets))
        });
        let subflows = subflows.with_context(|| connector.transcript())?;
        connector.signal(Signal::TERM)?;
        connector.finish()?;
        listener.finish()?;
        lab.peer.ip(&["mptcp", "endpoint", "flush"])?;
        let connection = |([host, peer], cookie): ([SocketAddr; 2], u64)| Connection {
            host,
            peer,
            cookie,
            lasted: Duration::ZERO,
        };
        Ok(subflows.into_iter().map(connection).collect())
    }
}

/// The connection that the host's program printed.
fn connection(line: &str) -> Result<Connection> {
    let words: Vec<_> = line.split(' ').collect();
    let [cookie, host, host_port, peer, peer_port] = words[..] else {
        anyhow::bail!("not a connection: {line}");
    };
    let address = |ip: &str, port: &str| -> Result<SocketAddr> {
        Ok(SocketAddr::new(ip.parse()?, port.parse()?))
    };
    Ok(Connection {
        host: address(host, host_port)?,
        peer: address(peer, peer_port)?,
        cookie: cookie.parse()?,
        lasted: Duration::ZERO,
    })
}
