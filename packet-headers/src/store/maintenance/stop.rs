//! How the maintenance thread is asked to stop, and proves that it turns.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::heartbeat::Heartbeat;

/// Goes on until the other end of its channel is dropped. Whoever asks it has just turned.
pub(super) struct Stop {
    channel: Receiver<Infallible>,
    heartbeat: Heartbeat,
}

impl Stop {
    pub(super) const fn new(channel: Receiver<Infallible>, heartbeat: Heartbeat) -> Self {
        Self { channel, heartbeat }
    }

    /// Whether the thread has not been asked to stop; to be called between any two files.
    pub(super) fn goes_on(&self) -> bool {
        self.heartbeat.beat();
        matches!(self.channel.try_recv(), Err(TryRecvError::Empty))
    }

    /// Waits, unless the thread is asked to stop meanwhile. Whether it goes on.
    pub(super) fn wait(&self, span: Duration) -> bool {
        self.heartbeat.beat();
        match self.channel.recv_timeout(span) {
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Ok(never) => match never {},
        }
    }
}
