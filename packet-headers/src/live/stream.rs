//! What one watcher gets. Pure.

use std::iter;
use std::sync::Arc;

use capture_files::{InterfaceNames, Layout, PacketBuffer, PacketStream};
use model::{BootNanos, WallClock, WallNanos};
use packet_headers_common::Packet;
use packet_headers_common::record::split_first;

use super::queue::Batch;
use super::wanted::Wanted;

/// The name and version of the program, which the stream contains.
const APPLICATION: &str = concat!("packet-headers ", env!("CARGO_PKG_VERSION"));

/// A watcher's pcapng.
#[derive(Debug)]
pub(super) struct Stream {
    wanted: Wanted,
    names: Arc<InterfaceNames>,
    encoder: PacketStream,
    /// Puts the packets of a turn into the order of time.
    packets: PacketBuffer,
    /// How many packets are missing, and that was not said yet.
    lost: u64,
}

impl Stream {
    /// A stream, and its first bytes.
    pub(super) fn begin(wanted: Wanted, names: Arc<InterfaceNames>) -> (Self, Vec<u8>) {
        let mut bytes = Vec::new();
        let stream = Self {
            wanted,
            names,
            encoder: PacketStream::begin(APPLICATION, &mut bytes),
            packets: PacketBuffer::new(Layout::Pcapng),
            lost: 0,
        };
        (stream, bytes)
    }

    /// Notes that so many packets are missing before those that come next.
    pub(super) fn miss(&mut self, packets: u64) {
        self.lost += packets;
    }

    /// How many packets of a turn are wanted.
    pub(super) fn wanted_of(&self, batch: &Batch) -> u64 {
        let packets = packets(batch);
        packets
            .filter(|packet| self.wanted.has(&packet.key()))
            .count() as u64
    }

    /// The next bytes, with those packets of a turn that are wanted. They have to be sent: later ones
    /// rely on the interfaces that these describe.
    pub(super) fn next(&mut self, batch: &Batch) -> Vec<u8> {
        for packet in packets(batch) {
            if self.wanted.has(&packet.key()) {
                self.packets.push(&packet, time(&packet, &batch.clock));
            }
        }
        let chunk = self.packets.take();
        let mut bytes = Vec::with_capacity(chunk.length());
        for record in chunk.records() {
            self.encoder.packet(&record, &self.names, &mut bytes);
            if self.lost > 0 && self.encoder.lost(self.lost, record.time, &mut bytes) {
                self.lost = 0;
            }
        }
        bytes
    }
}

/// The packets of a turn.
fn packets(batch: &Batch) -> impl Iterator<Item = Packet<'_>> {
    let mut rest = &batch.records[..];
    let records = iter::from_fn(move || {
        let record;
        (record, rest) = split_first(rest);
        (!record.is_empty()).then_some(record)
    });
    records.filter_map(|record| Packet::parse(record).ok())
}

/// When a packet passed, as its file says.
fn time(packet: &Packet<'_>, clock: &WallClock) -> WallNanos {
    let passed = clock.wall(BootNanos(packet.boot_ns));
    let told = packet.hardware_ns;
    told.and_then(|told| WallClock::hardware(passed, told))
        .unwrap_or(passed)
}
