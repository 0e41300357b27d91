//! The packets of one flow that are not in its file yet, in time order.
//!
//! Pure: no I/O.

use packet_headers_common::record::MAX_HEADERS;
use packet_headers_common::{LinkType, Packet};

use crate::chunk::{Chunk, Records};
use crate::layout::{Details, Layout};
use crate::pcap_record::{LATEST, RECORD_HEADER_LEN, RecordHeader};
use crate::record::{Front, Record};
use model::WallNanos;

/// Two CPUs may put packets into a ring in the wrong order if their timestamps, in nanoseconds,
/// differ by less than this. A spill keeps records this young in memory, so that a late one still
/// finds its place.
const REORDER_WINDOW: u64 = 1_000_000;

/// The most memory that a plain packet takes, in bytes.
const PLAIN_LEN: usize = 128;

/// The capacity that a buffer starts with, in bytes. It grows by doubling.
const SMALLEST: usize = 2 * PLAIN_LEN;

/// The largest capacity that a buffer starts with if it was long before. If this were larger, the
/// buffers of busy flows would lie at such a distance that they compete for the same cache lines.
const LARGEST_START: usize = 2048;

/// The packets of one flow in memory, in time order, laid out as in a pcap file.
///
/// It is emptied into [`Chunk`]s, which a [`Writer`](crate::Writer) appends to the flow's file.
///
/// ```
/// use capture_files::{Layout, PacketBuffer, Record};
/// use model::WallNanos;
/// use packet_headers_common::{Direction, LinkType};
///
/// let mut buffer = PacketBuffer::new(Layout::Pcap);
/// // Two processors handed these over in the wrong order.
/// for nanos in [1_700_000_000_000_000_007, 1_700_000_000_000_000_005] {
///     buffer.push_record(&Record {
///         time: WallNanos(nanos),
///         wire_len: 1514,
///         ifindex: 2,
///         segments: 1,
///         direction: Direction::Ingress,
///         link_type: LinkType::Ethernet,
///         l3: 14,
///         l4: 34,
///         headers: &[0; 54],
///     });
/// }
/// let chunk = buffer.take();
/// let times: Vec<_> = chunk.records().map(|record| record.time.0 % 10).collect();
/// assert_eq!(times, [5, 7]);
/// assert!(buffer.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct PacketBuffer {
    bytes: Vec<u8>,
    /// One for each packet, if the layout has them.
    details: Vec<Details>,
    layout: Layout,
    /// The link type of the first packet that ever was in it.
    link_type: Option<LinkType>,
    packets: u64,
    newest: WallNanos,
    spilled: WallNanos,
    /// How many bytes were taken out last: about as many are expected before the next time.
    usual_len: usize,
}

/// A place between two packets of a buffer.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// How many packets are before it.
    packets: usize,
    /// How many bytes are before it.
    bytes: usize,
    /// The time of the packet before it.
    last: WallNanos,
}

