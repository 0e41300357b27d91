//! What filters, tables and people look at first in a row.

use std::net::SocketAddr;

use flow_stats::{Direction, Row};

/// What filters, tables and people look at first in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Who began, as far as that is known, and the other end.
    pub ends: (SocketAddr, SocketAddr),
    /// When the first packet was captured, in nanoseconds since 1970.
    pub start: i64,
    /// When the last packet was captured, in nanoseconds since 1970.
    pub end: i64,
    /// Bytes of payload from the client, and from the server, with retransmissions.
    pub bytes: [u64; 2],
    /// Retransmitted packets of both ends.
    pub retransmissions: u64,
    /// The round-trip time in microseconds: to either end the median by sequence numbers, else by
    /// timestamps, else that of the handshake; and the sum of both, as far as they are known. Of QUIC: the median
    /// by the spin bit.
    pub rtt_us: Option<u64>,
}

impl Figures {
    /// Of a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        let (client, server) = (&row.client, &row.server);
        let rtt = |of: &Direction| of.rtt_p50_us.or(of.ts_rtt_p50_us).or(of.handshake_rtt_us);
        let rtts = [rtt(client), rtt(server)];
        Self {
            ends: (
                SocketAddr::new(row.client_ip, row.client_port),
                SocketAddr::new(row.server_ip, row.server_port),
            ),
            start: row.start_time.0,
            end: row.end_time.0,
            bytes: [client.payload_bytes, server.payload_bytes],
            retransmissions: client
                .retransmit_packets
                .saturating_add(server.retransmit_packets),
            rtt_us: rtts
                .into_iter()
                .flatten()
                .reduce(u64::saturating_add)
                .or(row.quic.spin_rtt_p50_us),
        }
    }
}
