//! The user-space data path of one shard without a kernel and without threads, with the daemon's
//! default settings: records go into a table, and what comes out of it into files.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use capture_files::{
    Directories, FileEvent, FileNaming, FileOptions, InterfaceNames, Observer, Writer,
};
use flow_table::{Action, Arrivals, Batches, FlowTable, Hint, Limits};
use model::{BootNanos, FlowEvent, Timing, WallClock, Wanted};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::traffic::{Records, entry};

pub(crate) mod cases;

const TIMING: Timing = Timing {
    uuid_wait: Duration::from_secs(5),
    capture: Duration::from_secs(30),
    idle: Duration::from_secs(30),
    linger: Duration::from_secs(1),
    spill: Duration::from_secs(5),
};

/// Three quarters of 1 GiB: the table's share of the daemon's memory.
const MEMORY: usize = 768 << 20;

/// How many files stay open, as in a daemon that may have twice as many.
const KEPT_OPEN: usize = 16_384;

/// The wall clock ahead of the boot clock, in nanoseconds. Fixed, so that every run does the same.
const OFFSET: i64 = 1_700_000_000_000_000_000;

/// An empty table with the default limits.
#[must_use]
pub(crate) fn table() -> FlowTable {
    let limits = Limits {
        memory: MEMORY,
        flows: usize::MAX,
    };
    FlowTable::new(TIMING, limits, Wanted::All)
}

/// A shard and its writer.
pub(crate) struct DataPath {
    table: FlowTable,
    batches: Batches,
    clock: WallClock,
    events: VecDeque<FlowEvent>,
    writer: Writer<Written>,
    written: Written,
}

/// Counts the packets in published files.
#[derive(Clone, Default)]
struct Written(Rc<Cell<u64>>);

impl Observer for Written {
    fn observe(&mut self, event: FileEvent<'_>) {
        if let FileEvent::Published(file) = event {
            self.0.set(self.0.get() + file.packets);
        }
    }
}

impl DataPath {
    /// A path into this directory.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub(crate) fn new(directory: &Path, naming: FileNaming) -> Result<Self> {
        let mut files = getrlimit(Resource::Nofile);
        files.current = files.maximum;
        setrlimit(Resource::Nofile, files)?;
        let (data, partial) = (directory.join("data"), directory.join("partial"));
        let directories = Directories::prepare(&data, &partial)?;
        let options = FileOptions {
            naming,
            level: None,
            anonymizer: None,
            application: "packet_cost",
        };
        let interfaces = Arc::new(InterfaceNames::default());
        let written = Written::default();
        let mut writer = Writer::new(directories, &options, interfaces, written.clone())?;
        writer.keep_open(KEPT_OPEN);
        Ok(Self {
            table: table().with_layout(options.layout()),
            batches: Batches::default(),
            clock: WallClock::apart(OFFSET),
            events: VecDeque::new(),
            writer,
            written,
        })
    }

    /// A connection begins or ends; it takes effect before the packets that came later.
    pub(crate) fn event(&mut self, event: FlowEvent) {
        self.events.push_back(event);
    }

    /// Takes records, then lets time pass up to `now`, and writes what is to be written.
    pub(crate) fn batch(&mut self, now: u64, records: &Records) {
        let arrivals = Arrivals {
            clock: &self.clock,
            events: &mut self.events,
            more: false,
        };
        let _counts = self.batches.take(&mut self.table, records.iter(), arrivals);
        while self.table.tick(BootNanos(now)) {}
        self.write();
    }

    /// Finishes all connections.
    ///
    /// # Errors
    /// If not exactly `packets` packets are in files then.
    pub(crate) fn finish(mut self, packets: u64) -> Result<()> {
        while self.table.shut_down() {}
        self.write();
        let written = self.written.0.get();
        ensure!(
            written == packets,
            "{written} packets of {packets} are in files"
        );
        Ok(())
    }

    fn write(&mut self) {
        let _counts = self.table.take_counts();
        let mut admitted = Vec::new();
        for action in self.table.actions() {
            match action {
                Action::Write(job) => self.writer.write(job),
                Action::Tell(Hint::Admit(key, _, cookie)) => admitted.push((key, cookie)),
                Action::Tell(_) | Action::Count(_) => {}
            }
        }
        for (key, cookie) in admitted {
            self.table.bind(&key, cookie, entry(cookie));
        }
    }
}
