//! The counters as a few lines of text: at exit, and whenever SIGUSR1 asks.

use std::fmt;
use std::sync::Arc;

use packet_headers_common::{EventCounter, PacketCounter};

use super::balance::Verdict;
use super::counters::Counters;
use super::reading::Reading;

/// The counters of one moment, and whether every packet is accounted for.
#[derive(Debug)]
pub struct Report {
    reading: Reading,
    verdict: Verdict,
    counters: Arc<Counters>,
}

impl Report {
    pub(super) fn new(reading: Reading, verdict: Verdict, counters: &Arc<Counters>) -> Self {
        Self {
            reading,
            verdict,
            counters: Arc::clone(counters),
        }
    }

    /// What became of connections, files and events.
    fn write_counters(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = &self.counters;
        let connections = [
            ("opened", counters.opened.get()),
            ("closed", counters.closed.get()),
            ("empty", counters.empty.get()),
            ("evicted", counters.evicted.get()),
            (
                "loopback",
                self.reading.kernel.events.get(EventCounter::Loopback),
            ),
        ];
        line(out, "connections", connections)?;
        let files = [
            ("published", counters.published.get()),
            ("not_kept", counters.rows.not_kept.get()),
            ("failed", counters.failed.get()),
            ("bytes", counters.published_bytes.get()),
            ("recovered", counters.recovered.get()),
            ("recovered_packets", counters.recovered_packets.get()),
            ("removed", counters.removed.get()),
            ("foreign", counters.foreign.get()),
            ("expired", counters.expired.get()),
        ];
        line(out, "files", files)?;
        line(out, "file errors", counters.file_issues.nonzero())?;
        self.write_rows(out)?;
        let lost = EventCounter::RingFull;
        let more = [
            (lost.name(), self.reading.kernel.events.get(lost)),
            ("clients_dropped", counters.event_clients_dropped.get()),
        ];
        let more = more.into_iter().filter(|&(_, count)| count > 0);
        line(out, "events", counters.events.nonzero().chain(more))
    }
}

impl Report {
    /// What became of rows.
    fn write_rows(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = &self.counters.rows;
        let counts = [
            ("written", rows.written.get()),
            ("held", rows.held.get()),
            ("recovered", rows.recovered.get()),
            ("files", rows.files.get()),
        ];
        let counts = counts.into_iter().filter(|&(_, count)| count > 0);
        line(out, "rows", counts.chain(rows.lost.nonzero()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { kernel, balance } = &self.reading;
        let packets = [
            ("seen", balance.seen),
            ("written", balance.written),
            ("discarded", balance.discarded.total()),
            ("held", balance.held),
        ];
        line(out, "packets", packets)?;
        let discarded = balance.discarded.by_name();
        let discarded = discarded.filter(|&(_, packets)| packets > 0);
        line(out, "discarded", discarded)?;
        let truncated = PacketCounter::HeadersTruncated;
        let records = [
            (truncated.name(), kernel.packets.get(truncated)),
            ("hardware_clock_off", self.counters.hardware_clock_off.get()),
        ];
        line(out, "records", records)?;
        self.write_counters(out)?;
        match self.verdict {
            Verdict::Exact => write!(out, "balance: exact"),
            Verdict::InFlight(packets) => write!(out, "balance: {packets} packets in flight"),
            Verdict::OffBy(packets) => write!(out, "balance: off by {packets}"),
        }
    }
}

fn line(
    out: &mut fmt::Formatter<'_>,
    title: &str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    write!(out, "{title}:")?;
    for (name, value) in values {
        write!(out, " {name}={value}")?;
    }
    writeln!(out)
}