impl PacketBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            ..Self::default()
        }
    }

    /// Inserts a packet from the kernel programs' ring at its place in time.
    #[inline]
    pub fn push(&mut self, packet: &Packet<'_>, at: WallNanos) {
        if packet.vlan.is_none() && self.link_type == Some(packet.link_type) {
            self.lay_out(&[], &Record::new(packet, at));
        } else {
            self.push_unusual(packet, at);
        }
    }

    /// Inserts the first packet, one with a tag, or one that may need another link type. Apart from
    /// the others, so that these are never in memory as records.
    #[inline(never)]
    fn push_unusual(&mut self, packet: &Packet<'_>, at: WallNanos) {
        let record = Record::new(packet, at);
        match packet.vlan {
            None => self.put(&record),
            Some(tag) => self.put_tagged(&record, tag),
        }
    }

    /// Inserts a packet from any other source at its place in time. Headers are truncated to
    /// [`MAX_HEADERS`] bytes.
    pub fn push_record(&mut self, record: &Record<'_>) {
        let length = record.headers.len().min(MAX_HEADERS);
        self.put(&Record {
            headers: record.headers.get(..length).unwrap_or_default(),
            ..*record
        });
    }

    /// Inserts the packets of another buffer, each at its place in time. `redated` gives the time that
    /// a packet has here, by the one that it has there.
    pub fn absorb(&mut self, other: &Self, redated: &dyn Fn(WallNanos) -> WallNanos) {
        for record in Records::new(&other.bytes, &other.details, other.link_type) {
            self.put(&Record {
                time: redated(record.time),
                ..record
            });
        }
    }

    fn put(&mut self, record: &Record<'_>) {
        match self.foreign(record) {
            None => self.lay_out(&[], record),
            Some(ours) => self.put_behind(&Front::linked(record, ours), record),
        }
    }

    /// Inserts a packet with the VLAN tag that the NIC removed put back, unless its link header goes.
    fn put_tagged(&mut self, record: &Record<'_>, tag: (u16, u16)) {
        match Front::tagged(record, tag) {
            Some(front) if self.foreign(record).is_none() => self.put_behind(&front, record),
            _ => self.put(record),
        }
    }

    fn put_behind(&mut self, front: &Front, record: &Record<'_>) {
        self.lay_out(front.bytes(), &front.before(record));
    }

    /// The link type of all other packets, if a packet must have that and has another.
    fn foreign(&mut self, record: &Record<'_>) -> Option<LinkType> {
        let ours = *self.link_type.get_or_insert(record.link_type);
        (ours != record.link_type && self.layout.has_one_link_type()).then_some(ours)
    }

    /// Inserts a packet whose headers begin with `front`.
    #[inline]
    fn lay_out(&mut self, front: &[u8], record: &Record<'_>) {
        // What is on disk cannot be moved any more.
        let at = record.time.max(self.spilled).min(LATEST);
        let captured = front.len() + record.headers.len();
        let start = self.make_room(RECORD_HEADER_LEN + captured);
        let header = RecordHeader {
            time: at,
            // No packet has more than some MAX_HEADERS bytes of headers.
            captured: captured as u32,
            wire_len: record.wire_len,
        };
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(front);
        append(&mut self.bytes, record.headers);
        if self.layout.has_details() {
            self.details.push(Details::of(record));
        }
        self.packets += 1;
        if at >= self.newest {
            self.newest = at;
        } else {
            self.move_to_its_place(start, at);
        }
    }

    /// Makes room for so many bytes; where they will begin.
    #[inline]
    fn make_room(&mut self, room: usize) -> usize {
        let start = self.bytes.len();
        if room > self.bytes.capacity() - start {
            self.grow(room);
        }
        start
    }

    /// Makes room for this many bytes more, and for as many again as there are.
    #[cold]
    fn grow(&mut self, room: usize) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let usual = self.usual_len.min(LARGEST_START).next_power_of_two();
        let wanted = (2 * capacity).max(length + room).max(usual.max(SMALLEST));
        self.bytes.reserve_exact(wanted - length);
    }

    /// Moves the packet that was just appended to its place. Nearly always it is there already.
    #[cold]
    fn move_to_its_place(&mut self, start: usize, at: WallNanos) {
        let place = self.first_after(at, start);
        let length = self.bytes.len() - start;
        if let Some(behind) = self.bytes.get_mut(place.bytes..) {
            behind.rotate_right(length);
        }
        if let Some(behind @ [_, ..]) = self.details.get_mut(place.packets..) {
            behind.rotate_right(1);
        }
    }

    /// The place before the first packet that is later than `at`, of those up to `end`.
    fn first_after(&self, at: WallNanos, end: usize) -> Place {
        let mut place = Place {
            packets: 0,
            bytes: 0,
            last: self.spilled,
        };
        while let Some((time, length)) = self.record(place.bytes) {
            if time > at || place.bytes >= end {
                break;
            }
            place.packets += 1;
            place.bytes += length;
            place.last = time;
        }
        place
    }

    /// The time and length of the record at offset `place`.
    fn record(&self, place: usize) -> Option<(WallNanos, usize)> {
        let header = RecordHeader::decode(self.bytes.get(place..)?.first_chunk()?);
        Some((header.time, RECORD_HEADER_LEN + header.captured as usize))
    }

    /// The number of packets.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// What the first packet that ever was in it began with.
    #[must_use]
    pub const fn link_type(&self) -> Option<LinkType> {
        self.link_type
    }

    /// How packets are laid out.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The length of what is kept of all packets, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + size_of_val(self.details.as_slice())
    }

    /// Whether it holds no packet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a plain packet would make it longer than `most` bytes.
    #[must_use]
    pub fn is_full(&self, most: usize) -> bool {
        self.len() + PLAIN_LEN > most
    }

    /// The memory that it holds, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.details.capacity() * size_of::<Details>()
    }

    /// Reads where the next packet will be, so that the processor has it then.
    #[inline]
    pub fn fetch(&self) {
        std::hint::black_box(self.bytes.last());
    }

    /// Takes all packets out.
    pub fn take(&mut self) -> Chunk {
        self.spilled = self.newest;
        self.usual_len = self.bytes.len();
        let packets = self.packets;
        self.replace(packets, Vec::new(), Vec::new())
    }

    /// Takes out the packets that no late one can precede any more; all of them if that would free
    /// less than half.
    pub fn spill(&mut self) -> Chunk {
        let safe = WallNanos(self.newest.0.saturating_sub(REORDER_WINDOW));
        let place = self.first_after(safe, self.bytes.len());
        if place.bytes < self.bytes.len() / 2 {
            return self.take();
        }
        self.spilled = place.last;
        self.usual_len = self.bytes.len();
        // Fresh memory for the few that stay: the old goes with the chunk.
        let young = self.bytes.split_off(place.bytes);
        let theirs = place.packets.min(self.details.len());
        let theirs = self.details.split_off(theirs);
        self.replace(place.packets as u64, young, theirs)
    }

    /// Takes out so many packets, of which all is there but what stays.
    fn replace(&mut self, packets: u64, bytes: Vec<u8>, details: Vec<Details>) -> Chunk {
        self.packets -= packets;
        let memory = self.capacity();
        Chunk {
            bytes: std::mem::replace(&mut self.bytes, bytes),
            details: std::mem::replace(&mut self.details, details),
            link_type: self.link_type,
            packets,
            memory,
        }
    }
}

