//! Makes of a frame the record that the kernel programs would write.

use std::ops::Range;

use model::{BootNanos, WallClock, WallNanos};
use packet_headers_common::record::{
    self, FLAG_EGRESS, FLAG_FROM_LOW, FLAG_META, FLAG_RAW_IP, FLAG_SERVICE_TAG, FLAG_VLAN, Meta,
    RecordHeader, record_len, tag_flags,
};
use packet_headers_common::{KernelDiscard, LinkType};
use packet_headers_ebpf::parse::{self, Bytes, Headers};
use packet_rings::{Content, Frame};

/// Bytes of a VLAN tag.
const TAG_LEN: usize = 4;

/// Records, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

/// What is kept of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// Header bytes.
    pub(super) headers: usize,
    /// Whether TCP inside of a tunnel counts.
    pub(super) decapsulate: bool,
}

/// How much of a packet's headers a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// All.
    Full,
    /// As many bytes as it may keep.
    Truncated,
}

/// How times of frames become times of records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dating {
    /// The clocks, as the shard has read them in this turn.
    pub(super) clock: WallClock,
    /// Between these every packet of the turn has passed. The wall clock may have been set since.
    pub(super) passed: (BootNanos, BootNanos),
}

/// A packet of which only the beginning is here.
struct Beginning<'a> {
    bytes: &'a [u8],
    length: usize,
}

impl Records {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds the record of a packet with these headers.
    pub(super) fn add(
        &mut self,
        frame: &Frame<'_>,
        (bytes, headers): (&[u8], &Headers),
        kept: Kept,
        dating: &Dating,
    ) -> Copied {
        let mut header = record_header(frame, headers, dating);
        // The tag is put back later.
        let tag_len = frame.vlan.map_or(0, |_tag| TAG_LEN);
        let limit = kept.headers.saturating_sub(tag_len);
        let copied = if bytes.len() <= limit {
            Copied::Full
        } else {
            header.flags |= FLAG_META;
            Copied::Truncated
        };
        let bytes = &bytes[..bytes.len().min(limit)];
        header.header_len = bytes.len() as u16;
        let begin = self.0.len();
        self.0.extend(header.to_bytes());
        if copied == Copied::Truncated {
            let meta = Meta {
                key: headers.key,
                sequence: headers.sequence,
                cookie: 0,
            };
            self.0.extend(meta.to_bytes());
        }
        self.0.extend(bytes);
        let length = record_len(header.flags, bytes.len());
        self.0.resize(begin + length, 0);
        copied
    }
}

/// The headers of a frame: where they are, and their bytes, to the byte.
///
/// # Errors
/// Why it has none.
pub(super) fn headers<'a>(
    frame: &Frame<'a>,
    decapsulate: bool,
) -> Result<(&'a [u8], Headers), KernelDiscard> {
    let bytes = match frame.content {
        Content::Headers(bytes) => bytes,
        Content::Malformed => return Err(KernelDiscard::Malformed),
        Content::TooLong => return Err(KernelDiscard::HeadersTooLong),
    };
    let packet = Beginning {
        bytes,
        length: frame.length as usize,
    };
    let headers = parse::parse(&packet, frame.link, decapsulate)?;
    // The kernel has copied as many; no more are looked at, should it have copied more.
    let bytes = bytes.get(..headers.end).ok_or(KernelDiscard::CopyFailed)?;
    Ok((bytes, headers))
}

fn record_header(frame: &Frame<'_>, headers: &Headers, dating: &Dating) -> RecordHeader {
    let (tag, vlan_tci) = frame.vlan.unwrap_or_default();
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    RecordHeader {
        boot_ns: dating.boot(WallNanos(frame.wall_ns)).0,
        wire_len: frame.length,
        ifindex: frame.ifindex,
        header_len: 0,
        l3_offset: headers.l3 as u16,
        l4_offset: headers.l4 as u16,
        vlan_tci,
        entry: 0,
        flags: flag(headers.from_low, FLAG_FROM_LOW)
            | flag(frame.outgoing, FLAG_EGRESS)
            | flag(frame.link == LinkType::RawIp, FLAG_RAW_IP)
            | (tag_flags(tag) & (FLAG_VLAN | FLAG_SERVICE_TAG)),
        tcp_flags: headers.tcp_flags,
        segments: segments(frame, headers.end),
    }
}

/// How many packets on the wire this one stands for; 0 when it is one.
fn segments(frame: &Frame<'_>, header_len: usize) -> u16 {
    let Some(size) = frame.segment_len else {
        return 0;
    };
    let payload = (frame.length as usize).saturating_sub(header_len);
    let segments = payload.div_ceil(size.into());
    u16::try_from(segments).unwrap_or(u16::MAX)
}

impl Dating {
    /// The boot time of a frame.
    fn boot(&self, at: WallNanos) -> BootNanos {
        let (earliest, latest) = self.passed;
        self.clock.boot(at).clamp(earliest.min(latest), latest)
    }
}

/// The records in these bytes.
pub(super) fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (record, later) = record::split_first(rest);
        rest = later;
        Some(record)
    })
}

impl Beginning<'_> {
    fn range(&self, range: Range<usize>) -> Option<&[u8]> {
        self.bytes.get(range)
    }
}

impl Bytes for Beginning<'_> {
    fn length(&self) -> usize {
        self.length
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.range(offset..offset.checked_add(N)?)?
            .first_chunk()
            .copied()
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let bytes = self.range(offset..offset.checked_add(4 * N)?)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        Some(words)
    }

    fn padded(&self, offset: usize, length: usize) -> Option<[u64; 3]> {
        let mut bytes = [0; 24];
        let found = self.range(offset..offset.checked_add(length)?)?;
        bytes.get_mut(..length)?.copy_from_slice(found);
        let (words, _) = bytes.as_chunks();
        let word = |at: usize| words.get(at).copied().map(u64::from_ne_bytes);
        Some([word(0)?, word(1)?, word(2)?])
    }
}

