//! What tcpdump saw, by connection, and the comparison of a file of ours with it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::captures::Captures;
use crate::needle;
use crate::pcap::{self, Packet};
use crate::traffic::Connection;

/// How far our time of a packet may be from tcpdump's: nanoseconds.
const TOLERANCE: u64 = 1_000_000;

/// The packets of tcpdump's file: those of each pair of addresses, cut at each new SYN.
#[derive(Debug)]
pub struct Oracle {
    flows: HashMap<(SocketAddr, SocketAddr), Vec<Vec<Packet>>>,
}

impl Oracle {
    /// Sorts packets, which are in the order of capture, into connections.
    #[must_use]
    pub fn new(packets: Vec<Packet>) -> Self {
        let mut flows: HashMap<_, Vec<Vec<Packet>>> = HashMap::new();
        for packet in packets {
            let connections = flows.entry(key(packet.from, packet.to)).or_default();
            let fresh = packet.opens && {
                // The same sequence number again is the same SYN, sent again.
                let known = connections.last().and_then(|last| last.first());
                known.is_none_or(|first| first.sequence != packet.sequence)
            };
            match connections.last_mut() {
                Some(last) if !fresh => last.push(packet),
                _ => connections.push(vec![packet]),
            }
        }
        Self { flows }
    }

    /// Reads tcpdump's file.
    ///
    /// # Errors
    /// As [`pcap::read`].
    pub fn read(path: &Path) -> Result<Self> {
        let packets = pcap::read(path)?;
        for packet in &packets {
            ensure!(
                packet.captured.len() >= packet.header_len,
                "tcpdump cut a header: {packet}"
            );
        }
        // The search would be worth nothing if it did not find payload where there is some.
        ensure!(
            !needle::search(path)?.is_empty(),
            "tcpdump's own file has no payload"
        );
        Ok(Self::new(packets))
    }

    /// The packets of connection number `nth` between two addresses.
    ///
    /// # Errors
    /// tcpdump saw no such connection.
    pub fn connection(&self, a: SocketAddr, b: SocketAddr, nth: usize) -> Result<&[Packet]> {
        let found = self.flows.get(&key(a, b)).and_then(|all| all.get(nth));
        let found = found.with_context(|| format!("tcpdump saw no connection {nth} of {a} {b}"))?;
        Ok(found)
    }

    /// Checks that there is exactly one file for each of `connections`, under the name that `uuid`
    /// gives it, equal to what tcpdump saw of it, and no other file, no partial file, no payload.
    ///
    /// # Errors
    /// What differs, and where.
    pub fn judge(
        &self,
        captures: &Captures,
        connections: &[Connection],
        uuid: impl Fn(&Connection) -> String,
    ) -> Result<()> {
        let mut files = captures.published()?;
        let mut seen: HashMap<_, usize> = HashMap::new();
        for connection in connections {
            let (host, peer) = (connection.host, connection.peer);
            let count = seen.entry(key(host, peer)).or_default();
            let theirs = self.connection(host, peer, *count)?;
            *count += 1;
            let name = uuid(connection);
            let file = files
                .remove(&name)
                .with_context(|| format!("no file {name} for {connection}"))?;
            let ours = captures.read(&file)?;
            equal(&ours, theirs).with_context(|| format!("{} of {connection}", file.display()))?;
        }
        ensure!(files.is_empty(), "files of no connection: {files:?}");
        captures.no_partial_files()?;
        captures.no_payload()
    }
}

/// The same value for both directions of a connection.
fn key(a: SocketAddr, b: SocketAddr) -> (SocketAddr, SocketAddr) {
    (a.min(b), a.max(b))
}

/// Checks that our packets are tcpdump's, in each direction: as many, equal, and at the same times.
///
/// # Errors
/// The first difference.
pub fn equal(ours: &[Packet], theirs: &[Packet]) -> Result<()> {
    for (way, ours, theirs) in directions(ours, theirs)? {
        let (_, left) = pair(&way, &ours, &theirs)?;
        ensure!(
            left.is_empty(),
            "{way}: we have {} packets, tcpdump has {}; the first that we lack: {}",
            ours.len(),
            theirs.len(),
            left[0]
        );
    }
    Ok(())
}

/// Checks that our packets are tcpdump's in each direction, but for missing ones that `may_miss`
/// takes; how many are missing.
///
/// # Errors
/// The first difference.
pub fn equal_but(
    ours: &[Packet],
    theirs: &[Packet],
    may_miss: impl Fn(&Packet) -> bool,
) -> Result<usize> {
    let mut missing = 0;
    for (way, ours, theirs) in directions(ours, theirs)? {
        let left = pair_with_gaps(&way, &ours, &theirs)?;
        let lacking = left.iter().find(|packet| !may_miss(packet));
        if let Some(packet) = lacking {
            let (have, has) = (ours.len(), theirs.len());
            bail!("{way}: we have {have} packets, tcpdump has {has}; missing is {packet}");
        }
        missing += left.len();
    }
    Ok(missing)
}

