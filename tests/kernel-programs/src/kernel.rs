//! The loaded programs, and what they make of a frame.

use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use aya::programs::{TestRun as _, TestRunOptions};
use model::{BootNanos, Filters};
use packet_headers::clock;
use packet_headers::kernel::counters::Counts;
use packet_headers::kernel::load::Rings;
use packet_headers::kernel::ring::PacketReader;
use packet_headers::kernel::{
    FlowMaps, KernelCounters, KernelFilters, LoadOptions, Programs, Refused,
};
use packet_headers_common::record::{DATAGRAM, MAX_HEADERS};
use packet_headers_common::{FlowHash, FlowKey, KernelDiscard, Packet, PacketCounter};

/// `TC_ACT_UNSPEC`: the next program decides.
const TC_ACT_UNSPEC: u32 = u32::MAX;

/// How many UDP flows are known to programs of tests.
pub const UDP_FLOWS: u32 = 4096;

/// A deadline that no test reaches.
#[must_use]
pub fn in_a_minute() -> BootNanos {
    clock::now().after(Duration::from_secs(60))
}

/// The hash of the programs that tests load.
#[must_use]
pub fn hash() -> FlowHash {
    FlowHash::seeded(7)
}

/// The programs and what the daemon shares with them, with one shard and nothing attached.
pub struct Kernel {
    /// The programs.
    pub programs: Programs,
    /// Which connections they take.
    pub filters: KernelFilters,
    /// What they count.
    pub counters: KernelCounters,
    /// What they know of connections.
    pub admission: FlowMaps,
    /// How many connections they had no room for.
    pub refused: Refused,
    /// What they write.
    pub packets: PacketReader,
    /// What they write of UDP, if they capture that.
    pub datagrams: Option<PacketReader>,
}

/// What became of one frame: its record, or why it has none.
pub type Outcome = Result<Taken, KernelDiscard>;

/// What a record says of its packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The header bytes.
    pub headers: Vec<u8>,
    /// Bytes that the packet has.
    pub wire_len: u32,
    /// Where the IP header and the TCP header begin.
    pub offsets: [u16; 2],
    /// Whether the packet's headers are longer than `headers`.
    pub truncated: bool,
    /// How many packets on the wire it stands for.
    pub segments: u16,
    /// When the NIC saw it.
    pub hardware_ns: Option<u64>,
    /// Whether it came in the lane of named connections.
    pub admitted: bool,
    /// The token of its connection's entry in the table of flows, or 0.
    pub entry: u32,
    /// Its connection.
    pub key: FlowKey,
    /// The port that sent it.
    pub source_port: u16,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP flags, the low eight.
    pub tcp_flags: u8,
    /// Whether it is an ICMP error about the connection.
    pub is_icmp_error: bool,
    /// If it is UDP: the cookie of the connected socket that sent it, or 0.
    pub datagram: Option<u64>,
}

impl Taken {
    /// Where the UDP header ends.
    const fn udp_end(&self) -> usize {
        self.offsets[1] as usize + 8
    }

    /// Takes a record apart. It must be as long as it says, and have zeros behind the headers.
    #[must_use]
    pub fn from_record(record: &[u8]) -> Self {
        let packet = Packet::parse(record).expect("a record that can be read");
        let end = packet.headers.as_ptr_range().end as usize - record.as_ptr() as usize;
        assert_eq!(record.len(), end.next_multiple_of(8));
        assert_eq!(record[end..], [0; 8][..record.len() - end]);
        let l4_offset = u16::from_ne_bytes([record[20], record[21]]);
        let beside = packet.beside.filter(|_| l4_offset & DATAGRAM != 0);
        Self {
            headers: packet.headers.to_vec(),
            wire_len: packet.wire_len,
            offsets: [packet.l3_offset, packet.l4_offset],
            truncated: packet.beside.is_some_and(|beside| !beside.is_quoted) && beside.is_none(),
            segments: packet.segments,
            hardware_ns: packet.hardware_ns,
            admitted: packet.at_primary_tap,
            entry: packet.entry,
            key: packet.key(),
            source_port: packet.source().port(),
            sequence: packet.sequence(),
            tcp_flags: packet.tcp_flags,
            is_icmp_error: packet.is_icmp_error(),
            datagram: beside.map(|beside| beside.cookie),
        }
    }
}

