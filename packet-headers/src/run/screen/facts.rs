//! The numbers of one moment that people at a terminal are shown.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use flow_table::TableStats;
use packet_headers_common::EventCounter;
use rustix::fs::statvfs;

use crate::stats::CounterSources;
use crate::stats::shard::ShardStats;

/// Where the numbers come from.
pub(in crate::run) struct Sources {
    /// The counters.
    pub(in crate::run) counted: CounterSources,
    /// The numbers of the shards.
    pub(in crate::run) shards: Vec<Arc<ShardStats>>,
    /// The data directory.
    pub(in crate::run) data: PathBuf,
}

/// The numbers of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Packets that passed a captured interface.
    pub(super) seen: u64,
    /// Connections that are being captured.
    pub(super) open: u64,
    /// Connections that got a name so far.
    pub(super) opened: u64,
    /// Connections over loopback that were left out.
    pub(super) loopback: u64,
    /// Connections of other network namespaces that were left out.
    pub(super) elsewhere: u64,
    /// Published files.
    pub(super) files: u64,
    /// Bytes in these.
    pub(super) bytes: u64,
    /// Packets in files, or on their way there.
    pub(super) packets: u64,
    /// Packets that should have been captured and were lost.
    pub(super) lost: u64,
    /// Bytes that the filesystem has free, if it tells.
    pub(super) free: Option<u64>,
}

impl Facts {
    /// The numbers of now. May take as long as the disk takes.
    ///
    /// # Errors
    /// When the kernel does not let us read its counters.
    pub(super) fn gather(sources: &Sources) -> Result<Self> {
        let counters = &sources.counted.counters;
        let reading = sources.counted.scrape()?;
        let mut table = TableStats::default();
        for shard in &sources.shards {
            shard.table.add_to(&mut table);
        }
        let balance = &reading.balance;
        Ok(Self {
            seen: balance.seen,
            open: table.capturing,
            opened: counters.opened.get(),
            loopback: reading.kernel.events.get(EventCounter::Loopback),
            elsewhere: reading.kernel.events.get(EventCounter::OtherNetns),
            files: counters.published.get(),
            bytes: counters.published_bytes.get(),
            packets: balance.written + balance.held,
            lost: counters.lost(),
            free: statvfs(&sources.data)
                .ok()
                .map(|it| it.f_bavail * it.f_frsize),
        })
    }
}
