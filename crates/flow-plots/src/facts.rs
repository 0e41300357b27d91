//! What a picture says in words: the title, the most important figures, and what is not known.

use flow_stats::{BeganBy, Direction, Ended, Protocol, Row, time_text};

use crate::{
    datagram_facts,
    numbers::{float, plural, time},
    scale::Quantity,
    subject::{Subject, is_udp, name},
};

/// Both ends, the client first.
pub(crate) fn title(row: &Row) -> String {
    let (client, server) = (
        std::net::SocketAddr::new(row.client_ip, row.client_port),
        std::net::SocketAddr::new(row.server_ip, row.server_port),
    );
    format!("{client} → {server}")
}

/// What it is.
pub(crate) fn kind(row: &Row) -> &'static str {
    match row.transport.protocol {
        Some(Protocol::Quic) => "QUIC connection",
        Some(Protocol::Udp) => "UDP flow",
        Some(Protocol::Tcp) | None => "TCP connection",
    }
}

/// The most important figures.
pub(crate) fn facts(subject: &Subject) -> Vec<String> {
    let row = &subject.row;
    let start = time_text(row.start_time.0)
        .replace('T', " ")
        .replace('Z', " UTC");
    let mut facts = vec![start, format!("lasted {}", time(row.duration_us))];
    if subject.is_udp() {
        facts.extend([0, 1].map(|way| datagram_facts::sent(subject, way)));
        facts.extend(datagram_facts::of_quic(&row.quic));
        facts.extend(row.uuid.clone());
        return facts;
    }
    facts.extend([0, 1].map(|way| sent(name(way), subject.direction(way))));
    facts.extend(
        row.initial_rtt_us
            .map(|rtt| format!("handshake RTT {}", time(rtt))),
    );
    facts.extend(
        subject
            .shown()
            .first()
            .and_then(|way| rtt(*way, subject.direction(*way))),
    );
    facts.push(end(row));
    facts.extend(errors(row));
    facts.extend(row.uuid.clone());
    facts
}

fn sent(who: &str, of: &Direction) -> String {
    let bytes = Quantity::Bytes.text(float(of.payload_bytes));
    let packets = plural(of.packets, "packet");
    let again = match (of.retransmit_packets, of.payload_bytes) {
        (0, _) => ", none retransmitted".to_owned(),
        (again, payload) => {
            let percent = float(of.retransmit_bytes) * 100.0 / float(payload.max(1));
            format!(", {again} retransmitted ({percent:.1} % of the bytes)")
        }
    };
    let again = if of.payload_bytes == 0 && of.retransmit_packets == 0 {
        ""
    } else {
        &again
    };
    format!("{who} sent {bytes} in {packets}{again}")
}

fn rtt(way: usize, of: &Direction) -> Option<String> {
    let (how, [min, median, p95]) = match of.min_rtt_us {
        Some(min) => ("", [Some(min), of.rtt_p50_us, of.rtt_p95_us]),
        None => (
            " by timestamps",
            [of.ts_min_rtt_us, of.ts_rtt_p50_us, of.ts_rtt_p95_us],
        ),
    };
    let (min, median, p95) = (time(min?), time(median?), time(p95?));
    let who = name(way);
    Some(format!(
        "RTT of the {who}’s data{how} {min} min, {median} median, {p95} p95"
    ))
}

fn end(row: &Row) -> String {
    let by = row.ended_by.as_deref().unwrap_or("nobody");
    match row.ended {
        Ended::Closed => format!("closed by FIN, {by} first"),
        Ended::Reset => "ended by RST".to_owned(),
        Ended::HalfClosed => format!("half closed, by the {by}"),
        Ended::Open | Ended::Unsaid => "not closed as far as captured".to_owned(),
    }
}

/// What ICMP errors said.
fn errors(row: &Row) -> Option<String> {
    let number = row.icmp.errors.unwrap_or(0);
    let errors = plural(number, "ICMP error");
    let mtu = row.icmp.mtu_bytes;
    let mtu = mtu.map_or(String::new(), |mtu| {
        format!(", smallest MTU told {mtu} bytes")
    });
    (number > 0).then(|| errors + &mtu)
}

/// What the picture does not know, or does not show.
pub(crate) fn notes(subject: &Subject) -> Vec<String> {
    let mut notes = Vec::new();
    if subject.row.began_by == BeganBy::Unknown {
        notes.push(
            "Which end began the connection is not known: the sender of the first captured packet \
             is called the client."
                .to_owned(),
        );
    }
    if subject.is_udp() {
        datagram_facts::notes(subject, &mut notes);
        return notes;
    }
    for way in subject.shown() {
        of_direction(subject, way, &mut notes);
    }
    for way in [0, 1] {
        let of = subject.direction(way);
        if of.stray_packets > 0 {
            notes.push(format!(
                "{} of the {} do not fit the connection and are not shown: forged, or of another one.",
                plural(of.stray_packets, "packet"),
                name(way)
            ));
        }
    }
    thinned(subject, &mut notes);
    notes
}

