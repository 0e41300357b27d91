//! What tcpdump saw, by connection, and the comparison of the daemon's files with it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::captures::Captures;
use super::needle;
use super::pcap::{self, Packet};
use crate::traffic::Connection;
use crate::world::{parallel, wait};

/// How far the daemon's time of a packet may be from tcpdump's.
pub const TOLERANCE: Duration = Duration::from_millis(1);

/// How far they may be apart for a packet whose processor was preempted. tcpdump has the time when
/// the packet was queued for the receiving processor, the daemon the time when the processor
/// handles it; a hypervisor or another thread may take the processor away in between.
const PREEMPTED: Duration = Duration::from_millis(100);

/// One packet in so many may be preempted…
const RARE: usize = 1000;

/// …and this many in any case: those that were on their way when a processor was taken away.
const FEW: usize = 3;

/// The packets of tcpdump's file by pair of addresses, and by connection: each new SYN begins one.
#[derive(Debug)]
pub struct Oracle {
    flows: HashMap<(SocketAddr, SocketAddr), Vec<Vec<Packet>>>,
}

impl Oracle {
    /// Sorts packets into connections; they must be in the order of capture.
    #[must_use]
    pub fn new(packets: Vec<Packet>) -> Self {
        let mut flows: HashMap<_, Vec<Vec<Packet>>> = HashMap::new();
        for packet in packets {
            let connections = flows.entry(key(packet.from, packet.to)).or_default();
            let fresh = packet.opens && {
                // A SYN with the same sequence number is the same one, sent again.
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
        // The search for payload proves nothing unless it finds payload where there is some.
        ensure!(
            !needle::search(path)?.is_empty(),
            "tcpdump's own file has no payload"
        );
        Ok(Self::new(packets))
    }

    /// The packets of the `nth` connection between two addresses, from 0.
    ///
    /// # Errors
    /// tcpdump saw no such connection.
    pub fn connection(&self, a: SocketAddr, b: SocketAddr, nth: usize) -> Result<&[Packet]> {
        let found = self.flows.get(&key(a, b)).and_then(|all| all.get(nth));
        let found = found.with_context(|| format!("tcpdump saw no connection {nth} of {a} {b}"))?;
        Ok(found)
    }

    /// The packets of a connection that is the first one, or the only one, between its addresses.
    ///
    /// # Errors
    /// tcpdump saw no such connection.
    pub fn packets_of(&self, of: &Connection) -> Result<&[Packet]> {
        self.connection(of.host, of.peer, 0)
    }

    /// How many packets such connections have in total.
    ///
    /// # Errors
    /// As [`Oracle::packets_of`].
    pub fn count<'a>(&self, of: impl IntoIterator<Item = &'a Connection>) -> Result<u64> {
        let counts = of.into_iter().map(|one| Ok(self.packets_of(one)?.len()));
        Ok(counts.sum::<Result<usize>>()? as u64)
    }

    /// Checks that each of `connections` has exactly one file, which is named by `uuid` and equals
    /// what tcpdump saw; and that there is no other file, no partial file, and no payload.
    ///
    /// # Errors
    /// What differs, and where.
    pub fn verify(
        &self,
        captures: &Captures,
        connections: &[Connection],
        uuid: impl Fn(&Connection) -> String,
    ) -> Result<()> {
        let mut files = captures.published()?;
        let mut seen: HashMap<_, usize> = HashMap::new();
        let mut all = Vec::new();
        for connection in connections {
            let (host, peer) = (connection.host, connection.peer);
            let count = seen.entry(key(host, peer)).or_default();
            let theirs = self.connection(host, peer, *count)?;
            *count += 1;
            let name = uuid(connection);
            let file = files
                .remove(&name)
                .with_context(|| format!("no file {name} for {connection}"))?;
            all.push((connection, theirs, file));
        }
        let counts = parallel::map(&all, |(connection, theirs, file)| {
            let ours = captures.read(file)?;
            let late = count_late(&ours, theirs)
                .with_context(|| format!("{} of {connection}", file.display()))?;
            Ok((late, ours.len()))
        })?;
        let late = counts.iter().map(|(late, _)| late).sum();
        late_ones_are_rare(late, counts.iter().map(|(_, packets)| packets).sum())?;
        ensure!(files.is_empty(), "files of no connection: {files:?}");
        captures.no_partial_files()?;
        captures.no_payload()
    }
}

/// A key that is the same for both directions of a connection.
fn key(a: SocketAddr, b: SocketAddr) -> (SocketAddr, SocketAddr) {
    (a.min(b), a.max(b))
}

/// Checks that our packets are tcpdump's in each direction: as many, equal, and at the same times
/// except for a few whose processor was preempted.
///
/// # Errors
/// The first difference.
pub fn equal(ours: &[Packet], theirs: &[Packet]) -> Result<()> {
    late_ones_are_rare(count_late(ours, theirs)?, ours.len())
}

/// Checks that the times of nearly all packets are within [`TOLERANCE`].
fn late_ones_are_rare(late: usize, all: usize) -> Result<()> {
    ensure!(
        late <= FEW + all / RARE,
        "the times of {late} of {all} packets are more than {TOLERANCE:?} apart"
    );
    Ok(())
}

/// [`equal`] with any number of preempted packets, which it returns.
fn count_late(ours: &[Packet], theirs: &[Packet]) -> Result<usize> {
    let mut late = 0;
    for (way, ours, theirs) in directions(ours, theirs)? {
        let (_, left, beyond) = pair(&way, &ours, &theirs)?;
        late += beyond;
        ensure!(
            left.is_empty(),
            "{way}: we have {} packets, tcpdump has {}; the first that we lack: {}",
            ours.len(),
            theirs.len(),
            left[0]
        );
    }
    Ok(late)
}

/// Checks that our packets are tcpdump's in each direction, except for missing ones that `may_miss`
/// accepts; returns how many are missing.
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

/// Checks that our packets are, in each direction, tcpdump's up to a point that is not before
/// `moment` (the time since 1970).
///
/// # Errors
/// The first difference, or the first packet from before that moment that we do not have.
pub fn equal_until(ours: &[Packet], theirs: &[Packet], moment: Duration) -> Result<()> {
    for (way, ours, theirs) in directions(ours, theirs)? {
        let (last, left, late) = pair(&way, &ours, &theirs)?;
        late_ones_are_rare(late, ours.len()).context(way.clone())?;
        // A packet that is missing before others is a gap, and not the end.
        let end = moment.max(last.saturating_sub(TOLERANCE));
        if let Some(missing) = left.iter().find(|packet| packet.time < end) {
            bail!(
                "{way}: complete only to {} packets: {missing} is {:?} before the end",
                ours.len(),
                end - missing.time
            );
        }
    }
    Ok(())
}

/// The name of a direction, our packets in it, and tcpdump's.
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

/// [`TOLERANCE`]; more on an emulated machine, whose processor may be taken away at any time.
fn usual_tolerance() -> Duration {
    if wait::patience() == 1 {
        TOLERANCE
    } else {
        PREEMPTED
    }
}

/// How many packets may overtake another one between tcpdump's tap and the daemon's, which see a
/// packet one after the other while another processor handles the next packet.
const OVERTAKING: usize = 64;

/// The time of tcpdump's last packet that we have, the packets that only tcpdump has, and how many
/// of our packets were preempted.
type Paired<'a> = (Duration, Vec<&'a Packet>, usize);

