//! The packets of one shard.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use model::{BootNanos, WallClock};
use packet_headers_common::settings::LANES;
use packet_headers_common::{FlowKey, KernelDiscard};
use packet_rings::{Frame, PacketRing};

use super::choice::Choice;
use super::records::{self, Copied, Dating, Kept, Records};
use super::tally::Tally;
use crate::clock;
use crate::kernel::ring::{Fill, Waker};
use crate::kernel::source::{PacketBatch, PacketSource};
use crate::kernel::waiting::{Waiting, Wakes};
use crate::rate_limit::RateLimit;

/// How far a packet's time may lie before the moment at which the ring was last seen empty: it was in a block
/// that was not handed over yet, and it takes a while from the time stamp to there.
const LATE: u64 = 1_000_000_000;

/// How far a packet's time may seem to lie in the future: by how exactly both clocks are read together.
const EARLY: u64 = 1_000_000;

/// The ring of a shard's socket, and what becomes of the frames in it.
#[derive(Debug)]
pub(crate) struct RawSource {
    ring: PacketRing,
    waiting: Waiting,
    tally: Arc<Tally>,
    choice: Choice,
    kept: Kept,
    records: Records,
    /// Bytes taken from the ring since it was empty.
    filled: u64,
    /// When it was last empty.
    emptied: BootNanos,
    /// Whether there was more than the last batch has.
    more: bool,
    odd: RateLimit,
}

/// The records of one turn.
#[derive(Debug)]
pub(crate) struct RawBatch<'a> {
    records: &'a [u8],
    more: bool,
}

impl RawSource {
    pub(super) fn new(
        ring: PacketRing,
        tally: Arc<Tally>,
        choice: Choice,
        kept: Kept,
    ) -> Result<Self> {
        let waiting = Waiting::new()?;
        waiting.watch(&ring, Wakes::WhileReady)?;
        Ok(Self {
            ring,
            waiting,
            tally,
            choice,
            kept,
            records: Records::default(),
            filled: 0,
            emptied: clock::now(),
            more: false,
            odd: RateLimit::default(),
        })
    }

    /// Takes blocks until there are so many records, or no more.
    fn take(&mut self, most: usize, dating: &Dating) {
        let mut taken = 0;
        let Self {
            ring,
            tally,
            choice,
            kept,
            records,
            ..
        } = self;
        let mut odd = None;
        while taken < most
            && let Some(mut block) = ring.next_block()
        {
            self.filled += block.filled();
            for frame in block.frames() {
                let outcome = take_frame(&frame, choice, *kept, (records, dating));
                tally.count(outcome);
                match outcome {
                    Ok(_) => taken += 1,
                    Err(KernelDiscard::Malformed | KernelDiscard::HeadersTooLong) => {
                        odd = Some((frame.ifindex, frame.length));
                    }
                    Err(_) => {}
                }
            }
        }
        if let Some((ifindex, length)) = odd
            && let Some(withheld) = self.odd.pass()
        {
            tracing::warn!(
                "interface {ifindex}: the headers of a packet of {length} bytes are malformed or too \
                 long{withheld}"
            );
        }
    }
}

/// Makes a record of a frame, if it is wanted.
fn take_frame(
    frame: &Frame<'_>,
    choice: &mut Choice,
    kept: Kept,
    (records, dating): (&mut Records, &Dating),
) -> Result<Copied, KernelDiscard> {
    let (bytes, headers) = records::headers(frame, kept.decapsulate)?;
    choice.admit(&headers)?;
    Ok(records.add(frame, (bytes, &headers), kept, dating))
}

impl PacketSource for RawSource {
    type Batch<'a> = RawBatch<'a>;

    fn read(&mut self, most: usize, clock: &WallClock) -> RawBatch<'_> {
        if !self.more {
            self.filled = 0;
        }
        self.records.clear();
        self.choice.refresh();
        let now = clock::now();
        let dating = Dating {
            clock: *clock,
            passed: (
                BootNanos(self.emptied.0.saturating_sub(LATE)),
                BootNanos(now.0.saturating_add(EARLY)),
            ),
        };
        self.take(most, &dating);
        self.more = self.ring.has_news();
        if !self.more {
            self.emptied = now;
        }
        RawBatch {
            records: self.records.bytes(),
            more: self.more,
        }
    }

    fn wait(&mut self, at_most: Duration) -> Result<()> {
        self.waiting.wait(at_most)
    }

    fn sleep(&mut self, at_most: Duration) -> Result<()> {
        self.waiting.wait(at_most)
    }

    fn waker(&self) -> Result<Waker> {
        self.waiting.waker()
    }

    fn fill(&self) -> Fill {
        Fill {
            admitted: self.filled,
            candidate: 0,
        }
    }

    fn lane_bytes(&self) -> [u64; LANES as usize] {
        [self.ring.len() as u64, 0]
    }

    fn admit(&mut self, key: &FlowKey, _until: BootNanos, cookie: u64) -> u32 {
        self.choice.name(key, cookie);
        0
    }

    /// The flow table says of its packets why they are discarded.
    fn retire(&mut self, _key: &FlowKey, _cookie: u64) {}

    fn release(&mut self, key: &FlowKey, cookie: u64) {
        self.choice.forget(key, cookie);
    }

    fn ignore(&mut self, key: &FlowKey) {
        self.choice.ignore(key);
    }
}

impl PacketBatch for RawBatch<'_> {
    fn more(&self) -> bool {
        self.more
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        records::split(self.records)
    }
}
