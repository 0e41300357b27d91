//! Listens at the HTTP address, before anything else is started.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs as _};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use tokio::net::TcpListener;

use model::{Diagnostic, ListenAddress};

/// A listening HTTP socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) socket: TcpListener,
    address: SocketAddr,
}

/// How many connections may wait in the kernel to be accepted.
const BACKLOG: i32 = 128;

impl Listener {
    /// Listens at the address.
    ///
    /// # Errors
    /// When it is in use, or is not this host's; and what to do.
    pub(crate) async fn bind(wanted: &ListenAddress) -> Result<Self, Diagnostic> {
        let (host, port) = wanted.parts();
        let bound = if host.is_empty() {
            every_address(port)
        } else {
            one_address(host, port).await
        };
        let listener = bound.and_then(|socket| {
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        });
        listener.map_err(|error| {
            Diagnostic::new(
                format!("serving HTTP at {wanted}: {error}"),
                "use another address or port, or --prometheusx.listen-address= to serve nothing",
            )
        })
    }

    /// The URL of the metrics, with localhost in place of an unspecified address.
    pub(crate) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let port = address.port();
            return format!("http://localhost:{port}/metrics");
        }
        address.set_ip(address.ip().to_canonical());
        format!("http://{address}/metrics")
    }
}

/// Listens at every address of this host: IPv4 and IPv6, or only IPv4 where the kernel has no IPv6.
fn every_address(port: u16) -> io::Result<TcpListener> {
    match dual_stack(port) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            let listener = StdListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        }
        other => other,
    }
}

fn dual_stack(port: u16) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None)?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    // Closed connections of an earlier run (TIME_WAIT) must not keep this one from starting.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens at the first of a host's addresses that works.
async fn one_address(host: &str, port: u16) -> io::Result<TcpListener> {
    // Not resolved by tokio, which starts a thread for it: that thread would keep the privileges
    // that are dropped later.
    let found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    TcpListener::bind(&found[..]).await
}
