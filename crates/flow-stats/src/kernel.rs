//! What the kernel of one end knew of the connection, next to what its packets say.

use packet_headers_common::SocketTotals;

use crate::column::columns;

columns! {
    /// What the kernel of one end knew when its socket was closed, for the whole life of the connection; no
    /// values where nobody told.
    Kernel [KERNEL: "kernel_"] {
        /// Whose kernel: `client` or `server`.
        end: Option<String>, "";
        /// Sequence numbers that its socket sent and that were acknowledged: payload, an acknowledged FIN and,
        /// for the client, the SYN.
        bytes_acked: Option<u64>, "Linux: `tcpi_bytes_acked`";
        /// Sequence numbers received in order: payload, and a FIN that the socket saw.
        bytes_received: Option<u64>, "Linux: `tcpi_bytes_received`";
        /// Smoothed round-trip time.
        srtt_us: Option<u64>, "RFC 6298 2; Linux: `tcpi_rtt`";
        /// The least round-trip time of the last five minutes or more.
        min_rtt_us: Option<u64>, "Linux: `tcpi_min_rtt`, `net.ipv4.tcp_min_rtt_wlen`";
        /// Segments sent again, with SYNs, SYN-ACKs, FINs and probes for a lost tail.
        total_retrans: Option<u64>, "Linux: `tcpi_total_retrans`";
        /// Segments sent, with those sent again and without SYN-ACKs.
        segs_out: Option<u64>, "Linux: `tcpi_segs_out`";
        /// Of these, segments with payload.
        data_segs_out: Option<u64>, "Linux: `tcpi_data_segs_out`";
        /// Segments received, without the client's SYN.
        segs_in: Option<u64>, "Linux: `tcpi_segs_in`";
        /// Of these, segments with payload.
        data_segs_in: Option<u64>, "Linux: `tcpi_data_segs_in`";
        /// Segments taken for lost and neither sent again nor acknowledged at the end.
        lost: Option<u64>, "Linux: `tcpi_lost`";
        /// Segments acknowledged selectively, beyond what was acknowledged at the end.
        sacked: Option<u64>, "Linux: `tcpi_sacked`";
        /// Sequence numbers sent and not acknowledged at the end.
        unacked_bytes: Option<u64>, "Linux: `snd_nxt` - `snd_una`";
        /// Congestion window at the end, in segments.
        snd_cwnd: Option<u64>, "RFC 5681 2; Linux: `tcpi_snd_cwnd`";
        /// Segments delivered in the sample of the delivery rate.
        rate_delivered: Option<u64>, "Linux: `rate_delivered`";
        /// How long that sample was.
        rate_interval_us: Option<u64>, "Linux: `rate_interval_us`";
        /// Segments whose acknowledgment reported that they had met congestion.
        delivered_ce: Option<u64>, "RFC 3168 6.1.3; Linux: `tcpi_delivered_ce`";
        /// Segments that arrived twice, by D-SACK.
        dsack_dups: Option<u64>, "RFC 2883 4; Linux: `tcpi_dsack_dups`";
        /// The largest payload of a segment sent, in bytes.
        snd_mss: Option<u64>, "Linux: `tcpi_snd_mss`";
        /// ECN, in bits: 1 it was negotiated, 8 marked packets were received.
        ecn_flags: Option<u64>, "RFC 3168 6.1.1; Linux: `tcp_sock.ecn_flags`";
        /// The state before the end: 1 is ESTABLISHED, 4 FIN_WAIT1, 5 FIN_WAIT2, 8 CLOSE_WAIT, 9 LAST_ACK,
        /// 11 CLOSING.
        state: Option<u64>, "RFC 9293 3.3.2; Linux: `tcpi_state`";
        /// The rate at which payload was delivered last while nothing but the path was the limit, or a higher
        /// one since.
        delivery_bps: Option<u64>, "Linux: `tcpi_delivery_rate`, which is in bytes";
    }
}

impl Kernel {
    /// Nobody told.
    pub(crate) const UNKNOWN: Self = Self::from_fields(None, [None; SocketTotals::FIELDS], None);

    /// What the kernel of this end, `client` or `server`, knew.
    pub(crate) fn of(end: &str, totals: &SocketTotals) -> Self {
        let values = totals.fields().map(|(_, value)| value);
        let rate = totals.delivery_rate();
        let bits = rate.map(|bytes| bytes.saturating_mul(8));
        Self::from_fields(Some(end.to_owned()), values, bits)
    }

    /// The values in the order of [`SocketTotals::fields`], which is that of the columns.
    const fn from_fields(
        end: Option<String>,
        values: [Option<u64>; SocketTotals::FIELDS],
        delivery_bps: Option<u64>,
    ) -> Self {
        let [
            bytes_acked,
            bytes_received,
            srtt_us,
            min_rtt_us,
            total_retrans,
            segs_out,
            data_segs_out,
            segs_in,
            data_segs_in,
            lost,
            sacked,
            unacked_bytes,
            snd_cwnd,
            rate_delivered,
            rate_interval_us,
            delivered_ce,
            dsack_dups,
            snd_mss,
            ecn_flags,
            state,
        ] = values;
        Self {
            end,
            bytes_acked,
            bytes_received,
            srtt_us,
            min_rtt_us,
            total_retrans,
            segs_out,
            data_segs_out,
            segs_in,
            data_segs_in,
            lost,
            sacked,
            unacked_bytes,
            snd_cwnd,
            rate_delivered,
            rate_interval_us,
            delivered_ce,
            dsack_dups,
            snd_mss,
            ecn_flags,
            state,
            delivery_bps,
        }
    }
}