/// Appends headers; those of usual lengths without a call.
#[inline]
fn append(out: &mut Vec<u8>, headers: &[u8]) {
    /// Copies so many bytes if there are so many.
    #[inline(always)]
    fn exactly<const N: usize>(out: &mut Vec<u8>, headers: &[u8]) -> bool {
        let headers: Option<&[u8; N]> = headers.as_array();
        headers.is_some_and(|headers| {
            out.extend_from_slice(headers);
            true
        })
    }
    let _usual = exactly::<66>(out, headers)
        || exactly::<54>(out, headers)
        || exactly::<86>(out, headers)
        || exactly::<74>(out, headers)
        || {
            out.extend_from_slice(headers);
            true
        };
}

#[cfg(test)]
mod tests {
    use packet_headers_common::{Beside, Direction, FlowKey};
    use proptest::prelude::*;

    use super::*;
    use crate::record::tests::packet;

    /// Times and bytes of all packets.
    fn read(chunks: &[Chunk]) -> Vec<(u64, Vec<u8>)> {
        let mut packets = Vec::new();
        for chunk in chunks {
            let before = packets.len();
            let records = chunk.records();
            packets.extend(records.map(|record| (record.time.0, record.headers.to_vec())));
            assert_eq!(chunk.packets, (packets.len() - before) as u64);
        }
        packets
    }

    #[test]
    fn a_spill_keeps_what_a_late_packet_could_come_before() {
        let mut buffer = PacketBuffer::default();
        for n in 0..100 {
            buffer.push(&packet(&[1; 54], None), WallNanos(n * 100_000));
        }
        let first = buffer.spill();
        assert_eq!(first.packets, 90);
        // Stamped before what was put into the ring earlier.
        buffer.push(&packet(&[2; 54], None), WallNanos(9_850_000));
        let packets = read(&[first, buffer.take()]);
        assert!(packets.is_sorted_by_key(|(time, _)| *time));
        assert_eq!(packets[99].1, [2; 54]);
    }

    #[test]
    fn a_buffer_grows_by_doubling_and_begins_larger_when_it_was_long() {
        let mut buffer = PacketBuffer::default();
        let mut capacities = Vec::new();
        for n in 0..40 {
            buffer.push(&packet(&[1; 66], None), WallNanos(n));
            capacities.push(buffer.capacity());
        }
        capacities.dedup();
        assert_eq!(capacities, [256, 512, 1024, 2048, 4096]);
        buffer.take();
        assert_eq!(buffer.capacity(), 0);
        buffer.push(&packet(&[1; 66], None), WallNanos(40));
        assert_eq!(buffer.capacity(), 2048);
        // It was used for one packet.
        buffer.take();
        buffer.push(&packet(&[1; 66], None), WallNanos(41));
        assert_eq!(buffer.capacity(), 256);
    }

