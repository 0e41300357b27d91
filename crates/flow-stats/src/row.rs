//! The row of a connection: every figure, its definition and where that is from.

use std::net::{IpAddr, SocketAddr};

use model::Owner;
use packet_headers_common::SocketTotals;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    column::{Column, Time, Value, columns},
    community_id::community_id,
    connection::Connection,
    holes::Seen,
    icmp::{ICMP_COLUMNS, Icmp},
    kernel::{KERNEL, Kernel},
    owned::{OWNED, Owned},
    quantiles::Quantiles,
    quic::{QUIC_COLUMNS, Quic},
    rtt::{elapsed, microseconds},
    segment::Flags,
    side::Side,
    transport::{TRANSPORT_COLUMNS, Transport},
    words::{BeganBy, Ecn, Ended, Handshake, Protocol},
};

columns! {
    /// What is known of one connection, or of one UDP flow.
    Row [OWN: ""] {
        /// The connection's name, if the file's name says it.
        uuid: Option<String>, "M-Lab: `id`";
        /// The host on which it was captured, if known.
        host: Option<String>, "";
        /// The file that has its packets, if known.
        path: Option<String>, "";
        /// Community ID, version 1, seed 0: the name that Zeek, Suricata and Wireshark give it.
        community_id: String, "Corelight's specification; tshark: `communityid`";
        /// When its first packet was captured.
        start_time: Time, "M-Lab: `StartTime`";
        /// When its last packet was captured.
        end_time: Time, "M-Lab: `EndTime`";
        /// The time between the two.
        duration_us: u64, "tcptrace: elapsed time";
        /// The address of the end that began the connection. An IPv4 address mapped into IPv6 stays IPv6.
        client_ip: IpAddr, "M-Lab: `ClientIP`";
        /// Its port.
        client_port: u16, "M-Lab: `ClientPort`";
        /// The other end's address.
        server_ip: IpAddr, "M-Lab: `ServerIP`";
        /// Its port.
        server_port: u16, "M-Lab: `ServerPort`";
        /// How it is known who the client is: `syn`, `syn_ack`, `initial` (of QUIC), `ports` (the server's is the
        /// only one below 1024), or `unknown` (it sent the first packet).
        began_by: BeganBy, "";
        /// How much of the handshake was captured: `none`, `syn`, `syn_ack`, or `complete` with the client's
        /// acknowledgment. Of QUIC: `none`, `initial` (the client's), `answered`, or `complete` with the client's
        /// first short header behind the answer. `none` of other UDP.
        handshake: Handshake, "RFC 9293 3.5, RFC 9312 2.4; tshark: `tcp.completeness`";
        /// Whether the client's SYN was captured, so that nothing is missing at the beginning.
        from_syn: bool, "M-Lab: `syn_packet`";
        /// When the client's first SYN was captured.
        syn_time: Option<Time>, "M-Lab: `syn_time`";
        /// When the server's first SYN-ACK was captured.
        syn_ack_time: Option<Time>, "M-Lab: `syn_ack_time`";
        /// From the SYN to the acknowledgment of the SYN-ACK: both ends' `handshake_rtt_us`.
        initial_rtt_us: Option<u64>, "tshark: `tcp.analysis.initial_rtt`";
        /// How it ended: `fin` (both ends), `rst` (before both had sent FIN), `half` (FIN of one end), or
        /// `open`. A RST behind which its sender sends payload was forged and does not count. `none` of UDP and QUIC,
        /// whose packets do not say it.
        ended: Ended, "RFC 9293 3.6, 3.5.3; tcptrace: complete conns";
        /// Who sent the first FIN or RST: `client` or `server`.
        ended_by: Option<String>, "";
        /// Whether ECN is used: `no`, `refused`, `ecn` or `accecn`; nothing without both SYNs.
        ecn: Option<Ecn>, "RFC 3168 6.1.1, RFC 9768 3.1";
        /// Packets of both ends.
        packets: u64, "M-Lab: `packets`";
    }
    with {
        /// What the client sent.
        client: Direction,
        /// What the server sent.
        server: Direction,
        /// What the kernel of one end knew, if it told.
        kernel: Kernel,
        /// Whose it was at one end, if its host told.
        owner: Owned,
        /// What ICMP errors said of it.
        icmp: Icmp,
        /// By what protocol it was exchanged.
        transport: Transport,
        /// What QUIC shows of itself, if it is QUIC.
        quic: Quic,
    }
}

