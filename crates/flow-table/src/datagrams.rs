//! What a table of UDP flows knows beside its flows.

use hashbrown::HashMap;
use model::Close;
use packet_headers_common::FlowKey;

use crate::datagram_names::DatagramNames;

/// How flows are named, and which of them connected sockets have begun.
#[derive(Debug)]
pub(crate) struct Datagrams {
    pub(crate) names: DatagramNames,
    /// The last flow that each socket has begun, by its cookie, while it is there.
    sockets: HashMap<u64, FlowKey>,
}

impl Datagrams {
    pub(crate) fn new(names: DatagramNames) -> Self {
        Self {
            names,
            sockets: HashMap::new(),
        }
    }

    /// The socket with this cookie, if it is not 0, has begun a flow.
    pub(crate) fn begins(&mut self, cookie: u64, key: FlowKey) {
        if cookie != 0 {
            self.sockets.insert(cookie, key);
        }
    }

    /// The flow is forgotten that the socket has begun.
    pub(crate) fn forget(&mut self, cookie: u64, key: &FlowKey) {
        if self.sockets.get(&cookie) == Some(key) {
            self.sockets.remove(&cookie);
        }
    }

    /// The flow of the socket that is closed.
    pub(crate) fn of_socket(&self, close: &Close) -> Option<FlowKey> {
        let cookie = self.names.prefix.cookie(&close.uuid)?;
        self.sockets.get(&cookie).copied()
    }
}
