//! The threads behind the rings, and the writers behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;

use crate::accounts::Accounts;
use crate::config::Config;
use crate::events::FlowEvent;
use crate::flow::shard::{Outbox, Shard};
use crate::flow::table::{FlowTable, Limits};
use crate::interfaces::InterfaceNames;
use crate::kernel::Admission;
use crate::kernel::load::PacketRings;
use crate::kernel::ring::PacketReader;
use crate::store::partial::Directories;
use crate::store::writer::{self, Style, Writer};
use crate::threads::{join, spawn};

/// What every shard works with.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) directories: &'a Directories,
    pub(crate) style: &'a Style,
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
}

impl Pipeline {
    /// Starts a shard and a writer for each pair of rings.
    pub(crate) fn start(
        shared: &Shared<'_>,
        rings: Vec<PacketRings>,
        events: Vec<Receiver<FlowEvent>>,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (number, (rings, events)) in rings.into_iter().zip(events).enumerate() {
            let (jobs, inbox) = sync_channel(writer::QUEUE);
            let backlog = Arc::new(AtomicUsize::new(0));
            let sizes = shared.config.sizes;
            let heap = sizes.heap / sizes.shards.max(1) as usize;
            let limit = heap / BACKLOG_SHARE;
            let accounts = Arc::clone(shared.accounts);
            let limits = Limits {
                memory: heap - limit,
                flows: sizes.flows.div_ceil(sizes.shards.max(1) as usize),
            };
            let wanted = shared.config.filters.wanted;
            let shard = Shard {
                ring: PacketReader::new(rings)?,
                admission: Arc::clone(shared.admission),
                events,
                table: FlowTable::new(shared.config.timing, limits, wanted),
                accounts: Arc::clone(&accounts),
                outbox: Outbox::new(jobs, Arc::clone(&backlog), limit, accounts),
            };
            let until = Arc::clone(&stop);
            threads.push(spawn(&format!("shard-{number}"), move || {
                shard.run(&until)
            })?);
            let (directories, names) = (shared.directories.clone(), Arc::clone(shared.interfaces));
            let accounts = Arc::clone(shared.accounts);
            let writer = Writer::new(directories, shared.style, names, accounts)?;
            threads.push(spawn(&format!("writer-{number}"), move || {
                writer.run(&inbox, &backlog);
                Ok(())
            })?);
        }
        Ok(Self { stop, threads })
    }

    /// Lets every shard take what is left, and waits until all of it is written.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().try_for_each(join)
    }
}
