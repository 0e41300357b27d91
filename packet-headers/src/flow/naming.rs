//! The rules of names: which connection an Open or Close means.

use packet_headers_common::{FlowKey, Role};

use super::connection::{Connection, Done, Named, Serial, State};
use super::memory::OVERHEAD;
use super::table::{Action, FlowTable, Hint, find};
use model::{BootNanos, Close, Discard, EventIssue, Open, Wanted};

impl FlowTable {
    pub(super) fn on_open(&mut self, open: Open) {
        if self.names.contains_key(&open.uuid) {
            return self.issue(EventIssue::Repeated);
        }
        let key = FlowKey::new(open.local, open.remote);
        if self.meant(key, &open).is_none() && self.has_other_end(key, &open) {
            return self.rename(key, open);
        }
        let over_limit = self.named >= self.limits.flows;
        if over_limit || !self.make_room(OVERHEAD) {
            self.census.over_limit += u64::from(over_limit);
            self.census.over_memory += u64::from(!over_limit);
            return self.refuse(key, &open, Discard::TooManyFlows);
        }
        if !self.wants(key, &open) {
            return self.refuse(key, &open, Discard::Unwanted);
        }
        if let Some(candidate) = self.meant(key, &open) {
            let (serial, cost) = (candidate.serial, candidate.block.capacity());
            self.candidate_bytes -= cost + OVERHEAD;
            self.buffered_bytes += cost;
            return self.name(key, serial, open);
        }
        // Opened before its first packet: it goes before any candidate, which began later.
        let serial = self.next_serial;
        self.next_serial += 1;
        let incarnations = self.flows.entry(key).or_default();
        let place = incarnations
            .iter()
            .position(|connection| connection.start > open.at)
            .unwrap_or(incarnations.len());
        incarnations.insert(place, Box::new(Connection::new(serial, open.at)));
        self.census.begun += 1;
        self.census.candidates += 1;
        self.name(key, serial, open);
    }

    /// The candidate that an Open names: the youngest that can be meant. An older one's Open was
    /// missed, if it is not on its way.
    fn meant(&self, key: FlowKey, open: &Open) -> Option<&Connection> {
        let incarnations = self.flows.get(&key)?;
        let mut youngest_first = incarnations.iter().rev();
        let meant = youngest_first.find(|connection| connection.can_be_opened_at(open.at));
        meant.map(|connection| &**connection)
    }

    /// Whether an Open speaks of the other socket of a connection that is being captured.
    fn has_other_end(&self, key: FlowKey, open: &Open) -> bool {
        let wait = self.timing.uuid_wait;
        let mut incarnations = self.flows.get(&key).into_iter().flatten();
        incarnations.any(|connection| connection.has_other_end(open, wait))
    }

    /// Whether the operator wants a connection of this direction. One whose SYN we did not see is
    /// wanted: nobody knows better.
    fn wants(&self, key: FlowKey, open: &Open) -> bool {
        let begun_here = match (self.wanted, open.role) {
            (Wanted::All, _) => return true,
            (_, Some(role)) => Some(role == Role::Connecting),
            (_, None) => {
                let by = self.meant(key, open).and_then(Connection::begun_by);
                by.map(|end| end == open.local)
            }
        };
        begun_here.is_none_or(|here| here == (self.wanted == Wanted::Outgoing))
    }

    /// Leaves a connection without a name: its packets are not wanted, here and in the kernel.
    fn refuse(&mut self, key: FlowKey, open: &Open, reason: Discard) {
        let candidate = self.meant(key, open).map(|candidate| candidate.serial);
        if let Some(serial) = candidate {
            self.give_up(key, serial, reason);
        }
        // Not while an earlier connection of the four-tuple is known: the kernel could not tell.
        if !self.flows.contains_key(&key) {
            self.actions.push(Hint::Release(key, open.cookie).into());
            self.actions.push(Hint::Ignore(key).into());
        }
        self.issue(EventIssue::Refused);
    }

    /// Gives a connection its name.
    fn name(&mut self, key: FlowKey, serial: Serial, open: Open) {
        let timing = self.timing;
        let Some(connection) = find(&mut self.flows, key, serial) else {
            return;
        };
        self.names.insert(open.uuid.clone(), key);
        let named = Named {
            uuid: open.uuid,
            opened: open.opened,
            opened_at: open.at,
            role: open.role,
            local_is_low: key.is_low(&open.local),
            cookie: open.cookie,
            closed: None,
            armed: BootNanos(0),
        };
        let (until, cookie) = (connection.start.after(timing.capture), named.cookie);
        let admitted_by_kernel = named.role.is_some();
        connection.state = State::Named(named);
        connection.held_since = (!connection.block.is_empty()).then_some(connection.start);
        let at = connection.deadline(&timing);
        self.named += 1;
        self.census.candidates -= 1;
        self.census.lingering += u64::from(connection.lingers());
        self.actions.push(Action::Opened);
        if !admitted_by_kernel {
            self.actions.push(Hint::Admit(key, until, cookie).into());
        }
        self.arm(key, serial, at);
    }

    /// The other socket of a connection that has a name: both ends are on this host. The accepting
    /// one's name wins, as its owner is who was called.
    fn rename(&mut self, key: FlowKey, open: Open) {
        self.issue(EventIssue::SecondSocket);
        let wait = self.timing.uuid_wait;
        let incarnations = self.flows.entry(key).or_default();
        for connection in incarnations.iter_mut() {
            if !connection.has_other_end(&open, wait) {
                continue;
            }
            let State::Named(named) = &mut connection.state else {
                continue;
            };
            if open.role == Some(Role::Accepting) && named.role == Some(Role::Connecting) {
                self.names.remove(&named.uuid);
                self.names.insert(open.uuid.clone(), key);
                named.uuid = open.uuid;
                named.role = open.role;
                named.local_is_low = key.is_low(&open.local);
                named.cookie = open.cookie;
            }
            return;
        }
    }

    pub(super) fn on_close(&mut self, close: &Close) {
        let Some(&key) = self.names.get(&close.uuid) else {
            // Without a key it went to every shard, and is at home in one of them.
            if close.key.is_some() {
                self.issue(EventIssue::UnknownClose);
            }
            return;
        };
        let timing = self.timing;
        let incarnations = self.flows.entry(key).or_default();
        let closed = incarnations
            .iter_mut()
            .find(|connection| connection.uuid() == Some(&close.uuid));
        let Some(connection) = closed else {
            return;
        };
        let lingered = connection.lingers();
        match &mut connection.state {
            State::Named(Named { closed, .. }) | State::Done(Done { closed, .. }) => {
                closed.get_or_insert(close.at);
            }
            State::Candidate => return,
        }
        self.census.lingering += u64::from(!lingered && connection.lingers());
        self.actions.push(Action::Closed);
        let (serial, at) = (connection.serial, connection.deadline(&timing));
        self.arm(key, serial, at);
    }
}
