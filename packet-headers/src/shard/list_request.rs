//! Requests to list a shard's connections, which it serves between packets.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use flow_table::{FlowTable, Listing, ListingWalk};
use model::BootNanos;
use tokio::sync::oneshot;

use crate::kernel::ring::Waker;

/// How many requests may wait for a shard.
const WAITING: usize = 4;

/// A request to list connections.
#[derive(Debug)]
pub struct ListRequest {
    limit: usize,
    answer: oneshot::Sender<Listing>,
}

/// The sending end of a shard's queue of requests.
#[derive(Debug, Clone)]
pub struct ListRequestSender {
    queue: SyncSender<ListRequest>,
    shard: Waker,
}

impl ListRequestSender {
    /// Asks the shard, and wakes it if it sleeps.
    ///
    /// # Errors
    /// When too many wait, or the shard has stopped.
    pub fn send(&self, request: ListRequest) -> Result<(), TrySendError<ListRequest>> {
        self.queue.try_send(request)?;
        self.shard.wake();
        Ok(())
    }
}

impl ListRequest {
    /// A queue of requests to a shard, which this wakes.
    #[must_use]
    pub fn channel(shard: Waker) -> (ListRequestSender, Receiver<Self>) {
        let (queue, requests) = sync_channel(WAITING);
        (ListRequestSender { queue, shard }, requests)
    }

    /// A request for at most `limit` connections, and the receiver of its answer.
    #[must_use]
    pub fn new(limit: usize) -> (Self, oneshot::Receiver<Listing>) {
        let (answer, answered) = oneshot::channel();
        (Self { limit, answer }, answered)
    }
}

/// Serves list requests one after another, each in steps, because the rings come first.
#[derive(Debug)]
pub(super) struct ListServer {
    requests: Receiver<ListRequest>,
    current: Option<(oneshot::Sender<Listing>, ListingWalk)>,
}

impl ListServer {
    pub(super) const fn new(requests: Receiver<ListRequest>) -> Self {
        Self {
            requests,
            current: None,
        }
    }

    /// Does one step. Returns whether there is more to do.
    pub(super) fn step(&mut self, table: &FlowTable, now: BootNanos) -> bool {
        if self.current.is_none() {
            let Ok(request) = self.requests.try_recv() else {
                return false;
            };
            self.current = Some((request.answer, ListingWalk::new(request.limit)));
        }
        let Some((answer, walk)) = &mut self.current else {
            return false;
        };
        let listing = match answer.is_closed() {
            true => Some(Listing::default()),
            false => table.list(walk, now),
        };
        if let Some(listing) = listing
            && let Some((answer, _)) = self.current.take()
        {
            let _gone_meanwhile = answer.send(listing);
        }
        true
    }
}
