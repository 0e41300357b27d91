//! By what protocol it was exchanged, and what only UDP has.

use crate::{column::columns, words::Protocol};

columns! {
    /// By what protocol packets were exchanged.
    Transport [TRANSPORT_COLUMNS: ""] {
        /// `tcp`, `udp` or `quic`. UDP is taken for QUIC from the first packet on with which a client begins a
        /// connection of version 1 or 2, or if it begins with what is sent to a server that is known
        /// (`quic_migration`). Rows of older versions have no value: they are of TCP.
        protocol: Option<Protocol>, "RFC 9293, RFC 768, RFC 9312 3.1; tshark: `ip.proto`, `quic`";
        /// Datagrams of UDP that the client sent, with those that an offload has merged into one packet, as far as the
        /// capture says. Nothing for TCP.
        client_datagrams: Option<u64>, "RFC 768";
        /// The same of the server.
        server_datagrams: Option<u64>, "RFC 768";
    }
}

impl Transport {
    /// TCP.
    pub(crate) const TCP: Self = Self {
        protocol: Some(Protocol::Tcp),
        client_datagrams: None,
        server_datagrams: None,
    };
}
