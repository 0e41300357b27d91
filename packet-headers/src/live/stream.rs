//! What one watcher gets. Pure.

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

    /// The next bytes, with those packets of a turn that are wanted; and how many these are.
    pub(super) fn next(&mut self, batch: &Batch) -> (Vec<u8>, u64) {
        let mut rest = &batch.records[..];
        while !rest.is_empty() {
            let record;
            (record, rest) = split_first(rest);
            let packet = Packet::parse(record).ok();
            let packet = packet.filter(|packet| self.wanted.has(&packet.key()));
            if let Some(packet) = packet {
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
        (bytes, chunk.packets)
    }
}

/// When a packet passed, as its file says.
fn time(packet: &Packet<'_>, clock: &WallClock) -> WallNanos {
    let passed = clock.wall(BootNanos(packet.boot_ns));
    let told = packet.hardware_ns;
    told.and_then(|told| WallClock::hardware(passed, told))
        .unwrap_or(passed)
}
