//! Connections that only a program in Python can make: with options that the standard library of Rust
//! has no word for.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::socket_cookie;

use crate::peers::scapy;
use crate::traffic::Connection;
use crate::traffic::ends::LIMIT;
use crate::world::netns::{Lab, Namespace};
use crate::world::process::{Process, Stream};

/// Payload of the connections, each way.
const LITTLE: usize = 5;

/// Connects from an address, which it has written into an option: of IPv4, a route that each router
/// adds itself to (RFC 791); of IPv6, a destination option whose type nobody knows (RFC 4727).
const WITH_OPTIONS: &str = "
import socket, sys
here, there, port = sys.argv[1:]
if ':' in here:
    s = socket.socket(socket.AF_INET6)
    option = bytes([0, 2, 0x1e, 16]) + socket.inet_pton(socket.AF_INET6, here) + bytes([1, 2, 0, 0])
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, option)
else:
    s = socket.socket(socket.AF_INET)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([7, 11, 4]) + bytes(9))
s.bind((here, 0))
s.connect((there, int(port)))
s.sendall(b'hello')
assert s.recv(5) == b'hello'
assert s.recv(1) == b''
";

/// Accepts one Multipath TCP connection, or makes one, and stays until the other side has gone.
const MULTIPATH: &str = "
import socket, sys, time
here, there, port = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
if there == '-':
    s.bind((here, 0))
    s.listen()
    print(s.getsockname()[1], flush=True)
    s, _ = s.accept()
    s.sendall(b'hello')
    s.recv(5)
else:
    s.bind((here, 0))
    s.connect((there, int(port)))
    s.recv(5)
    time.sleep(0.3)
    s.sendall(b'hello')
    s.recv(1)
";

fn python(program: &str, arguments: [&str; 3]) -> Result<Command> {
    let mut command = Command::new(scapy::python()?);
    command.args(["-c", program]).args(arguments);
    Ok(command)
}

fn end(mut process: Process) -> Result<()> {
    let status = process.wait(LIMIT)?;
    ensure!(status.success(), "{}", process.transcript());
    Ok(())
}

/// Makes a connection from an address of the peer to one of the host, each packet of which says the
/// peer's address in an option too.
///
/// # Errors
/// A connection that did not go as planned.
pub fn with_options(lab: &Lab, host: IpAddr, peer: IpAddr) -> Result<Connection> {
    let bind = || TcpListener::bind((host, 0)).with_context(|| format!("bind {host}"));
    let listener = lab.host.run(bind)?;
    let port = listener.local_addr()?.port().to_string();
    let (here, there) = (peer.to_string(), host.to_string());
    let mut command = python(WITH_OPTIONS, [&here, &there, &port])?;
    let program = Process::start(&lab.peer, &mut command)?;
    let (mut stream, peer) = listener.accept()?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut bytes = [0; LITTLE];
    stream.read_exact(&mut bytes)?;
    stream.write_all(&bytes)?;
    let connection = Connection {
        host: stream.local_addr()?,
        peer,
        cookie: socket_cookie(&stream)?,
        lasted: Duration::ZERO,
    };
    drop(stream);
    end(program)?;
    Ok(connection)
}

/// Makes a Multipath TCP connection (RFC 8684) from `peer` to `host`, on which the peer announces that
/// it can be reached at `other` too. The addresses of its ends.
///
/// # Errors
/// A connection that did not go as planned, or a kernel without Multipath TCP.
pub fn multipath(lab: &Lab, host: IpAddr, peer: IpAddr, other: IpAddr) -> Result<()> {
    let listen = ["mptcp", "limits", "set", "add_addr_accepted", "0"];
    lab.host.ip(&listen)?;
    let announce = ["mptcp", "endpoint", "add", &other.to_string(), "signal"];
    lab.peer.ip(&announce)?;
    let (host, peer) = (host.to_string(), peer.to_string());
    let start = |namespace: &Namespace, arguments| {
        Process::start(namespace, &mut python(MULTIPATH, arguments)?)
    };
    let mut server = start(&lab.host, [&host, "-", "-"])?;
    server.wait_for_line((Stream::Out, 0), "it listens", LIMIT, |_| true)?;
    let lines = server.lines(Stream::Out);
    let port: SocketAddr = format!("0.0.0.0:{}", lines[0]).parse()?;
    let client = start(&lab.peer, [&peer, &host, &port.port().to_string()])?;
    end(client)?;
    end(server)
}
