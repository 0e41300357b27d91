//! The rules of names: which connection an Open or Close is about.

use model::{BootNanos, Close, DiscardReason, EventIssue, Left, Open, Wanted};
use packet_headers_common::{FlowKey, Role};

use super::{ending, memory};
use crate::action::{Action, Hint};
use crate::connections::{Connection, Id, OVERHEAD};
use crate::state::State;

pub(crate) fn on_open(state: &mut State, open: Open) {
    if let Some(id) = state.connections.named(&open.uuid) {
        if let Some(owner) = open.owner {
            // Of two sources that tell of the same Open, one knows.
            state.connections.belongs_to(id, owner);
        }
        return state.counts.issue(EventIssue::Repeated);
    }
    let key = FlowKey::new(open.local, open.remote);
    if meant(state, &key, &open).is_none()
        && let Some(other) = other_end(state, &key, &open)
    {
        return rename(state, other, open);
    }
    if !wants(state, &key, &open) || lacks_beginning(state, &key, &open) {
        return refuse(state, key, &open, DiscardReason::Unwanted);
    }
    // A candidate already takes its part of the memory.
    let more = meant(state, &key, &open).map_or(OVERHEAD, |_| 0);
    let has_place = memory::make_place(state);
    if !has_place || !memory::make_room(state, more) {
        state.stats.over_limit += u64::from(!has_place);
        state.stats.over_memory += u64::from(has_place);
        return refuse(state, key, &open, DiscardReason::TooManyFlows);
    }
    let id = meant(state, &key, &open).unwrap_or_else(|| {
        state.stats.begun += 1;
        let until = open.at.after(state.timing.capture);
        state.connections.begin_opened(key, open.at, until)
    });
    name(state, id, open);
}

/// The candidate that an Open names: the youngest one that it can be about. The Open of an older
/// candidate was missed, or is still to come.
fn meant(state: &State, key: &FlowKey, open: &Open) -> Option<Id> {
    let mut youngest_first = state.connections.incarnations(key);
    let meant = youngest_first.find(|(_, connection)| connection.can_be_opened_at(open.at));
    meant.map(|(id, _)| id)
}

/// The captured connection to whose other socket an Open belongs: the oldest, if there are several.
fn other_end(state: &State, key: &FlowKey, open: &Open) -> Option<Id> {
    let wait = state.timing.uuid_wait;
    let incarnations = state.connections.incarnations(key);
    let others = incarnations.filter(|(_, connection)| connection.has_other_end(open, wait));
    others.last().map(|(id, _)| id)
}

/// Whether a connection passes `--direction`. One of unknown direction, because its SYN was not seen,
/// passes.
fn wants(state: &State, key: &FlowKey, open: &Open) -> bool {
    let begun_here = match (state.wanted, open.role) {
        (Wanted::All, _) => return true,
        // Who knows the role is the kernel, which has decided by the filters of that time.
        (_, Some(_)) if state.refiltered.is_some_and(|since| open.at < since) => return true,
        (_, Some(role)) => Some(role == Role::Connecting),
        (_, None) => {
            let meant = meant(state, key, open).map(|id| state.connections.get(id));
            let by = meant.and_then(Connection::begun_by);
            by.map(|end| end == open.local)
        }
    };
    begun_here.is_none_or(|here| here == (state.wanted == Wanted::Outgoing))
}

/// Whether former filters may have left out how a connection began. A SYN waits for its Open no longer
/// than any candidate: whatever is opened later than that has none.
fn lacks_beginning(state: &State, key: &FlowKey, open: &Open) -> bool {
    let is_affected = |since: BootNanos| {
        let wait = state.timing.uuid_wait;
        (since..since.after(wait)).contains(&open.at)
    };
    let begun_by = || {
        let meant = meant(state, key, open).map(|id| state.connections.get(id));
        meant.and_then(Connection::begun_by)
    };
    state.refiltered.is_some_and(is_affected) && begun_by().is_none()
}

/// Refuses to name a connection: its packets are discarded, here and in the kernel.
fn refuse(state: &mut State, key: FlowKey, open: &Open, reason: DiscardReason) {
    if let Some(candidate) = meant(state, &key, open) {
        ending::give_up(state, candidate, reason);
    }
    // Not while another connection of the four-tuple is known: the kernel could not tell them apart.
    if state.connections.youngest(&key).is_none() {
        state.tell(Hint::Release(key, open.cookie));
        state.tell(Hint::Ignore(key));
    }
    state.counts.issue(EventIssue::Refused);
}

/// Gives a candidate its name.
fn name(state: &mut State, id: Id, open: Open) {
    let connection = state.connections.get(id);
    let (key, until) = (connection.key(), connection.until());
    let cookie = open.cookie;
    state.connections.name(id, open, &state.timing);
    state.counts.opened += 1;
    // Even if the kernel has admitted it itself: only we give it a place in the kernel's table.
    state.tell(Hint::Admit(key, until, cookie));
}

/// An Open for the other socket of a named connection, both ends of which are on this host. The name
/// of the accepting socket wins.
fn rename(state: &mut State, id: Id, open: Open) {
    state.counts.issue(EventIssue::SecondSocket);
    let connection = state.connections.get(id);
    if open.role == Some(Role::Accepting) && connection.role() == Some(Role::Connecting) {
        // The kernel knows connections by their sockets.
        let hint = Hint::Admit(connection.key(), connection.until(), open.cookie);
        state.connections.rename(id, open);
        state.tell(hint);
    }
}

/// Whoever closes a connection's socket has it, also if that is later than the connection ended.
pub(crate) fn on_left(state: &mut State, left: Left) {
    // Its file may have been finished meanwhile.
    if let Some(id) = state.connections.named(&left.uuid) {
        state.connections.belongs_to(id, left.owner);
    }
}

/// The connection that a Close is about. A flow of datagrams has more in its name than its socket.
fn meant_to_close(state: &State, close: &Close) -> Option<Id> {
    match &state.datagrams {
        None => state.connections.named(&close.uuid),
        Some(datagrams) => state.connections.youngest(&datagrams.of_socket(close)?),
    }
}

pub(crate) fn on_close(state: &mut State, close: Close) {
    let Some(id) = meant_to_close(state, &close) else {
        // A Close without a key went to every shard, and is known in one of them.
        if close.key.is_some() {
            state.counts.issue(EventIssue::UnknownClose);
        }
        return;
    };
    // Two sources may tell of the same Close, and only one of them has totals.
    let connection = state.connections.get(id);
    let (is_first, lacks_totals) = (connection.closed().is_none(), connection.totals().is_none());
    state.counts.closed += u64::from(is_first);
    if let Some(totals) = close.totals.as_deref()
        && lacks_totals
    {
        state.actions.push(Action::Count(*totals));
    }
    state.connections.close(id, close, &state.timing);
}
