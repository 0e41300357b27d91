//! What the event server takes in: events from the sources, and clients.

use std::time::Duration;

use model::{EventIssue, FlowEvent, WallClock};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::publisher::Message;
use super::shared::Shared;
use crate::clock;
use crate::rate_limit::RateLimit;

/// How long to wait after a client could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Takes the sources' events into the stream, and accepts clients.
pub(super) struct EventIntake<'a> {
    shared: &'a Shared,
    clock: WallClock,
    full: RateLimit,
    refused: RateLimit,
    /// How many events had not been served when that was last logged.
    logged: u64,
}

impl<'a> EventIntake<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            clock: clock::sample(),
            full: RateLimit::default(),
            refused: RateLimit::default(),
            logged: 0,
        }
    }

    pub(super) fn take(&mut self, batch: &mut Vec<Message>) {
        clock::resample(&mut self.clock);
        let mut stream = self.shared.stream();
        let mut why = None;
        for message in batch.drain(..) {
            let taken = match &message {
                Message::Event(FlowEvent::Open(open)) => stream.open(open),
                Message::Event(FlowEvent::Close(close)) => {
                    stream.close(&close.uuid, self.clock.wall(close.at))
                }
                // Its clients know connections, not processes.
                Message::Event(FlowEvent::Left(_)) => Ok(()),
                Message::OlderDelivered => {
                    stream.older_are_delivered();
                    Ok(())
                }
            };
            if let Err(error) = taken {
                self.shared.counters().events.add(EventIssue::NotServed, 1);
                why = Some(error);
            }
        }
        drop(stream);
        self.shared.announce();
        self.log_unserved(why);
    }

    /// Logs that events were not served, if there are new ones.
    fn log_unserved(&mut self, why: Option<anyhow::Error>) {
        let count = self.shared.counters().events.get(EventIssue::NotServed);
        if count == self.logged {
            return;
        }
        if let Some(withheld) = self.full.pass() {
            let why = why.map_or_else(|| "the queue is full".to_owned(), |why| format!("{why:#}"));
            let missing = count - self.logged;
            tracing::warn!("{missing} flow events were not served to clients: {why}{withheld}");
            self.logged = count;
        }
    }

    /// Waits for the next client.
    pub(super) async fn accept(&self, listener: &UnixListener) -> UnixStream {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => return socket,
                Err(error) => {
                    if let Some(withheld) = self.refused.pass() {
                        tracing::warn!("accepting a client of the event socket: {error}{withheld}");
                    }
                    // Usually because too many files are open: do not retry at once.
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}