/// Finds tcpdump's packet for each of ours, at most [`PREEMPTED`] away.
fn pair<'a>(way: &str, ours: &[&Packet], theirs: &[&'a Packet]) -> Result<Paired<'a>> {
    let bound = PREEMPTED * wait::patience();
    let mut left: VecDeque<_> = theirs.iter().copied().collect();
    let (mut last, mut beyond) = (Duration::ZERO, 0);
    for (at, our) in ours.iter().enumerate() {
        let mut near = left.iter().take(OVERTAKING);
        let found = near.position(|their| same(our, their, bound).is_ok());
        let Some(their) = found.and_then(|place| left.remove(place)) else {
            let Some(their) = left.front() else {
                bail!("{way}, packet {at}: tcpdump does not have {our}");
            };
            let difference = same(our, their, bound).expect_err("it was not found");
            bail!("{way}, packet {at}: {difference}\n  ours:    {our}\n  tcpdump: {their}");
        };
        last = last.max(their.time);
        let usual = usual_tolerance();
        beyond += usize::from(our.time.abs_diff(their.time) > usual);
    }
    Ok((last, left.into(), beyond))
}

/// [`pair`] where any number of our packets may be missing; returns those.
fn pair_with_gaps<'a>(
    way: &str,
    ours: &[&Packet],
    theirs: &[&'a Packet],
) -> Result<Vec<&'a Packet>> {
    let mut left: VecDeque<_> = theirs.iter().copied().collect();
    let mut missing = Vec::new();
    for (at, our) in ours.iter().enumerate() {
        // Ours are in the order of time: what is long before this one is not among the others
        // either.
        while let Some(early) = left.pop_front_if(|their| their.time + TOLERANCE < our.time) {
            missing.push(early);
        }
        let found = left
            .iter()
            .take(OVERTAKING)
            .position(|their| same(our, their, TOLERANCE).is_ok());
        let found = found.and_then(|place| left.remove(place));
        found.with_context(|| format!("{way}, packet {at}: tcpdump does not have {our}"))?;
    }
    missing.extend(left);
    Ok(missing)
}

fn same(our: &Packet, their: &Packet, bound: Duration) -> Result<()> {
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
    ensure!(apart <= bound, "the times are {apart:?} apart");
    Ok(())
}

pub mod ledger;
#[cfg(test)]
mod tests;
