//! What is drawn: the figures of a connection or a UDP flow, and the traces of its two directions.

use flow_stats::{Direction, Protocol, Row};

use crate::{thin::Span, traces::Traces};

/// Up to how many packets with payload are few.
const FEW: u64 = 10;

/// A connection or a UDP flow, as far as a picture shows it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) row: Row,
    pub(crate) span: Span,
    /// The client's direction, and the server's.
    pub(crate) ways: [Way; 2],
}

/// What one end sent.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) traces: Traces,
    /// The places of its first sequence number, and behind its last one.
    pub(crate) places: (i64, i64),
}

impl Subject {
    /// Whether it is UDP, of which there are neither sequence numbers nor acknowledgments.
    pub(crate) fn is_udp(&self) -> bool {
        is_udp(&self.row)
    }

    /// The figures of one end.
    pub(crate) fn direction(&self, way: usize) -> &Direction {
        match way {
            0 => &self.row.client,
            _ => &self.row.server,
        }
    }

    /// The directions that have a graph: those that carry data, the one that carries more first; the client's
    /// if none does.
    pub(crate) fn shown(&self) -> Vec<usize> {
        let bytes = |way: &usize| self.direction(*way).payload_bytes;
        let mut shown: Vec<_> = [0, 1].into_iter().filter(|way| bytes(way) > 0).collect();
        shown.sort_by_key(|way| std::cmp::Reverse(bytes(way)));
        if shown.is_empty() {
            shown.push(0);
        }
        shown
    }

    /// Whether a direction has all graphs. Of a request's few packets, rates and times say nothing.
    pub(crate) fn has_all_graphs(&self, way: usize) -> bool {
        let packets = self.direction(way).payload_packets;
        packets > FEW || (packets > 0 && self.shown().first() == Some(&way))
    }

    /// The same for a picture of fewer columns.
    pub(crate) fn narrower(&self, columns: usize) -> Self {
        let narrower = |way: &Way| Way {
            traces: way.traces.narrower(columns),
            places: way.places,
        };
        Self {
            row: self.row.clone(),
            span: self.span,
            ways: [narrower(&self.ways[0]), narrower(&self.ways[1])],
        }
    }
}

/// Whether a row is of UDP.
pub(crate) fn is_udp(row: &Row) -> bool {
    matches!(row.transport.protocol, Some(Protocol::Udp | Protocol::Quic))
}

/// What an end is called.
pub(crate) fn name(way: usize) -> &'static str {
    match way {
        0 => "client",
        _ => "server",
    }
}