/// What goes wrong is a test's failure: these functions panic.
impl Kernel {
    /// The programs as the daemon loads them unless told otherwise.
    #[must_use]
    pub fn plain() -> Self {
        Self::with(&Filters::default())
    }

    /// The programs with these filters.
    #[must_use]
    pub fn with(filters: &Filters) -> Self {
        Self::load(filters, |_| {})
    }

    /// The programs that open tunnels.
    #[must_use]
    pub fn decapsulating() -> Self {
        Self::load(&Filters::default(), |options| options.decapsulate = true)
    }

    /// The programs that capture UDP.
    #[must_use]
    pub fn of_udp() -> Self {
        Self::load(&Filters::default(), |options| {
            options.udp_flows = Some(UDP_FLOWS);
        })
    }

    /// The programs that capture UDP, and know QUIC.
    #[must_use]
    pub fn of_quic() -> Self {
        Self::load(&Filters::default(), |options| {
            options.udp_flows = Some(UDP_FLOWS);
            options.quic = true;
        })
    }

    /// The programs that keep so many header bytes of a packet.
    #[must_use]
    pub fn keeping(header_bytes: u32) -> Self {
        Self::load(&Filters::default(), |options| {
            options.header_bytes = header_bytes;
        })
    }

    /// The programs, and the ring of what they say of sockets.
    #[must_use]
    pub fn with_events() -> (Self, RingBuf<MapData>) {
        Self::load_all(&Filters::default(), |_| {})
    }

    /// The programs with these filters, and options that `change` sets.
    pub fn load(filters: &Filters, change: impl FnOnce(&mut LoadOptions)) -> Self {
        Self::load_all(filters, change).0
    }

    fn load_all(
        filters: &Filters,
        change: impl FnOnce(&mut LoadOptions),
    ) -> (Self, RingBuf<MapData>) {
        let mut options = LoadOptions {
            shards: 1,
            hash: hash(),
            admitted_ring: 64 * 1024,
            candidate_ring: 64 * 1024,
            netns_cookie: None,
            tells_netns: false,
            owners: false,
            max_flows: 16,
            loopback: true,
            header_bytes: MAX_HEADERS as u32,
            decapsulate: false,
            icmp_errors: true,
            udp_flows: None,
            quic: false,
            hardware_clock: false,
        };
        change(&mut options);
        let (mut programs, rings) = Programs::load(&options).expect("loading the programs");
        let refused = Refused::default();
        let mut chosen = programs.take_filters().expect("the maps of filters");
        chosen.replace(filters, || {}).expect("setting the filters");
        chosen.set_capture(Duration::from_secs(30));
        chosen.set_udp_silence(Duration::from_secs(30));
        let Rings {
            mut packets,
            datagrams,
            events,
        } = rings;
        let datagrams = datagrams.map(|(streams, _)| PacketReader::new(streams).expect("a reader"));
        let mut flow_maps = programs.flow_maps(&refused).expect("the maps of flows");
        let kernel = Self {
            refused,
            counters: programs.take_counters().expect("the counters"),
            admission: flow_maps.remove(0),
            packets: PacketReader::new(packets.remove(0)).expect("a reader"),
            datagrams,
            programs,
            filters: chosen,
        };
        (kernel, events)
    }

    /// Runs a program once on a frame. What is in the ring and what was counted must agree.
    pub fn run(&mut self, program: &str, frame: &[u8]) -> Outcome {
        self.run_with(program, frame, None)
    }

