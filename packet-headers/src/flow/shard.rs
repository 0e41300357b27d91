//! The thread that owns one packet ring and the connections in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::Result;

use super::demux::Demux;
use super::gauges::{Question, ShardGauges};
use super::table::Hint;
use crate::clock;
use crate::kernel::Admission;
use crate::kernel::ring::PacketReader;
use model::{FlowEvent, WallClock};

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
    /// Its flows, what it counts, and the way to its writer.
    pub demux: Demux,
    /// What it tells of itself.
    pub gauges: Arc<ShardGauges>,
    /// Who wants to know which connections there are.
    pub questions: Receiver<Question>,
}

impl Shard {
    /// Works until `stop` is set; then takes what is left in the ring, finishes every flow and
    /// hands it over.
    ///
    /// # Errors
    /// When the ring cannot be waited for.
    pub fn run(mut self, stop: &AtomicBool) -> Result<()> {
        let mut wall = clock::sample();
        let mut pending = VecDeque::new();
        loop {
            // Before the drain: what was put into the ring by then is seen by it.
            let stopping = stop.load(Ordering::Acquire);
            clock::resample(&mut wall);
            pending.extend(self.events.try_iter());
            let more = self.drain(&wall, &mut pending);
            if !more {
                // These happened before the drain, and every packet of then is through.
                for event in pending.drain(..) {
                    self.demux.table.on_event(event);
                }
            }
            let accounts = Arc::clone(&self.demux.accounts);
            accounts.ticks.observe(|| self.tick());
            self.demux.outbox.push();
            if stopping && !more {
                break;
            }
            if !more {
                self.ring.wait(TICK)?;
            }
        }
        self.demux.table.shut_down();
        self.act();
        self.demux.outbox.finish();
        Ok(())
    }

    /// Lets time pass, and tells what there is now.
    fn tick(&mut self) {
        let now = clock::now();
        self.demux.table.tick(now);
        self.act();
        self.gauges
            .publish(&self.demux.table.census(), self.ring.fill());
        // One at a time: the ring comes first.
        if let Ok(question) = self.questions.try_recv() {
            question.answer(&self.demux.table, now);
        }
    }

    /// Takes packets from the ring, and lets each event take effect between the packets that came
    /// before and after it. Whether there may be more.
    fn drain(&mut self, clock: &WallClock, events: &mut VecDeque<FlowEvent>) -> bool {
        let mut batch = self.demux.batch(clock, events);
        let received = self.ring.drain(BATCH, |item| batch.take(item));
        batch.count();
        received >= BATCH
    }

    /// Does what the table wants done.
    fn act(&mut self) {
        let Self {
            demux, admission, ..
        } = self;
        demux.act(|hint| match hint {
            Hint::Admit(key, until, cookie) => admission.admit(&key, until, cookie),
            Hint::Retire(key, cookie) => admission.retire(&key, cookie),
            Hint::Release(key, cookie) => admission.release(&key, cookie),
            Hint::Ignore(key) => admission.ignore(&key),
        });
    }
}
