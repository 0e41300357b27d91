//! A packet in memory, on its way from the ring to a file of whatever format.
//!
//! Pure: no I/O.

use bytes::BufMut as _;
use packet_headers_common::{Direction, LinkType, Packet};

use model::WallNanos;

/// A packet as a file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'buffer> {
    /// When it passed the interface.
    pub time: WallNanos,
    /// Bytes that it had on the wire.
    pub wire_len: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// How many packets on the wire it stands for: 1 unless an offload splits or merges.
    pub segments: u16,
    /// Which way it passed the interface.
    pub direction: Direction,
    /// What the headers begin with.
    pub link_type: LinkType,
    /// Where in the packet the IP header begins.
    pub l3: usize,
    /// Where in the packet the TCP header begins.
    pub l4: usize,
    /// Link, IP and TCP header, to the byte; they may be cut.
    pub headers: &'buffer [u8],
}

/// Bytes of an Ethernet header.
const ETHERNET_HEADER: usize = 14;

impl Record<'_> {
    /// The same packet with another link header, made in `room`: none, or one from nobody to nobody.
    pub fn moved_to<'room>(&self, link_type: LinkType, room: &'room mut Vec<u8>) -> Record<'room> {
        let packet = self.headers.get(self.l3..).unwrap_or_default();
        room.clear();
        if link_type == LinkType::Ethernet {
            let ethertype: u16 = match packet.first().map_or(0, |first| first >> 4) {
                6 => 0x86dd,
                _ => 0x0800,
            };
            room.put_bytes(0, ETHERNET_HEADER - 2);
            room.put_u16(ethertype);
        }
        let front = room.len();
        room.extend_from_slice(packet);
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Record {
            wire_len: self.wire_len.saturating_sub(length(self.l3)) + length(front),
            link_type,
            l3: front,
            l4: (self.l4 + front).saturating_sub(self.l3),
            headers: room,
            ..*self
        }
    }
}

/// Bytes before the headers: time, wire length, interface; length of the headers, both offsets and
/// the segments; direction and link type.
const FIXED: usize = 8 + 4 + 4 + 4 * 2 + 2;

/// Bytes of a VLAN tag.
const TAG: usize = 4;

/// Where a tag stands in an Ethernet header: behind both addresses.
const TAG_AT: usize = 12;

/// Puts a packet at the end of `out`, with the VLAN tag that the NIC took off: on the wire it was
/// there.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, packet: &Packet<'_>, time: WallNanos) {
    match packet.vlan {
        Some(tag) if packet.headers.len() >= TAG_AT => put_tagged(out, packet, time, tag),
        _ => {
            put_fixed(out, packet, time, 0);
            out.extend_from_slice(packet.headers);
        }
    }
}

fn put_tagged(out: &mut Vec<u8>, packet: &Packet<'_>, time: WallNanos, tag: (u16, u16)) {
    put_fixed(out, packet, time, TAG as u16);
    let (addresses, rest) = packet.headers.split_at(TAG_AT);
    out.extend_from_slice(addresses);
    out.put_u16(tag.0);
    out.put_u16(tag.1);
    out.extend_from_slice(rest);
}

/// Puts what is before the headers; these are `more` bytes longer than the record says.
#[inline]
fn put_fixed(out: &mut Vec<u8>, packet: &Packet<'_>, time: WallNanos, more: u16) {
    // The ring tells the length in as many bits.
    let length = packet.headers.len() as u16;
    let mut fixed = [0; FIXED];
    fixed[..8].copy_from_slice(&time.0.to_ne_bytes());
    fixed[8..12].copy_from_slice(&packet.wire_len.saturating_add(more.into()).to_ne_bytes());
    fixed[12..16].copy_from_slice(&packet.ifindex.to_ne_bytes());
    fixed[16..18].copy_from_slice(&length.saturating_add(more).to_ne_bytes());
    fixed[18..20].copy_from_slice(&packet.l3_offset.saturating_add(more).to_ne_bytes());
    fixed[20..22].copy_from_slice(&packet.l4_offset.saturating_add(more).to_ne_bytes());
    fixed[22..24].copy_from_slice(&packet.segments.to_ne_bytes());
    fixed[24] = packet.direction as u8;
    fixed[25] = packet.link_type as u8;
    out.extend_from_slice(&fixed);
}

/// The most bytes that a packet's record takes.
#[inline]
pub(super) const fn room(packet: &Packet<'_>) -> usize {
    FIXED + packet.headers.len() + TAG
}

/// The record at the beginning of `bytes`, and how many bytes it takes; none when they end before.
#[inline]
pub(super) fn first(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED>()?;
    let u16_at = |at: usize| u16::from_ne_bytes([fixed[at], fixed[at + 1]]);
    let u32_at = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|next| fixed[at + next]));
    let length = usize::from(u16_at(16));
    let record = Record {
        time: time(fixed),
        wire_len: u32_at(8),
        ifindex: u32_at(12),
        segments: u16_at(22),
        direction: match fixed[24] {
            0 => Direction::Ingress,
            _ => Direction::Egress,
        },
        link_type: match fixed[25] {
            0 => LinkType::Ethernet,
            _ => LinkType::RawIp,
        },
        l3: u16_at(18).into(),
        l4: u16_at(20).into(),
        headers: rest.get(..length)?,
    };
    Some((record, FIXED + length))
}

