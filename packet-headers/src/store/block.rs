//! Packets as records of a nanosecond pcap file, in time order, before they are on disk.
//!
//! Format: draft-ietf-opsawg-pcap, the magic 0xa1b23c4d. Pure: no I/O.

use bytes::{BufMut as _, Bytes, BytesMut};
use packet_headers_common::{LinkType, Packet};
use pcap_file::pcap::PcapHeader;
use pcap_file::{DataLink, Endianness, TsResolution};

use crate::clock::WallNanos;

/// Bytes of a record before the packet's own: seconds, nanoseconds, captured and wire length.
const RECORD_HEADER: usize = 16;

/// Bytes of a VLAN tag.
const TAG: usize = 4;

/// Where a tag stands in an Ethernet header: behind both addresses.
const TAG_AT: usize = 12;

/// How far apart two CPUs may stamp packets and put them into a ring in the other order. Records
/// this young stay in memory when a block is spilled, so that a late one still finds its place.
const REORDER_WINDOW: u64 = 1_000_000;

/// The snap length in the file header: as large as programs accept (libpcap's MAXIMUM_SNAPLEN), as
/// ours differs by packet. Readers refuse records above it.
const SNAP_LENGTH: u32 = 262_144;

/// Records of one flow, in time order.
#[derive(Debug, Default)]
pub struct Block {
    bytes: BytesMut,
    packets: u64,
    newest: WallNanos,
    spilled: WallNanos,
}

/// Records that are on their way to a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Whole records.
    pub bytes: Bytes,
    /// How many.
    pub packets: u64,
    /// Bytes of memory that they hold: a buffer grows by doubling.
    pub memory: usize,
}

impl Block {
    /// Adds a packet at its place in time.
    pub fn push(&mut self, packet: &Packet<'_>, at: WallNanos) {
        // What is on disk cannot be moved any more.
        let at = at.max(self.spilled);
        let tag = packet.vlan.filter(|_| packet.headers.len() >= TAG_AT);
        let tag_length = if tag.is_some() { TAG } else { 0 };
        let length = packet.headers.len() + tag_length;
        self.bytes.reserve(RECORD_HEADER + length);
        let start = self.bytes.len();
        let wire = packet.wire_len.saturating_add(u32_of(tag_length));
        self.bytes.put_u32_le(u32_of_u64(at.0 / 1_000_000_000));
        self.bytes.put_u32_le(u32_of_u64(at.0 % 1_000_000_000));
        self.bytes.put_u32_le(u32_of(length));
        self.bytes.put_u32_le(wire);
        if let Some((protocol, tci)) = tag {
            // The NIC took it off; on the wire it was there.
            let (addresses, rest) = packet.headers.split_at(TAG_AT);
            self.bytes.put_slice(addresses);
            self.bytes.put_u16(protocol);
            self.bytes.put_u16(tci);
            self.bytes.put_slice(rest);
        } else {
            self.bytes.put_slice(packet.headers);
        }
        self.packets += 1;
        self.settle(start, at);
    }

    /// Moves the record that was just put at the end to its place. Nearly always it is there.
    fn settle(&mut self, start: usize, at: WallNanos) {
        if at >= self.newest {
            self.newest = at;
            return;
        }
        let place = self.first_after(at).min(start);
        let length = self.bytes.len() - start;
        if let Some(behind) = self.bytes.get_mut(place..) {
            behind.rotate_right(length);
        }
    }

    /// Where the first record stands that is later than `at`.
    fn first_after(&self, at: WallNanos) -> usize {
        let mut place = 0;
        while let Some((time, length)) = self.record(place) {
            if time > at {
                break;
            }
            place += length;
        }
        place
    }