fn of_direction(subject: &Subject, way: usize, notes: &mut Vec<String>) {
    let (of, who, other) = (subject.direction(way), name(way), name(1 - way));
    // Only a SYN says a segment size, or whether SACK is permitted.
    if of.sack_permitted.is_none() {
        notes.push(format!(
            "The {who}’s SYN was not captured: its sequence numbers are relative to the first one seen."
        ));
    }
    if subject.direction(1 - way).window_max_bytes.is_none() {
        notes.push(format!(
            "The {other}’s window is not shown: how it is scaled is only said in the SYNs, which were not \
             both captured."
        ));
    }
    if of.offloaded_packets > 0 {
        notes.push(format!(
            "{} of the {who} stand for several segments each, which an offload (GRO, LRO, TSO) has merged \
             or not yet cut: {} in all. They are drawn as one bar, at the time of the capture.",
            plural(of.offloaded_packets, "packet"),
            plural(of.segments, "segment")
        ));
    }
    if of.gap_bytes > 0 {
        notes.push(format!(
            "{} of the {who} are missing in the capture, and left blank.",
            Quantity::Bytes.text(float(of.gap_bytes))
        ));
    }
    if of.truncated_packets > 0 {
        notes.push(format!(
            "Of {} of the {who} not all TCP options were captured: timestamps and SACK blocks may be missing.",
            plural(of.truncated_packets, "packet")
        ));
    }
    if of.unmeasured_packets > 0 {
        notes.push(format!(
            "{} of the {who} were not measured for a round-trip time by sequence, as too many were on their way.",
            plural(of.unmeasured_packets, "packet")
        ));
    }
    let flags = subject.ways[way].traces.flags.more;
    if flags > 0 {
        notes.push(format!(
            "{flags} more of SYN, FIN and RST in the {who}’s direction are not shown."
        ));
    }
}

fn thinned(subject: &Subject, notes: &mut Vec<String>) {
    let shown = subject.shown();
    let ways = || shown.iter().filter_map(|way| subject.ways.get(*way));
    if !ways().any(|way| way.traces.is_thinned()) {
        return;
    }
    let kept = match ways().any(|way| way.traces.thins_retransmissions()) {
        true => "so are the retransmissions, which are very many",
        false => "each retransmission is drawn",
    };
    notes.push(format!(
        "Thinned out: of its {}, what falls into one column of the picture is drawn as few marks that cover \
         the same; {kept}.",
        plural(subject.row.packets, "packet")
    ));
}

/// The table of an HTML page: what each line is, and its values for the client and the server.
pub(crate) fn table(row: &Row) -> Vec<(&'static str, [String; 2])> {
    if is_udp(row) {
        return datagram_facts::table(row);
    }
    let both = [&row.client, &row.server];
    let count = |of: fn(&Direction) -> u64| both.map(|side| of(side).to_string());
    let bytes = |of: fn(&Direction) -> u64| both.map(|side| Quantity::Bytes.text(float(of(side))));
    let maybe = |of: fn(&Direction) -> Option<u64>, quantity: Quantity, size: f64| {
        both.map(|side| {
            of(side).map_or("–".to_owned(), |value| quantity.text(float(value) * size))
        })
    };
    let time = |of| maybe(of, Quantity::Time, 1e3);
    vec![
        ("packets", count(|side| side.packets)),
        ("payload", bytes(|side| side.payload_bytes)),
        (
            "goodput",
            maybe(|side| side.goodput_bps, Quantity::Rate, 1.0),
        ),
        (
            "retransmitted packets",
            count(|side| side.retransmit_packets),
        ),
        ("– fast", count(|side| side.fast_retransmit_packets)),
        (
            "– by timeout",
            count(|side| side.timeout_retransmit_packets),
        ),
        (
            "– for nothing",
            count(|side| side.spurious_retransmit_packets),
        ),
        ("reordered packets", count(|side| side.reordered_packets)),
        ("duplicate ACKs sent", count(|side| side.duplicate_acks)),
        ("zero windows sent", count(|side| side.zero_windows)),
        (
            "largest window",
            maybe(|side| side.window_max_bytes, Quantity::Bytes, 1.0),
        ),
        ("most in flight", bytes(|side| side.in_flight_max_bytes)),
        ("RTT samples", count(|side| side.rtt_samples)),
        ("RTT min", time(|side| side.min_rtt_us)),
        ("RTT median", time(|side| side.rtt_p50_us)),
        ("RTT p95", time(|side| side.rtt_p95_us)),
        ("RTT by timestamps, median", time(|side| side.ts_rtt_p50_us)),
    ]
}
