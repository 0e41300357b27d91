//! The rules of time: when a connection is looked at again, and what happens then.

use model::{BootNanos, DiscardReason};

use super::{ending, memory};
use crate::connections::{ConnectionState, Id, QueueName};
use crate::table::FlowTable;

/// How many connections one tick may give up, and how many timers it may serve, because the rings
/// fill meanwhile. If there are more, the next tick follows at once.
pub(crate) const MOST: usize = 1024;

/// Does a bounded part of what is due. Returns whether there is more.
pub(crate) fn tick(table: &mut FlowTable, now: BootNanos) -> bool {
    let more_candidates = give_up_unnamed(table, now);
    let more_timers = serve_timers(table, now);
    more_candidates || more_timers
}

fn give_up_unnamed(table: &mut FlowTable, now: BootNanos) -> bool {
    for _ in 0..MOST {
        let Some(oldest) = table.connections.first(QueueName::Candidates) else {
            return false;
        };
        let start = table.connections.get(oldest).start();
        if start.after(table.timing.uuid_wait) > now {
            return false;
        }
        ending::give_up(table, oldest, DiscardReason::Unnamed);
    }
    true
}

fn serve_timers(table: &mut FlowTable, now: BootNanos) -> bool {
    for _ in 0..MOST {
        match table.connections.next_timer() {
            Some((at, id)) if at <= now => look_at(table, id, now),
            _ => return false,
        }
    }
    true
}

/// Sets a connection's timer to the time to look at it again.
pub(crate) fn set_timer(table: &mut FlowTable, id: Id) {
    table.connections.set_timer(id, &table.timing);
}

/// Finishes, forgets or spills a named connection if that is due. It may not be: packets that came
/// after its timer was set may have moved the time.
pub(crate) fn look_at(table: &mut FlowTable, id: Id, now: BootNanos) {
    let connection = table.connections.get(id);
    let timing = &table.timing;
    if connection.end(timing) > now {
        if connection.deadline(timing) <= now {
            memory::spill(table, id);
        }
        return set_timer(table, id);
    }
    let is_captured_whole = connection.start().after(timing.capture) <= now;
    match connection.state() {
        ConnectionState::Candidate => {}
        ConnectionState::Finished => ending::forget(table, id),
        ConnectionState::Capturing | ConnectionState::Lingering => {
            let then = if connection.closed().is_some() {
                None
            } else if connection.has_ended() {
                Some(DiscardReason::AfterEnd)
            } else if is_captured_whole {
                Some(DiscardReason::AfterCapture)
            } else {
                table.stats.idle += 1;
                Some(DiscardReason::AfterTimeout)
            };
            ending::finish(table, id, then);
        }
    }
}