/// The time of the record.
fn time(fixed: &[u8; FIXED]) -> WallNanos {
    let mut time = [0; 8];
    time.copy_from_slice(&fixed[..8]);
    WallNanos(u64::from_ne_bytes(time))
}

/// Gives the record at the beginning of `bytes` another time.
pub(super) fn set_time(bytes: &mut [u8], time: WallNanos) {
    if let Some(field) = bytes.first_chunk_mut() {
        *field = time.0.to_ne_bytes();
    }
}

/// The records of a stretch of memory, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Records<'buffer>(&'buffer [u8]);

impl<'buffer> Records<'buffer> {
    pub(super) const fn new(bytes: &'buffer [u8]) -> Self {
        Self(bytes)
    }
}

impl<'buffer> Iterator for Records<'buffer> {
    type Item = Record<'buffer>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (record, length) = first(self.0)?;
        self.0 = self.0.get(length..).unwrap_or_default();
        Some(record)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use packet_headers_common::Endpoint;

    use super::*;

    /// A packet with these header bytes.
    pub(crate) fn packet(headers: &[u8], vlan: Option<(u16, u16)>) -> Packet<'_> {
        Packet {
            boot_ns: 0,
            hardware_ns: None,
            wire_len: 1514,
            ifindex: 3,
            direction: Direction::Egress,
            link_type: LinkType::Ethernet,
            vlan,
            at_primary_tap: true,
            source: Endpoint::v4([192, 0, 2, 1], 1),
            destination: Endpoint::v4([192, 0, 2, 2], 2),
            sequence: 0,
            tcp_flags: 0,
            segments: 3,
            truncated: false,
            l3_offset: 14,
            l4_offset: 34,
            headers,
        }
    }

    #[test]
    fn a_record_keeps_all_that_a_file_needs() {
        let headers: Vec<u8> = (0..54).collect();
        let mut bytes = Vec::new();
        put(
            &mut bytes,
            &packet(&headers, None),
            WallNanos(1_700_000_000_123_456_789),
        );
        put(&mut bytes, &packet(&[9; 60], None), WallNanos(5));
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
        let records: Vec<_> = Records::new(&bytes).collect();
        assert_eq!(records[0], want);
        assert_eq!(records.len(), 2);
        assert_eq!(
            (records[1].time, records[1].headers),
            (WallNanos(5), &[9; 60][..])
        );
        let torn = bytes.len() - 1;
        assert_eq!(Records::new(&bytes[..torn]).count(), 1);
    }

    #[test]
    fn a_packet_of_another_link_type_keeps_all_but_its_link_header() {
        let mut headers = vec![9; 54];
        headers[14] = 0x45;
        let mut bytes = Vec::new();
        put(&mut bytes, &packet(&headers, None), WallNanos(5));
        let (ethernet, _) = first(&bytes).unwrap();
        let (mut room, mut again) = (Vec::new(), Vec::new());
        let raw = ethernet.moved_to(LinkType::RawIp, &mut room);
        assert_eq!(raw.headers, &headers[14..]);
        assert_eq!((raw.wire_len, raw.l3, raw.l4), (1500, 0, 20));
        let back = raw.moved_to(LinkType::Ethernet, &mut again);
        let want = [&[0; 12], &[8, 0][..], &headers[14..]].concat();
        assert_eq!(back.headers, want);
        assert_eq!((back.wire_len, back.l3, back.l4), (1514, 14, 34));
        assert_eq!(
            (back.link_type, back.time),
            (LinkType::Ethernet, WallNanos(5))
        );
    }

    #[test]
    fn a_stripped_tag_is_put_back_behind_the_addresses() {
        let headers: Vec<u8> = (0..54).collect();
        let mut bytes = Vec::new();
        put(
            &mut bytes,
            &packet(&headers, Some((0x8100, 0x2064))),
            WallNanos(5),
        );
        let (record, _) = first(&bytes).unwrap();
        let mut want = headers[..12].to_vec();
        want.extend([0x81, 0x00, 0x20, 0x64]);
        want.extend(&headers[12..]);
        assert_eq!(record.headers, want);
        assert_eq!((record.wire_len, record.l3, record.l4), (1518, 18, 38));
    }

    #[test]
    fn a_stripped_tag_is_the_outer_one() {
        let mut headers = vec![2; 12];
        headers.extend([0x81, 0x00, 0x00, 0x07, 0x08, 0x00]);
        headers.extend([0x45; 40]);
        let mut bytes = Vec::new();
        let outer = packet(&headers, Some((0x88a8, 0x0064)));
        put(&mut bytes, &outer, WallNanos(5));
        let (record, _) = first(&bytes).unwrap();
        let tags = [0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x07, 0x08, 0x00];
        assert_eq!(record.headers, [&[2; 12], &tags[..], &[0x45; 40]].concat());
    }

    #[test]
    fn offsets_behind_the_bytes_of_a_cut_record_are_kept() {
        let mut bytes = Vec::new();
        let cut = Packet {
            truncated: true,
            l4_offset: u16::MAX,
            ..packet(&[9; 64], Some((0x8100, 7)))
        };
        put(&mut bytes, &cut, WallNanos(5));
        let (record, _) = first(&bytes).unwrap();
        assert_eq!((record.l3, record.l4), (18, 65_535));
        assert_eq!(record.headers.len(), 68);
    }
}
