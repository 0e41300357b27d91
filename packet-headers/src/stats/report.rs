//! The counters as a few lines of text: at exit, and whenever SIGUSR1 asks.

use std::fmt;
use std::sync::Arc;

use packet_headers_common::{EventCounter, PacketCounter};
use serde_json::{Map, Value};

use super::balance::{PacketBalance, Verdict};
use super::counters::Counters;
use super::reading::Reading;
use super::rows::RowCounters;

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

    /// What became of every packet.
    pub(crate) const fn balance(&self) -> &PacketBalance {
        &self.reading.balance
    }

    /// Whether every packet is accounted for.
    pub(crate) const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The daemon's counters.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many connections over loopback were left out.
    pub(crate) const fn loopback(&self) -> u64 {
        self.reading.kernel.events.get(EventCounter::Loopback)
    }

    /// The same as an object for programs: an object of numbers for each line, and the balance.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        for (title, values) in self.sections() {
            let values = values.into_iter();
            let numbers: Map<_, _> = values
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            object.insert(title.replace(' ', "_"), Value::Object(numbers));
        }
        object.insert("balance".to_owned(), self.verdict.to_string().into());
        Value::Object(object)
    }

    /// The lines: a title, and names with numbers.
    fn sections(&self) -> [Section; 8] {
        let Reading { kernel, balance } = &self.reading;
        let counters = &self.counters;
        let lost = |what: EventCounter| (what.name(), kernel.events.get(what));
        let events = [
            lost(EventCounter::RingFull),
            lost(EventCounter::ClosedSocketLost),
            ("clients_dropped", counters.event_clients_dropped.get()),
        ];
        let events = events.into_iter().filter(|&(_, count)| count > 0);
        let discarded = balance.discarded.by_name();
        let (truncated, icmp) = (PacketCounter::HeadersTruncated, PacketCounter::IcmpErrors);
        [
            ("packets", packets(balance)),
            (
                "discarded",
                discarded.filter(|&(_, packets)| packets > 0).collect(),
            ),
            (
                "records",
                vec![
                    (truncated.name(), kernel.packets.get(truncated)),
                    (icmp.name(), kernel.packets.get(icmp)),
                    ("hardware_clock_off", counters.hardware_clock_off.get()),
                ],
            ),
            ("connections", self.connections()),
            ("files", files(counters)),
            ("file errors", counters.file_issues.nonzero().collect()),
            ("rows", rows(&counters.rows)),
            ("events", counters.events.nonzero().chain(events).collect()),
        ]
    }

    fn connections(&self) -> Vec<Entry> {
        let counters = &self.counters;
        vec![
            ("opened", counters.opened.get()),
            ("closed", counters.closed.get()),
            ("empty", counters.empty.get()),
            ("evicted", counters.evicted.get()),
            ("loopback", self.loopback()),
        ]
    }
}

/// A name and its number.
type Entry = (&'static str, u64);

/// A line's title and what is in it.
type Section = (&'static str, Vec<Entry>);

fn packets(balance: &PacketBalance) -> Vec<Entry> {
    vec![
        ("seen", balance.seen),
        ("written", balance.written),
        ("discarded", balance.discarded.total()),
        ("held", balance.held),
    ]
}

fn files(counters: &Counters) -> Vec<Entry> {
    vec![
        ("published", counters.published.get()),
        ("not_kept", counters.rows.not_kept.get()),
        ("failed", counters.failed.get()),
        ("bytes", counters.published_bytes.get()),
        ("recovered", counters.recovered.get()),
        ("recovered_packets", counters.recovered_packets.get()),
        ("removed", counters.removed.get()),
        ("foreign", counters.foreign.get()),
        ("expired", counters.expired.get()),
    ]
}

fn rows(rows: &RowCounters) -> Vec<Entry> {
    let counts = [
        ("written", rows.written.get()),
        ("held", rows.held.get()),
        ("recovered", rows.recovered.get()),
        ("files", rows.files.get()),
    ];
    let counts = counts.into_iter().filter(|&(_, count)| count > 0);
    counts.chain(rows.lost.nonzero()).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, values) in self.sections() {
            write!(out, "{title}:")?;
            for (name, value) in values {
                write!(out, " {name}={value}")?;
            }
            writeln!(out)?;
        }
        write!(out, "balance: {}", self.verdict)
    }
}
