//! TCP connections as tshark tells them apart.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::world::command::output_of;

/// A connection, in either direction: from this end, to that one, and packets that way.
pub type Way = (SocketAddr, SocketAddr, u64);

/// Both directions of every TCP connection of a file, by `tshark -z conv,tcp`, sorted.
///
/// # Errors
/// What tshark prints.
pub fn of_file(file: &Path) -> Result<Vec<Way>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-q", "-z", "conv,tcp", "-r"]).arg(file);
    let (out, _) = output_of(&mut command, "tshark")?;
    let lines = out.lines().filter(|line| line.contains(" <-> "));
    let ways = lines.map(|line| parse(line).with_context(|| format!("tshark prints {line}")));
    let ways: Result<Vec<[Way; 2]>> = ways.collect();
    let mut ways: Vec<_> = ways?.into_iter().flatten().collect();
    ways.sort_unstable();
    Ok(ways)
}

/// `A <-> B`, packets and bytes from B to A, then from A to B, then of both.
fn parse(line: &str) -> Option<[Way; 2]> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [one, _, other, back, _, _, forth, ..] = words[..] else {
        return None;
    };
    let (one, other) = (end(one)?, end(other)?);
    Some([
        (one, other, forth.parse().ok()?),
        (other, one, back.parse().ok()?),
    ])
}

/// An address and a port; IPv6 has no brackets.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}
