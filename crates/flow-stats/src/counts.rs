//! What is counted of the packets that one end sent, by their headers.

use crate::marks::Marks;
use crate::segment::{Flags, Segment};

/// Packets that an end sent, by what was in their headers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) ip_bytes: u64,
    pub(crate) payload_packets: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) segments: u64,
    pub(crate) offloaded: u64,
    pub(crate) largest: u32,
    pub(crate) truncated: u64,
    pub(crate) stray: u64,
    pub(crate) syns: u64,
    pub(crate) fins: u64,
    pub(crate) rsts: u64,
    pub(crate) pure_acks: u64,
    pub(crate) duplicate_acks: u64,
    pub(crate) duplicates: u64,
    pub(crate) sacks: u64,
    pub(crate) sack_blocks: u64,
    pub(crate) dsacks: u64,
    pub(crate) keep_alives: u64,
    pub(crate) window_probes: u64,
    pub(crate) ece: u64,
    pub(crate) cwr: u64,
    pub(crate) marks: Marks,
    pub(crate) timestamps: bool,
}

impl Counts {
    /// A packet was sent to an end that accepts segments of `mss`.
    pub(crate) fn add(&mut self, segment: &Segment, mss: Option<u16>) {
        let flags = segment.flags;
        self.packets += 1;
        self.ip_bytes += u64::from(segment.ip_bytes);
        self.truncated += u64::from(segment.truncated);
        self.timestamps |= segment.options.timestamps.is_some();
        self.marks.add(segment.ecn, segment.ttl);
        let payload = segment.payload;
        // A segment's options are part of what the other end's MSS permits (RFC 9293 3.7.1).
        let room = mss.map_or(0, |mss| mss.saturating_sub(segment.options_len.into()));
        let merged = match u32::from(room) {
            0 => 1,
            room => payload.div_ceil(room).max(1),
        };
        let segments = merged.max(segment.segments.into());
        self.segments += u64::from(segments);
        if segments > 1 {
            self.offloaded += 1;
        } else {
            self.largest = self.largest.max(payload);
        }
        if payload > 0 {
            self.payload_packets += 1;
            self.payload_bytes += u64::from(payload);
        } else if flags.of(Flags::SYN | Flags::FIN | Flags::RST | Flags::ACK) == Flags::ACK {
            self.pure_acks += 1;
        }
        let flag = |flag| u64::from(flags.any(flag));
        self.syns += flag(Flags::SYN);
        self.fins += flag(Flags::FIN);
        self.rsts += flag(Flags::RST);
        if !flags.any(Flags::SYN) {
            self.ece += flag(Flags::ECE);
            self.cwr += flag(Flags::CWR);
        }
        let blocks = segment.options.sack_blocks().len() as u64;
        self.sacks += u64::from(blocks > 0);
        self.sack_blocks += blocks;
    }
}