columns! {
    /// What one end sent, and what the other one said of it. Round-trip times are from the place where the
    /// packets were captured to the other end and back.
    #[derive(Default)]
    Direction [CLIENT: "client_", SERVER: "server_"] {
        /// Packets that this end sent: records of the capture, of which one may stand for several segments.
        packets: u64, "M-Lab: `Packets`; tcptrace: total packets";
        /// Bytes of its IP packets, with their headers, but without those of the link.
        ip_bytes: u64, "RFC 791 3.1 Total Length, RFC 8200 3 Payload Length + 40; tshark: `ip.len`";
        /// Packets with payload.
        payload_packets: u64, "tcptrace: actual data pkts";
        /// Bytes of payload, by the headers; with retransmissions.
        payload_bytes: u64, "tshark: `tcp.len`, `udp.length` - 8; tcptrace: actual data bytes";
        /// Bytes of payload, each once.
        goodput_bytes: u64, "tcptrace: unique bytes sent";
        /// Bytes of payload that the other end acknowledged, if it said anything.
        acked_bytes: Option<u64>, "RFC 4898 `tcpEStatsAppHCThruOctetsAcked`; Linux: `tcpi_bytes_acked`";
        /// Segments, with those that an offload has merged into one packet: as many as the capture says, or as
        /// the receiver's MSS takes.
        segments: u64, "RFC 4898 `tcpEStatsPerfSegsOut`; Linux: `tcpi_segs_out`";
        /// Packets that stand for several segments, or datagrams.
        offloaded_packets: u64, "";
        /// The largest payload of a packet that stands for one segment, or datagram.
        largest_segment_bytes: u64, "tcptrace: max segm size";
        /// Packets of which the capture does not have the whole TCP header.
        truncated_packets: u64, "M-Lab: `Truncated`";
        /// Sequence numbers that were acknowledged or passed over, and that no packet had: the capture, or the
        /// path to it, lost them.
        gap_bytes: u64, "tshark: `tcp.analysis.lost_segment`, `tcp.analysis.ack_lost_segment`; tcptrace: missed data";
        /// Packets whose sequence number is farther from the others than four windows (at least 1 MiB; 1 GiB if
        /// the window is not known): forged, or of another connection. They count as packets, and for nothing
        /// else. Two in a row that fit each other are believed.
        stray_packets: u64, "RFC 9293 3.10.7.4; M-Lab: `BadDeltas`";
        /// Packets whose round-trip time was not measured, as 128 others were on their way.
        unmeasured_packets: u64, "";
        /// Packets with SYN.
        syn_packets: u64, "tshark: `tcp.flags.syn`";
        /// Packets with FIN.
        fin_packets: u64, "tshark: `tcp.flags.fin`";
        /// Packets with RST.
        rst_packets: u64, "tshark: `tcp.flags.reset`";
        /// Packets that were sent again, with payload, SYN or FIN: some of their sequence numbers had been
        /// captured before, or they filled a hole too late for a packet that was only reordered
        /// (`upstream_lost_packets`). Probes and duplicates are not among them.
        retransmit_packets: u64, "M-Lab: `RetransmitPackets`; tshark: `tcp.analysis.retransmission`; Linux: `tcpi_total_retrans`";
        /// Bytes of payload in those packets.
        retransmit_bytes: u64, "M-Lab: `RetransmitBytes`; Linux: `tcpi_bytes_retrans`";
        /// Those sent because of what arrived: behind three duplicate acknowledgments, or below what was
        /// selectively acknowledged.
        fast_retransmit_packets: u64, "RFC 5681 3.2, RFC 6675 5, RFC 8985; tshark: `tcp.analysis.fast_retransmission`";
        /// Those sent because nothing arrived: the first unacknowledged one after at least 200 ms without a
        /// copy of it and without a word of the other end, and all others that were unacknowledged then. SYNs
        /// are among them; so is a tail loss probe that is the first unacknowledged one.
        timeout_retransmit_packets: u64, "RFC 6298 5; Linux: `TCP_RTO_MIN`";
        /// Those that the other end said it had got already.
        spurious_retransmit_packets: u64, "RFC 2883 4 (D-SACK), for the last 16; tshark: `tcp.analysis.spurious_retransmission`";
        /// Of the retransmissions, those whose first copy was lost before it got to where packets were
        /// captured, or was sent before the capture began.
        upstream_lost_packets: u64, "";
        /// Bytes of payload in those packets.
        upstream_lost_bytes: u64, "";
        /// Packets with payload, SYN or FIN that the network or the capture has doubled: the same sequence numbers
        /// and timestamp as a packet before, and the same IPv4 identification. Without an identification, with
        /// timestamps and within the initial round-trip time.
        duplicate_packets: u64, "RFC 791 3.2 Identification; tshark: `tcp.analysis.spurious_retransmission`";
        /// Packets that came behind one with later sequence numbers: with an older timestamp than that one or, if it
        /// is the same or missing, sooner than anything could be sent again: within the initial round-trip time
        /// (3 ms if that is not known). Also such as came behind what was sent again for them.
        reordered_packets: u64, "RFC 4737 3 Type-P-Reordered; tshark: `tcp.analysis.out_of_order`";
        /// Acknowledgments without payload.
        pure_acks: u64, "tcptrace: pure acks sent";
        /// Acknowledgments that repeat the last one: something is unacknowledged, there is no payload, no SYN
        /// and no FIN, the number is the highest one so far, and the window is the last one.
        duplicate_acks: u64, "RFC 5681 2; tshark: `tcp.analysis.duplicate_ack`";
        /// Packets with selective acknowledgments.
        sacks: u64, "RFC 2018 3; M-Lab: `Sacks`; tcptrace: sack pkts sent";
        /// Blocks in those packets.
        sack_blocks: u64, "RFC 2018 3; tshark: `tcp.options.sack.count`";
        /// Packets that report something that arrived twice.
        dsacks: u64, "RFC 2883 4; tshark: `tcp.options.sack.dsack`; tcptrace: dsack pkts sent; Linux: `tcpi_dsack_dups`";
        /// Probes of an idle connection: the last byte, or none, before the next sequence number, with
        /// everything acknowledged.
        keep_alives: u64, "RFC 9293 3.8.4; tshark: `tcp.analysis.keep_alive`";
        /// The same while the other end's window is closed.
        window_probes: u64, "RFC 9293 3.8.6.1; tshark: `tcp.analysis.zero_window_probe`; tcptrace: zwnd probe pkts";
        /// Packets that announce a closed window, without SYN, FIN and RST.
        zero_windows: u64, "tshark: `tcp.analysis.zero_window`; tcptrace: zero win adv";
        /// How long this end's window was closed: from each such packet to the next one that opens it, or to
        /// the last packet.
        zero_window_us: u64, "RFC 4898 `tcpEStatsPerfZeroRwinRcvd` counts them";
        /// The smallest window that it announced, scaled, without SYN and RST; nothing if the scale is unknown.
        window_min_bytes: Option<u64>, "RFC 7323 2.2; tcptrace: min win adv";
        /// The largest one.
        window_max_bytes: Option<u64>, "RFC 7323 2.2; tcptrace: max win adv";
        /// Packets with another window than the one before.
        window_changes: u64, "M-Lab: `WindowChanges`";
        /// The largest segment that it accepts, by its SYN.
        mss_bytes: Option<u16>, "RFC 9293 3.7.1; tshark: `tcp.options.mss_val`";
        /// By how many bits its windows are shifted, by its SYN; 14 at most.
        window_scale: Option<u8>, "RFC 7323 2.2; tshark: `tcp.options.wscale.shift`";
        /// Whether its SYN permits selective acknowledgments.
        sack_permitted: Option<bool>, "RFC 2018 2; tshark: `tcp.options.sack_perm`";
        /// Whether any of its packets has timestamps.
        timestamps: bool, "RFC 7323 3";
        /// Packets marked as ECN-capable, or as having met congestion.
        ect_packets: u64, "RFC 3168 5; tshark: `ip.dsfield.ecn`";
        /// Packets marked as having met congestion before they were captured.
        ce_packets: u64, "RFC 3168 5; tshark: `ip.dsfield.ecn == 3`";
        /// Packets with ECE, without SYN.
        ece_count: u64, "RFC 3168 6.1.3; M-Lab: `ECECount`";
        /// Packets with CWR, without SYN.
        cwr_packets: u64, "RFC 3168 6.1.2; tshark: `tcp.flags.cwr`";
        /// The smallest TTL or hop limit.
        ttl_min: Option<u8>, "tcptrace: min ttl";
        /// The largest one.
        ttl_max: Option<u8>, "tcptrace: max ttl";
        /// Packets with another TTL than the one before.
        ttl_changes: u64, "M-Lab: `TTLChanges`";
        /// From this end's last SYN, or SYN-ACK, to the first packet that answers it. Nothing if it was sent
        /// several times and no timestamp tells which one was answered.
        handshake_rtt_us: Option<u64>, "RFC 6298 3; for the client, tshark: `tcp.analysis.ack_rtt` of the SYN-ACK";
        /// Round-trip times measured by sequence numbers.
        rtt_samples: u64, "tcptrace: RTT samples";
        /// The shortest round-trip time, by sequence numbers: from a packet to the acknowledgment that ends where
        /// the packet ends. None while something that was sent twice or out of order is acknowledged, too, nor
        /// of what had been acknowledged selectively before (Karn).
        min_rtt_us: Option<u64>, "RFC 6298 3; M-Lab: `MinRTT`; tshark: `tcp.analysis.ack_rtt`; Linux: `tcpi_min_rtt`; tcptrace: RTT min";
        /// The median of those times, to 0.8 %; exact if there are no more than 16.
        rtt_p50_us: Option<u64>, "as `min_rtt_us`";
        /// What 95 % of them do not exceed, to 0.8 %.
        rtt_p95_us: Option<u64>, "as `min_rtt_us`";
        /// What 99 % of them do not exceed, to 0.8 %.
        rtt_p99_us: Option<u64>, "as `min_rtt_us`";
        /// Round-trip times measured by timestamps.
        ts_rtt_samples: u64, "";
        /// The shortest round-trip time, by timestamps: from the first packet with a timestamp to the first
        /// acknowledgment of something new that echoes it. Measures retransmissions, too; includes the time by
        /// which the other end delays acknowledgments, and up to one tick of this end's clock.
        ts_min_rtt_us: Option<u64>, "RFC 7323 4.1";
        /// The median of those times, to 0.8 %; exact if there are no more than 16.
        ts_rtt_p50_us: Option<u64>, "RFC 7323 4.1";
        /// What 95 % of them do not exceed, to 0.8 %.
        ts_rtt_p95_us: Option<u64>, "RFC 7323 4.1";
        /// What 99 % of them do not exceed, to 0.8 %.
        ts_rtt_p99_us: Option<u64>, "RFC 7323 4.1";
        /// The most sequence numbers that were sent and not acknowledged at a time, once the other end had
        /// acknowledged anything.
        in_flight_max_bytes: u64, "tshark: `tcp.analysis.bytes_in_flight`; tcptrace: max owin";
        /// Their mean over the time in which there were any.
        in_flight_mean_bytes: Option<u64>, "tcptrace: wavg owin, which counts idle time, too";
        /// When its first packet with payload was captured.
        first_payload_time: Option<Time>, "";
        /// When its last packet with payload was captured.
        last_payload_time: Option<Time>, "";
        /// Bits of `goodput_bytes` per second, from the first packet with payload to the last one or, if it came
        /// later, to when all payload was acknowledged.
        goodput_bps: Option<u64>, "tcptrace: throughput, which is by the duration of the connection and in bytes";
        /// The same in the best 100 ms, of those that follow each other from the first packet with payload on;
        /// nothing if payload came for less than that.
        peak_goodput_bps: Option<u64>, "";
    }
}

