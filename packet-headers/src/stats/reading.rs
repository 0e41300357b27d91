//! Both halves of the counters, read together.

use super::balance::PacketBalance;
use crate::kernel::counters::Counts;

/// What the kernel counted, and what became of every packet, at about one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What the kernel counted.
    pub kernel: Counts,
    /// What became of every packet.
    pub balance: PacketBalance,
}
