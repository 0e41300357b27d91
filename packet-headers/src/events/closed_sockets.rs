//! Tells the shard of UDP flows which connected sockets were closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;
use model::{BootNanos, Close, EventIssue, FlowEvent, UuidPrefix};
use packet_headers_common::ClosedSocket;

use super::EventSink;
use crate::heartbeat::{Heartbeat, Heartbeats, LONGEST_WAIT, WaitsFor};
use crate::kernel::ring::{RingReader, Waker};
use crate::stats::Counters;
use crate::threads::{join, spawn};

/// The name of the thread.
const NAME: &str = "udp-sockets";

/// The thread that tells it, while it runs.
pub(crate) struct ClosedSockets {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<Result<()>>,
}

impl ClosedSockets {
    /// Starts to tell, by the names that connections of the sockets would have: with this prefix.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        ring: RingReader,
        (prefix, sink): (UuidPrefix, EventSink),
        counters: &Arc<Counters>,
        heartbeats: &Heartbeats,
    ) -> Result<Self> {
        let (stop, counters) = (Arc::new(AtomicBool::new(false)), Arc::clone(counters));
        let (until, waker) = (Arc::clone(&stop), ring.waker()?);
        let heartbeat = heartbeats.add(NAME, WaitsFor::Work);
        let thread = spawn(NAME, move || {
            let told = Told {
                prefix,
                sink,
                counters,
            };
            told.follow(ring, &heartbeat, &until)
        })?;
        Ok(Self {
            stop,
            waker,
            thread,
        })
    }

    /// Tells what the kernel has reported, and stops.
    ///
    /// # Errors
    /// When it failed while it ran.
    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        join(self.thread)
    }
}

/// Whom it is told to, and how.
struct Told {
    prefix: UuidPrefix,
    sink: EventSink,
    counters: Arc<Counters>,
}

impl Told {
    fn follow(self, mut ring: RingReader, heartbeat: &Heartbeat, stop: &AtomicBool) -> Result<()> {
        loop {
            heartbeat.beat();
            let stopping = stop.load(Ordering::Acquire);
            let mut closed = None;
            while ring.next(|item| closed = ClosedSocket::parse(item)) {
                heartbeat.beat();
                let Some(closed) = closed.take() else {
                    self.counters.events.add(EventIssue::BadRecord, 1);
                    continue;
                };
                let close = FlowEvent::Close(Close {
                    at: BootNanos(closed.boot_ns),
                    uuid: self.prefix.uuid(closed.cookie),
                    key: None,
                    totals: None,
                    owner: None,
                });
                if self.sink.deliver_blocking(&close).is_err() {
                    return Ok(());
                }
            }
            if stopping {
                return Ok(());
            }
            ring.wait(LONGEST_WAIT)?;
        }
    }
}