/// Columns that follow each other. Readers of CSV count them: new ones stand at the end.
const GROUPS: [&[Column]; 8] = [
    &OWN,
    &CLIENT,
    &SERVER,
    &KERNEL,
    &OWNED,
    &ICMP_COLUMNS,
    &TRANSPORT_COLUMNS,
    &QUIC_COLUMNS,
];

/// How many columns there are.
const WIDTH: usize = {
    let (mut width, mut group) = (0, 0);
    while group < GROUPS.len() {
        width += GROUPS[group].len();
        group += 1;
    }
    width
};

/// The columns of a row, in order.
pub const COLUMNS: &[Column] = &{
    let mut columns = [OWN[0]; WIDTH];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut within = 0;
        while within < GROUPS[group].len() {
            columns[at] = GROUPS[group][within];
            at += 1;
            within += 1;
        }
        group += 1;
    }
    columns
};

impl Row {
    /// The values, in the order of [`COLUMNS`].
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        let own = self.own_values().into_iter();
        own.chain(self.client.own_values())
            .chain(self.server.own_values())
            .chain(self.kernel.own_values())
            .chain(self.owner.own_values())
            .chain(self.icmp.own_values())
            .chain(self.transport.own_values())
            .chain(self.quic.own_values())
    }

    /// Adds what the kernel of the first of these ends knew of the connection between them when its socket
    /// was closed. Returns whether this is that connection.
    pub fn set_kernel(&mut self, ends: [SocketAddr; 2], totals: &SocketTotals) -> bool {
        let word = self.end_at(ends);
        if let Some(word) = word {
            self.kernel = Kernel::of(word, totals);
        }
        word.is_some()
    }

    /// Adds whose the connection between these ends was at the first of them. Returns whether this is that
    /// connection.
    pub fn set_owner(&mut self, ends: [SocketAddr; 2], owner: &Owner) -> bool {
        let word = self.end_at(ends);
        if let Some(word) = word {
            self.owner = Owned::by(word, owner);
        }
        word.is_some()
    }

    /// The word for the first of these ends, if they are this connection's.
    fn end_at(&self, ends: [SocketAddr; 2]) -> Option<&'static str> {
        let client = SocketAddr::new(self.client_ip, self.client_port);
        let server = SocketAddr::new(self.server_ip, self.server_port);
        if ends == [client, server] {
            Some("client")
        } else if ends == [server, client] {
            Some("server")
        } else {
            None
        }
    }
}