    /// Time and length of the record that begins at `place`.
    fn record(&self, place: usize) -> Option<(WallNanos, usize)> {
        let header = self.bytes.get(place..)?.first_chunk::<RECORD_HEADER>()?;
        let [seconds, nanos, length] = [0, 4, 8].map(|at| {
            let mut field = [0; 4];
            field.copy_from_slice(&header[at..at + 4]);
            u32::from_le_bytes(field)
        });
        let time = u64::from(seconds) * 1_000_000_000 + u64::from(nanos);
        let length = usize::try_from(length).ok()?;
        Some((WallNanos(time), RECORD_HEADER + length))
    }

    /// Takes over the records of another block, each at its place in time.
    pub fn absorb(&mut self, other: &Self) {
        let mut place = 0;
        while let Some((time, length)) = other.record(place) {
            let Some(record) = other.bytes.get(place..place + length) else {
                break;
            };
            let start = self.bytes.len();
            self.bytes.extend_from_slice(record);
            self.settle(start, time);
            place += length;
        }
        self.packets += other.packets;
    }

    /// How many packets are in it.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// How many bytes the packets take.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no packet in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes everything out.
    pub fn take(&mut self) -> Chunk {
        self.spilled = self.newest;
        Chunk {
            memory: self.bytes.capacity(),
            bytes: std::mem::take(&mut self.bytes).freeze(),
            packets: std::mem::take(&mut self.packets),
        }
    }

    /// Takes out what no late packet can come before any more; all, if that frees nothing.
    pub fn spill(&mut self) -> Chunk {
        let safe = WallNanos(self.newest.0.saturating_sub(REORDER_WINDOW));
        let (mut place, mut packets, mut last) = (0, 0, self.spilled);
        while let Some((time, length)) = self.record(place) {
            if time > safe {
                break;
            }
            place += length;
            packets += 1;
            last = time;
        }
        if place < self.bytes.len() / 2 {
            return self.take();
        }
        // A fresh buffer for the few that stay: the old one goes with the chunk.
        let memory = self.bytes.capacity();
        let chunk = self.bytes.split_to(place).freeze();
        self.bytes = BytesMut::from(&self.bytes[..]);
        self.packets -= packets;
        self.spilled = last;
        Chunk {
            bytes: chunk,
            packets,
            memory,
        }
    }
}

/// The header of a file of packets of this link type.
#[must_use]
pub fn file_header(link_type: LinkType) -> Vec<u8> {
    let header = PcapHeader {
        snaplen: SNAP_LENGTH,
        datalink: match link_type {
            LinkType::Ethernet => DataLink::ETHERNET,
            LinkType::RawIp => DataLink::RAW,
        },
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    };
    let mut bytes = Vec::with_capacity(24);
    // A Vec takes every byte.
    let written = header.write_to(&mut bytes);
    debug_assert!(written.is_ok());
    bytes
}

