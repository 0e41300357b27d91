//! How others learn what a shard does.

use std::sync::Arc;

use super::list_request::ListRequestSender;
use crate::kernel::ring::Waker;
use crate::stats::shard::ShardStats;

/// How others learn what a shard does.
#[derive(Debug, Clone)]
pub(crate) struct ShardHandle {
    /// The numbers that it published last.
    pub(crate) stats: Arc<ShardStats>,
    /// The way to ask which connections it has.
    pub(crate) requests: ListRequestSender,
    /// Ends its sleep.
    pub(crate) waker: Waker,
}
