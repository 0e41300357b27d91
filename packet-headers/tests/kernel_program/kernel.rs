//! The programs, loaded, and a look at what each frame made of them.

use std::time::Duration;

use aya::programs::{TestRun as _, TestRunOptions};
use model::{BootNanos, Filters};
use packet_headers::clock;
use packet_headers::kernel::counters::Counts;
use packet_headers::kernel::load::Rings;
use packet_headers::kernel::ring::PacketReader;
use packet_headers::kernel::{FlowMaps, KernelCounters, LoadOptions, Programs, Refused, filters};
use packet_headers_common::record::MAX_HEADERS;
use packet_headers_common::{FlowKey, KernelDiscard, Packet, PacketCounter};

/// `TC_ACT_UNSPEC`: the next program decides.
const TC_ACT_UNSPEC: u32 = u32::MAX;

/// A deadline that no test reaches.
pub(crate) fn in_a_minute() -> BootNanos {
    clock::now().after(Duration::from_secs(60))
}

pub(crate) struct Kernel {
    pub(crate) programs: Programs,
    pub(crate) counters: KernelCounters,
    pub(crate) admission: FlowMaps,
    pub(crate) refused: Refused,
    pub(crate) packets: PacketReader,
}

/// What became of one frame.
pub(crate) type Outcome = Result<Taken, KernelDiscard>;

/// What a record says of its packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) headers: Vec<u8>,
    pub(crate) wire_len: u32,
    pub(crate) offsets: [u16; 2],
    pub(crate) truncated: bool,
    pub(crate) segments: u16,
    pub(crate) hardware_ns: Option<u64>,
    pub(crate) key: FlowKey,
    pub(crate) source_port: u16,
    pub(crate) sequence: u32,
    pub(crate) tcp_flags: u8,
}

impl Kernel {
    pub(crate) fn new() -> Self {
        Self::with(&Filters::default())
    }

    pub(crate) fn with(filters: &Filters) -> Self {
        Self::load(filters, |_| {})
    }

    pub(crate) fn decapsulating() -> Self {
        Self::load(&Filters::default(), |options| options.decapsulate = true)
    }

    pub(crate) fn keeping(header_bytes: u32) -> Self {
        Self::load(&Filters::default(), |options| {
            options.header_bytes = header_bytes;
        })
    }

    pub(crate) fn load(filters: &Filters, change: impl FnOnce(&mut LoadOptions)) -> Self {
        let mut options = LoadOptions {
            shards: 1,
            admitted_ring: 64 * 1024,
            candidate_ring: 64 * 1024,
            netns_cookie: None,
            capture: Duration::from_secs(30),
            max_flows: 16,
            wanted: filters::wanted(filters),
            loopback: true,
            filters: filters::bits(filters),
            header_bytes: MAX_HEADERS as u32,
            decapsulate: false,
            hardware_clock: false,
        };
        change(&mut options);
        let (mut programs, rings) = Programs::load(&options).expect("loading the programs");
        let refused = Refused::default();
        filters::set(&mut programs, filters).expect("setting the filters");
        let Rings { mut packets, .. } = rings;
        let mut flow_maps = programs
            .take_flow_maps(1, &refused)
            .expect("the maps of flows");
        Self {
            refused,
            counters: programs.take_counters().expect("the counters"),
            admission: flow_maps.remove(0),
            packets: PacketReader::new(packets.remove(0)).expect("a reader"),
            programs,
        }
    }

    /// Runs a program once on a frame. What is in the ring and what was counted must agree.
    pub(crate) fn run(&mut self, program: &str, frame: &[u8]) -> Outcome {
        self.run_with(program, frame, None)
    }

    /// The same with a context, of which the frame is a part.
    pub(crate) fn run_with(
        &mut self,
        program: &str,
        frame: &[u8],
        context: Option<&[u8]>,
    ) -> Outcome {
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
        let mut record = None;
        self.packets.drain(1, |item| {
            let packet = Packet::parse(item).expect("a record that can be read");
            record = Some(Taken {
                headers: packet.headers.to_vec(),
                wire_len: packet.wire_len,
                offsets: [packet.l3_offset, packet.l4_offset],
                truncated: packet.truncated,
                segments: packet.segments,
                hardware_ns: packet.hardware_ns,
                key: packet.key(),
                source_port: packet.source.port(),
                sequence: packet.sequence,
                tcp_flags: packet.tcp_flags,
            });
        });
        let outcome = record.ok_or_else(|| discarded(&before, &after));
        let mut want = before;
        want.packets.count(PacketCounter::Seen);
        match &outcome {
            Ok(taken) => {
                want.packets.count(PacketCounter::Submitted);
                if taken.truncated {
                    want.packets.count(PacketCounter::HeadersTruncated);
                }
            }
            Err(reason) => want.packets.discard(*reason),
        }
        assert_eq!(after, want, "one packet is seen and has one outcome");
        outcome
    }

    /// Runs a frame that must be captured; its record.
    pub(crate) fn takes(&mut self, program: &str, frame: &[u8]) -> Taken {
        self.run(program, frame).expect("a record")
    }

    /// Runs a frame whose first `headers` bytes must come out, and nothing else.
    pub(crate) fn captures(&mut self, program: &str, frame: &[u8], headers: usize) {
        let taken = self.takes(program, frame);
        assert_eq!(taken.headers, frame[..headers]);
        assert_eq!(taken.wire_len, frame.len() as u32);
        assert!(!taken.truncated);
        assert_eq!((taken.segments, taken.hardware_ns), (1, None));
    }

    /// Runs a frame that must be discarded, for this reason.
    pub(crate) fn refuses(&mut self, frame: &[u8], reason: KernelDiscard) {
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
