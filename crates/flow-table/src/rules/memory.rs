//! The rules of memory: what goes when it runs out.
//!
//! First, connections from which nothing is lost are evicted: finished ones, then those that never
//! had a packet. Then the oldest candidates are given up; then packets are written early; then new
//! connections are refused. A connection that is being captured and has had packets is never given
//! up.
//!
//! Each step takes the connection at the head of a queue, so the cost is that of what is evicted. A
//! refusal costs only a look at four empty queues.

use model::DiscardReason;

use super::ending;
use crate::action::Action;
use crate::connections::{Id, QueueName};
use crate::state::State;

/// One part in so many of the memory is for candidates, so that they never crowd out others.
const CANDIDATE_SHARE: usize = 4;

/// When packets are written early, those of so many connections are written at once, so that the next
/// packets find room, and packets are rarely written one by one.
const WRITTEN_AT_ONCE: usize = 64;

/// The greatest length in bytes at which a buffer is spilled.
pub(crate) const LONGEST_BUFFER: usize = 64 * 1024;

/// The smallest length in bytes at which a buffer is spilled, with many connections.
const SHORTEST_BUFFER: usize = 2 * 1024;

/// The bytes that the buffers of all connections of a shard aim to take, even if they may take more:
/// with many connections, packets are written more often instead of buffering more.
const BUFFERS: usize = 16 << 20;

/// The length in bytes at which a buffer is spilled. The buffers of all connections must fit in half
/// of the memory, and aim to fit in [`BUFFERS`]. It is a power of two, because buffers grow by
/// doubling.
pub(crate) fn buffer_size(state: &State) -> usize {
    let all = BUFFERS.min(state.limits.memory / 2);
    let share = all / state.connections.number_captured().max(1);
    1 << share.clamp(SHORTEST_BUFFER, LONGEST_BUFFER).ilog2()
}

/// Writes a connection's packets, except those that a late packet might still have to precede.
pub(crate) fn spill(state: &mut State, id: Id) {
    write(state, id, false);
}

fn write(state: &mut State, id: Id, all: bool) {
    if let Some(job) = state.connections.spill(id, all) {
        state.actions.push(Action::Write(job));
    }
}

/// Keeps candidates within their share, and everything within the memory, as far as possible.
pub(crate) fn keep_within(state: &mut State) {
    while state.connections.candidate_bytes() > state.limits.memory / CANDIDATE_SHARE {
        let Some(oldest) = state.connections.first(QueueName::Candidates) else {
            break;
        };
        ending::give_up(state, oldest, DiscardReason::CandidateMemory);
    }
    make_room(state, 0);
}

/// Makes room for one more named connection within `--maxflows`. Returns whether there is room.
pub(crate) fn make_place(state: &mut State) -> bool {
    while state.connections.number_named() >= state.limits.flows {
        if !evict(state) {
            return false;
        }
    }
    true
}

/// Makes room for `more` bytes. Returns whether there is room.
pub(crate) fn make_room(state: &mut State, more: usize) -> bool {
    let memory = state.limits.memory;
    while state.connections.bytes() + more > memory {
        if evict(state) {
            continue;
        }
        if let Some(oldest) = state.connections.first(QueueName::Candidates) {
            ending::give_up(state, oldest, DiscardReason::CandidateMemory);
        } else if !write_early(state) {
            return false;
        }
    }
    true
}

/// Evicts a connection from which nothing is lost. Returns whether there was one.
fn evict(state: &mut State) -> bool {
    if let Some(finished) = state.connections.first(QueueName::Finished) {
        ending::evict_finished(state, finished);
    } else if let Some(packetless) = state.connections.first(QueueName::Packetless) {
        ending::evict_packetless(state, packetless);
    } else {
        return false;
    }
    true
}

/// Writes the packets that have waited longest. Returns whether there were any.
fn write_early(state: &mut State) -> bool {
    let mut wrote = false;
    for _ in 0..WRITTEN_AT_ONCE {
        let Some(oldest) = state.connections.first(QueueName::Buffering) else {
            break;
        };
        write(state, oldest, true);
        wrote = true;
    }
    wrote
}
