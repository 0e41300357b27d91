//! The row of a UDP flow. What only TCP has is 0 there, or has no value.

use crate::{
    column::Time,
    community_id::community_id,
    datagrams::{DatagramSide, Datagrams},
    icmp::Icmp,
    kernel::Kernel,
    owned::Owned,
    quic::Quic,
    row::{Direction, Row},
    rtt::{elapsed, microseconds},
    transport::Transport,
    words::{Ended, Handshake},
};

impl Datagrams {
    /// The figures up to now. The caller knows the name, the host and the file.
    #[must_use]
    pub fn row(&self) -> Row {
        let (client, server) = (self.client(), 1 - self.client());
        let [from, to] = [client, server].map(|side| &self.sides[side]);
        let [client_end, server_end] = [client, server].map(|side| self.ends[side]);
        let quic = self.quic.as_ref();
        Row {
            uuid: None,
            host: None,
            path: None,
            community_id: community_id(self.protocol(), self.ends),
            start_time: Time(self.start),
            end_time: Time(self.end),
            duration_us: microseconds(elapsed(self.start, self.end).unwrap_or(0)),
            client_ip: client_end.ip(),
            client_port: client_end.port(),
            server_ip: server_end.ip(),
            server_port: server_end.port(),
            began_by: self.began_by(),
            handshake: quic.map_or(Handshake::None, |quic| quic.handshake()),
            from_syn: false,
            syn_time: None,
            syn_ack_time: None,
            initial_rtt_us: None,
            ended: Ended::Unsaid,
            ended_by: None,
            ecn: None,
            packets: from.packets + to.packets,
            client: from.direction(),
            server: to.direction(),
            kernel: Kernel::UNKNOWN,
            owner: Owned::UNKNOWN,
            icmp: Icmp::UNKNOWN,
            transport: Transport {
                protocol: Some(self.protocol()),
                client_datagrams: Some(from.datagrams),
                server_datagrams: Some(to.datagrams),
            },
            quic: quic.map_or(Quic::NONE, |quic| quic.columns()),
        }
    }
}

impl DatagramSide {
    fn direction(&self) -> Direction {
        Direction {
            packets: self.packets,
            ip_bytes: self.ip_bytes,
            payload_packets: self.payload_packets,
            payload_bytes: self.payload_bytes,
            offloaded_packets: self.offloaded,
            largest_segment_bytes: self.largest.into(),
            ect_packets: self.marks.ect,
            ce_packets: self.marks.ce,
            ttl_min: self.marks.ttl.map(|[_, least, _]| least),
            ttl_max: self.marks.ttl.map(|[_, _, largest]| largest),
            ttl_changes: self.marks.ttl_changes,
            first_payload_time: self.payload_times.map(|(first, _)| Time(first)),
            last_payload_time: self.payload_times.map(|(_, last)| Time(last)),
            ..Direction::default()
        }
    }
}
