//! The sockets of a namespace, as `ss` lists them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};

use crate::world::command::output_of;
use crate::world::netns::Namespace;
use crate::world::wait;

/// The cookie (`sk:` of `ss -e`) of the established TCP socket between two addresses.
///
/// # Errors
/// `ss` is missing, failed, or knows no such socket.
pub fn cookie(namespace: &Namespace, local: SocketAddr, peer: SocketAddr) -> Result<u64> {
    let sockets = established(namespace)?;
    let found = sockets
        .iter()
        .find(|(addresses, _)| *addresses == [local, peer]);
    let (_, cookie) = found.with_context(|| format!("no socket {local} {peer} in {sockets:?}"))?;
    Ok(*cookie)
}

/// The established TCP sockets: local and remote address, and the cookie.
///
/// # Errors
/// `ss` is missing or failed.
pub fn established(namespace: &Namespace) -> Result<Vec<([SocketAddr; 2], u64)>> {
    let mut command = Command::new("ss");
    command.args(["-tneHO", "state", "established"]);
    let (out, _) = namespace.run(|| output_of(&mut command, "iproute2"))?;
    Ok(out.lines().filter_map(parse).collect())
}

/// What the kernel knows of each TCP socket that is not closed (`struct tcp_info`): its local address, and
/// figures by the names that `ss` has for them. `retrans` is that of the whole connection; `rtt` is the smoothed
/// one, not its variation.
///
/// # Errors
/// `ss` is missing or failed.
pub fn figures(namespace: &Namespace) -> Result<Vec<(SocketAddr, HashMap<String, f64>)>> {
    let mut command = Command::new("ss");
    command.args(["-tinHO"]);
    let (out, _) = namespace.run(|| output_of(&mut command, "iproute2"))?;
    Ok(out.lines().filter_map(parse_figures).collect())
}

/// The figures of the socket at a local address, as [`figures`] has them, once the other end has acknowledged its
/// SYN and so many bytes.
///
/// # Errors
/// As [`figures`]; or that does not happen.
pub fn once_acknowledged(
    namespace: &Namespace,
    local: SocketAddr,
    bytes: usize,
) -> Result<HashMap<String, f64>> {
    wait::until("everything is acknowledged", || {
        let mut sockets = figures(namespace)?.into_iter();
        let found = sockets.find(|(address, _)| *address == local);
        let (_, figures) = found.with_context(|| format!("{local} is open"))?;
        let acknowledged = figures.get("bytes_acked") == Some(&(bytes as f64 + 1.0));
        Ok(acknowledged.then_some(figures))
    })
}

fn parse_figures(line: &str) -> Option<(SocketAddr, HashMap<String, f64>)> {
    let mut words = line.split_whitespace();
    let local = words.find_map(|word| word.parse().ok())?;
    let figures = words.filter_map(|word| {
        let (name, value) = word.split_once(':')?;
        let mut values = value.split('/');
        let value = if name == "rtt" {
            values.next()
        } else {
            values.next_back()
        };
        Some((name.to_owned(), value?.parse().ok()?))
    });
    Some((local, figures.collect()))
}

/// The two addresses and the cookie of a line.
fn parse(line: &str) -> Option<([SocketAddr; 2], u64)> {
    let mut addresses = line.split_whitespace().filter_map(|word| {
        let address: SocketAddr = word.parse().ok()?;
        // `ss` prints the socket's own address; a v4-mapped one is the IPv4 address on the wire.
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    });
    let both = [addresses.next()?, addresses.next()?];
    let cookie = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("sk:"))?;
    Some((both, u64::from_str_radix(cookie, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_name() {
        let line = "ESTAB 0 0 10.98.1.1:40000 10.98.1.2:5001 cubic wscale:7,7 rtt:10.3/0.1 bytes_acked:7 retrans:0/3";
        let (local, figures) = parse_figures(line).unwrap();
        assert_eq!(local, "10.98.1.1:40000".parse().unwrap());
        assert_eq!((figures["bytes_acked"], figures["retrans"]), (7.0, 3.0));
        assert_eq!(figures["rtt"], 10.3);
    }

    #[test]
    fn a_line_of_ss_is_understood() {
        let line = "0      0      [::ffff:10.98.0.1]:5001  [::ffff:10.98.0.2]:40000 ino:7 sk:1002 cgroup:/ v6only:0 <->";
        let addresses = ["10.98.0.1:5001", "10.98.0.2:40000"].map(|a| a.parse().unwrap());
        assert_eq!(parse(line), Some((addresses, 0x1002)));
        assert_eq!(parse("0 0 10.98.0.1:5001 10.98.0.2:40000"), None);
    }
}
