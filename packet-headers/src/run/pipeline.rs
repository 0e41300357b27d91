//! The shards that read the rings, and their writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;
use tokio::sync::{mpsc, watch};

use crate::config::{Config, Datagrams};
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
use flow_table::{Batches, DatagramNames, FlowTable, Limits};
use model::owner::WantedOwners;
use model::{FlowEvent, Protocol, Timing};

/// What all shards share that have flows of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    /// What is captured of UDP, if the flows are of datagrams.
    pub(crate) datagrams: Option<&'a Datagrams>,
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

impl Shared<'_> {
    /// What the flows are of.
    const fn protocol(&self) -> Protocol {
        match self.datagrams {
            Some(_) => Protocol::Udp,
            None => Protocol::Tcp,
        }
    }

    /// What counts what becomes of files and packets.
    fn counting(&self) -> Counting {
        let counters = Arc::clone(&self.counted.counters);
        Counting::new(counters, self.room.clone()).of(self.protocol())
    }
}

/// One part in so many of `--maxheap` is for packets queued for the writers, the rest for the tables.
const BACKLOG_SHARE: usize = 4;

/// What threads are called by that have to do with datagrams.
const UDP: &str = "udp";

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
            ShardSources::Datagrams(source) => Self::start_with(shared, vec![*source], events),
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
            let number = match shared.datagrams {
                Some(_) => UDP.to_owned(),
                None => pipeline.shards.len().to_string(),
            };
            let finished = finished.clone();
            let jobs = pipeline.start_writer(shared, finished, (&number, Arc::clone(&backlog)))?;
            let share = Share::of(shared);
            let bounds = share.bounds(source.lane_bytes());
            let counters = Arc::clone(&shared.counted.counters);
            let outbox = Outbox::new(jobs, Arc::clone(&backlog), bounds.backlog, counters);
            let outbox = outbox.of(shared.protocol());
            let waker = source.waker()?;
            let (requests, requested) = ListRequest::channel(waker.clone());
            let stats = Arc::new(ShardStats::new(number.clone(), bounds, backlog));
            let handle = ShardHandle {
                stats: Arc::clone(&stats),
                requests,
                rules: Arc::default(),
                of_datagrams: shared.datagrams.is_some(),
                waker,
            };
            pipeline.shards.push(handle.clone());
            let name = format!("shard-{number}");
            let shard = Shard {
                source,
                events,
                demux: Demux {
                    table: share.table(shared),
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
            ..
        } = shared;
        let site = publisher::Site {
            name: match shared.datagrams {
                Some(_) => "publisher-udp",
                None => "publisher",
            },
            directories,
            naming: options.naming,
            counting: shared.counting(),
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
        (number, backlog): (&str, Arc<Backlog>),
    ) -> Result<SyncSender<Queued>> {
        let (jobs, inbox) = sync_channel(writer::QUEUE);
        let (directories, names) = (shared.directories.clone(), Arc::clone(shared.interfaces));
        let mut writer = ShardWriter::new(directories, shared.options, names, shared.counting())?;
        writer.keep_open(shared.kept_open);
        writer.only_of(shared.owners.subscribe());
        if let Some(finished) = finished {
            writer.hand_over(finished);
        }
        let name = format!("writer-{number}");
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

/// A shard's part of what there is.
struct Share {
    /// Bytes of memory.
    heap: usize,
    flows: usize,
}

impl Share {
    fn of(shared: &Shared<'_>) -> Self {
        let Config {
            sizes, datagrams, ..
        } = shared.config;
        if let Some(datagrams) = shared.datagrams {
            return Self {
                heap: datagrams.heap,
                flows: datagrams.flows,
            };
        }
        let of_datagrams = datagrams.as_ref().map_or(0, |it| it.heap);
        let shards = sizes.shards.max(1) as usize;
        Self {
            heap: sizes.heap.saturating_sub(of_datagrams) / shards,
            flows: sizes.flows.div_ceil(shards),
        }
    }

    /// What of it is for packets that wait for the writer.
    const fn backlog(&self) -> usize {
        self.heap / BACKLOG_SHARE
    }

    /// The limits of the shard.
    const fn bounds(&self, [admitted_ring, candidate_ring]: [u64; 2]) -> ShardBounds {
        ShardBounds {
            admitted_ring,
            candidate_ring,
            memory: (self.heap - self.backlog()) as u64,
            backlog: self.backlog() as u64,
        }
    }

    /// An empty table within it.
    fn table(&self, shared: &Shared<'_>) -> FlowTable {
        let Shared {
            config, options, ..
        } = shared;
        let limits = Limits {
            memory: self.heap - self.backlog(),
            flows: self.flows,
        };
        let wanted = config.filters.wanted;
        let table = match shared.datagrams {
            None => FlowTable::new(config.timing, limits, wanted),
            Some(datagrams) => {
                let timing = Timing {
                    idle: config.udp_silence,
                    ..config.timing
                };
                let names = DatagramNames {
                    prefix: datagrams.prefix.clone(),
                    hides_addresses: config.hides_addresses(),
                };
                FlowTable::new(timing, limits, wanted).of_datagrams(names)
            }
        };
        table.with_layout(options.layout())
    }
}