/// Checks that our packets are, in each direction, tcpdump's up to some point that is not before
/// `moment`, in nanoseconds since 1970.
///
/// # Errors
/// The first difference, or the first packet of before that moment that we do not have.
pub fn equal_until(ours: &[Packet], theirs: &[Packet], moment: u64) -> Result<()> {
    for (way, ours, theirs) in directions(ours, theirs)? {
        let (last, left) = pair(&way, &ours, &theirs)?;
        // A packet that is missing before others that are there is a hole, not an end.
        let end = moment.max(last.saturating_sub(TOLERANCE));
        if let Some(missing) = left.iter().find(|packet| packet.time < end) {
            bail!(
                "{way}: complete only to {} packets: {missing} is {} ns before the end",
                ours.len(),
                end - missing.time
            );
        }
    }
    Ok(())
}

/// A direction's name, our packets in it, and tcpdump's.
type Direction<'a> = (String, Vec<&'a Packet>, Vec<&'a Packet>);

fn directions<'a>(ours: &'a [Packet], theirs: &'a [Packet]) -> Result<[Direction<'a>; 2]> {
    let first = theirs.first().context("tcpdump has no packet")?;
    let (a, b) = (first.from, first.to);
    for packet in ours {
        ensure!(
            key(packet.from, packet.to) == key(a, b),
            "a packet of another connection: {packet}"
        );
    }
    for (at, pair) in ours.windows(2).enumerate() {
        if let [before, after] = pair {
            ensure!(
                before.time <= after.time,
                "not in the order of time: packets {at} and the next, {before}; {after}"
            );
        }
    }
    Ok([(a, b), (b, a)].map(|(from, to)| {
        let of = |packets: &'a [Packet]| -> Vec<&'a Packet> {
            packets.iter().filter(|p| p.from == from).collect()
        };
        (format!("{from} > {to}"), of(ours), of(theirs))
    }))
}

/// How many packets may overtake another between tcpdump's tap and ours, which see a packet one
/// after the other while the other processor handles the next. The times say if it was more than
/// that: no packet may be more than [`TOLERANCE`] away.
const OVERTAKING: usize = 64;

/// Finds for each of our packets tcpdump's; the time of the last of those, and tcpdump's others.
fn pair<'a>(way: &str, ours: &[&Packet], theirs: &[&'a Packet]) -> Result<(u64, Vec<&'a Packet>)> {
    let mut left: VecDeque<_> = theirs.iter().copied().collect();
    let mut last = 0;
    for (at, our) in ours.iter().enumerate() {
        let mut near = left.iter().take(OVERTAKING);
        let found = near.position(|their| same(our, their).is_ok());
        let Some(their) = found.and_then(|place| left.remove(place)) else {
            let Some(their) = left.front() else {
                bail!("{way}, packet {at}: tcpdump does not have {our}");
            };
            let difference = same(our, their).expect_err("it was not found");
            bail!("{way}, packet {at}: {difference}\n  ours:    {our}\n  tcpdump: {their}");
        };
        last = last.max(their.time);
    }
    Ok((last, left.into()))
}

/// [`pair`], where any number of packets may be missing of ours; those.
fn pair_with_gaps<'a>(
    way: &str,
    ours: &[&Packet],
    theirs: &[&'a Packet],
) -> Result<Vec<&'a Packet>> {
    let mut left: VecDeque<_> = theirs.iter().copied().collect();
    let mut missing = Vec::new();
    for (at, our) in ours.iter().enumerate() {
        // Ours are in the order of time: what is long before this one is none of the others.
        while let Some(early) = left.pop_front_if(|their| their.time + TOLERANCE < our.time) {
            missing.push(early);
        }
        let found = left
            .iter()
            .take(OVERTAKING)
            .position(|their| same(our, their).is_ok());
        let found = found.and_then(|place| left.remove(place));
        found.with_context(|| format!("{way}, packet {at}: tcpdump does not have {our}"))?;
    }
    missing.extend(left);
    Ok(missing)
}