/// A flat map from the columns' names to the values, all of them, in order.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COLUMNS.len()))?;
        for (column, value) in COLUMNS.iter().zip(self.values()) {
            map.serialize_entry(column.name, &value)?;
        }
        map.end()
    }
}

impl Connection {
    /// The figures up to now. The caller knows the name, the host and the file.
    #[must_use]
    pub fn row(&self) -> Row {
        let (client, server) = (self.client, 1 - self.client);
        let [from, to] = [client, server].map(|side| &self.sides[side]);
        let [client_end, server_end] = [client, server].map(|side| self.ends[side]);
        let word = |side| if side == client { "client" } else { "server" };
        Row {
            uuid: None,
            host: None,
            path: None,
            community_id: community_id(Protocol::Tcp, self.ends),
            start_time: Time(self.start),
            end_time: Time(self.end),
            duration_us: microseconds(elapsed(self.start, self.end).unwrap_or(0)),
            client_ip: client_end.ip(),
            client_port: client_end.port(),
            server_ip: server_end.ip(),
            server_port: server_end.port(),
            began_by: self.began_by,
            handshake: self.handshake,
            from_syn: from.syn.is_some_and(|syn| !syn.flags.any(Flags::ACK)),
            syn_time: from.syn.map(|syn| Time(syn.first)),
            syn_ack_time: to.syn.map(|syn| Time(syn.first)),
            initial_rtt_us: from
                .handshake
                .zip(to.handshake)
                .map(|(from, to)| microseconds(from.saturating_add(to))),
            ended: self.ended(),
            ended_by: self.closed_by.map(|side| word(side).to_owned()),
            ecn: ecn(from, to),
            packets: from.counts.packets + to.counts.packets,
            client: self.direction(client),
            server: self.direction(server),
            kernel: Kernel::UNKNOWN,
            owner: Owned::UNKNOWN,
            icmp: self.icmp.clone(),
            transport: Transport::TCP,
            quic: Quic::NONE,
        }
    }

