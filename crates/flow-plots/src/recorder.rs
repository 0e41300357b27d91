//! Takes packets, and notes what a picture shows of them.

use flow_stats::{Cause, Connection, IcmpError, Judgment, PacketKind, Segment};

use crate::{
    picture::Picture,
    subject::{Subject, Way},
    thin::{Bar, Span},
    traces::{Flag, Traces},
};

/// Takes the packets of a connection, in the order in which they were captured.
#[derive(Debug)]
pub struct Recorder {
    connection: Connection,
    span: Span,
    /// What each end sent, and what the other one said to it.
    traces: [Traces; 2],
}

impl Recorder {
    /// Takes the first packet. `span` is the time of the earliest packet, and of the latest: nanoseconds since
    /// 1970. What lies outside is drawn at its edge.
    #[must_use]
    pub fn new(first: &Segment, span: (i64, i64)) -> Self {
        let (connection, judgment) = Connection::begin(first);
        let span = Span {
            start: span.0,
            end: span.1,
        };
        let traces = [Traces::new(span), Traces::new(span)];
        let mut recorder = Self {
            connection,
            span,
            traces,
        };
        recorder.note(first, &judgment);
        recorder
    }

    /// Takes the next packet.
    pub fn add(&mut self, segment: &Segment) {
        let judgment = self.connection.judge(segment);
        self.note(segment, &judgment);
    }

    /// Takes an ICMP error that quotes one of the packets.
    pub fn add_error(&mut self, error: &IcmpError) {
        let whose = self.connection.add_error(error);
        let traces = &mut self.traces[whose.min(1)];
        if let Some(place) = traces.acknowledged.last() {
            traces.flags.add_error(Flag {
                time: error.time(),
                place,
                word: "ICMP",
                by_receiver: true,
            });
        }
    }

    /// The picture of what came.
    #[must_use]
    pub fn finish(self) -> Picture {
        let places = [0, 1].map(|end| {
            let places = self.connection.places(end);
            places.map_or((0, 0), |(first, end)| (place(first), place(end)))
        });
        let client = self.connection.client();
        let [first, second] = self.traces;
        let mut ways = [(first, places[0]), (second, places[1])]
            .map(|(traces, places)| Way { traces, places });
        if client == 1 {
            ways.swap(0, 1);
        }
        Picture::of(Subject {
            row: self.connection.row(),
            span: self.span,
            ways,
        })
    }

    fn note(&mut self, segment: &Segment, judgment: &Judgment) {
        if judgment.kind == PacketKind::Stray {
            return;
        }
        let from = judgment.from.min(1);
        self.note_sent(segment, judgment, from);
        if let Some(number) = judgment.acknowledges {
            let window = self.connection.window_of(segment);
            self.note_said(segment, judgment, (number, window), 1 - from);
        }
        if segment.has_rst() {
            let traces = &mut self.traces[1 - from];
            if let Some(place) = traces.acknowledged.last() {
                traces.flags.add(Flag {
                    time: segment.time(),
                    place,
                    word: "RST",
                    by_receiver: true,
                });
            }
        }
        for (end, traces) in self.traces.iter_mut().enumerate() {
            if let Some(bytes) = self.connection.in_flight(end) {
                traces.in_flight.becomes(place(bytes), segment.time());
            }
        }
    }

    /// Notes what a packet has in its own direction.
    fn note_sent(&mut self, segment: &Segment, judgment: &Judgment, from: usize) {
        let traces = &mut self.traces[from];
        let (time, (start, end)) = (segment.time(), judgment.range);
        let bars = match judgment.kind {
            PacketKind::Stray | PacketKind::Bare => None,
            PacketKind::New => Some(&mut traces.bars.new),
            PacketKind::Retransmission(Cause::Fast) => Some(&mut traces.bars.fast),
            PacketKind::Retransmission(Cause::Timeout) => Some(&mut traces.bars.timeout),
            PacketKind::Retransmission(Cause::Unknown) => Some(&mut traces.bars.again),
            PacketKind::Reordered => Some(&mut traces.bars.reordered),
            PacketKind::Duplicate => Some(&mut traces.bars.duplicate),
            PacketKind::Probe => Some(&mut traces.bars.probe),
        };
        if let Some(bars) = bars {
            let (low, high) = (place(start), place(end));
            bars.add(Bar { time, low, high });
        }
        traces
            .rates
            .came((segment.payload().into(), judgment.new_bytes), time);
        let flags = [
            (segment.has_syn(), "SYN", start),
            (segment.has_fin(), "FIN", end),
            (segment.has_rst(), "RST", start),
        ];
        for (_, word, at) in flags.into_iter().filter(|(has, ..)| *has) {
            traces.flags.add(Flag {
                time,
                place: place(at),
                word,
                by_receiver: false,
            });
        }
    }

    /// Notes what a packet says to the other direction, that of `to`.
    fn note_said(
        &mut self,
        segment: &Segment,
        judgment: &Judgment,
        (number, window): (u64, Option<u64>),
        to: usize,
    ) {
        let traces = &mut self.traces[to];
        let (time, acknowledged) = (segment.time(), place(number));
        let before = traces.acknowledged.last();
        // One that was overtaken says nothing new.
        if before.is_none_or(|before| before <= acknowledged) {
            traces.acknowledged.becomes(acknowledged, time);
            if let Some(window) = window {
                traces
                    .edge
                    .becomes(acknowledged.saturating_add(place(window)), time);
                traces.window.becomes(place(window), time);
            }
        }
        if window == Some(0) {
            traces.bars.zero_window.dot(time, acknowledged);
        }
        if judgment.is_duplicate_ack {
            traces.bars.duplicate_ack.dot(time, acknowledged);
        }
        let blocks = segment.sack_blocks(number).enumerate();
        for (at, [left, right]) in blocks.filter(|(_, [left, right])| left < right) {
            let bars = match judgment.is_dsack && at == 0 {
                true => &mut traces.bars.dsack,
                false => &mut traces.bars.sack,
            };
            let (low, high) = (place(left), place(right));
            bars.add(Bar { time, low, high });
        }
        if let Some(rtt) = judgment.rtt {
            traces.rtt.dot(time, place(rtt));
        }
        if let Some(rtt) = judgment.ts_rtt {
            traces.ts_rtt.dot(time, place(rtt));
        }
    }
}

/// Places, bytes and times as numbers that can be subtracted. None comes near the limit.
fn place(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
