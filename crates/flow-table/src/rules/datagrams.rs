//! The rules of datagrams: a UDP flow is a four-tuple that is active. Nobody tells of its beginning: it has a
//! name from its first packet on. It ends when it has been silent for long enough, or with its socket.

use model::{BootNanos, DiscardReason, FlowUuid, Open, WallNanos, Wanted};
use packet_headers_common::record::TCP_SYN;
use packet_headers_common::{Direction, FlowKey, Packet};

use super::memory;
use crate::connections::{Id, OVERHEAD};
use crate::state::State;

/// What names the flow that this packet begins, and for which there is room then; `None` if flows here are
/// connections, which somebody tells of.
///
/// # Errors
/// Why the flow is not captured.
pub(crate) fn opening(
    state: &mut State,
    packet: &Packet<'_>,
    at: WallNanos,
) -> Result<Option<Open>, DiscardReason> {
    let Some(datagrams) = &state.datagrams else {
        return Ok(None);
    };
    let (low, high) = packet.key().ends();
    let (from, to) = match packet.from_low {
        true => (low, high),
        false => (high, low),
    };
    let cookie = packet.beside.as_ref().map_or(0, |beside| beside.cookie);
    let uuid = datagrams.names.of([from, to], at, cookie);
    let is_sent = packet.direction == Direction::Egress;
    // Else an answer would begin the flow whose first packet was unwanted. By the kernel's mark it is told from that.
    let marked = packet.tcp_flags & TCP_SYN != 0;
    if state.wanted != Wanted::All && !marked {
        return Err(DiscardReason::Unwanted);
    }
    may_begin(state, &uuid, is_sent)?;
    let (local, remote) = if is_sent { (from, to) } else { (to, from) };
    Ok(Some(Open {
        at: BootNanos(packet.boot_ns),
        opened: at,
        uuid,
        local,
        remote,
        role: None,
        cookie,
        owner: None,
    }))
}

/// Names the flow that has begun so.
pub(crate) fn name(state: &mut State, id: Id, opening: Open) {
    let key = FlowKey::new(opening.local, opening.remote);
    if let Some(datagrams) = &mut state.datagrams {
        datagrams.begins(opening.cookie, key);
    }
    state.connections.name(id, opening, &state.timing);
    state.counts.opened += 1;
}

/// Whether a flow of this name is captured, whose first packet this host sent, or received. Makes room for it.
fn may_begin(state: &mut State, uuid: &FlowUuid, is_sent: bool) -> Result<(), DiscardReason> {
    let is_wanted = match state.wanted {
        Wanted::All => true,
        Wanted::Incoming => !is_sent,
        Wanted::Outgoing => is_sent,
    };
    // Two flows whose names are the same cannot both have a file. Where addresses are hidden, that takes two
    // pairs of the same ports in the same nanosecond.
    if !is_wanted || state.connections.named(uuid).is_some() {
        return Err(DiscardReason::Unwanted);
    }
    if !memory::make_place(state) {
        state.stats.over_limit += 1;
        return Err(DiscardReason::TooManyFlows);
    }
    if !memory::make_room(state, OVERHEAD) {
        state.stats.over_memory += 1;
        return Err(DiscardReason::TooManyFlows);
    }
    Ok(())
}
