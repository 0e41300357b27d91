//! How connections leave the state: they are finished, given up or evicted.

use model::DiscardReason;

use crate::action::{Action, Hint};
use crate::connections::Id;
use crate::state::State;

/// A candidate with fewer packets is not worth an entry in the kernel: a SYN flood makes many.
const WORTH_IGNORING: u64 = 4;

/// Finishes the file of a connection that is being captured. While its socket is open, further
/// packets are discarded for the reason `then`. Without a reason, the connection is forgotten.
pub(crate) fn finish(state: &mut State, id: Id, then: Option<DiscardReason>) {
    let connection = state.connections.get(id);
    let (key, cookie) = (connection.key(), connection.cookie());
    let last = state
        .connections
        .finish(id, then.unwrap_or(DiscardReason::AfterEnd));
    match last {
        Some(job) => state.actions.push(Action::Write(job)),
        None => state.counts.empty += 1,
    }
    if then.is_none() {
        return forget(state, id);
    }
    state.tell(Hint::Retire(key, cookie));
    state.set_timer(id);
}

/// Forgets a named connection that is over.
pub(crate) fn forget(state: &mut State, id: Id) {
    let connection = state.connections.get(id);
    let hint = Hint::Release(connection.key(), connection.cookie());
    state.connections.forget(id);
    state.tell(hint);
}

/// Gives up a candidate. If its SYN came while an earlier connection of the four-tuple was being
/// captured, it did not begin another one after all: its packets belong to the earlier one.
pub(crate) fn give_up(state: &mut State, id: Id, reason: DiscardReason) {
    let earlier = state.connections.before(id);
    let earlier = earlier.filter(|&earlier| state.connections.get(earlier).is_capturing());
    let candidate = state.connections.get(id);
    let (key, packets) = (candidate.key(), candidate.buffered());
    match earlier {
        Some(earlier) => state.connections.absorb(id, earlier),
        None => state.gave_up(reason, packets),
    }
    state.connections.forget(id);
    if packets >= WORTH_IGNORING && state.connections.youngest(&key).is_none() {
        state.tell(Hint::Ignore(key));
    }
    if let Some(earlier) = earlier {
        state.set_timer(earlier);
    }
}

/// Forgets a finished connection to make room. The kernel goes on discarding its packets.
pub(crate) fn evict_finished(state: &mut State, id: Id) {
    let key = state.connections.get(id).key();
    forget(state, id);
    state.counts.evicted += 1;
    // Not while another connection of the four-tuple is known: the kernel could not tell them apart.
    if state.connections.youngest(&key).is_none() {
        state.tell(Hint::Ignore(key));
    }
}

/// Forgets a connection that never had a packet, to make room.
pub(crate) fn evict_packetless(state: &mut State, id: Id) {
    finish(state, id, None);
    state.counts.evicted += 1;
}
