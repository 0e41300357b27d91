//! What a picture of a UDP flow says in words, beside what all pictures say.

use flow_stats::{Direction, Quic, Row};

use crate::{
    numbers::{float, plural, time},
    scale::Quantity,
    subject::{Subject, name},
};

/// What one end sent.
pub(crate) fn sent(subject: &Subject, way: usize) -> String {
    let of = subject.direction(way);
    let bytes = Quantity::Bytes.text(float(of.payload_bytes));
    let packets = plural(of.packets, "packet");
    let datagrams = match datagrams(&subject.row, way) {
        datagrams if datagrams == of.packets => String::new(),
        datagrams => format!(" ({})", plural(datagrams, "datagram")),
    };
    format!("{} sent {bytes} in {packets}{datagrams}", name(way))
}

fn datagrams(row: &Row, way: usize) -> u64 {
    let transport = &row.transport;
    let both = [transport.client_datagrams, transport.server_datagrams];
    both.get(way).copied().flatten().unwrap_or(0)
}

/// What QUIC shows of itself.
pub(crate) fn of_quic(quic: &Quic) -> Vec<String> {
    let said = |is: Option<bool>, words: &str| is.unwrap_or(false).then(|| words.to_owned());
    let versions = quic.versions.as_deref().filter(|text| !text.is_empty());
    let rtt = || {
        let times = [
            quic.spin_min_rtt_us?,
            quic.spin_rtt_p50_us?,
            quic.spin_rtt_p95_us?,
        ];
        let [min, median, p95] = times.map(time);
        Some(format!(
            "RTT by the spin bit {min} min, {median} median, {p95} p95"
        ))
    };
    let zero_rtt = quic.zero_rtt_packets.filter(|packets| *packets > 0);
    let facts = [
        versions.map(|versions| format!("QUIC version {}", versions.replace(' ', ", "))),
        said(quic.version_negotiation, "version negotiation"),
        said(quic.retry, "Retry"),
        quic.answer_us
            .map(|answer| format!("answered after {}", time(answer))),
        quic.handshake_us
            .map(|handshake| format!("handshake {}", time(handshake))),
        zero_rtt.map(|packets| plural(packets, "0-RTT packet")),
        rtt(),
        said(
            quic.migration,
            "goes on with a connection that began elsewhere, or before",
        ),
    ];
    facts.into_iter().flatten().collect()
}

/// What the picture does not know.
pub(crate) fn notes(subject: &Subject, notes: &mut Vec<String>) {
    for way in subject.shown() {
        let of = subject.direction(way);
        if of.offloaded_packets > 0 {
            let stand = if of.offloaded_packets == 1 {
                "stands"
            } else {
                "stand"
            };
            notes.push(format!(
                "Of the packets of the {}, {} {stand} for several datagrams, which an offload (GRO, GSO) has merged \
                 or not yet cut: {} in all. Each is drawn with the payload of all of them.",
                name(way),
                of.offloaded_packets,
                plural(datagrams(&subject.row, way), "datagram")
            ));
        }
    }
    if subject.row.quic.spin_samples == Some(0) {
        notes.push(
            "The spin bit tells no round-trip time: an end leaves it alone or sets it at random, as each may, \
             or there are too few packets."
                .to_owned(),
        );
    }
    if subject.ways.iter().any(|way| way.traces.is_thinned()) {
        notes.push(format!(
            "Thinned out: of its {}, what falls into one column of the picture is drawn as few marks that cover the \
             same.",
            plural(subject.row.packets, "packet")
        ));
    }
}

/// The table of an HTML page, as [`crate::facts::table`].
pub(crate) fn table(row: &Row) -> Vec<(&'static str, [String; 2])> {
    let both = [&row.client, &row.server];
    let count = |of: fn(&Direction) -> u64| both.map(|side| of(side).to_string());
    let ttl = |of: fn(&Direction) -> Option<u8>| {
        both.map(|side| of(side).map_or("–".to_owned(), |ttl| ttl.to_string()))
    };
    vec![
        ("packets", count(|side| side.packets)),
        (
            "datagrams",
            [0, 1].map(|way| datagrams(row, way).to_string()),
        ),
        (
            "payload",
            both.map(|side| Quantity::Bytes.text(float(side.payload_bytes))),
        ),
        (
            "largest payload",
            both.map(|side| Quantity::Bytes.text(float(side.largest_segment_bytes))),
        ),
        ("marked: congestion met", count(|side| side.ce_packets)),
        ("TTL, smallest", ttl(|side| side.ttl_min)),
        ("TTL, largest", ttl(|side| side.ttl_max)),
    ]
}
