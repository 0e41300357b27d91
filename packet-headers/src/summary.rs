//! The accounts as a few lines of text: at exit, and whenever SIGUSR1 asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;

use packet_headers_common::Counter;

use crate::accounts::Accounts;
use crate::kernel::counters::Counts;

/// Kernel and user-space counters of one moment, added up.
#[derive(Debug)]
pub struct Summary<'a> {
    kernel: Counts,
    accounts: &'a Accounts,

    written: u64,
    held: u64,
}

impl<'a> Summary<'a> {
    /// The accounts, beside what the kernel counted.
    #[must_use]
    pub fn new(kernel: Counts, accounts: &'a Accounts) -> Self {
        let received = accounts.received.load(Ordering::Relaxed);
        let in_rings = kernel.get(Counter::Submitted).saturating_sub(received);
        Self {
            kernel,
            accounts,

            written: accounts.written.load(Ordering::Relaxed),
            held: accounts.held.load(Ordering::Relaxed) + in_rings,
        }
    }

    /// Names and numbers of the packets that are in no file. Kernel and daemon discard for some
    /// reasons alike: whichever of them met the packet first.
    fn discards(&self) -> BTreeMap<&'static str, u64> {
        let kernel = Counter::DISCARDED
            .iter()
            .map(|&counter| (counter.name(), self.kernel.get(counter)))
            .filter(|&(_, packets)| packets > 0);
        let mut sum = BTreeMap::new();
        for (name, packets) in kernel.chain(self.accounts.discards.nonzero()) {
            *sum.entry(name).or_default() += packets;
        }
        sum
    }

    /// How many packets are in no account, or in two when it is negative.
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        let discarded: u64 = self.discards().values().sum();
        let accounted = i128::from(self.written) + i128::from(discarded) + i128::from(self.held);
        i128::from(self.kernel.get(Counter::Seen)) - accounted
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let discarded: u64 = self.discards().values().sum();
        writeln!(
            out,
            "packets: seen={} written={} discarded={discarded} held={}",
            self.kernel.get(Counter::Seen),
            self.written,
            self.held
        )?;
        line(out, "discarded", self.discards())?;
        let cut = Counter::HeadersTruncated;
        let accounts = self.accounts;
        let off = accounts.hardware_clock_off.load(Ordering::Relaxed);
        let records = [
            (cut.name(), self.kernel.get(cut)),
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
        let lost = self.kernel.get(Counter::EventRingFull);
        let dropped = accounts.event_clients_dropped.load(Ordering::Relaxed);
        let more = [
            (Counter::EventRingFull.name(), lost),
            ("clients_dropped", dropped),
        ];
        let more = more.into_iter().filter(|&(_, count)| count > 0);
        line(out, "events", accounts.events.nonzero().chain(more))?;
        match self.imbalance() {
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
