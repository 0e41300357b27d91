//! The thread that owns one pair of packet rings and the connections in them.

mod changes;
pub mod demux;
mod handle;
pub mod list_request;
pub mod outbox;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Result;
use flow_table::{Arrivals, Batches, Hint};
use model::{BootNanos, FlowEvent, WallClock};
use tokio::sync::mpsc;

pub(crate) use self::changes::{Rules, RulesChange};
use self::demux::Demux;
pub(crate) use self::handle::ShardHandle;
use self::list_request::{ListRequest, ListServer};
use crate::clock;
use crate::heartbeat::Heartbeat;
use crate::kernel::{PacketBatch as _, PacketSource};
use crate::live::Tee;
use crate::stats::shard::ShardStats;

/// How long a shard waits while its rings do not fill: short compared with every timeout.
const TICK: Duration = Duration::from_millis(20);

/// After so many turns without anything to do, a shard sleeps until the next packet.
const QUIET_TURNS: u32 = 5;

/// How long it sleeps at most. Events and timers wait for as long.
const SLEEP: Duration = Duration::from_millis(400);

/// For how many turns rules wait at most that a shard is to take over.
const MOST_TURNS: u32 = 256;

/// The most events taken in one turn.
const EVENTS: usize = 4 * 1024;

/// What a shard works with.
pub struct Shard<S> {
    /// Where its packets come from.
    pub source: S,
    /// Events of its connections.
    pub events: mpsc::Receiver<FlowEvent>,
    /// Its connections, its counters, and the queue to its writer.
    pub demux: Demux,
    /// The numbers that it publishes.
    pub stats: Arc<ShardStats>,
    /// Takes copies of the packets for who watches, if anybody can.
    pub live: Option<Tee>,
    /// Requests to list its connections.
    pub requests: Receiver<ListRequest>,
    /// Rules that it is to take over.
    pub(crate) rules: Arc<RulesChange>,
    /// Its heartbeat.
    pub heartbeat: Heartbeat,
}

impl<S: PacketSource> Shard<S> {
    /// Works until `stop` is set. Then takes the packets left in the rings, finishes every connection
    /// and hands everything to the writer.
    ///
    /// # Errors
    /// When waiting for the rings fails.
    pub fn run(self, stop: &AtomicBool) -> Result<()> {
        let Self {
            source,
            events,
            demux,
            stats,
            live,
            requests,
            rules,
            heartbeat,
        } = self;
        let mut turning = Turning {
            source,
            events,
            demux,
            stats,
            live,
            lists: ListServer::new(requests),
            rules,
            pending: VecDeque::new(),
            clock: clock::sample(),
            quiet: 0,
            turns_with_rules: 0,
        };
        loop {
            heartbeat.beat();
            // Read before the turn, which then sees every packet that was in the rings by now.
            let stopping = stop.load(Ordering::Acquire);
            let more = turning.turn();
            if stopping && !more {
                break;
            }
            if !more {
                turning.pause()?;
            }
        }
        turning.finish(&heartbeat);
        Ok(())
    }
}

/// A shard while it works.
struct Turning<S> {
    source: S,
    events: mpsc::Receiver<FlowEvent>,
    demux: Demux,
    stats: Arc<ShardStats>,
    live: Option<Tee>,
    lists: ListServer,
    rules: Arc<RulesChange>,
    /// Events that have not taken effect yet.
    pending: VecDeque<FlowEvent>,
    clock: WallClock,
    /// Turns since there was anything to do.
    quiet: u32,
    /// Turns since rules were left.
    turns_with_rules: u32,
}

impl<S: PacketSource> Turning<S> {
    /// Does a bounded part of the work. Returns whether there is more.
    fn turn(&mut self) -> bool {
        clock::resample(&mut self.clock);
        // Before the rings are read: what passed before is in them.
        let rules_wait = self.rules.waits();
        let room = EVENTS.saturating_sub(self.pending.len());
        let events = std::iter::from_fn(|| self.events.try_recv().ok());
        self.pending.extend(events.take(room));
        let many_events = self.pending.len() >= EVENTS;
        self.quiet = if self.pending.is_empty() {
            self.quiet.saturating_add(1)
        } else {
            0
        };
        // Time goes on to here only: to look at the rings may take long (arm64), and what passes meanwhile is
        // not in them. A connection must not count as silent for having been waited for.
        let now = clock::now();
        let more_packets = self.drain();
        if rules_wait {
            self.take_rules(more_packets);
        }
        let counters = Arc::clone(&self.demux.counters);
        let more_time = counters.ticks.observe(|| self.tick(now));
        self.demux.outbox.push();
        more_packets || many_events || more_time
    }

    /// Takes over rules that were left before this turn, unless there may be `more` packets that passed
    /// before; but not for ever.
    fn take_rules(&mut self, more: bool) {
        self.turns_with_rules += 1;
        if more && self.turns_with_rules < MOST_TURNS {
            return;
        }
        self.turns_with_rules = 0;
        if let Some(rules) = self.rules.take() {
            rules.apply(&mut self.demux.table);
        }
    }

    /// Waits for the next turn.
    fn pause(&mut self) -> Result<()> {
        if self.quiet > QUIET_TURNS {
            return self.source.sleep(SLEEP);
        }
        self.source.wait(TICK)
    }

    /// Serves timers, and publishes the shard's numbers. Returns whether there is more to do.
    fn tick(&mut self, now: BootNanos) -> bool {
        let more = self.demux.table.tick(now);
        self.act();
        let stats = self.demux.table.stats();
        self.stats.publish(&stats, self.source.fill());
        // One step only: the rings come first.
        let more_to_list = self.lists.step(&self.demux.table, now);
        more || more_to_list
    }

    /// Takes packets from the rings, and lets each event take effect between the packets that came
    /// before and after it. Returns whether there may be more.
    fn drain(&mut self) -> bool {
        let most = Batches::most(&self.demux.table);
        let packets = self.source.read(most, &self.clock);
        let more = packets.more();
        if let Some(live) = &mut self.live {
            live.offer(packets.records(), &self.clock);
        }
        let arrivals = Arrivals {
            clock: &self.clock,
            events: &mut self.pending,
            more,
        };
        let counts = self.demux.take(packets.records(), arrivals);
        drop(packets);
        if counts.received > 0 {
            self.quiet = 0;
        }
        more
    }

    /// Carries out the table's actions.
    fn act(&mut self) {
        let Self { demux, source, .. } = self;
        demux.act(|hint| {
            match hint {
                Hint::Admit(key, until, cookie) => return source.admit(&key, until, cookie),
                Hint::Retire(key, cookie) => source.retire(&key, cookie),
                Hint::Release(key, cookie) => source.release(&key, cookie),
                Hint::Ignore(key) => source.ignore(&key),
            }
            0
        });
    }

    /// Finishes every connection, and hands everything to the writer.
    fn finish(&mut self, heartbeat: &Heartbeat) {
        let until = Instant::now() + outbox::LAST_WAIT;
        loop {
            heartbeat.beat();
            let more = self.demux.table.shut_down();
            self.act();
            self.demux.outbox.finish(until);
            if !more {
                break;
            }
        }
    }
}
