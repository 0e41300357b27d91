//! Table and writer of one shard on one thread, with the daemon's default settings.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Result, ensure};
use capture_files::{Directories, FileNaming, FileOptions, InterfaceNames, Job};
use flow_table::{Batch, FlowTable, Limits};
use model::{BootNanos, Count, FlowEvent, Timing, WallClock, Wanted};
use packet_headers::shard::demux::Demux;
use packet_headers::shard::outbox::Outbox;
use packet_headers::stats::Counters;
use packet_headers::store::writer::{QUEUE, ShardWriter};

const TIMING: Timing = Timing {
    uuid_wait: Duration::from_secs(5),
    capture: Duration::from_secs(30),
    idle: Duration::from_secs(30),
    linger: Duration::from_secs(1),
    spill: Duration::from_secs(5),
};

/// Of 1 GiB, three quarters are the table's and one the writer's.
const TABLE: usize = 768 << 20;
const BACKLOG: u64 = 256 << 20;

/// The wall clock ahead of the boot clock, in nanoseconds. Fixed, so that every run does the same.
const OFFSET: i64 = 1_700_000_000_000_000_000;

/// A shard and its writer.
pub struct DataPath {
    demux: Demux,
    clock: WallClock,
    events: VecDeque<FlowEvent>,
    jobs: Receiver<Job>,
    backlog: Arc<Count>,
    writer: ShardWriter,
}

/// An empty table with the default limits.
#[must_use]
pub fn table() -> FlowTable {
    let limits = Limits {
        memory: TABLE,
        flows: usize::MAX,
    };
    FlowTable::new(TIMING, limits, Wanted::All)
}

/// A writer into this directory.
///
/// # Errors
/// When the directory cannot be written.
pub fn writer(
    directory: &Path,
    naming: FileNaming,
    counters: &Arc<Counters>,
) -> Result<ShardWriter> {
    let (data, partial) = (directory.join("data"), directory.join("partial"));
    let options = FileOptions {
        naming,
        level: None,
        anonymizer: None,
        application: "cost",
    };
    let names = Arc::new(InterfaceNames::default());
    let directories = Directories::prepare(&data, &partial)?;
    ShardWriter::new(directories, &options, names, Arc::clone(counters))
}

impl DataPath {
    /// A path into this directory.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn new(directory: &Path, naming: FileNaming) -> Result<Self> {
        let counters = Arc::new(Counters::default());
        let backlog = Arc::new(Count::default());
        let (sender, jobs) = sync_channel(QUEUE);
        let (waiting, counted) = (Arc::clone(&backlog), Arc::clone(&counters));
        Ok(Self {
            writer: writer(directory, naming, &counters)?,
            demux: Demux {
                table: table(),
                counters,
                outbox: Outbox::new(sender, waiting, BACKLOG, counted),
            },
            clock: WallClock::apart(OFFSET),
            events: VecDeque::new(),
            jobs,
            backlog,
        })
    }

    /// A flow begins or ends; it takes effect before the packets that came later.
    pub fn event(&mut self, event: FlowEvent) {
        self.events.push_back(event);
    }

    /// Takes what `records` gives, then lets time pass up to `now`, and writes what is to be written.
    pub fn batch(&mut self, now: u64, records: impl FnOnce(&mut Batch<'_>)) {
        let mut batch = self.demux.table.batch(&self.clock, &mut self.events);
        records(&mut batch);
        let counts = batch.finish();
        self.demux.count(&counts);
        for event in self.events.drain(..) {
            self.demux.table.on_event(event);
        }
        self.demux.table.tick(BootNanos(now));
        self.write();
    }

    /// Finishes all flows.
    ///
    /// # Errors
    /// When not exactly `packets` packets are in files then.
    pub fn finish(mut self, packets: u64) -> Result<()> {
        while self.demux.table.shut_down() {}
        self.write();
        let written = self.demux.counters.written.get();
        ensure!(
            written == packets,
            "{written} packets of {packets} are in files"
        );
        Ok(())
    }

    fn write(&mut self) {
        self.demux.act(|_hint| {});
        loop {
            self.demux.outbox.push();
            let mut idle = true;
            for job in self.jobs.try_iter() {
                idle = false;
                let cost = job.cost() as u64;
                self.writer.write(job);
                self.backlog.sub(cost);
            }
            if idle {
                break;
            }
        }
    }
}
