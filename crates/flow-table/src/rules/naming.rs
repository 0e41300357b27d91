//! The rules of names: which connection an Open or Close is about.

use model::{Close, DiscardReason, EventIssue, Open, Wanted};
use packet_headers_common::{FlowKey, Role};

use super::{ending, memory};
use crate::action::Hint;
use crate::connections::{Connection, Id, OVERHEAD};
use crate::table::FlowTable;

pub(crate) fn on_open(table: &mut FlowTable, open: Open) {
    if table.connections.named(&open.uuid).is_some() {
        return table.counts.issue(EventIssue::Repeated);
    }
    let key = FlowKey::new(open.local, open.remote);
    if meant(table, &key, &open).is_none()
        && let Some(other) = other_end(table, &key, &open)
    {
        return rename(table, other, open);
    }
    if !wants(table, &key, &open) {
        return refuse(table, key, &open, DiscardReason::Unwanted);
    }
    // A candidate already takes its part of the memory.
    let more = meant(table, &key, &open).map_or(OVERHEAD, |_| 0);
    let has_place = memory::make_place(table);
    if !has_place || !memory::make_room(table, more) {
        table.stats.over_limit += u64::from(!has_place);
        table.stats.over_memory += u64::from(has_place);
        return refuse(table, key, &open, DiscardReason::TooManyFlows);
    }
    let id = meant(table, &key, &open).unwrap_or_else(|| {
        table.stats.begun += 1;
        table.connections.begin_opened(key, open.at)
    });
    name(table, id, open);
}

/// The candidate that an Open names: the youngest one that it can be about. The Open of an older
/// candidate was missed, or is still to come.
fn meant(table: &FlowTable, key: &FlowKey, open: &Open) -> Option<Id> {
    let mut youngest_first = table.connections.incarnations(key);
    let meant = youngest_first.find(|(_, connection)| connection.can_be_opened_at(open.at));
    meant.map(|(id, _)| id)
}

/// The captured connection to whose other socket an Open belongs: the oldest, if there are several.
fn other_end(table: &FlowTable, key: &FlowKey, open: &Open) -> Option<Id> {
    let wait = table.timing.uuid_wait;
    let incarnations = table.connections.incarnations(key);
    let others = incarnations.filter(|(_, connection)| connection.has_other_end(open, wait));
    others.last().map(|(id, _)| id)
}

/// Whether a connection passes `--direction`. One of unknown direction, because its SYN was not seen,
/// passes.
fn wants(table: &FlowTable, key: &FlowKey, open: &Open) -> bool {
    let begun_here = match (table.wanted, open.role) {
        (Wanted::All, _) => return true,
        (_, Some(role)) => Some(role == Role::Connecting),
        (_, None) => {
            let meant = meant(table, key, open).map(|id| table.connections.get(id));
            let by = meant.and_then(Connection::begun_by);
            by.map(|end| end == open.local)
        }
    };
    begun_here.is_none_or(|here| here == (table.wanted == Wanted::Outgoing))
}

/// Refuses to name a connection: its packets are discarded, here and in the kernel.
fn refuse(table: &mut FlowTable, key: FlowKey, open: &Open, reason: DiscardReason) {
    if let Some(candidate) = meant(table, &key, open) {
        ending::give_up(table, candidate, reason);
    }
    // Not while another connection of the four-tuple is known: the kernel could not tell them apart.
    if table.connections.youngest(&key).is_none() {
        table.tell(Hint::Release(key, open.cookie));
        table.tell(Hint::Ignore(key));
    }
    table.counts.issue(EventIssue::Refused);
}

/// Gives a candidate its name.
fn name(table: &mut FlowTable, id: Id, open: Open) {
    let connection = table.connections.get(id);
    let (key, until) = (
        connection.key(),
        connection.start().after(table.timing.capture),
    );
    let (cookie, admitted_by_kernel) = (open.cookie, open.role.is_some());
    table.connections.name(id, open, &table.timing);
    table.counts.opened += 1;
    if !admitted_by_kernel {
        table.tell(Hint::Admit(key, until, cookie));
    }
}

/// An Open for the other socket of a named connection, both ends of which are on this host. The name
/// of the accepting socket wins.
fn rename(table: &mut FlowTable, id: Id, open: Open) {
    table.counts.issue(EventIssue::SecondSocket);
    let known = table.connections.get(id).role();
    if open.role == Some(Role::Accepting) && known == Some(Role::Connecting) {
        table.connections.rename(id, open);
    }
}

pub(crate) fn on_close(table: &mut FlowTable, close: &Close) {
    let Some(id) = table.connections.named(&close.uuid) else {
        // A Close without a key went to every shard, and is known in one of them.
        if close.key.is_some() {
            table.counts.issue(EventIssue::UnknownClose);
        }
        return;
    };
    table.connections.close(id, close.at, &table.timing);
    table.counts.closed += 1;
}
