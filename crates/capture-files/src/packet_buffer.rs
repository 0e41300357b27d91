//! The packets of one flow that are not in its file yet, in time order.
//!
//! Pure: no I/O.

use packet_headers_common::Packet;
use packet_headers_common::record::MAX_HEADERS;

use crate::record::{self, Record, Records};
use model::WallNanos;

/// Two CPUs may put packets into a ring in the wrong order if their timestamps, in nanoseconds,
/// differ by less than this. A spill keeps records this young in memory, so that a late one still
/// finds its place.
const REORDER_WINDOW: u64 = 1_000_000;

/// The most memory that the record of a plain packet takes, in bytes.
const PLAIN_LEN: usize = 128;

/// The capacity that a buffer starts with, in bytes. It grows by doubling.
const SMALLEST: usize = 2 * PLAIN_LEN;

/// The largest capacity that a buffer starts with if it was long before. If this were larger, the
/// buffers of busy flows would lie at such a distance that they compete for the same cache lines.
const LARGEST_START: usize = 2048;

/// The packets of one flow in memory, in time order.
///
/// It is emptied into [`Chunk`]s, which a [`Writer`](crate::Writer) appends to the flow's file.
///
/// ```
/// use capture_files::{PacketBuffer, Record};
/// use model::WallNanos;
/// use packet_headers_common::{Direction, LinkType};
///
/// let mut buffer = PacketBuffer::default();
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
    packets: u64,
    newest: WallNanos,
    spilled: WallNanos,
    /// How many bytes were taken out last: about as many are expected before the next time.
    usual_len: usize,
}

/// Packets on their way from a [`PacketBuffer`] to a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// The number of packets.
    pub packets: u64,
    /// The memory that they hold, in bytes: more than they need, as a buffer grows by doubling.
    pub memory: usize,
}

impl Chunk {
    /// The packets, in time order.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.bytes)
    }

    /// The length of all records, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }
}

impl PacketBuffer {
    /// Inserts a packet from the kernel programs' ring at its place in time.
    #[inline]
    pub fn push(&mut self, packet: &Packet<'_>, at: WallNanos) {
        // What is on disk cannot be moved any more.
        let at = at.max(self.spilled);
        let start = self.make_room(packet.headers.len());
        record::put(&mut self.bytes, packet, at);
        self.packets += 1;
        self.settle(start, at);
    }

    /// Inserts a packet from any other source at its place in time. Headers are truncated to
    /// [`MAX_HEADERS`] bytes.
    pub fn push_record(&mut self, record: &Record<'_>) {
        let length = record.headers.len().min(MAX_HEADERS);
        let start = self.make_room(length);
        let record = Record {
            time: record.time.max(self.spilled),
            headers: record.headers.get(..length).unwrap_or_default(),
            ..*record
        };
        record::put_record(&mut self.bytes, &record);
        self.packets += 1;
        self.settle(start, record.time);
    }

    /// Makes room for the record of a packet with so many bytes of headers; where it will begin.
    #[inline]
    fn make_room(&mut self, headers: usize) -> usize {
        let start = self.bytes.len();
        let room = record::room(headers);
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

    /// Moves the record that was just appended to its place. Nearly always it is there already.
    #[inline]
    fn settle(&mut self, start: usize, at: WallNanos) {
        if at >= self.newest {
            self.newest = at;
        } else {
            self.move_to_its_place(start, at);
        }
    }

    #[cold]
    fn move_to_its_place(&mut self, start: usize, at: WallNanos) {
        let place = self.first_after(at).min(start);
        let length = self.bytes.len() - start;
        if let Some(behind) = self.bytes.get_mut(place..) {
            behind.rotate_right(length);
        }
    }

    /// The offset of the first record that is later than `at`.
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

    /// The time and length of the record at offset `place`.
    fn record(&self, place: usize) -> Option<(WallNanos, usize)> {
        let (record, length) = record::first(self.bytes.get(place..)?)?;
        Some((record.time, length))
    }

    /// Inserts the packets of another buffer, each at its place in time. `redated` gives the time that
    /// a packet has here, by the one that it has there.
    pub fn absorb(&mut self, other: &Self, redated: &dyn Fn(WallNanos) -> WallNanos) {
        let mut place = 0;
        while let Some((time, length)) = other.record(place) {
            let Some(record) = other.bytes.get(place..place + length) else {
                break;
            };
            let start = self.bytes.len();
            self.bytes.extend_from_slice(record);
            let at = redated(time).max(self.spilled);
            if let Some(record) = self.bytes.get_mut(start..) {
                record::set_time(record, at);
            }
            self.settle(start, at);
            place += length;
        }
        self.packets += other.packets;
    }

    /// The number of packets.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// The length of all records, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds no packet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the record of a plain packet would make it longer than `most` bytes.
    #[must_use]
    pub fn is_full(&self, most: usize) -> bool {
        self.bytes.len() + PLAIN_LEN > most
    }

    /// The memory that it holds, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes all packets out.
    pub fn take(&mut self) -> Chunk {
        self.spilled = self.newest;
        self.usual_len = self.bytes.len();
        Chunk {
            memory: self.bytes.capacity(),
            bytes: std::mem::take(&mut self.bytes),
            packets: std::mem::take(&mut self.packets),
        }
    }

    /// Takes out the packets that no late one can precede any more; all of them if that would free
    /// less than half.
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
        self.usual_len = self.bytes.len();
        let young = self.bytes.split_off(place);
        let chunk = std::mem::replace(&mut self.bytes, young);
        self.packets -= packets;
        self.spilled = last;
        Chunk {
            bytes: chunk,
            packets,
            memory,
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_packet_from_elsewhere_is_as_one_from_the_ring() {
        let headers: Vec<u8> = (0..54).collect();
        let mut ring = PacketBuffer::default();
        ring.push(&packet(&headers, None), WallNanos(7));
        let mut elsewhere = PacketBuffer::default();
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
            jitter in proptest::collection::vec((0u64..900_000, 20usize..100, 0u8..4), 1..300)
        ) {
            let (mut buffer, mut aside, mut chunks) = (PacketBuffer::default(), PacketBuffer::default(), Vec::new());
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
