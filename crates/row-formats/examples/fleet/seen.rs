//! The row of a connection as one of its ends has it.

use fastrand::Rng;
use flow_stats::{
    BeganBy, Connection as Stats, Direction, Ecn, Ended, Handshake, Protocol, Row, Segment, Time,
    community_id,
};

use crate::{
    connection::{Connection, End, Fate, SEGMENT},
    host::Host,
    process,
};

const MICROSECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// How long a host takes to answer, in microseconds.
const ANSWER: u64 = 50;
/// How long a sender waits for an answer at first, and how often it sends a SYN.
const TIMEOUT: u64 = SECOND;
const SYNS: u64 = 4;

/// A host that captured a connection.
pub(crate) struct Observer<'a> {
    host: &'a Host,
    end: End,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(host: &'a Host, end: End) -> Self {
        Self { host, end }
    }

    /// The row of a connection. What is drawn is of the observer, not of the connection.
    pub(crate) fn row(&self, connection: &Connection, rng: &mut Rng) -> Row {
        let mut row = empty();
        self.set_names(&mut row, connection, rng);
        self.set_times(&mut row, connection);
        self.set_outcome(&mut row, connection);
        set_packets(&mut row, connection);
        self.set_round_trips(&mut row, connection);
        if rng.f64() < self.host.incomplete {
            row.from_syn = false;
            row.handshake = Handshake::None;
            row.began_by = BeganBy::Ports;
            (row.syn_time, row.syn_ack_time, row.initial_rtt_us) = (None, None, None);
            let gap = rng.u64(1..=4) * SEGMENT;
            row.server.gap_bytes = gap.min(row.server.payload_bytes);
            row.client.stray_packets = rng.u64(..2);
        }
        if rng.u8(..10) > 0 {
            self.set_kernel(&mut row, connection, rng);
            if let Fate::Took(_) = connection.fate {
                row.owner = process::of(connection, self.end, self.host.number);
            }
        }
        row
    }

    fn set_names(&self, row: &mut Row, connection: &Connection, rng: &mut Rng) {
        let [client, server] = connection.ends;
        let uuid = format!("{}_1793500000_{:016X}", self.host.name, rng.u64(..1 << 40));
        row.path = Some(format!("{uuid}.pcap.zst"));
        row.uuid = Some(uuid);
        row.host = Some(self.host.name.clone());
        row.community_id = community_id(Protocol::Tcp, connection.ends);
        (row.client_ip, row.client_port) = (client.ip(), client.port());
        (row.server_ip, row.server_port) = (server.ip(), server.port());
    }

    /// When it began, was answered and ended, by this host's clock.
    fn set_times(&self, row: &mut Row, connection: &Connection) {
        let half = connection.round_trip / 2;
        let (syn, syn_ack) = match self.end {
            End::Client => (0, connection.round_trip + ANSWER),
            End::Server => (half, half + ANSWER),
        };
        let at = |microseconds: u64| {
            let since = (microseconds * MICROSECOND) as i64;
            Time(connection.begin + since + self.host.clock)
        };
        let [_, answered] = connection.payload;
        let last = match connection.fate {
            Fate::Unanswered => TIMEOUT * ((1 << SYNS) - 1),
            Fate::Refused => syn_ack,
            Fate::Took(_) => {
                let transfer = answered * 8 * SECOND / connection.rate;
                syn_ack + 2 * connection.round_trip + transfer + connection.closed
            }
        };
        (row.start_time, row.end_time) = (at(syn), at(last));
        row.duration_us = last - syn;
        row.syn_time = Some(at(syn));
        if let Fate::Took(_) = connection.fate {
            row.syn_ack_time = Some(at(syn_ack));
            row.initial_rtt_us = Some(connection.round_trip + ANSWER);
            let payload = [syn_ack + connection.round_trip, last].map(|time| Some(at(time)));
            [row.server.first_payload_time, row.server.last_payload_time] = payload;
        }
    }

    fn set_outcome(&self, row: &mut Row, connection: &Connection) {
        row.began_by = BeganBy::Syn;
        row.from_syn = true;
        row.client.syn_packets = 1;
        let (handshake, ended, by) = match connection.fate {
            Fate::Unanswered => (Handshake::Syn, Ended::Open, None),
            Fate::Refused => (Handshake::Syn, Ended::Reset, Some("server")),
            Fate::Took(Ended::Open) => (Handshake::Complete, Ended::Open, None),
            Fate::Took(Ended::Reset) => (Handshake::Complete, Ended::Reset, Some("client")),
            Fate::Took(ended) => (Handshake::Complete, ended, Some("server")),
        };
        (row.handshake, row.ended) = (handshake, ended);
        row.ended_by = by.map(str::to_owned);
        match connection.fate {
            // What arrives is not what was sent, but lost later.
            Fate::Unanswered if self.end == End::Client => {
                row.client.syn_packets = SYNS;
                row.client.retransmit_packets = SYNS - 1;
                row.client.timeout_retransmit_packets = SYNS - 1;
            }
            Fate::Unanswered => row.client.syn_packets = 1,
            Fate::Refused => row.server.rst_packets = 1,
            Fate::Took(_) => {
                row.server.syn_packets = 1;
                row.ecn = Some(Ecn::No);
                let (client, server) = match ended {
                    Ended::Open | Ended::Reset | Ended::Unsaid => (0, 0),
                    Ended::HalfClosed => (0, 1),
                    Ended::Closed => (1, 1),
                };
                (row.client.fin_packets, row.server.fin_packets) = (client, server);
                row.client.rst_packets = u64::from(ended == Ended::Reset);
                // Both are given up by the server, which is not acknowledged any more.
                if matches!(ended, Ended::Open | Ended::HalfClosed) {
                    row.server.timeout_retransmit_packets = 5;
                    row.server.retransmit_packets = 5;
                }
            }
        }
    }

    /// Each end's times are those to the other end and back, from where it was captured.
    fn set_round_trips(&self, row: &mut Row, connection: &Connection) {
        let Fate::Took(_) = connection.fate else {
            return;
        };
        let path = connection.round_trip;
        let (of_client, of_server) = match self.end {
            End::Client => (path, ANSWER),
            End::Server => (ANSWER, path),
        };
        for (end, time) in [(&mut row.client, of_client), (&mut row.server, of_server)] {
            end.handshake_rtt_us = Some(time);
            end.rtt_samples = end.payload_packets;
            if end.rtt_samples > 0 {
                end.min_rtt_us = Some(time);
                end.rtt_p50_us = Some(time + time / 10);
                end.rtt_p95_us = Some(time + time / 2);
                end.rtt_p99_us = Some(2 * time);
            }
        }
    }

    /// What the kernel of this end knew. It counts beyond what was captured of a long connection.
    fn set_kernel(&self, row: &mut Row, connection: &Connection, rng: &mut Rng) {
        let Fate::Took(_) = connection.fate else {
            return;
        };
        let (word, own, other) = match self.end {
            End::Client => ("client", &row.client, &row.server),
            End::Server => ("server", &row.server, &row.client),
        };
        let beyond = if rng.u8(..50) == 0 { rng.u64(1..20) } else { 0 };
        let kernel = &mut row.kernel;
        kernel.end = Some(word.to_owned());
        kernel.bytes_acked = own.acked_bytes.map(|bytes| bytes + beyond * SEGMENT);
        kernel.bytes_received = Some(other.goodput_bytes);
        kernel.total_retrans = Some(own.retransmit_packets + beyond);
        kernel.min_rtt_us = own.min_rtt_us;
        kernel.srtt_us = own.rtt_p50_us;
        kernel.segs_out = Some(own.segments + beyond);
        kernel.data_segs_out = Some(own.payload_packets + beyond);
        kernel.delivery_bps = own.goodput_bps;
        kernel.snd_mss = Some(SEGMENT);
        kernel.snd_cwnd = Some(10);
        kernel.lost = Some(0);
    }
}

