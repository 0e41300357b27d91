//! One run of the daemon: its own objects, without its threads, its kernel and its clocks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Context as _, Result};
use capture_files::{
    Directories, FinishedFile, InterfaceNames, Job, Publisher, Retention, RetentionLimits,
};
use flow_table::{Arrivals, Batches, FlowTable, ListingWalk};
use model::{BootNanos, DiscardReason, FlowEvent, WallClock};
use packet_headers::shard::demux::Demux;
use packet_headers::shard::outbox::{Outbox, Queued};
use packet_headers::stats::Counters;
use packet_headers::stats::backlog::Backlog;
use packet_headers::store::writer::{Counting, ShardWriter};
use packet_headers_common::SocketTotals;

use crate::entries::Entries;
use crate::settings::Settings;

/// How many finished files wait for the publisher: more than there ever are.
const FINISHED: usize = 4096;

/// One run of the daemon.
pub(crate) struct Daemon {
    pub(crate) directories: Directories,
    pub(crate) counters: Arc<Counters>,
    demux: Demux,
    writer: ShardWriter,
    /// Who publishes what is finished, if files are synced, and what waits for it.
    publisher: Option<(Publisher<Counting>, Receiver<FinishedFile>)>,
    jobs: Receiver<Queued>,
    backlog: Arc<Backlog>,
    /// Ring items that the shard has not taken.
    ring: VecDeque<Vec<u8>>,
    /// Events that the shard has not taken.
    events: VecDeque<FlowEvent>,
    entries: Entries,
    settings: Settings,
}

/// A job that the writer did.
pub(crate) struct Done {
    pub(crate) job: Job,
    /// How many packets it reported as dropped, or held, by this job.
    pub(crate) dropped: u64,
}

impl Daemon {
    /// Starts it on these directories.
    pub(crate) fn start(home: &Path, settings: &Settings) -> Result<Self> {
        let (data, partial) = (home.join("data"), home.join("partial"));
        let directories = Directories::prepare(&data, &partial)?.with_fsync(settings.fsync);
        let counters = Arc::new(Counters::default());
        let backlog = Arc::new(Backlog::default());
        let (to_writer, jobs) = sync_channel(settings.queue);
        let outbox = Outbox::new(
            to_writer,
            Arc::clone(&backlog),
            settings.backlog,
            Arc::clone(&counters),
        );
        let demux = Demux {
            table: FlowTable::new(settings.timing, settings.limits, settings.wanted)
                .with_layout(settings.files.layout()),
            batches: Batches::default(),
            counters: Arc::clone(&counters),
            outbox,
        };
        let names = Arc::new(InterfaceNames::default());
        let room = Retention::of(&directories, RetentionLimits::default()).room();
        let writer = ShardWriter::new(
            directories.clone(),
            &settings.files,
            names,
            Counting::new(Arc::clone(&counters), room.clone()),
        );
        let mut writer = writer?;
        writer.keep_open(settings.kept_open);
        let publisher = settings.fsync.then(|| {
            let (finished, inbox) = sync_channel(FINISHED);
            writer.hand_over(finished);
            let counting = Counting::new(Arc::clone(&counters), room.clone());
            let naming = settings.files.naming;
            (Publisher::new(directories.clone(), naming, counting), inbox)
        });
        Ok(Self {
            directories,
            counters,
            demux,
            writer,
            publisher,
            jobs,
            backlog,
            ring: VecDeque::new(),
            events: VecDeque::new(),
            entries: Entries::default(),
            settings: settings.clone(),
        })
    }

    /// A ring item comes.
    pub(crate) fn item(&mut self, mut item: Vec<u8>) {
        self.entries.mark(&mut item);
        self.ring.push_back(item);
    }

    /// An event comes.
    pub(crate) fn event(&mut self, event: FlowEvent) {
        self.events.push_back(event);
    }

    /// How many ring items the shard has not taken.
    pub(crate) fn in_ring(&self) -> u64 {
        self.ring.len() as u64
    }

