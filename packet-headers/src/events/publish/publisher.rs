//! The flow sources' way to the event server: a bounded queue.

use std::net::IpAddr;
use std::sync::Arc;

use model::{EventIssue, FlowEvent};
use packet_headers_common::Endpoint;
use tokio::sync::mpsc;

use crate::stats::Counters;

/// How many events may wait for the server. They take 2 MiB then.
pub(super) const QUEUE: usize = 16 * 1024;

const _: () = assert!(QUEUE * size_of::<Message>() <= 2 << 20);

/// What the flow sources tell the server.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened.
    Event(FlowEvent),
    /// The connections that are older than the daemon have all been told.
    OlderTold,
}

/// The sources' way to the server.
#[derive(Debug, Clone)]
pub struct Publisher {
    pub(super) queue: mpsc::Sender<Message>,
    pub(super) counters: Arc<Counters>,
}

impl Publisher {
    /// Hands an event over, without waiting: what the server has no room for is counted.
    pub(in crate::events) fn tell(&self, event: &FlowEvent) {
        if is_told(event) && self.queue.try_send(Message::Event(event.clone())).is_err() {
            self.counters.events.add(EventIssue::NotServed, 1);
        }
    }

    /// Hands an event over, waiting for room.
    pub(in crate::events) async fn tell_in_turn(&self, event: &FlowEvent) {
        if is_told(event) {
            self.send(Message::Event(event.clone())).await;
        }
    }

    /// Says that the connections that are older than the daemon have all been told, or never will.
    pub(in crate::events) async fn older_are_told(&self) {
        self.send(Message::OlderTold).await;
    }

    async fn send(&self, message: Message) {
        // The server ends after the sources, unless it broke down: then nobody listens any more.
        let _no_server = self.queue.send(message).await;
    }
}

/// Whether an event is for others. Of a Close that is not, the Open was not either: the server does
/// not know the connection.
pub(super) fn is_told(event: &FlowEvent) -> bool {
    match event {
        FlowEvent::Open(open) => [open.local, open.remote].iter().all(is_of_the_net),
        FlowEvent::Close(_) => true,
    }
}

/// Whether an address means the same elsewhere in the network.
fn is_of_the_net(end: &Endpoint) -> bool {
    let address = end.ip();
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}
