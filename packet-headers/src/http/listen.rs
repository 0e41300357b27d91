//! Taking an address, before anything else is done.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs as _};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use tokio::net::TcpListener;

use model::{Diagnostic, ListenAddress};

/// The socket that clients connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) socket: TcpListener,
    address: SocketAddr,
}

/// How many connections the kernel keeps for us until we accept them.
const BACKLOG: i32 = 128;

impl Listener {
    /// Takes the address.
    ///
    /// # Errors
    /// When it is somebody else's, or not this host's; with what to do.
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
                "--prometheusx.listen-address can name another address or port, or nothing \
                 (--prometheusx.listen-address=) to serve none",
            )
        })
    }

    /// Where the metrics are; of every address, the one that reaches us from this host.
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

/// Every address of this host, IPv4 and IPv6; IPv4 only where there is nothing else.
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
    // The connections of the run before ours are no reason not to start.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The first address of a host that can be taken.
async fn one_address(host: &str, port: u16) -> io::Result<TcpListener> {
    // Not by tokio, which starts a thread for a name: it would keep what is given up after this.
    let found: Vec<_> = (host, port).to_socket_addrs()?.collect();
    TcpListener::bind(&found[..]).await
}
