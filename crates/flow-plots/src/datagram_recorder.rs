//! Takes UDP packets, and notes what a picture shows of them.

use flow_stats::{Datagram, DatagramJudgment, Datagrams};

use crate::{
    picture::Picture,
    subject::{Subject, Way},
    thin::Span,
    traces::Traces,
};

/// Takes the packets of a UDP flow, which may be a QUIC connection, in the order in which they were captured.
#[derive(Debug)]
pub struct DatagramRecorder {
    flow: Datagrams,
    span: Span,
    /// What each end sent.
    traces: [Traces; 2],
}

impl DatagramRecorder {
    /// Takes the first packet. `span` is as for [`Recorder::new`](crate::Recorder::new), `is_to_quic` as for
    /// [`Datagrams::new`]: what the flow's row says of migration.
    #[must_use]
    pub fn new(first: &Datagram<'_>, span: (i64, i64), is_to_quic: bool) -> Self {
        let (flow, judgment) = Datagrams::begin(first, is_to_quic);
        let span = Span {
            start: span.0,
            end: span.1,
        };
        let traces = [Traces::new(span), Traces::new(span)];
        let mut recorder = Self { flow, span, traces };
        recorder.note(first, judgment);
        recorder
    }

    /// Takes the next packet.
    pub fn add(&mut self, datagram: &Datagram<'_>) {
        let judgment = self.flow.judge(datagram);
        self.note(datagram, judgment);
    }

    /// The picture of what came.
    #[must_use]
    pub fn finish(self) -> Picture {
        let places = (0, 0);
        let mut ways = self.traces.map(|traces| Way { traces, places });
        if self.flow.client() == 1 {
            ways.swap(0, 1);
        }
        Picture::of(Subject {
            row: self.flow.row(),
            span: self.span,
            ways,
        })
    }

    fn note(&mut self, datagram: &Datagram<'_>, judgment: DatagramJudgment) {
        let traces = &mut self.traces[judgment.from.min(1)];
        let (time, payload) = (datagram.time(), datagram.payload());
        traces.sizes.dot(time, payload.into());
        traces.rates.came((payload.into(), payload.into()), time);
        if let Some(rtt) = judgment.rtt {
            traces.rtt.dot(time, i64::try_from(rtt).unwrap_or(i64::MAX));
        }
    }
}