    /// The same with a context, of which the frame is a part: a `struct __sk_buff`.
    pub fn run_with(&mut self, program: &str, frame: &[u8], context: Option<&[u8]>) -> Outcome {
        let before = self.counters.read().expect("counters");
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: context,
            ..TestRunOptions::default()
        };
        let program = self.programs.classifier(program).expect("a classifier");
        let result = program.test_run(options).expect("a test run");
        assert_eq!(
            result.return_value, TC_ACT_UNSPEC,
            "the verdict is not ours"
        );
        let after = self.counters.read().expect("counters");
        let mut records: Vec<_> = [Some(&mut self.packets), self.datagrams.as_mut()]
            .into_iter()
            .zip([false, true])
            .filter_map(|(reader, of_udp)| reader.map(|reader| (reader, of_udp)))
            .flat_map(|(reader, of_udp)| {
                let batch = reader.read(usize::MAX);
                let taken = batch.records().map(Taken::from_record);
                let taken = taken.inspect(|taken| assert_eq!(taken.datagram.is_some(), of_udp));
                taken.collect::<Vec<_>>()
            })
            .collect();
        assert!(records.len() <= 1, "one packet has no second record");
        if let Some(taken) = records.first_mut().filter(|taken| taken.datagram.is_some()) {
            // Its record does not tell.
            let cut = PacketCounter::HeadersTruncated;
            taken.truncated = after.packets.get(cut) != before.packets.get(cut);
        }
        let outcome = records.pop().ok_or_else(|| discarded(&before, &after));
        let mut want = before;
        want.packets.count(PacketCounter::Seen);
        match &outcome {
            Ok(taken) => {
                want.packets.count(PacketCounter::Submitted);
                if taken.is_icmp_error {
                    want.packets.count(PacketCounter::IcmpErrors);
                }
                if taken.datagram.is_some() {
                    want.packets.count(PacketCounter::Datagrams);
                    let of_quic = [PacketCounter::QuicFlows, PacketCounter::QuicIdsTooLong];
                    for what in of_quic {
                        if after.packets.get(what) != before.packets.get(what) {
                            want.packets.count(what);
                        }
                    }
                }
                if taken.datagram.is_some() && taken.headers.len() > taken.udp_end() {
                    want.packets.count(PacketCounter::Quic);
                }
                if taken.truncated {
                    want.packets.count(PacketCounter::HeadersTruncated);
                }
            }
            Err(reason) => want.packets.discard(*reason),
        }
        assert_eq!(after, want, "one packet is seen and has one outcome");
        outcome
    }

    /// Runs a program on a frame that it must capture; returns the record.
    pub fn takes(&mut self, program: &str, frame: &[u8]) -> Taken {
        self.run(program, frame).expect("a record")
    }

    /// Runs a program on a frame of which it must capture the first `headers` bytes, and nothing else.
    pub fn captures(&mut self, program: &str, frame: &[u8], headers: usize) {
        let taken = self.takes(program, frame);
        assert_eq!(taken.headers, frame[..headers]);
        assert_eq!(taken.wire_len, frame.len() as u32);
        assert!(!taken.truncated);
        assert_eq!((taken.segments, taken.hardware_ns), (1, None));
    }

    /// Runs a program on a frame that it must discard, for this reason.
    pub fn discards(&mut self, frame: &[u8], reason: KernelDiscard) {
        assert_eq!(self.run("ph_eth_ingress", frame), Err(reason));
    }
}

/// The reason for which a packet was discarded in between.
fn discarded(before: &Counts, after: &Counts) -> KernelDiscard {
    let [before, after] = [before, after].map(|counts| &counts.packets);
    let moved = |reason: &&KernelDiscard| after.discarded(**reason) != before.discarded(**reason);
    let reason = KernelDiscard::ALL.iter().find(moved);
    *reason.expect("a packet without a record is counted as discarded")
}