#[cfg(test)]
mod tests {
    use packet_headers_common::{Direction, Packet};

    use super::*;

    const CLOCK: WallClock = WallClock::apart(1_000_000);
    const KEPT: Kept = Kept {
        headers: 256,
        decapsulate: false,
    };

    fn dating() -> Dating {
        Dating {
            clock: CLOCK,
            passed: (BootNanos(500), BootNanos(9_000)),
        }
    }

    /// The headers of a SYN with options, over IPv6.
    fn syn() -> Vec<u8> {
        let mut bytes = vec![0; 14 + 40 + 24];
        bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
        bytes[14] = 0x60;
        bytes[14 + 5] = 24;
        bytes[14 + 6] = 6;
        bytes[14 + 8] = 0x20;
        bytes[14 + 24] = 0x21;
        bytes[54 + 12] = 0x60;
        bytes[54 + 13] = 0x02;
        bytes
    }

    fn frame<'a>(bytes: &'a [u8], length: u32) -> Frame<'a> {
        Frame {
            wall_ns: 1_000_777,
            length,
            ifindex: 3,
            link: LinkType::Ethernet,
            outgoing: true,
            vlan: Some((0x88a8, 7)),
            segment_len: None,
            content: Content::Headers(bytes),
        }
    }

    fn record(frame: &Frame<'_>, kept: Kept) -> Vec<u8> {
        let (bytes, found) = headers(frame, false).unwrap();
        let mut records = Records::default();
        records.add(frame, (bytes, &found), kept, &dating());
        records.bytes().to_vec()
    }

    #[test]
    fn a_record_says_what_the_kernel_said() {
        let bytes = syn();
        let record = record(&frame(&bytes, 78), KEPT);
        let packet = Packet::parse(&record).unwrap();
        assert_eq!(
            (packet.boot_ns, packet.wire_len, packet.ifindex),
            (777, 78, 3)
        );
        assert_eq!(packet.direction, Direction::Egress);
        assert_eq!(packet.link_type, LinkType::Ethernet);
        assert_eq!(packet.vlan, Some((0x88a8, 7)));
        assert_eq!((packet.l3_offset, packet.l4_offset), (14, 54));
        assert_eq!((packet.headers, packet.segments), (&bytes[..], 1));
        assert!(packet.is_first_syn() && !packet.at_primary_tap && packet.entry == 0);
        assert!(packet.hardware_ns.is_none() && packet.beside.is_none());
    }

    #[test]
    fn a_record_that_keeps_less_has_its_connection_beside() {
        let bytes = syn();
        let kept = Kept {
            headers: 64,
            ..KEPT
        };
        let whole = record(&frame(&bytes, 78), KEPT);
        let record = record(&frame(&bytes, 78), kept);
        let packet = Packet::parse(&record).unwrap();
        // With the tag that is put back, these are 64.
        assert_eq!(packet.headers, &bytes[..60]);
        assert_eq!(packet.key(), Packet::parse(&whole).unwrap().key());
    }

    #[test]
    fn no_byte_behind_the_headers_is_kept_should_the_kernel_have_copied_more() {
        let mut bytes = syn();
        bytes[14 + 5] = 24 + 6;
        bytes.extend(*b"secret");
        let record = record(&frame(&bytes, 84), KEPT);
        assert_eq!(Packet::parse(&record).unwrap().headers, &bytes[..78]);
        assert!(!record.windows(3).any(|bytes| bytes == b"sec"));
    }

    #[test]
    fn a_frame_that_lacks_headers_is_counted() {
        let bytes = syn();
        let mut frame = frame(&bytes[..77], 78);
        assert_eq!(headers(&frame, false), Err(KernelDiscard::CopyFailed));
        for (content, reason) in [
            (Content::Malformed, KernelDiscard::Malformed),
            (Content::TooLong, KernelDiscard::HeadersTooLong),
            (Content::Headers(&[]), KernelDiscard::NotIp),
        ] {
            frame.content = content;
            assert_eq!(headers(&frame, false), Err(reason));
        }
    }

    #[test]
    fn a_packet_that_stands_for_several_says_how_many() {
        let bytes = syn();
        let mut frame = frame(&bytes, 78 + 3001);
        let found = headers(&frame, false).unwrap().1;
        assert_eq!(segments(&frame, found.end), 0);
        frame.segment_len = Some(1000);
        assert_eq!(segments(&frame, found.end), 4);
    }

    #[test]
    fn a_clock_that_was_set_moves_no_packet_out_of_its_turn() {
        let boot = |wall| dating().boot(WallNanos(wall)).0;
        assert_eq!(
            [1_000_499, 1_000_777, 1_009_001, 0].map(boot),
            [500, 777, 9_000, 500]
        );
    }

    #[test]
    fn records_are_told_apart() {
        let bytes = syn();
        let frame = frame(&bytes, 78);
        let found = headers(&frame, false).unwrap().1;
        let mut records = Records::default();
        for kept in [64, 256, 70] {
            let kept = Kept {
                headers: kept,
                ..KEPT
            };
            records.add(&frame, (&bytes, &found), kept, &dating());
        }
        let lengths =
            split(records.bytes()).map(|record| Packet::parse(record).unwrap().headers.len());
        assert_eq!(lengths.collect::<Vec<_>>(), [60, 78, 66]);
        records.clear();
        assert_eq!(split(records.bytes()).count(), 0);
    }
}
