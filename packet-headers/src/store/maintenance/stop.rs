//! Tells the maintenance thread when to stop, and shows that it makes progress.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::heartbeat::Heartbeat;

/// Tells the thread to go on until the other end of the channel is dropped. Each question is a turn of
/// the thread.
pub(super) struct Stop {
    channel: Receiver<Infallible>,
    heartbeat: Heartbeat,
}

impl Stop {
    pub(super) const fn new(channel: Receiver<Infallible>, heartbeat: Heartbeat) -> Self {
        Self { channel, heartbeat }
    }

    /// Whether the thread may go on. To be called between any two files.
    pub(super) fn goes_on(&self) -> bool {
        self.heartbeat.beat();
        matches!(self.channel.try_recv(), Err(TryRecvError::Empty))
    }

    /// Waits, but no longer than until the thread is to stop. Returns whether it may go on.
    pub(super) fn wait(&self, span: Duration) -> bool {
        self.heartbeat.beat();
        match self.channel.recv_timeout(span) {
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Ok(never) => match never {},
        }
    }
}
