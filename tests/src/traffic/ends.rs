//! Both ends of one connection: how it is made, what is sent on it, how it is closed.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::{Connection, Ending, Family, Side, payload};
use crate::world::netns::{self, Lab, Namespace};
use crate::world::wait;

/// Bytes of a short exchange, each way.
pub(crate) const LITTLE: usize = 200;
/// How long a peer that closes late waits: until well after the daemon's Close event, and well
/// within its linger of 1 s.
const LATE: Duration = Duration::from_millis(300);

/// Both ends of a connection.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) host: TcpStream,
    pub(crate) peer: TcpStream,
}

/// Opens a connection between the two namespaces of a lab.
pub(crate) fn establish(lab: &Lab, family: Family, opener: Side) -> Result<Ends> {
    let place = |addresses: [IpAddr; 2]| addresses[usize::from(family == Family::V6)];
    let (host, peer) = (place(netns::first(0)), place(netns::second(0)));
    let mapped = family == Family::V4Mapped;
    match opener {
        Side::Peer => {
            let any = if mapped {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                host
            };
            let listener = listen(&lab.host, any)?;
            let to = SocketAddr::new(host, listener.local_addr()?.port());
            let peer = lab.peer.run(|| Ok(TcpStream::connect(to)?))?;
            Ends::new(listener.accept()?.0, peer)
        }
        Side::Host => {
            let listener = listen(&lab.peer, peer)?;
            let at = listener.local_addr()?;
            let ip = match (mapped, at.ip()) {
                (true, IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
                (_, ip) => ip,
            };
            let to = SocketAddr::new(ip, at.port());
            let host = lab.host.run(|| Ok(TcpStream::connect(to)?))?;
            Ends::new(host, listener.accept()?.0)
        }
    }
}

pub(crate) fn listen(namespace: &Namespace, address: IpAddr) -> Result<TcpListener> {
    namespace.run(|| TcpListener::bind((address, 0)).with_context(|| format!("bind {address}")))
}

/// Connects from a given port, which may have been in use a moment ago.
pub(crate) fn connect_from(
    namespace: &Namespace,
    from: SocketAddr,
    to: SocketAddr,
) -> Result<TcpStream> {
    namespace.run(|| {
        let family = match from {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket(family, SocketType::STREAM, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &from).with_context(|| format!("bind {from}"))?;
        connect(&socket, &to).with_context(|| format!("connect from {from} to {to}"))?;
        Ok(socket.into())
    })
}

impl Ends {
    pub(crate) fn new(host: TcpStream, peer: TcpStream) -> Result<Self> {
        for stream in [&host, &peer] {
            stream.set_read_timeout(Some(wait::LIMIT))?;
            stream.set_write_timeout(Some(wait::LIMIT))?;
        }
        Ok(Self { host, peer })
    }

    pub(crate) fn connection(&self) -> Result<Connection> {
        Connection::of(&self.host)
    }

    /// Sends a little payload from the peer to the host, and then from the host to the peer.
    pub(crate) fn exchange_little(&self) -> Result<()> {
        send(&self.peer, LITTLE)?;
        receive(&self.host, LITTLE)?;
        send(&self.host, LITTLE)?;
        receive(&self.peer, LITTLE)
    }

    /// Sends `len` bytes from each end to the other at the same time, as the sockets' buffers need
    /// not have room for them.
    pub(crate) fn exchange(&self, len: usize) -> Result<()> {
        thread::scope(|scope| {
            let sent = [&self.host, &self.peer].map(|end| scope.spawn(move || send(end, len)));
            let received =
                [&self.host, &self.peer].map(|end| scope.spawn(move || receive(end, len)));
            for one in sent.into_iter().chain(received) {
                one.join().expect("neither panics")?;
            }
            Ok(())
        })
    }

    pub(crate) fn close(self, ending: Ending, host_closed: impl FnOnce()) -> Result<()> {
        match ending {
            Ending::HostFirst | Ending::PeerLate => {
                drop(self.host);
                host_closed();
                read_end(&self.peer)?;
                if ending == Ending::PeerLate {
                    thread::sleep(LATE);
                }
                drop(self.peer);
            }
            Ending::PeerFirst => {
                drop(self.peer);
                read_end(&self.host)?;
                drop(self.host);
                host_closed();
            }
            Ending::Reset => {
                set_socket_linger(&self.peer, Some(Duration::ZERO))?;
                drop(self.peer);
                ensure!(
                    (&self.host).read(&mut [0]).is_err(),
                    "the reset did not arrive"
                );
                drop(self.host);
                host_closed();
            }
        }
        Ok(())
    }
}

fn send(mut stream: &TcpStream, len: usize) -> Result<()> {
    // Several writes, for packets of several sizes.
    for piece in payload::bytes(len).chunks(LITTLE.max(len / 3)) {
        stream.write_all(piece).context("sending")?;
    }
    Ok(())
}

fn receive(mut stream: &TcpStream, len: usize) -> Result<()> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).context("receiving")?;
    ensure!(
        bytes == payload::bytes(len),
        "the payload changed on its way"
    );
    Ok(())
}

fn read_end(mut stream: &TcpStream) -> Result<()> {
    let count = stream.read(&mut [0]).context("waiting for the end")?;
    ensure!(count == 0, "more payload than was sent");
    Ok(())
}