/// Payload, what was sent again, and the packets that carry it.
fn set_packets(row: &mut Row, connection: &Connection) {
    let Row { client, server, .. } = row;
    for (end, goodput) in [&mut *client, &mut *server]
        .into_iter()
        .zip(connection.payload)
    {
        end.goodput_bytes = goodput;
        end.payload_packets = goodput.div_ceil(SEGMENT);
        if goodput > 0 {
            end.acked_bytes = Some(goodput);
            end.largest_segment_bytes = goodput.min(SEGMENT);
            end.mss_bytes = Some(1_460);
            end.window_scale = Some(7);
        }
    }
    server.fast_retransmit_packets = connection.again;
    server.spurious_retransmit_packets = connection.in_vain;
    server.retransmit_packets += connection.again;
    client.dsacks = connection.in_vain;
    client.zero_windows = u64::from(connection.closed > 0);
    client.zero_window_us = connection.closed;
    server.goodput_bps = (server.goodput_bytes > 0).then_some(connection.rate);
    if server.goodput_bytes > 0 {
        server.retransmit_bytes = server.retransmit_packets * server.largest_segment_bytes;
        server.payload_packets += server.retransmit_packets;
    }
    client.pure_acks = server.payload_packets / 2;
    for end in [&mut *client, &mut *server] {
        set_sums(end);
    }
    row.packets = row.client.packets + row.server.packets;
}

/// What follows from the packets of each kind.
fn set_sums(end: &mut Direction) {
    const HEADERS: u64 = 52;
    end.payload_bytes = end.goodput_bytes + end.retransmit_bytes;
    let others = end.syn_packets + end.fin_packets + end.rst_packets;
    end.packets = end.payload_packets + end.pure_acks + others;
    end.segments = end.packets;
    end.ip_bytes = end.packets * HEADERS + end.payload_bytes;
    end.timestamps = end.payload_packets > 0;
}

/// A row of which everything is still to be said.
fn empty() -> Row {
    const SYN: [u8; 40] = {
        let mut packet = [0; 40];
        // IPv4 with 20 bytes of header, TCP likewise; 40 bytes.
        packet[0] = 0x45;
        packet[3] = 40;
        packet[8] = 64;
        packet[9] = 6;
        packet[32] = 0x50;
        packet[33] = 2;
        packet
    };
    let segment = Segment::of_ip(0, &SYN, 40, 1).expect("it is TCP");
    Stats::new(&segment).row()
}