    /// A packet as the kernel programs give it, and as a buffer of this layout keeps it.
    fn kept(layout: Layout, packet: &Packet<'_>) -> Chunk {
        let mut buffer = PacketBuffer::new(layout);
        buffer.push(packet, WallNanos(1_700_000_000_123_456_789));
        buffer.take()
    }

    /// All but plain pcap: there, interface and offsets are not known.
    const DETAILED: [Layout; 2] = [Layout::PcapToAnonymize, Layout::Pcapng];

    #[test]
    fn a_record_keeps_all_that_a_file_needs() {
        let headers: Vec<u8> = (0..54).collect();
        let want = Record {
            time: WallNanos(1_700_000_000_123_456_789),
            wire_len: 1514,
            ifindex: 3,
            segments: 3,
            direction: Direction::Egress,
            link_type: LinkType::Ethernet,
            l3: 14,
            l4: 34,
            headers: &headers,
        };
        for layout in DETAILED {
            let chunk = kept(layout, &packet(&headers, None));
            assert_eq!(chunk.records().collect::<Vec<_>>(), [want]);
        }
        let chunk = kept(Layout::Pcap, &packet(&headers, None));
        let of_pcap = Record {
            ifindex: 0,
            segments: 1,
            direction: Direction::Ingress,
            l3: Record::UNKNOWN,
            l4: Record::UNKNOWN,
            ..want
        };
        assert_eq!(chunk.records().collect::<Vec<_>>(), [of_pcap]);
        assert_eq!(chunk.details.capacity(), 0);
    }

    #[test]
    fn a_plain_buffer_holds_what_a_pcap_file_has() {
        let chunk = kept(Layout::Pcap, &packet(&[7; 54], None));
        let words: [u32; 4] = [1_700_000_000, 123_456_789, 54, 1514];
        let want = [words.map(u32::to_le_bytes).as_flattened(), &[7; 54]].concat();
        assert_eq!(chunk.bytes(), want);
        assert_eq!(chunk.length(), 16 + 54);
    }

    #[test]
    fn headers_of_any_length_are_copied_whole() {
        let headers: Vec<u8> = (0..=255).cycle().take(MAX_HEADERS).collect();
        let mut buffer = PacketBuffer::default();
        for length in 0..=MAX_HEADERS {
            buffer.push(&packet(&headers[..length], None), WallNanos(5));
        }
        let chunk = buffer.take();
        for (length, record) in chunk.records().enumerate() {
            assert_eq!(record.headers, &headers[..length]);
        }
        assert_eq!(chunk.records().count(), MAX_HEADERS + 1);
    }

    #[test]
    fn what_comes_after_the_last_moment_of_pcap_files_is_dated_so_and_stays_in_order() {
        let mut buffer = PacketBuffer::default();
        for at in [u64::MAX, LATEST.0, 5, LATEST.0 + 2_000_000_000] {
            buffer.push(&packet(&[7; 54], None), WallNanos(at));
        }
        let chunk = buffer.take();
        let times: Vec<_> = chunk.records().map(|record| record.time).collect();
        assert_eq!(times, [WallNanos(5), LATEST, LATEST, LATEST]);
    }

    #[test]
    fn a_stripped_tag_is_put_back_behind_the_addresses() {
        let headers: Vec<u8> = (0..54).collect();
        for layout in DETAILED {
            let chunk = kept(layout, &packet(&headers, Some((0x8100, 0x2064))));
            let record = chunk.records().next().unwrap();
            let mut want = headers[..12].to_vec();
            want.extend([0x81, 0x00, 0x20, 0x64]);
            want.extend(&headers[12..]);
            assert_eq!(record.headers, want);
            assert_eq!((record.wire_len, record.l3, record.l4), (1518, 18, 38));
        }
    }

    #[test]
    fn a_stripped_tag_is_the_outer_one() {
        let mut headers = vec![2; 12];
        headers.extend([0x81, 0x00, 0x00, 0x07, 0x08, 0x00]);
        headers.extend([0x45; 40]);
        let chunk = kept(Layout::Pcap, &packet(&headers, Some((0x88a8, 0x0064))));
        let record = chunk.records().next().unwrap();
        let tags = [0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x07, 0x08, 0x00];
        assert_eq!(record.headers, [&[2; 12], &tags[..], &[0x45; 40]].concat());
    }