/// Lengths here are of headers, far below 4 GiB.
fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The format's seconds end in 2106.
fn u32_of_u64(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use packet_headers_common::{Direction, Endpoint};
    use pcap_file::pcap::PcapReader;
    use proptest::prelude::*;

    use super::*;

    fn packet(headers: &[u8], vlan: Option<(u16, u16)>) -> Packet<'_> {
        Packet {
            boot_ns: 0,
            wire_len: 1514,
            ifindex: 1,
            direction: Direction::Ingress,
            link_type: LinkType::Ethernet,
            vlan,
            at_home: true,
            source: Endpoint::v4([192, 0, 2, 1], 1),
            destination: Endpoint::v4([192, 0, 2, 2], 2),
            sequence: 0,
            tcp_flags: 0,
            headers,
        }
    }

    /// Reads chunks back as an independent program would: as one file.
    fn read(chunks: &[Chunk]) -> Vec<(u64, u32, Vec<u8>)> {
        let mut file = file_header(LinkType::Ethernet);
        for chunk in chunks {
            file.extend(&chunk.bytes);
        }
        let mut reader = PcapReader::new(&file[..]).expect("a file header");
        assert_eq!(reader.header().ts_resolution, TsResolution::NanoSecond);
        let mut packets = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let packet = packet.expect("a whole record");
            let time = u64::try_from(packet.timestamp.as_nanos()).expect("a time");
            packets.push((time, packet.orig_len, packet.data.to_vec()));
        }
        let counted: u64 = chunks.iter().map(|chunk| chunk.packets).sum();
        assert_eq!(counted, packets.len() as u64);
        packets
    }

    #[test]
    fn a_record_carries_time_lengths_and_bytes() {
        let mut block = Block::default();
        let headers = [7; 54];
        block.push(
            &packet(&headers, None),
            WallNanos(1_700_000_000_123_456_789),
        );
        let want = (1_700_000_000_123_456_789, 1514, headers.to_vec());
        assert_eq!(read(&[block.take()]), [want]);
    }

    #[test]
    fn a_stripped_tag_is_put_back_behind_the_addresses() {
        let mut block = Block::default();
        let headers: Vec<u8> = (0..54).collect();
        block.push(&packet(&headers, Some((0x8100, 0x2064))), WallNanos(5));
        let mut want = headers[..12].to_vec();
        want.extend([0x81, 0x00, 0x20, 0x64]);
        want.extend(&headers[12..]);
        assert_eq!(read(&[block.take()]), [(5, 1518, want)]);
    }

    #[test]
    fn a_spill_keeps_what_a_late_packet_could_come_before() {
        let mut block = Block::default();
        for n in 0..100 {
            block.push(&packet(&[1; 54], None), WallNanos(n * 100_000));
        }
        let first = block.spill();
        assert_eq!(first.packets, 90);
        // Stamped before what was put into the ring earlier.
        block.push(&packet(&[2; 54], None), WallNanos(9_850_000));
        let packets = read(&[first, block.take()]);
        assert!(packets.is_sorted_by_key(|(time, ..)| *time));
        assert_eq!(packets[99].2, [2; 54]);
    }

    proptest! {
        #[test]
        fn every_packet_comes_out_once_and_in_time_order(
            jitter in proptest::collection::vec((0u64..900_000, 20usize..100, 0u8..4), 1..300)
        ) {
            let (mut block, mut aside, mut chunks) = (Block::default(), Block::default(), Vec::new());
            let mut sent = Vec::new();
            for (n, (late, length, what)) in jitter.into_iter().enumerate() {
                let at = 10_000_000 + n as u64 * 50_000 - late;
                let headers = vec![n as u8; length];
                sent.push((at, headers.clone()));
                let to = if what == 0 { &mut aside } else { &mut block };
                to.push(&packet(&headers, None), WallNanos(at));
                if what == 1 && block.len() > 2000 {
                    chunks.push(block.spill());
                }
            }
            let spilled = chunks.iter().any(|chunk: &Chunk| chunk.packets > 0);
            block.absorb(&aside);
            chunks.push(block.take());
            let packets = read(&chunks);
            let mut bytes: Vec<_> = packets.iter().map(|(_, _, bytes)| bytes.clone()).collect();
            let mut want: Vec<_> = sent.iter().map(|(_, bytes)| bytes.clone()).collect();
            bytes.sort();
            want.sort();
            prop_assert_eq!(bytes, want);
            if !spilled {
                prop_assert!(packets.is_sorted_by_key(|(time, ..)| *time));
            }
        }

        #[test]
        fn packets_within_the_window_are_in_time_order_across_spills(
            jitter in proptest::collection::vec((0u64..900_000, any::<bool>()), 1..400)
        ) {
            let (mut block, mut chunks) = (Block::default(), Vec::new());
            for (n, (late, spill)) in jitter.into_iter().enumerate() {
                let at = 10_000_000 + n as u64 * 50_000 - late;
                block.push(&packet(&[0; 54], None), WallNanos(at));
                if spill && block.len() > 5000 {
                    chunks.push(block.spill());
                }
            }
            chunks.push(block.take());
            prop_assert!(read(&chunks).is_sorted_by_key(|(time, ..)| *time));
        }
    }
}
