//! What tshark says of uploads, of which the client sends.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, ensure};

use crate::peers::figures::{Figures, Which};
use crate::peers::tools;

/// What tshark says of an upload: sums of its packets' fields, of the end that sends and of the one that reads.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    packets: [u64; 2],
    payload_packets: u64,
    /// Called retransmissions or out of order, of whichever kind.
    not_in_order: u64,
    duplicate_acks: u64,
    zero_windows: u64,
    sack_blocks: u64,
    dsacks: u64,
    /// Microseconds.
    ack_rtts: Vec<f64>,
    initial_rtt: f64,
    in_flight: u64,
    community_id: String,
    /// The largest segments that the two accept.
    mss: [u64; 2],
    /// Marked as having met congestion; echoed so; and acted on.
    marked: u64,
    echoes: u64,
    reduced: u64,
}

const FIELDS: [&str; 22] = [
    "ipv6.src",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.len",
    "tcp.analysis.retransmission",
    "tcp.analysis.fast_retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.duplicate_ack",
    "tcp.analysis.zero_window",
    "tcp.options.sack.count",
    "tcp.options.sack.dsack",
    "tcp.analysis.ack_rtt",
    "tcp.analysis.initial_rtt",
    "tcp.analysis.bytes_in_flight",
    "communityid",
    "ip.dsfield.ecn",
    "ipv6.tclass.ecn",
    "tcp.flags.syn",
    "tcp.flags.ece",
    "tcp.flags.cwr",
    "tcp.options.mss_val",
];

/// A packet's fields, by name.
struct Packet([String; FIELDS.len()]);

impl Packet {
    fn text(&self, name: &str) -> &str {
        let at = FIELDS.iter().position(|field| *field == name);
        &self.0[at.unwrap_or_else(|| panic!("tshark is not asked for {name}"))]
    }

    fn has(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    fn is(&self, name: &str) -> bool {
        matches!(self.text(name), "1" | "True")
    }

    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name).parse().ok()
    }

    fn is_not_in_order(&self) -> bool {
        let kinds = [
            "retransmission",
            "fast_retransmission",
            "spurious_retransmission",
            "out_of_order",
        ];
        kinds
            .iter()
            .any(|kind| self.has(&format!("tcp.analysis.{kind}")))
    }
}

impl Seen {
    /// Adds a packet of the end that sends, or of the one that reads.
    fn add(&mut self, reader: bool, packet: &Packet) {
        self.packets[usize::from(reader)] += 1;
        packet
            .text("communityid")
            .clone_into(&mut self.community_id);
        if let Some(seconds) = packet.number::<f64>("tcp.analysis.initial_rtt") {
            self.initial_rtt = seconds * 1e6;
        }
        if let Some(mss) = packet.number("tcp.options.mss_val") {
            self.mss[usize::from(reader)] = mss;
        }
        let opens = packet.is("tcp.flags.syn");
        if reader {
            self.duplicate_acks += u64::from(packet.has("tcp.analysis.duplicate_ack"));
            self.zero_windows += u64::from(packet.has("tcp.analysis.zero_window"));
            self.sack_blocks += packet.number("tcp.options.sack.count").unwrap_or(0);
            self.dsacks += u64::from(packet.has("tcp.options.sack.dsack"));
            self.echoes += u64::from(packet.is("tcp.flags.ece") && !opens);
            let seconds = packet.number::<f64>("tcp.analysis.ack_rtt");
            self.ack_rtts.extend(seconds.map(|seconds| seconds * 1e6));
        } else {
            self.payload_packets += u64::from(packet.text("tcp.len") != "0");
            self.not_in_order += u64::from(packet.is_not_in_order());
            let in_flight = packet.number("tcp.analysis.bytes_in_flight");
            self.in_flight = self.in_flight.max(in_flight.unwrap_or(0));
            let mark = [
                packet.text("ip.dsfield.ecn"),
                packet.text("ipv6.tclass.ecn"),
            ];
            self.marked += u64::from(mark.contains(&"3"));
            self.reduced += u64::from(packet.is("tcp.flags.cwr") && !opens);
        }
    }

    /// Fails unless what has to be equal wherever packets are captured is what the row of the same upload has, of
    /// so many bytes. More has to be where the path `is_clean`.
    ///
    /// # Errors
    /// What differs.
    pub fn agrees(&self, figures: &Figures, bytes: u64, is_clean: bool) -> Result<()> {
        let words = ["began_by", "handshake", "ended", "ecn", "community_id"];
        let words = words.map(|column| figures.row[column].as_str().unwrap_or_default());
        let expected = ["syn", "complete", "fin", "ecn", &self.community_id];
        ensure!(
            words == expected,
            "{:?}: {words:?}, not {expected:?}",
            figures.which
        );
        for (column, expected) in [
            ("client_packets", self.packets[0]),
            ("server_packets", self.packets[1]),
            ("client_payload_packets", self.payload_packets),
            ("client_goodput_bytes", bytes),
            ("client_acked_bytes", bytes),
            ("client_gap_bytes", 0),
            ("client_stray_packets", 0),
            ("server_zero_windows", self.zero_windows),
            ("server_sack_blocks", self.sack_blocks),
            ("server_dsacks", self.dsacks),
            ("client_mss_bytes", self.mss[0]),
            ("server_mss_bytes", self.mss[1]),
            ("client_ce_packets", self.marked),
            ("client_cwr_packets", self.reduced),
            ("server_ece_count", self.echoes),
        ] {
            figures.has(column, expected)?;
        }
        let what = format!("{}; and tshark: {self:?}", figures.text());
        ensure!(figures.not_in_order() == self.not_in_order, "{what}");
        // Those that answer something that is unacknowledged.
        let duplicate_acks = figures.count("server_duplicate_acks");
        ensure!(duplicate_acks <= self.duplicate_acks, "{what}");
        let near = |column: &str, time: f64| (figures.count(column) as f64 - time).abs() <= 1.0;
        ensure!(near("initial_rtt_us", self.initial_rtt), "{what}");
        let least = self.ack_rtts.iter().copied().fold(f64::MAX, f64::min);
        ensure!(
            figures.count("client_min_rtt_us") as f64 >= least - 1.0,
            "{what}"
        );
        // Karn's rule has nothing to leave out: nearly always so, but a busy machine delays packets.
        if is_clean && self.not_in_order == 0 {
            let unmeasured = figures.count("client_unmeasured_packets");
            ensure!(unmeasured > 0 || near("client_min_rtt_us", least), "{what}");
            let samples = figures.count("client_rtt_samples");
            let all = self.ack_rtts.len() as u64;
            ensure!(samples <= all && all <= samples + unmeasured, "{what}");
            figures.has("client_in_flight_max_bytes", self.in_flight)?;
        }
        Ok(())
    }
}

/// What tshark says of each upload of a file to one of these ports.
///
/// # Errors
/// What tshark prints, even a warning.
pub fn of(file: &Path, ports: &[u16]) -> Result<HashMap<Which, Seen>> {
    let mut uploads: HashMap<_, Seen> = HashMap::new();
    for packet in tools::fields(file, FIELDS)? {
        let packet = Packet(packet);
        let [from, to] =
            ["tcp.srcport", "tcp.dstport"].map(|name| packet.number(name).unwrap_or(0));
        let reader = ports.contains(&from);
        let which = (packet.has("ipv6.src"), if reader { from } else { to });
        uploads.entry(which).or_default().add(reader, &packet);
    }
    Ok(uploads)
}