    #[test]
    fn offsets_behind_the_bytes_of_a_cut_record_are_kept() {
        let cut = Packet {
            beside: Some(Beside {
                key: FlowKey::default(),
                sequence: 0,
                is_quoted: false,
                cookie: 0,
            }),
            l4_offset: u16::MAX,
            ..packet(&[9; 64], Some((0x8100, 7)))
        };
        let chunk = kept(Layout::Pcapng, &cut);
        let record = chunk.records().next().unwrap();
        assert_eq!((record.l3, record.l4), (18, 65_535));
        assert_eq!(record.headers.len(), 68);
    }

    /// A packet of 40 bytes of IP and TCP headers, and the same behind Ethernet and its tags.
    fn both_links() -> ([u8; 40], Vec<u8>) {
        let mut ip = [9; 40];
        ip[0] = 0x45;
        (ip, [&[2; 12], &[0x81, 0, 0, 7, 8, 0][..], &ip].concat())
    }

    #[test]
    fn all_packets_of_a_pcap_file_have_the_link_type_of_the_first() {
        let (ip, ethernet) = both_links();
        let raw = Packet {
            link_type: LinkType::RawIp,
            l3_offset: 0,
            l4_offset: 20,
            wire_len: 1500,
            ..packet(&ip, None)
        };
        let tagged = Packet {
            l3_offset: 18,
            l4_offset: 38,
            wire_len: 1518,
            ..packet(&ethernet, Some((0x88a8, 7)))
        };
        let linked = [&[0; 12], &[8, 0][..], &ip].concat();
        for layout in [Layout::Pcap, Layout::PcapToAnonymize] {
            for (first, second, (headers, wire_len, l3)) in [
                (&raw, &tagged, (&ip[..], 1500, 0)),
                (&tagged, &raw, (&linked, 1514, 14)),
            ] {
                let mut buffer = PacketBuffer::new(layout);
                buffer.push(first, WallNanos(5));
                buffer.take();
                buffer.push(second, WallNanos(6));
                let chunk = buffer.take();
                let record = chunk.records().next().unwrap();
                assert_eq!((record.headers, record.wire_len), (headers, wire_len));
                assert_eq!(record.link_type, first.link_type);
                assert_eq!(chunk.link_type(), Some(first.link_type));
                if layout.has_details() {
                    assert_eq!((record.l3, record.l4), (l3, l3 + 20));
                }
            }
        }
    }

    #[test]
    fn each_packet_of_a_pcapng_file_keeps_its_link_type() {
        let (ip, ethernet) = both_links();
        let mut buffer = PacketBuffer::new(Layout::Pcapng);
        buffer.push(&packet(&ethernet, None), WallNanos(5));
        let raw = Packet {
            link_type: LinkType::RawIp,
            ..packet(&ip, None)
        };
        buffer.push(&raw, WallNanos(6));
        let chunk = buffer.take();
        let kept: Vec<_> = chunk
            .records()
            .map(|it| (it.link_type, it.headers))
            .collect();
        let want = [(LinkType::Ethernet, &ethernet[..]), (LinkType::RawIp, &ip)];
        assert_eq!(kept, want);
    }

    #[test]
    fn packets_that_are_absorbed_get_the_link_type_of_the_first_too() {
        let (ip, ethernet) = both_links();
        let raw = Packet {
            link_type: LinkType::RawIp,
            l3_offset: 0,
            l4_offset: 20,
            ..packet(&ip, None)
        };
        let tagged = Packet {
            l3_offset: 18,
            l4_offset: 38,
            ..packet(&ethernet, None)
        };
        let linked = [&[0; 12], &[8, 0][..], &ip].concat();
        for layout in [Layout::Pcap, Layout::PcapToAnonymize] {
            for (first, second, want) in [(&raw, &tagged, &ip[..]), (&tagged, &raw, &linked)] {
                let [mut buffer, mut other] = [(); 2].map(|()| PacketBuffer::new(layout));
                buffer.push(first, WallNanos(5));
                other.push(second, WallNanos(6));
                buffer.absorb(&other, &|at| at);
                let chunk = buffer.take();
                assert_eq!(chunk.records().last().unwrap().headers, want);
                // One that is empty takes over what the other has.
                let mut empty = PacketBuffer::new(layout);
                empty.absorb(&other, &|at| at);
                assert_eq!(empty.take(), other.take());
            }
        }
    }

