//! The threads behind the rings, and the writers behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;

use crate::accounts::Accounts;
use crate::config::{Config, Sizes};
use crate::flow::demux::Demux;
use crate::flow::gauges::{Asking, Bounds, Question, ShardGauges};
use crate::flow::outbox::Outbox;
use crate::flow::shard::Shard;
use crate::flow::table::{FlowTable, Limits};
use crate::kernel::Admission;
use crate::kernel::load::PacketRings;
use crate::kernel::ring::PacketReader;
use crate::store::writer::{self, ShardWriter};
use crate::threads::{join, spawn};
use capture_files::{Directories, FileOptions, InterfaceNames};
use model::FlowEvent;

/// What every shard works with.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) directories: &'a Directories,
    pub(crate) options: &'a FileOptions,
    pub(crate) interfaces: &'a Arc<InterfaceNames>,
    pub(crate) admission: &'a Arc<Admission>,
    pub(crate) accounts: &'a Arc<Accounts>,
}

/// The part of `--maxheap` that may wait for the writers; the rest is for the flow tables.
const BACKLOG_SHARE: usize = 4;

/// The running threads.
pub(crate) struct Pipeline {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
    shards: Vec<ShardDoor>,
}

/// How others learn what a shard does.
#[derive(Debug, Clone)]
pub(crate) struct ShardDoor {
    pub(crate) gauges: Arc<ShardGauges>,
    pub(crate) asking: Asking,
}

impl Pipeline {
    /// Starts a shard and a writer for each pair of rings.
    pub(crate) fn start(
        shared: &Shared<'_>,
        rings: Vec<PacketRings>,
        events: Vec<Receiver<FlowEvent>>,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut threads, mut shards) = (Vec::new(), Vec::new());
        for (number, (rings, events)) in rings.into_iter().zip(events).enumerate() {
            let (jobs, inbox) = sync_channel(writer::QUEUE);
            let backlog = Arc::new(AtomicUsize::new(0));
            let bounds = bounds(shared.config.sizes);
            let (asking, questions) = Question::channel();
            let gauges = Arc::new(ShardGauges::new(bounds, Arc::clone(&backlog)));
            shards.push(ShardDoor {
                gauges: Arc::clone(&gauges),
                asking,
            });
            let shard = Shard {
                ring: PacketReader::new(rings)?,
                admission: Arc::clone(shared.admission),
                events,
                demux: Demux {
                    table: table(shared.config, bounds),
                    accounts: Arc::clone(shared.accounts),
                    outbox: Outbox::new(
                        jobs,
                        Arc::clone(&backlog),
                        bytes(bounds.backlog),
                        Arc::clone(shared.accounts),
                    ),
                },
                gauges,
                questions,
            };
            let until = Arc::clone(&stop);
            threads.push(spawn(&format!("shard-{number}"), move || {
                shard.run(&until)
            })?);
            let (directories, names) = (shared.directories.clone(), Arc::clone(shared.interfaces));
            let accounts = Arc::clone(shared.accounts);
            let writer = ShardWriter::new(directories, shared.options, names, accounts)?;
            threads.push(spawn(&format!("writer-{number}"), move || {
                writer.run(&inbox, &backlog);
                Ok(())
            })?);
        }
        Ok(Self {
            stop,
            threads,
            shards,
        })
    }

    /// How others learn what each shard does.
    pub(crate) fn shards(&self) -> &[ShardDoor] {
        &self.shards
    }

    /// Lets every shard take what is left, and waits until all of it is written.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().try_for_each(join)
    }
}

/// What each shard may have.
fn bounds(sizes: Sizes) -> Bounds {
    let heap = sizes.heap / sizes.shards.max(1) as usize;
    let backlog = heap / BACKLOG_SHARE;
    Bounds {
        admitted_ring: sizes.ring.into(),
        candidate_ring: sizes.candidate_ring().into(),
        memory: (heap - backlog) as u64,
        backlog: backlog as u64,
    }
}

fn table(config: &Config, bounds: Bounds) -> FlowTable {
    let sizes = config.sizes;
    let limits = Limits {
        memory: bytes(bounds.memory),
        flows: sizes.flows.div_ceil(sizes.shards.max(1) as usize),
    };
    FlowTable::new(config.timing, limits, config.filters.wanted)
}

fn bytes(bound: u64) -> usize {
    usize::try_from(bound).unwrap_or(usize::MAX)
}
