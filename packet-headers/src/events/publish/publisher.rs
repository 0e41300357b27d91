//! The queue from the flow sources to the event server.

use std::net::IpAddr;
use std::sync::Arc;

use model::{Close, EventIssue, FlowEvent};
use packet_headers_common::Endpoint;
use tokio::sync::mpsc;

use crate::stats::Counters;

/// The most events that wait for the server. They take 2 MiB.
pub(super) const QUEUE: usize = 16 * 1024;

const _: () = assert!(QUEUE * size_of::<Message>() <= 2 << 20);

/// A message from the flow sources to the server.
#[derive(Debug)]
pub(super) enum Message {
    /// A connection began or ended.
    Event(FlowEvent),
    /// Every connection older than the daemon has been delivered, or never will be.
    OlderDelivered,
}

/// The flow sources' handle to the server.
#[derive(Debug, Clone)]
pub struct Publisher {
    pub(super) queue: mpsc::Sender<Message>,
    pub(super) counters: Arc<Counters>,
}

impl Publisher {
    /// Hands over an event without waiting. If the queue is full, the event is counted as lost.
    pub(in crate::events) fn publish(&self, event: &FlowEvent) {
        if is_public(event) && self.queue.try_send(message(event)).is_err() {
            self.counters.events.add(EventIssue::NotServed, 1);
        }
    }

    /// Hands over an event, waiting while the queue is full.
    pub(in crate::events) async fn publish_in_turn(&self, event: &FlowEvent) {
        if is_public(event) {
            self.send(message(event)).await;
        }
    }

    /// Announces that every connection older than the daemon has been delivered, or never will be.
    pub(in crate::events) async fn older_are_delivered(&self) {
        self.send(Message::OlderDelivered).await;
    }

    async fn send(&self, message: Message) {
        // The server outlives the sources. If it failed, nobody reads the queue any more.
        let _no_server = self.queue.send(message).await;
    }
}

/// An event for clients, who are not told what the kernel knew.
fn message(event: &FlowEvent) -> Message {
    Message::Event(match event {
        FlowEvent::Open(_) | FlowEvent::Left(_) => event.clone(),
        FlowEvent::Close(close) => FlowEvent::Close(Close {
            at: close.at,
            uuid: close.uuid.clone(),
            key: close.key,
            totals: None,
            owner: None,
        }),
    })
}

/// Whether clients may see an event: not who closed a socket. A Close always passes: if its Open did not, the server does not
/// know the connection and ignores the Close.
pub(super) fn is_public(event: &FlowEvent) -> bool {
    match event {
        FlowEvent::Open(open) => [open.local, open.remote]
            .iter()
            .all(is_meaningful_elsewhere),
        FlowEvent::Close(_) => true,
        FlowEvent::Left(_) => false,
    }
}

/// Whether an address means something on other hosts.
fn is_meaningful_elsewhere(end: &Endpoint) -> bool {
    let address = end.ip();
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}
