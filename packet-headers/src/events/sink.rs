//! The queues from the flow sources to the shards, and to the event server.

use model::FlowEvent;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::publish::Publisher;
use crate::kernel::Sharding;

/// How many events may wait for one shard. When the queue is full the source waits; events lost
/// meanwhile are counted where they are lost, in the kernel's event ring. The queue takes memory for
/// what waits in it, not for what may.
const QUEUE: usize = 16 * 1024;

/// Sends each event to the shard that owns its connection, or to all shards if the event does not
/// say which connection it is about.
#[derive(Debug, Clone)]
pub struct EventSink {
    sharding: Sharding,
    shards: Vec<Sender<FlowEvent>>,
    publisher: Option<Publisher>,
}

/// The shards have ended, because the daemon is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shards have ended, and take no more events")]
pub struct Stopped;

/// A sink and, for each shard, the receiving end of its queue. Who hands packets out
/// knows a connection's shard by the same hash.
#[must_use]
pub fn queues(shards: u32, sharding: impl Into<Sharding>) -> (EventSink, Vec<Receiver<FlowEvent>>) {
    let (senders, receivers) = (0..shards).map(|_| channel(QUEUE)).unzip();
    let sink = EventSink {
        sharding: sharding.into(),
        shards: senders,
        publisher: None,
    };
    (sink, receivers)
}

impl EventSink {
    /// A sink to the same shards that also delivers to the event server, if there is one.
    #[must_use]
    pub fn published(&self, publisher: Option<Publisher>) -> Self {
        Self {
            publisher,
            ..self.clone()
        }
    }

    /// Announces that every connection older than the daemon has been delivered, or never will be.
    pub async fn older_are_delivered(&self) {
        if let Some(publisher) = &self.publisher {
            publisher.older_are_delivered().await;
        }
    }

    /// Delivers an event from a thread, blocking while the queue is full.
    ///
    /// # Errors
    /// [`Stopped`] when the shard is gone.
    pub fn deliver_blocking(&self, event: &FlowEvent) -> Result<(), Stopped> {
        if let Some(publisher) = &self.publisher {
            publisher.publish(event);
        }
        for shard in self.targets(event) {
            let sent = shard.blocking_send(event.clone());
            sent.map_err(|_closed| Stopped)?;
        }
        Ok(())
    }

    /// Delivers an event from a task, waiting while the queue is full.
    ///
    /// # Errors
    /// [`Stopped`] when the shard is gone.
    pub async fn deliver(&self, event: FlowEvent) -> Result<(), Stopped> {
        if let Some(publisher) = &self.publisher {
            publisher.publish_in_turn(&event).await;
        }
        for shard in self.targets(&event) {
            let sent = shard.send(event.clone()).await;
            sent.map_err(|_closed| Stopped)?;
        }
        Ok(())
    }

    /// The queues of the shards that an event is for.
    fn targets(&self, event: &FlowEvent) -> &[Sender<FlowEvent>] {
        let shards = u32::try_from(self.shards.len()).unwrap_or(1);
        match event.key() {
            Some(key) => {
                let shard = self.sharding.shard(&key, shards) as usize;
                self.shards.get(shard..=shard).unwrap_or_default()
            }
            None => &self.shards,
        }
    }
}
