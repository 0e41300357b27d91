//! What a QUIC connection shows of itself: versions, how its handshake went, 0-RTT, and round-trip times by the
//! spin bit.

use packet_headers_common::quic::{
    Invariants, LongType, MAX_ID, NEGOTIATION, SPIN_BIT, VERSION_1, VERSION_2, begins_connection,
    invariants, long_type,
};

use crate::{
    column::columns,
    datagram::Datagram,
    quantiles::Quantiles,
    rtt::{elapsed, microseconds},
    spin::Spin,
    words::Handshake,
};

/// How many versions are listed.
const VERSIONS: usize = 4;

columns! {
    /// What a QUIC connection shows of itself. All of it is of the first packet of each datagram: what is behind that
    /// one in the same datagram is not looked at.
    Quic [QUIC_COLUMNS: "quic_"] {
        /// The versions of its packets with long headers, in the order in which they were seen, with spaces between:
        /// `1`, `2`, and others as `0xff00001d`; four at most. Empty if there was no such packet.
        versions: Option<String>, "RFC 8999 5.1, RFC 9000 15, RFC 9369 3.1; tshark: `quic.version`";
        /// Whether the server answered with a version negotiation packet.
        version_negotiation: Option<bool>, "RFC 8999 6; tshark: `quic.version == 0`";
        /// Whether the server answered with a Retry packet.
        retry: Option<bool>, "RFC 9000 8.1.2; tshark: `quic.long.packet_type`";
        /// From the client's first Initial to the server's first answer that is neither Retry nor version
        /// negotiation: the round trip to the server, what it computes, and those detours.
        answer_us: Option<u64>, "RFC 9312 3.8.1";
        /// From the client's first Initial to the client's first datagram that begins with a short header behind that
        /// answer: by then it has the keys, and knows the server. It may have sent such a packet before, behind others
        /// in the same datagram.
        handshake_us: Option<u64>, "RFC 9001 4.1, RFC 9312 3.2";
        /// Datagrams that begin with a 0-RTT packet. Those behind an Initial in the same datagram are not seen.
        zero_rtt_packets: Option<u64>, "RFC 9000 17.2.3; tshark: `quic.long.packet_type`";
        /// Round-trip times measured by the spin bit. 0 if an end does not use it, as each may choose, or sets it at
        /// random.
        spin_samples: Option<u64>, "RFC 9000 17.4; tshark: `quic.spin_bit`";
        /// The shortest one: from one change of an end's spin bit to its next one. Includes the time for which both
        /// ends had nothing to send, unless it is ten times as long as the last round trips.
        spin_min_rtt_us: Option<u64>, "RFC 9000 17.4, RFC 9312 3.8.2";
        /// The median of those times, to 0.8 %; exact if there are no more than 16.
        spin_rtt_p50_us: Option<u64>, "as `quic_spin_min_rtt_us`";
        /// What 95 % of them do not exceed, to 0.8 %.
        spin_rtt_p95_us: Option<u64>, "as `quic_spin_min_rtt_us`";
        /// Whether the flow begins with a short header, sent to a server that has taken part in a handshake before:
        /// the client has moved to another address or port, or a NAT has moved it, or the connection went on after a
        /// silence that had ended its flow. Which connection it was, nobody can tell. A migration in the middle of a
        /// flow cannot be seen: it is another flow.
        migration: Option<bool>, "RFC 9000 9, RFC 9312 3.5";
    }
}

impl Quic {
    /// It is no QUIC.
    pub(crate) const NONE: Self = Self {
        versions: None,
        version_negotiation: None,
        retry: None,
        answer_us: None,
        handshake_us: None,
        zero_rtt_packets: None,
        spin_samples: None,
        spin_min_rtt_us: None,
        spin_rtt_p50_us: None,
        spin_rtt_p95_us: None,
        migration: None,
    };
}

/// A connection ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Id {
    bytes: [u8; MAX_ID],
    length: usize,
}

impl Id {
    /// Of these bytes, of which there are at most [`MAX_ID`].
    fn of(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_ID];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        let length = id.len();
        Some(Self { bytes, length })
    }
}

/// What is known of a QUIC connection.
#[derive(Debug, Clone)]
pub(crate) struct QuicConnection {
    /// Which end of the flow is the client.
    client: usize,
    /// The client's ID in its first Initial, and when that was captured; nothing after a migration.
    began: Option<(Id, i64)>,
    answered: Option<i64>,
    complete: Option<i64>,
    versions: [u32; VERSIONS],
    known_versions: usize,
    version_negotiation: bool,
    retry: bool,
    zero_rtt: u64,
    spin: Spin,
}

/// What a datagram was to a QUIC connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// Whether it is the server's first answer.
    pub(crate) answers: bool,
    /// The round-trip time by the spin bit that it ends: nanoseconds.
    pub(crate) rtt: Option<u64>,
}

