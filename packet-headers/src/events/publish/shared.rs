//! What the tasks of the event server share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{BootNanos, EventIssue, FlowUuid};
use tokio::sync::watch;

use super::stream::{Bounds, Stream};
use crate::clock;
use crate::stats::Counters;

/// How far the events are: what clients wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The oldest event that can still be read.
    pub(super) first: u64,
    /// There will be no more.
    pub(super) ended: bool,
}

/// What the server's tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    stream: Mutex<Stream>,
    progress: watch::Sender<Progress>,
    counters: Arc<Counters>,
}

impl Shared {
    /// Nothing has happened yet; see [`Stream::new`].
    pub(super) fn new(bounds: Bounds, older: bool, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            stream: Mutex::new(Stream::new(bounds, older)),
            progress: watch::Sender::default(),
            counters,
        })
    }

    /// The events so far. All tasks are on one thread: nobody waits.
    pub(super) fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where clients are counted.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Tells when there is more to read.
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Lets clients read what is new.
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

    /// Tells clients that there will be no more.
    pub(super) fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }
}
