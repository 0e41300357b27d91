//! The accounts as a few lines of text: at exit, and whenever SIGUSR1 asks.

use std::fmt;
use std::sync::atomic::Ordering;

use packet_headers_common::{EventCounter, PacketCounter};

use crate::accounts::Accounts;
use crate::kernel::counters::Counts;
use crate::ledger::Ledger;

/// Kernel and user-space counters of one moment.
#[derive(Debug)]
pub struct Summary<'a> {
    kernel: Counts,
    accounts: &'a Accounts,
    ledger: Ledger,
}

impl<'a> Summary<'a> {
    /// The accounts, beside what the kernel counted.
    #[must_use]
    pub fn new(kernel: Counts, accounts: &'a Accounts) -> Self {
        Self {
            kernel,
            accounts,
            ledger: Ledger::new(&kernel, accounts),
        }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ledger = &self.ledger;
        writeln!(
            out,
            "packets: seen={} written={} discarded={} held={}",
            ledger.seen,
            ledger.written,
            ledger.discarded.total(),
            ledger.held
        )?;
        let discarded = ledger.discarded.by_name();
        let discarded = discarded.filter(|&(_, packets)| packets > 0);
        line(out, "discarded", discarded)?;
        let truncated = PacketCounter::HeadersTruncated;
        let accounts = self.accounts;
        let off = accounts.hardware_clock_off.load(Ordering::Relaxed);
        let records = [
            (truncated.name(), self.kernel.packets.get(truncated)),
            ("hardware_clock_off", off),
        ];
        line(out, "records", records)?;
        let connections = [
            ("opened", accounts.opened.load(Ordering::Relaxed)),
            ("closed", accounts.closed.load(Ordering::Relaxed)),
            ("empty", accounts.empty.load(Ordering::Relaxed)),
        ];
        line(out, "connections", connections)?;
        let files = [
            ("published", accounts.published.load(Ordering::Relaxed)),
            ("failed", accounts.failed.load(Ordering::Relaxed)),
            ("bytes", accounts.published_bytes.load(Ordering::Relaxed)),
            ("recovered", accounts.recovered.load(Ordering::Relaxed)),
            (
                "recovered_packets",
                accounts.recovered_packets.load(Ordering::Relaxed),
            ),
            ("removed", accounts.removed.load(Ordering::Relaxed)),
            ("foreign", accounts.foreign.load(Ordering::Relaxed)),
            ("expired", accounts.expired.load(Ordering::Relaxed)),
        ];
        line(out, "files", files)?;
        line(out, "file errors", accounts.file_issues.nonzero())?;
        let lost = EventCounter::RingFull;
        let dropped = accounts.event_clients_dropped.load(Ordering::Relaxed);
        let more = [
            (lost.name(), self.kernel.events.get(lost)),
            ("clients_dropped", dropped),
        ];
        let more = more.into_iter().filter(|&(_, count)| count > 0);
        line(out, "events", accounts.events.nonzero().chain(more))?;
        match ledger.imbalance() {
            0 => write!(out, "balance: exact"),
            off => write!(out, "balance: off by {off}"),
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
