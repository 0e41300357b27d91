//! Names of UDP flows.

use model::{FlowUuid, UuidPrefix, WallNanos};
use packet_headers_common::Endpoint;

/// How the flows of a table of datagrams are named.
#[derive(Debug, Clone)]
pub struct DatagramNames {
    /// What all of them begin with.
    pub prefix: UuidPrefix,
    /// Whether addresses are hidden: a name that follows from them would tell whoever guesses them.
    pub hides_addresses: bool,
}

impl DatagramNames {
    /// The name of the flow that a packet of that time begins. It was sent by the connected socket with this cookie,
    /// or by another.
    pub(crate) fn of(&self, [from, to]: [Endpoint; 2], at: WallNanos, cookie: u64) -> FlowUuid {
        let shown = |end: Endpoint| match self.hides_addresses {
            true => Endpoint::v6([0, 0], end.port()),
            false => end,
        };
        self.prefix.datagrams(shown(from), shown(to), at, cookie)
    }
}