    #[expect(clippy::too_many_lines, reason = "a line for each column")]
    fn direction(&self, side: usize) -> Direction {
        let scale = self.scale(side);
        let side = &self.sides[side];
        let (counts, loss, trips) = (&side.counts, &side.loss, &side.trips);
        let [p50, p95, p99] = percentiles(&trips.by_sequence);
        let [ts_p50, ts_p95, ts_p99] = percentiles(&trips.by_timestamps);
        let window = scale.and_then(|scale| side.window.range(scale));
        let times = side.rate.times();
        Direction {
            packets: counts.packets,
            ip_bytes: counts.ip_bytes,
            payload_packets: counts.payload_packets,
            payload_bytes: counts.payload_bytes,
            goodput_bytes: side.rate.bytes(),
            acked_bytes: side.acknowledged_bytes(),
            segments: counts.segments,
            offloaded_packets: counts.offloaded,
            largest_segment_bytes: counts.largest.into(),
            truncated_packets: counts.truncated,
            gap_bytes: side.seen.as_ref().map_or(0, Seen::missing),
            stray_packets: counts.stray,
            unmeasured_packets: trips.unmeasured,
            syn_packets: counts.syns,
            fin_packets: counts.fins,
            rst_packets: counts.rsts,
            retransmit_packets: loss.packets,
            retransmit_bytes: loss.bytes,
            fast_retransmit_packets: loss.fast,
            timeout_retransmit_packets: loss.by_timeout,
            spurious_retransmit_packets: loss.spurious,
            upstream_lost_packets: loss.upstream,
            upstream_lost_bytes: loss.upstream_bytes,
            duplicate_packets: counts.duplicates,
            reordered_packets: loss.reordered,
            pure_acks: counts.pure_acks,
            duplicate_acks: counts.duplicate_acks,
            sacks: counts.sacks,
            sack_blocks: counts.sack_blocks,
            dsacks: counts.dsacks,
            keep_alives: counts.keep_alives,
            window_probes: counts.window_probes,
            zero_windows: side.window.zeros,
            zero_window_us: microseconds(side.window.zero_time(self.end)),
            window_min_bytes: window.map(|(least, _)| least),
            window_max_bytes: window.map(|(_, largest)| largest),
            window_changes: side.window.changes,
            mss_bytes: side.syn.and_then(|syn| syn.mss),
            window_scale: side.syn.and_then(|syn| syn.window_scale),
            sack_permitted: side.syn.map(|syn| syn.sack_permitted),
            timestamps: counts.timestamps,
            ect_packets: counts.marks.ect,
            ce_packets: counts.marks.ce,
            ece_count: counts.ece,
            cwr_packets: counts.cwr,
            ttl_min: counts.marks.ttl.map(|[_, least, _]| least),
            ttl_max: counts.marks.ttl.map(|[_, _, largest]| largest),
            ttl_changes: counts.marks.ttl_changes,
            handshake_rtt_us: side.handshake.map(microseconds),
            rtt_samples: trips.by_sequence.count(),
            min_rtt_us: trips.by_sequence.min().map(microseconds),
            rtt_p50_us: p50,
            rtt_p95_us: p95,
            rtt_p99_us: p99,
            ts_rtt_samples: trips.by_timestamps.count(),
            ts_min_rtt_us: trips.by_timestamps.min().map(microseconds),
            ts_rtt_p50_us: ts_p50,
            ts_rtt_p95_us: ts_p95,
            ts_rtt_p99_us: ts_p99,
            in_flight_max_bytes: side.flight.max(),
            in_flight_mean_bytes: side.flight.mean(),
            first_payload_time: times.map(|(first, _)| Time(first)),
            last_payload_time: times.map(|(_, last)| Time(last)),
            goodput_bps: side.rate.mean(side.all_acknowledged),
            peak_goodput_bps: side.rate.peak(),
        }
    }
}

fn percentiles(times: &Quantiles) -> [Option<u64>; 3] {
    [50, 95, 99].map(|percent| times.percentile(percent).map(microseconds))
}

/// What the two SYNs agreed on (RFC 3168 6.1.1, RFC 9768 3.1.1).
fn ecn(client: &Side, server: &Side) -> Option<Ecn> {
    const ASKED: u16 = Flags::ECE | Flags::CWR;
    let (asked, answer) = (client.syn?.flags, server.syn?.flags);
    Some(
        match (asked.of(ASKED | Flags::AE), answer.of(ASKED | Flags::AE)) {
            (asked, _) if asked & ASKED != ASKED => Ecn::No,
            (_, Flags::ECE) => Ecn::Classic,
            // The mark that the SYN arrived with is in the other two flags; all three mean that they were reflected.
            (asked, answer)
                if asked & Flags::AE != 0 && answer != 0 && answer != ASKED | Flags::AE =>
            {
                Ecn::Accurate
            }
            _ => Ecn::Refused,
        },
    )
}
