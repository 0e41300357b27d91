//! Serves the events of the kernel source to others, as tcp-info serves its own.
//!
//! A client reads one JSON object a line (see [`line`]). What it reads is one sequence, whenever it
//! connects: first an Open for each connection that is open at that moment, in any order, and from
//! there on every event in the order in which the kernel told them. So it sees each Open once, and
//! each Close once and after its Open.
//!
//! Connections of loopback, link-local, multicast and unspecified addresses are left out, as tcp-info
//! leaves them out: its clients trace routes to what they read, and a link-local address means
//! nothing without its interface.
//!
//! Nobody waits for a client. The flow source hands over through a bounded queue, and counts what
//! does not fit; all clients read one bounded log of the latest events, and one that falls behind it
//! is dropped.

mod client;
pub(super) mod line;
mod server;
mod socket;
mod stream;
mod sweep;

use std::net::IpAddr;
use std::sync::Arc;

use packet_headers_common::Endpoint;
use tokio::sync::mpsc;

pub use self::server::{EventServer, Scope};
pub use self::socket::EventListener;
use crate::stats::Counters;
use model::{EventIssue, FlowEvent};

/// How many events may wait for the server. They take 2 MiB then.
const QUEUE: usize = 16 * 1024;

const _: () = assert!(QUEUE * size_of::<Message>() <= 2 << 20);

/// What the flow sources tell the server.
#[derive(Debug)]
enum Message {
    /// Something happened.
    Event(FlowEvent),
    /// The connections that are older than the daemon have all been told.
    OlderTold,
}

/// The sources' way to the server.
#[derive(Debug, Clone)]
pub struct Publisher {
    queue: mpsc::Sender<Message>,
    counters: Arc<Counters>,
}

impl Publisher {
    /// Hands an event over, without waiting: what the server has no room for is counted.
    pub(super) fn tell(&self, event: &FlowEvent) {
        if is_told(event) && self.queue.try_send(Message::Event(event.clone())).is_err() {
            self.counters.events.add(EventIssue::NotServed, 1);
        }
    }

    /// Hands an event over, waiting for room.
    pub(super) async fn tell_in_turn(&self, event: &FlowEvent) {
        if is_told(event) {
            self.send(Message::Event(event.clone())).await;
        }
    }

    /// Says that the connections that are older than the daemon have all been told, or never will.
    pub(super) async fn older_are_told(&self) {
        self.send(Message::OlderTold).await;
    }

    async fn send(&self, message: Message) {
        // The server ends after the sources, unless it broke down: then nobody listens any more.
        let _no_server = self.queue.send(message).await;
    }
}

/// Whether an event is for others. Of a Close that is not, the Open was not either: the server does
/// not know the connection.
fn is_told(event: &FlowEvent) -> bool {
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

#[cfg(test)]
mod tests;