fn same(our: &Packet, their: &Packet) -> Result<()> {
    ensure!(our.wire_len == their.wire_len, "the wire length differs");
    ensure!(
        our.captured.len() == their.header_len,
        "{} bytes captured of {} header bytes",
        our.captured.len(),
        their.header_len
    );
    let differs = our.captured.iter().zip(&their.captured);
    if let Some(at) = differs.into_iter().position(|(our, their)| our != their) {
        bail!("header byte {at} differs");
    }
    let apart = our.time.abs_diff(their.time);
    ensure!(apart <= TOLERANCE, "the times are {apart} ns apart");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of `len` wire bytes, 54 of which are headers, and all of which are captured.
    fn packet(way: bool, time: u64, sequence: u32, len: u32) -> Packet {
        let (a, b) = ("10.0.0.1:1", "10.0.0.2:2");
        let (from, to) = if way { (a, b) } else { (b, a) };
        Packet {
            time,
            wire_len: len,
            captured: vec![sequence.to_le_bytes()[0]; len as usize],
            header_len: 54,
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            sequence,
            opens: sequence == 0,
            ends: false,
            synchronizes: sequence == 0,
        }
    }

    fn tcpdump() -> Vec<Packet> {
        vec![
            packet(true, 1_000, 0, 54),
            packet(false, 2_000, 1, 54),
            packet(true, 3_000, 2, 100),
            packet(false, 4_000, 3, 54),
        ]
    }

    fn ours() -> Vec<Packet> {
        let mut packets = tcpdump();
        for packet in &mut packets {
            packet.captured.truncate(54);
        }
        packets
    }

    #[test]
    fn equal_captures_are_equal() {
        equal(&ours(), &tcpdump()).unwrap();
        equal_until(&ours(), &tcpdump(), u64::MAX).unwrap();
        equal_until(&ours()[..3], &tcpdump(), 4_000).unwrap();
    }

    #[test]
    fn every_difference_is_told() {
        type Change = fn(&mut Vec<Packet>);
        let cases: [(Change, &str); 8] = [
            (|p| p[2].wire_len = 54, "wire length"),
            (|p| p[2].captured.push(0), "55 bytes captured of 54"),
            (|p| p[2].captured.truncate(53), "53 bytes captured of 54"),
            (|p| p[2].captured[53] ^= 1, "header byte 53"),
            (|p| p[3].time += TOLERANCE + 1, "ns apart"),
            (|p| p[2].time = 1, "order of time"),
            (|p| drop(p.pop()), "we have 1 packets, tcpdump has 2"),
            (|p| p[1].from.set_port(9), "another connection"),
        ];
        for (change, told) in cases {
            let mut packets = ours();
            change(&mut packets);
            let message = equal(&packets, &tcpdump()).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
    }

    #[test]
    fn gaps_are_where_they_may_be() {
        let mut theirs = tcpdump();
        let long = 200;
        theirs.extend((4..long).map(|n| packet(true, u64::from(n) * TOLERANCE, n, 54)));
        let mut ours = theirs.clone();
        ours.iter_mut()
            .for_each(|packet| packet.captured.truncate(54));
        assert_eq!(equal_but(&ours, &theirs, |_| false).unwrap(), 0);
        ours.drain(10..190);
        assert_eq!(equal_but(&ours, &theirs, |_| true).unwrap(), 180);
        let error = equal_but(&ours, &theirs, |packet| packet.sequence != 20).unwrap_err();
        assert!(error.to_string().contains("missing is"), "{error}");
        ours[11].captured[53] ^= 1;
        assert!(equal_but(&ours, &theirs, |_| true).is_err());
    }

    #[test]
    fn packets_may_overtake_within_the_tolerance_only() {
        let mut theirs = tcpdump();
        theirs.swap(0, 2);
        equal(&ours(), &theirs).unwrap();
        let mut late = ours();
        late[2].time += TOLERANCE + 1;
        late[3].time = late[2].time;
        assert!(equal(&late, &theirs).is_err());
    }

    #[test]
    fn a_capture_that_ends_early_is_told() {
        let error = equal_until(&ours()[..2], &tcpdump(), 3_500).unwrap_err();
        assert!(error.to_string().contains("500 ns before"), "{error}");
        let mut holed = ours();
        holed.remove(0);
        for packet in &mut holed {
            packet.time += TOLERANCE;
        }
        let mut theirs = tcpdump();
        theirs[2].time += 2 * TOLERANCE;
        theirs[3].time += 2 * TOLERANCE;
        let error = equal_until(&holed, &theirs, 0).unwrap_err();
        assert!(error.to_string().contains("before the end"), "{error}");
        let error = equal_until(&ours(), &tcpdump()[..3], 0).unwrap_err();
        assert!(
            error.to_string().contains("tcpdump does not have"),
            "{error}"
        );
    }

    #[test]
    fn a_new_syn_is_a_new_connection_and_a_repeated_one_is_not() {
        let mut packets = tcpdump();
        packets.insert(1, packet(true, 1_500, 0, 54));
        let mut again = packet(true, 9_000, 7, 54);
        again.opens = true;
        packets.push(again.clone());
        let (a, b) = (again.from, again.to);
        let oracle = Oracle::new(packets);
        assert_eq!(oracle.connection(a, b, 0).unwrap().len(), 5);
        assert_eq!(oracle.connection(b, a, 1).unwrap(), [again]);
        assert!(oracle.connection(a, b, 2).is_err());
    }
}
