//! The thread that owns one pair of packet rings and the connections in them.

pub mod demux;
mod handle;
pub mod list_request;
pub mod outbox;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::Result;
use flow_table::Hint;
use model::{FlowEvent, WallClock};

use self::demux::Demux;
pub(crate) use self::handle::ShardHandle;
use self::list_request::{ListRequest, ListServer};
use crate::clock;
use crate::heartbeat::Heartbeat;
use crate::kernel::FlowMaps;
use crate::kernel::ring::PacketReader;
use crate::stats::shard::ShardStats;

/// How long a shard sleeps when its ring does not fill: long enough to cost nothing on an idle
/// host, short against every timeout.
const TICK: Duration = Duration::from_millis(20);

/// Packets between two looks at the rest of the work, so that a flood does not starve it.
const BATCH: u32 = 16 * 1024;

/// Events between two looks at the rest of the work.
const EVENTS: usize = 4 * 1024;

/// What a shard works with.
pub struct Shard {
    /// Its packets.
    pub ring: PacketReader,
    /// What the kernel knows of its connections.
    pub maps: FlowMaps,
    /// Begins and ends of its connections.
    pub events: Receiver<FlowEvent>,
    /// Its connections, what it counts, and the way to its writer.
    pub demux: Demux,
    /// What it tells of itself.
    pub stats: Arc<ShardStats>,
    /// Who wants to know which connections there are.
    pub requests: Receiver<ListRequest>,
    /// That it turns.
    pub heartbeat: Heartbeat,
}

impl Shard {
    /// Works until `stop` is set; then takes what is left in the ring, finishes every connection and
    /// hands it over.
    ///
    /// # Errors
    /// When the ring cannot be waited for.
    pub fn run(self, stop: &AtomicBool) -> Result<()> {
        let Self {
            ring,
            maps,
            events,
            demux,
            stats,
            requests,
            heartbeat,
        } = self;
        let mut turning = Turning {
            ring,
            maps,
            events,
            demux,
            stats,
            lists: ListServer::new(requests),
            pending: VecDeque::new(),
            clock: clock::sample(),
        };
        loop {
            heartbeat.beat();
            // Before the turn: what was put into the ring by then is seen by it.
            let stopping = stop.load(Ordering::Acquire);
            let more = turning.turn();
            if stopping && !more {
                break;
            }
            if !more {
                turning.ring.wait(TICK)?;
            }
        }
        turning.finish(&heartbeat);
        Ok(())
    }
}

/// A shard while it works.
struct Turning {
    ring: PacketReader,
    maps: FlowMaps,
    events: Receiver<FlowEvent>,
    demux: Demux,
    stats: Arc<ShardStats>,
    lists: ListServer,
    /// Events that have not taken effect yet.
    pending: VecDeque<FlowEvent>,
    clock: WallClock,
}

impl Turning {
    /// Does a bounded part of what there is to do. Whether there is more.
    fn turn(&mut self) -> bool {
        clock::resample(&mut self.clock);
        let room = EVENTS.saturating_sub(self.pending.len());
        self.pending.extend(self.events.try_iter().take(room));
        let many_events = self.pending.len() >= EVENTS;
        let more_packets = self.drain();
        if !more_packets {
            // These happened before the drain, and every packet of then is through.
            for event in self.pending.drain(..) {
                self.demux.table.on_event(event);
            }
        }
        let counters = Arc::clone(&self.demux.counters);
        let more_time = counters.ticks.observe(|| self.tick());
        self.demux.outbox.push();
        more_packets || many_events || more_time
    }

    /// Lets time pass, and tells what there is now. Whether there is more to do.
    fn tick(&mut self) -> bool {
        let now = clock::now();
        let more = self.demux.table.tick(now);
        self.act();
        let stats = self.demux.table.stats();
        self.stats.publish(&stats, self.ring.fill());
        // Not instead of it: the ring comes first.
        let more_to_list = self.lists.step(&self.demux.table, now);
        more || more_to_list
    }

    /// Takes packets from the ring, and lets each event take effect between the packets that came
    /// before and after it. Whether there may be more.
    fn drain(&mut self) -> bool {
        let mut batch = self.demux.table.batch(&self.clock, &mut self.pending);
        let received = self.ring.drain(BATCH, |record| batch.take(record));
        let counts = batch.finish();
        self.demux.count(&counts);
        received >= BATCH
    }

    /// Does what the table wants done.
    fn act(&mut self) {
        let Self { demux, maps, .. } = self;
        demux.act(|hint| match hint {
            Hint::Admit(key, until, cookie) => maps.admit(&key, until, cookie),
            Hint::Retire(key, cookie) => maps.retire(&key, cookie),
            Hint::Release(key, cookie) => maps.release(&key, cookie),
            Hint::Ignore(key) => maps.ignore(&key),
        });
    }

    /// Finishes every connection, and gives the writer everything.
    fn finish(&mut self, heartbeat: &Heartbeat) {
        loop {
            heartbeat.beat();
            let more = self.demux.table.shut_down();
            self.act();
            self.demux.outbox.finish();
            if !more {
                break;
            }
        }
    }
}