    #[test]
    fn what_is_kept_beside_the_bytes_counts_and_goes_where_they_go() {
        let mut buffer = PacketBuffer::new(Layout::Pcapng);
        for n in [1, 3, 4, 2] {
            let headers = [n as u8; 54];
            let late = Packet {
                ifindex: n,
                ..packet(&headers, None)
            };
            buffer.push(&late, WallNanos(u64::from(n) * 2_000_000));
        }
        assert_eq!(buffer.len(), 4 * (16 + 54 + size_of::<Details>()));
        let (spilled, left) = (buffer.spill(), buffer.take());
        for (chunk, want) in [(spilled, &[1, 2, 3][..]), (left, &[4])] {
            let records = chunk.records().map(|it| (it.ifindex, it.headers[0].into()));
            let want: Vec<_> = want.iter().map(|&n| (n, n)).collect();
            assert_eq!(records.collect::<Vec<_>>(), want);
            assert!(chunk.memory >= chunk.length());
        }
    }

    #[test]
    fn a_packet_from_elsewhere_is_as_one_from_the_ring() {
        let headers: Vec<u8> = (0..54).collect();
        let mut ring = PacketBuffer::new(Layout::Pcapng);
        ring.push(&packet(&headers, None), WallNanos(7));
        let mut elsewhere = PacketBuffer::new(Layout::Pcapng);
        let chunk = ring.take();
        chunk.records().for_each(|it| elsewhere.push_record(&it));
        assert_eq!(elsewhere.take(), chunk);
        let long = [1; 2 * MAX_HEADERS];
        for record in chunk.records() {
            elsewhere.push_record(&Record {
                headers: &long,
                ..record
            });
        }
        let chunk = elsewhere.take();
        let kept = chunk.records().map(|record| record.headers.len());
        assert_eq!(kept.collect::<Vec<_>>(), [MAX_HEADERS]);
    }

    proptest! {
        #[test]
        fn every_packet_comes_out_once_and_in_time_order(
            jitter in proptest::collection::vec((0u64..900_000, 20usize..100, 0u8..4), 1..300),
            layout in proptest::sample::select(vec![Layout::Pcap, Layout::Pcapng])
        ) {
            let [mut buffer, mut aside] = [(); 2].map(|()| PacketBuffer::new(layout));
            let mut chunks = Vec::new();
            let mut sent = Vec::new();
            for (n, (late, length, what)) in jitter.into_iter().enumerate() {
                let at = 10_000_000 + n as u64 * 50_000 - late;
                let headers = vec![n as u8; length];
                sent.push((at, headers.clone()));
                let to = if what == 0 { &mut aside } else { &mut buffer };
                to.push(&packet(&headers, None), WallNanos(at));
                if what == 1 && buffer.len() > 2000 {
                    chunks.push(buffer.spill());
                }
            }
            buffer.absorb(&aside, &|at| at);
            chunks.push(buffer.take());
            let packets = read(&chunks);
            let mut bytes: Vec<_> = packets.iter().map(|(_, bytes)| bytes.clone()).collect();
            let mut want: Vec<_> = sent.iter().map(|(_, bytes)| bytes.clone()).collect();
            bytes.sort();
            want.sort();
            prop_assert_eq!(bytes, want);
            prop_assert!(packets.is_sorted_by_key(|(time, _)| *time));
        }

        #[test]
        fn packets_within_the_window_are_in_time_order_across_spills(
            jitter in proptest::collection::vec((0u64..900_000, any::<bool>()), 1..400)
        ) {
            let (mut buffer, mut chunks) = (PacketBuffer::default(), Vec::new());
            for (n, (late, spill)) in jitter.into_iter().enumerate() {
                let at = 10_000_000 + n as u64 * 50_000 - late;
                buffer.push(&packet(&[0; 54], None), WallNanos(at));
                if spill && buffer.len() > 5000 {
                    chunks.push(buffer.spill());
                }
            }
            chunks.push(buffer.take());
            prop_assert!(read(&chunks).is_sorted_by_key(|(time, _)| *time));
        }
    }
}
