//! The daemon's counters in the Prometheus text format.
//!
//! A scrape only reads atomics and the kernel's counters; no packet waits for it.

mod go;
mod own;
mod page;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use packet_headers_common::DiscardReason;
use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder as _, TextEncoder};

use self::page::Page;
use super::balance::PacketBalance;
use super::counters::Counters;
use super::reading::Reading;
use super::shard::ShardStats;
use super::sources::CounterSources;
use crate::capture::Attached;
use crate::heartbeat::Heartbeats;
use crate::kernel::Refused;
use crate::kernel::counters::Counts;
use capture_files::Room;
use flow_table::TableStats;
use model::{AttachMethod, FlowSource};

/// The sources of all metrics.
pub(crate) struct Metrics {
    pub(crate) counted: CounterSources,
    pub(crate) refused_by_kernel: Refused,
    pub(crate) shards: Vec<Arc<ShardStats>>,
    pub(crate) attached: Attached,
    pub(crate) room: Room,
    pub(crate) method: AttachMethod,
    pub(crate) source: FlowSource,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) process: ProcessCollector,
}

/// Numbers of one scrape that several metrics are derived from.
struct Moment<'a> {
    metrics: &'a Metrics,
    counters: &'a Counters,
    kernel: Counts,
    balance: PacketBalance,
    flows: TableStats,
    interfaces: Vec<String>,
}

impl Metrics {
    /// Every metric in Prometheus' text format.
    ///
    /// # Errors
    /// When the kernel's counters cannot be read.
    pub(crate) fn text(&self) -> Result<String> {
        let Reading { kernel, balance } = self.counted.scrape()?;
        let mut flows = TableStats::default();
        for shard in &self.shards {
            shard.table.add_to(&mut flows);
        }
        let moment = Moment {
            metrics: self,
            counters: &self.counted.counters,
            kernel,
            balance,
            flows,
            interfaces: self.attached.names(),
        };
        let mut page = Page::default();
        go::fill(&mut page, &moment);
        own::fill(&mut page, &moment);
        let mut families = page.families;
        families.extend(self.process.collect());
        let mut text = Vec::new();
        let encoder = TextEncoder::new();
        encoder
            .encode(&families, &mut text)
            .context("formatting metrics")?;
        String::from_utf8(text).context("formatting metrics")
    }
}

impl Moment<'_> {
    /// Packets discarded for any of these reasons.
    fn discarded(&self, reasons: &[DiscardReason]) -> u64 {
        let packets = |&reason| self.balance.discarded.get(reason);
        reasons.iter().map(packets).sum()
    }
}
