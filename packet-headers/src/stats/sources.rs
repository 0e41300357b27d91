//! The counters of the kernel and the daemon, and how both are read together.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use packet_headers_common::{KernelDiscard, PacketCounter};

use super::balance::{DaemonPackets, PacketBalance};
use super::counters::Counters;
use super::reading::Reading;
use super::report::Report;
use crate::kernel::KernelCounters;

/// How often the counters are read for a report, at most, until every packet is accounted for; and
/// how long packets have in between to get where they are going. Together a tenth of a second: five
/// turns of a shard.
const REPORT_TRIES: u32 = 10;
const REPORT_PAUSE: Duration = Duration::from_millis(10);

/// How often the counters are read for a scrape, at most: at once, for it is not to wait.
const SCRAPE_TRIES: u32 = 3;

/// The counters of all stages and of the kernel programs.
#[derive(Clone)]
pub struct CounterSources {
    /// The counters of the kernel programs.
    pub kernel: Arc<KernelCounters>,
    /// The counters of the daemon.
    pub counters: Arc<Counters>,
}

impl CounterSources {
    /// Reads once, in the order that [`super::balance`] asks for.
    fn read(&self) -> Result<Reading> {
        let daemon = DaemonPackets::read(&self.counters);
        let kernel = self.kernel.read()?;
        let seen = self.kernel.read_packets()?.get(PacketCounter::Seen);
        Ok(Reading {
            kernel,
            balance: PacketBalance::new(daemon, &kernel, seen),
        })
    }

    /// What a scrape shows, without waiting: a few packets may be in flight.
    ///
    /// # Errors
    /// When the kernel does not let us read its counters.
    pub(crate) fn scrape(&self) -> Result<Reading> {
        let (_, last) = read_until_exact(SCRAPE_TRIES, || self.read(), || {})?;
        Ok(last)
    }

    /// The report while packets pass. Blocks for a tenth of a second at most.
    ///
    /// # Errors
    /// When the kernel does not let us read its counters.
    pub(crate) fn report(&self) -> Result<Report> {
        let pause = || thread::sleep(REPORT_PAUSE);
        let (first, last) = read_until_exact(REPORT_TRIES, || self.read(), pause)?;
        let verdict = last.balance.after(&first.balance);
        Ok(Report::new(last, verdict, &self.counters))
    }

    /// The report when everything has stopped.
    ///
    /// # Errors
    /// When the kernel does not let us read its counters.
    pub(crate) fn last_report(&self) -> Result<Report> {
        let reading = self.read()?;
        let verdict = reading.balance.at_rest();
        Ok(Report::new(reading, verdict, &self.counters))
    }

    /// Notes how many packets the kernel programs have lost because a ring was full.
    ///
    /// # Errors
    /// When the kernel does not let us read its counters.
    pub(crate) fn note_losses(&self) -> Result<()> {
        let kernel = self.kernel.read()?;
        let udp_ring = kernel.packets.discarded(KernelDiscard::UdpRingFull);
        self.counters.note_losses(kernel.ring_losses(), udp_ring);
        Ok(())
    }
}

/// Reads until every packet is accounted for, at most `tries` times with `pause` in between; the
/// first reading and the last.
fn read_until_exact(
    tries: u32,
    mut read: impl FnMut() -> Result<Reading>,
    mut pause: impl FnMut(),
) -> Result<(Reading, Reading)> {
    let first = read()?;
    let mut last = first.clone();
    for _ in 1..tries {
        if last.balance.difference() == 0 {
            break;
        }
        pause();
        last = read()?;
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::counters::Counts;
    use crate::stats::balance::Verdict;

    /// What is said after readings with these differences, of a host that sees `speed` packets
    /// between two of them; and how often it was read.
    fn judge(differences: [u64; 4], speed: u64) -> (Verdict, u64) {
        let mut reads = 0;
        let read = || {
            let seen = 100 + reads * speed;
            let mut kernel = Counts::default();
            for _ in differences[reads as usize]..seen {
                kernel.packets.count(PacketCounter::Submitted);
            }
            reads += 1;
            let daemon = DaemonPackets::read(&Counters::default());
            let balance = PacketBalance::new(daemon, &kernel, seen);
            Ok(Reading { kernel, balance })
        };
        let (first, last) = read_until_exact(4, read, || {}).unwrap();
        (last.balance.after(&first.balance), reads)
    }

    #[test]
    fn counters_are_read_until_every_packet_is_accounted_for() {
        assert_eq!(judge([0, 0, 0, 0], 0), (Verdict::Exact, 1));
        assert_eq!(judge([7, 2, 0, 3], 50), (Verdict::Exact, 3));
        assert_eq!(judge([1, 1, 1, 0], 0), (Verdict::Exact, 4));
    }

    #[test]
    fn a_host_that_is_never_quiet_has_packets_in_flight() {
        assert_eq!(judge([7, 2, 4, 3], 50), (Verdict::InFlight(3), 4));
    }

    #[test]
    fn packets_that_stay_missing_while_nothing_moves_are_missing() {
        assert_eq!(judge([2, 2, 2, 2], 0), (Verdict::OffBy(2), 4));
    }
}