impl QuicConnection {
    /// A connection that this datagram begins, which this end of the flow has sent: its first packet is a client's
    /// Initial. `None` if it is not.
    pub(crate) fn begun_by(datagram: &Datagram<'_>, from: usize) -> Option<Self> {
        let length = usize::try_from(datagram.payload).unwrap_or(usize::MAX);
        if !begins_connection(datagram.captured, length) {
            return None;
        }
        let Some(Invariants::Long { source, .. }) = invariants(datagram.captured) else {
            return None;
        };
        Some(Self {
            began: Some((Id::of(source)?, datagram.time)),
            ..Self::of_client(from)
        })
    }

    /// A connection that goes on with this datagram, which this end of the flow has sent to a server: its first
    /// packet has a short header. `None` if it has not.
    pub(crate) fn gone_on_by(datagram: &Datagram<'_>, from: usize) -> Option<Self> {
        match invariants(datagram.captured)? {
            Invariants::Short { .. } => Some(Self::of_client(from)),
            Invariants::Long { .. } => None,
        }
    }

    fn of_client(client: usize) -> Self {
        Self {
            client,
            began: None,
            answered: None,
            complete: None,
            versions: [0; VERSIONS],
            known_versions: 0,
            version_negotiation: false,
            retry: false,
            zero_rtt: 0,
            spin: Spin::default(),
        }
    }

    /// Which end of the flow is the client.
    pub(crate) fn client(&self) -> usize {
        self.client
    }

    /// Whether it begins with a short header.
    pub(crate) fn is_migrated(&self) -> bool {
        self.began.is_none()
    }

    /// An end of the flow has sent a datagram.
    pub(crate) fn sent(&mut self, from: usize, datagram: &Datagram<'_>) -> Told {
        let by_client = from == self.client;
        let now = datagram.time;
        let mut told = Told::default();
        match invariants(datagram.captured) {
            Some(Invariants::Short { first }) => {
                if by_client && self.answered.is_some() {
                    self.complete.get_or_insert(now);
                }
                let bit = first & SPIN_BIT != 0;
                told.rtt = self.spin.sent(usize::from(!by_client), bit, now);
            }
            Some(Invariants::Long {
                version: NEGOTIATION,
                ..
            }) => self.version_negotiation |= !by_client,
            Some(Invariants::Long {
                first,
                version,
                destination,
                ..
            }) => {
                self.note_version(version);
                match long_type(first, version) {
                    Some(LongType::Retry) => self.retry |= !by_client,
                    Some(LongType::ZeroRtt) => self.zero_rtt += u64::from(by_client),
                    Some(LongType::Initial | LongType::Handshake) if !by_client => {
                        told.answers = self.note_answer(destination, now);
                    }
                    Some(LongType::Initial | LongType::Handshake) | None => {}
                }
            }
            None => {}
        }
        told
    }

    /// Whether this is the first answer to the client, whose ID it has then.
    fn note_answer(&mut self, destination: &[u8], now: i64) -> bool {
        let is_it = self.answered.is_none()
            && self
                .began
                .is_some_and(|(id, _)| Id::of(destination) == Some(id));
        if is_it {
            self.answered = Some(now);
        }
        is_it
    }

    fn note_version(&mut self, version: u32) {
        let known = self.versions.get(..self.known_versions);
        if known.is_some_and(|known| known.contains(&version)) {
            return;
        }
        if let Some(place) = self.versions.get_mut(self.known_versions) {
            *place = version;
            self.known_versions += 1;
        }
    }

    /// How much of the handshake was seen.
    pub(crate) fn handshake(&self) -> Handshake {
        match (self.began, self.answered, self.complete) {
            (None, ..) => Handshake::None,
            (_, None, _) => Handshake::Initial,
            (_, _, None) => Handshake::Answered,
            (_, _, Some(_)) => Handshake::Complete,
        }
    }

    /// The columns.
    pub(crate) fn columns(&self) -> Quic {
        let versions = self.versions.iter().take(self.known_versions);
        let versions: Vec<_> = versions.map(|version| text(*version)).collect();
        let began = self.began.map(|(_, time)| time);
        let since = |time: Option<i64>| elapsed(began?, time?).map(microseconds);
        let times = self.spin.times();
        let [p50, p95] = [50, 95].map(|percent| times?.percentile(percent).map(microseconds));
        Quic {
            versions: Some(versions.join(" ")),
            version_negotiation: Some(self.version_negotiation),
            retry: Some(self.retry),
            answer_us: since(self.answered),
            handshake_us: since(self.complete),
            zero_rtt_packets: Some(self.zero_rtt),
            spin_samples: Some(times.map_or(0, Quantiles::count)),
            spin_min_rtt_us: times.and_then(Quantiles::min).map(microseconds),
            spin_rtt_p50_us: p50,
            spin_rtt_p95_us: p95,
            migration: Some(self.is_migrated()),
        }
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.spin.heap_bytes()
    }
}

/// A version as text: those of RFCs by their numbers.
fn text(version: u32) -> String {
    match version {
        VERSION_2 => "2".to_owned(),
        VERSION_1 => "1".to_owned(),
        _ => format!("0x{version:08x}"),
    }
}
