//! Connections whose packets carry the peer's address in an option, of IP or of Multipath TCP.
//! Rust's standard library knows neither, so that a program in Python makes them.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::process::Command;

use anyhow::Result;

use super::Connection;
use super::ends::listen;
use crate::world::netns::{Lab, Namespace};
use crate::world::process::{Process, Stream};
use crate::world::{python, wait};

/// Bytes of payload on a connection, each way.
const LITTLE: usize = 5;

/// Connects from an address, and puts the address into an option. In IPv4 it is the route that each
/// router records itself in (RFC 791), in IPv6 a destination option of an experimental type (RFC
/// 4727).
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

/// Accepts or makes one Multipath TCP connection, and stays until the other side has closed it.
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

fn script(program: &str, arguments: [&str; 3]) -> Result<Command> {
    let mut command = python::command()?;
    command.args(["-c", program]).args(arguments);
    Ok(command)
}

/// Makes a connection from an address of the peer to one of the host; each packet has the peer's
/// address in an IP option too.
///
/// # Errors
/// A connection that did not go as planned.
pub fn with_options(lab: &Lab, host: IpAddr, peer: IpAddr) -> Result<Connection> {
    let listener = listen(&lab.host, host)?;
    let port = listener.local_addr()?.port().to_string();
    let (here, there) = (peer.to_string(), host.to_string());
    let mut command = script(WITH_OPTIONS, [&here, &there, &port])?;
    let program = Process::start(&lab.peer, &mut command)?;
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(wait::LIMIT))?;
    let mut bytes = [0; LITTLE];
    stream.read_exact(&mut bytes)?;
    stream.write_all(&bytes)?;
    let connection = Connection::of(&stream)?;
    drop(stream);
    program.finish()?;
    Ok(connection)
}

/// Makes a Multipath TCP connection (RFC 8684) from `peer` to `host`, on which the peer announces
/// that it has the address `other` too.
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
        Process::start(namespace, &mut script(MULTIPATH, arguments)?)
    };
    let mut server = start(&lab.host, [&host, "-", "-"])?;
    server.wait_for_line((Stream::Out, 0), "it listens", |_| true)?;
    let port = server.lines(Stream::Out).remove(0);
    let client = start(&lab.peer, [&peer, &host, &port])?;
    client.finish()?;
    server.finish().map(drop)
}
