//! The state that the event server's tasks share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{BootNanos, EventIssue, FlowUuid};
use tokio::sync::watch;

use super::stream::{Bounds, Stream};
use crate::clock;
use crate::stats::Counters;

/// The progress of the event log, which clients wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The number of the oldest event that can still be read.
    pub(super) first: u64,
    /// Whether there will be no more events.
    pub(super) ended: bool,
}

/// The state that the server's tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    stream: Mutex<Stream>,
    progress: watch::Sender<Progress>,
    counters: Arc<Counters>,
}

impl Shared {
    /// The state before the first event; see [`Stream::new`].
    pub(super) fn new(bounds: Bounds, older: bool, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            stream: Mutex::new(Stream::new(bounds, older)),
            progress: watch::Sender::default(),
            counters,
        })
    }

    /// The stream. All tasks run on one thread, so nobody waits for the lock.
    pub(super) fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Notifies of new events.
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Notifies clients of new events.
    pub(super) fn announce(&self) {
        let first = self.stream().first();
        self.progress.send_modify(|progress| progress.first = first);
    }

    /// A connection was closed.
    pub(super) fn close(&self, uuid: &FlowUuid, at: BootNanos) {
        let at = clock::sample().wall(at);
        if self.stream().close(uuid, at).is_err() {
            self.counters.events.add(EventIssue::NotServed, 1);
        }
    }

    /// Notifies clients that there will be no more events.
    pub(super) fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }
}
