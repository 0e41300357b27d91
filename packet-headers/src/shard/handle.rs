//! How others learn what a shard does, and change how it does that.

use std::sync::Arc;

use super::RulesChange;
use super::list_request::ListRequestSender;
use crate::kernel::ring::Waker;
use crate::stats::shard::ShardStats;

/// How others learn what a shard does, and change how it does that.
#[derive(Debug, Clone)]
pub(crate) struct ShardHandle {
    /// The numbers that it published last.
    pub(crate) stats: Arc<ShardStats>,
    /// The way to ask which connections it has.
    pub(crate) requests: ListRequestSender,
    /// The way to change the rules for its connections.
    pub(crate) rules: Arc<RulesChange>,
    /// Whether its flows are of datagrams.
    pub(crate) of_datagrams: bool,
    /// Ends its sleep.
    pub(crate) waker: Waker,
}