    /// A turn of the shard, as `shard::Turning` takes it.
    pub(crate) fn turn(&mut self, now: u64, offset: i64) {
        let clock = WallClock::apart(offset);
        let items = std::mem::take(&mut self.ring);
        let arrivals = Arrivals {
            clock: &clock,
            events: &mut self.events,
            more: false,
        };
        self.demux.take(items.iter().map(Vec::as_slice), arrivals);
        loop {
            let more = self.demux.table.tick(BootNanos(now));
            self.demux.act(|hint| self.entries.hear(hint));
            self.demux.outbox.push();
            if !more {
                break;
            }
        }
    }

    /// The writer does its next job, if there is one.
    pub(crate) fn write(&mut self) -> Option<Done> {
        let Queued { job, .. } = self.jobs.try_recv().ok()?;
        let (cost, copy) = (job.cost() as u64, job.clone());
        let before = self.discarded(DiscardReason::WriteFailed);
        self.writer.write(job);
        self.backlog.sub(cost);
        Some(Done {
            job: copy,
            dropped: self.discarded(DiscardReason::WriteFailed) - before,
        })
    }

    /// Who publishes tries again to give files their names.
    pub(crate) fn retry(&mut self) {
        match &mut self.publisher {
            Some((publisher, _)) => publisher.retry(),
            None => self.writer.retry(),
        }
    }

    /// The publisher takes what is finished, if there is one; how many files that were.
    pub(crate) fn publish(&mut self) -> usize {
        let Some((publisher, inbox)) = &mut self.publisher else {
            return 0;
        };
        let group: Vec<_> = inbox.try_iter().collect();
        let number = group.len();
        if number > 0 {
            publisher.publish(group);
        }
        number
    }

    /// Lists connections.
    pub(crate) fn list(&self, now: u64, limit: usize) -> u64 {
        let mut walk = ListingWalk::new(limit);
        loop {
            if let Some(listing) = self.demux.table.list(&mut walk, BootNanos(now)) {
                return listing.total;
            }
        }
    }

    /// The shard's part of a stop: everything goes to the writer. `done` is told of each job.
    pub(crate) fn shut_down(&mut self, now: u64, offset: i64, mut done: impl FnMut(Done)) {
        self.turn(now, offset);
        loop {
            let more = self.demux.table.shut_down();
            self.demux.act(|hint| self.entries.hear(hint));
            loop {
                self.demux.outbox.push();
                let Some(job) = self.write() else { break };
                done(job);
            }
            if !more {
                break;
            }
        }
    }

    /// The end of a stop.
    pub(crate) fn finish(self) -> Result<Arc<Counters>> {
        let Self {
            demux,
            writer,
            publisher,
            jobs,
            counters,
            backlog,
            ..
        } = self;
        drop(demux);
        anyhow::ensure!(jobs.try_recv().is_err(), "a job is left");
        writer.finish();
        if let Some((mut publisher, inbox)) = publisher {
            publisher.publish(inbox.iter().collect());
            publisher.finish();
        }
        let left = backlog.bytes();
        (left == 0)
            .then_some(counters)
            .with_context(|| format!("{left} bytes of backlog are left"))
    }

    /// Whether the writer has nothing to do.
    pub(crate) fn is_written(&mut self) -> bool {
        self.demux.outbox.push();
        self.backlog.bytes() == 0
    }

    fn discarded(&self, reason: DiscardReason) -> u64 {
        self.counters.discards.get(reason)
    }

    /// Checks the bounds of memory, which hold after each turn.
    pub(crate) fn check_memory(&self) -> Result<()> {
        let (bytes, limit) = (self.demux.table.bytes(), self.settings.limits.memory);
        anyhow::ensure!(
            bytes <= limit,
            "{bytes} bytes in the table, {limit} allowed"
        );
        // The last job of a connection is queued in any case, without its packets.
        let stats = self.demux.table.stats();
        let last = size_of::<Job>() + size_of::<SocketTotals>();
        let empty = (stats.begun + 1) * last as u64;
        let (backlog, limit) = (self.backlog.bytes(), self.settings.backlog + empty);
        anyhow::ensure!(
            backlog <= limit,
            "{backlog} bytes of backlog, {limit} allowed"
        );
        Ok(())
    }
}

/// How many packets were discarded, for whatever reason.
pub(crate) fn discarded(counters: &Counters) -> u64 {
    let reasons = DiscardReason::ALL.iter();
    reasons.map(|&reason| counters.discards.get(reason)).sum()
}
