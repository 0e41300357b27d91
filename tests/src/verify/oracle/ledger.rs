//! Which of tcpdump's packets are in the daemon's files, where files may have gaps and a connection
//! several files: each packet may be claimed once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Oracle, PREEMPTED, TOLERANCE, key, late_ones_are_rare};
use crate::traffic::Connection;
use crate::verify::captures::Captures;
use crate::verify::pcap::Packet;

/// A packet of tcpdump's.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The packet.
    pub packet: &'a Packet,
    /// When the first packet of its connection passed: the time since 1970.
    pub begun: Duration,
    /// Whether one of the daemon's files has it.
    pub claimed: bool,
}

/// All of tcpdump's packets, by their headers.
#[derive(Debug)]
pub struct Ledger<'a> {
    entries: HashMap<&'a [u8], Vec<Entry<'a>>>,
    claimed: usize,
    late: usize,
}

impl<'a> Ledger<'a> {
    /// A ledger of packets none of which is claimed.
    ///
    /// # Errors
    /// tcpdump cut a header.
    pub fn new(oracle: &'a Oracle) -> Result<Self> {
        let mut entries: HashMap<_, Vec<_>> = HashMap::new();
        for packets in oracle.flows.values().flatten() {
            let begun = packets.first().map_or(Duration::ZERO, |first| first.time);
            for packet in packets {
                let Some(header) = packet.captured.get(..packet.header_len) else {
                    bail!("tcpdump cut a header: {packet}");
                };
                let entry = Entry {
                    packet,
                    begun,
                    claimed: false,
                };
                entries.entry(header).or_default().push(entry);
            }
        }
        Ok(Self {
            entries,
            claimed: 0,
            late: 0,
        })
    }

    /// Claims the packets of every published file, of which a connection may have several
    /// (`<UUID>.1.pcap` and so on); returns how many files there are.
    ///
    /// # Errors
    /// A file that is incomplete or of no connection, and as [`Ledger::claim`].
    pub fn claim_files<'b>(
        &mut self,
        captures: &Captures,
        connections: impl Iterator<Item = &'b Connection>,
        uuid: impl Fn(&Connection) -> String,
    ) -> Result<usize> {
        let names: HashMap<_, _> = connections.map(|of| (uuid(of), of)).collect();
        let files = captures.published()?;
        for (name, path) in &files {
            let place = || path.display().to_string();
            let uuid = name.split('.').next().unwrap_or(name);
            let of = names.get(uuid).with_context(place)?;
            let packets = captures.read(path)?;
            self.claim(&packets, (of.host, of.peer))
                .with_context(place)?;
        }
        Ok(files.len())
    }

    /// Claims the packets of a file, which must be in the order of time and all of one connection.
    ///
    /// # Errors
    /// A packet that tcpdump does not have, or that was claimed before.
    pub fn claim(&mut self, file: &[Packet], (a, b): (SocketAddr, SocketAddr)) -> Result<()> {
        let mut before = Duration::ZERO;
        for (at, packet) in file.iter().enumerate() {
            ensure!(
                key(packet.from, packet.to) == key(a, b),
                "packet {at} belongs to another connection: {packet}"
            );
            ensure!(before <= packet.time, "packet {at} is not in order");
            before = packet.time;
            self.claim_one(packet)
                .map_err(|error| error.context(format!("packet {at}: {packet}")))?;
        }
        Ok(())
    }

    fn claim_one(&mut self, ours: &Packet) -> Result<()> {
        let Some(equal) = self.entries.get_mut(&ours.captured[..]) else {
            bail!("tcpdump does not have it");
        };
        let apart = |entry: &Entry<'_>| entry.packet.time.abs_diff(ours.time);
        let fits = |entry: &Entry<'_>| {
            let same = entry.packet.wire_len == ours.wire_len;
            same && !entry.claimed && apart(entry) <= PREEMPTED
        };
        let fitting = equal.iter_mut().filter(|entry| fits(entry));
        let Some(entry) = fitting.min_by_key(|entry| apart(entry)) else {
            let times: Vec<_> = equal.iter().map(|e| (e.packet.time, e.claimed)).collect();
            bail!("it is in a file already, or has another time: {times:?}");
        };
        entry.claimed = true;
        self.claimed += 1;
        self.late += usize::from(apart(entry) > TOLERANCE);
        Ok(())
    }

    /// Checks that the times of the claimed packets are near enough to tcpdump's.
    ///
    /// # Errors
    /// Those of too many packets are not.
    pub fn in_time(&self) -> Result<()> {
        late_ones_are_rare(self.late, self.claimed)
    }

    /// How many packets have been claimed.
    #[must_use]
    pub const fn claimed(&self) -> usize {
        self.claimed
    }

    /// Every packet of tcpdump's, in the order of time.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry<'a>> {
        let mut entries: Vec<_> = self.entries.into_values().flatten().collect();
        entries.sort_by_key(|entry| entry.packet.time);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::oracle::FEW;
    use crate::verify::oracle::tests::{NANOSECOND, ours, tcpdump};

    #[test]
    fn each_packet_is_claimed_once_in_whatever_files() -> Result<()> {
        let oracle = Oracle::new(tcpdump());
        let (ends, files) = ((ours()[0].from, ours()[0].to), ours());
        let mut ledger = Ledger::new(&oracle)?;
        ledger.claim(&files[..2], ends)?;
        ledger.claim(&files[3..], ends)?;
        ledger.in_time()?;
        let entries = ledger.into_entries();
        let claimed: Vec<_> = entries.iter().map(|entry| entry.claimed).collect();
        assert_eq!(claimed, [true, true, false, true]);
        assert!(entries.iter().all(|entry| entry.begun == files[0].time));
        Ok(())
    }

    #[test]
    fn what_is_twice_or_not_tcpdumps_is_told() -> Result<()> {
        type Change = fn(&mut Vec<Packet>);
        let cases: [(Change, &str); 6] = [
            (|p| p.insert(1, p[0].clone()), "in a file already"),
            (|p| p[3].time += PREEMPTED + NANOSECOND, "has another time"),
            (|p| p[1].captured[53] ^= 1, "tcpdump does not have"),
            (|p| p[2].wire_len += 1, "or has another time"),
            (|p| p.swap(0, 2), "not in order"),
            (|p| p[2].from.set_port(9), "another connection"),
        ];
        let oracle = Oracle::new(tcpdump());
        let ends = (ours()[0].from, ours()[0].to);
        for (change, told) in cases {
            let mut packets = ours();
            change(&mut packets);
            let mut ledger = Ledger::new(&oracle)?;
            let error = ledger.claim(&packets, ends).expect_err(told);
            assert!(format!("{error:#}").contains(told), "{error:#}");
        }
        let mut ledger = Ledger::new(&oracle)?;
        ledger.claim(&ours(), ends)?;
        assert!(ledger.claim(&ours()[2..], ends).is_err(), "in another file");
        Ok(())
    }

    #[test]
    fn times_that_are_too_often_late_are_told() -> Result<()> {
        let oracle = Oracle::new(tcpdump());
        let ends = (ours()[0].from, ours()[0].to);
        let late = |count: usize| -> Result<()> {
            let mut packets = ours();
            for packet in &mut packets[4 - count..] {
                packet.time += TOLERANCE + NANOSECOND;
            }
            let mut ledger = Ledger::new(&oracle)?;
            ledger.claim(&packets, ends)?;
            ledger.in_time()
        };
        late(FEW)?;
        assert!(late(FEW + 1).is_err());
        Ok(())
    }
}
