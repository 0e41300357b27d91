//! The shards that read the rings, and their writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;
use tokio::sync::{mpsc, watch};

use crate::config::{Config, Sizes};
use crate::heartbeat::{Heartbeats, WaitsFor};
use crate::kernel::{PacketSource, ShardSources};
use crate::live::Tee;
use crate::shard::demux::Demux;
use crate::shard::list_request::ListRequest;
use crate::shard::outbox::{Outbox, Queued};
use crate::shard::{Shard, ShardHandle};
use crate::stats::CounterSources;
use crate::stats::backlog::Backlog;
use crate::stats::shard::{ShardBounds, ShardStats};
use crate::store::publisher;
use crate::store::rows::Rows;
use crate::store::writer::{self, Counting, ShardWriter};
use crate::threads::{join, spawn};
use capture_files::{Directories, FileOptions, FinishedFile, InterfaceNames, Room};
use flow_table::{Batches, FlowTable, Limits};
use model::FlowEvent;
use model::owner::WantedOwners;

/// What all shards share.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) directories: &'a Directories,
    pub(crate) options: &'a FileOptions,
    /// How many files each writer may keep open.
    pub(crate) kept_open: usize,
    pub(crate) room: &'a Room,
    /// The rows that are written of files.
    pub(crate) rows: Option<&'a Rows>,
    pub(crate) interfaces: &'a Arc<InterfaceNames>,
    /// Whose connections get files, which may change.
    pub(crate) owners: &'a watch::Sender<WantedOwners>,
    pub(crate) heartbeats: &'a Heartbeats,
    pub(crate) counted: &'a CounterSources,
    /// Takes copies of packets for who watches, if anybody can.
    pub(crate) live: Option<&'a Tee>,
}

/// One part in so many of `--maxheap` is for packets queued for the writers, the rest for the tables.
const BACKLOG_SHARE: usize = 4;

/// The running threads.
pub(crate) struct Pipeline {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
    shards: Vec<ShardHandle>,
}

impl Pipeline {
    /// Starts a shard and a writer for each source of packets.
    pub(crate) fn start(
        shared: &Shared<'_>,
        sources: ShardSources,
        events: Vec<mpsc::Receiver<FlowEvent>>,
    ) -> Result<Self> {
        match sources {
            ShardSources::Programs(sources) => Self::start_with(shared, sources, events),
            ShardSources::Sockets(sources) => Self::start_with(shared, sources, events),
        }
    }

    fn start_with<S: PacketSource>(
        shared: &Shared<'_>,
        sources: Vec<S>,
        events: Vec<mpsc::Receiver<FlowEvent>>,
    ) -> Result<Self> {
        let mut pipeline = Self {
            stop: Arc::default(),
            threads: Vec::new(),
            shards: Vec::new(),
        };
        let backlogs: Vec<_> = sources.iter().map(|_| Arc::<Backlog>::default()).collect();
        let finished = pipeline.start_publisher(shared, backlogs.clone())?;
        let inputs = sources.into_iter().zip(events);
        for ((source, events), backlog) in inputs.zip(backlogs) {
            let jobs = pipeline.start_writer(shared, finished.clone(), Arc::clone(&backlog))?;
            let bounds = bounds(shared.config.sizes, source.lane_bytes());
            let counters = Arc::clone(&shared.counted.counters);
            let outbox = Outbox::new(jobs, Arc::clone(&backlog), bounds.backlog, counters);
            let waker = source.waker()?;
            let (requests, requested) = ListRequest::channel(waker.clone());
            let stats = Arc::new(ShardStats::new(bounds, backlog));
            let handle = ShardHandle {
                stats: Arc::clone(&stats),
                requests,
                rules: Arc::default(),
                waker,
            };
            pipeline.shards.push(handle.clone());
            let name = format!("shard-{}", pipeline.shards.len() - 1);
            let shard = Shard {
                source,
                events,
                demux: Demux {
                    table: table(shared, bounds),
                    batches: Batches::default(),
                    counters: Arc::clone(&shared.counted.counters),
                    outbox,
                },
                stats,
                live: shared.live.cloned(),
                requests: requested,
                rules: handle.rules,
                heartbeat: shared.heartbeats.add(&name, WaitsFor::Work),
            };
            let stop = Arc::clone(&pipeline.stop);
            let thread = spawn(&name, move || shard.run(&stop))?;
            pipeline.threads.push(thread);
        }
        Ok(pipeline)
    }

    /// Starts the thread that publishes for all writers, if files are synced or rows written; its queue.
    fn start_publisher(
        &mut self,
        shared: &Shared<'_>,
        backlogs: Vec<Arc<Backlog>>,
    ) -> Result<Option<SyncSender<FinishedFile>>> {
        if !shared.config.files.fsync && shared.rows.is_none() {
            return Ok(None);
        }
        let Shared {
            directories,
            options,
            heartbeats,
            counted,
            ..
        } = shared;
        let site = publisher::Site {
            directories,
            naming: options.naming,
            counting: Counting::new(Arc::clone(&counted.counters), shared.room.clone()),
            backlogs,
            rows: shared.rows.cloned(),
        };
        let started = publisher::start(site, heartbeats)?;
        self.threads.push(started.1);
        Ok(Some(started.0))
    }

    /// Starts the writer of the next shard, and returns its queue.
    fn start_writer(
        &mut self,
        shared: &Shared<'_>,
        finished: Option<SyncSender<FinishedFile>>,
        backlog: Arc<Backlog>,
    ) -> Result<SyncSender<Queued>> {
        let (jobs, inbox) = sync_channel(writer::QUEUE);
        let (directories, names) = (shared.directories.clone(), Arc::clone(shared.interfaces));
        let counting = Counting::new(Arc::clone(&shared.counted.counters), shared.room.clone());
        let mut writer = ShardWriter::new(directories, shared.options, names, counting)?;
        writer.keep_open(shared.kept_open);
        writer.only_of(shared.owners.subscribe());
        if let Some(finished) = finished {
            writer.hand_over(finished);
        }
        let name = format!("writer-{}", self.shards.len());
        let heartbeat = shared.heartbeats.add(&name, WaitsFor::Disk);
        self.threads.push(spawn(&name, move || {
            writer.run(&inbox, &backlog, &heartbeat);
            Ok(())
        })?);
        Ok(jobs)
    }

    /// Handles to the shards.
    pub(crate) fn shards(&self) -> &[ShardHandle] {
        &self.shards
    }

    /// Lets every shard take what is left in its rings, and waits until everything is written.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.shards.iter().for_each(|shard| shard.waker.wake());
        self.threads.into_iter().try_for_each(join)
    }
}

/// The limits of each shard.
fn bounds(sizes: Sizes, [admitted_ring, candidate_ring]: [u64; 2]) -> ShardBounds {
    let heap = sizes.heap / sizes.shards.max(1) as usize;
    let backlog = heap / BACKLOG_SHARE;
    ShardBounds {
        admitted_ring,
        candidate_ring,
        memory: (heap - backlog) as u64,
        backlog: backlog as u64,
    }
}

fn table(shared: &Shared<'_>, bounds: ShardBounds) -> FlowTable {
    let Shared {
        config, options, ..
    } = shared;
    let sizes = config.sizes;
    let limits = Limits {
        memory: bytes(bounds.memory),
        flows: sizes.flows.div_ceil(sizes.shards.max(1) as usize),
    };
    FlowTable::new(config.timing, limits, config.filters.wanted).with_layout(options.layout())
}

fn bytes(bound: u64) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}
