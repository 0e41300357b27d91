//! What comes to the event server: events of the sources, and clients.

use std::time::Duration;

use model::{EventIssue, FlowEvent, WallClock};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::publisher::Message;
use super::shared::Shared;
use crate::clock;
use crate::rate_limit::RateLimit;

/// How long nobody is accepted after a failure.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Takes what the sources tell, and clients.
pub(super) struct EventIntake<'a> {
    shared: &'a Shared,
    clock: WallClock,
    full: RateLimit,
    refused: RateLimit,
    /// How many were not served when that was said last.
    said: u64,
}

impl<'a> EventIntake<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            clock: clock::sample(),
            full: RateLimit::default(),
            refused: RateLimit::default(),
            said: 0,
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
                Message::OlderTold => {
                    stream.older_are_told();
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
        self.say(why);
    }

    /// Says that events were not served, if some were not.
    fn say(&mut self, why: Option<anyhow::Error>) {
        let count = self.shared.counters().events.get(EventIssue::NotServed);
        if count == self.said {
            return;
        }
        if let Some(withheld) = self.full.pass() {
            let why = why.map_or_else(|| "too many at once".to_owned(), |why| format!("{why:#}"));
            let missing = count - self.said;
            tracing::warn!("{missing} flow events were not served: {why}{withheld}");
            self.said = count;
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
                    // Out of descriptors, mostly: not again at once.
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}
