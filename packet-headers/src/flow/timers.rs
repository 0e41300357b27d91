//! The rules of time: when a named connection is looked at again, and what is done then.

use packet_headers_common::FlowKey;

use super::connection::{Done, Named, Serial, State};
use super::table::{FlowTable, find};
use model::{BootNanos, Discard};

impl FlowTable {
    /// Sets the timer of a named connection, in place of the one that was set before.
    pub(super) fn arm(&mut self, key: FlowKey, serial: Serial, at: BootNanos) {
        let Some(connection) = find(&mut self.flows, key, serial) else {
            return;
        };
        let (State::Named(Named { armed, .. }) | State::Done(Done { armed, .. })) =
            &mut connection.state
        else {
            return;
        };
        let before = std::mem::replace(armed, at);
        self.timers.remove(&(before, serial));
        self.timers.insert((at, serial), key);
    }

    /// Sets the timer of a named connection for when to look at it again.
    pub(super) fn rearm(&mut self, key: FlowKey, serial: Serial) {
        let timing = self.timing;
        if let Some(connection) = find(&mut self.flows, key, serial) {
            let at = connection.deadline(&timing);
            self.arm(key, serial, at);
        }
    }

    /// A timer went off: the packets since may have moved the time that it was set for.
    pub(super) fn on_timer(&mut self, key: FlowKey, serial: Serial, now: BootNanos) {
        let timing = self.timing;
        let Some(connection) = find(&mut self.flows, key, serial) else {
            return;
        };
        if connection.end(&timing) > now {
            if connection.deadline(&timing) <= now {
                self.spill(key, serial);
            }
            return self.rearm(key, serial);
        }
        let closed = connection.closed().is_some();
        match &connection.state {
            State::Done(_) => self.forget(key, serial),
            State::Named(_) if closed => self.finish(key, serial, None),
            State::Named(_) if connection.has_ended() => {
                self.finish(key, serial, Some(Discard::AfterEnd));
            }
            State::Named(_) if connection.start.after(timing.capture) <= now => {
                self.finish(key, serial, Some(Discard::AfterCapture));
            }
            State::Named(_) => {
                self.census.idle += 1;
                self.finish(key, serial, Some(Discard::AfterTimeout));
            }
            State::Candidate => {}
        }
    }
}
