//! The rules of time: when a connection is looked at again, and what happens then.

use model::{BootNanos, DiscardReason};

use super::{ending, memory};
use crate::connections::{ConnectionState, Id, QueueName};
use crate::state::State;

/// How many connections one tick may give up, and how many timers it may serve, because the rings
/// fill meanwhile. If there are more, the next tick follows at once.
pub(crate) const MOST: usize = 1024;

/// Does a bounded part of what is due. Returns whether there is more.
pub(crate) fn tick(state: &mut State, now: BootNanos) -> bool {
    let more_candidates = give_up_unnamed(state, now);
    let more_timers = serve_timers(state, now);
    more_candidates || more_timers
}

fn give_up_unnamed(state: &mut State, now: BootNanos) -> bool {
    for _ in 0..MOST {
        let Some(oldest) = state.connections.first(QueueName::Candidates) else {
            return false;
        };
        let start = state.connections.get(oldest).start();
        if start.after(state.timing.uuid_wait) > now {
            return false;
        }
        ending::give_up(state, oldest, DiscardReason::Unnamed);
    }
    true
}

fn serve_timers(state: &mut State, now: BootNanos) -> bool {
    for _ in 0..MOST {
        match state.connections.next_timer() {
            Some((at, id)) if at <= now => look_at(state, id, now),
            _ => return false,
        }
    }
    true
}

/// Finishes, forgets or spills a named connection if that is due. It may not be: packets that came
/// after its timer was set may have moved the time.
pub(crate) fn look_at(state: &mut State, id: Id, now: BootNanos) {
    let connection = state.connections.get(id);
    let timing = &state.timing;
    if connection.end(timing) > now {
        if connection.deadline(timing) <= now {
            memory::spill(state, id);
        }
        return state.set_timer(id);
    }
    let is_captured_whole = connection.until() <= now;
    match connection.state() {
        ConnectionState::Candidate => {}
        ConnectionState::Finished => ending::forget(state, id),
        ConnectionState::Capturing | ConnectionState::Lingering => {
            let then = if connection.closed().is_some() {
                None
            } else if connection.has_ended() {
                Some(DiscardReason::AfterEnd)
            } else if is_captured_whole {
                Some(DiscardReason::AfterCapture)
            } else {
                state.stats.idle += 1;
                // What comes after a silence is another flow of datagrams.
                state
                    .datagrams
                    .is_none()
                    .then_some(DiscardReason::AfterTimeout)
            };
            ending::finish(state, id, then);
        }
    }
}
