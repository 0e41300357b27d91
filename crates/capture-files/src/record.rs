//! A packet in memory, on its way to a file of any format.
//!
//! Pure: no I/O.

use bytes::BufMut as _;
use packet_headers_common::{Direction, LinkType, Packet};

use model::WallNanos;

/// A packet as a file will have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'buffer> {
    /// When it passed the interface.
    pub time: WallNanos,
    /// Its length on the wire, in bytes.
    pub wire_len: u32,
    /// The index of the interface.
    pub ifindex: u32,
    /// How many packets on the wire it stands for: 1 unless an offload splits or merges packets.
    pub segments: u16,
    /// Which way it passed the interface.
    pub direction: Direction,
    /// What the headers begin with.
    pub link_type: LinkType,
    /// The offset of the IP header in the packet.
    pub l3: usize,
    /// The offset of the TCP header in the packet.
    pub l4: usize,
    /// The link, IP and TCP headers, to the byte; they may be truncated.
    pub headers: &'buffer [u8],
}

/// The length of an Ethernet header, in bytes.
const ETHERNET_LEN: usize = 14;

impl<'packet> Record<'packet> {
    /// The record of a captured packet with this timestamp, without its VLAN tag if the NIC removed
    /// that.
    #[inline]
    fn new(packet: &Packet<'packet>, time: WallNanos) -> Self {
        Self {
            time,
            wire_len: packet.wire_len,
            ifindex: packet.ifindex,
            segments: packet.segments,
            direction: packet.direction,
            link_type: packet.link_type,
            l3: packet.l3_offset.into(),
            l4: packet.l4_offset.into(),
            headers: packet.headers,
        }
    }

    /// The packet rewritten for `link_type` into `buf`: its link header is removed, or replaced by
    /// an Ethernet header with all-zero addresses.
    pub(crate) fn with_link_type<'buf>(
        &self,
        link_type: LinkType,
        buf: &'buf mut Vec<u8>,
    ) -> Record<'buf> {
        let packet = self.headers.get(self.l3..).unwrap_or_default();
        buf.clear();
        if link_type == LinkType::Ethernet {
            let ethertype: u16 = match packet.first().map_or(0, |first| first >> 4) {
                6 => 0x86dd,
                _ => 0x0800,
            };
            buf.put_bytes(0, ETHERNET_LEN - 2);
            buf.put_u16(ethertype);
        }
        let front = buf.len();
        buf.extend_from_slice(packet);
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Record {
            wire_len: self.wire_len.saturating_sub(length(self.l3)) + length(front),
            link_type,
            l3: front,
            l4: (self.l4 + front).saturating_sub(self.l3),
            headers: buf,
            ..*self
        }
    }
}

/// The length of what precedes the headers, in bytes: time, wire length, interface; length of the
/// headers, both offsets and the segments; direction and link type.
const FIXED_LEN: usize = 8 + 4 + 4 + 4 * 2 + 2;

/// The length of a VLAN tag, in bytes.
const TAG_LEN: usize = 4;

/// The offset of a VLAN tag in an Ethernet header: behind both addresses.
const TAG_AT: usize = 12;

/// Appends a packet to `out`, with the VLAN tag that the NIC removed put back, as it was on the
/// wire.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, packet: &Packet<'_>, time: WallNanos) {
    match packet.vlan {
        Some(tag) if packet.headers.len() >= TAG_AT => put_tagged(out, packet, time, tag),
        _ => put_record(out, &Record::new(packet, time)),
    }
}

/// Appends a record to `out`.
#[inline]
pub(super) fn put_record(out: &mut Vec<u8>, record: &Record<'_>) {
    put_fixed(out, record, 0);
    out.extend_from_slice(record.headers);
}

fn put_tagged(out: &mut Vec<u8>, packet: &Packet<'_>, time: WallNanos, tag: (u16, u16)) {
    put_fixed(out, &Record::new(packet, time), TAG_LEN as u16);
    let (addresses, rest) = packet.headers.split_at(TAG_AT);
    out.extend_from_slice(addresses);
    out.put_u16(tag.0);
    out.put_u16(tag.1);
    out.extend_from_slice(rest);
}

/// Appends what comes before the headers, which will be `more` bytes longer than the record's.
#[inline]
fn put_fixed(out: &mut Vec<u8>, record: &Record<'_>, more: u16) {
    // No packet has more than MAX_HEADERS bytes of headers.
    let length = record.headers.len() as u16;
    let offset = |at: usize| u16::try_from(at).unwrap_or(u16::MAX).saturating_add(more);
    let mut fixed = [0; FIXED_LEN];
    fixed[..8].copy_from_slice(&record.time.0.to_ne_bytes());
    fixed[8..12].copy_from_slice(&record.wire_len.saturating_add(more.into()).to_ne_bytes());
    fixed[12..16].copy_from_slice(&record.ifindex.to_ne_bytes());
    fixed[16..18].copy_from_slice(&length.saturating_add(more).to_ne_bytes());
    fixed[18..20].copy_from_slice(&offset(record.l3).to_ne_bytes());
    fixed[20..22].copy_from_slice(&offset(record.l4).to_ne_bytes());
    fixed[22..24].copy_from_slice(&record.segments.to_ne_bytes());
    fixed[24] = record.direction as u8;
    fixed[25] = record.link_type as u8;
    out.extend_from_slice(&fixed);
}

/// The most bytes that a record with headers of this length takes.
#[inline]
pub(super) const fn room(headers: usize) -> usize {
    FIXED_LEN + headers + TAG_LEN
}

/// The record at the start of `bytes`, and how many bytes it takes; `None` if they end before it
/// does.
#[inline]
pub(super) fn first(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED_LEN>()?;
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
    Some((record, FIXED_LEN + length))
}

/// The time of a record.
fn time(fixed: &[u8; FIXED_LEN]) -> WallNanos {
    let mut time = [0; 8];
    time.copy_from_slice(&fixed[..8]);
    WallNanos(u64::from_ne_bytes(time))
}

/// Changes the time of the record at the start of `bytes`.
pub(super) fn set_time(bytes: &mut [u8], time: WallNanos) {
    if let Some(field) = bytes.first_chunk_mut() {
        *field = time.0.to_ne_bytes();
    }
}

/// The records of a [`Chunk`](crate::Chunk), in order.
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
        let (mut buf, mut again) = (Vec::new(), Vec::new());
        let raw = ethernet.with_link_type(LinkType::RawIp, &mut buf);
        assert_eq!(raw.headers, &headers[14..]);
        assert_eq!((raw.wire_len, raw.l3, raw.l4), (1500, 0, 20));
        let back = raw.with_link_type(LinkType::Ethernet, &mut again);
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
