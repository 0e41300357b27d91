//! One UDP flow: who its ends are, and what its packets say.

use std::net::SocketAddr;

use crate::{
    datagram::Datagram,
    marks::Marks,
    quic::{QuicConnection, Told},
    words::{BeganBy, Protocol},
};

/// Ports below are those of services.
const SERVICES: u16 = 1024;

/// The figures of one UDP flow, which may be a QUIC connection, from its packets in the order in which they were
/// captured. It takes less than a kilobyte; of QUIC up to ten, as there are histograms of round-trip times then.
///
/// What was captured of payload is only looked at for what QUIC shows of itself, and changes nothing where it is
/// more than that.
#[derive(Debug, Clone)]
pub struct Datagrams {
    pub(crate) ends: [SocketAddr; 2],
    pub(crate) sides: [DatagramSide; 2],
    /// Which of the two is the client, and how that is known.
    client: usize,
    began_by: BeganBy,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) quic: Option<Box<QuicConnection>>,
}

/// What one end of a UDP flow sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatagramSide {
    pub(crate) packets: u64,
    pub(crate) ip_bytes: u64,
    pub(crate) payload_packets: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) datagrams: u64,
    pub(crate) offloaded: u64,
    pub(crate) largest: u32,
    pub(crate) marks: Marks,
    /// When its first packet with payload was captured, and its last one.
    pub(crate) payload_times: Option<(i64, i64)>,
}

/// What one packet was to its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramJudgment {
    /// Which of [`Datagrams::ends`] sent it.
    pub from: usize,
    /// Whether it is a QUIC server's first answer to a client.
    pub answers: bool,
    /// The round-trip time by QUIC's spin bit that it measures: nanoseconds.
    pub rtt: Option<u64>,
}

impl Datagrams {
    /// A flow of which this is the first packet. `is_to_quic` says whether it was sent to an end that is known as a
    /// QUIC server: then a short header says that a connection goes on.
    #[must_use]
    pub fn new(first: &Datagram<'_>, is_to_quic: bool) -> Self {
        Self::begin(first, is_to_quic).0
    }

    /// As [`Self::new`], and tells what the packet was.
    #[must_use]
    pub fn begin(first: &Datagram<'_>, is_to_quic: bool) -> (Self, DatagramJudgment) {
        let (client, began_by) = match (
            first.source.port() < SERVICES,
            first.destination.port() < SERVICES,
        ) {
            (true, false) => (1, BeganBy::Ports),
            (false, true) => (0, BeganBy::Ports),
            _ => (0, BeganBy::Unknown),
        };
        let mut flow = Self {
            ends: [first.source, first.destination],
            sides: [DatagramSide::default(), DatagramSide::default()],
            client,
            began_by,
            start: first.time,
            end: first.time,
            quic: None,
        };
        if is_to_quic {
            flow.quic = QuicConnection::gone_on_by(first, 0).map(Box::new);
        }
        let judgment = flow.judge(first);
        (flow, judgment)
    }

    /// Adds a packet. It must be between the two ends.
    pub fn add(&mut self, datagram: &Datagram<'_>) {
        self.judge(datagram);
    }

    /// Adds a packet as [`Self::add`] does, and tells what it was.
    pub fn judge(&mut self, datagram: &Datagram<'_>) -> DatagramJudgment {
        self.start = self.start.min(datagram.time);
        self.end = self.end.max(datagram.time);
        let from = usize::from(datagram.source != self.ends[0]);
        self.sides[from].add(datagram);
        if self.quic.is_none() {
            self.quic = QuicConnection::begun_by(datagram, from).map(Box::new);
        }
        let quic = self.quic.as_mut();
        let Told { answers, rtt } =
            quic.map_or_else(Told::default, |quic| quic.sent(from, datagram));
        DatagramJudgment { from, answers, rtt }
    }

    /// Its two ends, the sender of its first packet first.
    #[must_use]
    pub fn ends(&self) -> [SocketAddr; 2] {
        self.ends
    }

    /// Which of the ends is the client, as far as is known by now.
    #[must_use]
    pub fn client(&self) -> usize {
        self.quic.as_ref().map_or(self.client, |quic| quic.client())
    }

    /// How that is known.
    pub(crate) fn began_by(&self) -> BeganBy {
        match &self.quic {
            Some(quic) if !quic.is_migrated() => BeganBy::Initial,
            Some(quic) if quic.client() != self.client => BeganBy::Unknown,
            _ => self.began_by,
        }
    }

    /// What it carries.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self.quic {
            Some(_) => Protocol::Quic,
            None => Protocol::Udp,
        }
    }

    /// How much memory it has besides its own size: for tests.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let quic = self.quic.as_ref();
        quic.map_or(0, |quic| size_of::<QuicConnection>() + quic.heap_bytes())
    }
}

impl DatagramSide {
    fn add(&mut self, datagram: &Datagram<'_>) {
        self.packets += 1;
        self.ip_bytes += u64::from(datagram.ip_bytes);
        self.datagrams += u64::from(datagram.datagrams);
        self.marks.add(datagram.ecn, datagram.ttl);
        if datagram.datagrams > 1 {
            self.offloaded += 1;
        } else {
            self.largest = self.largest.max(datagram.payload);
        }
        if datagram.payload > 0 {
            self.payload_packets += 1;
            self.payload_bytes += u64::from(datagram.payload);
            let now = datagram.time;
            let (first, last) = self.payload_times.unwrap_or((now, now));
            self.payload_times = Some((first, last.max(now)));
        }
    }
}
