//! The queue from a shard to its writer. It is bounded, and never waits for a disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stats::Counters;
use crate::stats::backlog::Backlog;
use capture_files::Job;
use model::{DiscardReason, Protocol};

/// How long a job may wait before further packets are discarded: a kill costs no more than what
/// was captured in this time and in `--spill-interval`.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long the writer may take for what waits when the daemon stops. What is left then is
/// discarded and counted, before whoever stops the daemon kills it.
pub const LAST_WAIT: Duration = Duration::from_secs(7);

/// The writer discards without the disk. If it takes nothing for so long after that, the disk does not
/// answer.
const GRACE: Duration = Duration::from_secs(1);

/// How soon to look again whether the writer takes more.
const PAUSE: Duration = Duration::from_millis(1);

/// A job, and when it was queued.
#[derive(Debug)]
pub struct Queued {
    /// What is to be written.
    pub job: Job,
    /// Since when it waits.
    pub since: Instant,
}

/// Jobs on their way to the writer. Jobs that the writer does not take at once wait here, up to a
/// limit in bytes, and no longer than [`LONGEST_WAIT`]. Packets beyond it are discarded and counted.
pub struct Outbox {
    writer: SyncSender<Queued>,
    waiting: VecDeque<Queued>,
    /// All jobs that are not done.
    backlog: Arc<Backlog>,
    limit: u64,
    counters: Arc<Counters>,
    /// What its packets are of.
    protocol: Protocol,
}

impl Outbox {
    /// A queue to a writer, with room for `limit` bytes.
    #[must_use]
    pub fn new(
        writer: SyncSender<Queued>,
        backlog: Arc<Backlog>,
        limit: u64,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            writer,
            waiting: VecDeque::new(),
            backlog,
            limit,
            counters,
            protocol: Protocol::Tcp,
        }
    }

    /// The same, for packets of this protocol.
    #[must_use]
    pub fn of(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }

    /// Discards packets that the writer is too slow for.
    fn lose(&self, packets: u64) {
        let reason = DiscardReason::WriterBehind;
        self.counters.lose_held(self.protocol, reason, packets);
    }

    /// Queues a job. Over the limit its packets are dropped and counted; the last job of a connection
    /// is still queued, because without it the file would never be published.
    pub(crate) fn add(&mut self, job: Job) {
        self.add_at(job, Instant::now());
    }

    fn add_at(&mut self, mut job: Job, since: Instant) {
        let cost = job.cost() as u64;
        let full = self.backlog.bytes() + cost > self.limit;
        if full || self.backlog.age(since) > LONGEST_WAIT {
            let lost = std::mem::take(&mut job.chunk);
            self.lose(lost.packets);
            if !job.last {
                return;
            }
        }
        self.backlog.add(job.cost() as u64, since);
        self.waiting.push_back(Queued { job, since });
    }

    /// Hands the writer as many jobs as it takes without waiting.
    pub fn push(&mut self) {
        while let Some(job) = self.waiting.pop_front() {
            match self.writer.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    return self.waiting.push_front(job);
                }
            }
        }
    }

    /// Hands the writer all jobs, which it writes until then, and discards afterwards.
    pub(crate) fn finish(&mut self, until: Instant) {
        self.backlog.end_by(until);
        let mut taken = Instant::now();
        loop {
            let before = self.waiting.len();
            self.push();
            if self.waiting.is_empty() {
                return;
            }
            let now = Instant::now();
            if self.waiting.len() < before {
                taken = now;
            }
            if now >= taken.max(until) + GRACE {
                return self.give_up();
            }
            thread::sleep(PAUSE);
        }
    }

    /// Discards what the writer does not take. The files of these connections are left to the next start.
    fn give_up(&mut self) {
        for Queued { job, .. } in std::mem::take(&mut self.waiting) {
            self.backlog.sub(job.cost() as u64);
            self.lose(job.chunk.packets);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use capture_files::{FlowMeta, PacketBuffer, Record};
    use model::{FlowUuid, WallNanos};
    use packet_headers_common::{Direction, Endpoint, LinkType};

    use super::*;

    fn outbox(limit: u64) -> (Outbox, Receiver<Queued>, Arc<Backlog>, Arc<Counters>) {
        let (jobs, inbox) = sync_channel(1);
        let (backlog, counters) = (Arc::new(Backlog::default()), Arc::new(Counters::default()));
        let outbox = Outbox::new(jobs, Arc::clone(&backlog), limit, Arc::clone(&counters));
        (outbox, inbox, backlog, counters)
    }

    /// The last job of a flow, with a packet.
    fn job(flow: u64, counters: &Counters) -> Job {
        counters.held.add(1);
        let mut buffer = PacketBuffer::default();
        buffer.push_record(&Record {
            time: WallNanos(1_000_000_000),
            wire_len: 1514,
            ifindex: 3,
            segments: 1,
            direction: Direction::Egress,
            link_type: LinkType::Ethernet,
            l3: 14,
            l4: 34,
            headers: &[7; 54],
        });
        Job {
            flow,
            meta: FlowMeta {
                uuid: FlowUuid::new(&format!("host_1_{flow:016X}")).unwrap(),
                opened: WallNanos(0),
                local: Endpoint::v4([192, 0, 2, 1], 443),
                remote: Endpoint::v4([192, 0, 2, 2], 50_000),
            },
            chunk: buffer.take(),
            last: true,
            totals: None,
            owner: None,
        }
    }

    fn discarded(counters: &Counters) -> u64 {
        counters.discards.get(DiscardReason::WriterBehind)
    }

    #[test]
    fn behind_a_writer_that_is_late_by_the_longest_wait_packets_are_discarded_and_ends_are_not() {
        let (mut outbox, inbox, backlog, counters) = outbox(u64::MAX);
        let begun = Instant::now();
        outbox.add_at(job(1, &counters), begun);
        let second = begun + LONGEST_WAIT / 2;
        outbox.add_at(job(2, &counters), second);
        assert_eq!(discarded(&counters), 0);
        let late = begun + LONGEST_WAIT + Duration::from_secs(1);
        outbox.add_at(job(3, &counters), late);
        assert_eq!((discarded(&counters), counters.held.get()), (1, 2));
        // The end of its file is queued all the same.
        let packets = outbox.waiting.iter().map(|queued| queued.job.chunk.packets);
        assert_eq!(packets.collect::<Vec<_>>(), [1, 1, 0]);
        // The writer takes the first.
        outbox.push();
        let first = inbox.try_recv().unwrap();
        backlog.sub(first.job.cost() as u64);
        backlog.begin(second);
        outbox.add_at(job(4, &counters), late);
        assert_eq!(discarded(&counters), 1);
    }

    #[test]
    fn a_writer_that_takes_nothing_delays_a_stop_for_a_while_only() {
        let (mut outbox, inbox, backlog, counters) = outbox(u64::MAX);
        for flow in 0..100 {
            outbox.add(job(flow, &counters));
        }
        let begun = Instant::now();
        outbox.finish(begun + Duration::from_millis(50));
        assert!(begun.elapsed() < LAST_WAIT);
        assert_eq!((discarded(&counters), counters.held.get()), (99, 1));
        let taken = inbox.try_recv().unwrap();
        backlog.sub(taken.job.cost() as u64);
        assert_eq!(backlog.bytes(), 0);
    }
}
