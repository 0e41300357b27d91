//! How connections leave the table: they are finished, given up or evicted.

use model::DiscardReason;

use crate::action::{Action, Hint};
use crate::connections::Id;
use crate::table::FlowTable;

use super::time;

/// A candidate with fewer packets is not worth an entry in the kernel: a SYN flood makes many.
const WORTH_IGNORING: u64 = 4;

/// Finishes the file of a connection that is being captured. While its socket is open, further
/// packets are discarded for the reason `then`. Without a reason, the connection is forgotten.
pub(crate) fn finish(table: &mut FlowTable, id: Id, then: Option<DiscardReason>) {
    let connection = table.connections.get(id);
    let (key, cookie) = (connection.key(), connection.cookie());
    let last = table
        .connections
        .finish(id, then.unwrap_or(DiscardReason::AfterEnd));
    match last {
        Some(job) => table.actions.push(Action::Write(job)),
        None => table.counts.empty += 1,
    }
    if then.is_none() {
        return forget(table, id);
    }
    table.tell(Hint::Retire(key, cookie));
    table.connections.set_timer(id, &table.timing);
}

/// Forgets a named connection that is over.
pub(crate) fn forget(table: &mut FlowTable, id: Id) {
    let connection = table.connections.get(id);
    let hint = Hint::Release(connection.key(), connection.cookie());
    table.connections.forget(id);
    table.tell(hint);
}

/// Gives up a candidate. If its SYN came while an earlier connection of the four-tuple was being
/// captured, it did not begin another one after all: its packets belong to the earlier one.
pub(crate) fn give_up(table: &mut FlowTable, id: Id, reason: DiscardReason) {
    let earlier = table.connections.before(id);
    let earlier = earlier.filter(|&earlier| table.connections.get(earlier).is_capturing());
    let candidate = table.connections.get(id);
    let (key, packets) = (candidate.key(), candidate.buffered());
    match earlier {
        Some(earlier) => table.connections.absorb(id, earlier),
        None => table.gave_up(reason, packets),
    }
    table.connections.forget(id);
    if packets >= WORTH_IGNORING && table.connections.youngest(&key).is_none() {
        table.tell(Hint::Ignore(key));
    }
    if let Some(earlier) = earlier {
        time::set_timer(table, earlier);
    }
}

/// Forgets a finished connection to make room. The kernel goes on discarding its packets.
pub(crate) fn evict_finished(table: &mut FlowTable, id: Id) {
    let key = table.connections.get(id).key();
    forget(table, id);
    table.counts.evicted += 1;
    // Not while another connection of the four-tuple is known: the kernel could not tell them apart.
    if table.connections.youngest(&key).is_none() {
        table.tell(Hint::Ignore(key));
    }
}

/// Forgets a connection that never had a packet, to make room.
pub(crate) fn evict_packetless(table: &mut FlowTable, id: Id) {
    finish(table, id, None);
    table.counts.evicted += 1;
}
