//! The rules of memory: who goes when it runs out.
//!
//! First go connections from which nothing is lost: finished ones, then those that never had a
//! packet. Then the oldest candidates; then packets are written early; then new connections are
//! refused. A connection that is being captured and has had packets is never given up.
//!
//! Each step takes the connection at the head of a queue, so what is done costs what is evicted, and
//! a refusal costs nothing but a look at four empty queues.

use model::DiscardReason;

use super::ending;
use crate::action::Action;
use crate::connections::{Id, QueueName};
use crate::table::FlowTable;

/// The part of the memory that candidates may take, so that they never crowd out others.
const CANDIDATE_SHARE: usize = 4;

/// When packets are written early, those of so many connections are at once: what comes next finds
/// room, and a packet is rarely written alone.
const WRITTEN_AT_ONCE: usize = 64;

/// A buffer is spilled when it is this long, in bytes…
pub(crate) const LONGEST_BUFFER: usize = 64 * 1024;

/// …or earlier when there are many connections; but not for less than this.
const SHORTEST_BUFFER: usize = 2 * 1024;

/// What the buffers of all connections of a shard aim to take, in bytes, even when they may take
/// more: many connections are written more often rather than kept, as they are written soon anyway.
const BUFFERS: usize = 32 << 20;

/// How long a buffer may get before it is spilled: those of all connections must fit into half of the
/// memory, and aim to fit into [`BUFFERS`]. A power of two, as buffers grow by doubling.
pub(crate) fn buffer_size(table: &FlowTable) -> usize {
    let all = BUFFERS.min(table.limits.memory / 2);
    let share = all / table.connections.number_captured().max(1);
    1 << share.clamp(SHORTEST_BUFFER, LONGEST_BUFFER).ilog2()
}

/// Writes what a connection has, but for what a late packet might still come before.
pub(crate) fn spill(table: &mut FlowTable, id: Id) {
    write(table, id, false);
}

fn write(table: &mut FlowTable, id: Id, all: bool) {
    if let Some(job) = table.connections.spill(id, all) {
        table.actions.push(Action::Write(job));
    }
}

/// Keeps candidates within their share, and everything within the memory, as far as it goes.
pub(crate) fn keep_within(table: &mut FlowTable) {
    while table.connections.candidate_bytes() > table.limits.memory / CANDIDATE_SHARE {
        let Some(oldest) = table.connections.first(QueueName::Candidates) else {
            break;
        };
        ending::give_up(table, oldest, DiscardReason::CandidateMemory);
    }
    make_room(table, 0);
}

/// Makes room for one more connection with a name; whether there is. Of those, no more are known than
/// may be captured.
pub(crate) fn make_place(table: &mut FlowTable) -> bool {
    while table.connections.number_named() >= table.limits.flows {
        if !evict(table) {
            return false;
        }
    }
    true
}

/// Makes room for `more` bytes beside all others; whether there is.
pub(crate) fn make_room(table: &mut FlowTable, more: usize) -> bool {
    let memory = table.limits.memory;
    while table.connections.bytes() + more > memory {
        if evict(table) {
            continue;
        }
        if let Some(oldest) = table.connections.first(QueueName::Candidates) {
            ending::give_up(table, oldest, DiscardReason::CandidateMemory);
        } else if !write_early(table) {
            return false;
        }
    }
    true
}

/// Evicts a connection from which nothing is lost; whether there was one.
fn evict(table: &mut FlowTable) -> bool {
    if let Some(finished) = table.connections.first(QueueName::Finished) {
        ending::evict_finished(table, finished);
    } else if let Some(packetless) = table.connections.first(QueueName::Packetless) {
        ending::evict_packetless(table, packetless);
    } else {
        return false;
    }
    true
}

/// Writes the packets that have waited longest; whether there were any.
fn write_early(table: &mut FlowTable) -> bool {
    let mut wrote = false;
    for _ in 0..WRITTEN_AT_ONCE {
        let Some(oldest) = table.connections.first(QueueName::Buffering) else {
            break;
        };
        write(table, oldest, true);
        wrote = true;
    }
    wrote
}
