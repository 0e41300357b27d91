//! The thread that owns one packet ring and the connections in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use anyhow::Result;
use packet_headers_common::Packet;

use super::gauges::{Question, ShardGauges};
use super::table::{Action, FlowTable};
use crate::accounts::{Accounts, Discard};
use crate::clock::{BootNanos, WallClock};
use crate::events::FlowEvent;
use crate::kernel::Admission;
use crate::kernel::ring::PacketReader;
use crate::store::writer::Job;

/// How long a shard sleeps when its ring does not fill: long enough to cost nothing on an idle
/// host, short against every timeout.
const TICK: Duration = Duration::from_millis(20);

/// Packets between two looks at the rest of the work, so that a flood does not starve it.
const BATCH: u32 = 16 * 1024;

/// What a shard works with.
pub struct Shard {
    /// Its packets.
    pub ring: PacketReader,
    /// What the kernel knows of flows.
    pub admission: Arc<Admission>,
    /// Begins and ends of its flows.
    pub events: Receiver<FlowEvent>,
    /// Its flows.
    pub table: FlowTable,
    /// What it counts.
    pub accounts: Arc<Accounts>,
    /// The way to its writer.
    pub outbox: Outbox,
    /// What it tells of itself.
    pub gauges: Arc<ShardGauges>,
    /// Who wants to know which connections there are.
    pub questions: Receiver<Question>,
}

/// Jobs on their way to the writer. A shard never waits for a disk: what the writer does not take
/// now waits here, up to a bound, and beyond it is discarded and counted.
pub struct Outbox {
    writer: SyncSender<Job>,
    waiting: VecDeque<Job>,
    /// Bytes of all jobs that are not done.
    backlog: Arc<AtomicUsize>,
    limit: usize,
    accounts: Arc<Accounts>,
}

impl Shard {
    /// Works until `stop` is set; then takes what is left in the ring, finishes every flow and
    /// hands it over.
    ///
    /// # Errors
    /// When the ring cannot be waited for.
    pub fn run(mut self, stop: &AtomicBool) -> Result<()> {
        let mut clock = WallClock::sample();
        let mut pending = VecDeque::new();
        loop {
            // Before the drain: what was put into the ring by then is seen by it.
            let stopping = stop.load(Ordering::Acquire);
            clock.resample();
            pending.extend(self.events.try_iter());
            let more = self.drain(&clock, &mut pending);
            if !more {
                // These happened before the drain, and every packet of then is through.
                for event in pending.drain(..) {
                    self.table.on_event(event);
                }
            }
            let accounts = Arc::clone(&self.accounts);
            accounts.ticks.observe(|| self.tick());
            self.outbox.push();
            if stopping && !more {
                break;
            }
            if !more {
                self.ring.wait(TICK)?;
            }
        }
        self.table.shut_down();
        self.act();
        self.outbox.finish();
        Ok(())
    }

    /// Lets time pass, and tells what there is now.
    fn tick(&mut self) {
        let now = BootNanos::now();
        self.table.tick(now);
        self.act();
        self.gauges.publish(&self.table.census(), self.ring.fill());
        // One at a time: the ring comes first.
        if let Ok(question) = self.questions.try_recv() {
            question.answer(&self.table, now);
        }
    }

    /// Takes packets from the ring, and lets each event take effect between the packets that came
    /// before and after it. Whether there may be more.
    fn drain(&mut self, clock: &WallClock, events: &mut VecDeque<FlowEvent>) -> bool {
        let Self { ring, table, .. } = self;
        let (mut held, mut bad, mut unbelieved) = (0u64, 0u64, 0u64);
        let mut refused = [0u64; Discard::ALL.len()];
        let received = ring.drain(BATCH, |item| {
            let Ok(packet) = Packet::parse(item) else {
                bad += 1;
                return;
            };
            let at = BootNanos(packet.boot_ns);
            while let Some(event) = events.pop_front_if(|event| event.at() < at) {
                table.on_event(event);
            }
            let mut time = clock.wall(at);
            if let Some(told) = packet.hardware_ns {
                match WallClock::hardware(time, told) {
                    Some(told) => time = told,
                    None => unbelieved += 1,
                }
            }
            match table.on_packet(&packet, time) {
                Ok(()) => held += 1,
                Err(reason) => refused[reason as usize] += 1,
            }
        });
        let accounts = &self.accounts;
        accounts.held.fetch_add(held, Ordering::Relaxed);
        accounts.discards.add(Discard::BadRecord, bad);
        accounts
            .hardware_clock_off
            .fetch_add(unbelieved, Ordering::Relaxed);
        for (&reason, packets) in Discard::ALL.iter().zip(refused) {
            accounts.discards.add(reason, packets);
        }
        accounts
            .received
            .fetch_add(u64::from(received), Ordering::Relaxed);
        received >= BATCH
    }

    /// Does what the table wants done.
    fn act(&mut self) {
        let accounts = &self.accounts;
        for action in self.table.actions() {
            match action {
                Action::Spill(flow, file, chunk) => self.outbox.add(Job {
                    flow,
                    file,
                    chunk,
                    last: false,
                }),
                Action::Publish(flow, file, chunk) => self.outbox.add(Job {
                    flow,
                    file,
                    chunk,
                    last: true,
                }),
                Action::Admit(key, until, cookie) => self.admission.admit(&key, until, cookie),
                Action::Retire(key, cookie) => self.admission.retire(&key, cookie),
                Action::Release(key, cookie) => self.admission.release(&key, cookie),
                Action::Ignore(key) => self.admission.ignore(&key),
                Action::Discard(reason, packets) => accounts.discard_held(reason, packets),
                Action::Opened => drop(accounts.opened.fetch_add(1, Ordering::Relaxed)),
                Action::Closed => drop(accounts.closed.fetch_add(1, Ordering::Relaxed)),
                Action::Empty => drop(accounts.empty.fetch_add(1, Ordering::Relaxed)),
                Action::Issue(issue) => accounts.events.add(issue, 1),
            }
        }
    }
}

impl Outbox {
    /// A way to a writer, with room for `limit` bytes that wait.
    #[must_use]
    pub fn new(
        writer: SyncSender<Job>,
        backlog: Arc<AtomicUsize>,
        limit: usize,
        accounts: Arc<Accounts>,
    ) -> Self {
        Self {
            writer,
            waiting: VecDeque::new(),
            backlog,
            limit,
            accounts,
        }
    }

    /// Takes a job; over the limit, without its packets. The end of a flow is always kept: without
    /// it the file would never be published.
    fn add(&mut self, mut job: Job) {
        if self.backlog.load(Ordering::Relaxed) + job.cost() > self.limit {
            let lost = std::mem::take(&mut job.chunk);
            self.accounts
                .discard_held(Discard::WriterBehind, lost.packets);
            if !job.last {
                return;
            }
        }
        self.backlog.fetch_add(job.cost(), Ordering::Relaxed);
        self.waiting.push_back(job);
    }

    /// Gives the writer what it takes without waiting.
    fn push(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            match self.writer.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    return self.waiting.push_front(job);
                }
            }
        }
    }

    /// Gives the writer everything, as fast as it takes it.
    fn finish(&mut self) {
        for job in self.waiting.drain(..) {
            if let Err(refused) = self.writer.send(job) {
                let lost = refused.0.chunk.packets;
                self.accounts.discard_held(Discard::WriteFailed, lost);
            }
        }
    }
}
