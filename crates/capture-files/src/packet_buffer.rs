//! The packets of one flow that are not in its file yet, in time order.
//!
//! Pure: no I/O.

use packet_headers_common::Packet;

use super::record::{self, Records};
use model::WallNanos;

/// How far apart two CPUs may stamp packets and put them into a ring in the other order. Records
/// this young stay in memory when a buffer is spilled, so that a late one still finds its place.
const REORDER_WINDOW: u64 = 1_000_000;

/// The most bytes that a plain packet's record takes.
const PLAIN: usize = 128;

/// How many bytes a buffer begins with. It grows by doubling.
const SMALLEST: usize = 2 * PLAIN;

/// How many bytes a buffer begins with at most, when it was long before. Not more: the buffers of busy
/// flows would stand at a distance that has them fight for the same lines of the cache.
const LARGEST_START: usize = 2048;

/// Records of one flow, in time order.
#[derive(Debug, Default)]
pub struct PacketBuffer {
    bytes: Vec<u8>,
    packets: u64,
    newest: WallNanos,
    spilled: WallNanos,
    /// How many bytes were taken out last: as many will come until the next time.
    usual: usize,
}

/// Records that are on their way to a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// How many records.
    pub packets: u64,
    /// Bytes of memory that they hold: a buffer grows by doubling.
    pub memory: usize,
}

impl Chunk {
    /// The records, in time order.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.bytes)
    }

    /// How many bytes the records take.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }
}

impl PacketBuffer {
    /// Adds a packet at its place in time.
    #[inline]
    pub fn push(&mut self, packet: &Packet<'_>, at: WallNanos) {
        // What is on disk cannot be moved any more.
        let at = at.max(self.spilled);
        let start = self.bytes.len();
        let room = record::room(packet);
        if room > self.bytes.capacity() - start {
            self.grow(room);
        }
        record::put(&mut self.bytes, packet, at);
        self.packets += 1;
        self.settle(start, at);
    }

    /// Makes room for this many bytes more, and for as many again as there are.
    #[cold]
    fn grow(&mut self, room: usize) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let usual = self.usual.min(LARGEST_START).next_power_of_two();
        let wanted = (2 * capacity).max(length + room).max(usual.max(SMALLEST));
        self.bytes.reserve_exact(wanted - length);
    }

    /// Moves the record that was just put at the end to its place. Nearly always it is there.
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
        let (record, length) = record::first(self.bytes.get(place..)?)?;
        Some((record.time, length))
    }

    /// Takes over the records of another buffer, each at its place in time.
    pub fn absorb(&mut self, other: &Self) {
        let mut place = 0;
        while let Some((time, length)) = other.record(place) {
            let Some(record) = other.bytes.get(place..place + length) else {
                break;
            };
            let start = self.bytes.len();
            self.bytes.extend_from_slice(record);
            let at = time.max(self.spilled);
            if let Some(record) = self.bytes.get_mut(start..) {
                record::set_time(record, at);
            }
            self.settle(start, at);
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

    /// Whether a plain packet's record would make it longer than `most` bytes.
    #[must_use]
    pub fn is_full(&self, most: usize) -> bool {
        self.bytes.len() + PLAIN > most
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes everything out.
    pub fn take(&mut self) -> Chunk {
        self.spilled = self.newest;
        self.usual = self.bytes.len();
        Chunk {
            memory: self.bytes.capacity(),
            bytes: std::mem::take(&mut self.bytes),
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
        self.usual = self.bytes.len();
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

    use super::super::record::tests::packet;
    use super::*;

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
            buffer.absorb(&aside);
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
