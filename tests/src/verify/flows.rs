//! UDP flows as tcpdump saw them, the names that follow from them, and the comparison of the daemon's files with both.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::captures::Captures;
use super::oracle;
use super::pcap::Packet;
use crate::world::command::output_of;

/// The packets of one flow.
pub type Flow = Vec<Packet>;

/// How far our time of a flow's first packet may be from tcpdump's.
const NEAR: Duration = Duration::from_millis(100);

/// Takes packets in the order of time apart: by pair of addresses, and where none came for this long.
#[must_use]
pub fn apart(packets: Vec<Packet>, silence: Duration) -> Vec<Flow> {
    let mut flows: Vec<Flow> = Vec::new();
    let mut last: HashMap<_, usize> = HashMap::new();
    for packet in packets {
        let key = (packet.from.min(packet.to), packet.from.max(packet.to));
        let known = last.get(&key).copied();
        let going_on = known.filter(|at| {
            let before = flows[*at].last().map_or(Duration::ZERO, |it| it.time);
            packet.time.saturating_sub(before) < silence
        });
        match going_on {
            Some(at) => flows[at].push(packet),
            None => {
                last.insert(key, flows.len());
                flows.push(vec![packet]);
            }
        }
    }
    flows
}

/// What a flow's name follows from: who sent its first packet to whom, and when, by its own file.
pub type First = (SocketAddr, SocketAddr, Duration);

/// The digits of names, as docs say that anybody can compute them: by sha256sum.
///
/// # Errors
/// It is missing.
pub fn digits(firsts: &[First]) -> Result<Vec<String>> {
    if firsts.is_empty() {
        return Ok(Vec::new());
    }
    let directory = TempDir::new()?;
    let mut command = Command::new("sha256sum");
    for (at, (from, to, time)) in firsts.iter().enumerate() {
        let file = directory.path().join(at.to_string());
        let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
        fs::write(&file, format!("udp {from} {to} {seconds}.{nanos:09}"))?;
        command.arg(file);
    }
    let (sums, _) = output_of(&mut command, "coreutils")?;
    let digits = sums.lines().map(|line| line[..16].to_uppercase());
    Ok(digits.collect())
}

/// A flow's file: its name, and its packets.
pub type Named = (String, Flow);

/// Reads the files of UDP flows, whose names must follow from their first packets: `shown` is what a name says of an
/// address.
///
/// # Errors
/// A file that is not whole, or has another name.
pub fn files(captures: &Captures, shown: impl Fn(SocketAddr) -> SocketAddr) -> Result<Vec<Named>> {
    let mut found = Vec::new();
    for (name, path) in captures.of_udp()? {
        found.push((name, captures.read(&path)?));
    }
    let first = |(_, packets): &Named| {
        let first = packets.first().context("an empty file")?;
        Ok((shown(first.from), shown(first.to), first.time))
    };
    let firsts = found.iter().map(first).collect::<Result<Vec<_>>>()?;
    for ((name, packets), digits) in found.iter().zip(digits(&firsts)?) {
        ensure!(
            name.ends_with(&format!("_udp_{digits}")),
            "{name} does not end with {digits}: {}",
            packets[0]
        );
    }
    Ok(found)
}

/// Checks that each flow has exactly one file, which is equal to it up to the [`Packet::header_len`] of each packet;
/// that there are no other files of UDP flows, no partial files, and no payload. Returns the name of each flow.
///
/// # Errors
/// What differs, and where.
pub fn verify(captures: &Captures, flows: &[Flow]) -> Result<Vec<String>> {
    let mut files = files(captures, |address| address)?;
    let mut names = Vec::new();
    for flow in flows {
        let first = flow.first().context("a flow without packets")?;
        let is_its = |(_, ours): &Named| {
            let ends = (ours[0].from, ours[0].to) == (first.from, first.to);
            ends && ours[0].time.abs_diff(first.time) < NEAR
        };
        let at = files.iter().position(is_its);
        let at = at.with_context(|| format!("no file of {} packets: {first}", flow.len()))?;
        let (name, ours) = files.swap_remove(at);
        oracle::equal(&ours, flow).with_context(|| name.clone())?;
        names.push(name);
    }
    let names_of_others: Vec<_> = files.iter().map(|(name, ours)| (name, &ours[0])).collect();
    ensure!(files.is_empty(), "files of no flow: {names_of_others:?}");
    captures.no_partial_files()?;
    captures.no_payload()?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_documentation() {
        let ends = ["192.0.2.7:40000", "198.51.100.1:53"].map(|end| end.parse().unwrap());
        let at = Duration::new(1_795_414_125, 42);
        let digits = digits(&[(ends[0], ends[1], at)]).unwrap();
        assert_eq!(digits, ["773550052BA5B1D9"]);
    }
}
